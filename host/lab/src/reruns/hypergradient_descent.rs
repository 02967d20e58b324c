//! Hypergradient descent of the learning rate (Baydin et al. 2018) on a network without hidden
//! layers, as its authors ran it.
//!
//! With g_t the gradient of the batch's mean loss and ξw_t, d_t the direction of the update, b the
//! meta rate and d_{−1} = 0:
//!
//! ```text
//! α_t = α_{t−1} + b g_t · d_{t−1}        w_{t+1} = w_t − α_t d_t
//!
//! SGD         d_t = g_t
//! Nesterov    u_t = μu_{t−1} + g_t,  d_t = g_t + μu_t
//! Adam        m_t = β₁m_{t−1} + (1 − β₁)g_t,  v_t = β₂v_{t−1} + (1 − β₂)g_t²
//!             d_t = m_t/(√v_t + ε) · √(1 − β₂ᵗ)/(1 − β₁ᵗ),  t from 1 on
//! ```
//!
//! The velocity is not multiplied by the rate of its time but by that of the step it is used in, as
//! in the authors' program, and nothing holds the rate above zero. An epoch is a random order of
//! all training examples in batches of which the last is short; weights and biases begin uniform
//! within ±1/√inputs. The sums of the rule are in double precision, gradients in the problem's.

use myopia_core::bilevel::linear::dot;
use myopia_core::elementary::{Elementary, Libm};
use myopia_core::real::Real;
use myopia_core::rng::Pcg32;
use myopia_core::sum::sum;
use myopia_core::unroll::Diverged;
use serde::{Deserialize, Serialize};

use crate::precision::{Float, Numbers, in_precision};
use crate::problem::{CurvatureMatrix, Ended, InitialParams, Problem, Set, Stream, Tangents};

/// What makes a direction of gradients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// The gradient itself.
    Sgd,
    /// Nesterov's momentum, μ = 0.9.
    Nesterov,
    /// Adam with its authors' constants.
    Adam,
}

/// A method, and what its authors found with it.
#[derive(Clone, Copy, Debug)]
pub struct Method {
    /// The direction.
    pub rule: Rule,
    /// b; zero keeps the rate.
    pub meta_rate: f64,
    /// Its name.
    pub name: &'static str,
    /// Mean loss of the batches of the last epoch, and loss on the test set after it, in nats.
    pub published: [f64; 2],
    /// Largest rate, the step with it from 1 on, the rate at the end, and the number of steps with
    /// one below zero.
    pub published_rates: [f64; 4],
}

const STILL: [f64; 4] = [1e-3, 1.0, 1e-3, 0.0];

/// All methods of the figure, from α₀ = 0.001 with ξ = 0.0001 and batches of 128, ten epochs; of
/// the files `results/logreg` in the authors' repository gbaydin/hypergradient-descent.
pub const METHODS: [Method; 6] = [
    Method {
        rule: Rule::Sgd,
        meta_rate: 0.0,
        name: "SGD",
        published: [0.3956691563955502, 0.37374500379562375],
        published_rates: STILL,
    },
    Method {
        rule: Rule::Sgd,
        meta_rate: 1e-3,
        name: "SGD-HD",
        published: [0.2934214190315844, 0.2877796631336212],
        published_rates: [0.04706295582652092, 14.0, 0.0021268106732749785, 324.0],
    },
    Method {
        rule: Rule::Nesterov,
        meta_rate: 0.0,
        name: "SGDN",
        published: [0.2892567335542585, 0.2845517434597015],
        published_rates: STILL,
    },
    Method {
        rule: Rule::Nesterov,
        meta_rate: 1e-3,
        name: "SGDN-HD",
        published: [0.26124614375486555, 0.27185922441482546],
        published_rates: [0.04871719360351562, 4.0, -0.00020019819680602743, 427.0],
    },
    Method {
        rule: Rule::Adam,
        meta_rate: 0.0,
        name: "Adam",
        published: [0.25895081265076897, 0.2718745966434479],
        published_rates: STILL,
    },
    Method {
        rule: Rule::Adam,
        meta_rate: 1e-7,
        name: "Adam-HD",
        published: [0.258276855306966, 0.27232620100975036],
        published_rates: [0.0011605727722661624, 270.0, 0.0010315670664668537, 0.0],
    },
];

/// α₀ of all methods.
pub const FIRST_RATE: f64 = 1e-3;
/// ξ of all methods.
pub const WEIGHT_DECAY: f64 = 1e-4;
/// Examples in a batch.
pub const BATCH: usize = 128;
const MOMENTUM: f64 = 0.9;
/// β₁, β₂ and ε.
const ADAM: [f64; 3] = [0.9, 0.999, 1e-8];

/// One epoch.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Epoch {
    /// Mean over its batches of their mean loss before the update, in nats.
    pub loss: f64,
    /// Mean loss on the test set after it, in nats.
    pub test_loss: f64,
}

/// How a run went.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// Its epochs.
    pub epochs: Vec<Epoch>,
    /// The learning rate of each step.
    pub rates: Vec<f64>,
    /// Why it ended early, where it left the finite range.
    pub diverged: Option<String>,
}

impl Outcome {
    /// Largest rate, the step with it from 1 on, the rate at the end, and the number of steps with
    /// one below zero.
    pub fn of_rates(&self) -> Option<[f64; 4]> {
        let steps = self.rates.iter().copied().enumerate();
        let (step, most) = steps.reduce(|a, b| if b.1 > a.1 { b } else { a })?;
        let below = self.rates.iter().filter(|&&rate| rate < 0.0).count();
        Some([most, (step + 1) as f64, *self.rates.last()?, below as f64])
    }
}

/// The batches of all epochs.
#[derive(Clone)]
struct Batches {
    rng: Pcg32,
    order: Vec<u32>,
    next: usize,
}

impl Batches {
    fn new(examples: usize, seed: u64) -> Self {
        let order: Vec<u32> = (0..examples as u32).collect();
        Self { rng: Pcg32::new(seed, Stream::Batches as u64), next: order.len(), order }
    }

    fn next(&mut self) -> Vec<u32> {
        if self.next == self.order.len() {
            self.rng.shuffle(&mut self.order);
            self.next = 0;
        }
        let first = self.next;
        self.next = self.order.len().min(first + BATCH);
        self.order[first..self.next].to_vec()
    }
}

/// A run under way.
#[derive(Clone)]
pub struct Run<'a> {
    problem: &'a Problem<'a>,
    rule: Rule,
    meta_rate: f64,
    batches: Batches,
    weights: Vec<f64>,
    pub(super) rate: f64,
    /// d of the last step.
    direction: Vec<f64>,
    /// u, or m.
    mean: Vec<f64>,
    /// v.
    square: Vec<f64>,
    /// β₁ᵗ and β₂ᵗ.
    missing: [f64; 2],
}

impl<'a> Run<'a> {
    /// A run of `method` on a network without hidden layers that has not begun.
    pub fn new(problem: &'a Problem<'a>, method: &Method) -> Self {
        let count = problem.parameters();
        let mut rng = Pcg32::new(problem.seed, Stream::Weights as u64);
        let bound = 1.0 / <Libm as Elementary<f64>>::sqrt(problem.layers[0] as f64);
        let mut weight = |_| {
            let weight = bound * (2.0 * rng.uniform::<f64>() - 1.0);
            problem.precision().round(weight)
        };
        Self {
            problem,
            rule: method.rule,
            meta_rate: method.meta_rate,
            batches: Batches::new(problem.trained_on(), problem.seed),
            weights: (0..count).map(&mut weight).collect(),
            rate: FIRST_RATE,
            direction: vec![0.0; count],
            mean: vec![0.0; count],
            square: vec![0.0; count],
            missing: [1.0; 2],
        }
    }

    /// The same from here on at a constant rate.
    pub(super) fn at(&self, rate: f64) -> Self {
        Self { rate, meta_rate: 0.0, ..self.clone() }
    }

    fn numbers(&self) -> Numbers {
        in_precision!(self.problem.precision(), T => {
            T::numbers(self.weights.iter().map(|&x| T::from_f64(x)).collect())
        })
    }

    /// One step: the mean loss of its batch before the update.
    pub(super) fn step(&mut self, go_on: &mut dyn FnMut() -> bool) -> Result<f64, Ended> {
        let numbers = self.numbers();
        let batch = self.batches.next();
        let mut at = self.problem.curvature(&numbers, CurvatureMatrix::Hessian, go_on);
        let (loss, gradient) = at.loss_and_gradient(&batch)?;
        self.update(gradient);
        Ok(loss)
    }

    /// The update along the gradient of the batch.
    fn update(&mut self, mut gradient: Vec<f64>) {
        let weights = gradient.iter_mut().zip(&self.weights);
        weights.for_each(|(g, w)| *g += WEIGHT_DECAY * w);
        self.rate += self.meta_rate * dot(&gradient, &self.direction);
        match self.rule {
            Rule::Sgd => self.direction = gradient,
            Rule::Nesterov => {
                let velocity = self.mean.iter_mut().zip(&gradient);
                velocity.for_each(|(u, g)| *u = MOMENTUM * *u + g);
                let both = gradient.iter().zip(&self.mean);
                self.direction = both.map(|(g, u)| g + MOMENTUM * u).collect();
            }
            Rule::Adam => self.adam(&gradient),
        }
        let weights = self.weights.iter_mut().zip(&self.direction);
        weights.for_each(|(w, d)| *w -= self.rate * d);
    }

    fn adam(&mut self, gradient: &[f64]) {
        let [of_mean, of_square, epsilon] = ADAM;
        self.missing = [self.missing[0] * of_mean, self.missing[1] * of_square];
        let [weight, weight_square] = self.missing.map(|missing| 1.0 - missing);
        let corrected = <Libm as Elementary<f64>>::sqrt(weight_square) / weight;
        let state = self.mean.iter_mut().zip(&mut self.square);
        for ((d, g), (m, v)) in self.direction.iter_mut().zip(gradient).zip(state) {
            *m = of_mean * *m + (1.0 - of_mean) * g;
            *v = of_square * *v + (1.0 - of_square) * g * g;
            *d = *m / (<Libm as Elementary<f64>>::sqrt(*v) + epsilon) * corrected;
        }
    }

    /// The mean loss on the first `count` examples of a set, in nats.
    pub(super) fn loss(&self, set: Set, count: usize) -> Result<f64, Diverged> {
        let indices: Vec<u32> = (0..count as u32).collect();
        let mut at = self.problem.run(Tangents::None, &InitialParams(self.numbers()));
        Ok(at.evaluate(set, &indices)?.loss.value)
    }

    /// So many epochs; `tick` is called after each step.
    ///
    /// # Errors
    /// When `go_on` stops it. What diverges is an outcome.
    pub fn epochs(
        mut self,
        epochs: u32,
        go_on: &mut dyn FnMut() -> bool,
        tick: &dyn Fn(),
    ) -> Result<Outcome, Ended> {
        let mut outcome = Outcome::default();
        let steps = self.problem.trained_on().div_ceil(BATCH);
        let mut epoch = |outcome: &mut Outcome| -> Result<(), Ended> {
            let mut losses = Vec::with_capacity(steps);
            for _ in 0..steps {
                losses.push(self.step(go_on)?);
                outcome.rates.push(self.rate);
                tick();
            }
            let loss = sum(losses) / steps as f64;
            let test_loss = self.loss(Set::Test, self.problem.data.len(Set::Test))?;
            outcome.epochs.push(Epoch { loss, test_loss });
            Ok(())
        };
        for _ in 0..epochs {
            match epoch(&mut outcome) {
                Ok(()) => {}
                Err(Ended::Stopped) => return Err(Ended::Stopped),
                Err(Ended::Diverged(diverged)) => {
                    outcome.diverged = Some(diverged.to_string());
                    break;
                }
            }
        }
        Ok(outcome)
    }
}

#[cfg(test)]
pub(super) mod tests {

    use super::*;
    use crate::precision::Precision;
    use crate::problem::{Data, ObjectiveSet, Source};

    pub fn with<R>(check: impl Fn(&Problem<'_>, &Data) -> R) -> R {
        let (data, _) = Source::Glyphs.load(Precision::F64, |_| ()).unwrap().standardised();
        let problem = Problem {
            batch: BATCH,
            momentum: 0.0,
            objective: ObjectiveSet::Train,
            seed: 2,
            ..Problem::new(&data, vec![64, 10])
        };
        check(&problem, &data)
    }

    pub fn named(name: &str) -> Method {
        let method = METHODS.iter().find(|method| method.name == name);
        Method { meta_rate: 0.01, ..*method.unwrap() }
    }

    /// Gradient of the loss by finite differences along a direction.
    fn slope(run: &Run<'_>, batch: &[u32], direction: &[f64]) -> f64 {
        let h = 1e-5;
        let loss = |sign: f64| {
            let mut moved = run.clone();
            let weights = moved.weights.iter_mut().zip(direction);
            weights.for_each(|(w, d)| *w += sign * h * d);
            let square = dot(&moved.weights, &moved.weights);
            let mut at = run.problem.run(Tangents::None, &InitialParams(moved.numbers()));
            at.evaluate(Set::Training, batch).unwrap().loss.value + WEIGHT_DECAY * square / 2.0
        };
        (loss(1.0) - loss(-1.0)) / (2.0 * h)
    }

    /// The rate moves by b times the slope of the next batch's regularised loss along the last
    /// direction, which is where the last step went, divided by the rate it was taken at.
    #[test]
    fn the_rate_moves_along_the_slope_of_the_next_batch() {
        with(|problem, _| {
            for name in ["SGD-HD", "SGDN-HD", "Adam-HD"] {
                let mut run = Run::new(problem, &named(name));
                for k in 0..4 {
                    let mut ahead = run.batches.clone();
                    let expected = run.rate + 0.01 * slope(&run, &ahead.next(), &run.direction);
                    let before = run.weights.clone();
                    run.step(&mut || true).unwrap();
                    let off = (run.rate - expected).abs();
                    assert!(off < 1e-8, "{name} {k}: {} {expected}", run.rate);
                    assert_eq!(run.rate == FIRST_RATE, k == 0, "{name}");
                    for ((w, b), d) in run.weights.iter().zip(&before).zip(&run.direction) {
                        assert!((w - (b - run.rate * d)).abs() < 1e-15);
                    }
                }
            }
        });
    }

    /// Directions against their definition written out, from the gradients that were seen.
    #[test]
    fn directions_follow_their_definitions() {
        with(|problem, _| {
            let count = problem.parameters();
            let gradient = |k: i32| -> Vec<f64> {
                (0..count).map(|i| f64::from(k) + 0.01 * (i as f64)).collect()
            };
            for rule in [Rule::Sgd, Rule::Nesterov, Rule::Adam] {
                let mut run = Run::new(problem, &Method { rule, ..named("SGD") });
                run.weights = vec![0.0; count];
                run.rate = 0.0;
                run.meta_rate = 0.0;
                (1..=3).for_each(|k| run.update(gradient(k)));
                let [a, b, c] = [1, 2, 3].map(|k| gradient(k)[5]);
                let weighted = |mu: f64| mu * mu * a + mu * b + c;
                let squares = 0.001 * (0.998001 * a * a + 0.999 * b * b + c * c);
                let expected = match rule {
                    Rule::Sgd => c,
                    Rule::Nesterov => c + 0.9 * weighted(0.9),
                    Rule::Adam => {
                        let mean = 0.1 * weighted(0.9) / (1.0 - 0.729);
                        let missing = Libm::sqrt(1.0 - 0.997002999);
                        mean / (Libm::sqrt(squares) + 1e-8) * missing
                    }
                };
                assert!((run.direction[5] / expected - 1.0).abs() < 1e-9, "{rule:?}");
            }
        });
    }

    #[test]
    fn an_epoch_is_every_example_once_and_its_last_batch_is_short() {
        let mut batches = Batches::new(300, 1);
        let sizes: Vec<usize> = (0..6).map(|_| batches.next().len()).collect();
        assert_eq!(sizes, [128, 128, 44, 128, 128, 44]);
        let mut again = Batches::new(300, 1);
        let mut seen: Vec<u32> = (0..3).flat_map(|_| again.next()).collect();
        seen.sort_unstable();
        assert!(seen.iter().copied().eq(0..300));
    }

    #[test]
    fn the_loss_of_an_epoch_is_the_mean_over_its_batches() {
        with(|problem, _| {
            let outcome = Run::new(problem, &named("SGD-HD")).epochs(2, &mut || true, &|| ());
            let outcome = outcome.unwrap();
            let steps = problem.trained_on().div_ceil(BATCH);
            assert_eq!((outcome.epochs.len(), outcome.rates.len()), (2, 2 * steps));
            let mut run = Run::new(problem, &named("SGD-HD"));
            let losses: Vec<f64> = (0..steps)
                .map(|_| {
                    let batch = run.batches.clone().next();
                    let start = InitialParams(run.numbers());
                    let mut at = problem.run(Tangents::None, &start);
                    let loss = at.evaluate(Set::Training, &batch).unwrap().loss.value;
                    run.step(&mut || true).unwrap();
                    loss
                })
                .collect();
            let mean = sum(losses) / steps as f64;
            assert!((outcome.epochs[0].loss - mean).abs() < 1e-12);
            assert!(outcome.epochs[1].loss < outcome.epochs[0].loss);
            assert!(matches!(
                Run::new(problem, &named("SGD")).epochs(1, &mut || false, &|| ()),
                Err(Ended::Stopped)
            ));
        });
    }

    #[test]
    fn rates_are_told_by_their_peak_and_those_below_zero() {
        let outcome = Outcome { rates: vec![0.1, 0.4, -0.2, 0.4, -0.1], ..Outcome::default() };
        assert_eq!(outcome.of_rates(), Some([0.4, 2.0, -0.1, 2.0]));
    }
}
