//! Lanczos tridiagonal matrix, T × T, of the preconditioned curvatures; Chebyshev's likewise.

use myopia_core::elementary::{Elementary, Libm};
use myopia_core::nqm::Step;
use myopia_core::sum::sum;

use crate::error::Interrupted;
use crate::quadratic::{Quadratic, Schedule, State};
use crate::tolerances::Control;

/// The matrix of Lanczos's recurrence on the preconditioned curvatures, started with the root mean
/// square of the gradient in a state.
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
        let mut next: Vec<f64> =
            shares.map(|(excess, curvature)| Libm::sqrt(excess * curvature)).collect();
        let mut basis: Vec<Vec<f64>> = Vec::new();
        let mut found = Self::default();
        let mut first = 0.0;
        for k in 0..steps {
            let square = dot(&next, &next);
            let norm = Libm::sqrt(square);
            if k == 0 {
                first = norm;
            }
            // Relative to the matrix, not to the vector it started from.
            let least = if k == 0 { 0.0 } else { 1e-14 * quadratic.largest_curvature() };
            if !(norm > least && first.is_finite()) {
                break;
            }
            if k > 0 {
                found.squares.push(square);
            }
            let unit: Vec<f64> = next.iter().map(|x| x / norm).collect();
            next = unit.iter().zip(&curvatures).map(|(x, curvature)| curvature * x).collect();
            found.diagonal.push(dot(&unit, &next));
            basis.push(unit);
            for _ in 0..2 {
                for before in &basis {
                    control.check()?;
                    let share = dot(before, &next);
                    next.iter_mut().zip(before).for_each(|(x, b)| *x -= share * b);
                }
            }
        }
        Ok(found)
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
