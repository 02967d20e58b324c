//! The recurrences of the noisy quadratic beside a peer's, in turn, as ratios:
//!
//! ```text
//! cargo run --release --package myopia-benches --example nqm-against-jax -- python3 jax_nqm.py --threads 1
//! ```
//!
//! The command after `--` must print one JSON line for each variant, with `variant` ("nqm d=1000 forward"), `dims`, `loss` and
//! `ns_per_dim_step.median`. It runs twice, and before and after each run the same work is timed here, on as many
//! threads as its `--threads` says. Medians of all, and the digests. Its losses must agree with ours in nine digits.

use std::collections::BTreeMap;
use std::process::{Command, ExitCode};
use std::time::Instant;

use myopia_benches::nqm::{STEPS, Work};

/// Directions, as the peer has them by default.
const DIMS: [u32; 2] = [1_000, 100_000];
/// Steps times directions of a timed run, at least.
const LONG_ENOUGH: u32 = 100_000_000;

/// What is timed: its name in a peer's variant, and the work.
type Kind = (&'static str, fn(&mut Work) -> (f64, u64));
const KINDS: [Kind; 3] = [
    ("forward", |work| work.forward()),
    ("jacfwd", |work| work.three_tangents()),
    ("reverse", |work| work.gradient()),
];

/// Nanoseconds per direction and step of each kind of work, and what came out.
#[derive(Default)]
struct Ours {
    times: BTreeMap<(u32, &'static str), Vec<f64>>,
    outcomes: BTreeMap<(u32, &'static str), (f64, u64)>,
}

impl Ours {
    fn time(&mut self, works: &mut [(u32, Work)]) {
        for (dims, work) in works {
            let elements = *dims * STEPS;
            let repeats = (LONG_ENOUGH / elements).clamp(1, 100);
            for (kind, run) in KINDS {
                let started = Instant::now();
                let mut outcome = run(work);
                for _ in 1..repeats {
                    outcome = run(work);
                }
                let nanoseconds = started.elapsed().as_secs_f64() * 1e9;
                let place = (*dims, kind);
                let times = self.times.entry(place).or_default();
                times.push(nanoseconds / f64::from(elements) / f64::from(repeats));
                let before = self.outcomes.insert(place, outcome);
                assert!(before.is_none_or(|before| before == outcome), "the bits never change");
            }
        }
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
            "name the peer's command after --, for example: -- python3 jax_nqm.py --threads 1"
        );
        return ExitCode::from(2);
    };
    let given = arguments.iter().position(|argument| argument == "--threads");
    let threads = given.and_then(|i| arguments.get(i + 1)?.parse().ok()).unwrap_or(1);
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
    let Ok(pool) = pool else {
        eprintln!("could not start {threads} threads; lower --threads");
        return ExitCode::FAILURE;
    };
    let mut works = DIMS.map(|dims| (dims, Work::new(dims)));
    let mut ours = Ours::default();
    let mut peer: BTreeMap<String, (u32, f64, Vec<f64>)> = BTreeMap::new();
    let mut time = |ours: &mut Ours| (0..5).for_each(|_| pool.install(|| ours.time(&mut works)));
    for _ in 0..2 {
        time(&mut ours);
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
            let dims = record["dims"].as_u64().and_then(|dims| u32::try_from(dims).ok());
            let loss = record["loss"].as_f64();
            let time = record["ns_per_dim_step"]["median"].as_f64();
            if let (Some(variant), Some(dims), Some(loss), Some(time)) = (variant, dims, loss, time)
            {
                let entry = peer.entry(variant.to_owned()).or_insert((dims, loss, Vec::new()));
                entry.2.push(time);
            }
        }
    }
    time(&mut ours);

    println!("{threads} threads, {STEPS} steps, ns per direction and step");
    for ((dims, kind), times) in &ours.times {
        let (_, digest) = ours.outcomes[&(*dims, *kind)];
        let mean = median(times.clone());
        println!("{:<28} {mean:>7.3}, digest {digest:016x}", format!("{kind}, {dims} directions"));
    }
    for (variant, (dims, loss, times)) in peer {
        let Some((kind, _)) = KINDS.iter().find(|(kind, _)| variant.contains(kind)) else {
            continue;
        };
        let place = (dims, *kind);
        let (Some(known), Some(mine)) = (ours.outcomes.get(&place), ours.times.get(&place)) else {
            continue;
        };
        let difference = (loss / known.0 - 1.0).abs();
        assert!(difference < 1e-9, "{variant}: loss {loss} where ours is {}", known.0);
        let theirs = median(times);
        println!("{variant:<28} {theirs:>7.3}, {:.1} times ours", theirs / median(mine.clone()));
    }
    ExitCode::SUCCESS
}
