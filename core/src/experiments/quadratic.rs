//! The experiments on a noisy quadratic of random directions.

use core::iter::repeat_with;
use core::slice;

use super::Settings;
use super::report::{Failed, Ledger, Record, Report};
use super::workspace::DIRECTIONS;
use crate::backend::Backend;
use crate::dual::Dual;
use crate::elementary::{Elementary, Libm};
use crate::meta::{MetaDescent, Rule};
use crate::nqm::{self, BLOCK, Direction, Directions, Response, Step};
use crate::real::Real;
use crate::rng::Pcg32;
use crate::schedule::{InverseTime, PARAMETERS};
use crate::vector::{F32x8, F64x8, Vector};

const MOMENTUM: f32 = 0.9;
/// Blocks of directions.
const BLOCKS: usize = DIRECTIONS / BLOCK;

/// Directions and their responses with the tangents of α₀, K and β.
#[derive(Debug)]
pub struct Quadratic<V> {
    directions: [Directions<V>; BLOCKS],
    responses: [Response<Dual<V, 3>>; BLOCKS],
}

macro_rules! storage {
    ($vector:ident) => {
        impl Quadratic<$vector> {
            /// The storage; what it holds does not matter.
            #[expect(clippy::new_without_default, reason = "a default would be built on the stack")]
            pub const fn new() -> Self {
                const V: $vector = $vector::ZERO;
                const N: Dual<$vector, 3> = Dual { value: V, tangents: [V; 3] };
                const RESPONSE: Response<Dual<$vector, 3>> = Response {
                    position: N,
                    velocity: N,
                    variance: N,
                    covariance: N,
                    velocity_variance: N,
                };
                Self {
                    directions: [Directions { preconditioned_curvature: V, signal: V, floor: V };
                        BLOCKS],
                    responses: [RESPONSE; BLOCKS],
                }
            }
        }
    };
}

storage!(F32x8);
storage!(F64x8);

/// Directions without end: curvature and variances uniform in [0, 1), the initial mean standard
/// normal.
fn directions<T: Real>(seed: u64) -> impl Iterator<Item = Direction<T>>
where
    Libm: Elementary<T>,
{
    let mut rng = Pcg32::new(seed, 0);
    repeat_with(move || Direction {
        curvature: rng.uniform(),
        noise_variance: rng.uniform(),
        initial_mean: rng.normal(),
        initial_variance: rng.uniform(),
    })
}

impl<V: Vector> Quadratic<V>
where
    Libm: Elementary<V::Scalar>,
{
    // Never inlined, here and below: the stack of a small device then holds the blocks of one part
    // at a time.
    /// One record for each step of the schedule, the digest being over the moments of every
    /// direction.
    #[inline(never)]
    pub fn moments<G: Backend<Vector = V>>(
        &mut self,
        backend: G,
        settings: &Settings,
        record: &mut impl FnMut(&Record),
    ) -> Result<Report, Failed> {
        let mut ledger = Ledger::default();
        let schedule = widened(settings.schedule);
        let mut loss = self.start(backend, settings)?;
        for k in 0..settings.horizon {
            loss = self.step(backend, schedule, k);
            self.enter_moments(settings, &mut ledger)?;
            record(&ledger.record(k, schedule, loss)?);
        }
        Ok(ledger.report(loss))
    }

    /// Meta-descent on the loss at the horizon: one record for each schedule.
    #[inline(never)]
    pub fn descent<G: Backend<Vector = V>>(
        &mut self,
        backend: G,
        settings: &Settings,
        record: &mut impl FnMut(&Record),
    ) -> Result<Report, Failed> {
        let mut ledger = Ledger::default();
        let mut schedule = widened(settings.schedule);
        let mut outer =
            MetaDescent::new(Rule::adam(), V::Scalar::from_f32(0.1), MetaDescent::default_limits());
        let mut meta_step = 0;
        loop {
            let mut loss = self.start(backend, settings)?;
            for k in 0..settings.horizon {
                loss = self.step(backend, schedule, k);
            }
            self.enter_moments(settings, &mut ledger)?;
            record(&ledger.record(meta_step, schedule, loss)?);
            if meta_step >= settings.meta_steps {
                return Ok(ledger.report(loss));
            }
            schedule = outer.step::<Libm>(schedule, loss.tangents);
            meta_step += 1;
        }
    }

    /// The quadratic before the first step, and its loss.
    #[inline(never)]
    fn start<G: Backend<Vector = V>>(
        &mut self,
        backend: G,
        settings: &Settings,
    ) -> Result<Dual<V::Scalar, 3>, Failed> {
        let drawn = directions(settings.seed).take(BLOCKS * BLOCK);
        nqm::pack(drawn, &mut self.directions).map_err(|_| Failed::NonFinite)?;
        self.responses.fill(Response::initial());
        Ok(self.losses(backend, &[])[0])
    }

    /// Takes step `k` and returns the loss after it.
    #[inline(never)]
    fn step<G: Backend<Vector = V>>(
        &mut self,
        backend: G,
        schedule: InverseTime<V::Scalar>,
        k: u32,
    ) -> Dual<V::Scalar, 3> {
        let learning_rate = schedule.with_tangents(PARAMETERS).learning_rate::<Libm>(k);
        let momentum = Dual::constant(V::Scalar::from_f32(MOMENTUM));
        self.losses(backend, slice::from_ref(&Step { learning_rate, momentum }))[1]
    }

    /// The loss before and after at most one step.
    #[inline(never)]
    fn losses<G: Backend<Vector = V>>(
        &mut self,
        backend: G,
        steps: &[Step<Dual<V::Scalar, 3>>],
    ) -> [Dual<V::Scalar, 3>; 2] {
        let floor = Dual::constant(nqm::floor(&self.directions));
        let (mut partial, mut excess) = ([Dual::default(); 2], [Dual::default(); 2]);
        let (directions, responses) = (&self.directions, &mut self.responses);
        nqm::losses(backend, directions, steps, responses, &mut partial, &mut excess);
        excess.map(|excess| excess + floor)
    }

    #[inline(never)]
    fn enter_moments(&self, settings: &Settings, ledger: &mut Ledger) -> Result<(), Failed> {
        let mut drawn = directions::<V::Scalar>(settings.seed);
        for response in &self.responses {
            for (lane, direction) in (0..BLOCK).zip(&mut drawn) {
                let moments = response.lane(lane).moments(direction);
                ledger.value(moments.mean)?;
                ledger.value(moments.velocity_mean)?;
                ledger.value(moments.variance)?;
                ledger.value(moments.velocity_variance)?;
                ledger.value(moments.covariance)?;
                ledger.tangents(response.position.lane(lane))?;
                ledger.tangents(response.velocity.lane(lane))?;
                ledger.tangents(response.variance.lane(lane))?;
                ledger.tangents(response.covariance.lane(lane))?;
                ledger.tangents(response.velocity_variance.lane(lane))?;
            }
        }
        Ok(())
    }
}

fn widened<T: Real>(schedule: InverseTime<f32>) -> InverseTime<T> {
    InverseTime {
        alpha0: T::from_f32(schedule.alpha0),
        time_constant: T::from_f32(schedule.time_constant),
        beta: T::from_f32(schedule.beta),
    }
}
