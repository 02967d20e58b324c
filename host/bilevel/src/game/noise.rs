//! Noise on both gradients: where it stands still, and when it outweighs what is left of the start.

use myopia_core::bilevel::linear::{self, dot};
use myopia_core::bilevel::{cholesky, lyapunov};
use myopia_core::elementary::{Elementary, Libm};
use myopia_core::rng::Pcg32;
use serde::Serialize;

use super::dynamics::{Dynamics, Game};
use crate::Error;
use crate::problem::minus;

/// The covariance of the inner gradient's noise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum InnerNoise {
    /// A multiple of the identity.
    Constant,
    /// A multiple of H.
    Curvature,
}

/// Noise on both gradients.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Noise {
    /// The shape of the inner covariance.
    pub shape: InnerNoise,
    /// What multiplies it.
    pub inner: f64,
    /// Variance of each entry of the hypergradient.
    pub outer: f64,
}

/// Dynamics under noise.
#[derive(Clone, Debug, Serialize)]
pub struct Stationary {
    /// Which.
    pub dynamics: Dynamics,
    /// ½tr(AᵀGA·Cov λ): the regret that noise alone sustains, by the Lyapunov equation.
    pub regret: f64,
    /// The same, averaged over a simulation.
    pub simulated_regret: f64,
    /// Its standard error, by twenty batch means.
    pub standard_error: f64,
    /// Variances of λ.
    pub outer_variance: Vec<f64>,
    /// Variances of w; none where w follows λ exactly.
    pub inner_variance: Vec<f64>,
    /// The first step after which noise holds more of the expected regret than what is left of the
    /// start; none within the steps looked at.
    pub noise_dominated_from: Option<u32>,
    /// For each step up to there, the parts of the expected regret: left of the start, made by
    /// noise.
    #[serde(skip)]
    pub parts: Vec<(f64, f64)>,
}

/// Batches of which the means are compared.
const BATCHES: u32 = 20;

impl Game {
    /// What noise does to `dynamics`: exactly, and in `steps` simulated steps, as many again before
    /// them left out; `horizon` steps are followed from the problem's own start.
    ///
    /// # Errors
    /// When the dynamics are not stable, or there is no equilibrium.
    #[expect(clippy::too_many_arguments, reason = "each is one number of the experiment")]
    pub fn stationary(
        &self,
        dynamics: Dynamics,
        a: f64,
        b: f64,
        noise: Noise,
        steps: u32,
        horizon: u32,
        seed: u64,
    ) -> Result<Stationary, Error> {
        let equilibrium = self.equilibrium()?;
        let size = self.size(dynamics);
        let covariance = self.covariance(dynamics, a, b, noise);
        let jacobian = self.jacobian(dynamics, a, b);
        let mut sigma = covariance.clone();
        let mut work = [vec![0.0; size * size], vec![0.0; size * size]];
        let [half, added] = &mut work;
        lyapunov::stationary(&mut jacobian.clone(), &mut sigma, size, [half, added]).map_err(
            |e| {
                Error::Unstable(format!(
                    "the {} game at rates {a:?} and {b:?} has no stationary variance: {e}; lower the outer rate",
                    dynamics.name()
                ))
            },
        )?;
        let skipped = size - self.outer();
        let variances = |range: std::ops::Range<usize>| {
            range.map(|i| sigma[i * (size + 1)]).collect::<Vec<_>>()
        };
        let parts = self.parts(dynamics, &jacobian, &covariance, horizon, &equilibrium);
        let noise_dominated_from = parts.iter().position(|(start, made)| made >= start);
        let (simulated_regret, standard_error) =
            self.simulate(dynamics, a, b, noise, steps, seed, &equilibrium)?;
        Ok(Stationary {
            dynamics,
            regret: self.sustained(&sigma, size),
            simulated_regret,
            standard_error,
            outer_variance: variances(skipped..size),
            inner_variance: variances(0..skipped),
            noise_dominated_from: noise_dominated_from.map(|step| step as u32),
            parts,
        })
    }

    /// ½tr(AᵀGA·Cov λ).
    fn sustained(&self, sigma: &[f64], size: usize) -> f64 {
        let p = self.outer();
        let skipped = size - p;
        let terms = (0..p * p).map(|place| {
            let (i, j) = (place / p, place % p);
            self.value_curvature()[place] * sigma[(skipped + i) * size + skipped + j]
        });
        0.5 * myopia_core::sum::sum(terms)
    }

    /// The covariance of the noise of one step.
    pub fn covariance(&self, dynamics: Dynamics, a: f64, b: f64, noise: Noise) -> Vec<f64> {
        let (d, p, size) = (self.inner(), self.outer(), self.size(dynamics));
        let mut covariance = vec![0.0; size * size];
        let skipped = size - p;
        for i in skipped..size {
            covariance[i * (size + 1)] = b * b * noise.outer;
        }
        if dynamics == Dynamics::Stackelberg {
            return covariance;
        }
        // Columns of [−aI; abAᵀG]·C·[…]ᵀ; where the outer player sees the old w the lower block is
        // zero.
        let mut inner = vec![0.0; d * d];
        for i in 0..d {
            for j in 0..d {
                inner[i * d + j] = noise.inner
                    * match noise.shape {
                        InnerNoise::Constant => f64::from(u8::from(i == j)),
                        InnerNoise::Curvature => self.hessian()[i * d + j],
                    };
            }
        }
        let mut map = vec![0.0; size * d];
        for i in 0..d {
            map[i * d + i] = -a;
        }
        if dynamics == Dynamics::Alternating {
            for (entry, pull) in map[d * d..].iter_mut().zip(self.pull()) {
                *entry = a * b * pull;
            }
        }
        let mut half = vec![0.0; size * d];
        linear::product(&map, &inner, d, d, &mut half);
        for i in 0..size {
            for j in 0..size {
                covariance[i * size + j] += dot(&half[i * d..][..d], &map[j * d..][..d]);
            }
        }
        covariance
    }

    /// The two parts of the expected regret before each step.
    fn parts(
        &self,
        dynamics: Dynamics,
        jacobian: &[f64],
        covariance: &[f64],
        horizon: u32,
        equilibrium: &[f64],
    ) -> Vec<(f64, f64)> {
        let size = self.size(dynamics);
        let skipped = size - self.outer();
        let best = self.problem().a.times(equilibrium);
        let mut mean = minus(&self.problem().w, &best);
        mean.truncate(skipped);
        mean.extend(minus(&self.problem().lambda, equilibrium));
        let mut sigma = vec![0.0; size * size];
        let (mut half, mut next) = (sigma.clone(), mean.clone());
        let zero = vec![0.0; self.outer()];
        let mut parts = Vec::new();
        for _ in 0..=horizon {
            let left = self.regret(&mean[skipped..], &zero);
            parts.push((left, self.sustained(&sigma, size)));
            linear::multiply(jacobian, &mean, &mut next);
            std::mem::swap(&mut mean, &mut next);
            linear::product(jacobian, &sigma, size, size, &mut half);
            for i in 0..size {
                for j in 0..size {
                    sigma[i * size + j] =
                        dot(&half[i * size..][..size], &jacobian[j * size..][..size])
                            + covariance[i * size + j];
                }
            }
        }
        parts
    }

    /// The mean regret of a noisy run begun at the equilibrium, and its standard error.
    #[expect(clippy::too_many_arguments, reason = "each is one number of the experiment")]
    fn simulate(
        &self,
        dynamics: Dynamics,
        a: f64,
        b: f64,
        noise: Noise,
        steps: u32,
        seed: u64,
        equilibrium: &[f64],
    ) -> Result<(f64, f64), Error> {
        let (d, p) = (self.inner(), self.outer());
        let mut rng = Pcg32::new(seed, 41 + dynamics as u64);
        let mut root = self.hessian().to_vec();
        cholesky::factor(&mut root, d).map_err(|e| Error::NotPositiveDefinite {
            name: "H".to_owned(),
            reason: e.to_string(),
        })?;
        let mut lambda = equilibrium.to_vec();
        let mut w = self.problem().a.times(&lambda);
        let length = steps / BATCHES;
        let mut means = Vec::new();
        // As many steps as are counted go first, to forget the start.
        for batch in 0..2 * BATCHES {
            let mut total = myopia_core::sum::Sum::default();
            for _ in 0..length {
                let drawn: Vec<f64> = (0..d).map(|_| rng.normal::<f64>()).collect();
                let size = Libm::sqrt(noise.inner);
                let inner: Vec<f64> = match noise.shape {
                    InnerNoise::Constant => drawn.iter().map(|x| size * x).collect(),
                    InnerNoise::Curvature => (0..d)
                        .map(|i| size * dot(&root[i * d..][..i + 1], &drawn[..i + 1]))
                        .collect(),
                };
                let size = Libm::sqrt(noise.outer);
                let outer: Vec<f64> = (0..p).map(|_| size * rng.normal::<f64>()).collect();
                self.step(dynamics, a, b, &mut w, &mut lambda, Some((&inner, &outer)));
                total.add(self.regret(&lambda, equilibrium));
            }
            if batch >= BATCHES {
                means.push(total.total() / f64::from(length));
            }
        }
        let mean = myopia_core::sum::sum(means.iter().copied()) / f64::from(BATCHES);
        let apart = means.iter().map(|m| (m - mean) * (m - mean));
        let variance = myopia_core::sum::sum(apart) / f64::from(BATCHES - 1);
        Ok((mean, Libm::sqrt(variance / f64::from(BATCHES))))
    }
}
