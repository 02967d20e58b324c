//! Response of a direction to unit displacement and unit noise; gives its moments (theorem 1).

use core::ops::{Add, Mul, Sub};

use super::model::Direction;
use crate::dual::Dual;
use crate::real::Real;
use crate::vector::Vector;

/// How a direction has responded so far to a unit of initial displacement and to a unit of noise.
///
/// With initial mean m, initial variance s and noise variance σ² (see [`Response::moments`]):
///
/// ```text
/// E[θ] = m·position                      E[v] = m·velocity
/// V[θ] = s·position² + σ²·variance       V[v] = s·velocity² + σ²·velocity_variance
/// Cov[θ, v] = s·position·velocity + σ²·covariance
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[repr(C)]
pub struct Response<N> {
    /// θ when it started at 1 and there is no noise.
    pub position: N,
    /// v when θ started at 1 and there is no noise.
    pub velocity: N,
    /// V\[θ\] when it started at 0 and σ is 1.
    pub variance: N,
    /// Cov\[θ, v\] when θ started at 0 and σ is 1.
    pub covariance: N,
    /// V\[v\] when θ started at 0 and σ is 1.
    pub velocity_variance: N,
}

impl<V: Vector, const P: usize> Response<Dual<V, P>> {
    /// The response before the first step.
    #[inline(always)]
    pub fn initial() -> Self {
        Self { position: Dual::constant(V::splat(V::Scalar::ONE)), ..Self::default() }
    }
}

impl<N: Copy + Add<Output = N> + Sub<Output = N> + Mul<Output = N>> Response<N> {
    /// The response after one more step, `alpha_g` being αg.
    ///
    /// With v' = μv − αg·(θ + ξ), `cross` is Cov\[θ, v'\] and `along` is Cov\[v, v'\].
    #[inline(always)]
    pub fn step(self, alpha_g: N, momentum: N) -> Self {
        let velocity = momentum * self.velocity - alpha_g * self.position;
        let cross = momentum * self.covariance - alpha_g * self.variance;
        let along = momentum * self.velocity_variance - alpha_g * self.covariance;
        let velocity_variance = momentum * along - alpha_g * (cross - alpha_g);
        let covariance = cross + velocity_variance;
        Self {
            position: self.position + velocity,
            velocity,
            variance: self.variance + (cross + covariance),
            covariance,
            velocity_variance,
        }
    }
}

/// The moments of one direction.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Moments<N> {
    /// E\[θ\].
    pub mean: N,
    /// E\[v\].
    pub velocity_mean: N,
    /// V\[θ\].
    pub variance: N,
    /// V\[v\].
    pub velocity_variance: N,
    /// Cov\[θ, v\].
    pub covariance: N,
}

impl<T: Real> Response<T> {
    /// The moments of `direction` when this is its response.
    pub fn moments(self, direction: Direction<T>) -> Moments<T> {
        let Direction {
            noise_variance: noise, initial_mean: mean, initial_variance: variance, ..
        } = direction;
        Moments {
            mean: mean * self.position,
            velocity_mean: mean * self.velocity,
            variance: variance * (self.position * self.position) + noise * self.variance,
            velocity_variance: variance * (self.velocity * self.velocity)
                + noise * self.velocity_variance,
            covariance: variance * (self.position * self.velocity) + noise * self.covariance,
        }
    }
}

impl<V: Vector, const P: usize> Response<Dual<V, P>> {
    /// The response as numbers with `Q` tangents that are zero.
    pub fn constant<const Q: usize>(&self) -> Response<Dual<V, Q>> {
        Response {
            position: Dual::constant(self.position.value),
            velocity: Dual::constant(self.velocity.value),
            variance: Dual::constant(self.variance.value),
            covariance: Dual::constant(self.covariance.value),
            velocity_variance: Dual::constant(self.velocity_variance.value),
        }
    }

    /// The response of the direction in `lane`, without its tangents.
    pub fn lane(&self, lane: usize) -> Response<V::Scalar> {
        Response {
            position: self.position.value.lane(lane),
            velocity: self.velocity.value.lane(lane),
            variance: self.variance.value.lane(lane),
            covariance: self.covariance.value.lane(lane),
            velocity_variance: self.velocity_variance.value.lane(lane),
        }
    }
}
