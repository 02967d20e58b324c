//! H = L·Lᵀ, in place.

use super::linear::dot;
use crate::elementary::{Elementary, Libm};
use crate::real::Real;

/// A matrix is not positive definite as far as its rounding tells: what `pivot` of its
/// factorisation should be positive is not.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NotPositiveDefinite<T> {
    /// Counted from 0.
    pub row: usize,
    /// What is left of the diagonal entry of `row`.
    pub pivot: T,
    /// That entry itself.
    pub diagonal: T,
}

impl<T: Real> core::fmt::Display for NotPositiveDefinite<T> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(
            f,
            "pivot {} of its Cholesky factorisation is {:e} where the diagonal holds {:e}",
            self.row + 1,
            self.pivot.to_f64(),
            self.diagonal.to_f64()
        )
    }
}

impl<T: Real> core::error::Error for NotPositiveDefinite<T> {}

/// Replaces the lower triangle of the `size`·`size` matrix `a` by L; above the diagonal nothing is
/// read.
///
/// A pivot counts as positive above `size`·ε times the diagonal entry it came from: below, its sign
/// is rounding.
///
/// # Errors
/// The first pivot that is not positive; `a` is then half changed.
pub fn factor<T: Real>(a: &mut [T], size: usize) -> Result<(), NotPositiveDefinite<T>>
where
    Libm: Elementary<T>,
{
    if size == 0 {
        return Ok(());
    }
    let noise = T::from_u32(u32::try_from(size).unwrap_or(u32::MAX)) * T::EPSILON;
    for i in 0..size {
        let Some((above, rest)) = a.split_at_mut_checked(i * size) else { return Ok(()) };
        let Some(row) = rest.get_mut(..size) else { return Ok(()) };
        for (j, other) in above.chunks_exact(size).enumerate() {
            let Some((left, entry)) = row.split_at_mut_checked(j) else { break };
            let (Some(entry), Some(pivot)) = (entry.first_mut(), other.get(j)) else { break };
            *entry = (*entry - dot(left, other.get(..j).unwrap_or(&[]))) / *pivot;
        }
        let Some((left, entry)) = row.split_at_mut_checked(i) else { break };
        let Some(entry) = entry.first_mut() else { break };
        let (diagonal, left) = (*entry, &*left);
        let pivot = diagonal - dot(left, left);
        // A NaN compares with nothing and is refused too.
        let positive = diagonal > T::ZERO && pivot > noise * diagonal;
        if !positive {
            return Err(NotPositiveDefinite { row: i, pivot, diagonal });
        }
        *entry = Libm::sqrt(pivot);
    }
    Ok(())
}

/// Replaces `b` by H⁻¹`b`, where `l` holds what [`factor`] made of H.
pub fn solve<T: Real>(l: &[T], b: &mut [T]) {
    let size = b.len();
    if size == 0 {
        return;
    }
    for (i, row) in l.chunks_exact(size).enumerate().take(size) {
        let Some((done, rest)) = b.split_at_mut_checked(i) else { break };
        let (Some(entry), Some(pivot)) = (rest.first_mut(), row.get(i)) else { break };
        *entry = (*entry - dot(row.get(..i).unwrap_or(&[]), done)) / *pivot;
    }
    // Not `chunks_exact(size).rev()`, in which the compiler sees a panic.
    for i in (0..size).rev() {
        let Some(row) = l.get(i * size..).and_then(|rows| rows.get(..size)) else { continue };
        let Some((rest, done)) = b.split_at_mut_checked(i) else { break };
        let (Some(entry), Some(pivot)) = (done.first_mut(), row.get(i)) else { break };
        *entry = *entry / *pivot;
        // Lᵀ is met column by column: each entry of b loses its terms in descending order.
        let solved = *entry;
        for (b, l) in rest.iter_mut().zip(row) {
            *b = *b - *l * solved;
        }
    }
}
