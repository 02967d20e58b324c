//! Receding horizons: optimise some steps ahead, take the first, optimise again.

use crate::error::Interrupted;
use crate::greedy::{greedy_rates, greedy_steps};
use crate::judge::Judge;
use crate::optimum::{Ending, Optimum, best_of, optimal};
use crate::quadratic::{Quadratic, Schedule};
use crate::reparametrization::Variables;
use crate::tolerances::Control;

/// The schedule of `steps` steps each of which is the first of the `horizon` steps that are best
/// for the loss at their end, as `judge` reads it; its gradient norm is the largest of all plans,
/// its evaluations their sum.
///
/// With horizon 1 and no other judge it is greedy in closed form, with horizon `steps` or more
/// optimal. A plan that reaches the last step is taken as a whole: its rest is what planning again
/// would find where the judge is plain.
///
/// # Errors
/// When it is interrupted.
pub fn receding_horizon(
    quadratic: &Quadratic,
    steps: usize,
    horizon: usize,
    variables: Variables,
    judge: Judge,
    control: &Control<'_>,
) -> Result<Optimum, Interrupted> {
    let mut state = quadratic.start();
    let greedy = |state, steps| match variables {
        Variables::LearningRates { momentum } => {
            greedy_rates(quadratic, state, steps, momentum, control)
        }
        Variables::LearningRatesAndMomenta => greedy_steps(quadratic, state, steps, control),
    };
    if horizon == 1 && judge.is_plain() {
        let mut end = state.clone();
        let schedule = greedy(state, steps)?;
        let mut last = 0.0;
        for step in [None].into_iter().chain(schedule.iter().copied().map(Some)) {
            control.check()?;
            last = quadratic.advance(&mut end, step).excess;
        }
        return Ok(Optimum {
            schedule,
            excess: last,
            gradient_norm: 0.0,
            evaluations: 0,
            ending: Ending::Stationary,
        });
    }
    let mut plan = optimal(quadratic, &state, steps.min(horizon), variables, judge, control)?;
    let coordinates = variables.coordinates(horizon);
    let budget = control.tolerances.budget(
        quadratic.directions().len(),
        horizon + judge.cooldown(),
        coordinates,
    );
    let mut taken = Schedule::new();
    while taken.len() + horizon < steps {
        let step = plan.schedule[0];
        taken.push(step);
        (control.done)(taken.len());
        quadratic.advance(&mut state, Some(step));
        // The rest of the last plan and a greedy step after it, or greedy altogether.
        let mut rest = plan.schedule.split_off(1);
        let mut end = state.clone();
        for step in &rest {
            control.check()?;
            quadratic.advance(&mut end, Some(*step));
        }
        rest.extend(greedy(end, 1)?);
        let starts = vec![rest, greedy(state.clone(), horizon)?];
        let next = best_of(quadratic, &state, variables, judge, starts, budget, control)?;
        plan = Optimum {
            gradient_norm: match next.gradient_norm > plan.gradient_norm {
                true => next.gradient_norm,
                false => plan.gradient_norm,
            },
            evaluations: plan.evaluations + next.evaluations,
            ending: plan.ending.max(next.ending),
            ..next
        };
    }
    taken.append(&mut plan.schedule);
    Ok(Optimum { schedule: taken, ..plan })
}
