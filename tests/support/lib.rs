//! What the tests share: problems made from a seed, and derivatives by differences.

use myopia::precision::Precision;
use myopia::problem::{
    Data, ExampleSet, Examples, InitialParams, Problem, Set, Sets, Snapshot, Source, Tangents,
    TrainingRun,
};
use myopia_core::elementary::{Elementary, Libm};
use myopia_core::real::Real;
use myopia_core::rng::Pcg32;
use myopia_core::schedule::{InverseTime, PARAMETERS, Parameter};

/// The derivative of `f` at `x` by central differences extrapolated to step zero (Ridders 1982),
/// begun at step `step`, and an estimate of its error.
pub fn derivative(x: f64, step: f64, f: impl Fn(f64) -> f64) -> (f64, f64) {
    let mut best = (0.0, f64::INFINITY);
    let mut step = step;
    let mut above: Vec<f64> = Vec::new();
    for _ in 0..8 {
        let (right, left) = (f(x + step), f(x - step));
        // Two rows may agree by luck, so no error is taken for smaller than the rounding of f.
        let rounding = f64::EPSILON * (right.abs() + left.abs()) / (2.0 * step);
        let mut row = vec![(right - left) / (2.0 * step)];
        let mut power = 1.0;
        for (column, coarser) in above.iter().enumerate() {
            power *= 4.0;
            let finer = row[column];
            let extrapolated = (power * finer - coarser) / (power - 1.0);
            let differences = (extrapolated - finer).abs().larger((extrapolated - coarser).abs());
            let error = differences.larger(rounding);
            if error < best.1 {
                best = (extrapolated, error);
            }
            row.push(extrapolated);
        }
        above = row;
        step /= 2.0;
    }
    best
}

/// The objective after training without tangents.
pub fn loss(
    problem: &Problem<'_>,
    start: &InitialParams,
    schedule: InverseTime<f64>,
    horizon: u32,
) -> f64 {
    let mut run = problem.run(Tangents::None, start);
    run.train(&schedule, 0..horizon, &mut |_, _, _| {}).unwrap();
    run.evaluate(Set::Training, &problem.objective_indices()).unwrap().loss.value
}

/// Asserts that tangents find the derivative by every hyperparameter of the schedule and of the
/// optimiser that `difference` finds, at a value, along training without tangents; how many there
/// are.
pub fn assert_derivatives(
    problem: &Problem<'_>,
    start: &InitialParams,
    schedule: InverseTime<f64>,
    horizon: u32,
    difference: impl Fn(f64, &dyn Fn(f64) -> f64) -> f64,
) -> usize {
    let all = Parameter::ALL.into_iter().filter_map(|parameter| {
        let which = PARAMETERS.iter().position(|of| *of == parameter);
        let of_schedule = which.map(|which| schedule.parameters()[which]);
        Some((parameter, which, of_schedule.or_else(|| problem.value(parameter))?))
    });
    all.map(|(parameter, which, at)| {
        let by = Tangents::By([parameter, Parameter::Alpha0, parameter]);
        let found = problem.hypergradient(by, start, &schedule, horizon, &mut || {}).unwrap();
        let exact = found.objective.loss.tangents[0];
        let along = |x| match which {
            Some(which) => loss(problem, start, with_parameter(schedule, which, x), horizon),
            None => loss(&problem.clone().with_value(parameter, x), start, schedule, horizon),
        };
        let found = difference(at, &along);
        assert!(
            (found - exact).abs() < 1e-6 * exact.abs() + 1e-12 * along(at) / at,
            "{:?}, {parameter:?}: {exact} by tangents, {found} by differences",
            problem.optimizer
        );
    })
    .count()
}

/// A run that was taken to its end, and a snapshot of another that ends as it does: it was taken
/// after 7 of 20 steps with tangents, and gone on from.
pub fn gone_on_from_a_snapshot<'a>(
    problem: &'a Problem<'a>,
    start: &InitialParams,
    schedule: &InverseTime<f64>,
) -> (Box<dyn TrainingRun + 'a>, Box<dyn TrainingRun + 'a>, Snapshot) {
    let mut whole = problem.run(Tangents::Schedule, start);
    whole.train(schedule, 0..20, &mut |_, _, _| {}).unwrap();
    let mut half = problem.run(Tangents::Schedule, start);
    half.train(schedule, 0..7, &mut |_, _, _| {}).unwrap();
    let snapshot = half.snapshot();
    let mut rest = problem.restore(Tangents::Schedule, &snapshot).unwrap();
    rest.train(schedule, 7..20, &mut |_, _, _| {}).unwrap();
    assert_eq!(rest.digests(), whole.digests());
    (whole, rest, snapshot)
}

/// How far `found` is from `expected`, as a share of `expected`.
pub fn relative(found: f64, expected: f64) -> f64 {
    if found == expected { 0.0 } else { ((found - expected) / expected).abs() }
}

/// The schedule with one of its parameters replaced.
pub fn with_parameter(schedule: InverseTime<f64>, which: usize, value: f64) -> InverseTime<f64> {
    let mut parameters = schedule.parameters();
    parameters[which] = value;
    let [alpha0, time_constant, beta] = parameters;
    InverseTime { alpha0, time_constant, beta }
}

/// `count` examples of `inputs` numbers to train on and as many to test on: noise around a centre
/// for each class, about a third of the numbers zero.
pub fn cluster_sets<T: Real>(seed: u64, count: usize, inputs: usize, classes: usize) -> Sets<T> {
    let mut rng = Pcg32::new(seed, 77);
    let centres: Vec<f32> = (0..inputs * classes).map(|_| rng.normal()).collect();
    let mut examples = |count: usize| {
        ExampleSet::collect((0..count).map(|_| {
            let label = rng.below(classes as u32) as usize;
            let mut example = Vec::new();
            for input in 0..inputs {
                let x = centres[label * inputs + input] + rng.normal::<f32>();
                if rng.below(3) > 0 {
                    example.push((input as u16, T::from_f32(x / Libm::sqrt(inputs as f32))));
                }
            }
            (label as u16, example)
        }))
    };
    Sets { training: examples(count), test: examples(count) }
}

/// [`cluster_sets`] in double precision, a quarter of them held out.
pub fn clusters(seed: u64, count: usize, inputs: usize, classes: usize) -> Data {
    let examples = Examples::F64(cluster_sets(seed, count, inputs, classes));
    Data { examples, held_out: count / 4, inputs, classes }
}

/// The built-in synthetic digits.
pub fn glyphs(precision: Precision) -> Data {
    Source::Glyphs.load(precision, |_| {}).expect("synthetic digits are built in")
}

/// A problem with momentum 0.9 judged on held-out examples; hidden layers as given.
pub fn problem<'a>(data: &'a Data, hidden: &[usize], batch: usize, seed: u64) -> Problem<'a> {
    Problem {
        batch,
        seed,
        ..Problem::new(data, [&[data.inputs], hidden, &[data.classes]].concat())
    }
}
