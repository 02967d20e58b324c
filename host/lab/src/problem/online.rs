//! Short unrolls from where a run stands, and the learning rate and momentum that follow their
//! derivatives.

use myopia_backend::{HeapBatch, StoredModel, restore_float_control};
use myopia_core::dual::Dual;
use myopia_core::elementary::{Elementary, Libm};
use myopia_core::online::{RateAndDamping, ShortLookAhead};
use myopia_core::optimizer::Sgd;
use myopia_core::real::Real;
use myopia_core::sampler::Sampler;
use myopia_core::unroll::Diverged;

use super::inner_problem::PLAIN;
use super::{Problem, Sets, TrainingRun};
use crate::outer::OuterOptimizer;
use crate::precision::{Float, Precision, in_precision};

/// Effective rate and damping in the float of a run, widened to `f64`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdaptedRate {
    precision: Precision,
    inner: RateAndDamping<f64>,
}

/// A pair of the float `T`.
fn narrow<T: Real>(wide: RateAndDamping<f64>) -> RateAndDamping<T> {
    let RateAndDamping { effective_rate, damping } = wide;
    let [effective_rate, damping] = [effective_rate, damping].map(T::from_f64);
    RateAndDamping { effective_rate, damping }
}

impl AdaptedRate {
    /// That of a learning rate α > 0 and a momentum μ in 0..1.
    pub fn new(precision: Precision, learning_rate: f64, momentum: f64) -> Self {
        let inner = in_precision!(precision, T => {
            let exact = RateAndDamping::new(T::from_f64(learning_rate), T::from_f64(momentum));
            let RateAndDamping { effective_rate, damping } = exact;
            RateAndDamping { effective_rate: effective_rate.to_f64(), damping: damping.to_f64() }
        });
        Self { precision, inner }
    }

    /// η = α/(1 − μ).
    pub fn effective_rate(self) -> f64 {
        self.inner.effective_rate
    }

    /// α.
    pub fn learning_rate(self) -> f64 {
        in_precision!(self.precision, T => narrow::<T>(self.inner).learning_rate().to_f64())
    }

    /// μ.
    pub fn momentum(self) -> f64 {
        in_precision!(self.precision, T => narrow::<T>(self.inner).momentum().to_f64())
    }

    /// The same after one meta-step along `gradient`, the derivatives by η and 1 − μ, all finite.
    pub fn adapted(self, outer: &mut OuterOptimizer<2>, gradient: [f64; 2]) -> Self {
        let RateAndDamping { effective_rate, damping } = self.inner;
        let [effective_rate, damping] = outer.update([effective_rate, damping], gradient);
        Self { inner: RateAndDamping { effective_rate, damping }, ..self }
    }
}

/// Short unrolls of one problem, each from where a run stands, on batches of their own.
pub trait ShortUnroll: Send {
    /// The mean loss of the last batch after the steps, in nats, its tangents the derivatives by η
    /// and 1 − μ.
    ///
    /// # Errors
    /// When a step or the loss leaves the finite range.
    fn unroll(
        &mut self,
        run: &mut dyn TrainingRun,
        rate: AdaptedRate,
    ) -> Result<Dual<f64, 2>, Diverged>;

    /// Passes over the batches of one unroll.
    fn skip(&mut self);
}

/// Short unrolls in the float `T`.
pub(super) struct Unroll<'a, T: Float> {
    pub ahead: ShortLookAhead,
    pub sets: &'a Sets<T>,
    pub model: Box<dyn StoredModel<T, 3, Sgd<Dual<T, 3>, Dual<T, 3>>>>,
    pub batch: HeapBatch<T>,
    pub sampler: Sampler<Vec<u32>>,
}

impl<'a, T: Float> Unroll<'a, T>
where
    Libm: Elementary<T>,
{
    pub fn new(problem: &'a Problem<'a>, ahead: ShortLookAhead) -> Self {
        assert!(!problem.is_normalised, "{PLAIN}");
        let make = T::models(problem.isa).momentum;
        Self {
            ahead,
            sets: T::sets(problem.data).expect("data are in the problem's float"),
            model: problem.model(make),
            batch: HeapBatch::new(&problem.layers, problem.batch),
            sampler: problem.look_ahead_sampler(),
        }
    }
}

impl<T: Float> ShortUnroll for Unroll<'_, T>
where
    Libm: Elementary<T>,
{
    fn unroll(
        &mut self,
        run: &mut dyn TrainingRun,
        rate: AdaptedRate,
    ) -> Result<Dual<f64, 2>, Diverged> {
        restore_float_control();
        let [parameters, velocity] = [run.parameters(), run.state()].map(|numbers| {
            let values = T::values(&numbers).expect("a run is in its problem's float");
            values.iter().map(|&x| Dual::constant(x)).collect::<Vec<_>>()
        });
        self.model.load(&parameters, &velocity);
        let mut batch = self.batch.batch();
        let examples = &self.sets.training;
        let (model, sampler) = (&mut *self.model, &mut self.sampler);
        let found = self.ahead.run(model, &mut batch, sampler, examples, narrow(rate.inner))?;
        let [by_rate, by_damping, _] = found.tangents.map(T::to_f64);
        Ok(Dual { value: found.value.to_f64(), tangents: [by_rate, by_damping] })
    }

    fn skip(&mut self) {
        for _ in 0..self.ahead.batches_drawn() {
            self.sampler.next_batch(self.ahead.batch);
        }
    }
}
