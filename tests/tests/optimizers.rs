//! Hypergradients of every optimiser against differences of runs that carry no derivatives, and
//! values that tangents do not change.

use myopia::checkpoint::Keeper;
use myopia::descent::{MetaDescent, Progress};
use myopia::failure::Failure;
use myopia::nqm::judge::Judge;
use myopia::outer::{OuterOptimizer, OuterRule, limits};
use myopia::precision::Precision::{F32, F64};
use myopia::problem::{Problem, Tangents};
use myopia_core::elementary::{Elementary, Libm};
use myopia_core::optimizer::{Decay, Hyperparameters, Method};
use myopia_core::schedule::{InverseTime, Parameter};
use myopia_tests::{assert_derivatives, derivative, glyphs, gone_on_from_a_snapshot, problem};

const SCHEDULE: InverseTime<f64> = InverseTime { alpha0: 0.01, time_constant: 10.0, beta: 1.2 };

const METHODS: [Method<f64>; 5] = [
    Method::Sgd { momentum: 0.8, is_nesterov: true },
    Method::Sgd { momentum: 0.8, is_nesterov: false },
    Method::Rmsprop { rho: 0.9, momentum: 0.5, epsilon: 1e-2, is_inside: false },
    Method::Rmsprop { rho: 0.9, momentum: 0.5, epsilon: 1e-3, is_inside: true },
    Method::Adam { beta1: 0.9, beta2: 0.99, epsilon: 1e-3, epsilon_root: 1e-6 },
];

const DECAYS: [Decay<f64>; 3] = [Decay::None, Decay::Coupled(1e-2), Decay::Decoupled(0.1)];

/// The loss of a network without a hidden layer has no kink, so differences may be taken wide and
/// extrapolated.
#[test]
fn every_hyperparameter_has_the_derivative_that_differences_find() {
    let data = glyphs(F64);
    let base = Problem { objective_size: Some(100), ..problem(&data, &[], 20, 1) };
    let start = base.start(0, 0.0).unwrap();
    let horizon = 12;
    let mut checked = 0;
    for (method, decay) in METHODS.iter().flat_map(|m| DECAYS.map(|decay| (*m, decay))) {
        let all = Hyperparameters { method, decay };
        let problem = Problem { optimizer: Some(all.into()), ..base.clone() };
        let difference = |at: f64, along: &dyn Fn(f64) -> f64| derivative(at, 0.02 * at, along).0;
        checked += assert_derivatives(&problem, &start, SCHEDULE, horizon, difference);
    }
    // Three of the schedule in each of fifteen, 1 + 1 + 3 + 3 + 3 of the methods three times, and
    // ten decays.
    assert_eq!(checked, 45 + 33 + 10);
}

#[test]
fn values_are_the_same_with_and_without_tangents_on_every_instruction_set() {
    let data = glyphs(F32);
    for (method, decay) in METHODS.iter().flat_map(|m| DECAYS.map(|decay| (*m, decay))) {
        let mut digests = Vec::new();
        for isa in myopia_backend::Isa::ALL.iter().copied().filter(|isa| isa.available()) {
            let problem = Problem {
                optimizer: Some(Hyperparameters { method, decay }.into()),
                isa,
                ..problem(&data, &[33, 20], 10, 3)
            };
            let start = problem.start(0, 0.0).unwrap();
            for tangents in [Tangents::None, Tangents::Schedule] {
                let mut run = problem.run(tangents, &start);
                run.train(&SCHEDULE, 0..30, &mut |_, _, _| {}).unwrap();
                digests.push(run.digests()[0].to_string());
            }
        }
        assert!(digests.iter().all(|digest| *digest == digests[0]), "{method:?}, {decay:?}");
    }
}

#[test]
fn an_optimiser_without_extras_is_sgd_with_momentum() {
    let data = glyphs(F32);
    let plain = problem(&data, &[32], 100, 1);
    let method = Method::Sgd { momentum: plain.momentum, is_nesterov: false };
    let optimizer = Some(Hyperparameters { method, decay: Decay::None }.into());
    let start = plain.start(0, 0.0).unwrap();
    let same = Problem { optimizer, ..plain.clone() };
    let [found, expected] = [&same, &plain].map(|problem| {
        let mut run = problem.run(Tangents::None, &start);
        run.train(&SCHEDULE, 0..20, &mut |_, _, _| {}).unwrap();
        run.parameters()
    });
    assert_eq!(found, expected);
}

#[test]
fn a_run_goes_on_from_a_snapshot_of_all_its_state() {
    let data = glyphs(F32);
    let optimizer = Some(Hyperparameters { method: METHODS[4], decay: Decay::None }.into());
    let problem = Problem { optimizer, ..problem(&data, &[32], 100, 1) };
    let start = problem.start(0, 0.0).unwrap();
    let (.., snapshot) = gone_on_from_a_snapshot(&problem, &start, &SCHEDULE);
    let other = Problem { optimizer: None, ..problem.clone() };
    assert!(other.restore(Tangents::Schedule, &snapshot).is_none(), "that was another optimiser");
}

/// What a meta-descent leaves when it is stopped after `left` steps.
struct Stopped {
    left: std::cell::Cell<u32>,
    state: std::cell::RefCell<Progress>,
}

impl Keeper<Progress> for Stopped {
    fn pause(&self, state: impl FnOnce() -> Progress) -> Result<(), Failure> {
        let left = self.left.get();
        if left == 0 {
            *self.state.borrow_mut() = state();
            return Err(Failure::Interrupted("stopped by the test".into()));
        }
        self.left.set(left - 1);
        Ok(())
    }
}

#[test]
fn a_descent_on_five_hyperparameters_moves_each_by_its_derivative_and_goes_on_after_a_stop() {
    use Parameter::{Alpha0, Beta1, Beta2, Epsilon, WeightDecay};
    let data = glyphs(F64);
    let method = Method::Adam { beta1: 0.8, beta2: 0.95, epsilon: 1e-2, epsilon_root: 0.0 };
    let optimizer = Some(Hyperparameters { method, decay: Decay::Coupled(1e-3) }.into());
    let problem = Problem { optimizer, objective_size: Some(100), ..problem(&data, &[12], 20, 1) };
    let start = problem.start(0, 0.0).unwrap();
    let tuned = vec![Alpha0, Beta2, Epsilon, Beta1, WeightDecay];
    let outer = OuterOptimizer::new(F64, OuterRule::Momentum, 0.5, limits(&tuned));
    let descent = MetaDescent {
        schedule: SCHEDULE,
        tuned: tuned.clone(),
        outer,
        horizon: 10,
        judge: Judge::Plain,
        meta_steps: 6,
    };
    let run = |progress: &mut Progress, keeper: &Stopped| {
        descent.go_on(&problem, &start, progress, keeper, &mut || {}, &mut |_| {})
    };
    let mut whole = Progress::default();
    let never = Stopped { left: u32::MAX.into(), state: Progress::default().into() };
    run(&mut whole, &never).unwrap();
    assert_eq!(whole.records.len(), 7);
    assert!(whole.records[6].loss < whole.records[0].loss);

    for (record, next) in whole.records.iter().zip(&whole.records[1..]) {
        // The first step is along the gradient alone; later ones carry momentum.
        if record.meta_step > 0 {
            break;
        }
        for parameter in Parameter::ALL {
            let (x, y) = (record.value(parameter), next.value(parameter));
            if !tuned.contains(&parameter) {
                assert_eq!((x, record.derivative(parameter)), (y, 0.0), "{parameter:?}");
                continue;
            }
            let directions = [parameter, parameter, parameter];
            let by = Tangents::By(directions);
            let found = problem.hypergradient(by, &start, &SCHEDULE, 10, &mut || {}).unwrap();
            let slope = found.objective.loss.tangents[0];
            assert_eq!(record.derivative(parameter), slope, "{parameter:?}");
            let (moved, scale) = match parameter {
                Beta1 | Beta2 => (Libm::ln(y / (1.0 - y) / (x / (1.0 - x))), x * (1.0 - x)),
                _ => (Libm::ln(y / x), x),
            };
            assert!((moved + 0.5 * scale * slope).abs() < 1e-9, "{parameter:?}: {moved}");
        }
    }

    // Two passes of ten steps to a record: in the first, at the boundary, in the second, in a later
    // record.
    for left in [4, 9, 10, 17, 33] {
        let keeper = Stopped { left: left.into(), state: Progress::default().into() };
        assert!(run(&mut Progress::default(), &keeper).is_err());
        let mut progress = keeper.state.into_inner();
        assert_eq!(descent.steps(&progress), (140, u64::from(left) + 1));
        run(&mut progress, &never).unwrap();
        assert_eq!(progress.records, whole.records, "stopped after {left} steps");
    }
}
