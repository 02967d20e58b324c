//! A small network on synthetic digits: the problem of `myopia meta`, `surface` and `train` with
//! `--data glyphs`, in single precision.

use std::ops::Range;

use myopia_core::backend::Portable;
use myopia_core::dual::Dual;
use myopia_core::elementary::Libm;
use myopia_core::glyphs::{CLASSES, Glyphs, PIXELS};
use myopia_core::meta::{MetaDescent, Rule};
use myopia_core::mlp::{Batch, Dataset, HeapBatch, HeapNetwork, Network};
use myopia_core::optimizer::Momentum;
use myopia_core::rng::Pcg32;
use myopia_core::sampler::Sampler;
use myopia_core::schedule::{InverseTime, PARAMETERS, Parameter, geometric};
use myopia_core::unroll::{Diverged, InnerLoop, Objective, objective};
use myopia_core::vector::F32x4;
use serde::{Deserialize, Serialize};

use crate::Listener;

/// The program's split: 4,000 digits to train on, 1,000 held out, 1,000 to test.
const GLYPHS: Glyphs = Glyphs { seed: 1 };
const TRAINED_ON: usize = 4_000;
const HELD_OUT: Range<u32> = 4_000..5_000;
const TEST: Range<u32> = 5_000..6_000;
/// The streams of a seed.
const WEIGHTS: u64 = 0;
const BATCHES: u64 = 2;

/// The network and how its training is judged.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Problem {
    /// Units of the hidden layer.
    hidden: usize,
    /// Examples in a batch.
    batch: usize,
    /// μ.
    momentum: f32,
    /// Held-out examples by which a schedule is judged.
    judged_by: usize,
    /// The seed of weights and batches.
    seed: u64,
}

/// α_k = α₀/(1 + k/K)^β.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Schedule {
    alpha0: f32,
    time_constant: f32,
    beta: f32,
}

impl Schedule {
    fn checked(self) -> Result<InverseTime<f32>, String> {
        let Self { alpha0, time_constant, beta } = self;
        InverseTime::new(alpha0, time_constant, beta).map_err(|e| e.to_string())
    }
}

/// Digits drawn once.
struct Drawn(Vec<([f32; PIXELS], u16)>);

impl Drawn {
    fn new(count: u32) -> Self {
        Self((0..count).map(|index| GLYPHS.draw(index)).collect())
    }
}

impl Dataset<f32> for Drawn {
    fn append(&self, index: u32, batch: &mut Batch<'_, f32>) {
        if let Some((pixels, label)) = self.0.get(index as usize) {
            batch.push(*label, (0..).zip(*pixels));
        }
    }
}

/// A training run with P tangents over storage that is used again.
struct Trainer<'a, const P: usize> {
    problem: Problem,
    digits: &'a Drawn,
    network: HeapNetwork<F32x4, P>,
    batch: HeapBatch<f32>,
    sampler: Sampler<Vec<u32>>,
    directions: [Parameter; P],
}

impl<'a, const P: usize> Trainer<'a, P> {
    fn new(
        problem: Problem,
        digits: &'a Drawn,
        directions: [Parameter; P],
    ) -> Result<Self, String> {
        let Problem { hidden, batch, momentum, judged_by, .. } = problem;
        let within = |what: &str, number: usize, most: usize| match (1..=most).contains(&number) {
            true => Ok(()),
            false => Err(format!("{what} must be from 1 to {most}, not {number}")),
        };
        within("hidden units", hidden, 512)?;
        within("the batch", batch, 1_000)?;
        within("the digits to judge by", judged_by, HELD_OUT.len())?;
        if !(0.0..1.0).contains(&momentum) {
            return Err(format!(
                "momentum must be from 0 up to but not including 1, not {momentum}"
            ));
        }
        let sizes = [PIXELS, hidden, CLASSES];
        Ok(Self {
            problem,
            digits,
            network: HeapNetwork::new(&sizes, batch).map_err(|e| e.to_string())?,
            batch: HeapBatch::new(&sizes, batch),
            sampler: Sampler::new(Vec::new(), Pcg32::new(0, 0)),
            directions,
        })
    }

    /// Goes back to the initial weights and the first batch.
    fn start(&mut self) {
        let stream = |stream| Pcg32::new(self.problem.seed, stream);
        self.sampler = Sampler::new(vec![0; TRAINED_ON], stream(BATCHES));
        self.network.network(Portable::new()).initialise(&mut stream(WEIGHTS));
    }

    fn train(
        &mut self,
        schedule: InverseTime<f32>,
        steps: Range<u32>,
        observe: impl FnMut(u32, f32, f32),
    ) -> Result<(), Diverged> {
        let Problem { batch, momentum, .. } = self.problem;
        let schedule = schedule.with_tangents(self.directions);
        let inner = InnerLoop { schedule, optimizer: Momentum(momentum), batch };
        let mut network = self.network.network(Portable::new());
        let mut batch = self.batch.batch();
        inner.run::<Libm, _, _, _>(
            &mut network,
            &mut batch,
            &mut self.sampler,
            self.digits,
            steps,
            observe,
        )
    }

    fn evaluate(&mut self, indices: Range<u32>) -> Result<Objective<f32, P>, Diverged> {
        let indices: Vec<u32> = indices.collect();
        let mut network = self.network.network(Portable::new());
        objective(&mut network, &mut self.batch.batch(), self.digits, &indices)
    }

    /// The objective on the held-out digits.
    fn judge(&mut self) -> Result<Objective<f32, P>, Diverged> {
        self.evaluate(HELD_OUT.start..HELD_OUT.start + self.problem.judged_by as u32)
    }

    fn network(&mut self) -> Network<'_, Portable<F32x4>, P> {
        self.network.network(Portable::new())
    }
}

/// Steps between two reports of progress.
const STRIDE: u32 = 10;

/// A meta-descent by Adam.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Descent {
    problem: Problem,
    /// T, the steps of each unroll.
    horizon: u32,
    meta_steps: u32,
    /// On the logarithms of the parameters.
    meta_lr: f32,
    /// Where it starts.
    schedule: Schedule,
}

/// One meta-step, as the program writes it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Record {
    meta_step: u32,
    alpha0: f64,
    time_constant: f64,
    beta: f64,
    loss: f64,
    d_alpha0: f64,
    d_time_constant: f64,
    d_beta: f64,
}

impl Record {
    fn new(meta_step: u32, schedule: InverseTime<f32>, loss: Dual<f32, 3>) -> Self {
        let [alpha0, time_constant, beta] = schedule.parameters().map(f64::from);
        let [d_alpha0, d_time_constant, d_beta] = loss.tangents.map(f64::from);
        let loss = f64::from(loss.value);
        Self { meta_step, alpha0, time_constant, beta, loss, d_alpha0, d_time_constant, d_beta }
    }
}

impl Descent {
    /// Its records, each of which is told as it is found.
    ///
    /// # Errors
    /// A sentence when a number is out of range or an unroll diverges.
    pub fn run(self, listener: &dyn Listener) -> Result<Vec<Record>, String> {
        let Self { problem, horizon, meta_steps, meta_lr, schedule } = self;
        if horizon == 0 {
            return Err("the horizon must be at least one step".into());
        }
        if !(meta_lr > 0.0 && meta_lr <= 10.0) {
            return Err(format!(
                "the meta-learning rate must be above 0 and at most 10, not {meta_lr}"
            ));
        }
        let digits = Drawn::new(HELD_OUT.end);
        let mut trainer = Trainer::new(problem, &digits, PARAMETERS)?;
        let mut schedule = schedule.checked()?;
        let mut outer = MetaDescent::new(Rule::adam(), meta_lr, MetaDescent::default_limits());
        let of = f64::from(meta_steps + 1) * f64::from(horizon);
        let mut records = Vec::new();
        for meta_step in 0..=meta_steps {
            let before = f64::from(meta_step) * f64::from(horizon);
            trainer.start();
            let tell = |k: u32, _, _| {
                if k.is_multiple_of(STRIDE) {
                    listener.progress(before + f64::from(k), of);
                }
            };
            let found = trainer.train(schedule, 0..horizon, tell).and_then(|()| trainer.judge());
            let loss = found
                .map_err(|diverged| {
                    let InverseTime { alpha0, time_constant, beta } = schedule;
                    format!(
                        "meta-step {meta_step}: with α₀ = {alpha0}, K = {time_constant}, β = {beta} training diverged: \
                         {diverged}; start from a smaller α₀ or take smaller meta-steps"
                    )
                })?
                .loss;
            let record = Record::new(meta_step, schedule, loss);
            listener.part(&serde_json::to_string(&record).unwrap_or_default());
            records.push(record);
            schedule = outer.step::<Libm>(schedule, loss.tangents);
        }
        Ok(records)
    }
}

/// A grid of α₀ and β, evenly on logarithmic scales, at one K.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plane {
    problem: Problem,
    /// T, the steps after which a schedule is judged.
    horizon: u32,
    time_constant: f32,
    /// The lowest and the highest.
    alpha0: [f64; 2],
    /// The lowest and the highest.
    beta: [f64; 2],
    columns: u32,
    rows: u32,
}

/// A schedule of the grid, before it is rounded to single precision, and its objective.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Cell {
    alpha0: f64,
    beta: f64,
    /// None where training leaves the finite range.
    loss: Option<f64>,
}

impl Plane {
    /// Its cells row by row from the lowest values, each of which is told as it is found.
    ///
    /// # Errors
    /// A sentence when a number is out of range.
    pub fn run(self, listener: &dyn Listener) -> Result<Vec<Cell>, String> {
        let Self { problem, horizon, time_constant, columns, rows, .. } = self;
        for [low, high] in [self.alpha0, self.beta] {
            if !(low > 0.0 && low < high && high.is_finite()) {
                return Err("a range is two positive numbers, the lower first".into());
            }
        }
        if !((2..=100).contains(&columns) && (2..=100).contains(&rows)) {
            return Err(format!(
                "a grid has from 2 to 100 columns and rows, not {columns} and {rows}"
            ));
        }
        let digits = Drawn::new(HELD_OUT.end);
        let mut trainer = Trainer::<0>::new(problem, &digits, [])?;
        let place = |i: u32, count: u32| f64::from(i) / f64::from(count - 1);
        let mut cells = Vec::new();
        for j in 0..rows {
            let beta = geometric(self.beta[0], self.beta[1], place(j, rows));
            for i in 0..columns {
                let alpha0 = geometric(self.alpha0[0], self.alpha0[1], place(i, columns));
                let (a, b) = (alpha0 as f32, beta as f32);
                let schedule = Schedule { alpha0: a, time_constant, beta: b }.checked()?;
                trainer.start();
                let found = trainer.train(schedule, 0..horizon, |_, _, _| {});
                let found = found.and_then(|()| trainer.judge()).ok();
                let loss = found.map(|found| f64::from(found.loss.value));
                let cell = Cell { alpha0, beta, loss };
                listener.part(&serde_json::to_string(&cell).unwrap_or_default());
                cells.push(cell);
                listener.progress(cells.len() as f64, f64::from(rows * columns));
            }
        }
        Ok(cells)
    }
}

/// Learning rates of a schedule.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rates {
    schedule: Schedule,
    /// The steps k at which they are asked for.
    steps: Vec<u32>,
}

impl Rates {
    /// α_k at each of the steps.
    ///
    /// # Errors
    /// A sentence when a number is out of range.
    pub fn run(self) -> Result<Vec<f64>, String> {
        let schedule = self.schedule.checked()?.with_tangents([]);
        Ok(self.steps.iter().map(|&k| schedule.learning_rate::<Libm>(k).value.into()).collect())
    }
}

/// Training with one schedule.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Training {
    problem: Problem,
    schedule: Schedule,
    steps: u32,
    /// Steps between two looks at the held-out digits.
    every: u32,
}

/// Loss and accuracy on one set.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Judged {
    loss: f64,
    accuracy: f64,
}

impl<const P: usize> From<Objective<f32, P>> for Judged {
    fn from(found: Objective<f32, P>) -> Self {
        Self { loss: found.loss.value.into(), accuracy: found.accuracy.into() }
    }
}

/// A look at the held-out digits.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Look {
    step: u32,
    #[serde(flatten)]
    judged: Judged,
}

/// A run that ended.
#[derive(Clone, Debug, Serialize)]
pub struct Trained {
    curve: Vec<Look>,
    judged: Judged,
    test: Judged,
    /// Of parameters and velocity.
    digest: String,
}

impl Training {
    /// The run; looks at the held-out digits are told as they are taken.
    ///
    /// # Errors
    /// A sentence when a number is out of range or training diverges.
    pub fn run(self, listener: &dyn Listener) -> Result<Trained, String> {
        let Self { problem, schedule, steps, every } = self;
        let schedule = schedule.checked()?;
        if steps == 0 || every == 0 {
            return Err("give at least one step".into());
        }
        let digits = Drawn::new(TEST.end);
        let mut trainer = Trainer::<0>::new(problem, &digits, [])?;
        let diverged = |e: Diverged| format!("training diverged: {e}; lower α₀");
        trainer.start();
        let mut curve = Vec::new();
        let mut step = 0;
        loop {
            let judged = Judged::from(trainer.judge().map_err(diverged)?);
            let look = Look { step, judged };
            listener.part(&serde_json::to_string(&look).unwrap_or_default());
            listener.progress(step.into(), steps.into());
            curve.push(look);
            if step == steps {
                break;
            }
            let next = steps.min(step.saturating_add(every));
            trainer.train(schedule, step..next, |_, _, _| {}).map_err(diverged)?;
            step = next;
        }
        let test = trainer.evaluate(TEST).map_err(diverged)?.into();
        let digest = trainer.network().digest_values().map_err(|e| e.to_string())?.to_string();
        let judged = curve.last().map(|look| look.judged).ok_or("give at least one step")?;
        Ok(Trained { curve, judged, test, digest })
    }
}

/// A digit to be shown.
#[derive(Clone, Debug, Serialize)]
pub struct Picture {
    /// Row by row, in 0..=1.
    pixels: Vec<f32>,
    label: u16,
}

/// The first digits of the training set.
pub fn pictures(count: u32) -> Vec<Picture> {
    let picture =
        |(pixels, label): ([f32; PIXELS], u16)| Picture { pixels: pixels.to_vec(), label };
    (0..count.min(TRAINED_ON as u32)).map(|index| picture(GLYPHS.draw(index))).collect()
}
