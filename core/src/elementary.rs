//! exp, ln, pow and sqrt as a trait: [`Libm`] (< 1 ulp) or [`Micromath`] (`f32`, error ~10⁻³).
//!
//! [`Libm`] is the project's own choice on every target: the `libm` crate at a pinned version.
//! [`Micromath`] is fast and approximate, for devices without a floating-point unit; it is used
//! where a caller names it and nowhere else. Both are called as free functions, because a trait
//! method such as `x.exp()` is shadowed by the platform's own as soon as `std` is linked.

/// A source of elementary functions over `T`.
pub trait Elementary<T>: Copy + Send + Sync + 'static {
    /// The name that appears in reports.
    const NAME: &'static str;
    /// e to the power `x`.
    fn exp(x: T) -> T;
    /// The natural logarithm of `x`.
    fn ln(x: T) -> T;
    /// `base` to the power `exponent`.
    fn pow(base: T, exponent: T) -> T;
    /// The square root of `x`.
    fn sqrt(x: T) -> T;
}

/// The `libm` crate: errors below one unit in the last place, the same bits on every target.
#[derive(Clone, Copy, Debug)]
pub enum Libm {}

impl Elementary<f32> for Libm {
    const NAME: &'static str = "libm";
    fn exp(x: f32) -> f32 {
        libm::expf(x)
    }
    fn ln(x: f32) -> f32 {
        libm::logf(x)
    }
    fn pow(base: f32, exponent: f32) -> f32 {
        libm::powf(base, exponent)
    }
    fn sqrt(x: f32) -> f32 {
        libm::sqrtf(x)
    }
}

impl Elementary<f64> for Libm {
    const NAME: &'static str = "libm";
    fn exp(x: f64) -> f64 {
        libm::exp(x)
    }
    fn ln(x: f64) -> f64 {
        libm::log(x)
    }
    fn pow(base: f64, exponent: f64) -> f64 {
        libm::pow(base, exponent)
    }
    fn sqrt(x: f64) -> f64 {
        libm::sqrt(x)
    }
}

/// The `micromath` crate: `f32` only, errors of a few parts in a thousand, the same bits on every
/// target.
#[cfg(feature = "micromath")]
#[derive(Clone, Copy, Debug)]
pub enum Micromath {}

#[cfg(feature = "micromath")]
impl Elementary<f32> for Micromath {
    const NAME: &'static str = "micromath";
    fn exp(x: f32) -> f32 {
        micromath::F32(x).exp().0
    }
    fn ln(x: f32) -> f32 {
        micromath::F32(x).ln().0
    }
    fn pow(base: f32, exponent: f32) -> f32 {
        micromath::F32(base).powf(micromath::F32(exponent)).0
    }
    fn sqrt(x: f32) -> f32 {
        micromath::F32(x).sqrt().0
    }
}
