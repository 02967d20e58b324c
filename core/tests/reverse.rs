//! The step back against forward tangents, and its bits at every vector width and on threads.

mod support;

use myopia_core::backend::{Backend, Portable};
use myopia_core::dual::Dual;
use myopia_core::elementary::Libm;
use myopia_core::mlp::{
    Adjoints, Batch, HeapBatch, HeapNetwork, KeepGradient, Network, NonFinite, Quantity, Shape,
    Slots, Taken, Transpose, Update, Values,
};
use myopia_core::optimizer::{Decay, Hyperparameters, Method, Momentum, Optimizer, Reverse, Sgd};
use myopia_core::real::Real;
use myopia_core::rng::Pcg32;
use myopia_core::sampler::Sampler;
use myopia_core::schedule::{InverseTime, Parameter};
use myopia_core::unroll::{InnerLoop, objective};
use myopia_core::vector::{F32x4, F32x8, F32x16, F64x4, F64x8};
use support::{Clusters, Divided, divided};

const SCHEDULE: InverseTime<f64> = InverseTime { alpha0: 0.04, time_constant: 9.0, beta: 1.1 };
const STEPS: u32 = 6;
const BATCH: usize = 5;
const HIDDEN: [usize; 2] = [18, 5];

/// For each step the derivatives by its hyperparameters, α_k the first; the adjoints at step 0.
#[derive(Debug, PartialEq)]
struct Found<T> {
    steps: Vec<Vec<T>>,
    adjoints: Vec<T>,
}

fn clusters<T: Real>() -> Clusters<T> {
    Clusters::new(5, 24, 7, 4, Some(3))
}

/// The derivatives of the mean loss over all examples after training, every step being stored.
fn back<G, O, const S: usize, const D: usize>(backend: G, optimizer: O) -> Found<Scalar<G>>
where
    G: Backend,
    O: Reverse<Scalar<G>, Update: Update<G::Vector, 0, S, Libm>>,
    O::Back: Transpose<G::Vector, S, D, Libm>,
    Libm: myopia_core::elementary::Elementary<Scalar<G>>,
{
    back_with::<G, O, S, D>(backend, optimizer, true, true)
}

/// The same with the state of every point or without, each step back being told of the next or not.
fn back_with<G, O, const S: usize, const D: usize>(
    backend: G,
    optimizer: O,
    with_state: bool,
    in_one_pass: bool,
) -> Found<Scalar<G>>
where
    G: Backend,
    O: Reverse<Scalar<G>, Update: Update<G::Vector, 0, S, Libm>>,
    O::Back: Transpose<G::Vector, S, D, Libm>,
    Libm: myopia_core::elementary::Elementary<Scalar<G>>,
{
    let data = clusters::<Scalar<G>>();
    let sizes = data.sizes(&HIDDEN);
    let mut storage = HeapNetwork::<G::Vector, 0, S>::new(&sizes, BATCH).unwrap();
    let mut plain = HeapNetwork::<G::Vector, 0, 0>::new(&sizes, BATCH).unwrap();
    let mut tangent = HeapNetwork::<G::Vector, 1, 0>::new(&sizes, BATCH).unwrap();
    let mut examples = HeapBatch::new(&sizes, BATCH);
    let (mut network, mut batch) = (storage.network(backend), examples.batch());
    let (mut plain, mut tangent) = (plain.network(backend), tangent.network(backend));
    network.initialise(&mut Pcg32::new(1, 0));
    let schedule = rounded::<Scalar<G>>().with_tangents([]);
    let inner = InnerLoop { schedule, optimizer, batch: BATCH };
    let mut sampler = Sampler::new(vec![0; data.len()], Pcg32::new(1, 2));
    let mut tape = Vec::new();
    for k in 0..STEPS {
        let indices = sampler.next_batch(BATCH).to_vec();
        let values = network.values();
        let state = if with_state { values.state.to_vec() } else { Vec::new() };
        tape.push((indices.clone(), values.parameters.to_vec(), state));
        batch.fill(&data, &indices);
        inner.step::<Libm, _, _, _>(&mut network, &batch, k, |_, _, _| {}).unwrap();
    }
    let end = network.values();
    let mut parameters = vec![Dual::default(); end.parameters.len()];
    let mut state = vec![Slots::default(); end.state.len()];
    let units = Adjoints::<G::Vector, S, D>::units(&sizes);
    let mut sums = vec![[G::Vector::default(); D]; units];
    let (parameters, state, sums) = (&mut parameters[..], &mut state[..], &mut sums[..]);
    let mut adjoints = Adjoints { parameters, state, sums, seeded: &mut false };
    let all: Vec<u32> = (0..data.len() as u32).collect();
    for chunk in all.chunks(BATCH) {
        batch.fill(&data, chunk);
        plain.load_parameters(end.parameters);
        plain.step(&batch, KeepGradient).unwrap();
        let share = chunk.len() as f64 / all.len() as f64;
        adjoints.add_gradient(&mut plain, Scalar::<G>::from_f64(share));
    }
    let mut steps = Vec::new();
    let taken = |k: usize| {
        let (_, parameters, state) = tape.get(k)?;
        let rate = schedule.learning_rate::<Libm>(k as u32).value;
        let step = optimizer.back::<Libm>(k as u32, rate);
        Some(Taken { step, at: Values { parameters, state } })
    };
    for (k, (indices, ..)) in tape.iter().enumerate().rev() {
        batch.fill(&data, indices);
        let this = taken(k).unwrap();
        let next = if in_one_pass { k.checked_sub(1).and_then(taken) } else { None };
        let by = tangent.step_back(&mut plain, &batch, this, next, &mut adjoints).unwrap();
        steps.push(by.to_vec());
    }
    steps.reverse();
    network.load_values(Values { parameters: adjoints.parameters, state: adjoints.state });
    let values = network.parameters().chain(network.state()).map(|x| x.value);
    Found { steps, adjoints: values.collect() }
}

type Scalar<G> = myopia_core::backend::Scalar<G>;

fn rounded<T: Real>() -> InverseTime<T> {
    let [alpha0, time_constant, beta] = SCHEDULE.parameters().map(T::from_f64);
    InverseTime { alpha0, time_constant, beta }
}

/// The tangents of the same objective, by one parameter at a time.
fn forward<O, const S: usize>(
    directions: &[Parameter],
    optimizer: impl Fn(Parameter) -> O,
) -> Vec<f64>
where
    O: Optimizer<f64, 1, Update: Update<F64x4, 1, S, Libm>>,
{
    let data = clusters::<f64>();
    let sizes = data.sizes(&HIDDEN);
    let all: Vec<u32> = (0..data.len() as u32).collect();
    let along = |direction: &Parameter| {
        let mut storage = HeapNetwork::<F64x4, 1, S>::new(&sizes, BATCH).unwrap();
        let mut examples = HeapBatch::new(&sizes, BATCH);
        let mut network = storage.network(Portable::<F64x4>::new());
        let mut batch = examples.batch();
        network.initialise(&mut Pcg32::new(1, 0));
        let schedule = SCHEDULE.with_tangents([*direction]);
        let inner = InnerLoop { schedule, optimizer: optimizer(*direction), batch: BATCH };
        let mut sampler = Sampler::new(vec![0; data.len()], Pcg32::new(1, 2));
        let (network, batch) = (&mut network, &mut batch);
        inner
            .run::<Libm, _, _, _>(network, batch, &mut sampler, &data, 0..STEPS, |_, _, _| {})
            .unwrap();
        objective(network, batch, &data, &all).unwrap().loss.tangents[0]
    };
    directions.iter().map(along).collect()
}

/// By α₀, K and β, and by each of `directions`.
fn collected<O: Reverse<f64>>(found: &Found<f64>, optimizer: O, of: &[Parameter]) -> Vec<f64> {
    let schedule = SCHEDULE.with_tangents(myopia_core::schedule::PARAMETERS);
    let total = |along: &dyn Fn(u32, &[f64]) -> f64| {
        (0..).zip(&found.steps).fold(0.0, |sum, (k, by)| sum + along(k, by))
    };
    let of_schedule =
        (0..3).map(|p| total(&|k, by| by[0] * schedule.learning_rate::<Libm>(k).tangents[p]));
    let directions = optimizer.directions();
    let others = of.iter().skip(3).map(|parameter| {
        let place = directions.iter().position(|d| *d == Some(*parameter)).unwrap();
        total(&|_, by| by[1 + place])
    });
    of_schedule.chain(others).collect()
}

fn assert_near(found: &[f64], expected: &[f64], what: &str) {
    assert_eq!(found.len(), expected.len());
    for (n, (found, expected)) in found.iter().zip(expected).enumerate() {
        let off = ((found - expected) / expected).abs();
        assert!(off < 1e-11, "{what}, derivative {n}: {found} back, {expected} forward: {off:e}");
    }
}

#[test]
fn the_way_back_of_sgd_finds_what_forward_tangents_find() {
    use Parameter::{Alpha0, Beta, TimeConstant};
    let of = [Alpha0, TimeConstant, Beta, Parameter::Momentum];
    let optimizer = Momentum(0.8);
    let found = back::<_, _, 1, 2>(Portable::<F64x4>::new(), optimizer);
    let expected = forward(&of, |direction| {
        let tangent = if direction == Parameter::Momentum { 1.0 } else { 0.0 };
        Momentum(Dual { value: 0.8, tangents: [tangent] })
    });
    assert_near(&collected(&found, optimizer, &of), &expected, "sgd");
}

#[test]
fn the_way_back_of_every_rule_finds_what_forward_tangents_find() {
    for (method, decay) in METHODS.iter().flat_map(|m| DECAYS.map(|decay| (*m, decay))) {
        let all = Hyperparameters { method, decay };
        let of: Vec<Parameter> = Parameter::ALL
            .into_iter()
            .filter(|p| myopia_core::schedule::PARAMETERS.contains(p) || all.value(*p).is_some())
            .collect();
        let optimizer = all.with_tangents([]);
        let found = back::<_, _, 2, 5>(Portable::<F64x4>::new(), optimizer);
        let expected = forward(&of, |direction| all.with_tangents([direction]));
        assert_near(&collected(&found, optimizer, &of), &expected, &format!("{all:?}"));
    }
}

const METHODS: [Method<f64>; 5] = [
    Method::Sgd { momentum: 0.8, is_nesterov: true },
    Method::Sgd { momentum: 0.8, is_nesterov: false },
    Method::Rmsprop { rho: 0.9, momentum: 0.5, epsilon: 1e-2, is_inside: false },
    Method::Rmsprop { rho: 0.9, momentum: 0.5, epsilon: 1e-3, is_inside: true },
    Method::Adam { beta1: 0.9, beta2: 0.99, epsilon: 1e-3, epsilon_root: 1e-6 },
];

const DECAYS: [Decay<f64>; 3] = [Decay::None, Decay::Coupled(1e-2), Decay::Decoupled(0.1)];

#[test]
fn neither_vector_width_nor_threads_enter_a_bit() {
    let adam = Hyperparameters { method: METHODS[4], decay: DECAYS[1] }.with_tangents([]);
    let wide = back::<_, _, 2, 5>(Portable::<f64>::new(), adam);
    assert_eq!(back::<_, _, 2, 5>(Portable::<F64x4>::new(), adam), wide);
    assert_eq!(back::<_, _, 2, 5>(Portable::<F64x8>::new(), adam), wide);
    let sgd = Momentum(0.9_f32);
    let one = back::<_, _, 1, 2>(Portable::<f32>::new(), sgd);
    assert_eq!(back::<_, _, 1, 2>(Portable::<F32x4>::new(), sgd), one);
    assert_eq!(back::<_, _, 1, 2>(Portable::<F32x16>::new(), sgd), one);
    for threads in [1, 2, 3, 8] {
        divided(threads, |joins| {
            let backend = Divided::<F32x8, true>::new(threads, joins);
            assert_eq!(back::<_, _, 1, 2>(backend, sgd), one, "{threads} threads");
        });
        divided(threads, |joins| {
            let backend = Divided::<F64x4, false>::new(threads, joins);
            assert_eq!(back::<_, _, 2, 5>(backend, adam), wide, "{threads} threads");
        });
    }
}

/// What SGD's points need not have, and what need not be done in two passes.
#[test]
fn neither_velocities_nor_passes_enter_the_derivatives_by_the_rates() {
    let sgd = Momentum(0.9_f32);
    let of_rates = |found: &Found<f32>| found.steps.iter().map(|by| by[0]).collect::<Vec<_>>();
    let found = back::<_, _, 1, 2>(Portable::<F32x8>::new(), sgd);
    for in_one_pass in [false, true] {
        let same = back_with::<_, _, 1, 2>(Portable::<F32x8>::new(), sgd, true, in_one_pass);
        assert_eq!(same, found);
        let without = back_with::<_, _, 1, 2>(Portable::<F32x8>::new(), sgd, false, in_one_pass);
        assert_eq!((of_rates(&without), &without.adjoints), (of_rates(&found), &found.adjoints));
        assert!(without.steps.iter().all(|by| by[1] == 0.0));
    }
    let adam = Hyperparameters { method: METHODS[4], decay: DECAYS[1] }.with_tangents([]);
    let found = back::<_, _, 2, 5>(Portable::<F64x4>::new(), adam);
    assert_eq!(back_with::<_, _, 2, 5>(Portable::<F64x4>::new(), adam, true, false), found);
}

/// The adjoints before the first step are the derivatives by where training starts.
#[test]
fn adjoints_at_the_start_are_the_derivatives_by_it() {
    let data = clusters::<f64>();
    let (sizes, optimizer) = (data.sizes(&HIDDEN), Momentum(0.8));
    let found = back::<_, _, 1, 2>(Portable::<F64x4>::new(), optimizer);
    let mut storage = HeapNetwork::<F64x4, 1, 1>::new(&sizes, BATCH).unwrap();
    let mut examples = HeapBatch::new(&sizes, BATCH);
    let (mut network, mut batch) = (storage.network(Portable::<F64x4>::new()), examples.batch());
    network.initialise(&mut Pcg32::new(1, 0));
    let mut rng = Pcg32::new(9, 0);
    let mut moved = |x: Dual<f64, 1>| Dual { tangents: [f64::from(rng.normal::<f32>())], ..x };
    let parameters: Vec<_> = network.parameters().map(&mut moved).collect();
    let velocity: Vec<_> = network.state().map(&mut moved).collect();
    network.load(parameters.iter().copied(), velocity.iter().copied());
    let [alpha0, time_constant, beta] = SCHEDULE.parameters().map(Dual::constant);
    let schedule = InverseTime { alpha0, time_constant, beta };
    let inner = InnerLoop { schedule, optimizer, batch: BATCH };
    let mut sampler = Sampler::new(vec![0; data.len()], Pcg32::new(1, 2));
    let (net, room) = (&mut network, &mut batch);
    inner.run::<Libm, _, _, _>(net, room, &mut sampler, &data, 0..STEPS, |_, _, _| {}).unwrap();
    let all: Vec<u32> = (0..data.len() as u32).collect();
    let [forward] = objective(net, room, &data, &all).unwrap().loss.tangents;
    let start = parameters.iter().chain(&velocity);
    let along = found.adjoints.iter().zip(start);
    let back = along.fold(0.0, |sum, (adjoint, x)| sum + adjoint * x.tangents[0]);
    assert_near(&[back], &[forward], "along a direction of the start");
}

/// A network with numbers everywhere, its batch, and the adjoints after a step.
fn one_step_back<R>(
    adjoint: impl Fn(usize) -> f64,
    take: impl FnOnce(
        &mut Network<'_, Portable<F64x4>, 1, Libm, 0>,
        &mut Network<'_, Portable<F64x4>, 0, Libm, 0>,
        &Batch<'_, f64>,
        Values<'_, F64x4, 1>,
        &mut Adjoints<'_, F64x4, 1, 2>,
    ) -> R,
) -> (R, Vec<f64>) {
    let data = clusters::<f64>();
    let (sizes, backend) = (data.sizes(&HIDDEN), Portable::<F64x4>::new());
    let mut storage = HeapNetwork::<F64x4, 0, 1>::new(&sizes, BATCH).unwrap();
    let mut of_adjoints = HeapNetwork::<F64x4, 0, 1>::new(&sizes, BATCH).unwrap();
    let mut plain = HeapNetwork::<F64x4, 0, 0>::new(&sizes, BATCH).unwrap();
    let mut tangent = HeapNetwork::<F64x4, 1, 0>::new(&sizes, BATCH).unwrap();
    let mut examples = HeapBatch::new(&sizes, BATCH);
    let mut batch = examples.batch();
    batch.fill(&data, &[0, 1, 2, 3, 4]);
    let (mut network, mut adjoints) = (storage.network(backend), of_adjoints.network(backend));
    network.initialise(&mut Pcg32::new(1, 0));
    let count = network.shape().parameters();
    adjoints.load((0..count).map(adjoint).map(Dual::constant), []);
    let (mut parameters, mut state) =
        (adjoints.values().parameters.to_vec(), adjoints.values().state.to_vec());
    let mut sums = vec![[F64x4::default(); 2]; Adjoints::<F64x4, 1, 2>::units(&sizes)];
    let (theta, slots, sums) = (&mut parameters[..], &mut state[..], &mut sums[..]);
    let mut room = Adjoints { parameters: theta, state: slots, sums, seeded: &mut false };
    let (mut tangent, mut plain) = (tangent.network(backend), plain.network(backend));
    let found = take(&mut tangent, &mut plain, &batch, network.values(), &mut room);
    adjoints.load_values(Values { parameters: &parameters, state: &state });
    (found, adjoints.parameters().chain(adjoints.state()).map(|x| x.value).collect())
}

/// With the same coefficients in every layer the step back of each layer is that of all, up to
/// rounding: α multiplies the product with the Hessian before it or after it.
#[test]
fn layers_with_the_same_rate_have_the_step_back_of_all() {
    let step = Sgd { learning_rate: 0.03, momentum: 0.8 };
    let adjoint = |n: usize| ((7 * n) % 13) as f64 / 13.0 - 0.4;
    let (all, adjoints) = one_step_back(adjoint, |tangent, plain, batch, at, room| {
        tangent.step_back(plain, batch, Taken { step, at }, None, room).unwrap()
    });
    let (layers, same) = one_step_back(adjoint, |tangent, plain, batch, at, room| {
        let mut by = [[0.0; 2]; HIDDEN.len() + 1];
        let this = Taken { step: |_| step, at };
        tangent.step_back_by_layer(plain, batch, this, None, room, &mut by).unwrap();
        by
    });
    let total = layers.iter().fold(0.0, |sum, [by_rate, _]| sum + by_rate);
    assert_near(&[total], &[all[0]], "by the rates of all layers");
    assert!(layers.iter().all(|[by_rate, _]| *by_rate != 0.0));
    for (found, expected) in same.iter().zip(&adjoints) {
        assert!((found - expected).abs() < 1e-13, "{found} and {expected}");
    }
}

/// An adjoint that leaves the finite range is told, in whichever layer.
#[test]
fn adjoints_that_are_not_finite_are_told() {
    let step = Sgd { learning_rate: 0.03, momentum: 3.0 };
    let sizes = clusters::<f64>().sizes(&HIDDEN);
    let count = Shape::new(&sizes).unwrap().parameters();
    for place in [0, sizes[0] * sizes[1], count - 1] {
        // The momentum triples it.
        let adjoint = |n: usize| if n == place { f64::MAX / 2.0 } else { 0.0 };
        let (found, _) = one_step_back(adjoint, |tangent, plain, batch, at, room| {
            tangent.step_back(plain, batch, Taken { step, at }, None, room)
        });
        assert_eq!(found, Err(NonFinite(Quantity::Adjoint)), "parameter {place}");
    }
}
