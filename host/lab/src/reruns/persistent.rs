//! The schedule of a network tuned by windows of K steps of training, with the tangents dropped
//! after each window or carried on: the setting of persistent evolution strategies on MNIST (Vicol
//! et al. 2021), with exact derivatives in place of particles.
//!
//! ```text
//! α_t = α₀/(1 + t/5000)^β        objective of a window: Σ L(w_t), t over its K steps
//! ```
//!
//! L is the mean loss of a batch that w_t has not been trained on: the one to come. Evolution
//! strategies (ES) perturb one window from an unperturbed state: in the limit of many particles
//! and small perturbations they find the derivative of the window's losses with the tangents
//! dropped before it. Persistent ones (PES) carry perturbed states on: in the limit, the tangents.
//! Both move ln α₀ and ln β by Adam after each window, and begin another training run, with other
//! weights and batches, after T steps.

use myopia_core::meta::{Coordinate, Limits};
use myopia_core::real::Real;
use myopia_core::rng::Pcg32;
use myopia_core::schedule::InverseTime;
use myopia_core::unroll::Diverged;
use serde::{Deserialize, Serialize};

use crate::checkpoint::Keeper;
use crate::failure::Failure;
use crate::outer::{OuterOptimizer, OuterRule};
use crate::precision::{Float, Precision, in_precision};
use crate::problem::{InitialParams, Problem, Set, Snapshot, Stream, Tangents, TrainingRun};

/// K of the schedule, in steps.
pub const TIME_CONSTANT: f64 = 5000.0;
/// α₀ and β at first.
pub const FIRST: [f64; 2] = [0.003, 30.0];
/// Adam's rate.
const META_RATE: f64 = 0.01;

/// How a schedule is tuned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Windows {
    /// Steps of a window.
    pub length: u32,
    /// Whether tangents are carried from window to window.
    pub carried: bool,
}

impl Windows {
    /// Its name.
    pub fn name(&self) -> String {
        let Self { length, carried } = self;
        format!("{} {length}", if *carried { "carried" } else { "dropped" })
    }

    /// Where the published figure has the label of its counterpart, log₁₀ β and log₁₀ α₀. It is a
    /// label's place, not the end of a path.
    pub fn label(&self) -> Option<[f64; 2]> {
        match (self.carried, self.length) {
            (true, 10) => Some([-1.6, -1.55]),
            (true, 100) => Some([-0.7, -1.05]),
            (false, 10) => Some([1.0, -1.4]),
            (false, 100) => Some([0.9, -1.0]),
            _ => None,
        }
    }
}

/// One window.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// α₀ and β in it.
    pub schedule: [f64; 2],
    /// The sum of its losses, in nats.
    pub loss: f64,
    /// Its derivatives by α₀ and β.
    pub gradient: [f64; 2],
}

/// How far a descent has come.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Progress {
    /// Its windows.
    pub records: Vec<Record>,
    /// The training run under way.
    run: Option<Snapshot>,
    /// Why it ended early.
    pub diverged: Option<String>,
}

impl Progress {
    /// α₀ and β after its last window.
    pub fn end(&self) -> Option<[f64; 2]> {
        let mut outer = outer();
        self.records.iter().map(|of| outer.update(of.schedule, of.gradient)).last()
    }
}

/// Descents on one problem.
#[derive(Clone, Copy)]
pub struct Study<'a> {
    /// What is trained; of its seed come those of all training runs.
    pub problem: &'a Problem<'a>,
    /// T.
    pub steps: u32,
    /// Windows of a descent.
    pub windows: u32,
}

/// The outer optimizer: without a clip, as published.
fn outer() -> OuterOptimizer<2> {
    let limits = |least, greatest| Limits {
        learned: true,
        coordinate: Coordinate::Logarithm,
        clip: 1e300,
        least,
        greatest,
    };
    let limits = [limits(1e-8, 1e2), limits(1e-8, 1e6)];
    OuterOptimizer::new(Precision::F64, OuterRule::Adam, META_RATE, limits)
}

fn schedule([alpha0, beta]: [f64; 2]) -> InverseTime<f64> {
    InverseTime { alpha0, time_constant: TIME_CONSTANT, beta }
}

/// Weights of variance 1/inputs, normal within two standard deviations, and no biases.
fn initial(problem: &Problem<'_>) -> InitialParams {
    let mut rng = Pcg32::new(problem.seed, Stream::Weights as u64);
    let mut normal = || loop {
        let drawn = rng.normal::<f64>();
        if (-2.0..=2.0).contains(&drawn) {
            return drawn;
        }
    };
    let mut all = Vec::with_capacity(problem.parameters());
    for sizes in problem.layers.windows(2) {
        let deviation = 1.0 / libm::sqrt(sizes[0] as f64);
        all.extend((0..sizes[0] * sizes[1]).map(|_| deviation * normal()));
        all.extend((0..sizes[1]).map(|_| 0.0));
    }
    InitialParams(in_precision!(problem.precision(), T => {
        T::numbers(all.into_iter().map(T::from_f64).collect())
    }))
}

impl Study<'_> {
    /// Training run number `number`: each has weights and batches of its own.
    fn trained<R>(&self, number: u32, with: impl FnOnce(&Problem<'_>) -> R) -> R {
        let seed = self.problem.seed.wrapping_mul(1_000_003).wrapping_add(number.into());
        with(&Problem { seed, ..self.problem.clone() })
    }

    /// Takes a descent to its end; `tick` is called after each step.
    ///
    /// # Errors
    /// When it was interrupted. A descent that diverges has ended.
    pub fn descend(
        &self,
        how: Windows,
        mut progress: Progress,
        keeper: &impl Keeper<Progress>,
        tick: &dyn Fn(),
    ) -> Result<Progress, Failure> {
        let (mut outer, mut now) = (outer(), FIRST);
        progress.records.iter().for_each(|of| now = outer.update(of.schedule, of.gradient));
        let each = self.steps / how.length;
        while (progress.records.len() as u32) < self.windows && progress.diverged.is_none() {
            let number = progress.records.len() as u32 / each;
            self.trained(number, |problem| -> Result<(), Failure> {
                let restored = progress.run.as_ref();
                let restored = restored.and_then(|at| problem.restore(Tangents::Schedule, at));
                let fresh = || problem.run(Tangents::Schedule, &initial(problem));
                let mut run = restored.unwrap_or_else(fresh);
                loop {
                    match window(&mut *run, how, &schedule(now), tick) {
                        Ok((loss, gradient)) => {
                            progress.records.push(Record { schedule: now, loss, gradient });
                            now = outer.update(now, gradient);
                        }
                        Err(diverged) => progress.diverged = Some(diverged.to_string()),
                    }
                    let done = progress.records.len() as u32;
                    if progress.diverged.is_some()
                        || done >= self.windows
                        || done.is_multiple_of(each)
                    {
                        progress.run = None;
                        return keeper.pause(|| progress.clone());
                    }
                    keeper.pause(|| Progress { run: Some(run.snapshot()), ..progress.clone() })?;
                }
            })?;
        }
        Ok(progress)
    }

    /// The mean loss of the batches of a whole training run, each before it is trained on, and that
    /// over all training examples after it; nothing where it diverges.
    ///
    /// # Errors
    /// When `go_on` stops it.
    pub fn judge(
        &self,
        at: [f64; 2],
        go_on: &dyn Fn() -> bool,
        tick: &dyn Fn(),
    ) -> Result<Option<[f64; 2]>, Failure> {
        self.trained(0, |problem| {
            let mut run = problem.run(Tangents::None, &initial(problem));
            let (schedule, mut losses) = (schedule(at), 0.0);
            for k in 0..self.steps {
                if !go_on() {
                    return Err(Failure::Interrupted("interrupted".into()));
                }
                if run.train(&schedule, k..k + 1, &mut |_, _, loss| losses += loss).is_err() {
                    return Ok(None);
                }
                tick();
            }
            let all: Vec<u32> = (0..problem.trained_on() as u32).collect();
            let end = run.evaluate(Set::Training, &all).ok();
            Ok(end.map(|end| [losses / f64::from(self.steps), end.loss.value]))
        })
    }
}

/// One window: the sum of its losses and its derivatives by α₀ and β.
fn window(
    run: &mut dyn TrainingRun,
    how: Windows,
    schedule: &InverseTime<f64>,
    tick: &dyn Fn(),
) -> Result<(f64, [f64; 2]), Diverged> {
    let first = run.steps();
    if !how.carried && first > 0 {
        run.carry_tangents([0.0; 3], schedule, first - 1);
    }
    let (mut sum, mut gradient) = (0.0, [0.0; 2]);
    for k in first..first + how.length {
        run.train(schedule, k..k + 1, &mut |_, _, _| {})?;
        let loss = run.look()?;
        let [alpha0, _, beta] = loss.tangents;
        sum += loss.value;
        gradient = [gradient[0] + alpha0, gradient[1] + beta];
        tick();
    }
    Ok((sum, gradient))
}

#[cfg(test)]
mod tests {

    use super::*;
    use crate::problem::Source;

    fn with<R>(check: impl Fn(Study<'_>) -> R) -> R {
        let (data, _) = Source::Glyphs.load(Precision::F64, |_| ()).unwrap().standardised();
        let problem = Problem { batch: 20, seed: 2, ..Problem::new(&data, vec![64, 6, 10]) };
        check(Study { problem: &problem, steps: 12, windows: 5 })
    }

    /// The sum of the losses of the steps first..12 at the schedule that is given for each step.
    fn losses(study: &Study<'_>, first: u32, of: impl Fn(u32) -> InverseTime<f64>) -> f64 {
        study.trained(0, |problem| {
            let (mut run, mut sum) = (problem.run(Tangents::None, &initial(problem)), 0.0);
            for k in 0..12 {
                run.train(&of(k), k..k + 1, &mut |_, _, _| {}).unwrap();
                sum += if k >= first { run.look().unwrap().value } else { 0.0 };
            }
            sum
        })
    }

    /// The derivative of the last window's losses by a schedule that is perturbed from the start.
    #[test]
    fn carried_tangents_see_all_steps() {
        with(|study| {
            let at = [0.05, 2.0];
            for which in [0, 1] {
                let how = Windows { length: 4, carried: true };
                let found = study.trained(0, |problem| {
                    let mut run = problem.run(Tangents::Schedule, &initial(problem));
                    (0..3).map(|_| window(&mut *run, how, &schedule(at), &|| ()).unwrap()).last()
                });
                let (sum, gradient) = found.unwrap();
                let h = 1e-6;
                let moved = |sign: f64| {
                    let mut at = at;
                    at[which] += sign * h;
                    losses(&study, 8, |_| schedule(at))
                };
                let difference = (moved(1.0) - moved(-1.0)) / (2.0 * h);
                assert!((sum - losses(&study, 8, |_| schedule(at))).abs() < 1e-10);
                let off = (gradient[which] - difference).abs();
                assert!(off < 1e-6 * (1.0 + difference.abs()), "{gradient:?} {difference}");
            }
        });
    }

    #[test]
    fn dropped_tangents_see_their_window_alone() {
        with(|study| {
            let study =
                Study { problem: &Problem { momentum: 0.0, ..study.problem.clone() }, ..study };
            let at = [0.05, 2.0];
            let how = Windows { length: 4, carried: false };
            let found = study.trained(0, |problem| {
                let mut run = problem.run(Tangents::Schedule, &initial(problem));
                (0..3).map(|_| window(&mut *run, how, &schedule(at), &|| ()).unwrap()).last()
            });
            let (_, [gradient, _]) = found.unwrap();
            let h = 1e-6;
            let moved = |sign: f64| {
                let moved = schedule([at[0] + sign * h, at[1]]);
                losses(&study, 8, |k| if k >= 8 { moved } else { schedule(at) })
            };
            let difference = (moved(1.0) - moved(-1.0)) / (2.0 * h);
            assert!((gradient / difference - 1.0).abs() < 1e-6, "{gradient} {difference}");
        });
    }

    #[test]
    fn a_descent_that_is_left_goes_on_to_the_same_bits() {
        with(|study| {
            let how = Windows { length: 4, carried: true };
            let whole = study.descend(how, Progress::default(), &(), &|| ()).unwrap();
            assert_eq!(whole.records.len(), 5);
            assert_eq!(whole.records[0].schedule, FIRST);
            let kept = std::cell::RefCell::new(Vec::new());
            struct All<'a>(&'a std::cell::RefCell<Vec<Progress>>);
            impl Keeper<Progress> for All<'_> {
                fn pause(&self, state: impl FnOnce() -> Progress) -> Result<(), Failure> {
                    self.0.borrow_mut().push(state());
                    Ok(())
                }
            }
            study.descend(how, Progress::default(), &All(&kept), &|| ()).unwrap();
            for left in kept.into_inner() {
                let again = study.descend(how, left, &(), &|| ()).unwrap();
                assert_eq!(again.records, whole.records);
            }
            // After three windows another training run begins: its first losses are high again.
            assert!(whole.records[3].loss > whole.records[2].loss);
        });
    }

    #[test]
    fn a_judge_sums_the_losses_of_the_batches() {
        with(|study| {
            let [mean, end] = study.judge([0.05, 2.0], &|| true, &|| ()).unwrap().unwrap();
            assert!(end < mean && mean < 2.6, "{mean} {end}");
            assert!(study.judge([1e200, 2.0], &|| true, &|| ()).unwrap().is_none());
            assert!(study.judge([0.05, 2.0], &|| false, &|| ()).is_err());
        });
    }
}
