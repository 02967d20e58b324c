//! The Lyapunov exponent of training against two runs that part, and the sharpness against a
//! Hessian that is written out.

use myopia::precision::Numbers;
use myopia::precision::Precision::F64;
use myopia::problem::{CurvatureMatrix, InnerOptimizer, Tangents};
use myopia::problem::{Data, ExampleSet, Examples, InitialParams, Problem, Rates, Sets, Stream};
use myopia_core::bilevel::eigen::symmetric;
use myopia_core::elementary::{Elementary, Libm};
use myopia_core::optimizer::{Decay, Hyperparameters, Method};
use myopia_core::rng::Pcg32;
use myopia_core::schedule::InverseTime;
use myopia_tests::{glyphs, problem};

fn numbers(numbers: &Numbers) -> &[f64] {
    match numbers {
        Numbers::F64(numbers) => numbers,
        Numbers::F32(_) => panic!("double precision"),
    }
}

fn norm(x: &[f64]) -> f64 {
    Libm::sqrt(x.iter().fold(0.0, |sum, x| sum + x * x))
}

#[test]
fn the_exponent_is_how_fast_two_runs_part() {
    let data = glyphs(F64);
    let schedule = InverseTime { alpha0: 0.05, time_constant: 30.0, beta: 0.7 };
    let nesterov = Method::Sgd { momentum: 0.8, is_nesterov: true };
    let nesterov = Hyperparameters { method: nesterov, decay: Decay::Coupled(1e-2) };
    let adam = Method::Adam { beta1: 0.9, beta2: 0.99, epsilon: 1e-2, epsilon_root: 1e-6 };
    let adam = Hyperparameters { method: adam, decay: Decay::None };
    let given = [(None, 0.05), (Some(nesterov), 0.05), (Some(adam), 0.003)];
    for (optimizer, alpha0) in given {
        let optimizer = optimizer.map(InnerOptimizer::from);
        let problem = Problem { optimizer, ..problem(&data, &[14], 20, 2) };
        let schedule = InverseTime { alpha0, ..schedule };
        let horizon = 23;
        let start = problem.start(0, 0.0).unwrap();
        let exponent = problem.exponent(&start, Rates::Schedule(&schedule), horizon).unwrap();
        let mut rng = Pcg32::new(problem.seed, Stream::Tangents as u64);
        let count = problem.parameters();
        let direction: Vec<f64> = (0..count).map(|_| f64::from(rng.normal::<f32>())).collect();
        let run = |along: f64| {
            let values = numbers(&start.0).iter().zip(&direction);
            let moved = values.map(|(x, u)| x + along * u).collect();
            let mut run = problem.run(Tangents::None, &InitialParams(Numbers::F64(moved)));
            run.train(&schedule, 0..horizon, &mut |_, _, _| {}).unwrap();
            [numbers(&run.parameters()), numbers(&run.state())].concat()
        };
        let step = 1e-7;
        let apart: Vec<f64> = run(step).iter().zip(run(-step)).map(|(a, b)| a - b).collect();
        let growth = norm(&apart) / (2.0 * step * norm(&direction));
        let expected = Libm::ln(growth) / f64::from(horizon);
        assert!((exponent - expected).abs() < 1e-5, "{exponent}, and runs part by {expected}");
    }
}

/// For softmax regression H = 1/N Σ (diag p − p pᵀ) ⊗ (x, 1)(x, 1)ᵀ.
#[test]
fn the_sharpness_is_the_largest_eigenvalue_of_the_hessian() {
    let (inputs, classes, count) = (4, 3, 17);
    let mut rng = Pcg32::new(8, 1);
    let examples: Vec<(u16, Vec<f64>)> = (0..2 * count)
        .map(|n| ((n % classes) as u16, (0..inputs).map(|_| rng.normal()).collect()))
        .collect();
    let set = |examples: &[(u16, Vec<f64>)]| {
        ExampleSet::collect(examples.iter().map(|(label, x)| (*label, (0..).zip(x.clone()))))
    };
    let sets = Sets { training: set(&examples), test: set(&examples) };
    let data = Data { examples: Examples::F64(sets), held_out: count, inputs, classes };
    let problem = problem(&data, &[], 5, 1);
    let InitialParams(parameters) = problem.start(0, 0.0).unwrap();
    // Without a hidden layer the two are the same matrix.
    let matrices = [CurvatureMatrix::Hessian, CurvatureMatrix::GaussNewton];
    let found = matrices.map(|matrix| problem.sharpness(&parameters, matrix, count, 40).unwrap());

    let weights = numbers(&parameters);
    let size = (inputs + 1) * classes;
    let mut hessian = vec![0.0; size * size];
    for (_, x) in &examples[..count] {
        let x: Vec<f64> = x.iter().copied().chain([1.0]).collect();
        let z: Vec<f64> = (0..classes)
            .map(|j| x.iter().enumerate().fold(0.0, |z, (i, x)| z + x * weights[i * classes + j]))
            .collect();
        let powers: Vec<f64> = z.iter().map(|z| Libm::exp(*z)).collect();
        let total = powers.iter().fold(0.0, |a, b| a + b);
        let p: Vec<f64> = powers.iter().map(|power| power / total).collect();
        for (a, b) in (0..size).flat_map(|a| (0..size).map(move |b| (a, b))) {
            let (j, k) = (a % classes, b % classes);
            let of_classes = if j == k { p[j] } else { 0.0 } - p[j] * p[k];
            hessian[a * size + b] += of_classes * x[a / classes] * x[b / classes] / count as f64;
        }
    }
    symmetric(&mut hessian, &mut vec![0.0; size * size], size).unwrap();
    let values = (0..size).map(|i| hessian[i * size + i]);
    let expected = values.fold(0.0, |a, b| if b > a { b } else { a });
    for found in found {
        assert!((found - expected).abs() < 1e-10 * expected, "{found}, and by hand {expected}");
    }
}
