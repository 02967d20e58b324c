//! Workload for counting instructions: training steps and evaluations of one fixed batch.
//!
//! The network of the meta-descent experiment takes steps on one batch, all of whose inputs are
//! non-zero. The same with half of them zero leaves out half of the terms of the first layer's
//! products and nothing else: the difference is what the inner loops cost.

use super::workspace::MetaDescentNet;
use crate::backend::Backend;
use crate::dual::Dual;
use crate::elementary::Elementary;
use crate::glyphs::{CLASSES, PIXELS};
use crate::mlp::{Batch, Dataset, Network, NonFinite};
use crate::optimizer::Sgd;
use crate::rng::Pcg32;
use crate::schedule::{InverseTime, Parameter};
use crate::vector::{F32x4, Vector};

/// Steps that are taken, and evaluations.
pub const STEPS: u32 = 8;
/// Non-zero inputs of an example: all, and half of them.
pub const INPUTS: [usize; 2] = [PIXELS, PIXELS / 2];

crate::fixed_network! {
    /// The network of [`MetaDescentNet`] without tangents.
    #[derive(Debug)]
    pub struct Plainly { sizes: [PIXELS, 8, CLASSES], batch: MetaDescentNet::BATCH, vector: F32x4, tangents: 0 }
}

/// Examples with so many non-zero inputs, the first ones.
struct Dense(usize);

impl Dataset<f32> for Dense {
    fn append(&self, index: u32, batch: &mut Batch<'_, f32>) {
        let pixel = |n: u16| if usize::from(n) < self.0 { 1.0 / f32::from(n + 1) } else { 0.0 };
        batch.push(index as u16 % CLASSES as u16, (0..PIXELS as u16).map(|n| (n, pixel(n))));
    }
}

/// A fresh network and a batch with `inputs` non-zero inputs in each example.
pub fn prepare<G: Backend<Vector: Vector<Scalar = f32>>, E: Elementary<f32>, const P: usize>(
    network: &mut Network<'_, G, P, E>,
    batch: &mut Batch<'_, f32>,
    inputs: usize,
) {
    network.initialise(&mut Pcg32::new(5, 0));
    batch.fill(&Dense(inputs), &[0, 1, 2, 3]);
}

/// [`STEPS`] steps of training, each with its learning rate; returns the last loss.
pub fn train<G: Backend<Vector: Vector<Scalar = f32>>, E: Elementary<f32>, const P: usize>(
    network: &mut Network<'_, G, P, E>,
    batch: &Batch<'_, f32>,
    directions: [Parameter; P],
) -> Result<f32, NonFinite> {
    let schedule = InverseTime { alpha0: 0.02, time_constant: 10.0, beta: 0.5 };
    let schedule = schedule.with_tangents(directions);
    let mut last = Dual::constant(0.0);
    for k in 0..STEPS {
        last = network
            .step(batch, Sgd { learning_rate: schedule.learning_rate::<E>(k), momentum: 0.9 })?;
    }
    Ok(last.value)
}

/// [`STEPS`] evaluations of the batch; returns the last loss.
pub fn evaluate<G: Backend<Vector: Vector<Scalar = f32>>, E: Elementary<f32>, const P: usize>(
    network: &mut Network<'_, G, P, E>,
    batch: &Batch<'_, f32>,
) -> f32 {
    let mut last = 0.0;
    for _ in 0..STEPS {
        last = network.evaluate(batch).loss.value;
    }
    last
}
