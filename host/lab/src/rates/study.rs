//! The work: every value of every grid trained from every start, spread over the threads, each run
//! leaving its state in a ledger.

use myopia_core::schedule::{InverseTime, Parameter};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::{Choice, Start, Study, Tuned, tuned};
use crate::checkpoint::{Keeper, Ledger, Unit};
use crate::failure::Failure;
use crate::problem::{InitialParams, Problem, Set, Snapshot, Tangents};
use crate::spread::Spread;

/// Studies from several starts.
pub struct Rates<'a> {
    /// What is tuned.
    pub studies: Vec<Study<'a>>,
    /// From where.
    pub starts: Vec<Start>,
    /// The horizons, ascending.
    pub horizons: Vec<u32>,
    /// The steps of training, at least the longest horizon.
    pub steps: u32,
}

/// What came of one training run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// The objective at each mark that was reached, in nats; nothing where it was not finite.
    pub losses: Vec<Option<f64>>,
    /// The share of test examples classified wrongly at the end.
    pub test_error: Option<f64>,
    /// The digest of the last parameters and state.
    pub digest: Option<String>,
    /// The step at which training left the finite range.
    pub diverged_at: Option<u32>,
}

impl Outcome {
    fn loss(&self, mark: usize) -> Option<f64> {
        self.losses.get(mark).copied().flatten()
    }
}

/// How far one unit has come.
#[derive(Clone, Serialize, Deserialize)]
pub enum State {
    /// A run under way.
    Training(Outcome, Snapshot),
    /// A run that ended.
    Trained(Outcome),
}

/// The losses of one grid at one horizon.
pub struct Grid<'a> {
    /// What was tuned.
    pub study: &'a Study<'a>,
    /// From where.
    pub start: &'a Start,
    /// The horizon.
    pub horizon: u32,
    /// Each value with its loss.
    pub points: Vec<(f64, Option<f64>)>,
    /// What was chosen, and what came of it; nothing where every training diverged before.
    pub chosen: Option<Choice>,
}

impl Rates<'_> {
    /// How many units there are: study by study, start by start, value by value.
    pub fn units(&self) -> usize {
        self.units_of(self.starts.len())
    }

    /// How many there are from so many starts.
    pub fn units_of(&self, starts: usize) -> usize {
        starts * self.studies.iter().fold(0, |sum, study| sum + study.values.len())
    }

    /// Which study, start and value the unit numbered `unit` is.
    fn run_of(&self, unit: usize) -> Option<(usize, usize, f64)> {
        let mut left = unit;
        for (number, study) in self.studies.iter().enumerate() {
            let own = study.values.len() * self.starts.len();
            if left < own {
                let (start, value) = (left / study.values.len(), left % study.values.len());
                return Some((number, start, study.values[value]));
            }
            left -= own;
        }
        None
    }

    /// The number of the first run of a grid.
    fn first(&self, study: usize, start: usize) -> usize {
        let before = self.studies[..study].iter().fold(0, |sum, study| sum + study.values.len());
        before * self.starts.len() + start * self.studies[study].values.len()
    }

    /// The steps after which a run is judged: the horizons and the end.
    fn marks(&self) -> Vec<u32> {
        let mut marks = self.horizons.clone();
        if marks.last() != Some(&self.steps) {
            marks.push(self.steps);
        }
        marks
    }

    /// How many steps of training all units are, and how many of them are done in `ledger`.
    pub fn total(&self, ledger: &Ledger<'_, State>) -> (u64, u64) {
        let (mut total, mut done) = (0, 0);
        for number in 0..self.units() {
            let whole = u64::from(self.steps);
            total += whole;
            done += match ledger.unit(number).state() {
                None => 0,
                Some(State::Training(_, run)) => u64::from(run.steps),
                Some(State::Trained(_)) => whole,
            };
        }
        (total, done)
    }

    /// Does all units; `tick` is called with steps of training as they are done or turn out not to
    /// be needed.
    ///
    /// # Errors
    /// When it was interrupted, and whatever writing a checkpoint meets. What diverges is an
    /// outcome.
    pub fn run(
        &self,
        ledger: &Ledger<'_, State>,
        tick: &(dyn Fn(u64) + Sync),
    ) -> Result<(), Failure> {
        (0..self.units()).into_par_iter().with_max_len(1).try_for_each(|number| {
            let Some(run) = self.run_of(number) else { return Ok(()) };
            self.one(run, ledger.unit(number), tick)
        })
    }

    fn outcome(&self, ledger: &Ledger<'_, State>, unit: usize) -> Option<Outcome> {
        match ledger.unit(unit).state()? {
            State::Trained(outcome) => Some(outcome),
            State::Training(..) => None,
        }
    }

    /// The runs of a grid that have ended: each value with its outcome.
    fn ended(&self, ledger: &Ledger<'_, State>, study: usize, start: usize) -> Vec<(f64, Outcome)> {
        let first = self.first(study, start);
        let values = self.studies[study].values.iter().enumerate();
        values.filter_map(|(at, &value)| Some((value, self.outcome(ledger, first + at)?))).collect()
    }

    /// The grids, horizon by horizon, as far as they were trained.
    pub fn grids(&self, ledger: &Ledger<'_, State>) -> Vec<Grid<'_>> {
        let mut all = Vec::new();
        for (number, study) in self.studies.iter().enumerate() {
            let ended = (0..self.starts.len()).map(|start| self.ended(ledger, number, start));
            let ended: Vec<Vec<(f64, Outcome)>> = ended.collect();
            for (place, start) in self.starts.iter().enumerate() {
                for (at, &horizon) in self.horizons.iter().enumerate() {
                    let points = ended[place].iter().map(|(value, of)| (*value, of.loss(at)));
                    let points: Vec<(f64, Option<f64>)> = points.collect();
                    // Nothing is chosen on half a grid.
                    let whole = points.len() == study.values.len();
                    let chosen = whole
                        .then(|| tuned(&points, study.spacing))
                        .flatten()
                        .map(|chosen| self.choice(study, place, horizon, chosen, &ended));
                    all.push(Grid { study, start, horizon, points, chosen });
                }
            }
        }
        all
    }

    /// What `horizon` chose from the start numbered `place`, and what came of it; `ended` has the
    /// runs from each start.
    fn choice(
        &self,
        study: &Study<'_>,
        place: usize,
        horizon: u32,
        chosen: Tuned,
        ended: &[Vec<(f64, Outcome)>],
    ) -> Choice {
        let last = self.marks().len() - 1;
        let of = |place: usize| {
            let runs: &[(f64, Outcome)] = &ended[place];
            runs.iter().find(|run| run.0 == chosen.grid_value).map(|run| &run.1)
        };
        let start = &self.starts[place];
        let other = |(_, other): &(usize, &Start)| {
            (other.pretrain, other.seed != start.seed) == (start.pretrain, true)
        };
        let others = self.starts.iter().enumerate().filter(other);
        let elsewhere =
            others.map(|(place, _)| of(place)?.loss(last)).collect::<Option<Vec<f64>>>();
        let outcome = of(place);
        Choice {
            optimizer: study.optimizer.clone(),
            parameter: study.parameter.name().to_owned(),
            start: super::start_name(start.pretrain).to_owned(),
            horizon,
            seed: start.seed,
            value: chosen.value,
            loss_at_end: outcome.and_then(|outcome| outcome.loss(last)),
            loss_elsewhere: elsewhere.and_then(Spread::of).map(|losses| losses.median),
            trained_value: chosen.grid_value,
            loss_at_horizon: chosen.grid_loss,
            at_edge: chosen.at_edge,
            slack: chosen.slack,
            alpha0: (study.parameter != Parameter::Alpha0).then_some(study.alpha0),
            layers: study.layers(),
            pretrain: start.pretrain,
            test_error: outcome.and_then(|outcome| outcome.test_error),
            digest: outcome.and_then(|outcome| outcome.digest.clone()),
        }
    }

    /// Trains with `value`, and judges at each of the marks.
    fn one(
        &self,
        (study, start, value): (usize, usize, f64),
        unit: Unit<'_, State>,
        tick: &(dyn Fn(u64) + Sync),
    ) -> Result<(), Failure> {
        let Study { parameter, alpha0, ref problem, .. } = self.studies[study];
        let Start { seed, ref weights, .. } = self.starts[start];
        let weights: &InitialParams = &weights[study];
        let problem = Problem { seed, ..problem.clone() }.with_value(parameter, value);
        let alpha0 = if parameter == Parameter::Alpha0 { value } else { alpha0 };
        let schedule = InverseTime { alpha0, time_constant: 1.0, beta: 0.0 };
        let (mut outcome, restored) = match unit.state() {
            Some(State::Trained(_)) => return Ok(()),
            Some(State::Training(outcome, snapshot)) => {
                (outcome, problem.restore(Tangents::None, &snapshot))
            }
            None => (Outcome::default(), None),
        };
        let mut run = restored.unwrap_or_else(|| problem.run(Tangents::None, weights));
        let objective = problem.objective_indices();
        let (marks, last) = (self.marks(), self.steps);
        while run.steps() < last {
            let k = run.steps();
            if run.train(&schedule, k..k + 1, &mut |_, _, _| {}).is_err() {
                outcome.diverged_at = Some(k);
                tick(u64::from(last - k));
                break;
            }
            tick(1);
            if marks.get(outcome.losses.len()) == Some(&run.steps()) {
                let found = run.evaluate(Set::Training, &objective);
                outcome.losses.push(found.ok().map(|found| found.loss.value));
            }
            unit.pause(|| State::Training(outcome.clone(), run.snapshot()))?;
        }
        if outcome.diverged_at.is_none() {
            let tested: Vec<u32> = (0..problem.data.len(Set::Test) as u32).collect();
            let found = run.evaluate(Set::Test, &tested);
            outcome.test_error = found.ok().map(|found| 1.0 - found.accuracy);
            outcome.digest = Some(run.digests()[0].to_string());
        }
        unit.leave(State::Trained(outcome))
    }
}

impl Study<'_> {
    /// The layers as results have them, such as 784-100-100-10.
    pub fn layers(&self) -> String {
        let layers: Vec<String> = self.problem.layers.iter().map(ToString::to_string).collect();
        layers.join("-")
    }
}
