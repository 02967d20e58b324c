//! Epilogue of a weight gradient: one layer's parameters and state, updated by an [`UpdateRule`]
//! while the gradient is in registers.

use core::marker::PhantomData;

use super::factor::{Coefficient, Factor};
use super::gemm::zeros;
use super::layout::Slots;
use super::matrix::split_mut;
use super::rule::{InLanes, TunableInLanes};
use crate::backend::{Backend, Kernel};
use crate::dual::Dual;
use crate::elementary::Elementary;
use crate::optimizer::{Sgd, Step, TunableStep};
use crate::real::Real;
use crate::vector::Vector;

/// One step of an optimiser for a block of parameters with S slots of state each.
pub trait UpdateRule<V: Vector, const P: usize, const S: usize>: Copy + Send {
    /// Float operations for each parameter, with P tangents.
    const FLOPS: u64;
    /// True if its code is long, and should stand once in a program: the gradients of a tile then
    /// wait on the stack until the rule is called.
    const IS_LONG: bool = false;
    /// Moves `theta` and `state` one step along `gradient`; returns a number that is finite if all
    /// of them are.
    fn apply(
        &self,
        theta: &mut Dual<V, P>,
        gradient: Dual<V, P>,
        state: &mut [Dual<V, P>; S],
    ) -> Dual<V, P>;
    /// The rule for biases, scale and shift, which do not decay.
    fn for_biases(self) -> Self {
        self
    }
    /// Does `work` by this rule, whatever is the same for all parameters being chosen first.
    #[inline(always)]
    fn decide<W: ByRule<V, P, S>>(&self, work: W) -> Dual<V, P> {
        work.by(self)
    }
}

/// Work on many parameters, compiled for whatever rule it is done by.
pub trait ByRule<V: Vector, const P: usize, const S: usize> {
    /// Does it; returns the finite probe.
    fn by<R: UpdateRule<V, P, S>>(self, rule: &R) -> Dual<V, P>;
}

/// The coefficients of one step, as [`Network::step`](super::Network::step) takes them: scalars,
/// from which the rule in every lane is made.
pub trait Update<V: Vector, const P: usize, const S: usize, E>: Copy + Send {
    /// The rule in every lane.
    type Rule: UpdateRule<V, P, S>;
    /// True if on the way back weights and activations have no tangents, only errors: as if the
    /// network were linear in its parameters.
    const LINEARISED: bool = false;
    /// The rule in every lane.
    fn in_lanes(self) -> Self::Rule;
}

impl<V, E, M, const P: usize> Update<V, P, 1, E> for Sgd<Dual<V::Scalar, P>, M>
where
    V: Vector,
    M: Coefficient<V, P>,
{
    type Rule = Sgd<Dual<V, P>, M::Factor>;
    fn in_lanes(self) -> Self::Rule {
        let learning_rate = Dual::splat(self.learning_rate);
        Sgd { learning_rate, momentum: self.momentum.factor() }
    }
}

impl<V, E, M, const P: usize> Update<V, P, 2, E> for Step<Dual<V::Scalar, P>, M>
where
    V: Vector,
    E: Elementary<V::Scalar>,
    M: Coefficient<V, P>,
{
    type Rule = InLanes<V, P, M::Factor, E>;
    fn in_lanes(self) -> Self::Rule {
        InLanes::new(self)
    }
}

impl<V, E, const P: usize> Update<V, P, 2, E> for TunableStep<V::Scalar, P>
where
    V: Vector,
    E: Elementary<V::Scalar>,
{
    type Rule = TunableInLanes<V, P, E>;
    fn in_lanes(self) -> Self::Rule {
        match self {
            Self::OfRate(step) => TunableInLanes::OfRate(InLanes::new(step)),
            Self::OfAll(step) => TunableInLanes::OfAll(InLanes::new(step)),
        }
    }
}

impl<V: Vector, M: Factor<V, P>, const P: usize> UpdateRule<V, P, 1> for Sgd<Dual<V, P>, M> {
    const FLOPS: u64 = 4 + 6 * P as u64;

    #[inline(always)]
    fn apply(
        &self,
        theta: &mut Dual<V, P>,
        gradient: Dual<V, P>,
        [v]: &mut [Dual<V, P>; 1],
    ) -> Dual<V, P> {
        *v = self.momentum.times(*v) - gradient * self.learning_rate;
        *theta = *theta + *v;
        *theta
    }
}

/// Parameters and state of one layer, updated by gradients in registers.
pub struct LayerUpdate<'a, G: Backend, R, const P: usize, const S: usize> {
    pub backend: G,
    pub rule: R,
    /// Rows of the parameters: weights, what a normalised layer has besides, the biases last.
    pub rows: usize,
    pub parameters: &'a mut [Dual<G::Vector, P>],
    pub state: &'a mut [Slots<Dual<G::Vector, P>, S>],
}

impl<G, R, const P: usize, const S: usize> LayerUpdate<'_, G, R, P, S>
where
    G: Backend,
    R: UpdateRule<G::Vector, P, S>,
{
    /// Float operations: for each parameter the rule and the probe; for each bias the sum over
    /// `examples`.
    pub fn flops(&self, examples: usize, panels: usize) -> u64 {
        let lanes = (panels * G::Vector::LANES) as u64;
        let planes = P as u64 + 1;
        lanes * (self.rows as u64 * (R::FLOPS + 2 * planes) + examples as u64 * planes)
    }

    /// The first `panels` panels, and the others.
    pub fn split(self, panels: usize) -> (Self, Self) {
        let (parameters, others) = split_mut(self.parameters, self.rows, panels);
        let (state, rest) = split_mut(self.state, self.rows, panels);
        let second = Self { parameters: others, state: rest, ..self };
        (Self { parameters, state, ..self }, second)
    }

    /// Updates the weights of NR panels in MR rows from `row` on.
    ///
    /// Adds 0·θ of all updated θ to `finite_probe`, which stays 0 while every θ is finite, else
    /// becomes NaN. It is the caller's so that it stays in a register.
    #[inline(always)]
    pub fn update<const MR: usize, const NR: usize>(
        &mut self,
        row: usize,
        panel: usize,
        gradients: [[Dual<G::Vector, P>; NR]; MR],
        finite_probe: &mut Dual<G::Vector, P>,
    ) {
        if R::IS_LONG {
            return self.call::<NR>(row, panel, gradients.as_flattened(), finite_probe);
        }
        for (r, gradients) in gradients.iter().enumerate() {
            self.update_row(row + r, panel, gradients, finite_probe);
        }
    }

    /// The same for the rows `row` and, if `is_pair`, `row` + 1.
    #[inline(always)]
    pub fn update_pair<const NR: usize>(
        &mut self,
        row: usize,
        panel: usize,
        gradients: [[Dual<G::Vector, P>; NR]; 2],
        is_pair: bool,
        finite_probe: &mut Dual<G::Vector, P>,
    ) {
        if R::IS_LONG {
            let gradients = gradients.as_flattened();
            let gradients = gradients.get(..if is_pair { 2 * NR } else { NR }).unwrap_or_default();
            return self.call::<NR>(row, panel, gradients, finite_probe);
        }
        let [first, second] = gradients;
        self.update_row(row, panel, &first, finite_probe);
        if is_pair {
            self.update_row(row + 1, panel, &second, finite_probe);
        }
    }

    #[inline(always)]
    fn update_row<const NR: usize>(
        &mut self,
        row: usize,
        panel: usize,
        gradients: &[Dual<G::Vector, P>; NR],
        finite_probe: &mut Dual<G::Vector, P>,
    ) {
        for (u, gradient) in gradients.iter().enumerate() {
            let at = (panel + u) * self.rows + row;
            let probe = updated(&self.rule, self.parameters, self.state, at, *gradient);
            *finite_probe = *finite_probe + probe;
        }
    }

    /// Updates rows of NR panels by a long rule.
    #[inline(always)]
    fn call<const NR: usize>(
        &mut self,
        row: usize,
        panel: usize,
        gradients: &[Dual<G::Vector, P>],
        finite_probe: &mut Dual<G::Vector, P>,
    ) {
        let Self { rows, ref rule, .. } = *self;
        let (parameters, state) = (&mut *self.parameters, &mut *self.state);
        let first = [row, panel];
        let tile = Tile { rows, first, panels: NR, gradients, parameters, state };
        // By reference: a rule of a kilobyte copied for each tile takes longer than the tile.
        let call = Call { backend: PhantomData::<G>, rule, tile };
        *finite_probe = *finite_probe + self.backend.call(call);
    }

    /// Updates NR panels of the biases, whose gradient is the sum of the errors over the examples.
    #[inline(always)]
    pub fn update_biases<const NR: usize>(
        &mut self,
        panel: usize,
        errors: &[&[Dual<G::Vector, P>]; NR],
        examples: usize,
        finite_probe: &mut Dual<G::Vector, P>,
    ) {
        let mut sums = zeros::<G::Vector, P, NR>();
        for (sum, errors) in sums.iter_mut().zip(errors) {
            for error in errors.iter().take(examples) {
                *sum = *sum + *error;
            }
        }
        let Self { backend, rows, .. } = *self;
        let (parameters, state) = (&mut *self.parameters, &mut *self.state);
        let rule = self.rule.for_biases();
        LayerUpdate { backend, rule, rows, parameters, state }.update(
            rows.saturating_sub(1),
            panel,
            [sums],
            finite_probe,
        );
    }
}

/// Updates the parameter block at `at`; returns 0·θ.
#[inline(always)]
fn updated<V: Vector, R: UpdateRule<V, P, S>, const P: usize, const S: usize>(
    rule: &R,
    parameters: &mut [Dual<V, P>],
    state: &mut [Slots<Dual<V, P>, S>],
    at: usize,
    gradient: Dual<V, P>,
) -> Dual<V, P> {
    match (parameters.get_mut(at), state.get_mut(at)) {
        (Some(theta), Some(state)) => {
            rule.apply(theta, gradient, &mut state.0).scaled(V::splat(V::Scalar::ZERO))
        }
        _ => Dual::default(),
    }
}

/// Rows of panels to update by a long rule.
struct Tile<'a, V, const P: usize, const S: usize> {
    /// Rows of the parameters.
    rows: usize,
    /// The row and the panel of the first gradient.
    first: [usize; 2],
    /// Panels in a row of gradients.
    panels: usize,
    gradients: &'a [Dual<V, P>],
    parameters: &'a mut [Dual<V, P>],
    state: &'a mut [Slots<Dual<V, P>, S>],
}

impl<V: Vector, const P: usize, const S: usize> ByRule<V, P, S> for Tile<'_, V, P, S> {
    #[inline(always)]
    fn by<R: UpdateRule<V, P, S>>(self, rule: &R) -> Dual<V, P> {
        let Self { rows, first: [mut row, first], panels, gradients, parameters, state } = self;
        let (mut finite_probe, mut panel) = (Dual::default(), first);
        for gradient in gradients {
            let at = panel * rows + row;
            finite_probe = finite_probe + updated(rule, parameters, state, at, *gradient);
            panel += 1;
            if panel == first + panels {
                (row, panel) = (row + 1, first);
            }
        }
        finite_probe
    }
}

/// A tile and the rule to update it by.
struct Call<'a, G: Backend, R, const P: usize, const S: usize> {
    backend: PhantomData<G>,
    rule: &'a R,
    tile: Tile<'a, G::Vector, P, S>,
}

impl<G: Backend, R: UpdateRule<G::Vector, P, S>, const P: usize, const S: usize> Kernel
    for Call<'_, G, R, P, S>
{
    /// The finite probe.
    type Output = Dual<G::Vector, P>;

    #[inline(always)]
    fn run(self) -> Self::Output {
        let Self { rule, tile, .. } = self;
        if G::SPECIALISES { rule.decide(tile) } else { tile.by(rule) }
    }
}
