//! Schedules that are best for the loss at their end, found from several starting points by L-BFGS.

use std::cell::RefCell;

use argmin::core::{CostFunction, Error, Executor, Gradient, State as _};
use argmin::solver::linesearch::MoreThuenteLineSearch;
use argmin::solver::quasinewton::LBFGS;
use myopia_core::elementary::{Elementary, Libm};
use myopia_core::nqm::Step;

use super::quadratic::{Quadratic, Schedule, Scratch, State};

/// What may be chosen in each step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Freedom {
    /// The learning rate; momentum stays at this value.
    LearningRate(f64),
    /// Learning rate and momentum.
    Both,
}

/// The logarithm of the excess loss as a function of ln α_0, … ln α_{T−1} and, if they are free, μ_0, … μ_{T−1}.
pub struct Objective<'a> {
    quadratic: &'a Quadratic,
    state: &'a State,
    freedom: Freedom,
    latest: RefCell<Latest>,
}

/// The latest point at which the objective was evaluated: a line search asks for value and gradient in turn.
#[derive(Default)]
struct Latest {
    scratch: Scratch,
    at: Vec<f64>,
    excess: f64,
    gradient: Vec<f64>,
    evaluations: u64,
}

impl<'a> Objective<'a> {
    pub fn new(quadratic: &'a Quadratic, state: &'a State, freedom: Freedom) -> Self {
        Self { quadratic, state, freedom, latest: RefCell::default() }
    }

    pub fn point(&self, schedule: &[Step<f64>]) -> Vec<f64> {
        let rates = schedule.iter().map(|step| Libm::ln(step.learning_rate));
        match self.freedom {
            Freedom::LearningRate(_) => rates.collect(),
            Freedom::Both => rates.chain(schedule.iter().map(|step| step.momentum)).collect(),
        }
    }

    pub fn schedule(&self, point: &[f64]) -> Schedule {
        let step = |rate: &f64, momentum| Step { learning_rate: Libm::exp(*rate), momentum };
        match self.freedom {
            Freedom::LearningRate(momentum) => {
                point.iter().map(|rate| step(rate, momentum)).collect()
            }
            Freedom::Both => {
                let (rates, momenta) = point.split_at(point.len() / 2);
                rates.iter().zip(momenta).map(|(rate, momentum)| step(rate, *momentum)).collect()
            }
        }
    }

    pub fn evaluations(&self) -> u64 {
        self.latest.borrow().evaluations
    }

    pub fn at<R>(&self, point: &[f64], read: impl FnOnce(f64, &[f64]) -> R) -> R {
        let latest = &mut *self.latest.borrow_mut();
        if latest.at != point {
            latest.evaluations += 1;
            let schedule = self.schedule(point);
            let (excess, steps) =
                self.quadratic.gradient(self.state, &schedule, &mut latest.scratch);
            let steps: Schedule = steps.collect();
            latest.gradient.clear();
            let rates = steps.iter().zip(&schedule);
            latest
                .gradient
                .extend(rates.map(|(d, step)| d.learning_rate * step.learning_rate / excess));
            if self.freedom == Freedom::Both {
                latest.gradient.extend(steps.iter().map(|d| d.momentum / excess));
            }
            latest.excess = excess;
            latest.at = point.to_vec();
        }
        read(latest.excess, &latest.gradient)
    }
}

impl CostFunction for &Objective<'_> {
    type Param = Vec<f64>;
    type Output = f64;

    fn cost(&self, point: &Vec<f64>) -> Result<f64, Error> {
        Ok(self.at(point, |excess, _| Libm::ln(excess)))
    }
}

impl Gradient for &Objective<'_> {
    type Param = Vec<f64>;
    type Gradient = Vec<f64>;

    fn gradient(&self, point: &Vec<f64>) -> Result<Vec<f64>, Error> {
        Ok(self.at(point, |_, gradient| gradient.to_vec()))
    }
}

pub fn descend(
    objective: &Objective<'_>,
    start: Vec<f64>,
    iterations: u64,
    tol: f64,
) -> Result<(Vec<f64>, u64, String), Error> {
    let line = MoreThuenteLineSearch::new().with_c(1e-4, 0.9)?;
    let solver = LBFGS::new(line, 20).with_tolerance_grad(tol)?.with_tolerance_cost(0.0)?;
    let result = Executor::new(objective, solver)
        .configure(|state| state.param(start).max_iters(iterations))
        .run()?;
    let s = result.state();
    Ok((
        s.get_best_param().cloned().unwrap_or_default(),
        s.get_iter(),
        format!("{:?}", s.get_termination_status()),
    ))
}
