//! The measurements at one value of the hyperparameter.

use myopia_core::elementary::{Elementary, Libm};
use myopia_core::schedule::{InverseTime, PARAMETERS, Parameter};
use myopia_core::sum::sum;

use super::Row;
use crate::failure::Failure;
use crate::problem::{CurvatureMatrix, Hypergradient, InitialParams, Problem, Rates, Tangents};

/// What is varied, and how it is judged.
pub struct Study<'a> {
    /// One problem for each seed.
    pub problems: Vec<Problem<'a>>,
    /// Where each of them starts.
    pub starts: Vec<InitialParams>,
    /// The schedule besides the hyperparameter.
    pub schedule: InverseTime<f64>,
    /// The hyperparameter.
    pub parameter: Parameter,
    /// Relative changes δ of it.
    pub ladder: Vec<f64>,
    /// Training examples of the sharpness.
    pub examples: usize,
    /// Products with the Hessian, and with the Gauss-Newton matrix, for it.
    pub products: usize,
}

/// One point to measure: the hyperparameter's value and the steps of training.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Measurement {
    /// The hyperparameter's value.
    pub value: f64,
    /// Steps of training.
    pub horizon: u32,
}

impl<'a> Study<'a> {
    /// Unrolls that one measurement takes.
    pub fn unrolls(&self) -> u64 {
        // Of the first seed also the exponent, and both ends of each change.
        self.problems.len() as u64 + 1 + 2 * self.ladder.len() as u64
    }

    /// Which of the schedule's parameters is varied, if it is one of them.
    fn of_schedule(&self) -> Option<usize> {
        PARAMETERS.iter().position(|parameter| *parameter == self.parameter)
    }

    /// The problem and the schedule of seed number `seed` with this value.
    fn at(&self, seed: usize, value: f64) -> (Problem<'a>, InverseTime<f64>) {
        let (problem, mut schedule) = (self.problems[seed].clone(), self.schedule);
        match self.of_schedule() {
            Some(0) => schedule.alpha0 = value,
            Some(1) => schedule.time_constant = value,
            Some(_) => schedule.beta = value,
            None => return (problem.with_value(self.parameter, value), schedule),
        }
        (problem, schedule)
    }

    /// The objective of seed number `seed` at this point, with derivatives or without; nothing when
    /// training diverges or is stopped.
    fn unroll(
        &self,
        seed: usize,
        point: Measurement,
        with_derivatives: bool,
        go_on: &mut dyn FnMut() -> bool,
    ) -> Option<Hypergradient> {
        let (problem, schedule) = self.at(seed, point.value);
        let tangents = match self.of_schedule() {
            _ if !with_derivatives => Tangents::None,
            Some(_) => Tangents::Schedule,
            None => Tangents::By([self.parameter; 3]),
        };
        let (start, horizon) = (&self.starts[seed], point.horizon);
        problem.hypergradient_while(tangents, start, &schedule, horizon, go_on).ok().flatten()
    }

    /// The derivative by the hyperparameter.
    fn slope(&self, found: &Hypergradient) -> f64 {
        found.objective.loss.tangents[self.of_schedule().unwrap_or(0)]
    }

    /// Everything about one point, as long as `go_on` says so now and then; `tick` is called with
    /// the steps after each unroll and has to end what was stopped. Training that diverges is no
    /// error: what it leaves unknown is absent.
    ///
    /// # Errors
    /// What `tick` returns.
    pub fn measure(
        &self,
        point: Measurement,
        go_on: &mut dyn FnMut() -> bool,
        mut tick: impl FnMut(u32) -> Result<(), Failure>,
    ) -> Result<Row, Failure> {
        let Measurement { value, horizon } = point;
        let first = self.unroll(0, point, true, go_on);
        tick(horizon)?;
        let mut slopes = first.as_ref().map(|first| vec![self.slope(first)]);
        for seed in 1..self.problems.len() {
            let found = self.unroll(seed, point, true, go_on);
            tick(horizon)?;
            match (&mut slopes, found) {
                (Some(slopes), Some(found)) => slopes.push(self.slope(&found)),
                _ => slopes = None,
            }
        }
        let (problem, schedule) = self.at(0, value);
        let rates = Rates::Schedule(&schedule);
        let exponent = problem.exponent_while(&self.starts[0], rates, horizon, go_on);
        let exponent = exponent.ok().flatten();
        tick(horizon)?;
        let mut largest = |matrix| {
            let (examples, products) = (self.examples, self.products);
            let at = &first.as_ref()?.parameters;
            problem.sharpness_while(at, matrix, examples, products, go_on).ok().flatten()
        };
        let sharpness = largest(CurvatureMatrix::Hessian);
        tick(0)?;
        let gauss_newton = largest(CurvatureMatrix::GaussNewton);
        tick(0)?;
        let rates = schedule.with_tangents([]);
        let rate = rates.learning_rate::<Libm>(horizon.saturating_sub(1)).value;
        let momentum = match problem.optimizer {
            None => Some(problem.momentum),
            Some(optimizer) => optimizer.of_sgd(),
        };
        let stability = |sharpness: f64| Some(sharpness * rate / (2.0 * (1.0 + momentum?)));
        let derivative = first.as_ref().map(|first| self.slope(first));
        let mut agreement = Vec::new();
        for delta in &self.ladder {
            // As rounded: in single precision a small change is not what was asked for.
            let precision = problem.precision();
            let [low, high] = [1.0 - delta, 1.0 + delta].map(|x| precision.round(x * value));
            let [below, above] = [low, high].map(|value| {
                let found = self.unroll(0, Measurement { value, horizon }, false, go_on);
                tick(horizon).map(|()| found.map(|found| found.objective.loss.value))
            });
            let ends = (below?, above?, derivative);
            agreement.push(match ends {
                (Some(below), Some(above), Some(slope)) if high > low && slope != 0.0 => {
                    Some((above - below) / ((high - low) * slope))
                }
                _ => None,
            });
        }
        Ok(Row {
            horizon,
            value,
            loss: first.as_ref().map(|first| first.objective.loss.value),
            derivative,
            exponent,
            sharpness,
            gauss_newton,
            edge_of_stability: sharpness.and_then(stability),
            gauss_newton_stability: gauss_newton.and_then(stability),
            signal_to_noise: slopes.and_then(|slopes| signal_to_noise(&slopes)),
            agreement,
        })
    }
}

/// The absolute mean divided by the standard deviation; nothing of fewer than two numbers.
fn signal_to_noise(numbers: &[f64]) -> Option<f64> {
    if numbers.len() < 2 {
        return None;
    }
    let count = numbers.len() as f64;
    let mean = sum(numbers.iter().copied()) / count;
    let square = sum(numbers.iter().map(|x| (x - mean) * (x - mean))) / (count - 1.0);
    Some(mean.abs() / Libm::sqrt(square)).filter(|ratio| ratio.is_finite())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_signal_is_measured_in_standard_deviations() {
        assert_eq!(signal_to_noise(&[1.0, 2.0, 3.0]), Some(2.0));
        assert_eq!(signal_to_noise(&[-1.0, -2.0, -3.0]), Some(2.0));
        assert_eq!((signal_to_noise(&[1.0]), signal_to_noise(&[1.0, 1.0])), (None, None));
    }
}
