//! What a step costs on this processor: each kernel, each instruction set, beside the digest that
//! all of them must reach.

mod case;
mod images;
mod table;

use std::time::Instant;

use myopia_core::digest::NotANumber;
use myopia_core::dual::Dual;
use myopia_core::elementary::Libm;
use myopia_core::mlp::{Batch, Dataset, Shape, he_normal};
use myopia_core::optimizer::Sgd;
use myopia_core::rng::Pcg32;
use myopia_core::sampler::Sampler;
use myopia_core::schedule::{InverseTime, Parameter};
use serde::Serialize;

pub use case::{CASES, Case, Images};
pub use images::synthetic;
pub use table::print;

use myopia_backend::{Diagnostics, HeapBatch, Isa, MakeModel, StoredModel, profile};

/// How long something took, step after step, in microseconds.
#[derive(Clone, Debug, Serialize)]
pub struct Time {
    /// What.
    pub what: &'static str,
    /// The median over the steps.
    pub median_us: f64,
    /// The first and the third quartile.
    pub quartiles_us: [f64; 2],
    /// Float operations in a step, padding included; zero for work that mostly moves numbers.
    pub operations: f64,
    /// Operations in 10⁹ a second.
    pub gflops: f64,
    /// The share of the core's peak.
    pub of_peak: f64,
}

/// What a case took on an instruction set.
#[derive(Clone, Debug, Serialize)]
pub struct Measured {
    /// The instruction set.
    pub isa: &'static str,
    /// The network's layers.
    pub layers: &'static [usize],
    /// What it was trained on.
    pub images: &'static str,
    /// How many tangents it carried.
    pub tangents: usize,
    /// Batches of so many examples.
    pub batch: usize,
    /// Multiplications and additions, in 10⁹ a second, that this core does at most with these
    /// instructions.
    pub peak_gflops: f64,
    /// The whole step with the batch it is made from, then its parts.
    pub times: Vec<Time>,
    /// The digest of parameters and velocity after the steps, and that of their tangents.
    pub digests: [String; 2],
}

/// The diagnostics of an instruction set's kernels in `f32`; those of the baseline where there are
/// none.
pub fn diagnostics(isa: Isa) -> Diagnostics {
    match isa {
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512 => myopia_kernels_avx512::DIAGNOSTICS,
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2 => myopia_kernels_avx2::DIAGNOSTICS,
        _ => myopia_kernels_baseline::DIAGNOSTICS,
    }
}

/// A case on some images, to be run on an instruction set.
pub struct Measure<'a, E> {
    /// The case.
    pub case: &'static Case,
    /// The instruction set.
    pub isa: Isa,
    /// The images, and how many there are.
    pub images: (&'a E, usize),
    /// What the images are called.
    pub named: &'static str,
    /// The peak of a core, in 10⁹ operations a second.
    pub peak_gflops: f64,
}

impl<E: Dataset<f32>> Measure<'_, E> {
    /// Runs the case with the models of `make`, whose tangents are the derivatives by `directions`.
    pub fn run<const P: usize>(
        &self,
        make: MakeModel<f32, P>,
        directions: [Parameter; P],
    ) -> Measured {
        let Case { layers, batch: size, steps, .. } = *self.case;
        let mut model = initialised(make, layers, size);
        let mut room = HeapBatch::new(layers, size);
        let mut batch = room.batch();
        let (examples, count) = self.images;
        let numbers: Vec<u32> = (0..count as u32).collect();
        let mut sampler = Sampler::new(numbers, Pcg32::new(1, 2));
        let schedule = self.case.schedule().with_tangents(directions);
        let mut parts: Vec<(&'static str, Vec<f64>, f64)> = Vec::new();
        let mut note =
            |what, microseconds, operations| match parts.iter_mut().find(|part| part.0 == what) {
                Some(part) => part.1.push(microseconds),
                None => parts.push((what, vec![microseconds], operations)),
            };
        for k in 0..steps {
            let started = Instant::now();
            batch.fill(examples, sampler.next_batch(size));
            let filled = started.elapsed().as_secs_f64() * 1e6;
            profile::timed(|| step(&mut *model, &batch, &schedule, k));
            let whole = started.elapsed().as_secs_f64() * 1e6;
            let kernels = profile::take();
            let operations = kernels.iter().fold(0.0, |sum, kernel| sum + kernel.flops);
            note("whole step", whole, operations);
            note("batch", filled, 0.0);
            for kernel in kernels {
                note(kernel.label, kernel.microseconds, kernel.flops);
            }
        }
        let digests = digests(&mut *model);
        let time = |(what, mut times, operations): (&'static str, Vec<f64>, f64)| {
            times.sort_by(f64::total_cmp);
            let at = |share: usize| times[(times.len() - 1) * share / 4];
            let gflops = operations / at(2) / 1e3;
            let of_peak = gflops / self.peak_gflops;
            let quartiles_us = [at(1), at(3)];
            Time { what, median_us: at(2), quartiles_us, operations, gflops, of_peak }
        };
        Measured {
            isa: self.isa.name(),
            layers,
            images: self.named,
            tangents: P,
            batch: size,
            peak_gflops: self.peak_gflops,
            times: parts.into_iter().map(time).collect(),
            digests,
        }
    }
}

/// A model with He's initial weights from seed 1.
///
/// # Panics
/// When there can be no such network.
pub fn initialised<U, const P: usize>(
    make: MakeModel<f32, P, U>,
    layers: &[usize],
    batch: usize,
) -> Box<dyn StoredModel<f32, P, U>> {
    let mut model = make(layers, batch).expect("a case is a network");
    model.load(&weights(layers), &[]);
    model
}

/// He's initial weights from seed 1.
///
/// # Panics
/// When there can be no such network.
pub fn weights<const P: usize>(layers: &[usize]) -> Vec<Dual<f32, P>> {
    let shape = Shape::new(layers).expect("a case is a network");
    he_normal(shape, &mut Pcg32::new(1, 0)).map(Dual::constant).collect()
}

/// The coefficients of step number `k` of a case, with momentum 0.9.
pub fn update<const P: usize>(
    schedule: &InverseTime<Dual<f32, P>>,
    k: u32,
) -> Sgd<Dual<f32, P>, f32> {
    Sgd { learning_rate: schedule.learning_rate::<Libm>(k), momentum: 0.9 }
}

/// Step number `k` of a case.
///
/// # Panics
/// When it leaves the finite range.
pub fn step<const P: usize>(
    model: &mut dyn StoredModel<f32, P>,
    batch: &Batch<'_, f32>,
    schedule: &InverseTime<Dual<f32, P>>,
    k: u32,
) {
    model.step(batch, update(schedule, k)).expect("a case's schedule keeps training finite");
}

/// The digests of values and tangents, as text.
pub fn digests<U, const P: usize>(model: &mut dyn StoredModel<f32, P, U>) -> [String; 2] {
    [model.digest_values(), model.digest_tangents()].map(|digest| match digest {
        Ok(digest) => digest.to_string(),
        Err(NotANumber) => "not a number".into(),
    })
}
