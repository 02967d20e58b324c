//! The best learning rates without noise: inverse Ritz values, in Leja's order.

use myopia_core::elementary::{Elementary, Libm};

use crate::error::Interrupted;
use crate::lanczos::Tridiagonal;
use crate::tolerances::Control;

/// The eigenvalues of the matrix above zero, the Ritz values, in ascending order.
///
/// Gradient descent with the learning rates 1/ρ over the Ritz values ρ, in any order, arrives where
/// conjugate gradient arrives, and without noise no method of so many steps gets farther.
///
/// # Errors
/// When it is interrupted.
pub fn ritz_values(matrix: &Tridiagonal, control: &Control<'_>) -> Result<Vec<f64>, Interrupted> {
    let values = eigenvalues(&matrix.diagonal, &matrix.squares, control)?;
    Ok(values.into_iter().filter(|value| *value > 0.0).collect())
}

/// The eigenvalues, in ascending order, of the symmetric tridiagonal matrix with this diagonal and
/// these squares of the elements next to it, by bisection on Sturm's count.
fn eigenvalues(
    diagonal: &[f64],
    squares: &[f64],
    control: &Control<'_>,
) -> Result<Vec<f64>, Interrupted> {
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
            control.check()?;
            let middle = low + (high - low) / 2.0;
            if !(low < middle && middle < high) {
                return Ok(middle);
            }
            if below(middle) > i { high = middle } else { low = middle }
        }
    };
    (0..n).map(nth).collect()
}

/// `rates` in Leja's order, in which the products of 1 − αh stay small on the way: first the
/// smallest, then always the one whose inverse has the largest product of distances from the
/// inverses of those before it.
///
/// # Errors
/// When it is interrupted.
pub fn leja_order(rates: &[f64], control: &Control<'_>) -> Result<Vec<f64>, Interrupted> {
    let mut rest: Vec<(f64, f64)> = rates.iter().map(|rate| (1.0 / rate, 0.0)).collect();
    let mut order = Vec::with_capacity(rates.len());
    let mut next =
        rest.iter().enumerate().max_by(|(_, a), (_, b)| a.0.total_cmp(&b.0)).map(|(i, _)| i);
    while let Some(i) = next {
        control.check()?;
        let (node, _) = rest.swap_remove(i);
        order.push(1.0 / node);
        for (other, distance) in &mut rest {
            let apart = (*other - node).abs();
            *distance += Libm::ln(if apart > 0.0 { apart } else { f64::MIN_POSITIVE });
        }
        next = rest.iter().enumerate().max_by(|(_, a), (_, b)| a.1.total_cmp(&b.1)).map(|(i, _)| i);
    }
    Ok(order)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The matrix with 2 on the diagonal and −1 beside it has the eigenvalues 2 − 2 cos(kπ/(n +
    /// 1)).
    #[test]
    fn eigenvalues_of_the_second_difference_are_known() {
        let found = eigenvalues(&[2.0; 5], &[1.0; 4], &Control::default()).unwrap();
        let root = Libm::sqrt(3.0);
        for (found, known) in found.iter().zip([2.0 - root, 1.0, 2.0, 3.0, 2.0 + root]) {
            assert!((found - known).abs() < 1e-14, "{found} {known}");
        }
    }

    #[test]
    fn leja_order_keeps_every_rate() {
        let rates = [1.0, 2.0, 3.0, 4.0, 5.0];
        let mut order = leja_order(&rates, &Control::default()).unwrap();
        assert_eq!(order[0], 1.0, "the largest curvature first");
        assert_eq!(order[1], 5.0, "then the smallest");
        order.sort_by(f64::total_cmp);
        for (a, b) in order.iter().zip(rates) {
            assert!((a - b).abs() < 1e-15);
        }
    }
}
