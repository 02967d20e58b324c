//! The logarithm of the excess loss as a function of a schedule's coordinates, and descents on it.
//!
//! To the loss 10⁻²⁰ of what it is at first is added: when less is left, the rest is rounding, and the gradient then is
//! as small as there is little to gain.

use std::cell::{Cell, RefCell};

use argmin::core::{CostFunction, Error, Executor, Gradient};
use argmin::solver::linesearch::MoreThuenteLineSearch;
use argmin::solver::quasinewton::LBFGS;
use myopia_core::elementary::{Elementary, Libm};
use myopia_core::nqm::Step;
use myopia_core::real::Real;
use myopia_core::rng::Pcg32;
use myopia_core::sum::sum;

use super::chart::{Chart, Freedom, Slope};
use super::frame::{Frame, units};
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
    cost: f64,
    gradient: Vec<f64>,
    /// The coordinates of the search, if they are not the chart's, and where it is in them with what gradient.
    frame: Option<Frame>,
    sought: Vec<f64>,
    framed: Vec<f64>,
    best: Option<Candidate>,
    evaluations: u64,
    /// What Hessians have cost, in evaluations.
    hessians: u64,
    /// Evaluations after which the present descent ends.
    limit: u64,
    /// Evaluations since the best point was found.
    idle: u64,
}

/// The gradient norm below which a schedule counts as stationary.
pub const STATIONARY: f64 = 1e-5;
/// Neighbours of a schedule whose gradients show what is rounding.
const NEIGHBOURS: u32 = 8;
/// The last places by which it is moved for that.
const LAST_PLACES: f64 = 4.0;
/// The largest gradient that rounding may hide: where momenta may be from zero up whatever it is that doubles can express, and
/// elsewhere so small that less than a millionth of the loss is left to gain.
const HIDDEN: [f64; 2] = [f64::INFINITY, 1e-3];
/// The gradient norm at which a descent is content.
const CONTENT: f64 = 1e-7;
/// Of the initial excess loss: what is rounding.
const ROUNDING: f64 = 1e-20;
/// What stands for the logarithm of a loss that is not finite: above that of any finite one.
const DIVERGED: f64 = 1e3;
/// By what share of itself the loss may change with the last places of a schedule: where momenta may be from zero up by as
/// much as it is, since without noise nothing else may be left, and elsewhere so little that it has five digits.
const STEADY: [f64; 2] = [1.0, 1e-5];
/// In what is rounding: the change that is allowed besides.
const FAR_ROUNDING: f64 = 100.0;
/// The largest share by which losses may differ that are the same but for rounding, likewise.
const SAME: [f64; 2] = [1e-3, 5e-6];
/// How far shaken coordinates move when all do.
const LITTLE: f64 = 0.2;
/// How far when one step's do.
const FAR: f64 = 2.0;
/// By how much gathered steps are smaller before the last.
const GATHERED: f64 = 50.0;
/// Newton steps after a descent through frames, at most.
const NEWTON_STEPS: u64 = 100;
/// Progress, as a share of the loss, below which a descent through frames ends.
const PROGRESS: f64 = 1e-6;
/// Evaluations without progress after which a descent ends: a line search can circle in the last bits for ever.
const IDLE: u64 = 40;
/// Pairs of steps and gradients that L-BFGS remembers.
pub const MEMORY: usize = 100;

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

    /// What has been spent, in evaluations: a Hessian counts as one for each coordinate.
    pub fn spent(&self) -> u64 {
        let latest = self.latest.borrow();
        latest.evaluations + latest.hessians
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

    /// Whether the loss stays what it is, see [`STEADY`], when the schedule's entries change in their last place.
    ///
    /// Without this the search finds schedules whose loss is low by rounding alone: rates far beyond stability, the errors of
    /// which cancel as long as no bit is touched.
    fn steady(&self, schedule: &[Step<f64>], excess: f64) -> bool {
        let nearby = changed(schedule, 1.0, &mut Pcg32::new(0, 0));
        let other = self.quadratic.excess_after(self.state, &nearby);
        let slack = if self.far() { FAR_ROUNDING * self.rounding } else { self.rounding };
        other - excess <= STEADY[usize::from(self.far())] * (excess + slack) + slack
    }

    /// Whether schedules may go so far that rounding takes part of the loss.
    fn far(&self) -> bool {
        matches!(self.chart.freedom(), Freedom::Within(_))
    }

    /// What `read` makes of value and gradient at `point`.
    fn at<R>(&self, point: &[f64], read: impl FnOnce(f64, &[f64]) -> R) -> Result<R, Error> {
        if self.latest.borrow().sought != point {
            let latest = self.latest.borrow();
            let content = latest.best.as_ref().is_some_and(content);
            if latest.evaluations >= latest.limit || latest.idle >= IDLE || content {
                return Err(Error::msg("enough"));
            }
            let framed = latest.frame.as_ref().map(|frame| frame.point(point));
            drop(latest);
            let at = framed.as_deref().unwrap_or(point);
            self.evaluate(at, self.chart.schedule(at));
            let latest = &mut *self.latest.borrow_mut();
            latest.sought = point.to_vec();
            let gradient = &latest.gradient;
            let framed = latest.frame.as_ref().map(|frame| frame.gradient(gradient));
            latest.framed = framed.unwrap_or_else(|| gradient.clone());
        }
        let latest = self.latest.borrow();
        Ok(read(latest.cost, &latest.framed))
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
            latest.sought.clear();
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

    /// A schedule near that of `found`: at random all its coordinates are moved a little, or those of one step far, or some
    /// steps' gradients are gathered at one place, for one move by all of them.
    pub fn shaken(&self, found: &Candidate, rng: &mut Pcg32) -> Schedule {
        let steps = found.schedule.len();
        let kind = rng.below(3);
        let one = rng.below(steps as u32) as usize;
        let far = |step: usize| match kind {
            0 => LITTLE,
            1 if step == one => FAR,
            _ => 0.0,
        };
        let moved = found.point.iter().enumerate();
        let moved: Vec<f64> =
            moved.map(|(i, x)| x + far(i % steps) * rng.normal::<f64>()).collect();
        let mut schedule = self.chart.schedule(&moved);
        let end = steps.min(one + 2 + rng.below(4) as usize);
        if let (2, [first, between @ .., last]) = (kind, &mut schedule[one..end]) {
            let share = 1.0 / GATHERED;
            last.learning_rate /= 2.0 + between.len() as f64;
            last.momentum = GATHERED;
            let learning_rate = share * last.learning_rate;
            *first = Step { learning_rate, momentum: share * first.momentum };
            between.fill(Step { learning_rate, momentum: 1.0 });
        }
        schedule
    }

    /// Descends from `found` by L-BFGS in one frame after another, then by Newton's method, and spends about so many
    /// evaluations.
    pub fn follow(&self, mut found: Candidate, evaluations: u64) -> Candidate {
        let price = found.point.len() as u64;
        let stretch = (evaluations / 40).clamp(2 * price, 10 * price);
        let end = self.spent() + evaluations;
        let reserve = NEWTON_STEPS.min(evaluations / 4 / price) * price;
        while !content(&found) && self.spent() + price + stretch + reserve < end {
            let before = found.excess;
            found = self.stretch(found, stretch);
            if found.excess > before * (1.0 - PROGRESS) {
                break;
            }
        }
        let steps = end.saturating_sub(self.spent()) / price;
        self.refine(found, steps.clamp(1, NEWTON_STEPS) as usize)
    }

    /// Descends from `found` in the frame of the Hessian there.
    fn stretch(&self, found: Candidate, evaluations: u64) -> Candidate {
        let place = Place { objective: self, found, rise: Cell::default() };
        let hessian = place.derivatives().1;
        let found = place.found;
        let Some(frame) = Frame::new(found.point.clone(), hessian) else { return found };
        self.latest.borrow_mut().frame = Some(frame);
        let end = self.minimise(vec![0.0; found.point.len()], evaluations);
        self.latest.borrow_mut().frame = None;
        end.filter(|end| self.better(end, &found)).unwrap_or(found)
    }

    /// Descends from `found` by at most `steps` of Newton's method.
    fn refine(&self, found: Candidate, steps: usize) -> Candidate {
        let mut place = Place { objective: self, found, rise: Cell::default() };
        newton::descend(&mut place, steps);
        place.found
    }

    /// What a Hessian for schedules of so many steps costs, in entries times steps times directions.
    pub fn hessian_cost(&self, steps: usize) -> usize {
        let entries = match self.chart.freedom() {
            Freedom::LearningRate(_) => steps,
            Freedom::Both | Freedom::Within(_) => 2 * steps,
        };
        entries * steps * self.quadratic.directions().len()
    }

    /// The candidate with its gradient in units along which the objective's second derivative is at most one, and whether
    /// it is stationary: the size of that gradient is at most [`STATIONARY`], or at most that of its rounding and
    /// [`HIDDEN`].
    ///
    /// A schedule may be such that one unit in the last place of a rate changes the loss a thousandfold. Its
    /// gradient is then never small, and how far from the lowest loss it is shows only in these units. Rounding is
    /// what each part of the gradient changes by when its coordinate, or every entry of the schedule, changes by four
    /// units in the last place.
    pub fn measured(&self, found: Candidate) -> (Candidate, bool) {
        if content(&found) {
            return (found, true);
        }
        let slopes = self.chart.slopes(&found.point);
        let place = Place { objective: self, found, rise: Cell::default() };
        let (gradient, hessian) = place.derivatives();
        let units = units(&hessian, gradient.len());
        let parts = |gradient: &[f64]| -> Vec<f64> {
            let each = gradient.iter().zip(&slopes).zip(&units);
            let judged = |((g, slope), unit): ((&f64, &Slope), &f64)| {
                if slope.first == 0.0 { 0.0 } else { slope.judged(g / slope.first) * unit }
            };
            each.map(judged).collect()
        };
        let here = parts(&gradient);
        let last_places = place.found.point.iter().zip(&units);
        let mut rounding: Vec<f64> =
            last_places.map(|(x, unit)| LAST_PLACES * f64::EPSILON * x.abs() / unit).collect();
        let mut rng = Pcg32::new(1, 0);
        for _ in 0..NEIGHBOURS {
            let nearby = changed(&place.found.schedule, LAST_PLACES, &mut rng);
            self.evaluate(&place.found.point, nearby);
            let there = parts(&self.latest.borrow().gradient);
            for ((rounding, here), there) in rounding.iter_mut().zip(&here).zip(there) {
                *rounding = rounding.larger((there - here).abs());
            }
        }
        let size = |parts: &[f64]| Libm::sqrt(sum(parts.iter().map(|part| part * part)));
        let gradient_norm = size(&here);
        let hidden = gradient_norm <= size(&rounding);
        let stationary = gradient_norm <= STATIONARY
            || hidden && gradient_norm <= HIDDEN[usize::from(self.far())];
        (Candidate { gradient_norm, ..place.found }, stationary)
    }
}

/// The schedule with every entry changed by so many units in the last place, up or down.
fn changed(schedule: &[Step<f64>], units: f64, rng: &mut Pcg32) -> Schedule {
    let by = units * f64::EPSILON;
    let mut change = |x: f64| if rng.below(2) == 0 { x + x * by } else { x - x * by };
    let step = |step: &Step<f64>| Step {
        learning_rate: change(step.learning_rate),
        momentum: change(step.momentum),
    };
    schedule.iter().map(step).collect()
}

/// Whether a descent may end here.
fn content(candidate: &Candidate) -> bool {
    candidate.gradient_norm <= CONTENT
}

/// A schedule on the way to the optimum.
struct Place<'a> {
    objective: &'a Objective<'a>,
    found: Candidate,
    /// By how much a loss may be higher that is the same but for rounding.
    rise: Cell<f64>,
}

impl Landscape for Place<'_> {
    fn derivatives(&self) -> (Vec<f64>, Vec<f64>) {
        let Self { objective, found, rise } = self;
        let nearby = changed(&found.schedule, 1.0, &mut Pcg32::new(0, 0));
        let change = objective.quadratic.excess_after(objective.state, &nearby) - found.excess;
        let most = SAME[usize::from(objective.far())] * found.excess;
        rise.set(if change.abs() < most { change.abs() } else { most });
        objective.evaluate(&found.point, found.schedule.clone());
        let gradient = objective.latest.borrow().gradient.clone();
        let slopes = objective.chart.slopes(&found.point);
        let n = slopes.len();
        let (by_entry, mut hessian) =
            objective.quadratic.derivatives(objective.state, &found.schedule, n);
        objective.latest.borrow_mut().hessians += n as u64;
        let logarithm = 1.0 / (found.excess + objective.rounding);
        for (i, (row, slope)) in hessian.chunks_exact_mut(n).zip(&slopes).enumerate() {
            for (j, (entry, other)) in row.iter_mut().zip(&slopes).enumerate() {
                *entry = *entry * slope.first * other.first * logarithm - gradient[i] * gradient[j];
            }
            row[i] += by_entry[i] * slope.second * logarithm;
        }
        (gradient, hessian)
    }

    fn go(&mut self, step: &[f64], flatter: impl Fn(&[f64]) -> bool) -> bool {
        let objective = self.objective;
        let point: Vec<f64> = self.found.point.iter().zip(step).map(|(x, step)| x + step).collect();
        objective.latest.borrow_mut().best = None;
        objective.evaluate(&point, objective.chart.schedule(&point));
        let next = objective.latest.borrow_mut().best.take();
        let rise = self.rise.get();
        let flat = flatter(&objective.latest.borrow().gradient);
        let next = next.filter(|next| {
            objective.better(next, &self.found) || flat && next.excess - self.found.excess <= rise
        });
        let gone = next.is_some();
        self.found = next.unwrap_or_else(|| self.found.clone());
        gone
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
