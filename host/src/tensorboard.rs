//! Curves as TensorBoard event files: each run a folder, each column of a table a scalar.
//!
//! An event file is a sequence of records, each its length (64 bits, little-endian), the masked CRC-32C of those eight bytes, a
//! protocol buffer `Event`, and the masked CRC-32C of that. No time of day enters: an event's time is its step in seconds,
//! so that the same curves give the same bytes.

use std::collections::BTreeMap;
use std::path::Path;

use prost::Message;

use crate::failure::Failure;
use crate::output::OutputFolder;
use crate::report::{Contents, Table};

/// The folder in an output folder that event files go to; TensorBoard's `--logdir`.
pub const FOLDER: &str = "tensorboard";

/// The name of each event file; TensorBoard looks for `tfevents` in it.
const FILE: &str = "events.out.tfevents.0.myopia";

#[derive(Clone, PartialEq, Message)]
struct Event {
    #[prost(double, tag = "1")]
    wall_time: f64,
    #[prost(int64, tag = "2")]
    step: i64,
    #[prost(string, optional, tag = "3")]
    file_version: Option<String>,
    #[prost(message, optional, tag = "5")]
    summary: Option<Summary>,
}

#[derive(Clone, PartialEq, Message)]
struct Summary {
    #[prost(message, repeated, tag = "1")]
    value: Vec<Scalar>,
}

#[derive(Clone, PartialEq, Message)]
struct Scalar {
    #[prost(string, tag = "1")]
    tag: String,
    #[prost(float, tag = "2")]
    simple_value: f32,
}

/// Columns that say which curve a row belongs to, and not what was measured.
const KEYS: [&str; 5] = ["study", "horizon", "start", "trial", "policy"];

/// Columns that count along a curve.
const STEPS: [&str; 2] = ["step", "meta_step"];

/// The curves in `contents`: for each run, its events in order.
fn runs(contents: &Contents) -> BTreeMap<String, Vec<Event>> {
    let mut runs: BTreeMap<String, Vec<Event>> = BTreeMap::new();
    for (name, table, _) in &contents.tables {
        let stem = name.trim_end_matches(".csv").trim_end_matches(".partial");
        let Some(counting) = STEPS.iter().find(|step| table.column(step).is_some()) else {
            continue;
        };
        let keys: Vec<&str> = KEYS.into_iter().filter(|key| table.column(key).is_some()).collect();
        for (key, rows) in table.groups(&keys) {
            let events = runs.entry(run(&keys, &key)).or_default();
            events.extend(rows.iter().filter_map(|row| event(stem, table, counting, row)));
        }
    }
    runs.retain(|_, events| !events.is_empty());
    runs
}

/// The folder name of a run: `horizon 100, start 1`, and `run` where a table holds one curve.
fn run(keys: &[&str], values: &[String]) -> String {
    let named = keys.iter().zip(values).map(|(key, value)| match *key {
        "trial" | "study" | "policy" => value.clone(),
        _ => format!("{key} {value}"),
    });
    let name = named.collect::<Vec<_>>().join(", ");
    if name.is_empty() { "run".to_owned() } else { name.replace(['/', '\\', ':'], "_") }
}

fn event(stem: &str, table: &Table, counting: &str, row: &[String]) -> Option<Event> {
    let step = table.number(row, counting)?;
    let measured = table
        .header
        .iter()
        .filter(|column| !KEYS.contains(&column.as_str()) && !STEPS.contains(&column.as_str()));
    let value = measured
        .filter_map(|column| {
            let value = table.number(row, column)? as f32;
            Some(Scalar { tag: format!("{stem}/{column}"), simple_value: value })
        })
        .collect();
    Some(Event {
        wall_time: step,
        step: step as i64,
        file_version: None,
        summary: Some(Summary { value }),
    })
}

/// The bytes of an event file.
fn file(events: &[Event]) -> Vec<u8> {
    let version = Event { file_version: Some("brain.Event:2".to_owned()), ..Event::default() };
    let mut bytes = Vec::new();
    for event in [&version].into_iter().chain(events) {
        let body = event.encode_to_vec();
        let length = (body.len() as u64).to_le_bytes();
        bytes.extend_from_slice(&length);
        bytes.extend_from_slice(&masked(&length).to_le_bytes());
        bytes.extend_from_slice(&body);
        bytes.extend_from_slice(&masked(&body).to_le_bytes());
    }
    bytes
}

/// The CRC-32C (Castagnoli), rotated and shifted as the format asks.
fn masked(bytes: &[u8]) -> u32 {
    crc32c::crc32c(bytes).rotate_right(15).wrapping_add(0xa282_ead8)
}

/// Writes the curves of the tables in `folder` as event files below it; returns how many runs there are.
///
/// # Errors
/// When the folder cannot be read, holds no curves, or cannot be written to.
pub fn write(folder: &Path) -> Result<usize, Failure> {
    let runs = runs(&Contents::read(folder)?);
    if runs.is_empty() {
        return Err(Failure::run(format!(
            "{} holds no curves for TensorBoard; name a folder with a table over steps or meta-steps",
            folder.display()
        )));
    }
    for (name, events) in &runs {
        let place = OutputFolder::create(&folder.join(FOLDER).join(name), true)?;
        let bytes = file(events);
        place.write(FILE, |w| w.write_all(&bytes))?;
    }
    Ok(runs.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The check value of the CRC-32C in the catalogue of parametrised algorithms, and TensorFlow's mask.
    #[test]
    fn records_are_checked_as_the_format_asks() {
        assert_eq!(crc32c::crc32c(b"123456789"), 0xe306_9283);
        assert_eq!(masked(b"123456789"), 0xc78a_b0e5);
        // The first record of every event file ever written by TensorFlow, but for its time.
        let bytes = file(&[]);
        assert_eq!(bytes[..8], 15u64.to_le_bytes());
        assert_eq!(bytes[12..27], *b"\x1a\x0dbrain.Event:2");
    }

    #[test]
    fn every_curve_is_a_run_and_every_column_a_scalar() {
        let table = |name: &str, text: &str| {
            (name.to_owned(), Table::read(text.as_bytes()).unwrap(), Vec::new())
        };
        let tables = vec![
            table("training.csv", "horizon,step,loss,note\n5,0,2.5,\n5,10,1.5,x\n9,0,2.25,\n"),
            table("horizons.csv", "horizon,alpha0\n5,1\n"),
            table("trajectory.csv", "meta_step,beta\n0,1\n"),
        ];
        let runs = runs(&Contents { tables, ..Contents::default() });
        assert_eq!(runs.keys().collect::<Vec<_>>(), ["horizon 5", "horizon 9", "run"]);
        let scalars = |run: &str| -> Vec<(i64, String, f32)> {
            let events = runs[run].iter();
            let of = |e: &Event| {
                let values = e.summary.clone().unwrap_or_default().value;
                values.into_iter().map(|v| (e.step, v.tag, v.simple_value)).collect::<Vec<_>>()
            };
            events.flat_map(of).collect()
        };
        let loss = "training/loss".to_owned();
        assert_eq!(scalars("horizon 5"), [(0, loss.clone(), 2.5), (10, loss, 1.5)]);
        assert_eq!(scalars("run"), [(0, "trajectory/beta".to_owned(), 1.0)]);
    }
}
