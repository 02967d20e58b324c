//! A training problem: data, layers, batches, objective, seed, and the instruction set it runs on.

use std::ops::Range;
use std::sync::Arc;

use myopia_backend::{Isa, MakeModel, StoredModel};
use myopia_core::digest::Digest;
use myopia_core::dual::Dual;
use myopia_core::elementary::{Elementary, Libm};
use myopia_core::exponent::exponent;
use myopia_core::family::{Family, Schedule};
use myopia_core::kfac::Kfac;
use myopia_core::mlp::{Shape, he_normal, he_normal_with_norm};
use myopia_core::online::ShortLookAhead;
use myopia_core::optimizer::{Decay, Hyperparameters, Method, Momentum, Tunable};
use myopia_core::real::Real;
use myopia_core::rng::Pcg32;
use myopia_core::sampler::Sampler;
use myopia_core::schedule::{InverseTime, LearningRate, PARAMETERS, Parameter};
use myopia_core::unroll::{Diverged, Objective};

use super::curvature::{Curvature, CurvatureMatrix, at, sharpness};
use super::lockstep::Lockstep;
use super::online::Unroll;
use super::optimizer::InnerOptimizer;
use super::reverse::Back;
use super::run::{Run, RunOptimizer};
use super::tangent::{RENORMALISED_EVERY, TangentRun, unless_stopped};
use super::{
    Data, Entries, InitialParams, LockstepRuns, Rates, ReverseRun, Set, ShortUnroll, Snapshot,
    TrainingRun,
};
use crate::precision::{Float, Numbers, Precision, in_precision};

/// What the schedule is judged by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ObjectiveSet {
    /// The mean loss on held-out training examples, which are not trained on.
    Validation,
    /// The mean loss on the training examples, as in the paper; nothing is held out.
    Train,
}

impl ObjectiveSet {
    /// Its name: `validation` or `train`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Validation => "validation",
            Self::Train => "train",
        }
    }
}

/// Streams of random numbers: each use of a seed has its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Initial weights.
    Weights = 0,
    /// Batches of pretraining.
    Pretraining = 1,
    /// Batches of training.
    Batches = 2,
    /// Random schedules.
    Schedules = 3,
    /// Batches of short unrolls.
    LookAheads = 4,
    /// Directions of tangents.
    Tangents = 5,
    /// Batches of which the gradient's noise is measured.
    Noise = 6,
    /// Labels that K-FAC draws.
    Labels = 7,
}

/// Which derivatives a run carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tangents {
    /// None: it trains.
    None,
    /// By α₀, K and β.
    Schedule,
    /// By these, of the schedule or of the optimiser.
    By([Parameter; 3]),
    /// By α₀ alone.
    Rate,
}

impl Tangents {
    /// The passes that together find the derivatives by all of `parameters`, three at a time in
    /// their order; a direction that is left over repeats the last one.
    pub fn passes(parameters: &[Parameter]) -> Vec<Self> {
        let pass = |three: &[Parameter]| {
            let last = three[three.len() - 1];
            match std::array::from_fn(|p| three.get(p).copied().unwrap_or(last)) {
                PARAMETERS => Self::Schedule,
                others => Self::By(others),
            }
        };
        parameters.chunks(3).map(pass).collect()
    }

    /// The directions of the tangents.
    fn directions(self) -> Directions {
        match self {
            Self::None => Directions::None,
            Self::Rate => Directions::One([Parameter::Alpha0]),
            Self::Schedule => Directions::Three(PARAMETERS),
            Self::By(directions) => Directions::Three(directions),
        }
    }
}

/// As many directions as a model has tangents.
enum Directions {
    None,
    One([Parameter; 1]),
    Three([Parameter; 3]),
}

/// A training problem on `data`.
#[derive(Clone)]
pub struct Problem<'a> {
    /// What is trained on.
    pub data: &'a Data,
    /// Sizes of the layers, from inputs to classes.
    pub layers: Vec<usize>,
    /// Examples in a batch.
    pub batch: usize,
    /// μ of the inner training.
    pub momentum: f64,
    /// What makes a step of a gradient; SGD with the momentum above where there is none.
    /// Pretraining is by SGD always.
    pub optimizer: Option<InnerOptimizer>,
    /// Whether the hidden layers are normalised over the batch.
    pub is_normalised: bool,
    /// How the learning rate decays.
    pub family: Family<f64>,
    /// The steps of its warm-up.
    pub warmup: u32,
    /// The rates and the momentum of every step, where they are given in place of a schedule.
    pub entries: Option<Arc<Entries>>,
    /// What the objective is.
    pub objective: ObjectiveSet,
    /// At most this many examples of the objective set, from its start.
    pub objective_size: Option<usize>,
    /// The seed of weights and batches.
    pub seed: u64,
    /// The instruction set; it enters no bit.
    pub isa: Isa,
}

/// What an unroll with tangents found.
pub struct Hypergradient {
    /// The objective; its tangents are the derivatives.
    pub objective: Objective<f64, 3>,
    /// The parameters at the end, without tangents.
    pub parameters: Numbers,
    /// Digests of the values of parameters and state, and of their tangents.
    pub digests: [Digest; 2],
}

/// Steps of pretraining between two looks at whether it is to go on.
const STEPS_BETWEEN_LOOKS: usize = 100;

/// Evaluates `$body` for the float of `$problem` and these tangents: with the function that makes
/// the model, the optimiser, and the directions of its tangents.
macro_rules! on_models {
    ($problem:expr, $tangents:expr, $T:ident, $make:ident, $optimizer:ident, $directions:ident => $body:expr) => {{
        let problem = $problem;
        in_precision!(problem.precision(), $T => {
            let models = $T::models(problem.isa);
            let momentum = $T::from_f64(problem.momentum);
            let (plain, tangents, direction) = match problem.is_normalised {
                false => (models.any, models.any_tangents, models.any_direction),
                true => (models.norm, models.norm_tangents, models.norm_direction),
            };
            match ($tangents, problem.rule()) {
                (Tangents::None, None) => {
                    let ($make, $optimizer, $directions) = (models.plain, Momentum(momentum), []);
                    $body
                }
                (Tangents::Schedule, None) => {
                    let ($make, $optimizer) = (models.schedule, Momentum(momentum));
                    let $directions = PARAMETERS;
                    $body
                }
                (Tangents::By($directions), None) => {
                    let along = |d| if d == Parameter::Momentum { 1.0 } else { 0.0 };
                    let tangents = $directions.map(along);
                    let $optimizer = Momentum(Dual { value: momentum, tangents });
                    let $make = models.momentum;
                    $body
                }
                (Tangents::Rate, None) => {
                    let ($make, $directions) = (direction, [Parameter::Alpha0]);
                    let $optimizer = problem.sgd().map($T::from_f64).with_tangents($directions);
                    $body
                }
                (wanted, Some(InnerOptimizer::Elementwise(all))) => {
                    let all = all.map($T::from_f64);
                    match wanted.directions() {
                        Directions::None => {
                            let ($make, $directions) = (plain, []);
                            let $optimizer = all.with_tangents($directions);
                            $body
                        }
                        Directions::One($directions) => {
                            let $make = direction;
                            let $optimizer = all.with_tangents($directions);
                            $body
                        }
                        Directions::Three($directions) => {
                            let $make = tangents;
                            let $optimizer = Tunable::new(all, $directions);
                            $body
                        }
                    }
                }
                (wanted, Some(InnerOptimizer::Kfac { all, is_sampled })) => {
                    let all = problem.kfac(all.map($T::from_f64, $T::from_f64), is_sampled);
                    match wanted.directions() {
                        Directions::None => {
                            let ($make, $directions) = (models.kfac, []);
                            let $optimizer = all.with_tangents($directions);
                            $body
                        }
                        Directions::One($directions) => {
                            let $make = models.kfac_direction;
                            let $optimizer = all.with_tangents($directions);
                            $body
                        }
                        Directions::Three($directions) => {
                            let $make = models.kfac_tangents;
                            let $optimizer = all.with_tangents($directions);
                            $body
                        }
                    }
                }
            }
        })
    }};
}

/// Name of the running mean among a network's arrays.
pub const MEAN: &str = "mean";
/// Name of the running variance among a network's arrays.
pub const VARIANCE: &str = "variance";

/// What a problem with normalisation is not asked for.
pub(super) const PLAIN: &str =
    "commands refuse normalisation where there is no way back through it";

const CHECKED: &str = "a problem's layers and batch were checked";

impl<'a> Problem<'a> {
    /// A plain network of these layers that is trained by SGD with momentum 0.9 in batches of 100
    /// and judged on all held-out examples; seed 1, on the widest instruction set that there is.
    pub fn new(data: &'a Data, layers: Vec<usize>) -> Self {
        Self {
            data,
            layers,
            batch: 100,
            momentum: 0.9,
            optimizer: None,
            is_normalised: false,
            family: Family::InverseTime,
            warmup: 0,
            entries: None,
            objective: ObjectiveSet::Validation,
            objective_size: None,
            seed: 1,
            isa: Isa::widest(),
        }
    }
}

impl Problem<'_> {
    /// The float it is trained in.
    pub fn precision(&self) -> Precision {
        self.data.precision()
    }

    /// The value of a hyperparameter of its optimiser or of its family of schedules, if it has it.
    pub fn value(&self, parameter: Parameter) -> Option<f64> {
        if parameter == Parameter::Momentum && self.entries.is_some() {
            return None;
        }
        let of_optimizer = match self.optimizer {
            Some(optimizer) => optimizer.value(parameter),
            None => (parameter == Parameter::Momentum).then_some(self.momentum),
        };
        of_optimizer.or(self.family.value(parameter))
    }

    /// The hyperparameters on which its rates depend: none where they are given.
    pub fn of_rates(&self) -> &'static [Parameter] {
        if self.entries.is_some() { &[] } else { self.family.parameters() }
    }

    /// Its schedule by these α₀, K and β, in the float `T`.
    pub fn schedule<T: Real>(&self, numbers: &InverseTime<f64>) -> Schedule<T> {
        let InverseTime { alpha0, time_constant, beta } = *numbers;
        let [alpha0, time_constant, beta] = [alpha0, time_constant, beta].map(T::from_f64);
        Schedule {
            numbers: InverseTime { alpha0, time_constant, beta },
            family: self.family.map_named(|_, number| T::from_f64(number)),
            warmup: self.warmup,
        }
    }

    /// The learning rate of step `k` by these α₀, K and β, computed in its float.
    pub fn learning_rate(&self, numbers: &InverseTime<f64>, k: u32) -> f64 {
        in_precision!(self.precision(), T => {
            let rates = self.schedule::<T>(numbers).with_tangents([]);
            rates.learning_rate::<Libm>(k).value.to_f64()
        })
    }

    /// The same problem with `to` in place of the value of a hyperparameter of its optimiser or of
    /// its family of schedules.
    /// Pretraining would have another momentum if the optimiser is plain SGD.
    pub fn with_value(mut self, parameter: Parameter, to: f64) -> Self {
        match &mut self.optimizer {
            Some(optimizer) => *optimizer = optimizer.with(parameter, to),
            None if parameter == Parameter::Momentum => self.momentum = to,
            None => {}
        }
        self.family = self.family.with(parameter, to);
        self
    }

    /// The same problem with each of `values` in place of its own.
    pub fn with_values(self, values: impl IntoIterator<Item = (Parameter, f64)>) -> Self {
        values.into_iter().fold(self, |problem, (parameter, to)| problem.with_value(parameter, to))
    }

    /// SGD with its momentum.
    fn sgd(&self) -> Hyperparameters<f64> {
        let method = Method::Sgd { momentum: self.momentum, is_nesterov: false };
        Hyperparameters { method, decay: Decay::None }
    }

    /// Its optimiser where that is not plain SGD of a plain network, which has models of its own.
    fn rule(&self) -> Option<InnerOptimizer> {
        self.optimizer.or_else(|| self.is_normalised.then(|| self.sgd().into()))
    }

    /// Whether its optimiser is one whose steps can be taken back.
    pub fn is_reversible(&self) -> bool {
        !matches!(self.optimizer, Some(InnerOptimizer::Kfac { .. }))
    }

    /// K-FAC with the stream of this problem's labels, where they are drawn.
    fn kfac<T: Real>(&self, all: Kfac<T>, is_sampled: bool) -> Kfac<T> {
        Kfac { labels: is_sampled.then(|| self.rng(Stream::Labels)), ..all }
    }

    fn shape(&self) -> Shape<'_> {
        Shape::new(&self.layers).expect(CHECKED)
    }

    /// How many parameters the network has, with the running averages of a normalised one.
    pub fn parameters(&self) -> usize {
        match self.is_normalised {
            false => self.shape().parameters(),
            true => self.shape().parameters_with_norm(),
        }
    }

    /// Name and shape of each array of the parameters, in their order: w0, b0, w1, …, and of a
    /// normalised layer scale0, shift0, mean0 and variance0 before b0.
    pub fn arrays(&self) -> Vec<(String, Vec<usize>)> {
        let hidden = self.layers.len() - 2;
        let of_layer = |(number, sizes): (usize, &[usize])| {
            let is_normalised = self.is_normalised && number < hidden;
            let norm = ["scale", "shift", MEAN, VARIANCE].map(|name| (name, &sizes[1..]));
            let norm = norm.into_iter().filter(move |_| is_normalised);
            let all = [("w", sizes)].into_iter().chain(norm).chain([("b", &sizes[1..])]);
            let named =
                move |(name, shape): (&str, &[usize])| (format!("{name}{number}"), shape.to_vec());
            all.map(named).collect::<Vec<_>>()
        };
        self.layers.windows(2).enumerate().flat_map(of_layer).collect()
    }

    /// How many examples, from the start of the training file, are trained on.
    pub fn trained_on(&self) -> usize {
        let all = self.data.len(Set::Training);
        match self.objective {
            ObjectiveSet::Validation => all - self.data.held_out,
            ObjectiveSet::Train => all,
        }
    }

    /// The numbers of the objective's examples in the training file.
    pub fn objective_indices(&self) -> Vec<u32> {
        let all = self.objective_set();
        let size = self.objective_size.unwrap_or(all.len());
        all.take(size).map(|index| index as u32).collect()
    }

    /// The objective set before it is limited to [`objective_size`](Self::objective_size).
    pub fn objective_set(&self) -> Range<usize> {
        match self.objective {
            ObjectiveSet::Validation => self.trained_on()..self.data.len(Set::Training),
            ObjectiveSet::Train => 0..self.trained_on(),
        }
    }

    /// About how many bytes an unroll takes besides the data, whatever its horizon.
    pub fn bytes(&self) -> u64 {
        let shape = self.shape();
        let number = self.precision().bytes();
        let dual = (PARAMETERS.len() as u64 + 1) * number;
        let slots = if self.rule().is_some() { 2 } else { 1 };
        let of_kfac = match self.optimizer {
            Some(InnerOptimizer::Kfac { .. }) => kfac_bytes(shape, self.batch as u64, number),
            _ => 0,
        };
        let batch = self.batch as u64;
        // Of a normalised unit before its scale and after.
        let activations = if self.is_normalised { 2 } else { 1 };
        // Parameters, state, one layer's transpose; the start and the end of the run without
        // tangents.
        let weights = shape.layers().map(|l| l.parameters() as u64).max().unwrap_or(0);
        let parameters = self.parameters() as u64;
        let units = shape.layers().fold(0, |units, l| units + l.outputs as u64);
        let inputs = shape.inputs() as u64;
        ((1 + slots) * parameters + weights) * dual
            + 2 * parameters * number
            + batch * (units * (activations * dual + 4) + 4 * inputs * number)
            + of_kfac
    }

    fn rng(&self, stream: Stream) -> Pcg32 {
        Pcg32::new(self.seed, stream as u64)
    }

    pub(super) fn sampler(&self, stream: Stream) -> Sampler<Vec<u32>> {
        Sampler::new(vec![0; self.trained_on()], self.rng(stream))
    }

    /// The batches of short unrolls, which are not those of training.
    pub fn look_ahead_sampler(&self) -> Sampler<Vec<u32>> {
        self.sampler(Stream::LookAheads)
    }

    /// The batches of which the gradient's noise is measured, which are not those of training.
    pub fn noise_sampler(&self) -> Sampler<Vec<u32>> {
        self.sampler(Stream::Noise)
    }

    /// The numbers of the examples in each of the first `steps` batches, batch after batch.
    pub fn batch_indices(&self, steps: u32) -> Vec<u32> {
        let mut sampler = self.sampler(Stream::Batches);
        (0..steps).flat_map(|_| sampler.next_batch(self.batch).to_vec()).collect()
    }

    pub(super) fn model<T: Real, const P: usize, U>(
        &self,
        make: MakeModel<T, P, U>,
    ) -> Box<dyn StoredModel<T, P, U>> {
        make(&self.layers, self.batch).expect(CHECKED)
    }

    /// Initial weights, trained for `steps` steps at the constant rate `learning_rate`; the
    /// velocity is then dropped, and so are the running averages of a normalised network.
    ///
    /// # Errors
    /// When a step leaves the finite range.
    pub fn start(&self, steps: u32, learning_rate: f64) -> Result<InitialParams, Diverged> {
        let start = self.start_while(steps, learning_rate, &mut || true)?;
        Ok(start.expect("nobody stops it"))
    }

    /// The same as long as `go_on` says so now and then; `None` when it does not.
    ///
    /// # Errors
    /// When a step leaves the finite range.
    pub fn start_while(
        &self,
        steps: u32,
        learning_rate: f64,
        go_on: &mut dyn FnMut() -> bool,
    ) -> Result<Option<InitialParams>, Diverged> {
        let mut rng = self.rng(Stream::Weights);
        let weights: Vec<f32> = match self.is_normalised {
            false => he_normal(self.shape(), &mut rng).collect(),
            true => he_normal_with_norm(self.shape(), &mut rng).collect(),
        };
        let weights = in_precision!(self.precision(), T => {
            T::numbers(weights.into_iter().map(T::from_f32).collect())
        });
        let start = InitialParams(weights);
        if steps == 0 {
            return Ok(go_on().then_some(start));
        }
        let constant = InverseTime { alpha0: learning_rate, time_constant: 1.0, beta: 0.0 };
        let problem =
            Problem { family: Family::InverseTime, warmup: 0, entries: None, ..self.clone() };
        let mut run: Box<dyn TrainingRun + '_> = in_precision!(self.precision(), T => {
            let models = T::models(self.isa);
            match self.is_normalised {
                false => {
                    let momentum = Momentum(T::from_f64(self.momentum));
                    let model = self.model(models.plain);
                    Box::new(Run::new(&problem, model, momentum, [], &start, Stream::Pretraining))
                }
                true => {
                    let sgd = self.sgd().map(T::from_f64).with_tangents([]);
                    let model = self.model(models.norm);
                    Box::new(Run::new(&problem, model, sgd, [], &start, Stream::Pretraining))
                }
            }
        });
        for first in (0..steps).step_by(STEPS_BETWEEN_LOOKS) {
            if !go_on() {
                return Ok(None);
            }
            let last = steps.min(first.saturating_add(STEPS_BETWEEN_LOOKS as u32));
            run.train(&constant, first..last, &mut |_, _, _| {})?;
        }
        Ok(Some(InitialParams(self.without_averages(run.parameters()))))
    }

    /// `parameters` with the running averages of a network at first: mean 0, variance 1.
    fn without_averages(&self, mut parameters: Numbers) -> Numbers {
        let mut first = 0;
        for (name, shape) in self.arrays() {
            let range = first..first + shape.iter().fold(1, |n, length| n * length);
            first = range.end;
            let to = if name.starts_with(VARIANCE) { 1_u8 } else { 0 };
            if !name.starts_with(MEAN) && !name.starts_with(VARIANCE) {
                continue;
            }
            match &mut parameters {
                Numbers::F32(numbers) => numbers[range].fill(to.into()),
                Numbers::F64(numbers) => numbers[range].fill(to.into()),
            }
        }
        parameters
    }

    /// Trains from `start` for `horizon` steps and judges the result, with derivatives; `tick` is
    /// called after each step.
    ///
    /// # Errors
    /// When a step or the objective leaves the finite range.
    pub fn hypergradient(
        &self,
        tangents: Tangents,
        start: &InitialParams,
        schedule: &InverseTime<f64>,
        horizon: u32,
        tick: &mut dyn FnMut(),
    ) -> Result<Hypergradient, Diverged> {
        let mut go_on = || {
            tick();
            true
        };
        let found = self.hypergradient_while(tangents, start, schedule, horizon, &mut go_on)?;
        Ok(found.expect("nobody stops it"))
    }

    /// The same as long as `go_on` says so after each step; `None` when it does not.
    ///
    /// # Errors
    /// When a step or the objective leaves the finite range.
    pub fn hypergradient_while(
        &self,
        tangents: Tangents,
        start: &InitialParams,
        schedule: &InverseTime<f64>,
        horizon: u32,
        go_on: &mut dyn FnMut() -> bool,
    ) -> Result<Option<Hypergradient>, Diverged> {
        self.hypergradient_carried(tangents, start, schedule, horizon, &|_| 1.0, go_on)
    }

    /// The same with tangents of which step `k` carries on the share `share(k)` only, so that the
    /// derivatives are those of a method that discounts or drops them.
    ///
    /// # Errors
    /// When a step or the objective leaves the finite range.
    pub fn hypergradient_carried(
        &self,
        tangents: Tangents,
        start: &InitialParams,
        schedule: &InverseTime<f64>,
        horizon: u32,
        share: &dyn Fn(u32) -> f64,
        go_on: &mut dyn FnMut() -> bool,
    ) -> Result<Option<Hypergradient>, Diverged> {
        let mut run = self.run(tangents, start);
        for k in 0..horizon {
            let share = share(k);
            if share != 1.0 {
                run.carry_tangents([share; 3], schedule, k.saturating_sub(1));
            }
            run.train(schedule, k..k + 1, &mut |_, _, _| {})?;
            if !go_on() {
                return Ok(None);
            }
        }
        let objective = run.evaluate(Set::Training, &self.objective_indices())?;
        let (parameters, digests) = (run.parameters(), run.digests());
        Ok(Some(Hypergradient { objective, parameters, digests }))
    }

    /// A training run from `start` on the batches of an unroll: the same ones each time.
    pub fn run(&self, tangents: Tangents, start: &InitialParams) -> Box<dyn TrainingRun + '_> {
        on_models!(self, tangents, T, make, optimizer, directions => {
            Box::new(Run::new(self, self.model(make), optimizer, directions, start, Stream::Batches))
        })
    }

    /// The finite-time Lyapunov exponent, per step, of training from `start` for `horizon` steps:
    /// of the map of parameters and state, along a random direction of the initial parameters.
    ///
    /// # Errors
    /// When a step or its tangent leaves the finite range.
    pub fn exponent(
        &self,
        start: &InitialParams,
        rates: Rates<'_>,
        horizon: u32,
    ) -> Result<f64, Diverged> {
        let found = self.exponent_while(start, rates, horizon, &mut || true)?;
        Ok(found.expect("nobody stops it"))
    }

    /// The same as long as `go_on` says so now and then; `None` when it does not.
    ///
    /// # Errors
    /// When a step leaves the finite range.
    pub fn exponent_while(
        &self,
        start: &InitialParams,
        rates: Rates<'_>,
        horizon: u32,
        go_on: &mut dyn FnMut() -> bool,
    ) -> Result<Option<f64>, Diverged> {
        in_precision!(self.precision(), T => {
            let models = T::models(self.isa);
            let constant = |number| Dual::constant(T::from_f64(number));
            match self.optimizer.unwrap_or(self.sgd().into()) {
                InnerOptimizer::Elementwise(all) => {
                    let model = self.model(match self.is_normalised {
                        false => models.any_direction,
                        true => models.norm_direction,
                    });
                    self.exponent_of(model, all.map(constant), start, rates, horizon, go_on)
                }
                InnerOptimizer::Kfac { all, is_sampled } => {
                    let model = self.model(models.kfac_direction);
                    let all = self.kfac(all.map(T::from_f64, T::from_f64), is_sampled);
                    let all = all.map(Dual::constant, |number| number);
                    self.exponent_of(model, all, start, rates, horizon, go_on)
                }
            }
        })
    }

    fn exponent_of<T: Float, O: RunOptimizer<T, 1>>(
        &self,
        model: Box<dyn StoredModel<T, 1, O::Update>>,
        optimizer: O,
        start: &InitialParams,
        rates: Rates<'_>,
        horizon: u32,
        go_on: &mut dyn FnMut() -> bool,
    ) -> Result<Option<f64>, Diverged>
    where
        Libm: Elementary<T>,
    {
        // A direction that neither the schedule nor the constant optimiser has.
        let directions = [Parameter::Momentum];
        let run = Run::new(self, model, optimizer, directions, start, Stream::Batches);
        let mut run = TangentRun::new(run, rates, self.rng(Stream::Tangents), go_on);
        unless_stopped(exponent(&mut run, horizon, RENORMALISED_EVERY))
    }

    /// The sharpness at `parameters`: the largest eigenvalue of `matrix` of the mean loss over the
    /// first `examples` training examples, by so many products of Lanczos's method.
    ///
    /// # Errors
    /// When the loss or a product leaves the finite range.
    pub fn sharpness(
        &self,
        parameters: &Numbers,
        matrix: CurvatureMatrix,
        examples: usize,
        products: usize,
    ) -> Result<f64, Diverged> {
        let found = self.sharpness_while(parameters, matrix, examples, products, &mut || true)?;
        Ok(found.expect("nobody stops it"))
    }

    /// The same as long as `go_on` says so now and then; `None` when it does not.
    ///
    /// # Errors
    /// When the loss or a product leaves the finite range.
    pub fn sharpness_while(
        &self,
        parameters: &Numbers,
        matrix: CurvatureMatrix,
        examples: usize,
        products: usize,
        go_on: &mut dyn FnMut() -> bool,
    ) -> Result<Option<f64>, Diverged> {
        let mut at = self.curvature(parameters, matrix, go_on);
        unless_stopped(sharpness(self, at.as_mut(), examples, products))
    }

    /// Gradients of the loss at `parameters` and products with `matrix` there, as long as `go_on`
    /// says so between batches.
    pub fn curvature<'b>(
        &'b self,
        parameters: &'b Numbers,
        matrix: CurvatureMatrix,
        go_on: &'b mut dyn FnMut() -> bool,
    ) -> Box<dyn Curvature + 'b> {
        in_precision!(self.precision(), T => {
            let values = T::values(parameters).expect("parameters are in the problem's float");
            at::<T>(self, values, matrix, go_on)
        })
    }

    /// A run from `start` on the batches of an unroll that is taken back; not by K-FAC.
    pub fn reverse(&self, start: &InitialParams) -> Box<dyn ReverseRun + '_> {
        assert!(!self.is_normalised, "{PLAIN}");
        in_precision!(self.precision(), T => {
            let (models, start) = (T::models(self.isa), start.clone());
            match self.optimizer {
                None => {
                    let model = (models.reverse)(&self.layers, self.batch).expect(CHECKED);
                    let optimizer = Momentum(T::from_f64(self.momentum));
                    Box::new(Back { problem: self, model, optimizer, start })
                }
                Some(InnerOptimizer::Kfac { .. }) => {
                    unreachable!("whoever asks for steps back has refused K-FAC")
                }
                Some(InnerOptimizer::Elementwise(all)) => {
                    let model = (models.any_reverse)(&self.layers, self.batch).expect(CHECKED);
                    let optimizer = all.map(T::from_f64).with_tangents([]);
                    Box::new(Back { problem: self, model, optimizer, start })
                }
            }
        })
    }

    /// The run that `snapshot` was taken of, at that point; `None` when that was a run of another
    /// problem, or with other tangents.
    pub fn restore(
        &self,
        tangents: Tangents,
        snapshot: &Snapshot,
    ) -> Option<Box<dyn TrainingRun + '_>> {
        on_models!(self, tangents, T, make, optimizer, directions => {
            let start = InitialParams(T::numbers(Vec::new()));
            let model = self.model(make);
            let run = Run::new(self, model, optimizer, directions, &start, Stream::Batches);
            Some(Box::new(run.restored(snapshot)?))
        })
    }

    /// A run for each of `schedules` from `start`, side by side on the same batches.
    pub fn lockstep(
        &self,
        tangents: Tangents,
        start: &InitialParams,
        schedules: &[InverseTime<f64>],
    ) -> Box<dyn LockstepRuns + '_> {
        on_models!(self, tangents, T, make, optimizer, directions => {
            Box::new(Lockstep::new(self, make, optimizer, directions, start, schedules))
        })
    }

    /// Short unrolls as `ahead` says.
    pub fn short_unroll(&self, ahead: ShortLookAhead) -> Box<dyn ShortUnroll + '_> {
        in_precision!(self.precision(), T => Box::new(Unroll::<T>::new(self, ahead)))
    }
}

/// About how many bytes K-FAC takes besides the network, with three tangents: statistics, their
/// factors and one layer's gradient and its transpose.
fn kfac_bytes(shape: Shape<'_>, batch: u64, number: u64) -> u64 {
    let dual = (PARAMETERS.len() as u64 + 1) * number;
    let of_layer = |(place, layer): (usize, myopia_core::mlp::Layer)| {
        let (rows, outputs) = (layer.inputs as u64 + 1, layer.outputs as u64);
        let of_inputs = if place == 0 { number } else { dual };
        rows * rows * (of_inputs + dual) + 2 * outputs * outputs * dual
    };
    let factors = shape.layers().enumerate().map(of_layer).fold(0, |sum, bytes| sum + bytes);
    let largest = shape.layers().map(|layer| layer.parameters() as u64).max().unwrap_or(0);
    factors + 2 * largest * dual + 2 * batch * (shape.inputs() as u64 + 1) * number
}
