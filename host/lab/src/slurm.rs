//! Batch scripts for Slurm: a job array whose tasks are the shards of one run, and a job that joins
//! them.
//!
//! A task that is stopped or killed is requeued and goes on from its checkpoint. The program runs
//! as a job step, since Slurm's warnings (`--signal`, the grace of a preemption) go to steps and
//! not to the script; the script has no trap of its own, so that `scancel` ends it before it could
//! requeue what was cancelled.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::failure::{Failure, INTERRUPTED};
use crate::provenance::quoted;
use crate::shown;

/// A run as jobs.
#[derive(Clone, Debug)]
pub struct Sweep {
    /// The program.
    pub program: PathBuf,
    /// Where it runs: what relative paths start from.
    pub place: PathBuf,
    /// The folder of scripts, shards and logs, absolute.
    pub folder: PathBuf,
    /// The command and its options, without folders and shards.
    pub command: Vec<OsString>,
    /// The folder of the whole result.
    pub whole: PathBuf,
    /// How many shards there are.
    pub tasks: u32,
    /// What each job asks for.
    pub request: Request,
}

/// What a job asks the scheduler for.
#[derive(Clone, Debug)]
pub struct Request {
    /// Processors of a task.
    pub cpus_per_task: u16,
    /// Seconds between the warning and the end.
    pub grace: u16,
    /// How often a task may start again.
    pub restarts: u32,
    /// Further options of sbatch, one a line.
    pub options: Vec<String>,
}

/// The names of the scripts.
pub const ARRAY: &str = "array.sh";
/// See above.
pub const MERGE: &str = "merge.sh";

/// The number of a task, where the shell puts it.
const TASK: &str = "\"$SLURM_ARRAY_TASK_ID\"";

impl Sweep {
    /// The folder of the shard `number`.
    fn shard(&self, number: u32) -> PathBuf {
        self.folder.join(format!("shard-{number}"))
    }

    /// The script of the array: task i of N is shard i/N.
    ///
    /// # Errors
    /// When the path of the folder cannot stand in a script.
    pub fn array(&self) -> Result<String, Failure> {
        let Self { folder, tasks, command, .. } = self;
        let words: Vec<String> = command.iter().map(|word| quoted(word)).collect();
        let shards = quoted(folder.join("shard-").as_os_str());
        let line =
            format!("{} --shard {TASK}/{tasks} --out {shards}{TASK} --resume", words.join(" "));
        self.script(&format!("--array=1-{tasks}"), "task-%a.log", &line)
    }

    /// The script of the job that joins the shards.
    ///
    /// # Errors
    /// When the path of the folder cannot stand in a script.
    pub fn merge(&self) -> Result<String, Failure> {
        let shards: Vec<String> =
            (1..=self.tasks).map(|number| quoted(self.shard(number).as_os_str())).collect();
        let whole = quoted(self.whole.as_os_str());
        let threads = self.request.cpus_per_task;
        let line = format!("merge {} --out {whole} --resume --threads {threads}", shards.join(" "));
        self.script("--job-name=myopia-merge", "merge.log", &line)
    }

    /// A script that runs the program with `line`.
    fn script(&self, option: &str, log: &str, line: &str) -> Result<String, Failure> {
        let Request { cpus_per_task, grace, restarts, options } = &self.request;
        let log = pattern(&self.folder, log)?;
        let options: String = options.iter().map(|option| format!("#SBATCH {option}\n")).collect();
        let place = quoted(self.place.as_os_str());
        let program = quoted(self.program.as_os_str());
        Ok(format!(
            "#!/bin/bash
# Written by `myopia slurm`. What is done stays done: it may be submitted again after a failure.
#SBATCH --job-name=myopia
#SBATCH {option}
#SBATCH --nodes=1
#SBATCH --ntasks=1
#SBATCH --cpus-per-task={cpus_per_task}
#SBATCH --requeue
#SBATCH --signal=TERM@{grace}
#SBATCH --open-mode=append
#SBATCH {log}
{options}
cd -- {place} || exit 1
srun --nodes=1 --ntasks=1 --cpus-per-task={cpus_per_task} --mpi=none \\
    {program} {line}
status=$?

# {INTERRUPTED}: asked to stop, and saved. Above 128: ended by a signal. Anything else would come again.
if [ $status -ne {INTERRUPTED} ] && [ $status -le 128 ]; then
    exit $status
fi
if [ \"${{SLURM_RESTART_COUNT:-0}}\" -ge {restarts} ]; then
    echo \"stopped with status $status, after {restarts} restarts: submit it again to go on\" >&2
    exit $status
fi
echo \"stopped with status $status: requeued, to go on from the checkpoint\" >&2
# By the numbers of array and task: the last task's own number is that of the whole array.
scontrol requeue \"${{SLURM_ARRAY_JOB_ID:+${{SLURM_ARRAY_JOB_ID}}_}}${{SLURM_ARRAY_TASK_ID:-$SLURM_JOB_ID}}\"
exit $status
"
        ))
    }
}

/// The name of a log below `folder` as sbatch reads it, in which %% is a percent sign.
fn pattern(folder: &Path, log: &str) -> Result<String, Failure> {
    let refused = |what: &str| {
        Failure::usage(format!(
            "{} has {what} in its name, which a batch script cannot say; choose another --out",
            folder.display()
        ))
    };
    let text = folder.to_str().ok_or_else(|| refused("bytes that are no text"))?;
    if text.contains(char::is_control) {
        return Err(refused("a control character"));
    }
    // Slurm fills in no pattern where the name has one.
    if text.contains('\\') {
        return Err(refused("a backslash"));
    }
    Ok(directive("output", &format!("{}/{log}", text.replace('%', "%%"))))
}

/// The option `name` with `value` as a line of a batch script has it: sbatch knows both kinds of
/// quotes there, and no backslash.
pub fn directive(name: &str, value: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./,:=+@%".contains(c);
    match value.chars().all(is_plain) {
        true => format!("--{name}={value}"),
        false => format!("--{name}='{}'", value.replace('\'', r#"'"'"'"#)),
    }
}

/// Submits the script with these options of sbatch; the job's number.
///
/// # Errors
/// When there is no sbatch, or it refuses the job.
pub fn submit(script: &Path, options: &[&str]) -> Result<String, Failure> {
    let mut sbatch = Command::new("sbatch");
    let output = sbatch.arg("--parsable").args(options).arg(script).output();
    let output = output.map_err(|e| match e.kind() {
        io::ErrorKind::NotFound => Failure::run(
            "there is no sbatch on PATH; submit where Slurm is, or leave out --submit for the scripts alone",
        ),
        _ => Failure::run(format!("sbatch could not be run: {e}; submit the scripts by hand")),
    })?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    // With several clusters, the number is followed by the cluster's name.
    let said = text(&output.stdout);
    let number = said.split(';').next().unwrap_or_default();
    let is_number = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    if output.status.success() && is_number {
        return Ok(number.to_owned());
    }
    let why = text(&output.stderr);
    let why = why.lines().last().unwrap_or("it gives no reason");
    Err(Failure::run(format!(
        "sbatch refuses {}: {}; change the options of `myopia slurm` or submit by hand",
        script.display(),
        shown::name(why.trim_start_matches("sbatch: ").trim_start_matches("error: "))
    )))
}

/// The options with which a job waits until all tasks of the job `array` are done, and goes when
/// one of them fails.
pub fn after(array: &str) -> [String; 2] {
    [format!("--dependency=afterok:{array}"), "--kill-on-invalid-dep=yes".to_owned()]
}

/// What a shell is given to submit the scripts in `folder`.
pub fn by_hand(folder: &Path) -> String {
    let [array, merge] = [ARRAY, MERGE].map(|name| quoted(folder.join(name).as_os_str()));
    format!("sbatch {} {merge}", after(&format!("$(sbatch --parsable {array})")).join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sweep(folder: &str) -> Sweep {
        Sweep {
            program: "/opt/my tools/myopia".into(),
            place: "/home/me/it's here".into(),
            folder: folder.into(),
            command: ["surface", "--data", "npz:my file.npz"].map(OsString::from).to_vec(),
            whole: "the whole".into(),
            tasks: 3,
            request: Request {
                cpus_per_task: 2,
                grace: 60,
                restarts: 5,
                options: vec!["--time=1:00".into(), "--mem=2G".into()],
            },
        }
    }

    #[test]
    fn the_scripts_say_what_is_run_and_asked_for() {
        let array = sweep("/home/me/sweep.slurm").array().unwrap();
        for line in [
            "#SBATCH --array=1-3",
            "#SBATCH --cpus-per-task=2",
            "#SBATCH --signal=TERM@60",
            "#SBATCH --output=/home/me/sweep.slurm/task-%a.log",
            "#SBATCH --time=1:00",
            "#SBATCH --mem=2G",
            r"cd -- '/home/me/it'\''s here' || exit 1",
            "    '/opt/my tools/myopia' surface --data 'npz:my file.npz' --shard \"$SLURM_ARRAY_TASK_ID\"/3 \
             --out /home/me/sweep.slurm/shard-\"$SLURM_ARRAY_TASK_ID\" --resume",
        ] {
            assert!(array.lines().any(|own| own == line), "{line}\n{array}");
        }
        let merge = sweep("/home/me/a b").merge().unwrap();
        let line = "    '/opt/my tools/myopia' merge '/home/me/a b/shard-1' '/home/me/a b/shard-2' \
                    '/home/me/a b/shard-3' --out 'the whole' --resume --threads 2";
        assert!(merge.lines().any(|own| own == line), "{merge}");
        assert!(merge.contains("#SBATCH --output='/home/me/a b/merge.log'"), "{merge}");
        assert!(!merge.contains("--array"), "{merge}");
    }

    #[test]
    fn what_a_batch_script_cannot_say_is_refused() {
        let array = sweep("/50%/it's").array().unwrap();
        assert!(array.contains(r#"--output='/50%%/it'"'"'s/task-%a.log'"#), "{array}");
        for (folder, what) in [(r"/a\b", "a backslash"), ("/a\nb", "a control character")] {
            let said = sweep(folder).array().unwrap_err().to_string();
            assert!(said.contains(what) && !said.contains('\n'), "{said}");
        }
    }
}
