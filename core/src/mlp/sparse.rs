//! Rows of varying length, packed one after another.

/// Rows of entries in one slice; row r ends where `ends[r]` says and starts where row r − 1 ends.
#[derive(Debug, Default)]
pub struct Rows<'a, E> {
    entries: &'a mut [E],
    ends: &'a mut [u32],
}

impl<'a, E: Copy> Rows<'a, E> {
    /// Room for `ends.len()` rows that hold `entries.len()` entries together.
    pub fn new(entries: &'a mut [E], ends: &'a mut [u32]) -> Self {
        Self { entries, ends }
    }

    /// The entries of row `r`; none when there is no such row.
    #[inline(always)]
    pub fn row(&self, r: usize) -> &[E] {
        let start = match r.checked_sub(1) {
            Some(previous) => self.ends.get(previous).copied().unwrap_or(0),
            None => 0,
        };
        let end = self.ends.get(r).copied().unwrap_or(0);
        self.entries.get(start as usize..end as usize).unwrap_or(&[])
    }

    /// Says that row `r` ends after `length` entries in all.
    #[inline(always)]
    pub fn end_row(&mut self, r: usize, length: usize) {
        if let Some(end) = self.ends.get_mut(r) {
            *end = length as u32;
        }
    }

    /// All room for entries, to be filled from the front.
    #[inline(always)]
    pub fn room(&mut self) -> &mut [E] {
        self.entries
    }

    /// Fills `self` with the transpose of the first `rows` rows of `other`: `place` says in which row of `self` an
    /// entry of row r belongs, and as what. Entries of one row keep the order of the rows they came from.
    #[inline(always)]
    pub fn transpose<F: Copy>(
        &mut self,
        other: &Rows<'_, F>,
        rows: usize,
        place: impl Fn(usize, F) -> (usize, E),
    ) {
        self.ends.fill(0);
        for r in 0..rows {
            for &entry in other.row(r) {
                if let Some(count) = self.ends.get_mut(place(r, entry).0) {
                    *count += 1;
                }
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
            for &entry in other.row(r) {
                let (row, entry) = place(r, entry);
                if let Some(end) = self.ends.get_mut(row) {
                    if let Some(room) = self.entries.get_mut(*end as usize) {
                        *room = entry;
                    }
                    *end += 1;
                }
            }
        }
    }
}
