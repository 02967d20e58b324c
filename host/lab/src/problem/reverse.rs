//! Reverse mode: training forward, and back step by step, in the memory that is allowed.
//!
//! A run of T steps has T + 1 steps back, the first of which is the objective's.

use std::borrow::Cow;

use myopia_backend::{HeapBatch, ReversibleModel, StepOfLayers, restore_float_control};
use myopia_core::digest::Digest;
use myopia_core::dual::Dual;
use myopia_core::elementary::{Elementary, Libm};
use myopia_core::family::Schedule;
use myopia_core::mlp::{Batch, NonFinite};
use myopia_core::optimizer::{DERIVATIVES, Optimizer, Reverse};
use myopia_core::schedule::{InverseTime, LearningRate, Parameter};
use myopia_core::sum::sum;
use myopia_core::unroll::{Diverged, Objective, objective};

use super::checkpoints::{Action, Checkpoints, steps_forward};
use super::run::{RunOptimizer, step_by_layer};
use super::{Entries, ExampleSet, InitialParams, Problem};
use crate::precision::{Float, Numbers};

/// Which derivatives a run back finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// Those by the learning rates; of SGD points then take half the memory.
    Rates,
    /// Those by every hyperparameter of a step.
    All,
}

/// How a run is taken back in the memory that is allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReversePlan {
    /// Steps of the run.
    pub horizon: u32,
    /// The derivatives that it finds.
    pub wanted: Wanted,
    /// Points that are saved at the same time.
    pub points: usize,
    /// Bytes of all of these.
    pub bytes_of_points: u64,
    /// Bytes in all, besides the data.
    pub bytes: u64,
    /// Steps taken forward in all.
    pub forward_steps: u64,
}

impl ReversePlan {
    /// True if no step is taken forward twice.
    pub fn stores_everything(&self) -> bool {
        self.forward_steps <= self.horizon.into()
    }
}

/// Less memory is allowed than one point takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLittle {
    /// The least that suffices, in bytes.
    pub least: u64,
}

/// What a run back found.
#[derive(Clone, Debug)]
pub struct ReverseHypergradient {
    /// The objective.
    pub objective: Objective<f64, 0>,
    /// The parameters at the end.
    pub parameters: Numbers,
    /// Digests of the values of parameters and state at the end, and of their adjoints at the
    /// start.
    pub digests: [Digest; 2],
    /// The derivative by α_k, for each step k; where layers have rates of their own, by those of a
    /// step together, the lowest layer's first.
    pub by_rate: Vec<f64>,
    /// The derivatives by the value that each step takes of another hyperparameter, where they were
    /// [`Wanted`].
    pub by_others: Vec<(Parameter, Vec<f64>)>,
}

impl ReverseHypergradient {
    /// The derivative by `parameter`, which was [`Wanted`], of training by `schedule`; zero where
    /// training does not depend on it.
    pub fn derivative(&self, schedule: &Schedule<f64>, parameter: Parameter) -> f64 {
        if schedule.family.parameters().contains(&parameter) {
            let rates = schedule.with_tangents([parameter]);
            return sum((0..).zip(&self.by_rate).map(|(k, by)| {
                let [tangent] = rates.learning_rate::<Libm>(k).tangents;
                by * tangent
            }));
        }
        let found = self.by_others.iter().find(|(other, _)| *other == parameter);
        found.map_or(0.0, |(_, by)| sum(by.iter().copied()))
    }
}

/// The learning rate of every step, and its momentum.
#[derive(Clone, Copy, Debug)]
pub enum Rates<'a> {
    /// Rates of a schedule, the optimiser's momentum.
    Schedule(&'a InverseTime<f64>),
    /// Each step's own; the momentum of an optimiser that has none is passed over.
    Entries(&'a Entries),
}

/// A training run of a problem that is taken back.
pub trait ReverseRun: Send {
    /// The plan for `horizon` steps in `memory` bytes.
    ///
    /// # Errors
    /// When that is less than one point takes.
    fn plan(&self, horizon: u32, memory: u64, wanted: Wanted) -> Result<ReversePlan, TooLittle>;

    /// Trains by `rates`, evaluates the objective, and takes all steps back, as long as `go_on`
    /// says so after each step, forward or back; `None` when it does not.
    ///
    /// # Errors
    /// When a step, the objective or a derivative leaves the finite range.
    fn run(
        &mut self,
        rates: Rates<'_>,
        plan: &ReversePlan,
        go_on: &mut dyn FnMut() -> bool,
    ) -> Result<Option<ReverseHypergradient>, Diverged>;
}

/// The object that steps back for the optimiser `O` in the float `T`.
type Model<T, O> =
    Box<dyn ReversibleModel<T, <O as Optimizer<T, 0>>::Update, <O as Reverse<T>>::Back>>;

/// A run in the float `T` with the optimiser `O`.
pub(super) struct Back<'a, T: Float, O: Reverse<T>> {
    pub problem: &'a Problem<'a>,
    pub model: Model<T, O>,
    pub optimizer: O,
    pub start: InitialParams,
}

impl<T: Float, O: Reverse<T>> Back<'_, T, O>
where
    Libm: Elementary<T>,
{
    /// True if steps back need the state of every point for these derivatives.
    fn with_state(wanted: Wanted) -> bool {
        O::ADJOINTS_TAKE_STATE || wanted == Wanted::All
    }

    /// The objective where the run stands, and its gradient as the adjoints.
    fn judge(&mut self, batch: &mut Batch<'_, T>) -> Result<Objective<f64, 0>, Diverged> {
        let problem = self.problem;
        let examples = sets(problem);
        let indices = problem.objective_indices();
        let found = objective(&mut *self.model.model(), batch, examples, &indices)?;
        self.model.begin_back();
        let count = T::from_u32(indices.len() as u32);
        for chunk in indices.chunks(problem.batch) {
            batch.fill(examples, chunk);
            let weight = T::from_u32(chunk.len() as u32) / count;
            self.model
                .add_gradient(batch, weight)
                .map_err(|NonFinite(quantity)| Diverged { step: None, quantity })?;
        }
        let loss = Dual::constant(found.loss.value.to_f64());
        Ok(Objective { loss, accuracy: found.accuracy.to_f64() })
    }
}

impl<T: Float, O: Reverse<T> + RunOptimizer<T, 0>> ReverseRun for Back<'_, T, O>
where
    Libm: Elementary<T>,
{
    fn plan(&self, horizon: u32, memory: u64, wanted: Wanted) -> Result<ReversePlan, TooLittle> {
        let batches = u64::from(horizon) * self.problem.batch as u64 * 4;
        let layers = self.problem.layers.len() as u64 - 1;
        let record = u64::from(horizon) * layers * (DERIVATIVES * size_of::<f64>()) as u64;
        let fixed = self.model.bytes() + batches + record;
        let free = memory.saturating_sub(fixed);
        let all = u64::from(horizon).saturating_add(u64::from(horizon == 0));
        // Where all points fit, the run is never restored to one.
        let each = self.model.bytes_of_a_point(Self::with_state(wanted));
        let (points, each) = if free / each >= all {
            (all, each)
        } else {
            let each = self.model.bytes_of_a_point(true);
            (free / each, each)
        };
        if points == 0 {
            return Err(TooLittle { least: fixed + each });
        }
        let bytes_of_points = points * each;
        let points = points as usize;
        let steps = horizon.saturating_add(1);
        Ok(ReversePlan {
            horizon,
            wanted,
            points,
            bytes_of_points,
            bytes: fixed + bytes_of_points,
            forward_steps: steps_forward(steps, points),
        })
    }

    fn run(
        &mut self,
        rates: Rates<'_>,
        plan: &ReversePlan,
        go_on: &mut dyn FnMut() -> bool,
    ) -> Result<Option<ReverseHypergradient>, Diverged> {
        restore_float_control();
        let (problem, horizon) = (self.problem, plan.horizon);
        let values = T::values(&self.start.0).expect("initial parameters are in its float");
        let parameters: Vec<_> = values.iter().map(|&x| Dual::constant(x)).collect();
        self.model.model().load(&parameters, &[]);
        let optimizer = self.optimizer;
        // Rates are rounded to the float once: of a schedule they are in it already.
        let coefficients = |k: u32| match rates {
            Rates::Schedule(numbers) => {
                (Cow::Owned(vec![problem.learning_rate(numbers, k)]), optimizer)
            }
            Rates::Entries(entries) => {
                let (rates, momentum) = entries.step(k as usize);
                (Cow::Borrowed(rates), optimizer.with_momentum(T::from_f64(momentum)))
            }
        };
        let each = match rates {
            Rates::Schedule(_) => 1,
            Rates::Entries(entries) => entries.rates_of_a_step(),
        };
        let batches = problem.batch_indices(horizon);
        let mut storage = HeapBatch::new(&problem.layers, problem.batch);
        let mut batch = storage.batch();
        let fill = |batch: &mut Batch<'_, T>, k: u32| {
            let first = k as usize * problem.batch;
            batch.fill(sets::<T>(problem), &batches[first..first + problem.batch]);
        };
        let with_state = Self::with_state(plan.wanted);
        let back = |k: u32| {
            let (rates, optimizer) = coefficients(k);
            let back = |rate: &f64| optimizer.back::<Libm>(k, T::from_f64(*rate));
            rates.iter().map(back).collect::<Vec<_>>()
        };
        let of_layer = |steps: Vec<O::Back>| move |layer| steps[if each == 1 { 0 } else { layer }];
        let mut end = None;
        let mut found = vec![[T::ZERO; DERIVATIVES]; each * horizon as usize];
        let mut actions = Checkpoints::new(horizon.saturating_add(1), plan.points).peekable();
        while let Some(action) = actions.next() {
            match action {
                Action::Advance(steps) => {
                    for k in steps {
                        fill(&mut batch, k);
                        let (rates, optimizer) = coefficients(k);
                        step_by_layer(self.model.model(), &batch, k, optimizer, &rates)?;
                        if !go_on() {
                            return Ok(None);
                        }
                    }
                }
                Action::Save(point, restores) => self.model.save(point, restores || with_state),
                Action::Restore(point) => self.model.restore(point),
                Action::Back(step, _) if step == horizon => {
                    let objective = self.judge(&mut batch)?;
                    let model = self.model.model();
                    let numbers = model.parameters().iter().map(|x| x.value).collect();
                    let digest = model.digest_values().expect("a step leaves finite numbers");
                    end = Some((objective, T::numbers(numbers), digest));
                }
                Action::Back(k, point) => {
                    fill(&mut batch, k);
                    let next = match actions.peek() {
                        Some(Action::Back(next, Some(point))) => {
                            Some((of_layer(back(*next)), *point))
                        }
                        _ => None,
                    };
                    let next =
                        next.as_ref().map(|(step, point)| (step as StepOfLayers<'_, _>, *point));
                    let by = &mut found[k as usize * each..][..each];
                    self.model
                        .step_back(&batch, (&of_layer(back(k)), point), next, by)
                        .map_err(|NonFinite(quantity)| Diverged { step: Some(k), quantity })?;
                    if !go_on() {
                        return Ok(None);
                    }
                }
            }
        }
        let (objective, parameters, values) = end.expect("the objective is taken back first");
        let mut adjoints = Digest::default();
        for adjoint in self.model.take_adjoints() {
            adjoints.add(adjoint).expect("a step back leaves finite numbers");
        }
        // What is no rate is shared by the layers.
        let shared = |place: usize| {
            let of_step = |layers: &[[T; DERIVATIVES]]| {
                let by = |layer: &[T; DERIVATIVES]| layer[place].to_f64();
                layers[1..].iter().fold(by(&layers[0]), |sum, layer| sum + by(layer))
            };
            found.chunks(each).map(of_step).collect()
        };
        let others = (1..).zip(optimizer.directions()).filter(|_| with_state);
        let others = others.filter_map(|(place, other)| Some((other?, shared(place))));
        Ok(Some(ReverseHypergradient {
            objective,
            parameters,
            digests: [values, adjoints],
            by_rate: found.iter().map(|by| by[0].to_f64()).collect(),
            by_others: others.collect(),
        }))
    }
}

/// The examples of the training file.
fn sets<'a, T: Float>(problem: &Problem<'a>) -> &'a ExampleSet<T> {
    &T::sets(problem.data).expect("data are in the problem's float").training
}
