//! Bias of a look-ahead: ln(rate chosen / rate of the optimal plan) at the same state,
//! dimensionless; below zero the judge chooses too small a rate.

use myopia_core::elementary::{Elementary, Libm};

use crate::error::Interrupted;
use crate::judge::Judge;
use crate::optimum::optimal;
use crate::parallel;
use crate::quadratic::Quadratic;
use crate::reparametrization::Variables;
use crate::tolerances::Control;

/// What one judge chooses in one state of the optimal plan.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bias {
    /// What the look-ahead was judged by.
    pub judge: Judge,
    /// Steps of the optimal plan before it.
    pub step: usize,
    /// The first of the learning rates that the judge finds best.
    pub learning_rate: f64,
    /// The optimal plan's learning rate in that step.
    pub optimal_learning_rate: f64,
}

impl Bias {
    /// ln(α / α*).
    pub fn value(&self) -> f64 {
        Libm::ln(self.learning_rate / self.optimal_learning_rate)
    }
}

/// What each of `judges` chooses after each number of steps in `after`, looking `horizon` steps
/// ahead, along the plan that is optimal for `steps` steps at constant `momentum`; judge by judge.
/// Numbers of steps beyond the plan are left out.
///
/// # Errors
/// When it is interrupted.
pub fn biases(
    quadratic: &Quadratic,
    (steps, momentum): (usize, f64),
    horizon: usize,
    after: &[usize],
    judges: &[Judge],
    control: &Control<'_>,
) -> Result<Vec<Bias>, Interrupted> {
    let variables = Variables::LearningRates { momentum };
    let start = quadratic.start();
    let plan = optimal(quadratic, &start, steps, variables, Judge::Plain, control)?.schedule;
    let mut states = Vec::new();
    for &step in after {
        let mut state = quadratic.start();
        for taken in plan.iter().take(step) {
            control.check()?;
            quadratic.advance(&mut state, Some(*taken));
        }
        states.extend(plan.get(step).map(|next| (step, state, next.learning_rate)));
    }
    let cases = judges.iter().flat_map(|judge| states.iter().map(move |state| (*judge, state)));
    let found = parallel::map(cases.collect(), |(judge, (step, state, rate))| {
        let chosen = optimal(quadratic, state, horizon, variables, judge, control)?;
        (control.done)(1);
        let learning_rate = chosen.schedule.first().map_or(0.0, |first| first.learning_rate);
        Ok(Bias { judge, step: *step, learning_rate, optimal_learning_rate: *rate })
    });
    found.into_iter().collect()
}

/// The first x at which the line through `points` of (x, bias) crosses zero; none where it does
/// not.
pub fn zero(points: &[(f64, f64)]) -> Option<f64> {
    points.windows(2).find_map(|pair| {
        let [(x, y), (next, above)] = [pair[0], pair[1]];
        let crosses = y == 0.0 || (y < 0.0) != (above < 0.0) && (above - y).is_finite();
        crosses.then(|| if y == 0.0 { x } else { x + (next - x) * y / (y - above) })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spectrum::{Noise, Setting, Spectrum, quadratic};
    use myopia_core::nqm::Preconditioner;

    #[test]
    fn zeros_are_where_the_line_crosses() {
        assert_eq!(zero(&[(1.0, -2.0), (3.0, 2.0), (4.0, -1.0)]), Some(2.0));
        assert_eq!(zero(&[(1.0, 3.0), (2.0, -1.0)]), Some(1.75));
        assert_eq!(zero(&[(1.0, -3.0), (2.0, -1.0)]), None);
        assert_eq!(zero(&[(1.0, 0.0), (2.0, 1.0)]), Some(1.0));
        assert_eq!(zero(&[(1.0, -1.0), (2.0, f64::NAN)]), None);
        assert_eq!(zero(&[(1.0, -1.0)]), None);
    }

    /// Looking ahead to the very end, the plain judge chooses the plan's own rate; looking a few
    /// steps ahead a smaller one, and after a long enough cool-down a larger one than that.
    #[test]
    fn a_short_look_ahead_is_biased_and_a_cool_down_takes_it_back() {
        let setting = Setting {
            spectrum: Spectrum::Inverse,
            directions: 40,
            noise: Noise::Inverse,
            mean: 0.0,
            variance: 1.0,
        };
        let quadratic = quadratic(setting.directions(), Preconditioner::identity()).unwrap();
        let judges = [Judge::Plain, Judge::Cooldown(10), Judge::Cooldown(40)];
        let bias = |horizon, after, judges: &[Judge]| -> Vec<f64> {
            let run = (60, 0.0);
            let found =
                biases(&quadratic, run, horizon, &[after], judges, &Control::default()).unwrap();
            found.iter().map(Bias::value).collect()
        };
        let whole = bias(40, 20, &judges[..1]);
        assert!(whole[0].abs() < 1e-3, "{whole:?}");
        let short = bias(5, 20, &judges);
        assert!(short[0] < -0.4 && short[0] < short[1] && short[1] < short[2], "{short:?}");
        assert!(bias(5, 60, &judges).is_empty(), "the plan has no step there");
    }
}
