//! Sparse matrix of fixed row capacity (ELLPACK): its rows grow independently.

use super::csr::Entry;

/// Sparse matrix whose row r is `entries[r·slots..][..counts[r]]`: a row can grow while the others
/// do.
#[derive(Debug, Default)]
pub struct Ell<'a, F> {
    entries: &'a mut [Entry<F>],
    counts: &'a mut [u32],
    slots: usize,
}

impl<'a, F: Copy> Ell<'a, F> {
    /// `counts.len()` rows with `slots` slots each.
    pub fn new(entries: &'a mut [Entry<F>], counts: &'a mut [u32], slots: usize) -> Self {
        Self { entries, counts, slots }
    }

    /// True if there is no row.
    pub fn is_empty(&self) -> bool {
        self.counts.is_empty()
    }

    /// The same rows, borrowed for a shorter time.
    pub fn reborrow(&mut self) -> Ell<'_, F> {
        Ell { entries: self.entries, counts: self.counts, slots: self.slots }
    }

    /// The storage of these rows as `rows` empty rows with `slots` slots each, if there is room.
    pub fn reshaped(&mut self, rows: usize, slots: usize) -> Option<Ell<'_, F>> {
        let entries = self.entries.get_mut(..rows * slots)?;
        let counts = self.counts.get_mut(..rows)?;
        counts.fill(0);
        Some(Ell { entries, counts, slots })
    }

    /// The first `count` rows, and the others; all and none if there are fewer.
    pub fn split(self, count: usize) -> (Self, Self) {
        let Self { entries, counts, slots } = self;
        let count = count.min(counts.len());
        let (first, second) = entries.split_at_mut_checked(count * slots).unwrap_or_default();
        let (of_first, of_second) = counts.split_at_mut_checked(count).unwrap_or_default();
        (
            Self { entries: first, counts: of_first, slots },
            Self { entries: second, counts: of_second, slots },
        )
    }

    /// Empties every row.
    #[inline(always)]
    pub fn clear(&mut self) {
        self.counts.fill(0);
    }

    /// Entries of row `r`; none if there is no such row.
    #[inline(always)]
    pub fn row(&self, r: usize) -> &[Entry<F>] {
        let length = self.counts.get(r).copied().unwrap_or(0) as usize;
        let start = r * self.slots;
        self.entries.get(start..start + length).unwrap_or(&[])
    }

    /// Adds `more` to row `r`, as far as there are slots.
    #[inline(always)]
    pub fn extend(&mut self, r: usize, more: impl Iterator<Item = Entry<F>>) {
        let Some(length) = self.counts.get_mut(r) else { return };
        let room = self.entries.get_mut(r * self.slots..(r + 1) * self.slots);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn storage_of_other_rows_is_lent_empty_where_it_has_room() {
        let (mut entries, mut counts) = ([Entry::default(); 12], [3, 2, 1, 0]);
        let mut wide = Ell::new(&mut entries, &mut counts, 3);
        let entry = |position| Entry { position, factor: 0.5 };
        assert!(wide.reshaped(5, 1).is_none() && wide.reshaped(3, 5).is_none());
        let mut lent = wide.reshaped(2, 6).expect("it has room");
        lent.extend(1, [entry(4), entry(9)].into_iter());
        assert!(lent.row(0).is_empty());
        assert_eq!(lent.row(1), &[entry(4), entry(9)]);
        assert_eq!(wide.row(2), &[entry(4)]);
    }
}
