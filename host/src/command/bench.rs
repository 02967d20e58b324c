//! `myopia bench`: what a step costs on this processor.

use std::path::{Path, PathBuf};

use clap::Args;
use myopia_backend::Isa;
use myopia_core::schedule::PARAMETERS;
use serde::Serialize;

use super::options::Common;
use myopia::bench::{self, CASES, Images, Measure, Measured};
use myopia::failure::Failure;
use myopia::output::{json, standard};
use myopia::precision::{Float, Precision};
use myopia::problem::{Examples, Source};
use myopia::provenance;

/// Options of `myopia bench`.
#[derive(Args, Debug)]
pub struct Options {
    /// Folder with the four MNIST files, to take its images in place of synthetic ones with as many
    /// zeros
    #[arg(long, value_name = "DIR")]
    mnist_dir: Option<PathBuf>,
    /// Leave out the network of four layers of 1,000 units
    #[arg(long)]
    small: bool,
}

/// What images are called that were read from files.
const MNIST: &str = "MNIST";

/// What `--json` prints.
#[derive(Serialize)]
struct Report {
    processor: String,
    /// The commit of the checkout that the program was built from, as it is now.
    commit: Option<String>,
    measured: Vec<Measured>,
}

impl Options {
    pub fn run(self, common: &Common) -> Result<(), Failure> {
        if common.out.is_some() {
            return Err(Failure::usage("bench writes no files; leave --out away and use --json"));
        }
        let isas: Vec<Isa> = match common.isa {
            Some(_) => vec![common.isa()?],
            None => Isa::ALL.iter().copied().filter(|isa| isa.available()).collect(),
        };
        let dense = bench::synthetic(Images::Dense);
        let (sparse, named) = match &self.mnist_dir {
            Some(folder) => {
                let source = Source::Mnist(Some(folder.clone()));
                let data = source.load(Precision::F32, |remark| common.remark(remark))?;
                match data.examples {
                    Examples::F32(sets) => (sets.training, MNIST),
                    Examples::F64(_) => unreachable!("loaded in single precision"),
                }
            }
            None => (bench::synthetic(Images::Sparse), "strokes"),
        };
        let mut measured: Vec<Measured> = Vec::new();
        let cases = CASES.iter().filter(|case| !self.small || case.layers.len() == 4);
        let peaks: Vec<f64> = isas.iter().map(|&isa| (bench::diagnostics(isa).peak)()).collect();
        for case in cases {
            let (images, named) = match case.images {
                Images::Sparse => (&sparse, named),
                Images::Dense => (&dense, "no zeros"),
            };
            let first = measured.len();
            for (&isa, &peak_gflops) in isas.iter().zip(&peaks) {
                let images = (images, images.len());
                let at = Measure { case, isa, images, named, peak_gflops };
                let models = f32::models(isa);
                measured.push(at.run(models.plain, []));
                measured.push(at.run(models.schedule, PARAMETERS));
            }
            let of_this = &measured[first..];
            let [values, tangents] = match named == MNIST {
                true => &of_this[1].digests,
                false => &case.digests.map(String::from),
            };
            let other = |m: &&Measured| {
                m.digests[0] != *values || m.tangents > 0 && m.digests[1] != *tangents
            };
            if let Some(m) = of_this.iter().find(other) {
                return Err(Failure::run(format!(
                    "{} steps of {:?} with {} tangents on {} end with the digests {:?} and not {values}, {tangents}; \
                     please report this processor",
                    case.steps, case.layers, m.tangents, m.isa, m.digests
                )));
            }
        }
        let commit = provenance::commit(Path::new(env!("CARGO_MANIFEST_DIR")));
        let report = Report { processor: processor(), commit, measured };
        if common.json {
            return json::print(&report);
        }
        standard::print(|out| {
            let commit = report.commit.as_deref().unwrap_or("unknown");
            writeln!(out, "{}, one thread, at commit {commit}\n", report.processor)?;
            bench::print(out, &report.measured)
        })
    }
}

/// What this processor calls itself; its architecture where nobody says.
fn processor() -> String {
    let name = brand();
    let name = name.trim();
    if name.is_empty() { std::env::consts::ARCH.into() } else { name.into() }
}

#[cfg(target_os = "linux")]
fn brand() -> String {
    let about = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let mut fields = about.lines().filter_map(|line| line.split_once(':'));
    fields
        .find_map(|(name, value)| (name.trim() == "model name").then(|| value.to_owned()))
        .unwrap_or_default()
}

#[cfg(not(target_os = "linux"))]
fn brand() -> String {
    let mut system = sysinfo::System::new();
    system.refresh_cpu_all();
    system.cpus().first().map_or_else(String::new, |cpu| cpu.brand().to_owned())
}
