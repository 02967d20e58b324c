//! Optimisers in mean field: against moments of the state and its average recomputed in another
//! form, against the networks' rule where nothing is random, and against simulated runs.

use std::vec::Vec;

use super::{backend, blocks, initial, random_directions};
use crate::dual::Dual;
use crate::elementary::{Elementary, Libm};
use crate::kfac::Kfac;
use crate::mlp::UpdateRule;
use crate::mlp::rule::InLanes;
use crate::nqm::{
    Coupled, Direction, InMeanField, MeanField, MeanFieldStep, NotInMeanField, Step, advance,
    losses,
};
use crate::optimizer::{Decay, Hyperparameters, Method};
use crate::rng::Pcg32;
use crate::schedule::Parameter;
use crate::vector::F64x8;

const MOMENTUM: f64 = 0.6;

fn kfac(damping: f64, kept: f64) -> Kfac<f64> {
    Kfac {
        momentum: 0.0,
        damping,
        decay: Decay::None,
        kept,
        clip: None,
        refactor_every: 1,
        labels: None,
    }
}

fn elementwise(method: Method<f64>) -> MeanField<f64> {
    MeanField::new(Hyperparameters { method, decay: Decay::None }).unwrap()
}

fn rmsprop(rho: f64, epsilon: f64, is_inside: bool) -> Method<f64> {
    Method::Rmsprop { rho, momentum: 0.0, epsilon, is_inside }
}

const ADAM: Method<f64> =
    Method::Adam { beta1: 0.7, beta2: 0.95, epsilon: 0.03, epsilon_root: 0.002 };

fn all() -> [MeanField<f64>; 5] {
    [
        elementwise(rmsprop(0.8, 0.05, false)),
        elementwise(rmsprop(0.8, 0.05, true)),
        elementwise(ADAM),
        MeanField::kfac(kfac(0.3, 0.9), false).unwrap(),
        MeanField::kfac(kfac(0.3, 0.9), true).unwrap(),
    ]
}

fn rate(k: u32) -> f64 {
    0.05 / (1.0 + 0.1 * f64::from(k))
}

fn steps<const P: usize>(
    optimizer: &MeanField<Dual<f64, P>, f64>,
    number: u32,
    momentum: Dual<f64, P>,
) -> Vec<MeanFieldStep<Dual<f64, P>>> {
    steps_at(rate, optimizer, number, momentum)
}

fn steps_at<const P: usize>(
    rate: fn(u32) -> f64,
    optimizer: &MeanField<Dual<f64, P>, f64>,
    number: u32,
    momentum: Dual<f64, P>,
) -> Vec<MeanFieldStep<Dual<f64, P>>> {
    let step = |k| Step { learning_rate: Dual::constant(rate(k)), momentum };
    (0..number).map(|k| optimizer.step::<Libm>(k, step(k))).collect()
}

/// Excess losses after each step, and the states at the end.
fn run<const P: usize>(
    directions: &[Direction<f64>],
    schedule: &[MeanFieldStep<Dual<f64, P>>],
) -> (Vec<Dual<f64, P>>, Vec<Coupled<Dual<F64x8, P>>>) {
    let plain = blocks::<F64x8>(directions);
    let blocks: Vec<_> = plain.iter().map(|b| InMeanField::<_, Libm>::new(*b)).collect();
    let mut states: Vec<_> =
        initial::<F64x8, P>(blocks.len()).into_iter().map(Coupled::new).collect();
    let mut partial = std::vec![Dual::default(); schedule.len() + 1];
    let mut out = partial.iter().map(|_| Dual::default()).collect::<Vec<Dual<f64, P>>>();
    losses(backend(), &blocks, schedule, &mut states, &mut partial, &mut out);
    (out, states)
}

/// q ← kept q + rest E[g²] and the factor a: the rules of the module's documentation, once more.
struct Recomputed {
    square: f64,
    beta1_power: f64,
    beta2_power: f64,
}

impl Recomputed {
    fn scale(&mut self, which: usize, k: u32, h: f64, seen: f64) -> f64 {
        let alpha = rate(k);
        let root = |x: f64| Libm::sqrt(x);
        match which {
            0 | 1 => {
                self.square = 0.8 * self.square + (1.0 - 0.8) * seen;
                let below =
                    if which == 0 { root(self.square) + 0.05 } else { root(self.square + 0.05) };
                alpha / below
            }
            2 => {
                self.square = 0.95 * self.square + (1.0 - 0.95) * seen;
                self.beta1_power *= 0.7;
                self.beta2_power *= 0.95;
                let hat = self.square / (1.0 - self.beta2_power);
                alpha / (1.0 - self.beta1_power) / (root(hat + 0.002) + 0.03)
            }
            _ => {
                let seen = if which == 4 { h } else { seen };
                let kept = if k == 0 { 0.0 } else { 0.9 };
                self.square = kept * self.square + (1.0 - kept) * seen;
                alpha / (self.square + 0.3)
            }
        }
    }
}

/// ½hE[θ²] of one direction: moments of (θ, v), of Adam of (θ, m), as a matrix S ← A S Aᵀ + b bᵀ.
fn recomputed(which: usize, direction: Direction<f64>, number: u32) -> f64 {
    let Direction { curvature: h, noise_variance, initial_mean, initial_variance } = direction;
    let c = h * h * noise_variance;
    let mut average = Recomputed { square: 0.0, beta1_power: 1.0, beta2_power: 1.0 };
    let mut s = [[initial_mean * initial_mean + initial_variance, 0.0], [0.0, 0.0]];
    for k in 0..number {
        let seen = h * h * s[0][0] + c;
        if seen == 0.0 {
            continue;
        }
        let a = average.scale(which, k, h, seen);
        // What is moved along: v ← μ v − a g and θ ← θ + v, or m ← β₁ m + (1 − β₁) g and
        // θ ← θ − a m.
        let (kept, share, along) =
            if which == 2 { (0.7, 1.0 - 0.7, -a) } else { (MOMENTUM, -a, 1.0) };
        let rows = [[1.0 + along * share * h, along * kept], [share * h, kept]];
        let noise = [along * share, share];
        let mut next = [[0.0; 2]; 2];
        for (i, row) in next.iter_mut().enumerate() {
            for (j, entry) in row.iter_mut().enumerate() {
                *entry = noise[i] * noise[j] * c;
                for (p, s) in s.iter().enumerate() {
                    for (q, s) in s.iter().enumerate() {
                        *entry += rows[i][p] * s * rows[j][q];
                    }
                }
            }
        }
        s = next;
    }
    0.5 * h * s[0][0]
}

#[test]
fn losses_agree_with_moments_recomputed_in_another_form() {
    let directions = random_directions(&mut Pcg32::new(3, 4), 29);
    for (which, optimizer) in all().iter().enumerate() {
        let constant = optimizer.with_tangents::<0>([]);
        let schedule = steps(&constant, 60, Dual::constant(MOMENTUM));
        let found = run(&directions, &schedule).0;
        for number in [1, 2, 7, 60] {
            let expected =
                directions.iter().fold(0.0, |sum, d| sum + recomputed(which, *d, number));
            let found = found[number as usize].value;
            assert!(
                (found / expected - 1.0).abs() < 1e-12,
                "{which}, {number}: {found} {expected}"
            );
        }
    }
}

#[test]
fn tangents_agree_with_differences_and_leave_the_values_their_bits() {
    use Parameter::{Beta1, Beta2, Damping, Epsilon, Rho};
    let directions = random_directions(&mut Pcg32::new(5, 4), 20);
    let by_momentum = |optimizer: &MeanField<f64>, momentum| {
        let constant = optimizer.with_tangents::<1>([Damping; 1]);
        let last = run(&directions, &steps(&constant, 25, momentum)).0;
        last[25]
    };
    for (which, parameters) in
        [&[Epsilon, Rho][..], &[Epsilon, Rho], &[Epsilon, Beta1, Beta2], &[Damping], &[Damping]]
            .into_iter()
            .enumerate()
    {
        let optimizer = all()[which];
        let plain = |optimizer: MeanField<f64>, momentum| {
            let constant = optimizer.with_tangents::<0>([]);
            run(&directions, &steps(&constant, 25, Dual::constant(momentum))).0[25].value
        };
        let close = |tangent: f64, at: f64, along: &dyn Fn(f64) -> f64| {
            let shift = 1e-5 * at;
            let found = (along(at + shift) - along(at - shift)) / (2.0 * shift);
            assert!((tangent / found - 1.0).abs() < 1e-7, "{which}: {tangent} {found}");
        };
        for &parameter in parameters {
            let at = optimizer.value(parameter).unwrap();
            let varied = optimizer.with_tangents([parameter]);
            let found = run(&directions, &steps(&varied, 25, Dual::constant(MOMENTUM))).0[25];
            assert_eq!(found.value.to_bits(), plain(optimizer, MOMENTUM).to_bits());
            close(found.tangents[0], at, &|x| plain(optimizer.with(parameter, x), MOMENTUM));
        }
        if !optimizer.has_own_momentum() {
            let momentum = Dual { value: MOMENTUM, tangents: [1.0] };
            let kept = optimizer.value(Damping);
            let found = by_momentum(&optimizer, momentum).tangents[0];
            let without = by_momentum(&optimizer, Dual::constant(MOMENTUM)).tangents[0];
            assert_eq!(kept.is_none(), without == 0.0, "λ has the same tangent");
            close(found - without, MOMENTUM, &|x| plain(optimizer, x));
        }
    }
}

/// Where nothing is random the mean is the run: that of the networks' rules on h θ.
#[test]
fn without_noise_it_is_the_rule_of_the_networks() {
    let direction = Direction {
        curvature: 0.7,
        noise_variance: 0.0,
        initial_mean: -1.3,
        initial_variance: 0.0,
    };
    for method in [rmsprop(0.8, 0.05, false), rmsprop(0.8, 0.05, true), ADAM] {
        let constant = elementwise(method).with_tangents::<0>([]);
        let found = run(&[direction], &steps(&constant, 30, Dual::constant(MOMENTUM))).0;
        let method = match method {
            Method::Rmsprop { rho, epsilon, is_inside, .. } => {
                Method::Rmsprop { rho, momentum: MOMENTUM, epsilon, is_inside }
            }
            other => other,
        };
        let all = Hyperparameters { method, decay: Decay::None }.with_tangents::<0>([]);
        let mut theta = Dual::constant(direction.initial_mean);
        let mut state = [Dual::constant(0.0); 2];
        for k in 0..30 {
            let rule =
                InLanes::<f64, 0, _, Libm>::new(all.step::<Libm>(k, Dual::constant(rate(k))));
            let gradient = theta.scaled(direction.curvature);
            rule.apply(&mut theta, gradient, &mut state);
        }
        let expected = 0.5 * direction.curvature * theta.value * theta.value;
        let found = found[30].value;
        assert!((found / expected - 1.0).abs() < 1e-10, "{method:?}: {found} {expected}");
    }
}

/// RMSprop without momentum for a simulation.
#[derive(Clone, Copy)]
struct Simulation {
    rate: fn(u32) -> f64,
    rho: f64,
    epsilon: f64,
    number: u32,
}

impl Simulation {
    /// E[θ²] in each of [`three`] directions over `runs` runs, with its standard error; `shared`
    /// runs divide by the root of the mean of all their averages, else each by that of its own.
    fn simulated(self, runs: usize, shared: bool) -> Vec<[f64; 2]> {
        let mut rng = Pcg32::new(11, 3);
        let mut found = Vec::new();
        for direction in three() {
            let Direction { curvature: h, initial_mean, .. } = direction;
            let sigma = Libm::sqrt(direction.noise_variance);
            let spread = Libm::sqrt(direction.initial_variance);
            let start = |rng: &mut Pcg32| [initial_mean + spread * rng.normal::<f64>(), 0.0, 0.0];
            let mut all: Vec<[f64; 3]> = (0..runs).map(|_| start(&mut rng)).collect();
            for k in 0..self.number {
                let mut total = 0.0;
                for [theta, square, gradient] in &mut all {
                    *gradient = h * (*theta + sigma * rng.normal::<f64>());
                    *square = self.rho * *square + (1.0 - self.rho) * *gradient * *gradient;
                    total += *square;
                }
                let mean = total / runs as f64;
                for [theta, square, gradient] in &mut all {
                    let root = Libm::sqrt(if shared { mean } else { *square });
                    *theta -= (self.rate)(k) * *gradient / (root + self.epsilon);
                }
            }
            let mean = |f: &dyn Fn(f64) -> f64| {
                all.iter().fold(0.0, |sum, run| sum + f(run[0])) / runs as f64
            };
            let second = mean(&|x| x * x);
            let variance = mean(&|x| (x * x - second) * (x * x - second));
            found.push([second, Libm::sqrt(variance / runs as f64)]);
        }
        found
    }

    /// The same in mean field.
    fn exact(self) -> Vec<f64> {
        let Self { rate, rho, epsilon, number } = self;
        let constant = elementwise(rmsprop(rho, epsilon, false)).with_tangents::<0>([]);
        let schedule = steps_at(rate, &constant, number, Dual::constant(0.0));
        let states = run(&three(), &schedule).1;
        let lanes = three().into_iter().enumerate();
        lanes
            .map(|(lane, direction)| {
                let moments = states[0].response.lane(lane).moments(direction);
                moments.variance + moments.mean * moments.mean
            })
            .collect()
    }
}

fn three() -> [Direction<f64>; 3] {
    [(1.0, 1.0, 0.0, 1.0), (0.3, 3.0, 1.0, 0.5), (0.02, 50.0, -2.0, 0.0)].map(
        |(curvature, noise_variance, initial_mean, initial_variance)| Direction {
            curvature,
            noise_variance,
            initial_mean,
            initial_variance,
        },
    )
}

/// Runs that share the mean of their averages: the moments are theirs, within 4 standard errors.
#[test]
fn it_is_exact_for_many_runs_that_share_their_average() {
    let simulation = Simulation { rate, rho: 0.9, epsilon: 0.01, number: 40 };
    let found = simulation.simulated(40_000, true);
    for ([mean, error], exact) in found.into_iter().zip(simulation.exact()) {
        assert!((mean - exact).abs() < 4.0 * error, "{mean} ± {error}, not {exact}");
        assert!(error < 0.02 * exact, "{exact} ± {error}");
    }
}

/// How far off it is for a run that averages its own squares, as the module's documentation says:
/// not at all with a large ε, little where training has come to rest, and by as much as a factor of
/// two on the way, where runs that begin far out divide by more.
#[test]
fn it_is_off_for_a_run_of_its_own() {
    let off = |rate, rho, epsilon, number, runs| -> Vec<f64> {
        let simulation = Simulation { rate, rho, epsilon, number };
        let found = simulation.simulated(runs, false);
        let off = found.into_iter().zip(simulation.exact()).map(|([m, _], exact)| m / exact - 1.0);
        off.collect()
    };
    let inside = |found: &[f64], ranges: [(f64, f64); 3]| {
        for (found, (least, most)) in found.iter().zip(ranges) {
            assert!((least..most).contains(found), "{found}, not {least} to {most}");
        }
    };
    let still = off(|_| 0.05, 0.9, 0.01, 2000, 4000);
    inside(&still, [(-0.05, 0.05), (-0.11, -0.03), (-0.1, 0.0)]);
    let on_the_way = off(rate, 0.9, 0.01, 300, 40_000);
    inside(&on_the_way, [(1.0, 1.25), (0.25, 0.32), (0.02, 0.05)]);
    let longer = off(rate, 0.99, 0.01, 300, 40_000);
    inside(&longer, [(0.4, 0.55), (0.24, 0.31), (0.0, 0.04)]);
    inside(&off(rate, 0.9, 30.0, 40, 40_000), [(-0.03, 0.03); 3]);
}

/// The loss of a step is the quadratic form that is known before it.
#[test]
fn the_next_loss_is_known_before_the_step() {
    let directions = random_directions(&mut Pcg32::new(6, 4), 20);
    for optimizer in all().iter().filter(|optimizer| !optimizer.has_own_momentum()) {
        let constant = optimizer.with_tangents::<0>([]);
        let plain = blocks::<F64x8>(&directions);
        let blocks: Vec<_> = plain.iter().map(|b| InMeanField::<_, Libm>::new(*b)).collect();
        let mut states = run(&directions, &steps(&constant, 7, Dual::constant(MOMENTUM))).1;
        let unit = |k| constant.step_at_rest::<Libm>(k, Dual::constant(1.0));
        let next = advance(backend(), &blocks, &mut states, None, unit(7));
        let step = Step { learning_rate: 0.02, momentum: 0.3 };
        let taken = constant.step::<Libm>(7, step.constant());
        let after = advance(backend(), &blocks, &mut states, Some(taken), unit(8)).excess;
        assert!((next.at(step) / after - 1.0).abs() < 1e-12, "{optimizer:?}");
        assert!(next.at(Step { learning_rate: 0.03, ..step }) != after);
    }
}

#[test]
fn what_has_no_mean_field_is_refused() {
    let with = |method, decay| MeanField::<f64>::new(Hyperparameters { method, decay });
    let sgd = Method::Sgd { momentum: 0.0, is_nesterov: false };
    assert_eq!(with(sgd, Decay::None), Err(NotInMeanField::Sgd));
    assert_eq!(with(ADAM, Decay::Coupled(0.1)), Err(NotInMeanField::WeightDecay));
    let plain = kfac(0.1, 0.5);
    for (changed, why) in [
        (Kfac { clip: Some(1.0), ..plain }, NotInMeanField::Clip),
        (Kfac { refactor_every: 10, ..plain }, NotInMeanField::Refactor),
        (Kfac { decay: Decay::Decoupled(0.1), ..plain }, NotInMeanField::WeightDecay),
    ] {
        assert_eq!(MeanField::kfac(changed, false), Err(why));
    }
}
