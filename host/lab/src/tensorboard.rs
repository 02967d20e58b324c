//! Curves as TensorBoard event files: each run a folder, each column of a table a scalar.
//!
//! An event file is a sequence of records, each its length (64 bits, little-endian), the masked
//! CRC-32C of those eight bytes, a protocol buffer `Event`, and the masked CRC-32C of that. No time
//! of day enters: an event's time is its step in seconds, so that the same curves give the same
//! bytes.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use prost::Message;

use crate::failure::Failure;
use crate::output::atomic;
use crate::output::record::{self, sha256};
use crate::report::{Contents, Table};
use crate::shown;

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
const KEYS: [&str; 13] = [
    "study",
    "schedule",
    "method",
    "dynamics",
    "horizon",
    "start",
    "trial",
    "policy",
    "judge",
    "seed",
    "lowest",
    "highest",
    "directions",
];

/// Columns that count along a curve.
const STEPS: [&str; 2] = ["step", "meta_step"];

/// The curves in `contents`: for each run, its events in order, whose steps ascend. Runs whose
/// names would be the same folder are told apart by a number, and so are curves that no column
/// tells apart.
fn runs(contents: &Contents) -> BTreeMap<String, Vec<Event>> {
    let mut runs: BTreeMap<String, Vec<Event>> = BTreeMap::new();
    // In small letters, as some file systems compare names, with what each is the name of.
    let mut taken: BTreeMap<String, String> = BTreeMap::new();
    for (name, table, _) in &contents.tables {
        let stem = name.trim_end_matches(".csv").trim_end_matches(".partial");
        let Some(counting) = STEPS.iter().find(|step| table.column(step).is_some()) else {
            continue;
        };
        let keys: Vec<&str> = KEYS.into_iter().filter(|key| table.column(key).is_some()).collect();
        let step = |row: &Vec<String>| table.number(row, counting).unwrap_or(f64::NEG_INFINITY);
        // Of each key: how many curves there were, and the last step.
        let mut curves: BTreeMap<String, (u32, f64)> = BTreeMap::new();
        let groups = table.groups(&keys).into_iter().flat_map(|(key, rows)| {
            let curves = rows.chunk_by(|a, b| step(a) < step(b));
            curves.map(move |rows| (key.clone(), rows))
        });
        for (key, rows) in groups {
            let mut full = run(&keys, &key);
            let (number, last) = curves.entry(full.clone()).or_insert((0, f64::INFINITY));
            if rows.first().is_some_and(|row| step(row) <= *last) {
                *number += 1;
            }
            *last = rows.last().map_or(*last, step);
            if *number > 1 {
                full = format!("{full}, curve {number}");
            }
            let plain = folder_name(&full);
            let mut name = plain.clone();
            for number in 2.. {
                let holder = taken.entry(name.to_lowercase()).or_insert_with(|| full.clone());
                if *holder == full {
                    break;
                }
                name = format!("{plain} ({number})");
            }
            let events = runs.entry(name).or_default();
            events.extend(rows.iter().filter_map(|row| event(stem, table, counting, row)));
        }
    }
    runs.retain(|_, events| !events.is_empty());
    runs
}

/// What a run is called: `horizon 100, start 1`, and `run` where a table holds one curve.
fn run(keys: &[&str], values: &[String]) -> String {
    let named = keys.iter().zip(values).map(|(key, value)| match *key {
        "trial" | "study" | "policy" | "schedule" | "method" | "dynamics" | "judge" => {
            value.clone()
        }
        _ => format!("{key} {value}"),
    });
    let name = named.collect::<Vec<_>>().join(", ");
    if name.is_empty() { "run".to_owned() } else { name }
}

/// The most characters of a folder's name.
const LONGEST: usize = 60;

/// The name as that of one folder on any system: no separator, no control character, no name that
/// means another place.
fn folder_name(name: &str) -> String {
    let plain = |c: char| match c {
        '/' | '\\' | ':' | '*' | '?' | '"' | '<' | '>' | '|' => '_',
        c if c.is_control() => '_',
        c => c,
    };
    let short: String = shown::escaped(name).chars().map(plain).take(LONGEST).collect();
    // Dots alone are this folder and the one above, and dots or spaces at an end are hidden or
    // dropped.
    let inner = short.trim_matches(['.', ' ']);
    let dots = |part: &str| "_".repeat(part.chars().count());
    let begin = short.len() - short.trim_start_matches(['.', ' ']).len();
    if inner.is_empty() {
        return if short.is_empty() { "run".to_owned() } else { dots(&short) };
    }
    format!("{}{inner}{}", dots(&short[..begin]), dots(&short[begin + inner.len()..]))
}

fn event(stem: &str, table: &Table, counting: &str, row: &[String]) -> Option<Event> {
    let step = table.number(row, counting)?;
    // By place: to look each name up would take the square of the number of columns.
    let measured = table.header.iter().zip(row).filter(|(column, _)| {
        !KEYS.contains(&column.as_str()) && !STEPS.contains(&column.as_str())
    });
    let value = measured
        .filter_map(|(column, cell)| {
            let value = cell.parse::<f64>().ok()? as f32;
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

/// Writes the curves of the tables in `contents` as event files, to [`FOLDER`] in the folder `to`;
/// returns how many runs there are.
///
/// # Errors
/// When there are no curves, or the folder cannot be written to.
pub fn write(contents: &Contents, to: &Path) -> Result<usize, Failure> {
    let runs = runs(contents);
    if runs.is_empty() {
        return Err(Failure::run(
            "there are no curves for TensorBoard; name a folder with a table over steps or meta-steps",
        ));
    }
    // Those of an earlier page whose curves are no more, or are called otherwise.
    let file_of = |name: &str| format!("{FOLDER}/{name}/{FILE}");
    let now: Vec<String> = runs.keys().map(|name| file_of(name)).collect();
    let below = format!("{FOLDER}/");
    record::forget(to, |name| name.starts_with(&below) && !now.iter().any(|own| own == name))
        .map_err(|e| Failure::io("write", &to.join(record::RECORD), &e))?;
    for (name, events) in &runs {
        let place = to.join(FOLDER).join(name);
        let path = place.join(FILE);
        let bytes = file(events);
        let written = fs::create_dir_all(&place)
            .and_then(|()| atomic::write(&path, |w| w.write_all(&bytes)))
            // They go with the results that they are of.
            .and_then(|()| record::add(to, &file_of(name), &sha256(&bytes)));
        written.map_err(|e| Failure::io("write", &path, &e))?;
    }
    Ok(runs.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The check value of the CRC-32C in the catalogue of parametrised algorithms, and TensorFlow's
    /// mask.
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

    #[test]
    fn curves_that_no_column_tells_apart_are_runs_of_their_own() {
        let fits = "method,step,error\nstn,0,1\nstn,1,2\ndelta-stn,0,3\n";
        let twice = "schedule,step,loss\ngreedy,0,1\ngreedy,1,2\ngreedy,0,3\nx,0,9\ngreedy,1,4\n\
                     greedy,1,5\n";
        let table = |name: &str, text: &str| {
            (name.to_owned(), Table::read(text.as_bytes()).unwrap(), Vec::new())
        };
        let tables = vec![table("fits.csv", fits), table("twice.csv", twice)];
        let runs = runs(&Contents { tables, ..Contents::default() });
        let counts: Vec<_> =
            runs.iter().map(|(name, events)| (name.as_str(), events.len())).collect();
        assert_eq!(
            counts,
            [
                ("delta-stn", 1),
                ("greedy", 2),
                ("greedy, curve 2", 2),
                ("greedy, curve 3", 1),
                ("stn", 2),
                ("x", 1),
            ]
        );
        for (name, events) in &runs {
            assert!(events.is_sorted_by(|a, b| a.step < b.step), "{name}");
        }
    }

    #[test]
    fn curves_that_are_no_more_go_with_their_folders() {
        let root = tempfile::tempdir().unwrap();
        let write_out = |text: &str| {
            let table = Table::read(text.as_bytes()).unwrap();
            let tables = vec![("curves.csv".to_owned(), table, Vec::new())];
            write(&Contents { tables, ..Contents::default() }, root.path()).unwrap();
            let entries = fs::read_dir(root.path().join(FOLDER)).unwrap();
            let mut names: Vec<_> =
                entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
            names.sort();
            names
        };
        assert_eq!(write_out("trial,step,loss\na,0,1\nb,0,2\n"), ["a", "b"]);
        fs::write(root.path().join(FOLDER).join("mine"), "").unwrap();
        assert_eq!(write_out("trial,step,loss\na,0,1\nc,0,2\n"), ["a", "c", "mine"]);
        let record = record::Record::read(root.path());
        assert_eq!(record.files.len(), 2, "{record:?}");
    }

    #[test]
    fn a_run_is_one_folder_below_whatever_it_is_called() {
        for name in [
            "..",
            ".",
            "...",
            "",
            " ",
            "../../x",
            "a/b",
            r"a\b",
            "/etc",
            ".hidden",
            "c:",
            "x\n\u{1b}[2J",
            "a.",
            "漢字",
        ] {
            let folder = folder_name(name);
            let parts: Vec<_> = Path::new(&folder).components().collect();
            assert!(matches!(parts[..], [std::path::Component::Normal(_)]), "{name:?}: {folder:?}");
            assert!(!folder.starts_with('.') && !folder.contains(char::is_control), "{folder:?}");
        }
        assert!(folder_name(&"漢".repeat(1000)).len() < 250);
        assert_eq!([folder_name("..x"), folder_name("x. ")], ["__x", "x__"]);
        assert_eq!(folder_name("fixed 0.1, momentum 0.9"), "fixed 0.1, momentum 0.9");
    }

    #[test]
    fn every_schedule_and_band_is_a_run_of_its_own_and_no_two_share_a_folder() {
        let text = "trial,step,loss\na/b,0,1\na_b,0,2\nA_b,0,3\na/b,1,4\n..,0,5\n";
        let bands = "schedule,lowest,highest,directions,step,loss_per_direction\n\
                     greedy,0,1,3,0,1\ngreedy,1,9,2,0,1\nconstant:0.1,0,1,3,0,1\n";
        let table = |name: &str, text: &str| {
            (name.to_owned(), Table::read(text.as_bytes()).unwrap(), Vec::new())
        };
        let tables = vec![table("curves.csv", text), table("bands.csv", bands)];
        let runs = runs(&Contents { tables, ..Contents::default() });
        let counts: Vec<_> =
            runs.iter().map(|(name, events)| (name.as_str(), events.len())).collect();
        assert_eq!(
            counts,
            [
                ("A_b (3)", 1),
                ("__", 1),
                ("a_b", 2),
                ("a_b (2)", 1),
                ("constant_0.1, lowest 0, highest 1, directions 3", 1),
                ("greedy, lowest 0, highest 1, directions 3", 1),
                ("greedy, lowest 1, highest 9, directions 2", 1),
            ]
        );
    }
}
