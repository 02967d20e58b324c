//! Object-safe traits: `Evaluate` (summed loss in nats, correct count), `Model` (one SGD step).

use super::batch::Batch;
use super::error::NonFinite;
use super::factor::Coefficient;
use super::network::Network;
use super::softmax::Evaluation;
use crate::backend::{Backend, Scalar};
use crate::dual::Dual;
use crate::elementary::Elementary;
use crate::real::Real;

/// A model of P tangents in the float `T` that can be evaluated on a batch.
pub trait Evaluate<T: Real, const P: usize> {
    /// The loss of `batch`, summed over its examples, in nats, and how many it classifies
    /// correctly.
    fn evaluate(&mut self, batch: &Batch<'_, T>) -> Evaluation<T, P>;
}

/// A model of P tangents in the float `T`, trained by SGD whose momentum is a `M`: a float, or a
/// [`Dual`] with tangents.
///
/// Everything above it (unrolls, descents, studies) is written over this trait, and compiled once
/// for all backends where it is used as `dyn Model`.
pub trait Model<T: Real, const P: usize, M = T>: Evaluate<T, P> {
    /// One step of SGD with momentum on `batch`: the batch's mean loss before the step, in nats.
    ///
    /// # Errors
    /// When the loss, a parameter or a tangent of them is no longer finite; the parameters are then
    /// of no further use.
    fn step(
        &mut self,
        batch: &Batch<'_, T>,
        learning_rate: Dual<T, P>,
        momentum: M,
    ) -> Result<Dual<T, P>, NonFinite>;
}

impl<G, E, const P: usize> Evaluate<Scalar<G>, P> for Network<'_, G, P, E>
where
    G: Backend,
    E: Elementary<Scalar<G>>,
{
    fn evaluate(&mut self, batch: &Batch<'_, Scalar<G>>) -> Evaluation<Scalar<G>, P> {
        Network::evaluate(self, batch)
    }
}

impl<G, E, M, const P: usize> Model<Scalar<G>, P, M> for Network<'_, G, P, E>
where
    G: Backend,
    E: Elementary<Scalar<G>>,
    M: Coefficient<G::Vector, P>,
{
    fn step(
        &mut self,
        batch: &Batch<'_, Scalar<G>>,
        learning_rate: Dual<Scalar<G>, P>,
        momentum: M,
    ) -> Result<Dual<Scalar<G>, P>, NonFinite> {
        Network::step(self, batch, learning_rate, momentum)
    }
}
