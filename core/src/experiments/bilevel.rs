//! Report of the bilevel example: a record per outer step, digests of λ and of the gradients.

use super::Settings;
use super::report::{Failed, Record, Report};
use crate::bilevel::experiment::{self, Bilevel};
use crate::digest::Digest;
use crate::real::Real;

impl From<experiment::Failed> for Failed {
    fn from(_: experiment::Failed) -> Self {
        Self::NonFinite
    }
}

/// Every approximation of the hypergradient, then outer descent along the exact one: one record for
/// each outer step. The report's tangents are the hypergradients, its derivatives the last of them.
#[inline(never)]
pub fn descent(
    problem: &mut Bilevel<f32>,
    settings: &Settings,
    record: &mut impl FnMut(&Record),
) -> Result<Report, Failed> {
    let schedule = settings.schedule.parameters().map(Real::bits);
    let (mut tangents, mut derivatives) = (Digest::default(), [0; 3]);
    let mut finite = Ok(());
    let outcome = problem.run(settings.seed, settings.horizon, &mut |step| {
        for (bits, slope) in derivatives.iter_mut().zip(step.hypergradient) {
            *bits = slope.bits();
            finite = finite.and(tangents.add(slope));
        }
        record(&Record { step: step.step, schedule, loss: step.loss.bits(), digest: step.digest });
    })?;
    finite?;
    Ok(Report {
        values: outcome.digest,
        tangents: tangents.value(),
        loss: outcome.loss,
        derivatives,
    })
}
