//! Ridge regression with one penalty or one for each weight.

use myopia_core::bilevel::cholesky;
use myopia_core::bilevel::linear::{self, Operator, dot};
use myopia_core::elementary::{Elementary, Libm};

use super::quadratic::{minus, spectrum_of};
use super::{Bilevel, Spectrum};
use crate::Error;
use crate::matrix::{finite, length};

/// Above this many weights the eigenvectors of H are not computed.
const MOST_VECTORS: usize = 600;

/// Which penalties there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Penalty {
    /// One λ for all weights.
    Global,
    /// One λ for each weight.
    PerWeight,
}

/// Inner |Xw − y|²/2n + ½Σ_j e^{λ_j}w_j² on n rows; outer |Xw − y|²/2m on m others. λ is the
/// logarithm of the penalty.
#[derive(Clone, Debug)]
pub struct Ridge {
    system: System,
    validation: Rows,
    penalty: Penalty,
    lambda: Vec<f64>,
    w: Vec<f64>,
    optimal: bool,
    factor: Factor,
}

/// Rows of inputs, and their targets.
#[derive(Clone, Debug)]
struct Rows {
    inputs: Vec<f64>,
    targets: Vec<f64>,
}

/// H = XᵀX/n + diag(penalties).
#[derive(Clone, Debug)]
struct System {
    rows: Rows,
    penalties: Vec<f64>,
}

impl Operator<f64> for System {
    fn dimension(&self) -> usize {
        self.penalties.len()
    }

    fn apply(&self, x: &[f64], y: &mut [f64]) {
        let count = self.rows.targets.len() as f64;
        let mut image = vec![0.0; self.rows.targets.len()];
        linear::multiply(&self.rows.inputs, x, &mut image);
        linear::multiply_transposed(&self.rows.inputs, &image, y);
        for ((y, x), penalty) in y.iter_mut().zip(x).zip(&self.penalties) {
            *y = *y / count + penalty * x;
        }
    }
}

/// A factorisation of H + damping·I: of itself where it has no more rows than there are examples,
/// else of n·I + XD⁻¹Xᵀ with D its diagonal part (Woodbury).
#[derive(Clone, Debug)]
enum Factor {
    Weights(Vec<f64>),
    Examples { lower: Vec<f64>, diagonal: Vec<f64> },
}

impl System {
    fn factor(&self, damping: f64) -> Result<Factor, Error> {
        let (d, n) = (self.penalties.len(), self.rows.targets.len());
        let diagonal: Vec<f64> = self.penalties.iter().map(|p| p + damping).collect();
        let wrong = |reason: String| Error::NotPositiveDefinite { name: "H".to_owned(), reason };
        if d <= n {
            let mut h = self.dense();
            (0..d).for_each(|i| h[i * (d + 1)] += damping);
            cholesky::factor(&mut h, d).map_err(|e| wrong(e.to_string()))?;
            return Ok(Factor::Weights(h));
        }
        if let Some(place) = diagonal.iter().position(|p| !p.is_normal() || *p < 0.0) {
            return Err(wrong(format!(
                "the penalty of weight {} is {:e}",
                place + 1,
                diagonal[place]
            )));
        }
        let row = |i: usize| &self.rows.inputs[i * d..][..d];
        let mut lower = vec![0.0; n * n];
        let mut scaled = vec![0.0; d];
        for i in 0..n {
            for ((scaled, x), p) in scaled.iter_mut().zip(row(i)).zip(&diagonal) {
                *scaled = x / p;
            }
            for j in 0..=i {
                lower[i * n + j] = dot(&scaled, row(j)) + if i == j { n as f64 } else { 0.0 };
            }
        }
        cholesky::factor(&mut lower, n).map_err(|e| wrong(e.to_string()))?;
        Ok(Factor::Examples { lower, diagonal })
    }

    fn solve(&self, factor: &Factor, b: &[f64]) -> Vec<f64> {
        match factor {
            Factor::Weights(lower) => {
                let mut x = b.to_vec();
                cholesky::solve(lower, &mut x);
                x
            }
            Factor::Examples { lower, diagonal } => {
                let mut x: Vec<f64> = b.iter().zip(diagonal).map(|(b, p)| b / p).collect();
                let mut small = vec![0.0; self.rows.targets.len()];
                linear::multiply(&self.rows.inputs, &x, &mut small);
                cholesky::solve(lower, &mut small);
                let mut back = vec![0.0; x.len()];
                linear::multiply_transposed(&self.rows.inputs, &small, &mut back);
                for ((x, back), p) in x.iter_mut().zip(back).zip(diagonal) {
                    *x -= back / p;
                }
                x
            }
        }
    }

    /// All of H.
    fn dense(&self) -> Vec<f64> {
        let (d, n) = (self.penalties.len(), self.rows.targets.len());
        let mut h = vec![0.0; d * d];
        for x in self.rows.inputs.chunks_exact(d) {
            for (row, xi) in h.chunks_exact_mut(d).zip(x) {
                linear::add_scaled(row, *xi, x);
            }
        }
        h.iter_mut().for_each(|h| *h /= n as f64);
        (0..d).for_each(|i| h[i * (d + 1)] += self.penalties[i]);
        h
    }

    /// Xᵀy/n.
    fn pull(&self) -> Vec<f64> {
        let mut b = vec![0.0; self.penalties.len()];
        linear::multiply_transposed(&self.rows.inputs, &self.rows.targets, &mut b);
        b.iter_mut().for_each(|b| *b /= self.rows.targets.len() as f64);
        b
    }

    fn gradient(&self, w: &[f64]) -> Vec<f64> {
        let mut out = vec![0.0; w.len()];
        self.apply(w, &mut out);
        minus(&out, &self.pull())
    }
}

impl Rows {
    /// Xw − y.
    fn residuals(&self, w: &[f64]) -> Vec<f64> {
        let mut image = vec![0.0; self.targets.len()];
        linear::multiply(&self.inputs, w, &mut image);
        minus(&image, &self.targets)
    }
}

/// e^λ for each weight.
fn penalties(lambda: &[f64], weights: usize) -> Vec<f64> {
    match lambda {
        [one] => vec![Libm::exp(*one); weights],
        all => all.iter().map(|l| Libm::exp(*l)).collect(),
    }
}

impl Ridge {
    /// The problem on rows of `weights` inputs each: `training` and `validation` hold inputs row by
    /// row and targets. Without `w` it is taken at the inner optimum.
    ///
    /// # Errors
    /// Sizes that do not agree, numbers that are not finite, H not positive definite.
    pub fn new(
        training: (Vec<f64>, Vec<f64>),
        validation: (Vec<f64>, Vec<f64>),
        penalty: Penalty,
        lambda: Vec<f64>,
        w: Option<Vec<f64>>,
    ) -> Result<Self, Error> {
        let count = training.1.len();
        let weights = training.0.len().checked_div(count).unwrap_or(0);
        length("the training inputs", &training.0, weights * count)?;
        length("the validation inputs", &validation.0, weights * validation.1.len())?;
        length("lambda", &lambda, if penalty == Penalty::Global { 1 } else { weights })?;
        length("w", w.as_deref().unwrap_or(&vec![0.0; weights]), weights)?;
        for part in [&training.0, &training.1, &validation.0, &validation.1] {
            finite("the data", part)?;
        }
        finite("lambda", &lambda)?;
        let rows = |(inputs, targets)| Rows { inputs, targets };
        let system = System { rows: rows(training), penalties: penalties(&lambda, weights) };
        let factor = system.factor(0.0)?;
        let optimal = w.is_none();
        let w = w.unwrap_or_else(|| system.solve(&factor, &system.pull()));
        let validation = rows(validation);
        Ok(Self { system, validation, penalty, lambda, w, optimal, factor })
    }

    /// |Xw − y|²/2m on the validation rows.
    pub fn outer_loss(&self, w: &[f64]) -> f64 {
        let residuals = self.validation.residuals(w);
        dot(&residuals, &residuals) / (2.0 * residuals.len() as f64)
    }

    fn moved(&self, place: usize, change: f64) -> System {
        let mut lambda = self.lambda.clone();
        lambda[place] += change;
        let penalties = penalties(&lambda, self.w.len());
        System { rows: self.system.rows.clone(), penalties }
    }
}

impl Bilevel for Ridge {
    fn hessian(&self) -> &dyn Operator<f64> {
        &self.system
    }

    fn outer_size(&self) -> usize {
        self.lambda.len()
    }

    fn point(&self) -> &[f64] {
        &self.w
    }

    fn is_optimal(&self) -> bool {
        self.optimal
    }

    fn inner_gradient(&self, w: &[f64]) -> Vec<f64> {
        self.system.gradient(w)
    }

    fn outer_gradient(&self, w: &[f64]) -> Vec<f64> {
        let mut out = vec![0.0; w.len()];
        let residuals = self.validation.residuals(w);
        linear::multiply_transposed(&self.validation.inputs, &residuals, &mut out);
        out.iter_mut().for_each(|x| *x /= residuals.len() as f64);
        out
    }

    fn direct(&self) -> Vec<f64> {
        vec![0.0; self.lambda.len()]
    }

    fn mixed(&self, w: &[f64], x: &[f64]) -> Vec<f64> {
        // ∂²f/∂w_j∂λ_j = e^{λ_j}w_j.
        let terms: Vec<f64> =
            self.system.penalties.iter().zip(w).map(|(penalty, w)| penalty * w).collect();
        match self.penalty {
            Penalty::Global => vec![dot(&terms, x)],
            Penalty::PerWeight => terms.iter().zip(x).map(|(term, x)| term * x).collect(),
        }
    }

    fn solve(&self, damping: f64, b: &[f64]) -> Result<Vec<f64>, Error> {
        if damping == 0.0 {
            return Ok(self.system.solve(&self.factor, b));
        }
        Ok(self.system.solve(&self.system.factor(damping)?, b))
    }

    fn spectrum(&self) -> Result<Option<Spectrum>, Error> {
        let size = self.w.len();
        match size > MOST_VECTORS {
            true => Ok(None),
            false => spectrum_of(self.system.dense(), size).map(Some),
        }
    }

    fn value(&self, place: usize, change: f64) -> Result<f64, Error> {
        let system = self.moved(place, change);
        // Off the optimum the gradient of f there is taken to stay as it is: w moves with λ as w*
        // would.
        let right = match self.optimal {
            true => self.system.pull(),
            false => {
                let gradient = self.system.gradient(&self.w);
                self.system.pull().iter().zip(gradient).map(|(b, g)| b + g).collect()
            }
        };
        let factor = system.factor(0.0)?;
        Ok(self.outer_loss(&system.solve(&factor, &right)))
    }

    fn unrolled_value(&self, place: usize, change: f64, step: f64, steps: u32) -> f64 {
        let system = self.moved(place, change);
        let mut w = self.w.clone();
        for _ in 0..steps {
            let gradient = system.gradient(&w);
            linear::add_scaled(&mut w, -step, &gradient);
        }
        self.outer_loss(&w)
    }

    fn lambda(&self) -> &[f64] {
        &self.lambda
    }
}
