//! Linear best responses on a quadratic, where all is known.
//!
//! With λ' = λ + sε, ε standard normal, E_ε of the inner loss at w₀ + Ux is a quadratic in Θ = (w₀,
//! U) whose Hessian is H ⊗ Γ, Γ = E[(1, x)(1, x)ᵀ] = [[1, mᵀ], [m, mmᵀ + s²I]] with m = λ (STN) or
//! 0 (Δ-STN). So the response problem has condition κ(H)·κ(Γ), and
//!
//! ```text
//! κ(Γ) = γ²/s² with γ = (t + √(t² − 4s²))/2, t = 1 + |m|² + s²:  max(s², 1/s²) where m = 0.
//! ```
//!
//! Gradient descent on Θ, in expectation, leaves (1 − rate·h·γ_j)^n of each of its directions.
//! Predictions are linear in w here, so the tangent of Δ-STN changes nothing: what is left of it is
//! centring.

use myopia_core::bilevel::eigen;
use myopia_core::bilevel::linear::dot;
use myopia_core::elementary::{Elementary, Libm};
use serde::Serialize;

use super::Method;
use crate::Error;
use crate::error::positive;
use crate::matrix::{Matrix, finite};
use crate::method::{
    Method as Inverse, Settings as InverseSettings, compare, cosine, relative_error,
};
use crate::problem::Quadratic;

/// The condition of a response problem.
#[derive(Clone, Debug, Serialize)]
pub struct Condition {
    /// `stn` or `delta-stn`.
    pub method: Method,
    /// κ(Γ), by its closed form.
    pub features: f64,
    /// κ(H)·κ(Γ).
    pub response: f64,
}

/// One point of a fit.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct FitPoint {
    /// Gradient steps.
    pub step: u32,
    /// |U − A|/|A|, entry by entry.
    pub relative_error: f64,
    /// The cosine of the angle between U and A; none while U is zero.
    pub cosine: Option<f64>,
}

/// How a response was learned while λ stood still.
#[derive(Clone, Debug, Serialize)]
pub struct Fit {
    /// `stn` or `delta-stn`.
    pub method: Method,
    /// The first step after which the relative error stayed below a hundredth; none when it did
    /// not.
    pub within_a_hundredth: Option<u32>,
    /// At steps 0, 1, 2, 4, … and the last.
    pub points: Vec<FitPoint>,
}

/// Where λ came.
#[derive(Clone, Debug, Serialize)]
pub struct Move {
    /// Which.
    pub method: Method,
    /// Products with H.
    pub products: u64,
    /// The outer loss at the best response to the last λ.
    pub outer_loss: f64,
    /// λ.
    pub lambda: Vec<f64>,
    /// The outer loss at the best response before each outer step.
    #[serde(skip)]
    pub losses: Vec<f64>,
}

/// κ([[1, mᵀ], [m, mmᵀ + s²I]]), with |m|² = `square`.
pub fn condition(square: f64, spread: f64) -> f64 {
    let variance = spread * spread;
    let trace = 1.0 + square + variance;
    // t² − 4s² without its cancellation.
    let (below, above) = ((1.0 - spread) * (1.0 - spread), (1.0 + spread) * (1.0 + spread));
    let largest = 0.5 * (trace + Libm::sqrt((below + square) * (above + square)));
    largest * (largest / variance)
}

/// The largest eigenvalue of the same matrix.
fn largest(square: f64, spread: f64) -> f64 {
    spread * Libm::sqrt(condition(square, spread))
}

/// The lowest and the highest eigenvalue.
fn range(matrix: &Matrix) -> Result<(f64, f64), Error> {
    let values = match matrix {
        Matrix::Diagonal(diagonal) => diagonal.clone(),
        Matrix::Dense { rows, entries, .. } => {
            let (mut entries, mut vectors) = (entries.clone(), vec![0.0; rows * rows]);
            eigen::symmetric(&mut entries, &mut vectors, *rows).map_err(|e| Error::Overflow {
                what: "the spectrum".to_owned(),
                reason: format!("{e}; scale the problem"),
            })?;
            (0..*rows).map(|i| entries[i * (rows + 1)]).collect()
        }
    };
    let first = values.first().copied().unwrap_or(1.0);
    Ok(values.iter().fold((first, first), |(low, high), x| {
        (if *x < low { *x } else { low }, if *x > high { *x } else { high })
    }))
}

/// |m|² of a method's features.
fn square(method: Method, lambda: &[f64]) -> f64 {
    if method == Method::Stn { dot(lambda, lambda) } else { 0.0 }
}

/// The conditions of both response problems at the problem's λ.
///
/// # Errors
/// A spread that is not positive.
pub fn conditions(problem: &Quadratic, spread: f64) -> Result<Vec<Condition>, Error> {
    positive("the spread", spread)?;
    let (low, high) = range(&problem.hessian)?;
    let of = |method| {
        let features = condition(square(method, &problem.lambda), spread);
        Condition { method, features, response: high / low * features }
    };
    Ok([Method::Stn, Method::DeltaStn].map(of).into())
}

/// A response Θ = (w₀, U), column by column.
struct Response<'a> {
    problem: &'a Quadratic,
    method: Method,
    spread: f64,
    highest: f64,
    columns: Vec<Vec<f64>>,
}

impl<'a> Response<'a> {
    fn new(problem: &'a Quadratic, method: Method, spread: f64) -> Result<Self, Error> {
        let (d, p) = (problem.w.len(), problem.lambda.len());
        let (_, highest) = range(&problem.hessian)?;
        Ok(Self { problem, method, spread, highest, columns: vec![vec![0.0; d]; p + 1] })
    }

    /// What Θ should be at λ: (0, A), or (Aλ, A) where features are centred.
    fn truth(&self, lambda: &[f64]) -> Vec<Vec<f64>> {
        let unit = |j: usize| {
            let mut e = vec![0.0; lambda.len()];
            e[j] = 1.0;
            self.problem.a.times(&e)
        };
        let first = match self.method {
            Method::Stn => vec![0.0; self.problem.w.len()],
            _ => self.problem.a.times(lambda),
        };
        std::iter::once(first).chain((0..lambda.len()).map(unit)).collect()
    }

    /// Θ ← Θ − rate·H(Θ − Θ*)Γ at rate 1/(h_max·γ_max).
    fn step(&mut self, lambda: &[f64], truth: &[Vec<f64>]) {
        let square = square(self.method, lambda);
        let rate = 1.0 / (self.highest * largest(square, self.spread));
        let apart: Vec<Vec<f64>> = self
            .columns
            .iter()
            .zip(truth)
            .map(|(column, truth)| {
                let x: Vec<f64> = column.iter().zip(truth).map(|(x, t)| x - t).collect();
                self.problem.hessian.times(&x)
            })
            .collect();
        let mean = |j: usize| if self.method == Method::Stn { lambda[j] } else { 0.0 };
        // DΓ with D = H(Θ − Θ*) and e = D·(1, m): its column 0 is e, column j is m_j·e + s²D_j.
        let mut e = apart[0].clone();
        for (j, column) in apart[1..].iter().enumerate() {
            e.iter_mut().zip(column).for_each(|(e, x)| *e += mean(j) * x);
        }
        for (x, e) in self.columns[0].iter_mut().zip(&e) {
            *x -= rate * e;
        }
        let variance = self.spread * self.spread;
        for (j, (column, apart)) in self.columns[1..].iter_mut().zip(&apart[1..]).enumerate() {
            for ((x, e), d) in column.iter_mut().zip(&e).zip(apart) {
                *x -= rate * (mean(j) * e + variance * d);
            }
        }
    }

    /// w(λ).
    fn weights(&self, lambda: &[f64]) -> Vec<f64> {
        let mut w = self.columns[0].clone();
        if self.method == Method::Stn {
            for (column, l) in self.columns[1..].iter().zip(lambda) {
                w.iter_mut().zip(column).for_each(|(w, u)| *w += l * u);
            }
        }
        w
    }

    /// U, all columns in one.
    fn jacobian(columns: &[Vec<f64>]) -> Vec<f64> {
        columns[1..].concat()
    }
}

/// Learns the response at the problem's λ from Θ = 0, by gradient descent in expectation.
///
/// # Errors
/// A spread that is not positive, or numbers that leave the finite range.
pub fn fit(problem: &Quadratic, method: Method, spread: f64, steps: u32) -> Result<Fit, Error> {
    positive("the spread", spread)?;
    let mut response = Response::new(problem, method, spread)?;
    let truth = response.truth(&problem.lambda);
    let told = Response::jacobian(&truth);
    let (mut points, mut within) = (Vec::new(), None);
    for step in 0..=steps {
        let found = Response::jacobian(&response.columns);
        let error = relative_error(&found, &told).unwrap_or(0.0);
        within = if error < 0.01 { within.or(Some(step)) } else { None };
        if step == 0 || step.is_power_of_two() || step == steps {
            let cosine = cosine(&found, &told);
            points.push(FitPoint { step, relative_error: error, cosine });
        }
        if step < steps {
            response.step(&problem.lambda, &truth);
        }
    }
    finite("the response", &Response::jacobian(&response.columns))?;
    Ok(Fit { method, within_a_hundredth: within, points })
}

/// Response steps between two outer steps.
const BETWEEN: u32 = 5;

/// `outer_steps` of outer descent at `outer_rate` from the problem's λ and w = 0: five steps of the
/// response between two outer ones, or for [`Method::Implicit`] as many products spent on inner
/// descent and conjugate gradient.
///
/// # Errors
/// Rates that are not positive, or numbers that leave the finite range.
pub fn moves(
    problem: &Quadratic,
    method: Method,
    spread: f64,
    outer_rate: f64,
    outer_steps: u32,
) -> Result<Move, Error> {
    positive("the spread", spread)?;
    positive("the outer rate", outer_rate)?;
    let mut response = Response::new(problem, method, spread)?;
    let mut lambda = problem.lambda.clone();
    let mut w = vec![0.0; problem.w.len()];
    let mut losses = Vec::new();
    let mut products = 0;
    let each = BETWEEN * u32::try_from(lambda.len() + 1).unwrap_or(1);
    for _ in 0..outer_steps {
        losses.push(problem.outer_loss(&problem.a.times(&lambda), &lambda));
        let slope = match method {
            Method::Implicit => {
                let best = problem.a.times(&lambda);
                for _ in 0..BETWEEN {
                    let apart: Vec<f64> = w.iter().zip(&best).map(|(w, b)| w - b).collect();
                    let gradient = problem.hessian.times(&apart);
                    w.iter_mut().zip(gradient).for_each(|(w, g)| *w -= g / response.highest);
                }
                let mut here = problem.clone();
                here.w.clone_from(&w);
                here.lambda.clone_from(&lambda);
                let way = Inverse::ConjugateGradient(Some(each - BETWEEN));
                let found = compare(&here, &[way], &InverseSettings::default())?;
                products += found[0].products + u64::from(BETWEEN);
                found[0].hypergradient.clone()
            }
            _ => {
                let truth = response.truth(&lambda);
                (0..BETWEEN).for_each(|_| response.step(&lambda, &truth));
                products += u64::from(each);
                let w = response.weights(&lambda);
                let apart: Vec<f64> = w.iter().zip(&problem.target).map(|(w, t)| w - t).collect();
                let v = problem.outer.times(&apart);
                let columns = response.columns[1..].iter().zip(&problem.direct);
                columns.map(|(column, direct)| direct + dot(column, &v)).collect()
            }
        };
        lambda.iter_mut().zip(slope).for_each(|(l, g)| *l -= outer_rate * g);
        finite("lambda", &lambda).map_err(|_| Error::Overflow {
            what: method.name().to_owned(),
            reason: format!("the outer rate {outer_rate} is too large; lower it"),
        })?;
    }
    let outer_loss = problem.outer_loss(&problem.a.times(&lambda), &lambda);
    Ok(Move { method, products, outer_loss, lambda, losses })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(lambda: Vec<f64>) -> Quadratic {
        let numbers = |count: usize, k: usize| -> Vec<f64> {
            (0..count).map(|i| ((k * (i + 3) * (i + 3)) % 17) as f64 / 8.0 - 1.0).collect()
        };
        let p = lambda.len();
        let a = Matrix::Dense { rows: 4, columns: p, entries: numbers(4 * p, 5) };
        let h = Matrix::Diagonal(vec![1.0, 0.5, 0.25, 0.8]);
        let g = Matrix::Diagonal(vec![1.0; 4]);
        Quadratic::new(h, a, g, numbers(4, 11), None, lambda, None).unwrap()
    }

    /// The lecture's example, λ = 5 and s = 1: 727, near its (1 + λ² + s²)²/s² = 729, against 1.
    #[test]
    fn centring_takes_the_condition_from_727_to_1() {
        let conditions = conditions(&problem(vec![5.0]), 1.0).unwrap();
        assert!((conditions[0].features - 726.998_624_4).abs() < 1e-6, "{conditions:?}");
        assert_eq!(conditions[1].features, 1.0);
        assert_eq!(conditions[0].response, 4.0 * conditions[0].features);
        assert_eq!(condition(0.0, 0.5), 4.0);
        assert_eq!(condition(0.0, 3.0), 9.0);
    }

    #[test]
    fn conditions_are_those_of_the_eigenvalues() {
        let (m, s): ([f64; 3], f64) = ([0.7, -1.5, 2.0], 0.4);
        let mut gram = vec![0.0; 16];
        let x = [1.0, m[0], m[1], m[2]];
        for i in 0..4 {
            for j in 0..4 {
                gram[4 * i + j] = x[i] * x[j] + if i == j && i > 0 { s * s } else { 0.0 };
            }
        }
        let gram = Matrix::Dense { rows: 4, columns: 4, entries: gram };
        let (low, high) = range(&gram).unwrap();
        let told = condition(dot(&m, &m), s);
        assert!((told / (high / low) - 1.0).abs() < 1e-12, "{told} {}", high / low);
        assert!((largest(dot(&m, &m), s) / high - 1.0).abs() < 1e-12);
    }

    #[test]
    fn a_centred_response_is_learned_in_fewer_steps_by_about_its_condition() {
        let problem = problem(vec![2.0, -1.0]);
        let steps = |method| fit(&problem, method, 1.0, 5_000).unwrap();
        let (plain, centred) = (steps(Method::Stn), steps(Method::DeltaStn));
        let (plain_steps, centred_steps) = (
            plain.within_a_hundredth.expect("learned"),
            centred.within_a_hundredth.expect("learned"),
        );
        assert!(plain_steps > 5 * centred_steps, "{plain_steps} {centred_steps}");
        for fit in [plain, centred] {
            let last = fit.points.last().unwrap();
            assert!(last.cosine.unwrap() > 1.0 - 1e-12 && last.relative_error < 1e-6, "{fit:?}");
        }
    }

    /// One direction and s = 1, centred: (1 − ah)^n is left of U.
    #[test]
    fn a_centred_fit_leaves_a_power_in_each_direction() {
        let h = Matrix::Diagonal(vec![1.0, 0.25]);
        let a = Matrix::Dense { rows: 2, columns: 1, entries: vec![0.0, 2.0] };
        let one = Matrix::Diagonal(vec![1.0; 2]);
        let problem = Quadratic::new(h, a, one, vec![1.0; 2], None, vec![3.0], None).unwrap();
        let fit = fit(&problem, Method::DeltaStn, 1.0, 8).unwrap();
        for point in fit.points {
            let told = (0..point.step).fold(1.0, |left, _| left * 0.75);
            assert!((point.relative_error - told).abs() < 1e-14, "{point:?}");
        }
    }

    #[test]
    fn all_ways_lead_to_the_best_hyperparameters_at_equal_cost() {
        let problem = problem(vec![2.0, -1.0]);
        let best = moves(&problem, Method::Implicit, 1.0, 0.1, 3_000).unwrap();
        for method in [Method::Stn, Method::DeltaStn] {
            let found = moves(&problem, method, 1.0, 0.1, 3_000).unwrap();
            assert!((found.outer_loss - best.outer_loss).abs() < 1e-9, "{found:?} {best:?}");
            assert_eq!(found.products, 3_000 * 5 * 3);
            assert!(best.products <= found.products);
        }
        let said = moves(&problem, Method::Stn, 1.0, 1e3, 1_000).unwrap_err().to_string();
        assert!(said.contains("the outer rate 1000 is too large"), "{said}");
    }
}
