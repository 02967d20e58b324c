//! A multilayer perceptron written once, over plain numbers and numbers with one tangent.
//!
//! With plain weights [`Network::gradient`] is backpropagation. With weights that carry a tangent u
//! it is the derivative of backpropagation along u: what comes out in place of the gradients with
//! respect to weights, inputs and targets are, exactly, Hu and the mixed derivatives ∂(uᵀ∇_wL)/∂x
//! and /∂t.

use std::ops::{Add, Div, Mul, Sub};

use myopia_core::dual::Dual;
use myopia_core::elementary::{Elementary, Libm};
use myopia_core::rng::Pcg32;

/// A number with as much of calculus as a network needs.
pub trait Number:
    Copy + Add<Output = Self> + Sub<Output = Self> + Mul<Output = Self> + Div<Output = Self>
{
    /// A number that depends on nothing.
    fn constant(x: f64) -> Self;
    /// e to its power.
    fn exp(self) -> Self;
    /// Its natural logarithm.
    fn ln(self) -> Self;
    /// The number without its tangent.
    fn value(self) -> f64;
    /// Whether it and its tangent are zero, so that what it multiplies may be left out (contract
    /// 6).
    fn is_zero(self) -> bool;
}

impl Number for f64 {
    #[inline(always)]
    fn constant(x: f64) -> Self {
        x
    }
    fn exp(self) -> Self {
        Libm::exp(self)
    }
    fn ln(self) -> Self {
        Libm::ln(self)
    }
    #[inline(always)]
    fn value(self) -> f64 {
        self
    }
    #[inline(always)]
    fn is_zero(self) -> bool {
        self == 0.0
    }
}

impl Number for Dual<f64, 1> {
    #[inline(always)]
    fn constant(x: f64) -> Self {
        Self::constant(x)
    }
    fn exp(self) -> Self {
        Dual::exp::<Libm>(self)
    }
    fn ln(self) -> Self {
        Dual::ln::<Libm>(self)
    }
    #[inline(always)]
    fn value(self) -> f64 {
        self.value
    }
    #[inline(always)]
    fn is_zero(self) -> bool {
        self.value == 0.0 && self.tangents[0] == 0.0
    }
}

/// tanh x = 1 − 2/(e^{2x} + 1).
fn tanh<N: Number>(x: N) -> N {
    let one = N::constant(1.0);
    // Beyond ±20 it is ±1 in double precision, and e^{2x} must not overflow.
    if x.value() > 20.0 {
        return one;
    }
    if x.value() < -20.0 {
        return N::constant(-1.0);
    }
    one - N::constant(2.0) / ((x + x).exp() + one)
}

/// Layers of tanh units, the last of softmax units; each layer's weights, input by input, then its
/// biases.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Network {
    sizes: Vec<usize>,
}

/// Inputs row by row, and for each row a distribution over classes.
#[derive(Clone, Debug, PartialEq)]
pub struct Examples {
    /// Examples.
    pub count: usize,
    /// `count` rows of inputs.
    pub inputs: Vec<f64>,
    /// `count` rows of class probabilities.
    pub targets: Vec<f64>,
}

impl Examples {
    /// Examples with these labels, each a class below `classes`.
    pub fn labelled(inputs: Vec<f64>, labels: &[usize], classes: usize) -> Self {
        let mut targets = vec![0.0; labels.len() * classes];
        for (row, label) in targets.chunks_exact_mut(classes).zip(labels) {
            row[*label] = 1.0;
        }
        Self { count: labels.len(), inputs, targets }
    }

    /// The examples of these numbers.
    pub fn select(&self, numbers: &[u32]) -> Self {
        let rows = |all: &[f64]| {
            let width = all.len() / self.count;
            numbers.iter().flat_map(|&i| all[i as usize * width..][..width].to_vec()).collect()
        };
        Self { count: numbers.len(), inputs: rows(&self.inputs), targets: rows(&self.targets) }
    }
}

/// What one pass gives besides the weights' gradient.
#[derive(Clone, Debug)]
pub struct Pass<N> {
    /// Mean cross-entropy.
    pub loss: N,
    /// Its gradient with respect to every input; empty unless asked for.
    pub inputs: Vec<N>,
    /// Its gradient with respect to every target; empty unless asked for.
    pub targets: Vec<N>,
}

impl Network {
    /// A network of these layers, from inputs to classes; two or more.
    pub fn new(sizes: &[usize]) -> Self {
        Self { sizes: sizes.to_vec() }
    }

    /// Inputs.
    pub fn inputs(&self) -> usize {
        self.sizes[0]
    }

    /// Classes.
    pub fn classes(&self) -> usize {
        self.sizes[self.sizes.len() - 1]
    }

    /// The parameters of each layer, one range after the other.
    pub fn layers(&self) -> Vec<std::ops::Range<usize>> {
        let mut start = 0;
        let layer = |pair: &[usize]| {
            let range = start..start + (pair[0] + 1) * pair[1];
            start = range.end;
            range
        };
        self.sizes.windows(2).map(layer).collect()
    }

    /// Parameters.
    pub fn parameters(&self) -> usize {
        self.layers().last().map_or(0, |range| range.end)
    }

    /// Initial weights: normals of variance 1/inputs of the layer; biases zero.
    pub fn initial(&self, rng: &mut Pcg32) -> Vec<f64> {
        let mut weights = Vec::with_capacity(self.parameters());
        for pair in self.sizes.windows(2) {
            let scale = 1.0 / Libm::sqrt(pair[0] as f64);
            weights.extend((0..pair[0] * pair[1]).map(|_| scale * rng.normal::<f64>()));
            weights.extend(std::iter::repeat_n(0.0, pair[1]));
        }
        weights
    }

    /// The units of every layer for one row of inputs, those of the last before softmax.
    fn forward<N: Number>(&self, weights: &[N], inputs: &[N], units: &mut [Vec<N>]) {
        units[0].copy_from_slice(inputs);
        for (layer, range) in self.layers().into_iter().enumerate() {
            let (before, after) = units.split_at_mut(layer + 1);
            let (from, to) = (&before[layer], &mut after[0]);
            let (matrix, biases) = weights[range].split_at(from.len() * to.len());
            to.copy_from_slice(biases);
            for (x, row) in from.iter().zip(matrix.chunks_exact(to.len())) {
                if x.is_zero() {
                    continue;
                }
                for (z, w) in to.iter_mut().zip(row) {
                    *z = *z + *x * *w;
                }
            }
            if layer + 2 < self.sizes.len() {
                to.iter_mut().for_each(|z| *z = tanh(*z));
            }
        }
    }

    fn units<N: Number>(&self) -> Vec<Vec<N>> {
        self.sizes.iter().map(|size| vec![N::constant(0.0); *size]).collect()
    }

    /// Mean cross-entropy of rows of `inputs` and `targets`; its gradient is *added* to `gradient`.
    /// `wants_data` asks for the gradients with respect to inputs and targets.
    pub fn gradient<N: Number>(
        &self,
        weights: &[N],
        inputs: &[N],
        targets: &[N],
        gradient: &mut [N],
        wants_data: bool,
    ) -> Pass<N> {
        let (width, classes) = (self.inputs(), self.classes());
        let count = N::constant((targets.len() / classes) as f64);
        let zero = N::constant(0.0);
        let mut units = self.units();
        let mut errors: Vec<Vec<N>> = self.units();
        let mut pass = Pass { loss: zero, inputs: Vec::new(), targets: Vec::new() };
        for (x, t) in inputs.chunks_exact(width).zip(targets.chunks_exact(classes)) {
            self.forward(weights, x, &mut units);
            let logits = &units[units.len() - 1];
            let normaliser = log_sum_exp(logits);
            let total = t.iter().fold(zero, |sum, t| sum + *t);
            let last = errors.len() - 1;
            for ((error, z), t) in errors[last].iter_mut().zip(logits).zip(t) {
                let log = *z - normaliser;
                if !t.is_zero() {
                    pass.loss = pass.loss - *t * log / count;
                }
                *error = (log.exp() * total - *t) / count;
                if wants_data {
                    pass.targets.push((normaliser - *z) / count);
                }
            }
            self.backward(weights, &units, &mut errors, gradient, wants_data);
            if wants_data {
                pass.inputs.extend_from_slice(&errors[0]);
            }
        }
        pass
    }

    /// Adds one row's gradient; `errors` of the last layer are given, those of the others are
    /// filled in.
    fn backward<N: Number>(
        &self,
        weights: &[N],
        units: &[Vec<N>],
        errors: &mut [Vec<N>],
        gradient: &mut [N],
        wants_inputs: bool,
    ) {
        let one = N::constant(1.0);
        for (layer, range) in self.layers().into_iter().enumerate().rev() {
            let (before, after) = errors.split_at_mut(layer + 1);
            let (back, error) = (&mut before[layer], &after[0]);
            let from = &units[layer];
            let split = from.len() * error.len();
            let (rows, biases) = gradient[range.clone()].split_at_mut(split);
            for (x, row) in from.iter().zip(rows.chunks_exact_mut(error.len())) {
                if x.is_zero() {
                    continue;
                }
                for (g, e) in row.iter_mut().zip(error) {
                    *g = *g + *x * *e;
                }
            }
            for (g, e) in biases.iter_mut().zip(error) {
                *g = *g + *e;
            }
            if layer == 0 && !wants_inputs {
                continue;
            }
            let matrix = &weights[range][..split];
            for ((back, x), row) in back.iter_mut().zip(from).zip(matrix.chunks_exact(error.len()))
            {
                let sum = row.iter().zip(error).fold(N::constant(0.0), |sum, (w, e)| sum + *w * *e);
                *back = if layer == 0 { sum } else { sum * (one - *x * *x) };
            }
        }
    }

    /// Mean cross-entropy and its gradient.
    pub fn loss_gradient(&self, weights: &[f64], examples: &Examples) -> (f64, Vec<f64>) {
        let mut gradient = vec![0.0; weights.len()];
        let pass =
            self.gradient(weights, &examples.inputs, &examples.targets, &mut gradient, false);
        (pass.loss, gradient)
    }

    /// Mean cross-entropy, and the share of examples whose likeliest class is not the target's.
    pub fn loss_error(&self, weights: &[f64], examples: &Examples) -> (f64, f64) {
        let mut units = self.units();
        let (mut loss, mut wrong) = (myopia_core::sum::Sum::default(), 0.0);
        let rows = examples.inputs.chunks_exact(self.inputs());
        for (x, t) in rows.zip(examples.targets.chunks_exact(self.classes())) {
            self.forward(weights, x, &mut units);
            let logits = &units[units.len() - 1];
            let normaliser = log_sum_exp(logits);
            let terms = logits.iter().zip(t);
            loss.add(terms.fold(0.0, |sum, (z, t)| sum + t * (normaliser - z)));
            if largest(logits) != largest(t) {
                wrong += 1.0;
            }
        }
        (loss.total() / examples.count as f64, wrong / examples.count as f64)
    }

    /// Hu, where H is the Hessian of the mean cross-entropy.
    pub fn hessian_product(&self, weights: &[f64], examples: &Examples, u: &[f64]) -> Vec<f64> {
        let lifted: Vec<Dual<f64, 1>> =
            weights.iter().zip(u).map(|(w, u)| Dual { value: *w, tangents: [*u] }).collect();
        let constant = |numbers: &[f64]| -> Vec<Dual<f64, 1>> {
            numbers.iter().map(|x| Dual::constant(*x)).collect()
        };
        let mut gradient = vec![Dual::constant(0.0); weights.len()];
        let (inputs, targets) = (constant(&examples.inputs), constant(&examples.targets));
        self.gradient(&lifted, &inputs, &targets, &mut gradient, false);
        gradient.iter().map(|g| g.tangents[0]).collect()
    }

    /// The gradient at `weights` of the mean cross-entropy of *linearised* predictions, logits plus
    /// their tangent along `change`: Jᵀ(softmax(z + J·change) − t)/n.
    pub fn linearised_gradient(
        &self,
        weights: &[f64],
        examples: &Examples,
        change: &[f64],
    ) -> Vec<f64> {
        self.through_tangents(weights, examples, change, |logits, targets, errors| {
            let moved: Vec<f64> = logits.iter().map(|z| z.value + z.tangents[0]).collect();
            let normaliser = log_sum_exp(&moved);
            for ((error, z), t) in errors.iter_mut().zip(&moved).zip(targets) {
                *error = Libm::exp(z - normaliser) - t;
            }
        })
    }

    /// Gu, where G = JᵀSJ/n is the Gauss–Newton matrix of the mean cross-entropy, S = diag(p) −
    /// ppᵀ.
    pub fn gauss_newton_product(
        &self,
        weights: &[f64],
        examples: &Examples,
        u: &[f64],
    ) -> Vec<f64> {
        self.through_tangents(weights, examples, u, |logits, _, errors| {
            let plain: Vec<f64> = logits.iter().map(|z| z.value).collect();
            let normaliser = log_sum_exp(&plain);
            let mut mean = 0.0;
            for ((error, z), lifted) in errors.iter_mut().zip(&plain).zip(logits) {
                *error = Libm::exp(z - normaliser);
                mean += *error * lifted.tangents[0];
            }
            for (error, lifted) in errors.iter_mut().zip(logits) {
                *error *= lifted.tangents[0] - mean;
            }
        })
    }

    /// Σ Jᵀe/n, with e what `errors` makes of each example's logits, their tangents along `change`,
    /// and targets.
    fn through_tangents(
        &self,
        weights: &[f64],
        examples: &Examples,
        change: &[f64],
        errors_of: impl Fn(&[Dual<f64, 1>], &[f64], &mut [f64]),
    ) -> Vec<f64> {
        let lifted: Vec<Dual<f64, 1>> =
            weights.iter().zip(change).map(|(w, u)| Dual { value: *w, tangents: [*u] }).collect();
        let mut tangents = self.units::<Dual<f64, 1>>();
        let mut units = self.units::<f64>();
        let mut errors = self.units::<f64>();
        let mut gradient = vec![0.0; weights.len()];
        let count = examples.count as f64;
        let rows = examples.inputs.chunks_exact(self.inputs());
        for (x, t) in rows.zip(examples.targets.chunks_exact(self.classes())) {
            let constant: Vec<_> = x.iter().map(|x| Dual::constant(*x)).collect();
            self.forward(&lifted, &constant, &mut tangents);
            for (units, lifted) in units.iter_mut().zip(&tangents) {
                units.iter_mut().zip(lifted).for_each(|(unit, lifted)| *unit = lifted.value);
            }
            let last = errors.len() - 1;
            errors_of(&tangents[last], t, &mut errors[last]);
            errors[last].iter_mut().for_each(|error| *error /= count);
            self.backward(weights, &units, &mut errors, &mut gradient, false);
        }
        gradient
    }
}

/// ln Σ e^z, the largest taken out first.
fn log_sum_exp<N: Number>(logits: &[N]) -> N {
    let top = logits.iter().fold(f64::MIN, |top, z| if z.value() > top { z.value() } else { top });
    let top = N::constant(top);
    let sum = logits.iter().fold(N::constant(0.0), |sum, z| sum + (*z - top).exp());
    sum.ln() + top
}

/// The place of the largest entry, the first of equals.
fn largest(x: &[f64]) -> usize {
    let mut best = 0;
    for (place, value) in x.iter().enumerate() {
        if *value > x[best] {
            best = place;
        }
    }
    best
}

/// The synthetic digits numbered `numbers`, for tests.
#[cfg(test)]
pub(crate) fn glyphs(numbers: std::ops::Range<u32>) -> Examples {
    use myopia_core::glyphs::{CLASSES, Glyphs};

    let (mut inputs, mut labels) = (Vec::new(), Vec::new());
    for (pixels, label) in numbers.map(|i| Glyphs { seed: 1 }.draw(i)) {
        inputs.extend(pixels.map(f64::from));
        labels.push(usize::from(label));
    }
    Examples::labelled(inputs, &labels, CLASSES)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn setting() -> (Network, Vec<f64>, Examples, Vec<f64>) {
        let network = Network::new(&[4, 3, 3]);
        let mut rng = Pcg32::new(3, 3);
        let weights = network.initial(&mut rng);
        let mut inputs: Vec<f64> = (0..20).map(|_| rng.normal()).collect();
        inputs[3] = 0.0;
        let mut examples = Examples::labelled(inputs, &[0, 2, 1, 1, 0], 3);
        examples.targets[..3].copy_from_slice(&[0.2, 0.3, 0.5]);
        let u = (0..weights.len()).map(|_| rng.normal()).collect();
        (network, weights, examples, u)
    }

    fn moved(x: &[f64], c: f64, u: &[f64]) -> Vec<f64> {
        x.iter().zip(u).map(|(x, u)| x + c * u).collect()
    }

    fn near(found: f64, told: f64) {
        assert!((found - told).abs() < 1e-8, "{found} {told}");
    }

    #[test]
    fn gradients_are_what_central_differences_say() {
        let (network, weights, examples, u) = setting();
        let e = 1e-5;
        let loss = |w: &[f64], examples: &Examples| network.loss_error(w, examples).0;
        let (value, gradient) = network.loss_gradient(&weights, &examples);
        near(value, loss(&weights, &examples));
        let up = loss(&moved(&weights, e, &u), &examples);
        let down = loss(&moved(&weights, -e, &u), &examples);
        let along = gradient.iter().zip(&u).fold(0.0, |sum, (g, u)| sum + g * u);
        near(along, (up - down) / (2.0 * e));
        let mut discarded = vec![0.0; weights.len()];
        let pass =
            network.gradient(&weights, &examples.inputs, &examples.targets, &mut discarded, true);
        for place in 0..20 {
            let change = |by: f64| {
                let mut examples = examples.clone();
                examples.inputs[place] += by;
                loss(&weights, &examples)
            };
            near(pass.inputs[place], (change(e) - change(-e)) / (2.0 * e));
        }
        for place in 0..15 {
            let change = |by: f64| {
                let mut examples = examples.clone();
                examples.targets[place] += by;
                loss(&weights, &examples)
            };
            near(pass.targets[place], (change(e) - change(-e)) / (2.0 * e));
        }
    }

    #[test]
    fn tangents_of_gradients_are_hessian_products_and_mixed_derivatives() {
        let (network, weights, examples, u) = setting();
        let e = 1e-5;
        let product = network.hessian_product(&weights, &examples, &u);
        let up = network.loss_gradient(&moved(&weights, e, &u), &examples).1;
        let down = network.loss_gradient(&moved(&weights, -e, &u), &examples).1;
        for ((product, up), down) in product.iter().zip(up).zip(down) {
            near(*product, (up - down) / (2.0 * e));
        }
    }

    /// The linearised loss is convex and its Hessian is G where nothing is changed.
    #[test]
    fn gauss_newton_products_are_differences_of_linearised_gradients() {
        let (network, weights, examples, u) = setting();
        let e = 1e-5;
        let at = |c: f64| {
            network.linearised_gradient(&weights, &examples, &moved(&vec![0.0; u.len()], c, &u))
        };
        let product = network.gauss_newton_product(&weights, &examples, &u);
        for ((product, up), down) in product.iter().zip(at(e)).zip(at(-e)) {
            near(*product, (up - down) / (2.0 * e));
        }
    }

    #[test]
    fn a_linearised_gradient_without_change_is_the_gradient() {
        let (network, weights, examples, u) = setting();
        let zero = vec![0.0; weights.len()];
        let found = network.linearised_gradient(&weights, &examples, &zero);
        let told = network.loss_gradient(&weights, &examples).1;
        found.iter().zip(told).for_each(|(found, told)| near(*found, told));
        // Along a small change the linearised loss has the gradient of a Gauss–Newton model: its
        // own first difference along u is uᵀGu ≥ 0.
        let along = |c: f64| {
            let change = moved(&zero, c, &u);
            let gradient = network.linearised_gradient(&weights, &examples, &change);
            gradient.iter().zip(&u).fold(0.0, |sum, (g, u)| sum + g * u)
        };
        assert!(along(1e-3) > along(0.0) && along(0.0) > along(-1e-3));
    }
}
