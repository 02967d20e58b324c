//! K-FAC: what must not change a bit of it, and where its factors have no inverse.

mod support;

use myopia_core::backend::{Backend, Portable};
use myopia_core::dual::Dual;
use myopia_core::elementary::{Elementary, Libm};
use myopia_core::kfac::Kfac;
use myopia_core::mlp::{
    Evaluate, HeapBatch, HeapKfac, HeapNetwork, KroneckerFactor, NonFinite, Quantity,
};
use myopia_core::optimizer::Decay;
use myopia_core::real::Real;
use myopia_core::rng::Pcg32;
use myopia_core::schedule::{InverseTime, Parameter};
use myopia_core::unroll::{Diverged, InnerLoop};
use myopia_core::vector::{F32x4, F32x8, F32x16, F64x4, F64x8, Vector};
use support::{Clusters, Divided, divided};

const DIRECTIONS: [Parameter; 3] = [Parameter::Alpha0, Parameter::Damping, Parameter::Momentum];

/// K-FAC on [`Clusters`].
struct Task<'a, T> {
    data: &'a Clusters<T>,
    hidden: &'a [usize],
    batch: usize,
    steps: u32,
    kfac: Kfac<T>,
    /// Added to every bias at the start.
    bias: f64,
}

/// The bits of parameters, state and factors, the values first and then each tangent.
type Planes = Vec<Vec<u64>>;

impl<T: Real> Task<'_, T> {
    fn run<G, const P: usize>(
        &self,
        backend: G,
        directions: [Parameter; P],
    ) -> Result<Planes, Diverged>
    where
        G: Backend<Vector: Vector<Scalar = T>>,
        Libm: Elementary<T>,
    {
        let sizes = self.data.sizes(self.hidden);
        let mut network = HeapNetwork::<G::Vector, P, 2>::new(&sizes, self.batch).unwrap();
        let mut storage = HeapKfac::<G::Vector, P>::new(&sizes, self.batch).unwrap();
        let mut examples = HeapBatch::new(&sizes, self.batch);
        let mut network = storage.with(network.network(backend)).unwrap();
        network.network().initialise(&mut Pcg32::new(3, 0));
        let mut numbers: Vec<_> = network.network().parameters().collect();
        let mut end = 0;
        for (inputs, outputs) in sizes.iter().zip(&sizes[1..]) {
            end += (inputs + 1) * outputs;
            for bias in &mut numbers[end - outputs..end] {
                bias.value = T::from_f64(self.bias);
            }
        }
        network.network().load(numbers, []);
        let [alpha0, time_constant, beta] = [0.02, 20.0, 1.0].map(T::from_f64);
        let schedule = InverseTime { alpha0, time_constant, beta }.with_tangents(directions);
        let optimizer = self.kfac.with_tangents(directions);
        let inner = InnerLoop { schedule, optimizer, batch: self.batch };
        let mut batch = examples.batch();
        for k in 0..self.steps {
            let first = k * self.batch as u32;
            let count = self.data.len() as u32;
            let indices: Vec<u32> = (first..first + self.batch as u32).map(|i| i % count).collect();
            batch.fill(self.data, &indices);
            inner.step::<Libm, _, _, _>(&mut network, &batch, k, |_, _, _| {})?;
        }
        assert!(network.evaluate(&batch).loss.finite());
        let mut all: Vec<Dual<T, P>> = Vec::new();
        all.extend(network.network().parameters());
        all.extend(network.network().state());
        network.each_factor(|number| all.push(*number));
        let values = all.iter().map(|x| x.value.bits()).collect();
        let plane = |p: usize| all.iter().map(|x| x.tangents[p].bits()).collect();
        Ok([values].into_iter().chain((0..P).map(plane)).collect())
    }
}

fn kfac<T: Real>(damping: f64) -> Kfac<T> {
    let [momentum, damping, kept] = [0.9, damping, 0.8].map(T::from_f64);
    Kfac {
        momentum,
        damping,
        decay: Decay::None,
        kept,
        clip: None,
        refactor_every: 2,
        labels: None,
    }
}

/// K-FAC with everything that can be chosen.
fn all<T: Real>() -> Vec<Kfac<T>> {
    let plain = kfac(0.01);
    let [weight, clip] = [0.01, 1e-4].map(T::from_f64);
    vec![
        plain,
        Kfac { labels: Some(Pcg32::new(1, 7)), decay: Decay::Coupled(weight), ..plain },
        Kfac { clip: Some(clip), decay: Decay::Decoupled(weight), refactor_every: 1, ..plain },
    ]
}

/// One vector and less, several with a remainder, a width at which the 1 begins a vector of its
/// own, and a factor that is taken in several blocks.
const HIDDEN: [&[usize]; 4] = [&[], &[7, 1], &[33, 16], &[400]];

#[test]
fn lanes_threads_and_tangents_change_no_bit() {
    // A factor of 401 rows takes minutes where overflow is looked for.
    let widest = if cfg!(debug_assertions) { 3 } else { HIDDEN.len() };
    for hidden in &HIDDEN[..widest] {
        let data = Clusters::new(4, 21, 27, 21, Some(3));
        for kfac in all() {
            let task = Task { data: &data, hidden, batch: 7, steps: 4, kfac, bias: 0.0 };
            let one = task.run(Portable::<f32>::new(), DIRECTIONS).unwrap();
            assert!(one[2].iter().any(|bits| bits << 33 != 0), "{hidden:?}: no tangents");
            let lanes = [
                task.run(Portable::<F32x4>::new(), DIRECTIONS),
                task.run(Portable::<F32x8>::new(), DIRECTIONS),
                task.run(Portable::<F32x16>::new(), DIRECTIONS),
            ];
            assert!(lanes.iter().all(|found| found.as_ref() == Ok(&one)), "{hidden:?}: {kfac:?}");
            for (p, direction) in DIRECTIONS.into_iter().enumerate() {
                let alone = task.run(Portable::<F32x8>::new(), [direction]).unwrap();
                assert!(alone == [one[0].clone(), one[p + 1].clone()], "{hidden:?}: {direction:?}");
            }
            let plain = task.run(Portable::<F32x8>::new(), []).unwrap();
            assert!(plain[0] == one[0], "{hidden:?}: values without tangents");
            for threads in [2, 5] {
                let found = divided(threads, |joins| {
                    task.run(Divided::<F32x16, false>::new(threads, joins), DIRECTIONS)
                });
                assert!(found.as_ref() == Ok(&one), "{hidden:?}: {threads} threads");
                let found = divided(threads, |joins| {
                    task.run(Divided::<F32x8, true>::new(threads, joins), [])
                });
                assert!(found.unwrap()[0] == one[0], "{hidden:?}: {threads} threads, dense");
            }
        }
        let data = Clusters::new(4, 21, 27, 21, Some(3));
        let task = Task { data: &data, hidden, batch: 7, steps: 4, kfac: all()[1], bias: 0.0 };
        let one = task.run(Portable::<f64>::new(), DIRECTIONS).unwrap();
        assert!(task.run(Portable::<F64x4>::new(), DIRECTIONS).unwrap() == one, "{hidden:?}");
        assert!(task.run(Portable::<F64x8>::new(), DIRECTIONS).unwrap() == one, "{hidden:?}");
    }
}

#[test]
fn a_factor_without_an_inverse_is_named() {
    // An input that is always zero: A has a row of zeros, and rows that are sums of others.
    let data = Clusters::new(4, 21, 27, 21, Some(3));
    let task = |damping, bias, steps| Task {
        data: &data,
        hidden: &[6],
        batch: 7,
        steps,
        kfac: kfac::<f64>(damping),
        bias,
    };
    let failed = |layer, is_of_inputs| Diverged {
        step: Some(0),
        quantity: Quantity::Inverse(KroneckerFactor { layer, is_of_inputs }),
    };
    let found = task(0.0, 0.0, 3).run(Portable::<F64x4>::new(), []);
    assert_eq!(found, Err(failed(0, true)), "fewer examples than inputs");
    let Err(Diverged { quantity, .. }) = found else { unreachable!() };
    assert_eq!(
        NonFinite(quantity).to_string(),
        "the damped factor of the inputs (A) of layer 1 is singular as far as its rounding tells"
    );
    // Damping below what rounding tells apart is none.
    let found = task(1e-40, 0.0, 3).run(Portable::<F64x4>::new(), DIRECTIONS);
    assert_eq!(found, Err(failed(0, true)));
    assert!(task(1e-8, 0.0, 3).run(Portable::<F64x4>::new(), DIRECTIONS).is_ok());
}

#[test]
fn one_example_gives_a_factor_of_rank_one_and_dead_units_none() {
    let data = Clusters::new(4, 21, 27, 21, Some(3));
    let hidden = &[6, 5][..];
    let one = Task { data: &data, hidden, batch: 1, steps: 5, kfac: kfac::<f64>(0.01), bias: 0.0 };
    one.run(Portable::<F64x4>::new(), DIRECTIONS).unwrap();
    // No hidden unit is active, so that no error reaches the layers below: their S is zero.
    let dead = Task { batch: 7, bias: -100.0, ..one };
    for kfac in all() {
        let found = Task { kfac, ..dead }.run(Portable::<F64x4>::new(), DIRECTIONS).unwrap();
        let plain = Task { kfac, steps: 0, ..dead }.run(Portable::<F64x4>::new(), []).unwrap();
        if kfac.decay == Decay::None {
            let of_first_layer = 28 * 6;
            assert_eq!(found[0][..of_first_layer], plain[0][..of_first_layer], "they stay");
            assert!(found[1][..of_first_layer].iter().all(|bits| bits << 1 == 0));
        }
    }
}
