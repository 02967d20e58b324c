//! Lanczos tridiagonal matrix, T × T, of a symmetric map, and its Gauss quadrature; Chebyshev's
//! likewise.

use myopia_core::bilevel::eigen::symmetric;
use myopia_core::bilevel::linear::add_scaled;
use myopia_core::elementary::{Elementary, Libm};
use myopia_core::nqm::Step;
use myopia_core::real::Real;
use myopia_core::sum::sum;

use crate::error::Interrupted;
use crate::quadratic::{Quadratic, Schedule, State};
use crate::tolerances::Control;

/// The matrix of Lanczos's recurrence on a symmetric map; [`new`](Self::new) on the preconditioned
/// curvatures, started with the root mean square of the gradient in a state.
///
/// Each new vector is made orthogonal to all before it, twice: without that conjugate gradient
/// loses its way in rounding, and after twenty steps on a hundred curvatures 1/i it has three times
/// the loss that it should have.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tridiagonal {
    /// The diagonal.
    pub diagonal: Vec<f64>,
    /// The squares of the elements beside it, one fewer.
    pub squares: Vec<f64>,
}

impl Tridiagonal {
    /// After `steps` steps, or as many as there are different curvatures.
    ///
    /// # Errors
    /// When it is interrupted.
    pub fn new(
        quadratic: &Quadratic,
        state: &State,
        steps: usize,
        control: &Control<'_>,
    ) -> Result<Self, Interrupted> {
        let curvatures: Vec<f64> = quadratic.preconditioned_curvatures().collect();
        let shares = quadratic.shares(state).zip(&curvatures);
        let start = shares.map(|(excess, curvature)| Libm::sqrt(excess * curvature)).collect();
        // Relative to the matrix, not to the vector it started from.
        let least = 1e-14 * quadratic.largest_curvature();
        let product = |unit: &[f64]| {
            Ok(unit.iter().zip(&curvatures).map(|(x, curvature)| curvature * x).collect())
        };
        Self::of(start, steps, &|_| least, &|| control.check(), product)
    }

    /// The matrix of the symmetric map `product` after `steps` steps from the vector `start`, or
    /// after fewer: the space is exhausted where what is left of the next vector is no longer than
    /// `least` says for the matrix so far, and only rounding. `check` is asked between products and
    /// may end it.
    ///
    /// # Errors
    /// What `check` and `product` return.
    pub fn of<E>(
        start: Vec<f64>,
        steps: usize,
        least: &dyn Fn(&Self) -> f64,
        check: &dyn Fn() -> Result<(), E>,
        mut product: impl FnMut(&[f64]) -> Result<Vec<f64>, E>,
    ) -> Result<Self, E> {
        let mut next = start;
        let mut basis: Vec<Vec<f64>> = Vec::new();
        let mut found = Self::default();
        let mut first = 0.0;
        for k in 0..steps {
            let square = dot(&next, &next);
            let norm = Libm::sqrt(square);
            if k == 0 {
                first = norm;
            }
            let least = if k == 0 { 0.0 } else { least(&found) };
            if !(norm > least && first.is_finite()) {
                break;
            }
            if k > 0 {
                found.squares.push(square);
            }
            let unit: Vec<f64> = next.iter().map(|x| x / norm).collect();
            next = product(&unit)?;
            found.diagonal.push(dot(&unit, &next));
            basis.push(unit);
            for _ in 0..2 {
                for before in &basis {
                    check()?;
                    let share = dot(before, &next);
                    add_scaled(&mut next, -share, before);
                }
            }
        }
        Ok(found)
    }

    /// The largest magnitude of an entry.
    pub fn scale(&self) -> f64 {
        let beside = self.squares.iter().map(|square| Libm::sqrt(*square));
        self.diagonal.iter().copied().chain(beside).fold(0.0, |most: f64, x| most.larger(x.abs()))
    }

    /// Eigenvalues, the Ritz values, in no order, each with the square of the first entry of its
    /// unit eigenvector: nodes and weights of the Gauss quadrature of the measure that the start
    /// has on the spectrum of the map. Its moments are those of the measure up to the power 2m − 1
    /// for m steps (Golub and Welsch 1969).
    ///
    /// ```text
    /// uᵀ f(A) u ≈ Σ_j weight_j f(node_j),  u = start/|start|
    /// ```
    ///
    /// Nothing where an entry is not finite.
    pub fn quadrature(&self) -> Option<Vec<Node>> {
        let size = self.diagonal.len();
        let mut matrix = vec![0.0; size * size];
        for i in 0..size {
            matrix[i * size + i] = self.diagonal[i];
            if i > 0 {
                let beside = Libm::sqrt(self.squares[i - 1]);
                (matrix[i * size + i - 1], matrix[(i - 1) * size + i]) = (beside, beside);
            }
        }
        let mut vectors = vec![0.0; size * size];
        symmetric(&mut matrix, &mut vectors, size).ok()?;
        let node = |i: usize| {
            let first = vectors[i * size];
            Node { value: matrix[i * size + i], weight: first * first }
        };
        Some((0..size).map(node).collect())
    }

    /// The matrix of Chebyshev's iteration on curvatures from `least` to `largest`: with c their
    /// mean and e half their difference, c on the diagonal, e²/2 first and then e²/4 beside it.
    pub fn chebyshev(least: f64, largest: f64, steps: usize) -> Self {
        let [center, half] = [(largest + least) / 2.0, (largest - least) / 2.0];
        let square = half * half;
        let squares = (1..steps).map(|k| square / if k == 1 { 2.0 } else { 4.0 });
        Self { diagonal: vec![center; steps], squares: squares.collect() }
    }

    /// What it was after the first `steps` steps.
    pub fn first(&self, steps: usize) -> Self {
        let n = if steps < self.diagonal.len() { steps } else { self.diagonal.len() };
        Self {
            diagonal: self.diagonal[..n].to_vec(),
            squares: self.squares[..n.saturating_sub(1)].to_vec(),
        }
    }

    /// Conjugate gradient's learning rates and momenta: the diagonal is (1 + μ_k)/α_k, and the
    /// squares beside it are μ_{k+1}/(α_k α_{k+1}).
    pub fn conjugate_gradient(&self) -> Schedule {
        let mut schedule = Schedule::new();
        for (k, diagonal) in self.diagonal.iter().enumerate() {
            let last = schedule.last().map_or(0.0, |step: &Step<f64>| step.learning_rate);
            let square = if k > 0 { self.squares[k - 1] } else { 0.0 };
            let pivot = diagonal - square * last;
            if pivot.is_nan() || pivot <= 0.0 {
                break;
            }
            let learning_rate = 1.0 / pivot;
            schedule.push(Step { learning_rate, momentum: square * last * learning_rate });
        }
        schedule
    }
}

/// Σ a_i b_i over the shorter of the two.
pub(crate) fn dot(a: &[f64], b: &[f64]) -> f64 {
    sum(a.iter().zip(b).map(|(a, b)| a * b))
}

/// A node of a Gauss quadrature.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize, serde::Serialize))]
pub struct Node {
    /// Where it lies: a Ritz value.
    pub value: f64,
    /// Its weight; those of all nodes add up to one.
    pub weight: f64,
}
