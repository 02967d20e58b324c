//! What an output folder holds.

use std::fs;
use std::path::Path;

use serde_json::{Map, Value};

use super::Table;
use crate::failure::Failure;
use crate::input::read_regular;
use crate::output::folder::CHECKPOINT;
use crate::output::record::{Record, sha256};
use crate::shown;

/// The files of an output folder, each list by name.
#[derive(Debug, Default)]
pub struct Contents {
    /// Figures as SVG, and as PNG where there is one.
    pub figures: Vec<Figure>,
    /// Tables with their bytes.
    pub tables: Vec<(String, Table, Vec<u8>)>,
    /// JSON files.
    pub settings: Vec<Settings>,
    /// Every file's SHA-256.
    pub digests: Vec<(String, String)>,
    /// Whether the run that wrote them has not ended.
    pub unfinished: bool,
    /// The command line that makes them again, as the run that wrote them says.
    pub command: Option<String>,
    /// What was left out and why, a sentence each.
    pub remarks: Vec<String>,
}

/// A figure.
#[derive(Debug)]
pub struct Figure {
    /// Its file names without their ending.
    pub name: String,
    /// The SVG document.
    pub svg: String,
    /// The PNG file.
    pub png: Option<Vec<u8>>,
}

/// A JSON file: the settings of a command, and what came of it.
#[derive(Debug)]
pub struct Settings {
    /// Its name.
    pub name: String,
    /// Its fields; those of a surface's settings among them.
    pub fields: Map<String, Value>,
}

impl Settings {
    /// The command that wrote it, as far as that can be told.
    pub fn command(&self) -> Option<&str> {
        if let Some(Value::String(command)) = self.fields.get("command") {
            return Some(command);
        }
        match self.name.strip_suffix(".json")?.trim_end_matches(".partial") {
            "train" => Some("train"),
            "surface" | "shard" => Some("surface"),
            "nqm" => Some("nqm"),
            "meta" if self.fields.contains_key("best") => Some("meta"),
            "meta" if self.fields.contains_key("digest") => Some("hypergrad"),
            _ => None,
        }
    }
}

/// What the results of each command are called, without their endings: those of a folder whose run
/// left no record, as the published ones. A folder of strangers has none of these.
const RESULTS: [&str; 24] = [
    "biases",
    "compare",
    "distill",
    "edge",
    "game",
    "horizons",
    "hypergradient",
    "judges",
    "meta",
    "nqm",
    "online",
    "plan",
    "rates",
    "remedies",
    "reruns",
    "shard",
    "stn",
    "surface",
    "tour",
    "train",
    "training",
    "trajectory",
    "verify",
    "warm",
];

/// The most bytes of a file that a page takes in.
const LARGEST: u64 = 1 << 30;

/// The most of one that no command wrote: a page is there for the results.
const STRANGERS: u64 = 1 << 21;

impl Contents {
    /// What lies in `folder`. Files that no command wrote and that cannot be shown are left out
    /// with a remark, and so are links that lead out of the folder.
    ///
    /// # Errors
    /// When it cannot be read, holds no results, or holds a result that is damaged.
    pub fn read(folder: &Path) -> Result<Self, Failure> {
        let files = Files::of(folder)?;
        let record = Record::read(folder);
        let mut contents = Self {
            unfinished: files.names.iter().any(|n| n == CHECKPOINT),
            command: record.command.clone(),
            ..Self::default()
        };
        let mut any = false;
        for name in &files.names {
            let Some((stem, ending)) = name.rsplit_once('.') else { continue };
            if stem.is_empty() || !["csv", "json", "svg", "png"].contains(&ending) {
                continue;
            }
            let own = record.has(name) || is_result(stem);
            let bytes = match files.read(name, if own { LARGEST } else { STRANGERS }) {
                Ok(Some(bytes)) => bytes,
                Ok(None) => continue,
                Err(left_out) => {
                    contents.remarks.push(left_out);
                    continue;
                }
            };
            contents.unfinished |= stem.ends_with(".partial");
            any |= own;
            let png = match ending {
                "svg" => files.read(&format!("{stem}.png"), LARGEST).ok().flatten(),
                _ => None,
            };
            let taken = contents.take(name, bytes, png);
            if let Err((what, why)) = taken {
                let path = folder.join(name);
                let path = path.display();
                if own {
                    return Err(Failure::run(format!(
                        "{path} is not {what}: {why}; run the command again"
                    )));
                }
                contents.remarks.push(format!("{path} is left out: it is not {what} ({why})"));
            }
        }
        if !any {
            let (holds, advice) = match contents.unfinished {
                true => ("an unfinished run without results yet", "go on with it by --resume"),
                false => {
                    ("no results to report on", "name a folder that a command wrote with --out")
                }
            };
            let folder = folder.display();
            return Err(Failure::run(format!("{folder} holds {holds}; {advice}")));
        }
        Ok(contents)
    }

    /// Takes in the file `name`, a figure with its picture as `png`.
    ///
    /// # Errors
    /// What the file should be and why it is not that.
    pub fn take(
        &mut self,
        name: &str,
        bytes: Vec<u8>,
        png: Option<Vec<u8>>,
    ) -> Result<(), (&'static str, String)> {
        let digest = (name.to_owned(), sha256(&bytes));
        match name.rsplit_once('.') {
            Some((_, "csv")) => {
                let table = Table::read(&bytes).map_err(|e| ("a table", e.to_string()))?;
                self.tables.push((name.to_owned(), table, bytes));
            }
            Some((_, "json")) => {
                let value = serde_json::from_slice(&bytes).map_err(|e| ("JSON", e.to_string()))?;
                match value {
                    Value::Object(mut fields) => {
                        if let Some(Value::Object(nested)) = fields.remove("settings") {
                            fields.extend(nested);
                        }
                        self.settings.push(Settings { name: name.to_owned(), fields });
                    }
                    // One entry a run or a horizon: what they say is in the tables.
                    Value::Array(_) => {}
                    other => return Err(("a report", shown::name(&other.to_string()))),
                }
            }
            Some((stem, "svg")) => {
                let svg = String::from_utf8(bytes).map_err(|e| ("an SVG", e.to_string()))?;
                if !svg.contains("<svg") {
                    return Err(("an SVG", "it has no drawing in it".to_owned()));
                }
                self.figures.push(Figure { name: stem.to_owned(), svg, png });
            }
            _ => {}
        }
        self.digests.push(digest);
        Ok(())
    }

    /// The table of this name, finished or not.
    pub fn table(&self, stem: &str) -> Option<&Table> {
        let names = [format!("{stem}.csv"), format!("{stem}.partial.csv")];
        self.tables.iter().find(|(name, ..)| names.contains(name)).map(|(_, table, _)| table)
    }
}

/// Whether a file of this name without its ending is a result of some command.
fn is_result(stem: &str) -> bool {
    RESULTS.contains(&stem.trim_end_matches(".partial"))
}

/// The files of a folder.
struct Files<'a> {
    folder: &'a Path,
    names: Vec<String>,
}

impl<'a> Files<'a> {
    fn of(folder: &'a Path) -> Result<Self, Failure> {
        let failed = |e| Failure::io("read the folder", folder, &e);
        let mut names = Vec::new();
        for entry in fs::read_dir(folder).map_err(failed)? {
            names.extend(entry.map_err(failed)?.file_name().into_string().ok());
        }
        names.sort();
        Ok(Self { folder, names })
    }

    /// The bytes of the file `name`; nothing when there is no such regular file, and why it is left
    /// out when it is not taken in.
    fn read(&self, name: &str, most: u64) -> Result<Option<Vec<u8>>, String> {
        let path = self.folder.join(name);
        let Ok(found) = fs::symlink_metadata(&path) else { return Ok(None) };
        let left_out = |why: &str| format!("{} is left out: {why}", path.display());
        if found.is_symlink() {
            let inside = self
                .folder
                .canonicalize()
                .and_then(|folder| path.canonicalize().map(|path| path.starts_with(folder)));
            match inside {
                Ok(true) => {}
                Ok(false) => return Err(left_out("it is a link that leads out of the folder")),
                Err(_) => return Err(left_out("it is a link to what does not exist")),
            }
        }
        if path.is_dir() {
            return Ok(None);
        }
        read_regular(&path, most).map(Some).map_err(|e| left_out(&e.to_string()))
    }
}
