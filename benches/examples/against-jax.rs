//! The step of the paper's network beside a peer's, in turn, as ratios:
//!
//! ```text
//! cargo run --release --package myopia-benches --example against-jax -- python3 jax_hypergrad.py --threads 1 --mnist DIR
//! ```
//!
//! The command after `--` must print one JSON line for each variant, with `variant` and
//! `us_per_step.median`. It runs three times, and before and after each run the same steps are
//! timed here, on as many threads as its `--threads` says: on batches that lie ready in memory, as
//! the peer's do, and again with each step making its own. Medians of all, and the digest.

use std::process::ExitCode;
use std::time::Instant;

use myopia::bench::{digests, initialised, step};
use myopia::precision::Float;
use myopia::problem::ExampleSet;
use myopia_backend::{HeapBatch, Isa, MakeModel, awake};
use myopia_benches::peer::{Peer, median, told};
use myopia_benches::{PAPER, images, schedule};
use myopia_core::rng::Pcg32;
use myopia_core::sampler::Sampler;
use myopia_core::schedule::{PARAMETERS, Parameter};

/// Steps of a timed run, as many as the peers take.
const STEPS: usize = 200;
/// Examples in a batch.
const BATCH: usize = 100;

/// Microseconds per step, and the digest of the values. The batches lie in `room`: one for each
/// step, or one that is filled for each step.
fn timed<const P: usize>(
    make: MakeModel<f32, P>,
    examples: &ExampleSet<f32>,
    room: &mut [HeapBatch<f32>],
    directions: [Parameter; P],
) -> (f64, String) {
    let mut model = initialised(make, PAPER, BATCH);
    let numbers: Vec<u32> = (0..examples.len() as u32).collect();
    let mut sampler = Sampler::new(numbers, Pcg32::new(1, 2));
    let schedule = schedule().with_tangents(directions);
    let mut batches: Vec<_> = room.iter_mut().map(HeapBatch::batch).collect();
    let ready = batches.len() == STEPS;
    if ready {
        for batch in &mut batches {
            batch.fill(examples, sampler.next_batch(BATCH));
        }
    }
    let started = Instant::now();
    for k in 0..STEPS {
        let place = k % batches.len();
        let batch = &mut batches[place];
        if !ready {
            batch.fill(examples, sampler.next_batch(BATCH));
        }
        step(&mut *model, batch, &schedule, k as u32);
    }
    let microseconds = started.elapsed().as_secs_f64() * 1e6;
    let [values, _] = digests(&mut *model);
    (microseconds / STEPS as f64, values)
}

fn run() -> Result<(), String> {
    let peer = Peer::from_command_line()?;
    let (examples, name) = images();
    let isa = Isa::widest();
    let models = f32::models(isa);
    let mut rooms = [1, STEPS].map(|count| -> Vec<HeapBatch<f32>> {
        (0..count).map(|_| HeapBatch::new(PAPER, BATCH)).collect()
    });
    let mut times: [[Vec<f64>; 2]; 2] = Default::default();
    let mut found = Vec::new();
    let printed = peer.beside(3, || {
        for (room, times) in rooms.iter_mut().zip(&mut times) {
            let plain = awake(|| timed(models.plain, &examples, room, []));
            let three = awake(|| timed(models.schedule, &examples, room, PARAMETERS));
            for ((time, digest), times) in [plain, three].into_iter().zip(times) {
                times.push(time);
                found.push(digest);
            }
        }
    })?;
    assert!(found.windows(2).all(|pair| pair[0] == pair[1]), "every run has the same bits");

    let threads = peer.threads();
    println!("{name}, {} instructions, {threads} threads, digest {}", isa.name(), found[0]);
    let [gathering, ready] = times.map(|times| times.map(median));
    for (how, [plain, three]) in [("batches ready", ready), ("batches made", gathering)] {
        let ratio = three / plain;
        println!("{how}: plain {plain:.0} µs, with three tangents {three:.0} µs, {ratio:.2} times");
    }
    let time = |line: &serde_json::Value| {
        Some((line["variant"].as_str()?.to_owned(), line["us_per_step"]["median"].as_f64()?))
    };
    let peers: Vec<(String, f64)> = printed.iter().filter_map(time).collect();
    let mut variants: Vec<&String> = peers.iter().map(|(variant, _)| variant).collect();
    variants.sort();
    variants.dedup();
    for variant in variants {
        let theirs = peers.iter().filter(|(v, _)| v == variant).map(|(_, time)| *time);
        let theirs = median(theirs.collect());
        let which = usize::from(variant != "plain");
        let (ready, made) = (theirs / ready[which], theirs / gathering[which]);
        println!(
            "{variant:<18} {theirs:>6.0} µs, {ready:.2} times ours, {made:.2} with batches made"
        );
    }
    Ok(())
}

fn main() -> ExitCode {
    told(run())
}
