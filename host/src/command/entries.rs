//! `myopia meta --every-entry`: every entry of the schedule, by reverse mode.

use clap::Args;
use myopia_backend::awake;
use myopia_core::schedule::Parameter;
use serde::Serialize;

use super::edge::remark_exponent;
use super::hypergrad::{needs_steps_back, sentence, size, too_little};
use super::meta;
use super::options::{Common, afford_record};
use super::outer::within;
use super::progress;
use super::seeds::Seeds;
use crate::command::values::whole;
use myopia::checkpoint::Ledger;
use myopia::descent::Ended;
use myopia::entries::{
    EntryDescent, EntryProgress, EntryRecord, EntryRule, Look, best, columns, figure,
    gradient_norms, records, refined_linear_decay, write_schedule,
};
use myopia::failure::Failure;
use myopia::memory::afford;
use myopia::nqm::judge::Judge;
use myopia::output::{OutputFolder, csv, json, standard};
use myopia::problem::{Entries, InitialParams, Problem, Rates};
use myopia::shown::number;

/// Options of a descent on every entry.
#[derive(Args, Clone, Debug, Serialize)]
pub struct EntryOptions {
    /// Tune the learning rate of every step, from those of alpha0, time-constant and beta on, by
    /// reverse mode; within 1e-6 to 10
    #[arg(long)]
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub every_entry: bool,
    /// With --every-entry: steps that share an entry [default: 1]
    #[arg(
        long, value_name = "STEPS", requires = "every_entry", allow_negative_numbers = true,
        value_parser = whole::<u32>
    )]
    #[serde(skip_serializing_if = "Option::is_none")]
    window: Option<u32>,
    /// With --every-entry: a rate of its own for each layer
    #[arg(long, requires = "every_entry")]
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    by_layer: bool,
    /// With --every-entry: tune momenta too, within 0.0001 to 0.9999
    #[arg(long, requires = "every_entry")]
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    every_momentum: bool,
    /// With --every-entry: by L-BFGS in place of --outer; it stops where it finds nothing lower
    #[arg(long, requires = "every_entry")]
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    lbfgs: bool,
    /// With --every-entry: seeds to average the objective over: how many, from --seed on, or a
    /// range such as 1..5 [default: 1]
    #[arg(long, value_name = "SEEDS", requires = "every_entry", allow_negative_numbers = true)]
    #[serde(skip_serializing_if = "Option::is_none")]
    seeds: Option<Seeds>,
    /// With --every-entry: other weights and batches at each meta-step, of the seeds that follow
    #[arg(long, requires = "every_entry")]
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    fresh: bool,
    /// With --every-entry: most memory that reverse mode may take besides the data [default: 1GiB]
    #[arg(long, value_name = "SIZE", value_parser = size, requires = "every_entry")]
    #[serde(skip)]
    memory: Option<u64>,
}

/// What the command prints as JSON and writes to `meta.json`.
#[derive(Serialize)]
struct Report<'a> {
    version: &'static str,
    seed: u64,
    #[serde(flatten)]
    options: &'a meta::Options,
    /// How many schedules were looked at, when the run was interrupted before the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    partial: Option<usize>,
    /// What was first looked at, what last, and what the objective was lowest with.
    first: EntryRecord,
    last: EntryRecord,
    best: EntryRecord,
    /// Entries of gradients, over all looks, that were beyond --clip; none with L-BFGS.
    clipped: usize,
    /// The finite-time Lyapunov exponent per step of training with the schedule that is written.
    exponent: Option<f64>,
    /// The correlation of its rates with the refined linear decay of its own gradients.
    formula_correlation: Option<f64>,
}

/// A line of `entries.csv`: one window.
#[derive(Serialize)]
struct Entry<'a> {
    window: usize,
    first_step: u32,
    learning_rates: &'a [f64],
    d_learning_rates: &'a [f64],
    momentum: f64,
    d_momentum: Option<f64>,
}

impl meta::Options {
    /// Carries out the command.
    pub fn run_entries(mut self, common: &Common) -> Result<(), Failure> {
        let seeds = self.entries.seeds.as_mut().map(|seeds| seeds.counted(common));
        let (seeds, common) = seeds.unwrap_or_else(|| (1, common.clone()));
        let common = &common;
        self.problem.plain_network("the way back of --every-entry")?;
        let descent = self.entry_descent(seeds as u32)?;
        let folder = self.long.folder(common)?;
        let data = self.problem.load(common)?;
        let problem = self.problem(common, &data)?;
        needs_steps_back("--every-entry", &problem)?;
        let momentum = problem.value(Parameter::Momentum);
        if momentum.is_none() && descent.tunes_momenta {
            return Err(Failure::usage(
                "--every-momentum: this training has no momentum; leave it out",
            ));
        }
        let layers = if self.entries.by_layer { problem.layers.len() - 1 } else { 1 };
        let from = problem.schedule(&descent.from.numbers);
        let descent = EntryDescent { from, momentum: momentum.unwrap_or(0.0), layers, ..descent };
        self.affords_looks(&descent)?;
        self.check_start(&descent)?;
        let experiment = common.experiment("meta", &self, &problem);
        let ledger = Ledger::open(folder.as_ref(), experiment, 1, self.long.opening())?;
        let start = awake(|| ledger.resumable(self.problem.start(&problem)))?;
        let plan = descent
            .plan(&problem, &start)
            .map_err(|least| too_little(descent.memory, descent.seeds, &least))?;
        let runs = u128::from(descent.seeds);
        afford("reverse mode", runs * u128::from(plan.bytes), "give a smaller --memory")?;
        common.remark(sentence(&plan));
        let mut progress: EntryProgress = ledger.unit(0).state().unwrap_or_default();
        let steps = u64::from(descent.seeds) * (plan.forward_steps + u64::from(plan.horizon));
        let all = (u64::from(descent.meta_steps) + 1) * steps;
        let bar =
            progress::bar_from(common, progress.looks.len() as u64 * steps, all, "meta-descent");
        let start_of = |other: &Problem<'_>| match other.seed == problem.seed {
            true => Ok(start.clone()),
            false => ledger.resumable(self.problem.start(other)),
        };
        let ended = awake(|| {
            descent.go_on(
                &problem,
                &start_of,
                &mut progress,
                &ledger.unit(0),
                &|| bar.inc(1),
                &mut |look: &Look| {
                    bar.set_message(format!("loss {:.4}", look.loss.unwrap_or(f64::NAN)));
                },
            )
        });
        bar.finish_and_clear();
        let early = match ended {
            Ok(()) => None,
            Err(Ended::Failed(failure)) if !failure.is_interruption() => return Err(failure),
            Err(ended) => Some(ended),
        };
        let looks = progress.looks;
        let partial = early.is_some();
        let table = records(&looks, descent.rates());
        if let Some(folder) = &folder {
            ledger.save()?;
            folder.write_as(partial, "trajectory.csv", |w| {
                csv::write(w, &EntryRecord::HEADER, &table)
            })?;
        }
        if let Some(Ended::Diverged(diverged)) = &early {
            // It would diverge again.
            ledger.finish()?;
            return Err(Failure::run(diverged.to_string()));
        }
        if let (Some(first), Some(last), Some(lowest)) = (table.first(), table.last(), best(&looks))
        {
            // Losses on other batches each time say little about which schedule is best.
            let kept = if descent.is_fresh { looks.len() - 1 } else { lowest };
            let schedule = descent.schedule(&looks[kept].values);
            // Whoever asks it to stop does not wait for runs of the whole horizon.
            let (exponent, formula) = match partial {
                true => (None, None),
                false => awake(|| {
                    let rates = Rates::Entries(&schedule);
                    let exponent = problem.exponent(&start, rates, self.horizon).ok();
                    (exponent, self.formula(&problem, &start, &descent, &schedule))
                }),
            };
            let report = Report {
                version: env!("CARGO_PKG_VERSION"),
                seed: common.seed,
                options: &self,
                partial: partial.then_some(looks.len()),
                first: *first,
                last: *last,
                best: table[lowest],
                clipped: self.clipped(&descent, &looks),
                exponent,
                formula_correlation: formula.as_ref().and_then(|f| correlation(&schedule, f)),
            };
            if let Some(folder) = &folder {
                let place = (&descent, &looks[kept]);
                self.write(folder, partial, place, &schedule, formula, &table)?;
                folder.write_as(partial, "meta.json", |w| json::write(w, &report))?;
            }
            if !partial {
                ledger.finish()?;
            }
            if common.json {
                json::print(&report)?;
            } else {
                print(&report, &table, &schedule)?;
            }
            self.warn(common, &report);
        }
        early.map_or(Ok(()), |ended| Err(ended.into()))
    }

    /// Refuses --every-entry where a descent on hyperparameters is wanted.
    pub fn refuse_entries(&self, why: &str) -> Result<(), Failure> {
        match self.entries.every_entry {
            false => Ok(()),
            true => Err(Failure::usage(format!("--every-entry: {why}; leave it out"))),
        }
    }

    /// The descent, but for the momentum of the data's problem.
    fn entry_descent(&self, seeds: u32) -> Result<EntryDescent, Failure> {
        let EntryOptions { window, every_momentum, lbfgs, fresh, memory, .. } = self.entries;
        self.check_horizon()?;
        if self.tune.is_some() || !self.outer.rule.fix.is_empty() {
            return Err(Failure::usage(
                "--every-entry tunes the entries of the schedule; leave out --tune and --fix",
            ));
        }
        if self.judge != Judge::Plain {
            return Err(Failure::usage(
                "--every-entry judges by the loss at the end of the look-ahead; leave out --judge",
            ));
        }
        if lbfgs && fresh {
            return Err(Failure::usage(
                "--lbfgs compares objectives, which --fresh makes those of other batches; leave out one of them",
            ));
        }
        if lbfgs {
            self.outer.rule.refuse_chosen("--lbfgs chooses its own steps")?;
        }
        self.family.refuse_file("meta --every-entry")?;
        let window = window.unwrap_or(1);
        if window == 0 || window > self.horizon {
            return Err(Failure::usage(format!(
                "--window {window} must be between 1 and {}, the horizon",
                self.horizon
            )));
        }
        let precision = self.problem.precision();
        let [meta_lr, clip] = self.outer.rule.checked(precision)?;
        let descent = EntryDescent {
            horizon: self.horizon,
            window,
            layers: 1,
            from: self.family.numbers(&self.schedule, precision)?.into(),
            momentum: 0.0,
            tunes_momenta: every_momentum,
            rule: match lbfgs {
                true => EntryRule::Lbfgs,
                false => EntryRule::Outer(self.outer.rule.rule(), meta_lr, clip),
            },
            meta_steps: self.outer.meta_steps,
            seeds,
            is_fresh: fresh,
            memory: memory.unwrap_or(1 << 30),
        };
        Ok(descent)
    }

    /// Refuses more looks than memory has room for.
    fn affords_looks(&self, descent: &EntryDescent) -> Result<(), Failure> {
        let meta_steps = self.outer.meta_steps;
        let momenta = if descent.tunes_momenta { descent.windows() } else { 0 };
        let values = (descent.rates() + momenta) as u128;
        let numbers = (u128::from(meta_steps) + 1) * values;
        let what = format!("--meta-steps {meta_steps} with --horizon {}", self.horizon);
        afford_record(&what, numbers, 2 * size_of::<f64>())
    }

    /// Refuses a start at which an entry is outside its bounds.
    fn check_start(&self, descent: &EntryDescent) -> Result<(), Failure> {
        let [rate, momentum] = descent.limits();
        for (place, value) in descent.first().into_iter().enumerate() {
            let is_rate = place < descent.rates();
            let (name, limits) = if is_rate { ("alpha0", rate) } else { ("momentum", momentum) };
            let limits = myopia_core::meta::Limits { learned: true, ..limits };
            within((name, value), &limits, "choose another schedule to start from")?;
        }
        Ok(())
    }

    /// What the sizes of the gradients in training by `schedule` ask for, with its mean rate; only
    /// of SGD, whose velocity tells them, with one rate for all layers. Nothing where training
    /// diverges.
    fn formula(
        &self,
        problem: &Problem<'_>,
        start: &InitialParams,
        descent: &EntryDescent,
        schedule: &Entries,
    ) -> Option<Entries> {
        if problem.optimizer.is_some() || descent.layers > 1 {
            return None;
        }
        let norms = gradient_norms(problem, start, schedule).ok()?;
        let rates = schedule.rates().iter();
        let mean = rates.fold(0.0, |sum, rate| sum + rate) / f64::from(descent.horizon);
        let rates: Vec<f64> = refined_linear_decay(&norms).iter().map(|rate| mean * rate).collect();
        let momenta = vec![descent.momentum; rates.len()];
        Some(Entries::new(rates, momenta))
    }

    fn clipped(&self, descent: &EntryDescent, looks: &[Look]) -> usize {
        let EntryRule::Outer(_, _, clip) = descent.rule else { return 0 };
        let beyond =
            |look: &Look| look.gradient(descent.rates()).iter().filter(|x| x.abs() > clip).count();
        looks.iter().fold(0, |count, look| count + beyond(look))
    }

    fn warn(&self, common: &Common, report: &Report<'_>) {
        if report.partial.is_none() {
            remark_exponent(common, "training with the tuned schedule", report.exponent);
        }
        if report.clipped > 0 {
            common.remark(format!(
                "{} entries of gradients were beyond --clip {}",
                report.clipped, self.outer.rule.clip
            ));
        }
    }

    fn write(
        &self,
        folder: &OutputFolder,
        partial: bool,
        (descent, look): (&EntryDescent, &Look),
        schedule: &Entries,
        formula: Option<Entries>,
        table: &[EntryRecord],
    ) -> Result<(), Failure> {
        folder.write_as(partial, "schedule.csv", |w| write_schedule(w, schedule))?;
        let windows = descent.windows();
        let entry = |window: usize| {
            let first_step = window as u32 * descent.window;
            let (learning_rates, momentum) = schedule.step(first_step as usize);
            let d_learning_rates = &look.derivatives[window * descent.layers..][..descent.layers];
            Entry {
                window,
                first_step,
                learning_rates,
                d_learning_rates,
                momentum,
                d_momentum: look.derivatives.get(descent.rates() + window).copied(),
            }
        };
        let of_layers = |name| columns(name, descent.layers);
        let header = [
            ["window", "first_step"].map(str::to_owned).to_vec(),
            of_layers("learning_rate"),
            of_layers("d_learning_rate"),
            ["momentum", "d_momentum"].map(str::to_owned).to_vec(),
        ]
        .concat();
        folder.write_as(partial, "entries.csv", |w| {
            csv::write(w, &header, (0..windows).map(entry))
        })?;
        let mut drawn =
            vec![("start", descent.schedule(&descent.first())), ("tuned", schedule.clone())];
        if let Some(formula) = formula {
            folder.write_as(partial, "formula.csv", |w| write_schedule(w, &formula))?;
            drawn.push(("by the gradients' norms", formula));
        }
        figure(&drawn, descent.tunes_momenta, table, partial).write(folder, partial, "entries")
    }
}

/// The correlation of two schedules' rates, if both vary.
fn correlation(a: &Entries, b: &Entries) -> Option<f64> {
    let centred = |entries: &Entries| -> Vec<f64> {
        let rates = entries.rates();
        let mean = rates.iter().fold(0.0, |sum, x| sum + x) / rates.len() as f64;
        rates.iter().map(|x| x - mean).collect()
    };
    let (a, b) = (centred(a), centred(b));
    let product = |a: &[f64], b: &[f64]| a.iter().zip(b).fold(0.0, |sum, (x, y)| sum + x * y);
    let size = libm::sqrt(product(&a, &a) * product(&b, &b));
    (size > 0.0).then(|| product(&a, &b) / size)
}

fn print(report: &Report<'_>, table: &[EntryRecord], schedule: &Entries) -> Result<(), Failure> {
    let every = (table.len() / 20).max(1);
    let last = table.len() - 1;
    standard::print(|out| {
        if let Some(found) = report.partial {
            writeln!(out, "{found} schedules (partial)")?;
        }
        writeln!(
            out,
            "{:>9}  {:>10}  {:>10}  {:>10}  {:>10}",
            "meta-step", "loss", "gradient", "least rate", "greatest"
        )?;
        for (place, record) in table.iter().enumerate() {
            if place % every != 0 && place != last {
                continue;
            }
            let loss = record.loss.map_or("-".to_owned(), |loss| number(loss, 6));
            writeln!(
                out,
                "{:>9}  {loss:>10}  {:>10}  {:>10}  {:>10}",
                record.meta_step,
                number(record.gradient_norm, 6),
                number(record.least_rate, 6),
                number(record.greatest_rate, 5),
            )?;
        }
        let layers = schedule.rates_of_a_step();
        (0..layers).try_for_each(|layer| {
            let rates: Vec<String> = (0..=10)
                .map(|tenth| schedule.step((schedule.steps() - 1) * tenth / 10).0[layer])
                .map(|rate| number(rate, 4))
                .collect();
            let of_layer = match layers {
                1 => String::new(),
                _ => format!(" in layer {}", layer + 1),
            };
            writeln!(out, "rates{of_layer} at tenths of the run: {}", rates.join(" "))
        })
    })
}
