//! Long runs survive: their state is saved now and then, and a run that was stopped or killed goes
//! on from there to the same bits.
//!
//! A long run is a number of *units* worked on side by side: the cells of a surface, the descents
//! of a figure, or one training run. Each unit has a state of type `S`, anything that serde can
//! write: what it has found, or how far it has come ([`Snapshot`](crate::problem::Snapshot),
//! [`Progress`](crate::descent::Progress)). A [`Ledger`] holds the states of all units and saves
//! them together in one file of the output folder, whole or not at all.
//!
//! ```
//! # use myopia::{checkpoint::{Experiment, Keeper, Ledger, Opening}, failure::Failure, output::OutputFolder};
//! # use std::time::Duration;
//! # fn main() -> Result<(), Failure> {
//! # let root = tempfile::tempdir().unwrap();
//! # let (path, resume) = (root.path().join("out"), false);
//! let folder =
//!     if resume { OutputFolder::resume(&path)? } else { OutputFolder::create(&path, false)? };
//! let experiment = Experiment::new("count", &serde_json::json!({ "to": 1000 }));
//! let opening = Opening { resume, every: Duration::from_secs(15) };
//! let ledger = Ledger::open(Some(&folder), experiment, 1, opening)?;
//! let unit = ledger.unit(0);
//! let mut count = unit.state().unwrap_or(0u32); // where the last run left off
//! while count < 1000 {
//!     count += 1;
//!     unit.pause(|| count)?; // saves when it is time; Interrupted after Ctrl-C
//! }
//! folder.write("count.txt", |w| write!(w, "{count}"))?; // first the results,
//! ledger.finish()?; // then the checkpoint goes
//! # Ok(())
//! # }
//! ```
//!
//! States are written by `postcard`, bit for bit, which is not self-describing: a state must not
//! use serde's `flatten`, `untagged` or `skip_serializing_if`.

mod experiment;
mod file;
mod ledger;
mod shards;

pub use experiment::{Comparison, Experiment};
pub use file::{Contents, Trouble, decode, encode};
pub use ledger::{
    Keeper, Ledger, Opening, Unit, conclude, finished, refuse_done_at_once, refuse_finished,
};
pub use shards::{ShardReport, is_shard, report};
