//! The joint dynamics and their Jacobians.

use myopia_core::bilevel::linear::{self, dot};
use myopia_core::bilevel::{self, cholesky, eigen};
use myopia_core::elementary::{Elementary, Libm};
use serde::Serialize;

use crate::Error;
use crate::error::positive;
use crate::problem::Quadratic;
use crate::problem::minus;

/// How the players move. Each step the inner player descends f at rate a, the outer player the
/// hypergradient at rate b.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Dynamics {
    /// The outer player sees the present w.
    Simultaneous,
    /// It sees the w that the inner player has just moved to.
    Alternating,
    /// The inner player is always at its best response.
    Stackelberg,
}

impl Dynamics {
    /// All three.
    pub const ALL: [Self; 3] = [Self::Simultaneous, Self::Alternating, Self::Stackelberg];

    /// Its name, in lower case.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Simultaneous => "simultaneous",
            Self::Alternating => "alternating",
            Self::Stackelberg => "stackelberg",
        }
    }
}

/// A quadratic bilevel problem as a game.
#[derive(Clone, Debug)]
pub struct Game {
    problem: Quadratic,
    hessian: Vec<f64>,
    a: Vec<f64>,
    mixed: Vec<f64>,
    pull: Vec<f64>,
    /// AᵀGA, the curvature of the outer problem.
    value_curvature: Vec<f64>,
}

/// Where both players are after some steps.
#[derive(Clone, Debug, Serialize)]
pub struct Point {
    /// How many.
    pub step: u32,
    /// ½(λ − λ*)ᵀAᵀGA(λ − λ*): the outer loss at the best response above its least value.
    pub regret: f64,
    /// |w − Aλ|.
    pub inner_distance: f64,
    /// λ.
    pub lambda: Vec<f64>,
}

impl Game {
    /// The game of `problem`.
    pub fn new(problem: Quadratic) -> Self {
        let (d, p) = (problem.hessian.rows(), problem.lambda.len());
        let (hessian, a, outer) =
            (problem.hessian.dense(), problem.a.dense(), problem.outer.dense());
        let mut mixed = vec![0.0; d * p];
        linear::product(&hessian, &a, d, p, &mut mixed);
        let mut transposed = vec![0.0; p * d];
        for i in 0..d {
            for j in 0..p {
                transposed[j * d + i] = a[i * p + j];
            }
        }
        let mut pull = vec![0.0; p * d];
        linear::product(&transposed, &outer, d, d, &mut pull);
        let mut value_curvature = vec![0.0; p * p];
        linear::product(&pull, &a, d, p, &mut value_curvature);
        Self { problem, hessian, a, mixed, pull, value_curvature }
    }

    /// d.
    pub fn inner(&self) -> usize {
        self.problem.hessian.rows()
    }

    /// p.
    pub fn outer(&self) -> usize {
        self.problem.lambda.len()
    }

    pub(super) fn problem(&self) -> &Quadratic {
        &self.problem
    }

    pub(super) fn hessian(&self) -> &[f64] {
        &self.hessian
    }

    pub(super) fn pull(&self) -> &[f64] {
        &self.pull
    }

    /// AᵀGA, p·p.
    pub fn value_curvature(&self) -> &[f64] {
        &self.value_curvature
    }

    fn core(&self) -> bilevel::game::Game<'_, f64> {
        bilevel::game::Game {
            hessian: &self.hessian,
            mixed: &self.mixed,
            pull: &self.pull,
            inner: self.inner(),
            outer: self.outer(),
        }
    }

    /// Rows of the Jacobian of `dynamics`: d + p, or p where only λ moves by itself.
    pub fn size(&self, dynamics: Dynamics) -> usize {
        match dynamics {
            Dynamics::Stackelberg => self.outer(),
            _ => self.inner() + self.outer(),
        }
    }

    /// The Jacobian of one step of `dynamics`, row by row.
    pub fn jacobian(&self, dynamics: Dynamics, a: f64, b: f64) -> Vec<f64> {
        let size = self.size(dynamics);
        let mut jacobian = vec![0.0; size * size];
        match dynamics {
            Dynamics::Simultaneous => self.core().simultaneous(a, b, &mut jacobian),
            Dynamics::Alternating => self.core().alternating(a, b, &mut jacobian),
            Dynamics::Stackelberg => self.core().stackelberg(b, &self.a, &mut jacobian),
        }
        jacobian
    }

    /// Its eigenvalues, by descending modulus.
    ///
    /// # Errors
    /// When a rate is not positive or the eigenvalues do not converge.
    pub fn eigenvalues(&self, dynamics: Dynamics, a: f64, b: f64) -> Result<Vec<[f64; 2]>, Error> {
        positive("the inner rate", a)?;
        positive("the outer rate", b)?;
        eigenvalues(self.jacobian(dynamics, a, b), self.size(dynamics))
    }

    /// Eigenvalues of the simultaneous flow ẇ = −H(w − Aλ), λ̇ = −r·(hypergradient at w), by
    /// descending modulus: it is stable where every real part is negative.
    ///
    /// # Errors
    /// When the ratio is not positive or the eigenvalues do not converge.
    pub fn flow(&self, ratio: f64) -> Result<Vec<[f64; 2]>, Error> {
        positive("the ratio of rates", ratio)?;
        let size = self.size(Dynamics::Simultaneous);
        let mut jacobian = self.jacobian(Dynamics::Simultaneous, 1.0, ratio);
        (0..size).for_each(|i| jacobian[i * (size + 1)] -= 1.0);
        eigenvalues(jacobian, size)
    }

    /// Eigenvalues of one simultaneous step whose outer player follows ∂_λE alone, which here is a
    /// constant: p of them are one, and λ never learns from w.
    ///
    /// # Errors
    /// When a rate is not positive or the eigenvalues do not converge.
    pub fn partial(&self, a: f64) -> Result<Vec<[f64; 2]>, Error> {
        positive("the inner rate", a)?;
        let size = self.size(Dynamics::Simultaneous);
        let jacobian = self.jacobian(Dynamics::Simultaneous, a, 0.0);
        eigenvalues(jacobian, size)
    }

    /// λ* with AᵀG(Aλ* − w*) + direct = 0.
    ///
    /// # Errors
    /// When AᵀGA is singular, so that there is no single one.
    pub fn equilibrium(&self) -> Result<Vec<f64>, Error> {
        let mut factor = self.value_curvature.clone();
        cholesky::factor(&mut factor, self.outer()).map_err(|e| Error::NotPositiveDefinite {
            name: "AᵀGA, the curvature of the outer problem,".to_owned(),
            reason: e.to_string(),
        })?;
        let image = self.problem.outer.times(&self.problem.target);
        let pulled = self.problem.a.transposed_times(&image);
        let mut lambda = minus(&pulled, &self.problem.direct);
        cholesky::solve(&factor, &mut lambda);
        Ok(lambda)
    }

    /// ½(λ − λ*)ᵀAᵀGA(λ − λ*).
    pub fn regret(&self, lambda: &[f64], equilibrium: &[f64]) -> f64 {
        let apart = minus(lambda, equilibrium);
        let mut image = vec![0.0; apart.len()];
        linear::multiply(&self.value_curvature, &apart, &mut image);
        0.5 * dot(&apart, &image)
    }

    /// The points of `steps` steps from the problem's own w and λ, the first among them; ended
    /// early where a number leaves the finite range.
    ///
    /// # Errors
    /// When there is no equilibrium to measure from.
    pub fn trajectory(
        &self,
        dynamics: Dynamics,
        a: f64,
        b: f64,
        steps: u32,
    ) -> Result<Vec<Point>, Error> {
        let equilibrium = self.equilibrium()?;
        let (mut w, mut lambda) = (self.problem.w.clone(), self.problem.lambda.clone());
        let mut points = Vec::new();
        for step in 0..=steps {
            let best = self.problem.a.times(&lambda);
            let apart = minus(&w, &best);
            let inner_distance = dot(&apart, &apart);
            let regret = self.regret(&lambda, &equilibrium);
            if !(regret + inner_distance).is_finite() {
                break;
            }
            let inner_distance = Libm::sqrt(inner_distance);
            points.push(Point { step, regret, inner_distance, lambda: lambda.clone() });
            self.step(dynamics, a, b, &mut w, &mut lambda, None);
        }
        Ok(points)
    }

    /// One step of both players, with these noises on their gradients.
    pub(super) fn step(
        &self,
        dynamics: Dynamics,
        a: f64,
        b: f64,
        w: &mut [f64],
        lambda: &mut [f64],
        noise: Option<(&[f64], &[f64])>,
    ) {
        let best = self.problem.a.times(lambda);
        let hypergradient = |w: &[f64]| {
            let v = self.problem.outer.times(&minus(w, &self.problem.target));
            let mut out = self.problem.a.transposed_times(&v);
            out.iter_mut().zip(&self.problem.direct).for_each(|(out, direct)| *out += direct);
            if let Some((_, noise)) = noise {
                out.iter_mut().zip(noise).for_each(|(out, noise)| *out += noise);
            }
            out
        };
        let seen = match dynamics {
            Dynamics::Stackelberg => best.clone(),
            _ => w.to_vec(),
        };
        if dynamics == Dynamics::Stackelberg {
            let slope = hypergradient(&seen);
            linear::add_scaled(lambda, -b, &slope);
            w.copy_from_slice(&self.problem.a.times(lambda));
            return;
        }
        let mut gradient = self.problem.hessian.times(&minus(w, &best));
        if let Some((noise, _)) = noise {
            gradient.iter_mut().zip(noise).for_each(|(g, noise)| *g += noise);
        }
        linear::add_scaled(w, -a, &gradient);
        let slope = match dynamics {
            Dynamics::Alternating => hypergradient(w),
            _ => hypergradient(&seen),
        };
        linear::add_scaled(lambda, -b, &slope);
    }
}

/// By descending modulus, a pair's positive imaginary part first.
fn eigenvalues(mut matrix: Vec<f64>, size: usize) -> Result<Vec<[f64; 2]>, Error> {
    let mut values = vec![[0.0; 2]; size];
    eigen::general(&mut matrix, size, &mut values).map_err(|e| Error::Overflow {
        what: "the Jacobian".to_owned(),
        reason: format!("{e}; scale the problem or lower the rates"),
    })?;
    values.sort_by(|x, y| {
        let modulus = |v: &[f64; 2]| v[0] * v[0] + v[1] * v[1];
        modulus(y).total_cmp(&modulus(x)).then(y[0].total_cmp(&x[0])).then(y[1].total_cmp(&x[1]))
    });
    Ok(values)
}
