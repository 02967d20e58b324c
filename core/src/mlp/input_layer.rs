//! First layer, sparse X [examples × inputs]: Z = X·W + b, and dW = Xᵀ·dZ with the update.
//! X is stored as pairs of inputs that are not both zero.

use super::csr::Csr;
use super::gemm::{PanelPass, zeros};
use super::lane_packing::LanePacking;
use super::matrix::{Matrix, panels_mut, row_of, split_mut};
use super::update::{LayerUpdate, UpdateRule};
use crate::backend::{Backend, Scalar};
use crate::dual::{Dual, each};
use crate::vector::Vector;

/// Z = X·W + b for a sparse X, stored by columns (CSC): each row of W is read once and added to Z
/// for every example it concerns.
///
/// A panel of Z stays in L1, where a panel of W would not fit.
pub struct SparseForward<'a, V: Vector, const P: usize> {
    pub examples: usize,
    /// Columns of X, two at a time: for each pair of inputs the examples in which it is not zero.
    pub by_pair: &'a Csr<'a, [V::Scalar; 2]>,
    /// W and, as last row, b.
    pub weights: Matrix<'a, V, P>,
    /// Rows of `out`.
    pub rows: usize,
    /// Z.
    pub out: &'a mut [Dual<V, P>],
    /// Packing of the last panel, if the last panel is among these and can be packed.
    pub packing: Option<LanePacking>,
}

impl<V: Vector, const P: usize> PanelPass<V, P> for SparseForward<'_, V, P> {
    const ACCUMULATORS: usize = P + 1;

    fn label(&self) -> &'static str {
        "inputs forward"
    }

    /// A packed panel has one plane.
    fn flops(&self, panels: usize) -> u64 {
        let planes = panels * (P + 1) - if self.packing.is_some() { P } else { 0 };
        flops::<V>(self.by_pair, planes)
    }

    fn split(self, panels: usize) -> (Self, Self) {
        let (weights, rest) = self.weights.split(panels);
        let (out, others) = split_mut(self.out, self.rows, panels);
        let second = Self { weights: rest, out: others, ..self };
        (Self { weights, out, packing: None, ..self }, second)
    }

    #[inline(always)]
    fn resident_bytes(&self) -> usize {
        self.examples * size_of::<Dual<V, P>>()
    }

    #[inline(always)]
    fn compute<const NR: usize>(&mut self, panel: usize) -> Dual<V, P> {
        match self.packing {
            Some(packing) if NR == 1 && (panel + 1) * self.rows == self.out.len() => {
                self.packed(panel, packing);
            }
            _ => self.unpacked::<NR>(panel),
        }
        Dual::default()
    }
}

impl<V: Vector, const P: usize> SparseForward<'_, V, P> {
    #[inline(always)]
    fn unpacked<const NR: usize>(&mut self, panel: usize) {
        let Some(weights) = self.weights.panels::<NR>(panel) else { return };
        let Some(mut out) = panels_mut::<V, P, NR>(self.out, self.rows, panel) else { return };
        let bias = self.weights.rows.saturating_sub(1);
        for (out, weights) in out.iter_mut().zip(&weights) {
            let (Some(out), Some(bias)) = (out.get_mut(..self.examples), weights.get(bias)) else {
                return;
            };
            out.fill(*bias);
        }
        for pair in 0..self.by_pair.len() {
            // The last pair of an odd number of inputs has factor zero for the second row, the
            // biases.
            let (first, second) = (row_of(&weights, 2 * pair), row_of(&weights, 2 * pair + 1));
            let (Some(first), Some(second)) = (first, second) else { return };
            let (first, second) = (each(first, |w| *w), each(second, |w| *w));
            for entry in self.by_pair.row(pair) {
                let [a, b] = &entry.factor;
                let (a, b) = (V::splat(*a), V::splat(*b));
                let at = usize::from(entry.position);
                for ((out, first), second) in out.iter_mut().zip(&first).zip(&second) {
                    let Some(sum) = out.get_mut(at) else { return };
                    *sum = *sum + first.scaled(a) + second.scaled(b);
                }
            }
        }
    }

    /// The same for one panel whose planes are packed into one vector.
    #[inline(always)]
    fn packed(&mut self, panel: usize, packing: LanePacking) {
        let Some([weights]) = self.weights.panels::<1>(panel) else { return };
        let Some([out]) = panels_mut::<V, P, 1>(self.out, self.rows, panel) else { return };
        let (Some(out), Some(bias)) = (out.get_mut(..self.examples), weights.last()) else {
            return;
        };
        let bias = packing.pack(bias);
        out.iter_mut().for_each(|out| out.value = bias);
        for (pair, rows) in weights.chunks(2).enumerate().take(self.by_pair.len()) {
            let [first, second] = match rows {
                [first, second, ..] => each([first, second], |row| packing.pack(row)),
                _ => return,
            };
            for entry in self.by_pair.row(pair) {
                let [a, b] = each(entry.factor, V::splat);
                let Some(sum) = out.get_mut(usize::from(entry.position)) else { return };
                sum.value = sum.value + first * a + second * b;
            }
        }
        out.iter_mut().for_each(|out| *out = packing.unpack(out.value));
    }
}

/// A multiplication and an addition for both inputs of each pair and each lane of `planes` vectors.
fn flops<V: Vector>(by_pair: &Csr<'_, [V::Scalar; 2]>, planes: usize) -> u64 {
    by_pair.entries(by_pair.len()) * 4 * (planes * V::LANES) as u64
}

/// dW = Xᵀ·dZ for a sparse X; the epilogue is the step of the optimiser.
pub struct SparseWeightGradient<'a, G: Backend, R, const P: usize, const S: usize> {
    /// Rows of Xᵀ, two at a time: for each pair of inputs the examples in which it is not zero.
    pub by_pair: &'a Csr<'a, [Scalar<G>; 2]>,
    pub inputs: usize,
    pub examples: usize,
    /// dZ.
    pub errors: Matrix<'a, G::Vector, P>,
    pub update: LayerUpdate<'a, G, R, P, S>,
}

impl<G, R, const P: usize, const S: usize> PanelPass<G::Vector, P>
    for SparseWeightGradient<'_, G, R, P, S>
where
    G: Backend,
    R: UpdateRule<G::Vector, P, S>,
{
    // Both rows of a pair.
    const ACCUMULATORS: usize = 2 * (P + 1);

    fn label(&self) -> &'static str {
        "inputs gradient and update"
    }

    fn flops(&self, panels: usize) -> u64 {
        flops::<G::Vector>(self.by_pair, panels * (P + 1))
            + self.update.flops(self.examples, panels)
    }

    fn split(self, panels: usize) -> (Self, Self) {
        let (errors, others) = self.errors.split(panels);
        let (first, second) = self.update.split(panels);
        (Self { errors, update: first, ..self }, Self { errors: others, update: second, ..self })
    }

    #[inline(always)]
    fn resident_bytes(&self) -> usize {
        self.examples * size_of::<Dual<G::Vector, P>>()
    }

    #[inline(always)]
    fn compute<const NR: usize>(&mut self, panel: usize) -> Dual<G::Vector, P> {
        let mut finite_probe = Dual::default();
        let Some(b) = self.errors.panels::<NR>(panel) else { return finite_probe };
        for pair in 0..self.by_pair.len() {
            let (mut first, mut second) =
                (zeros::<G::Vector, P, NR>(), zeros::<G::Vector, P, NR>());
            for entry in self.by_pair.row(pair) {
                let [x, y] = &entry.factor;
                let (x, y) = (G::Vector::splat(*x), G::Vector::splat(*y));
                let Some(errors) = row_of(&b, entry.position.into()) else { break };
                for ((first, second), error) in first.iter_mut().zip(&mut second).zip(errors) {
                    *first = *first + error.scaled(x);
                    *second = *second + error.scaled(y);
                }
            }
            let (rows, is_pair) = ([first, second], 2 * pair + 1 < self.inputs);
            self.update.update_pair(2 * pair, panel, rows, is_pair, &mut finite_probe);
        }
        self.update.update_biases(panel, &b, self.examples, &mut finite_probe);
        finite_probe
    }
}
