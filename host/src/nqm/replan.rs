//! Receding horizons: plan some steps ahead, take the first, plan again.

use super::chart::Freedom;
use super::greedy::{greedy_rates, greedy_steps};
use super::optimum::{Optimum, best_of, constrained, optimal};
use super::quadratic::{Quadratic, Schedule};

/// A schedule that was searched for, and how the search went.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// The schedule.
    pub schedule: Schedule,
    /// The largest [`Optimum::gradient_norm`] of its plans; 0 when they are in closed form.
    pub gradient_norm: f64,
    /// Evaluations of loss and gradient, all plans together.
    pub iterations: u64,
    /// Whether every plan is a stationary point.
    pub stationary: bool,
}

impl From<Optimum> for Plan {
    fn from(optimum: Optimum) -> Self {
        Self {
            stationary: optimum.stationary,
            gradient_norm: optimum.gradient_norm,
            iterations: optimum.iterations,
            schedule: optimum.schedule,
        }
    }
}

/// The schedule of `steps` steps each of which is the first of the `horizon` steps that are best for the loss at their end.
///
/// Momenta, if they are free, are from zero up. With horizon 1 it is greedy, with horizon `steps` or more optimal. A plan that reaches the last step is taken as a
/// whole: its rest is what planning again would find.
pub fn replan(quadratic: &Quadratic, steps: usize, horizon: usize, freedom: Freedom) -> Plan {
    let mut state = quadratic.start();
    let greedy = |state, steps| match freedom {
        Freedom::LearningRate(momentum) => greedy_rates(quadratic, state, steps, momentum),
        Freedom::Both | Freedom::Within(_) => greedy_steps(quadratic, state, steps),
    };
    if horizon == 1 {
        let schedule = greedy(state, steps);
        return Plan { schedule, gradient_norm: 0.0, iterations: 0, stationary: true };
    }
    if horizon >= steps {
        return Plan::from(optimal(quadratic, &state, steps, freedom));
    }
    let first = constrained(quadratic, &state, horizon, freedom);
    let mut plan = Plan::from(first);
    let mut taken = Schedule::new();
    while taken.len() + horizon < steps {
        let step = plan.schedule[0];
        taken.push(step);
        quadratic.advance(&mut state, Some(step));
        // The rest of the last plan and a greedy step after it, or greedy altogether.
        let mut rest = plan.schedule.split_off(1);
        let mut end = state.clone();
        for step in &rest {
            quadratic.advance(&mut end, Some(*step));
        }
        rest.extend(greedy(end, 1));
        let starts = vec![rest, greedy(state.clone(), horizon)];
        let next = Plan::from(best_of(quadratic, &state, freedom, starts));
        plan = Plan {
            gradient_norm: if next.gradient_norm > plan.gradient_norm {
                next.gradient_norm
            } else {
                plan.gradient_norm
            },
            iterations: plan.iterations + next.iterations,
            stationary: plan.stationary && next.stationary,
            schedule: next.schedule,
        };
    }
    taken.append(&mut plan.schedule);
    Plan { schedule: taken, ..plan }
}
