//! Eigenvalues: of symmetric matrices with their vectors, and of any real matrix.

use super::linear::Grid;
use crate::elementary::{Elementary, Libm};
use crate::real::Real;

/// An iteration ran out of steps; for a finite matrix that has not been seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoConvergence;

impl core::fmt::Display for NoConvergence {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("the eigenvalues of the matrix did not converge")
    }
}

impl core::error::Error for NoConvergence {}

/// Sweeps of Jacobi rotations at most; convergence is quadratic and takes about eight.
const SWEEPS: u32 = 60;

/// Eigenvalues of the symmetric `size`·`size` matrix `a`, in no order, left on its diagonal; row i
/// of `vectors` becomes the unit eigenvector of the i-th. Cyclic Jacobi rotations.
///
/// # Errors
/// When the matrix holds a number that is not finite.
pub fn symmetric<T: Real>(a: &mut [T], vectors: &mut [T], size: usize) -> Result<(), NoConvergence>
where
    Libm: Elementary<T>,
{
    vectors.fill(T::ZERO);
    for place in (0..size).map(|i| i * (size + 1)) {
        if let Some(entry) = vectors.get_mut(place) {
            *entry = T::ONE;
        }
    }
    let scale = a.iter().fold(T::ZERO, |scale, x| scale.larger(magnitude(*x)));
    let mut a = Grid::new(a, size);
    for _ in 0..SWEEPS {
        let mut turned = false;
        for row in 0..size {
            for column in row + 1..size {
                let off = a.at(row, column);
                // What is below the rounding of the largest entry is zero.
                if magnitude(off) <= T::EPSILON * T::EPSILON * scale {
                    continue;
                }
                let (c, s, t) = rotation(a.at(row, row), off, a.at(column, column));
                if magnitude(t * off) > T::EPSILON * scale * T::from_f32(0.01) {
                    turned = true;
                }
                rotate(&mut a, (row, column), (c, s, t));
                rotate_rows(vectors, size, (row, column), (c, s));
            }
        }
        if !turned {
            return if scale.finite() { Ok(()) } else { Err(NoConvergence) };
        }
    }
    Err(NoConvergence)
}

/// Cosine, sine and tangent of the smaller angle that makes [[p, off], [off, q]] diagonal.
fn rotation<T: Real>(p: T, off: T, q: T) -> (T, T, T)
where
    Libm: Elementary<T>,
{
    let theta = (q - p) / (off + off);
    let root = Libm::sqrt(theta * theta + T::ONE);
    let t = if theta < T::ZERO { T::ONE / (theta - root) } else { T::ONE / (theta + root) };
    let c = T::ONE / Libm::sqrt(t * t + T::ONE);
    (c, t * c, t)
}

fn rotate<T: Real>(a: &mut Grid<'_, T>, (p, q): (usize, usize), (c, s, t): (T, T, T)) {
    let off = a.at(p, q);
    let (first, last) = (a.at(p, p) - t * off, a.at(q, q) + t * off);
    for k in 0..a.size() {
        if k == p || k == q {
            continue;
        }
        let (x, y) = (a.at(p, k), a.at(q, k));
        let (x, y) = (c * x - s * y, s * x + c * y);
        a.set(p, k, x);
        a.set(k, p, x);
        a.set(q, k, y);
        a.set(k, q, y);
    }
    a.set(p, p, first);
    a.set(q, q, last);
    a.set(p, q, T::ZERO);
    a.set(q, p, T::ZERO);
}

fn rotate_rows<T: Real>(a: &mut [T], size: usize, (p, q): (usize, usize), (c, s): (T, T)) {
    let Some((above, below)) = a.split_at_mut_checked(q * size) else { return };
    let first = above.iter_mut().skip(p * size).take(size);
    for (x, y) in first.zip(below.iter_mut()) {
        let turned = (c * *x - s * *y, s * *x + c * *y);
        (*x, *y) = turned;
    }
}

/// Steps of the QR iteration for one eigenvalue at most; two or three are usual.
const STEPS: u32 = 100;

/// Real and imaginary parts of the eigenvalues of the `size`·`size` matrix `a`, which is
/// overwritten, in the order in which they split off; those of a conjugate pair follow each other,
/// the positive imaginary part first. Reduction to Hessenberg form by Householder reflections, then
/// Francis' double-shift QR.
///
/// # Errors
/// When the iteration does not end, as with entries that are not finite.
pub fn general<T: Real>(
    a: &mut [T],
    size: usize,
    values: &mut [[T; 2]],
) -> Result<(), NoConvergence>
where
    Libm: Elementary<T>,
{
    let scale = a.iter().fold(T::ZERO, |scale, x| scale.larger(magnitude(*x)));
    if !a.iter().all(|x| x.finite()) {
        return Err(NoConvergence);
    }
    let mut h = Grid::new(a, size);
    hessenberg(&mut h);
    let mut values = values.iter_mut();
    let mut put = |re, im| {
        if let Some(value) = values.next() {
            *value = [re, im];
        }
    };
    // Rows 0..end are still coupled.
    let mut end = size;
    let mut steps = 0;
    while end > 0 {
        let last = end - 1;
        let start = (1..=last).rev().find(|&k| negligible(&h, k, scale)).unwrap_or(0);
        if start > 0 {
            h.set(start, start - 1, T::ZERO);
        }
        match last - start {
            0 => {
                put(h.at(last, last), T::ZERO);
                (end, steps) = (last, 0);
            }
            1 => {
                let block = [
                    [h.at(start, start), h.at(start, last)],
                    [h.at(last, start), h.at(last, last)],
                ];
                pair(block).into_iter().for_each(|[re, im]| put(re, im));
                (end, steps) = (start, 0);
            }
            _ => {
                steps += 1;
                if steps > STEPS {
                    return Err(NoConvergence);
                }
                francis(&mut h, start, last, steps);
            }
        }
    }
    Ok(())
}

/// Whether the entry left of diagonal entry k is rounding beside its neighbours on the diagonal.
fn negligible<T: Real>(h: &Grid<'_, T>, k: usize, scale: T) -> bool {
    let beside = magnitude(h.at(k - 1, k - 1)) + magnitude(h.at(k, k));
    let beside = if beside > T::ZERO { beside } else { scale };
    magnitude(h.at(k, k - 1)) <= T::EPSILON * beside
}

/// Eigenvalues of a 2·2 matrix, by the discriminant of its halved difference.
fn pair<T: Real>([[p, q], [r, s]]: [[T; 2]; 2]) -> [[T; 2]; 2]
where
    Libm: Elementary<T>,
{
    let two = T::ONE + T::ONE;
    let half = (p - s) / two;
    let discriminant = half * half + q * r;
    let middle = s + half;
    if discriminant < T::ZERO {
        let im = Libm::sqrt(-discriminant);
        return [[middle, im], [middle, -im]];
    }
    let root = Libm::sqrt(discriminant);
    // The sum of two numbers of one sign, and the other from s + (−q·r)/(half ± root).
    let away = if half < T::ZERO { half - root } else { half + root };
    let first = s + away;
    let second = if away == T::ZERO { first } else { s - q * r / away };
    [[first, T::ZERO], [second, T::ZERO]]
}

/// v of the reflection I − β·v·vᵀ that turns `x` into a multiple of its first unit vector, and β;
/// none when there is nothing to turn.
fn reflection<T: Real, const N: usize>(x: [T; N]) -> Option<([T; N], T)>
where
    Libm: Elementary<T>,
{
    let largest = x.iter().fold(T::ZERO, |largest, x| largest.larger(magnitude(*x)));
    if largest <= T::ZERO {
        return None;
    }
    let mut v = x.map(|x| x / largest);
    let square = v.iter().fold(T::ZERO, |sum, x| sum + *x * *x);
    let first = v.first_mut()?;
    let norm = Libm::sqrt(square);
    *first = if *first < T::ZERO { *first - norm } else { *first + norm };
    let square = v.iter().fold(T::ZERO, |sum, x| sum + *x * *x);
    Some((v, (T::ONE + T::ONE) / square))
}

/// Applies the reflection from the left to rows `row`…, in `columns`.
fn reflect_rows<T: Real, const N: usize>(
    h: &mut Grid<'_, T>,
    row: usize,
    columns: core::ops::Range<usize>,
    (v, beta): ([T; N], T),
) {
    for column in columns {
        let sum = (row..).zip(v).fold(T::ZERO, |sum, (i, v)| sum + v * h.at(i, column));
        for (i, v) in (row..).zip(v) {
            h.set(i, column, h.at(i, column) - beta * sum * v);
        }
    }
}

/// Applies it from the right to columns `column`…, in `rows`.
fn reflect_columns<T: Real, const N: usize>(
    h: &mut Grid<'_, T>,
    column: usize,
    rows: core::ops::Range<usize>,
    (v, beta): ([T; N], T),
) {
    for row in rows {
        let sum = (column..).zip(v).fold(T::ZERO, |sum, (j, v)| sum + v * h.at(row, j));
        for (j, v) in (column..).zip(v) {
            h.set(row, j, h.at(row, j) - beta * sum * v);
        }
    }
}

/// Makes zeros below the first subdiagonal, by reflections of two neighbouring rows from the bottom
/// up.
fn hessenberg<T: Real>(h: &mut Grid<'_, T>)
where
    Libm: Elementary<T>,
{
    let size = h.size();
    for column in 0..size.saturating_sub(2) {
        for row in (column + 1..size - 1).rev() {
            let x = [h.at(row, column), h.at(row + 1, column)];
            if x[1] == T::ZERO {
                continue;
            }
            let Some(reflection) = reflection(x) else { continue };
            reflect_rows(h, row, column..size, reflection);
            reflect_columns(h, row, 0..size, reflection);
            h.set(row + 1, column, T::ZERO);
        }
    }
}

/// One double-shift step on rows and columns `start`..=`last`, three or more, with the two
/// eigenvalues of the last 2·2 block as shifts; every tenth time with others, against cycles.
fn francis<T: Real>(h: &mut Grid<'_, T>, start: usize, last: usize, step: u32)
where
    Libm: Elementary<T>,
{
    let before = last - 1;
    // The shifts are the eigenvalues of [[p, …], […, q]] whose off-diagonal entries multiply to
    // `off`.
    let (mut p, mut q) = (h.at(before, before), h.at(last, last));
    let mut off = h.at(before, last) * h.at(last, before);
    if step.is_multiple_of(10) {
        let size = magnitude(h.at(last, before)) + magnitude(h.at(before, before - 1));
        p = q + T::from_f32(0.75) * size;
        q = p;
        off = T::from_f32(-0.4375) * size * size;
    }
    let (h00, h01) = (h.at(start, start), h.at(start, start + 1));
    let (h10, h11) = (h.at(start + 1, start), h.at(start + 1, start + 1));
    // By differences, which stay exact where all eigenvalues lie near each other, as near the
    // identity.
    let mut x = [
        (h00 - p) * (h00 - q) - off + h01 * h10,
        h10 * ((h00 - p) + (h11 - q)),
        h10 * h.at(start + 2, start + 1),
    ];
    for k in start..last - 1 {
        if let Some(reflection) = reflection(x) {
            let from = if k > start { k - 1 } else { start };
            reflect_rows(h, k, from..last + 1, reflection);
            let below = if k + 4 < last + 1 { k + 4 } else { last + 1 };
            reflect_columns(h, k, start..below, reflection);
        }
        if k > start {
            h.set(k + 1, k - 1, T::ZERO);
            h.set(k + 2, k - 1, T::ZERO);
        }
        x = [h.at(k + 1, k), h.at(k + 2, k), h.at(k + 3, k)];
    }
    if let Some(reflection) = reflection([x[0], x[1]]) {
        reflect_rows(h, before, before - 1..last + 1, reflection);
        reflect_columns(h, before, start..last + 1, reflection);
        h.set(last, before - 1, T::ZERO);
    }
}

fn magnitude<T: Real>(x: T) -> T {
    if x < T::ZERO { -x } else { x }
}
