//! What conjugate gradient sees of a spectrum in so many steps: its tridiagonal matrix, and the matrix's eigenvalues.

use myopia_core::elementary::{Elementary, Libm};
use myopia_core::nqm::Step;
use myopia_core::sum::sum;

use super::quadratic::{Quadratic, Schedule, State};

/// The matrix of Lanczos's recurrence on the gains, started with the root mean square of the gradient in `state`.
///
/// Each new vector is made orthogonal to all before it, twice: without that conjugate gradient loses its way in rounding, and
/// after twenty steps on a hundred curvatures 1/i it has three times the loss that it should have.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tridiagonal {
    /// The diagonal.
    diagonal: Vec<f64>,
    /// The squares of the elements beside it, one fewer.
    squares: Vec<f64>,
}

impl Tridiagonal {
    /// After `steps` steps, or as many as it takes to see every gain.
    pub fn new(quadratic: &Quadratic, state: &State, steps: usize) -> Self {
        let gains: Vec<f64> = quadratic.gains().collect();
        let shares = quadratic.shares(state).zip(&gains);
        let mut next: Vec<f64> = shares.map(|(excess, gain)| Libm::sqrt(excess * gain)).collect();
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
            let least = if k == 0 { 0.0 } else { 1e-14 * quadratic.largest_gain() };
            if !(norm > least && first.is_finite()) {
                break;
            }
            if k > 0 {
                found.squares.push(square);
            }
            let unit: Vec<f64> = next.iter().map(|x| x / norm).collect();
            next = unit.iter().zip(&gains).map(|(x, gain)| gain * x).collect();
            found.diagonal.push(dot(&unit, &next));
            basis.push(unit);
            for _ in 0..2 {
                for before in &basis {
                    let share = dot(before, &next);
                    next.iter_mut().zip(before).for_each(|(x, b)| *x -= share * b);
                }
            }
        }
        found
    }

    /// What it was after the first `steps` steps.
    pub fn first(&self, steps: usize) -> Self {
        let n = if steps < self.diagonal.len() { steps } else { self.diagonal.len() };
        Self {
            diagonal: self.diagonal[..n].to_vec(),
            squares: self.squares[..n.saturating_sub(1)].to_vec(),
        }
    }

    /// Its eigenvalues, the Ritz values, in ascending order.
    ///
    /// Gradient descent with the learning rates 1/ρ over the Ritz values ρ, in any order, arrives where conjugate
    /// gradient arrives, and without noise no method of so many steps gets farther.
    pub fn ritz_values(&self) -> Vec<f64> {
        let values = eigenvalues(&self.diagonal, &self.squares);
        values.into_iter().filter(|value| *value > 0.0).collect()
    }

    /// Conjugate gradient's learning rates and momenta: the diagonal is (1 + μ_k)/α_k, and the squares beside it are
    /// μ_{k+1}/(α_k α_{k+1}).
    pub fn schedule(&self) -> Schedule {
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

fn dot(a: &[f64], b: &[f64]) -> f64 {
    sum(a.iter().zip(b).map(|(a, b)| a * b))
}

/// The eigenvalues, in ascending order, of the symmetric tridiagonal matrix with this diagonal and these squares of
/// the elements next to it, by bisection on Sturm's count.
fn eigenvalues(diagonal: &[f64], squares: &[f64]) -> Vec<f64> {
    let n = diagonal.len();
    let beside =
        |i: Option<usize>| i.and_then(|i| squares.get(i)).map_or(0.0, |square| Libm::sqrt(*square));
    let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
    for (i, d) in diagonal.iter().enumerate() {
        let radius = beside(i.checked_sub(1)) + beside(Some(i));
        low = if d - radius < low { d - radius } else { low };
        high = if d + radius > high { d + radius } else { high };
    }
    let below = |x: f64| {
        let (mut count, mut pivot) = (0, 1.0);
        for (i, d) in diagonal.iter().enumerate() {
            let square = if i > 0 { squares[i - 1] } else { 0.0 };
            pivot = d - x - square / pivot;
            if pivot == 0.0 {
                pivot = -f64::MIN_POSITIVE;
            }
            count += usize::from(pivot < 0.0);
        }
        count
    };
    let nth = |i: usize| {
        let (mut low, mut high) = (low, high);
        loop {
            let middle = low + (high - low) / 2.0;
            if !(low < middle && middle < high) {
                return middle;
            }
            if below(middle) > i { high = middle } else { low = middle }
        }
    };
    (0..n).map(nth).collect()
}

/// `rates` in an order in which products of 1 − αh stay small on the way (Leja's): first the smallest, then always the one
/// whose inverse is farthest, in the product of distances, from the inverses of those before it.
pub fn leja(rates: &[f64]) -> Vec<f64> {
    let mut rest: Vec<(f64, f64)> = rates.iter().map(|rate| (1.0 / rate, 0.0)).collect();
    let mut order = Vec::with_capacity(rates.len());
    let mut next =
        rest.iter().enumerate().max_by(|(_, a), (_, b)| a.0.total_cmp(&b.0)).map(|(i, _)| i);
    while let Some(i) = next {
        let (node, _) = rest.swap_remove(i);
        order.push(1.0 / node);
        for (other, distance) in &mut rest {
            let apart = (*other - node).abs();
            *distance += Libm::ln(if apart > 0.0 { apart } else { f64::MIN_POSITIVE });
        }
        next = rest.iter().enumerate().max_by(|(_, a), (_, b)| a.1.total_cmp(&b.1)).map(|(i, _)| i);
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The matrix with 2 on the diagonal and −1 beside it has the eigenvalues 2 − 2 cos(kπ/(n + 1)).
    #[test]
    fn eigenvalues_of_the_second_difference_are_known() {
        let found = eigenvalues(&[2.0; 5], &[1.0; 4]);
        let root = Libm::sqrt(3.0);
        for (found, known) in found.iter().zip([2.0 - root, 1.0, 2.0, 3.0, 2.0 + root]) {
            assert!((found - known).abs() < 1e-14, "{found} {known}");
        }
    }

    #[test]
    fn leja_order_keeps_every_rate() {
        let rates = [1.0, 2.0, 3.0, 4.0, 5.0];
        let mut order = leja(&rates);
        assert_eq!(order[0], 1.0, "the largest curvature first");
        assert_eq!(order[1], 5.0, "then the smallest");
        order.sort_by(f64::total_cmp);
        for (a, b) in order.iter().zip(rates) {
            assert!((a - b).abs() < 1e-15);
        }
    }
}
