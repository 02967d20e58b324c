//! Where derivatives end: a run with a tangent, whose growth is the Lyapunov exponent.

use std::ops::Range;

use myopia_core::dual::Dual;
use myopia_core::elementary::{Elementary, Libm};
use myopia_core::exponent::TangentMap;
use myopia_core::rng::Pcg32;
use myopia_core::unroll::Diverged;

use super::run::{Run, RunOptimizer};
use super::{Rates, TrainingRun};
use crate::precision::Float;

/// Why there is no number.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Ended {
    /// Whoever asked for it wants it no more.
    Stopped,
    /// A quantity left the finite range.
    Diverged(Diverged),
}

impl From<Diverged> for Ended {
    fn from(diverged: Diverged) -> Self {
        Self::Diverged(diverged)
    }
}

/// `None` where the work was stopped.
pub(super) fn unless_stopped<N>(found: Result<N, Ended>) -> Result<Option<N>, Diverged> {
    match found {
        Ok(number) => Ok(Some(number)),
        Err(Ended::Stopped) => Ok(None),
        Err(Ended::Diverged(diverged)) => Err(diverged),
    }
}

/// A run with one tangent of parameters and state.
pub(super) struct TangentRun<'a, T: Float, O: RunOptimizer<T, 1>> {
    run: Run<'a, T, 1, O>,
    rates: Rates<'a>,
    go_on: &'a mut dyn FnMut() -> bool,
}

/// Steps between two renormalisations; a tangent grows by less than a float's range in them.
pub(super) const RENORMALISED_EVERY: u32 = 5;

impl<'a, T: Float, O: RunOptimizer<T, 1>> TangentRun<'a, T, O>
where
    Libm: Elementary<T>,
{
    /// `run` with a random tangent of its parameters; neither `rates` nor the optimiser has one.
    ///
    /// The state begins without a tangent: one of the velocity would first be summed up to
    /// 1/(1 − μ) times itself, and a short run would seem to part.
    pub fn new(
        mut run: Run<'a, T, 1, O>,
        rates: Rates<'a>,
        mut rng: Pcg32,
        go_on: &'a mut dyn FnMut() -> bool,
    ) -> Self {
        let random = |mut number: Dual<T, 1>| {
            number.tangents = [T::from_f32(rng.normal::<f32>())];
            number
        };
        let parameters: Vec<_> = run.model.parameters().into_iter().map(random).collect();
        run.model.load(&parameters, &[]);
        Self { run, rates, go_on }
    }
}

impl<T: Float, O: RunOptimizer<T, 1>> TangentMap for TangentRun<'_, T, O>
where
    Libm: Elementary<T>,
{
    type Error = Ended;

    fn advance(&mut self, steps: Range<u32>) -> Result<(), Ended> {
        if !(self.go_on)() {
            return Err(Ended::Stopped);
        }
        match self.rates {
            Rates::Schedule(schedule) => self.run.train(schedule, steps, &mut |_, _, _| {})?,
            Rates::Entries(entries) => {
                for k in steps {
                    let (rates, momentum) = entries.step(k as usize);
                    self.run.step_by_layer(rates, momentum)?;
                }
            }
        }
        Ok(())
    }

    fn normalise(&mut self) -> f64 {
        self.run.model.normalise_tangent()
    }
}
