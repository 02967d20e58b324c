//! The step of the paper's network beside a peer's, in turn, as ratios:
//!
//! ```text
//! cargo run --release --package myopia-benches --example against-jax -- python3 jax_hypergrad.py --threads 1 --mnist DIR
//! ```
//!
//! The command after `--` must print one JSON line for each variant, with `variant` and
//! `us_per_step.median`. It runs three times, and before and after each run the same steps are
//! timed here, on as many threads as its `--threads` says: on batches that lie ready in memory, as
//! the peer's do, and again with each step making its own. Medians of all, and the digest. With
//! `--isa avx2` before the command ours has no wider instructions; the peer must be told itself.

use std::iter::Peekable;
use std::process::ExitCode;
use std::time::Instant;

use myopia::bench::{digests, initialised, step, update, weights};
use myopia::precision::Float;
use myopia::problem::ExampleSet;
use myopia_backend::{HeapBatch, Isa, MakeModel, Models, StepOfLayers, awake};
use myopia_benches::peer::{Peer, median, told};
use myopia_benches::{PAPER, images, schedule};
use myopia_core::dual::Dual;
use myopia_core::elementary::Libm;
use myopia_core::optimizer::{
    DERIVATIVES, Decay, Hyperparameters, Method, Optimizer, Sgd, Tunable,
};
use myopia_core::rng::Pcg32;
use myopia_core::sampler::Sampler;
use myopia_core::schedule::{InverseTime, PARAMETERS, Parameter};

/// Steps of a timed run, as many as the peers take.
const STEPS: usize = 200;
/// Steps between two points that a run in reverse mode saves: all, or one in √T.
const SEGMENTS: [usize; 2] = [1, 14];
/// Why no step fails.
const FINITE: &str = "the schedule keeps training finite";
/// Examples in a batch.
const BATCH: usize = 100;

/// Microseconds per step with the coefficients `update`, and the digest of the values. The batches
/// lie in `room`: one for each step, or one that is filled for each step.
fn timed<U, const P: usize>(
    make: MakeModel<f32, P, U>,
    examples: &ExampleSet<f32>,
    room: &mut [HeapBatch<f32>],
    update: impl Fn(u32) -> U,
) -> (f64, String) {
    let mut model = initialised(make, PAPER, BATCH);
    let numbers: Vec<u32> = (0..examples.len() as u32).collect();
    let mut sampler = Sampler::new(numbers, Pcg32::new(1, 2));
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
        model.step(batch, update(k as u32)).expect(FINITE);
    }
    let microseconds = started.elapsed().as_secs_f64() * 1e6;
    let [values, _] = digests(&mut *model);
    (microseconds / STEPS as f64, values)
}

/// The coefficients of each step of SGD, with the schedule of all cases.
fn sgd<const P: usize>(directions: [Parameter; P]) -> impl Fn(u32) -> Sgd<Dual<f32, P>, f32> {
    let schedule = schedule().with_tangents(directions);
    move |k| update(&schedule, k)
}

/// The same of Adam, with its usual numbers and a rate that suits it.
fn adam<O: Optimizer<f32, P>, const P: usize>(
    directions: [Parameter; P],
    optimizer: fn(Hyperparameters<f32>, [Parameter; P]) -> O,
) -> impl Fn(u32) -> O::Update {
    let schedule = InverseTime { alpha0: 1e-3, ..schedule() }.with_tangents(directions);
    let method = Method::Adam { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, epsilon_root: 0.0 };
    let rule = optimizer(Hyperparameters { method, decay: Decay::None }, directions);
    move |k| rule.update::<Libm>(k, schedule.learning_rate::<Libm>(k))
}

/// The same of a run that is taken back, with points saved at every `segment` steps: in a segment
/// of more than one step each is taken forward again and saved.
fn taken_back(
    models: &Models<f32>,
    examples: &ExampleSet<f32>,
    room: &mut [HeapBatch<f32>],
    segment: usize,
) -> (f64, String) {
    let mut model = (models.reverse)(PAPER, BATCH).expect("the paper's network is one");
    let weights = weights(PAPER);
    let numbers: Vec<u32> = (0..examples.len() as u32).collect();
    let mut sampler = Sampler::new(numbers, Pcg32::new(1, 2));
    let mut batches: Vec<_> = room.iter_mut().map(HeapBatch::batch).collect();
    for batch in &mut batches {
        batch.fill(examples, sampler.next_batch(BATCH));
    }
    let schedule = schedule::<f32>().with_tangents([]);
    let points = STEPS.div_ceil(segment);
    let mut by = [[0.0; DERIVATIVES]];
    let mut values = String::new();
    let mut microseconds = 0.0;
    // The first run finds memory that the peer's has, too: used before.
    for _ in 0..2 {
        let started = Instant::now();
        model.model().load(&weights, &[]);
        for (k, batch) in batches.iter().enumerate() {
            if k % segment == 0 {
                model.save(k / segment, segment > 1);
            }
            step(model.model(), batch, &schedule, k as u32);
        }
        model.begin_back();
        model.add_gradient(&batches[0], 1.0).expect(FINITE);
        microseconds = started.elapsed().as_secs_f64() * 1e6;
        [values, _] = digests(model.model());
        let started = Instant::now();
        for first in (0..STEPS).step_by(segment).rev() {
            let steps = first..STEPS.min(first + segment);
            let mut point = first / segment;
            if segment > 1 {
                model.restore(point);
                point = points;
                for k in steps.clone() {
                    model.save(point + k - first, false);
                    if k + 1 < steps.end {
                        step(model.model(), &batches[k], &schedule, k as u32);
                    }
                }
            }
            for k in steps.rev() {
                let at = point + k - first;
                let [this, next] = [k, k.saturating_sub(1)].map(|k| {
                    let Sgd { learning_rate, momentum } = update(&schedule, k as u32);
                    move |_| Sgd { learning_rate: learning_rate.value, momentum }
                });
                let has_next = if segment > 1 { k > first } else { k > 0 };
                let next = has_next.then(|| (&next as StepOfLayers<'_, _>, at - 1));
                model.step_back(&batches[k], (&this, Some(at)), next, &mut by).expect(FINITE);
            }
        }
        microseconds += started.elapsed().as_secs_f64() * 1e6;
    }
    (microseconds / STEPS as f64, values)
}

/// The instruction set after `--isa`, if the command line begins so, otherwise the widest.
fn isa(words: &mut Peekable<impl Iterator<Item = String>>) -> Result<Isa, String> {
    if words.next_if(|word| word == "--isa").is_none() {
        return Ok(Isa::widest());
    }
    let named = words.next().unwrap_or_default();
    let isa = Isa::ALL.iter().find(|isa| isa.name() == named && isa.available());
    isa.copied().ok_or(format!("--isa {named}: this processor has no such instructions"))
}

fn run() -> Result<(), String> {
    let mut words = std::env::args().skip(1).peekable();
    let isa = isa(&mut words)?;
    let peer = Peer::new(words)?;
    let (examples, name) = images();
    let models = f32::models(isa);
    let mut rooms = [1, STEPS].map(|count| -> Vec<HeapBatch<f32>> {
        (0..count).map(|_| HeapBatch::new(PAPER, BATCH)).collect()
    });
    // SGD, then Adam; on batches that are made, then on ready ones; without tangents, then with.
    let mut times: [[[Vec<f64>; 2]; 2]; 2] = Default::default();
    let mut back: [Vec<f64>; 2] = Default::default();
    let mut found: [Vec<String>; 2] = Default::default();
    let printed = peer.beside(3, || {
        let three = PARAMETERS;
        for (i, room) in rooms.iter_mut().enumerate() {
            let runs = [
                awake(|| timed(models.plain, &examples, room, sgd([]))),
                awake(|| timed(models.schedule, &examples, room, sgd(three))),
                awake(|| {
                    timed(models.any, &examples, room, adam([], Hyperparameters::with_tangents))
                }),
                awake(|| timed(models.any_tangents, &examples, room, adam(three, Tunable::new))),
            ];
            for (j, (time, digest)) in runs.into_iter().enumerate() {
                times[j / 2][i][j % 2].push(time);
                found[j / 2].push(digest);
            }
        }
        for (segment, times) in SEGMENTS.into_iter().zip(&mut back) {
            let (time, digest) = awake(|| taken_back(&models, &examples, &mut rooms[1], segment));
            times.push(time);
            found[0].push(digest);
        }
    })?;
    for found in &found {
        assert!(found.windows(2).all(|pair| pair[0] == pair[1]), "every run has the same bits");
    }

    let (threads, isa) = (peer.threads(), isa.name());
    println!("{name}, {isa} instructions, {threads} threads, digest {}", found[0][0]);
    let times = times.map(|times| times.map(|times| times.map(median)));
    for (rule, [gathering, ready]) in ["", "Adam, "].into_iter().zip(times) {
        for (how, [plain, three]) in [("batches ready", ready), ("batches made", gathering)] {
            let ratio = three / plain;
            println!(
                "{rule}{how}: plain {plain:.0} µs, with three tangents {three:.0} µs, {ratio:.2} \
                 times"
            );
        }
    }
    println!("Adam's plain step is {:.2} times that of SGD", times[1][1][0] / times[0][1][0]);
    let time = |line: &serde_json::Value| {
        Some((line["variant"].as_str()?.to_owned(), line["us_per_step"]["median"].as_f64()?))
    };
    let peers: Vec<(String, f64)> = printed.iter().filter_map(time).collect();
    let mut variants: Vec<&String> = peers.iter().map(|(variant, _)| variant).collect();
    variants.sort();
    variants.dedup();
    let [stored, segments] = back.map(median);
    println!(
        "batches ready: in reverse with all points stored {stored:.0} µs, in segments of √T steps \
         {segments:.0} µs"
    );
    for variant in variants {
        let theirs = peers.iter().filter(|(v, _)| v == variant).map(|(_, time)| *time);
        let theirs = median(theirs.collect());
        // Variants of a peer that trains with Adam are named so.
        let (rule, way) = match variant.strip_prefix("adam_") {
            Some(way) => (1, way),
            None => (0, variant.as_str()),
        };
        let [gathering, ready] = times[rule].map(|times| times[usize::from(way != "plain")]);
        let (ready, made) = (theirs / ready, theirs / gathering);
        let in_reverse = match variant.as_str() {
            "reverse_scan" => format!(", {:.2} times ours in reverse", theirs / stored),
            "reverse_segments" => format!(", {:.2} times ours in reverse", theirs / segments),
            _ => String::new(),
        };
        println!(
            "{variant:<18} {theirs:>6.0} µs, {ready:.2} times ours, {made:.2} with batches \
             made{in_reverse}"
        );
    }
    Ok(())
}

fn main() -> ExitCode {
    told(run())
}
