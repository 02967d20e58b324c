//! Coordinates fitted to a Hessian, and the linear systems behind them.

use myopia_core::elementary::{Elementary, Libm};
use myopia_core::real::Real;
use myopia_core::sum::sum;

/// Coordinates z around a point o in which the second derivatives there are nearly those of a sphere:
/// x = o + U L⁻ᵀ z with U the [`units`] and L Cholesky's factor of UHU + λ, λ the least of some that leave it positive definite.
///
/// Where schedules may go far the landscape is a canyon, its walls 10⁸ times as steep as its floor. In these coordinates
/// L-BFGS follows the floor; otherwise it, and Newton's method too, go from wall to wall.
#[derive(Clone, Debug)]
pub struct Frame {
    origin: Vec<f64>,
    units: Vec<f64>,
    factor: Vec<f64>,
}

/// The least λ.
const LEAST: f64 = 1e-10;
/// How much larger the next λ is, and how much larger than the least sufficient one it is taken: near that one the floor
/// would seem endless.
const MORE: f64 = 4.0;
/// The largest λ: UHU has a diagonal of at most one.
const MOST: f64 = 1e6;

impl Frame {
    /// The coordinates around `origin`, where this is the Hessian, row by row; none if that is not finite.
    pub fn new(origin: Vec<f64>, hessian: Vec<f64>) -> Option<Self> {
        let units = units(&hessian, origin.len());
        let hessian = scaled(hessian, &units);
        let mut damping = LEAST;
        let mut found = factor(&hessian, damping);
        while found.is_none() && damping < MOST {
            damping *= MORE;
            found = factor(&hessian, damping).and_then(|_| factor(&hessian, MORE * damping));
        }
        found.map(|factor| Self { origin, units, factor })
    }

    /// Where z is.
    pub fn point(&self, z: &[f64]) -> Vec<f64> {
        let mut x = z.to_vec();
        back_substitute(&self.factor, &mut x);
        let moved = x.iter().zip(&self.units).map(|(x, unit)| x * unit);
        self.origin.iter().zip(moved).map(|(origin, by)| origin + by).collect()
    }

    /// The gradient by z of what has the gradient `gradient` by x.
    pub fn gradient(&self, gradient: &[f64]) -> Vec<f64> {
        let mut z = gradient.iter().zip(&self.units).map(|(g, unit)| g * unit).collect::<Vec<_>>();
        substitute(&self.factor, &mut z);
        z
    }
}

/// For each coordinate the length along which the second derivative is at most one.
pub fn units(hessian: &[f64], n: usize) -> Vec<f64> {
    let diagonal = hessian.iter().step_by(n + 1);
    diagonal.map(|entry| 1.0 / Libm::sqrt(entry.abs().larger(1.0))).collect()
}

/// The Hessian in these units.
pub fn scaled(mut hessian: Vec<f64>, units: &[f64]) -> Vec<f64> {
    for (row, a) in hessian.chunks_exact_mut(units.len()).zip(units) {
        row.iter_mut().zip(units).for_each(|(entry, b)| *entry *= a * b);
    }
    hessian
}

/// −(H + λ)⁻¹g, unless H + λ is not positive definite.
pub fn solve(hessian: &[f64], damping: f64, gradient: &[f64]) -> Option<Vec<f64>> {
    let factor = factor(hessian, damping)?;
    let mut x: Vec<f64> = gradient.iter().map(|g| -g).collect();
    substitute(&factor, &mut x);
    back_substitute(&factor, &mut x);
    Some(x)
}

/// Cholesky's factor L of H + λ, row by row with what is above its diagonal left as it was, unless H + λ is not
/// positive definite.
fn factor(hessian: &[f64], damping: f64) -> Option<Vec<f64>> {
    let n = hessian.len().isqrt();
    let mut factor = hessian.to_vec();
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
    }
    Some(factor)
}

/// x becomes L⁻¹x.
fn substitute(factor: &[f64], x: &mut [f64]) {
    let n = x.len();
    for i in 0..n {
        let known = dot(&factor[i * n..i * n + i], x);
        x[i] = (x[i] - known) / factor[i * n + i];
    }
}

/// x becomes L⁻ᵀx.
fn back_substitute(factor: &[f64], x: &mut [f64]) {
    let n = x.len();
    for i in (0..n).rev() {
        x[i] /= factor[i * n + i];
        let known = x[i];
        for (x, a) in x.iter_mut().zip(&factor[i * n..i * n + i]) {
            *x -= known * a;
        }
    }
}

/// Σ a_i b_i over the shorter of the two.
fn dot(a: &[f64], b: &[f64]) -> f64 {
    sum(a.iter().zip(b).map(|(a, b)| a * b))
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

    /// In a frame the Hessian is the identity: f = ½xᵀHx has the gradient z, and its value is ½|z|².
    #[test]
    fn a_frame_rounds_a_canyon() {
        let hessian = [1e8, -3e3, -3e3, 2.0];
        let frame = Frame::new(vec![0.0; 2], hessian.to_vec()).unwrap();
        let z = [0.3, -0.8];
        let x = frame.point(&z);
        let gradient: Vec<f64> = hessian.chunks(2).map(|row| dot(row, &x)).collect();
        for (found, known) in frame.gradient(&gradient).iter().zip(z) {
            assert!((found - known).abs() < 1e-8, "{found} {known}");
        }
        assert!((dot(&x, &gradient) - dot(&z, &z)).abs() < 1e-8);
    }

    #[test]
    fn a_saddle_has_a_frame_and_nonsense_has_none() {
        assert!(Frame::new(vec![0.0; 2], vec![1.0, 0.0, 0.0, -1.0]).is_some());
        assert!(Frame::new(vec![0.0; 2], vec![f64::NAN; 4]).is_none());
    }
}
