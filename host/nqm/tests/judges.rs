//! Judges of look-aheads against simulated SGD.

use myopia_core::elementary::{Elementary, Libm};
use myopia_core::nqm::{Direction, Step};
use myopia_core::rng::Pcg32;
use myopia_nqm::judge::Judge;
use myopia_nqm::{Quadratic, Scratch};

const RUNS: usize = 100_000;
const GAMMA: f64 = 0.8;
const COOL_DOWN: usize = 5;

fn directions() -> [Direction<f64>; 3] {
    [(1.0, 1.0, 0.0, 1.0), (0.3, 3.0, 1.0, 0.5), (0.02, 50.0, -2.0, 0.0)].map(
        |(curvature, noise_variance, initial_mean, initial_variance)| Direction {
            curvature,
            noise_variance,
            initial_mean,
            initial_variance,
        },
    )
}

fn schedule() -> Vec<Step<f64>> {
    let step = |k: u32| Step { learning_rate: 0.6 / f64::from(1 + k), momentum: 0.5 };
    (0..8).map(step).collect()
}

/// Losses of one run that a judge reads: after the cool-down, of the average, on the last step's
/// own batch, and on a fresh one; summed over the directions, each with its floor's sample.
fn simulated(rng: &mut Pcg32) -> [f64; 4] {
    let schedule = schedule();
    let last = schedule[schedule.len() - 1];
    let mut losses = [0.0; 4];
    for direction in directions() {
        let noise = |rng: &mut Pcg32| Libm::sqrt(direction.noise_variance) * rng.normal::<f64>();
        let half = 0.5 * direction.curvature;
        let mut position =
            direction.initial_mean + Libm::sqrt(direction.initial_variance) * rng.normal::<f64>();
        let (mut velocity, mut average, mut shift) = (0.0, position, 0.0);
        let mut step = |position: &mut f64, rate: f64, momentum: f64, shift: f64| {
            velocity = momentum * velocity - rate * direction.curvature * (*position + shift);
            *position += velocity;
        };
        for Step { learning_rate, momentum } in &schedule {
            shift = noise(rng);
            step(&mut position, *learning_rate, *momentum, shift);
            average = GAMMA * average + (1.0 - GAMMA) * position;
        }
        losses[1] += half * average * average;
        losses[2] += half * (position + shift) * (position + shift);
        let fresh = position + noise(rng);
        losses[3] += half * fresh * fresh;
        for j in 0..COOL_DOWN {
            let factor = 1.0 - j as f64 / COOL_DOWN as f64;
            step(&mut position, factor * last.learning_rate, last.momentum, noise(rng));
        }
        losses[0] += half * position * position;
    }
    losses
}

#[test]
fn what_judges_expect_is_the_mean_of_simulated_runs() {
    let quadratic = Quadratic::new(directions().to_vec()).unwrap();
    let judges =
        [Judge::Cooldown(COOL_DOWN), Judge::Average(GAMMA), Judge::SameBatch, Judge::NextBatch];
    let mut rng = Pcg32::new(17, 3);
    let (mut sums, mut squares) = ([0.0; 4], [0.0; 4]);
    for _ in 0..RUNS {
        for (i, loss) in simulated(&mut rng).into_iter().enumerate() {
            sums[i] += loss;
            squares[i] += loss * loss;
        }
    }
    let runs = RUNS as f64;
    for (i, judge) in judges.into_iter().enumerate() {
        let mut scratch = Scratch::default();
        let found = quadratic.judged(judge, &quadratic.start(), &schedule(), &mut scratch).0;
        // A fresh batch adds the floor, which no judge changes.
        let found = if judge == Judge::NextBatch { found + quadratic.floor() } else { found };
        let mean = sums[i] / runs;
        let error = Libm::sqrt((squares[i] / runs - mean * mean) / runs);
        assert!((found - mean).abs() < 4.5 * error, "{judge}: {found}, {mean} ± {error}");
        assert!(error < 0.01 * found, "{judge}: {found} ± {error}");
    }
}
