//! Example problem, 8 weights, 3 hyperparameters: approximate hypergradients, then outer descent
//! along the exact one, in fixed storage.

use super::inverse::{conjugate_gradient, neumann, nystrom};
use super::linear::{Operator, Square, multiply, multiply_transposed};
use super::{cholesky, unroll};
use crate::digest::{Digest, NotANumber};
use crate::elementary::{Elementary, Libm};
use crate::real::Real;
use crate::rng::Pcg32;

/// d.
pub const WEIGHTS: usize = 8;
/// p.
pub const HYPERPARAMETERS: usize = 3;
/// Columns of the Nyström approximation.
const RANK: usize = 3;
const SQUARE: usize = WEIGHTS * WEIGHTS;
const MIXED: usize = WEIGHTS * HYPERPARAMETERS;

/// The problem and all that its solvers work in.
#[derive(Clone, Debug)]
pub struct Bilevel<T> {
    hessian: [T; SQUARE],
    factor: [T; SQUARE],
    a: [T; MIXED],
    target: [T; WEIGHTS],
    lambda: [T; HYPERPARAMETERS],
    w: [T; WEIGHTS],
    gradient: [T; WEIGHTS],
    x: [T; WEIGHTS],
    work: [[T; WEIGHTS]; 3],
    columns: [T; RANK * WEIGHTS],
    block: [T; RANK * RANK],
}

/// An outer step before λ moves.
#[derive(Clone, Copy, Debug)]
pub struct Step<T> {
    /// How many came before.
    pub step: u32,
    /// ½|w − w*|² at the best response.
    pub loss: T,
    /// Its exact hypergradient.
    pub hypergradient: [T; HYPERPARAMETERS],
    /// The digest of all numbers so far, λ after this step among them.
    pub digest: u64,
}

/// What the experiment ends in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The digest of all hypergradients and of λ after each outer step.
    pub digest: u64,
    /// The bits of the last outer loss, zero-extended.
    pub loss: u64,
}

/// Why it has no outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failed;

impl From<NotANumber> for Failed {
    fn from(_: NotANumber) -> Self {
        Self
    }
}

impl core::fmt::Display for Failed {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("a number of the bilevel experiment left the finite range")
    }
}

impl core::error::Error for Failed {}

impl<T: Real> Bilevel<T>
where
    Libm: Elementary<T>,
{
    /// The storage; what it holds does not matter.
    #[expect(clippy::new_without_default, reason = "a default would be built on the stack")]
    pub const fn new() -> Self {
        Self {
            hessian: [T::ZERO; SQUARE],
            factor: [T::ZERO; SQUARE],
            a: [T::ZERO; MIXED],
            target: [T::ZERO; WEIGHTS],
            lambda: [T::ZERO; HYPERPARAMETERS],
            w: [T::ZERO; WEIGHTS],
            gradient: [T::ZERO; WEIGHTS],
            x: [T::ZERO; WEIGHTS],
            work: [[T::ZERO; WEIGHTS]; 3],
            columns: [T::ZERO; RANK * WEIGHTS],
            block: [T::ZERO; RANK * RANK],
        }
    }

    /// Draws the problem of `seed`: H = ¼I + BBᵀ/d with B, A and w* uniform in ±1, λ = 0.
    fn draw(&mut self, seed: u64) {
        let mut rng = Pcg32::new(seed, 18);
        let mut uniform = || rng.uniform::<T>() + rng.uniform::<T>() - T::ONE;
        let mut b = [T::ZERO; SQUARE];
        b.iter_mut().chain(&mut self.a).chain(&mut self.target).for_each(|x| *x = uniform());
        self.lambda = [T::ZERO; HYPERPARAMETERS];
        let rows = self.hessian.chunks_exact_mut(WEIGHTS).zip(b.chunks_exact(WEIGHTS));
        for (i, (row, b_row)) in rows.enumerate() {
            multiply(&b, b_row, row);
            for (j, entry) in row.iter_mut().enumerate() {
                *entry = *entry * T::from_f32(0.125);
                if i == j {
                    *entry = *entry + T::from_f32(0.25);
                }
            }
        }
    }

    /// Runs it: at the inner optimum the hypergradient by Cholesky, conjugate gradient (3), Neumann
    /// (10), ten unrolled steps and Nyström (rank 3, ρ = ½), then `steps` outer steps along the
    /// exact one, which `observe` sees.
    ///
    /// # Errors
    /// When a number leaves the finite range.
    pub fn run(
        &mut self,
        seed: u64,
        steps: u32,
        observe: &mut impl FnMut(Step<T>),
    ) -> Result<Outcome, Failed> {
        self.draw(seed);
        let mut digest = Digest::default();
        let step = T::from_f32(0.5);
        self.factor = self.hessian;
        cholesky::factor(&mut self.factor, WEIGHTS).map_err(|_| Failed)?;
        self.respond();
        let hessian = Square { entries: &self.hessian, size: WEIGHTS };
        let [first, second, third] = &mut self.work;

        conjugate_gradient(
            &hessian,
            &self.gradient,
            3,
            T::ZERO,
            &mut self.x,
            [first, second, third],
        )
        .map_err(|_| Failed)?;
        pull(&self.hessian, &self.a, &self.x, first).into_iter().try_for_each(|x| digest.add(x))?;
        neumann(&hessian, &self.gradient, step, 10, &mut self.x, [first, second]);
        pull(&self.hessian, &self.a, &self.x, first).into_iter().try_for_each(|x| digest.add(x))?;
        unroll::adjoint(&hessian, &self.gradient, step, 10, &mut self.x, [first, second]);
        pull(&self.hessian, &self.a, &self.x, first).into_iter().try_for_each(|x| digest.add(x))?;
        let places = [0, 3, 6];
        for (column, place) in self.columns.chunks_exact_mut(WEIGHTS).zip(places) {
            first.fill(T::ZERO);
            if let Some(entry) = first.get_mut(place as usize) {
                *entry = T::ONE;
            }
            hessian.apply(first, column);
        }
        let mut small = [T::ZERO; RANK];
        nystrom(
            &self.columns,
            &places,
            &self.gradient,
            step,
            &mut self.x,
            &mut self.block,
            &mut small,
        )
        .map_err(|_| Failed)?;
        pull(&self.hessian, &self.a, &self.x, first).into_iter().try_for_each(|x| digest.add(x))?;

        let mut loss = T::ZERO;
        for step in 0..steps {
            self.respond();
            loss = T::from_f32(0.5) * super::linear::dot(&self.gradient, &self.gradient);
            self.x = self.gradient;
            cholesky::solve(&self.factor, &mut self.x);
            let hypergradient = pull(&self.hessian, &self.a, &self.x, &mut self.work[0]);
            for (lambda, slope) in self.lambda.iter_mut().zip(hypergradient) {
                *lambda = *lambda - T::from_f32(0.1) * slope;
                digest.add(*lambda)?;
            }
            observe(Step { step, loss, hypergradient, digest: digest.value() });
        }
        if !loss.finite() {
            return Err(Failed);
        }
        Ok(Outcome { digest: digest.value(), loss: loss.bits() })
    }

    /// w = Aλ, and the outer gradient w − w* there (G is the identity).
    fn respond(&mut self) {
        multiply(&self.a, &self.lambda, &mut self.w);
        for ((gradient, w), target) in self.gradient.iter_mut().zip(&self.w).zip(&self.target) {
            *gradient = *w - *target;
        }
    }
}

/// AᵀH·`x`.
fn pull<T: Real>(h: &[T], a: &[T], x: &[T], work: &mut [T]) -> [T; HYPERPARAMETERS] {
    multiply(h, x, work);
    let mut out = [T::ZERO; HYPERPARAMETERS];
    multiply_transposed(a, work, &mut out);
    out
}
