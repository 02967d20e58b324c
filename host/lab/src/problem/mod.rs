//! What is trained and what it is judged by: data, network, batches, objective.

mod checkpoints;
mod curvature;
mod data;
mod entries;
mod examples;
mod inner_problem;
mod lockstep;
mod online;
mod optimizer;
mod reverse;
mod run;
mod seeded;
mod snapshot;
mod source;
mod tangent;

pub use curvature::{Curvature, CurvatureMatrix, ROUNDING};
pub use data::{Data, Examples, Set, Sets};
pub use entries::Entries;
pub use examples::ExampleSet;
pub use inner_problem::{Hypergradient, MEAN, ObjectiveSet, Problem, Stream, Tangents, VARIANCE};
pub use lockstep::LockstepRuns;
pub use online::{AdaptedRate, ShortUnroll};
pub use optimizer::InnerOptimizer;
pub use reverse::{Rates, ReverseHypergradient, ReversePlan, ReverseRun, TooLittle, Wanted};
pub use run::TrainingRun;
pub use seeded::Seeded;
pub use snapshot::{InitialParams, Snapshot};
pub use source::{OwnFile, Source};
pub use tangent::Ended;
