//! One training step of the cases of `myopia bench`, without and with three tangents, on every
//! instruction set of this processor. Each run first proves its bits: the steps of a case have the
//! same digests everywhere.

use criterion::{Criterion, criterion_group, criterion_main};
use myopia::bench::{CASES, Case, digests, initialised, step, synthetic};
use myopia::precision::Float;
use myopia::problem::ExampleSet;
use myopia_backend::{HeapBatch, Isa, MakeModel, StoredModel};
use myopia_core::rng::Pcg32;
use myopia_core::sampler::Sampler;
use myopia_core::schedule::{PARAMETERS, Parameter};

struct Steps<'a> {
    criterion: &'a mut Criterion,
    case: &'static Case,
    images: &'a ExampleSet<f32>,
    isa: Isa,
}

impl Steps<'_> {
    fn time<const P: usize>(&mut self, make: MakeModel<f32, P>, directions: [Parameter; P]) {
        let Self { criterion, case, images, isa } = self;
        let mut model = initialised(make, case.layers, case.batch);
        let mut room = HeapBatch::new(case.layers, case.batch);
        let mut batch = room.batch();
        let numbers: Vec<u32> = (0..images.len() as u32).collect();
        let mut sampler = Sampler::new(numbers, Pcg32::new(1, 2));
        let schedule = case.schedule().with_tangents(directions);
        let mut next = |model: &mut dyn StoredModel<f32, P>, k| {
            batch.fill(*images, sampler.next_batch(case.batch));
            step(model, &batch, &schedule, k);
        };
        for k in 0..case.steps {
            next(&mut *model, k);
        }
        let [values, tangents] = digests(&mut *model);
        assert_eq!(values, case.digests[0], "{:?} on {isa:?}", case.layers);
        if P == PARAMETERS.len() {
            assert_eq!(tangents, case.digests[1], "tangents of {:?} on {isa:?}", case.layers);
        }
        let mut group = criterion.benchmark_group(format!("{:?}, {:?}", case.layers, case.images));
        group.sample_size(10);
        let mut k = case.steps..;
        group.bench_function(format!("{P} tangents, {}", isa.name()), |b| {
            b.iter(|| next(&mut *model, k.next().expect("no benchmark takes 2³² steps")));
        });
        group.finish();
    }
}

fn steps(criterion: &mut Criterion) {
    for case in &CASES {
        let images = &synthetic(case.images);
        for isa in Isa::ALL.iter().copied().filter(|isa| isa.available()) {
            let models = f32::models(isa);
            let mut steps = Steps { criterion, case, images, isa };
            steps.time(models.plain, []);
            steps.time(models.schedule, PARAMETERS);
        }
    }
}

criterion_group!(benches, steps);
criterion_main!(benches);
