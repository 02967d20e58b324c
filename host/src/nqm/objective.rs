//! The logarithm of the excess loss as a function of a schedule's coordinates, and descents on it.
//!
//! To the loss 10⁻²⁰ of what it is at first is added: when less is left, the rest is rounding, and the gradient then is
//! as small as there is little to gain.

use std::cell::RefCell;

use argmin::core::{CostFunction, Error, Executor, Gradient};
use argmin::solver::linesearch::MoreThuenteLineSearch;
use argmin::solver::quasinewton::LBFGS;
use myopia_core::elementary::{Elementary, Libm};
use myopia_core::nqm::Step;
use myopia_core::rng::Pcg32;
use myopia_core::sum::sum;

#[cfg(doc)]
use super::chart::Slope;
use super::chart::{Chart, Freedom};
use super::newton::{self, Landscape};
use super::quadratic::{Quadratic, Schedule, Scratch, State};

/// A schedule that was evaluated.
#[derive(Clone, Debug, PartialEq)]
pub struct Candidate {
    /// The schedule.
    pub schedule: Schedule,
    /// Where it lies in the chart.
    pub point: Vec<f64>,
    /// Its excess loss at the end.
    pub excess: f64,
    /// The Euclidean norm of the objective's gradient, see [`Slope::judged`] and [`Objective::measured`].
    pub gradient_norm: f64,
}

/// The objective over a chart of the schedules that lead on from a state.
pub struct Objective<'a> {
    quadratic: &'a Quadratic,
    state: &'a State,
    chart: Chart,
    /// What is added to the loss.
    rounding: f64,
    latest: RefCell<Latest>,
}

/// The latest point at which the objective was evaluated: a line search asks for value and gradient in turn.
#[derive(Default)]
struct Latest {
    scratch: Scratch,
    at: Vec<f64>,
    cost: f64,
    gradient: Vec<f64>,
    best: Option<Candidate>,
    evaluations: u64,
    /// Evaluations after which the present descent ends.
    limit: u64,
    /// Evaluations since the best point was found.
    idle: u64,
}

/// The gradient norm at which a descent is content.
const CONTENT: f64 = 1e-7;
/// Of the initial excess loss: what is rounding.
const ROUNDING: f64 = 1e-20;
/// What stands for the logarithm of a loss that is not finite: above that of any finite one.
const DIVERGED: f64 = 1e3;
/// Evaluations without progress after which a descent ends: a line search can circle in the last bits for ever.
const IDLE: u64 = 40;
/// Pairs of steps and gradients that L-BFGS remembers.
const MEMORY: usize = 100;

impl<'a> Objective<'a> {
    /// The objective for schedules from `state` on.
    pub fn new(quadratic: &'a Quadratic, state: &'a State, chart: Chart) -> Self {
        let initial = quadratic.advance(&mut state.clone(), None).excess;
        let rounding = if initial > 0.0 { ROUNDING * initial } else { 1.0 };
        Self { quadratic, state, chart, rounding, latest: RefCell::default() }
    }

    /// How often loss and gradient have been evaluated.
    pub fn evaluations(&self) -> u64 {
        self.latest.borrow().evaluations
    }

    /// Whether `a` is to be preferred to `b`: its loss is lower, or the same to rounding and more nearly stationary.
    pub fn better(&self, a: &Candidate, b: &Candidate) -> bool {
        let same = (a.excess - b.excess).abs() <= 1e-13 * b.excess;
        if same && !content(b) { a.gradient_norm < b.gradient_norm } else { a.excess < b.excess }
    }

    /// Evaluates `schedule`, which lies at the point `at`.
    fn evaluate(&self, at: &[f64], schedule: Schedule) {
        let latest = &mut *self.latest.borrow_mut();
        latest.evaluations += 1;
        latest.idle += 1;
        latest.at.clear();
        latest.at.extend_from_slice(at);
        let (excess, steps) = self.quadratic.gradient(self.state, &schedule, &mut latest.scratch);
        let steps: Schedule = steps.collect();
        let rates = steps.iter().map(|step| step.learning_rate);
        let entries = rates.chain(steps.iter().map(|step| step.momentum));
        let slopes = self.chart.slopes(at);
        let logarithm = 1.0 / (excess + self.rounding);
        let derivatives = entries.zip(&slopes).map(|(d, slope)| (d * logarithm, slope));
        latest.gradient.clear();
        latest.gradient.extend(derivatives.clone().map(|(d, slope)| d * slope.first));
        let square: f64 = sum(derivatives.map(|(d, slope)| slope.judged(d) * slope.judged(d)));
        if !(excess >= 0.0 && square.is_finite()) {
            latest.cost = DIVERGED;
            latest.gradient.fill(0.0);
            return;
        }
        latest.cost = Libm::ln(excess + self.rounding);
        let known = latest.best.as_ref().is_some_and(|best| best.excess < excess);
        if !known && !self.steady(&schedule, excess) {
            return;
        }
        let gradient_norm = Libm::sqrt(square);
        let here = Candidate { schedule, point: at.to_vec(), excess, gradient_norm };
        if latest.best.as_ref().is_none_or(|best| self.better(&here, best)) {
            latest.best = Some(here);
            latest.idle = 0;
        }
    }

    /// Whether the loss is less than doubled when the schedule's entries change in their last place.
    ///
    /// Without this the search finds schedules whose loss is low by rounding alone: rates far beyond stability, the errors of
    /// which cancel as long as no bit is touched.
    fn steady(&self, schedule: &[Step<f64>], excess: f64) -> bool {
        let mut rng = Pcg32::new(0, 0);
        let mut changed =
            |x: f64| if rng.below(2) == 0 { x + x * f64::EPSILON } else { x - x * f64::EPSILON };
        let nearby: Schedule = schedule
            .iter()
            .map(|step| Step {
                learning_rate: changed(step.learning_rate),
                momentum: changed(step.momentum),
            })
            .collect();
        let other = self.quadratic.excess_after(self.state, &nearby);
        other <= 2.0 * (excess + self.rounding)
    }

    /// What `read` makes of value and gradient at `point`.
    fn at<R>(&self, point: &[f64], read: impl FnOnce(f64, &[f64]) -> R) -> Result<R, Error> {
        if self.latest.borrow().at != point {
            let latest = self.latest.borrow();
            let content = latest.best.as_ref().is_some_and(content);
            if latest.evaluations >= latest.limit || latest.idle >= IDLE || content {
                return Err(Error::msg("enough"));
            }
            drop(latest);
            self.evaluate(point, self.chart.schedule(point));
        }
        let latest = self.latest.borrow();
        Ok(read(latest.cost, &latest.gradient))
    }

    /// The excess loss of `start`, and the best point met on the way down from there by L-BFGS, for which at most `evaluations`
    /// are spent; none if the loss of `start` is not finite.
    pub fn descend(&self, start: Schedule, evaluations: u64) -> (f64, Option<Candidate>) {
        let point = self.chart.point(&start);
        self.latest.borrow_mut().best = None;
        self.evaluate(&point, start);
        let first = self.latest.borrow_mut().best.take();
        let at_first = first.as_ref().map_or(f64::INFINITY, |first| first.excess);
        let lowest = first.map(|first| {
            let outset = self.chart.outset(point);
            let end = self.minimise(outset, evaluations);
            end.filter(|end| self.better(end, &first)).unwrap_or(first)
        });
        (at_first, lowest)
    }

    /// The best point met from `point` on.
    fn minimise(&self, point: Vec<f64>, evaluations: u64) -> Option<Candidate> {
        {
            let latest = &mut *self.latest.borrow_mut();
            latest.best = None;
            latest.at.clear();
            latest.idle = 0;
            latest.limit = latest.evaluations + evaluations;
        }
        // However it ends, also by an error of the line search, the best point has been kept.
        let _ = self.search(point);
        self.latest.borrow_mut().best.take()
    }

    fn search(&self, point: Vec<f64>) -> Result<(), Error> {
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
    pub fn polish(&self, mut found: Candidate, evaluations: u64) -> Candidate {
        let end = self.evaluations() + evaluations;
        while !content(&found) && self.evaluations() < end {
            let left = end - self.evaluations();
            match self.minimise(found.point.clone(), left) {
                Some(next) if self.better(&next, &found) => found = next,
                _ => break,
            }
        }
        found
    }

    /// A schedule near that of `found`: every coordinate is moved at random, by `far` on average.
    pub fn shaken(&self, found: &Candidate, far: f64, rng: &mut Pcg32) -> Schedule {
        let moved = found.point.iter().map(|x| x + far * rng.normal::<f64>());
        self.chart.schedule(&moved.collect::<Vec<_>>())
    }

    /// Descends from `found` by at most `steps` of Newton's method.
    pub fn refine(&self, found: Candidate, steps: usize) -> Candidate {
        let mut place = Place { objective: self, found };
        newton::descend(&mut place, steps);
        place.found
    }

    /// What a Hessian for schedules of so many steps costs, in entries times steps times directions.
    pub fn hessian_cost(&self, steps: usize) -> usize {
        let entries = match self.chart.freedom() {
            Freedom::LearningRate(_) => steps,
            Freedom::Both | Freedom::Unbounded => 2 * steps,
        };
        entries * steps * self.quadratic.directions().len()
    }

    /// The candidate with its gradient in units along which the objective's second derivative is at most one, and the size
    /// below which that gradient is rounding.
    ///
    /// A schedule may be such that one unit in the last place of a rate changes the loss a thousandfold. Its
    /// gradient is then never small, and how far from the lowest loss it is shows only in these units. Rounding is
    /// what the gradient changes by when every coordinate changes by four units in the last place.
    pub fn measured(&self, found: Candidate) -> (Candidate, f64) {
        if content(&found) {
            return (found, 0.0);
        }
        let slopes = self.chart.slopes(&found.point);
        let place = Place { objective: self, found };
        let (gradient, hessian) = place.derivatives();
        let units = newton::units(&hessian, gradient.len());
        let parts = gradient.iter().zip(&slopes).zip(&units).map(|((g, slope), unit)| {
            let judged = if slope.first == 0.0 { 0.0 } else { slope.judged(g / slope.first) };
            judged * unit * (judged * unit)
        });
        let gradient_norm = Libm::sqrt(sum(parts));
        let last_places = place.found.point.iter().zip(&units).map(|(x, unit)| {
            let change = 4.0 * f64::EPSILON * x / unit;
            change * change
        });
        let rounding = Libm::sqrt(sum(last_places));
        (Candidate { gradient_norm, ..place.found }, rounding)
    }
}

/// Whether a descent may end here.
fn content(candidate: &Candidate) -> bool {
    candidate.gradient_norm <= CONTENT
}

/// A schedule on the way to the optimum.
struct Place<'a> {
    objective: &'a Objective<'a>,
    found: Candidate,
}

impl Landscape for Place<'_> {
    fn derivatives(&self) -> (Vec<f64>, Vec<f64>) {
        let Self { objective, found } = self;
        objective.evaluate(&found.point, found.schedule.clone());
        let gradient = objective.latest.borrow().gradient.clone();
        let slopes = objective.chart.slopes(&found.point);
        let n = slopes.len();
        let (by_entry, mut hessian) =
            objective.quadratic.derivatives(objective.state, &found.schedule, n);
        let logarithm = 1.0 / (found.excess + objective.rounding);
        for (i, (row, slope)) in hessian.chunks_exact_mut(n).zip(&slopes).enumerate() {
            for (j, (entry, other)) in row.iter_mut().zip(&slopes).enumerate() {
                *entry = *entry * slope.first * other.first * logarithm - gradient[i] * gradient[j];
            }
            row[i] += by_entry[i] * slope.second * logarithm;
        }
        (gradient, hessian)
    }

    fn go(&mut self, step: &[f64]) -> bool {
        let objective = self.objective;
        let point: Vec<f64> = self.found.point.iter().zip(step).map(|(x, step)| x + step).collect();
        objective.latest.borrow_mut().best = None;
        objective.evaluate(&point, objective.chart.schedule(&point));
        let next = objective.latest.borrow_mut().best.take();
        match next.filter(|next| objective.better(next, &self.found)) {
            Some(next) => {
                self.found = next;
                true
            }
            None => false,
        }
    }

    fn done(&self) -> bool {
        content(&self.found)
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
