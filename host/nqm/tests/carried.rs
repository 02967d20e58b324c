//! Tangents carried on in shares, against the adjoint and against simulated SGD.

use myopia_core::dual::Dual;
use myopia_core::elementary::{Elementary, Libm};
use myopia_core::nqm::{Direction, Step};
use myopia_core::rng::Pcg32;
use myopia_nqm::carried::Carried;
use myopia_nqm::judge::Judge;
use myopia_nqm::{Quadratic, Scratch};

const RATE: f64 = 0.4;
const MOMENTUM: f64 = 0.5;
const STEPS: u32 = 12;
const NU: f64 = 0.7;
/// Tangents of the third are dropped as often.
const EVERY: u32 = 5;

fn directions() -> [Direction<f64>; 3] {
    [(1.0, 1.0, 0.0, 1.0), (0.3, 3.0, 1.0, 0.5), (0.02, 50.0, -2.0, 0.0)].map(
        |(curvature, noise_variance, initial_mean, initial_variance)| Direction {
            curvature,
            noise_variance,
            initial_mean,
            initial_variance,
        },
    )
}

fn shares(k: u32) -> [f64; 3] {
    [NU, 0.0, if k.is_multiple_of(EVERY) { 0.0 } else { 1.0 }]
}

fn exact() -> [f64; 3] {
    let quadratic = Quadratic::new(directions().to_vec()).unwrap();
    let mut state = Carried::start(&quadratic);
    let mut loss = Dual::default();
    for k in 0..STEPS {
        state.carry_tangents(shares(k), RATE);
        let learning_rate = Dual { value: RATE, tangents: [1.0; 3] };
        let step = Step { learning_rate, momentum: Dual::constant(MOMENTUM) };
        loss = state.advance(&quadratic, &[step]);
    }
    loss.tangents
}

#[test]
fn they_are_weighted_sums_of_the_derivatives_by_each_rate() {
    let quadratic = Quadratic::new(directions().to_vec()).unwrap();
    let schedule = vec![Step { learning_rate: RATE, momentum: MOMENTUM }; STEPS as usize];
    let start = quadratic.start();
    let by_step = quadratic.judged(Judge::Plain, &start, &schedule, &mut Scratch::default()).1;
    let mut expected = [0.0; 3];
    for (k, by) in (0..STEPS).zip(&by_step) {
        let mut weight = [1.0; 3];
        for later in k + 1..STEPS {
            let shares = shares(later);
            weight.iter_mut().zip(shares).for_each(|(weight, share)| *weight *= share);
        }
        for ((sum, weight), share) in expected.iter_mut().zip(weight).zip(shares(k)) {
            // By the rate that multiplies the whole update, the velocity's part included where it
            // is forgotten.
            let of_velocity = (1.0 - share) * MOMENTUM / RATE * by.momentum;
            *sum += weight * (by.learning_rate + of_velocity);
        }
    }
    for (found, expected) in exact().into_iter().zip(expected) {
        assert!((found / expected - 1.0).abs() < 1e-12, "{found} {expected}");
    }
    let [a, b, c] = expected;
    assert!((a - b).abs() > 1e-3 && (b - c).abs() > 1e-3, "{expected:?}");
}

/// What one run of SGD finds: the gradient at its end times its tangents.
fn simulated(rng: &mut Pcg32) -> [f64; 3] {
    let mut found = [0.0; 3];
    for Direction { curvature: h, noise_variance, initial_mean, initial_variance } in directions() {
        let mut x = initial_mean + Libm::sqrt(initial_variance) * rng.normal::<f64>();
        let mut v = 0.0;
        let (mut dx, mut dv) = ([0.0; 3], [0.0; 3]);
        for k in 0..STEPS {
            let shares = shares(k);
            let gradient = h * (x + Libm::sqrt(noise_variance) * rng.normal::<f64>());
            for p in 0..3 {
                let z = shares[p] * dx[p];
                let w = shares[p] * dv[p] + (1.0 - shares[p]) * v / RATE;
                dv[p] = MOMENTUM * w - RATE * h * z - gradient;
                dx[p] = z + dv[p];
            }
            v = MOMENTUM * v - RATE * gradient;
            x += v;
        }
        found.iter_mut().zip(dx).for_each(|(sum, z)| *sum += h * x * z);
    }
    found
}

#[test]
fn they_are_the_expectation_of_what_runs_of_sgd_find() {
    const RUNS: u32 = 100_000;
    let mut rng = Pcg32::new(5, 1);
    let (mut sums, mut squares) = ([0.0; 3], [0.0; 3]);
    for _ in 0..RUNS {
        for (p, x) in simulated(&mut rng).into_iter().enumerate() {
            sums[p] += x;
            squares[p] += x * x;
        }
    }
    let runs = f64::from(RUNS);
    for (p, exact) in exact().into_iter().enumerate() {
        let mean = sums[p] / runs;
        let error = Libm::sqrt((squares[p] / runs - mean * mean) / runs);
        assert!((mean - exact).abs() < 4.0 * error, "{p}: {mean} ± {error}, not {exact}");
        assert!(error < 0.2 * exact.abs(), "{p}: {exact} ± {error}");
    }
}
