use super::*;
use crate::matrix::Matrix;
use crate::problem::{Penalty, Quadratic, Ridge};

/// ((k·(i + 3)²) mod 17 − 8)/8: exact in binary, and NumPy makes the same.
fn numbers(count: usize, k: usize) -> Vec<f64> {
    (0..count).map(|i| ((k * (i + 3) * (i + 3)) % 17) as f64 / 8.0 - 1.0).collect()
}

fn dense(rows: usize, columns: usize, entries: Vec<f64>) -> Matrix {
    Matrix::Dense { rows, columns, entries }
}

/// BBᵀ/4 + I/2.
fn positive(d: usize, k: usize) -> Matrix {
    let b = numbers(d * d, k);
    let mut entries = vec![0.0; d * d];
    for i in 0..d {
        for j in 0..d {
            entries[i * d + j] = dot(&b[i * d..][..d], &b[j * d..][..d]) / 4.0;
        }
        entries[i * d + i] += 0.5;
    }
    dense(d, d, entries)
}

fn quadratic(w: Option<Vec<f64>>) -> Quadratic {
    Quadratic::new(
        positive(5, 3),
        dense(5, 3, numbers(15, 5)),
        positive(5, 7),
        numbers(5, 11),
        w,
        vec![0.5, -0.25, 1.0],
        Some(vec![0.125, 0.25, -0.5]),
    )
    .unwrap()
}

fn methods(text: &str) -> Vec<Method> {
    text.split(',').map(|method| method.parse().unwrap()).collect()
}

fn settings() -> Settings {
    Settings { step: 0.125, rho: 0.25, check: true, ..Settings::default() }
}

/// What NumPy 2 computes of the same problem, by the script below, at w = Aλ and at another w.
///
/// ```python
/// import numpy as np
/// f = lambda n, k: np.array([(k*(i+3)**2) % 17 / 8 - 1 for i in range(n)])
/// pos = lambda d, k: (lambda b: b @ b.T/4 + np.eye(d)/2)(f(d*d, k).reshape(d, d))
/// H, A, G, ws = pos(5, 3), f(15, 5).reshape(5, 3), pos(5, 7), f(5, 11)
/// lam, c, a, I = np.array([.5, -.25, 1]), np.array([.125, .25, -.5]), .125, np.eye(5)
/// for w in (A @ lam, f(5, 13)):
///     v = G @ (w - ws)
///     hyper = lambda x: c + A.T @ H @ x
///     print(hyper(np.linalg.solve(H, v)))
///     wt, g = w, np.array(c)                               # unrolled:6, by forward tangents
///     Z = np.zeros((5, 3))
///     for _ in range(6): wt, Z = wt - a*H @ (wt - A @ lam), Z - a*H @ (Z - A)
///     print(c + Z.T @ G @ (wt - ws))
///     print(hyper(a*sum(np.linalg.matrix_power(I - a*H, j) for j in range(8)) @ v))
///     print(hyper(a*v))
///     x, r, p = np.zeros(5), v.copy(), v.copy()
///     for _ in range(3):
///         q = H @ p; s = r @ r/(p @ q); x += s*p; n = r - s*q; p = n + (n @ n)/(r @ r)*p; r = n
///     print(hyper(x))
///     print(hyper(np.linalg.solve(H + .75*I, v)))
/// ```
const NUMPY: [[[f64; 3]; 6]; 2] = [
    [
        [1.4516143798828125, 0.6448974609374998, 1.973342895507812],
        [0.7976941043243687, 0.3570383836396819, 0.6827211254666881],
        [0.9283550974018304, 0.3901341217688102, 0.9296265711897187],
        [0.27717187255620956, 0.2676148936152458, -0.24284478276968002],
        [1.452510856961832, 0.6496933605119715, 1.9701121998382214],
        [0.8360011094662929, 0.3971192072351192, 0.7863859726815972],
    ],
    [
        [0.2506103515625, 0.63641357421875, -0.052307128906250056],
        [0.5246769301945409, 0.3699028802941253, 0.1939089792468054],
        [0.16278012699839042, 0.4467942298293358, -0.2573558730360975],
        [0.12881892919540405, 0.28342318534851074, -0.4580085873603821],
        [0.24739135813248903, 0.636751336290561, -0.058066866274725626],
        [0.16724763099688894, 0.4333252986209903, -0.2776740582581847],
    ],
];

#[test]
fn every_method_gives_what_numpy_gives() {
    let names = methods("exact,unrolled:6,neumann:7,identity,cg:3,damped:0.75");
    for (w, told) in [None, Some(numbers(5, 13))].into_iter().zip(NUMPY) {
        let found = compare(&quadratic(w), &names, &settings()).unwrap();
        for (found, told) in found.iter().zip(told) {
            let error = relative_error(&found.hypergradient, &told).unwrap();
            assert!(error < 1e-12, "{}: {:?} {told:?}", found.method, found.hypergradient);
        }
    }
}

#[test]
fn exact_and_unrolled_hypergradients_are_what_central_differences_say() {
    for w in [None, Some(numbers(5, 13))] {
        let found =
            compare(&quadratic(w), &methods("exact,unrolled:0,unrolled:1,unrolled:9"), &settings());
        for estimate in found.unwrap() {
            let check = estimate.check.unwrap();
            assert_eq!(check.places, [0, 1, 2]);
            let error = check.relative_error.unwrap();
            assert!(error < 1e-8, "{}: {error}", estimate.method);
        }
    }
}

#[test]
fn at_the_fixed_point_neumann_of_k_is_unrolled_of_k_plus_one_at_the_same_cost() {
    for terms in [0, 1, 4, 30] {
        let names = methods(&format!("neumann:{terms},unrolled:{}", terms + 1));
        let found = compare(&quadratic(None), &names, &settings()).unwrap();
        let error = relative_error(&found[0].hypergradient, &found[1].hypergradient).unwrap();
        assert!(error < 1e-14, "{terms}: {error}");
        assert_eq!(found[0].products, found[1].products);
    }
    let found = compare(&quadratic(None), &methods("neumann:0,identity"), &settings()).unwrap();
    assert_eq!(found[0].hypergradient, found[1].hypergradient);
}

/// One direction to a band: its error is (1 − ah)^{K+1}.
#[test]
fn the_error_in_a_direction_is_a_power_of_what_one_step_leaves() {
    let h = vec![2.0, 0.5, 0.125, 0.03125];
    let ones = || Matrix::Diagonal(vec![1.0; 4]);
    let problem = Quadratic::new(
        Matrix::Diagonal(h.clone()),
        ones(),
        ones(),
        vec![1.0, -2.0, 3.0, -4.0],
        None,
        vec![0.0; 4],
        None,
    )
    .unwrap();
    let found = compare(&problem, &methods("neumann:9,unrolled:10"), &settings()).unwrap();
    for estimate in found {
        assert_eq!(estimate.bands.len(), 4);
        for (band, h) in estimate.bands.iter().zip(h.iter().rev()) {
            let power = (0..10).fold(1.0, |power, _| power * (1.0 - 0.125 * h));
            let error = band.relative_error.unwrap();
            assert_eq!((band.lowest, band.directions), (*h, 1));
            assert!((error - power).abs() < 1e-14, "{}: {error} {power}", estimate.method);
        }
    }
}

#[test]
fn what_has_all_the_products_it_needs_is_exact() {
    let found = compare(
        &quadratic(None),
        &methods("exact,cg:5,cg,damped:0,neumann:4000,nystrom:5,damped:0.25"),
        &settings(),
    )
    .unwrap();
    for estimate in &found[..5] {
        assert!(estimate.relative_error.unwrap() < 1e-9, "{estimate:?}");
        assert!((estimate.cosine.unwrap() - 1.0).abs() < 1e-12);
    }
    // Nyström with all columns is H damped by ρ.
    let (nystrom, damped) = (&found[5].hypergradient, &found[6].hypergradient);
    assert!(relative_error(nystrom, damped).unwrap() < 1e-12);
    assert_eq!(found.iter().map(|e| e.products).collect::<Vec<_>>()[..2], [0, 5]);
}

#[test]
fn bands_divide_the_error_of_an_estimate_without_rest() {
    let problem = quadratic(None);
    let found = compare(&problem, &methods("neumann:3"), &settings()).unwrap();
    let v = problem.outer_gradient(&problem.w);
    let exact = problem.solve(0.0, &v).unwrap();
    let x = solve(&problem, Method::Neumann(3), &settings(), &v).unwrap().x;
    let bands = Bands::new(problem.spectrum().unwrap().unwrap());
    let directions = found[0].bands.iter().fold(0, |sum, band| sum + band.directions);
    assert_eq!(directions, 5);
    // |x − exact|² is the sum over bands of (relative error)²·|P exact|².
    let zero = bands.errors(&[0.0; 5], &exact);
    assert!(zero.iter().all(|b| (b.relative_error.unwrap() - 1.0).abs() < 1e-12));
    let whole = relative_error(&x, &exact).unwrap();
    let largest = found[0].bands.iter().filter_map(|b| b.relative_error);
    assert!(largest.fold(0.0, |a, b| if b > a { b } else { a }) >= whole);
}

fn refusal(problem: Result<Quadratic, Error>, names: &str, settings: Settings) -> String {
    match problem {
        Err(e) => e.to_string(),
        Ok(problem) => compare(&problem, &methods(names), &settings).unwrap_err().to_string(),
    }
}

#[test]
fn what_has_no_hypergradient_is_said_with_its_reason() {
    let with = |h: Matrix| {
        let d = h.rows();
        let ones = || Matrix::Diagonal(vec![1.0; d]);
        Quadratic::new(h, ones(), ones(), vec![1.0; d], None, vec![0.0; d], None)
    };
    let says = |h, words: &str| {
        let said = refusal(with(h), "exact", settings());
        assert!(said.contains(words), "{said}");
    };
    says(dense(2, 2, vec![1.0, 2.0, 2.0, 4.0]), "H is singular or indefinite: pivot 2");
    says(dense(2, 2, vec![1.0, 2.0, 2.0, 1.0]), "is -3e0 where the diagonal holds 1e0");
    says(Matrix::Diagonal(vec![1.0, 0.0]), "direction 2 has curvature 0e0");
    says(dense(2, 2, vec![1.0, 0.5, 0.25, 1.0]), "H is not symmetric: entry (2, 1)");
    says(dense(2, 2, vec![1.0, 0.0, 0.0, f64::NAN]), "entry 4 of H is not finite");
    says(dense(2, 1, vec![1.0, 0.0]), "H has shape 2 x 1 where 2 x 2 is needed");
    let loud = Settings { step: 1e9, ..settings() };
    let said = refusal(with(Matrix::Diagonal(vec![1.0, 2.0])), "unrolled:900", loud);
    assert!(said.contains("unrolled:900 left the finite range: the step 1000000000"), "{said}");
    // A residual that rounding keeps above the tolerance.
    let strict = Settings { tolerance: 1e-40, ..settings() };
    let hard = with(Matrix::Diagonal(vec![1.0, 0.7, 0.3, 0.11, 0.013, 0.0017]));
    let said = refusal(hard, "cg", strict);
    assert!(said.contains("conjugate gradient did not converge: after"), "{said}");
    let wrong = Settings { step: 0.0, ..settings() };
    let said = refusal(with(Matrix::Diagonal(vec![1.0, 2.0])), "exact", wrong);
    assert!(said.contains("the step is 0.0; give a positive"), "{said}");
}

/// A step beyond 2 over the highest curvature is allowed and marked: longer is worse.
#[test]
fn a_step_that_diverges_is_marked() {
    let wild = Settings { step: 5.0, ..settings() };
    let found = compare(&quadratic(None), &methods("exact,neumann:5,neumann:9"), &wild).unwrap();
    assert_eq!(found.iter().map(|e| e.diverges).collect::<Vec<_>>(), [false, true, true]);
    assert!(found[2].relative_error > found[1].relative_error);
}

fn ridge(penalty: Penalty, weights: usize, w: Option<Vec<f64>>) -> Ridge {
    let lambda = match penalty {
        Penalty::Global => vec![-0.5],
        Penalty::PerWeight => numbers(weights, 6),
    };
    let rows = |count: usize, k| (numbers(count * weights, k), numbers(count, k + 3));
    Ridge::new(rows(6, 3), rows(5, 8), penalty, lambda, w).unwrap()
}

/// Fewer weights than examples and more, one penalty and many, at the optimum and off it.
#[test]
fn ridge_hypergradients_are_what_central_differences_say() {
    for penalty in [Penalty::Global, Penalty::PerWeight] {
        for weights in [4, 11] {
            for w in [None, Some(numbers(weights, 13))] {
                let problem = ridge(penalty, weights, w);
                let found = compare(&problem, &methods("exact,unrolled:7"), &settings()).unwrap();
                for estimate in found {
                    let error = estimate.check.unwrap().relative_error.unwrap();
                    assert!(error < 1e-7, "{penalty:?} {weights} {}: {error}", estimate.method);
                }
            }
        }
    }
}

#[test]
fn ridge_by_examples_solves_what_ridge_by_weights_solves() {
    let problem = ridge(Penalty::PerWeight, 11, None);
    let b = numbers(11, 2);
    let x = problem.solve(0.0, &b).unwrap();
    let mut back = vec![0.0; 11];
    problem.hessian().apply(&x, &mut back);
    assert!(relative_error(&back, &b).unwrap() < 1e-13);
    let gradient = problem.inner_gradient(problem.point());
    assert!(dot(&gradient, &gradient) < 1e-26, "{gradient:?}");
}

#[test]
fn methods_are_read_as_they_are_written() {
    for text in
        ["exact", "unrolled:20", "neumann:0", "identity", "cg", "cg:5", "nystrom:5", "damped:0.1"]
    {
        assert_eq!(text.parse::<Method>().unwrap().to_string(), text);
    }
    for text in ["cholesky", "cg:-1", "neumann:x", "damped:-1", "damped:inf", "unrolled", ""] {
        assert!(text.parse::<Method>().is_err(), "{text}");
    }
}
