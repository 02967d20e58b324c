//! The cost function of a search: ln(excess loss + ε) by a schedule's coordinates.
//!
//! ε is 10⁻²⁰ of the initial excess loss. Below it the loss is rounding, and the gradient is as
//! small as what is left to gain.

use myopia_core::elementary::{Elementary, Libm};
use myopia_core::nqm::Step;
use myopia_core::real::Real;

use crate::error::Interrupted;
use crate::gradient::Scratch;
use crate::judge::Judge;
use crate::quadratic::{Quadratic, Schedule, State};
use crate::reparametrization::{Reparametrization, Variables, euclidean_norm};
use crate::tolerances::{Control, Tolerances};

/// The cost of schedules that lead on from a state.
#[derive(Clone, Copy, Debug)]
pub struct Objective<'a> {
    quadratic: &'a Quadratic,
    state: &'a State,
    judge: Judge,
    map: Reparametrization,
    /// ε.
    rounding: f64,
    tolerances: &'a Tolerances,
}

/// A schedule, its cost and the cost's gradient.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Evaluation {
    /// Its coordinates.
    pub point: Vec<f64>,
    /// The schedule.
    pub schedule: Schedule,
    /// The excess loss after its last step; +∞ when that or its gradient is not finite.
    pub excess: f64,
    /// ln(excess + ε); [`DIVERGED`] when that is not finite.
    pub cost: f64,
    /// The excess loss's derivatives by the schedule, divided by excess + ε.
    pub by_schedule: Schedule,
    /// The cost's derivatives by the coordinates.
    pub gradient: Vec<f64>,
    /// The Euclidean norm of the cost's [projected
    /// gradient](Reparametrization::projected_gradient).
    pub gradient_norm: f64,
}

/// The cost of a loss that is not finite: above ln(f64::MAX).
pub const DIVERGED: f64 = 1e3;

impl<'a> Objective<'a> {
    /// The cost of schedules from `state` on, to be read by `judge`.
    pub fn new(
        quadratic: &'a Quadratic,
        state: &'a State,
        judge: Judge,
        variables: Variables,
        tolerances: &'a Tolerances,
    ) -> Self {
        let initial = quadratic.advance(&mut state.clone(), None).excess;
        let share = tolerances.rounding_share_of_initial_loss;
        let rounding = if initial > 0.0 { share * initial } else { 1.0 };
        let map = Reparametrization::new(variables, quadratic.largest_curvature());
        Self { quadratic, state, judge, map, rounding, tolerances }
    }

    /// The coordinates.
    pub fn map(&self) -> &Reparametrization {
        &self.map
    }

    /// The tolerances of the search.
    pub fn tolerances(&self) -> &Tolerances {
        self.tolerances
    }

    /// Cost and gradient at `point`: one evaluation.
    pub fn at(&self, point: &[f64], scratch: &mut Scratch) -> Evaluation {
        self.evaluate(point, self.map.schedule(point), scratch)
    }

    /// Cost and gradient of `schedule` near its [first point](Reparametrization::first_point).
    pub fn of(&self, schedule: Schedule, scratch: &mut Scratch) -> Evaluation {
        self.evaluate(&self.map.first_point(&schedule), schedule, scratch)
    }

    fn evaluate(&self, point: &[f64], schedule: Schedule, scratch: &mut Scratch) -> Evaluation {
        let (excess, mut by_schedule) =
            self.quadratic.judged(self.judge, self.state, &schedule, scratch);
        let inverse = 1.0 / (excess + self.rounding);
        for d in &mut by_schedule {
            *d = Step { learning_rate: d.learning_rate * inverse, momentum: d.momentum * inverse };
        }
        let gradient_norm = euclidean_norm(&self.map.projected_gradient(&schedule, &by_schedule));
        let gradient = self.map.chain(point, &by_schedule);
        let finite =
            excess >= 0.0 && gradient_norm.is_finite() && gradient.iter().all(|g| g.is_finite());
        let mut found = Evaluation {
            point: point.to_vec(),
            schedule,
            excess,
            cost: Libm::ln(excess + self.rounding),
            by_schedule,
            gradient,
            gradient_norm,
        };
        if !finite {
            (found.excess, found.cost, found.gradient_norm) =
                (f64::INFINITY, DIVERGED, f64::INFINITY);
            found.gradient.fill(0.0);
        }
        found
    }

    /// The cost's second derivatives by the coordinates at `here`, row by row.
    ///
    /// # Errors
    /// When it is interrupted.
    pub fn hessian(
        &self,
        here: &Evaluation,
        control: &Control<'_>,
    ) -> Result<Vec<f64>, Interrupted> {
        let n = here.point.len();
        let mut hessian =
            self.quadratic.hessian(self.judge, self.state, &here.schedule, n, control)?;
        let slopes = self.map.slopes(&here.point);
        let bends = self.map.second_derivatives(&here.point, &here.by_schedule);
        let inverse = 1.0 / (here.excess + self.rounding);
        for (i, row) in hessian.chunks_exact_mut(n).enumerate() {
            for (j, entry) in row.iter_mut().enumerate() {
                // (ln L)'' = L''/L − (L'/L)(L'/L)ᵀ.
                *entry =
                    *entry * inverse * slopes[i] * slopes[j] - here.gradient[i] * here.gradient[j];
            }
            row[i] += bends[i];
        }
        Ok(hessian)
    }

    /// Whether `here` is stationary: the norm of the projected gradient, less in each entry what
    /// that changes by when every entry of the schedule changes in its last place, is at most
    /// [`Tolerances::stationary_gradient_norm`].
    pub fn stationary(&self, here: &Evaluation) -> bool {
        let nearby = self.of(last_places_changed(&here.schedule), &mut Scratch::default());
        let projected =
            |at: &Evaluation| self.map.projected_gradient(&at.schedule, &at.by_schedule);
        let both = projected(here).into_iter().zip(projected(&nearby));
        let beyond = |(here, nearby): (f64, f64)| (here.abs() - (here - nearby).abs()).larger(0.0);
        let beyond: Vec<f64> = both.map(beyond).collect();
        euclidean_norm(&beyond) <= self.tolerances.stationary_gradient_norm
    }

    /// Whether the loss at `here` is more than rounding: it at most doubles, ε aside, when every
    /// entry of the schedule changes by one unit in the last place.
    ///
    /// Rates far beyond stability can give a low loss by errors that happen to cancel.
    pub fn robust(&self, here: &Evaluation) -> bool {
        let nearby = last_places_changed(&here.schedule);
        let nearby = match self.judge {
            Judge::Average(_) | Judge::SameBatch => {
                self.quadratic.judged(self.judge, self.state, &nearby, &mut Scratch::default()).0
            }
            _ => self.quadratic.excess_after(self.state, self.judge.extended(&nearby)),
        };
        nearby <= 2.0 * (here.excess + self.rounding)
    }
}

/// The schedule with every entry changed by one unit in the last place, up or down by turns.
fn last_places_changed(schedule: &[Step<f64>]) -> Schedule {
    let change = |k: usize, x: f64| {
        if k.count_ones().is_multiple_of(2) { x + x * f64::EPSILON } else { x - x * f64::EPSILON }
    };
    let step = |(k, step): (usize, &Step<f64>)| Step {
        learning_rate: change(k, step.learning_rate),
        momentum: change(k + 1, step.momentum),
    };
    schedule.iter().enumerate().map(step).collect()
}
