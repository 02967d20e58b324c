//! Batch normalisation: against plain loops written from the documentation of `mlp/norm.rs` alone,
//! and the equivalence of weight decay and a rate that grows.

mod support;

use myopia_core::backend::Portable;
use myopia_core::dual::Dual;
use myopia_core::elementary::{Elementary, Libm};
use myopia_core::mlp::{
    HeapBatch, HeapNetwork, InvalidNetwork, Lengths, NonFinite, Quantity, Shape, he_normal,
    he_normal_with_norm,
};
use myopia_core::optimizer::{Decay, Rule, Sgd, SgdStep, Step};
use myopia_core::rng::Pcg32;
use myopia_core::sum::sum;
use myopia_core::vector::{F64x4, Vector};
use support::Clusters;

const SIZES: [usize; 4] = [6, 5, 7, 3];
const BATCH: usize = 9;
/// Scale, shift, running mean, running variance.
const ROWS: usize = 4;

/// One layer, dense: `weights[input][output]`, and of a normalised one `norm[row][output]`; each
/// number that is trained with its velocity.
struct Layer {
    weights: Vec<Vec<[f64; 2]>>,
    norm: Vec<Vec<[f64; 2]>>,
    biases: Vec<[f64; 2]>,
    is_hidden: bool,
}

struct Reference(Vec<Layer>);

/// A vector for each example.
type Vectors = Vec<Vec<f64>>;

/// v ← μ v − α g, θ ← θ + v.
fn descend([theta, v]: &mut [f64; 2], gradient: f64, rate: f64, momentum: f64) {
    *v = *v * momentum - gradient * rate;
    *theta += *v;
}

/// What a layer makes of a batch: its activations, and of a hidden one x and i of each unit.
struct Pass {
    outputs: Vectors,
    normalised: Vectors,
    inverse: Vec<f64>,
}

impl Layer {
    fn pass(&mut self, given: &[Vec<f64>], is_training: bool) -> Pass {
        let count = given.len() as f64;
        let z = |input: &Vec<f64>, unit: usize| {
            let terms = input.iter().zip(&self.weights).map(|(x, row)| x * row[unit][0]);
            terms.fold(self.biases[unit][0], |sum, term| sum + term)
        };
        let units = self.biases.len();
        let mut outputs: Vectors =
            given.iter().map(|input| (0..units).map(|unit| z(input, unit)).collect()).collect();
        let mut normalised = outputs.clone();
        let mut inverse = vec![0.0; units];
        for unit in 0..if self.is_hidden { units } else { 0 } {
            let total =
                |f: &dyn Fn(f64) -> f64| outputs.iter().fold(0.0, |sum, z| sum + f(z[unit]));
            let mut mean = total(&|z| z) / count;
            let mut variance = total(&|z| (z - mean) * (z - mean)) / count;
            let [scale, shift, running @ ..] = &mut self.norm[..] else { panic!("four rows") };
            if is_training {
                for (row, new) in running.iter_mut().zip([mean, variance]) {
                    row[unit][0] = row[unit][0] * 0.9 + new * 0.1;
                }
            } else {
                [mean, variance] = [running[0][unit][0], running[1][unit][0]];
            }
            inverse[unit] = 1.0 / Libm::sqrt(variance + 1e-5);
            for (z, x) in outputs.iter_mut().zip(&mut normalised) {
                x[unit] = (z[unit] - mean) * inverse[unit];
                let y = x[unit] * scale[unit][0] + shift[unit][0];
                z[unit] = if y > 0.0 { y } else { 0.0 };
            }
        }
        Pass { outputs, normalised, inverse }
    }
}

impl Reference {
    fn new(numbers: &[f64]) -> Self {
        let mut numbers = numbers.iter().copied();
        let mut rows = |rows: usize, units: usize| -> Vec<Vec<[f64; 2]>> {
            let mut row = || numbers.by_ref().take(units).map(|x| [x, 0.0]).collect();
            (0..rows).map(|_| row()).collect()
        };
        let last = SIZES.len() - 2;
        let layer = |(number, sizes): (usize, &[usize])| Layer {
            weights: rows(sizes[0], sizes[1]),
            norm: rows(if number < last { ROWS } else { 0 }, sizes[1]),
            biases: rows(1, sizes[1]).remove(0),
            is_hidden: number < last,
        };
        Self(SIZES.windows(2).enumerate().map(layer).collect())
    }

    /// Numbers and their velocities.
    fn numbers(&self) -> [Vec<u64>; 2] {
        let rows = |l: &Layer| [l.weights.concat(), l.norm.concat(), l.biases.clone()].concat();
        let all: Vec<[f64; 2]> = self.0.iter().flat_map(rows).collect();
        [0, 1].map(|which| all.iter().map(|x| x[which].to_bits()).collect())
    }

    /// What each layer is given and makes, and the losses and errors of the last one.
    fn forward(
        &mut self,
        examples: &[(Vec<f64>, usize)],
        is_training: bool,
    ) -> (Vec<Vectors>, Vec<Pass>, f64, Vectors) {
        let mut given = vec![examples.iter().map(|(x, _)| x.clone()).collect::<Vec<_>>()];
        let mut passes = Vec::new();
        for layer in &mut self.0 {
            let pass = layer.pass(&given[given.len() - 1], is_training);
            given.push(pass.outputs.clone());
            passes.push(pass);
        }
        let (mut losses, mut errors) = (Vec::new(), Vec::new());
        for (logits, (_, label)) in given[given.len() - 1].iter().zip(examples) {
            let largest = logits.iter().fold(logits[0], |a, &b| if b > a { b } else { a });
            let powers: Vec<f64> = logits.iter().map(|z| Libm::exp(z - largest)).collect();
            let total = powers.iter().fold(0.0, |sum, p| sum + p);
            losses.push(Libm::ln(total) - (logits[*label] - largest));
            let error = |(class, power): (usize, &f64)| {
                let share = power / total;
                (if class == *label { share - 1.0 } else { share }) / examples.len() as f64
            };
            errors.push(powers.iter().enumerate().map(error).collect());
        }
        (given, passes, sum(losses), errors)
    }

    fn loss(&mut self, examples: &[(Vec<f64>, usize)]) -> f64 {
        self.forward(examples, false).2
    }

    /// The mean loss before the step.
    fn step(&mut self, examples: &[(Vec<f64>, usize)], rate: f64, momentum: f64) -> f64 {
        let count = examples.len() as f64;
        let (given, passes, loss, mut errors) = self.forward(examples, true);
        for ((layer, given), pass) in self.0.iter_mut().zip(&given).zip(&passes).rev() {
            let units = layer.biases.len();
            for unit in 0..if layer.is_hidden { units } else { 0 } {
                let total = |f: &dyn Fn(f64, f64) -> f64| {
                    let terms =
                        errors.iter().zip(&pass.normalised).map(|(e, x)| f(e[unit], x[unit]));
                    terms.fold(0.0, |sum, term| sum + term)
                };
                let (by_scale, by_shift) = (total(&|e, x| e * x), total(&|e, _| e));
                let factor = layer.norm[0][unit][0] * pass.inverse[unit];
                for (error, x) in errors.iter_mut().zip(&pass.normalised) {
                    let centred = error[unit] - by_shift / count;
                    error[unit] = factor * (centred - x[unit] * (by_scale / count));
                }
                descend(&mut layer.norm[0][unit], by_scale, rate, momentum);
                descend(&mut layer.norm[1][unit], by_shift, rate, momentum);
            }
            let below = given.iter().zip(&errors).map(|(given, error)| {
                let propagated = |row: &Vec<[f64; 2]>| {
                    row.iter().zip(error).fold(0.0, |sum, (w, e)| sum + e * w[0])
                };
                let gated = |(row, &h): (&Vec<[f64; 2]>, &f64)| {
                    if h > 0.0 { propagated(row) } else { 0.0 }
                };
                layer.weights.iter().zip(given).map(gated).collect()
            });
            let below: Vectors = below.collect();
            for unit in 0..units {
                let sum = |f: &dyn Fn(usize) -> f64| (0..errors.len()).fold(0.0, |s, b| s + f(b));
                for (input, row) in layer.weights.iter_mut().enumerate() {
                    let gradient = sum(&|b| given[b][input] * errors[b][unit]);
                    descend(&mut row[unit], gradient, rate, momentum);
                }
                descend(&mut layer.biases[unit], sum(&|b| errors[b][unit]), rate, momentum);
            }
            errors = below;
        }
        loss / count
    }
}

/// Numbers of a network at first, its biases and shifts a little off zero.
fn start() -> Vec<f64> {
    let mut rng = Pcg32::new(3, 0);
    let numbers: Vec<f32> = he_normal_with_norm(Shape::new(&SIZES).unwrap(), &mut rng).collect();
    let off = |x: f32| if x == 0.0 { 0.1 * rng.normal::<f32>() } else { x };
    numbers.into_iter().map(off).map(f64::from).collect()
}

#[test]
fn steps_and_objective_are_those_of_plain_loops() {
    let data = Clusters::new(5, 40, SIZES[0], SIZES[3], Some(4));
    let start = start();
    let mut reference = Reference::new(&start);
    let mut heap = HeapNetwork::<F64x4, 0, 1, true>::new(&SIZES, BATCH).unwrap();
    let mut room = HeapBatch::new(&SIZES, BATCH);
    let (mut network, mut batch) = (heap.network(Portable::<F64x4>::new()), room.batch());
    network.load(start.iter().map(|x| Dual::constant(*x)), []);
    for k in 0..12 {
        let indices: Vec<u32> = (0..BATCH as u32).map(|n| (7 * k + n) % 40).collect();
        batch.fill(&data, &indices);
        let examples: Vec<_> = indices.iter().map(|index| data.dense(*index)).collect();
        let sgd = Sgd { learning_rate: Dual::constant(0.1), momentum: 0.8 };
        let loss = network.step(&batch, sgd).unwrap().value;
        assert_eq!(loss.to_bits(), reference.step(&examples, 0.1, 0.8).to_bits(), "step {k}");
        let found = [
            network.parameters().map(|x| x.value.to_bits()).collect::<Vec<_>>(),
            network.state().map(|x| x.value.to_bits()).collect(),
        ];
        assert!(found == reference.numbers(), "step {k}");
        // Fewer examples than in a batch.
        batch.fill(&data, &indices[..4]);
        let loss = network.evaluate(&batch).loss.value;
        assert_eq!(loss.to_bits(), reference.loss(&examples[..4]).to_bits(), "after step {k}");
    }
}

#[test]
fn a_normalised_network_starts_with_the_same_weights() {
    let shape = Shape::new(&SIZES).unwrap();
    let plain: Vec<f32> = he_normal(shape, &mut Pcg32::new(3, 0)).collect();
    let with_norm: Vec<f32> = he_normal_with_norm(shape, &mut Pcg32::new(3, 0)).collect();
    assert_eq!(with_norm.len(), shape.parameters_with_norm());
    let (mut plain, mut found) = (plain.as_slice(), with_norm.as_slice());
    let take = |from: &mut &[f32], count: usize| -> Vec<f32> {
        let (part, rest) = from.split_at(count);
        *from = rest;
        part.to_vec()
    };
    for (number, sizes) in SIZES.windows(2).enumerate() {
        let [inputs, units] = [sizes[0], sizes[1]];
        assert_eq!(take(&mut found, inputs * units), take(&mut plain, inputs * units));
        if number + 2 < SIZES.len() {
            for constant in [1.0, 0.0, 0.0, 1.0] {
                assert_eq!(take(&mut found, units), vec![constant; units]);
            }
        }
        assert_eq!(take(&mut found, units), take(&mut plain, units));
    }
    assert!(found.is_empty() && plain.is_empty());
}

#[test]
fn a_batch_of_one_has_no_variance() {
    let found = HeapNetwork::<F64x4, 0, 1, true>::new(&SIZES, 1).err();
    assert_eq!(found, Some(InvalidNetwork::TooFew));
    assert!(HeapNetwork::<F64x4, 0, 1>::new(&SIZES, 1).is_ok());
}

#[test]
fn without_normalisation_nothing_is_stored_for_it() {
    let lengths = Lengths::new(&SIZES, BATCH, F64x4::LANES);
    assert_eq!([lengths.normalised, lengths.inverse_deviations], [0, 0]);
    let lengths = Lengths::with_norm(&SIZES, BATCH, F64x4::LANES, true);
    assert_eq!([lengths.normalised, lengths.inverse_deviations], [BATCH * 4, 4]);
}

/// Of pre-activations of 1e25 the variance in `f32` is infinite, x zero and the loss finite.
#[test]
fn a_variance_that_overflows_ends_the_run() {
    let data = Clusters::new(5, 40, SIZES[0], SIZES[3], None);
    let mut heap = HeapNetwork::<f32, 0, 1, true>::new(&SIZES, BATCH).unwrap();
    let mut room = HeapBatch::new(&SIZES, BATCH);
    let (mut network, mut batch) = (heap.network(Portable::<f32>::new()), room.batch());
    let large = start().into_iter().map(|x| Dual::constant(x as f32 * 1e25));
    network.load(large, []);
    batch.fill(&data, &[0, 1, 2, 3]);
    let sgd = Sgd { learning_rate: Dual::constant(0.0), momentum: 0.0 };
    assert_eq!(network.step(&batch, sgd), Err(NonFinite(Quantity::Value)));
}

/// Weights that a normalisation follows may be multiplied by c: the loss stays, the gradient is
/// divided by c. So with r the larger root of x² − (1 + μ − αξ)x + μ = 0, which is real while
/// αξ ≤ (1 − √μ)², the weights of a run at
/// the constant rate α with decay ξ are r^t times those of one without decay (Li & Arora 2019),
///
/// ```text
/// φ_{t+1} − φ_t = μ/r² (φ_t − φ_{t−1}) − α r^{−2t−1} ∇L(φ_t),  φ_0 − φ_{−1} = (1 − r) φ_0
/// ```
///
/// where the velocity, and not its quotient by the rate, is carried on. Of ε it is true only up to
/// ε/variance: with weights 2²⁰ times as large, and rates 2⁴⁰ times, that is below the rounding.
/// Scale, shift and biases are held; the last layer learns at a constant rate, without decay.
#[test]
fn weight_decay_is_a_rate_that_grows() {
    const STEPS: i32 = 60;
    let (alpha, xi) = (0.3, 0.1);
    let c = f64::from(1 << 20);
    let data = Clusters::new(5, 40, SIZES[0], SIZES[3], None);
    let hidden_weights = {
        let ones = |sizes: &[usize], is_hidden: bool| match is_hidden {
            true => [vec![true; sizes[0] * sizes[1]], vec![false; (ROWS + 1) * sizes[1]]].concat(),
            false => vec![false; (sizes[0] + 1) * sizes[1]],
        };
        let layers = SIZES.windows(2).enumerate();
        layers.flat_map(|(l, sizes)| ones(sizes, l + 2 < SIZES.len())).collect::<Vec<bool>>()
    };
    let start: Vec<f64> = he_normal_with_norm(Shape::new(&SIZES).unwrap(), &mut Pcg32::new(3, 0))
        .map(f64::from)
        .zip(&hidden_weights)
        .map(|(x, hidden)| if *hidden { c * x } else { x })
        .collect();
    let held: Vec<bool> = {
        let of_layer = |(l, sizes): (usize, &[usize])| {
            let is_hidden = l + 2 < SIZES.len();
            let rest = if is_hidden { (ROWS + 1) * sizes[1] } else { sizes[1] };
            [vec![false; sizes[0] * sizes[1]], vec![is_hidden; rest]].concat()
        };
        SIZES.windows(2).enumerate().flat_map(of_layer).collect()
    };
    // The losses of each step's batch; `rule` is that of the hidden layers.
    let losses = |velocity: f64, momentum: f64, rule: &dyn Fn(i32) -> Step<Dual<f64, 0>>| {
        let mut heap = HeapNetwork::<F64x4, 0, 2, true>::new(&SIZES, BATCH).unwrap();
        let mut room = HeapBatch::new(&SIZES, BATCH);
        let (mut network, mut batch) = (heap.network(Portable::<F64x4>::new()), room.batch());
        let velocities = start.iter().zip(&hidden_weights).flat_map(|(x, hidden)| {
            [if *hidden { velocity * x } else { 0.0 }, 0.0].map(Dual::constant)
        });
        network.load(start.iter().map(|x| Dual::constant(*x)), velocities);
        let mut found = Vec::new();
        for t in 0..STEPS {
            let indices: Vec<u32> = (0..BATCH as u32).map(|n| (7 * t as u32 + n) % 40).collect();
            batch.fill(&data, &indices);
            let last = sgd(alpha, momentum, Decay::None);
            let of_layer = |layer| if layer + 2 < SIZES.len() { rule(t) } else { last };
            found.push(network.step_by_layer(&batch, of_layer).unwrap().value);
            let kept = |(x, (held, old)): (Dual<f64, 0>, (&bool, &f64))| match held {
                true => Dual::constant(*old),
                false => x,
            };
            let numbers: Vec<_> =
                network.parameters().zip(held.iter().zip(&start)).map(kept).collect();
            let state: Vec<_> = network.state().collect();
            let of_held = |(slots, held): (&[Dual<f64, 0>], &bool)| match held {
                true => [Dual::default(); 2],
                false => [slots[0], slots[1]],
            };
            let state: Vec<_> = state.chunks(2).zip(&held).flat_map(of_held).collect();
            network.load(numbers, state);
        }
        found
    };
    for momentum in [0.0, 0.5] {
        let half = (1.0 + momentum - alpha * xi) / 2.0;
        let r = half + Libm::sqrt(half * half - momentum);
        if momentum == 0.0 {
            assert!((r - (1.0 - alpha * xi)).abs() < 1e-15);
        }
        let square = c * c;
        let decayed = losses(0.0, momentum, &|_| {
            sgd(alpha * square, momentum, Decay::Coupled(Dual::constant(xi / square)))
        });
        let grown = losses(1.0 - r, momentum, &|t| {
            let power = Libm::pow(r, f64::from(-2 * t - 1));
            sgd(alpha * square * power, momentum / (r * r), Decay::None)
        });
        let constant = losses(0.0, momentum, &|_| sgd(alpha * square, momentum, Decay::None));
        let apart = |others: &[f64]| {
            let apart = decayed.iter().zip(others).map(|(x, y)| (x - y).abs() / x);
            apart.fold(0.0, |most, x| if x > most { x } else { most })
        };
        let (same, other) = (apart(&grown), apart(&constant));
        assert!(same < 1e-13, "momentum {momentum}: {same:e}");
        assert!(other > 1e-2, "momentum {momentum}: without decay {other:e}");
    }
}

fn sgd(rate: f64, momentum: f64, decay: Decay<Dual<f64, 0>>) -> Step<Dual<f64, 0>> {
    let [learning_rate, momentum] = [rate, momentum].map(Dual::constant);
    let rule = Rule::Sgd(SgdStep { learning_rate, momentum, is_nesterov: false });
    Step { rule, decay }
}
