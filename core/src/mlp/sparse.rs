//! Rows of varying length, packed one after another.

/// A term of a sum: which matrix row is multiplied, and by what.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Entry<F> {
    /// The row: a pair of inputs in a list that belongs to an example, an example in one that belongs to a pair.
    pub position: u16,
    /// What its elements are multiplied by.
    pub factor: F,
}

/// Rows of entries in one slice: row r ends where `ends[r]` says and starts where row r − 1 ends.
#[derive(Debug, Default)]
pub struct Rows<'a, F> {
    entries: &'a mut [Entry<F>],
    ends: &'a mut [u32],
}

impl<'a, F: Copy> Rows<'a, F> {
    /// Room for `ends.len()` rows that hold `entries.len()` entries together.
    pub fn new(entries: &'a mut [Entry<F>], ends: &'a mut [u32]) -> Self {
        Self { entries, ends }
    }

    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// How many entries the first `rows` rows have.
    pub fn entries(&self, rows: usize) -> u64 {
        self.start(rows) as u64
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The entries of row `r`; none when there is no such row.
    #[inline(always)]
    pub fn row(&self, r: usize) -> &[Entry<F>] {
        let end = self.ends.get(r).copied().unwrap_or(0) as usize;
        self.entries.get(self.start(r)..end).unwrap_or(&[])
    }

    /// Where row `r` starts.
    #[inline(always)]
    fn start(&self, r: usize) -> usize {
        match r.checked_sub(1) {
            Some(previous) => self.ends.get(previous).copied().unwrap_or(0) as usize,
            None => 0,
        }
    }

    /// To fill it from row `r` on, the rows before it being filled.
    #[inline(always)]
    pub fn filling(&mut self, r: usize) -> Filling<'_, F> {
        let length = self.start(r);
        Filling {
            entries: self.entries,
            ends: self.ends.get_mut(r..).unwrap_or_default().iter_mut(),
            length,
        }
    }

    /// Fills `self` with the transpose of the first `rows` rows of `other`: what stands at position p of row r comes to
    /// position r of row p. Entries of one row keep the order of the rows they came from.
    #[inline(always)]
    pub fn transpose(&mut self, other: &Rows<'_, F>, rows: usize) {
        let end = other.start(rows);
        let all = other.entries.get(..end).unwrap_or_default();
        self.ends.fill(0);
        for entry in all {
            if let Some(count) = self.ends.get_mut(usize::from(entry.position)) {
                *count += 1;
            }
        }
        // Counts become starts; filling moves every start to its row's end.
        let mut start = 0;
        for end in self.ends.iter_mut() {
            let count = *end;
            *end = start;
            start += count;
        }
        for r in 0..rows {
            for entry in other.row(r) {
                if let Some(end) = self.ends.get_mut(usize::from(entry.position)) {
                    if let Some(room) = self.entries.get_mut(*end as usize) {
                        *room = Entry { position: r as u16, factor: entry.factor };
                    }
                    *end += 1;
                }
            }
        }
    }
}

/// Lists of entries that begin at a fixed distance, so that each can grow while the others do.
#[derive(Debug, Default)]
pub struct Lists<'a, F> {
    entries: &'a mut [Entry<F>],
    lengths: &'a mut [u32],
    distance: usize,
}

impl<'a, F: Copy> Lists<'a, F> {
    /// `lengths.len()` lists with room for `distance` entries each.
    pub fn new(entries: &'a mut [Entry<F>], lengths: &'a mut [u32], distance: usize) -> Self {
        Self { entries, lengths, distance }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.lengths.is_empty()
    }

    /// Empties every list.
    #[inline(always)]
    pub fn clear(&mut self) {
        self.lengths.fill(0);
    }

    /// The entries of list `r`; none when there is no such list.
    #[inline(always)]
    pub fn list(&self, r: usize) -> &[Entry<F>] {
        let length = self.lengths.get(r).copied().unwrap_or(0) as usize;
        let start = r * self.distance;
        self.entries.get(start..start + length).unwrap_or(&[])
    }

    /// Puts `more` at the end of list `r`, as far as there is room.
    #[inline(always)]
    pub fn extend(&mut self, r: usize, more: impl Iterator<Item = Entry<F>>) {
        let Some(length) = self.lengths.get_mut(r) else { return };
        let room = self.entries.get_mut(r * self.distance..(r + 1) * self.distance);
        let room = room.unwrap_or_default().get_mut(*length as usize..).unwrap_or_default();
        // Counted in a register: in memory each addition would wait for the last.
        let mut taken = 0;
        for (room, entry) in room.iter_mut().zip(more) {
            *room = entry;
            taken += 1;
        }
        *length += taken;
    }
}

/// Rows that are being filled, one after another.
pub struct Filling<'a, F> {
    entries: &'a mut [Entry<F>],
    ends: core::slice::IterMut<'a, u32>,
    length: usize,
}

impl<F: Copy> Filling<'_, F> {
    /// Takes `entry`.
    #[inline(always)]
    pub fn push(&mut self, entry: Entry<F>) {
        if let Some(room) = self.entries.get_mut(self.length) {
            *room = entry;
            self.length += 1;
        }
    }

    /// Takes all of `entries`, or none of them where there is no room.
    #[inline(always)]
    pub fn extend(&mut self, entries: &[Entry<F>]) {
        let end = self.length + entries.len();
        if let Some(room) = self.entries.get_mut(self.length..end) {
            room.copy_from_slice(entries);
            self.length = end;
        }
    }

    /// Ends the row.
    #[inline(always)]
    pub fn end(&mut self) {
        if let Some(end) = self.ends.next() {
            *end = self.length as u32;
        }
    }
}
