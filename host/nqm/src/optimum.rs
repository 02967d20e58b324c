//! Schedules with the least excess loss at their end: L-BFGS on exact gradients from several
//! starts.

use myopia_core::nqm::Step;

use crate::cholesky::Cholesky;
use crate::error::Interrupted;
use crate::gradient::Scratch;
use crate::greedy::greedy_rates;
use crate::judge::Judge;
use crate::lbfgs::{self, better};
use crate::objective::{Evaluation, Objective};
use crate::parallel;
use crate::quadratic::{Quadratic, Schedule, State};
use crate::reparametrization::Variables;
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
    /// How the search ended.
    pub ending: Ending,
}

/// How a search ended, the best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ending {
    /// At a stationary schedule, see [`Objective::stationary`].
    Stationary,
    /// At one that is not, from which no descent led lower: more evaluations would not help.
    Stalled,
    /// At one from which more evaluations might lead lower.
    BudgetSpent,
}

/// Bytes that a search takes at most.
///
/// A gradient tapes four blocks of eight directions at a time, 40 bytes for each and step; L-BFGS
/// keeps pairs of steps and gradients; a Hessian is there twice, scaled and factorised; each thread
/// has all of these. Once there are Lanczos's vectors, one for each step or direction, and the
/// starts and the ends of their descents.
pub fn bytes(
    directions: usize,
    steps: usize,
    variables: Variables,
    tolerances: &Tolerances,
) -> u128 {
    let coordinates = variables.coordinates(steps);
    let pairs = 2 * 8 * (tolerances.pairs(coordinates) * coordinates) as u128;
    let budget = tolerances.budget(directions, steps, coordinates);
    let affordable = hessian_evaluations(coordinates) < budget;
    let [directions, steps, coordinates] = [directions, steps, coordinates].map(|n| n as u128);
    let hessians = if affordable { 2 * 8 * coordinates * coordinates } else { 0 };
    let tape = 4 * 8 * 40 * steps;
    let lanczos = 8 * directions * directions.min(steps);
    let ends = 64 * 4 * (16 * steps + 8 * coordinates);
    parallel::threads() as u128 * (tape + pairs + hessians) + lanczos + ends
}

/// Evaluations of [`optimal`], at most.
pub fn evaluations(
    directions: usize,
    steps: usize,
    variables: Variables,
    tolerances: &Tolerances,
) -> u64 {
    let budget =
        |variables: Variables| tolerances.budget(directions, steps, variables.coordinates(steps));
    let own = budget(variables);
    match variables {
        Variables::LearningRates { .. } => own,
        // The search at zero momentum comes first.
        Variables::LearningRatesAndMomenta => {
            own + budget(Variables::LearningRates { momentum: 0.0 })
        }
    }
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
    judge: Judge,
    control: &Control<'_>,
) -> Result<Optimum, Interrupted> {
    let mut starts = starts(quadratic, state, steps, variables, control)?;
    let budget = control.tolerances.budget(
        quadratic.directions().len(),
        steps + judge.cooldown(),
        variables.coordinates(steps),
    );
    if variables != Variables::LearningRatesAndMomenta {
        return best_of(quadratic, state, variables, judge, starts, budget, control);
    }
    let without = Variables::LearningRates { momentum: 0.0 };
    let without = optimal(quadratic, state, steps, without, judge, control)?;
    let mut spent = 0;
    for momentum in CONSTANT_MOMENTA {
        let variables = Variables::LearningRates { momentum };
        let shrunk = without
            .schedule
            .iter()
            .map(|step| Step { learning_rate: (1.0 - momentum) * step.learning_rate, momentum });
        let greedy = greedy_rates(quadratic, state.clone(), steps, momentum, control)?;
        let from = vec![greedy, shrunk.collect()];
        let share = budget / CONSTANT_MOMENTA_SHARE;
        let constant = best_of(quadratic, state, variables, judge, from, share, control)?;
        spent += constant.evaluations;
        starts.push(constant.schedule);
    }
    starts.push(without.schedule);
    let rest = budget.saturating_sub(spent);
    let found = best_of(quadratic, state, variables, judge, starts, rest, control)?;
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
    judge: Judge,
    starts: Vec<Schedule>,
    budget: u64,
    control: &Control<'_>,
) -> Result<Optimum, Interrupted> {
    let tolerances = &control.tolerances;
    let objective = Objective::new(quadratic, state, judge, variables, tolerances);
    let mut spent = 0;
    let evaluated = parallel::map(starts, |start| {
        control.check()?;
        let start = objective.of(start, &mut Scratch::default());
        control.check()?;
        Ok(sorted(&objective, start, tolerances))
    });
    let mut firsts = Vec::new();
    for evaluated in evaluated {
        let (start, evaluations) = evaluated?;
        spent += evaluations + 1;
        firsts.push(start);
    }
    lowest_first(&mut firsts);
    let first = firsts.first().cloned();
    let each = tolerances.evaluations_per_start.min(budget / 4 / firsts.len().max(1) as u64);
    let scouted = parallel::map(firsts, |start| {
        let (end, descent) = lbfgs::descend(&objective, start, None, each, control);
        let (end, sorting) = sorted(&objective, end, tolerances);
        (end, descent + sorting)
    });
    let mut ends = Vec::new();
    for (end, evaluations) in scouted {
        spent += evaluations;
        ends.push(end);
    }
    lowest_first(&mut ends);
    let at = first.unwrap_or_default();
    let mut lowest = Finished { at, evaluations: 0, ending: Ending::BudgetSpent };
    for group in ends.chunks(tolerances.continued_ends.max(1)) {
        let share = budget.saturating_sub(spent) / group.len() as u64;
        // With momenta many schedules are stationary, in most of them a single step has momentum,
        // and the ends nearest to the lowest of them are not among the lowest.
        let one_is_enough = variables != Variables::LearningRatesAndMomenta;
        if one_is_enough && lowest.ending == Ending::Stationary || share < each {
            break;
        }
        let finished = parallel::map(group.to_vec(), |end| finish(&objective, end, share, control));
        for end in finished {
            spent += end.evaluations;
            if end.at.excess <= lowest.at.excess {
                lowest = end;
            }
        }
    }
    if lowest.ending == Ending::BudgetSpent {
        // With what the other descents have left.
        lowest = finish(&objective, lowest.at, budget.saturating_sub(spent), control);
        spent += lowest.evaluations;
    }
    control.check()?;
    let Finished { at: lowest, ending, .. } = lowest;
    Ok(Optimum {
        ending: if objective.stationary(&lowest) { Ending::Stationary } else { ending },
        schedule: lowest.schedule,
        excess: lowest.excess,
        gradient_norm: lowest.gradient_norm,
        evaluations: spent,
    })
}

/// The end of a descent.
struct Finished {
    at: Evaluation,
    evaluations: u64,
    ending: Ending,
}

/// Descends from `at` in at most so many evaluations: by L-BFGS, with a fresh memory as long as
/// that helps, then by L-BFGS preconditioned by one damped Hessian after another as long as that
/// helps.
fn finish(
    objective: &Objective<'_>,
    mut at: Evaluation,
    evaluations: u64,
    control: &Control<'_>,
) -> Finished {
    let tolerances = &control.tolerances;
    let price = hessian_evaluations(at.point.len());
    let mut spent = 0;
    let mut preconditioned = false;
    let ending = loop {
        if at.gradient_norm <= tolerances.converged_gradient_norm {
            break Ending::Stationary;
        }
        let price = if preconditioned { price } else { 0 };
        // One more is for sorting.
        if spent + price + 1 >= evaluations || (control.stop)() {
            break Ending::BudgetSpent;
        }
        spent += price;
        (control.spent)(price);
        let map = match preconditioned {
            true => match objective.hessian(&at, control) {
                Ok(hessian) => Cholesky::new(at.point.clone(), hessian, control),
                Err(Interrupted) => break Ending::BudgetSpent,
            },
            false => None,
        };
        let most = if preconditioned { EVALUATIONS_PER_HESSIAN } else { evaluations };
        let most = most.min(evaluations - spent - 1);
        let (next, descent) = lbfgs::descend(objective, at.clone(), map.as_ref(), most, control);
        let (next, sorting) = sorted(objective, next, tolerances);
        spent += descent + sorting;
        let lower = better(&next, &at, tolerances);
        if lower {
            at = next;
        } else if preconditioned {
            break Ending::Stalled;
        }
        preconditioned |= !lower;
    };
    Finished { at, evaluations: spent, ending }
}

/// Evaluations for which one Hessian is a preconditioner.
const EVALUATIONS_PER_HESSIAN: u64 = 300;

/// What a Hessian and its factorisation take, in evaluations; measured at ten directions.
fn hessian_evaluations(coordinates: usize) -> u64 {
    let coordinates = coordinates as u64;
    coordinates + coordinates.saturating_mul(coordinates) / 250
}

/// `here`, or the schedule with its rates in descending order where that is better, and how many
/// evaluations that took.
///
/// At zero momentum it never is worse, rounding aside: steps a and b on curvature h leave the same
/// mean in either order, and the larger first less variance, by 2abh|a − b| times the noise's. So
/// every order of the rates is a local optimum of its own, and this is the lowest of them.
fn sorted(
    objective: &Objective<'_>,
    here: Evaluation,
    tolerances: &Tolerances,
) -> (Evaluation, u64) {
    let Variables::LearningRates { .. } = objective.map().variables() else { return (here, 0) };
    let mut schedule = here.schedule.clone();
    schedule.sort_by(|a, b| b.learning_rate.total_cmp(&a.learning_rate));
    if schedule == here.schedule {
        return (here, 0);
    }
    let next = objective.of(schedule, &mut Scratch::default());
    let better = better(&next, &here, tolerances) && objective.robust(&next);
    (if better { next } else { here }, 1)
}

/// The lowest first, and only one of those with the same loss.
fn lowest_first(found: &mut Vec<Evaluation>) {
    found.sort_by(|a, b| a.excess.total_cmp(&b.excess));
    found.dedup_by(|b, a| (b.excess - a.excess).abs() <= SAME_OPTIMUM_RATIO * a.excess);
}

/// The relative difference of losses below which two ends are the same optimum.
const SAME_OPTIMUM_RATIO: f64 = 1e-9;
