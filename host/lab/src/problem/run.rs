//! One training run, which can be left and taken up again.

use std::iter::once;
use std::ops::Range;

use myopia_backend::{HeapBatch, StoredModel, restore_float_control};
use myopia_core::digest::{Digest, NotANumber};
use myopia_core::dual::Dual;
use myopia_core::elementary::{Elementary, Libm};
use myopia_core::family::Schedule;
use myopia_core::mlp::{Batch, NonFinite};
use myopia_core::optimizer::{Hyperparameters, Method, Momentum, Optimizer, Tunable};
use myopia_core::sampler::Sampler;
use myopia_core::schedule::{InverseTime, LearningRate, Parameter};
use myopia_core::unroll::{Diverged, InnerLoop, Objective, objective};

use super::{ExampleSet, InitialParams, Problem, Set, Sets, Snapshot, Stream};
use crate::precision::{Float, Numbers};

/// A training run of a problem. Numbers are widened to `f64`, which holds them exactly.
pub trait TrainingRun: Send {
    /// Steps trained.
    fn steps(&self) -> u32;

    /// Trains for the steps numbered `steps`, which go on where the last ones ended; `observe` is
    /// given each step's number, its learning rate and the mean loss of its batch before the
    /// update, in nats.
    ///
    /// # Errors
    /// When a step leaves the finite range.
    fn train(
        &mut self,
        schedule: &InverseTime<f64>,
        steps: Range<u32>,
        observe: &mut dyn FnMut(u32, f64, f64),
    ) -> Result<(), Diverged>;

    /// One step at this learning rate and momentum, where the optimiser has one, on the next batch:
    /// the mean loss of the batch before the update, in nats.
    ///
    /// # Errors
    /// When it leaves the finite range.
    fn step(&mut self, learning_rate: f64, momentum: f64) -> Result<f64, Diverged> {
        self.step_by_layer(&[learning_rate], momentum)
    }

    /// The same with a rate for each layer, the lowest first, or one for all.
    ///
    /// # Errors
    /// When it leaves the finite range.
    fn step_by_layer(&mut self, rates: &[f64], momentum: f64) -> Result<f64, Diverged>;

    /// One step on the next batch at `share` times the rate that `schedule` has in step `k`, with
    /// its tangents: the mean loss of the batch before the update, in nats.
    ///
    /// # Errors
    /// When it leaves the finite range.
    fn step_as(&mut self, schedule: &InverseTime<f64>, k: u32, share: f64)
    -> Result<f64, Diverged>;

    /// The mean loss of the batch that the next step takes, in nats, with its tangents.
    ///
    /// # Errors
    /// When it leaves the finite range.
    fn look(&mut self) -> Result<Dual<f64, 3>, Diverged>;

    /// Carries on a share ν of each tangent, nothing with a share of zero: of the parameters
    /// Z ← νZ, of SGD's velocity Z ← νZ + (1 − ν)v α̇/α, α being the rate that `schedule` has in
    /// step `k`, the last one.
    ///
    /// As α multiplies the velocity u = v/α of w ← w + αu, so does what is forgotten: what remains
    /// without tangents is the derivative along the whole last update.
    fn carry_tangents(&mut self, shares: [f64; 3], schedule: &InverseTime<f64>, k: u32);

    /// Moves the exponential average of the parameters, x̄ ← γx̄ + (1 − γ)w, which begins with the
    /// parameters of the first call.
    fn average(&mut self, gamma: f64);

    /// [`evaluate`](Self::evaluate) with the average in place of the parameters, if there is one.
    ///
    /// # Errors
    /// When the loss or a tangent of it is not finite.
    fn evaluate_average(
        &mut self,
        set: Set,
        indices: &[u32],
    ) -> Result<Objective<f64, 3>, Diverged>;

    /// Mean loss (its tangents are zero without tangents) and accuracy on the examples of `set`
    /// numbered `indices`.
    ///
    /// # Errors
    /// When the loss or a tangent of it is not finite.
    fn evaluate(&mut self, set: Set, indices: &[u32]) -> Result<Objective<f64, 3>, Diverged>;

    /// The run as it is.
    fn snapshot(&mut self) -> Snapshot;

    /// The values of the parameters.
    fn parameters(&mut self) -> Numbers;

    /// The values of the optimiser's state: of SGD the velocity.
    fn state(&mut self) -> Numbers;

    /// Digests of the values and of the tangents of parameters and velocity.
    fn digests(&mut self) -> [Digest; 2];
}

/// The optimiser of a run.
pub(super) trait RunOptimizer<T: Float, const P: usize>:
    Optimizer<T, P> + Send + 'static
{
    /// The same with this momentum, if it has one.
    fn with_momentum(self, momentum: T) -> Self;
}

impl<T: Float, const P: usize> RunOptimizer<T, P> for Momentum<T> {
    fn with_momentum(self, momentum: T) -> Self {
        Self(momentum)
    }
}

impl<T: Float, const P: usize> RunOptimizer<T, P> for Momentum<Dual<T, P>> {
    fn with_momentum(self, momentum: T) -> Self {
        Self(Dual::constant(momentum))
    }
}

impl<T: Float, const P: usize> RunOptimizer<T, P> for Hyperparameters<Dual<T, P>> {
    fn with_momentum(mut self, to: T) -> Self {
        match &mut self.method {
            Method::Sgd { momentum, .. } | Method::Rmsprop { momentum, .. } => {
                *momentum = Dual::constant(to);
            }
            Method::Adam { .. } => {}
        }
        self
    }
}

impl<T: Float, const P: usize> RunOptimizer<T, P> for Tunable<T, P> {
    fn with_momentum(self, momentum: T) -> Self {
        self.with_all(self.all().with_momentum(momentum))
    }
}

/// Step number `k` of `model` on `batch`, with a rate for each layer or one for all, in the float
/// that they have when rounded; returns the mean loss of the batch before the update.
pub(super) fn step_by_layer<T: Float, const P: usize, O: RunOptimizer<T, P>>(
    model: &mut dyn StoredModel<T, P, O::Update>,
    batch: &Batch<'_, T>,
    k: u32,
    optimizer: O,
    rates: &[f64],
) -> Result<T, Diverged>
where
    Libm: Elementary<T>,
{
    let update =
        |layer: usize| optimizer.update::<Libm>(k, Dual::constant(T::from_f64(rates[layer])));
    let loss = match rates.len() {
        1 => model.step(batch, update(0)),
        _ => model.step_by_layer(batch, &update),
    };
    let loss = loss.map_err(|NonFinite(quantity)| Diverged { step: Some(k), quantity })?;
    Ok(loss.value)
}

/// A run in the float `T` with P tangents and the optimiser `O`.
pub(super) struct Run<'a, T: Float, const P: usize, O: RunOptimizer<T, P>> {
    problem: &'a Problem<'a>,
    sets: &'a Sets<T>,
    pub(super) model: Box<dyn StoredModel<T, P, O::Update>>,
    optimizer: O,
    batch: HeapBatch<T>,
    sampler: Sampler<Vec<u32>>,
    directions: [Parameter; P],
    done: u32,
    /// The next step's batch where it was looked at.
    looked_at: Option<Vec<u32>>,
}

impl<'a, T: Float, const P: usize, O: RunOptimizer<T, P>> Run<'a, T, P, O>
where
    Libm: Elementary<T>,
{
    /// A run from `start` over `model`, its tangents the derivatives by `directions`.
    pub fn new(
        problem: &'a Problem<'a>,
        mut model: Box<dyn StoredModel<T, P, O::Update>>,
        optimizer: O,
        directions: [Parameter; P],
        start: &InitialParams,
        stream: Stream,
    ) -> Self {
        let values = T::values(&start.0).expect("initial parameters are in the problem's float");
        let parameters: Vec<_> = values.iter().map(|&x| Dual::constant(x)).collect();
        model.load(&parameters, &[]);
        Self {
            problem,
            sets: T::sets(problem.data).expect("data are in the problem's float"),
            model,
            optimizer,
            batch: HeapBatch::new(&problem.layers, problem.batch),
            sampler: problem.sampler(stream),
            directions,
            done: 0,
            looked_at: None,
        }
    }

    /// The run that `snapshot` was taken of; `None` when that was a run of another problem or
    /// number of tangents.
    pub fn restored(mut self, snapshot: &Snapshot) -> Option<Self> {
        let numbers = T::values(&snapshot.numbers)?;
        let duals: Vec<Dual<T, P>> = numbers
            .chunks_exact(P + 1)
            .map(|dual| Dual { value: dual[0], tangents: std::array::from_fn(|p| dual[p + 1]) })
            .collect();
        let (parameters, state) = duals.split_at_checked(self.problem.parameters())?;
        if state.len() != self.model.state().len() || !numbers.len().is_multiple_of(P + 1) {
            return None;
        }
        self.model.load(parameters, state);
        for _ in 0..snapshot.steps {
            self.sampler.next_batch(self.problem.batch);
        }
        self.done = snapshot.steps;
        Some(self)
    }

    /// Takes the steps numbered `steps` on `batches`, in place of drawing its own.
    pub fn train_on(
        &mut self,
        schedule: &Schedule<Dual<T, P>>,
        batches: &[Batch<'_, T>],
        steps: Range<u32>,
        observe: &mut dyn FnMut(u32, f64, f64),
    ) -> Result<(), Diverged> {
        let inner = self.inner_loop(*schedule);
        for (k, batch) in steps.zip(batches) {
            self.done = k + 1;
            let widened = |k, rate: T, loss: T| observe(k, rate.to_f64(), loss.to_f64());
            inner.step::<Libm, _, _, _>(&mut *self.model, batch, k, widened)?;
        }
        Ok(())
    }

    /// The problem's schedule by these numbers in the run's float, with its tangents.
    pub fn schedule(&self, numbers: &InverseTime<f64>) -> Schedule<Dual<T, P>> {
        self.problem.schedule(numbers).with_tangents(self.directions)
    }

    fn inner_loop(&self, schedule: Schedule<Dual<T, P>>) -> InnerLoop<Schedule<Dual<T, P>>, O> {
        InnerLoop { schedule, optimizer: self.optimizer, batch: self.problem.batch }
    }

    /// The numbers of the examples in the next batch.
    fn draw(&mut self) -> Vec<u32> {
        let next = || self.sampler.next_batch(self.problem.batch).to_vec();
        self.looked_at.take().unwrap_or_else(next)
    }

    fn examples(&self, set: Set) -> &'a ExampleSet<T> {
        match set {
            Set::Training => &self.sets.training,
            Set::Test => &self.sets.test,
        }
    }
}

impl<T: Float, const P: usize, O: RunOptimizer<T, P>> TrainingRun for Run<'_, T, P, O>
where
    Libm: Elementary<T>,
{
    fn steps(&self) -> u32 {
        self.done
    }

    fn train(
        &mut self,
        schedule: &InverseTime<f64>,
        steps: Range<u32>,
        observe: &mut dyn FnMut(u32, f64, f64),
    ) -> Result<(), Diverged> {
        if let Some(entries) = &self.problem.entries {
            for k in steps {
                let (rates, momentum) = entries.step(k as usize);
                observe(k, rates[0], self.step_by_layer(rates, momentum)?);
            }
            return Ok(());
        }
        restore_float_control();
        let inner = self.inner_loop(self.schedule(schedule));
        let mut widened = |k, rate: T, loss: T| observe(k, rate.to_f64(), loss.to_f64());
        let mut batch = self.batch.batch();
        let mut steps = steps;
        self.done = steps.end;
        if let Some(indices) = self.looked_at.take_if(|_| !steps.is_empty()) {
            let k = steps.start;
            steps.start += 1;
            batch.fill(&self.sets.training, &indices);
            inner.step::<Libm, _, _, _>(&mut *self.model, &batch, k, &mut widened)?;
        }
        let (model, sampler) = (&mut *self.model, &mut self.sampler);
        inner.run::<Libm, _, _, _>(model, &mut batch, sampler, &self.sets.training, steps, widened)
    }

    fn step_by_layer(&mut self, rates: &[f64], momentum: f64) -> Result<f64, Diverged> {
        restore_float_control();
        let optimizer = self.optimizer.with_momentum(T::from_f64(momentum));
        let indices = self.draw();
        let (mut batch, k) = (self.batch.batch(), self.done);
        batch.fill(&self.sets.training, &indices);
        self.done += 1;
        let loss = step_by_layer(&mut *self.model, &batch, k, optimizer, rates)?;
        Ok(loss.to_f64())
    }

    fn step_as(
        &mut self,
        schedule: &InverseTime<f64>,
        k: u32,
        share: f64,
    ) -> Result<f64, Diverged> {
        if let Some(entries) = &self.problem.entries {
            let (rates, momentum) = entries.step(k as usize);
            let rates: Vec<f64> = rates.iter().map(|rate| share * rate).collect();
            return self.step_by_layer(&rates, momentum);
        }
        restore_float_control();
        let rate = self.schedule(schedule).learning_rate::<Libm>(k).scaled(T::from_f64(share));
        let indices = self.draw();
        let (mut batch, k) = (self.batch.batch(), self.done);
        batch.fill(&self.sets.training, &indices);
        self.done += 1;
        let loss = self
            .model
            .step(&batch, self.optimizer.update::<Libm>(k, rate))
            .map_err(|NonFinite(quantity)| Diverged { step: Some(k), quantity })?;
        Ok(loss.value.to_f64())
    }

    fn look(&mut self) -> Result<Dual<f64, 3>, Diverged> {
        let indices = self.draw();
        let found = self.evaluate(Set::Training, &indices);
        self.looked_at = Some(indices);
        Ok(found?.loss)
    }

    fn carry_tangents(&mut self, shares: [f64; 3], schedule: &InverseTime<f64>, k: u32) {
        restore_float_control();
        let last = self.schedule(schedule).learning_rate::<Libm>(k);
        let share = |p: usize| shares.get(p).map_or(T::ONE, |&share| T::from_f64(share));
        let impulse = |p: usize| match last.value > T::ZERO {
            true => (T::ONE - share(p)) * (last.tangents[p] / last.value),
            false => T::ZERO,
        };
        self.model.carry_tangents(std::array::from_fn(share), std::array::from_fn(impulse));
    }

    fn average(&mut self, gamma: f64) {
        restore_float_control();
        self.model.average(T::from_f64(gamma));
    }

    fn evaluate_average(
        &mut self,
        set: Set,
        indices: &[u32],
    ) -> Result<Objective<f64, 3>, Diverged> {
        self.model.swap_average();
        let found = self.evaluate(set, indices);
        self.model.swap_average();
        found
    }

    fn evaluate(&mut self, set: Set, indices: &[u32]) -> Result<Objective<f64, 3>, Diverged> {
        restore_float_control();
        let examples = self.examples(set);
        let found = objective(&mut *self.model, &mut self.batch.batch(), examples, indices)?;
        let mut tangents = [0.0; 3];
        for (wide, tangent) in tangents.iter_mut().zip(found.loss.tangents) {
            *wide = tangent.to_f64();
        }
        let loss = Dual { value: found.loss.value.to_f64(), tangents };
        Ok(Objective { loss, accuracy: found.accuracy.to_f64() })
    }

    fn snapshot(&mut self) -> Snapshot {
        let flat = |dual: Dual<T, P>| once(dual.value).chain(dual.tangents);
        let mut numbers: Vec<T> = self.model.parameters().into_iter().flat_map(flat).collect();
        numbers.extend(self.model.state().into_iter().flat_map(flat));
        Snapshot { steps: self.done, numbers: T::numbers(numbers) }
    }

    fn parameters(&mut self) -> Numbers {
        T::numbers(self.model.parameters().iter().map(|x| x.value).collect())
    }

    fn state(&mut self) -> Numbers {
        T::numbers(self.model.state().iter().map(|x| x.value).collect())
    }

    fn digests(&mut self) -> [Digest; 2] {
        let digest = |digest: Result<Digest, NotANumber>| {
            digest.expect("a step that ends well leaves finite numbers")
        };
        [digest(self.model.digest_values()), digest(self.model.digest_tangents())]
    }
}
