//! Damped Newton steps, for landscapes too ill-conditioned for L-BFGS.
//!
//! Schedules on quadratics with little noise lie in canyons: a step beyond the stability of steep
//! directions, which later steps undo to many digits. There one last place of a rate may change the
//! loss a thousandfold, and only exact second derivatives see the floor.

use myopia_core::elementary::{Elementary, Libm};
use myopia_core::real::Real;

use crate::lanczos::dot;
use crate::lbfgs::better;
use crate::objective::{Evaluation, Objective, last_places_changed};
use crate::quadratic::Scratch;
use crate::reparametrization::euclidean_norm;
use crate::tolerances::Control;

/// The damping λ of the first step, relative to the diagonal of the Hessian.
const FIRST_DAMPING: f64 = 1e-3;
/// The largest λ that is tried.
const LARGEST_DAMPING: f64 = 1e6;

/// What a step that leads nowhere lower may leave of the gradient's norm.
const FLATTER_RATIO: f64 = 0.95;
/// By how much the loss may then rise at most, relatively, if its rounding hides that.
const LARGEST_ROUNDING_RATIO: f64 = 1e-3;

/// Steps −(H + λD)⁻¹g from `here` on with D the diagonal of |H|, λ raised until H + λD is positive
/// definite and the step leads lower, and lowered after success (Levenberg 1944, Marquardt 1963).
///
/// Returns the lowest point and what was spent: a Hessian counts as one evaluation for each
/// coordinate, and no step begins with less than that left of `evaluations`.
pub fn descend(
    objective: &Objective<'_>,
    mut here: Evaluation,
    evaluations: u64,
    control: &Control<'_>,
) -> (Evaluation, u64) {
    let tolerances = &control.tolerances;
    let price = here.point.len() as u64;
    let mut scratch = Scratch::default();
    let mut spent = 0;
    let mut damping = FIRST_DAMPING;
    while here.gradient_norm > tolerances.converged_gradient_norm && spent + price <= evaluations {
        spent += price;
        let mut hessian = objective.hessian(&here);
        let units = unit_lengths(&hessian, here.point.len());
        for (row, a) in hessian.chunks_exact_mut(units.len()).zip(&units) {
            row.iter_mut().zip(&units).for_each(|(entry, b)| *entry *= a * b);
        }
        let steepness = scaled_norm(&here.gradient, &units);
        let nearby = objective.of(last_places_changed(&here.schedule), &mut scratch);
        let rounding = (nearby.excess - here.excess).abs();
        let most = LARGEST_ROUNDING_RATIO * here.excess;
        let slack = if rounding < most { rounding } else { most };
        let negative: Vec<f64> = here.gradient.iter().zip(&units).map(|(g, u)| -g * u).collect();
        loop {
            if damping > LARGEST_DAMPING || (control.stop)() {
                return (here, spent);
            }
            if let Some(step) = solve(&hessian, damping, &negative) {
                let moved = here.point.iter().zip(step.iter().zip(&units));
                let point: Vec<f64> = moved.map(|(x, (step, unit))| x + step * unit).collect();
                let next = objective.at(&point, &mut scratch);
                spent += 1;
                let flatter = scaled_norm(&next.gradient, &units) < FLATTER_RATIO * steepness;
                let no_higher = flatter && next.excess <= here.excess + slack;
                if (better(&next, &here, tolerances) || no_higher) && objective.robust(&next) {
                    here = next;
                    damping *= 0.1;
                    break;
                }
            }
            damping = if damping < 1e-15 { 1e-15 } else { damping * 4.0 };
        }
    }
    (here, spent)
}

fn scaled_norm(gradient: &[f64], units: &[f64]) -> f64 {
    let scaled: Vec<f64> = gradient.iter().zip(units).map(|(g, unit)| g * unit).collect();
    euclidean_norm(&scaled)
}

/// For each coordinate the length along which the second derivative is at most one.
fn unit_lengths(hessian: &[f64], n: usize) -> Vec<f64> {
    let diagonal = hessian.iter().step_by(n + 1);
    diagonal.map(|entry| 1.0 / Libm::sqrt(entry.abs().larger(1.0))).collect()
}

/// (H + λ)⁻¹b by Cholesky's factorisation H + λ = LLᵀ, unless H + λ is not positive definite.
fn solve(hessian: &[f64], damping: f64, b: &[f64]) -> Option<Vec<f64>> {
    let n = b.len();
    let mut factor = hessian.to_vec();
    let mut x = b.to_vec();
    for i in 0..n {
        let (above, row) = factor.split_at_mut(i * n);
        for j in 0..i {
            let other = &above[j * n..j * n + j + 1];
            row[j] = (row[j] - dot(&row[..j], other)) / other[j];
        }
        let pivot = row[i] + damping - dot(&row[..i], &row[..i]);
        if !(pivot > 0.0 && pivot.is_finite()) {
            return None;
        }
        row[i] = Libm::sqrt(pivot);
        x[i] = (x[i] - dot(&row[..i], &x)) / row[i];
    }
    for i in (0..n).rev() {
        x[i] /= factor[i * n + i];
        let known = x[i];
        for (x, a) in x.iter_mut().zip(&factor[i * n..i * n + i]) {
            *x -= known * a;
        }
    }
    Some(x)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_damped_system_is_solved_or_refused() {
        let hessian = [3.0, 1.0, 1.0, 2.0];
        let x = solve(&hessian, 1.0, &[6.0, -2.0]).unwrap();
        for (x, known) in x.iter().zip([20.0 / 11.0, -14.0 / 11.0]) {
            assert!((x - known).abs() < 1e-15, "{x} {known}");
        }
        assert_eq!(solve(&[1.0, 2.0, 2.0, 1.0], 0.5, &[1.0, 1.0]), None);
        assert_eq!(solve(&[f64::NAN; 4], 1.0, &[1.0, 1.0]), None);
    }
}
