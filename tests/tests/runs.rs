//! What must not change a bit: tangents, lanes, threads, and where a run is cut.

use myopia::descent::{Descent, Record};
use myopia::engine::{Isa, Precision, Work};
use myopia::problem::{Problem, Run, Start, Together};
use myopia_core::backend::{Backend, Portable};
use myopia_core::dual::Dual;
use myopia_core::elementary::Libm;
use myopia_core::meta::{MetaDescent, Rule};
use myopia_core::schedule::{InverseTime, PARAMETERS, Parameter};
use myopia_core::vector::{F32x4, F32x8, F32x16, F64x4, F64x8, Vector};
use myopia_tests::{Dense, clusters_with_zeros, glyphs, problem};
use proptest::prelude::*;

const SCHEDULE: InverseTime<f32> = InverseTime { alpha0: 0.1, time_constant: 20.0, beta: 1.0 };
const F32: Portable<F32x8> = Portable::new();

/// What a run leaves behind: bits of the objective and its tangents, digests of values and tangents.
type Trace = (Vec<u64>, (u64, u64));

fn train<const P: usize>(
    problem: &Problem<'_, f32>,
    start: &Start<f32>,
    directions: [Parameter; P],
    horizon: u32,
) -> (Vec<u32>, Dual<f32, P>, u64) {
    let mut losses = Vec::new();
    let mut run = problem.run::<_, P>(F32, start);
    run.train(&SCHEDULE.with_tangents(directions), 0..horizon, |_, _, loss| {
        losses.push(loss.to_bits());
    })
    .unwrap();
    let judged = run.judge(&problem.data.training, &problem.objective_indices()).unwrap();
    (losses, judged.loss, run.digests().0)
}

fn trace<T, G>(engine: G, problem: &Problem<'_, T>, schedule: InverseTime<T>) -> Trace
where
    T: myopia_core::real::Real,
    G: Backend<Vector: Vector<Scalar = T>>,
{
    let start = problem.start(engine, 3, T::from_f32(0.05)).unwrap();
    let outlook = problem.look_ahead(engine, &start, schedule, 25, || {}).unwrap();
    let loss = outlook.objective.loss;
    let numbers = [loss.value].into_iter().chain(loss.tangents).chain(outlook.parameters);
    (numbers.map(T::bits).collect(), (outlook.digest_values, outlook.digest_tangents))
}

/// The digest of the values of the same run without tangents.
fn plain_digest<G>(engine: G, problem: &Problem<'_, f32>, schedule: InverseTime<f32>) -> u64
where
    G: Backend<Vector: Vector<Scalar = f32>>,
{
    let start = problem.start(engine, 3, 0.05).unwrap();
    let mut run = problem.run::<_, 0>(engine, &start);
    run.train(&schedule.with_tangents([]), 0..25, |_, _, _| {}).unwrap();
    run.digests().0
}

#[test]
fn tangents_leave_the_values_alone() {
    let data = glyphs();
    let problem = problem(&data, &[32, 13], 20, 1);
    let start = problem.start(F32, 0, 0.0).unwrap();
    let plain = train(&problem, &start, [], 60);
    let with_tangents = train(&problem, &start, PARAMETERS, 60);
    assert_eq!(plain.0, with_tangents.0, "losses of the batches");
    assert_eq!(plain.1.value.to_bits(), with_tangents.1.value.to_bits(), "objective");
    assert_eq!(plain.2, with_tangents.2, "parameters and velocity");
    assert!(with_tangents.1.tangents.iter().all(|&t| t != 0.0), "{:?}", with_tangents.1);
}

#[test]
fn each_tangent_of_three_is_the_one_of_a_run_that_carries_it_alone() {
    let data = glyphs();
    let problem = problem(&data, &[32, 13], 20, 1);
    let start = problem.start(F32, 0, 0.0).unwrap();
    let parameters = |run: &mut Run<'_, Portable<F32x8>, 3>| -> Vec<f32> { run.parameters() };
    let mut three = problem.run::<_, 3>(F32, &start);
    three.train(&SCHEDULE.with_tangents(PARAMETERS), 0..40, |_, _, _| {}).unwrap();
    let judged = |losses: &[f32]| losses.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
    let together = three.judge(&problem.data.training, &problem.objective_indices()).unwrap();
    for (lane, parameter) in PARAMETERS.into_iter().enumerate() {
        let mut one = problem.run::<_, 1>(F32, &start);
        one.train(&SCHEDULE.with_tangents([parameter]), 0..40, |_, _, _| {}).unwrap();
        let alone = one.judge(&problem.data.training, &problem.objective_indices()).unwrap();
        assert_eq!(
            judged(&[together.loss.value, together.loss.tangents[lane]]),
            judged(&[alone.loss.value, alone.loss.tangents[0]]),
            "{parameter:?}"
        );
        assert_eq!(judged(&parameters(&mut three)), judged(&one.parameters()), "{parameter:?}");
    }
}

#[test]
fn the_number_of_lanes_changes_no_bit() {
    // Widths that fill no vector, one that fills several, one unit, and more units than pass through the nearest cache at once.
    for hidden in [&[33, 7, 1][..], &[16], &[5, 40], &[], &[150, 140]] {
        let data = glyphs();
        let single = problem(&data, hidden, 7, 2);
        let one = trace(Portable::<f32>::new(), &single, SCHEDULE);
        assert_eq!(one, trace(Portable::<F32x4>::new(), &single, SCHEDULE), "{hidden:?}");
        assert_eq!(one, trace(Portable::<F32x8>::new(), &single, SCHEDULE), "{hidden:?}");
        assert_eq!(one, trace(Portable::<F32x16>::new(), &single, SCHEDULE), "{hidden:?}");
        let dense = plain_digest(Dense::<F32x16>::default(), &single, SCHEDULE);
        assert_eq!(dense, one.1.0, "{hidden:?}");
        let data = glyphs();
        let double = problem(&data, hidden, 7, 2);
        let schedule = InverseTime { alpha0: 0.1, time_constant: 20.0, beta: 1.0 };
        let one = trace(Portable::<f64>::new(), &double, schedule);
        assert_eq!(one, trace(Portable::<F64x4>::new(), &double, schedule), "{hidden:?}");
        assert_eq!(one, trace(Portable::<F64x8>::new(), &double, schedule), "{hidden:?}");
    }
}

#[test]
fn every_instruction_set_of_this_processor_gives_the_bits_of_the_plain_engine() {
    struct OnHost<'a>(&'a Problem<'a, f32>);
    impl Work<f32> for OnHost<'_> {
        type Output = Trace;
        fn on<G: Backend<Vector: Vector<Scalar = f32>>>(self, engine: G) -> Trace {
            trace(engine, self.0, SCHEDULE)
        }
    }
    let data = glyphs();
    let problem = problem(&data, &[33, 7], 19, 4);
    let plain = trace(Portable::<f32>::new(), &problem, SCHEDULE);
    for isa in Isa::ALL.into_iter().filter(|isa| isa.available()) {
        assert_eq!(f32::run(isa, OnHost(&problem)), plain, "{isa:?}");
    }
    // Also where the processor has none of those that are dense.
    let dense = plain_digest(Dense::<F32x8>::default(), &problem, SCHEDULE);
    assert_eq!(dense, plain.1.0);
}

#[test]
fn a_run_may_be_cut_anywhere() {
    let data = glyphs();
    let problem = problem(&data, &[20], 50, 1);
    let start = problem.start(F32, 0, 0.0).unwrap();
    let run = |cuts: &[u32]| {
        let mut run = problem.run::<_, 3>(F32, &start);
        let schedule = SCHEDULE.with_tangents(PARAMETERS);
        for cut in cuts.windows(2) {
            run.train(&schedule, cut[0]..cut[1], |_, _, _| {}).unwrap();
        }
        run.digests()
    };
    let whole = run(&[0, 100]);
    assert_eq!(whole, run(&[0, 50, 100]));
    assert_eq!(whole, run(&[0, 1, 1, 79, 81, 100]), "80 steps are an epoch");
    assert_ne!(whole, run(&[0, 99]));
}

#[test]
fn judging_between_steps_changes_nothing() {
    let data = glyphs();
    let problem = problem(&data, &[20], 50, 1);
    let start = problem.start(F32, 0, 0.0).unwrap();
    let schedule = SCHEDULE.with_tangents(PARAMETERS);
    let mut watched = problem.run::<_, 3>(F32, &start);
    let mut left_alone = problem.run::<_, 3>(F32, &start);
    for step in 0..10 {
        watched.train(&schedule, step..step + 1, |_, _, _| {}).unwrap();
        watched.judge(&data.test, &[3, 1, 2]).unwrap();
    }
    left_alone.train(&schedule, 0..10, |_, _, _| {}).unwrap();
    assert_eq!(watched.digests(), left_alone.digests());
}

#[test]
fn the_number_of_threads_changes_no_bit() {
    use rayon::prelude::*;
    let data = glyphs();
    let descend = |horizon: u32| {
        let problem = Problem { objective_size: Some(100), ..problem(&data, &[16], 10, 1) };
        let start = problem.start(F32, 0, 0.0).unwrap();
        let outer = MetaDescent::new(Rule::adam(), 0.1, MetaDescent::default_limits());
        let descent = Descent { schedule: SCHEDULE, outer, horizon, meta_steps: 4 };
        let mut records: Vec<Record> = Vec::new();
        descent.run(F32, &problem, &start, || {}, |record| records.push(*record)).unwrap();
        let numbers = |r: &Record| [r.alpha0, r.time_constant, r.beta, r.loss, r.d_beta];
        records.iter().flat_map(numbers).map(f64::to_bits).collect::<Vec<_>>()
    };
    let horizons = [5u32, 10, 15, 20, 25, 30, 35, 40];
    let many = |threads: usize| -> Vec<Vec<u64>> {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| horizons.par_iter().map(|&horizon| descend(horizon)).collect())
    };
    let in_turn: Vec<Vec<u64>> = horizons.iter().map(|&horizon| descend(horizon)).collect();
    for threads in [1, 2, 3, 8] {
        assert_eq!(in_turn, many(threads), "{threads} threads");
    }
}

/// Work whose steps are spread over the threads of the pool that it runs in.
struct Spread<'a>(&'a Problem<'a, f32>);

impl Work<f32> for Spread<'_> {
    type Output = Trace;
    fn on<G: Backend<Vector: Vector<Scalar = f32>>>(self, engine: G) -> Trace {
        let start = self.0.start(engine, 0, 0.0).unwrap();
        let outlook = self.0.look_ahead(engine, &start, SCHEDULE, 4, || {}).unwrap();
        let numbers = outlook.parameters.into_iter().map(myopia_core::real::Real::bits).collect();
        (numbers, (outlook.digest_values, outlook.digest_tangents))
    }
}

#[test]
fn the_number_of_threads_inside_a_step_changes_no_bit() {
    let data = glyphs();
    // Large enough that a step is spread; the widths leave rests.
    let problem = Problem { objective_size: Some(200), ..problem(&data, &[203, 150, 40], 100, 1) };
    for isa in Isa::ALL.into_iter().filter(|isa| isa.available()) {
        let one = f32::run(isa, Spread(&problem));
        for threads in [1, 2, 3, 8] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let many = pool.install(|| f32::spread(isa, Spread(&problem)));
            assert!(many == one, "{isa:?}, {threads} threads");
        }
    }
}

#[test]
fn runs_trained_together_have_the_bits_of_runs_trained_alone() {
    let data = glyphs();
    let problem = problem(&data, &[33], 50, 1);
    let start = problem.start(F32, 0, 0.0).unwrap();
    // The third diverges.
    let schedules = [0.1f32, 0.02, 1e20, 0.3].map(|alpha0| InverseTime { alpha0, ..SCHEDULE });
    let with_tangents = schedules.map(|schedule| schedule.with_tangents(PARAMETERS));
    let mut together = Together::new(&problem, F32, &start, with_tangents);
    let mut alone = schedules.map(|_| problem.run::<_, 3>(F32, &start));
    for steps in [0..5, 5..30, 30..47] {
        let mut losses = vec![Vec::new(); 4];
        let seen = |run: usize, k: u32, rate: f32, loss: f32| {
            losses[run].push((k, rate.to_bits(), loss.to_bits()));
        };
        together.train(steps.clone(), seen);
        let ended = together.ended().to_vec();
        for (place, run) in alone.iter_mut().enumerate() {
            if place == 2 && steps.start > 0 {
                continue;
            }
            let mut seen = Vec::new();
            let observe = |k, rate: f32, loss: f32| seen.push((k, rate.to_bits(), loss.to_bits()));
            assert_eq!(run.train(&with_tangents[place], steps.clone(), observe), ended[place]);
            assert_eq!(seen, losses[place], "losses of run {place}");
            assert_eq!(ended[place].is_err(), place == 2);
            if place != 2 {
                assert_eq!(run.digests(), together.digests(place), "run {place}");
            }
        }
    }
}

#[test]
fn a_network_of_four_layers_of_a_thousand_units_trains_with_tangents_on_a_small_stack() {
    let train = || {
        let data = glyphs();
        let problem = problem(&data, &[1_000; 4], 8, 1);
        let train = |isa| f32::run(isa, Large(&problem));
        let (loss, digests) = train(Isa::widest());
        assert_eq!((loss, digests), train(Isa::Baseline));
        assert!(loss.is_finite());
    };
    let stack = 256 << 10;
    std::thread::Builder::new().stack_size(stack).spawn(train).unwrap().join().unwrap();
}

struct Large<'a>(&'a Problem<'a, f32>);

impl Work<f32> for Large<'_> {
    type Output = (f32, (u64, u64));
    fn on<G: Backend<Vector: Vector<Scalar = f32>>>(self, engine: G) -> Self::Output {
        let schedule = InverseTime { alpha0: 0.001, ..SCHEDULE };
        let start = self.0.start(engine, 0, 0.0).unwrap();
        let mut run = self.0.run::<_, 3>(engine, &start);
        let mut last = 0.0;
        run.train(&schedule.with_tangents(PARAMETERS), 0..3, |_, _, loss| last = loss).unwrap();
        (last, run.digests())
    }
}

#[test]
fn the_rate_of_a_step_is_the_same_with_and_without_tangents() {
    for k in [0, 1, 7, 5_000, u32::MAX] {
        let plain = SCHEDULE.with_tangents([]).learning_rate::<Libm>(k);
        let dual = SCHEDULE.with_tangents(PARAMETERS).learning_rate::<Libm>(k);
        assert_eq!(plain.value.to_bits(), dual.value.to_bits(), "step {k}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn lanes_and_tangents_change_no_bit_of_any_network(
        inputs in 1usize..40,
        hidden in prop::collection::vec(1usize..40, 0..4),
        classes in 1usize..20,
        batch in 1usize..30,
        alpha0 in 0.0001f32..0.05,
        time_constant in 0.5f32..100.0,
        beta in 0.0f32..3.0,
        zeros in prop::option::of(2u32..5),
        seed: u64,
    ) {
        let data = clusters_with_zeros(seed, 40, inputs, classes, zeros);
        let problem = problem(&data, &hidden, batch, seed);
        let schedule = InverseTime { alpha0, time_constant, beta };
        let narrow = trace(Portable::<f32>::new(), &problem, schedule);
        prop_assert_eq!(&narrow, &trace(Portable::<F32x4>::new(), &problem, schedule));
        prop_assert_eq!(&narrow, &trace(Portable::<F32x16>::new(), &problem, schedule));
        prop_assert_eq!(plain_digest(F32, &problem, schedule), narrow.1.0);
        prop_assert_eq!(plain_digest(Dense::<f32>::default(), &problem, schedule), narrow.1.0);
        prop_assert_eq!(plain_digest(Dense::<F32x4>::default(), &problem, schedule), narrow.1.0);
        prop_assert_eq!(plain_digest(Dense::<F32x16>::default(), &problem, schedule), narrow.1.0);
    }
}
