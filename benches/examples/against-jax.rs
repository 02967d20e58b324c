//! The step of the paper's network beside a peer's, in turn, as ratios:
//!
//! ```text
//! cargo run --release --package myopia-benches --example against-jax -- python3 jax_hypergrad.py --threads 1 --mnist DIR
//! ```
//!
//! The command after `--` must print one JSON line for each variant, with `variant` and `us_per_step.median`. It runs three
//! times, and before and after each run the same steps are timed here, on one thread. Medians of all, and the digest.

use std::process::{Command, ExitCode};
use std::time::Instant;

use myopia::engine::{Isa, Precision, Work};
use myopia::problem::Data;
use myopia_benches::{images, paper_network, schedule, start};
use myopia_core::engine::Engine;
use myopia_core::schedule::{PARAMETERS, Parameter};
use myopia_core::vector::Vector;

/// Steps of a timed run, as many as the peers take.
const STEPS: u32 = 200;

struct Timed<'a, const P: usize> {
    data: &'a Data<f32>,
    directions: [Parameter; P],
}

impl<const P: usize> Work<f32> for Timed<'_, P> {
    /// Microseconds per step, and the digest of the values.
    type Output = (f64, u64);

    fn on<G: Engine<Vector: Vector<Scalar = f32>>>(self, engine: G) -> Self::Output {
        let problem = paper_network(self.data);
        let mut run = problem.run::<G, P>(engine, &start(&problem, engine));
        let schedule = schedule().with_tangents(self.directions);
        let started = Instant::now();
        run.train(&schedule, 0..STEPS, |_, _, _| {}).expect("the schedule keeps training finite");
        (started.elapsed().as_secs_f64() * 1e6 / f64::from(STEPS), run.digests().0)
    }
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times.get(times.len() / 2).copied().unwrap_or(f64::NAN)
}

fn main() -> ExitCode {
    let command: Vec<String> = std::env::args().skip(1).collect();
    let Some((program, arguments)) = command.split_first() else {
        eprintln!(
            "name the peer's command after --, for example: -- python3 jax_hypergrad.py --threads 1"
        );
        return ExitCode::from(2);
    };
    let (data, name) = images();
    let isa = Isa::widest();
    let (mut plain, mut three, mut peer) = (Vec::new(), Vec::new(), Vec::new());
    let mut digests = Vec::new();
    let mut time = || {
        for _ in 0..5 {
            let (time, digest) = f32::run(isa, Timed { data: &data, directions: [] });
            plain.push(time);
            digests.push(digest);
            let (time, digest) = f32::run(isa, Timed { data: &data, directions: PARAMETERS });
            three.push(time);
            digests.push(digest);
        }
    };
    for _ in 0..3 {
        time();
        let output = match Command::new(program).args(arguments).output() {
            Ok(output) if output.status.success() => output,
            Ok(output) => {
                eprintln!("{program} failed: {}", String::from_utf8_lossy(&output.stderr));
                return ExitCode::FAILURE;
            }
            Err(error) => {
                eprintln!("could not run {program}: {error}; check the command after --");
                return ExitCode::FAILURE;
            }
        };
        for line in String::from_utf8_lossy(&output.stdout).lines() {
            let Ok(record) = serde_json::from_str::<serde_json::Value>(line) else { continue };
            let variant = record["variant"].as_str();
            if let (Some(variant), Some(time)) = (variant, record["us_per_step"]["median"].as_f64())
            {
                peer.push((variant.to_owned(), time));
            }
        }
    }
    time();
    assert!(digests.windows(2).all(|pair| pair[0] == pair[1]), "every run has the same bits");

    let (plain, three) = (median(plain), median(three));
    println!("{name}, {} instructions, digest {:016x}", isa.name(), digests[0]);
    println!(
        "plain step {plain:.0} µs, with three tangents {three:.0} µs: {:.2} times",
        three / plain
    );
    let mut variants: Vec<String> = peer.iter().map(|(variant, _)| variant.clone()).collect();
    variants.sort();
    variants.dedup();
    for variant in variants {
        let times = peer.iter().filter(|(v, _)| *v == variant).map(|(_, time)| *time);
        let theirs = median(times.collect());
        let ours = if variant == "plain" { plain } else { three };
        println!("{variant:<18} {theirs:>6.0} µs, {:.2} times ours", theirs / ours);
    }
    ExitCode::SUCCESS
}
