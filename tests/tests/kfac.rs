//! K-FAC's hypergradients against differences of runs that carry no derivatives, and runs that are
//! left and taken up again.

use myopia::precision::Precision::{F32, F64};
use myopia::problem::{InnerOptimizer, Problem, Rates, Tangents};
use myopia_core::kfac::Kfac;
use myopia_core::optimizer::Decay;
use myopia_core::schedule::InverseTime;
use myopia_tests::{
    assert_derivatives, derivative, glyphs, gone_on_from_a_snapshot, loss, problem, relative,
};

const SCHEDULE: InverseTime<f64> = InverseTime { alpha0: 0.02, time_constant: 10.0, beta: 1.2 };

fn kfac(damping: f64, kept: f64, refactor_every: u32) -> Kfac<f64> {
    let decay = Decay::None;
    Kfac { momentum: 0.8, damping, decay, kept, clip: None, refactor_every, labels: None }
}

/// Without and with every choice.
fn optimizers() -> Vec<InnerOptimizer> {
    let all = [
        (kfac(0.1, 0.0, 1), false),
        (kfac(0.03, 0.9, 3), false),
        (Kfac { decay: Decay::Coupled(0.02), ..kfac(0.1, 0.9, 1) }, true),
        (Kfac { decay: Decay::Decoupled(0.2), clip: Some(1e-3), ..kfac(0.1, 0.5, 3) }, false),
    ];
    all.map(|(all, is_sampled)| InnerOptimizer::Kfac { all, is_sampled }).to_vec()
}

/// The loss of a network without a hidden layer has no kink, so differences may be taken wide and
/// extrapolated; but a drawn label and the clip are steps, and wide ones would cross them.
#[test]
fn every_hyperparameter_has_the_derivative_that_differences_find() {
    let data = glyphs(F64);
    let base = Problem { objective_size: Some(100), ..problem(&data, &[], 20, 1) };
    let start = base.start(0, 0.0).unwrap();
    let horizon = 12;
    let mut checked = 0;
    for optimizer in optimizers() {
        let problem = Problem { optimizer: Some(optimizer), ..base.clone() };
        let smooth = matches!(
            optimizer,
            InnerOptimizer::Kfac { all: Kfac { clip: None, .. }, is_sampled: false }
        );
        let difference = |at: f64, along: &dyn Fn(f64) -> f64| match smooth {
            true => derivative(at, 0.005 * at, along).0,
            false => {
                let step = 3e-6 * at;
                (along(at + step) - along(at - step)) / (2.0 * step)
            }
        };
        checked += assert_derivatives(&problem, &start, SCHEDULE, horizon, difference);
    }
    assert_eq!(checked, 4 * 5 + 2);
}

#[test]
fn values_are_the_same_with_and_without_tangents_on_every_instruction_set_and_thread() {
    let data = glyphs(F32);
    for optimizer in optimizers() {
        let mut digests = Vec::new();
        for isa in myopia_backend::Isa::ALL.iter().copied().filter(|isa| isa.available()) {
            let problem =
                Problem { optimizer: Some(optimizer), isa, ..problem(&data, &[33, 20], 10, 3) };
            let start = problem.start(0, 0.0).unwrap();
            for (tangents, threads) in
                [(Tangents::None, 1), (Tangents::Schedule, 3), (Tangents::Rate, 2)]
            {
                let mut run = problem.run(tangents, &start);
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                let train = || run.train(&SCHEDULE, 0..30, &mut |_, _, _| {});
                pool.install(|| myopia_backend::divide_all_work(train)).unwrap();
                digests.push(run.digests()[0].to_string());
            }
        }
        assert!(digests.iter().all(|digest| *digest == digests[0]), "{optimizer:?}");
    }
}

#[test]
fn a_run_goes_on_from_a_snapshot_of_all_its_state() {
    let data = glyphs(F32);
    for optimizer in optimizers() {
        let optimizer = Some(optimizer);
        let problem = Problem { optimizer, ..problem(&data, &[32], 100, 1) };
        let start = problem.start(0, 0.0).unwrap();
        // Between two factorisations.
        let (.., snapshot) = gone_on_from_a_snapshot(&problem, &start, &SCHEDULE);
        let other = Problem { optimizer: None, ..problem.clone() };
        assert!(other.restore(Tangents::Schedule, &snapshot).is_none());
    }
}

#[test]
fn drawn_labels_are_those_of_the_seed_and_not_the_batchs() {
    let data = glyphs(F64);
    let [_, _, sampled, _] = optimizers()[..] else { unreachable!() };
    let InnerOptimizer::Kfac { all, .. } = sampled else { unreachable!() };
    let own = InnerOptimizer::Kfac { all, is_sampled: false };
    let base = problem(&data, &[8], 20, 1);
    let start = base.start(0, 0.0).unwrap();
    let after = |optimizer| {
        let problem = Problem { optimizer: Some(optimizer), ..base.clone() };
        loss(&problem, &start, SCHEDULE, 6)
    };
    assert_eq!(after(sampled), after(sampled));
    assert!(relative(after(sampled), after(own)) > 1e-6);
}

#[test]
fn the_exponent_of_kfac_is_a_number() {
    let data = glyphs(F64);
    for optimizer in optimizers() {
        let problem = Problem { optimizer: Some(optimizer), ..problem(&data, &[8], 20, 1) };
        let start = problem.start(0, 0.0).unwrap();
        let exponent = |horizon| problem.exponent(&start, Rates::Schedule(&SCHEDULE), horizon);
        assert!(exponent(20).unwrap().is_finite());
    }
}
