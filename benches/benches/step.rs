//! One training step of the paper's network, without and with three tangents, on every instruction set of this processor.
//! Each run first proves its bits: twenty steps have the same digest everywhere.

use criterion::{Criterion, criterion_group, criterion_main};
use myopia::engine::{Isa, Precision, Work};
use myopia::problem::Data;
use myopia_benches::{mnist_like, paper_network, schedule, start};
use myopia_core::engine::Engine;
use myopia_core::schedule::PARAMETERS;
use myopia_core::vector::Vector;

/// Digests of values and of tangents after twenty steps.
const DIGESTS: (u64, u64) = (0x2999_d329_4abd_cffe, 0x0c7d_3741_fd39_26b4);

struct Steps<'a> {
    criterion: &'a mut Criterion,
    data: &'a Data<f32>,
    isa: Isa,
}

impl Work<f32> for Steps<'_> {
    type Output = ();

    fn on<G: Engine<Vector: Vector<Scalar = f32>>>(self, engine: G) {
        let problem = paper_network(self.data);
        let start = start(&problem, engine);
        let mut group = self.criterion.benchmark_group("784-100-100-10, batch 100");

        let with = schedule().with_tangents(PARAMETERS);
        let mut run = problem.run::<G, 3>(engine, &start);
        run.train(&with, 0..20, |_, _, _| {}).expect("twenty steps stay finite");
        let (values, tangents) = run.digests();
        assert_eq!((values, tangents), DIGESTS, "{values:#018x}, {tangents:#018x}");
        let mut k = 20..;
        group.bench_function(format!("three tangents, {}", self.isa.name()), |b| {
            b.iter(|| step(&mut k, |k| run.train(&with, k..k + 1, |_, _, _| {})));
        });

        let without = schedule().with_tangents([]);
        let mut run = problem.run::<G, 0>(engine, &start);
        run.train(&without, 0..20, |_, _, _| {}).expect("twenty steps stay finite");
        assert_eq!(run.digests().0, DIGESTS.0, "no tangents, the same values");
        let mut k = 20..;
        group.bench_function(format!("no tangents, {}", self.isa.name()), |b| {
            b.iter(|| step(&mut k, |k| run.train(&without, k..k + 1, |_, _, _| {})));
        });
        group.finish();
    }
}

fn step<E: std::fmt::Debug>(
    k: &mut impl Iterator<Item = u32>,
    mut train: impl FnMut(u32) -> Result<(), E>,
) {
    train(k.next().expect("no benchmark takes 2³² steps")).expect("a falling rate stays finite");
}

fn steps(criterion: &mut Criterion) {
    let data = mnist_like();
    for isa in Isa::ALL.into_iter().filter(|isa| isa.available()) {
        f32::run(isa, Steps { criterion, data: &data, isa });
    }
}

criterion_group!(benches, steps);
criterion_main!(benches);
