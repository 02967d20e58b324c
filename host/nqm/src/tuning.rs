//! Meta-descent on the model: α₀, K, β, the damping and an optimiser's other hyperparameters by
//! hypergradients at any horizon.
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
use myopia_core::nqm::{CHUNK, Diverged, MeanField, Preconditioner, Step, first_divergence};
use myopia_core::schedule::{InverseTime, PARAMETERS as PARAMETERS_OF_SCHEDULE, Parameter};

use crate::error::{Interrupted, StartOutOfBounds, TuneError, TuningDiverged};
use crate::gradient::Scratch;
use crate::judge::Judge;
use crate::quadratic::{Losses, Quadratic, Schedule};

/// Parameters that can be learned.
pub const PARAMETERS: usize = 9;

/// The parameters that can be learned: the schedule's, the damping of a preconditioner or of K-FAC,
/// the momentum, and the others of an optimiser in mean field.
pub const ALL: [Parameter; PARAMETERS] = [
    Parameter::Alpha0,
    Parameter::TimeConstant,
    Parameter::Beta,
    Parameter::Damping,
    Parameter::Momentum,
    Parameter::Epsilon,
    Parameter::Rho,
    Parameter::Beta1,
    Parameter::Beta2,
];

/// Values of [`ALL`], or derivatives by them; zero of what a training does not have.
pub type Values = [f64; PARAMETERS];

/// Parameters by which one pass through training differentiates.
const PASS: usize = 4;

/// Where `parameter` is in [`ALL`].
fn place(parameter: Parameter) -> Option<usize> {
    ALL.iter().position(|one| *one == parameter)
}

/// Its coordinate, its least and its greatest value; α₀'s in inverses of the largest preconditioned
/// curvature.
fn bounds(parameter: Parameter) -> (Coordinate, [f64; 2]) {
    use Coordinate::{Logarithm, Logit};
    match parameter {
        Parameter::Alpha0 => (Logarithm, [1e-8, 1e8]),
        Parameter::TimeConstant => (Logarithm, [1.0, 1e6]),
        Parameter::Beta => (Logarithm, [1e-4, 1e3]),
        Parameter::Beta2 => (Logit, [1e-4, 0.99999]),
        Parameter::Momentum | Parameter::Rho | Parameter::Beta1 => (Logit, [1e-4, 0.9999]),
        _ => (Logarithm, [1e-12, 1e12]),
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
    /// The factor 1 / (h^p + λ) on gradients to start from; an optimiser in mean field starts with
    /// the quadratic's own hyperparameters.
    pub preconditioner: Preconditioner<f64>,
    /// What is learned.
    pub learned: Vec<Parameter>,
    /// Meta-steps.
    pub meta_steps: u32,
    /// Meta-learning rate, on the logarithms or logits of the parameters.
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
    /// All of [`ALL`].
    #[cfg_attr(feature = "serde", serde(skip))]
    pub values: Values,
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
    /// Its derivatives by all of [`ALL`], zero by momentum and those after it unless one of them is
    /// learned.
    #[cfg_attr(feature = "serde", serde(skip))]
    pub derivatives: Values,
}

impl Tuned {
    /// After so many meta-steps these values, their loss and its derivatives.
    pub fn new(meta_step: u32, values: Values, excess_loss: f64, derivatives: Values) -> Self {
        let [alpha0, time_constant, beta, damping, ..] = values;
        let [d_alpha0, d_time_constant, d_beta, d_damping, ..] = derivatives;
        Self {
            meta_step,
            alpha0,
            time_constant,
            beta,
            damping,
            values,
            excess_loss,
            d_alpha0,
            d_time_constant,
            d_beta,
            d_damping,
            derivatives,
        }
    }

    /// The value of `parameter`, and the derivative by it.
    pub fn of(&self, parameter: Parameter) -> Option<[f64; 2]> {
        place(parameter).map(|place| [self.values[place], self.derivatives[place]])
    }

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
    if !tuning.judge.is_plain() {
        if let Some(optimizer) = quadratic.mean_field() {
            return Err(TuneError::JudgedMeanField(optimizer.name()));
        }
        let chained = &PARAMETERS_OF_SCHEDULE;
        if let Some(other) = tuning.learned.iter().find(|learned| !chained.contains(learned)) {
            return Err(TuneError::Judged(*other));
        }
    }
    let there = tuning.values(quadratic);
    let missing = |learned: &&Parameter| place(**learned).is_none_or(|p| there[p].is_none());
    if let Some(parameter) = tuning.learned.iter().find(missing) {
        return Err(TuneError::NotThere(*parameter));
    }
    let sharpest = quadratic.largest_curvature();
    let alpha0_unit = if sharpest > 0.0 { 1.0 / sharpest } else { 1.0 };
    let limits = ALL.map(|parameter| {
        let unit = if parameter == Parameter::Alpha0 { alpha0_unit } else { 1.0 };
        let (coordinate, bounds) = bounds(parameter);
        let [least, greatest] = bounds.map(|bound| bound * unit);
        Limits {
            learned: tuning.learned.contains(&parameter),
            coordinate,
            clip: 10.0,
            least,
            greatest,
        }
    });
    let mut values = there.map(Option::unwrap_or_default);
    for ((limits, start), parameter) in limits.iter().zip(values).zip(ALL) {
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
        let found = look_ahead_until(quadratic, &tuning, values, stop)
            .map_err(|source| {
                let learned = tuning.learned.contains(&Parameter::Momentum);
                let all = ALL.into_iter().zip(values).zip(there);
                let own = all.filter(|((parameter, _), there)| {
                    there.is_some() && (*parameter != Parameter::Momentum || learned)
                });
                let parameters = own.map(|(named, _)| named).collect();
                TuningDiverged { meta_step, parameters, source }
            })?
            .ok_or(Interrupted)?;
        let record = Tuned::new(meta_step, values, found.value, found.tangents);
        tick(&record);
        records.push(record);
        let scale = if found.value > 0.0 { found.value } else { 1.0 };
        values = outer.update::<Libm>(values, found.tangents.map(|d| d / scale));
    }
    Ok(Trajectory { records })
}

/// Bytes that a meta-descent takes: its records, with room to grow, and one look-ahead, the losses
/// of which are there for every chunk of directions and summed.
pub fn bytes(directions: usize, horizon: usize, meta_steps: u32) -> u128 {
    let number = size_of::<Dual<f64, PASS>>();
    let step = (2 * number + number * (1 + directions.div_ceil(CHUNK))) as u128;
    let records = 2 * size_of::<Tuned>() as u128 * (u128::from(meta_steps) + 1);
    records + step * (horizon as u128 + 1)
}

impl Tuning {
    /// Where those of [`ALL`] start that a training on `quadratic` has.
    pub fn values(&self, quadratic: &Quadratic) -> [Option<f64>; PARAMETERS] {
        let InverseTime { alpha0, time_constant, beta } = self.schedule;
        let optimizer = quadratic.mean_field();
        ALL.map(|parameter| match parameter {
            Parameter::Alpha0 => Some(alpha0),
            Parameter::TimeConstant => Some(time_constant),
            Parameter::Beta => Some(beta),
            Parameter::Momentum if optimizer.is_some_and(MeanField::has_own_momentum) => None,
            Parameter::Momentum => Some(self.momentum),
            Parameter::Damping if optimizer.is_none() => Some(self.preconditioner.damping),
            other => optimizer.and_then(|optimizer| optimizer.value(other)),
        })
    }
}

/// The excess loss at the horizon, as the judge reads it, with its derivatives by [`ALL`]: of those
/// from momentum on where one of them is learned, and by α₀, K and β alone when it is not plain.
pub fn look_ahead(
    quadratic: &Quadratic,
    tuning: &Tuning,
    values: Values,
) -> Result<Dual<f64, PARAMETERS>, Diverged> {
    let found = look_ahead_until(quadratic, tuning, values, &|| false);
    found.map(Option::unwrap_or_default)
}

/// The same, or nothing once `stop` says so.
fn look_ahead_until(
    quadratic: &Quadratic,
    tuning: &Tuning,
    values: Values,
    stop: &(dyn Fn() -> bool + Sync),
) -> Result<Option<Dual<f64, PARAMETERS>>, Diverged> {
    let [alpha0, time_constant, beta, damping] =
        [Parameter::Alpha0, Parameter::TimeConstant, Parameter::Beta, Parameter::Damping];
    let first = [alpha0, time_constant, beta, damping];
    let Some(found) = pass(quadratic, tuning, values, first, stop)? else { return Ok(None) };
    let mut all = Dual::constant(found.value);
    let mut put = |directions: [Parameter; PASS], found: Dual<f64, PASS>| {
        for (parameter, tangent) in directions.into_iter().zip(found.tangents) {
            if let Some(place) = place(parameter) {
                all.tangents[place] = tangent;
            }
        }
    };
    put(first, found);
    let others: Vec<Parameter> =
        tuning.learned.iter().copied().filter(|learned| !first.contains(learned)).collect();
    for some in others.chunks(PASS) {
        // Repeated where there are fewer.
        let directions = [0, 1, 2, 3].map(|p: usize| some[p.min(some.len() - 1)]);
        match pass(quadratic, tuning, values, directions, stop)? {
            Some(found) => put(directions, found),
            None => return Ok(None),
        }
    }
    Ok(Some(all))
}

/// The excess loss with its derivatives by `directions`.
fn pass(
    quadratic: &Quadratic,
    tuning: &Tuning,
    values: Values,
    directions: [Parameter; PASS],
    stop: &(dyn Fn() -> bool + Sync),
) -> Result<Option<Dual<f64, PASS>>, Diverged> {
    let value = |parameter| place(parameter).map_or(0.0, |place| values[place]);
    let number = |parameter| Dual {
        value: value(parameter),
        tangents: directions.map(|d| if d == parameter { 1.0 } else { 0.0 }),
    };
    let rates = InverseTime {
        alpha0: number(Parameter::Alpha0),
        time_constant: number(Parameter::TimeConstant),
        beta: number(Parameter::Beta),
    };
    let momentum = number(Parameter::Momentum);
    let schedule: Vec<_> = (0..tuning.horizon as u32)
        .map(|k| Step { learning_rate: rates.learning_rate::<Libm>(k), momentum })
        .collect();
    let last = |losses: Vec<Dual<f64, PASS>>| losses.last().copied().unwrap_or_default();
    if let Some(optimizer) = quadratic.mean_field() {
        let start = quadratic.start();
        let optimizer = with_values(*optimizer, &values).with_tangents(directions);
        let losses = quadratic.losses_in_mean_field(&optimizer, &start, &schedule, stop)?;
        return Ok(losses.map(last));
    }
    if tuning.judge.is_plain() {
        let preconditioner = Preconditioner {
            power: Dual::constant(tuning.preconditioner.power),
            damping: number(Parameter::Damping),
        };
        let losses = quadratic.losses_under(&preconditioner, &schedule, stop)?;
        return Ok(losses.map(last));
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
        .fold(Dual::constant(0.0), |sum: Dual<f64, PASS>, (step, by)| {
            sum + step.learning_rate.scaled(by.learning_rate)
        });
    let judged = Dual { value: loss, tangents: chained.tangents };
    first_divergence(&[judged]).map_err(|_| Diverged { step: schedule.len() })?;
    Ok(Some(judged))
}

/// `optimizer` with those of `values` that it has.
pub fn with_values(optimizer: MeanField<f64>, values: &Values) -> MeanField<f64> {
    ALL.into_iter().zip(values).fold(optimizer, |optimizer, (parameter, value)| {
        match optimizer.value(parameter) {
            Some(_) => optimizer.with(parameter, *value),
            None => optimizer,
        }
    })
}
