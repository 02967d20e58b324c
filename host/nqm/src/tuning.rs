//! Meta-descent on the model: α₀, K, β and the damping by hypergradients at any horizon.
//!
//! # Short-horizon bias in preconditioners
//!
//! What `myopia nqm meta --dim 100 --beta 0 --horizons 1,10,100,1000` chooses on curvatures 1/i
//! with noise of variance 1/h, learning rates being constant, and what horizon 1's choice and
//! horizon 1,000's are worth after 1,000 steps (excess loss):
//!
//! | learned | options | 1 | 10 | 100 | 1,000 | worth, 1 | worth, 1,000 |
//! |---|---|---|---|---|---|---|---|
//! | scale of h⁰ (SGD) | `--learn alpha0` | 0.576 | 0.383 | 0.226 | 0.0779 | 0.835 | 0.147 |
//! | scale of h^-½ | `--learn alpha0 --power 0.5` | 0.354 | 0.172 | 0.0594 | 0.0136 | 1.73 | 0.0811 |
//! | scale of h⁻¹ | `--learn alpha0 --power 1` | 0.0493 | 0.0399 | 0.0146 | 0.00265 | 1.26 | 0.0789 |
//! | λ of 1/(h + λ) | `--learn damping --power 1 --alpha0 1 --damping 1` | 1.00 | 2.00 | 4.00 | 12.6 | 1.14 | 0.144 |
//! | ε of 1/(√h + ε) | `--learn damping --power 0.5 --alpha0 1 --damping 1` | 0.867 | 1.82 | 3.82 | 12.4 | 1.12 | 0.144 |
//! | λ, and its scale | `--learn alpha0,damping --power 1 --alpha0 0.1 --damping 1 --meta-steps 400` | 1.00 | 0.199 | 0.0338 | 0.0111 | 1.14 | 0.0707 |
//!
//! So the bias is there in each, at every horizon, and costs 6 to 21 times the loss. Its direction
//! depends on what else is free. Where nothing decays, a short horizon does not pay for the noise
//! that a large step leaves in a thousand directions, and chooses too large a scale, or too little
//! damping, which is the same. Where the scale is free as well, a short horizon chooses too much
//! damping: a λ above most curvatures makes 1/(h + λ) nearly plain SGD, which is best for the steep
//! directions, and only a long one leaves it for directions that learn slowly.

use myopia_core::dual::Dual;
use myopia_core::elementary::Libm;
use myopia_core::meta::{Coordinate, Limits, MetaDescent, Rule};
use myopia_core::nqm::{CHUNK, Diverged, Preconditioner, Step, first_divergence};
use myopia_core::schedule::InverseTime;

use crate::error::{Interrupted, StartOutOfBounds, TuneError, TuningDiverged};
use crate::gradient::Scratch;
use crate::judge::Judge;
use crate::quadratic::{Losses, Quadratic, Schedule};

/// Parameters that can be learned.
pub const PARAMETERS: usize = 4;

/// A parameter that can be learned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parameter {
    /// α₀, the first learning rate.
    Alpha0,
    /// K, the time constant.
    TimeConstant,
    /// β, the decay exponent.
    Beta,
    /// λ, the preconditioner's damping.
    Damping,
}

impl Parameter {
    const ALL: [Self; PARAMETERS] = [Self::Alpha0, Self::TimeConstant, Self::Beta, Self::Damping];

    /// Its least and greatest value; α₀'s in inverses of the largest preconditioned curvature.
    fn bounds(self) -> [f64; 2] {
        match self {
            Self::Alpha0 => [1e-8, 1e8],
            Self::TimeConstant => [1.0, 1e6],
            Self::Beta => [1e-4, 1e3],
            Self::Damping => [1e-12, 1e12],
        }
    }
}

/// A meta-descent: where it starts, how far it looks, what it learns.
#[derive(Clone, Debug)]
pub struct Tuning {
    /// Steps of each look-ahead, at least one.
    pub horizon: usize,
    /// Momentum of training.
    pub momentum: f64,
    /// What the end of a look-ahead is judged by.
    pub judge: Judge,
    /// α_k = α₀ / (1 + k/K)^β to start from.
    pub schedule: InverseTime<f64>,
    /// The factor 1 / (h^p + λ) on gradients to start from.
    pub preconditioner: Preconditioner<f64>,
    /// What is learned.
    pub learned: Vec<Parameter>,
    /// Meta-steps.
    pub meta_steps: u32,
    /// Meta-learning rate, on the logarithms of the parameters.
    pub meta_rate: f64,
}

impl Tuning {
    /// A hundredth of the inverse of the largest preconditioned curvature, K = 200, β = 1; all
    /// three learned in 200 meta-steps of Adam at 0.1.
    pub fn new(quadratic: &Quadratic) -> Self {
        let sharpest = quadratic.largest_curvature();
        Self {
            horizon: 1,
            momentum: 0.0,
            judge: Judge::Plain,
            schedule: InverseTime {
                alpha0: if sharpest > 0.0 { 0.01 / sharpest } else { 0.01 },
                time_constant: 200.0,
                beta: 1.0,
            },
            preconditioner: Preconditioner::identity(),
            learned: vec![Parameter::Alpha0, Parameter::TimeConstant, Parameter::Beta],
            meta_steps: 200,
            meta_rate: 0.1,
        }
    }
}

/// One meta-step: the parameters, the excess loss at the horizon, and its derivatives.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Tuned {
    /// How many meta-steps came before.
    pub meta_step: u32,
    /// α₀.
    pub alpha0: f64,
    /// K, in steps.
    pub time_constant: f64,
    /// β.
    pub beta: f64,
    /// λ.
    pub damping: f64,
    /// The expected excess loss at the horizon.
    pub excess_loss: f64,
    /// Its derivative by α₀.
    pub d_alpha0: f64,
    /// Its derivative by K.
    pub d_time_constant: f64,
    /// Its derivative by β.
    pub d_beta: f64,
    /// Its derivative by λ.
    pub d_damping: f64,
}

impl Tuned {
    /// The first `steps` steps of its schedule.
    pub fn schedule(&self, steps: usize, momentum: f64) -> Schedule {
        let Self { alpha0, time_constant, beta, .. } = *self;
        let rates = InverseTime { alpha0, time_constant, beta }.with_tangents([]);
        let step = |k| {
            let rate: Dual<f64, 0> = rates.learning_rate::<Libm>(k);
            Step { learning_rate: rate.value, momentum }
        };
        (0..steps as u32).map(step).collect()
    }
}

/// Every meta-step of a meta-descent.
#[derive(Clone, Debug, PartialEq)]
pub struct Trajectory {
    /// One more than there were meta-steps.
    pub records: Vec<Tuned>,
}

impl Trajectory {
    /// The record with the lowest loss, the first of several.
    pub fn best(&self) -> Tuned {
        let mut best = self.records[0];
        for record in &self.records {
            if record.excess_loss < best.excess_loss {
                best = *record;
            }
        }
        best
    }
}

/// Meta-descent by Adam on ln(excess loss), whose scale does not depend on that of the quadratic;
/// `tick` is called with each record, `stop` asked before each meta-step.
///
/// # Errors
/// When what is learned starts outside of its bounds, when the loss leaves the finite range, or
/// when it is to stop.
pub fn tune(
    quadratic: &Quadratic,
    tuning: Tuning,
    stop: &(dyn Fn() -> bool + Sync),
    tick: impl Fn(&Tuned),
) -> Result<Trajectory, TuneError> {
    if !tuning.judge.is_plain() && tuning.learned.contains(&Parameter::Damping) {
        return Err(TuneError::JudgedDamping);
    }
    let sharpest = quadratic.largest_curvature();
    let alpha0_unit = if sharpest > 0.0 { 1.0 / sharpest } else { 1.0 };
    let limits = Parameter::ALL.map(|parameter| {
        let unit = if parameter == Parameter::Alpha0 { alpha0_unit } else { 1.0 };
        let [least, greatest] = parameter.bounds().map(|bound| bound * unit);
        Limits {
            learned: tuning.learned.contains(&parameter),
            coordinate: Coordinate::Logarithm,
            clip: 10.0,
            least,
            greatest,
        }
    });
    let [alpha0, time_constant, beta] = tuning.schedule.parameters();
    let mut parameters = [alpha0, time_constant, beta, tuning.preconditioner.damping];
    for ((limits, start), parameter) in limits.iter().zip(parameters).zip(Parameter::ALL) {
        let Limits { learned, least, greatest, .. } = *limits;
        if learned && !(least..=greatest).contains(&start) {
            return Err(StartOutOfBounds { parameter, start, least, greatest }.into());
        }
    }
    let mut outer = MetaDescent::new(Rule::adam(), tuning.meta_rate, limits);
    let mut records = Vec::new();
    for meta_step in 0..=tuning.meta_steps {
        if stop() {
            return Err(Interrupted.into());
        }
        let found = look_ahead_until(quadratic, &tuning, parameters, stop)
            .map_err(|source| TuningDiverged { meta_step, parameters, source })?
            .ok_or(Interrupted)?;
        let [alpha0, time_constant, beta, damping] = parameters;
        let [d_alpha0, d_time_constant, d_beta, d_damping] = found.tangents;
        let record = Tuned {
            meta_step,
            alpha0,
            time_constant,
            beta,
            damping,
            excess_loss: found.value,
            d_alpha0,
            d_time_constant,
            d_beta,
            d_damping,
        };
        tick(&record);
        records.push(record);
        let scale = if found.value > 0.0 { found.value } else { 1.0 };
        parameters = outer.update::<Libm>(parameters, found.tangents.map(|d| d / scale));
    }
    Ok(Trajectory { records })
}

/// Bytes that a meta-descent takes: its records, with room to grow, and one look-ahead, the losses
/// of which are there for every chunk of directions and summed.
pub fn bytes(directions: usize, horizon: usize, meta_steps: u32) -> u128 {
    let number = size_of::<Dual<f64, PARAMETERS>>();
    let step = (2 * number + number * (1 + directions.div_ceil(CHUNK))) as u128;
    let records = 2 * size_of::<Tuned>() as u128 * (u128::from(meta_steps) + 1);
    records + step * (horizon as u128 + 1)
}

/// The excess loss at the horizon, as the judge reads it, with its derivatives by α₀, K, β and λ;
/// by λ only when it is plain.
pub fn look_ahead(
    quadratic: &Quadratic,
    tuning: &Tuning,
    parameters: [f64; PARAMETERS],
) -> Result<Dual<f64, PARAMETERS>, Diverged> {
    look_ahead_until(quadratic, tuning, parameters, &|| false).map(Option::unwrap_or_default)
}

/// The same, or nothing once `stop` says so.
fn look_ahead_until(
    quadratic: &Quadratic,
    tuning: &Tuning,
    [alpha0, time_constant, beta, damping]: [f64; PARAMETERS],
    stop: &(dyn Fn() -> bool + Sync),
) -> Result<Option<Dual<f64, PARAMETERS>>, Diverged> {
    let number = |value, which: usize| {
        let mut tangents = [0.0; PARAMETERS];
        tangents[which] = 1.0;
        Dual { value, tangents }
    };
    let rates = InverseTime {
        alpha0: number(alpha0, 0),
        time_constant: number(time_constant, 1),
        beta: number(beta, 2),
    };
    let preconditioner = Preconditioner {
        power: Dual::constant(tuning.preconditioner.power),
        damping: number(damping, 3),
    };
    let momentum = Dual::constant(tuning.momentum);
    let schedule: Vec<_> = (0..tuning.horizon as u32)
        .map(|k| Step { learning_rate: rates.learning_rate::<Libm>(k), momentum })
        .collect();
    if tuning.judge.is_plain() {
        let losses = quadratic.losses_under(&preconditioner, &schedule, stop)?;
        return Ok(losses.map(|losses| losses.last().copied().unwrap_or_default()));
    }
    if stop() {
        return Ok(None);
    }
    let steps: Vec<_> = schedule
        .iter()
        .map(|step| Step { learning_rate: step.learning_rate.value, momentum: tuning.momentum })
        .collect();
    let mut scratch = Scratch::default();
    let (loss, by_steps) = quadratic.judged(tuning.judge, &quadratic.start(), &steps, &mut scratch);
    // dL/dλ = Σ_k dL/dα_k dα_k/dλ.
    let chained = schedule
        .iter()
        .zip(&by_steps)
        .fold(Dual::constant(0.0), |sum: Dual<f64, PARAMETERS>, (step, by)| {
            sum + step.learning_rate.scaled(by.learning_rate)
        });
    let judged = Dual { value: loss, tangents: chained.tangents };
    first_divergence(&[judged]).map_err(|_| Diverged { step: schedule.len() })?;
    Ok(Some(judged))
}
