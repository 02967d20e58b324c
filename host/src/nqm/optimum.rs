//! Schedules that are best for the loss at their end: L-BFGS and Newton's method on exact derivatives, from several starts.

use myopia_core::real::Real;
use myopia_core::rng::Pcg32;

use super::chart::{Chart, Freedom};
use super::objective::{Candidate, Objective};
use super::quadratic::{Quadratic, Schedule, State};
use super::starts::starts;

/// What an optimisation arrived at.
#[derive(Clone, Debug, PartialEq)]
pub struct Optimum {
    /// The schedule.
    pub schedule: Schedule,
    /// Its excess loss at the end.
    pub excess: f64,
    /// The Euclidean norm of the gradient of ln(excess loss) by the coordinates of the [`Chart`], in units along which the
    /// second derivative is at most one. (Added to the loss is 10⁻²⁰ of the initial one, what is rounding.)
    pub gradient_norm: f64,
    /// How often loss and gradient were evaluated, all starting points together.
    pub iterations: u64,
    /// Whether no small change of the schedule would lower the loss: its gradient norm is at most [`STATIONARY`], or is
    /// rounding (see [`Objective::measured`]).
    pub stationary: bool,
}

/// The gradient norm below which a schedule counts as stationary.
pub const STATIONARY: f64 = 1e-5;
/// What is spent on a search.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    /// Starting points that are taken further.
    finalists: usize,
    /// How often a finalist is taken further by all methods in turn, unless it has arrived.
    refinements: usize,
    /// How often an optimum is shaken and descended from again.
    shakes: usize,
}

impl Effort {
    /// Enough where most starts lead to the same optimum.
    pub const USUAL: Self = Self { finalists: 4, refinements: 1, shakes: 0 };

    /// For landscapes with many optima: what can be afforded when a gradient costs so many steps times directions.
    fn great(cost: usize) -> Self {
        let evaluations = AFFORDABLE / cost.max(1);
        let polished = evaluations / POLISHING as usize;
        Self {
            finalists: polished.clamp(2, 10),
            refinements: polished.clamp(1, 8),
            shakes: (evaluations / SCOUTING as usize).min(200),
        }
    }
}

/// How far an optimum is shaken, in the chart's coordinates, by turns.
const FAR: [f64; 3] = [0.1, 0.3, 1.0];
/// How many of the best optima are shaken by turns.
const SHAKEN: usize = 4;
/// Evaluations for each starting point before the best are taken further.
const SCOUTING: u64 = 120;
/// Evaluations spent on each finalist.
const POLISHING: u64 = 3000;
/// Newton steps after those, at most.
const NEWTON_STEPS: usize = 300;
/// What all Hessians of a finalist may cost, in schedule entries times steps times directions; and what great efforts may,
/// in steps times directions times evaluations.
const AFFORDABLE: usize = 500_000_000;
/// The schedule of `steps` steps from `state` on that has the least excess loss at its end.
///
/// If momenta are free they may be any numbers, as long as that leads to a stationary point lower than with momenta from
/// zero up, and otherwise are from zero up. The greedy schedule is among the starting points, so that the result is
/// never worse.
pub fn optimal(quadratic: &Quadratic, state: &State, steps: usize, freedom: Freedom) -> Optimum {
    let found = constrained(quadratic, state, steps, freedom);
    if freedom != Freedom::Both {
        return found;
    }
    let mut starts = starts(quadratic, state, steps, Freedom::Unbounded);
    starts.push(found.schedule.clone());
    let effort = Effort::great(steps * quadratic.directions().len());
    let other = best_of(quadratic, state, Freedom::Unbounded, effort, starts);
    let iterations = found.iterations + other.iterations;
    let lower = other.stationary && (other.excess < found.excess || !found.stationary);
    let mut best = if lower { other } else { found };
    // Where nothing moves yet momentum does nothing, and the search has left it anywhere.
    let moving = quadratic.advance(&mut state.clone(), None).drive > 0.0;
    if let Some(first) = best.schedule.first_mut().filter(|_| !moving) {
        first.momentum = 0.0;
    }
    Optimum { iterations, ..best }
}

/// The same with momenta from zero up.
pub fn constrained(
    quadratic: &Quadratic,
    state: &State,
    steps: usize,
    freedom: Freedom,
) -> Optimum {
    let mut starts = starts(quadratic, state, steps, freedom);
    let mut before = 0;
    if freedom == Freedom::Both {
        let without = constrained(quadratic, state, steps, Freedom::LearningRate(0.0));
        before = without.iterations;
        starts.push(without.schedule);
    }
    let found = best_of(quadratic, state, freedom, Effort::USUAL, starts);
    Optimum { iterations: before + found.iterations, ..found }
}

/// The best optimum that can be reached from `starts`, of which there is at least one: the lowest that is stationary, as
/// long as no start was better, or else the lowest. Momenta may be as low as that of the first start, and zero.
pub fn best_of(
    quadratic: &Quadratic,
    state: &State,
    freedom: Freedom,
    effort: Effort,
    starts: Vec<Schedule>,
) -> Optimum {
    let momenta = starts[0].iter().map(|step| step.momentum);
    let lowest = momenta.fold(0.0, |a: f64, b| if b < a { b } else { a });
    let chart = Chart::new(freedom, quadratic.largest_gain(), lowest);
    let objective = Objective::new(quadratic, state, chart);
    let nowhere = Candidate {
        point: chart.point(&starts[0]),
        schedule: starts[0].clone(),
        excess: f64::INFINITY,
        gradient_norm: f64::INFINITY,
    };
    let mut bar = f64::INFINITY;
    let mut found: Vec<Candidate> = Vec::new();
    for mut start in starts {
        if freedom == Freedom::Both {
            start.iter_mut().for_each(|step| step.momentum = lowest.larger(step.momentum));
        }
        let (at_first, end) = objective.descend(start, SCOUTING);
        bar = if at_first < bar { at_first } else { bar };
        found.extend(end);
    }
    sort(&mut found);
    let mut rng = Pcg32::new(0, 0);
    for round in 0..effort.shakes {
        let Some(best) = found.get(round % SHAKEN % found.len().max(1)) else { break };
        let start = objective.shaken(best, FAR[round % FAR.len()], &mut rng);
        found.extend(objective.descend(start, SCOUTING).1);
        sort(&mut found);
    }
    let finalists = found.into_iter().take(effort.finalists).map(|candidate| {
        let steps = candidate.schedule.len();
        let affordable = AFFORDABLE / objective.hessian_cost(steps).max(1);
        let mut refined = candidate;
        for _ in 0..effort.refinements {
            refined = objective.polish(refined, POLISHING);
            refined = objective.refine(refined, affordable.clamp(1, NEWTON_STEPS));
        }
        let (measured, rounding) = objective.measured(refined);
        let norm = measured.gradient_norm;
        (measured, norm <= STATIONARY || norm <= rounding)
    });
    let failed = |(found, stationary): &(Candidate, bool)| !(*stationary && found.excess <= bar);
    let (best, stationary) = finalists
        .min_by(|a, b| failed(a).cmp(&failed(b)).then(a.0.excess.total_cmp(&b.0.excess)))
        .unwrap_or((nowhere, false));
    Optimum {
        schedule: best.schedule,
        excess: best.excess,
        gradient_norm: best.gradient_norm,
        iterations: objective.evaluations(),
        stationary,
    }
}

/// The best first, and of those with the same loss one.
fn sort(found: &mut Vec<Candidate>) {
    found.sort_by(|a, b| a.excess.total_cmp(&b.excess));
    found.dedup_by(|b, a| (b.excess - a.excess).abs() <= 1e-9 * a.excess);
}
