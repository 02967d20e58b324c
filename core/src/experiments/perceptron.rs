//! The experiments on a small perceptron that learns synthetic digits.

use super::Settings;
use super::report::{Failed, Ledger, Record, Report};
use super::workspace::Learner;
use crate::backend::Backend;
use crate::dual::Dual;
use crate::elementary::Elementary;
use crate::glyphs::Glyphs;
use crate::meta::{MetaDescent, Rule};
use crate::mlp::{Batch, InvalidNetwork, Network};
use crate::rng::Pcg32;
use crate::sampler::Sampler;
use crate::schedule::{InverseTime, PARAMETERS};
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

/// Trains once: one record for each step, whose loss is that of its batch. The report's loss is the
/// objective.
pub fn training<G: Backend<Vector: Vector<Scalar = f32>>, E: Elementary<f32>>(
    (mut network, mut batch, order): Learner<'_, G, 0, E>,
    settings: &Settings,
    record: &mut impl FnMut(&Record),
) -> Result<Report, Failed> {
    let mut ledger = Ledger::default();
    let schedule = settings.schedule;
    let objective = look_ahead(
        (&mut network, &mut batch),
        order,
        settings,
        schedule.with_tangents([]),
        |network, k, loss| {
            ledger.network(network)?;
            record(&ledger.record(k, schedule, Dual::<f32, 0>::constant(loss))?);
            Ok(())
        },
    )?;
    ledger.value(objective.value)?;
    Ok(ledger.report(objective))
}

/// Meta-descent on the objective after the horizon: one record for each schedule.
pub fn descent<G: Backend<Vector: Vector<Scalar = f32>>, E: Elementary<f32>>(
    (mut network, mut batch, order): Learner<'_, G, 3, E>,
    settings: &Settings,
    record: &mut impl FnMut(&Record),
) -> Result<Report, Failed> {
    let mut ledger = Ledger::default();
    let mut schedule = settings.schedule;
    let mut outer = MetaDescent::new(Rule::adam(), 0.1, MetaDescent::default_limits());
    let mut meta_step = 0;
    loop {
        let parts = (&mut network, &mut batch);
        let tangents = schedule.with_tangents(PARAMETERS);
        let loss = look_ahead(parts, order, settings, tangents, |_, _, _| Ok(()))?;
        ledger.network(&network)?;
        record(&ledger.record(meta_step, schedule, loss)?);
        if meta_step >= settings.meta_steps {
            return Ok(ledger.report(loss));
        }
        schedule = outer.step::<E>(schedule, loss.tangents);
        meta_step += 1;
    }
}

/// Training from fresh weights to the horizon, then the objective. `observe` sees each step and
/// its batch's loss.
fn look_ahead<G: Backend<Vector: Vector<Scalar = f32>>, E: Elementary<f32>, const P: usize>(
    (network, batch): (&mut Network<'_, G, P, E>, &mut Batch<'_, f32>),
    order: &mut [u32],
    settings: &Settings,
    schedule: InverseTime<Dual<f32, P>>,
    mut observe: impl FnMut(&Network<'_, G, P, E>, u32, f32) -> Result<(), Failed>,
) -> Result<Dual<f32, P>, Failed> {
    network.initialise(&mut Pcg32::new(settings.seed, 0));
    let mut sampler = Sampler::new(order, Pcg32::new(settings.seed, 1));
    let training = InnerLoop { schedule, momentum: MOMENTUM, batch: batch.capacity() };
    let examples = Glyphs { seed: settings.seed };
    for k in 0..settings.horizon {
        let mut found = 0.0;
        let see = |_, _, loss| found = loss;
        training.run::<E, _>(network, batch, &mut sampler, &examples, k..k + 1, see)?;
        observe(network, k, found)?;
    }
    Ok(objective(network, batch, &examples, &JUDGED)?.loss)
}
