//! The recurrences of the noisy quadratic beside a peer's, in turn, as ratios:
//!
//! ```text
//! cargo run --release --package myopia-benches --example nqm-against-jax -- python3 jax_nqm.py --threads 1
//! ```
//!
//! The command after `--` must print one JSON line for each variant, with `variant` ("nqm d=1000
//! forward"), `dims`, `loss` and `ns_per_dim_step.median`. It runs twice, and before and after each
//! run the same work is timed here, on as many threads as its `--threads` says. Medians of all, and
//! the digests. Its losses must agree with ours in nine digits.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::Instant;

use myopia_benches::nqm::{STEPS, Work};
use myopia_benches::peer::{Peer, median, told};

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

/// What the peer printed of one variant.
struct Theirs {
    dims: u32,
    loss: f64,
    times: Vec<f64>,
}

fn run() -> Result<(), String> {
    let peer = Peer::new(std::env::args().skip(1))?;
    let mut works = DIMS.map(|dims| (dims, Work::new(dims)));
    let mut ours = Ours::default();
    let printed = peer.beside(2, || ours.time(&mut works))?;
    let mut variants: BTreeMap<&str, Theirs> = BTreeMap::new();
    for line in &printed {
        let variant = line["variant"].as_str();
        let dims = line["dims"].as_u64().and_then(|dims| u32::try_from(dims).ok());
        let loss = line["loss"].as_f64();
        let time = line["ns_per_dim_step"]["median"].as_f64();
        if let (Some(variant), Some(dims), Some(loss), Some(time)) = (variant, dims, loss, time) {
            let new = || Theirs { dims, loss, times: Vec::new() };
            variants.entry(variant).or_insert_with(new).times.push(time);
        }
    }
    println!("{} threads, {STEPS} steps, ns per direction and step", peer.threads());
    for ((dims, kind), times) in &ours.times {
        let (_, digest) = ours.outcomes[&(*dims, *kind)];
        let mean = median(times.clone());
        println!("{:<28} {mean:>7.3}, digest {digest:016x}", format!("{kind}, {dims} directions"));
    }
    for (variant, Theirs { dims, loss, times }) in variants {
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
    Ok(())
}

fn main() -> ExitCode {
    told(run())
}
