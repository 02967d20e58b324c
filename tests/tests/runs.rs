//! What must not change a bit of the host's runs: instruction sets, threads, and runs trained in
//! lockstep. That lanes, tangents and divisions of a step change none is tested in the core
//! (`core/tests/bits.rs`).

use myopia::precision::{Numbers, Precision};
use myopia::problem::{Problem, Tangents};
use myopia_backend::Isa;
use myopia_core::digest::Digest;
use myopia_core::schedule::InverseTime;
use myopia_tests::{glyphs, problem};

const SCHEDULE: InverseTime<f64> = InverseTime { alpha0: 0.1, time_constant: 20.0, beta: 1.0 };

/// What an unroll leaves behind: bits of the objective and its tangents, parameters, digests of
/// values and tangents.
type Trace = (Vec<u64>, Numbers, [Digest; 2]);

fn trace(problem: &Problem<'_>, isa: Isa, horizon: u32) -> Trace {
    let problem = Problem { isa, ..problem.clone() };
    let start = problem.start(3, 0.05).unwrap();
    let found =
        problem.hypergradient(Tangents::Schedule, &start, &SCHEDULE, horizon, &mut || {}).unwrap();
    let loss = found.objective.loss;
    let numbers = [loss.value].into_iter().chain(loss.tangents);
    (numbers.map(f64::to_bits).collect(), found.parameters, found.digests)
}

fn instruction_sets() -> impl Iterator<Item = Isa> {
    Isa::ALL.iter().copied().filter(|isa| isa.available())
}

#[test]
fn every_instruction_set_of_this_processor_gives_the_bits_of_the_baseline() {
    for precision in [Precision::F32, Precision::F64] {
        let data = glyphs(precision);
        let problem = problem(&data, &[33, 7], 19, 4);
        let baseline = trace(&problem, Isa::Baseline, 25);
        for isa in instruction_sets() {
            assert_eq!(trace(&problem, isa, 25), baseline, "{isa:?}, {precision:?}");
        }
    }
}

#[test]
fn the_number_of_threads_inside_a_step_changes_no_bit() {
    let data = glyphs(Precision::F32);
    // With 16 lanes the last panel of 193 holds its tangents too.
    let problem = Problem { objective_size: Some(200), ..problem(&data, &[193, 150, 40], 100, 1) };
    for isa in instruction_sets() {
        let one = trace(&problem, isa, 4);
        for threads in [1, 2, 3, 8] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let many = pool.install(|| myopia_backend::divide_all_work(|| trace(&problem, isa, 4)));
            assert!(many == one, "{isa:?}, {threads} threads");
        }
    }
}

#[test]
fn runs_trained_in_lockstep_have_the_bits_of_runs_trained_alone() {
    let data = glyphs(Precision::F32);
    let problem = problem(&data, &[33], 50, 1);
    let start = problem.start(0, 0.0).unwrap();
    // The third diverges.
    let schedules = [0.1, 0.02, 1e20, 0.3].map(|alpha0| InverseTime { alpha0, ..SCHEDULE });
    let mut together = problem.lockstep(Tangents::Schedule, &start, &schedules);
    let mut alone = schedules.map(|_| problem.run(Tangents::Schedule, &start));
    for steps in [0..5, 5..30, 30..47] {
        let mut losses = vec![Vec::new(); 4];
        together.train(steps.clone(), &mut |run, k, rate, loss| {
            losses[run].push((k, rate.to_bits(), loss.to_bits()));
        });
        let ended = together.ended().to_vec();
        for (place, run) in alone.iter_mut().enumerate() {
            if place == 2 && steps.start > 0 {
                continue;
            }
            let mut seen = Vec::new();
            let mut observe =
                |k, rate: f64, loss: f64| seen.push((k, rate.to_bits(), loss.to_bits()));
            assert_eq!(run.train(&schedules[place], steps.clone(), &mut observe), ended[place]);
            assert_eq!(seen, losses[place], "losses of run {place}");
            assert_eq!(ended[place].is_err(), place == 2);
            if place != 2 {
                let digests = together.run(place).unwrap().digests();
                assert_eq!(run.digests(), digests, "run {place}");
            }
        }
    }
}

#[test]
fn a_network_of_four_layers_of_a_thousand_units_trains_with_tangents_on_a_small_stack() {
    let train = || {
        let data = glyphs(Precision::F32);
        let schedule = InverseTime { alpha0: 0.001, ..SCHEDULE };
        let train = |isa| {
            let problem = Problem { isa, ..problem(&data, &[1_000; 4], 8, 1) };
            let start = problem.start(0, 0.0).unwrap();
            let mut run = problem.run(Tangents::Schedule, &start);
            let mut last = 0.0;
            run.train(&schedule, 0..3, &mut |_, _, loss| last = loss).unwrap();
            (last, run.digests())
        };
        let (loss, digests) = train(Isa::widest());
        assert_eq!((loss, digests), train(Isa::Baseline));
        assert!(loss.is_finite());
    };
    let stack = 256 << 10;
    std::thread::Builder::new().stack_size(stack).spawn(train).unwrap().join().unwrap();
}
