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
