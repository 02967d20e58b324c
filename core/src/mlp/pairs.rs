//! The products of the first layer, whose factors are pairs of inputs.

use super::factor::Factor;
use super::fold::Fold;
use super::matrix::{Matrix, across, columns_mut, split_mut};
use super::panels::Panel;
use super::sparse::Rows;
use super::target::{Descent, Target, zeros};
use crate::dual::Dual;
use crate::vector::Vector;

/// Pre-activations: for each example the bias + Σ input × row of weights.
///
/// Weights are read once, row after row, and added to the sums of every example they concern; those stay in the nearest cache,
/// where the weights would not fit.
pub struct Spread<'a, V: Vector, const P: usize> {
    pub examples: usize,
    /// For each pair of inputs the examples in which it is not zero.
    pub pairs: &'a Rows<'a, [V::Scalar; 2]>,
    /// The weights and, in one more row, the biases.
    pub weights: Matrix<'a, V, P>,
    /// Rows of the pre-activations.
    pub rows: usize,
    pub out: &'a mut [Dual<V, P>],
    /// How the last column is folded.
    pub fold: Option<Fold>,
}

impl<V: Vector, const P: usize> Panel<V, P> for Spread<'_, V, P> {
    const ACCUMULATORS: usize = P + 1;

    fn label(&self) -> &'static str {
        "inputs forward"
    }

    fn flops(&self, columns: usize) -> u64 {
        operations::<V, P>(self.pairs, columns, self.fold)
    }

    fn split(self, column: usize) -> (Self, Self) {
        let (first, second) = split_mut(self.out, self.rows, column);
        let (weights, others) = self.weights.split(column);
        (
            Self { weights, out: first, fold: None, ..self },
            Self { weights: others, out: second, ..self },
        )
    }

    #[inline(always)]
    fn bytes(&self) -> usize {
        self.examples * size_of::<Dual<V, P>>()
    }

    #[inline(always)]
    fn panel<const U: usize>(&mut self, column: usize) -> Dual<V, P> {
        match self.fold {
            Some(fold) if U == 1 && (column + 1) * self.rows == self.out.len() => {
                self.folded(column, fold);
            }
            _ => self.spread::<U>(column),
        }
        Dual::default()
    }
}

impl<V: Vector, const P: usize> Spread<'_, V, P> {
    #[inline(always)]
    fn spread<const U: usize>(&mut self, column: usize) {
        let Some(columns) = self.weights.columns::<U>(column) else { return };
        let Some(mut out) = columns_mut::<V, P, U>(self.out, self.rows, column) else { return };
        let bias = self.weights.rows.saturating_sub(1);
        for (out, weights) in out.iter_mut().zip(&columns) {
            let (Some(out), Some(bias)) = (out.get_mut(..self.examples), weights.get(bias)) else {
                return;
            };
            out.fill(*bias);
        }
        for pair in 0..self.pairs.len() {
            // Of an odd number of inputs the last pair's second row is the biases, and its factor zero.
            let (first, second) = (across(&columns, 2 * pair), across(&columns, 2 * pair + 1));
            let (Some(first), Some(second)) = (first, second) else { return };
            let (first, second) = (first.map(|w| *w), second.map(|w| *w));
            for entry in self.pairs.row(pair) {
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

    /// The same for one column, its planes folded into one.
    #[inline(always)]
    fn folded(&mut self, column: usize, fold: Fold) {
        let Some([weights]) = self.weights.columns::<1>(column) else { return };
        let Some([out]) = columns_mut::<V, P, 1>(self.out, self.rows, column) else { return };
        let (Some(out), Some(bias)) = (out.get_mut(..self.examples), weights.last()) else {
            return;
        };
        let bias = fold.fold(bias);
        out.iter_mut().for_each(|out| out.value = bias);
        for (pair, rows) in weights.chunks(2).enumerate().take(self.pairs.len()) {
            let [first, second] = match rows {
                [first, second, ..] => [first, second].map(|row| fold.fold(row)),
                _ => return,
            };
            for entry in self.pairs.row(pair) {
                let [a, b] = entry.factor.map(V::splat);
                let Some(sum) = out.get_mut(usize::from(entry.position)) else { return };
                sum.value = sum.value + first * a + second * b;
            }
        }
        out.iter_mut().for_each(|out| *out = fold.unfold(out.value));
    }
}

/// A multiplication and an addition for each input of each pair, and each lane: of a folded column those of one plane.
fn operations<V: Vector, const P: usize>(
    pairs: &Rows<'_, [V::Scalar; 2]>,
    columns: usize,
    fold: Option<Fold>,
) -> u64 {
    let vectors = columns * (P + 1) - if fold.is_some() { P } else { 0 };
    pairs.entries(pairs.len()) * 4 * (vectors * V::LANES) as u64
}

/// The gradient Σ input × error of each weight, and the descent along it.
pub struct Gradient<'a, V: Vector, M, const P: usize> {
    /// For each pair of inputs the examples in which it is not zero.
    pub pairs: &'a Rows<'a, [V::Scalar; 2]>,
    /// How many inputs there are.
    pub inputs: usize,
    pub errors: Matrix<'a, V, P>,
    pub descent: Descent<'a, V, M, P>,
}

impl<V: Vector, M: Factor<V, P>, const P: usize> Panel<V, P> for Gradient<'_, V, M, P> {
    const ACCUMULATORS: usize = P + 1;

    fn label(&self) -> &'static str {
        "inputs gradient and update"
    }

    fn flops(&self, columns: usize) -> u64 {
        operations::<V, P>(self.pairs, columns, None) + self.descent.flops(columns)
    }

    fn split(self, column: usize) -> (Self, Self) {
        let (first, second) = self.descent.split(column);
        let (errors, others) = self.errors.split(column);
        (Self { errors, descent: first, ..self }, Self { errors: others, descent: second, ..self })
    }

    #[inline(always)]
    fn bytes(&self) -> usize {
        self.descent.examples * size_of::<Dual<V, P>>()
    }

    #[inline(always)]
    fn panel<const U: usize>(&mut self, column: usize) -> Dual<V, P> {
        let mut poison = Dual::default();
        let Some(columns) = self.errors.columns::<U>(column) else { return poison };
        for pair in 0..self.pairs.len() {
            let (mut first, mut second) = (zeros::<V, P, U>(), zeros::<V, P, U>());
            for entry in self.pairs.row(pair) {
                let [a, b] = &entry.factor;
                let (a, b) = (V::splat(*a), V::splat(*b));
                let Some(errors) = across(&columns, entry.position.into()) else { break };
                for ((first, second), error) in first.iter_mut().zip(&mut second).zip(errors) {
                    *first = *first + error.scaled(a);
                    *second = *second + error.scaled(b);
                }
            }
            self.descent.finish(2 * pair, column, first, &mut poison);
            if 2 * pair + 1 < self.inputs {
                self.descent.finish(2 * pair + 1, column, second, &mut poison);
            }
        }
        self.descent.end(&columns, column, &mut poison);
        poison
    }
}
