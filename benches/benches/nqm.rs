//! The recurrences of the noisy quadratic in `f64`: losses, losses with three tangents, and the
//! gradient by all 2T schedule entries. Throughput is in directions times steps, so that a time per
//! element is one per direction and step. Each run first proves its bits.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use myopia_benches::nqm::{STEPS, Work};

/// Digests of forward, three tangents and gradient for each number of directions.
const DIGESTS: [(u32, [u64; 3]); 2] = [
    (1_000, [0xf8a7_b2cd_d1b0_1d00, 0x77b5_84e1_dd8c_11c9, 0xe6ea_5c58_6782_568d]),
    (100_000, [0x337e_04d0_90da_7892, 0x9c34_3aad_2f4b_0b63, 0x5379_c17c_a3ea_25df]),
];

fn recurrences(criterion: &mut Criterion) {
    for (dims, digests) in DIGESTS {
        let mut work = Work::new(dims);
        let found = [work.forward().1, work.three_tangents().1, work.gradient().1];
        assert_eq!(found, digests, "{dims} directions: {found:#018x?}");
        let mut group = criterion.benchmark_group(format!("{dims} directions, {STEPS} steps"));
        group.throughput(Throughput::Elements(u64::from(dims) * u64::from(STEPS)));
        group.bench_function("losses", |b| b.iter(|| work.forward()));
        group.bench_function("losses, three tangents", |b| b.iter(|| work.three_tangents()));
        group.bench_function("gradient", |b| b.iter(|| work.gradient()));
        group.finish();
    }
}

criterion_group!(benches, recurrences);
criterion_main!(benches);
