//! Gradients of the loss at one point, and products with its Hessian or Gauss-Newton matrix: the
//! training step with a tangent and a rule that keeps the gradient.

use myopia_backend::{HeapBatch, StoredModel, restore_float_control};
use myopia_core::dual::Dual;
use myopia_core::elementary::{Elementary, Libm};
use myopia_core::mlp::{KeepGradient, KeepLinearised, NonFinite, Quantity};
use myopia_core::rng::Pcg32;
use myopia_core::unroll::Diverged;
use myopia_nqm::lanczos::Tridiagonal;
use serde::Serialize;

use super::inner_problem::PLAIN;
use super::tangent::Ended;
use super::{Problem, Sets, Stream};
use crate::precision::Float;

/// Which matrix of second derivatives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum CurvatureMatrix {
    /// The Hessian H.
    Hessian,
    /// G = JᵀSJ with J the derivatives of the logits and S those of the loss by them: H of a
    /// network that is linear in its parameters, and positive semidefinite.
    GaussNewton,
}

impl CurvatureMatrix {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Hessian => "Hessian",
            Self::GaussNewton => "Gauss-Newton matrix",
        }
    }
}

/// Derivatives at one point of the mean loss over training examples. Products are computed in the
/// problem's float and added up in `f64`.
pub trait Curvature {
    /// The gradient of the mean loss over the training examples numbered `examples`.
    ///
    /// # Errors
    /// When it leaves the finite range, or is stopped.
    fn gradient(&mut self, examples: &[u32]) -> Result<Vec<f64>, Ended> {
        self.loss_and_gradient(examples).map(|(_, gradient)| gradient)
    }

    /// That mean loss, in nats, and its gradient.
    ///
    /// # Errors
    /// When it leaves the finite range, or is stopped.
    fn loss_and_gradient(&mut self, examples: &[u32]) -> Result<(f64, Vec<f64>), Ended>;

    /// The matrix of second derivatives of that loss times `direction`.
    ///
    /// # Errors
    /// When it leaves the finite range, or is stopped.
    fn product(&mut self, examples: &[u32], direction: &[f64]) -> Result<Vec<f64>, Ended>;
}

/// [`Curvature`] in the float `T` at `parameters`.
pub(super) fn at<'a, T: Float>(
    problem: &'a Problem<'a>,
    parameters: &'a [T],
    matrix: CurvatureMatrix,
    go_on: &'a mut dyn FnMut() -> bool,
) -> Box<dyn Curvature + 'a>
where
    Libm: Elementary<T>,
{
    assert!(!problem.is_normalised, "{PLAIN}");
    let models = T::models(problem.isa);
    match matrix {
        CurvatureMatrix::Hessian => {
            let (model, update) = (problem.model(models.curvature), KeepGradient);
            Box::new(At::new(problem, parameters, model, update, go_on))
        }
        CurvatureMatrix::GaussNewton => {
            let (model, update) = (problem.model(models.gauss_newton), KeepLinearised);
            Box::new(At::new(problem, parameters, model, update, go_on))
        }
    }
}

/// [`Curvature`] by the model whose step is `U`.
struct At<'a, T: Float, U> {
    sets: &'a Sets<T>,
    parameters: &'a [T],
    model: Box<dyn StoredModel<T, 1, U>>,
    update: U,
    /// Examples that the model takes at once.
    most: usize,
    batch: HeapBatch<T>,
    go_on: &'a mut dyn FnMut() -> bool,
}

impl<'a, T: Float, U: Copy> At<'a, T, U> {
    fn new(
        problem: &'a Problem<'a>,
        parameters: &'a [T],
        model: Box<dyn StoredModel<T, 1, U>>,
        update: U,
        go_on: &'a mut dyn FnMut() -> bool,
    ) -> Self {
        let sets = T::sets(problem.data).expect("data are in the problem's float");
        let batch = HeapBatch::new(&problem.layers, problem.batch);
        Self { sets, parameters, model, update, most: problem.batch, batch, go_on }
    }

    /// The loss, and what `read` makes of the gradient and its tangent along `direction`, by
    /// batches in order, each weighted by its examples.
    fn mean(
        &mut self,
        examples: &[u32],
        direction: &[f64],
        read: fn(&Dual<T, 1>) -> T,
    ) -> Result<(f64, Vec<f64>), Ended> {
        restore_float_control();
        let numbers = self.parameters.iter().zip(direction);
        let numbers: Vec<Dual<T, 1>> =
            numbers.map(|(&value, &w)| Dual { value, tangents: [T::from_f64(w)] }).collect();
        self.model.load(&numbers, &[]);
        let mut batch = self.batch.batch();
        let (mut mean_loss, mut total) = (0.0, vec![0.0; direction.len()]);
        for chunk in examples.chunks(self.most) {
            if !(self.go_on)() {
                return Err(Ended::Stopped);
            }
            batch.fill(&self.sets.training, chunk);
            let loss = self
                .model
                .step(&batch, self.update)
                .map_err(|NonFinite(quantity)| Diverged { step: None, quantity })?;
            let weight = chunk.len() as f64 / examples.len() as f64;
            mean_loss += weight * loss.value.to_f64();
            let state = self.model.state();
            total.iter_mut().zip(&state).for_each(|(t, x)| *t += weight * read(x).to_f64());
        }
        Ok((mean_loss, total))
    }
}

impl<T: Float, U: Copy> Curvature for At<'_, T, U> {
    fn loss_and_gradient(&mut self, examples: &[u32]) -> Result<(f64, Vec<f64>), Ended> {
        let still = vec![0.0; self.parameters.len()];
        self.mean(examples, &still, |x| x.value)
    }

    fn product(&mut self, examples: &[u32], direction: &[f64]) -> Result<Vec<f64>, Ended> {
        self.mean(examples, direction, |x| x.tangents[0]).map(|(_, product)| product)
    }
}

/// What is shorter than this share of the largest entry of Lanczos's matrix is rounding.
pub const ROUNDING: f64 = 1e-10;

impl Problem<'_> {
    /// A random direction of the parameters, each entry of variance one.
    fn random_direction(&self) -> Vec<f64> {
        let mut rng = Pcg32::new(self.seed, Stream::Tangents as u64);
        (0..self.parameters()).map(|_| f64::from(rng.normal::<f32>())).collect()
    }
}

/// The largest eigenvalue of the matrix of the mean loss over the first `examples` training
/// examples, by Lanczos's method with `products` products from a random direction.
///
/// # Errors
/// When the loss or a product leaves the finite range, or is stopped.
pub(super) fn sharpness(
    problem: &Problem<'_>,
    at: &mut dyn Curvature,
    examples: usize,
    products: usize,
) -> Result<f64, Ended> {
    let indices: Vec<u32> = (0..examples as u32).collect();
    let product = |direction: &[f64]| at.product(&indices, direction);
    let least = |found: &Tridiagonal| ROUNDING * found.scale();
    let start = problem.random_direction();
    let most = if products < start.len() { products } else { start.len() };
    let found = Tridiagonal::of(start, most, &least, &|| Ok(()), product)?;
    let nodes = found.quadrature().unwrap_or_default().into_iter().map(|node| node.value);
    nodes
        .reduce(|most, x| if x > most { x } else { most })
        .ok_or(Diverged { step: None, quantity: Quantity::Tangent(0) }.into())
}

#[cfg(test)]
mod tests {
    use myopia_core::bilevel::eigen::symmetric;
    use myopia_core::bilevel::linear::dot;
    use myopia_core::sum::sum;

    use super::*;
    use crate::precision::Precision;
    use crate::problem::{InitialParams, ObjectiveSet, Source};

    /// Lanczos's quadrature against a dense eigendecomposition of the matrix, made of products with
    /// unit vectors.
    #[test]
    fn the_quadrature_has_the_moments_of_the_dense_spectrum() {
        let data = Source::Glyphs.load(Precision::F64, |_| ()).unwrap();
        let problem = Problem {
            batch: 20,
            objective: ObjectiveSet::Train,
            seed: 3,
            ..Problem::new(&data, vec![64, 3, 10])
        };
        let InitialParams(parameters) = problem.start(5, 0.1).unwrap();
        let examples: Vec<u32> = (0..50).collect();
        for matrix in [CurvatureMatrix::Hessian, CurvatureMatrix::GaussNewton] {
            let mut go_on = || true;
            let mut at = problem.curvature(&parameters, matrix, &mut go_on);
            let gradient = at.gradient(&examples).unwrap();
            let size = gradient.len();
            let mut dense = Vec::new();
            for place in 0..size {
                let mut unit = vec![0.0; size];
                unit[place] = 1.0;
                dense.extend(at.product(&examples, &unit).unwrap());
            }
            let mut vectors = vec![0.0; size * size];
            symmetric(&mut dense, &mut vectors, size).unwrap();
            let values: Vec<f64> = (0..size).map(|i| dense[i * size + i]).collect();
            let [least, largest] = [|a: f64, b: f64| b < a, |a: f64, b: f64| b > a]
                .map(|better| values.iter().fold(0.0, |a, &b| if better(a, b) { b } else { a }));
            // The Hessian of a network with a hidden layer has directions of negative curvature.
            let is_semidefinite = least > -1e-10 * largest;
            assert_eq!(is_semidefinite, matrix == CurvatureMatrix::GaussNewton, "{least}");
            let square = dot(&gradient, &gradient);
            let steps = 12;
            let rounding = |found: &Tridiagonal| ROUNDING * found.scale();
            let product = |unit: &[f64]| at.product(&examples, unit);
            let start = gradient.clone();
            let found = Tridiagonal::of(start, steps, &rounding, &|| Ok(()), product).unwrap();
            assert_eq!(found.diagonal.len(), steps);
            let nodes = found.quadrature().unwrap();
            // In units of the largest eigenvalue, so that no moment is large.
            let power = |x: f64, n: usize| (0..n).fold(1.0, |product, _| product * (x / largest));
            for n in 0..2 * steps {
                let exact = sum((0..size).map(|i| {
                    let share = dot(&vectors[i * size..(i + 1) * size], &gradient);
                    share * share / square * power(values[i], n)
                }));
                let quadrature = sum(nodes.iter().map(|node| node.weight * power(node.value, n)));
                assert!((quadrature - exact).abs() < 1e-8, "moment {n}: {quadrature} {exact}");
            }
        }
    }
}
