//! `myopia slurm`: a run as a job array of Slurm.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::error::ErrorKind;
use clap::{Args, Parser};
use serde::Serialize;

use super::options::Common;
use super::values::{whole, whole_up_to};
use super::{Program, config, refusal};
use myopia::failure::Failure;
use myopia::input::read_regular;
use myopia::output::{OutputFolder, json, standard};
use myopia::provenance::without;
use myopia::slurm::{self, ARRAY, MERGE, Request, Sweep};

/// Options of `myopia slurm`.
#[derive(Args, Debug)]
pub struct Options {
    /// Send the jobs with sbatch; else the scripts are written, and how to send them is printed
    #[arg(long)]
    submit: bool,
    /// Tasks of the array, each a shard
    #[arg(
        long, default_value_t = 8, value_name = "N", allow_negative_numbers = true,
        value_parser = whole_up_to::<u32>(1_000_000)
    )]
    tasks: u32,
    /// Time limit of a task, as sbatch takes it, such as 2:00:00 [default: the partition's]
    #[arg(long, value_name = "TIME")]
    time: Option<String>,
    /// Partition of the cluster [default: the cluster's]
    #[arg(long, value_name = "NAME")]
    partition: Option<String>,
    /// Memory of a task, such as 2G [default: the partition's]
    #[arg(long, value_name = "SIZE")]
    mem: Option<String>,
    /// Processors of a task, and its threads
    #[arg(
        long, default_value_t = 1, value_name = "N", allow_negative_numbers = true,
        value_parser = whole_up_to::<u16>(super::threads::MOST.into())
    )]
    cpus_per_task: u16,
    /// Seconds before the time limit at which a task is told to save and stop
    #[arg(
        long, default_value_t = 60, value_name = "SECONDS", allow_negative_numbers = true,
        value_parser = whole::<u16>
    )]
    grace: u16,
    /// How often a task that was stopped or killed may start again
    #[arg(
        long, default_value_t = 20, value_name = "N", allow_negative_numbers = true,
        value_parser = whole::<u32>
    )]
    restarts: u32,
    /// A further option of sbatch, such as --account=physics; give it several times for several
    #[arg(long, value_name = "OPTION", allow_hyphen_values = true)]
    sbatch: Vec<String>,
    /// The program that the tasks run [default: this one]
    #[arg(long, value_name = "FILE")]
    program: Option<PathBuf>,
    /// The command, with the folder of the whole result as its --out
    #[arg(last = true, required = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

/// What the command prints as JSON.
#[derive(Serialize)]
struct Report {
    folder: String,
    tasks: u32,
    /// The numbers of the jobs that were sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    jobs: Option<Jobs>,
}

#[derive(Serialize)]
struct Jobs {
    array: String,
    merge: String,
}

/// More bytes than a script has.
const LARGEST: u64 = 1 << 26;

impl Options {
    pub fn run(self, common: &Common) -> Result<(), Failure> {
        for (name, given) in [
            ("--seed", common.seed != 1),
            ("--threads", common.threads.is_some()),
            ("--isa", common.isa.is_some()),
        ] {
            if given {
                return Err(Failure::usage(format!(
                    "{name} is an option of the command; give it behind --"
                )));
            }
        }
        let (command, whole) = self.command()?;
        let place = env::current_dir().map_err(|e| Failure::io("find", Path::new("."), &e))?;
        let folder = place.join(common.out.clone().unwrap_or_else(|| beside(&whole)));
        if folder == place.join(&whole) {
            return Err(Failure::usage(format!(
                "--out {} is the folder of the whole result; give the jobs another",
                whole.display()
            )));
        }
        let sweep = Sweep {
            program: self.program(&place)?,
            place,
            folder,
            command,
            whole,
            tasks: self.tasks,
            request: self.request()?,
        };
        let scripts = [(ARRAY, sweep.array()?), (MERGE, sweep.merge()?)];
        if !is_there(&sweep.folder, &scripts) {
            // Of a sweep that is begun, else found out when all shards are done.
            if !OutputFolder::is_free(&sweep.whole)? {
                return Err(Failure::run(format!(
                    "{} already holds results; choose another --out behind --, or remove them",
                    sweep.whole.display()
                )));
            }
            write(&sweep.folder, common.force, &scripts)?;
        }
        let jobs = if self.submit { Some(submit(&sweep.folder)?) } else { None };
        let shown = common.out.clone().unwrap_or_else(|| beside(&sweep.whole));
        let folder = shown.display().to_string();
        if common.json {
            return json::print(&Report { folder, tasks: self.tasks, jobs });
        }
        let whole = sweep.whole.display();
        standard::print(|out| match &jobs {
            None => {
                writeln!(out, "{} tasks and their merge; submit them by", self.tasks)?;
                writeln!(out, "{}", slurm::by_hand(&shown))
            }
            Some(Jobs { array, merge }) => {
                writeln!(
                    out,
                    "job {array}: {} tasks, with shards and logs in {folder}",
                    self.tasks
                )?;
                writeln!(out, "job {merge}: joins them into {whole} when all are done")
            }
        })
    }

    /// The words of the command for each shard, and the folder of the whole.
    fn command(&self) -> Result<(Vec<OsString>, PathBuf), Failure> {
        let words = config::expanded(self.command.clone())?;
        let line = [OsString::from("myopia")].into_iter().chain(words.iter().cloned());
        let program = Program::try_parse_from(line).map_err(|e| match e.kind() {
            ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
                Failure::usage("the command behind -- only prints; give one that has --shard")
            }
            _ => Failure::usage(format!("in the command behind --: {}", refusal::sentence(e))),
        })?;
        match program.command.shard() {
            None => {
                return Err(Failure::usage(
                    "the command behind -- has no --shard; give one of surface, horizons and online",
                ));
            }
            Some(Some(shard)) => {
                return Err(Failure::usage(format!(
                    "each task has a --shard of its own; leave out --shard {shard}"
                )));
            }
            Some(None) => {}
        }
        if program.common.force {
            return Err(Failure::usage(
                "with --force a task that starts again would begin again; leave it out, and remove earlier results",
            ));
        }
        let whole = program.common.out.ok_or_else(|| {
            Failure::usage(
                "the command behind -- names no folder for the whole result; give it --out",
            )
        })?;
        let mut words = without(words, &["--out"], &["--resume", "--json"]);
        if program.common.threads.is_none() {
            words.extend(["--threads".into(), self.cpus_per_task.to_string().into()]);
        }
        Ok((words, whole))
    }

    /// The program that runs on the nodes.
    fn program(&self, place: &Path) -> Result<PathBuf, Failure> {
        if let Some(program) = &self.program {
            return Ok(place.join(program));
        }
        let own = env::current_exe().ok();
        // Inside an interpreter, it is not this one.
        let own = own.filter(|path| path.file_stem().is_some_and(|name| name == "myopia"));
        own.ok_or_else(|| {
            Failure::usage("it cannot be told what the tasks are to run; name it with --program")
        })
    }

    fn request(&self) -> Result<Request, Failure> {
        let named = [("time", &self.time), ("partition", &self.partition), ("mem", &self.mem)];
        let named = named
            .into_iter()
            .filter_map(|(name, value)| value.as_ref().map(|value| format!("--{name}={value}")));
        let options: Vec<String> = named.chain(self.sbatch.iter().cloned()).collect();
        for option in &options {
            if !option.starts_with('-') || option.contains(char::is_control) {
                return Err(Failure::usage(format!(
                    "--sbatch {option} is no option of sbatch; give such as --sbatch=--account=physics"
                )));
            }
        }
        let Self { cpus_per_task, grace, restarts, .. } = *self;
        Ok(Request { cpus_per_task, grace, restarts, options })
    }
}

/// The folder for jobs beside the one for the whole result.
fn beside(whole: &Path) -> PathBuf {
    let mut name = whole.file_name().unwrap_or_default().to_owned();
    name.push(".slurm");
    whole.with_file_name(name)
}

/// Whether these scripts are there: the sweep was begun.
fn is_there(folder: &Path, scripts: &[(&str, String)]) -> bool {
    let same = |(name, text): &(&str, String)| {
        read_regular(&folder.join(name), LARGEST).is_ok_and(|there| there == text.as_bytes())
    };
    scripts.iter().all(same)
}

/// Writes the scripts.
fn write(folder: &Path, force: bool, scripts: &[(&str, String)]) -> Result<(), Failure> {
    let folder = OutputFolder::create_at_once(folder, force)?;
    for (name, text) in scripts {
        folder.write(name, |w| w.write_all(text.as_bytes()))?;
    }
    folder.finish()
}

/// Submits the scripts in `folder`.
fn submit(folder: &Path) -> Result<Jobs, Failure> {
    let array = slurm::submit(&folder.join(ARRAY), &[])?;
    let after = slurm::after(&array);
    let options: Vec<&str> = after.iter().map(String::as_str).collect();
    match slurm::submit(&folder.join(MERGE), &options) {
        Ok(merge) => Ok(Jobs { array, merge }),
        Err(failure) => Err(Failure::run(format!(
            "job {array} was sent, and what joins its shards was not: {failure}; cancel the job by `scancel {array}`, or \
             join them later by {MERGE}"
        ))),
    }
}
