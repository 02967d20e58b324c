//! What training costs on a device: instructions per step and per multiply-accumulate, counted in
//! QEMU.

use std::ops::{Add, Div, Mul, Sub};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use std::{fmt, fs};

use myopia_backend::{HeapBatch, HeapNetwork, Isa};
use myopia_core::backend::Portable;
use myopia_core::experiments::cost::{INPUTS, STEPS, evaluate, prepare, train};
use myopia_core::experiments::{EXPERIMENTS, MetaDescentNet};
use myopia_core::schedule::{PARAMETERS, Parameter};
use myopia_core::vector::{F32x4, Vector};
use serde::Serialize;

use super::{Build, Emulation, Firmware, NotRun, Target, decode};
use crate::bench::diagnostics;
use crate::provenance;

/// The targets whose cost is counted.
pub const TARGETS: [&str; 4] = ["mps2-an385-v6m", "mps2-an385", "mps2-an386", "mps2-an500"];

/// The cost of one kind of training on one core.
#[derive(Debug, Clone, Serialize)]
pub struct Cost {
    /// The processor core.
    pub core: String,
    /// Tangents that are carried.
    pub tangents: usize,
    /// Where elementary functions come from.
    pub functions: String,
    /// Instructions of a step of training, its learning rate included.
    pub step: f64,
    /// Multiply-accumulates of a step, those of padded lanes included.
    pub products: f64,
    /// Instructions for each multiply-accumulate of a whole step.
    pub of_step: f64,
    /// The same in the inner loop of a forward product.
    pub forward: f64,
    /// The same in the inner loop of a gradient.
    pub gradient: f64,
}

/// How far micromath leads from libm: the two last schedules of the same meta-descent.
#[derive(Debug, Clone, Serialize)]
pub struct Accuracy {
    /// α₀, K and β by libm.
    pub libm: [f64; 3],
    /// α₀, K and β by micromath.
    pub micromath: [f64; 3],
}

/// Everything that `myopia verify --cost` finds.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// What the images were compiled by.
    pub compiler: String,
    /// The commit of the checkout, where there is one.
    pub commit: Option<String>,
    /// One row for each core, number of tangents and source of elementary functions.
    pub costs: Vec<Cost>,
    /// What micromath costs in accuracy.
    pub accuracy: Accuracy,
}

/// Four counted quantities: training and evaluation, with all inputs and with half of them.
#[derive(Debug, Clone, Copy)]
struct Counts {
    train: f64,
    train_half: f64,
    evaluate: f64,
    evaluate_half: f64,
}

impl Counts {
    /// What half the inputs add to an evaluation: the inner loop of the first layer's forward
    /// product.
    fn forward(self) -> f64 {
        self.evaluate - self.evaluate_half
    }

    /// What they add to the rest of a step: the inner loop of the first layer's gradient.
    fn gradient(self) -> f64 {
        self.train - self.train_half - self.forward()
    }
}

/// Counts on every one of `targets`.
///
/// # Errors
/// When a toolchain or an emulator is missing.
pub fn count(
    firmware: &Firmware,
    targets: &[&Target],
    patience: Duration,
) -> Result<Report, NotRun> {
    let products = [products::<0>([]), products::<3>(PARAMETERS)];
    let (mut compiler, mut costs) = (String::new(), Vec::new());
    for target in targets {
        let build = Build { binary: "cost", features: &["cost"], drill: None };
        let image = build.image(firmware, target)?;
        compiler = built_by(&image);
        let emulation = Emulation { drill: None, count_instructions: true, patience };
        let ran = emulation.run(firmware, target, &image)?;
        let lines = decode::text(&ran.output);
        let rows: Option<Vec<Cost>> = lines
            .iter()
            .filter(|line| line.starts_with("cost "))
            .map(|line| Cost::new(target, line, &products))
            .collect();
        match rows {
            Some(rows) if rows.len() == 4 && ran.ending == "exit status 0" => costs.extend(rows),
            _ => {
                let last = lines.last().unwrap_or(&ran.ending);
                return Err(NotRun(format!("the cost on {} was not counted: {last}", target.name)));
            }
        }
    }
    let commit = provenance::commit(&firmware.folder);
    Ok(Report { compiler, commit, costs, accuracy: Accuracy::new() })
}

impl Cost {
    fn new(target: &Target, line: &str, products: &[Counts; 2]) -> Option<Self> {
        let text = |name: &str| {
            line.split(' ').find_map(|word| word.strip_prefix(name)?.strip_prefix('='))
        };
        let number = |name: &str| text(name)?.parse::<f64>().ok();
        let tangents = text("tangents")?.parse().ok()?;
        let instructions = Counts {
            train: number("train")?,
            train_half: number("train_half")?,
            evaluate: number("evaluate")?,
            evaluate_half: number("evaluate_half")?,
        };
        let products = products.get(usize::from(tangents > 0))?;
        let steps = f64::from(STEPS);
        Some(Self {
            core: target.core.clone(),
            tangents,
            functions: text("functions")?.to_owned(),
            step: instructions.train / steps,
            products: products.train / steps,
            of_step: instructions.train / products.train,
            forward: instructions.forward() / products.forward(),
            gradient: instructions.gradient() / products.gradient(),
        })
    }
}

/// Who compiled `image`, as its debugging information says: "clang LLVM (rustc version …)".
fn built_by(image: &Path) -> String {
    let bytes = fs::read(image).unwrap_or_default();
    let mark = b"(rustc version ";
    let found = bytes.windows(mark.len()).position(|window| window == mark);
    let words = found.and_then(|at| bytes[at + 1..].split(|&byte| byte == 0).next());
    let words = words.and_then(|words| words.strip_suffix(b")"));
    words.map_or("an unknown compiler".into(), |words| String::from_utf8_lossy(words).into_owned())
}

impl Accuracy {
    fn new() -> Self {
        let run = diagnostics(Isa::Baseline).experiment;
        let last = |name: &str| {
            let mut schedule = [0.0; 3];
            for experiment in EXPERIMENTS.iter().filter(|experiment| experiment.name == name) {
                // A report is judged elsewhere.
                let _ = run(experiment, &mut |record| {
                    schedule = record.schedule.map(|bits| f64::from(f32::from_bits(bits as u32)));
                });
            }
            schedule
        };
        Self { libm: last("mlp-meta-descent"), micromath: last("mlp-meta-descent-micromath") }
    }
}

/// Four lanes that count their products.
#[derive(Clone, Copy, Debug, Default)]
struct Counting(F32x4);

static PRODUCTS: AtomicU64 = AtomicU64::new(0);

impl Add for Counting {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self(self.0 + other.0)
    }
}

impl Sub for Counting {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        Self(self.0 - other.0)
    }
}

impl Mul for Counting {
    type Output = Self;
    fn mul(self, other: Self) -> Self {
        PRODUCTS.fetch_add(F32x4::LANES as u64, Ordering::Relaxed);
        Self(self.0 * other.0)
    }
}

impl Div for Counting {
    type Output = Self;
    fn div(self, other: Self) -> Self {
        Self(self.0 / other.0)
    }
}

impl Vector for Counting {
    type Scalar = f32;
    const LANES: usize = F32x4::LANES;

    fn splat(x: f32) -> Self {
        Self(F32x4::splat(x))
    }
    fn lane(&self, lane: usize) -> f32 {
        self.0.lane(lane)
    }
    fn set_lane(&mut self, lane: usize, x: f32) {
        self.0.set_lane(lane, x);
    }
    fn select_positive(self, gate: Self) -> Self {
        Self(self.0.select_positive(gate.0))
    }
    fn positive_mask(self) -> usize {
        self.0.positive_mask()
    }
    fn from_mask(bits: usize) -> Self {
        Self(F32x4::from_mask(bits))
    }
    fn map_lanes(self, f: impl Fn(f32) -> f32) -> Self {
        Self(self.0.map_lanes(f))
    }
}

/// The multiply-accumulates of the work that the firmware counts instructions of.
fn products<const P: usize>(directions: [Parameter; P]) -> Counts {
    let counted = INPUTS.map(|inputs| {
        let mut storage =
            HeapNetwork::<Counting, P>::new(MetaDescentNet::SIZES, MetaDescentNet::BATCH)
                .expect("the experiments' networks are valid");
        let mut network = storage.network(Portable::<Counting>::new());
        let mut room = HeapBatch::new(MetaDescentNet::SIZES, MetaDescentNet::BATCH);
        let mut batch = room.batch();
        prepare(&mut network, &mut batch, inputs);
        let before = PRODUCTS.load(Ordering::Relaxed);
        evaluate(&mut network, &batch);
        let between = PRODUCTS.load(Ordering::Relaxed);
        train(&mut network, &batch, directions).expect("a few steps at a small rate stay finite");
        let after = PRODUCTS.load(Ordering::Relaxed);
        [after - between, between - before].map(|count| count as f64)
    });
    let [[train, evaluate], [train_half, evaluate_half]] = counted;
    Counts { train, train_half, evaluate, evaluate_half }
}

/// The report as Markdown: what `firmware/COST.md` holds.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (layers, batch) = (MetaDescentNet::SIZES, MetaDescentNet::BATCH);
        let layers = layers.iter().map(usize::to_string).collect::<Vec<_>>().join("-");
        writeln!(
            f,
            "# What training costs on a device\n\n\
             Written by `myopia verify --cost > firmware/COST.md` at commit {}, compiled by {}.\n\n\
             Instructions are counted by QEMU (`-icount shift=0`), the same at every run. A step trains the network {layers} \
             of the meta-descent experiment on {batch} examples whose inputs are all non-zero: forward, backward, update, \
             and the step's learning rate, with no tangents and with three. A multiply-accumulate is one product of two \
             floats and the sum it goes into, padded lanes included. The loops' columns are differences: what more non-zero \
             inputs add to the forward product and to the gradient of the first layer.\n\n\
             | core | tangents | functions | instructions per step | multiply-accumulates | instructions for each: whole step \
             | forward loop | gradient loop |\n\
             |---|---|---|---|---|---|---|---|",
            self.commit.as_deref().unwrap_or("unknown"),
            self.compiler
        )?;
        for cost in &self.costs {
            let Cost { core, tangents, functions, .. } = cost;
            writeln!(
                f,
                "| {core} | {tangents} | {functions} | {:.0} | {:.0} | {:.2} | {:.2} | {:.2} |",
                cost.step, cost.products, cost.of_step, cost.forward, cost.gradient
            )?;
        }
        writeln!(
            f,
            "\n## What micromath costs in accuracy\n\n\
             The schedule after the five meta-steps of `mlp-meta-descent`, and of `mlp-meta-descent-micromath`.\n\n\
             | parameter | libm | micromath | relative difference |\n|---|---|---|---|"
        )?;
        let Accuracy { libm, micromath } = self.accuracy;
        for ((name, libm), micromath) in ["α₀", "K", "β"].into_iter().zip(libm).zip(micromath) {
            let relative = (micromath - libm) / libm;
            writeln!(f, "| {name} | {libm:.7} | {micromath:.7} | {relative:.1e} |")?;
        }
        Ok(())
    }
}
