//! Inner ½(w − Aλ)ᵀH(w − Aλ), outer ½(w − w*)ᵀG(w − w*) + dᵀλ.

use myopia_core::bilevel::linear::{Operator, dot};
use myopia_core::bilevel::{cholesky, eigen, unroll};

use super::{Bilevel, Spectrum};
use crate::Error;
use crate::matrix::{Matrix, finite, length};

/// Above this many directions the eigenvectors of a dense H are not computed.
const MOST_VECTORS: usize = 600;

/// The quadratic bilevel problem; at the inner optimum w*(λ) = Aλ its hypergradient is
/// direct + AᵀG(Aλ − w*).
#[derive(Clone, Debug)]
pub struct Quadratic {
    /// H, d·d.
    pub hessian: Matrix,
    /// A, d·p.
    pub a: Matrix,
    /// G, d·d.
    pub outer: Matrix,
    /// w*, d.
    pub target: Vec<f64>,
    /// The inner point, d.
    pub w: Vec<f64>,
    /// λ, p.
    pub lambda: Vec<f64>,
    /// ∂E/∂λ, p.
    pub direct: Vec<f64>,
    optimal: bool,
    factor: Factor,
}

#[derive(Clone, Debug)]
enum Factor {
    Dense(Vec<f64>),
    Diagonal(Vec<f64>),
}

impl Factor {
    fn of(hessian: &Matrix, damping: f64, name: impl Fn() -> String) -> Result<Self, Error> {
        match hessian {
            Matrix::Diagonal(diagonal) => {
                let shifted: Vec<f64> = diagonal.iter().map(|h| h + damping).collect();
                match shifted
                    .iter()
                    .position(|h| h.partial_cmp(&0.0) != Some(std::cmp::Ordering::Greater))
                {
                    None => Ok(Self::Diagonal(shifted)),
                    Some(place) => Err(Error::NotPositiveDefinite {
                        name: name(),
                        reason: format!(
                            "direction {} has curvature {:e}",
                            place + 1,
                            shifted[place]
                        ),
                    }),
                }
            }
            Matrix::Dense { rows, entries, .. } => {
                let mut entries = entries.clone();
                (0..*rows).for_each(|i| entries[i * (rows + 1)] += damping);
                match cholesky::factor(&mut entries, *rows) {
                    Ok(()) => Ok(Self::Dense(entries)),
                    Err(e) => {
                        Err(Error::NotPositiveDefinite { name: name(), reason: e.to_string() })
                    }
                }
            }
        }
    }

    fn solve(&self, b: &[f64]) -> Vec<f64> {
        match self {
            Self::Dense(l) => {
                let mut x = b.to_vec();
                cholesky::solve(l, &mut x);
                x
            }
            Self::Diagonal(h) => b.iter().zip(h).map(|(b, h)| b / h).collect(),
        }
    }
}

impl Quadratic {
    /// The problem; without `w` it is taken at the inner optimum Aλ, without `direct` that is zero.
    ///
    /// # Errors
    /// Shapes that do not agree, numbers that are not finite, H or G not symmetric, H singular or
    /// indefinite.
    pub fn new(
        hessian: Matrix,
        a: Matrix,
        outer: Matrix,
        target: Vec<f64>,
        w: Option<Vec<f64>>,
        lambda: Vec<f64>,
        direct: Option<Vec<f64>>,
    ) -> Result<Self, Error> {
        let (d, p) = (hessian.rows(), lambda.len());
        hessian.shaped("H", d, d)?;
        a.shaped("A", d, p)?;
        outer.shaped("G", d, d)?;
        length("w_star", &target, d)?;
        length("w", w.as_deref().unwrap_or(&target), d)?;
        length("direct", direct.as_deref().unwrap_or(&lambda), p)?;
        hessian.finite("H")?;
        a.finite("A")?;
        outer.finite("G")?;
        finite("w_star", &target)?;
        finite("w", w.as_deref().unwrap_or(&[]))?;
        finite("lambda", &lambda)?;
        finite("direct", direct.as_deref().unwrap_or(&[]))?;
        hessian.symmetric("H")?;
        outer.symmetric("G")?;
        let factor = Factor::of(&hessian, 0.0, || "H".to_owned())?;
        let optimal = w.is_none();
        let w = w.unwrap_or_else(|| a.times(&lambda));
        let direct = direct.unwrap_or_else(|| vec![0.0; p]);
        Ok(Self { hessian, a, outer, target, w, lambda, direct, optimal, factor })
    }

    /// The inner optimum Aλ.
    pub fn optimum(&self) -> Vec<f64> {
        self.a.times(&self.lambda)
    }

    /// ½(w − w*)ᵀG(w − w*) + dᵀλ.
    pub fn outer_loss(&self, w: &[f64], lambda: &[f64]) -> f64 {
        let difference = minus(w, &self.target);
        let image = self.outer.times(&difference);
        0.5 * dot(&difference, &image) + dot(&self.direct, lambda)
    }

    fn moved(&self, place: usize, change: f64) -> Vec<f64> {
        let mut lambda = self.lambda.clone();
        lambda[place] += change;
        lambda
    }
}

/// x − y.
pub(crate) fn minus(x: &[f64], y: &[f64]) -> Vec<f64> {
    x.iter().zip(y).map(|(x, y)| x - y).collect()
}

impl Bilevel for Quadratic {
    fn hessian(&self) -> &dyn Operator<f64> {
        &self.hessian
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
        self.hessian.times(&minus(w, &self.optimum()))
    }

    fn outer_gradient(&self, w: &[f64]) -> Vec<f64> {
        self.outer.times(&minus(w, &self.target))
    }

    fn direct(&self) -> Vec<f64> {
        self.direct.clone()
    }

    fn mixed(&self, _w: &[f64], x: &[f64]) -> Vec<f64> {
        // ∂²f/∂w∂λ = −HA.
        let mut out = self.a.transposed_times(&self.hessian.times(x));
        out.iter_mut().for_each(|x| *x = -*x);
        out
    }

    fn solve(&self, damping: f64, b: &[f64]) -> Result<Vec<f64>, Error> {
        if damping == 0.0 {
            return Ok(self.factor.solve(b));
        }
        Ok(Factor::of(&self.hessian, damping, || format!("H + {damping:?}·I"))?.solve(b))
    }

    fn spectrum(&self) -> Result<Option<Spectrum>, Error> {
        match &self.hessian {
            Matrix::Diagonal(diagonal) => {
                Ok(Some(Spectrum { curvatures: diagonal.clone(), vectors: None }))
            }
            Matrix::Dense { rows, .. } if *rows > MOST_VECTORS => Ok(None),
            Matrix::Dense { rows, entries, .. } => spectrum_of(entries.clone(), *rows).map(Some),
        }
    }

    fn value(&self, place: usize, change: f64) -> Result<f64, Error> {
        let lambda = self.moved(place, change);
        // By the inner problem itself, not by its known optimum: w* solves Hw = HAλ'.
        let pull = |lambda: &[f64]| self.hessian.times(&self.a.times(lambda));
        let mut w = self.factor.solve(&pull(&lambda));
        if !self.optimal {
            let here = self.factor.solve(&pull(&self.lambda));
            for ((w, here), point) in w.iter_mut().zip(here).zip(&self.w) {
                *w = *w - here + point;
            }
        }
        Ok(self.outer_loss(&w, &lambda))
    }

    fn unrolled_value(&self, place: usize, change: f64, step: f64, steps: u32) -> f64 {
        let lambda = self.moved(place, change);
        let centre = self.a.times(&lambda);
        let mut w = self.w.clone();
        let (mut one, mut two) = (vec![0.0; w.len()], vec![0.0; w.len()]);
        unroll::descend(&self.hessian, &centre, step, steps, &mut w, [&mut one, &mut two]);
        self.outer_loss(&w, &lambda)
    }

    fn lambda(&self) -> &[f64] {
        &self.lambda
    }
}

/// Curvatures and directions of a dense symmetric matrix.
pub(crate) fn spectrum_of(mut entries: Vec<f64>, size: usize) -> Result<Spectrum, Error> {
    let mut vectors = vec![0.0; size * size];
    eigen::symmetric(&mut entries, &mut vectors, size).map_err(|e| Error::Overflow {
        what: "the spectrum of H".to_owned(),
        reason: format!("{e}; scale the problem"),
    })?;
    let curvatures = (0..size).map(|i| entries[i * (size + 1)]).collect();
    Ok(Spectrum { curvatures, vectors: Some(vectors) })
}
