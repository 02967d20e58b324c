//! A singular quadratic whose solutions all share one flat: inner ½(w − Aλ)ᵀH(w − Aλ) with flat
//! directions, outer ½|w − w*|².
//!
//! T inner steps at rate a from w₀ end in S·Aλ + (I − S)·w₀ with S = I − (I − aH)^T, in direction i
//! a share s_i = 1 − (1 − ah_i)^T of the way; flat directions keep w₀. Let B and u be A and w* in
//! the curved directions. Outer descent from λ = 0 along the unrolled hypergradient ends
//!
//! - *cold* (w₀ = 0 before every outer step) in the least-norm solution of s·Bλ = u,
//!   λ = Bᵀ(BBᵀ)⁻¹(u/s): truncation is paid for by a larger λ;
//! - *warm* (w₀ = the last w) in the least-norm solution of Bλ = u, λ = Bᵀ(BBᵀ)⁻¹u, whatever T.
//!
//! Each λ is worth its outer loss only together with its own start: run from zero to convergence
//! the cold one overshoots by 1/s − 1, run from zero for T steps the warm one stops short by 1 − s.

use myopia_core::bilevel::cholesky;
use myopia_core::bilevel::linear::{self, dot};
use myopia_core::elementary::{Elementary, Libm};
use serde::Serialize;

use crate::Error;
use crate::error::positive;
use crate::matrix::{Matrix, finite, length};
use crate::method::relative_error;
use crate::problem::{minus, spectrum_of};

/// The problem and its rates.
#[derive(Clone, Debug)]
pub struct Still {
    curvatures: Vec<f64>,
    /// B, one row for each curved direction.
    curved: Matrix,
    a: Matrix,
    target: Vec<f64>,
    inner_rate: f64,
    steps: u32,
}

/// Where outer descent ends.
#[derive(Clone, Debug, Serialize)]
pub struct StillEnd {
    /// Whether the inner problem went on from the last w.
    pub warm: bool,
    /// |λ|.
    pub norm: f64,
    /// |λ − closed form|/|closed form|.
    pub from_closed_form: f64,
    /// ½|w − w*|² in the curved directions, with the w that descent ended with.
    pub loss: f64,
    /// The same after T steps from zero.
    pub retrained: f64,
    /// The same at the inner optimum, from zero.
    pub converged: f64,
    /// λ.
    pub lambda: Vec<f64>,
}

impl Still {
    /// The problem of these curvatures, zeros among them, with A of as many rows.
    ///
    /// # Errors
    /// Sizes that do not agree, numbers that are not finite, a negative curvature, a rate that does
    /// not converge, or fewer hyperparameters than curved directions.
    pub fn new(
        curvatures: Vec<f64>,
        a: Matrix,
        target: Vec<f64>,
        inner_rate: f64,
        steps: u32,
    ) -> Result<Self, Error> {
        let d = curvatures.len();
        a.shaped("A", d, a.columns())?;
        length("w_star", &target, d)?;
        finite("the curvatures", &curvatures)?;
        finite("w_star", &target)?;
        a.finite("A")?;
        positive("the inner rate", inner_rate)?;
        if let Some(h) = curvatures.iter().find(|h| **h < 0.0 || inner_rate * **h >= 2.0) {
            return Err(Error::Range {
                name: "a curvature",
                value: *h,
                expected: "numbers from zero up to 2 over the inner rate",
            });
        }
        let (dense, p) = (a.dense(), a.columns());
        let rows = dense.chunks_exact(p).zip(&curvatures).filter(|(_, h)| **h > 0.0);
        let entries: Vec<f64> = rows.flat_map(|(row, _)| row.to_vec()).collect();
        let curved = Matrix::Dense { rows: entries.len() / p, columns: p, entries };
        if curved.rows() > p {
            return Err(Error::Shape {
                name: "A",
                found: format!("{} x {p}", a.rows()),
                expected: format!(
                    "at least {} columns, one for each curved direction",
                    curved.rows()
                ),
            });
        }
        Ok(Self { curvatures, curved, a, target, inner_rate, steps })
    }

    /// Curvatures of H, and A and w* in its eigenvectors, where neither λ nor a distance changes; a
    /// curvature below d·ε times the highest is zero.
    ///
    /// # Errors
    /// Sizes that do not agree, numbers that are not finite, an H that is not symmetric.
    pub fn diagonalised(
        h: &Matrix,
        a: &Matrix,
        target: &[f64],
    ) -> Result<(Vec<f64>, Matrix, Vec<f64>), Error> {
        let d = target.len();
        h.shaped("H", d, d)?;
        a.shaped("A", d, a.columns())?;
        h.finite("H")?;
        a.finite("A")?;
        h.symmetric("H")?;
        let Matrix::Dense { entries, .. } = h else {
            return Ok((
                h.dense().into_iter().step_by(d + 1).collect(),
                a.clone(),
                target.to_vec(),
            ));
        };
        let spectrum = spectrum_of(entries.clone(), d)?;
        let (mut curvatures, p) = (spectrum.curvatures, a.columns());
        let highest = curvatures.iter().fold(0.0, |high: f64, h| if *h > high { *h } else { high });
        for h in &mut curvatures {
            if h.abs() <= d as f64 * f64::EPSILON * highest {
                *h = 0.0;
            }
        }
        let vectors = spectrum.vectors.unwrap_or_default();
        let mut turned = Matrix::zeros(d, p);
        if let Matrix::Dense { entries, .. } = &mut turned {
            linear::product(&vectors, &a.dense(), d, p, entries);
        }
        let mut best = vec![0.0; d];
        linear::multiply(&vectors, target, &mut best);
        Ok((curvatures, turned, best))
    }

    /// s_i = 1 − (1 − ah_i)^T.
    pub fn share(&self, curvature: f64) -> f64 {
        1.0 - power(1.0 - self.inner_rate * curvature, self.steps)
    }

    /// The λ in which outer descent ends, by its closed form.
    ///
    /// # Errors
    /// When B has dependent rows.
    pub fn closed_form(&self, warm: bool) -> Result<Vec<f64>, Error> {
        let r = self.curved.rows();
        let b = self.curved.dense();
        let p = self.curved.columns();
        let mut gram = vec![0.0; r * r];
        for i in 0..r {
            for j in 0..r {
                gram[i * r + j] = dot(&b[i * p..][..p], &b[j * p..][..p]);
            }
        }
        cholesky::factor(&mut gram, r).map_err(|e| Error::NotPositiveDefinite {
            name: "BBᵀ".to_owned(),
            reason: e.to_string(),
        })?;
        let curved = self.curvatures.iter().zip(&self.target).filter(|(h, _)| **h > 0.0);
        let mut right: Vec<f64> =
            curved.map(|(h, u)| if warm { *u } else { u / self.share(*h) }).collect();
        cholesky::solve(&gram, &mut right);
        Ok(self.curved.transposed_times(&right))
    }

    /// ½|w − w*|² in the curved directions.
    fn loss(&self, w: &[f64]) -> f64 {
        let apart = w.iter().zip(&self.target).zip(&self.curvatures);
        let apart: Vec<f64> = apart.filter(|(_, h)| **h > 0.0).map(|((w, t), _)| w - t).collect();
        0.5 * dot(&apart, &apart)
    }

    /// w after T inner steps from `w`.
    fn descend(&self, w: &mut [f64], lambda: &[f64]) {
        let best = self.a.times(lambda);
        for _ in 0..self.steps {
            for ((w, best), h) in w.iter_mut().zip(&best).zip(&self.curvatures) {
                *w -= self.inner_rate * h * (*w - best);
            }
        }
    }

    /// `outer_steps` of outer descent at `outer_rate` from λ = 0 and w = 0.
    ///
    /// # Errors
    /// When the rate is too large, so that λ leaves the finite range, or B has dependent rows.
    pub fn run(&self, warm: bool, outer_rate: f64, outer_steps: u32) -> Result<StillEnd, Error> {
        positive("the outer rate", outer_rate)?;
        let (mut w, mut lambda) = (vec![0.0; self.target.len()], vec![0.0; self.a.columns()]);
        for _ in 0..outer_steps {
            if !warm {
                w.fill(0.0);
            }
            self.descend(&mut w, &lambda);
            // (SA)ᵀ(w_T − w*): unrolled, with w₀ held fixed.
            let mut pulled = minus(&w, &self.target);
            pulled.iter_mut().zip(&self.curvatures).for_each(|(x, h)| *x *= self.share(*h));
            let slope = self.a.transposed_times(&pulled);
            linear::add_scaled(&mut lambda, -outer_rate, &slope);
        }
        finite("lambda", &lambda).map_err(|_| Error::Overflow {
            what: "outer descent".to_owned(),
            reason: format!("the outer rate {outer_rate} is too large; lower it"),
        })?;
        let told = self.closed_form(warm)?;
        if !warm {
            w.fill(0.0);
        }
        self.descend(&mut w, &lambda);
        let mut again = vec![0.0; w.len()];
        self.descend(&mut again, &lambda);
        Ok(StillEnd {
            warm,
            norm: Libm::sqrt(dot(&lambda, &lambda)),
            from_closed_form: relative_error(&lambda, &told).unwrap_or(0.0),
            loss: self.loss(&w),
            retrained: self.loss(&again),
            converged: self.loss(&self.a.times(&lambda)),
            lambda,
        })
    }
}

/// x to the power n, by squaring.
fn power(mut x: f64, mut n: u32) -> f64 {
    let mut out = 1.0;
    while n > 0 {
        if n % 2 == 1 {
            out *= x;
        }
        x *= x;
        n /= 2;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(steps: u32) -> Still {
        // ((k·(i + 3)²) mod 17 − 8)/8, as elsewhere.
        let numbers = |count: usize, k: usize| -> Vec<f64> {
            (0..count).map(|i| ((k * (i + 3) * (i + 3)) % 17) as f64 / 8.0 - 1.0).collect()
        };
        let a = Matrix::Dense { rows: 4, columns: 5, entries: numbers(20, 5) };
        Still::new(vec![1.0, 0.5, 0.25, 0.0], a, numbers(4, 11), 0.5, steps).unwrap()
    }

    /// By NumPy 2, for T = 3:
    ///
    /// ```python
    /// import numpy as np
    /// f = lambda n, k: np.array([(k*(i+3)**2) % 17 / 8 - 1 for i in range(n)])
    /// H, A, ws = np.diag([1, .5, .25, 0]), f(20, 5).reshape(4, 5), f(4, 11)
    /// S = np.eye(4) - np.linalg.matrix_power(np.eye(4) - .5*H, 3)
    /// P = np.diag([1, 1, 1, 0])
    /// print(list(np.linalg.pinv(S @ A) @ ws))
    /// print(list(np.linalg.pinv(P @ A) @ P @ ws))
    /// ```
    const NUMPY: [[f64; 5]; 2] = [
        [
            -2.2671165405231344,
            0.8299418075242235,
            -3.2058625465218875,
            2.948136959565531,
            1.9692737635594766,
        ],
        [
            -1.7690476190476194,
            0.6214285714285727,
            -2.9047619047619015,
            2.0214285714285705,
            1.0309523809523797,
        ],
    ];

    #[test]
    fn both_starts_end_in_numpys_least_norm_solutions() {
        for (warm, told) in [false, true].into_iter().zip(NUMPY) {
            let closed = problem(3).closed_form(warm).unwrap();
            assert!(relative_error(&closed, &told).unwrap() < 1e-12, "{closed:?} {told:?}");
            let end = problem(3).run(warm, 0.3, 20_000).unwrap();
            assert!(end.from_closed_form < 1e-10, "{end:?}");
            assert!(end.loss < 1e-18, "each fits with its own start: {end:?}");
        }
    }

    #[test]
    fn a_cold_lambda_is_larger_and_neither_is_worth_the_other_start() {
        let (cold, warm) = (problem(3).run(false, 0.3, 20_000), problem(3).run(true, 0.3, 20_000));
        let (cold, warm) = (cold.unwrap(), warm.unwrap());
        assert!(cold.norm > 1.2 * warm.norm, "{cold:?} {warm:?}");
        let missing = |worth: fn(f64) -> f64| {
            let problem = problem(3);
            let terms = problem.curvatures.iter().zip(&problem.target);
            let terms = terms.filter(|(h, _)| **h > 0.0);
            terms.fold(0.0, |sum, (h, u)| {
                let x = worth(problem.share(*h)) * u;
                sum + 0.5 * x * x
            })
        };
        assert!((cold.converged - missing(|s| 1.0 / s - 1.0)).abs() < 1e-9, "{cold:?}");
        assert!((warm.retrained - missing(|s| 1.0 - s)).abs() < 1e-9, "{warm:?}");
        assert!(cold.retrained < 1e-18 && warm.converged < 1e-18);
        // With many steps the two are one.
        let long = problem(400);
        let apart =
            relative_error(&long.closed_form(false).unwrap(), &long.closed_form(true).unwrap());
        assert!(apart.unwrap() < 1e-12);
    }

    #[test]
    fn what_cannot_be_solved_is_refused() {
        let a = || Matrix::Dense { rows: 2, columns: 1, entries: vec![1.0, 2.0] };
        let said = Still::new(vec![1.0, 2.0], a(), vec![1.0; 2], 0.5, 3).unwrap_err();
        assert!(said.to_string().contains("at least 2 columns"), "{said}");
        let said = Still::new(vec![1.0, 4.0], a(), vec![1.0; 2], 0.5, 3).unwrap_err();
        assert!(said.to_string().contains("a curvature is 4.0"), "{said}");
        let said = problem(3).run(true, 50.0, 2_000).unwrap_err();
        assert!(said.to_string().contains("the outer rate 50 is too large"), "{said}");
    }
}
