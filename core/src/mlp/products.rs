//! The products Z = H·W + b, dH = (dZ·Wᵀ) ⊙ [Z > 0], dW = Hᵀ·dZ, each with its fused epilogue.
//!
//! The first two come twice: a dense A takes all of k at once, MR rows at a time; a sparse one
//! takes k in blocks, row by row.

use super::blocking::{k_ranges, resident_bytes};
use super::gemm::{PanelPass, flops, load, microkernel, store, zeros};
use super::lhs::Lhs;
use super::mask::{BITS, Mask};
use super::matrix::{Matrix, opaque_index, split_mut};
use super::update::{LayerUpdate, UpdateRule};
use crate::backend::Backend;
use crate::dual::Dual;
use crate::vector::Vector;

/// Z[m × n] = H[m × k]·W[k × n] + b, with m examples.
pub struct Forward<'a, V, A, const P: usize, const MR: usize> {
    pub label: &'static str,
    pub examples: usize,
    /// H.
    pub a: A,
    /// W and, as last row, b.
    pub weights: Matrix<'a, V, P>,
    /// Rows of `out`.
    pub rows: usize,
    pub out: &'a mut [Dual<V, P>],
}

impl<V: Vector, A: Lhs<V, P>, const P: usize, const MR: usize> PanelPass<V, P>
    for Forward<'_, V, A, P, MR>
{
    const ACCUMULATORS: usize = (P + 1) * MR;
    fn label(&self) -> &'static str {
        self.label
    }
    fn flops(&self, panels: usize) -> u64 {
        flops(&self.a, self.examples, panels)
    }
    fn resident_bytes(&self) -> usize {
        resident_bytes::<V, P>(self.weights.rows, true)
    }
    fn split(self, panels: usize) -> (Self, Self) {
        let (weights, rest) = self.weights.split(panels);
        let (out, others) = split_mut(self.out, self.rows, panels);
        (Self { weights, out, ..self }, Self { weights: rest, out: others, ..self })
    }

    #[inline(always)]
    fn compute<const NR: usize>(&mut self, panel: usize) -> Dual<V, P> {
        if let Some(b) = self.weights.panels::<NR>(panel) {
            if MR == 1 { self.sparse(panel, &b) } else { self.dense(panel, &b) }
        }
        Dual::default()
    }
}

impl<V: Vector, A: Lhs<V, P>, const P: usize, const MR: usize> Forward<'_, V, A, P, MR> {
    /// b of NR panels: the last row of W.
    #[inline(always)]
    fn biases<const NR: usize>(&self, panel: usize) -> [Dual<V, P>; NR] {
        let rows = self.weights.rows;
        load(self.weights.elements, (panel + 1) * rows - 1, rows)
    }

    #[inline(always)]
    fn dense<const NR: usize>(&mut self, panel: usize, b: &[&[Dual<V, P>]; NR]) {
        let (a, at) = (self.a, panel * self.rows);
        let tiled = self.examples - self.examples % MR;
        for row in (0..tiled).step_by(MR) {
            let mut tile = [self.biases(panel); MR];
            microkernel(&mut tile, &a, row, 0..a.k_blocks(), b);
            for (r, sums) in tile.iter().enumerate() {
                store(self.out, at + row + r, self.rows, sums);
            }
        }
        for row in tiled..self.examples {
            let mut tile = [self.biases(panel)];
            microkernel(&mut tile, &a, row, 0..a.k_blocks(), b);
            store(self.out, at + row, self.rows, &tile[0]);
        }
    }

    #[inline(always)]
    fn sparse<const NR: usize>(&mut self, panel: usize, b: &[&[Dual<V, P>]; NR]) {
        let a = self.a;
        for k_blocks in k_ranges::<V, P, NR>(self.weights.rows, A::K_BLOCK, a.k_blocks()) {
            for row in 0..self.examples {
                let at = panel * self.rows + row;
                let mut tile = [match k_blocks.start {
                    0 => self.biases(panel),
                    _ => load(self.out, at, self.rows),
                }];
                microkernel(&mut tile, &a, row, k_blocks.clone(), b);
                store(self.out, at, self.rows, &tile[0]);
            }
        }
    }
}

/// dH[m × n] = dZ[m × k]·Wᵀ[k × n] where the unit is active, else 0; it takes the place of H.
///
/// The epilogue compares H with zero while the sums are in registers.
pub struct InputGradient<'a, V, A, const P: usize, const MR: usize> {
    pub examples: usize,
    /// dZ.
    pub a: A,
    /// Wᵀ.
    pub transposed: Matrix<'a, V, P>,
    /// Rows of `activations`.
    pub rows: usize,
    /// H, then dH.
    pub activations: &'a mut [Dual<V, P>],
}

impl<V: Vector, A: Lhs<V, P>, const P: usize, const MR: usize> PanelPass<V, P>
    for InputGradient<'_, V, A, P, MR>
{
    const ACCUMULATORS: usize = (P + 1) * MR;
    fn label(&self) -> &'static str {
        "hidden errors"
    }
    fn flops(&self, panels: usize) -> u64 {
        flops(&self.a, self.examples, panels)
    }
    fn resident_bytes(&self) -> usize {
        resident_bytes::<V, P>(self.transposed.rows, false)
    }
    fn split(self, panels: usize) -> (Self, Self) {
        let (transposed, rest) = self.transposed.split(panels);
        let (activations, others) = split_mut(self.activations, self.rows, panels);
        let second = Self { transposed: rest, activations: others, ..self };
        (Self { transposed, activations, ..self }, second)
    }

    #[inline(always)]
    fn compute<const NR: usize>(&mut self, panel: usize) -> Dual<V, P> {
        let Some(b) = self.transposed.panels::<NR>(panel) else { return Dual::default() };
        let (a, at) = (self.a, panel * self.rows);
        let tiled = self.examples - self.examples % MR;
        for row in (0..tiled).step_by(MR) {
            let mut tile = [zeros(); MR];
            microkernel(&mut tile, &a, row, 0..a.k_blocks(), &b);
            for (r, sums) in tile.iter().enumerate() {
                self.store_active(at + row + r, sums);
            }
        }
        for row in tiled..self.examples {
            let mut tile = [zeros()];
            microkernel(&mut tile, &a, row, 0..a.k_blocks(), &b);
            self.store_active(at + row, &tile[0]);
        }
        Dual::default()
    }
}

impl<V: Vector, A, const P: usize, const MR: usize> InputGradient<'_, V, A, P, MR> {
    #[inline(always)]
    fn store_active<const NR: usize>(&mut self, at: usize, sums: &[Dual<V, P>; NR]) {
        for (u, sum) in sums.iter().enumerate() {
            let mut sum = *sum;
            if let Some(h) = self.activations.get_mut(at + u * self.rows) {
                sum.value = sum.value.select_positive(h.value);
                for tangent in &mut sum.tangents {
                    *tangent = tangent.select_positive(h.value);
                }
                *h = sum;
            }
        }
    }
}

/// The same for a sparse A with k in blocks: partial sums overwrite H, and the mask selects at the
/// end.
pub struct BlockedInputGradient<'a, V, A, const P: usize> {
    pub examples: usize,
    /// dZ.
    pub a: A,
    /// Wᵀ.
    pub transposed: Matrix<'a, V, P>,
    /// Rows of `activations`.
    pub rows: usize,
    /// H, then dH.
    pub activations: &'a mut [Dual<V, P>],
    /// Active units of each example.
    pub active: &'a Mask<'a>,
    /// Unit in the first lane of the first panel.
    pub first_unit: usize,
}

impl<V: Vector, A: Lhs<V, P>, const P: usize> PanelPass<V, P>
    for BlockedInputGradient<'_, V, A, P>
{
    const ACCUMULATORS: usize = P + 1;
    fn label(&self) -> &'static str {
        "hidden errors"
    }
    fn flops(&self, panels: usize) -> u64 {
        flops(&self.a, self.examples, panels)
    }
    fn resident_bytes(&self) -> usize {
        resident_bytes::<V, P>(self.transposed.rows, true)
    }
    fn split(self, panels: usize) -> (Self, Self) {
        let (transposed, rest) = self.transposed.split(panels);
        let (activations, others) = split_mut(self.activations, self.rows, panels);
        let first_unit = self.first_unit + panels * V::LANES;
        let second = Self { transposed: rest, activations: others, first_unit, ..self };
        (Self { transposed, activations, ..self }, second)
    }

    #[inline(always)]
    fn compute<const NR: usize>(&mut self, panel: usize) -> Dual<V, P> {
        let Some(b) = self.transposed.panels::<NR>(panel) else { return Dual::default() };
        let a = self.a;
        for k_blocks in k_ranges::<V, P, NR>(self.transposed.rows, A::K_BLOCK, a.k_blocks()) {
            for row in 0..self.examples {
                let at = panel * self.rows + row;
                let mut tile = [match k_blocks.start {
                    0 => zeros(),
                    _ => load(self.activations, at, self.rows),
                }];
                microkernel(&mut tile, &a, row, k_blocks.clone(), &b);
                store(self.activations, at, self.rows, &tile[0]);
            }
        }
        for panel in panel..panel + NR {
            self.select_active(panel);
        }
        Dual::default()
    }
}

impl<V: Vector, A, const P: usize> BlockedInputGradient<'_, V, A, P> {
    #[inline(always)]
    fn select_active(&mut self, panel: usize) {
        let unit = self.first_unit + panel * V::LANES;
        for row in 0..self.rows {
            let gate = V::from_mask(self.active.word(row, unit / BITS) >> (unit % BITS));
            let at = opaque_index::<V>(panel * self.rows + row);
            if let Some(sum) = self.activations.get_mut(at) {
                *sum = sum.map(|plane| plane.select_positive(gate));
            }
        }
    }
}

/// dW[m × n] = Hᵀ[m × k]·dZ[k × n], with m inputs and k examples; the epilogue is the step of
/// the optimiser.
pub struct WeightGradient<'a, G: Backend, A, R, const P: usize, const S: usize, const MR: usize> {
    pub inputs: usize,
    pub examples: usize,
    /// Hᵀ.
    pub a: A,
    /// dZ.
    pub errors: Matrix<'a, G::Vector, P>,
    pub update: LayerUpdate<'a, G, R, P, S>,
}

impl<G, A, R, const P: usize, const S: usize, const MR: usize> PanelPass<G::Vector, P>
    for WeightGradient<'_, G, A, R, P, S, MR>
where
    G: Backend,
    A: Lhs<G::Vector, P>,
    R: UpdateRule<G::Vector, P, S>,
{
    const ACCUMULATORS: usize = (P + 1) * MR;
    fn label(&self) -> &'static str {
        "hidden gradient and update"
    }
    fn flops(&self, panels: usize) -> u64 {
        flops(&self.a, self.inputs, panels) + self.update.flops(self.examples, panels)
    }
    fn resident_bytes(&self) -> usize {
        resident_bytes::<G::Vector, P>(self.errors.rows, false)
    }
    fn split(self, panels: usize) -> (Self, Self) {
        let (errors, others) = self.errors.split(panels);
        let (first, second) = self.update.split(panels);
        (Self { errors, update: first, ..self }, Self { errors: others, update: second, ..self })
    }

    #[inline(always)]
    fn compute<const NR: usize>(&mut self, panel: usize) -> Dual<G::Vector, P> {
        let mut finite_probe = Dual::default();
        let Some(b) = self.errors.panels::<NR>(panel) else { return finite_probe };
        let a = self.a;
        let tiled = self.inputs - self.inputs % MR;
        for row in (0..tiled).step_by(MR) {
            let mut tile = [zeros(); MR];
            microkernel(&mut tile, &a, row, 0..a.k_blocks(), &b);
            self.update.update(row, panel, tile, &mut finite_probe);
        }
        for row in tiled..self.inputs {
            let mut tile = [zeros()];
            microkernel(&mut tile, &a, row, 0..a.k_blocks(), &b);
            self.update.update(row, panel, tile, &mut finite_probe);
        }
        self.update.update_biases(panel, &b, self.examples, &mut finite_probe);
        finite_probe
    }
}
