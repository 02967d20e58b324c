//! Descent by L-BFGS with the line search of Moré and Thuente, from argmin.

use std::cell::RefCell;

use argmin::core::{CostFunction, Error, Executor, Gradient};
use argmin::solver::linesearch::MoreThuenteLineSearch;
use argmin::solver::quasinewton::LBFGS;

use crate::objective::{Evaluation, Objective};
use crate::quadratic::Scratch;
use crate::tolerances::{Control, Tolerances};

/// The lowest point of a descent from `start`, for which at most `evaluations` are made, and how
/// many were.
pub fn descend(
    objective: &Objective<'_>,
    start: Evaluation,
    evaluations: u64,
    control: &Control<'_>,
) -> (Evaluation, u64) {
    let point = start.point.clone();
    let problem = Problem {
        objective,
        control,
        evaluations,
        progress: RefCell::new(Progress {
            scratch: Scratch::default(),
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
    control: &'a Control<'a>,
    evaluations: u64,
    progress: RefCell<Progress>,
}

/// How far a descent has got.
struct Progress {
    scratch: Scratch,
    /// A line search asks for cost and gradient in turn.
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
    fn at<R>(&self, point: &[f64], read: impl FnOnce(&Evaluation) -> R) -> Result<R, Error> {
        let progress = &mut *self.progress.borrow_mut();
        if progress.latest.point != point {
            let tolerances = &self.control.tolerances;
            let enough = progress.spent >= self.evaluations
                || progress.stalled >= tolerances.stalled_evaluations
                || progress.lowest.gradient_norm <= tolerances.converged_gradient_norm
                || (self.control.stop)();
            if enough {
                return Err(Error::msg("the descent has ended"));
            }
            progress.latest = self.objective.at(point, &mut progress.scratch);
            progress.spent += 1;
            progress.stalled += 1;
            if better(&progress.latest, &progress.lowest, tolerances)
                && self.objective.robust(&progress.latest)
            {
                progress.lowest.clone_from(&progress.latest);
                progress.stalled = 0;
            }
        }
        Ok(read(&progress.latest))
    }
}

impl CostFunction for &Problem<'_> {
    type Param = Vec<f64>;
    type Output = f64;

    fn cost(&self, point: &Vec<f64>) -> Result<f64, Error> {
        self.at(point, |here| here.cost)
    }
}

impl Gradient for &Problem<'_> {
    type Param = Vec<f64>;
    type Gradient = Vec<f64>;

    fn gradient(&self, point: &Vec<f64>) -> Result<Vec<f64>, Error> {
        self.at(point, |here| here.gradient.clone())
    }
}
