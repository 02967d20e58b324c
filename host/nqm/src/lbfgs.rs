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
    let point = if map.is_some() { vec![0.0; start.point.len()] } else { start.point.clone() };
    let problem = Problem {
        objective,
        map,
        control,
        evaluations,
        progress: RefCell::new(Progress {
            scratch: Scratch::default(),
            asked: Vec::new(),
            gradient: Vec::new(),
            latest: Evaluation::default(),
            lowest: start,
            spent: 0,
            stalled: 0,
        }),
    };
    // However it ends, also by an error of the line search, the lowest point has been kept.
    let _ = problem.search(point);
    let Progress { lowest, spent, .. } = problem.progress.into_inner();
    (lowest, spent)
}

/// The objective as argmin sees it.
struct Problem<'a> {
    objective: &'a Objective<'a>,
    map: Option<&'a Cholesky>,
    control: &'a Control<'a>,
    evaluations: u64,
    progress: RefCell<Progress>,
}

/// How far a descent has got.
struct Progress {
    scratch: Scratch,
    /// Where cost and gradient were asked for, which a line search does in turn.
    asked: Vec<f64>,
    /// The gradient by the coordinates of the descent.
    gradient: Vec<f64>,
    latest: Evaluation,
    lowest: Evaluation,
    spent: u64,
    /// Evaluations since the lowest point was found.
    stalled: u64,
}

/// Whether `a` is lower than `b`, or equally low and more nearly stationary.
pub fn better(a: &Evaluation, b: &Evaluation, tolerances: &Tolerances) -> bool {
    let equal = (a.excess - b.excess).abs() <= tolerances.equal_loss_ratio * b.excess;
    if equal { a.gradient_norm < b.gradient_norm } else { a.excess < b.excess }
}

impl Problem<'_> {
    fn search(&self, point: Vec<f64>) -> Result<(), Error> {
        let tolerances = &self.control.tolerances;
        let line_search = MoreThuenteLineSearch::new().with_c(1e-4, 0.9)?;
        let pairs = tolerances.pairs(point.len());
        let solver =
            LBFGS::new(line_search, pairs).with_tolerance_grad(0.0)?.with_tolerance_cost(0.0)?;
        Executor::new(self, solver)
            .ctrlc(false)
            .configure(|state| state.param(point).max_iters(u64::MAX))
            .run()?;
        Ok(())
    }

    /// What `read` makes of the evaluation at `point`; an error ends the descent.
    fn at<R>(&self, asked: &[f64], read: impl FnOnce(&Progress) -> R) -> Result<R, Error> {
        let progress = &mut *self.progress.borrow_mut();
        if progress.asked != asked {
            let tolerances = &self.control.tolerances;
            let enough = progress.spent >= self.evaluations
                || progress.stalled >= tolerances.stalled_evaluations
                || progress.lowest.gradient_norm <= tolerances.converged_gradient_norm
                || (self.control.stop)();
            if enough {
                return Err(Error::msg("the descent has ended"));
            }
            let point = self.map.map_or_else(|| asked.to_vec(), |map| map.point(asked));
            progress.latest = self.objective.at(&point, &mut progress.scratch);
            let gradient = &progress.latest.gradient;
            progress.gradient =
                self.map.map_or_else(|| gradient.clone(), |map| map.gradient(gradient));
            progress.asked = asked.to_vec();
            progress.spent += 1;
            (self.control.spent)(1);
            progress.stalled += 1;
            if better(&progress.latest, &progress.lowest, tolerances)
                && self.objective.robust(&progress.latest)
            {
                progress.lowest.clone_from(&progress.latest);
                progress.stalled = 0;
            }
        }
        Ok(read(progress))
    }
}

impl CostFunction for &Problem<'_> {
    type Param = Vec<f64>;
    type Output = f64;

    fn cost(&self, point: &Vec<f64>) -> Result<f64, Error> {
        self.at(point, |progress| progress.latest.cost)
    }
}

impl Gradient for &Problem<'_> {
    type Param = Vec<f64>;
    type Gradient = Vec<f64>;

    fn gradient(&self, point: &Vec<f64>) -> Result<Vec<f64>, Error> {
        self.at(point, |progress| progress.gradient.clone())
    }
}
