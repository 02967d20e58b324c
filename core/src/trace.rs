//! The first N entries of a run, and how many were dropped after them, in fixed storage.

/// The first `N` entries of a run, and how many there were.
#[derive(Clone, Debug)]
pub struct Trace<R, const N: usize> {
    kept: heapless::Vec<R, N>,
    seen: u32,
}

impl<R, const N: usize> Default for Trace<R, N> {
    fn default() -> Self {
        Self { kept: heapless::Vec::new(), seen: 0 }
    }
}

impl<R, const N: usize> Trace<R, N> {
    /// Takes an entry, and keeps it as long as there is room.
    pub fn push(&mut self, entry: R) {
        // A full trace is not an error: `lost` tells.
        let _ = self.kept.push(entry);
        self.seen = self.seen.saturating_add(1);
    }

    /// The entries that were kept, in order.
    pub fn kept(&self) -> &[R] {
        &self.kept
    }

    /// How many came after the room was used up.
    pub fn lost(&self) -> u32 {
        self.seen - self.kept.len() as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_keeps_the_first_entries_and_counts_the_others() {
        let mut trace = Trace::<u32, 3>::default();
        (10..15).for_each(|entry| trace.push(entry));
        assert_eq!(trace.kept(), [10, 11, 12]);
        assert_eq!(trace.lost(), 2);
    }
}
