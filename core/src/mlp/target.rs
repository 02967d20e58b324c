//! Where sums start and where they go.

use super::factor::Factor;
use super::matrix::Matrix;
use crate::dual::Dual;
use crate::real::Real;
use crate::vector::Vector;

/// Where the sums of a product start and where they go.
pub trait Target<V, const P: usize> {
    /// What is gathered from all finished sums.
    type Tally: Default;
    /// What the `U` blocks of `row` from block `column` on start from.
    fn start<const U: usize>(&self, row: usize, column: usize) -> [Dual<V, P>; U];
    /// Takes the finished sums.
    fn finish<const U: usize>(
        &mut self,
        row: usize,
        column: usize,
        sums: [Dual<V, P>; U],
        tally: &mut Self::Tally,
    );
    /// Is shown the `U` columns of the matrix from number `column` on, when all their rows are finished, and given the tally.
    #[inline(always)]
    fn end<const U: usize>(
        &mut self,
        _columns: &[&[Dual<V, P>]; U],
        _column: usize,
        _tally: Self::Tally,
    ) {
    }
}

/// Pre-activations, from the bias, into the activations.
pub struct Forward<'a, V, const P: usize> {
    /// The weights and, in one more row, the biases.
    pub weights: Matrix<'a, V, P>,
    pub rows: usize,
    pub out: &'a mut [Dual<V, P>],
}

impl<V: Vector, const P: usize> Target<V, P> for Forward<'_, V, P> {
    type Tally = ();
    #[inline(always)]
    fn start<const U: usize>(&self, _: usize, column: usize) -> [Dual<V, P>; U] {
        let mut out = zeros();
        for (u, out) in out.iter_mut().enumerate() {
            if let Some(bias) = self.weights.elements.get((column + u + 1) * self.weights.rows - 1)
            {
                *out = *bias;
            }
        }
        out
    }
    #[inline(always)]
    fn finish<const U: usize>(
        &mut self,
        row: usize,
        column: usize,
        sums: [Dual<V, P>; U],
        _: &mut (),
    ) {
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
    type Tally = ();
    #[inline(always)]
    fn start<const U: usize>(&self, _: usize, _: usize) -> [Dual<V, P>; U] {
        zeros()
    }
    #[inline(always)]
    fn finish<const U: usize>(
        &mut self,
        row: usize,
        column: usize,
        sums: [Dual<V, P>; U],
        _: &mut (),
    ) {
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
    /// How many examples there are.
    pub examples: usize,
    /// Rows of the parameters, the last of them the biases.
    pub rows: usize,
    pub parameters: &'a mut [Dual<V, P>],
    pub velocity: &'a mut [Dual<V, P>],
    /// 0·θ summed over everything updated: zero as long as all of it is finite, NaN from then on.
    pub poison: Dual<V, P>,
}

impl<V: Vector, M: Factor<V, P>, const P: usize> Target<V, P> for Descent<'_, V, M, P> {
    /// See [`poison`](Self::poison). It is kept in registers here; in memory each addition would wait for the last.
    type Tally = Dual<V, P>;
    #[inline(always)]
    fn start<const U: usize>(&self, _: usize, _: usize) -> [Dual<V, P>; U] {
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
                *v = self.momentum.times(*v) - g * self.learning_rate;
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
        mut poison: Dual<V, P>,
    ) {
        let mut sums = zeros::<V, P, U>();
        for (sum, errors) in sums.iter_mut().zip(columns) {
            for error in errors.iter().take(self.examples) {
                *sum = *sum + *error;
            }
        }
        self.finish(self.rows.saturating_sub(1), column, sums, &mut poison);
        self.poison = self.poison + poison;
    }
}

/// Where every sum without another start begins.
#[inline(always)]
pub fn zeros<V: Vector, const P: usize, const U: usize>() -> [Dual<V, P>; U] {
    [Dual::constant(V::splat(V::Scalar::ZERO)); U]
}
