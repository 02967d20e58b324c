use myopia_core::elementary::Libm;
use myopia_core::nqm::{Direction, Preconditioner, Step};

use crate::tuning::{Tuning, look_ahead};
use crate::{Losses, Quadratic, Schedule, Scratch};

/// Curvatures and inverse noise variances 1/i, initial mean ½.
fn inverse(dim: u32) -> Quadratic {
    let direction = |i| Direction {
        curvature: 1.0 / f64::from(i),
        noise_variance: f64::from(i),
        initial_mean: 0.5,
        initial_variance: 1.0,
    };
    Quadratic::new((1..=dim).map(direction).collect()).unwrap()
}

#[test]
fn second_derivatives_agree_with_differences_of_the_gradient() {
    let quadratic = inverse(11);
    let state = quadratic.start();
    let schedule = vec![Step { learning_rate: 0.3, momentum: 0.4 }; 3];
    let hessian = quadratic.hessian(&state, &schedule, 6);
    let gradient = |schedule: &[Step<f64>]| -> Vec<f64> {
        let mut scratch = Scratch::default();
        let (_, steps) = quadratic.gradient(&state, schedule, &mut scratch);
        let steps: Vec<Step<f64>> = steps.collect();
        let rates = steps.iter().map(|step| step.learning_rate);
        rates.chain(steps.iter().map(|step| step.momentum)).collect()
    };
    for entry in 0..6 {
        let shifted = |by: f64| {
            let mut schedule = schedule.clone();
            let step = &mut schedule[entry % 3];
            *(if entry < 3 { &mut step.learning_rate } else { &mut step.momentum }) += by;
            gradient(&schedule)
        };
        let (up, down) = (shifted(1e-5), shifted(-1e-5));
        for other in 0..6 {
            let difference = (up[other] - down[other]) / 2e-5;
            let found = hessian[entry * 6 + other];
            assert!(
                (found - difference).abs() < 1e-6 * (1.0 + found.abs()),
                "{found} {difference}"
            );
        }
    }
}

/// Derivatives by α₀, K and β carried forward, against the adjoint's by every α_k contracted with differences of the
/// schedule's formula.
#[test]
fn hypergradients_agree_with_the_adjoint() {
    use myopia_core::dual::Dual;
    use myopia_core::schedule::{InverseTime, PARAMETERS};
    let quadratic = inverse(100);
    for horizon in [1, 7, 60] {
        let tuning = Tuning { horizon, momentum: 0.8, ..Tuning::new(&quadratic) };
        let parameters = [0.3, 9.0, 1.2, 0.0];
        let found = look_ahead(&quadratic, &tuning, parameters).unwrap();
        let [alpha0, time_constant, beta, _] = parameters;
        let rates = InverseTime { alpha0, time_constant, beta }.with_tangents(PARAMETERS);
        let rates: Vec<Dual<f64, 3>> =
            (0..horizon as u32).map(|k| rates.learning_rate::<Libm>(k)).collect();
        let schedule: Schedule =
            rates.iter().map(|r| Step { learning_rate: r.value, momentum: 0.8 }).collect();
        let mut scratch = Scratch::default();
        let (excess, adjoint) = quadratic.gradient(&quadratic.start(), &schedule, &mut scratch);
        let adjoint: Schedule = adjoint.collect();
        assert!((excess / found.value - 1.0).abs() < 1e-13);
        for p in 0..3 {
            let terms = adjoint.iter().zip(&rates).map(|(d, r)| d.learning_rate * r.tangents[p]);
            let total: f64 = myopia_core::sum::sum(terms);
            let error = (total - found.tangents[p]).abs();
            assert!(error <= 1e-9 * found.tangents[p].abs() + 1e-15, "{horizon}, {p}: {error:e}");
        }
    }
}

#[test]
fn the_derivative_by_the_damping_agrees_with_differences() {
    for (power, damping) in [(1.0, 0.1), (0.5, 0.02), (0.0, 1.0)] {
        let quadratic = inverse(50);
        let preconditioner = Preconditioner { power, damping };
        let tuning = Tuning { horizon: 20, preconditioner, ..Tuning::new(&quadratic) };
        let at = |damping| look_ahead(&quadratic, &tuning, [0.05, 30.0, 0.5, damping]).unwrap();
        let shift = 1e-5 * damping;
        let difference = (at(damping + shift).value - at(damping - shift).value) / (2.0 * shift);
        let found = at(damping).tangents[3];
        assert!((found / difference - 1.0).abs() < 1e-7, "{power}: {found} {difference}");
        // The same value as the quadratic that has the preconditioner built in.
        let built_in = quadratic.clone().preconditioned(preconditioner).unwrap();
        let schedule: Schedule = crate::tuning::Tuned {
            meta_step: 0,
            alpha0: 0.05,
            time_constant: 30.0,
            beta: 0.5,
            damping,
            excess_loss: 0.0,
            d_alpha0: 0.0,
            d_time_constant: 0.0,
            d_beta: 0.0,
            d_damping: 0.0,
        }
        .schedule(20, 0.0);
        let numbers: Vec<_> = schedule.iter().map(|step| step.constant::<0>()).collect();
        let last = built_in.losses(&numbers).unwrap().last().unwrap().value;
        assert_eq!(last.to_bits(), at(damping).value.to_bits());
    }
}

/// Beyond [`myopia_core::nqm::CHUNK`] directions chunks are spread over the threads, and their sums are added up in order.
#[test]
fn threads_do_not_change_a_bit() {
    let quadratic = inverse(9_001);
    let schedule: Schedule = (0..9)
        .map(|k| Step { learning_rate: 0.4 / f64::from(1 + k), momentum: 0.1 * f64::from(k) })
        .collect();
    let numbers: Vec<_> = schedule.iter().map(|step| step.constant::<0>()).collect();
    let bits = |threads: usize| -> Vec<u64> {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let losses = quadratic.losses(&numbers).unwrap();
            let mut scratch = Scratch::default();
            let (last, gradient) = quadratic.gradient(&quadratic.start(), &schedule, &mut scratch);
            let gradient = gradient.flat_map(|step| [step.learning_rate, step.momentum]);
            let all = losses.iter().map(|loss| loss.value).chain([last]).chain(gradient);
            all.map(f64::to_bits).collect()
        })
    };
    let one = bits(1);
    assert_eq!(one.len(), 10 + 1 + 18);
    assert_eq!(one[9], one[10], "the last loss and the gradient's");
    assert_eq!(one, bits(2));
    assert_eq!(one, bits(3));
}
