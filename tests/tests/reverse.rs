//! Reverse mode against forward mode: derivatives, and bits that neither memory, threads nor the
//! instruction set change.

use myopia::precision::Precision::{self, F32, F64};
use myopia::problem::{Entries, Problem, Rates, ReverseHypergradient, Tangents, TooLittle, Wanted};
use myopia_backend::Isa;
use myopia_core::elementary::Libm;
use myopia_core::optimizer::{Decay, Hyperparameters, Method};
use myopia_core::schedule::{InverseTime, PARAMETERS, Parameter};
use myopia_tests::{glyphs, problem, relative};

const SCHEDULE: InverseTime<f64> = InverseTime { alpha0: 0.02, time_constant: 15.0, beta: 1.2 };
const HORIZON: u32 = 40;

const GIB: u64 = 1 << 30;

fn back(problem: &Problem<'_>, memory: u64) -> ReverseHypergradient {
    let start = problem.start(0, 0.0).unwrap();
    let mut run = problem.reverse(&start);
    let plan = run.plan(HORIZON, memory, Wanted::All).unwrap();
    let mut ticks = 0;
    let found = run
        .run(Rates::Schedule(&SCHEDULE), &plan, &mut || {
            ticks += 1;
            true
        })
        .unwrap()
        .expect("nobody stops it");
    assert_eq!(ticks, plan.forward_steps + u64::from(HORIZON), "{plan:?}");
    found
}

/// By each of `parameters`, forward, and the digest of the values.
fn forward(problem: &Problem<'_>, parameters: &[Parameter]) -> (Vec<f64>, String) {
    let start = problem.start(0, 0.0).unwrap();
    let passes = Tangents::passes(parameters).into_iter().map(|tangents| {
        problem.hypergradient(tangents, &start, &SCHEDULE, HORIZON, &mut || {}).unwrap()
    });
    let passes: Vec<_> = passes.collect();
    let slopes = passes.iter().flat_map(|pass| pass.objective.loss.tangents);
    (slopes.take(parameters.len()).collect(), passes[0].digests[0].to_string())
}

const METHODS: [Method<f64>; 4] = [
    Method::Sgd { momentum: 0.8, is_nesterov: true },
    Method::Rmsprop { rho: 0.9, momentum: 0.5, epsilon: 1e-2, is_inside: false },
    Method::Rmsprop { rho: 0.9, momentum: 0.5, epsilon: 1e-3, is_inside: true },
    Method::Adam { beta1: 0.9, beta2: 0.99, epsilon: 1e-3, epsilon_root: 1e-6 },
];

/// SGD with momentum, and each other method with decay of each kind.
fn optimizers() -> Vec<Option<Hyperparameters<f64>>> {
    let decays = [Decay::None, Decay::Coupled(1e-2), Decay::Decoupled(0.1)];
    let all = METHODS.iter().flat_map(|m| decays.map(|decay| (*m, decay)));
    let all = all.map(|(method, decay)| Some(Hyperparameters { method, decay }));
    [None].into_iter().chain(all).collect()
}

fn assert_agree(precision: Precision, tolerance: f64) {
    let data = glyphs(precision);
    for optimizer in optimizers() {
        let problem = Problem {
            optimizer,
            objective_size: Some(130),
            momentum: precision.round(0.9),
            ..problem(&data, &[21, 12], 20, 3)
        };
        let has = |p: &Parameter| PARAMETERS.contains(p) || problem.value(*p).is_some();
        let parameters: Vec<Parameter> = Parameter::ALL.into_iter().filter(has).collect();
        let (expected, digest) = forward(&problem, &parameters);
        let found = back(&problem, GIB);
        assert_eq!(found.digests[0].to_string(), digest, "{optimizer:?}");
        for (parameter, expected) in parameters.into_iter().zip(expected) {
            let slope = found.derivative(&SCHEDULE.into(), parameter);
            let off = relative(slope, expected);
            assert!(
                off < tolerance,
                "{optimizer:?}: by {parameter:?} {slope} back and {expected} forward: {off:e}"
            );
        }
    }
}

#[test]
fn reverse_and_forward_mode_agree_in_double_precision() {
    assert_agree(F64, 1e-9);
}

#[test]
fn reverse_and_forward_mode_agree_in_single_precision() {
    assert_agree(F32, 1e-3);
}

#[test]
fn the_objective_is_that_of_forward_mode_bit_for_bit() {
    let data = glyphs(F32);
    let problem = problem(&data, &[32], 100, 1);
    let start = problem.start(0, 0.0).unwrap();
    let forward =
        problem.hypergradient(Tangents::Schedule, &start, &SCHEDULE, HORIZON, &mut || {}).unwrap();
    let found = back(&problem, GIB);
    assert_eq!(found.objective.loss.value.to_bits(), forward.objective.loss.value.to_bits());
    assert_eq!(found.objective.accuracy, forward.objective.accuracy);
    assert_eq!(found.parameters, forward.parameters);
}

/// All that a run back says, as text.
fn said(found: &ReverseHypergradient) -> String {
    format!("{found:?}")
}

#[test]
fn memory_changes_how_many_steps_are_taken_and_no_bit() {
    let data = glyphs(F32);
    for optimizer in [None, Some(Hyperparameters { method: METHODS[3], decay: Decay::None })] {
        let problem = Problem { optimizer, ..problem(&data, &[16], 10, 2) };
        let start = problem.start(0, 0.0).unwrap();
        let run = problem.reverse(&start);
        let TooLittle { least } = run.plan(HORIZON, 1, Wanted::All).unwrap_err();
        assert_eq!(run.plan(HORIZON, least - 1, Wanted::All), Err(TooLittle { least }));
        let one = run.plan(HORIZON, least, Wanted::All).unwrap();
        assert_eq!((one.points, one.bytes), (1, least));
        let expected = said(&back(&problem, GIB));
        let mut steps = u64::MAX;
        for points in [1, 2, 3, 6, 13, 39, 40, 100] {
            let plan =
                run.plan(HORIZON, least + (points - 1) * one.bytes_of_points, Wanted::All).unwrap();
            assert_eq!(plan.points as u64, if points < 40 { points } else { 40 });
            assert_eq!(plan.stores_everything(), points >= 40, "{plan:?}");
            assert!(plan.forward_steps < steps || points > 40, "{plan:?}");
            steps = plan.forward_steps;
            assert_eq!(said(&back(&problem, plan.bytes)), expected, "{points} points");
        }
    }
}

/// Of SGD the rates' derivatives take no velocities: points of half the size, and the same bits.
#[test]
fn derivatives_by_the_rates_alone_take_half_the_memory_and_the_same_bits() {
    let data = glyphs(F32);
    let problem = problem(&data, &[16], 10, 2);
    let start = problem.start(0, 0.0).unwrap();
    let mut run = problem.reverse(&start);
    let all = run.plan(HORIZON, GIB, Wanted::All).unwrap();
    let rates = run.plan(HORIZON, GIB, Wanted::Rates).unwrap();
    assert_eq!(rates.bytes_of_points * 2, all.bytes_of_points);
    let expected = back(&problem, GIB);
    assert!(!expected.by_others.is_empty());
    // All points without velocities, and a few, to some of which the run is restored.
    for memory in [rates.bytes, all.bytes - all.bytes_of_points * 3 / 4] {
        let plan = run.plan(HORIZON, memory, Wanted::Rates).unwrap();
        assert_eq!(plan.stores_everything(), memory == rates.bytes);
        let found = run.run(Rates::Schedule(&SCHEDULE), &plan, &mut || true).unwrap().unwrap();
        assert_eq!((found.by_rate, found.digests), (expected.by_rate.clone(), expected.digests));
        assert_eq!(found.by_others, []);
    }
    let adam = Some(Hyperparameters { method: METHODS[3], decay: Decay::None });
    let problem = Problem { optimizer: adam, ..problem.clone() };
    let run = problem.reverse(&start);
    let of = |wanted| run.plan(HORIZON, GIB, wanted).unwrap().bytes_of_points;
    assert_eq!(of(Wanted::Rates), of(Wanted::All), "Adam's adjoints depend on its moments");
}

#[test]
fn threads_and_instruction_sets_change_no_bit() {
    // Wide enough for steps that are divided among threads.
    let data = glyphs(F32);
    let sgd = problem(&data, &[260, 200], 100, 1);
    let optimizer = Some(Hyperparameters { method: METHODS[3], decay: Decay::Coupled(1e-3) });
    for base in [sgd.clone(), Problem { optimizer, ..sgd }] {
        let mut all = Vec::new();
        for isa in Isa::ALL.iter().copied().filter(|isa| isa.available()) {
            for threads in [1, 2, 3, 8] {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                let problem = Problem { isa, ..base.clone() };
                let start = problem.start(0, 0.0).unwrap();
                let mut run = problem.reverse(&start);
                let plan = run.plan(6, GIB, Wanted::All).unwrap();
                let found = pool.install(|| {
                    run.run(Rates::Schedule(&SCHEDULE), &plan, &mut || true).unwrap().unwrap()
                });
                all.push((isa, threads, said(&found)));
            }
        }
        for (isa, threads, found) in &all {
            assert_eq!(*found, all[0].2, "{isa:?}, {threads} threads");
        }
    }
}

#[test]
fn an_unroll_of_no_steps_depends_on_nothing() {
    let data = glyphs(F64);
    let problem = problem(&data, &[12], 20, 1);
    let start = problem.start(0, 0.0).unwrap();
    let mut run = problem.reverse(&start);
    let plan = run.plan(0, GIB, Wanted::All).unwrap();
    let found = run.run(Rates::Schedule(&SCHEDULE), &plan, &mut || true).unwrap().unwrap();
    assert_eq!(found.derivative(&SCHEDULE.into(), Parameter::Alpha0), 0.0);
    assert_eq!((plan.forward_steps, found.by_rate.len()), (0, 0));
}

/// Every step's own rate and momentum, where they are those of a schedule, give its bits; where one
/// of them moves, the objective moves along the derivative by it. A run that is stopped finds
/// nothing.
#[test]
fn entries_are_differentiated_each_by_itself() {
    let data = glyphs(F64);
    let problem = problem(&data, &[14], 20, 2);
    let start = problem.start(0, 0.0).unwrap();
    let mut run = problem.reverse(&start);
    let plan = run.plan(HORIZON, GIB, Wanted::All).unwrap();
    let rates = SCHEDULE.with_tangents([]);
    let rates: Vec<f64> = (0..HORIZON).map(|k| rates.learning_rate::<Libm>(k).value).collect();
    let momenta = vec![problem.momentum; rates.len()];
    let entries = Entries::new(rates.clone(), momenta.clone());
    let mut at = |rates: Rates<'_>| run.run(rates, &plan, &mut || true).unwrap().unwrap();
    let found = at(Rates::Entries(&entries));
    let whole = at(Rates::Schedule(&SCHEDULE));
    assert_eq!((found.digests, &found.by_rate), (whole.digests, &whole.by_rate));
    let by_momentum = &found.by_others[0];
    assert_eq!(by_momentum.0, Parameter::Momentum);
    let change = 1e-6;
    for k in [0, 7, HORIZON as usize - 1] {
        let mut moved = |rate: f64, momentum: f64| {
            let (mut rates, mut momenta) = (rates.clone(), momenta.clone());
            rates[k] += rate;
            momenta[k] += momentum;
            at(Rates::Entries(&Entries::new(rates, momenta))).objective.loss.value
        };
        let by_rate = (moved(change, 0.0) - moved(-change, 0.0)) / (2.0 * change);
        let slope = (moved(0.0, change) - moved(0.0, -change)) / (2.0 * change);
        assert!((by_rate - found.by_rate[k]).abs() < 1e-6, "{k}: {by_rate}");
        assert!((slope - by_momentum.1[k]).abs() < 1e-6, "{k}: {slope}");
    }
    let mut left = 50;
    let mut go_on = || {
        left -= 1;
        left > 0
    };
    assert!(run.run(Rates::Entries(&entries), &plan, &mut go_on).unwrap().is_none());
}

/// Where all layers have the same rates, the values have the bits of one rate for all, and the
/// derivatives by a step's rates add up to that by the one.
#[test]
fn layers_with_the_same_rate_are_one_rate() {
    for precision in [F32, F64] {
        let data = glyphs(precision);
        for optimizer in optimizers() {
            let momentum = precision.round(0.9);
            let problem = Problem { optimizer, momentum, ..problem(&data, &[21, 12], 20, 3) };
            let start = problem.start(0, 0.0).unwrap();
            let schedule = SCHEDULE.with_tangents([]);
            let steps = (0..HORIZON).map(|k| schedule.learning_rate::<Libm>(k).value);
            let rates: Vec<f64> = steps.map(|rate| precision.round(rate)).collect();
            let momenta = vec![precision.round(0.6); rates.len()];
            let mut run = problem.reverse(&start);
            let plan = run.plan(HORIZON, GIB, Wanted::All).unwrap();
            let mut at = |entries: &Entries| {
                run.run(Rates::Entries(entries), &plan, &mut || true).unwrap().unwrap()
            };
            let one = at(&Entries::new(rates.clone(), momenta.clone()));
            let thrice = rates.iter().flat_map(|rate| [*rate; 3]).collect();
            let entries = Entries::new(thrice, momenta);
            let each = at(&entries);
            assert_eq!(each.digests[0], one.digests[0], "{optimizer:?}");
            assert_eq!(each.objective, one.objective);
            assert_eq!((one.by_rate.len(), each.by_rate.len()), (40, 120));
            let tolerance = if precision == F64 { 1e-10 } else { 1e-3 };
            let near = |sum: f64, all: f64, of: &[f64], what: &str| {
                let size = of.iter().fold(0.0, |size, x| size + x.abs());
                assert!(
                    (sum - all).abs() <= tolerance * size,
                    "{optimizer:?}, {what}: {sum} {all}"
                );
            };
            for (k, (layers, all)) in each.by_rate.chunks(3).zip(&one.by_rate).enumerate() {
                let total = layers.iter().fold(0.0, |sum, x| sum + x);
                near(total, *all, layers, &format!("step {k}"));
            }
            for ((by, each), (_, one)) in each.by_others.iter().zip(&one.by_others) {
                for (each, one) in each.iter().zip(one) {
                    near(*each, *one, &[*one], &format!("{by:?}"));
                }
            }
            // Training alone.
            let mut trained = problem.run(Tangents::None, &start);
            for k in 0..entries.steps() {
                let (rates, momentum) = entries.step(k);
                trained.step_by_layer(rates, momentum).unwrap();
            }
            assert_eq!(trained.digests()[0], one.digests[0], "{optimizer:?}");
        }
    }
}

/// The derivative by each layer's rate is the slope of the objective along it.
#[test]
fn rates_of_layers_are_differentiated_each_by_itself() {
    let data = glyphs(F64);
    let adam = Some(Hyperparameters { method: METHODS[3], decay: Decay::None });
    for (optimizer, scale) in [(None, 0.002), (adam, 0.0002)] {
        let problem = Problem { optimizer, ..problem(&data, &[14, 9], 20, 2) };
        let start = problem.start(0, 0.0).unwrap();
        let mut run = problem.reverse(&start);
        let plan = run.plan(HORIZON, GIB, Wanted::All).unwrap();
        let rate = |n: u32| scale * f64::from(1 + n % 7);
        let rates: Vec<f64> = (0..3 * HORIZON).map(rate).collect();
        let momenta = vec![0.8; HORIZON as usize];
        let mut at = |rates: Vec<f64>| {
            let entries = Entries::new(rates, momenta.clone());
            run.run(Rates::Entries(&entries), &plan, &mut || true).unwrap().unwrap()
        };
        let found = at(rates.clone());
        for place in [0, 1, 2, 22, 3 * HORIZON as usize - 1] {
            let change = 1e-7;
            let mut moved = |by: f64| {
                let mut rates = rates.clone();
                rates[place] += by;
                at(rates).objective.loss.value
            };
            let slope = (moved(change) - moved(-change)) / (2.0 * change);
            let by = found.by_rate[place];
            assert!(
                (slope - by).abs() < 1e-6 * (1.0 + by.abs()),
                "{optimizer:?}, {place}: {slope}, {by}"
            );
            assert!(by.abs() > 1e-5, "{place}: {by}");
        }
    }
}
