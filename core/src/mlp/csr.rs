//! Sparse matrices in compressed rows (CSR).

/// A non-zero element of a sparse matrix.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Entry<F> {
    /// Column: a pair of inputs in the row of an example, an example in the row of a pair or of a
    /// unit.
    pub position: u16,
    /// Value.
    pub factor: F,
}

/// Sparse matrix in compressed rows: row r is `entries[ends[r − 1]..ends[r]]`.
#[derive(Debug, Default)]
pub struct Csr<'a, F> {
    entries: &'a mut [Entry<F>],
    ends: &'a mut [u32],
}

impl<'a, F: Copy> Csr<'a, F> {
    /// Room for `ends.len()` rows and `entries.len()` entries.
    pub fn new(entries: &'a mut [Entry<F>], ends: &'a mut [u32]) -> Self {
        Self { entries, ends }
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Number of entries of the first `rows` rows.
    pub fn entries(&self, rows: usize) -> u64 {
        self.start(rows) as u64
    }

    /// True if there is no row.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Entries of row `r`; none if there is no such row.
    #[inline(always)]
    pub fn row(&self, r: usize) -> &[Entry<F>] {
        let end = self.ends.get(r).copied().unwrap_or(0) as usize;
        self.entries.get(self.start(r)..end).unwrap_or(&[])
    }

    /// Index of the first entry of row `r`.
    #[inline(always)]
    fn start(&self, r: usize) -> usize {
        match r.checked_sub(1) {
            Some(previous) => self.ends.get(previous).copied().unwrap_or(0) as usize,
            None => 0,
        }
    }

    /// Writer of row `r` and the rows after it; the rows before it must have been written.
    #[inline(always)]
    pub fn writer(&mut self, r: usize) -> RowWriter<'_, F> {
        let length = self.start(r);
        RowWriter {
            entries: self.entries,
            ends: self.ends.get_mut(r..).unwrap_or_default().iter_mut(),
            length,
        }
    }

    /// Writes the transpose of the first `rows` rows of `other` (a counting sort): position p of
    /// row r goes to position r of row p. The positions of a row ascend.
    #[inline(always)]
    pub fn transpose(&mut self, other: &Csr<'_, F>, rows: usize) {
        let end = other.start(rows);
        let all = other.entries.get(..end).unwrap_or_default();
        self.ends.fill(0);
        for entry in all {
            if let Some(count) = self.ends.get_mut(usize::from(entry.position)) {
                *count += 1;
            }
        }
        // Counts become starts; writing moves every start to its row's end.
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

/// Writer of one row after another.
pub struct RowWriter<'a, F> {
    entries: &'a mut [Entry<F>],
    ends: core::slice::IterMut<'a, u32>,
    length: usize,
}

impl<F: Copy> RowWriter<'_, F> {
    /// Adds `entry` to the row.
    #[inline(always)]
    pub fn push(&mut self, entry: Entry<F>) {
        if let Some(room) = self.entries.get_mut(self.length) {
            *room = entry;
            self.length += 1;
        }
    }

    /// Adds all of `entries` to the row, or none if there is no room for all.
    #[inline(always)]
    pub fn extend(&mut self, entries: &[Entry<F>]) {
        let end = self.length + entries.len();
        if let Some(room) = self.entries.get_mut(self.length..end) {
            room.copy_from_slice(entries);
            self.length = end;
        }
    }

    /// Ends the row and begins the next.
    #[inline(always)]
    pub fn end(&mut self) {
        if let Some(end) = self.ends.next() {
            *end = self.length as u32;
        }
    }
}
