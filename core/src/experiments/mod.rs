//! Small experiments that any target can run, and the golden reports by which it is judged.
//!
//! The table is shared: the host, an emulated board and a real one run the same entries, from the
//! same seeds, and the numeric contract promises each of them the same [`Report`], bit for bit.
//! While an experiment runs it hands out [`Record`]s, so that two machines that disagree can say
//! from which step on, and in which quantity.
//!
//! The storage is the caller's ([`Full`], or [`Reduced`] for 16 KiB of RAM), so that a device may
//! keep it in a static.
//!
//! # Golden reports
//!
//! `golden.rs` is written by one command, which takes the sentence that says why the bits move:
//!
//! ```text
//! MYOPIA_MINT="Why the golden reports change." cargo test -p myopia-core --test experiments
//! ```

mod bilevel;
pub mod cost;
mod golden;
mod perceptron;
mod quadratic;
mod report;
mod workspace;

pub use quadratic::Quadratic;
pub use report::{Failed, Record, Report};
pub use workspace::{
    EXAMPLES, Full, Learner, MetaDescentNet, NormNet, Reduced, TrainingNet, Workspace,
};

use crate::bilevel::experiment::{HYPERPARAMETERS, WEIGHTS};
use crate::schedule::InverseTime;

/// What an experiment starts from.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Of everything random: directions, weights, examples and their order.
    pub seed: u64,
    /// The layers of the network; of a quadratic, how many directions it has; of a bilevel problem,
    /// its weights and hyperparameters.
    pub sizes: &'static [usize],
    /// T, the steps of training; of a bilevel problem, the outer ones.
    pub horizon: u32,
    /// Steps of meta-descent on α₀, K and β together; of the network with batch normalisation on
    /// α₀, ε and β₂ of Adam or on α₀, μ and ξ of SGD; without any, there is one record for each
    /// step of training.
    pub meta_steps: u32,
    /// The schedule it starts with.
    pub schedule: InverseTime<f32>,
}

/// What is run.
#[derive(Clone, Copy, Debug)]
enum Kind {
    MomentsF32,
    MomentsF64,
    QuadraticDescent,
    Training,
    Descent,
    DescentMicromath,
    Adam,
    Norm,
    Bilevel,
}

/// One entry of the table.
#[derive(Clone, Copy, Debug)]
pub struct Experiment {
    /// Its name, in lower case and with hyphens.
    pub name: &'static str,
    /// What it starts from.
    pub settings: Settings,
    /// What it must end in.
    pub golden: Report,
    kind: Kind,
}

impl Experiment {
    /// Whether [`Reduced`] has room for it.
    pub fn is_reduced(&self) -> bool {
        use Kind::{Adam, Bilevel, Descent, DescentMicromath, Norm};
        !matches!(self.kind, Descent | DescentMicromath | Adam | Norm | Bilevel)
    }

    /// Runs it from the start, whatever `workspace` held before; `record` sees each record as soon
    /// as it is known.
    pub fn run<W: Workspace>(
        &self,
        workspace: &mut W,
        mut record: impl FnMut(&Record),
    ) -> Result<Report, Failed> {
        let (settings, record) = (&self.settings, &mut record);
        match self.kind {
            Kind::MomentsF32 => {
                let (backend, quadratic) = workspace.quadratic_f32();
                quadratic.moments(backend, settings, record)
            }
            Kind::MomentsF64 => {
                let (backend, quadratic) = workspace.quadratic_f64();
                quadratic.moments(backend, settings, record)
            }
            Kind::QuadraticDescent => {
                let (backend, quadratic) = workspace.quadratic_f64();
                quadratic.descent(backend, settings, record)
            }
            Kind::Training => perceptron::training(workspace.training()?, settings, record),
            Kind::Descent => perceptron::descent(workspace.descent()?, settings, record),
            Kind::DescentMicromath => {
                perceptron::descent(workspace.descent_micromath()?, settings, record)
            }
            Kind::Adam => perceptron::adam(workspace.normalised()?, settings, record),
            Kind::Norm => perceptron::norm(workspace.normalised()?, settings, record),
            Kind::Bilevel => bilevel::descent(workspace.bilevel()?, settings, record),
        }
    }
}

/// The experiments for which a workspace of type `W` has room, in the order in which they run.
pub fn experiments<W: Workspace>() -> impl Iterator<Item = &'static Experiment> {
    EXPERIMENTS.iter().filter(|experiment| W::IS_FULL || experiment.is_reduced())
}

const QUADRATIC: InverseTime<f32> = InverseTime { alpha0: 0.2, time_constant: 10.0, beta: 0.5 };
const NETWORK: InverseTime<f32> = InverseTime { alpha0: 0.02, time_constant: 10.0, beta: 0.5 };

/// The outer rate, which stays.
const OUTER: InverseTime<f32> = InverseTime { alpha0: 0.1, time_constant: 1.0, beta: 0.0 };

/// All experiments.
pub static EXPERIMENTS: &[Experiment] = &[
    Experiment {
        name: "nqm-moments-f32",
        settings: Settings {
            seed: 1,
            sizes: &[workspace::DIRECTIONS],
            horizon: 20,
            meta_steps: 0,
            schedule: QUADRATIC,
        },
        golden: golden::NQM_MOMENTS_F32,
        kind: Kind::MomentsF32,
    },
    Experiment {
        name: "nqm-moments-f64",
        settings: Settings {
            seed: 1,
            sizes: &[workspace::DIRECTIONS],
            horizon: 20,
            meta_steps: 0,
            schedule: QUADRATIC,
        },
        golden: golden::NQM_MOMENTS_F64,
        kind: Kind::MomentsF64,
    },
    Experiment {
        name: "nqm-meta-descent",
        settings: Settings {
            seed: 2,
            sizes: &[workspace::DIRECTIONS],
            horizon: 20,
            meta_steps: 10,
            schedule: QUADRATIC,
        },
        golden: golden::NQM_META_DESCENT,
        kind: Kind::QuadraticDescent,
    },
    Experiment {
        name: "mlp-training",
        settings: Settings {
            seed: 3,
            sizes: workspace::TrainingNet::SIZES,
            horizon: 100,
            meta_steps: 0,
            schedule: NETWORK,
        },
        golden: golden::MLP_TRAINING,
        kind: Kind::Training,
    },
    Experiment {
        name: "mlp-meta-descent",
        settings: Settings {
            seed: 4,
            sizes: workspace::MetaDescentNet::SIZES,
            horizon: 10,
            meta_steps: 5,
            schedule: NETWORK,
        },
        golden: golden::MLP_META_DESCENT,
        kind: Kind::Descent,
    },
    Experiment {
        name: "mlp-meta-descent-micromath",
        settings: Settings {
            seed: 4,
            sizes: workspace::MetaDescentNet::SIZES,
            horizon: 10,
            meta_steps: 5,
            schedule: NETWORK,
        },
        golden: golden::MLP_META_DESCENT_MICROMATH,
        kind: Kind::DescentMicromath,
    },
    Experiment {
        name: "mlp-adam",
        settings: Settings {
            seed: 5,
            sizes: workspace::NormNet::SIZES,
            horizon: 30,
            meta_steps: 12,
            schedule: NETWORK,
        },
        golden: golden::MLP_ADAM,
        kind: Kind::Adam,
    },
    Experiment {
        name: "mlp-norm",
        settings: Settings {
            seed: 6,
            sizes: workspace::NormNet::SIZES,
            horizon: 20,
            meta_steps: 8,
            schedule: NETWORK,
        },
        golden: golden::MLP_NORM,
        kind: Kind::Norm,
    },
    Experiment {
        name: "bilevel-descent",
        settings: Settings {
            seed: 1,
            sizes: &[WEIGHTS, HYPERPARAMETERS],
            horizon: 20,
            meta_steps: 0,
            schedule: OUTER,
        },
        golden: golden::BILEVEL_DESCENT,
        kind: Kind::Bilevel,
    },
];
