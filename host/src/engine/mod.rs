//! The instruction sets of the host.

use myopia_core::engine::{Engine, Plain};
use myopia_core::real::Real;
use myopia_core::vector::{F32x8, F64x4, Vector};

/// Work that runs on whichever engine it is given.
pub trait Work<T: Real> {
    /// What it yields.
    type Output;
    /// Does it.
    fn on<G: Engine<Vector: Vector<Scalar = T>>>(self, engine: G) -> Self::Output;
}

/// A float with engines for it.
pub trait Precision: Real + serde::Serialize {
    /// Runs `work`.
    fn run<W: Work<Self>>(work: W) -> W::Output;
}

impl Precision for f32 {
    fn run<W: Work<f32>>(work: W) -> W::Output {
        work.on(Plain::<F32x8>::new())
    }
}

impl Precision for f64 {
    fn run<W: Work<f64>>(work: W) -> W::Output {
        work.on(Plain::<F64x4>::new())
    }
}
