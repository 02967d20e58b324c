//! What is trained and what it is judged by: data, network, batches, objective.

mod data;
mod examples;
mod lockstep;
mod online;
mod problem;
mod run;
mod snapshot;
mod source;

pub use data::{Data, Examples, Set, Sets};
pub use examples::ExampleSet;
pub use lockstep::LockstepRuns;
pub use online::{AdaptedRate, ShortUnroll};
pub use problem::{Hypergradient, ObjectiveSet, Problem, Stream, Tangents};
pub use run::TrainingRun;
pub use snapshot::{InitialParams, Snapshot};
pub use source::Source;
