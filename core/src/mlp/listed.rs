//! The left operand of a product with many panels, copied into lists that lie in one piece.

use core::ops::Range;

use super::blocking::LONGEST_LIST;
use super::csr::Entry;
use super::ell::Ell;
use super::lhs::{Lhs, Masked};
use crate::backend::{Backend, Kernel};
use crate::dual::Dual;
use crate::vector::Vector;

/// Passes over A from which on a copy of it pays; with four it does not (`benches/README.md`). The
/// bits are the same.
const PASSES: usize = 7;

/// The elements of A [examples × k] that are multiplied, in lists over `storage`; none if a product
/// with `panels` column panels would not gain by them, or there is no room.
///
/// Each pass over A otherwise walks its bit mask anew, and finds the planes of each element in
/// cache lines of their own, which drive B out of L1.
pub fn listed<'a, G: Backend, const P: usize>(
    backend: G,
    threads: usize,
    a: Masked<'_, G::Vector, P>,
    [examples, k]: [usize; 2],
    panels: usize,
    storage: &'a mut Ell<'_, Factors<G::Vector, P>>,
) -> Option<Ell<'a, Factors<G::Vector, P>>> {
    let passes = (panels * (P + 1)).div_ceil(G::ACCUMULATORS);
    if LONGEST_LIST == 0 || k > LONGEST_LIST || passes < PASSES {
        return None;
    }
    let mut lists = storage.reshaped(examples, k)?;
    ListRows { rows: 0..examples, a, lists: lists.reborrow() }.fill(backend, threads);
    Some(lists)
}

/// An element of A with its tangents.
type Factors<V, const P: usize> = Dual<<V as Vector>::Scalar, P>;

/// Copies these rows of A into the rows of `lists`.
struct ListRows<'a, V: Vector, const P: usize> {
    rows: Range<usize>,
    a: Masked<'a, V, P>,
    lists: Ell<'a, Factors<V, P>>,
}

impl<V: Vector, const P: usize> ListRows<'_, V, P> {
    /// Runs on `backend`, divided among at most `threads` threads.
    fn fill<G: Backend<Vector = V>>(self, backend: G, threads: usize) {
        if threads < 2 || self.rows.len() < 2 {
            return backend.run(self);
        }
        let Self { rows, a, lists } = self;
        let half = rows.len().div_ceil(2);
        let middle = rows.start + half;
        let (lists, others) = lists.split(half);
        let first = ListRows { rows: rows.start..middle, a, lists };
        let second = ListRows { rows: middle..rows.end, a, lists: others };
        let (here, there) = (threads.div_ceil(2), threads / 2);
        backend.join(|| first.fill(backend, here), || second.fill(backend, there));
    }
}

impl<V: Vector, const P: usize> Kernel for ListRows<'_, V, P> {
    type Output = ();

    fn label(&self) -> &'static str {
        "lists"
    }

    #[inline(always)]
    fn run(mut self) {
        for (place, row) in self.rows.enumerate() {
            for n in 0..Lhs::<V, P>::k_blocks(&self.a) {
                let elements = Lhs::<V, P>::block::<1>(&self.a, row, n);
                let entry = |(k, [factor]): (usize, [Factors<V, P>; 1])| Entry {
                    position: k as u16,
                    factor,
                };
                self.lists.extend(place, elements.map(entry));
            }
        }
    }
}
