//! Judges of look-aheads.

use super::*;

const GAMMA: f64 = 0.7;

/// The loss that `judge` reads after `schedule` on one block from a fresh start, with its gradient.
fn judged<J: Judge<F64x8, P>, const P: usize>(
    judge: J,
    start: J::State,
    block: Directions<F64x8>,
    schedule: &[Step<Dual<f64, P>>],
) -> (Dual<f64, P>, Vec<Step<Dual<f64, P>>>) {
    let mut tape = std::vec![J::State::default(); schedule.len()];
    let mut partial = std::vec![Step::default(); schedule.len()];
    let mut out = std::vec![Step::default(); schedule.len()];
    let mut tape = Tape { states: &mut tape, partial: &mut partial };
    let loss = gradient(backend(), judge, &[block], schedule, &mut [start], &mut tape, &mut out);
    (loss, out)
}

fn setting() -> (Vec<Direction<f64>>, Vec<Step<f64>>) {
    let mut rng = Pcg32::new(31, 1);
    (random_directions(&mut rng, 8), random_schedule(&mut rng, 9))
}

/// E[x̄²] of a direction by superposition: the average is linear in θ₀ and in each step's noise, so
/// its variance is the sum over them of the squared answer to one of them alone.
fn by_superposition(direction: Direction<f64>, schedule: &[Step<f64>]) -> f64 {
    let answer = |start: f64, noisy: Option<usize>| {
        let (mut position, mut velocity, mut average) = (start, 0.0, start);
        for (k, step) in schedule.iter().enumerate() {
            let noise = if noisy == Some(k) { 1.0 } else { 0.0 };
            let gradient = direction.curvature * (position + noise);
            velocity = step.momentum * velocity - step.learning_rate * gradient;
            position += velocity;
            average = GAMMA * average + (1.0 - GAMMA) * position;
        }
        average
    };
    let moved = answer(1.0, None);
    let Direction { initial_mean: mean, initial_variance: variance, .. } = direction;
    (0..schedule.len()).fold((mean * mean + variance) * moved * moved, |sum, k| {
        let kicked = answer(0.0, Some(k));
        sum + direction.noise_variance * kicked * kicked
    })
}

#[test]
fn the_average_has_the_moments_of_a_superposition() {
    let (directions, schedule) = setting();
    let block = blocks(&directions)[0];
    let start = Averaged::of(Response::initial());
    let (loss, _) = judged::<_, 0>(ExponentialAverage(GAMMA), start, block, &constant(&schedule));
    let expected = directions.iter().fold(0.0, |sum, direction| {
        sum + direction.curvature * by_superposition(*direction, &schedule) / 2.0
    });
    assert!((loss.value - expected).abs() <= 1e-13 * expected, "{} {expected}", loss.value);
    let (last, _) = judged::<_, 0>(LastIterate, Response::initial(), block, &constant(&schedule));
    assert!((loss.value - last.value).abs() > 0.01 * expected, "it is another loss");
}

#[test]
fn the_gradient_of_the_average_agrees_with_its_own_tangents() {
    let (directions, schedule) = setting();
    let block = blocks(&directions)[0];
    let judge = ExponentialAverage(GAMMA);
    for k in 0..schedule.len() {
        let mut numbers = constant::<2>(&schedule);
        numbers[k].learning_rate.tangents[0] = 1.0;
        numbers[k].momentum.tangents[1] = 1.0;
        let (loss, found) = judged(judge, Averaged::of(Response::initial()), block, &numbers);
        let [by_rate, by_momentum] = loss.tangents;
        let scale = by_rate.abs() + by_momentum.abs();
        assert!((found[k].learning_rate.value - by_rate).abs() <= 1e-12 * scale, "{k}");
        assert!((found[k].momentum.value - by_momentum).abs() <= 1e-12 * scale, "{k}");
    }
}

#[test]
fn an_average_that_keeps_nothing_is_the_last_iterate() {
    let (directions, schedule) = setting();
    let block = blocks(&directions)[0];
    let start = Averaged::of(Response::initial());
    let average = judged::<_, 0>(ExponentialAverage(0.0), start, block, &constant(&schedule));
    let last = judged::<_, 0>(LastIterate, Response::initial(), block, &constant(&schedule));
    assert_eq!(average, last);
}
