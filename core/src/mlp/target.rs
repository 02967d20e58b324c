//! Where sums start and where they go.

use super::factor::Factor;
use super::mask::{BITS, Mask};
use super::matrix::{Matrix, single, split_mut};
use crate::dual::Dual;
use crate::real::Real;
use crate::vector::Vector;

/// Where the sums of a product start and where they go.
pub trait Target<V, const P: usize>: Send + Sized {
    /// What the work is called in a table of times.
    fn label(&self) -> &'static str;
    /// How many operations it does besides the sums, for `columns` columns.
    fn flops(&self, _columns: usize) -> u64 {
        0
    }
    /// The target of the first `column` columns, and that of the others, which are counted from zero again.
    fn split(self, column: usize) -> (Self, Self);
    /// What the `U` blocks of each row from block `column` on start from.
    fn start<const U: usize>(&self, column: usize) -> [Dual<V, P>; U];
    /// Whether sums that are not finished can wait in it: [`pause`](Self::pause) and [`resume`](Self::resume).
    const PATIENT: bool = false;
    /// Takes sums that are not finished.
    #[inline(always)]
    fn pause<const U: usize>(&mut self, _row: usize, _column: usize, _sums: [Dual<V, P>; U]) {}
    /// What `pause` took.
    #[inline(always)]
    fn resume<const U: usize>(&self, _row: usize, column: usize) -> [Dual<V, P>; U] {
        self.start(column)
    }
    /// Takes the finished sums. To `poison` it adds 0·(every parameter it updates): zero as long as all of them are finite,
    /// NaN from then on. The sum is the caller's, so that it stays in registers; in memory each addition would wait for the last.
    fn finish<const U: usize>(
        &mut self,
        row: usize,
        column: usize,
        sums: [Dual<V, P>; U],
        poison: &mut Dual<V, P>,
    );
    /// Is shown the `U` columns of the matrix from number `column` on, when all their rows are finished.
    #[inline(always)]
    fn end<const U: usize>(
        &mut self,
        _columns: &[&[Dual<V, P>]; U],
        _column: usize,
        _poison: &mut Dual<V, P>,
    ) {
    }
}

/// Pre-activations, from the bias, into the activations.
pub struct Forward<'a, V, const P: usize> {
    /// The weights and, in one more row, the biases.
    pub weights: Matrix<'a, V, P>,
    pub rows: usize,
    pub out: &'a mut [Dual<V, P>],
    /// Whether it is the first layer.
    pub inputs: bool,
}

impl<V: Vector, const P: usize> Target<V, P> for Forward<'_, V, P> {
    fn label(&self) -> &'static str {
        if self.inputs { "inputs forward" } else { "hidden forward" }
    }
    fn split(self, column: usize) -> (Self, Self) {
        let (out, others) = split_mut(self.out, self.rows, column);
        let (weights, of_others) = self.weights.split(column);
        (Self { weights, out, ..self }, Self { weights: of_others, out: others, ..self })
    }
    #[inline(always)]
    fn start<const U: usize>(&self, column: usize) -> [Dual<V, P>; U] {
        let mut out = zeros();
        for (u, out) in out.iter_mut().enumerate() {
            if let Some(bias) = self.weights.elements.get((column + u + 1) * self.weights.rows - 1)
            {
                *out = *bias;
            }
        }
        out
    }
    const PATIENT: bool = true;
    #[inline(always)]
    fn pause<const U: usize>(&mut self, row: usize, column: usize, sums: [Dual<V, P>; U]) {
        put(self.out, column * self.rows + row, self.rows, sums);
    }
    #[inline(always)]
    fn resume<const U: usize>(&self, row: usize, column: usize) -> [Dual<V, P>; U] {
        taken(self.out, column * self.rows + row, self.rows)
    }
    #[inline(always)]
    fn finish<const U: usize>(
        &mut self,
        row: usize,
        column: usize,
        sums: [Dual<V, P>; U],
        _: &mut Dual<V, P>,
    ) {
        self.pause(row, column, sums);
    }
}

/// Errors of the layer below: kept where its unit is active. They take the place of its activations: at once, and gated by them,
/// or so that sums can wait there, and gated by the `MASK` when all are finished.
pub struct Backward<'a, V, const P: usize, const MASK: bool> {
    rows: usize,
    activations: &'a mut [Dual<V, P>],
    /// Which units are active.
    active: &'a Mask<'a>,
    /// The unit with which the first column begins.
    first: usize,
}

impl<'a, V, const P: usize, const MASK: bool> Backward<'a, V, P, MASK> {
    pub fn new(rows: usize, activations: &'a mut [Dual<V, P>], active: &'a Mask<'a>) -> Self {
        Self { rows, activations, active, first: 0 }
    }
}

impl<V: Vector, const P: usize, const MASK: bool> Target<V, P> for Backward<'_, V, P, MASK> {
    fn label(&self) -> &'static str {
        "hidden errors"
    }
    fn split(self, column: usize) -> (Self, Self) {
        let (activations, others) = split_mut(self.activations, self.rows, column);
        let first = self.first + column * V::LANES;
        (Self { activations, ..self }, Self { activations: others, first, ..self })
    }
    #[inline(always)]
    fn start<const U: usize>(&self, _: usize) -> [Dual<V, P>; U] {
        zeros()
    }
    const PATIENT: bool = MASK;
    #[inline(always)]
    fn pause<const U: usize>(&mut self, row: usize, column: usize, sums: [Dual<V, P>; U]) {
        put(self.activations, column * self.rows + row, self.rows, sums);
    }
    #[inline(always)]
    fn resume<const U: usize>(&self, row: usize, column: usize) -> [Dual<V, P>; U] {
        taken(self.activations, column * self.rows + row, self.rows)
    }
    #[inline(always)]
    fn finish<const U: usize>(
        &mut self,
        row: usize,
        column: usize,
        sums: [Dual<V, P>; U],
        _: &mut Dual<V, P>,
    ) {
        if MASK {
            return self.pause(row, column, sums);
        }
        for (u, mut sum) in sums.into_iter().enumerate() {
            if let Some(z) = self.activations.get_mut((column + u) * self.rows + row) {
                sum.value = sum.value.select_positive(z.value);
                for tangent in &mut sum.tangents {
                    *tangent = tangent.select_positive(z.value);
                }
                *z = sum;
            }
        }
    }
    #[inline(always)]
    fn end<const U: usize>(&mut self, _: &[&[Dual<V, P>]; U], column: usize, _: &mut Dual<V, P>) {
        if !MASK {
            return;
        }
        for column in column..column + U {
            let unit = self.first + column * V::LANES;
            for row in 0..self.rows {
                let bits = self.active.word(row, unit / BITS) >> (unit % BITS);
                let gate = V::from_mask(bits);
                if let Some(sum) = self.activations.get_mut(single::<V>(column * self.rows + row)) {
                    *sum = sum.map(|plane| plane.select_positive(gate));
                }
            }
        }
    }
}

/// Puts `sums` into one row of columns of `rows` blocks, the first at `at`.
#[inline(always)]
fn put<V: Vector, const P: usize, const U: usize>(
    out: &mut [Dual<V, P>],
    at: usize,
    rows: usize,
    sums: [Dual<V, P>; U],
) {
    for (u, sum) in sums.into_iter().enumerate() {
        if let Some(out) = out.get_mut(at + u * rows) {
            *out = sum;
        }
    }
}

/// What [`put`] has put there.
#[inline(always)]
fn taken<V: Vector, const P: usize, const U: usize>(
    out: &[Dual<V, P>],
    at: usize,
    rows: usize,
) -> [Dual<V, P>; U] {
    let mut sums = zeros();
    for (u, sum) in sums.iter_mut().enumerate() {
        if let Some(out) = out.get(at + u * rows) {
            *sum = *out;
        }
    }
    sums
}

/// What a gradient is descended with.
#[derive(Clone, Copy)]
pub struct Rates<V, M, const P: usize> {
    pub learning_rate: Dual<V, P>,
    pub momentum: M,
}

/// SGD with momentum on the gradient while it is in registers: v ← μ v − α g, θ ← θ + v.
pub struct Descent<'a, V, M, const P: usize> {
    pub rates: Rates<V, M, P>,
    /// How many examples there are.
    pub examples: usize,
    /// Rows of the parameters, the last of them the biases.
    pub rows: usize,
    pub parameters: &'a mut [Dual<V, P>],
    pub velocity: &'a mut [Dual<V, P>],
}

impl<V: Vector, M: Factor<V, P>, const P: usize> Target<V, P> for Descent<'_, V, M, P> {
    fn label(&self) -> &'static str {
        "hidden gradient and update"
    }
    /// Of each parameter μ v − α g, θ + v and the check, and of each bias the sum of errors.
    fn flops(&self, columns: usize) -> u64 {
        let planes = P as u64 + 1;
        let lanes = (columns * V::LANES) as u64;
        lanes * (self.rows as u64 * (6 + 8 * P as u64) + self.examples as u64 * planes)
    }
    fn split(self, column: usize) -> (Self, Self) {
        let (parameters, others) = split_mut(self.parameters, self.rows, column);
        let (velocity, of_others) = split_mut(self.velocity, self.rows, column);
        (
            Self { parameters, velocity, ..self },
            Self { parameters: others, velocity: of_others, ..self },
        )
    }
    #[inline(always)]
    fn start<const U: usize>(&self, _: usize) -> [Dual<V, P>; U] {
        zeros()
    }
    #[inline(always)]
    fn finish<const U: usize>(
        &mut self,
        row: usize,
        column: usize,
        gradient: [Dual<V, P>; U],
        poison: &mut Dual<V, P>,
    ) {
        let zero = V::splat(V::Scalar::ZERO);
        for (u, g) in gradient.into_iter().enumerate() {
            let at = (column + u) * self.rows + row;
            if let (Some(theta), Some(v)) = (self.parameters.get_mut(at), self.velocity.get_mut(at))
            {
                *v = self.rates.momentum.times(*v) - g * self.rates.learning_rate;
                *theta = *theta + *v;
                *poison = *poison + theta.scaled(zero);
            }
        }
    }
    /// The gradient of the biases is the sum of the errors.
    #[inline(always)]
    fn end<const U: usize>(
        &mut self,
        columns: &[&[Dual<V, P>]; U],
        column: usize,
        poison: &mut Dual<V, P>,
    ) {
        let mut sums = zeros::<V, P, U>();
        for (sum, errors) in sums.iter_mut().zip(columns) {
            for error in errors.iter().take(self.examples) {
                *sum = *sum + *error;
            }
        }
        self.finish(self.rows.saturating_sub(1), column, sums, poison);
    }
}

/// Where every sum without another start begins.
#[inline(always)]
pub fn zeros<V: Vector, const P: usize, const U: usize>() -> [Dual<V, P>; U] {
    [Dual::constant(V::splat(V::Scalar::ZERO)); U]
}
