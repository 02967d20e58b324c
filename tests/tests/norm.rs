//! Problems with batch normalisation: the same bits on every instruction set, with tangents and
//! without, and from a snapshot; what pretraining leaves.

use myopia::precision::Numbers;
use myopia::precision::Precision::{F32, F64};
use myopia::problem::{Problem, Tangents};
use myopia_core::optimizer::{Decay, Hyperparameters, Method};
use myopia_core::schedule::{InverseTime, Parameter};
use myopia_tests::{glyphs, gone_on_from_a_snapshot, problem};

const SCHEDULE: InverseTime<f64> = InverseTime { alpha0: 0.01, time_constant: 10.0, beta: 1.2 };

fn optimizers() -> [Option<Hyperparameters<f64>>; 3] {
    let adam = Method::Adam { beta1: 0.9, beta2: 0.99, epsilon: 1e-3, epsilon_root: 0.0 };
    let sgd = Method::Sgd { momentum: 0.8, is_nesterov: false };
    [
        None,
        Some(Hyperparameters { method: adam, decay: Decay::Decoupled(0.1) }),
        Some(Hyperparameters { method: sgd, decay: Decay::Coupled(0.01) }),
    ]
}

#[test]
fn values_are_the_same_with_and_without_tangents_on_every_instruction_set() {
    for data in [glyphs(F32), glyphs(F64)] {
        for optimizer in optimizers() {
            let mut digests = Vec::new();
            for isa in myopia_backend::Isa::ALL.iter().copied().filter(|isa| isa.available()) {
                let base = problem(&data, &[33, 20], 10, 3);
                let problem = Problem {
                    optimizer: optimizer.map(Into::into),
                    is_normalised: true,
                    isa,
                    ..base
                };
                let start = problem.start(3, 0.1).unwrap();
                let by = Tangents::By([Parameter::Momentum; 3]);
                for tangents in [Tangents::None, Tangents::Schedule, Tangents::Rate, by] {
                    let mut run = problem.run(tangents, &start);
                    run.train(&SCHEDULE, 0..20, &mut |_, _, _| {}).unwrap();
                    digests.push(run.digests()[0].to_string());
                }
            }
            assert!(digests.iter().all(|digest| *digest == digests[0]), "{optimizer:?}");
        }
    }
}

#[test]
fn a_run_goes_on_from_a_snapshot_with_its_running_averages() {
    let data = glyphs(F32);
    for optimizer in optimizers() {
        let base = problem(&data, &[32, 9], 50, 1);
        let problem = Problem { optimizer: optimizer.map(Into::into), is_normalised: true, ..base };
        let start = problem.start(0, 0.0).unwrap();
        let (mut whole, mut rest, snapshot) = gone_on_from_a_snapshot(&problem, &start, &SCHEDULE);
        let all = problem.objective_indices();
        let judged = |run: &mut dyn myopia::problem::TrainingRun| {
            run.evaluate(myopia::problem::Set::Training, &all).unwrap().loss
        };
        assert_eq!(judged(rest.as_mut()), judged(whole.as_mut()));
        let plain = Problem { is_normalised: false, ..problem.clone() };
        assert!(plain.restore(Tangents::Schedule, &snapshot).is_none(), "that was another network");
        // Side by side with others.
        let mut side = problem.lockstep(Tangents::Schedule, &start, &[SCHEDULE, SCHEDULE]);
        side.train(0..20, &mut |_, _, _, _| {});
        assert_eq!(side.run(1).unwrap().digests(), whole.digests());
    }
}

#[test]
fn pretraining_leaves_scale_and_shift_but_no_averages() {
    let data = glyphs(F64);
    let problem = Problem { is_normalised: true, ..problem(&data, &[8, 5], 20, 1) };
    let [before, after] = [0, 10].map(|steps| problem.start(steps, 0.1).unwrap().0);
    let (Numbers::F64(before), Numbers::F64(after)) = (before, after) else { panic!("f64") };
    assert_eq!((before.len(), after.len()), (problem.parameters(), problem.parameters()));
    let mut first = 0;
    for (name, shape) in problem.arrays() {
        let range = first..first + shape.iter().fold(1, |n, length| n * length);
        first = range.end;
        let is_average = name.starts_with("mean") || name.starts_with("variance");
        assert_eq!(before[range.clone()] == after[range], is_average, "{name}");
    }
    assert_eq!(first, before.len());
}
