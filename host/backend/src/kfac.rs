//! A network in heap storage that is trained by K-FAC.

use myopia_core::backend::{Backend, Scalar};
use myopia_core::digest::{Digest, NotANumber};
use myopia_core::dual::Dual;
use myopia_core::elementary::Elementary;
use myopia_core::kfac::KfacStep;
use myopia_core::mlp::{
    Batch, Evaluate, Evaluation, HeapKfac, InvalidNetwork, KfacNetwork, Model, NonFinite,
};
use myopia_core::optimizer::Step;

use crate::model::{HostBackend, OnHeap, StoredModel, WithRoot};

/// A network with the storage of K-FAC, on one backend.
///
/// Its state are for each parameter the velocity and the last direction, and then the statistics
/// and their factors.
pub(crate) struct KfacOnHeap<G: Backend, const P: usize> {
    plain: OnHeap<G, P, 2>,
    storage: HeapKfac<G::Vector, P>,
}

/// The coefficients of one step.
type Update<G, const P: usize> = KfacStep<Dual<Scalar<G>, P>, Scalar<G>>;

impl<G: HostBackend, const P: usize> KfacOnHeap<G, P>
where
    WithRoot: Elementary<Scalar<G>>,
{
    pub(crate) fn new(sizes: &[usize], batch: usize) -> Result<Box<Self>, InvalidNetwork> {
        let plain = *OnHeap::new(sizes, batch)?;
        Ok(Box::new(Self { plain, storage: HeapKfac::new(sizes, batch)? }))
    }

    fn network(&mut self) -> KfacNetwork<'_, G, P, WithRoot> {
        self.storage.with(self.plain.network()).expect("both have the same sizes")
    }

    /// The network as any optimiser of two slots sees it.
    fn plain(&mut self) -> &mut dyn StoredModel<Scalar<G>, P, Step<Dual<Scalar<G>, P>>> {
        &mut self.plain
    }

    /// Statistics and factors.
    fn factors(&mut self) -> Vec<Dual<Scalar<G>, P>> {
        let mut all = Vec::new();
        self.network().each_factor(|number| all.push(*number));
        all
    }
}

impl<G: HostBackend, const P: usize> Evaluate<Scalar<G>, P> for KfacOnHeap<G, P>
where
    WithRoot: Elementary<Scalar<G>>,
{
    fn evaluate(&mut self, batch: &Batch<'_, Scalar<G>>) -> Evaluation<Scalar<G>, P> {
        self.plain.evaluate(batch)
    }
}

impl<G: HostBackend, const P: usize> Model<Scalar<G>, P, Update<G, P>> for KfacOnHeap<G, P>
where
    WithRoot: Elementary<Scalar<G>>,
{
    fn step(
        &mut self,
        batch: &Batch<'_, Scalar<G>>,
        update: Update<G, P>,
    ) -> Result<Dual<Scalar<G>, P>, NonFinite> {
        self.network().step(batch, update)
    }
}

impl<G: HostBackend, const P: usize> StoredModel<Scalar<G>, P, Update<G, P>> for KfacOnHeap<G, P>
where
    WithRoot: Elementary<Scalar<G>>,
{
    fn step_by_layer(
        &mut self,
        batch: &Batch<'_, Scalar<G>>,
        update: &dyn Fn(usize) -> Update<G, P>,
    ) -> Result<Dual<Scalar<G>, P>, NonFinite> {
        self.network().step_by_layer(batch, update)
    }

    fn load(&mut self, parameters: &[Dual<Scalar<G>, P>], state: &[Dual<Scalar<G>, P>]) {
        let of_parameters = state.len().min(2 * self.plain().parameters().len());
        let (state, factors) = state.split_at(of_parameters);
        self.plain().load(parameters, state);
        let mut factors = factors.iter();
        self.network().each_factor(|number| *number = factors.next().copied().unwrap_or_default());
    }

    fn parameters(&mut self) -> Vec<Dual<Scalar<G>, P>> {
        self.plain().parameters()
    }

    fn state(&mut self) -> Vec<Dual<Scalar<G>, P>> {
        let mut state = self.plain().state();
        state.append(&mut self.factors());
        state
    }

    fn digest_values(&mut self) -> Result<Digest, NotANumber> {
        let mut digest = self.plain().digest_values()?;
        for number in self.factors() {
            digest.add(number.value)?;
        }
        Ok(digest)
    }

    fn digest_tangents(&mut self) -> Result<Digest, NotANumber> {
        let mut digest = self.plain().digest_tangents()?;
        let factors = self.factors();
        for direction in 0..P {
            for number in &factors {
                digest.add(number.tangents[direction])?;
            }
        }
        Ok(digest)
    }

    /// The norm is that of parameters and their state; statistics and factors are divided by it
    /// too.
    fn normalise_tangent(&mut self) -> f64 {
        let norm = self.plain().normalise_tangent();
        let scale = <Scalar<G> as myopia_core::real::Real>::from_f64(norm);
        if scale > Scalar::<G>::default() {
            self.network().each_factor(|number| {
                number.tangents = number.tangents.map(|tangent| tangent / scale);
            });
        }
        norm
    }

    fn carry_tangents(&mut self, shares: [Scalar<G>; P], impulses: [Scalar<G>; P]) {
        self.plain().carry_tangents(shares, impulses);
        let zero = Scalar::<G>::default();
        self.network().each_factor(|number| {
            for (tangent, share) in number.tangents.iter_mut().zip(shares) {
                *tangent = if share == zero { zero } else { *tangent * share };
            }
        });
    }

    fn average(&mut self, gamma: Scalar<G>) {
        self.plain().average(gamma);
    }

    fn swap_average(&mut self) {
        self.plain().swap_average();
    }
}
