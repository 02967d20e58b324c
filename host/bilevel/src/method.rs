//! Hypergradients side by side: what stands for H⁻¹, and how far from the truth it leads.

use std::fmt;
use std::str::FromStr;

use myopia_core::bilevel::inverse::{conjugate_gradient, neumann, nystrom};
use myopia_core::bilevel::linear::dot;
use myopia_core::elementary::{Elementary, Libm};
use myopia_core::rng::Pcg32;
use serde::Serialize;

use crate::Error;
use crate::bands::{BandError, Bands};
use crate::error::positive;
use crate::matrix::finite;
use crate::problem::Bilevel;

/// A way to a hypergradient.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Method {
    /// H⁻¹ by a factorisation.
    Exact,
    /// T steps of inner descent, differentiated.
    Unrolled(u32),
    /// a·Σ_{j≤K}(I − aH)^j, K + 1 terms.
    Neumann(u32),
    /// a·I.
    Identity,
    /// Conjugate gradient from zero: this many iterations, or until it has converged.
    ConjugateGradient(Option<u32>),
    /// (Ĥ + ρI)⁻¹ with Ĥ of this rank.
    Nystrom(u32),
    /// (H + λI)⁻¹.
    Damped(f64),
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact => f.write_str("exact"),
            Self::Unrolled(steps) => write!(f, "unrolled:{steps}"),
            Self::Neumann(terms) => write!(f, "neumann:{terms}"),
            Self::Identity => f.write_str("identity"),
            Self::ConjugateGradient(None) => f.write_str("cg"),
            Self::ConjugateGradient(Some(count)) => write!(f, "cg:{count}"),
            Self::Nystrom(rank) => write!(f, "nystrom:{rank}"),
            Self::Damped(damping) => write!(f, "damped:{damping}"),
        }
    }
}

impl FromStr for Method {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = "exact, unrolled:T, neumann:K, identity, cg, cg:K, nystrom:K or damped:LAMBDA";
        let whole = |number: &str| {
            let wrong = || format!("{number:?} in {text} is not a number from 0 to 1000000");
            number.parse::<u32>().ok().filter(|n| *n <= 1_000_000).ok_or_else(wrong)
        };
        match text.split_once(':') {
            None if text == "exact" => Ok(Self::Exact),
            None if text == "identity" => Ok(Self::Identity),
            None if text == "cg" => Ok(Self::ConjugateGradient(None)),
            Some(("unrolled", n)) => whole(n).map(Self::Unrolled),
            Some(("neumann", n)) => whole(n).map(Self::Neumann),
            Some(("cg", n)) => whole(n).map(|n| Self::ConjugateGradient(Some(n))),
            Some(("nystrom", n)) => whole(n).map(Self::Nystrom),
            Some(("damped", number)) => {
                let damping = number.parse::<f64>().ok().filter(|x| x.is_finite() && *x >= 0.0);
                damping.map(Self::Damped).ok_or_else(|| {
                    format!("the damping in {text} must be zero or a positive finite number")
                })
            }
            _ => Err(format!("there is no method {text:?}; give {known}")),
        }
    }
}

/// What the methods are told.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// a, of unrolled, neumann and identity.
    pub step: f64,
    /// ρ of nystrom.
    pub rho: f64,
    /// Relative residual at which cg without a number ends.
    pub tolerance: f64,
    /// Of the columns that nystrom takes.
    pub seed: u64,
    /// Whether central differences are taken too.
    pub check: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self { step: 0.1, rho: 0.01, tolerance: 1e-10, seed: 1, check: false }
    }
}

/// A hypergradient, how it came about, and how far it is from the exact one.
#[derive(Clone, Debug, Serialize)]
pub struct Estimate {
    /// The method's name.
    pub method: String,
    /// dE/dλ, p numbers.
    pub hypergradient: Vec<f64>,
    /// |hypergradient − exact|/|exact|; none where the exact one is zero.
    pub relative_error: Option<f64>,
    /// The cosine of the angle to the exact one; none where either is zero.
    pub cosine: Option<f64>,
    /// Hessian-vector products.
    pub products: u64,
    /// Inner gradients.
    pub gradients: u64,
    /// |v − Hx|/|v| at the end of conjugate gradient.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub residual: Option<f64>,
    /// Columns of H that Nyström took, counted from 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub columns: Option<Vec<u32>>,
    /// True where the step times the highest curvature exceeds 2, so that longer is worse.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub diverges: bool,
    /// The error of what stands for H⁻¹∂_wE, from low curvatures to high; empty where the spectrum
    /// is out of reach.
    pub bands: Vec<BandError>,
    /// Central differences of the loss that this method differentiates.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub check: Option<Check>,
}

/// Central differences.
#[derive(Clone, Debug, Serialize)]
pub struct Check {
    /// Which hyperparameters, counted from 0; all of them up to sixty-four.
    pub places: Vec<usize>,
    /// The differences.
    pub difference: Vec<f64>,
    /// |hypergradient − difference|/|difference| over those places.
    pub relative_error: Option<f64>,
}

/// Hyperparameters that are checked by differences at most.
const MOST_CHECKED: usize = 64;

/// What stands for H⁻¹∂_wE, and what it took.
struct Solution {
    x: Vec<f64>,
    products: u64,
    residual: Option<f64>,
    columns: Option<Vec<u32>>,
}

impl From<Vec<f64>> for Solution {
    fn from(x: Vec<f64>) -> Self {
        Self { x, products: 0, residual: None, columns: None }
    }
}

/// The hypergradient of `problem` by each of `methods`.
///
/// # Errors
/// H singular or indefinite, a step or ρ that is not positive, conjugate gradient that does not
/// converge, numbers that leave the finite range.
pub fn compare(
    problem: &dyn Bilevel,
    methods: &[Method],
    settings: &Settings,
) -> Result<Vec<Estimate>, Error> {
    positive("the step", settings.step)?;
    positive("rho", settings.rho)?;
    positive("the tolerance", settings.tolerance)?;
    let v = problem.outer_gradient(problem.point());
    let exact = problem.solve(0.0, &v)?;
    let truth = total(problem, problem.point(), &exact);
    let bands = problem.spectrum()?.map(Bands::new);
    let highest = bands.as_ref().and_then(Bands::range).map(|(_, highest)| highest);
    let diverges = highest.is_some_and(|h| settings.step * h > 2.0);
    methods
        .iter()
        .map(|method| {
            let uses_step =
                matches!(method, Method::Unrolled(_) | Method::Neumann(_) | Method::Identity);
            let (hypergradient, solution) = match method {
                Method::Unrolled(steps) => unrolled(problem, settings.step, *steps),
                other => {
                    let solution = solve(problem, *other, settings, &v)?;
                    (total(problem, problem.point(), &solution.x), solution)
                }
            };
            finite("the hypergradient", &hypergradient).map_err(|_| Error::Overflow {
                what: method.to_string(),
                reason: format!(
                    "the step {} is too large for this H; the largest that converges is 2 over the highest \
                     curvature",
                    settings.step
                ),
            })?;
            let bands = bands.as_ref().map_or(Vec::new(), |b| b.errors(&solution.x, &exact));
            let check = match (settings.check, method) {
                (true, Method::Exact) => {
                    Some(check(problem, &hypergradient, |i, e| problem.value(i, e))?)
                }
                (true, Method::Unrolled(steps)) => {
                    let value =
                        |i, e| Ok(problem.unrolled_value(i, e, settings.step, *steps));
                    Some(check(problem, &hypergradient, value)?)
                }
                _ => None,
            };
            Ok(Estimate {
                method: method.to_string(),
                relative_error: relative_error(&hypergradient, &truth),
                cosine: cosine(&hypergradient, &truth),
                products: solution.products,
                gradients: match method {
                    Method::Unrolled(steps) => (*steps).into(),
                    _ => 0,
                },
                residual: solution.residual,
                columns: solution.columns,
                diverges: diverges && uses_step,
                bands,
                check,
                hypergradient,
            })
        })
        .collect()
}

/// ∂_λE − (∂²f/∂w∂λ)ᵀx at w.
fn total(problem: &dyn Bilevel, w: &[f64], x: &[f64]) -> Vec<f64> {
    let mixed = problem.mixed(w, x);
    problem.direct().iter().zip(mixed).map(|(direct, mixed)| direct - mixed).collect()
}

fn solve(
    problem: &dyn Bilevel,
    method: Method,
    settings: &Settings,
    v: &[f64],
) -> Result<Solution, Error> {
    let (h, d) = (problem.hessian(), v.len());
    let mut x = vec![0.0; d];
    let mut work = [vec![0.0; d], vec![0.0; d], vec![0.0; d]];
    let [one, two, three] = &mut work;
    match method {
        Method::Exact => problem.solve(0.0, v).map(Solution::from),
        Method::Damped(damping) => problem.solve(damping, v).map(Solution::from),
        Method::Identity => Ok(v.iter().map(|v| settings.step * v).collect::<Vec<_>>().into()),
        Method::Neumann(terms) => {
            neumann(&Dyn(h), v, settings.step, terms, &mut x, [one, two]);
            Ok(Solution { products: terms.into(), ..x.into() })
        }
        Method::ConjugateGradient(count) => {
            // At the rounding of the residual there is nothing left to divide by.
            let tolerance = count.map_or(settings.tolerance, |_| 1e-15);
            let most = count.unwrap_or_else(|| u32::try_from(20 * d + 100).unwrap_or(u32::MAX));
            let solved = conjugate_gradient(&Dyn(h), v, most, tolerance, &mut x, [one, two, three])
                .map_err(|e| Error::NotPositiveDefinite {
                    name: "H".to_owned(),
                    reason: e.to_string(),
                })?;
            let mut products = solved.products;
            let mut residual = solved.residual;
            if count.is_none() {
                // The recurrence's residual falls for ever; what x leaves of v does not.
                h.apply(&x, one);
                products += 1;
                residual = relative_error(one, v).unwrap_or(0.0);
                if residual > tolerance {
                    return Err(Error::NoConvergence { products, residual, tolerance });
                }
            }
            Ok(Solution { products: products.into(), residual: Some(residual), ..x.into() })
        }
        Method::Nystrom(rank) => {
            let rank = if rank as usize > d { d } else { rank as usize };
            let mut places: Vec<u32> = (0..u32::try_from(d).unwrap_or(u32::MAX)).collect();
            Pcg32::new(settings.seed, 40).shuffle(&mut places);
            places.truncate(rank);
            places.sort_unstable();
            let mut columns = vec![0.0; rank * d];
            for (column, place) in columns.chunks_exact_mut(d).zip(&places) {
                one.fill(0.0);
                one[*place as usize] = 1.0;
                h.apply(one, column);
            }
            let (mut block, mut small) = (vec![0.0; rank * rank], vec![0.0; rank]);
            nystrom(&columns, &places, v, settings.rho, &mut x, &mut block, &mut small).map_err(
                |e| Error::NotPositiveDefinite {
                    name: "the Nyström block of H".to_owned(),
                    reason: e.to_string(),
                },
            )?;
            Ok(Solution { products: rank as u64, columns: Some(places), ..x.into() })
        }
        Method::Unrolled(_) => unreachable!("unrolled by its own function"),
    }
}

/// The derivative of E(w_T(λ), λ) with w_0 held fixed, and a·Σ of the adjoints, by reverse mode.
fn unrolled(problem: &dyn Bilevel, step: f64, steps: u32) -> (Vec<f64>, Solution) {
    let mut w = problem.point().to_vec();
    let mut path = Vec::with_capacity(steps as usize);
    for _ in 0..steps {
        let gradient = problem.inner_gradient(&w);
        let next = w.iter().zip(gradient).map(|(w, g)| w - step * g).collect();
        path.push(std::mem::replace(&mut w, next));
    }
    let mut adjoint = problem.outer_gradient(&w);
    let mut hypergradient = problem.direct();
    let mut sum = vec![0.0; w.len()];
    let mut product = vec![0.0; w.len()];
    let mut products = 0;
    while let Some(w) = path.pop() {
        let mixed = problem.mixed(&w, &adjoint);
        hypergradient.iter_mut().zip(mixed).for_each(|(h, mixed)| *h -= step * mixed);
        sum.iter_mut().zip(&adjoint).for_each(|(sum, adjoint)| *sum += step * adjoint);
        if !path.is_empty() {
            problem.hessian().apply(&adjoint, &mut product);
            adjoint.iter_mut().zip(&product).for_each(|(adjoint, p)| *adjoint -= step * p);
            products += 1;
        }
    }
    (hypergradient, Solution { products, ..sum.into() })
}

fn check(
    problem: &dyn Bilevel,
    hypergradient: &[f64],
    value: impl Fn(usize, f64) -> Result<f64, Error>,
) -> Result<Check, Error> {
    let p = problem.outer_size();
    let count = if p < MOST_CHECKED { p } else { MOST_CHECKED };
    let places: Vec<usize> = (0..count).map(|i| i * p / count).collect();
    let difference = places
        .iter()
        .map(|&place| {
            // ε^⅓ of the size: where rounding and curvature cost the same.
            let change = 6e-6 * (1.0 + problem.lambda()[place].abs());
            Ok((value(place, change)? - value(place, -change)?) / (2.0 * change))
        })
        .collect::<Result<Vec<f64>, Error>>()?;
    let own: Vec<f64> = places.iter().map(|&place| hypergradient[place]).collect();
    let relative_error = relative_error(&own, &difference);
    Ok(Check { places, difference, relative_error })
}

/// |x − y|/|y|, none when y is zero.
pub fn relative_error(x: &[f64], y: &[f64]) -> Option<f64> {
    let difference: Vec<f64> = x.iter().zip(y).map(|(x, y)| x - y).collect();
    let size = dot(y, y);
    (size > 0.0).then(|| Libm::sqrt(dot(&difference, &difference) / size))
}

/// xᵀy/|x||y|, none when either is zero.
pub fn cosine(x: &[f64], y: &[f64]) -> Option<f64> {
    let size = Libm::sqrt(dot(x, x)) * Libm::sqrt(dot(y, y));
    (size > 0.0).then(|| dot(x, y) / size)
}

/// A borrowed operator.
struct Dyn<'a>(&'a dyn myopia_core::bilevel::linear::Operator<f64>);

impl myopia_core::bilevel::linear::Operator<f64> for Dyn<'_> {
    fn dimension(&self) -> usize {
        self.0.dimension()
    }

    fn apply(&self, x: &[f64], y: &mut [f64]) {
        self.0.apply(x, y);
    }
}

#[cfg(test)]
mod tests;
