//! The experiments on a small perceptron that learns synthetic digits.

use super::Settings;
use super::report::{Failed, Ledger, Record, Report};
use super::workspace::Learner;
use crate::backend::Backend;
use crate::dual::Dual;
use crate::elementary::Elementary;
use crate::glyphs::{Glyphs, SIDE};
use crate::meta::{Coordinate, Limits, MetaDescent, Rule};
use crate::mlp::{Batch, Dataset, InvalidNetwork, Network, Update};
use crate::optimizer::{Decay, Hyperparameters, Method, Momentum, Optimizer};
use crate::rng::Pcg32;
use crate::sampler::Sampler;
use crate::schedule::{InverseTime, PARAMETERS, Parameter};
use crate::unroll::{Diverged, InnerLoop, objective};
use crate::vector::Vector;

const MOMENTUM: f32 = 0.9;

/// The objective is the loss on these of the training examples.
static JUDGED: [u32; 16] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15];

impl From<InvalidNetwork> for Failed {
    fn from(_: InvalidNetwork) -> Self {
        Self::Workspace
    }
}

impl From<Diverged> for Failed {
    fn from(_: Diverged) -> Self {
        Self::NonFinite
    }
}

/// What every look-ahead of an experiment shares.
struct LookAhead<'a, D> {
    settings: &'a Settings,
    examples: D,
}

/// Trains once: one record for each step, whose loss is that of its batch. The report's loss is the
/// objective.
pub fn training<G: Backend<Vector: Vector<Scalar = f32>>, E: Elementary<f32>>(
    (mut network, mut batch, order): Learner<'_, G, 0, E>,
    settings: &Settings,
    record: &mut impl FnMut(&Record),
) -> Result<Report, Failed> {
    let mut ledger = Ledger::default();
    let schedule = settings.schedule;
    let look_ahead = LookAhead { settings, examples: Glyphs { seed: settings.seed } };
    let objective = look_ahead.run(
        (&mut network, &mut batch),
        order,
        (schedule.with_tangents([]), Momentum(MOMENTUM)),
        |network, k, loss| {
            ledger.network(network)?;
            record(&ledger.record(k, schedule, Dual::<f32, 0>::constant(loss))?);
            Ok(())
        },
    )?;
    ledger.value(objective.value)?;
    Ok(ledger.report(objective))
}

/// Meta-descent on α₀, K and β by the objective after the horizon: one record for each schedule.
pub fn descent<G: Backend<Vector: Vector<Scalar = f32>>, E: Elementary<f32>>(
    learner: Learner<'_, G, 3, E>,
    settings: &Settings,
    record: &mut impl FnMut(&Record),
) -> Result<Report, Failed> {
    let look_ahead = LookAhead { settings, examples: Glyphs { seed: settings.seed } };
    let start = (settings.schedule.parameters(), MetaDescent::default_limits());
    let training = |[alpha0, time_constant, beta]: [f32; 3]| {
        let schedule = InverseTime { alpha0, time_constant, beta };
        (schedule, PARAMETERS, Momentum(MOMENTUM))
    };
    look_ahead.descend(learner, start, training, record)
}

/// The hyperparameters that the experiment with Adam tunes.
const TUNED_OF_ADAM: [Parameter; 3] = [Parameter::Alpha0, Parameter::Epsilon, Parameter::Beta2];

/// Meta-descent on α₀, ε and β₂ of Adam with batch normalisation: one record for each of them.
pub fn adam<G: Backend<Vector: Vector<Scalar = f32>>, E: Elementary<f32>>(
    learner: Learner<'_, G, 3, E, 2, true>,
    settings: &Settings,
    record: &mut impl FnMut(&Record),
) -> Result<Report, Failed> {
    let look_ahead = LookAhead { settings, examples: Rows(Glyphs { seed: settings.seed }) };
    let [alpha0, ..] = MetaDescent::default_limits();
    let epsilon = Limits { least: 1e-6, greatest: 10.0, ..alpha0 };
    let beta2 = Limits { coordinate: Coordinate::Logit, least: 1e-4, greatest: 0.9999, ..alpha0 };
    let start = ([settings.schedule.alpha0, 1e-3, 0.99], [alpha0, epsilon, beta2]);
    let training = |[alpha0, epsilon, beta2]: [f32; 3]| {
        let schedule = InverseTime { alpha0, ..settings.schedule };
        let method = Method::Adam { beta1: 0.9, beta2, epsilon, epsilon_root: 0.0 };
        let optimizer = Hyperparameters { method, decay: Decay::None };
        (schedule, TUNED_OF_ADAM, optimizer.with_tangents(TUNED_OF_ADAM))
    };
    look_ahead.descend(learner, start, training, record)
}

/// The hyperparameters that the experiment with SGD tunes.
const TUNED_OF_SGD: [Parameter; 3] =
    [Parameter::Alpha0, Parameter::Momentum, Parameter::WeightDecay];

/// Meta-descent on α₀, μ and ξ of SGD with batch normalisation: one record for each of them.
pub fn norm<G: Backend<Vector: Vector<Scalar = f32>>, E: Elementary<f32>>(
    learner: Learner<'_, G, 3, E, 2, true>,
    settings: &Settings,
    record: &mut impl FnMut(&Record),
) -> Result<Report, Failed> {
    let look_ahead = LookAhead { settings, examples: Rows(Glyphs { seed: settings.seed }) };
    let [alpha0, ..] = MetaDescent::default_limits();
    let momentum =
        Limits { coordinate: Coordinate::Logit, least: 1e-4, greatest: 0.9999, ..alpha0 };
    let decay = Limits { least: 1e-6, greatest: 10.0, ..alpha0 };
    let start = ([settings.schedule.alpha0, MOMENTUM, 1e-2], [alpha0, momentum, decay]);
    let training = |[alpha0, momentum, decay]: [f32; 3]| {
        let schedule = InverseTime { alpha0, ..settings.schedule };
        let method = Method::Sgd { momentum, is_nesterov: false };
        let optimizer = Hyperparameters { method, decay: Decay::Coupled(decay) };
        (schedule, TUNED_OF_SGD, optimizer.with_tangents(TUNED_OF_SGD))
    };
    look_ahead.descend(learner, start, training, record)
}

/// Glyphs of eight numbers: the mean of each row of pixels.
struct Rows(Glyphs);

impl Dataset<f32> for Rows {
    fn append(&self, index: u32, batch: &mut Batch<'_, f32>) {
        let (pixels, label) = self.0.draw(index);
        let mean = |row: &[f32]| row.iter().fold(0.0, |sum, pixel| sum + pixel) / SIDE as f32;
        batch.push(label, (0..).zip(pixels.chunks(SIDE).map(mean)));
    }
}

impl<D: Dataset<f32>> LookAhead<'_, D> {
    /// Meta-descent from three hyperparameters and within their limits; `training` makes of them
    /// the schedule, what its tangents are by, and the optimiser.
    fn descend<G, E, O, const S: usize, const N: bool>(
        &self,
        (mut network, mut batch, order): Learner<'_, G, 3, E, S, N>,
        (mut tuned, limits): ([f32; 3], [Limits<f32>; 3]),
        training: impl Fn([f32; 3]) -> (InverseTime<f32>, [Parameter; 3], O),
        record: &mut impl FnMut(&Record),
    ) -> Result<Report, Failed>
    where
        G: Backend<Vector: Vector<Scalar = f32>>,
        E: Elementary<f32>,
        O: Optimizer<f32, 3, Update: Update<G::Vector, 3, S, E>>,
    {
        let mut ledger = Ledger::default();
        let mut outer = MetaDescent::new(Rule::adam(), 0.1, limits);
        let mut meta_step = 0;
        loop {
            let (schedule, directions, optimizer) = training(tuned);
            let parts = (&mut network, &mut batch);
            let rule = (schedule.with_tangents(directions), optimizer);
            let loss = self.run(parts, order, rule, |_, _, _| Ok(()))?;
            ledger.network(&network)?;
            record(&ledger.record(meta_step, schedule, loss)?);
            if meta_step >= self.settings.meta_steps {
                return Ok(ledger.report(loss));
            }
            tuned = outer.update::<E>(tuned, loss.tangents);
            meta_step += 1;
        }
    }

    /// Training from fresh weights to the horizon, then the objective. `observe` sees each step and
    /// its batch's loss.
    fn run<G, E, O, const P: usize, const S: usize, const N: bool>(
        &self,
        (network, batch): (&mut Network<'_, G, P, E, S, N>, &mut Batch<'_, f32>),
        order: &mut [u32],
        (schedule, optimizer): (InverseTime<Dual<f32, P>>, O),
        mut observe: impl FnMut(&Network<'_, G, P, E, S, N>, u32, f32) -> Result<(), Failed>,
    ) -> Result<Dual<f32, P>, Failed>
    where
        G: Backend<Vector: Vector<Scalar = f32>>,
        E: Elementary<f32>,
        O: Optimizer<f32, P, Update: Update<G::Vector, P, S, E>>,
    {
        let Self { settings, examples } = self;
        network.initialise(&mut Pcg32::new(settings.seed, 0));
        let mut sampler = Sampler::new(order, Pcg32::new(settings.seed, 1));
        let training = InnerLoop { schedule, optimizer, batch: batch.capacity() };
        for k in 0..settings.horizon {
            let mut found = 0.0;
            let see = |_, _, loss| found = loss;
            training.run::<E, _, _, _>(network, batch, &mut sampler, examples, k..k + 1, see)?;
            observe(network, k, found)?;
        }
        Ok(objective(network, batch, examples, &JUDGED)?.loss)
    }
}
