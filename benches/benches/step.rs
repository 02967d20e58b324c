//! One training step of the cases of `myopia bench`, without and with three tangents, on every instruction set of this
//! processor. Each run first proves its bits: the steps of a case have the same digests everywhere.

use criterion::{Criterion, criterion_group, criterion_main};
use myopia::bench::{CASES, Case, digests, step, synthetic};
use myopia::engine::{Isa, Precision, Work};
use myopia::network::HeapNetwork;
use myopia::problem::ExampleSet;
use myopia_core::backend::Backend;
use myopia_core::rng::Pcg32;
use myopia_core::sampler::Sampler;
use myopia_core::schedule::{PARAMETERS, Parameter};
use myopia_core::vector::Vector;

struct Steps<'a, const P: usize> {
    criterion: &'a mut Criterion,
    case: &'static Case,
    images: &'a ExampleSet<f32>,
    isa: Isa,
    directions: [Parameter; P],
}

impl<const P: usize> Work<f32> for Steps<'_, P> {
    type Output = ();

    fn on<G: Backend<Vector: Vector<Scalar = f32>>>(self, engine: G) {
        let Self { criterion, case, images, isa, directions } = self;
        let mut storage = HeapNetwork::<G::Vector, P>::new(case.layers, case.batch).unwrap();
        let (mut network, mut batch) = storage.network(engine);
        network.initialise(&mut Pcg32::new(1, 0));
        let mut sampler =
            Sampler::new((0..images.len() as u32).collect::<Vec<_>>(), Pcg32::new(1, 2));
        let schedule = case.schedule().with_tangents(directions);
        let mut next = |network: &mut _, k| {
            batch.fill(images, sampler.next_batch(case.batch));
            step(network, &batch, &schedule, k);
        };
        for k in 0..case.steps {
            next(&mut network, k);
        }
        let [values, tangents] = digests(&network);
        assert_eq!(values, case.digests[0], "{:?} on {isa:?}", case.layers);
        if P == PARAMETERS.len() {
            assert_eq!(tangents, case.digests[1], "tangents of {:?} on {isa:?}", case.layers);
        }
        let mut group = criterion.benchmark_group(format!("{:?}, {:?}", case.layers, case.images));
        group.sample_size(10);
        let mut k = case.steps..;
        group.bench_function(format!("{P} tangents, {}", isa.name()), |b| {
            b.iter(|| next(&mut network, k.next().expect("no benchmark takes 2³² steps")));
        });
        group.finish();
    }
}

fn steps(criterion: &mut Criterion) {
    for case in &CASES {
        let images = &synthetic(case.images);
        for isa in Isa::ALL.into_iter().filter(|isa| isa.available()) {
            f32::run(isa, Steps { criterion, case, images, isa, directions: [] });
            f32::run(isa, Steps { criterion, case, images, isa, directions: PARAMETERS });
        }
    }
}

criterion_group!(benches, steps);
criterion_main!(benches);
