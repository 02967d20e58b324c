//! The training step against plain dense loops, written from the documentation of
//! `myopia_core::mlp` alone.

use myopia_core::backend::Portable;
use myopia_core::dual::Dual;
use myopia_core::elementary::{Elementary, Libm};
use myopia_core::glyphs::{Glyphs, PIXELS};
use myopia_core::mlp::{Batch, Dataset, HeapBatch, HeapNetwork, Shape, he_normal};
use myopia_core::optimizer::Sgd;
use myopia_core::rng::Pcg32;
use myopia_core::vector::F32x8;
use proptest::prelude::*;

/// One layer, dense: `weights[input][output]`.
struct Layer {
    weights: Vec<Vec<f32>>,
    bias: Vec<f32>,
    weight_velocity: Vec<Vec<f32>>,
    bias_velocity: Vec<f32>,
}

struct Reference(Vec<Layer>);

/// v ← μ v − α g, θ ← θ + v.
fn descend(theta: &mut f32, v: &mut f32, gradient: f32, rate: f32, momentum: f32) {
    *v = *v * momentum - gradient * rate;
    *theta += *v;
}

/// Eight interleaved partial sums and the tree of contract 3.
fn interleaved(terms: &[f32]) -> f32 {
    let mut s = [0.0f32; 8];
    for (n, term) in terms.iter().enumerate() {
        s[n % 8] += term;
    }
    ((s[0] + s[1]) + (s[2] + s[3])) + ((s[4] + s[5]) + (s[6] + s[7]))
}

impl Reference {
    fn new(sizes: &[usize], parameters: &[f32]) -> Self {
        let mut parameters = parameters.iter().copied();
        let mut take = |count: usize| -> Vec<f32> { parameters.by_ref().take(count).collect() };
        let layer = |sizes: &[usize]| Layer {
            weights: (0..sizes[0]).map(|_| take(sizes[1])).collect(),
            bias: take(sizes[1]),
            weight_velocity: vec![vec![0.0; sizes[1]]; sizes[0]],
            bias_velocity: vec![0.0; sizes[1]],
        };
        Self(sizes.windows(2).map(layer).collect())
    }

    fn parameters(&self) -> Vec<u32> {
        let numbers = |l: &Layer| [l.weights.concat(), l.bias.clone()].concat();
        self.0.iter().flat_map(numbers).map(f32::to_bits).collect()
    }

    /// The mean loss before the step.
    fn step(&mut self, examples: &[(Vec<f32>, usize)], rate: f32, momentum: f32) -> f32 {
        let count = examples.len() as f32;
        // inputs_of[l][example] is what layer l is given; errors[example] belongs to the top layer.
        let mut inputs_of: Vec<Vec<Vec<f32>>> = vec![Vec::new(); self.0.len()];
        let (mut errors, mut losses) = (Vec::new(), Vec::new());
        for (pixels, label) in examples {
            let mut below = pixels.clone();
            for (l, layer) in self.0.iter().enumerate() {
                inputs_of[l].push(below.clone());
                let mut z = layer.bias.clone();
                for (j, z) in z.iter_mut().enumerate() {
                    for (i, x) in below.iter().enumerate() {
                        *z += x * layer.weights[i][j];
                    }
                }
                let top = l + 1 == self.0.len();
                below = z.into_iter().map(|z| if top || z > 0.0 { z } else { 0.0 }).collect();
            }
            let largest = below.iter().fold(below[0], |a, &b| if b > a { b } else { a });
            let powers: Vec<f32> = below.iter().map(|z| Libm::exp(z - largest)).collect();
            let total = powers.iter().fold(0.0, |sum, p| sum + p);
            losses.push(Libm::ln(total) - (below[*label] - largest));
            let error = |(j, p): (usize, &f32)| {
                let share = p / total;
                (if j == *label { share - 1.0 } else { share }) / count
            };
            errors.push(powers.iter().enumerate().map(error).collect::<Vec<f32>>());
        }
        for (l, layer) in self.0.iter_mut().enumerate().rev() {
            let given = &inputs_of[l];
            let back = |(error, given): (&Vec<f32>, &Vec<f32>)| -> Vec<f32> {
                let sum = |row: &Vec<f32>| {
                    row.iter().zip(error).fold(0.0, |sum: f32, (w, e)| sum + e * w)
                };
                let gate = |(row, &h): (&Vec<f32>, &f32)| if h > 0.0 { sum(row) } else { 0.0 };
                layer.weights.iter().zip(given).map(gate).collect()
            };
            let below: Vec<Vec<f32>> = errors.iter().zip(given).map(back).collect();
            for j in 0..layer.bias.len() {
                for i in 0..layer.weights.len() {
                    let terms = given.iter().zip(&errors).map(|(x, e)| x[i] * e[j]);
                    let gradient = terms.fold(0.0, |sum, term| sum + term);
                    let v = &mut layer.weight_velocity[i][j];
                    descend(&mut layer.weights[i][j], v, gradient, rate, momentum);
                }
                let gradient = errors.iter().fold(0.0, |sum, e| sum + e[j]);
                let v = &mut layer.bias_velocity[j];
                descend(&mut layer.bias[j], v, gradient, rate, momentum);
            }
            errors = below;
        }
        interleaved(&losses) / count
    }
}

fn assert_same_bits(sizes: &[usize], batch: usize, seed: u64, rate: f32, steps: u32) {
    let start: Vec<f32> = he_normal(Shape::new(sizes).unwrap(), &mut Pcg32::new(seed, 0)).collect();
    let mut reference = Reference::new(sizes, &start);
    let mut storage = HeapNetwork::<F32x8, 0>::new(sizes, batch).unwrap();
    let mut examples = HeapBatch::new(sizes, batch);
    let (mut network, mut room) = (storage.network(Portable::<F32x8>::new()), examples.batch());
    network.load(start.iter().map(|&x| Dual::constant(x)), []);
    let glyphs = Glyphs { seed };
    for step in 0..steps {
        let numbers: Vec<u32> = (0..batch as u32).map(|i| step * batch as u32 + i).collect();
        let examples: Vec<(Vec<f32>, usize)> = numbers
            .iter()
            .map(|&i| glyphs.draw(i))
            .map(|(pixels, label)| (pixels.to_vec(), label.into()))
            .collect();
        room.fill(&glyphs, &numbers);
        let loss = network
            .step(&room, Sgd { learning_rate: Dual::constant(rate), momentum: 0.9 })
            .unwrap();
        let expected = reference.step(&examples, rate, 0.9);
        assert_eq!(loss.value.to_bits(), expected.to_bits(), "loss of step {step}");
        let found: Vec<u32> = network.parameters().map(|x| x.value.to_bits()).collect();
        assert!(found == reference.parameters(), "parameters after step {step}");
    }
}

#[test]
fn a_step_has_the_bits_of_plain_dense_loops() {
    assert_same_bits(&[PIXELS, 32, 10], 100, 1, 0.1, 5);
    assert_same_bits(&[PIXELS, 10], 1, 2, 0.1, 20);
    assert_same_bits(&[PIXELS, 9, 17, 10], 13, 3, 0.3, 20);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn a_step_of_any_network_has_the_bits_of_plain_dense_loops(
        hidden in prop::collection::vec(1usize..30, 0..4),
        batch in 1usize..20,
        rate in 0.0001f32..0.1,
        seed: u64,
    ) {
        assert_same_bits(&[&[PIXELS], &hidden[..], &[10]].concat(), batch, seed, rate, 4);
    }
}

/// Inputs that are all zero, with this label.
struct Nothing(u16);

impl Dataset<f32> for Nothing {
    fn append(&self, _: u32, batch: &mut Batch<'_, f32>) {
        batch.push(self.0, std::iter::empty());
    }
}

/// More classes than lanes and no multiple of them, and logits below those of the lanes past the
/// last class: the class with the largest logit is found, of several the first.
#[test]
fn the_first_class_with_the_largest_logit_is_the_one_predicted() {
    let sizes = [2, 21];
    let shape = Shape::new(&sizes).unwrap();
    assert_eq!((shape.inputs(), shape.classes(), shape.parameters()), (2, 21, 3 * 21));
    let mut storage = HeapNetwork::<F32x8, 0>::new(&sizes, 4).unwrap();
    let mut examples = HeapBatch::new(&sizes, 4);
    let (mut network, mut batch) = (storage.network(Portable::<F32x8>::new()), examples.batch());
    for largest in [&[18][..], &[20], &[0], &[5, 18]] {
        let logit = |class: usize| if largest.contains(&class) { -1.0 } else { -3.0 };
        let weights = (0..2 * 21).map(|_| 0.0);
        let parameters = weights.chain((0..21).map(logit));
        network.load(parameters.map(Dual::constant), []);
        let total = (0..21).fold(0.0, |sum, class| sum + Libm::exp(f64::from(logit(class))));
        for label in 0..21_u16 {
            batch.fill(&Nothing(label), &[0, 1, 2]);
            let found = network.evaluate(&batch);
            let is_first = usize::from(label) == largest[0];
            assert_eq!(found.correct, if is_first { 3 } else { 0 }, "{largest:?}, {label}");
            let expected = 3.0 * (Libm::ln(total) - f64::from(logit(label.into())));
            assert!((f64::from(found.loss.value) - expected).abs() < 1e-5, "{largest:?}, {label}");
        }
    }
}
