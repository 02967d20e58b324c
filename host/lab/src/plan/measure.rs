//! What is measured at one point of training: loss, and the spectra of gradient and noise.

use myopia_core::bilevel::linear::dot;
use myopia_core::real::Real;
use myopia_core::sum::sum;
use myopia_nqm::lanczos::{Node, Tridiagonal};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::Failed;
use crate::precision::Numbers;
use crate::problem::{CurvatureMatrix, InitialParams, Problem, ROUNDING, Set, Tangents};

/// How much is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// The matrix whose spectrum is measured.
    pub matrix: CurvatureMatrix,
    /// Products with it from each start of Lanczos's method.
    pub products: usize,
    /// Batches whose noise of the gradient is a start of Lanczos's method.
    pub samples: usize,
    /// Batches, those among them, that say how large the variance of the noise is: it has a heavy
    /// tail, and a plan follows it closely.
    pub batches: usize,
    /// Training examples, from the first, of the matrix.
    pub examples: usize,
}

/// Work in gradients of one batch: a gradient with a tangent counts as two, a loss as a third.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Cost(pub f64);

const WITH_TANGENT: f64 = 2.0;
const LOSS: f64 = 1.0 / 3.0;

/// The spectral measures of gradient and noise at one point.
///
/// Gauss quadratures of the matrix H from the full gradient g and from the noise ξ of single
/// batches, ξ = g_batch − g: ∫ f dμ_g = gᵀ f(H) g ≈ Σ_j w_j f(h_j), and likewise of ξ, in the mean
/// over the samples.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    /// The mean loss over the examples trained on, in nats.
    pub loss: f64,
    /// Curvatures h_j, each with the squared length w_j of the gradient along it.
    pub gradient: Vec<Node>,
    /// Curvatures h_l, each with the variance w_l along it of the gradient of one batch.
    pub noise: Vec<Node>,
    /// What it took.
    pub cost: Cost,
}

impl Cost {
    /// That of the loss over all examples trained on.
    pub fn loss(problem: &Problem<'_>) -> Self {
        Self(LOSS * problem.trained_on().div_ceil(problem.batch) as f64)
    }
}

impl Measured {
    /// Measures `problem` at `parameters` to this `extent`; the noise is that of batches number
    /// `first` and on of the problem's noise sampler. `stop` is asked between products.
    ///
    /// # Errors
    /// When something leaves the finite range, or when it is to stop.
    pub fn new(
        problem: &Problem<'_>,
        parameters: &Numbers,
        extent: Extent,
        first: usize,
        stop: &(dyn Fn() -> bool + Sync),
    ) -> Result<Self, Failed> {
        let check = || if stop() { Err(Failed::Interrupted) } else { Ok(()) };
        let all: Vec<u32> = (0..problem.trained_on() as u32).collect();
        let start = InitialParams(parameters.clone());
        let loss = problem.run(Tangents::None, &start).evaluate(Set::Training, &all)?.loss.value;
        check()?;
        let mut go_on = || !stop();
        let mut at = problem.curvature(parameters, extent.matrix, &mut go_on);
        let gradient = at.gradient(&all)?;
        let mut sampler = problem.noise_sampler();
        let mut batch = || sampler.next_batch(problem.batch).to_vec();
        (0..first).for_each(|_| drop(batch()));
        let mut starts = vec![gradient.clone()];
        let mut squares = Vec::new();
        for place in 0..extent.batches {
            let mut noise = at.gradient(&batch())?;
            noise.iter_mut().zip(&gradient).for_each(|(x, g)| *x -= g);
            squares.push(dot(&noise, &noise));
            if place < extent.samples {
                starts.push(noise);
            }
        }
        let examples = &all[..extent.examples];
        let spectra: Vec<Result<(usize, Vec<Node>), Failed>> = starts
            .into_par_iter()
            .with_max_len(1)
            .map(|start| {
                let mut go_on = || !stop();
                let mut at = problem.curvature(parameters, extent.matrix, &mut go_on);
                let mut products = 0;
                let product = |unit: &[f64]| -> Result<Vec<f64>, Failed> {
                    products += 1;
                    Ok(at.product(examples, unit)?)
                };
                let square = dot(&start, &start);
                let least = |found: &Tridiagonal| ROUNDING * found.scale();
                let most =
                    if extent.products < start.len() { extent.products } else { start.len() };
                let found = Tridiagonal::of(start, most, &least, &check, product)?;
                let nodes = found.quadrature().ok_or(Failed::Spectrum)?;
                let weighted = |node: Node| Node { weight: square * node.weight, ..node };
                Ok((products, nodes.into_iter().map(weighted).collect()))
            })
            .collect();
        let (mut products, mut found) = (0, Vec::new());
        for spectrum in spectra {
            let (own, nodes) = spectrum?;
            products += own;
            found.push(nodes);
        }
        let some = sum(squares.iter().take(extent.samples).copied());
        let all_of_them = sum(squares.iter().copied()) / extent.batches as f64;
        let share = if some > 0.0 { all_of_them / some } else { 0.0 };
        let noise = found.split_off(1).into_iter().flatten();
        let noise = noise.map(|node| Node { weight: share * node.weight, ..node });
        let batches = |examples: usize| examples.div_ceil(problem.batch) as f64;
        let tangents =
            batches(all.len()) + extent.batches as f64 + products as f64 * batches(extent.examples);
        Ok(Self {
            loss,
            gradient: found.remove(0),
            noise: noise.collect(),
            cost: Cost(WITH_TANGENT * tangents + Cost::loss(problem).0),
        })
    }

    /// The largest curvature of all.
    pub fn sharpness(&self) -> f64 {
        let all = self.gradient.iter().chain(&self.noise);
        all.fold(0.0, |most: f64, node| most.larger(node.value))
    }

    /// tr C, the variance of the gradient of one batch.
    pub fn noise_variance(&self) -> f64 {
        sum(self.noise.iter().map(|node| node.weight))
    }

    /// The squared length of the gradient.
    pub fn gradient_square(&self) -> f64 {
        sum(self.gradient.iter().map(|node| node.weight))
    }
}
