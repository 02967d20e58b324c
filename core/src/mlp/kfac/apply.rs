//! What is done with one layer's parameters around the solutions: its gradient is taken out of
//! their state, U put into its place, and the parameters moved.

use crate::backend::Kernel;
use crate::dual::Dual;
use crate::mlp::layout::Slots;
use crate::mlp::update::UpdateRule;
use crate::real::Real;
use crate::sum::Sum;
use crate::vector::Vector;

/// Copies the gradient, to which the coupled weight decay is added in both places.
pub struct Gather<'a, V: Vector, const P: usize> {
    /// Rows of the parameters: inputs + 1, the biases last.
    pub rows: usize,
    /// ξ, where there is one.
    pub decay: Option<Dual<V, P>>,
    pub parameters: &'a [Dual<V, P>],
    pub state: &'a mut [Slots<Dual<V, P>, 2>],
    pub to: &'a mut [Dual<V, P>],
}

impl<V: Vector, const P: usize> Kernel for Gather<'_, V, P> {
    type Output = ();

    fn label(&self) -> &'static str {
        "gradients"
    }

    #[inline(always)]
    fn run(self) {
        let rows = self.rows.max(1);
        let panels = self.parameters.chunks_exact(rows).zip(self.state.chunks_exact_mut(rows));
        for ((parameters, state), to) in panels.zip(self.to.chunks_exact_mut(rows)) {
            let each = parameters.iter().zip(state).zip(to).enumerate();
            for (row, ((theta, Slots([_, gradient])), to)) in each {
                if let Some(decay) = self.decay
                    && row + 1 < rows
                {
                    *gradient = *gradient + *theta * decay;
                }
                *to = *gradient;
            }
        }
    }
}

/// Puts U in the place of the gradient G; returns ⟨U, G⟩.
pub struct Scatter<'a, V: Vector, const P: usize> {
    pub rows: usize,
    pub units: usize,
    /// U.
    pub from: &'a [Dual<V, P>],
    pub state: &'a mut [Slots<Dual<V, P>, 2>],
}

impl<V: Vector, const P: usize> Kernel for Scatter<'_, V, P> {
    type Output = Dual<V::Scalar, P>;

    fn label(&self) -> &'static str {
        "directions"
    }

    #[inline(always)]
    fn run(self) -> Self::Output {
        let rows = self.rows.max(1);
        let panels = self.from.chunks_exact(rows).zip(self.state.chunks_exact_mut(rows));
        let mut total = Sum::default();
        for (first, (from, state)) in (0..self.units).step_by(V::LANES).zip(panels) {
            let mut along = Dual::<V, P>::constant(V::splat(V::Scalar::ZERO));
            for (from, Slots([_, gradient])) in from.iter().zip(state) {
                along = along + *from * *gradient;
                *gradient = *from;
            }
            for lane in 0..V::LANES.min(self.units - first) {
                total.add(along.lane(lane));
            }
        }
        total.total()
    }
}

/// Moves the parameters by `rule` along the U in their state; returns 0·(sum of what was updated).
pub struct Apply<'a, V: Vector, R, const P: usize> {
    pub rows: usize,
    pub rule: R,
    pub parameters: &'a mut [Dual<V, P>],
    pub state: &'a mut [Slots<Dual<V, P>, 2>],
}

impl<V: Vector, R: UpdateRule<V, P, 2>, const P: usize> Kernel for Apply<'_, V, R, P> {
    type Output = Dual<V, P>;

    fn label(&self) -> &'static str {
        "updates"
    }

    #[inline(always)]
    fn run(self) -> Dual<V, P> {
        let rows = self.rows.max(1);
        let of_biases = self.rule.for_biases();
        let panels = self.parameters.chunks_exact_mut(rows).zip(self.state.chunks_exact_mut(rows));
        let mut probe = Dual::default();
        for (parameters, state) in panels {
            for (row, (theta, Slots(state))) in parameters.iter_mut().zip(state).enumerate() {
                let rule = if row + 1 < rows { &self.rule } else { &of_biases };
                let [_, along] = *state;
                let updated = rule.apply(theta, along, state);
                probe = probe + updated.scaled(V::splat(V::Scalar::ZERO));
            }
        }
        probe
    }
}
