//! Batch normalisation before ReLU (Ioffe & Szegedy 2015): the way forward, in training and in
//! evaluation, and the way back.
//!
//! For each unit, with the pre-activations z_b of B examples, its scale γ and its shift β:
//!
//! ```text
//! mean = 1/B Σ_b z_b,  variance = 1/B Σ_b (z_b − mean)²,  i = 1/√(variance + 1e-5)
//! x_b = (z_b − mean) i,  y_b = x_b γ + β
//! running mean ← 0.9 (running mean) + 0.1 mean, and so the variance
//! g = Σ_b δy_b x_b,  s = Σ_b δy_b: the derivatives of the loss by γ and β
//! δz_b = (γ i) ((δy_b − s/B) − x_b (g/B)), with γ before its step
//! ```
//!
//! In evaluation the running mean and variance take the place of those of the batch. Every sum
//! starts at +0 and runs over examples in ascending order; lanes hold different units.

use core::marker::PhantomData;

use super::gemm::PanelPass;
use super::matrix::split_mut;
use super::rule::root;
use super::shape::NORM_ROWS;
use super::transposed::halves;
use super::update::{LayerUpdate, UpdateRule};
use crate::backend::{Backend, Scalar};
use crate::dual::Dual;
use crate::elementary::Elementary;
use crate::real::Real;
use crate::vector::Vector;

/// Added to a variance before its root.
const EPSILON: f64 = 1e-5;
/// What remains of a running average when a batch is added to it.
const KEPT: f64 = 0.9;
/// The share of a batch in a running average.
const NEW: f64 = 0.1;

/// Scale, shift, running mean and variance of one panel of a layer with so many rows of parameters:
/// they lie before the biases.
#[inline(always)]
fn rows_of<B>(parameters: &mut [B], rows: usize, panel: usize) -> Option<&mut [B; NORM_ROWS]> {
    let biases = ((panel + 1) * rows).checked_sub(1)?;
    parameters.get_mut(biases.checked_sub(NORM_ROWS)?..)?.first_chunk_mut()
}

/// The first `examples` rows of a panel of a matrix of `rows` rows.
#[inline(always)]
fn column<B>(elements: &mut [B], rows: usize, panel: usize, examples: usize) -> &mut [B] {
    let panel = elements.get_mut(panel * rows..).unwrap_or_default();
    panel.get_mut(..examples).unwrap_or_default()
}

/// Pre-activations z become scaled and shifted y.
pub struct Normalise<'a, V, E, const P: usize> {
    pub examples: usize,
    /// True if the statistics are those of the batch, and not the running ones.
    pub is_training: bool,
    pub parameters: &'a mut [Dual<V, P>],
    pub parameter_rows: usize,
    /// z, then y.
    pub activations: &'a mut [Dual<V, P>],
    /// x; only in training.
    pub normalised: &'a mut [Dual<V, P>],
    /// Rows of these two.
    pub rows: usize,
    /// i of each unit.
    pub inverse_deviations: &'a mut [Dual<V, P>],
    pub elementary: PhantomData<E>,
}

impl<V: Vector, E: Elementary<V::Scalar>, const P: usize> PanelPass<V, P>
    for Normalise<'_, V, E, P>
{
    /// More than there are: panels one after another.
    const ACCUMULATORS: usize = usize::MAX;
    fn label(&self) -> &'static str {
        "normalisation"
    }
    /// Per example and lane: two sums, a difference, its square, three operations of x and y.
    fn flops(&self, panels: usize) -> u64 {
        (self.examples * panels * V::LANES * (8 + 14 * P)) as u64
    }
    fn resident_bytes(&self) -> usize {
        self.examples * size_of::<Dual<V, P>>()
    }
    fn split(self, panels: usize) -> (Self, Self) {
        let (parameters, of_others) = split_mut(self.parameters, self.parameter_rows, panels);
        let (activations, others) = split_mut(self.activations, self.rows, panels);
        let (normalised, rest) = split_mut(self.normalised, self.rows, panels);
        let (inverse_deviations, more) = split_mut(self.inverse_deviations, 1, panels);
        let second = Self {
            parameters: of_others,
            activations: others,
            normalised: rest,
            inverse_deviations: more,
            ..self
        };
        (Self { parameters, activations, normalised, inverse_deviations, ..self }, second)
    }

    #[inline(always)]
    fn compute<const NR: usize>(&mut self, panel: usize) -> Dual<V, P> {
        for panel in panel..panel + NR {
            self.panel(panel);
        }
        Dual::default()
    }
}

impl<V: Vector, E: Elementary<V::Scalar>, const P: usize> Normalise<'_, V, E, P> {
    #[inline(always)]
    fn panel(&mut self, panel: usize) {
        let z = column(self.activations, self.rows, panel, self.examples);
        let x = column(self.normalised, self.rows, panel, self.examples);
        let Some(inverse) = self.inverse_deviations.get_mut(panel) else { return };
        let Some([scale, shift, running_mean, running_variance]) =
            rows_of(self.parameters, self.parameter_rows, panel)
        else {
            return;
        };
        let number = |x| V::splat(V::Scalar::from_f64(x));
        let epsilon = Dual::constant(number(EPSILON));
        let one = Dual::constant(V::splat(V::Scalar::ONE));
        if !self.is_training {
            let inverse = one / root::<V, E, P>(*running_variance + epsilon);
            for z in z {
                *z = (*z - *running_mean) * inverse * *scale + *shift;
            }
            return;
        }
        let count = V::splat(V::Scalar::from_u32(self.examples as u32));
        let sum = |sum: Dual<V, P>, term: Dual<V, P>| sum + term;
        let mean = z.iter().fold(Dual::default(), |so_far, z| sum(so_far, *z)).divided(count);
        let squares = z.iter().map(|z| (*z - mean) * (*z - mean));
        let variance = squares.fold(Dual::default(), sum).divided(count);
        *inverse = one / root::<V, E, P>(variance + epsilon);
        for (z, x) in z.iter_mut().zip(x) {
            *x = (*z - mean) * *inverse;
            *z = *x * *scale + *shift;
        }
        let (kept, new) = (number(KEPT), number(NEW));
        *running_mean = running_mean.scaled(kept) + mean.scaled(new);
        *running_variance = running_variance.scaled(kept) + variance.scaled(new);
    }
}

/// Errors δy become δz, and the optimiser takes its step for scale and shift.
pub struct NormaliseBack<'a, G: Backend, R, const P: usize, const S: usize> {
    pub examples: usize,
    /// x.
    pub normalised: &'a [Dual<G::Vector, P>],
    /// δy, then δz.
    pub errors: &'a mut [Dual<G::Vector, P>],
    /// Rows of these two.
    pub rows: usize,
    /// i of each unit.
    pub inverse_deviations: &'a [Dual<G::Vector, P>],
    /// By the rule for biases.
    pub update: LayerUpdate<'a, G, R, P, S>,
}

impl<G, R, const P: usize, const S: usize> PanelPass<G::Vector, P> for NormaliseBack<'_, G, R, P, S>
where
    G: Backend,
    R: UpdateRule<G::Vector, P, S>,
{
    /// More than there are: panels one after another.
    const ACCUMULATORS: usize = usize::MAX;
    fn label(&self) -> &'static str {
        "normalisation of errors"
    }
    /// Per example and lane: two sums with a product, four operations of δz.
    fn flops(&self, panels: usize) -> u64 {
        (self.examples * panels * G::Vector::LANES * (7 + 13 * P)) as u64
    }
    fn resident_bytes(&self) -> usize {
        self.examples * size_of::<Dual<G::Vector, P>>()
    }
    fn split(self, panels: usize) -> (Self, Self) {
        let (normalised, rest) = halves(self.normalised, panels * self.rows);
        let (errors, others) = split_mut(self.errors, self.rows, panels);
        let (inverse_deviations, more) = halves(self.inverse_deviations, panels);
        let (first, second) = self.update.split(panels);
        let second = Self {
            normalised: rest,
            errors: others,
            inverse_deviations: more,
            update: second,
            ..self
        };
        (Self { normalised, errors, inverse_deviations, update: first, ..self }, second)
    }

    #[inline(always)]
    fn compute<const NR: usize>(&mut self, panel: usize) -> Dual<G::Vector, P> {
        let mut finite_probe = Dual::default();
        for panel in panel..panel + NR {
            self.panel(panel, &mut finite_probe);
        }
        finite_probe
    }
}

impl<G, R, const P: usize, const S: usize> NormaliseBack<'_, G, R, P, S>
where
    G: Backend,
    R: UpdateRule<G::Vector, P, S>,
{
    #[inline(always)]
    fn panel(&mut self, panel: usize, finite_probe: &mut Dual<G::Vector, P>) {
        let errors = column(self.errors, self.rows, panel, self.examples);
        let normalised = self.normalised.get(panel * self.rows..).unwrap_or_default();
        let Some(inverse) = self.inverse_deviations.get(panel) else { return };
        let rows = self.update.rows;
        let Some([scale, _, running @ ..]) = rows_of(self.update.parameters, rows, panel) else {
            return;
        };
        let (mut by_scale, mut by_shift) = (Dual::default(), Dual::default());
        for (error, x) in errors.iter().zip(normalised) {
            by_scale = by_scale + *error * *x;
            by_shift = by_shift + *error;
        }
        let count = G::Vector::splat(Scalar::<G>::from_u32(self.examples as u32));
        let (along, mean) = (by_scale.divided(count), by_shift.divided(count));
        let factor = *scale * *inverse;
        for (error, x) in errors.iter_mut().zip(normalised) {
            *error = factor * (*error - mean - *x * along);
        }
        for average in running {
            *finite_probe = *finite_probe + average.scaled(G::Vector::splat(Scalar::<G>::ZERO));
        }
        let first = rows.saturating_sub(1 + NORM_ROWS);
        self.update.update(first, panel, [[by_scale], [by_shift]], finite_probe);
    }
}
