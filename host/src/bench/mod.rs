//! What a step costs on this processor: each kernel, each instruction set, beside the digest that all of them must reach.

mod case;
mod images;
mod peak;
mod table;
mod timed;

use std::time::Instant;

use myopia_core::backend::Backend;
use myopia_core::digest::NotANumber;
use myopia_core::dual::Dual;
use myopia_core::mlp::{Batch, Dataset, Network};
use myopia_core::rng::Pcg32;
use myopia_core::sampler::Sampler;
use myopia_core::schedule::{InverseTime, Parameter};
use myopia_core::vector::Vector;
use serde::Serialize;

pub use case::{CASES, Case, Images};
pub use images::synthetic;
pub use peak::peak;
pub use table::print;

use crate::engine::{Isa, Work};
use crate::network::HeapNetwork;
use timed::{Timed, taken};

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
    pub isa: Isa,
    /// The network's layers.
    pub layers: &'static [usize],
    /// What it was trained on.
    pub images: &'static str,
    /// How many tangents it carried.
    pub tangents: usize,
    /// Batches of so many examples.
    pub batch: usize,
    /// Multiplications and additions, in 10⁹ a second, that this core does at most with these instructions.
    pub peak_gflops: f64,
    /// The whole step with the batch it is made from, then its parts.
    pub times: Vec<Time>,
    /// The digest of parameters and velocity after the steps, and that of their tangents.
    pub digests: [String; 2],
}

/// A case on some images, to be run on an engine.
pub struct Measure<'a, E, const P: usize> {
    /// The case.
    pub case: &'static Case,
    /// The engine's name.
    pub isa: Isa,
    /// The images, and how many there are.
    pub images: (&'a E, usize),
    /// What the images are called.
    pub named: &'static str,
    /// The directions of the tangents.
    pub directions: [Parameter; P],
    /// What [`peak`] found.
    pub peak_gflops: f64,
}

impl<E: Dataset<f32>, const P: usize> Work<f32> for Measure<'_, E, P> {
    type Output = Measured;

    fn on<G: Backend<Vector: Vector<Scalar = f32>>>(self, engine: G) -> Measured {
        let Case { layers, batch: size, steps, .. } = *self.case;
        let mut storage =
            HeapNetwork::<G::Vector, P>::new(layers, size).expect("a case is a network");
        let (examples, count) = self.images;
        let numbers: Vec<u32> = (0..count as u32).collect();
        let mut sampler = Sampler::new(numbers, Pcg32::new(1, 2));
        let schedule = self.case.schedule().with_tangents(self.directions);
        let mut parts: Vec<(&'static str, Vec<f64>, f64)> = Vec::new();
        let mut note =
            |what, microseconds, operations| match parts.iter_mut().find(|part| part.0 == what) {
                Some(part) => part.1.push(microseconds),
                None => parts.push((what, vec![microseconds], operations)),
            };
        let (mut network, mut batch) = storage.network(Timed(engine));
        network.initialise(&mut Pcg32::new(1, 0));
        for k in 0..steps {
            let started = Instant::now();
            batch.fill(examples, sampler.next_batch(size));
            let filled = started.elapsed().as_secs_f64() * 1e6;
            step(&mut network, &batch, &schedule, k);
            let whole = started.elapsed().as_secs_f64() * 1e6;
            let kernels = taken();
            let operations = kernels.iter().fold(0.0, |sum, kernel| sum + kernel.operations);
            note("whole step", whole, operations);
            note("batch", filled, 0.0);
            for kernel in kernels {
                note(kernel.name, kernel.microseconds, kernel.operations);
            }
        }
        let digests = digests(&network);
        let time = |(what, mut times, operations): (&'static str, Vec<f64>, f64)| {
            times.sort_by(f64::total_cmp);
            let at = |share: usize| times[(times.len() - 1) * share / 4];
            let gflops = operations / at(2) / 1e3;
            let of_peak = gflops / self.peak_gflops;
            let quartiles_us = [at(1), at(3)];
            Time { what, median_us: at(2), quartiles_us, operations, gflops, of_peak }
        };
        Measured {
            isa: self.isa,
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

/// Step number `k` of a case, with momentum 0.9.
///
/// # Panics
/// When it leaves the finite range.
pub fn step<G, const P: usize>(
    network: &mut Network<'_, G, P>,
    batch: &Batch<'_, f32>,
    schedule: &InverseTime<Dual<f32, P>>,
    k: u32,
) where
    G: Backend<Vector: Vector<Scalar = f32>>,
{
    let rate = schedule.learning_rate::<G::Elementary>(k);
    network.step(batch, rate, 0.9).expect("a case's schedule keeps training finite");
}

/// The digests of values and tangents, as text.
pub fn digests<G: Backend, const P: usize>(network: &Network<'_, G, P>) -> [String; 2] {
    [network.digest_values(), network.digest_tangents()].map(|digest| match digest {
        Ok(digest) => format!("{:016x}", digest.value()),
        Err(NotANumber) => "not a number".into(),
    })
}
