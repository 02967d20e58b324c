//! Where sums start and where they go.

use super::matrix::Matrix;
use super::terms::Factor;
use crate::dual::Dual;
use crate::real::Real;
use crate::vector::Vector;

/// Where the sums of a product start and where they go.
pub trait Target<V, const P: usize> {
    /// What the `U` blocks of `row` from block `column` on start from.
    fn start<const U: usize>(&self, row: usize, column: usize) -> [Dual<V, P>; U];
    /// Takes the finished sums.
    fn finish<const U: usize>(&mut self, row: usize, column: usize, sums: [Dual<V, P>; U]);
}

/// Pre-activations: from the bias, or from what is there already, into the activations.
pub struct Forward<'a, V, const P: usize> {
    /// Where the bias lies, for the first terms of each sum.
    pub bias: Option<(Matrix<'a, V, P>, usize)>,
    pub rows: usize,
    pub out: &'a mut [Dual<V, P>],
}

impl<V: Vector, const P: usize> Target<V, P> for Forward<'_, V, P> {
    #[inline(always)]
    fn start<const U: usize>(&self, row: usize, column: usize) -> [Dual<V, P>; U] {
        match self.bias {
            Some((matrix, bias)) => blocks(matrix.elements, matrix.rows, bias, column),
            None => blocks(self.out, self.rows, row, column),
        }
    }
    #[inline(always)]
    fn finish<const U: usize>(&mut self, row: usize, column: usize, sums: [Dual<V, P>; U]) {
        for (u, sum) in sums.into_iter().enumerate() {
            if let Some(out) = self.out.get_mut((column + u) * self.rows + row) {
                *out = sum;
            }
        }
    }
}

/// Errors of the layer below: kept where its pre-activation, which they replace, is above zero.
pub struct Backward<'a, V, const P: usize> {
    pub rows: usize,
    pub activations: &'a mut [Dual<V, P>],
}

impl<V: Vector, const P: usize> Target<V, P> for Backward<'_, V, P> {
    #[inline(always)]
    fn start<const U: usize>(&self, _: usize, _: usize) -> [Dual<V, P>; U] {
        zeros()
    }
    #[inline(always)]
    fn finish<const U: usize>(&mut self, row: usize, column: usize, sums: [Dual<V, P>; U]) {
        for (u, sum) in sums.into_iter().enumerate() {
            if let Some(z) = self.activations.get_mut((column + u) * self.rows + row) {
                let gate = z.value;
                *z = sum.map(|plane| plane.gated(gate));
            }
        }
    }
}

/// SGD with momentum on the gradient while it is in registers: v ← μ v − α g, θ ← θ + v.
pub struct Descent<'a, V, M, const P: usize> {
    pub learning_rate: Dual<V, P>,
    pub momentum: M,
    /// Rows of the parameters, and which of them the product's row 0 is.
    pub rows: usize,
    pub first: usize,
    pub parameters: &'a mut [Dual<V, P>],
    pub velocity: &'a mut [Dual<V, P>],
    /// 0·θ summed over everything updated: zero as long as all of it is finite, NaN from then on.
    pub poison: Dual<V, P>,
}

impl<V: Vector, M: Factor<V, P>, const P: usize> Target<V, P> for Descent<'_, V, M, P> {
    #[inline(always)]
    fn start<const U: usize>(&self, _: usize, _: usize) -> [Dual<V, P>; U] {
        zeros()
    }
    #[inline(always)]
    fn finish<const U: usize>(&mut self, row: usize, column: usize, gradient: [Dual<V, P>; U]) {
        let zero = V::splat(V::Scalar::ZERO);
        for (u, g) in gradient.into_iter().enumerate() {
            let at = (column + u) * self.rows + self.first + row;
            if let (Some(theta), Some(v)) = (self.parameters.get_mut(at), self.velocity.get_mut(at))
            {
                *v = self.momentum.times(*v) - g * self.learning_rate;
                *theta = *theta + *v;
                self.poison = self.poison + theta.scaled(zero);
            }
        }
    }
}

#[inline(always)]
fn zeros<V: Vector, const P: usize, const U: usize>() -> [Dual<V, P>; U] {
    [Dual::constant(V::splat(V::Scalar::ZERO)); U]
}

/// `U` blocks of `row` from block `column` on, where a column has `rows` blocks.
#[inline(always)]
fn blocks<V: Vector, const P: usize, const U: usize>(
    elements: &[Dual<V, P>],
    rows: usize,
    row: usize,
    column: usize,
) -> [Dual<V, P>; U] {
    let mut out = zeros();
    for (u, out) in out.iter_mut().enumerate() {
        if let Some(block) = elements.get((column + u) * rows + row) {
            *out = *block;
        }
    }
    out
}
