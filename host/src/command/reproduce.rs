//! `myopia reproduce`: runs a published result again and compares the bits.

use std::path::{Path, PathBuf};

use clap::error::ErrorKind;
use clap::{Args, Parser};

use super::options::Common;
use super::{Command, Program};
use myopia::checkpoint;
use myopia::failure::Failure;
use myopia::output::{json, standard};
use myopia::provenance;
use myopia::published::{self, Manifest};

/// Options of `myopia reproduce`.
#[derive(Args, Debug)]
pub struct Options {
    /// Name of the result; left out, the names are listed
    name: Option<String>,
    /// Compare what comes out with what is published, bit for bit
    #[arg(long, requires = "name")]
    check: bool,
    /// Folder of published results [default: results, here or in a folder above]
    #[arg(long, value_name = "DIR")]
    results: Option<PathBuf>,
    /// Folder with the four MNIST files, gzipped or not
    #[arg(long, value_name = "DIR")]
    mnist_dir: Option<PathBuf>,
    /// Begin the run in --out, go on with it, or do nothing when it is finished
    #[arg(long, requires = "name")]
    resume: bool,
}

impl Options {
    pub fn run(self, common: &Common) -> Result<(), Failure> {
        let results = match &self.results {
            Some(folder) => folder.clone(),
            None => published::folder()?,
        };
        let Some(name) = &self.name else { return list(&results, common) };
        let manifest = Manifest::read(&results, name)?;
        // Without --out the run goes to a folder of its own, which is then compared and removed.
        let temporary = match (&common.out, self.check) {
            (Some(_), _) => None,
            (None, true) => Some(tempfile::tempdir().map_err(|e| {
                Failure::run(format!("could not make a temporary folder: {e}; name one with --out"))
            })?),
            (None, false) => {
                return Err(Failure::usage(
                    "name a folder for the results with --out, or give --check",
                ));
            }
        };
        let out = match (&temporary, &common.out) {
            (Some(folder), _) => folder.path().join(name),
            (None, Some(path)) => path.clone(),
            (None, None) => PathBuf::from(name),
        };
        if manifest.version != env!("CARGO_PKG_VERSION") {
            common.remark(format!(
                "{name} was published by myopia {}; the bits are promised for one version only",
                manifest.version
            ));
        }
        match self.rerun(common, &results, &manifest, &out) {
            // What was finished before is compared as well.
            Err(Failure::Done(_)) if self.check => {}
            rerun => rerun?,
        }
        if !self.check {
            return Ok(());
        }
        let count = manifest.compare(&results.join(name), &out)?;
        if common.json {
            return json::print(
                &serde_json::json!({ "name": name, "files": count, "equal": true }),
            );
        }
        standard::print(|o| writeln!(o, "{name}: {count} files, each equal to the published one"))
    }

    /// Runs the command of `manifest` into `out`, in this process.
    fn rerun(
        &self,
        common: &Common,
        results: &Path,
        manifest: &Manifest,
        out: &Path,
    ) -> Result<(), Failure> {
        let mut arguments = vec!["myopia".into()];
        arguments.extend(manifest.arguments(results));
        if let Some(folder) = &self.mnist_dir {
            arguments.extend(["--mnist-dir".into(), folder.clone().into_os_string()]);
        }
        let mut parsed = Err(clap::Error::new(ErrorKind::UnknownArgument));
        if self.resume {
            let resume = ["--resume".into()];
            parsed = Program::try_parse_from(arguments.iter().chain(&resume));
        }
        // Also where the command is too short to have a checkpoint.
        let resumes = parsed.is_ok();
        let mut program = parsed.or_else(|_| Program::try_parse_from(&arguments)).map_err(|e| {
            let why = e.to_string();
            let why =
                why.lines().next().unwrap_or_default().trim_start_matches("error: ").to_owned();
            Failure::run(format!(
                "this version does not understand the command of {}: {why}; use myopia {}",
                manifest.name, manifest.version
            ))
        })?;
        if matches!(program.command, Command::Reproduce(_) | Command::Data(_) | Command::Report(_))
        {
            return Err(Failure::run(format!(
                "the manifest of {} asks for a command that makes no result; restore it",
                manifest.name
            )));
        }
        provenance::set(manifest.command.iter().map(Into::into));
        if self.resume && !resumes {
            checkpoint::refuse_done_at_once(out)?;
        }
        program.common.out = Some(out.to_path_buf());
        program.common.quiet = common.quiet;
        program.common.force = common.force;
        program.common.isa = common.isa;
        // The threads are those of this process.
        program.common.threads = None;
        program.run()
    }
}

fn list(results: &Path, common: &Common) -> Result<(), Failure> {
    let manifests = published::all(results)?;
    if common.json {
        return json::print(&manifests);
    }
    let width = manifests.iter().map(|manifest| manifest.name.len()).max().unwrap_or(0);
    standard::print(|out| {
        for manifest in &manifests {
            let seconds = manifest.seconds;
            let time = if seconds < 120 {
                format!("{seconds} s")
            } else {
                format!("{} min", seconds / 60)
            };
            writeln!(
                out,
                "{:<width$}  {:>7}  myopia {}",
                manifest.name,
                time,
                manifest.command.join(" ")
            )?;
        }
        Ok(())
    })
}
