//! The edge of chaos: up to which value of a hyperparameter the exact derivative of the objective
//! says what a change of it does.

mod figures;
mod measure;
mod sentence;

pub use figures::figure;
pub use measure::{Measurement, Study};
pub use sentence::{AGREES, sentence};

use std::io::{self, Write};

use serde::{Deserialize, Serialize};

use crate::output::csv;

/// One value of the hyperparameter at one horizon. What training that diverged leaves unknown is
/// absent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// Steps of training.
    pub horizon: u32,
    /// The hyperparameter's value.
    pub value: f64,
    /// The objective E, in nats.
    pub loss: Option<f64>,
    /// E', its derivative by the hyperparameter.
    pub derivative: Option<f64>,
    /// The finite-time Lyapunov exponent of training, per step.
    pub exponent: Option<f64>,
    /// The largest eigenvalue of the Hessian at the end.
    pub sharpness: Option<f64>,
    /// That of the Gauss-Newton matrix.
    pub gauss_newton: Option<f64>,
    /// Sharpness × α/(2(1 + μ)), with the last learning rate α: above one, SGD with momentum is
    /// unstable on a quadratic; absent for other optimisers.
    pub edge_of_stability: Option<f64>,
    /// The same of the Gauss-Newton matrix.
    pub gauss_newton_stability: Option<f64>,
    /// The absolute mean of E' over the seeds, divided by its standard deviation.
    pub signal_to_noise: Option<f64>,
    /// (E(λ + δ) − E(λ − δ))/(2δ E'(λ)) for each relative δ of the ladder.
    pub agreement: Vec<Option<f64>>,
}

impl Row {
    /// Writes `rows` as CSV, the agreement ratios of `ladder` the last columns.
    ///
    /// # Errors
    /// When the writer fails.
    pub fn write(
        to: &mut dyn Write,
        parameter: &str,
        ladder: &[f64],
        rows: &[Self],
    ) -> io::Result<()> {
        let columns = [
            "horizon",
            parameter,
            "loss",
            "derivative",
            "exponent",
            "sharpness",
            "gauss_newton",
            "edge_of_stability",
            "gauss_newton_stability",
            "signal_to_noise",
        ];
        let ratios = ladder.iter().map(|delta| format!("agreement_{delta}"));
        let header: Vec<String> = columns.map(str::to_owned).into_iter().chain(ratios).collect();
        csv::write(to, &header, rows)
    }
}
