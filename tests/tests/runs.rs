//! What must not change a bit of the host's runs: instruction sets, threads, and runs trained side by side. That lanes, tangents
//! and divisions of a step change none is tested in the core (`core/tests/bits.rs`).

use myopia::engine::{Isa, Precision, Work};
use myopia::problem::{Problem, Together};
use myopia_core::backend::{Backend, Portable};
use myopia_core::schedule::{InverseTime, PARAMETERS};
use myopia_core::vector::{F32x8, Vector};
use myopia_tests::{Dense, glyphs, problem};

const SCHEDULE: InverseTime<f32> = InverseTime { alpha0: 0.1, time_constant: 20.0, beta: 1.0 };
const F32: Portable<F32x8> = Portable::new();

/// What a run leaves behind: bits of the objective and its tangents, digests of values and tangents.
type Trace = (Vec<u64>, (u64, u64));

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

/// Work whose steps are spread over the threads of the pool that it runs in.
struct Spread<'a>(&'a Problem<'a, f32>);

impl Work<f32> for Spread<'_> {
    type Output = Trace;
    fn on<G: Backend<Vector: Vector<Scalar = f32>>>(self, engine: G) -> Trace {
        let start = self.0.start(engine, 3, 0.05).unwrap();
        let outlook = self.0.look_ahead(engine, &start, SCHEDULE, 4, || {}).unwrap();
        let numbers = outlook.parameters.into_iter().map(myopia_core::real::Real::bits).collect();
        (numbers, (outlook.digest_values, outlook.digest_tangents))
    }
}

#[test]
fn the_number_of_threads_inside_a_step_changes_no_bit() {
    let data = glyphs();
    // Large enough that a step is divided, also without tangents; with 16 lanes the last panel of 193 holds its tangents too.
    let problem = Problem { objective_size: Some(200), ..problem(&data, &[193, 150, 40], 100, 1) };
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
