//! What must not change a bit of training: tangents, lanes, threads, zeros left out, and where a
//! run is cut.

mod support;

use myopia_core::backend::Portable;
use myopia_core::dual::Dual;
use myopia_core::elementary::{Elementary, Libm};
use myopia_core::mlp::{Batch, Dataset, HeapBatch, HeapNetwork, paired};
use myopia_core::optimizer::{Decay, Hyperparameters, Method, Sgd, Tunable};
use myopia_core::real::Real;
use myopia_core::rng::Pcg32;
use myopia_core::schedule::{InverseTime, PARAMETERS, Parameter};
use myopia_core::sum::sum;
use myopia_core::vector::{F32x4, F32x8, F32x16, F64x4, F64x8, Vector};
use proptest::prelude::*;
use support::{Clusters, Divided, Task, Trace, divided};

fn schedule<T: Real>() -> InverseTime<T> {
    let [alpha0, time_constant, beta] = [0.02, 20.0, 1.0].map(T::from_f64);
    InverseTime { alpha0, time_constant, beta }
}

fn task<'a, T: Real>(data: &'a Clusters<T>, hidden: &'a [usize], batch: usize) -> Task<'a, T> {
    Task { data, hidden, batch, steps: 2, seed: 5, schedule: schedule() }
}

#[test]
fn tangents_leave_the_values_alone() {
    let data = Clusters::new(1, 60, 20, 10, Some(3));
    let task = Task { steps: 30, ..task(&data, &[32, 13], 20) };
    let plain = task.trace(Portable::<F32x8>::new(), []);
    let with_tangents = task.trace(Portable::<F32x8>::new(), PARAMETERS);
    assert_eq!(plain, with_tangents.values());
    assert!(with_tangents.objective.iter().all(|&bits| bits << 1 != 0), "{with_tangents:?}");
}

#[test]
fn each_tangent_of_three_is_the_one_of_a_run_that_carries_it_alone() {
    let data = Clusters::new(2, 60, 20, 10, Some(3));
    let task = Task { steps: 20, ..task(&data, &[32, 13], 20) };
    let three = task.trace(Portable::<F32x8>::new(), PARAMETERS);
    for (p, parameter) in PARAMETERS.into_iter().enumerate() {
        let alone = task.trace(Portable::<F32x8>::new(), [parameter]);
        assert_eq!(alone.values(), three.values(), "{parameter:?}");
        assert_eq!(alone.objective[1], three.objective[p + 1], "{parameter:?}");
        assert_eq!(alone.planes[1], three.planes[p + 1], "{parameter:?}");
    }
}

#[test]
fn a_run_may_be_cut_anywhere_and_evaluated_there() {
    let data = Clusters::new(3, 60, 20, 10, Some(3));
    let task = task(&data, &[20], 15);
    let run = |cuts: &[u32]| task.trace_in_parts(Portable::<F32x8>::new(), PARAMETERS, cuts);
    let whole = run(&[0, 10]);
    assert_eq!(whole, run(&[0, 5, 10]));
    assert_eq!(whole, run(&[0, 1, 1, 3, 9, 10]), "4 steps are an epoch");
    assert_ne!(whole, run(&[0, 9]));
}

/// Hidden layers: widths that fill no vector, one that fills several, one unit, none, and widths
/// whose last panel has room for its tangents in one vector: 193 with four, eight or sixteen lanes,
/// 100 with sixteen. With sixteen lanes and three tangents 193 rows exceed L1, so that sums are
/// stored and continued.
const HIDDEN: [&[usize]; 6] = [&[33, 7, 1], &[16], &[5, 40], &[], &[193, 150], &[100, 100, 100]];

#[test]
fn the_number_of_lanes_changes_no_bit() {
    for hidden in HIDDEN {
        let data = Clusters::new(4, 21, 27, 21, Some(3));
        let single = task(&data, hidden, 7);
        let one = single.trace(Portable::<f32>::new(), PARAMETERS);
        assert_eq!(one, single.trace(Portable::<F32x4>::new(), PARAMETERS), "{hidden:?}");
        assert_eq!(one, single.trace(Portable::<F32x8>::new(), PARAMETERS), "{hidden:?}");
        assert_eq!(one, single.trace(Portable::<F32x16>::new(), PARAMETERS), "{hidden:?}");
        let data = Clusters::new(4, 21, 27, 21, Some(3));
        let double = task(&data, hidden, 7);
        let one = double.trace(Portable::<f64>::new(), PARAMETERS);
        assert_eq!(one, double.trace(Portable::<F64x4>::new(), PARAMETERS), "{hidden:?}");
        assert_eq!(one, double.trace(Portable::<F64x8>::new(), PARAMETERS), "{hidden:?}");
    }
}

#[test]
fn the_number_of_threads_changes_no_bit() {
    for hidden in HIDDEN {
        let data = Clusters::new(6, 21, 27, 21, Some(3));
        let task = task(&data, hidden, 7);
        let one = task.trace(Portable::<F32x8>::new(), PARAMETERS);
        for threads in [2, 5] {
            let with = |lanes, trace: &dyn Fn(usize) -> Trace| {
                assert!(trace(threads) == one, "{hidden:?}, {lanes} lanes, {threads} threads");
            };
            with(4, &|n| {
                divided(n, |joins| task.trace(Divided::<F32x4, false>::new(n, joins), PARAMETERS))
            });
            with(8, &|n| {
                divided(n, |joins| task.trace(Divided::<F32x8, false>::new(n, joins), PARAMETERS))
            });
            with(16, &|n| {
                divided(n, |joins| task.trace(Divided::<F32x16, false>::new(n, joins), PARAMETERS))
            });
        }
    }
}

/// Every rule with every kind of decay, and ε = 0, which a unit without a gradient survives.
fn optimizers() -> impl Iterator<Item = Hyperparameters<f32>> {
    let rmsprop =
        |epsilon, is_inside| Method::Rmsprop { rho: 0.9, momentum: 0.5, epsilon, is_inside };
    let adam = |epsilon| Method::Adam { beta1: 0.9, beta2: 0.99, epsilon, epsilon_root: 0.0 };
    let methods = [
        Method::Sgd { momentum: 0.9, is_nesterov: true },
        Method::Sgd { momentum: 0.9, is_nesterov: false },
        rmsprop(1e-3, false),
        rmsprop(1e-3, true),
        rmsprop(0.0, true),
        adam(1e-3),
        adam(0.0),
    ];
    let decays = [Decay::None, Decay::Coupled(0.01), Decay::Decoupled(0.1)];
    methods.into_iter().flat_map(move |method| {
        decays.into_iter().map(move |decay| Hyperparameters { method, decay })
    })
}

#[test]
fn lanes_threads_and_tangents_change_no_bit_of_any_optimiser() {
    changes_no_bit::<false>(&[&[33, 7, 1], &[100, 20]]);
}

/// Where none of its own hyperparameters is tuned, an optimiser's numbers are constants: that may
/// change the sign of a zero, and nothing else.
#[test]
fn an_optimiser_of_which_nothing_is_tuned_has_the_derivatives_by_the_schedule() {
    let data = Clusters::new(8, 21, 27, 21, Some(3));
    let unsigned = |trace: &Trace| -> Vec<u64> {
        let bits = trace.planes.iter().flatten().chain(&trace.objective);
        bits.map(|&bits| if bits << 1 == 0 { 0 } else { bits }).collect()
    };
    for optimizer in optimizers() {
        let task = Task { steps: 5, ..task(&data, &[33, 7], 7) };
        let cuts = &[0, task.steps][..];
        let all = optimizer.with_tangents(PARAMETERS);
        let all = task.trace_of::<_, _, 3, 2, false>(Portable::<f32>::new(), PARAMETERS, cuts, all);
        let constant = Tunable::new(optimizer, PARAMETERS);
        let one =
            task.trace_of::<_, _, 3, 2, false>(Portable::<f32>::new(), PARAMETERS, cuts, constant);
        let many = divided(2, |joins| {
            let backend = Divided::<F32x16, true>::new(2, joins);
            task.trace_of::<_, _, 3, 2, false>(backend, PARAMETERS, cuts, constant)
        });
        assert!(one == many, "{optimizer:?}: sixteen lanes");
        assert!(one.values() == all.values(), "{optimizer:?}");
        assert!(unsigned(&one) == unsigned(&all), "{optimizer:?}: tangents");
        // With one of its own among them they are not.
        let directions = [Parameter::Alpha0, Parameter::Epsilon, Parameter::WeightDecay];
        let tuned = Tunable::new(optimizer, directions);
        let all = optimizer.with_tangents(directions);
        let [tuned, all] = [
            task.trace_of::<_, _, 3, 2, false>(Portable::<f32>::new(), directions, cuts, tuned),
            task.trace_of::<_, _, 3, 2, false>(Portable::<f32>::new(), directions, cuts, all),
        ];
        assert!(unsigned(&tuned) == unsigned(&all), "{optimizer:?}: its own");
    }
}

/// One layer is wider than the 128 units from which on errors are propagated in blocks, one wider
/// than a word of a mask.
#[test]
fn lanes_threads_and_tangents_change_no_bit_of_batch_normalisation() {
    changes_no_bit::<true>(&[&[33, 7, 1], &[100, 193, 5]]);
}

fn changes_no_bit<const N: bool>(hidden: &[&[usize]]) {
    let data = Clusters::new(8, 21, 27, 21, Some(3));
    let directions = [Parameter::Alpha0, Parameter::Epsilon, Parameter::WeightDecay];
    for (hidden, optimizer) in
        hidden.iter().flat_map(|hidden| optimizers().map(move |optimizer| (hidden, optimizer)))
    {
        let task = Task { steps: 5, ..task(&data, hidden, 7) };
        let three = optimizer.with_tangents(directions);
        let plain = optimizer.with_tangents([]);
        let cuts = &[0, task.steps][..];
        let one = task.trace_of::<_, _, 3, 2, N>(Portable::<f32>::new(), directions, cuts, three);
        let four =
            task.trace_of::<_, _, 3, 2, N>(Portable::<F32x4>::new(), directions, cuts, three);
        assert!(one == four, "{optimizer:?}: four lanes");
        assert!(one.planes[1].iter().any(|&bits| bits << 1 != 0), "{optimizer:?}: no tangents");
        for threads in [2, 5] {
            let with_tangents = divided(threads, |joins| {
                let backend = Divided::<F32x16, true>::new(threads, joins);
                task.trace_of::<_, _, 3, 2, N>(backend, directions, cuts, three)
            });
            assert!(one == with_tangents, "{optimizer:?}: {threads} threads");
            let without = divided(threads, |joins| {
                let backend = Divided::<F32x8, true>::new(threads, joins);
                task.trace_of::<_, _, 0, 2, N>(backend, [], cuts, plain)
            });
            assert!(one.values() == without, "{optimizer:?}: {threads} threads, no tangents");
        }
        let sparse = task.trace_of::<_, _, 0, 2, N>(Portable::<f32>::new(), [], cuts, plain);
        assert!(one.values() == sparse, "{optimizer:?}: one lane, no tangents");
    }
}

#[test]
fn threads_and_products_over_zeros_change_no_bit_of_a_run_without_tangents() {
    for hidden in HIDDEN {
        for zeros in [None, Some(3)] {
            let data = Clusters::new(7, 21, 27, 21, zeros);
            let task = task(&data, hidden, 7);
            let one = task.trace(Portable::<F32x4>::new(), []);
            for threads in [2, 5] {
                let dense = divided(threads, |joins| {
                    task.trace(Divided::<F32x8, true>::new(threads, joins), [])
                });
                assert!(dense == one, "{hidden:?}, dense, 8 lanes, {threads} threads");
                let dense = divided(threads, |joins| {
                    task.trace(Divided::<F32x16, true>::new(threads, joins), [])
                });
                assert!(dense == one, "{hidden:?}, dense, 16 lanes, {threads} threads");
                let sparse = divided(threads, |joins| {
                    task.trace(Divided::<F32x8, false>::new(threads, joins), [])
                });
                assert!(sparse == one, "{hidden:?}, sparse, {threads} threads");
            }
        }
    }
}

#[test]
fn the_rate_of_a_step_is_the_same_with_and_without_tangents() {
    let schedule = schedule::<f32>();
    for k in [0, 1, 7, 5_000, u32::MAX] {
        let plain = schedule.with_tangents([]).learning_rate::<Libm>(k);
        let dual = schedule.with_tangents(PARAMETERS).learning_rate::<Libm>(k);
        assert_eq!(plain.value.to_bits(), dual.value.to_bits(), "step {k}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn lanes_threads_and_tangents_change_no_bit_of_any_network(
        inputs in 1usize..40,
        hidden in prop::collection::vec(1usize..40, 0..4),
        classes in 1usize..20,
        batch in 1usize..30,
        alpha0 in 0.0001f32..0.05,
        time_constant in 0.5f32..100.0,
        beta in 0.0f32..3.0,
        zeros in prop::option::of(2u32..5),
        threads in 1usize..9,
        seed: u64,
    ) {
        let data = Clusters::new(seed, 40, inputs, classes, zeros);
        let schedule = InverseTime { alpha0, time_constant, beta };
        let task = Task { data: &data, hidden: &hidden, batch, steps: 6, seed, schedule };
        let three = task.trace(Portable::<f32>::new(), PARAMETERS);
        prop_assert_eq!(&three, &task.trace(Portable::<F32x4>::new(), PARAMETERS));
        prop_assert_eq!(&three, &task.trace(Portable::<F32x16>::new(), PARAMETERS));
        let joins = &Default::default();
        let divided = Divided::<F32x16, true>::new(threads, joins);
        prop_assert_eq!(&three, &task.trace(divided, PARAMETERS));
        prop_assert_eq!(&three.values(), &task.trace(divided, []));
        prop_assert_eq!(&three.values(), &task.trace(Portable::<F32x8>::new(), []));
        prop_assert_eq!(&three.values(), &task.trace(Divided::<f32, true>::new(1, joins), []));
        prop_assert_eq!(&three.values(), &task.trace(Divided::<F32x4, true>::new(1, joins), []));
    }
}

/// Norm, and bits of parameters and state afterwards, of a network with numbers in every slot.
fn normalised<V: Vector<Scalar = f32>, const S: usize>(scale: f32) -> (f64, Vec<Dual<f32, 1>>) {
    let sizes = [5, 21, 3];
    let mut heap = HeapNetwork::<V, 1, S>::new(&sizes, 1).unwrap();
    let mut network = heap.network(Portable::<V>::new());
    let mut rng = Pcg32::new(3, 0);
    let mut draw = || Dual { value: rng.normal::<f32>(), tangents: [scale * rng.normal::<f32>()] };
    let count = network.shape().parameters();
    let parameters: Vec<_> = (0..count).map(|_| draw()).collect();
    let state: Vec<_> = (0..count * S).map(|_| draw()).collect();
    network.load(parameters.iter().copied(), state.iter().copied());
    let norm = network.normalise_tangent();
    let numbers: Vec<_> = network.parameters().chain(network.state()).collect();
    let tangents = parameters.iter().chain(&state).map(|x| f64::from(x.tangents[0]));
    let expected = Libm::sqrt(sum(tangents.map(|x| x * x)));
    assert_eq!(norm.to_bits(), expected.to_bits());
    for (number, before) in numbers.iter().zip(parameters.iter().chain(&state)) {
        let tangent = if norm > 0.0 { before.tangents[0] / norm as f32 } else { 0.0 };
        assert_eq!((number.value, number.tangents), (before.value, [tangent]));
    }
    (norm, numbers)
}

#[test]
fn a_tangent_is_divided_by_its_norm_whatever_the_number_of_lanes() {
    assert_eq!(normalised::<F32x4, 1>(2.0), normalised::<F32x8, 1>(2.0));
    assert_eq!(normalised::<F32x4, 2>(2.0), normalised::<F32x8, 2>(2.0));
    let (norm, numbers) = normalised::<F32x8, 1>(2.0);
    let squares = numbers.iter().map(|x| f64::from(x.tangents[0]) * f64::from(x.tangents[0]));
    assert!(norm > 10.0 && (sum(squares) - 1.0).abs() < 1e-5);
    assert_eq!(normalised::<F32x8, 1>(0.0).0, 0.0);
}

#[test]
fn tangents_are_carried_each_by_its_share_and_a_share_of_zero_forgets_what_is_not_finite() {
    let sizes = [5, 21, 3];
    let mut heap = HeapNetwork::<F32x8, 3, 2>::new(&sizes, 1).unwrap();
    let mut network = heap.network(Portable::<F32x8>::new());
    let count = network.shape().parameters();
    let mut rng = Pcg32::new(3, 0);
    let mut draw = || {
        let mut dual = Dual { value: rng.normal::<f32>(), tangents: [0.0; 3] };
        dual.tangents = [rng.normal::<f32>(), f32::INFINITY, rng.normal::<f32>()];
        dual
    };
    let parameters: Vec<_> = (0..count).map(|_| draw()).collect();
    let state: Vec<_> = (0..2 * count).map(|_| draw()).collect();
    network.load(parameters.iter().copied(), state.iter().copied());
    network.carry_tangents([0.5, 0.0, 1.0], [0.25, 3.0, 0.0]);
    for (found, before) in network.parameters().zip(&parameters) {
        let [first, _, third] = before.tangents;
        assert_eq!((found.value, found.tangents), (before.value, [0.5 * first, 0.0, third]));
    }
    for (found, before) in network.state().zip(&state) {
        let (x, [first, _, third]) = (before.value, before.tangents);
        assert_eq!((found.value, found.tangents), (x, [0.5 * first + x * 0.25, x * 3.0, third]));
    }
}

/// Images of glyphs, appended number by number or as the pairs that they are stored as.
struct Glyphful {
    images: Vec<(u16, Vec<f32>)>,
    as_pairs: bool,
}

impl Dataset<f32> for Glyphful {
    fn append(&self, index: u32, batch: &mut Batch<'_, f32>) {
        let (label, pixels) = &self.images[index as usize];
        // Past the network's inputs: left out.
        let inputs = (0..).zip(pixels.iter().copied().chain([3.0]));
        if !self.as_pairs {
            return batch.push(*label, inputs);
        }
        let mut pairs = Vec::new();
        paired(inputs, batch.inputs(), |pair| pairs.push(pair));
        batch.push_pairs(*label, &pairs);
    }
}

#[test]
fn a_batch_of_stored_pairs_is_that_of_their_numbers() {
    let mut rng = Pcg32::new(5, 0);
    let mut image = |label: u16| {
        let pixels = (0..7).map(|_| rng.normal::<f32>()).map(|x| if x < 0.3 { 0.0 } else { x });
        (label, pixels.collect::<Vec<f32>>())
    };
    let images: Vec<_> = (0..5).map(|label| image(label % 3)).collect();
    let [by_numbers, by_pairs] = [false, true].map(|as_pairs| {
        let sizes = [7, 9, 3];
        let mut storage = HeapBatch::new(&sizes, 4);
        let mut batch = storage.batch();
        assert!(batch.is_empty());
        // One more than there is room for: it is left out.
        batch.fill(&Glyphful { images: images.clone(), as_pairs }, &[4, 0, 3, 1, 2]);
        assert_eq!((batch.len(), batch.labels()), (4, &[1, 0, 0, 1][..]));
        assert_eq!((batch.is_empty(), batch.inputs(), batch.capacity()), (false, 7, 4));
        assert_eq!(batch.by_pair().len(), 4, "seven inputs are four pairs");
        let places = (0..4).flat_map(|pair| batch.by_pair().row(pair)).map(|entry| entry.factor);
        assert!(places.clone().all(|factors| factors != [0.0; 2]) && places.count() > 4);
        assert!(batch.by_pair().row(3).iter().all(|entry| entry.factor[1] == 0.0));
        let mut heap = HeapNetwork::<F32x8, 0, 1>::new(&sizes, 4).unwrap();
        let mut network = heap.network(Portable::<F32x8>::new());
        network.initialise(&mut Pcg32::new(6, 0));
        let learning_rate = Dual::constant(0.1);
        let loss = network.step(&batch, Sgd { learning_rate, momentum: 0.9 }).unwrap();
        (loss.value.to_bits(), format!("{:?}", network.digest_values().unwrap()))
    });
    assert_eq!(by_numbers, by_pairs);
}

#[test]
fn layers_step_by_their_own_coefficients() {
    let data = Clusters::new(9, 21, 27, 21, Some(3));
    let sizes = data.sizes(&[9, 5]);
    let stepped = |rate: &dyn Fn(usize) -> f32, by_layer: bool| {
        let mut storage = HeapNetwork::<F32x8, 0, 1>::new(&sizes, 7).unwrap();
        let mut examples = HeapBatch::new(&sizes, 7);
        let (mut network, mut batch) =
            (storage.network(Portable::<F32x8>::new()), examples.batch());
        network.initialise(&mut Pcg32::new(6, 0));
        batch.fill(&data, &[0, 1, 2, 3, 4, 5, 6]);
        let update = |layer| Sgd { learning_rate: Dual::constant(rate(layer)), momentum: 0.9 };
        let loss = match by_layer {
            true => network.step_by_layer(&batch, update),
            false => network.step(&batch, update(0)),
        };
        (loss.unwrap().value.to_bits(), network.parameters().map(|x| x.value).collect::<Vec<_>>())
    };
    let all = stepped(&|_| 0.1, false);
    assert_eq!(stepped(&|_| 0.1, true), all);
    let first = 28 * 9;
    for moved in 0..3 {
        let (loss, parameters) = stepped(&|layer| if layer == moved { 0.2 } else { 0.1 }, true);
        assert_eq!(loss, all.0);
        let differ = |range: std::ops::Range<usize>| parameters[range.clone()] != all.1[range];
        let layers = [0..first, first..first + 10 * 5, first + 10 * 5..parameters.len()];
        assert_eq!(layers.map(differ), [0, 1, 2].map(|layer| layer == moved), "layer {moved}");
    }
}

/// x̄ ← γx̄ + (1 − γ)w, from zero twice with γ = 3/4: (1/4 + 3/16) w.
#[test]
fn a_mean_of_the_parameters_moves_by_its_share() {
    let sizes = [5, 21, 3];
    let mut heap = HeapNetwork::<F32x8, 0, 1>::new(&sizes, 1).unwrap();
    let mut network = heap.network(Portable::<F32x8>::new());
    network.initialise(&mut Pcg32::new(6, 0));
    let weights: Vec<_> = network.parameters().map(|x| x.value).collect();
    let mut mean = vec![Dual::default(); network.blocks().len()];
    for _ in 0..2 {
        network.average(&mut mean, 0.75);
    }
    network.blocks().copy_from_slice(&mean);
    for (mean, w) in network.parameters().zip(&weights) {
        assert_eq!(mean.value, 0.75 * (0.25 * w) + 0.25 * w);
    }
    assert!(weights.iter().any(|w| *w != 0.0));
}
