//! `myopia bilevel warm distill`: images distilled into a few learned ones.

use clap::Args;
use myopia_bilevel::warm::{Distillation, DistillationEnd, DistillationSettings};
use rayon::prelude::*;

use super::images::{ImageOptions, Judged};
use super::warm::{folder, name};
use super::{failure, mean_spread};
use crate::command::options::Common;
use crate::command::seeds::Seeds;
use crate::command::values::whole;
use myopia::failure::Failure;
use myopia::figure::{Axis, Figure, Lines, Series};
use myopia::output::{csv, json, standard};

/// Options of `myopia bilevel warm distill`.
#[derive(Args, Debug)]
pub struct Options {
    #[command(flatten)]
    images: ImageOptions,
    /// Numbers of learned examples
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "1,10",
        value_name = "N,…",
        allow_negative_numbers = true, value_parser = whole::<u32>)]
    examples: Vec<u32>,
    /// Rate of the inner steps
    #[arg(long, default_value_t = 0.2, value_name = "A", allow_negative_numbers = true)]
    inner_rate: f64,
    /// Inner steps before each outer step
    #[arg(
        long, default_value_t = 20, value_name = "T", allow_negative_numbers = true,
        value_parser = whole::<u32>
    )]
    inner_steps: u32,
    /// Adam's rate on the learned examples
    #[arg(long, default_value_t = 0.05, value_name = "B", allow_negative_numbers = true)]
    outer_rate: f64,
    /// Outer steps
    #[arg(
        long, default_value_t = 1_500, value_name = "N", allow_negative_numbers = true,
        value_parser = whole::<u32>
    )]
    outer_steps: u32,
    /// Images of one outer step
    #[arg(
        long, default_value_t = 50, value_name = "N", allow_negative_numbers = true,
        value_parser = whole::<u32>
    )]
    batch: u32,
    /// Repetitions, each with a seed: how many, from --seed on, or a range such as 1..5
    #[arg(long, default_value = "3", value_name = "SEEDS", allow_negative_numbers = true)]
    seeds: Seeds,
}

/// The most learned examples.
const MOST: u32 = 1_000;

impl Options {
    pub fn run(self, common: &Common) -> Result<(), Failure> {
        if self.examples.iter().any(|n| *n > MOST) {
            return Err(Failure::usage(format!("--examples may be {MOST} at most")));
        }
        let folder = folder(common)?;
        let (seeds, common) = &Seeds::resolve(&mut Some(self.seeds), common)?;
        let loaded = self.images.load(common, Judged::Test, 10_000, 10_000)?;
        let settings = DistillationSettings {
            inner_rate: self.inner_rate,
            inner_steps: self.inner_steps,
            outer_rate: self.outer_rate,
            outer_steps: self.outer_steps,
            batch: self.batch,
        };
        let problem =
            Distillation::new(loaded.network, &loaded.training, settings).map_err(failure)?;
        let mut all = Vec::new();
        for examples in &self.examples {
            for seed in seeds.clone() {
                all.extend([false, true].map(|warm| (*examples as usize, seed, warm)));
            }
        }
        // The longest first, for both threads to end together.
        all.reverse();
        let run = |&(examples, seed, warm): &(usize, u64, bool)| {
            let end = problem.run(examples, warm, seed, &loaded.judged)?;
            common.remark(format!(
                "{examples} learned, {} start, seed {seed}: accuracy {:.3}",
                name(warm),
                end.accuracy
            ));
            Ok(end)
        };
        let mut ends: Vec<DistillationEnd> =
            all.par_iter().map(run).collect::<Result<_, _>>().map_err(failure)?;
        ends.reverse();
        if let Some(folder) = folder {
            let header =
                ["examples", "seed", "start", "accuracy", "loss", "retrained", "converged"];
            let rows = ends.iter().map(|e| {
                (e.examples, e.seed, name(e.warm), e.accuracy, e.loss, e.retrained, e.converged)
            });
            folder.write("distill.csv", |w| csv::write(w, &header, rows))?;
            folder.write("distill.json", |w| {
                json::write(
                    w,
                    &serde_json::json!({ "command": "bilevel", "study": "distill", "settings": settings, "ends": ends }),
                )
            })?;
            figure(&ends).write(&folder, false, "distill")?;
            folder.finish()?;
        }
        match common.json {
            true => json::print(&ends),
            false => standard::print(|out| table(out, &ends)),
        }
    }
}

/// Losses of the first seed, smoothed over a fiftieth of the run.
fn figure(ends: &[DistillationEnd]) -> Figure {
    let mut figure = Figure::new("Distilled images: cold and warm starts").columns(2);
    let mut counts: Vec<usize> = ends.iter().map(|e| e.examples).collect();
    counts.dedup();
    let first = ends.first().map_or(0, |e| e.seed);
    for count in counts {
        let loss = Axis::log("cross-entropy of real images");
        let title = format!("{count} learned");
        let mut panel = Lines::new(title, Axis::linear("outer step"), loss);
        for end in ends.iter().filter(|e| e.examples == count && e.seed == first) {
            let width = if end.losses.len() < 50 { 1 } else { end.losses.len() / 50 };
            let points = end.losses.chunks(width).enumerate().map(|(i, part)| {
                let mean = myopia_core::sum::sum(part.iter().copied()) / part.len() as f64;
                ((i * width) as f64, mean)
            });
            panel = panel.series(Series::new(name(end.warm), points));
        }
        figure = figure.panel(panel);
    }
    figure
}

fn table(out: &mut dyn std::io::Write, ends: &[DistillationEnd]) -> std::io::Result<()> {
    writeln!(out, "learned  start  accuracy         retrained        trained on")?;
    let mut groups: Vec<(usize, bool)> = ends.iter().map(|e| (e.examples, e.warm)).collect();
    groups.sort_unstable();
    groups.dedup();
    for (examples, warm) in groups {
        let of = |f: fn(&DistillationEnd) -> f64| {
            let own = ends.iter().filter(|e| e.examples == examples && e.warm == warm);
            let (mean, spread) = mean_spread(&own.map(f).collect::<Vec<_>>());
            format!("{:5.1} ± {:4.1} %", 100.0 * mean, 100.0 * spread)
        };
        writeln!(
            out,
            "{examples:>7}  {:<5}  {}   {}   {}",
            name(warm),
            of(|e| e.accuracy),
            of(|e| e.retrained),
            of(|e| e.converged)
        )?;
    }
    writeln!(
        out,
        "Accuracy on test images: of the weights at the end, of fresh ones after T steps on what was learned, and after\n\
         a hundred times as many; mean and standard deviation over the seeds."
    )
}
