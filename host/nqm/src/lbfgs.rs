//! Descent by L-BFGS with the line search of Moré and Thuente, from argmin.

use std::cell::RefCell;

use argmin::core::{CostFunction, Error, Executor, Gradient};
use argmin::solver::linesearch::MoreThuenteLineSearch;
use argmin::solver::quasinewton::LBFGS;

use crate::cholesky::Cholesky;
use crate::gradient::Scratch;
use crate::objective::{Evaluation, Objective};
use crate::tolerances::{Control, Tolerances};

/// The lowest point of a descent from `start`, for which at most `evaluations` are made, and how
/// many were; in the coordinates of `map` around `start`, if there is one.
pub fn descend(
    objective: &Objective<'_>,
    start: Evaluation,
    map: Option<&Cholesky>,
    evaluations: u64,
    control: &Control<'_>,
) -> (Evaluation, u64) {
    let tolerances = &control.tolerances;
    let point = if map.is_some() { vec![0.0; start.point.len()] } else { start.point.clone() };
    let pairs = tolerances.pairs(point.len());
    let (mut scratch, mut lowest) = (Scratch::default(), start);
    // `stalled` counts evaluations since the lowest point was found.
    let (mut spent, mut stalled) = (0, 0);
    minimise(point, pairs, &mut |asked| {
        let enough = spent >= evaluations
            || stalled >= tolerances.stalled_evaluations
            || lowest.gradient_norm <= tolerances.converged_gradient_norm
            || (control.stop)();
        if enough {
            return None;
        }
        let point = map.map_or_else(|| asked.to_vec(), |map| map.point(asked));
        let latest = objective.at(&point, &mut scratch);
        let gradient = &latest.gradient;
        let gradient = map.map_or_else(|| gradient.clone(), |map| map.gradient(gradient));
        spent += 1;
        (control.spent)(1);
        stalled += 1;
        if better(&latest, &lowest, tolerances) && objective.robust(&latest) {
            lowest.clone_from(&latest);
            stalled = 0;
        }
        Some((latest.cost, gradient))
    });
    (lowest, spent)
}

/// Cost and gradient at a point; `None` ends the descent.
type Evaluate<'a> = &'a mut dyn FnMut(&[f64]) -> Option<(f64, Vec<f64>)>;

/// Descends from `start` with so many pairs of steps and gradients. Whoever evaluates keeps what is
/// worth keeping: however a descent ends, also by an error of its line search, it returns nothing.
pub fn minimise(start: Vec<f64>, pairs: usize, evaluate: Evaluate<'_>) {
    let latest = Latest { evaluate, asked: Vec::new(), cost: 0.0, gradient: Vec::new() };
    let _ = Problem(RefCell::new(latest)).search(start, pairs);
}

/// Whether `a` is lower than `b`, or equally low and more nearly stationary.
pub fn better(a: &Evaluation, b: &Evaluation, tolerances: &Tolerances) -> bool {
    let equal = (a.excess - b.excess).abs() <= tolerances.equal_loss_ratio * b.excess;
    if equal { a.gradient_norm < b.gradient_norm } else { a.excess < b.excess }
}

/// A function as argmin sees it.
struct Problem<'a>(RefCell<Latest<'a>>);

/// Where cost and gradient were asked for, which a line search does in turn.
struct Latest<'a> {
    evaluate: Evaluate<'a>,
    asked: Vec<f64>,
    cost: f64,
    gradient: Vec<f64>,
}

impl Problem<'_> {
    fn search(&self, start: Vec<f64>, pairs: usize) -> Result<(), Error> {
        let line_search = MoreThuenteLineSearch::new().with_c(1e-4, 0.9)?;
        let solver =
            LBFGS::new(line_search, pairs).with_tolerance_grad(0.0)?.with_tolerance_cost(0.0)?;
        Executor::new(self, solver)
            .ctrlc(false)
            .configure(|state| state.param(start).max_iters(u64::MAX))
            .run()?;
        Ok(())
    }

    /// What `read` makes of the evaluation at `point`; an error ends the descent.
    fn at<R>(&self, point: &[f64], read: impl FnOnce(&Latest<'_>) -> R) -> Result<R, Error> {
        let latest = &mut *self.0.borrow_mut();
        if latest.asked != point {
            let found = (latest.evaluate)(point);
            (latest.cost, latest.gradient) =
                found.ok_or_else(|| Error::msg("the descent has ended"))?;
            latest.asked = point.to_vec();
        }
        Ok(read(latest))
    }
}

impl CostFunction for &Problem<'_> {
    type Param = Vec<f64>;
    type Output = f64;

    fn cost(&self, point: &Vec<f64>) -> Result<f64, Error> {
        self.at(point, |latest| latest.cost)
    }
}

impl Gradient for &Problem<'_> {
    type Param = Vec<f64>;
    type Gradient = Vec<f64>;

    fn gradient(&self, point: &Vec<f64>) -> Result<Vec<f64>, Error> {
        self.at(point, |latest| latest.gradient.clone())
    }
}
