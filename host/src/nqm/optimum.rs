//! Schedules that are best for the loss at their end: L-BFGS and Newton's method on exact derivatives, from several starts.

use myopia_core::nqm::Step;
use myopia_core::real::Real;

use super::chart::{Chart, Freedom};
use super::momenta::of_any_sign;
pub use super::objective::STATIONARY;
use super::objective::{Candidate, MEMORY, Objective};
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
    /// Whether no small change of the schedule would lower the loss, as far as rounding lets see (see [`Objective::measured`]).
    pub stationary: bool,
}

/// Starting points that are taken further.
const FINALISTS: usize = 4;
/// Evaluations for each starting point before the best are taken further.
pub const SCOUTING: u64 = 120;
/// Evaluations spent on each finalist.
const POLISHING: u64 = 3000;
/// Newton steps after those, at most.
const NEWTON_STEPS: usize = 300;
/// What all Hessians of a finalist may cost, in schedule entries times steps times directions.
const AFFORDABLE: usize = 1_000_000_000;

/// Bytes that a search for so many steps takes, at most.
///
/// A gradient tapes four blocks of eight directions at a time, 40 bytes for each and step, and L-BFGS keeps pairs of
/// steps and gradients; a Hessian tapes one block in five numbers, and is there three times: as it is, scaled, and
/// factorised. With momenta each thread has all of it, and there are twice as many coordinates. Once there are the
/// vectors from which the Ritz values come, one for each step or direction, and the starts and what they lead to.
pub fn bytes(directions: usize, steps: usize, freedom: Freedom) -> u128 {
    let [directions, steps] = [directions as u128, steps as u128];
    let (coordinates, threads) = match freedom {
        Freedom::LearningRate(_) => (steps, 1),
        _ => (2 * steps, rayon::current_num_threads() as u128),
    };
    let tapes = (4 + 5) * 8 * 40 * steps;
    let pairs = 2 * MEMORY as u128 * 8 * coordinates;
    let hessians = 3 * 8 * coordinates * coordinates;
    let lanczos = 8 * directions * directions.min(steps);
    let candidates = 256 * (16 * steps + 8 * coordinates);
    threads * (tapes + pairs + hessians) + lanczos + candidates
}

/// The schedule of `steps` steps from `state` on that has the least excess loss at its end.
///
/// If momenta are free they may be of any sign, as long as that leads to a stationary point lower than with momenta from
/// zero up, and otherwise are from zero up. The greedy schedule is among the starting points, so that the result is
/// never worse.
pub fn optimal(quadratic: &Quadratic, state: &State, steps: usize, freedom: Freedom) -> Optimum {
    let found = constrained(quadratic, state, steps, freedom);
    if freedom != Freedom::Both {
        return found;
    }
    let mut starts = starts(quadratic, state, steps, freedom);
    starts.push(found.schedule.clone());
    for momentum in [0.0, 0.5, 0.9] {
        let learning_rate = 0.5 * (1.0 - momentum) / quadratic.largest_gain();
        if learning_rate.is_finite() {
            starts.push(vec![Step { learning_rate, momentum }; steps]);
        }
    }
    let other = of_any_sign(quadratic, state, starts);
    let iterations = found.iterations + other.as_ref().map_or(0, |other| other.iterations);
    let lower =
        |other: &Optimum| other.stationary && (other.excess < found.excess || !found.stationary);
    let mut best = other.filter(lower).unwrap_or(found);
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
    let found = best_of(quadratic, state, freedom, starts);
    Optimum { iterations: before + found.iterations, ..found }
}

/// The best optimum that can be reached from `starts`, of which there is at least one: the lowest that is stationary, as
/// long as no start was better, or else the lowest. Momenta may be as low as that of the first start, and zero.
pub fn best_of(
    quadratic: &Quadratic,
    state: &State,
    freedom: Freedom,
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
    let finalists = found.into_iter().take(FINALISTS).flat_map(|candidate| {
        let steps = candidate.schedule.len();
        let affordable = AFFORDABLE / objective.hessian_cost(steps).max(1);
        let polished = objective.polish(candidate, POLISHING);
        let newton_steps = affordable.clamp(1, NEWTON_STEPS) as u64;
        let evaluations = newton_steps * polished.point.len() as u64;
        let refined = objective.follow(polished.clone(), evaluations);
        // On the way to a flatter place the last bits of the loss may have risen, above that of a start even.
        let risen = refined.excess > polished.excess;
        [Some(refined), risen.then_some(polished)].into_iter().flatten()
    });
    let finalists = finalists.map(|candidate| objective.measured(candidate));
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
