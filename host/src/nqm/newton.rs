//! Newton's method with damping, for landscapes too ill-conditioned for quasi-Newton steps.

use myopia_core::elementary::{Elementary, Libm};
use myopia_core::real::Real;
use myopia_core::sum::sum;

/// A function to be minimised, and the point it is at.
pub trait Landscape {
    /// Gradient and Hessian at the point, the Hessian row by row.
    fn derivatives(&self) -> (Vec<f64>, Vec<f64>);
    /// Goes by `step` when that leads lower, and says whether it did.
    fn go(&mut self, step: &[f64]) -> bool;
    /// Whether the search may end.
    fn done(&self) -> bool;
}

/// Steps −(H + λD)⁻¹g with D the sizes of H's diagonal, λ raised until H + λD is positive definite and the step leads lower,
/// and lowered after success (Marquardt 1963), at most `iterations` of them.
pub fn descend(landscape: &mut impl Landscape, iterations: usize) {
    let mut share = 1e-3;
    for _ in 0..iterations {
        if landscape.done() {
            return;
        }
        let (gradient, mut hessian) = landscape.derivatives();
        let units = units(&hessian, gradient.len());
        for (row, a) in hessian.chunks_exact_mut(gradient.len()).zip(&units) {
            row.iter_mut().zip(&units).for_each(|(entry, b)| *entry *= a * b);
        }
        let scaled: Vec<f64> = gradient.iter().zip(&units).map(|(g, unit)| g * unit).collect();
        loop {
            if share > 1e6 {
                return;
            }
            let step = solve(&hessian, share, &scaled);
            let step = step.map(|step| step.iter().zip(&units).map(|(s, u)| s * u).collect());
            if step.is_some_and(|step: Vec<f64>| landscape.go(&step)) {
                share *= 0.1;
                break;
            }
            share = if share < 1e-15 { 1e-15 } else { share * 4.0 };
        }
    }
}

/// For each coordinate the length along which the second derivative is at most one.
pub fn units(hessian: &[f64], n: usize) -> Vec<f64> {
    let diagonal = hessian.iter().step_by(n + 1);
    diagonal.map(|entry| 1.0 / Libm::sqrt(entry.abs().larger(1.0))).collect()
}

/// −(H + λ)⁻¹g by Cholesky's factorisation, unless H + λ is not positive definite.
fn solve(hessian: &[f64], damping: f64, gradient: &[f64]) -> Option<Vec<f64>> {
    let n = gradient.len();
    let mut factor = hessian.to_vec();
    for i in 0..n {
        let (above, row) = factor.split_at_mut(i * n);
        for j in 0..i {
            let other = &above[j * n..j * n + j + 1];
            let dot: f64 = sum(row[..j].iter().zip(other).map(|(a, b)| a * b));
            row[j] = (row[j] - dot) / other[j];
        }
        let square: f64 = sum(row[..i].iter().map(|a| a * a));
        let pivot = row[i] + damping - square;
        if pivot.is_nan() || pivot <= 0.0 {
            return None;
        }
        row[i] = Libm::sqrt(pivot);
    }
    let mut x: Vec<f64> = gradient.iter().map(|g| -g).collect();
    for i in 0..n {
        let dot: f64 = sum(factor[i * n..i * n + i].iter().zip(&x).map(|(a, b)| a * b));
        x[i] = (x[i] - dot) / factor[i * n + i];
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
        let x = solve(&hessian, 1.0, &[-6.0, 2.0]).unwrap();
        for (x, known) in x.iter().zip([20.0 / 11.0, -14.0 / 11.0]) {
            assert!((x - known).abs() < 1e-15, "{x} {known}");
        }
        assert_eq!(solve(&[1.0, 2.0, 2.0, 1.0], 0.5, &[1.0, 1.0]), None);
    }

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
            fn go(&mut self, step: &[f64]) -> bool {
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
