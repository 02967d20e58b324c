//! `myopia hypergrad`: one look-ahead, one objective, three derivatives.

use std::io;

use clap::Args;
use myopia_core::backend::Backend;
use myopia_core::real::Real;
use myopia_core::schedule::InverseTime;
use myopia_core::vector::Vector;
use serde::Serialize;
use serde_json::{Map, Value};

use super::options::{Common, PrecisionName, ProblemOptions, ScheduleOptions};
use super::progress;
use crate::engine::{Precision, Work};
use crate::failure::Failure;
use crate::output::npy::{self, Element};
use crate::output::npz::Npz;
use crate::output::{OutputFolder, json, standard};
use crate::problem::{Outlook, Problem, Start};

/// Options of `myopia hypergrad`.
#[derive(Args, Debug, Serialize)]
pub struct Options {
    #[command(flatten)]
    #[serde(flatten)]
    problem: ProblemOptions,
    #[command(flatten)]
    #[serde(flatten)]
    schedule: ScheduleOptions,
    /// Steps to look ahead
    #[arg(long, default_value_t = 100, value_name = "STEPS", allow_negative_numbers = true)]
    horizon: u32,
    /// Write settings, initial and final weights, batches and objective here, for another program to recompute
    #[arg(long, value_name = "DIR")]
    #[serde(skip)]
    export: Option<std::path::PathBuf>,
}

/// What the command prints.
#[derive(Serialize)]
struct Report {
    /// Mean loss of the objective after the horizon, in nats.
    loss: f64,
    d_alpha0: f64,
    d_time_constant: f64,
    d_beta: f64,
    /// Share of the objective's examples classified correctly.
    accuracy: f64,
    /// Digests of the final state: its values, and its tangents.
    digest: String,
    digest_tangents: String,
}

/// `meta.json`: every setting, and what came of it.
#[derive(Serialize)]
struct Meta<'a> {
    version: &'static str,
    seed: u64,
    /// With the layers that were trained, given or not.
    #[serde(flatten)]
    options: Map<String, Value>,
    trained_on: usize,
    #[serde(flatten)]
    report: &'a Report,
}

impl Options {
    pub fn run(self, common: &Common) -> Result<(), Failure> {
        match self.problem.precision {
            PrecisionName::F32 => self.at::<f32>(common),
            PrecisionName::F64 => self.at::<f64>(common),
        }
    }

    fn at<T: Precision + Element>(&self, common: &Common) -> Result<(), Failure> {
        let schedule = self.schedule.schedule::<T>()?;
        let folder = match (&self.export, &common.out) {
            (Some(_), Some(_)) => {
                return Err(Failure::usage(
                    "--export and --out both name a folder; give one of them",
                ));
            }
            (Some(path), None) | (None, Some(path)) => {
                Some(OutputFolder::create_at_once(path, common.force)?)
            }
            (None, None) => None,
        };
        let data = self.problem.load::<T>(common)?;
        let problem = self.problem.problem(common, &data)?;
        let (start, outlook) = T::spread(
            common.isa()?,
            LookAhead { options: self, common, problem: &problem, schedule },
        )?;
        let [d_alpha0, d_time_constant, d_beta] = outlook.objective.loss.tangents.map(T::to_f64);
        let report = Report {
            loss: outlook.objective.loss.value.to_f64(),
            d_alpha0,
            d_time_constant,
            d_beta,
            accuracy: outlook.objective.accuracy.to_f64(),
            digest: format!("{:016x}", outlook.digest_values),
            digest_tangents: format!("{:016x}", outlook.digest_tangents),
        };
        if let Some(folder) = folder {
            let unwritable = |e| Failure::run(format!("the settings cannot be written: {e}"));
            let Value::Object(mut options) = serde_json::to_value(self).map_err(unwritable)? else {
                unreachable!("options are an object")
            };
            options.insert("layers".into(), problem.layers.clone().into());
            let meta = Meta {
                version: env!("CARGO_PKG_VERSION"),
                seed: common.seed,
                options,
                trained_on: problem.trained_on(),
                report: &report,
            };
            export(&folder, &problem, self.horizon, &start.0, &outlook.parameters)?;
            folder.write("meta.json", |w| json::write(w, &meta))?;
            folder.finish()?;
        }
        if common.json {
            return json::print(&report);
        }
        let Report { loss, d_alpha0, d_time_constant, d_beta, digest, digest_tangents, .. } =
            &report;
        let percent = 100.0 * report.accuracy;
        standard::print(|out| {
            let steps = self.horizon;
            writeln!(out, "objective after {steps} steps  {loss:.6} nats, {percent:.2} % correct")?;
            writeln!(out, "d loss / d alpha0          {d_alpha0:+.6e}")?;
            writeln!(out, "d loss / d K               {d_time_constant:+.6e} per step")?;
            writeln!(out, "d loss / d beta            {d_beta:+.6e}")?;
            writeln!(out, "digest                     {digest} (tangents {digest_tangents})")
        })
    }
}

struct LookAhead<'a, T> {
    options: &'a Options,
    common: &'a Common,
    problem: &'a Problem<'a, T>,
    schedule: InverseTime<T>,
}

impl<T: Precision> Work<T> for LookAhead<'_, T> {
    type Output = Result<(Start<T>, Outlook<T>), Failure>;

    fn on<G: Backend<Vector: Vector<Scalar = T>>>(self, engine: G) -> Self::Output {
        let Self { options, common, problem, schedule } = self;
        let start = options.problem.start(engine, problem)?;
        let bar = progress::bar(common, options.horizon.into(), "look-ahead");
        let outlook = problem
            .look_ahead(engine, &start, schedule, options.horizon, || bar.inc(1))
            .map_err(|diverged| {
                Failure::run(format!("training diverged: {diverged}; lower --alpha0 or --horizon"))
            })?;
        bar.finish_and_clear();
        Ok((start, outlook))
    }
}

/// Writes what another program needs in order to recompute the number.
fn export<T: Real + Element>(
    folder: &OutputFolder,
    problem: &Problem<'_, T>,
    horizon: u32,
    start: &[T],
    end: &[T],
) -> Result<(), Failure> {
    let batches = problem.batch_indices(horizon);
    let objective = problem.objective_indices();
    folder.write("init.npz", |w| weights(&problem.layers, start)?.finish(w))?;
    folder.write("final.npz", |w| weights(&problem.layers, end)?.finish(w))?;
    folder.write("batches.npy", |w| npy::write(w, &[horizon as usize, problem.batch], &batches))?;
    folder.write("objective.npy", |w| npy::write(w, &[objective.len()], &objective))
}

/// The arrays w0, b0, w1, b1, …; w is [inputs, outputs].
fn weights<T: Element>(layers: &[usize], mut parameters: &[T]) -> io::Result<Npz> {
    let mut npz = Npz::new();
    for (layer, sizes) in layers.windows(2).enumerate() {
        let (weights, rest) = parameters.split_at(sizes[0] * sizes[1]);
        let (bias, rest) = rest.split_at(sizes[1]);
        parameters = rest;
        npz.array(&format!("w{layer}"), sizes, weights)?;
        npz.array(&format!("b{layer}"), &sizes[1..], bias)?;
    }
    Ok(npz)
}
