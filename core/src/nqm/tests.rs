mod judge;
mod mean_field;

use std::vec::Vec;

use super::*;
use crate::backend::{Backend, Kernel, Portable, Scalar};
use crate::dual::Dual;
use crate::elementary::{Elementary, Libm};
use crate::real::Real;
use crate::rng::Pcg32;
use crate::schedule::{InverseTime, PARAMETERS};
use crate::vector::{F32x8, F64x8, Vector};

/// Steps, what was known before each of them, and the responses then.
type Path = (Vec<Step<f64>>, Vec<NextLoss<f64>>, Vec<Responses<F64x8, 0>>);
type Responses<V, const P: usize> = Vec<Response<Dual<V, P>>>;
type Losses<V, const P: usize> = Vec<Dual<<V as Vector>::Scalar, P>>;

fn backend() -> Portable<F64x8> {
    Portable::new()
}

/// The portable backend, in the smallest tiles.
#[derive(Clone, Copy)]
struct SmallTiles;

impl Backend for SmallTiles {
    type Vector = F64x8;
    const ACCUMULATORS: usize = 8;
    const DENSE: bool = false;

    fn run<K: Kernel>(self, task: K) -> K::Output {
        task.run_in_small_tiles()
    }
}

fn blocks<V: Vector>(directions: &[Direction<V::Scalar>]) -> Vec<Directions<V>> {
    let mut blocks = std::vec![Directions::default(); directions.len().div_ceil(BLOCK)];
    pack(directions.iter().copied(), &mut blocks).unwrap();
    blocks
}

fn initial<V: Vector, const P: usize>(blocks: usize) -> Responses<V, P> {
    std::vec![Response::initial(); blocks]
}

/// The excess losses of a run, and the responses at its end.
fn run<G: Backend, const P: usize>(
    backend: G,
    directions: &[Direction<Scalar<G>>],
    schedule: &[Step<Dual<Scalar<G>, P>>],
) -> (Losses<G::Vector, P>, Responses<G::Vector, P>)
where
    Libm: Elementary<Scalar<G>>,
{
    let blocks = blocks::<G::Vector>(directions);
    let mut responses = initial(blocks.len());
    let mut partial = std::vec![Dual::default(); schedule.len() + 1];
    let mut out = std::vec![Dual::default(); schedule.len() + 1];
    losses(backend, &blocks, schedule, &mut responses, &mut partial, &mut out);
    (out, responses)
}

fn constant<const P: usize>(schedule: &[Step<f64>]) -> Vec<Step<Dual<f64, P>>> {
    schedule.iter().map(|step| step.constant()).collect()
}

/// `n` directions of every kind: noisy and quiet, displaced and not, some of curvature zero.
fn random_directions(rng: &mut Pcg32, n: usize) -> Vec<Direction<f64>> {
    let some = |rng: &mut Pcg32| if rng.below(4) == 0 { 0.0 } else { rng.uniform::<f64>() };
    (0..n)
        .map(|_| Direction {
            curvature: some(rng),
            noise_variance: some(rng),
            initial_mean: rng.normal(),
            initial_variance: some(rng),
        })
        .collect()
}

fn random_schedule(rng: &mut Pcg32, steps: usize) -> Vec<Step<f64>> {
    let step = |rng: &mut Pcg32| Step { learning_rate: rng.uniform(), momentum: rng.uniform() };
    (0..steps).map(|_| step(rng)).collect()
}

/// The loss after the step that follows `step`.
fn ahead_of(
    blocks: &[Directions<F64x8>],
    responses: &mut Responses<F64x8, 0>,
    step: Option<Step<f64>>,
) -> NextLoss<f64> {
    advance(backend(), blocks, responses, step.map(Step::constant), Step::default())
}

/// The greedy schedule and the responses before each of its steps and after the last.
fn greedy_run(directions: &[Direction<f64>], steps: usize) -> Path {
    let blocks = blocks(directions);
    let mut responses = initial(blocks.len());
    let (mut schedule, mut ahead, mut path) = (Vec::new(), Vec::new(), Vec::new());
    let mut last = None;
    for _ in 0..=steps {
        let next = ahead_of(&blocks, &mut responses, last);
        ahead.push(next);
        path.push(responses.clone());
        last = Some(next.best_step());
        schedule.extend(last);
    }
    schedule.truncate(steps);
    (schedule, ahead, path)
}

/// 40,000 runs of the process itself: its five moments in each direction within 4.5 standard errors
/// of theorem 1.
#[test]
fn moments_agree_with_simulated_sgd() {
    let directions = [(1.0, 1.0, 0.0, 1.0), (0.3, 3.0, 1.0, 0.5), (0.02, 50.0, -2.0, 0.0)].map(
        |(curvature, noise_variance, initial_mean, initial_variance)| Direction {
            curvature,
            noise_variance,
            initial_mean,
            initial_variance,
        },
    );
    let schedule: Vec<_> = (0..20)
        .map(|k| Step {
            learning_rate: 0.5 / (1.0 + f64::from(k) / 10.0),
            momentum: 0.9 - 0.4 / (1.0 + f64::from(k)),
        })
        .collect();
    let (_, responses) = run(backend(), &directions, &constant::<0>(&schedule));
    let mut rng = Pcg32::new(7, 10);
    const RUNS: usize = 40_000;
    for (lane, direction) in directions.iter().enumerate() {
        let Moments { mean, velocity_mean, variance, velocity_variance, covariance } =
            responses[0].lane(lane).moments(*direction);
        let mut sums = [[0.0; 2]; 5];
        for _ in 0..RUNS {
            let spread = Libm::sqrt(direction.initial_variance);
            let mut theta = direction.initial_mean + spread * rng.normal::<f64>();
            let mut v = 0.0;
            for step in &schedule {
                let noise = Libm::sqrt(direction.noise_variance) * rng.normal::<f64>();
                v = step.momentum * v - step.learning_rate * direction.curvature * (theta + noise);
                theta += v;
            }
            let (dt, dv) = (theta - mean, v - velocity_mean);
            let deviations =
                [dt, dv, dt * dt - variance, dv * dv - velocity_variance, dt * dv - covariance];
            for (sum, x) in sums.iter_mut().zip(deviations) {
                *sum = [sum[0] + x, sum[1] + x * x];
            }
        }
        for (moment, [sum, square]) in sums.iter().enumerate() {
            let n = RUNS as f64;
            let (mean, spread) = (sum / n, Libm::sqrt(square / n));
            let z = mean / (spread / Libm::sqrt(n));
            assert!(z.abs() < 4.5, "direction {lane}, moment {moment}: z = {z}");
        }
    }
}

#[test]
fn the_excess_loss_is_that_of_the_moments() {
    let mut rng = Pcg32::new(1, 1);
    let directions = random_directions(&mut rng, 21);
    let (found, responses) =
        run(backend(), &directions, &constant::<0>(&random_schedule(&mut rng, 13)));
    let mut loss = 0.0;
    for (n, direction) in directions.iter().enumerate() {
        let m = responses[n / BLOCK].lane(n % BLOCK).moments(*direction);
        loss += direction.curvature * (m.mean * m.mean + m.variance) / 2.0;
    }
    assert!((found[13].value / loss - 1.0).abs() < 1e-13, "{} {loss}", found[13].value);
}

#[test]
fn smaller_tiles_change_no_bit() {
    let mut rng = Pcg32::new(3, 1);
    for n in [1, 31, 32, 33, 70, 200] {
        let directions = random_directions(&mut rng, n);
        let schedule = random_schedule(&mut rng, 6);
        let plain = constant::<0>(&schedule);
        assert!(run(backend(), &directions, &plain) == run(SmallTiles, &directions, &plain), "{n}");
        let mut dual = constant::<2>(&schedule);
        dual[2].learning_rate.tangents[0] = 1.0;
        dual[3].momentum.tangents[1] = 1.0;
        assert!(run(backend(), &directions, &dual) == run(SmallTiles, &directions, &dual), "{n}");
        let gradients = [
            adjoint(backend(), &directions, &schedule, 4),
            adjoint(SmallTiles, &directions, &schedule, 4),
        ];
        assert!(gradients[0] == gradients[1], "{n}");
    }
}

#[test]
fn tangents_change_no_bit_of_the_losses() {
    let mut rng = Pcg32::new(2, 1);
    for n in [1, 7, 8, 9, 100, CHUNK + 5] {
        let directions = random_directions(&mut rng, n);
        let schedule = random_schedule(&mut rng, 7);
        let (plain, _) = run(backend(), &directions, &constant::<0>(&schedule));
        let (dual, _) = run(backend(), &directions, &constant::<3>(&schedule));
        let bits = |x: f64| x.to_bits();
        assert!(plain.iter().zip(&dual).all(|(a, b)| bits(a.value) == bits(b.value)), "{n}");
        assert!(dual.iter().all(|d| d.tangents == [0.0; 3]));
    }
}

#[test]
fn single_precision_is_close_to_double() {
    let single = |x: f64| x as f32;
    let directions: Vec<_> = (1..=100)
        .map(|i| Direction {
            curvature: 1.0 / f64::from(i),
            noise_variance: f64::from(i),
            initial_mean: 0.5,
            initial_variance: 1.0,
        })
        .collect();
    let narrow: Vec<_> = directions
        .iter()
        .map(|d| Direction {
            curvature: single(d.curvature),
            noise_variance: single(d.noise_variance),
            initial_mean: single(d.initial_mean),
            initial_variance: single(d.initial_variance),
        })
        .collect();
    let schedule = std::vec![Step { learning_rate: 0.05, momentum: 0.9 }; 100];
    let narrow_schedule: Vec<_> = schedule
        .iter()
        .map(|s| Step { learning_rate: single(s.learning_rate), momentum: single(s.momentum) })
        .map(|s| s.constant::<0>())
        .collect();
    let (wide, _) = run(backend(), &directions, &constant::<0>(&schedule));
    let (found, _) = run(Portable::<F32x8>::new(), &narrow, &narrow_schedule);
    for (wide, found) in wide.iter().zip(&found) {
        let ratio = f64::from(found.value) / wide.value;
        assert!((ratio - 1.0).abs() < 1e-5, "{ratio}");
    }
}

/// Derivatives carried forward along (α₀, K, β), against the adjoint's derivatives by every α_k
/// contracted with ∂α_k.
#[test]
fn forward_tangents_agree_with_the_adjoint() {
    let mut rng = Pcg32::new(3, 1);
    for (n, steps) in [(1, 1), (5, 3), (40, 30), (100, 60)] {
        let directions = random_directions(&mut rng, n);
        let decay =
            InverseTime { alpha0: 0.7, time_constant: 9.0, beta: 1.2 }.with_tangents(PARAMETERS);
        let schedule: Vec<Step<Dual<f64, 3>>> = (0..steps)
            .map(|k| Step {
                learning_rate: decay.learning_rate::<Libm>(k),
                momentum: Dual::constant(0.8),
            })
            .collect();
        let (found, _) = run(backend(), &directions, &schedule);
        let last = found[steps as usize];
        let values: Vec<_> = schedule
            .iter()
            .map(|s| Step { learning_rate: s.learning_rate.value, momentum: s.momentum.value })
            .collect();
        let (loss, adjoint) = adjoint(backend(), &directions, &values, 4);
        assert!((loss - last.value).abs() <= 1e-13 * last.value);
        let largest = last.tangents.iter().fold(0.0, |m: f64, t| m.larger(t.abs()));
        for p in 0..3 {
            let product = |(d, s): (&Step<f64>, &Step<Dual<f64, 3>>)| {
                d.learning_rate * s.learning_rate.tangents[p]
            };
            let total = crate::sum::sum(adjoint.iter().zip(&schedule).map(product));
            assert!((total - last.tangents[p]).abs() <= 1e-9 * largest, "{n} {steps} {p}");
        }
    }
}

/// Loss and gradient with a tape for `width` blocks at a time.
fn adjoint(
    backend: impl Backend<Vector = F64x8>,
    directions: &[Direction<f64>],
    schedule: &[Step<f64>],
    width: usize,
) -> (f64, Vec<Step<f64>>) {
    let blocks = blocks::<F64x8>(directions);
    let mut responses = initial::<F64x8, 0>(blocks.len());
    let mut tape = std::vec![Response::default(); width * schedule.len()];
    let mut partial = std::vec![Step::default(); schedule.len()];
    let mut out = std::vec![Step::default(); schedule.len()];
    let loss = gradient(
        backend,
        LastIterate,
        &blocks,
        &constant::<0>(schedule),
        &mut responses,
        &mut Tape { states: &mut tape, partial: &mut partial },
        &mut out,
    );
    let value = |s: &Step<Dual<f64, 0>>| Step {
        learning_rate: s.learning_rate.value,
        momentum: s.momentum.value,
    };
    (loss.value, out.iter().map(value).collect())
}

#[test]
fn every_entry_of_the_gradient_agrees_with_its_own_tangent() {
    let mut rng = Pcg32::new(4, 1);
    let directions = random_directions(&mut rng, 37);
    let schedule = random_schedule(&mut rng, 12);
    let (_, found) = adjoint(backend(), &directions, &schedule, 4);
    for k in 0..schedule.len() {
        let mut numbers = constant::<2>(&schedule);
        numbers[k].learning_rate.tangents[0] = 1.0;
        numbers[k].momentum.tangents[1] = 1.0;
        let (losses, _) = run(backend(), &directions, &numbers);
        let [by_rate, by_momentum] = losses[schedule.len()].tangents;
        let scale = by_rate.abs() + by_momentum.abs();
        assert!((found[k].learning_rate - by_rate).abs() <= 1e-11 * scale, "{k}");
        assert!((found[k].momentum - by_momentum).abs() <= 1e-11 * scale, "{k}");
    }
}

#[test]
fn a_wider_tape_changes_no_bit_of_the_gradient() {
    let mut rng = Pcg32::new(5, 1);
    for n in [1, 31, 32, 33, 70] {
        let directions = random_directions(&mut rng, n);
        let schedule = random_schedule(&mut rng, 6);
        let (narrow, wide) = (
            adjoint(backend(), &directions, &schedule, 1),
            adjoint(backend(), &directions, &schedule, 4),
        );
        let bits = |(loss, steps): (f64, Vec<Step<f64>>)| {
            let steps = steps.iter().flat_map(|s| [s.learning_rate, s.momentum]);
            [loss].into_iter().chain(steps).map(f64::to_bits).collect::<Vec<_>>()
        };
        assert_eq!(bits(narrow), bits(wide), "{n}");
    }
}

/// Theorem 2: the quadratic form is the loss after the step, and no nearby step is better than the
/// best one.
#[test]
fn the_best_step_is_a_minimum_of_the_next_loss() {
    let mut rng = Pcg32::new(6, 1);
    let directions = random_directions(&mut rng, 30);
    let blocks = blocks::<F64x8>(&directions);
    let mut responses = initial::<F64x8, 0>(blocks.len());
    let before = Step { learning_rate: 0.3, momentum: 0.0 };
    let next = ahead_of(&blocks, &mut responses, Some(before));
    let best = next.best_step();
    let after = |step| ahead_of(&blocks, &mut responses.clone(), Some(step)).excess;
    for _ in 0..50 {
        let step = Step {
            learning_rate: best.learning_rate + 0.1 * rng.normal::<f64>(),
            momentum: best.momentum + 0.1 * rng.normal::<f64>(),
        };
        let loss = after(step);
        assert!((next.at(step) / loss - 1.0).abs() < 1e-12);
        assert!(loss > after(best), "{step:?} against {best:?}");
        let alone = Step { learning_rate: next.best_learning_rate(step.momentum), ..step };
        assert!(after(alone) <= loss * (1.0 + 1e-14));
    }
}

#[test]
fn singular_systems_answer_with_momentum_zero() {
    let one =
        Direction { curvature: 2.0, noise_variance: 0.0, initial_mean: 3.0, initial_variance: 0.0 };
    // No loss, no gradient, no velocity: nothing is better than standing still.
    assert_eq!(NextLoss::<f64>::default().best_step(), Step::default());
    let still = Direction { initial_mean: 0.0, ..one };
    assert_eq!(greedy_run(&[still], 2).0, [Step::default(); 2]);
    // At first all velocities are zero.
    let noisy = Direction { noise_variance: 0.5, ..one };
    let (schedule, ..) = greedy_run(&[noisy, Direction { curvature: 1.0, ..noisy }], 3);
    assert_eq!(schedule[0].momentum, 0.0);
    assert!(schedule[0].learning_rate > 0.0);
    // One direction without noise is done after one step: α = 1/h.
    let (schedule, ahead, _) = greedy_run(&[one], 3);
    assert_eq!(schedule[0], Step { learning_rate: 0.5, momentum: 0.0 });
    assert_eq!(ahead[1].excess, 0.0);
    assert_eq!(schedule[1..], [Step::default(); 2]);
    // Velocity along the gradient in one direction: a line of equally good steps.
    let blocks = blocks::<F64x8>(&[one]);
    let half = Step { learning_rate: 0.25, momentum: 0.0 };
    let next = ahead_of(&blocks, &mut initial::<F64x8, 0>(1), Some(half));
    let best = next.best_step();
    assert_eq!(best, Step { learning_rate: 0.5, momentum: 0.0 });
    assert!(next.at(best).abs() < 1e-15);
}

/// Conjugate gradient of Hestenes and Stiefel on the diagonal system with these curvatures.
fn conjugate_gradient(curvatures: &[f64], start: &[f64], steps: usize) -> Vec<Vec<f64>> {
    let dot = |a: &[f64], b: &[f64]| crate::sum::sum(a.iter().zip(b).map(|(a, b)| a * b));
    let times = |x: &[f64]| curvatures.iter().zip(x).map(|(h, x)| h * x).collect::<Vec<_>>();
    let mut x = start.to_vec();
    let mut residual: Vec<f64> = times(&x).iter().map(|g| -g).collect();
    let mut direction = residual.clone();
    let mut square = dot(&residual, &residual);
    let mut path = std::vec![x.clone()];
    for _ in 0..steps {
        let image = times(&direction);
        let rate = square / dot(&direction, &image);
        for i in 0..x.len() {
            x[i] += rate * direction[i];
            residual[i] -= rate * image[i];
        }
        let next = dot(&residual, &residual);
        for i in 0..x.len() {
            direction[i] = residual[i] + next / square * direction[i];
        }
        square = next;
        path.push(x.clone());
    }
    path
}

/// On a quadratic without noise greedy learning rate and momentum are conjugate gradient's, which
/// ends after d steps.
#[test]
fn greedy_momentum_is_conjugate_gradient() {
    let mut rng = Pcg32::new(8, 1);
    for d in [1, 2, 3, 5, 8, 12] {
        let curvatures: Vec<f64> = (0..d).map(|i| 0.2 + i as f64 + rng.uniform::<f64>()).collect();
        let start: Vec<f64> = (0..d).map(|_| 1.0 + rng.uniform::<f64>()).collect();
        let directions: Vec<_> = curvatures
            .iter()
            .zip(&start)
            .map(|(&curvature, &initial_mean)| Direction {
                curvature,
                noise_variance: 0.0,
                initial_mean,
                initial_variance: 0.0,
            })
            .collect();
        let (_, ahead, path) = greedy_run(&directions, d);
        for (k, x) in conjugate_gradient(&curvatures, &start, d).iter().enumerate() {
            for (i, direction) in directions.iter().enumerate() {
                let mean = path[k][i / BLOCK].lane(i % BLOCK).moments(*direction).mean;
                assert!((mean - x[i]).abs() < 1e-9, "d {d}, step {k}: {mean} {}", x[i]);
            }
        }
        assert!(ahead[d].excess < 1e-18 * ahead[0].excess, "d {d}: {:e}", ahead[d].excess);
    }
}

#[test]
fn impossible_directions_are_named() {
    let good =
        Direction { curvature: 1.0, noise_variance: 1.0, initial_mean: 0.0, initial_variance: 1.0 };
    let wrong = [
        (Direction { curvature: -1.0, ..good }, InvalidDirection::Curvature),
        (Direction { noise_variance: f64::NAN, ..good }, InvalidDirection::NoiseVariance),
        (Direction { initial_mean: f64::INFINITY, ..good }, InvalidDirection::InitialMean),
        (Direction { initial_variance: -0.1, ..good }, InvalidDirection::InitialVariance),
        (Direction { curvature: 1e300, initial_mean: 1e100, ..good }, InvalidDirection::Loss),
    ];
    for (direction, why) in wrong {
        let mut blocks = [Directions::<F64x8>::default(); 1];
        assert_eq!(pack([good, direction], &mut blocks), Err((1, why)));
    }
}

#[test]
fn a_diverging_run_is_reported_with_its_step() {
    let mut rng = Pcg32::new(9, 1);
    let directions = random_directions(&mut rng, 10);
    let schedule = std::vec![Step { learning_rate: 1e30, momentum: 0.0 }; 20];
    let (found, _) = run(backend(), &directions, &constant::<0>(&schedule));
    let Err(Diverged { step }) = first_divergence(&found) else { panic!("it diverges") };
    assert!(found[step - 1].finite() && !found[step].finite());
}
