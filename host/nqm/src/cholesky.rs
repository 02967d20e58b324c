//! Coordinates in which a Hessian is nearly the identity, by Cholesky's factorisation.

use myopia_core::elementary::{Elementary, Libm};
use myopia_core::real::Real;

use crate::lanczos::dot;
use crate::tolerances::Control;

/// The map x = x₀ + U L⁻ᵀ z: U has units along which the diagonal of the Hessian H is at most one,
/// and LLᵀ is UHU + λ.
///
/// As a preconditioner it turns canyons, with walls 10⁸ times as steep as their floor, into
/// valleys.
#[derive(Clone, Debug)]
pub struct Cholesky {
    origin: Vec<f64>,
    /// The diagonal of U.
    units: Vec<f64>,
    /// L row by row; what is above its diagonal has no meaning.
    factor: Vec<f64>,
}

/// The least λ.
const LEAST_DAMPING: f64 = 1e-10;
/// What λ is multiplied by while UHU + λ is not positive definite, and once more after that: at
/// first some directions would seem flat without end.
const DAMPING_RATIO: f64 = 8.0;
/// The largest λ: UHU has a diagonal of at most one.
const LARGEST_DAMPING: f64 = 1e6;

impl Cholesky {
    /// The coordinates around `origin`, where this is the Hessian, row by row; none if that is not
    /// finite, or when it is interrupted.
    pub fn new(origin: Vec<f64>, mut hessian: Vec<f64>, control: &Control<'_>) -> Option<Self> {
        let diagonal = hessian.iter().step_by(origin.len() + 1);
        let units: Vec<f64> =
            diagonal.map(|entry| 1.0 / Libm::sqrt(entry.abs().larger(1.0))).collect();
        for (row, a) in hessian.chunks_exact_mut(units.len()).zip(&units) {
            row.iter_mut().zip(&units).for_each(|(entry, b)| *entry *= a * b);
        }
        let mut damping = LEAST_DAMPING;
        let mut factor = factorised(&hessian, damping, control);
        while factor.is_none() && damping < LARGEST_DAMPING && control.check().is_ok() {
            damping *= DAMPING_RATIO;
            factor = factorised(&hessian, damping, control)
                .and_then(|_| factorised(&hessian, damping * DAMPING_RATIO, control));
        }
        factor.map(|factor| Self { origin, units, factor })
    }

    /// The x of z.
    pub fn point(&self, z: &[f64]) -> Vec<f64> {
        let n = z.len();
        let mut x = z.to_vec();
        for i in (0..n).rev() {
            x[i] /= self.factor[i * n + i];
            let known = x[i];
            for (x, a) in x.iter_mut().zip(&self.factor[i * n..i * n + i]) {
                *x -= known * a;
            }
        }
        let moved = x.iter().zip(&self.units).zip(&self.origin);
        moved.map(|((x, unit), origin)| origin + x * unit).collect()
    }

    /// The gradient by z of what has `gradient` by x: L⁻¹ U times it.
    pub fn gradient(&self, gradient: &[f64]) -> Vec<f64> {
        let n = gradient.len();
        let mut z: Vec<f64> = gradient.iter().zip(&self.units).map(|(g, unit)| g * unit).collect();
        for i in 0..n {
            let row = &self.factor[i * n..i * n + n];
            z[i] = (z[i] - dot(&row[..i], &z[..i])) / row[i];
        }
        z
    }
}

/// The L of `matrix` + λ, unless that is not positive definite or it is interrupted.
fn factorised(matrix: &[f64], damping: f64, control: &Control<'_>) -> Option<Vec<f64>> {
    let n = matrix.len().isqrt();
    let mut factor = matrix.to_vec();
    for i in 0..n {
        control.check().ok()?;
        let (above, row) = factor.split_at_mut(i * n);
        for j in 0..i {
            let other = &above[j * n..j * n + j + 1];
            row[j] = (row[j] - dot(&row[..j], &other[..j])) / other[j];
        }
        let pivot = row[i] + damping - dot(&row[..i], &row[..i]);
        if !(pivot > 0.0 && pivot.is_finite()) {
            return None;
        }
        row[i] = Libm::sqrt(pivot);
    }
    Some(factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// ½xᵀHx has the gradient z by z, and is ½|z|².
    #[test]
    fn in_these_coordinates_a_hessian_is_the_identity() {
        let steep = vec![1e8, -3e3, -3e3, 2.0];
        // Longer than the eight partial sums of a product, of which lengths may not differ.
        let near = |k: i32| 1.0 / f64::from(1 + (k / 20 - k % 20).abs());
        let wide: Vec<f64> = (0..400).map(near).collect();
        for (hessian, n) in [(steep, 2), (wide, 20)] {
            let map = Cholesky::new(vec![0.0; n], hessian.clone(), &Control::default()).unwrap();
            let z: Vec<f64> = (0..n).map(|i| 0.3 - 0.1 * i as f64).collect();
            let x = map.point(&z);
            let gradient: Vec<f64> = hessian.chunks(n).map(|row| dot(row, &x)).collect();
            for (found, known) in map.gradient(&gradient).iter().zip(&z) {
                assert!((found - known).abs() < 1e-7, "{found} {known}");
            }
            assert!((dot(&x, &gradient) - dot(&z, &z)).abs() < 1e-6);
        }
    }

    #[test]
    fn a_saddle_is_damped_and_what_is_not_finite_refused() {
        let go_on = Control::default();
        assert_eq!(factorised(&[1.0, 2.0, 2.0, 1.0], 0.5, &go_on), None);
        let map = |hessian| Cholesky::new(vec![0.0; 2], hessian, &go_on);
        assert!(map(vec![1.0, 0.0, 0.0, -1.0]).is_some());
        assert!(map(vec![f64::NAN; 4]).is_none());
    }
}
