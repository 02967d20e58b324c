//! Object-safe traits: `Evaluate` (summed loss in nats, correct count), `Model` (one step).

use super::batch::Batch;
use super::error::NonFinite;
use super::network::Network;
use super::softmax::Evaluation;
use super::update::Update;
use crate::backend::{Backend, Scalar};
use crate::dual::Dual;
use crate::elementary::Elementary;
use crate::optimizer::Sgd;
use crate::real::Real;

/// A model of P tangents in the float `T` that can be evaluated on a batch.
pub trait Evaluate<T: Real, const P: usize> {
    /// The loss of `batch`, summed over its examples, in nats, and how many it classifies
    /// correctly.
    fn evaluate(&mut self, batch: &Batch<'_, T>) -> Evaluation<T, P>;
}

/// A model of P tangents in the float `T`, trained by steps whose coefficients are a `U`: of SGD
/// with constant momentum unless said otherwise.
///
/// Everything above it (unrolls, descents, studies) is written over this trait, and compiled once
/// for all backends where it is used as `dyn Model`.
pub trait Model<T: Real, const P: usize, U = Sgd<Dual<T, P>, T>>: Evaluate<T, P> {
    /// One step on `batch`: the batch's mean loss before the step, in nats.
    ///
    /// # Errors
    /// When the loss, a parameter or a tangent of them is no longer finite; the parameters are then
    /// of no further use.
    fn step(&mut self, batch: &Batch<'_, T>, update: U) -> Result<Dual<T, P>, NonFinite>;
}

impl<G, E, const P: usize, const S: usize, const N: bool> Evaluate<Scalar<G>, P>
    for Network<'_, G, P, E, S, N>
where
    G: Backend,
    E: Elementary<Scalar<G>>,
{
    fn evaluate(&mut self, batch: &Batch<'_, Scalar<G>>) -> Evaluation<Scalar<G>, P> {
        Network::evaluate(self, batch)
    }
}

impl<G, E, U, const P: usize, const S: usize, const N: bool> Model<Scalar<G>, P, U>
    for Network<'_, G, P, E, S, N>
where
    G: Backend,
    E: Elementary<Scalar<G>>,
    U: Update<G::Vector, P, S, E>,
{
    fn step(
        &mut self,
        batch: &Batch<'_, Scalar<G>>,
        update: U,
    ) -> Result<Dual<Scalar<G>, P>, NonFinite> {
        Network::step(self, batch, update)
    }
}
