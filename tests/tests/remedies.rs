//! Tangents that are discounted and dropped between steps, and judges of look-aheads, against
//! reverse mode and differences.

use myopia::descent::{MetaDescent, Record};
use myopia::nqm::judge::Judge;
use myopia::outer::{OuterOptimizer, OuterRule, limits};
use myopia::precision::Numbers;
use myopia::precision::Precision::{F32, F64};
use myopia::problem::{Entries, InitialParams, Problem, Rates, Set, Tangents, Wanted};
use myopia_core::schedule::{InverseTime, PARAMETERS, Parameter};
use myopia_core::sum::sum;
use myopia_tests::{derivative, glyphs, problem, relative};

const RATE: f64 = 0.03;
const CONSTANT: InverseTime<f64> = InverseTime { alpha0: RATE, time_constant: 1.0, beta: 0.0 };

/// The derivatives of the objective after these steps by the rate and the momentum of each.
fn by_step(problem: &Problem<'_>, start: &InitialParams, rates: Vec<f64>) -> [Vec<f64>; 2] {
    let momenta = vec![problem.momentum; rates.len()];
    let entries = Entries::new(rates, momenta);
    let mut run = problem.reverse(start);
    let plan = run.plan(entries.steps() as u32, 1 << 30, Wanted::All).unwrap();
    let found = run.run(Rates::Entries(&entries), &plan, &mut || true).unwrap();
    let found = found.expect("nobody stops it");
    let [(Parameter::Momentum, by_momentum)] = &found.by_others[..] else { panic!("{found:?}") };
    [found.by_rate, by_momentum.clone()]
}

#[test]
fn discounted_and_truncated_tangents_are_weighted_sums_of_the_derivatives_by_each_rate() {
    const STEPS: u32 = 24;
    let data = glyphs(F64);
    let problem = Problem { objective_size: Some(130), ..problem(&data, &[21, 12], 20, 3) };
    let start = problem.start(5, 0.05).unwrap();
    let [by_rate, by_momentum] = by_step(&problem, &start, vec![RATE; STEPS as usize]);
    // By the rate that multiplies the whole update where the velocity before it has no tangent.
    let whole = |k: usize| by_rate[k] + problem.momentum / RATE * by_momentum[k];
    for nu in [0.0, 0.7, 0.95, 1.0] {
        let mut run = problem.run(Tangents::By([Parameter::Alpha0; 3]), &start);
        for k in 0..STEPS {
            let kept = if k.is_multiple_of(10) { 0.0 } else { 1.0 };
            run.carry_tangents([nu, 0.0, kept], &CONSTANT, 0);
            run.step_as(&CONSTANT, 0, 1.0).unwrap();
        }
        let found = run.evaluate(Set::Training, &problem.objective_indices()).unwrap();
        let [discounted, last, truncated] = found.loss.tangents;
        let mut weight = 1.0;
        let weighted = (0..STEPS as usize).rev().map(|k| {
            let term = weight * (nu * by_rate[k] + (1.0 - nu) * whole(k));
            weight *= nu;
            term
        });
        assert!(relative(discounted, sum(weighted)) < 1e-9, "{nu}: {discounted}");
        assert!(relative(last, whole(23)) < 1e-9, "{last}");
        let tail = whole(20) + sum(by_rate[21..].iter().copied());
        assert!(relative(truncated, tail) < 1e-9, "{truncated}");
    }
    let full = sum(by_rate.iter().copied());
    assert!(relative(whole(23), full) > 0.5 && relative(whole(23), by_rate[23]) > 0.1);
}

#[test]
fn one_tangent_of_the_rate_is_that_of_three_and_changes_no_value() {
    for precision in [F32, F64] {
        let data = glyphs(precision);
        let problem = problem(&data, &[17], 20, 2);
        let start = problem.start(0, 0.0).unwrap();
        let train = |tangents| {
            let mut run = problem.run(tangents, &start);
            for k in 0..20 {
                if k % 3 == 1 {
                    run.look().unwrap();
                }
                run.carry_tangents([0.5; 3], &CONSTANT, 0);
                run.step_as(&CONSTANT, 0, 1.0).unwrap();
            }
            let slope = run.look().unwrap().tangents[0];
            (run.parameters(), slope)
        };
        let (one, three) = (train(Tangents::Rate), train(Tangents::Schedule));
        assert_eq!(one.0, three.0);
        let tolerance = if precision == F64 { 1e-10 } else { 1e-3 };
        assert!(one.1 != 0.0 && relative(one.1, three.1) < tolerance, "{one:?} {three:?}");
        let mut plain = problem.run(Tangents::None, &start);
        plain.train(&CONSTANT, 0..20, &mut |_, _, _| {}).unwrap();
        assert_eq!(plain.parameters(), one.0);
    }
}

/// The batch that was looked at is the one that is trained on next, whichever way.
#[test]
fn looking_at_the_next_batch_does_not_pass_over_it() {
    let data = glyphs(F32);
    let problem = problem(&data, &[17], 20, 2);
    let start = problem.start(0, 0.0).unwrap();
    let mut run = problem.run(Tangents::None, &start);
    let looked = run.look().unwrap();
    assert_eq!(run.look().unwrap().value, looked.value);
    let mut losses = Vec::new();
    run.train(&CONSTANT, 0..2, &mut |k, _, loss| losses.push((k, loss))).unwrap();
    assert_eq!(losses[0].1, looked.value);
    let looked = run.look().unwrap();
    assert_eq!(run.step(RATE, 0.9).unwrap(), looked.value);
    let snapshot = run.snapshot();
    let expected = run.look().unwrap();
    let mut restored = problem.restore(Tangents::None, &snapshot).unwrap();
    assert_eq!(restored.look().unwrap(), expected);
    let mut plain = problem.run(Tangents::None, &start);
    plain.train(&CONSTANT, 0..3, &mut |_, _, _| {}).unwrap();
    assert_eq!(plain.parameters(), run.parameters());
}

fn descent(judge: Judge, schedule: InverseTime<f64>) -> MetaDescent {
    let outer = OuterOptimizer::new(F64, OuterRule::Adam, 0.1, limits(&PARAMETERS));
    MetaDescent { schedule, tuned: PARAMETERS.to_vec(), outer, horizon: 12, judge, meta_steps: 0 }
}

fn record(problem: &Problem<'_>, start: &InitialParams, descent: MetaDescent) -> Record {
    let mut records = Vec::new();
    let observe = &mut |record: &Record| records.push(*record);
    descent.run(problem, start, &mut || {}, observe).unwrap();
    records.pop().unwrap()
}

const SCHEDULE: InverseTime<f64> = InverseTime { alpha0: 0.05, time_constant: 9.0, beta: 1.1 };

#[test]
fn a_cool_down_is_judged_at_its_end_with_the_derivatives_of_reverse_mode() {
    let data = glyphs(F64);
    let problem = Problem { objective_size: Some(130), ..problem(&data, &[14], 20, 3) };
    let start = problem.start(5, 0.05).unwrap();
    let found = record(&problem, &start, descent(Judge::Cooldown(5), SCHEDULE));
    let alpha = |k: u32| problem.learning_rate(&SCHEDULE, k);
    let shares = [1.0, 0.8, 0.6, 0.4, 0.2].map(|share| share * alpha(11));
    let rates: Vec<f64> = (0..12).map(alpha).chain(shares).collect();
    let mut run = problem.run(Tangents::None, &start);
    for rate in &rates {
        run.step(*rate, problem.momentum).unwrap();
    }
    let loss = run.evaluate(Set::Training, &problem.objective_indices()).unwrap().loss.value;
    assert!(relative(found.loss, loss) < 1e-12, "{} {loss}", found.loss);
    let [by_rate, _] = by_step(&problem, &start, rates.clone());
    let by_alpha0 = sum(by_rate.iter().zip(&rates).map(|(slope, rate)| slope * rate)) / 0.05;
    assert!(relative(found.derivative(Parameter::Alpha0), by_alpha0) < 1e-9, "{by_alpha0}");
    let plain = record(&problem, &start, descent(Judge::Plain, SCHEDULE));
    assert!(relative(plain.loss, found.loss) > 1e-3, "a cool-down must change the loss");
}

/// Without a hidden layer the loss has no kink: differences may be taken wide and extrapolated.
#[test]
fn an_average_is_judged_with_the_derivatives_that_differences_find() {
    let data = glyphs(F64);
    let problem = Problem { objective_size: Some(130), ..problem(&data, &[], 20, 3) };
    let start = problem.start(0, 0.0).unwrap();
    let judge = Judge::Average(0.8);
    let found = record(&problem, &start, descent(judge, SCHEDULE));
    let at = |alpha0| {
        let mut run = problem.run(Tangents::None, &start);
        run.average(0.8);
        for k in 0..12 {
            run.train(&InverseTime { alpha0, ..SCHEDULE }, k..k + 1, &mut |_, _, _| {}).unwrap();
            run.average(0.8);
        }
        run.evaluate_average(Set::Training, &problem.objective_indices()).unwrap().loss.value
    };
    assert!(relative(found.loss, at(0.05)) < 1e-12);
    let (expected, error) = derivative(0.05, 0.001, at);
    let slope = found.derivative(Parameter::Alpha0);
    assert!((slope - expected).abs() <= error + 1e-8 * expected.abs(), "{slope} {expected}");
}

#[test]
fn an_average_is_that_of_the_parameters_along_the_way() {
    let data = glyphs(F64);
    let problem = problem(&data, &[9], 20, 3);
    let start = problem.start(0, 0.0).unwrap();
    let numbers = |numbers: Numbers| match numbers {
        Numbers::F64(numbers) => numbers,
        Numbers::F32(_) => panic!("in double precision"),
    };
    let mut run = problem.run(Tangents::None, &start);
    run.average(0.75);
    let mut mean = numbers(run.parameters());
    for _ in 0..5 {
        run.step(RATE, 0.9).unwrap();
        run.average(0.75);
        let now = numbers(run.parameters());
        mean.iter_mut().zip(now).for_each(|(mean, x)| *mean = 0.75 * *mean + 0.25 * x);
    }
    let before = run.digests();
    let averaged = run.evaluate_average(Set::Test, &[0, 1, 2, 3, 4]).unwrap();
    assert_eq!(run.digests(), before, "the run itself stays as it is");
    let mean = InitialParams(Numbers::F64(mean));
    let expected = problem.run(Tangents::None, &mean).evaluate(Set::Test, &[0, 1, 2, 3, 4]);
    assert_eq!(averaged, expected.unwrap());
    let own = run.evaluate(Set::Test, &[0, 1, 2, 3, 4]).unwrap();
    assert_ne!(own, averaged);
}
