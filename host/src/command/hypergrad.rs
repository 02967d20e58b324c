//! `myopia hypergrad`: one look-ahead, one objective, three derivatives.

use std::io;

use clap::Args;
use myopia_backend::awake;
use myopia_core::schedule::InverseTime;
use serde::Serialize;
use serde_json::{Map, Value};

use super::options::{Common, ProblemOptions, ScheduleOptions};
use super::progress;
use myopia::failure::Failure;
use myopia::output::npy;
use myopia::output::npz::Npz;
use myopia::output::{OutputFolder, json, standard};
use myopia::precision::Numbers;
use myopia::problem::{Hypergradient, InitialParams, Problem};

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
        let schedule = self.schedule.schedule(self.problem.precision())?;
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
        let data = self.problem.load(common)?;
        let problem = self.problem.problem(common, &data)?;
        let (start, found) = awake(|| self.unroll(common, &problem, &schedule))?;
        let [d_alpha0, d_time_constant, d_beta] = found.objective.loss.tangents;
        let [digest, digest_tangents] = found.digests.map(|digest| digest.to_string());
        let report = Report {
            loss: found.objective.loss.value,
            d_alpha0,
            d_time_constant,
            d_beta,
            accuracy: found.objective.accuracy,
            digest,
            digest_tangents,
        };
        if let Some(folder) = folder {
            let unwritable = |e| Failure::run(format!("the settings cannot be written: {e}"));
            let Value::Object(mut options) = serde_json::to_value(&self).map_err(unwritable)?
            else {
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
            export(&folder, &problem, self.horizon, &start.0, &found.parameters)?;
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

    /// Initial parameters, and the hypergradient of training from there.
    fn unroll(
        &self,
        common: &Common,
        problem: &Problem<'_>,
        schedule: &InverseTime<f64>,
    ) -> Result<(InitialParams, Hypergradient), Failure> {
        let start = self.problem.start(problem)?;
        let bar = progress::bar(common, self.horizon.into(), "look-ahead");
        let found = problem
            .hypergradient(&start, schedule, self.horizon, &mut || bar.inc(1))
            .map_err(|diverged| {
                Failure::run(format!("training diverged: {diverged}; lower --alpha0 or --horizon"))
            })?;
        bar.finish_and_clear();
        Ok((start, found))
    }
}

/// Writes what another program needs in order to recompute the number.
fn export(
    folder: &OutputFolder,
    problem: &Problem<'_>,
    horizon: u32,
    start: &Numbers,
    end: &Numbers,
) -> Result<(), Failure> {
    let batches = problem.batch_indices(horizon);
    let objective = problem.objective_indices();
    folder.write("init.npz", |w| weights(&problem.layers, start)?.finish(w))?;
    folder.write("final.npz", |w| weights(&problem.layers, end)?.finish(w))?;
    folder.write("batches.npy", |w| npy::write(w, &[horizon as usize, problem.batch], &batches))?;
    folder.write("objective.npy", |w| npy::write(w, &[objective.len()], &objective))
}

/// The arrays w0, b0, w1, b1, …; w is [inputs, outputs].
fn weights(layers: &[usize], parameters: &Numbers) -> io::Result<Npz> {
    match parameters {
        Numbers::F32(parameters) => weights_of(layers, parameters),
        Numbers::F64(parameters) => weights_of(layers, parameters),
    }
}

fn weights_of<T: npy::Element>(layers: &[usize], mut parameters: &[T]) -> io::Result<Npz> {
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
