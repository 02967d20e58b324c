//! Training by a schedule that is planned again every so many steps, within a trust region.

use myopia_core::elementary::{Elementary, Libm};
use myopia_core::real::Real;
use serde::{Deserialize, Serialize};

use super::{Cost, Extent, Failed, Measured, Model, Noise, Plan, Settings, plan};
use crate::problem::{InitialParams, Problem, Set, Snapshot, Tangents, TrainingRun};

/// What is planned, and how often.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Planning {
    /// How much is measured each time.
    pub extent: Extent,
    /// Steps of the whole schedule.
    pub steps: usize,
    /// Steps trained by a plan before the next one is made; `None` for one plan and no training.
    pub every: Option<usize>,
    /// Momentum of every step.
    pub momentum: f64,
    /// The largest learning rate, as a share of the limit of stability 2(1 + μ)/h of the first
    /// measurement.
    pub cap: f64,
    /// How the noise shrinks.
    pub noise: Noise,
}

/// One measurement, the plan made of it, and what training then did. A line of `rounds.csv`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Round {
    /// Steps trained before it.
    pub step: usize,
    /// The mean loss there over the examples trained on, in nats.
    pub loss: f64,
    /// The largest curvature.
    pub sharpness: f64,
    /// The variance of the gradient of a batch.
    pub noise_variance: f64,
    /// The squared length of the gradient.
    pub gradient_square: f64,
    /// λ of [`Model`].
    pub damping: f64,
    /// The largest learning rate allowed.
    pub cap: f64,
    /// The loss foretold at the end of the whole schedule.
    pub predicted_end: f64,
    /// The loss foretold for the end of the stretch.
    pub predicted: Option<f64>,
    /// The loss there; none where training diverged.
    pub trained: Option<f64>,
    /// Whether training went on from there; otherwise it went back, and the cap was lowered.
    pub is_taken: bool,
}

/// Whether training went on by the plan that it had, or by a new one.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Choice {
    /// Steps trained before it.
    pub step: usize,
    /// How much lower ln(loss foretold at the end) is by the new plan, on the new measurement.
    pub gain: f64,
    /// By how much ln(loss) at the end of the last stretch was other than foretold, times the
    /// stretches that are left.
    pub doubt: f64,
    /// Whether the gain was not more than that, and the plan was kept.
    pub is_kept: bool,
}

/// What is left of a plan.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Left {
    /// Steps of its segments.
    lengths: Vec<usize>,
    /// Their learning rates.
    rates: Vec<f64>,
}

/// How far planning has come.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Progress {
    /// What was measured first.
    pub first: Option<Measured>,
    /// The rounds.
    pub rounds: Vec<Round>,
    /// What was chosen where there was a plan already.
    pub choices: Vec<Choice>,
    /// Steps of the segments planned so far.
    pub lengths: Vec<usize>,
    /// Their learning rates.
    pub rates: Vec<f64>,
    /// What it took.
    pub cost: Cost,
    /// Courses computed in searches.
    pub evaluations: u64,
    /// What is left of the plan that training follows.
    left: Left,
    /// The run, where there is training.
    run: Option<Snapshot>,
    /// Where training is.
    at: usize,
    /// The cap of the next plan.
    cap: f64,
}

/// Times that a stretch is tried with a lower cap.
const TRIALS: usize = 4;
/// Above this share of the foretold decrease the cap is doubled, up to the first one.
const TRUST: f64 = 0.5;

impl Left {
    /// Ends a segment after so many steps, if none does.
    fn mark(&mut self, steps: usize) {
        let (mut segment, mut end) = (0, 0);
        while end < steps {
            end += self.lengths[segment];
            segment += 1;
        }
        let (last, beyond) = (segment - 1, end - steps);
        if beyond > 0 {
            self.lengths[last] -= beyond;
            self.lengths.insert(segment, beyond);
            self.rates.insert(segment, self.rates[last]);
        }
    }
}

/// Whether to follow a plan on from here or a new one.
///
/// The quadratic that was measured before the last stretch foretold its end wrongly by some factor,
/// and the cause of that stays: each stretch that is `left` may add as much. What a new plan
/// promises of the end is believed where that is more.
fn choose(step: usize, old: &Plan, new: &Plan, last: &Round, left: f64) -> Choice {
    let gain = old.cost - new.cost;
    let doubt = match (last.predicted, last.trained) {
        (Some(predicted), Some(trained)) => {
            left * <Libm as Elementary<f64>>::ln(predicted / trained).abs()
        }
        _ => 0.0,
    };
    Choice { step, gain, doubt, is_kept: gain <= doubt }
}

/// The decrease of the loss as a share of the one foretold; where none was, whether there was
/// none.
fn agreement(before: f64, predicted: f64, trained: f64) -> f64 {
    let foretold = before - predicted;
    if foretold > 0.0 {
        (before - trained) / foretold
    } else if trained <= predicted {
        1.0
    } else {
        0.5
    }
}

impl Planning {
    /// Whether the schedule is whole.
    pub fn is_done(&self, progress: &Progress) -> bool {
        progress.lengths.iter().fold(0, |sum, steps| sum + steps) >= self.steps
    }

    /// Measures, plans and, where there is `every`, trains one stretch from `start` on.
    ///
    /// # Errors
    /// When something leaves the finite range, or when `stop` says so; `progress` is then as it
    /// was.
    pub fn go_on(
        &self,
        problem: &Problem<'_>,
        start: &InitialParams,
        progress: &mut Progress,
        stop: &(dyn Fn() -> bool + Sync),
    ) -> Result<(), Failed> {
        let mut next = progress.clone();
        let mut run = match &next.run {
            Some(snapshot) => problem.restore(Tangents::None, snapshot).ok_or(Failed::Snapshot)?,
            None => problem.run(Tangents::None, start),
        };
        let taken = next.rounds.iter().filter(|round| round.is_taken).count();
        let parameters = run.parameters();
        let first = taken * self.extent.batches;
        let measured = Measured::new(problem, &parameters, self.extent, first, stop)?;
        next.cost.0 += measured.cost.0;
        let model = Model::new(&measured)?;
        if next.first.is_none() {
            next.cap = self.cap * 2.0 * (1.0 + self.momentum) / measured.sharpness();
            next.first = Some(measured.clone());
        }
        let most = next.rounds.first().map_or(next.cap, |round| round.cap);
        let left = self.steps - next.at;
        let stretch = self.every.map(|every| every.min(left));
        for trial in 1..=TRIALS {
            let settings = Settings {
                steps: left,
                mark: stretch.unwrap_or(left),
                momentum: self.momentum,
                cap: next.cap,
                noise: self.noise,
            };
            let mut plan = plan(&model, settings, stop)?;
            next.evaluations += plan.evaluations;
            let last = next.rounds.iter().rfind(|round| round.is_taken);
            let mut is_kept = false;
            if let (1, Some(stretch), Some(last)) = (trial, stretch, last) {
                let mut kept = std::mem::take(&mut next.left);
                kept.mark(stretch);
                let kept = Plan::of(&model, &settings, kept.lengths, kept.rates);
                next.evaluations += kept.evaluations;
                let stretches = left as f64 / stretch as f64;
                let choice = choose(next.at, &kept, &plan, last, stretches);
                next.choices.push(choice);
                is_kept = choice.is_kept;
                if is_kept {
                    plan = kept;
                }
            }
            let round = Round {
                step: next.at,
                loss: measured.loss,
                sharpness: measured.sharpness(),
                noise_variance: measured.noise_variance(),
                gradient_square: measured.gradient_square(),
                damping: model.damping,
                cap: next.cap,
                predicted_end: plan.course.losses[plan.lengths.len()],
                predicted: None,
                trained: None,
                is_taken: true,
            };
            let Some(stretch) = stretch else {
                next.rounds.push(round);
                (next.lengths, next.rates) = (plan.lengths, plan.rates);
                break;
            };
            let mut segments = 0;
            let mut steps = 0;
            while steps < stretch {
                steps += plan.lengths[segments];
                segments += 1;
            }
            let predicted = plan.course.losses[segments];
            let (lengths, rates) = (&plan.lengths[..segments], &plan.rates[..segments]);
            let trained = self.train(problem, run.as_mut(), lengths, rates, stop)?;
            next.cost.0 += stretch as f64 + Cost::loss(problem).0;
            let agreement = trained.map_or(-1.0, |loss| agreement(measured.loss, predicted, loss));
            // A loss that rises before it falls may be what an older plan was made for.
            let is_held = is_kept && trained.is_some_and(|loss| loss < next.rounds[0].loss);
            let is_taken = agreement > 0.0 || is_held || trained.is_some() && trial == TRIALS;
            next.rounds.push(Round { predicted: Some(predicted), trained, is_taken, ..round });
            if agreement > TRUST {
                next.cap = if 2.0 * next.cap < most { 2.0 * next.cap } else { most };
            } else if agreement <= 0.0 {
                next.cap = rates.iter().fold(0.0, |most: f64, rate| most.larger(*rate)) / 2.0;
            }
            if is_taken {
                next.lengths.extend(lengths);
                next.rates.extend(rates);
                next.at += stretch;
                next.left = Left {
                    lengths: plan.lengths[segments..].to_vec(),
                    rates: plan.rates[segments..].to_vec(),
                };
                next.run = Some(run.snapshot());
                break;
            }
            if trial == TRIALS {
                return Err(Failed::Distrusted);
            }
            run = match &next.run {
                Some(snapshot) => {
                    problem.restore(Tangents::None, snapshot).ok_or(Failed::Snapshot)?
                }
                None => problem.run(Tangents::None, start),
            };
        }
        *progress = next;
        Ok(())
    }

    /// Trains `run` and returns the loss it comes to, or nothing where it diverges.
    fn train(
        &self,
        problem: &Problem<'_>,
        run: &mut dyn TrainingRun,
        lengths: &[usize],
        rates: &[f64],
        stop: &(dyn Fn() -> bool + Sync),
    ) -> Result<Option<f64>, Failed> {
        for (&steps, &rate) in lengths.iter().zip(rates) {
            let rate = problem.precision().round(rate);
            for _ in 0..steps {
                if stop() {
                    return Err(Failed::Interrupted);
                }
                if run.step(rate, self.momentum).is_err() {
                    return Ok(None);
                }
            }
        }
        let all: Vec<u32> = (0..problem.trained_on() as u32).collect();
        Ok(run.evaluate(Set::Training, &all).ok().map(|found| found.loss.value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Course;

    #[test]
    fn a_stretch_ends_a_segment() {
        let left = || Left { lengths: vec![4, 4, 4], rates: vec![0.3, 0.2, 0.1] };
        let marked = |steps| {
            let mut left = left();
            left.mark(steps);
            (left.lengths, left.rates)
        };
        assert_eq!(marked(8), (vec![4, 4, 4], vec![0.3, 0.2, 0.1]));
        assert_eq!(marked(6), (vec![4, 2, 2, 4], vec![0.3, 0.2, 0.2, 0.1]));
        assert_eq!(marked(11), (vec![4, 4, 3, 1], vec![0.3, 0.2, 0.1, 0.1]));
        assert_eq!(marked(12), (vec![4, 4, 4], vec![0.3, 0.2, 0.1]));
    }

    #[test]
    fn a_new_plan_is_followed_where_it_promises_more_than_the_last_forecast_was_wrong_by() {
        let plan = |cost| Plan {
            lengths: Vec::new(),
            rates: Vec::new(),
            cost,
            course: Course::default(),
            evaluations: 0,
        };
        let last = |predicted, trained| Round {
            step: 0,
            loss: 1.0,
            sharpness: 1.0,
            noise_variance: 1.0,
            gradient_square: 1.0,
            damping: 0.0,
            cap: 1.0,
            predicted_end: 0.1,
            predicted: Some(predicted),
            trained: Some(trained),
            is_taken: true,
        };
        // Half, and twice, of what was foretold: a doubt of ln 2 either way.
        for last in [last(0.2, 0.1), last(0.1, 0.2)] {
            let chosen = |old| choose(5, &plan(old), &plan(-2.0), &last, 1.0);
            let earlier = choose(5, &plan(-1.2), &plan(-2.0), &last, 2.0);
            assert!(earlier.is_kept && earlier.doubt == 2.0 * chosen(-1.2).doubt);
            assert!((chosen(-1.5).doubt - core::f64::consts::LN_2).abs() < 1e-15);
            assert!(chosen(-1.5).is_kept && !chosen(-1.2).is_kept);
            assert!(!chosen(f64::INFINITY).is_kept && !chosen(f64::NAN).is_kept);
        }
        assert!(!choose(5, &plan(-1.9), &plan(-2.0), &last(0.1, 0.1), 1.0).is_kept);
    }
}
