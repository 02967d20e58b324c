use std::vec;
use std::vec::Vec;

use super::experiment::Bilevel;
use super::game::Game;
use super::inverse::{conjugate_gradient, neumann, nystrom};
use super::linear::{Diagonal, Operator, Square, dot, multiply, product};
use super::{cholesky, eigen, lyapunov, unroll};
use crate::rng::Pcg32;
use crate::sum::sum;

/// Uniform numbers in −1..1.
fn uniform(seed: u64, count: usize) -> Vec<f64> {
    let mut rng = Pcg32::new(seed, 7);
    (0..count).map(|_| 2.0 * rng.uniform::<f64>() - 1.0).collect()
}

/// `shift`·I + BBᵀ/d with B uniform.
fn positive(seed: u64, d: usize, shift: f64) -> Vec<f64> {
    let b = uniform(seed, d * d);
    let mut h = vec![0.0; d * d];
    for i in 0..d {
        multiply(&b, &b[i * d..][..d], &mut h[i * d..][..d]);
    }
    for (place, entry) in h.iter_mut().enumerate() {
        *entry = *entry / d as f64 + if place % (d + 1) == 0 { shift } else { 0.0 };
    }
    h
}

fn largest(x: impl IntoIterator<Item = f64>) -> f64 {
    x.into_iter().fold(0.0, |a, b| if b.abs() > a { b.abs() } else { a })
}

fn apart(x: &[f64], y: &[f64]) -> f64 {
    assert_eq!(x.len(), y.len());
    largest(x.iter().zip(y).map(|(x, y)| x - y)) / largest(y.iter().copied())
}

#[test]
fn a_dot_product_has_the_shape_of_every_long_sum() {
    for count in [0, 1, 7, 8, 9, 40, 61] {
        let (x, y) = (uniform(1, count), uniform(2, count));
        let terms = x.iter().zip(&y).map(|(x, y)| x * y);
        assert_eq!(dot(&x, &y).to_bits(), sum::<f64>(terms).to_bits(), "{count} terms");
    }
}

#[test]
fn cholesky_solves_what_it_factored() {
    for d in [1, 2, 9, 30] {
        let h = positive(3, d, 0.1);
        let b = uniform(4, d);
        let (mut l, mut x, mut back) = (h.clone(), b.clone(), vec![0.0; d]);
        cholesky::factor(&mut l, d).unwrap();
        cholesky::solve(&l, &mut x);
        multiply(&h, &x, &mut back);
        assert!(apart(&back, &b) < 1e-12, "{d}: {back:?} {b:?}");
    }
}

#[test]
fn singular_indefinite_and_nan_matrices_are_refused_at_their_row() {
    let singular = [1.0, 2.0, 2.0, 4.0];
    let indefinite = [1.0, 2.0, 2.0, 1.0];
    let nan = [1.0, 0.0, 0.0, f64::NAN];
    for matrix in [singular, indefinite, nan] {
        let refused = cholesky::factor(&mut matrix.clone(), 2).unwrap_err();
        assert_eq!(refused.row, 1, "{matrix:?}");
    }
}

#[test]
fn conjugate_gradient_ends_after_as_many_products_as_there_are_curvatures() {
    let h: Vec<f64> = (0..12).map(|i| [0.5, 1.0, 3.0][i % 3]).collect();
    let v = uniform(5, 12);
    let (mut x, mut work) = (vec![0.0; 12], [vec![0.0; 12], vec![0.0; 12], vec![0.0; 12]]);
    let [r, p, q] = &mut work;
    let solved = conjugate_gradient(&Diagonal(&h), &v, 100, 1e-12, &mut x, [r, p, q]).unwrap();
    assert_eq!(solved.products, 3);
    let exact: Vec<f64> = v.iter().zip(&h).map(|(v, h)| v / h).collect();
    assert!(apart(&x, &exact) < 1e-12);
    let indefinite = [1.0, -1.0];
    let refused = conjugate_gradient(
        &Diagonal(&indefinite),
        &[0.1, 1.0],
        9,
        0.0,
        &mut x[..2],
        [&mut r[..2], &mut p[..2], &mut q[..2]],
    )
    .unwrap_err();
    assert!(refused.curvature < 0.0 && refused.products == 1, "{refused:?}");
}

/// Relative error (1 − ah)^{K+1} in a direction of curvature h, and T = K + 1 unrolled steps are
/// the same.
#[test]
fn a_neumann_series_is_an_unrolled_descent_and_errs_by_its_power() {
    let h = [2.0, 1.0, 0.3, 0.01];
    let v = [1.0, -2.0, 0.5, 3.0];
    let (mut series, mut pulled) = ([0.0; 4], [0.0; 4]);
    let (mut one, mut two) = ([0.0; 4], [0.0; 4]);
    for terms in [0, 1, 5, 20] {
        neumann(&Diagonal(&h), &v, 0.25, terms, &mut series, [&mut one, &mut two]);
        unroll::adjoint(&Diagonal(&h), &v, 0.25, terms + 1, &mut pulled, [&mut one, &mut two]);
        assert!(apart(&series, &pulled) < 1e-15);
        for i in 0..4 {
            let exact = v[i] / h[i];
            let power = (0..=terms).fold(1.0, |power, _| power * (1.0 - 0.25 * h[i]));
            let error = (exact - series[i]) / exact;
            assert!((error - power).abs() < 1e-14, "{terms}: {error} {power}");
        }
    }
}

#[test]
fn nystrom_of_full_rank_is_the_damped_inverse() {
    let d = 6;
    let h = positive(6, d, 0.2);
    let v = uniform(7, d);
    let places: Vec<u32> = (0..d as u32).collect();
    let (mut x, mut block, mut small) = (vec![0.0; d], vec![0.0; d * d], vec![0.0; d]);
    // Columns of a symmetric matrix are its rows.
    nystrom(&h, &places, &v, 0.3, &mut x, &mut block, &mut small).unwrap();
    let (mut l, mut exact) = (h.clone(), v.clone());
    (0..d).for_each(|i| l[i * (d + 1)] += 0.3);
    cholesky::factor(&mut l, d).unwrap();
    cholesky::solve(&l, &mut exact);
    assert!(apart(&x, &exact) < 1e-12, "{x:?} {exact:?}");
}

#[test]
fn symmetric_matrices_are_made_diagonal_by_an_orthogonal_matrix() {
    for d in [1, 2, 5, 24] {
        let h = positive(8, d, 0.0);
        let (mut a, mut vectors) = (h.clone(), vec![0.0; d * d]);
        eigen::symmetric(&mut a, &mut vectors, d).unwrap();
        let mut image = vec![0.0; d];
        for (i, vector) in vectors.chunks_exact(d).enumerate() {
            multiply(&h, vector, &mut image);
            let value = a[i * (d + 1)];
            let wrong = image.iter().zip(vector).map(|(image, v)| image - value * v);
            assert!(largest(wrong) < 1e-14 * d as f64);
            for (j, other) in vectors.chunks_exact(d).enumerate() {
                let one = if i == j { 1.0 } else { 0.0 };
                assert!((dot(vector, other) - one).abs() < 1e-14 * d as f64);
            }
        }
    }
}

fn eigenvalues(matrix: &[f64], d: usize) -> Vec<[f64; 2]> {
    let mut values = vec![[0.0; 2]; d];
    eigen::general(&mut matrix.to_vec(), d, &mut values).unwrap();
    values.sort_by(|a, b| a[0].total_cmp(&b[0]).then(a[1].total_cmp(&b[1])));
    values
}

/// `numpy.linalg.eigvals(np.sin(np.arange(36).reshape(6, 6)**2 / 7))`, sorted by real and imaginary
/// part.
#[test]
fn eigenvalues_of_any_matrix_are_those_of_numpy() {
    let matrix: Vec<f64> = (0..36).map(|i| libm::sin(f64::from(i * i) / 7.0)).collect();
    let numpy = NUMPY_EIGENVALUES;
    for (found, told) in eigenvalues(&matrix, 6).iter().zip(numpy) {
        let wrong = largest([found[0] - told[0], found[1] - told[1]]);
        assert!(wrong < 1e-13, "{found:?} {told:?}");
    }
}

const NUMPY_EIGENVALUES: [[f64; 2]; 6] = [
    [-2.387275979574361, 0.0],
    [-0.5989237226292674, 0.0],
    [-0.12835510789587165, -1.2633200739887471],
    [-0.12835510789587165, 1.2633200739887471],
    [1.3235139028899812, -0.5079805273821683],
    [1.3235139028899812, 0.5079805273821683],
];

/// A companion matrix whose polynomial is (x² + 1)(x − 3)(x² − 2x + 5), a permutation, and one of
/// zeros.
#[test]
fn eigenvalues_of_companions_permutations_and_zeros_are_known() {
    let near = |found: Vec<[f64; 2]>, told: &[[f64; 2]]| {
        for (found, told) in found.iter().zip(told) {
            let wrong = largest([found[0] - told[0], found[1] - told[1]]);
            assert!(wrong < 1e-12, "{found:?} {told:?}");
        }
    };
    #[rustfmt::skip]
    let companion = [
        5.0, -12.0, 20.0, -11.0, 15.0,
        1.0, 0.0, 0.0, 0.0, 0.0,
        0.0, 1.0, 0.0, 0.0, 0.0,
        0.0, 0.0, 1.0, 0.0, 0.0,
        0.0, 0.0, 0.0, 1.0, 0.0,
    ];
    let mut found = eigenvalues(&companion, 5);
    found.iter_mut().filter(|v| v[0].abs() < 1e-12).for_each(|v| v[0] = 0.0);
    found.iter_mut().filter(|v| (v[0] - 1.0).abs() < 1e-12).for_each(|v| v[0] = 1.0);
    found.sort_by(|a, b| a[0].total_cmp(&b[0]).then(a[1].total_cmp(&b[1])));
    near(found, &[[0.0, -1.0], [0.0, 1.0], [1.0, -2.0], [1.0, 2.0], [3.0, 0.0]]);
    #[rustfmt::skip]
    let cycle = [
        0.0, 0.0, 0.0, 1.0,
        1.0, 0.0, 0.0, 0.0,
        0.0, 1.0, 0.0, 0.0,
        0.0, 0.0, 1.0, 0.0,
    ];
    let mut found = eigenvalues(&cycle, 4);
    found.iter_mut().filter(|v| v[0].abs() < 1e-12).for_each(|v| v[0] = 0.0);
    found.sort_by(|a, b| a[0].total_cmp(&b[0]).then(a[1].total_cmp(&b[1])));
    near(found, &[[-1.0, 0.0], [0.0, -1.0], [0.0, 1.0], [1.0, 0.0]]);
    near(eigenvalues(&[0.0; 9], 3), &[[0.0; 2]; 3]);
    let mut values = [[0.0; 2]; 2];
    assert!(eigen::general(&mut [1.0, f64::NAN, 0.0, 1.0], 2, &mut values).is_err());
}

/// Larger matrices: the sums of the eigenvalues and of their squares are traces.
#[test]
fn eigenvalues_of_larger_matrices_add_up_to_traces() {
    for d in [3, 10, 40] {
        let matrix = uniform(9, d * d);
        let values = eigenvalues(&matrix, d);
        let mut square = vec![0.0; d * d];
        product(&matrix, &matrix, d, d, &mut square);
        let trace = |m: &[f64]| (0..d).fold(0.0, |sum, i| sum + m[i * (d + 1)]);
        let first = values.iter().fold(0.0, |sum, v| sum + v[0]);
        let second = values.iter().fold(0.0, |sum, v| sum + v[0] * v[0] - v[1] * v[1]);
        assert!((first - trace(&matrix)).abs() < 1e-12 * d as f64);
        assert!((second - trace(&square)).abs() < 1e-11 * d as f64);
    }
}

/// I − ε·BBᵀ with B of fewer columns than rows: most eigenvalues are 1, all are near it, and shifts
/// of that size would cancel.
#[test]
fn eigenvalues_near_the_identity_split_off_too() {
    for d in [5, 9, 24] {
        for scale in [1e-3, 1e-9, 1e-13] {
            let b = uniform(12, d * 3);
            let mut matrix = vec![0.0; d * d];
            for i in 0..d {
                for j in 0..d {
                    let own = if i == j { 1.0 } else { 0.0 };
                    matrix[i * d + j] = own - scale * dot(&b[i * 3..][..3], &b[j * 3..][..3]);
                }
            }
            let values = eigenvalues(&matrix, d);
            let ones = values.iter().filter(|v| (v[0] - 1.0).abs() < 1e-14).count();
            assert!(ones >= d - 3, "{d} {scale}: {values:?}");
            assert!(values.iter().all(|v| v[1].abs() < 1e-7), "{d} {scale}: {values:?}");
        }
    }
}

#[test]
fn a_stationary_covariance_maps_to_itself_and_unstable_dynamics_have_none() {
    let d = 5;
    let mut jacobian = uniform(10, d * d);
    jacobian.iter_mut().for_each(|j| *j *= 0.45);
    let noise = positive(11, d, 0.1);
    let (mut power, mut sigma) = (jacobian.clone(), noise.clone());
    let (mut half, mut added) = (vec![0.0; d * d], vec![0.0; d * d]);
    lyapunov::stationary(&mut power, &mut sigma, d, [&mut half, &mut added]).unwrap();
    product(&jacobian, &sigma, d, d, &mut half);
    for i in 0..d {
        for j in 0..d {
            let moved = dot(&half[i * d..][..d], &jacobian[j * d..][..d]) + noise[i * d + j];
            assert!((moved - sigma[i * d + j]).abs() < 1e-13);
        }
    }
    // α²c/(1 − (1 − αh)²), the noisy quadratic's.
    let (mut j, mut s) = ([1.0 - 0.1 * 0.5], [0.1 * 0.1 * 2.0]);
    let work = [&mut half[..1], &mut added[..1]];
    lyapunov::stationary(&mut j, &mut s, 1, work).unwrap();
    assert!((s[0] - 0.02 / (1.0 - 0.95 * 0.95)).abs() < 1e-15);
    for factor in [1.0, -1.0, 1.1] {
        let work = [&mut half[..1], &mut added[..1]];
        assert!(lyapunov::stationary(&mut [factor], &mut [1.0], 1, work).is_err());
    }
}

/// One weight, one hyperparameter: trace and determinant by hand.
#[test]
fn jacobians_of_a_game_of_two_numbers_are_those_written_by_hand() {
    let (h, a_matrix, g, a, b) = (0.5, 2.0, 3.0, 0.4, 0.1);
    let game =
        Game { hessian: &[h], mixed: &[h * a_matrix], pull: &[a_matrix * g], inner: 1, outer: 1 };
    let close = |found: &[f64], told: &[f64]| {
        assert!(apart(found, told) < 1e-15, "{found:?} {told:?}");
    };
    let mut joint = [0.0; 4];
    game.simultaneous(a, b, &mut joint);
    let top = [1.0 - a * h, a * h * a_matrix];
    close(&joint, &[top[0], top[1], -b * a_matrix * g, 1.0]);
    game.alternating(a, b, &mut joint);
    let kept = 1.0 - a * h;
    let response = 1.0 - a * b * h * a_matrix * a_matrix * g;
    close(&joint, &[top[0], top[1], -b * a_matrix * g * kept, response]);
    // The determinant of the alternating dynamics is that of inner descent alone.
    let determinant: f64 = joint[0] * joint[3] - joint[1] * joint[2];
    assert!((determinant - kept).abs() < 1e-15);
    let mut alone = [0.0];
    game.stackelberg(b, &[a_matrix], &mut alone);
    close(&alone, &[1.0 - b * a_matrix * a_matrix * g]);
}

#[test]
fn a_descent_in_steps_is_its_closed_form() {
    let h = positive(12, 4, 0.1);
    let (centre, mut w) = (uniform(13, 4), uniform(14, 4));
    let hessian = Square { entries: &h, size: 4 };
    let start = w.clone();
    let (mut one, mut two) = (vec![0.0; 4], vec![0.0; 4]);
    unroll::descend(&hessian, &centre, 0.3, 2, &mut w, [&mut one, &mut two]);
    // (I − aH)² by hand.
    let mut left: Vec<f64> = start.iter().zip(&centre).map(|(w, c)| w - c).collect();
    for _ in 0..2 {
        hessian.apply(&left, &mut one);
        left.iter_mut().zip(&one).for_each(|(l, o)| *l -= 0.3 * o);
    }
    let told: Vec<f64> = left.iter().zip(&centre).map(|(l, c)| l + c).collect();
    assert!(apart(&w, &told) < 1e-14);
}

/// Every target must give these bits.
#[test]
fn the_experiment_has_its_golden_outcome() {
    let single = Bilevel::<f32>::new().run(1, 20, &mut |_| {}).unwrap();
    let double = Bilevel::<f64>::new().run(1, 20, &mut |_| {}).unwrap();
    assert_eq!((single.digest, single.loss), (0xfe57_3bbe_d80e_ec8e, 0x3eb9_bf77), "{single:x?}");
    assert_eq!(
        (double.digest, double.loss),
        (0xdb9a_7601_6260_7b7d, 0x3fd7_37ee_cc86_d456),
        "{double:x?}"
    );
}
