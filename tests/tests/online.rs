//! The derivatives by effective rate and damping against differences of runs that carry none.

use myopia::problem::ExampleSet;
use myopia_core::backend::{Backend, Portable, Scalar};
use myopia_core::dual::Dual;
use myopia_core::elementary::{Elementary, Libm};
use myopia_core::mlp::{HeapBatch, HeapNetwork, Shape, he_normal};
use myopia_core::online::{Batches, RateAndDamping, ShortLookAhead};
use myopia_core::optimizer::Sgd;
use myopia_core::real::Real;
use myopia_core::rng::Pcg32;
use myopia_core::sampler::Sampler;
use myopia_core::vector::{F32x8, F64x4};
use myopia_tests::{cluster_sets, derivative};
use proptest::prelude::*;

const F64: Portable<F64x4> = Portable::new();
const F32: Portable<F32x8> = Portable::new();

/// A network's parameters and velocity somewhere in training.
struct Somewhere<T> {
    sizes: Vec<usize>,
    parameters: Vec<T>,
    velocity: Vec<T>,
}

impl<T: Real> Somewhere<T> {
    fn new(sizes: &[usize], seed: u64) -> Self {
        let mut rng = Pcg32::new(seed, 8);
        let parameters: Vec<T> =
            he_normal(Shape::new(sizes).unwrap(), &mut rng).map(T::from_f32).collect();
        let velocity = parameters.iter().map(|_| T::from_f32(0.02 * rng.normal::<f32>())).collect();
        Self { sizes: sizes.to_vec(), parameters, velocity }
    }
}

fn sampler(examples: &ExampleSet<impl Real>) -> Sampler<Vec<u32>> {
    Sampler::new(vec![0; examples.len()], Pcg32::new(3, 9))
}

fn look_ahead<G: Backend>(
    backend: G,
    ahead: ShortLookAhead,
    from: &Somewhere<Scalar<G>>,
    training: &ExampleSet<Scalar<G>>,
    at: RateAndDamping<Scalar<G>>,
) -> Dual<Scalar<G>, 2>
where
    Libm: Elementary<Scalar<G>>,
{
    let mut storage = HeapNetwork::<G::Vector, 2>::new(&from.sizes, ahead.batch).unwrap();
    let mut examples = HeapBatch::new(&from.sizes, ahead.batch);
    let (mut network, mut batch) = (storage.network(backend), examples.batch());
    let constants =
        |numbers: &[Scalar<G>]| -> Vec<_> { numbers.iter().map(|&x| Dual::constant(x)).collect() };
    network.load(constants(&from.parameters), constants(&from.velocity));
    let mut sampler = sampler(training);
    ahead.run(&mut network, &mut batch, &mut sampler, training, at).unwrap()
}

/// The same objective by plain training: no tangents, a constant momentum.
fn plain<G: Backend>(
    backend: G,
    ahead: ShortLookAhead,
    from: &Somewhere<Scalar<G>>,
    training: &ExampleSet<Scalar<G>>,
    at: RateAndDamping<Scalar<G>>,
) -> Scalar<G>
where
    Libm: Elementary<Scalar<G>>,
{
    let mut storage = HeapNetwork::<G::Vector, 0>::new(&from.sizes, ahead.batch).unwrap();
    let mut examples = HeapBatch::new(&from.sizes, ahead.batch);
    let (mut network, mut batch) = (storage.network(backend), examples.batch());
    let constants =
        |numbers: &[Scalar<G>]| -> Vec<_> { numbers.iter().map(|&x| Dual::constant(x)).collect() };
    network.load(constants(&from.parameters), constants(&from.velocity));
    let mut sampler = sampler(training);
    let mut drawn = sampler.next_batch(ahead.batch).to_vec();
    for _ in 0..ahead.steps {
        batch.fill(training, &drawn);
        let learning_rate = Dual::constant(at.learning_rate());
        let update = Sgd { learning_rate, momentum: at.momentum() };
        network.step(&batch, update).unwrap();
        if ahead.batches == Batches::Fresh {
            drawn = sampler.next_batch(ahead.batch).to_vec();
        }
    }
    batch.fill(training, &drawn);
    let loss = network.evaluate(&batch).loss.value;
    loss / Scalar::<G>::from_u32(batch.len() as u32)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Without a hidden layer the loss has no kink: differences may be taken wide and extrapolated.
    #[test]
    fn a_short_look_ahead_has_the_derivatives_that_differences_find(
        inputs in 1usize..20,
        classes in 2usize..12,
        batch in 1usize..12,
        steps in 1u32..8,
        rate in 0.001f64..0.3,
        momentum in 0.1f64..0.95,
        same: bool,
        seed: u64,
    ) {
        let data = cluster_sets::<f64>(seed, 40, inputs, classes).training;
        let from = Somewhere::new(&[inputs, classes], seed);
        let batches = if same { Batches::Same } else { Batches::Fresh };
        let ahead = ShortLookAhead { steps, batches, batch };
        let at = RateAndDamping::new(rate, momentum);
        let exact = look_ahead(F64, ahead, &from, &data, at);
        let effective_rate = |x| plain(F64, ahead, &from, &data, RateAndDamping { effective_rate: x, ..at });
        let damping = |x| plain(F64, ahead, &from, &data, RateAndDamping { damping: x, ..at });
        let along: [(f64, &dyn Fn(f64) -> f64); 2] =
            [(at.effective_rate, &effective_rate), (at.damping, &damping)];
        for ((at, along), exact) in along.into_iter().zip(exact.tangents) {
            let (found, error) = derivative(at, 0.02 * at, along);
            let blur = 1e-12 * along(at) / at;
            prop_assert!((found - exact).abs() < 1e-6 * exact.abs() + blur, "{exact} by tangents, {found} ± {error}");
        }
    }

    /// Tangents of the momentum never touch values, and vector lanes no bit.
    #[test]
    fn a_momentum_with_tangents_trains_as_a_constant_one(
        hidden in prop::collection::vec(1usize..20, 0..3),
        momentum in 0.0f32..0.99,
        same: bool,
        seed: u64,
    ) {
        let data = cluster_sets::<f32>(seed, 40, 7, 4).training;
        let from = Somewhere::new(&[&[7], &hidden[..], &[4]].concat(), seed);
        let batches = if same { Batches::Same } else { Batches::Fresh };
        let ahead = ShortLookAhead { steps: 5, batches, batch: 6 };
        let at = RateAndDamping::new(0.03, momentum);
        let found = look_ahead(F32, ahead, &from, &data, at);
        prop_assert_eq!(found.value.to_bits(), plain(F32, ahead, &from, &data, at).to_bits());
        let narrow = look_ahead(Portable::<f32>::new(), ahead, &from, &data, at);
        prop_assert_eq!(found.tangents.map(f32::to_bits), narrow.tangents.map(f32::to_bits));
    }
}

/// On one batch the loss falls with the rate; the noise of fresh batches takes part of that back.
#[test]
fn noise_is_what_makes_a_look_ahead_ask_for_smaller_rates() {
    let data = cluster_sets::<f64>(5, 400, 20, 5).training;
    let at = RateAndDamping::new(0.05, 0.9);
    let slope = |batches| {
        let ahead = ShortLookAhead { steps: 5, batches, batch: 4 };
        (0..40).fold(0.0, |sum, seed| {
            let from = Somewhere::new(&[20, 5], seed);
            sum + look_ahead(F64, ahead, &from, &data, at).tangents[0]
        })
    };
    let (same, fresh) = (slope(Batches::Same), slope(Batches::Fresh));
    assert!(same < fresh, "d loss / d rate: {same} on the same batch, {fresh} on fresh ones");
}
