//! Products with the Hessian and the Gauss-Newton matrix against derivatives that are written out.

mod support;

use myopia_core::backend::Portable;
use myopia_core::dual::Dual;
use myopia_core::elementary::{Elementary, Libm};
use myopia_core::mlp::{
    Batch, Dataset, HeapBatch, HeapNetwork, KeepGradient, KeepLinearised, Update,
};
use myopia_core::rng::Pcg32;
use myopia_core::vector::{F64x4, Vector};

/// Examples of which the test knows the inputs.
struct Examples(Vec<(u16, Vec<f64>)>);

impl Dataset<f64> for Examples {
    fn append(&self, index: u32, batch: &mut Batch<'_, f64>) {
        let (label, inputs) = &self.0[index as usize];
        batch.push(*label, (0..).zip(inputs.iter().copied()));
    }
}

const SIZES: [usize; 4] = [5, 7, 6, 3];
const COUNT: usize = 9;

/// Gradient and product with `direction`, as one step leaves them.
fn product<U>(data: &Examples, parameters: &[f64], direction: &[f64], update: U) -> [Vec<f64>; 2]
where
    U: Update<F64x4, 1, 1, Libm>,
{
    let mut storage = HeapNetwork::<F64x4, 1, 1>::new(&SIZES, COUNT).unwrap();
    let mut network = storage.network(Portable::<F64x4>::new());
    let numbers = parameters.iter().zip(direction);
    network.load(numbers.map(|(&value, &w)| Dual { value, tangents: [w] }), []);
    let mut examples = HeapBatch::new(&SIZES, COUNT);
    let mut batch = examples.batch();
    batch.fill(data, &(0..COUNT as u32).collect::<Vec<_>>());
    network.step(&batch, update).unwrap();
    let found: Vec<_> = network.state().collect();
    [found.iter().map(|x| x.value).collect(), found.iter().map(|x| x.tangents[0]).collect()]
}

/// Logits of one example.
fn logits(parameters: &[f64], inputs: &[f64]) -> Vec<f64> {
    let (mut here, mut rest) = (inputs.to_vec(), parameters);
    for (layer, sizes) in SIZES.windows(2).enumerate() {
        let [inputs, outputs] = sizes else { panic!("two sizes") };
        let (weights, others) = rest.split_at(inputs * outputs);
        let (biases, others) = others.split_at(*outputs);
        rest = others;
        let unit = |j: usize| {
            let all = here.iter().enumerate();
            let z = all.fold(biases[j], |z, (i, x)| z + x * weights[i * outputs + j]);
            if z > 0.0 || layer + 2 == SIZES.len() { z } else { 0.0 }
        };
        here = (0..*outputs).map(unit).collect();
    }
    here
}

#[test]
fn the_linearised_step_keeps_the_product_with_the_gauss_newton_matrix() {
    let mut rng = Pcg32::new(11, 0);
    let example = |rng: &mut Pcg32| (0..SIZES[0]).map(|_| f64::from(rng.normal::<f32>())).collect();
    let data = Examples((0..COUNT).map(|n| ((n % 3) as u16, example(&mut rng))).collect());
    let size = SIZES.windows(2).fold(0, |size, s| size + (s[0] + 1) * s[1]);
    let mut random =
        || -> Vec<f64> { (0..size).map(|_| 0.5 * f64::from(rng.normal::<f32>())).collect() };
    let (parameters, direction) = (random(), random());
    // Logits are linear in one parameter between two kinks: differences are exact but for rounding.
    let h = 1e-5;
    let mut expected = vec![0.0; size];
    for (_, inputs) in &data.0 {
        let jacobian: Vec<Vec<f64>> = (0..size)
            .map(|i| {
                let at = |step: f64| {
                    let mut moved = parameters.clone();
                    moved[i] += step;
                    logits(&moved, inputs)
                };
                at(h).iter().zip(at(-h)).map(|(a, b)| (a - b) / (2.0 * h)).collect()
            })
            .collect();
        let powers: Vec<f64> = logits(&parameters, inputs).iter().map(|z| Libm::exp(*z)).collect();
        let total = powers.iter().fold(0.0, |a, b| a + b);
        let p: Vec<f64> = powers.iter().map(|power| power / total).collect();
        let along: Vec<f64> = (0..p.len())
            .map(|j| jacobian.iter().zip(&direction).fold(0.0, |z, (row, w)| z + row[j] * w))
            .collect();
        let mean = p.iter().zip(&along).fold(0.0, |z, (p, u)| z + p * u);
        for (out, row) in expected.iter_mut().zip(&jacobian) {
            for ((p, u), slope) in p.iter().zip(&along).zip(row) {
                *out += slope * p * (u - mean) / COUNT as f64;
            }
        }
    }
    let [gradient, found] = product(&data, &parameters, &direction, KeepLinearised);
    let [same, hessian] = product(&data, &parameters, &direction, KeepGradient);
    assert_eq!(gradient, same);
    let apart = |a: &[f64], b: &[f64]| {
        let all = a.iter().zip(b);
        all.fold(0.0, |most: f64, (a, b)| if (a - b).abs() > most { (a - b).abs() } else { most })
    };
    assert!(apart(&found, &expected) < 1e-9, "{found:?}\n{expected:?}");
    assert!(apart(&hessian, &expected) > 1e-2, "a network with hidden layers is not linear");
    const { assert!(F64x4::LANES < SIZES[1]) };
}
