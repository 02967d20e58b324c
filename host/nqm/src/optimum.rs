//! Schedules with the least excess loss at their end: L-BFGS on exact gradients from several starts.

use myopia_core::nqm::Step;
use myopia_core::real::Real;

use crate::error::Interrupted;
use crate::greedy::greedy_rates;
use crate::lbfgs::{better, descend};
use crate::newton;
use crate::objective::{Evaluation, Objective, last_places_changed};
use crate::parallel;
use crate::quadratic::{Quadratic, Schedule, Scratch, State};
use crate::reparametrization::{Variables, euclidean_norm};
use crate::starts::starts;
use crate::tolerances::{Control, Tolerances};

/// The result of a search.
#[derive(Clone, Debug, PartialEq)]
pub struct Optimum {
    /// The schedule.
    pub schedule: Schedule,
    /// Its excess loss at the end.
    pub excess: f64,
    /// The norm of the projected gradient of ln(excess + ε), see
    /// [`Reparametrization`](crate::reparametrization::Reparametrization) and [`Objective`].
    pub gradient_norm: f64,
    /// Evaluations of loss and gradient, all starts together.
    pub evaluations: u64,
    /// Whether the norm is at most [`Tolerances::stationary_gradient_norm`], or at most the change
    /// of the gradient when every entry of the schedule changes in its last place.
    pub stationary: bool,
}

/// Bytes that a search takes at most.
///
/// A gradient tapes four blocks of eight directions at a time, 40 bytes for each and step; L-BFGS
/// keeps pairs of steps and gradients; each thread has both. Once there are Lanczos's vectors, one
/// for each step or direction, and the starts and the ends of their descents.
pub fn bytes(
    directions: usize,
    steps: usize,
    variables: Variables,
    tolerances: &Tolerances,
) -> u128 {
    let coordinates = variables.coordinates(steps);
    let pairs = 2 * 8 * (tolerances.pairs(coordinates) * coordinates) as u128;
    let [directions, steps, coordinates] = [directions, steps, coordinates].map(|n| n as u128);
    let tape = 4 * 8 * 40 * steps;
    let lanczos = 8 * directions * directions.min(steps);
    let ends = 64 * 4 * (16 * steps + 8 * coordinates);
    parallel::threads() as u128 * (tape + pairs) + lanczos + ends
}

/// The schedule of `steps` steps from `state` on with the least excess loss at its end.
///
/// The greedy schedule is among the starts and, if momenta are variables, so are the optimal
/// schedules at constant momenta: within the bounds the result is not worse than any of them.
///
/// # Errors
/// When it is interrupted.
pub fn optimal(
    quadratic: &Quadratic,
    state: &State,
    steps: usize,
    variables: Variables,
    control: &Control<'_>,
) -> Result<Optimum, Interrupted> {
    let mut starts = starts(quadratic, state, steps, variables);
    let budget = control.tolerances.budget(quadratic.directions().len(), steps);
    if variables != Variables::LearningRatesAndMomenta {
        return best_of(quadratic, state, variables, starts, budget, control);
    }
    let without = Variables::LearningRates { momentum: 0.0 };
    let without = optimal(quadratic, state, steps, without, control)?;
    let mut spent = 0;
    for momentum in CONSTANT_MOMENTA {
        let variables = Variables::LearningRates { momentum };
        let shrunk = without
            .schedule
            .iter()
            .map(|step| Step { learning_rate: (1.0 - momentum) * step.learning_rate, momentum });
        let greedy = greedy_rates(quadratic, state.clone(), steps, momentum);
        let from = vec![greedy, shrunk.collect()];
        let share = budget / CONSTANT_MOMENTA_SHARE;
        let constant = best_of(quadratic, state, variables, from, share, control)?;
        spent += constant.evaluations;
        starts.push(constant.schedule);
    }
    starts.push(without.schedule);
    let rest = budget.saturating_sub(spent);
    let found = best_of(quadratic, state, variables, starts, rest, control)?;
    Ok(Optimum { evaluations: without.evaluations + spent + found.evaluations, ..found })
}

/// Momenta at which learning rates alone are optimised, to start from; zero besides.
const CONSTANT_MOMENTA: [f64; 2] = [0.5, 0.9];
/// What part of a budget each of them has: one in so many.
const CONSTANT_MOMENTA_SHARE: u64 = 8;

/// The lowest schedule that descents from `starts`, of which there is at least one, lead to in
/// `budget` evaluations.
///
/// # Errors
/// When it is interrupted.
pub fn best_of(
    quadratic: &Quadratic,
    state: &State,
    variables: Variables,
    starts: Vec<Schedule>,
    budget: u64,
    control: &Control<'_>,
) -> Result<Optimum, Interrupted> {
    let tolerances = &control.tolerances;
    let objective = Objective::new(quadratic, state, variables, tolerances);
    let each = tolerances.evaluations_per_start.min(budget / 2 / starts.len().max(1) as u64);
    let mut spent = starts.len() as u64;
    let firsts = parallel::map(starts, |start| objective.of(start, &mut Scratch::default()));
    let first = firsts.iter().min_by(|a, b| a.excess.total_cmp(&b.excess)).cloned();
    let scouted = parallel::map(firsts, |start| descend(&objective, start, each, control));
    let mut ends = Vec::new();
    for (end, evaluations) in scouted {
        spent += evaluations;
        ends.push(end);
    }
    ends.sort_by(|a, b| a.excess.total_cmp(&b.excess));
    ends.dedup_by(|b, a| (b.excess - a.excess).abs() <= SAME_OPTIMUM_RATIO * a.excess);
    ends.truncate(tolerances.continued_ends);
    let share = budget.saturating_sub(spent) / ends.len().max(1) as u64;
    let continued = parallel::map(ends, |end| finish(&objective, end, share, control));
    let mut ends: Vec<Evaluation> = first.into_iter().collect();
    for (end, evaluations) in continued {
        spent += evaluations;
        ends.push(end);
    }
    if (control.stop)() {
        return Err(Interrupted);
    }
    let lowest = ends.into_iter().min_by(|a, b| a.excess.total_cmp(&b.excess)).unwrap_or_default();
    Ok(Optimum {
        stationary: lowest.gradient_norm
            <= tolerances.stationary_gradient_norm.larger(rounding_norm(&objective, &lowest)),
        schedule: lowest.schedule,
        excess: lowest.excess,
        gradient_norm: lowest.gradient_norm,
        evaluations: spent,
    })
}

/// Descends from `end` by L-BFGS, again with a fresh memory as long as that helps, then by Newton's
/// method if there are few coordinates; in at most so many evaluations, and how many were made.
fn finish(
    objective: &Objective<'_>,
    mut end: Evaluation,
    evaluations: u64,
    control: &Control<'_>,
) -> (Evaluation, u64) {
    let tolerances = &control.tolerances;
    let mut spent = 0;
    while spent < evaluations && end.gradient_norm > tolerances.converged_gradient_norm {
        let (next, more) = descend(objective, end.clone(), evaluations - spent, control);
        spent += more;
        if !better(&next, &end, tolerances) {
            break;
        }
        end = next;
    }
    if end.point.len() > tolerances.newton_coordinates {
        return (end, spent);
    }
    let (end, more) = newton::descend(objective, end, evaluations.saturating_sub(spent), control);
    (end, spent + more)
}

/// By how much the projected gradient changes when every entry of the schedule changes in
/// its last place.
fn rounding_norm(objective: &Objective<'_>, here: &Evaluation) -> f64 {
    let map = objective.map();
    let nearby = objective.of(last_places_changed(&here.schedule), &mut Scratch::default());
    let projected = |at: &Evaluation| map.projected_gradient(&at.schedule, &at.by_schedule);
    let (here, there) = (projected(here), projected(&nearby));
    let change: Vec<f64> = here.iter().zip(&there).map(|(a, b)| a - b).collect();
    euclidean_norm(&change)
}

/// The relative difference of losses below which two ends are the same optimum.
const SAME_OPTIMUM_RATIO: f64 = 1e-9;
