//! What an output folder holds.

use std::fs;
use std::path::Path;

use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use super::Table;
use crate::failure::Failure;
use crate::output::folder::CHECKPOINT;

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
            "meta" if self.fields.contains_key("digest_tangents") => Some("hypergrad"),
            _ => None,
        }
    }
}

/// What the results of each command are called, without their endings: a folder of strangers has none of these.
const RESULTS: [&str; 12] = [
    "compare",
    "horizons",
    "meta",
    "nqm",
    "online",
    "shard",
    "surface",
    "tour",
    "train",
    "training",
    "trajectory",
    "verify",
];

impl Contents {
    /// What lies in `folder`.
    ///
    /// # Errors
    /// When it cannot be read, holds no results, or holds a table or a JSON file that is damaged.
    pub fn read(folder: &Path) -> Result<Self, Failure> {
        let entries =
            fs::read_dir(folder).map_err(|e| Failure::io("read the folder", folder, &e))?;
        let mut names = Vec::new();
        for entry in entries {
            let entry = entry.map_err(|e| Failure::io("read the folder", folder, &e))?;
            names.extend(entry.file_name().into_string().ok());
        }
        names.sort();
        let mut contents =
            Self { unfinished: names.iter().any(|n| n == CHECKPOINT), ..Self::default() };
        for name in &names {
            let path = folder.join(name);
            let read = || fs::read(&path).map_err(|e| Failure::io("read", &path, &e));
            let damaged = |what: &str, why: &dyn std::fmt::Display| {
                Failure::run(format!(
                    "{} is not {what}: {why}; run the command again",
                    path.display()
                ))
            };
            let Some((stem, ending)) = name.rsplit_once('.') else { continue };
            if stem.is_empty()
                || !path.is_file()
                || !["csv", "json", "svg", "png"].contains(&ending)
            {
                continue;
            }
            contents.unfinished |= stem.ends_with(".partial");
            let bytes = read()?;
            contents.digests.push((name.clone(), sha256(&bytes)));
            match ending {
                "csv" => {
                    let table = Table::read(&bytes).map_err(|e| damaged("a table", &e))?;
                    contents.tables.push((name.clone(), table, bytes));
                }
                "json" => {
                    let value = serde_json::from_slice(&bytes);
                    let mut fields = match value.map_err(|e| damaged("JSON", &e))? {
                        Value::Object(fields) => fields,
                        // One entry a run or a horizon: what they say is in the tables.
                        Value::Array(_) => continue,
                        other => return Err(damaged("a report", &other)),
                    };
                    if let Some(Value::Object(nested)) = fields.remove("settings") {
                        fields.extend(nested);
                    }
                    contents.settings.push(Settings { name: name.clone(), fields });
                }
                "svg" => {
                    let svg = String::from_utf8(bytes).map_err(|e| damaged("an SVG", &e))?;
                    let png = fs::read(folder.join(format!("{stem}.png"))).ok();
                    contents.figures.push(Figure { name: stem.to_owned(), svg, png });
                }
                _ => {}
            }
        }
        let stem = |name: &String| name.split('.').next().is_some_and(|s| RESULTS.contains(&s));
        if !names.iter().any(stem) {
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

    /// The table of this name, finished or not.
    pub fn table(&self, stem: &str) -> Option<&Table> {
        let names = [format!("{stem}.csv"), format!("{stem}.partial.csv")];
        self.tables.iter().find(|(name, ..)| names.contains(name)).map(|(_, table, _)| table)
    }
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}
