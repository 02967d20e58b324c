//! Finite-time Lyapunov exponent of a map: the mean logarithm, per step, of the growth of a tangent
//! that is renormalised on its way (Benettin et al. 1980).
//!
//! ```text
//! λ_T = 1/T ln(‖J_{T−1} … J_0 u‖ / ‖u‖)
//! ```
//!
//! Below zero, neighbouring runs approach each other; above zero they part, and a derivative of the
//! end by the beginning tells less and less of what a small change does.

use core::ops::Range;

use crate::elementary::{Elementary, Libm};
use crate::sum::Sum;

/// A state and a tangent that is carried along with it.
pub trait TangentMap {
    /// Why a step can fail.
    type Error;
    /// Takes the steps numbered `steps`.
    ///
    /// # Errors
    /// When a step fails.
    fn advance(&mut self, steps: Range<u32>) -> Result<(), Self::Error>;
    /// Divides the tangent by its Euclidean norm, which it returns; a zero tangent stays.
    fn normalise(&mut self) -> f64;
}

/// The exponent over `steps` steps, the tangent being renormalised after each `every` of them, at
/// least one; zero without steps, −∞ where the tangent vanishes.
///
/// # Errors
/// What a step returns.
pub fn exponent<M: TangentMap>(map: &mut M, steps: u32, every: u32) -> Result<f64, M::Error> {
    let every = if every > 0 { every } else { 1 };
    map.normalise();
    let mut logarithms = Sum::default();
    let mut first = 0;
    while first < steps {
        let last = steps.min(first.saturating_add(every));
        map.advance(first..last)?;
        logarithms.add(Libm::ln(map.normalise()));
        first = last;
    }
    Ok(if steps > 0 { logarithms.total() / f64::from(steps) } else { 0.0 })
}

#[cfg(test)]
mod tests {
    use core::convert::Infallible;
    use std::vec;
    use std::vec::Vec;

    use super::*;
    use crate::dual::Dual;

    /// x ← 4x(1 − x), whose exponent is ln 2.
    struct Logistic(Dual<f64, 1>);

    impl TangentMap for Logistic {
        type Error = Infallible;
        fn advance(&mut self, steps: Range<u32>) -> Result<(), Infallible> {
            for _ in steps {
                let one = Dual::constant(1.0);
                self.0 = Dual::constant(4.0) * self.0 * (one - self.0);
            }
            Ok(())
        }
        fn normalise(&mut self) -> f64 {
            let norm = self.0.tangents[0].abs();
            self.0.tangents[0] /= norm;
            norm
        }
    }

    #[test]
    fn the_logistic_map_has_ln_2() {
        for every in [1, 7] {
            let x = Dual { value: 0.37, tangents: [3.0] };
            let Ok(found) = exponent(&mut Logistic(x), 1_000_000, every);
            let off = found - core::f64::consts::LN_2;
            assert!(off.abs() < 1e-6, "renormalised after {every} steps: {off:e}");
        }
    }

    /// u ← A u.
    struct Linear {
        matrix: Vec<Vec<f64>>,
        tangent: Vec<f64>,
    }

    impl TangentMap for Linear {
        type Error = Infallible;
        fn advance(&mut self, steps: Range<u32>) -> Result<(), Infallible> {
            for _ in steps {
                let row = |row: &Vec<f64>| {
                    row.iter().zip(&self.tangent).fold(0.0, |sum, (a, u)| sum + a * u)
                };
                self.tangent = self.matrix.iter().map(row).collect();
            }
            Ok(())
        }
        fn normalise(&mut self) -> f64 {
            let norm = Libm::sqrt(self.tangent.iter().fold(0.0, |sum, u| sum + u * u));
            self.tangent.iter_mut().for_each(|u| *u /= norm);
            norm
        }
    }

    /// Momentum on the noisy quadratic, whose noise no tangent feels: one direction of curvature h
    /// has the map (θ, v) ← (θ + v', v'), v' = μ v − α h θ.
    fn heavy_ball(alpha: f64, mu: f64, curvatures: &[f64]) -> Linear {
        let n = curvatures.len();
        let mut matrix = vec![vec![0.0; 2 * n]; 2 * n];
        for (i, h) in curvatures.iter().enumerate() {
            (matrix[i][i], matrix[i][n + i]) = (1.0 - alpha * h, mu);
            (matrix[n + i][i], matrix[n + i][n + i]) = (-alpha * h, mu);
        }
        Linear { matrix, tangent: vec![1.0; 2 * n] }
    }

    /// The exponent after the tangent has turned to the direction that grows fastest.
    fn turned(mut map: Linear) -> f64 {
        let Ok(_) = exponent(&mut map, 20_000, 10);
        let Ok(found) = exponent(&mut map, 2_000, 10);
        found
    }

    #[test]
    fn a_linear_map_has_the_logarithm_of_its_spectral_radius() {
        // The eigenvalues of [[2, 1], [1, 1]] are (3 ± √5)/2.
        let matrix = vec![vec![2.0, 1.0], vec![1.0, 1.0]];
        let found = turned(Linear { matrix, tangent: vec![0.3, -0.2] });
        let expected = Libm::ln((3.0 + Libm::sqrt(5.0)) / 2.0);
        assert!((found - expected).abs() < 1e-9, "{found} and {expected}");
    }

    #[test]
    fn the_noisy_quadratic_has_the_logarithm_of_its_slowest_direction() {
        let curvatures = [1.0, 0.5, 0.25, 0.125];
        // z² − (1 + μ − αh) z + μ = 0 has complex roots of modulus √μ, or real ones.
        let radius = |alpha: f64, mu: f64, h: f64| {
            let half = (1.0 + mu - alpha * h) / 2.0;
            let square = half * half - mu;
            if square < 0.0 { Libm::sqrt(mu) } else { half.abs() + Libm::sqrt(square) }
        };
        for (alpha, mu) in [(0.05, 0.0), (0.01, 0.9), (4.2, 0.9)] {
            let found = turned(heavy_ball(alpha, mu, &curvatures));
            let all = curvatures.iter().map(|h| radius(alpha, mu, *h));
            let expected = Libm::ln(all.fold(0.0, |a, b| if b > a { b } else { a }));
            let off = found - expected;
            assert!(off.abs() < 1e-9, "α = {alpha}, μ = {mu}: {found}, not {expected}: {off:e}");
            // Only past 2(1 + μ)/α, here at curvature 1, do runs part.
            assert_eq!(found > 0.0, alpha > 2.0 * (1.0 + mu), "{alpha}, {mu}");
        }
    }
}
