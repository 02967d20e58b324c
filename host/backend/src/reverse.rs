//! `ReversibleModel`: object-safe model that trains forward and steps back, with room for points
//! of its run.

use myopia_core::backend::Scalar;
use myopia_core::dual::Dual;
use myopia_core::elementary::Elementary;
use myopia_core::mlp::{
    Adjoints, Batch, HeapNetwork, InvalidNetwork, KeepGradient, Lengths, NonFinite, Slots, Taken,
    Transpose, Update, Values,
};
use myopia_core::optimizer::DERIVATIVES;
use myopia_core::real::Real;
use myopia_core::vector::Vector;

use crate::model::{HostBackend, OnHeap, StoredModel, WithRoot};

/// A model without tangents that is trained by steps whose coefficients are a `U`, and whose steps
/// are taken back by a `B`.
pub trait ReversibleModel<T: Real, U, B>: Send {
    /// The model, where the run stands.
    fn model(&mut self) -> &mut dyn StoredModel<T, 0, U>;
    /// Bytes of a saved point, with its state or without.
    fn bytes_of_a_point(&self, with_state: bool) -> u64;
    /// About how many bytes everything else takes.
    fn bytes(&self) -> u64;
    /// Saves the parameters as point number `point`, and their state if the run is to be restored
    /// from there or the step back depends on it.
    fn save(&mut self, point: usize, with_state: bool);
    /// Puts parameters and state of a point saved with its state into place.
    fn restore(&mut self, point: usize);
    /// Sets all adjoints to zero.
    fn begin_back(&mut self);
    /// Adds `weight` times the gradient of the mean loss of `batch`, where the run stands, to the
    /// adjoints of the parameters.
    ///
    /// # Errors
    /// When the loss or the gradient is not finite.
    fn add_gradient(&mut self, batch: &Batch<'_, T>, weight: T) -> Result<(), NonFinite>;
    /// Takes a step on `batch` back: `this` are its coefficients, and the point that has the values
    /// before it, if they are not those where the run stands. `next` are the coefficients and the
    /// point of the step that the next call takes back, if it has one. `by` becomes the derivatives
    /// by the coefficients: one element of all layers together, or one of each layer.
    ///
    /// # Errors
    /// When one of them leaves the finite range.
    fn step_back(
        &mut self,
        batch: &Batch<'_, T>,
        this: (StepOfLayers<'_, B>, Option<usize>),
        next: Option<(StepOfLayers<'_, B>, usize)>,
        by: &mut [[T; DERIVATIVES]],
    ) -> Result<(), NonFinite>;
    /// The adjoints of the parameters and then of their state, in the order of
    /// [`StoredModel::load`]; where the run stands is lost.
    fn take_adjoints(&mut self) -> Vec<T>;
}

/// The coefficients of a step back in each layer, number 0 being the lowest.
pub type StepOfLayers<'a, B> = &'a dyn Fn(usize) -> B;

/// Parameters and state of one point, or their adjoints.
struct Stored<V, const S: usize> {
    parameters: Vec<Dual<V, 0>>,
    state: Vec<Slots<Dual<V, 0>, S>>,
}

impl<V, const S: usize> Default for Stored<V, S> {
    fn default() -> Self {
        Self { parameters: Vec::new(), state: Vec::new() }
    }
}

impl<V: Vector, const S: usize> Stored<V, S> {
    fn copy(&mut self, values: Values<'_, V, S>, with_state: bool) {
        self.parameters.clear();
        self.parameters.extend_from_slice(values.parameters);
        self.state.clear();
        if with_state {
            self.state.extend_from_slice(values.state);
        }
    }

    fn values(&self) -> Values<'_, V, S> {
        Values { parameters: &self.parameters, state: &self.state }
    }
}

/// A network that steps back, in heap storage, on one backend.
pub(crate) struct Reversible<G: HostBackend, const S: usize, const D: usize> {
    forward: OnHeap<G, 0, S>,
    plain: HeapNetwork<G::Vector, 0, 0>,
    tangent: HeapNetwork<G::Vector, 1, 0>,
    points: Vec<Stored<G::Vector, S>>,
    adjoints: Stored<G::Vector, S>,
    /// True if `tangent` has the directions of the step that is taken back next.
    seeded: bool,
    sums: Vec<[G::Vector; D]>,
    /// Of each layer.
    by: Vec<[Scalar<G>; D]>,
    lengths: Lengths,
}

impl<G: HostBackend, const S: usize, const D: usize> Reversible<G, S, D>
where
    WithRoot: Elementary<Scalar<G>>,
{
    pub fn new(sizes: &[usize], batch: usize) -> Result<Box<Self>, InvalidNetwork> {
        let forward = OnHeap::new(sizes, batch)?;
        Ok(Box::new(Self {
            forward: *forward,
            plain: HeapNetwork::new(sizes, batch)?,
            tangent: HeapNetwork::new(sizes, batch)?,
            points: Vec::new(),
            adjoints: Stored::default(),
            seeded: false,
            sums: vec![[G::Vector::default(); D]; Adjoints::<G::Vector, S, D>::units(sizes)],
            by: vec![[Scalar::<G>::ZERO; D]; sizes.len()],
            lengths: Lengths::new(sizes, batch, G::Vector::LANES),
        }))
    }
}

/// The values before a step back: of a saved point, or where the run stands.
fn before<'a, G: HostBackend, const S: usize>(
    points: &'a [Stored<G::Vector, S>],
    point: Option<usize>,
    forward: &'a mut myopia_core::mlp::Network<'_, G, 0, WithRoot, S>,
) -> Values<'a, G::Vector, S>
where
    WithRoot: Elementary<Scalar<G>>,
{
    match point.and_then(|point| points.get(point)) {
        Some(point) => point.values(),
        None => forward.values(),
    }
}

impl<G, U, B, const S: usize, const D: usize> ReversibleModel<Scalar<G>, U, B>
    for Reversible<G, S, D>
where
    G: HostBackend,
    U: Update<G::Vector, 0, S, WithRoot> + 'static,
    B: Transpose<G::Vector, S, D, WithRoot>,
    WithRoot: Elementary<Scalar<G>>,
{
    fn model(&mut self) -> &mut dyn StoredModel<Scalar<G>, 0, U> {
        &mut self.forward
    }

    fn bytes_of_a_point(&self, with_state: bool) -> u64 {
        let planes = if with_state { 1 + S } else { 1 };
        (self.lengths.parameters * size_of::<G::Vector>() * planes) as u64
    }

    fn bytes(&self) -> u64 {
        let Lengths { parameters, activations, transposed, active_entries, .. } = self.lengths;
        let vector = size_of::<G::Vector>();
        // Planes of parameters: run, gradient, the tangent network, adjoints.
        let of_parameters = parameters * ((1 + S) + 1 + 2 + (1 + S));
        let of_a_batch = (activations + transposed) * 4;
        let entries = active_entries * (2 * 8 + 4 * size_of::<Scalar<G>>());
        ((of_parameters + of_a_batch) * vector + entries) as u64
    }

    fn save(&mut self, point: usize, with_state: bool) {
        if self.points.len() <= point {
            self.points.resize_with(point + 1, Stored::default);
        }
        self.points[point].copy(self.forward.network().values(), with_state);
    }

    fn restore(&mut self, point: usize) {
        self.forward.network().load_values(self.points[point].values());
    }

    fn begin_back(&mut self) {
        let Stored { parameters, state } = &mut self.adjoints;
        parameters.clear();
        parameters.resize(self.lengths.parameters, Dual::default());
        state.clear();
        state.resize(self.lengths.state, Slots::default());
        self.seeded = false;
    }

    fn add_gradient(
        &mut self,
        batch: &Batch<'_, Scalar<G>>,
        weight: Scalar<G>,
    ) -> Result<(), NonFinite> {
        let backend = self.forward.backend();
        let mut plain = self.plain.network_with::<G, WithRoot>(backend);
        plain.load_parameters(self.forward.network().values().parameters);
        plain.step(batch, KeepGradient)?;
        let Stored { parameters, state } = &mut self.adjoints;
        let (sums, seeded) = (&mut self.sums[..], &mut self.seeded);
        let mut adjoints = Adjoints { parameters, state, sums, seeded };
        adjoints.add_gradient(&mut plain, weight);
        Ok(())
    }

    fn step_back(
        &mut self,
        batch: &Batch<'_, Scalar<G>>,
        (step, point): (StepOfLayers<'_, B>, Option<usize>),
        next: Option<(StepOfLayers<'_, B>, usize)>,
        by: &mut [[Scalar<G>; DERIVATIVES]],
    ) -> Result<(), NonFinite> {
        let backend = self.forward.backend();
        let mut tangent = self.tangent.network_with::<G, WithRoot>(backend);
        let mut plain = self.plain.network_with::<G, WithRoot>(backend);
        let mut forward = self.forward.network();
        let at = before(&self.points, point, &mut forward);
        let next = next.map(|(step, point)| Taken { step, at: self.points[point].values() });
        let Stored { parameters, state } = &mut self.adjoints;
        let (sums, seeded) = (&mut self.sums[..], &mut self.seeded);
        let mut adjoints = Adjoints { parameters, state, sums, seeded };
        let found = &mut self.by[..by.len()];
        match found {
            [all] => {
                let this = Taken { step: step(0), at };
                let next = next.map(|next| Taken { step: (next.step)(0), at: next.at });
                *all = tangent.step_back(&mut plain, batch, this, next, &mut adjoints)?;
            }
            _ => {
                let this = Taken { step, at };
                let adjoints = &mut adjoints;
                tangent.step_back_by_layer(&mut plain, batch, this, next, adjoints, found)?;
            }
        }
        for (all, found) in by.iter_mut().zip(found) {
            *all = [Scalar::<G>::ZERO; DERIVATIVES];
            all.iter_mut().zip(found).for_each(|(all, found)| *all = *found);
        }
        Ok(())
    }

    fn take_adjoints(&mut self) -> Vec<Scalar<G>> {
        let mut network = self.forward.network();
        network.load_values(self.adjoints.values());
        network.parameters().chain(network.state()).map(|number| number.value).collect()
    }
}

/// A function that makes a reversible model with layers of these sizes, for batches of at most so
/// many examples.
pub type MakeReversible<T, U, B> =
    fn(&[usize], usize) -> Result<Box<dyn ReversibleModel<T, U, B>>, InvalidNetwork>;
