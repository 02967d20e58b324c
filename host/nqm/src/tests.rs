use myopia_core::elementary::Libm;
use myopia_core::nqm::{Direction, Preconditioner, Step};

use crate::judge::Judge;
use crate::tolerances::Control;
use crate::tuning::{Tuned, Tuning, Values, look_ahead};
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

/// α₀, K, β, λ and the momentum; there is no more of SGD.
fn values([alpha0, time_constant, beta, damping]: [f64; 4], momentum: f64) -> Values {
    [alpha0, time_constant, beta, damping, momentum, 0.0, 0.0, 0.0, 0.0]
}

const JUDGES: [Judge; 5] =
    [Judge::Plain, Judge::Cooldown(4), Judge::Average(0.6), Judge::SameBatch, Judge::NextBatch];

/// First derivatives against differences of the loss, second ones against differences of those.
#[test]
fn derivatives_agree_with_differences_whoever_judges() {
    let quadratic = inverse(11);
    let state = quadratic.start();
    let schedule = vec![Step { learning_rate: 0.3, momentum: 0.4 }; 3];
    for judge in JUDGES {
        let hessian = quadratic.hessian(judge, &state, &schedule, 6, &Control::default()).unwrap();
        let at = |schedule: &[Step<f64>]| -> (f64, Vec<f64>) {
            let (loss, steps) = quadratic.judged(judge, &state, schedule, &mut Scratch::default());
            let rates = steps.iter().map(|step| step.learning_rate);
            (loss, rates.chain(steps.iter().map(|step| step.momentum)).collect())
        };
        let gradient = at(&schedule).1;
        for entry in 0..6 {
            let shifted = |by: f64| {
                let mut schedule = schedule.clone();
                let step = &mut schedule[entry % 3];
                *(if entry < 3 { &mut step.learning_rate } else { &mut step.momentum }) += by;
                at(&schedule)
            };
            let (up, down) = (shifted(1e-5), shifted(-1e-5));
            let close = |found: f64, up: f64, down: f64| {
                let difference = (up - down) / 2e-5;
                let error = (found - difference).abs();
                assert!(error < 1e-6 * (1.0 + found.abs()), "{judge}: {found} {difference}");
            };
            close(gradient[entry], up.0, down.0);
            for other in 0..6 {
                close(hessian[entry * 6 + other], up.1[other], down.1[other]);
            }
        }
    }
}

#[test]
fn hypergradients_agree_with_differences_whoever_judges() {
    let quadratic = inverse(30);
    let parameters = values([0.3, 9.0, 1.2, 0.0], 0.5);
    for judge in JUDGES {
        let tuning = Tuning { horizon: 12, momentum: 0.5, judge, ..Tuning::new(&quadratic) };
        let at = |parameters| look_ahead(&quadratic, &tuning, parameters).unwrap();
        let found = at(parameters);
        for p in 0..3 {
            let shifted = |by: f64| {
                let mut parameters = parameters;
                parameters[p] *= 1.0 + by;
                at(parameters).value
            };
            let difference = (shifted(1e-5) - shifted(-1e-5)) / (2e-5 * parameters[p]);
            assert!((found.tangents[p] / difference - 1.0).abs() < 1e-6, "{judge}, {p}");
        }
    }
}

/// A cool-down is the steps that it adds, and no more than the loss is read after them.
#[test]
fn a_cool_down_is_read_after_its_steps() {
    let quadratic = inverse(20);
    let judged = |judge, schedule: &[Step<f64>]| {
        quadratic.judged(judge, &quadratic.start(), schedule, &mut Scratch::default()).0
    };
    let step = |learning_rate| Step { learning_rate, momentum: 0.3 };
    let ahead = [0.5, 0.4].map(step);
    let with_cool_down = [0.5, 0.4, 0.4, 0.3, 0.2, 0.1].map(step);
    let found = judged(Judge::Cooldown(4), &ahead);
    let expected = judged(Judge::Plain, &with_cool_down);
    assert!((found / expected - 1.0).abs() < 1e-14, "{found} {expected}");
    assert!((found / judged(Judge::Plain, &ahead) - 1.0).abs() > 0.01);
}

/// Derivatives by α₀, K and β carried forward, against the adjoint's by every α_k contracted with
/// differences of the schedule's formula.
#[test]
fn hypergradients_agree_with_the_adjoint() {
    use myopia_core::dual::Dual;
    use myopia_core::schedule::{InverseTime, PARAMETERS};
    let quadratic = inverse(100);
    for horizon in [1, 7, 60] {
        let tuning = Tuning { horizon, momentum: 0.8, ..Tuning::new(&quadratic) };
        let parameters = values([0.3, 9.0, 1.2, 0.0], 0.8);
        let found = look_ahead(&quadratic, &tuning, parameters).unwrap();
        let [alpha0, time_constant, beta, ..] = parameters;
        let rates = InverseTime { alpha0, time_constant, beta }.with_tangents(PARAMETERS);
        let rates: Vec<Dual<f64, 3>> =
            (0..horizon as u32).map(|k| rates.learning_rate::<Libm>(k)).collect();
        let schedule: Schedule =
            rates.iter().map(|r| Step { learning_rate: r.value, momentum: 0.8 }).collect();
        let mut scratch = Scratch::default();
        let (excess, adjoint) =
            quadratic.judged(Judge::Plain, &quadratic.start(), &schedule, &mut scratch);
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
        let all = |damping| values([0.05, 30.0, 0.5, damping], 0.0);
        let at = |damping| look_ahead(&quadratic, &tuning, all(damping)).unwrap();
        let shift = 1e-5 * damping;
        let difference = (at(damping + shift).value - at(damping - shift).value) / (2.0 * shift);
        let found = at(damping).tangents[3];
        assert!((found / difference - 1.0).abs() < 1e-7, "{power}: {found} {difference}");
        // The same value as the quadratic that has the preconditioner built in.
        let built_in = quadratic.clone().preconditioned(preconditioner).unwrap();
        let schedule: Schedule =
            Tuned::new(0, all(damping), 0.0, Values::default()).schedule(20, 0.0);
        let numbers: Vec<_> = schedule.iter().map(|step| step.constant::<0>()).collect();
        let last = built_in.losses(&numbers).unwrap().last().unwrap().value;
        assert_eq!(last.to_bits(), at(damping).value.to_bits());
    }
}

/// Beyond [`myopia_core::nqm::CHUNK`] directions chunks are spread over the threads, and their sums
/// are added up in order.
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
            let mut all: Vec<f64> = losses.iter().map(|loss| loss.value).collect();
            for judge in [Judge::Plain, Judge::Average(0.5)] {
                let mut scratch = Scratch::default();
                let (last, gradient) =
                    quadratic.judged(judge, &quadratic.start(), &schedule, &mut scratch);
                all.push(last);
                all.extend(gradient.iter().flat_map(|d| [d.learning_rate, d.momentum]));
            }
            all.into_iter().map(f64::to_bits).collect()
        })
    };
    let one = bits(1);
    assert_eq!(one.len(), 10 + 2 * (1 + 18));
    assert_eq!(one[9], one[10], "the last loss and the gradient's");
    assert_eq!(one, bits(2));
    assert_eq!(one, bits(3));
}
