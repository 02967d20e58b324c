//! Where derivatives end: the Lyapunov exponent of a run, and the sharpness of the loss.

use std::ops::Range;

use myopia_backend::{HeapBatch, restore_float_control};
use myopia_core::bilevel::eigen::symmetric;
use myopia_core::bilevel::linear::{add_scaled, dot};
use myopia_core::dual::Dual;
use myopia_core::elementary::{Elementary, Libm};
use myopia_core::exponent::TangentMap;
use myopia_core::mlp::{KeepGradient, NonFinite};
use myopia_core::rng::Pcg32;
use myopia_core::sum::sum;
use myopia_core::unroll::Diverged;

use super::Problem;
use super::run::{Run, RunOptimizer};
use super::{Rates, Stream, TrainingRun};
use crate::precision::Float;

/// Why there is no number.
pub(super) enum Ended {
    /// Whoever asked for it wants it no more.
    Stopped,
    /// A quantity left the finite range.
    Diverged(Diverged),
}

impl From<Diverged> for Ended {
    fn from(diverged: Diverged) -> Self {
        Self::Diverged(diverged)
    }
}

/// `None` where the work was stopped.
pub(super) fn unless_stopped(found: Result<f64, Ended>) -> Result<Option<f64>, Diverged> {
    match found {
        Ok(number) => Ok(Some(number)),
        Err(Ended::Stopped) => Ok(None),
        Err(Ended::Diverged(diverged)) => Err(diverged),
    }
}

/// A run with one tangent of parameters and state.
pub(super) struct TangentRun<'a, T: Float, O: RunOptimizer<T, 1>> {
    run: Run<'a, T, 1, O>,
    rates: Rates<'a>,
    go_on: &'a mut dyn FnMut() -> bool,
}

/// Steps between two renormalisations; a tangent grows by less than a float's range in them.
pub(super) const RENORMALISED_EVERY: u32 = 5;

impl<'a, T: Float, O: RunOptimizer<T, 1>> TangentRun<'a, T, O>
where
    Libm: Elementary<T>,
{
    /// `run` with a random tangent of its parameters; neither `rates` nor the optimiser has one.
    ///
    /// The state begins without a tangent: one of the velocity would first be summed up to
    /// 1/(1 − μ) times itself, and a short run would seem to part.
    pub fn new(
        mut run: Run<'a, T, 1, O>,
        rates: Rates<'a>,
        mut rng: Pcg32,
        go_on: &'a mut dyn FnMut() -> bool,
    ) -> Self {
        let random = |mut number: Dual<T, 1>| {
            number.tangents = [T::from_f32(rng.normal::<f32>())];
            number
        };
        let parameters: Vec<_> = run.model.parameters().into_iter().map(random).collect();
        run.model.load(&parameters, &[]);
        Self { run, rates, go_on }
    }
}

impl<T: Float, O: RunOptimizer<T, 1>> TangentMap for TangentRun<'_, T, O>
where
    Libm: Elementary<T>,
{
    type Error = Ended;

    fn advance(&mut self, steps: Range<u32>) -> Result<(), Ended> {
        if !(self.go_on)() {
            return Err(Ended::Stopped);
        }
        match self.rates {
            Rates::Schedule(schedule) => self.run.train(schedule, steps, &mut |_, _, _| {})?,
            Rates::Entries(entries) => {
                for k in steps {
                    let (rates, momentum) = entries.step(k as usize);
                    self.run.step_by_layer(rates, momentum)?;
                }
            }
        }
        Ok(())
    }

    fn normalise(&mut self) -> f64 {
        let (mut parameters, mut state) = (self.run.model.parameters(), self.run.model.state());
        let tangents = parameters.iter().chain(&state).map(|x| x.tangents[0].to_f64());
        let norm = root(sum(tangents.map(|x| x * x)));
        if norm > 0.0 {
            let scale = T::from_f64(norm);
            for number in parameters.iter_mut().chain(&mut state) {
                number.tangents = number.tangents.map(|x| x / scale);
            }
            self.run.model.load(&parameters, &state);
        }
        norm
    }
}

/// The largest eigenvalue of the Hessian of the mean loss at `parameters` over the first `examples`
/// training examples, by Lanczos's method with `products` products and full reorthogonalisation.
///
/// # Errors
/// When the loss or a product leaves the finite range, or `go_on` does not say so any more.
pub(super) fn sharpness<T: Float>(
    problem: &Problem<'_>,
    parameters: &[T],
    examples: usize,
    products: usize,
    go_on: &mut dyn FnMut() -> bool,
) -> Result<f64, Ended>
where
    Libm: Elementary<T>,
{
    restore_float_control();
    let sets = T::sets(problem.data).expect("data are in the problem's float");
    let mut model = problem.model(T::models(problem.isa).curvature);
    let mut storage = HeapBatch::new(&problem.layers, problem.batch);
    let mut batch = storage.batch();
    let indices: Vec<u32> = (0..examples as u32).collect();
    let mut product = |direction: &[f64]| -> Result<Vec<f64>, Ended> {
        let numbers = parameters.iter().zip(direction);
        let numbers: Vec<Dual<T, 1>> =
            numbers.map(|(&value, &w)| Dual { value, tangents: [T::from_f64(w)] }).collect();
        model.load(&numbers, &[]);
        let mut total = vec![0.0; direction.len()];
        for chunk in indices.chunks(problem.batch) {
            if !go_on() {
                return Err(Ended::Stopped);
            }
            batch.fill(&sets.training, chunk);
            model
                .step(&batch, KeepGradient)
                .map_err(|NonFinite(quantity)| Diverged { step: None, quantity })?;
            let weight = chunk.len() as f64 / indices.len() as f64;
            let state = model.state();
            total.iter_mut().zip(state).for_each(|(t, x)| *t += weight * x.tangents[0].to_f64());
        }
        Ok(total)
    };
    let mut rng = Pcg32::new(problem.seed, Stream::Tangents as u64);
    let mut next: Vec<f64> = parameters.iter().map(|_| f64::from(rng.normal::<f32>())).collect();
    let mut basis: Vec<Vec<f64>> = Vec::new();
    let (mut diagonal, mut beside) = (Vec::new(), Vec::new());
    for k in 0..products.min(parameters.len()) {
        let norm = root(dot(&next, &next));
        // Nothing is left but rounding: the space is exhausted.
        let scale = diagonal
            .iter()
            .chain(&beside)
            .fold(0.0, |most: f64, x: &f64| if x.abs() > most { x.abs() } else { most });
        if norm.is_nan() || norm <= 1e-10 * scale {
            break;
        }
        if k > 0 {
            beside.push(norm);
        }
        let unit: Vec<f64> = next.iter().map(|x| x / norm).collect();
        next = product(&unit)?;
        diagonal.push(dot(&unit, &next));
        basis.push(unit);
        for _ in 0..2 {
            for before in &basis {
                let share = dot(before, &next);
                add_scaled(&mut next, -share, before);
            }
        }
    }
    let quantity = myopia_core::mlp::Quantity::Tangent(0);
    largest(&diagonal, &beside).ok_or(Diverged { step: None, quantity }.into())
}

/// The largest eigenvalue of the symmetric tridiagonal matrix with this diagonal and these numbers
/// beside it, if it is finite.
fn largest(diagonal: &[f64], beside: &[f64]) -> Option<f64> {
    let size = diagonal.len();
    let mut matrix = vec![0.0; size * size];
    for i in 0..size {
        matrix[i * size + i] = diagonal[i];
        if i > 0 {
            (matrix[i * size + i - 1], matrix[(i - 1) * size + i]) = (beside[i - 1], beside[i - 1]);
        }
    }
    symmetric(&mut matrix, &mut vec![0.0; size * size], size).ok()?;
    (0..size).map(|i| matrix[i * size + i]).reduce(|most, x| if x > most { x } else { most })
}

/// √x.
fn root(x: f64) -> f64 {
    Libm::sqrt(x)
}
