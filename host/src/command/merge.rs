//! `myopia merge`: the shards of a surface joined.

use std::path::{Path, PathBuf};

use clap::Args;

use super::options::Common;
use myopia::checkpoint;
use myopia::failure::Failure;
use myopia::output::record::Record;
use myopia::output::{OutputFolder, json, standard};
use myopia::provenance;
use myopia::surface::{self, MergeError, Piece, merge};

/// Options of `myopia merge`.
#[derive(Args, Debug)]
pub struct Options {
    /// The folders that `myopia surface --shard` wrote, in any order
    #[arg(value_name = "DIR", required = true)]
    folders: Vec<PathBuf>,
}

impl Options {
    pub fn run(self, common: &Common) -> Result<(), Failure> {
        let Some(out) = &common.out else {
            return Err(Failure::usage(
                "merge needs a folder for the whole surface; name it with --out",
            ));
        };
        let place = |path: &Path| path.canonicalize().ok();
        let own = self.folders.iter().find(|folder| {
            place(folder).is_some_and(|folder| place(out).is_some_and(|out| out == folder))
        });
        if let Some(own) = own {
            return Err(Failure::usage(format!(
                "--out {} is one of the shards that are merged, which would be replaced; name another folder",
                own.display()
            )));
        }
        let pieces: Result<Vec<Piece>, MergeError> =
            self.folders.iter().map(|folder| Piece::read(folder)).collect();
        let (about, rows) = pieces.and_then(merge).map_err(advised)?;
        if let Some(line) = self.folders.first().and_then(|folder| Record::read(folder).command) {
            provenance::set_line(whole(&line));
        }
        let folder = OutputFolder::create_at_once(out, common.force)?;
        let report = surface::write(Some(&folder), &about, &rows, false)?;
        folder.finish()?;
        let whole = about.experiment().with("shard", None::<&str>);
        checkpoint::conclude(&folder, &whole)?;
        if common.json {
            return json::print(&report);
        }
        standard::print(|out| report.print(out))
    }
}

/// The command line of the whole surface that a shard's command line is of.
fn whole(line: &str) -> String {
    let mut words = line.split(' ');
    let mut kept = Vec::new();
    while let Some(word) = words.next() {
        match word {
            "--shard" => _ = words.next(),
            _ if word.starts_with("--shard=") => {}
            _ => kept.push(word),
        }
    }
    kept.join(" ")
}

/// The refusal with what to do about it.
fn advised(error: MergeError) -> Failure {
    let advice = match &error {
        MergeError::Unfinished(_) => "finish it with --resume before it is merged",
        MergeError::NoShard(_) => "name folders that `myopia surface --shard` wrote",
        MergeError::Damaged { .. } => "run that shard again",
        MergeError::Version { .. } => "merge with that version, or run that shard again",
        MergeError::Nothing => {
            return Failure::usage(format!("{error}; name the folders of all shards"));
        }
        MergeError::Different { .. } | MergeError::Twice { .. } => "leave one of them out",
        MergeError::Missing { .. } => "name the folders of all shards",
        MergeError::System(failure) => return failure.clone(),
    };
    Failure::run(format!("{error}; {advice}"))
}
