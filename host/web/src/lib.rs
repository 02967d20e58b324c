//! What the explorer's page computes: one request as JSON in, one answer out.
//!
//! The numbers are those of `myopia-core` and `myopia-nqm`; here they are only asked for. The page
//! calls [`answer`] through four exports of the WebAssembly module (`abi`), in workers of its own.

// Clippy reads it on every machine; elsewhere it would not link.
#[cfg(any(target_arch = "wasm32", clippy))]
mod abi;
pub mod bits;
pub mod network;
pub mod quadratic;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// A request.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Task {
    /// What `myopia nqm --json` prints for the same options.
    Nqm {
        /// The options' words by name.
        options: BTreeMap<String, String>,
    },
    /// The same run with what the page draws besides.
    Run {
        /// The options' words by name.
        options: BTreeMap<String, String>,
    },
    /// The golden experiments.
    Verify {},
    /// Pictures of the first synthetic digits.
    Glyphs {
        /// How many.
        count: u32,
    },
    /// A meta-descent on the network.
    Meta(network::Descent),
    /// The objective over a plane of schedules.
    Surface(network::Plane),
    /// The learning rates of a schedule.
    Rates(network::Rates),
    /// Training with one schedule.
    Train(network::Training),
}

/// What hears of a task while it runs.
pub trait Listener: Sync {
    /// `done` of about `of` are done.
    fn progress(&self, done: f64, of: f64);
    /// A part of the answer, as JSON.
    fn part(&self, json: &str);
}

/// The answer to a request, as JSON.
///
/// # Errors
/// One sentence when it is not understood or has no answer.
pub fn answer(request: &str, listener: &dyn Listener) -> Result<String, String> {
    match task(request)? {
        // As the program prints it.
        Task::Nqm { options } => pretty(&quadratic::run(&options, listener)?.run),
        Task::Run { options } => compact(&quadratic::run(&options, listener)?),
        Task::Verify {} => compact(&bits::verify()),
        Task::Glyphs { count } => compact(&network::pictures(count)),
        Task::Meta(descent) => compact(&descent.run(listener)?),
        Task::Surface(plane) => compact(&plane.run(listener)?),
        Task::Rates(rates) => compact(&rates.run()?),
        Task::Train(training) => compact(&training.run(listener)?),
    }
}

/// The task of a request: an object that names it as `task`, its other fields beside that.
fn task(request: &str) -> Result<Task, String> {
    let wrong = |e| format!("the request: {e}");
    let mut fields: Map<String, Value> = serde_json::from_str(request).map_err(wrong)?;
    let Some(Value::String(name)) = fields.remove("task") else {
        return Err("the request names no task".into());
    };
    // Not serde's own tag, which loses numbers where any crate of the build asks serde_json for
    // arbitrary precision.
    serde_json::from_value(Map::from_iter([(name, fields.into())]).into()).map_err(wrong)
}

fn pretty(value: &impl Serialize) -> Result<String, String> {
    serde_json::to_string_pretty(value).map_err(|e| e.to_string())
}

fn compact(value: &impl Serialize) -> Result<String, String> {
    serde_json::to_string(value).map_err(|e| e.to_string())
}
