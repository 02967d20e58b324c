//! Offline meta-descent: the same look-ahead again and again, the schedule moved a little each
//! time.

use std::collections::BTreeMap;
use std::io::{self, Write};

use myopia_core::mlp::Quantity;
use myopia_core::schedule::{InverseTime, PARAMETERS, Parameter};
use myopia_core::unroll::Diverged;
use serde::de::DeserializeOwned;
use serde::ser::SerializeMap;
use serde::{Deserialize, Serialize, Serializer};

use crate::checkpoint::Keeper;
use crate::failure::Failure;
use crate::nqm::judge::Judge;
use crate::outer::{OuterOptimizer, TUNABLE};
use crate::output::csv;
use crate::problem::{InitialParams, Problem, Set, Snapshot, Tangents, TrainingRun};

/// One line of `trajectory.csv`: hyperparameters, the objective they reach, and the derivatives
/// there.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// How many meta-steps came before.
    pub meta_step: u32,
    /// The hyperparameters of [`Parameter::ALL`], in their order; zero those that have no column.
    pub values: [f64; TUNABLE],
    /// The objective after the horizon, in nats.
    pub loss: f64,
    /// ∂loss/∂η of each that is tuned, else zero.
    pub derivatives: [f64; TUNABLE],
}

/// The columns of a trajectory: the schedule and whatever else is tuned, the objective, the
/// derivatives by what is tuned.
pub struct Columns<'a> {
    /// What the schedule has.
    pub schedule: &'static [Parameter],
    /// What is tuned.
    pub tuned: &'a [Parameter],
}

impl Default for Columns<'_> {
    fn default() -> Self {
        Self { schedule: &PARAMETERS, tuned: &PARAMETERS }
    }
}

impl Columns<'_> {
    /// The hyperparameters that have a column.
    pub fn values(&self) -> impl Iterator<Item = Parameter> {
        let others = self.tuned.iter().filter(|tuned| !self.schedule.contains(tuned));
        self.schedule.iter().chain(others).copied()
    }

    /// Their names in a CSV file.
    pub fn header(&self) -> Vec<String> {
        let values = self.values().map(|parameter| parameter.name().to_owned());
        let derivatives = self.tuned.iter().map(|parameter| format!("d_{}", parameter.name()));
        let first = ["meta_step".to_owned()].into_iter().chain(values);
        first.chain(["loss".to_owned()]).chain(derivatives).collect()
    }

    /// The numbers of `record`, one for each column.
    pub fn row(&self, record: &Record) -> (u32, Vec<f64>) {
        let values = self.values().map(|parameter| record.value(parameter));
        let derivatives = self.tuned.iter().map(|&parameter| record.derivative(parameter));
        (record.meta_step, values.chain([record.loss]).chain(derivatives).collect())
    }

    /// `record` as JSON, a field for each column.
    pub fn named<'a>(&'a self, record: &'a Record) -> Named<'a> {
        Named(self, record)
    }

    /// The record that a row of a table holds, by the names of its columns.
    pub(crate) fn record(&self, row: &Row) -> Option<Record> {
        let field = |name: &str| row.get(name).copied();
        let mut record = Record {
            meta_step: count(field("meta_step")?)?,
            values: [0.0; TUNABLE],
            loss: field("loss")?,
            derivatives: [0.0; TUNABLE],
        };
        for parameter in self.values() {
            record.values[parameter as usize] = field(parameter.name())?;
        }
        for &parameter in self.tuned {
            record.derivatives[parameter as usize] = field(&format!("d_{}", parameter.name()))?;
        }
        Some(record)
    }

    /// The trajectory that [`write`](Self::write) wrote, to the bit.
    ///
    /// # Errors
    /// When it is none, or records are missing from it.
    pub fn read(&self, table: &[u8]) -> Result<Vec<Record>, Failure> {
        const FILE: &str = "trajectory.csv";
        let rows: Vec<Row> = earlier(FILE, table)?;
        let records: Option<Vec<Record>> = rows.iter().map(|row| self.record(row)).collect();
        let records = records.ok_or_else(|| without_columns(FILE))?;
        in_order(FILE, &records)?;
        Ok(records)
    }

    /// Writes a trajectory as CSV, a line for each record.
    ///
    /// # Errors
    /// When the writer fails.
    pub fn write(&self, to: &mut dyn Write, records: &[Record]) -> io::Result<()> {
        csv::write(to, &self.header(), records.iter().map(|record| self.row(record)))
    }
}

/// A record as a map, a field for each column.
pub struct Named<'a>(&'a Columns<'a>, &'a Record);

impl Serialize for Named<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (meta_step, numbers) = self.0.row(self.1);
        let mut map = serializer.serialize_map(None)?;
        let mut header = self.0.header().into_iter();
        map.serialize_entry(&header.next().unwrap_or_default(), &meta_step)?;
        header.zip(numbers).try_for_each(|(name, x)| map.serialize_entry(&name, &x))?;
        map.end()
    }
}

impl Record {
    /// The record of a schedule and its objective.
    pub fn new(
        meta_step: u32,
        schedule: InverseTime<f64>,
        loss: f64,
        derivatives: [f64; 3],
    ) -> Self {
        let wide = |three: [f64; 3]| {
            std::array::from_fn(|which| three.get(which).copied().unwrap_or_default())
        };
        let values = wide(schedule.parameters());
        Self { meta_step, values, loss, derivatives: wide(derivatives) }
    }

    /// A hyperparameter.
    pub fn value(&self, parameter: Parameter) -> f64 {
        self.values[parameter as usize]
    }

    /// ∂loss/∂η of a hyperparameter that is tuned.
    pub fn derivative(&self, parameter: Parameter) -> f64 {
        self.derivatives[parameter as usize]
    }

    /// `problem` with its values of what was tuned.
    pub fn of<'a>(&self, problem: &Problem<'a>, tuned: &[Parameter]) -> Problem<'a> {
        let value = |parameter: &Parameter| (*parameter, self.value(*parameter));
        problem.clone().with_values(tuned.iter().map(value))
    }

    /// α₀, K and β.
    pub fn schedule(&self) -> InverseTime<f64> {
        let [alpha0, time_constant, beta] = PARAMETERS.map(|parameter| self.value(parameter));
        InverseTime { alpha0, time_constant, beta }
    }
}

/// A row of a table of numbers, by the names of its columns.
pub(crate) type Row = BTreeMap<String, f64>;

/// The whole number that a field holds.
pub(crate) fn count(field: f64) -> Option<u32> {
    let number = field as u32;
    (f64::from(number) == field).then_some(number)
}

/// Why a table is none of a run's records.
pub(crate) fn without_columns(file: &str) -> Failure {
    Failure::run(format!(
        "{file} cannot be gone on from: its columns are not those of this run; begin again with --force"
    ))
}

/// The rows of an earlier run's `file`, which is `table`.
pub(crate) fn earlier<R: DeserializeOwned>(file: &str, table: &[u8]) -> Result<Vec<R>, Failure> {
    csv::read(table).map_err(|e| Failure::run(format!("{file} cannot be gone on from: {e}")))
}

/// Refuses records in `file` that are not those of meta-steps 0, 1, 2, …
pub(crate) fn in_order(file: &str, records: &[Record]) -> Result<(), Failure> {
    match (0..).zip(records).find(|(number, record)| record.meta_step != *number) {
        None => Ok(()),
        Some((number, _)) => Err(Failure::run(format!(
            "{file} cannot be gone on from: meta-step {number} is missing; begin again with --force"
        ))),
    }
}

/// The record with the lowest objective, the first of several.
pub fn best(records: &[Record]) -> Option<&Record> {
    records.iter().reduce(|best, record| if record.loss < best.loss { record } else { best })
}

/// A look-ahead left the finite range.
#[derive(Clone, Debug, PartialEq)]
pub struct DivergedAt {
    /// How many meta-steps came before.
    pub meta_step: u32,
    /// The hyperparameters with which it did, by name.
    pub with: Vec<(&'static str, f64)>,
    /// Where.
    pub diverged: Diverged,
}

impl std::fmt::Display for DivergedAt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { meta_step, with, diverged } = self;
        let with: Vec<String> = with.iter().map(|(name, x)| format!("{name} = {x}")).collect();
        let with = with.join(", ");
        if let Quantity::Inverse(_) = diverged.quantity {
            return write!(
                f,
                "meta-step {meta_step}: with {with} K-FAC stopped: {diverged}; start from a larger damping"
            );
        }
        write!(
            f,
            "meta-step {meta_step}: with {with} training diverged: {diverged}; start from a smaller alpha0 or take smaller \
             meta-steps (--meta-lr)"
        )
    }
}

/// How a meta-descent runs.
pub struct MetaDescent {
    /// Where the schedule starts, exact in the problem's float. The optimiser's hyperparameters
    /// start with the problem's.
    pub schedule: InverseTime<f64>,
    /// What is tuned, each once.
    pub tuned: Vec<Parameter>,
    /// The outer optimizer, fresh, which learns no more than that.
    pub outer: OuterOptimizer,
    /// T, the steps of each unroll.
    pub horizon: u32,
    /// What their end is judged by; the loss there, after a cool-down, or of an average.
    pub judge: Judge,
    /// How many meta-steps.
    pub meta_steps: u32,
}

/// How far a meta-descent has come, for a checkpoint. The outer optimizer's state follows from the
/// records.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// What was found.
    pub records: Vec<Record>,
    /// The derivatives that the finished passes of the record to come have found, three each.
    pub passes: Vec<[f64; 3]>,
    /// The unroll under way.
    pub unroll: Option<Snapshot>,
}

/// Why a meta-descent ended before its last meta-step.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Ended {
    /// Training diverged.
    #[error("{0}")]
    Diverged(DivergedAt),
    /// It was interrupted, or its state could not be kept.
    #[error("{0}")]
    Failed(#[from] Failure),
}

impl From<Ended> for Failure {
    fn from(ended: Ended) -> Self {
        match ended {
            Ended::Diverged(diverged) => Self::run(diverged.to_string()),
            Ended::Failed(failure) => failure,
        }
    }
}

impl MetaDescent {
    /// How many steps of training it takes in all, and how many of them `progress` has behind it.
    pub fn steps(&self, progress: &Progress) -> (u64, u64) {
        let passes = Tangents::passes(&self.tuned).len() as u64;
        let unrolls = progress.records.len() as u64 * passes + progress.passes.len() as u64;
        let under_way = progress.unroll.as_ref().map_or(0, |snapshot| u64::from(snapshot.steps));
        let horizon = u64::from(self.unrolled());
        let all = (u64::from(self.meta_steps) + 1) * passes * horizon;
        (all, unrolls * horizon + under_way)
    }

    /// The steps of each unroll with those that the judge adds.
    pub fn unrolled(&self) -> u32 {
        self.horizon.saturating_add(self.judge.cooldown() as u32)
    }

    /// The columns of its trajectory on `problem`.
    pub fn columns(&self, problem: &Problem<'_>) -> Columns<'_> {
        Columns { schedule: problem.of_rates(), tuned: &self.tuned }
    }

    /// Step `k` of an unroll: one of the schedule's or, after the horizon, of the cool-down, whose
    /// rates are shares of the schedule's last one.
    fn step(
        &self,
        run: &mut dyn TrainingRun,
        schedule: &InverseTime<f64>,
        k: u32,
        tick: &mut dyn FnMut(),
    ) -> Result<(), Diverged> {
        match (k.checked_sub(self.horizon), self.judge) {
            (Some(cooled), judge) => {
                let share = judge.factor(cooled as usize);
                run.step_as(schedule, self.horizon.saturating_sub(1), share)?;
                tick();
            }
            (None, Judge::Average(gamma)) => {
                if k == 0 {
                    run.average(gamma);
                }
                run.train(schedule, k..k + 1, &mut |_, _, _| tick())?;
                run.average(gamma);
            }
            (None, _) => run.train(schedule, k..k + 1, &mut |_, _, _| tick())?,
        }
        Ok(())
    }

    /// Runs it from `start`: `meta_steps + 1` records, the first at the schedule it starts from.
    /// `tick` is called after each step of training, `observe` with each record.
    ///
    /// # Errors
    /// When an unroll diverges.
    pub fn run(
        self,
        problem: &Problem<'_>,
        start: &InitialParams,
        tick: &mut dyn FnMut(),
        observe: &mut dyn FnMut(&Record),
    ) -> Result<(), Ended> {
        self.go_on(problem, start, &mut Progress::default(), &(), tick, observe)
    }

    /// Goes on from `progress`, the same descent's, to the same bits as if it had never ended.
    /// `progress` then holds all records, also when the descent ends early; between steps it is
    /// left with `keeper`.
    ///
    /// # Errors
    /// When an unroll diverges, or `keeper` refuses to go on.
    pub fn go_on(
        &self,
        problem: &Problem<'_>,
        start: &InitialParams,
        progress: &mut Progress,
        keeper: &impl Keeper<Progress>,
        tick: &mut dyn FnMut(),
        observe: &mut dyn FnMut(&Record),
    ) -> Result<(), Ended> {
        let mut outer = self.outer;
        let objective_set = problem.objective_indices();
        let passes = Tangents::passes(&self.tuned);
        let columns = self.columns(problem);
        let Progress { records, passes: found, unroll } = progress;
        let mut here = Record::new(0, self.schedule, 0.0, [0.0; 3]);
        for parameter in columns.values() {
            let value = &mut here.values[parameter as usize];
            *value = problem.value(parameter).unwrap_or(*value);
        }
        for record in &*records {
            here.values = outer.update(record.values, record.derivatives);
        }
        while records.len() as u64 <= u64::from(self.meta_steps) {
            here.meta_step = records.len() as u32;
            let schedule = here.schedule();
            let at = here;
            let diverged = |diverged: Diverged| {
                let with = columns.values().map(|p| (p.heading(), at.value(p))).collect();
                Ended::Diverged(DivergedAt { meta_step: at.meta_step, with, diverged })
            };
            let there = here.of(problem, &self.tuned);
            for tangents in passes.iter().skip(found.len()) {
                let restored = match unroll.take() {
                    Some(snapshot) => there.restore(*tangents, &snapshot),
                    None => None,
                };
                let mut run = restored.unwrap_or_else(|| there.run(*tangents, start));
                // A snapshot holds no average: such an unroll is begun again.
                let kept = !matches!(self.judge, Judge::Average(_));
                for k in run.steps()..self.unrolled() {
                    self.step(&mut *run, &schedule, k, tick).map_err(diverged)?;
                    keeper.pause(|| Progress {
                        records: records.clone(),
                        passes: found.clone(),
                        unroll: kept.then(|| run.snapshot()),
                    })?;
                }
                let objective = run.evaluate_average(Set::Training, &objective_set);
                let objective = objective.map_err(diverged)?;
                // Each pass finds the same value.
                here.loss = objective.loss.value;
                found.push(objective.loss.tangents);
            }
            for (parameter, slope) in self.tuned.iter().zip(found.drain(..).flatten()) {
                here.derivatives[*parameter as usize] = slope;
            }
            observe(&here);
            records.push(here);
            here.values = outer.update(here.values, here.derivatives);
        }
        Ok(())
    }
}
