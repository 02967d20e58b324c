//! Dataset distillation: a network trained on a few learned examples, judged on real ones.
//!
//! Inner: T steps of gradient descent at rate a on the mean cross-entropy of n learned examples,
//! inputs X and targets softmax(Z). Outer: the mean cross-entropy of a batch of real examples at
//! the weights after those steps, over X and Z by Adam; its derivative is exact, by reverse mode
//! through the T steps with their start held fixed. *Cold* begins every inner run at the same
//! initial weights, *warm* where the last one ended.

use myopia_core::bilevel::linear::add_scaled;
use myopia_core::dual::Dual;
use myopia_core::elementary::{Elementary, Libm};
use myopia_core::rng::Pcg32;
use serde::Serialize;

use crate::Error;
use crate::adam::Adam;
use crate::error::positive;
use crate::matrix::finite;
use crate::network::{Examples, Network};

/// How it is run.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Settings {
    /// a.
    pub inner_rate: f64,
    /// T.
    pub inner_steps: u32,
    /// Adam's rate on X and Z.
    pub outer_rate: f64,
    /// Outer steps.
    pub outer_steps: u32,
    /// Real examples of one outer step.
    pub batch: u32,
}

/// The problem.
#[derive(Clone, Debug)]
pub struct Distillation<'a> {
    network: Network,
    training: &'a Examples,
    settings: Settings,
}

/// X and Z.
#[derive(Clone, Debug)]
struct Learned {
    inputs: Vec<f64>,
    logits: Vec<f64>,
}

/// Where a distillation ends.
#[derive(Clone, Debug, Serialize)]
pub struct DistillationEnd {
    /// Learned examples.
    pub examples: usize,
    /// Whether each inner run went on from the last one's weights.
    pub warm: bool,
    /// Of initial weights, initial X and batches.
    pub seed: u64,
    /// Share of the test examples that the weights at the end get right.
    pub accuracy: f64,
    /// Their mean cross-entropy.
    pub loss: f64,
    /// The share that fresh weights get right after T steps on what was learned.
    pub retrained: f64,
    /// The share after a hundred times T steps.
    pub converged: f64,
    /// The batch's loss before each outer step.
    #[serde(skip)]
    pub losses: Vec<f64>,
}

/// Inner runs whose length together is that of [`DistillationEnd::converged`].
const LONG: u32 = 100;

impl<'a> Distillation<'a> {
    /// Distilling `training` for `network`.
    ///
    /// # Errors
    /// Rates that are not positive, no steps, or a batch larger than the data.
    pub fn new(
        network: Network,
        training: &'a Examples,
        settings: Settings,
    ) -> Result<Self, Error> {
        positive("the inner rate", settings.inner_rate)?;
        positive("the outer rate", settings.outer_rate)?;
        for (name, count) in
            [("the number of inner steps", settings.inner_steps), ("the batch", settings.batch)]
        {
            if count == 0 || (name == "the batch" && count as usize > training.count) {
                return Err(Error::Range {
                    name,
                    value: f64::from(count),
                    expected: "a number from 1; a batch no larger than the training examples",
                });
            }
        }
        Ok(Self { network, training, settings })
    }

    /// T steps on `learned` from `weights`, which are moved; the weights before each.
    fn descend(&self, learned: &Learned, weights: &mut [f64]) -> Vec<Vec<f64>> {
        let targets = self.targets(&learned.logits);
        let mut path = Vec::new();
        for _ in 0..self.settings.inner_steps {
            path.push(weights.to_vec());
            let mut gradient = vec![0.0; weights.len()];
            self.network.gradient(weights, &learned.inputs, &targets, &mut gradient, false);
            add_scaled(weights, -self.settings.inner_rate, &gradient);
        }
        path
    }

    /// softmax(Z), row by row.
    fn targets(&self, logits: &[f64]) -> Vec<f64> {
        let mut targets = Vec::with_capacity(logits.len());
        for row in logits.chunks_exact(self.network.classes()) {
            let top = row.iter().fold(f64::MIN, |top, z| if *z > top { *z } else { top });
            let powers: Vec<f64> = row.iter().map(|z| Libm::exp(z - top)).collect();
            let total = powers.iter().fold(0.0, |sum, x| sum + x);
            targets.extend(powers.iter().map(|x| x / total));
        }
        targets
    }

    /// The loss of `judged` after T steps from `weights`, which are moved, and its derivatives by X
    /// and Z.
    fn hypergradient(
        &self,
        learned: &Learned,
        weights: &mut [f64],
        judged: &Examples,
    ) -> (f64, Learned) {
        let mut path = self.descend(learned, weights);
        let (loss, mut adjoint) = self.network.loss_gradient(weights, judged);
        let constant =
            |x: &[f64]| -> Vec<Dual<f64, 1>> { x.iter().map(|x| Dual::constant(*x)).collect() };
        let targets = self.targets(&learned.logits);
        let (inputs, lifted_targets) = (constant(&learned.inputs), constant(&targets));
        let mut by_inputs = vec![0.0; inputs.len()];
        let mut by_targets = vec![0.0; targets.len()];
        let rate = self.settings.inner_rate;
        while let Some(weights) = path.pop() {
            let lifted: Vec<Dual<f64, 1>> = weights
                .iter()
                .zip(&adjoint)
                .map(|(w, u)| Dual { value: *w, tangents: [*u] })
                .collect();
            let mut gradient = vec![Dual::constant(0.0); weights.len()];
            let pass =
                self.network.gradient(&lifted, &inputs, &lifted_targets, &mut gradient, true);
            for (sum, mixed) in by_inputs.iter_mut().zip(&pass.inputs) {
                *sum -= rate * mixed.tangents[0];
            }
            for (sum, mixed) in by_targets.iter_mut().zip(&pass.targets) {
                *sum -= rate * mixed.tangents[0];
            }
            for (adjoint, gradient) in adjoint.iter_mut().zip(&gradient) {
                *adjoint -= rate * gradient.tangents[0];
            }
        }
        // Through softmax: t∘(g − tᵀg).
        let classes = self.network.classes();
        let rows = by_targets.chunks_exact_mut(classes).zip(targets.chunks_exact(classes));
        for (g, t) in rows {
            let mean = g.iter().zip(t).fold(0.0, |sum, (g, t)| sum + g * t);
            g.iter_mut().zip(t).for_each(|(g, t)| *g = t * (*g - mean));
        }
        (loss, Learned { inputs: by_inputs, logits: by_targets })
    }

    /// X of small normals; Z that names class i for the i-th of as many examples as classes, else
    /// zero.
    fn start(&self, examples: usize, seed: u64) -> Learned {
        let mut rng = Pcg32::new(seed, 51);
        let classes = self.network.classes();
        let count = examples * self.network.inputs();
        let inputs = (0..count).map(|_| 0.1 * rng.normal::<f64>()).collect();
        let mut logits = vec![0.0; examples * classes];
        if examples >= classes {
            for (place, row) in logits.chunks_exact_mut(classes).enumerate() {
                row[place % classes] = 2.0;
            }
        }
        Learned { inputs, logits }
    }

    /// Distils into `examples`, then judges on `test`.
    ///
    /// # Errors
    /// No examples, or numbers that leave the finite range.
    pub fn run(
        &self,
        examples: usize,
        warm: bool,
        seed: u64,
        test: &Examples,
    ) -> Result<DistillationEnd, Error> {
        if examples == 0 {
            return Err(Error::Range {
                name: "the number of learned examples",
                value: 0.0,
                expected: "a number from 1",
            });
        }
        let first = self.network.initial(&mut Pcg32::new(seed, 50));
        let mut learned = self.start(examples, seed);
        let mut rng = Pcg32::new(seed, 52);
        let mut adam = [learned.inputs.len(), learned.logits.len()]
            .map(|count| Adam::new(self.settings.outer_rate, count));
        let mut weights = first.clone();
        let mut losses = Vec::new();
        let most = u32::try_from(self.training.count).unwrap_or(u32::MAX);
        for _ in 0..self.settings.outer_steps {
            if !warm {
                weights.copy_from_slice(&first);
            }
            let chosen: Vec<u32> = (0..self.settings.batch).map(|_| rng.below(most)).collect();
            let judged = self.training.select(&chosen);
            let (loss, slope) = self.hypergradient(&learned, &mut weights, &judged);
            losses.push(loss);
            adam[0].step(&mut learned.inputs, &slope.inputs);
            adam[1].step(&mut learned.logits, &slope.logits);
        }
        let mut again = first;
        self.descend(&learned, &mut again);
        if !warm {
            weights.copy_from_slice(&again);
        }
        let retrained = self.network.loss_error(&again, test).1;
        for _ in 1..LONG {
            self.descend(&learned, &mut again);
        }
        finite("the weights", &weights).and_then(|()| finite("the weights", &again)).map_err(
            |_| Error::Overflow {
                what: "the distillation".to_owned(),
                reason: "the learned inputs outgrew the inner rate; lower --inner-rate or \
                         --outer-rate"
                    .to_owned(),
            },
        )?;
        let (loss, error) = self.network.loss_error(&weights, test);
        Ok(DistillationEnd {
            examples,
            warm,
            seed,
            accuracy: 1.0 - error,
            loss,
            retrained: 1.0 - retrained,
            converged: 1.0 - self.network.loss_error(&again, test).1,
            losses,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::glyphs;
    use myopia_core::glyphs::{CLASSES, PIXELS};

    const SETTINGS: Settings =
        Settings { inner_rate: 0.2, inner_steps: 5, outer_rate: 0.05, outer_steps: 300, batch: 20 };

    #[test]
    fn hypergradients_are_what_central_differences_say() {
        let (training, network) = (glyphs(0..30), Network::new(&[PIXELS, 5, CLASSES]));
        let distillation = Distillation::new(network, &training, SETTINGS).unwrap();
        let mut learned = distillation.start(2, 3);
        learned.logits.iter_mut().enumerate().for_each(|(i, z)| *z = (i % 7) as f64 / 5.0);
        let start = distillation.network.initial(&mut Pcg32::new(4, 4));
        let judged = training.select(&[3, 7, 11]);
        let slope = distillation.hypergradient(&learned, &mut start.clone(), &judged).1;
        let loss = |learned: &Learned| {
            let mut weights = start.clone();
            distillation.descend(learned, &mut weights);
            distillation.network.loss_error(&weights, &judged).0
        };
        let e = 1e-5;
        for place in [0, 5, 70, 127, 128, 133, 147] {
            let change = |by: f64| {
                let mut learned = learned.clone();
                match place {
                    0..128 => learned.inputs[place] += by,
                    _ => learned.logits[place - 128] += by,
                }
                loss(&learned)
            };
            let difference = (change(e) - change(-e)) / (2.0 * e);
            let found = if place < 128 { slope.inputs[place] } else { slope.logits[place - 128] };
            assert!((found - difference).abs() < 1e-9, "{place}: {found} {difference}");
        }
    }

    #[test]
    fn warm_weights_know_what_the_learned_examples_cannot_teach_again() {
        let (training, test) = (glyphs(0..300), glyphs(500..800));
        let network = Network::new(&[PIXELS, 8, CLASSES]);
        let distillation = Distillation::new(network, &training, SETTINGS).unwrap();
        let cold = distillation.run(10, false, 1, &test).unwrap();
        let warm = distillation.run(10, true, 1, &test).unwrap();
        assert_eq!(cold.accuracy.to_bits(), cold.retrained.to_bits());
        assert!(cold.accuracy > 0.25 && warm.accuracy > 0.3, "{} {}", cold.accuracy, warm.accuracy);
        assert!(warm.retrained < warm.accuracy - 0.2, "{} {}", warm.retrained, warm.accuracy);
    }

    #[test]
    fn settings_that_mean_nothing_are_refused() {
        let training = glyphs(0..10);
        let network = || Network::new(&[PIXELS, 3, CLASSES]);
        let refused = |settings| Distillation::new(network(), &training, settings).unwrap_err();
        let said = refused(SETTINGS).to_string();
        assert!(said.contains("the batch is 20.0"), "{said}");
        let said = refused(Settings { inner_rate: -1.0, ..SETTINGS }).to_string();
        assert!(said.contains("the inner rate is -1.0"), "{said}");
    }
}
