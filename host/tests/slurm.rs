//! Runs as job arrays: the scripts, and what a real Slurm makes of them.
#![cfg(target_os = "linux")]

mod cluster;
mod shared;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use cluster::Cluster;
use serde_json::Value;
use shared::{contents, names, program, refuses_in_a_sentence as refuses, run, succeeds};

const SMALL: &str =
    "surface --layers 64,5,10 --batch 10 --objective-size 50 --horizon 3,12 --grid 4x3";

/// `myopia slurm OPTIONS -- COMMAND`.
fn slurm(options: &str, command: &str) -> Command {
    let mut slurm = program(&format!("slurm {options}"));
    slurm.arg("--").args(command.split_whitespace());
    slurm
}

#[test]
fn what_cannot_be_a_job_array_is_refused_in_a_sentence() {
    let out = "--out nowhere/out";
    for (options, command, words) in [
        ("", SMALL.to_owned(), "names no folder for the whole result"),
        ("", format!("{SMALL} {out} --shard 1/2"), "a --shard of its own; leave out --shard 1/2"),
        ("", format!("{SMALL} {out} --force"), "would begin again"),
        ("", format!("train --steps 5 {out}"), "has no --shard; give one of surface"),
        ("", format!("{SMALL} {out} --grid 1x1"), "in the command behind --: "),
        ("", "surface --help".to_owned(), "only prints"),
        ("", format!("nqm {out}"), "required arguments were not provided: --schedule <SCHEDULE>"),
        ("", format!("surfaces {out}"), "in the command behind --: unrecognized subcommand"),
        ("--seed 3", format!("{SMALL} {out}"), "--seed is an option of the command"),
        ("--threads 3", format!("{SMALL} {out}"), "--threads is an option of the command"),
        ("--sbatch account", format!("{SMALL} {out}"), "account is no option of sbatch"),
        ("--out nowhere/out", format!("{SMALL} {out}"), "is the folder of the whole result"),
        (r"--out a\b", format!("{SMALL} {out}"), "a backslash in its name"),
    ] {
        refuses(&mut slurm(options, &command), 2, &[words]);
    }
    assert!(!Path::new("nowhere").exists());
    shared::refuses(&mut program("slurm"), 2, &["COMMAND"]);
    shared::refuses(&mut slurm("--tasks 0", SMALL), 2, &["for '--tasks"]);
}

#[test]
fn without_sbatch_there_are_scripts_and_a_sentence() {
    let root = tempfile::tempdir().unwrap();
    let in_root = |options: &str| {
        let mut slurm = slurm(options, &format!("{SMALL} --out whole --resume --json"));
        slurm.current_dir(&root).env("PATH", "/nowhere");
        slurm
    };
    let options = "--tasks 5 --time 1:00 --partition short --mem 2G --cpus-per-task 2 --sbatch=--account=physics";
    let said = succeeds(&mut in_root(options));
    assert!(said.contains("sbatch --dependency=afterok:$(sbatch --parsable"), "{said}");
    let jobs = root.path().join("whole.slurm");
    assert_eq!(names(&jobs), ["array.sh", "merge.sh"]);
    let array = fs::read_to_string(jobs.join("array.sh")).unwrap();
    for line in [
        "#SBATCH --array=1-5",
        "#SBATCH --time=1:00",
        "#SBATCH --partition=short",
        "#SBATCH --mem=2G",
        "#SBATCH --cpus-per-task=2",
        "#SBATCH --account=physics",
    ] {
        assert!(array.lines().any(|own| own == line), "{line}\n{array}");
    }
    assert!(array.contains("--threads 2 --shard") && !array.contains("--json"), "{array}");
    // Again, for want of anything else to do; other scripts in their place are not written.
    let submit = format!("{options} --submit");
    refuses(&mut in_root(&submit), 1, &["there is no sbatch on PATH", "leave out --submit"]);
    refuses(&mut in_root("--tasks 6"), 1, &["already holds results", "--force"]);
    // What would keep the shards from being joined is said before there are any.
    fs::create_dir(root.path().join("filled")).unwrap();
    fs::write(root.path().join("filled/surface.csv"), "earlier").unwrap();
    std::os::unix::fs::symlink("gone", root.path().join("linked")).unwrap();
    for (whole, words) in [
        ("filled", "already holds results; choose another --out behind --"),
        ("filled/surface.csv", "is a file, not a folder"),
        ("linked", "is a link to gone, which does not exist"),
    ] {
        let mut late = slurm("", &format!("{SMALL} --out {whole}"));
        refuses(late.current_dir(root.path()), 1, &[words]);
        assert!(!root.path().join(format!("{whole}.slurm")).exists());
    }
    succeeds(&mut in_root("--tasks 6 --force"));
    assert!(fs::read_to_string(jobs.join("array.sh")).unwrap().contains("--array=1-6"));
}

/// A program in the place of Slurm's: it says what it is given and ends as told.
fn stand_in(folder: &Path, name: &str, script: &str) {
    use std::os::unix::fs::PermissionsExt;
    let path = folder.join(name);
    fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn what_sbatch_says_is_passed_on() {
    let root = tempfile::tempdir().unwrap();
    let path = format!("{}:/usr/bin:/bin", root.path().display());
    let submit = |name: &str| {
        let out = root.path().join(name);
        let mut slurm = program("slurm --submit --");
        slurm.args(SMALL.split_whitespace()).arg("--out").arg(out).env("PATH", &path);
        slurm
    };
    stand_in(root.path(), "sbatch", "echo 'sbatch: error: Invalid account' >&2; exit 1");
    refuses(&mut submit("one"), 1, &["sbatch refuses", "array.sh: Invalid account"]);
    stand_in(
        root.path(),
        "sbatch",
        "case \"$*\" in *merge.sh) echo 'sbatch: error: No more jobs' >&2; exit 1;; esac; echo '41;main'",
    );
    refuses(&mut submit("one"), 1, &["job 41 was sent", "No more jobs", "scancel 41"]);
    stand_in(root.path(), "sbatch", "echo 7");
    let said = succeeds(&mut submit("one"));
    assert!(said.contains("job 7: 8 tasks"), "{said}");
}

/// A task whose program ends with `status`, after so many restarts: the task's exit status and what
/// it asked scontrol for.
fn task(status: &str, restarts: u32) -> (Option<i32>, String) {
    let root = tempfile::tempdir().unwrap();
    let jobs = root.path().join("it's a folder.slurm");
    let mut slurm = program("slurm --restarts 3 --");
    slurm.args(SMALL.split_whitespace()).arg("--out").arg(root.path().join("it's a folder"));
    succeeds(&mut slurm);
    stand_in(root.path(), "srun", status);
    stand_in(root.path(), "scontrol", "echo \"$*\"");
    let mut bash = Command::new("bash");
    bash.arg(jobs.join("array.sh")).current_dir("/");
    bash.env("PATH", format!("{}:/usr/bin:/bin", root.path().display()));
    bash.env("SLURM_ARRAY_JOB_ID", "9").env("SLURM_ARRAY_TASK_ID", "3").env("SLURM_JOB_ID", "9");
    let (code, asked, _) = run(bash.env("SLURM_RESTART_COUNT", restarts.to_string()));
    (code, asked)
}

#[test]
fn a_task_is_requeued_when_it_was_stopped_or_killed_and_only_so_often() {
    let requeued = "requeue 9_3\n".to_owned();
    assert_eq!(task("exit 0", 0), (Some(0), String::new()));
    assert_eq!(task("exit 1", 0), (Some(1), String::new()));
    assert_eq!(task("exit 2", 0), (Some(2), String::new()));
    assert_eq!(task("exit 75", 2), (Some(75), requeued.clone()));
    assert_eq!(task("exit 137", 0), (Some(137), requeued));
    assert_eq!(task("exit 75", 3), (Some(75), String::new()));
}

/// The processes that run shards, by the number of their shard.
fn shards(cluster: &Cluster) -> BTreeMap<String, u32> {
    let shard = |(id, arguments): (u32, Vec<String>)| {
        let own = arguments.first()?.ends_with("/myopia");
        let at = arguments.iter().position(|word| word == "--shard").filter(|_| own)?;
        Some((arguments[at + 1].split('/').next()?.to_owned(), id))
    };
    cluster.processes().into_iter().filter_map(shard).collect()
}

fn signal(id: u32, signal: &str) {
    assert!(Command::new("kill").args([signal, &id.to_string()]).status().unwrap().success());
}

/// The numbers of the two jobs that were submitted.
fn submitted(cluster: &Cluster, place: &Path, options: &str, command: &str) -> [String; 2] {
    let mut slurm = cluster.with_path(slurm(&format!("--submit --json {options}"), command));
    let report: Value = serde_json::from_str(&succeeds(slurm.current_dir(place))).unwrap();
    ["array", "merge"].map(|name| report["jobs"][name].as_str().unwrap().to_owned())
}

/// Waits until neither job is left, running or waiting.
fn ended(cluster: &Cluster, jobs: &[String; 2]) {
    let left = format!("squeue -h -o %i -j {}", jobs.join(","));
    cluster.wait("the end of both jobs", || cluster.says(&left).is_empty());
}

/// 64 cells in 8 tasks: one is killed twice, one is warned as Slurm warns before a time limit or a
/// preemption, a node is drained and comes back; the files are those of one machine.
#[test]
#[ignore = "needs Slurm's daemons, which tests/slurm/setup provides"]
fn a_sweep_whose_tasks_are_killed_and_whose_nodes_are_drained_gives_the_files_of_one_machine() {
    let root = tempfile::tempdir().unwrap();
    let place = root.path().join("it's 100% here");
    fs::create_dir(&place).unwrap();
    let sweep = "surface --layers 64,32,10 --batch 50 --objective-size 500 --horizon 100,8000 --grid 8x8 \
                 --checkpoint-every 0";
    succeeds(program(sweep).args(["--quiet", "--out"]).arg(place.join("one machine")));

    let cluster = Cluster::start(4);
    let [array, merge] =
        submitted(&cluster, &place, "--tasks 8 --out jobs", &format!("{sweep} --out whole"));
    let checkpoint = |shard: &str| place.join(format!("jobs/shard-{shard}/checkpoint.myopia"));
    let waiting = |what: &str, shard: &str, earlier: Option<u32>| -> u32 {
        let mut found = None;
        cluster.wait(what, || {
            found = shards(&cluster).get(shard).copied().filter(|id| Some(*id) != earlier);
            found.is_some() && checkpoint(shard).exists()
        });
        found.unwrap()
    };
    let first = waiting("a checkpoint of the second task", "2", None);
    signal(first, "-KILL");
    // A node is drained on which another task runs, which is warned as before a preemption.
    waiting("a checkpoint of the third task", "3", None);
    let node = cluster.says(&format!("squeue -h -j {array}_3 -o %N"));
    cluster.says(&format!("scontrol update NodeName={node} State=DRAIN Reason=test"));
    // It tries until it finds a job that it may signal; by then that may be the next life.
    let mut scancel = cluster.with_path(Command::new("scancel"));
    let mut warning = scancel.args(["--signal=TERM", &format!("{array}_3")]).spawn().unwrap();
    let second = waiting("the second task again", "2", Some(first));
    signal(second, "-KILL");
    ended(&cluster, &[array, merge]);
    warning.wait().unwrap();
    let log = |name: &str| fs::read_to_string(place.join("jobs").join(name)).unwrap_or_default();
    let stopped = |name: &str| log(name).matches("requeued, to go on").count();
    assert_eq!(stopped("task-2.log"), 2, "{}", log("task-2.log"));
    assert!(stopped("task-3.log") > 0, "{}", log("task-3.log"));
    assert!(log("task-2.log").contains("status 137") && log("task-3.log").contains("status 75"));
    assert_eq!(cluster.says(&format!("sinfo -h -n {node} -o %T")), "drained");
    assert!(contents(&place.join("whole")) == contents(&place.join("one machine")));

    // The same once more has nothing to do.
    let again =
        submitted(&cluster, &place, "--tasks 8 --out jobs", &format!("{sweep} --out whole"));
    ended(&cluster, &again);
    assert_eq!(log("merge.log").matches("there is nothing left to do").count(), 1);
    assert_eq!(log("task-8.log").matches("there is nothing left to do").count(), 1);
    assert!(contents(&place.join("whole")) == contents(&place.join("one machine")));
}

#[test]
#[ignore = "needs Slurm's daemons, which tests/slurm/setup provides"]
fn a_task_that_fails_or_is_cancelled_is_not_requeued_and_its_shards_are_not_joined() {
    let root = tempfile::tempdir().unwrap();
    let place = root.path();
    let cluster = Cluster::start(2);
    let log = |name: &str| fs::read_to_string(place.join(name)).unwrap_or_default();
    let jobs = submitted(
        &cluster,
        place,
        "--tasks 2",
        "surface --data npz:absent.npz --grid 4x4 --horizon 5 --out absent",
    );
    ended(&cluster, &jobs);
    let said = log("absent.slurm/task-1.log");
    assert!(said.contains("absent.npz: it does not exist") && !said.contains("requeued"), "{said}");
    let jobs = submitted(
        &cluster,
        place,
        "--tasks 2",
        "surface --horizon 1000000 --grid 8x8 --out cancelled",
    );
    cluster.wait("two running tasks", || shards(&cluster).len() == 2);
    // Its own job, that of the whole array, and what waits for it.
    cluster.says(&format!("scancel {}", jobs[0]));
    ended(&cluster, &jobs);
    for name in ["cancelled.slurm/task-1.log", "cancelled.slurm/task-2.log"] {
        assert!(
            log(name).contains("CANCELLED") && !log(name).contains("requeued"),
            "{}",
            log(name)
        );
    }
    assert!(!place.join("absent").exists() && !place.join("cancelled").exists());
}
