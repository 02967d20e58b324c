//! Newton's method with damping, for landscapes too ill-conditioned for quasi-Newton steps.

use myopia_core::sum::sum;

use super::frame::{scaled, solve, units};

/// A function to be minimised, and the point it is at.
pub trait Landscape {
    /// Gradient and Hessian at the point, the Hessian row by row.
    fn derivatives(&self) -> (Vec<f64>, Vec<f64>);
    /// Goes by `step` when that leads lower, or no higher as far as rounding lets see and to a gradient that is `flatter`,
    /// and says whether it did.
    fn go(&mut self, step: &[f64], flatter: impl Fn(&[f64]) -> bool) -> bool;
    /// Whether the search may end.
    fn done(&self) -> bool;
}

/// Of the square of a gradient's size what a step that leads nowhere lower may leave.
const FLATTER: f64 = 0.9;

/// Steps −(H + λD)⁻¹g with D the sizes of H's diagonal, λ raised until H + λD is positive definite and the step leads lower,
/// and lowered after success (Marquardt 1963), at most `iterations` of them.
pub fn descend(landscape: &mut impl Landscape, iterations: usize) {
    let mut share = 1e-3;
    for _ in 0..iterations {
        if landscape.done() {
            return;
        }
        let (gradient, hessian) = landscape.derivatives();
        let units = units(&hessian, gradient.len());
        let hessian = scaled(hessian, &units);
        let along = |gradient: &[f64]| -> Vec<f64> {
            gradient.iter().zip(&units).map(|(g, unit)| g * unit).collect()
        };
        let square = |gradient: &[f64]| -> f64 { sum(along(gradient).iter().map(|g| g * g)) };
        let steepness = square(&gradient);
        let scaled = along(&gradient);
        loop {
            if share > 1e6 {
                return;
            }
            let step = solve(&hessian, share, &scaled);
            let step = step.map(|step| step.iter().zip(&units).map(|(s, u)| s * u).collect());
            if step.is_some_and(|step: Vec<f64>| {
                landscape.go(&step, |gradient| square(gradient) < FLATTER * steepness)
            }) {
                share *= 0.1;
                break;
            }
            share = if share < 1e-15 { 1e-15 } else { share * 4.0 };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rosenbrock's valley, 100(y − x²)² + (1 − x)², from (−1.2, 1) to (1, 1).
    #[test]
    fn newton_follows_a_curved_valley() {
        struct Valley([f64; 2]);
        fn height([x, y]: [f64; 2]) -> f64 {
            100.0 * (y - x * x) * (y - x * x) + (1.0 - x) * (1.0 - x)
        }
        impl Landscape for Valley {
            fn derivatives(&self) -> (Vec<f64>, Vec<f64>) {
                let [x, y] = self.0;
                let gradient =
                    vec![-400.0 * x * (y - x * x) - 2.0 * (1.0 - x), 200.0 * (y - x * x)];
                (gradient, vec![1200.0 * x * x - 400.0 * y + 2.0, -400.0 * x, -400.0 * x, 200.0])
            }
            fn go(&mut self, step: &[f64], _: impl Fn(&[f64]) -> bool) -> bool {
                let next = [self.0[0] + step[0], self.0[1] + step[1]];
                let lower = height(next) < height(self.0);
                if lower {
                    self.0 = next;
                }
                lower
            }
            fn done(&self) -> bool {
                height(self.0) < 1e-24
            }
        }
        let mut valley = Valley([-1.2, 1.0]);
        descend(&mut valley, 50);
        assert!(valley.done(), "{:?}", valley.0);
    }
}
