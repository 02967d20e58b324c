//! `myopia merge`: the shards of a run joined.

use std::path::{Path, PathBuf};

use clap::{Args, Parser};

use super::options::Common;
use super::{Command, Program};
use myopia::checkpoint;
use myopia::failure::Failure;
use myopia::output::record::Record;
use myopia::output::{OutputFolder, json, standard};
use myopia::provenance::{self, words};
use myopia::shard::MergeError;
use myopia::surface::{self, Piece, merge};

/// Options of `myopia merge`.
#[derive(Args, Debug)]
pub struct Options {
    /// The folders that the command with --shard wrote, in any order
    #[arg(value_name = "DIR", required = true)]
    folders: Vec<PathBuf>,
    /// Begin, go on, or do nothing when the whole is there
    #[arg(long)]
    resume: bool,
}

impl Options {
    pub fn run(self, common: &Common) -> Result<(), Failure> {
        let Some(out) = &common.out else {
            return Err(Failure::usage("merge needs a folder for the whole; name it with --out"));
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
        match self.folders.iter().find(|folder| checkpoint::is_shard(folder)) {
            Some(folder) => self.go_on(common, folder),
            None => self.surface(common, out),
        }
    }

    /// Joins the shards of a surface into `out`.
    fn surface(&self, common: &Common, out: &Path) -> Result<(), Failure> {
        let pieces: Result<Vec<Piece>, MergeError> =
            self.folders.iter().map(|folder| Piece::read(folder)).collect();
        let (about, runs) = pieces.and_then(merge).map_err(advised)?;
        if let Some(line) = self.folders.first().and_then(|folder| Record::read(folder).command) {
            provenance::set_line(whole(&line));
        }
        let experiment = about.experiment().with("shard", None::<&str>);
        let folder = match (self.resume, common.force) {
            (true, true) => {
                return Err(Failure::usage(
                    "--resume goes on with a merge and --force begins it again; give one of them",
                ));
            }
            (true, false) => OutputFolder::resume_at_once(out)?,
            (false, force) => OutputFolder::create_at_once(out, force)?,
        };
        if self.resume {
            checkpoint::refuse_finished(&folder, &experiment)?;
        }
        let report = surface::write(Some(&folder), &about, &runs, false)?;
        folder.finish()?;
        checkpoint::conclude(&folder, &experiment)?;
        if common.json {
            return json::print(&report);
        }
        standard::print(|out| report.print(out))
    }

    /// Runs the command whose shards these are, from what they hold; `folder` is one of them.
    fn go_on(&self, common: &Common, folder: &Path) -> Result<(), Failure> {
        let line = whole(&checkpoint::report(folder).map_err(advised)?.command);
        let strange = |why: &str| {
            Failure::run(format!(
                "{} does not say what it is a shard of: {why}; run that shard again",
                folder.display()
            ))
        };
        let arguments = words(&line).ok_or_else(|| strange("its command is no line of a shell"))?;
        let mut program = Program::try_parse_from(&arguments)
            .map_err(|e| strange(&super::refusal::sentence(e)))?;
        let (joined, resume) = match &mut program.command {
            Command::Horizons(options) => options.joining(),
            Command::Online(options) => options.joining(),
            _ => return Err(strange("its command has no such shards")),
        };
        *joined = self.folders.clone();
        *resume = self.resume;
        provenance::set_line(line);
        program.common.out.clone_from(&common.out);
        program.common.quiet = common.quiet;
        program.common.force = common.force;
        program.common.json = common.json;
        program.common.isa = common.isa;
        program.run()
    }
}

/// The command line of the whole run that a shard's command line is of.
fn whole(line: &str) -> String {
    let words = line.split(' ').map(Into::into);
    let words = provenance::without(words, &["--shard"], &[]);
    words.join(" ".as_ref()).to_string_lossy().into_owned()
}

/// The refusal with what to do about it.
pub fn advised(error: MergeError) -> Failure {
    let advice = match &error {
        MergeError::Unfinished(_) => "finish it with --resume before it is merged",
        MergeError::NoShard(_) => "name folders that a command with --shard wrote",
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
