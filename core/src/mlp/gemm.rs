//! The microkernel, and the loop over column panels that feeds it.
//!
//! C = init + A·B, with B and C in column panels one vector wide
//! ([`Matrix`](super::matrix::Matrix)). Each element of C is one sum over ascending k; neither MR,
//! NR nor the blocking of k enters a bit ([`blocking`](super::blocking)).

use core::marker::PhantomData;
use core::ops::Range;

use super::blocking::{WIDEST, panels_in_l1};
use super::lhs::Lhs;
use super::matrix::row_of;
use crate::backend::{Backend, Kernel};
use crate::dual::Dual;
use crate::real::Real;
use crate::vector::Vector;

/// MR × NR accumulators.
pub type Tile<V, const P: usize, const MR: usize, const NR: usize> = [[Dual<V, P>; NR]; MR];

/// Adds A[row..row + MR]·B to `tile`, over the k of these blocks.
#[inline(always)]
pub fn microkernel<V: Vector, A: Lhs<V, P>, const P: usize, const MR: usize, const NR: usize>(
    tile: &mut Tile<V, P, MR, NR>,
    a: &A,
    row: usize,
    k_blocks: Range<usize>,
    b: &[&[Dual<V, P>]; NR],
) {
    for n in k_blocks {
        for (k, a) in a.block::<MR>(row, n) {
            let Some(b) = row_of(b, k) else { break };
            for (c, a) in tile.iter_mut().zip(a) {
                let a = Dual::splat(a);
                for (c, b) in c.iter_mut().zip(b) {
                    *c = *c + *b * a;
                }
            }
        }
    }
}

/// Float operations of A·B for `rows` rows and `panels` column panels, padded lanes included.
pub fn flops<V: Vector, A: Lhs<V, P>, const P: usize>(a: &A, rows: usize, panels: usize) -> u64 {
    let lanes = (panels * V::LANES) as u64;
    a.nnz(rows) * lanes * (2 + 4 * P as u64)
}

/// NR accumulators at +0.
#[inline(always)]
pub fn zeros<V: Vector, const P: usize, const NR: usize>() -> [Dual<V, P>; NR] {
    [Dual::constant(V::splat(V::Scalar::ZERO)); NR]
}

/// NR panels of one row of a C of `rows` rows, the first at `at`.
#[inline(always)]
pub fn load<V: Vector, const P: usize, const NR: usize>(
    c: &[Dual<V, P>],
    at: usize,
    rows: usize,
) -> [Dual<V, P>; NR] {
    let mut sums = zeros();
    for (u, sum) in sums.iter_mut().enumerate() {
        if let Some(c) = c.get(at + u * rows) {
            *sum = *c;
        }
    }
    sums
}

/// Stores `sums` where [`load`] reads them.
#[inline(always)]
pub fn store<V: Vector, const P: usize, const NR: usize>(
    c: &mut [Dual<V, P>],
    at: usize,
    rows: usize,
    sums: &[Dual<V, P>; NR],
) {
    for (u, sum) in sums.iter().enumerate() {
        if let Some(c) = c.get_mut(at + u * rows) {
            *c = *sum;
        }
    }
}

/// A pass that writes column panels, NR at a time.
pub trait PanelPass<V, const P: usize>: Send + Sized {
    /// Accumulators per panel, in vectors.
    const ACCUMULATORS: usize;
    /// See [`Kernel::label`].
    fn label(&self) -> &'static str;
    /// See [`Kernel::flops`]: for `panels` panels.
    fn flops(&self, panels: usize) -> u64;
    /// Bytes of a panel of B that should stay in L1 while every row of A passes over them.
    fn resident_bytes(&self) -> usize;
    /// The pass over the first `panels` panels, and that over the others, numbered from zero again.
    fn split(self, panels: usize) -> (Self, Self);
    /// Computes NR panels from number `panel` on; returns the finite probe: 0·(sum of every
    /// parameter updated).
    fn compute<const NR: usize>(&mut self, panel: usize) -> Dual<V, P>;
}

/// Runs `pass` over `panels` panels on `backend`, divided among at most `threads` threads.
///
/// Returns the finite probe: 0·(sum of every parameter updated), which is NaN if one of them is not
/// finite.
pub fn run_panels<E: Backend, W: PanelPass<E::Vector, P>, const P: usize>(
    backend: E,
    threads: usize,
    panels: usize,
    pass: W,
) -> Dual<E::Vector, P> {
    if threads < 2 || panels < 2 {
        return backend.run(PanelKernel::<W, E, P> { panels, pass, backend: PhantomData });
    }
    let before = panels.div_ceil(2);
    let (first, second) = pass.split(before);
    let (a, b) = backend.join(
        || run_panels(backend, threads.div_ceil(2), before, first),
        || run_panels(backend, threads / 2, panels - before, second),
    );
    a + b
}

/// Runs `a` and `b`, at the same time if there is more than one of the `threads`.
pub fn both<E: Backend, A: Send, B: Send>(
    backend: E,
    threads: usize,
    a: impl FnOnce() -> A + Send,
    b: impl FnOnce() -> B + Send,
) -> (A, B) {
    if threads < 2 { (a(), b()) } else { backend.join(a, b) }
}

struct PanelKernel<W, E, const P: usize> {
    panels: usize,
    pass: W,
    backend: PhantomData<E>,
}

impl<W: PanelPass<E::Vector, P>, E: Backend, const P: usize> PanelKernel<W, E, P> {
    /// Most panels whose accumulators the backend has registers for, and which are compiled.
    const NR: usize = {
        let panels = E::ACCUMULATORS / W::ACCUMULATORS;
        if panels < WIDEST { panels } else { WIDEST }
    };
}

impl<W: PanelPass<E::Vector, P>, E: Backend, const P: usize> Kernel for PanelKernel<W, E, P> {
    type Output = Dual<E::Vector, P>;

    fn label(&self) -> &'static str {
        self.pass.label()
    }

    fn flops(&self) -> u64 {
        self.pass.flops(self.panels)
    }

    #[inline(always)]
    fn run(mut self) -> Self::Output {
        let in_l1 = panels_in_l1(self.pass.resident_bytes());
        let widest = if in_l1 < Self::NR { in_l1 } else { Self::NR };
        let mut finite_probe = Dual::default();
        let mut panel = 0;
        while panel < self.panels {
            let left = self.panels - panel;
            // Each width is compiled: 7 and 3 are what 100 units in vectors of 16 lanes leave; 5
            // and 6 are rare.
            let (nr, probe) = match if left < widest { left } else { widest } {
                8.. if const { Self::NR >= 8 } => (8, self.pass.compute::<8>(panel)),
                7 if const { Self::NR >= 7 } => (7, self.pass.compute::<7>(panel)),
                4.. if const { Self::NR >= 4 } => (4, self.pass.compute::<4>(panel)),
                3 if const { Self::NR >= 3 } => (3, self.pass.compute::<3>(panel)),
                2.. if const { Self::NR >= 2 } => (2, self.pass.compute::<2>(panel)),
                _ => (1, self.pass.compute::<1>(panel)),
            };
            finite_probe = finite_probe + probe;
            panel += nr;
        }
        finite_probe
    }
}
