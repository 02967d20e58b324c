//! The step back's pass over one layer's parameters and adjoints, in column panels.

use super::gemm::PanelPass;
use super::layout::Slots;
use super::matrix::split_mut;
use super::transposed::{Point, TransposedRule, Values, halves};
use crate::dual::{Dual, each};
use crate::real::Real;
use crate::vector::Vector;

/// The pass that finds the directions for the product with the Hessian.
pub const SEED: u8 = 1;
/// The pass that takes the adjoints through the rule.
pub const TRANSPOSE: u8 = 2;
/// The latter, and the directions of the next step back.
pub const BOTH: u8 = SEED | TRANSPOSE;

/// One layer's part of a pass over parameters, state and adjoints, in column panels.
pub struct Sweep<'a, V: Vector, R, const S: usize, const D: usize, const PASS: u8> {
    /// The rules of the weights and those of the biases: of this step back, and of the one whose
    /// directions are found.
    pub rules: [[&'a R; 2]; 2],
    /// Rows of the parameters: inputs + 1, the biases last.
    pub rows: usize,
    /// Of the network with one tangent: the gradient, with the product with the Hessian as its
    /// tangent; then the parameters, with the direction.
    pub theta: &'a mut [Dual<V, 1>],
    /// The gradient, where the rule needs it beforehand.
    pub gradients: &'a [Dual<V, 0>],
    /// The values before this step, and before the one whose directions are found.
    pub at: [Values<'a, V, S>; 2],
    pub adjoints: &'a mut [Dual<V, 0>],
    pub adjoints_of_state: &'a mut [Slots<Dual<V, 0>, S>],
    pub sums: &'a mut [[V; D]],
}

impl<V, R, const S: usize, const D: usize, const PASS: u8> PanelPass<V, 0>
    for Sweep<'_, V, R, S, D, PASS>
where
    V: Vector,
    R: TransposedRule<V, S, D>,
{
    /// More than there are: one panel at a time, since memory is what it waits for.
    const ACCUMULATORS: usize = usize::MAX;

    fn label(&self) -> &'static str {
        match PASS {
            SEED => "seeds of the step back",
            _ => "adjoints",
        }
    }

    fn flops(&self, panels: usize) -> u64 {
        let numbers = (self.rows * panels * V::LANES) as u64;
        match PASS {
            SEED => numbers,
            TRANSPOSE => numbers * R::FLOPS,
            _ => numbers * (1 + R::FLOPS),
        }
    }

    fn resident_bytes(&self) -> usize {
        0
    }

    fn split(self, panels: usize) -> (Self, Self) {
        let at = panels * self.rows;
        let (theta, other_theta) = split_mut(self.theta, self.rows, panels);
        let (gradients, other_gradients) = halves(self.gradients, at);
        let [this, next] = self.at;
        let ((this, other), (next, other_next)) = (this.split(at), next.split(at));
        let (adjoints, other_adjoints) = split_mut(self.adjoints, self.rows, panels);
        let (of_state, others_of_state) = split_mut(self.adjoints_of_state, self.rows, panels);
        let (sums, other_sums) = split_mut(self.sums, 1, panels);
        let first = Self {
            theta,
            gradients,
            at: [this, next],
            adjoints,
            adjoints_of_state: of_state,
            sums,
            ..self
        };
        let second = Self {
            rules: self.rules,
            rows: self.rows,
            theta: other_theta,
            gradients: other_gradients,
            at: [other, other_next],
            adjoints: other_adjoints,
            adjoints_of_state: others_of_state,
            sums: other_sums,
        };
        (first, second)
    }

    #[inline(always)]
    fn compute<const NR: usize>(&mut self, panel: usize) -> Dual<V, 0> {
        let range = panel * self.rows..(panel + 1) * self.rows;
        let gradients = self.gradients.get(range.clone()).unwrap_or_default();
        let [at, at_next] = self.at.map(|values| values.range(range.clone()));
        let (Some(theta), Some(adjoints), Some(of_state)) = (
            self.theta.get_mut(range.clone()),
            self.adjoints.get_mut(range.clone()),
            self.adjoints_of_state.get_mut(range),
        ) else {
            return Dual::default();
        };
        let [weights, biases] = self.rules;
        let adjoints = adjoints.iter_mut().zip(of_state);
        let mut probe = V::default();
        let mut sums = [V::default(); D];
        for (row, (theta, (adjoint, of_state))) in theta.iter_mut().zip(adjoints).enumerate() {
            let [rule, next] = if row + 1 == self.rows { biases } else { weights };
            let state = each(of_state.0, |slot| slot.value);
            let mut adjoints = Point { parameter: adjoint.value, state };
            if PASS & TRANSPOSE > 0 {
                let (before, by) = rule.transpose(at.point(row), *theta, adjoints);
                for (sum, by) in sums.iter_mut().zip(by) {
                    *sum = *sum + by;
                }
                probe = before.state.into_iter().fold(probe + before.parameter, |sum, x| sum + x);
                *adjoint = Dual::constant(before.parameter);
                *of_state = Slots(each(before.state, Dual::constant));
                adjoints = before;
            }
            if PASS & SEED > 0 {
                let gradient = gradients.get(row).map_or(V::default(), |gradient| gradient.value);
                let at = at_next.point(row);
                let tangents = [next.seed(at, gradient, adjoints)];
                *theta = Dual { value: at.parameter, tangents };
            }
        }
        if PASS & TRANSPOSE > 0
            && let Some(place) = self.sums.get_mut(panel)
        {
            *place = sums;
        }
        Dual::constant(probe * V::splat(V::Scalar::ZERO))
    }
}
