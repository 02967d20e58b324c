//! What the quadratic of a measured spectrum foretells of a schedule, as a noisy quadratic whose
//! noise stays.

use myopia_core::nqm::{Direction, Preconditioner};
use myopia_nqm::spectrum::quadratic;

use super::{Failed, Model, Rates};

/// A schedule and what is foretold of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Forecast {
    /// The quadratic's directions, with the constant noise that leaves what the shrinking noise
    /// leaves at the end.
    pub directions: Vec<Direction<f64>>,
    /// The excess loss on that quadratic at the end.
    pub excess: f64,
    /// Steps, and the loss foretold after them, in nats.
    pub course: Vec<(usize, f64)>,
}

impl Forecast {
    /// What `model` foretells of a schedule when the noise's variance goes with this `power` of the
    /// loss.
    ///
    /// # Errors
    /// When a number is not finite.
    pub fn new(model: &Model, schedule: &Rates<'_>, power: f64) -> Result<Self, Failed> {
        let course = model.course(&model.maps(schedule), power);
        let directions = model.with_noise(&course.factors);
        let exact = quadratic(directions.clone(), Preconditioner::identity())
            .map_err(|_| Failed::Spectrum)?;
        let excess = exact.excess_after(&exact.start(), schedule.steps());
        let ends = schedule.lengths.iter().scan(0, |end, steps| {
            *end += steps;
            Some(*end)
        });
        let steps = std::iter::once(0).chain(ends);
        Ok(Self { directions, excess, course: steps.zip(course.losses).collect() })
    }
}
