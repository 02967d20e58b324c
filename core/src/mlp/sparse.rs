//! Rows of varying length, packed one after another.

/// How many positions a segment of a row spans: so many rows of a few columns of a matrix fit the nearest cache.
pub const TILE: usize = 192;

/// How many segments a row over `positions` positions has.
pub const fn segments(positions: usize) -> usize {
    positions.div_ceil(TILE)
}

/// Rows of entries in one slice. A row is divided into segments of [`TILE`] positions, or it is one segment.
///
/// Segment s ends where `ends[s]` says and starts where segment s − 1 ends; row r is segments `r * segments`..
#[derive(Debug, Default)]
pub struct Rows<'a, E> {
    entries: &'a mut [E],
    ends: &'a mut [u32],
    segments: usize,
}

impl<'a, E: Copy> Rows<'a, E> {
    /// Room for `ends.len() / segments` rows that hold `entries.len()` entries together.
    pub fn new(entries: &'a mut [E], ends: &'a mut [u32], segments: usize) -> Self {
        Self { entries, ends, segments }
    }

    /// How many segments a row has.
    pub fn segments(&self) -> usize {
        self.segments
    }

    /// The entries of row `r`; none when there is no such row.
    #[inline(always)]
    pub fn row(&self, r: usize) -> &[E] {
        self.between(r * self.segments, (r + 1) * self.segments)
    }

    /// The entries in `segment` of row `r`; none when there is no such row.
    #[inline(always)]
    pub fn segment(&self, r: usize, segment: usize) -> &[E] {
        let at = r * self.segments + segment;
        self.between(at, at + 1)
    }

    /// The entries of the segments `first..last`.
    #[inline(always)]
    fn between(&self, first: usize, last: usize) -> &[E] {
        self.entries.get(self.end(first)..self.end(last)).unwrap_or(&[])
    }

    /// To fill it from row `r` on, the rows before it being filled.
    #[inline(always)]
    pub fn filling(&mut self, r: usize) -> Filling<'_, E> {
        let first = r * self.segments;
        let length = self.end(first);
        Filling {
            entries: self.entries,
            ends: self.ends.get_mut(first..).unwrap_or_default().iter_mut(),
            length,
        }
    }

    /// Where the segments before number `n` end.
    #[inline(always)]
    fn end(&self, n: usize) -> usize {
        match n.checked_sub(1) {
            Some(previous) => self.ends.get(previous).copied().unwrap_or(0) as usize,
            None => 0,
        }
    }

    /// Fills `self`, whose rows have one segment, with the transpose of the first `rows` rows of `other`: `place` says in
    /// which row of `self` an entry of row r belongs, and as what. Entries of one row keep the order of the rows they came
    /// from.
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

/// Rows that are being filled, segment by segment.
pub struct Filling<'a, E> {
    entries: &'a mut [E],
    ends: core::slice::IterMut<'a, u32>,
    length: usize,
}

impl<E> Filling<'_, E> {
    /// Takes `entry` if `wanted`. Written always, kept when wanted: a branch would be mispredicted every other time.
    #[inline(always)]
    pub fn offer(&mut self, entry: E, wanted: bool) {
        if let Some(room) = self.entries.get_mut(self.length) {
            *room = entry;
            self.length += wanted as usize;
        }
    }

    /// Ends the segment.
    #[inline(always)]
    pub fn end(&mut self) {
        if let Some(end) = self.ends.next() {
            *end = self.length as u32;
        }
    }
}
