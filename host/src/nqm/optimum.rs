//! Schedules that are best for the loss at their end: L-BFGS on the exact gradient, from several starting points.
//!
//! The optimiser works on x_k = asinh(α_k / s) with s a hundredth of the inverse of the largest curvature: a logarithm for
//! rates above s, linear below it. Under the logarithm itself a rate that comes near zero has a gradient near zero
//! whatever the loss says, and stays there.
//!
//! Momenta are held inside ±M, M being 1 unless the greedy schedule itself goes farther: an optimum among such momenta.
//! Without a bound the search found lower losses at momenta far above 1 (as 2.3617 against 2.3624 for ten steps of the
//! default quadratic), and for many steps did not converge.

use std::cell::RefCell;

use argmin::core::{CostFunction, Error, Executor, Gradient};
use argmin::solver::linesearch::MoreThuenteLineSearch;
use argmin::solver::quasinewton::LBFGS;
use myopia_core::elementary::{Elementary, Libm};
use myopia_core::nqm::Step;
use myopia_core::sum::sum;

use super::newton::{self, Landscape};
use super::quadratic::{Quadratic, Schedule, Scratch, State};
use super::starts::starts;

/// What may be chosen in each step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Freedom {
    /// The learning rate; momentum stays at this value.
    LearningRate(f64),
    /// Learning rate and momentum.
    Both,
}

/// What an optimisation arrived at.
#[derive(Clone, Debug, PartialEq)]
pub struct Optimum {
    /// The schedule.
    pub schedule: Schedule,
    /// Its excess loss at the end.
    pub excess: f64,
    /// The Euclidean norm of the gradient of ln(excess loss) with respect to asinh(α_k/s) and, if
    /// they are free, the y_k of μ_k = M y_k/√(1 + y_k²).
    pub gradient_norm: f64,
    /// How often loss and gradient were evaluated, all starting points together.
    pub iterations: u64,
    /// The excess loss before the first step.
    initial: f64,
}

/// The gradient norm below which a schedule counts as stationary.
pub const STATIONARY: f64 = 1e-5;
/// The gradient norm at which the optimiser is content.
const CONTENT: f64 = 1e-7;
/// Of the initial excess loss: when no more is left, the rest is rounding and there is nothing to optimise.
const NOTHING_LEFT: f64 = 1e-20;

impl Optimum {
    /// Whether no small change of the schedule would lower the loss: its gradient is below [`STATIONARY`],
    /// or less than 10⁻²⁰ of the excess loss is left.
    pub fn stationary(&self) -> bool {
        self.gradient_norm <= STATIONARY || self.exhausted()
    }

    fn exhausted(&self) -> bool {
        self.excess <= NOTHING_LEFT * self.initial
    }

    fn content(&self) -> bool {
        self.gradient_norm <= CONTENT || self.exhausted()
    }

    /// Whether this is to be preferred: its loss is lower, or the same to rounding and more nearly stationary.
    fn better(&self, other: &Self) -> bool {
        let same = (self.excess - other.excess).abs() <= 1e-13 * other.excess;
        if same && !other.content() {
            self.gradient_norm < other.gradient_norm
        } else {
            self.excess < other.excess
        }
    }
}

/// Evaluations spent on each starting point before the best are taken further.
const SCOUTING: u64 = 120;
/// Starting points that are taken further.
const FINALISTS: usize = 2;
/// Evaluations spent on each of those.
const POLISHING: u64 = 3000;
/// Newton steps after those, at most.
const NEWTON_STEPS: usize = 200;

/// The schedule of `steps` steps from `state` on that has the least excess loss at its end.
///
/// The greedy schedule is among the starting points, so that the result is never worse.
pub fn optimal(quadratic: &Quadratic, state: &State, steps: usize, freedom: Freedom) -> Optimum {
    let mut starts = starts(quadratic, state, steps, freedom);
    if freedom == Freedom::Both {
        starts.push(optimal(quadratic, state, steps, Freedom::LearningRate(0.0)).schedule);
    }
    best_of(quadratic, state, freedom, starts)
}

/// The best optimum that can be reached from `starts`, of which there is at least one.
pub fn best_of(
    quadratic: &Quadratic,
    state: &State,
    freedom: Freedom,
    starts: Vec<Schedule>,
) -> Optimum {
    let momenta = starts.iter().flatten().map(|step| step.momentum.abs());
    let largest = momenta.fold(0.0, |a: f64, b| if b > a { b } else { a });
    let bound = if largest < 0.99 { 1.0 } else { 1.01 * largest };
    let objective = Objective::new(quadratic, state, freedom, bound);
    let mut found: Vec<Optimum> =
        starts.into_iter().map(|start| objective.descend(start, SCOUTING)).collect();
    found.sort_by(|a, b| a.excess.total_cmp(&b.excess));
    found.truncate(FINALISTS);
    let mut best = found.remove(0);
    best = objective.polish(best);
    for other in found {
        let other = objective.polish(other);
        if other.better(&best) {
            best = other;
        }
    }
    best = objective.refine(best);
    Optimum { iterations: objective.latest.borrow().evaluations, ..best }
}

/// ln(excess loss) as a function of the point x.
struct Objective<'a> {
    quadratic: &'a Quadratic,
    state: &'a State,
    freedom: Freedom,
    scale: f64,
    /// M, which no momentum reaches.
    bound: f64,
    initial: f64,
    latest: RefCell<Latest>,
}

/// The latest point at which the objective was evaluated: a line search asks for value and gradient in turn.
#[derive(Default)]
struct Latest {
    scratch: Scratch,
    at: Vec<f64>,
    cost: f64,
    gradient: Vec<f64>,
    best: Option<Optimum>,
    evaluations: u64,
    /// Evaluations after which the present descent ends.
    limit: u64,
    /// Evaluations since the best point was found.
    idle: u64,
}

/// What stands for the logarithm of a loss that is not finite: above that of any finite one.
const DIVERGED: f64 = 1e3;
/// Evaluations without progress after which a descent ends: a line search can circle in the last bits for ever.
const IDLE: u64 = 40;
/// Pairs of steps and gradients that L-BFGS remembers.
const MEMORY: usize = 100;

impl<'a> Objective<'a> {
    fn new(quadratic: &'a Quadratic, state: &'a State, freedom: Freedom, bound: f64) -> Self {
        let sharpest = quadratic.largest_curvature();
        let scale = if sharpest > 0.0 { 0.01 / sharpest } else { 1.0 };
        let initial = quadratic.advance(&mut state.clone(), None).excess;
        Self { quadratic, state, freedom, scale, bound, initial, latest: RefCell::default() }
    }

    fn point(&self, schedule: &[Step<f64>]) -> Vec<f64> {
        let rates = schedule.iter().map(|step| libm::asinh(step.learning_rate / self.scale));
        match self.freedom {
            Freedom::LearningRate(_) => rates.collect(),
            Freedom::Both => {
                let place = |step: &Step<f64>| {
                    let share = step.momentum / self.bound;
                    share / Libm::sqrt(1.0 - share * share)
                };
                rates.chain(schedule.iter().map(place)).collect()
            }
        }
    }

    fn schedule(&self, point: &[f64]) -> Schedule {
        let step =
            |rate: &f64, momentum| Step { learning_rate: self.scale * libm::sinh(*rate), momentum };
        match self.freedom {
            Freedom::LearningRate(momentum) => {
                point.iter().map(|rate| step(rate, momentum)).collect()
            }
            Freedom::Both => {
                let (rates, places) = point.split_at(point.len() / 2);
                let momentum = |y: &f64| self.bound * (y / Libm::sqrt(1.0 + y * y));
                rates.iter().zip(places).map(|(rate, y)| step(rate, momentum(y))).collect()
            }
        }
    }

    /// Evaluates `schedule`, which lies at the point `at`.
    fn evaluate(&self, at: &[f64], schedule: Schedule) {
        let latest = &mut *self.latest.borrow_mut();
        latest.evaluations += 1;
        latest.idle += 1;
        latest.at.clear();
        latest.at.extend_from_slice(at);
        latest.gradient.clear();
        let (excess, steps) = self.quadratic.gradient(self.state, &schedule, &mut latest.scratch);
        let steps: Schedule = steps.collect();
        let by_rate = |(d, step): (&Step<f64>, &Step<f64>)| {
            let rate = step.learning_rate;
            d.learning_rate * Libm::sqrt(self.scale * self.scale + rate * rate) / excess
        };
        latest.gradient.extend(steps.iter().zip(&schedule).map(by_rate));
        if self.freedom == Freedom::Both {
            let by_place = |(d, step): (&Step<f64>, &Step<f64>)| {
                d.momentum * self.momentum_chart(step).0 / excess
            };
            latest.gradient.extend(steps.iter().zip(&schedule).map(by_place));
        }
        let square: f64 = sum(latest.gradient.iter().map(|g| g * g));
        if excess == 0.0 {
            latest.gradient.fill(0.0);
        } else if !(excess > 0.0 && square.is_finite()) {
            latest.cost = DIVERGED;
            latest.gradient.fill(0.0);
            return;
        }
        // Below the smallest normal number only rounding is left.
        latest.cost = Libm::ln(if excess > 0.0 { excess } else { f64::MIN_POSITIVE });
        let here = Optimum {
            schedule,
            excess,
            gradient_norm: if excess > 0.0 { Libm::sqrt(square) } else { 0.0 },
            iterations: latest.evaluations,
            initial: self.initial,
        };
        if latest.best.as_ref().is_none_or(|best| here.better(best)) {
            latest.best = Some(here);
            latest.idle = 0;
        }
    }

    /// What `read` makes of value and gradient at `point`.
    fn at<R>(&self, point: &[f64], read: impl FnOnce(f64, &[f64]) -> R) -> Result<R, Error> {
        if self.latest.borrow().at != point {
            let latest = self.latest.borrow();
            let content = latest.best.as_ref().is_some_and(Optimum::content);
            if latest.evaluations >= latest.limit || latest.idle >= IDLE || content {
                return Err(Error::msg("enough"));
            }
            drop(latest);
            self.evaluate(point, self.schedule(point));
        }
        let latest = self.latest.borrow();
        Ok(read(latest.cost, &latest.gradient))
    }

    /// The best point met on the way down from `start`, for which at most `evaluations` are spent.
    fn descend(&self, start: Schedule, evaluations: u64) -> Optimum {
        let point = self.point(&start);
        {
            let latest = &mut *self.latest.borrow_mut();
            latest.best = None;
            latest.limit = latest.evaluations + evaluations;
        }
        self.evaluate(&point, start.clone());
        self.latest.borrow_mut().idle = 0;
        if self.latest.borrow().cost < DIVERGED {
            // However it ends, also by an error of the line search, the best point has been kept.
            let _ = self.minimise(point);
        }
        let nowhere = Optimum {
            schedule: start,
            excess: f64::INFINITY,
            gradient_norm: f64::INFINITY,
            iterations: 0,
            initial: self.initial,
        };
        self.latest.borrow_mut().best.take().unwrap_or(nowhere)
    }

    fn minimise(&self, point: Vec<f64>) -> Result<(), Error> {
        let line_search = MoreThuenteLineSearch::new().with_c(1e-4, 0.9)?;
        let solver = LBFGS::new(line_search, MEMORY)
            .with_tolerance_grad(CONTENT)?
            .with_tolerance_cost(0.0)?;
        Executor::new(self, solver)
            .ctrlc(false)
            .configure(|state| state.param(point).max_iters(u64::MAX))
            .run()?;
        Ok(())
    }

    /// Descends from `found` again and again, with a fresh memory, for as long as that helps.
    fn polish(&self, mut found: Optimum) -> Optimum {
        let end = self.latest.borrow().evaluations + POLISHING;
        while !found.content() {
            let now = self.latest.borrow().evaluations;
            if now >= end {
                break;
            }
            let next = self.descend(found.schedule.clone(), end - now);
            if !next.better(&found) {
                break;
            }
            found = next;
        }
        found
    }

    /// Descends from `found` by Newton's method.
    fn refine(&self, found: Optimum) -> Optimum {
        // What a Hessian costs: a run with tangents for each of its columns.
        let steps = found.schedule.len();
        let (entries, budget) = match self.freedom {
            Freedom::LearningRate(_) => (steps, 200_000_000),
            Freedom::Both => (2 * steps, 3_000_000_000),
        };
        let cost = entries * steps * self.quadratic.directions().len();
        let allowed = budget / cost.max(1);
        let mut place = Place { objective: self, found };
        newton::descend(&mut place, allowed.clamp(1, NEWTON_STEPS));
        place.found
    }

    /// The first and second derivative of a momentum μ = My/√(1 + y²) by y.
    fn momentum_chart(&self, step: &Step<f64>) -> (f64, f64) {
        let share = step.momentum / self.bound;
        let room = 1.0 - share * share;
        (self.bound * room * Libm::sqrt(room), -3.0 * self.bound * share * room * room)
    }

    /// The first and second derivative of each schedule entry by its coordinate: first all rates, then all momenta.
    fn chart(&self, schedule: &[Step<f64>]) -> Vec<(f64, f64)> {
        let root = |a: f64, b: f64| Libm::sqrt(a * a + b * b);
        let rate = |step: &Step<f64>| (root(self.scale, step.learning_rate), step.learning_rate);
        let rates = schedule.iter().map(rate);
        match self.freedom {
            Freedom::LearningRate(_) => rates.collect(),
            Freedom::Both => {
                rates.chain(schedule.iter().map(|step| self.momentum_chart(step))).collect()
            }
        }
    }
}

/// A schedule on the way to the optimum.
struct Place<'a> {
    objective: &'a Objective<'a>,
    found: Optimum,
}

impl Landscape for Place<'_> {
    fn derivatives(&self) -> (Vec<f64>, Vec<f64>) {
        let Self { objective, found } = self;
        let at = objective.point(&found.schedule);
        objective.evaluate(&at, found.schedule.clone());
        let gradient = objective.latest.borrow().gradient.clone();
        let chart = objective.chart(&found.schedule);
        let mut hessian =
            objective.quadratic.hessian(objective.state, &found.schedule, chart.len());
        for (i, (row, (slope, bend))) in
            hessian.chunks_exact_mut(chart.len()).zip(&chart).enumerate()
        {
            for (j, (entry, (other, _))) in row.iter_mut().zip(&chart).enumerate() {
                *entry = *entry * slope * other / found.excess - gradient[i] * gradient[j];
            }
            row[i] += gradient[i] * bend / slope;
        }
        (gradient, hessian)
    }

    fn go(&mut self, step: &[f64]) -> bool {
        let objective = self.objective;
        let mut point = objective.point(&self.found.schedule);
        point.iter_mut().zip(step).for_each(|(x, step)| *x += step);
        objective.latest.borrow_mut().best = None;
        objective.evaluate(&point, objective.schedule(&point));
        let next = objective.latest.borrow_mut().best.take();
        match next.filter(|next| next.better(&self.found)) {
            Some(next) => {
                self.found = next;
                true
            }
            None => false,
        }
    }

    fn done(&self) -> bool {
        self.found.content()
    }
}

impl CostFunction for &Objective<'_> {
    type Param = Vec<f64>;
    type Output = f64;

    fn cost(&self, point: &Vec<f64>) -> Result<f64, Error> {
        self.at(point, |cost, _| cost)
    }
}

impl Gradient for &Objective<'_> {
    type Param = Vec<f64>;
    type Gradient = Vec<f64>;

    fn gradient(&self, point: &Vec<f64>) -> Result<Vec<f64>, Error> {
        self.at(point, |_, gradient| gradient.to_vec())
    }
}
