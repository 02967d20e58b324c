//! Long runs are safe: killed, stopped, short of disk, or asked for the wrong thing, nothing is
//! lost and the bits are the same.

mod shared;

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use shared::{RECORD, contents, names, refuses_in_a_sentence as refuses};

const CHECKPOINT: &str = "checkpoint.myopia";

/// Runs that last a good part of a second, a checkpoint at every pause.
const LONG: [&str; 17] = [
    "train --steps 200 --layers 64,8,10 --batch 20 --objective-size 100",
    "meta --horizon 30 --meta-steps 6 --layers 64,6,10 --batch 10 --objective-size 50",
    "surface --horizon 40,400 --grid 8x6 --layers 64,8,10 --batch 20 --objective-size 100 --threads 2",
    "surface --horizon 40,200 --grid 5x4 --seeds 2..4 --layers 64,8,10 --batch 20 --objective-size 100 --threads 2",
    "horizons --horizon 8,30 --from 0.05,50,1 --from 0.2,10,2 --meta-steps 6,3 --layers 64,6,10 --batch 10 --objective-size 50",
    "online --steps 60 --from 0.02 --fixed 0.1 --every 20 --layers 64,6,10 --batch 10 --objective-size 50",
    "meta --every-entry --every-momentum --horizon 30 --meta-steps 40 --layers 64,6,10 --batch 10 --objective-size 50",
    "meta --every-entry --lbfgs --window 5 --horizon 30 --meta-steps 40 --seeds 2 --alpha0 0.01 --layers 64,6,10 --batch 10 \
     --objective-size 50 --precision f64",
    "edge --horizon 10,30 --points 5 --seeds 2 --layers 64,8,10 --batch 10 --objective-size 50 --sharpness-examples 100 --products 5",
    "meta --every-entry --by-layer --window 3 --fresh --horizon 30 --meta-steps 40 --layers 64,6,10 --batch 10 --objective-size 50",
    "compare decay:0.1,20,1 decay:0.05,50,0 --seeds 2 --steps 400 --layers 64,8,10 --batch 20 --threads 2",
    "plan --replan 12 --steps 120 --train --layers 64,8,10 --batch 10 --products 5 --samples 1 --examples 50 --pretrain 5",
    "remedies --steps 40 --seeds 2 --rates 0.1 --look-ahead 8 --meta-steps 3 --carry hd,marthe,truncated:7 --meta-lr 0.01 \
     --layers 64,8,10 --batch 10 --objective-size 50 --threads 2",
    "biases --steps 40 --seeds 2 --carry hd,truncated:7 --meta-lr 0.01,0.1 --meta-steps 2 --particles 4 --window 10 --sigma 0.01 \
     --pairs 9 --layers 64,8,10 --batch 10 --objective-size 50 --threads 2",
    "rates --horizon 5,40 --steps 60 --starts 0,5 --seeds 2 --study sgd:alpha0:0.02..0.16 --study adam:epsilon:0.01..0.08@0.02 \
     --layers 64,8,10 --batch 10 --objective-size 50 --threads 2",
    "reruns hd --epochs 1 --after 5,40 --look-ahead 1,4 --seeds 2 --threads 2",
    "reruns pes --steps 20 --windows 5 --outer-steps 9 --map 2,2 --seeds 2 --threads 2",
];

/// Those of them that have the options of a problem.
fn of_a_problem() -> impl Iterator<Item = &'static str> {
    LONG.into_iter().filter(|arguments| !arguments.starts_with("reruns"))
}

fn program(arguments: &str, out: &Path) -> Command {
    let mut command = shared::program(arguments);
    command.args(["--quiet", "--checkpoint-every", "0", "--out"]).arg(out);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Exit status and standard error.
fn run(command: &mut Command) -> (Option<i32>, String) {
    let (code, _, stderr) = shared::run(command);
    (code, stderr)
}

/// Waits until `ready`, and tells whether that came before `child` ended.
fn wait_until(child: &mut Child, ready: impl Fn() -> bool) -> bool {
    let began = Instant::now();
    while !ready() {
        assert!(began.elapsed() < Duration::from_secs(60), "a run that makes no progress");
        if child.try_wait().unwrap().is_some() {
            return false;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    true
}

/// Starts `arguments` and lets it leave a checkpoint.
fn begun(arguments: &str, out: &Path) -> Child {
    begun_by(program(arguments, out), out)
}

fn begun_by(mut command: Command, out: &Path) -> Child {
    let mut child = command.spawn().unwrap();
    assert!(wait_until(&mut child, || out.join(CHECKPOINT).exists()), "too short a run");
    child
}

fn killed(arguments: &str, out: &Path) {
    let mut child = begun(arguments, out);
    child.kill().unwrap();
    child.wait().unwrap();
}

/// Lives of a run that is killed until it ends, in the files of one that never was.
fn torn_again_and_again(arguments: &str) {
    let root = tempfile::tempdir().unwrap();
    let (whole, torn) = (root.path().join("whole"), root.path().join("torn"));
    assert_eq!(run(&mut program(arguments, &whole)), (Some(0), String::new()));
    let mut kills = 0;
    // Each life is a little longer than the last, so the kills fall on all kinds of moments.
    for life in 0.. {
        assert!(life < 200, "{arguments} never ends");
        let mut command = program(arguments, &torn);
        if torn.join(CHECKPOINT).exists() {
            command.arg("--resume");
        } else if torn.exists() && contents(&torn).iter().any(|(name, _)| !name.starts_with('.')) {
            break; // The last one was killed when all was done.
        }
        let mut child = command.spawn().unwrap();
        std::thread::sleep(Duration::from_millis(5 + 5 * life + life * life / 10));
        match child.try_wait().unwrap() {
            Some(status) => {
                assert!(status.success(), "{arguments}");
                break;
            }
            None => kills += 1,
        }
        child.kill().unwrap();
        child.wait().unwrap();
    }
    assert!(kills > 2, "{arguments} was killed {kills} times only");
    fs::remove_file(torn.join(".myopia.lock")).ok(); // of the same
    assert_eq!(contents(&torn), contents(&whole), "{arguments}, killed {kills} times");
}

#[test]
fn a_run_that_is_killed_again_and_again_ends_with_the_same_files() {
    // The longest test of all: two at a time.
    let next = AtomicUsize::new(0);
    let work = || {
        while let Some(arguments) = LONG.get(next.fetch_add(1, Ordering::Relaxed)) {
            torn_again_and_again(arguments);
        }
    };
    std::thread::scope(|scope| {
        scope.spawn(work);
        work();
    });
}

#[cfg(unix)]
#[test]
fn a_run_that_is_asked_to_stop_leaves_partial_results_and_goes_on_to_the_same_files() {
    for (arguments, partial) in LONG.into_iter().zip([
        "training",
        "trajectory",
        "surface",
        "seeds",
        "trajectories",
        "online",
        "trajectory",
        "trajectory",
        "edge",
        "trajectory",
        "compare",
        "schedule",
        "runs",
        "biases",
        "rates",
        "runs",
        "map",
    ]) {
        for signal in ["-INT", "-TERM"] {
            let root = tempfile::tempdir().unwrap();
            let (whole, torn) = (root.path().join("whole"), root.path().join("torn"));
            assert_eq!(run(&mut program(arguments, &whole)), (Some(0), String::new()));
            let child = begun_by(shared::hearing(program(arguments, &torn)), &torn);
            let pid = child.id().to_string();
            assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
            let Output { status, stderr, .. } = child.wait_with_output().unwrap();
            let stderr = String::from_utf8(stderr).unwrap();
            assert_eq!(status.code(), Some(75), "{stderr}");
            assert!(stderr.contains("stopped before the end"), "{arguments}: {stderr}");
            assert!(stderr.contains("--resume"), "{stderr}");
            let names = names(&torn);
            assert!(names.contains(&CHECKPOINT.to_owned()), "{names:?}");
            assert!(names.contains(&format!("{partial}.partial.csv")), "{names:?}");
            assert!(!names.contains(&format!("{partial}.csv")), "{names:?}");
            let resumed = run(program(arguments, &torn).arg("--resume"));
            assert_eq!(resumed, (Some(0), String::new()));
            assert_eq!(contents(&torn), contents(&whole), "{arguments}");
        }
    }
}

/// Asked to stop before there is anything to keep, a run says all the same how it goes on.
#[cfg(unix)]
#[test]
fn a_run_that_is_asked_to_stop_while_it_pretrains_says_how_to_go_on() {
    for arguments in of_a_problem() {
        let long = match arguments.starts_with("rates") {
            true => arguments.replace("--starts 0,5", "--starts 4000000000"),
            false => {
                format!("{} --pretrain 4000000000", arguments.replace(" --pretrain 5", ""))
            }
        };
        let mut wait = Duration::from_millis(100);
        loop {
            let root = tempfile::tempdir().unwrap();
            let out = root.path().join("out");
            let child = shared::hearing(program(&long, &out)).spawn().unwrap();
            std::thread::sleep(wait);
            let pid = child.id().to_string();
            assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
            let Output { status, stderr, .. } = child.wait_with_output().unwrap();
            let stderr = String::from_utf8(stderr).unwrap();
            if status.code().is_none() && wait < Duration::from_secs(30) {
                // It did not hear signals yet.
                wait *= 3;
                continue;
            }
            assert_eq!(status.code(), Some(75), "{arguments}: {stderr}");
            assert!(stderr.contains("stopped before the end"), "{arguments}: {stderr}");
            assert!(stderr.contains("repeat the command with --resume"), "{arguments}: {stderr}");
            assert!(names(&out).contains(&CHECKPOINT.to_owned()), "{arguments}");
            break;
        }
    }
}

#[test]
fn only_the_same_experiment_goes_on_from_a_checkpoint() {
    let root = tempfile::tempdir().unwrap();
    let out = root.path().join("out");
    killed(LONG[0], &out);
    let before = contents(&out);
    let resume = |arguments: &str| program(&format!("{arguments} --resume"), &out);
    for (other, words) in [
        (format!("{} --alpha0 0.2", LONG[0]), "--alpha0 is 0.1 there and 0.2 here"),
        (format!("{} --seed 2", LONG[0]), "--seed is 1 there and 2 here"),
        (LONG[1].to_owned(), "it is of `myopia train`"),
    ] {
        refuses(&mut resume(&other), 1, &["is of another experiment", words]);
    }
    refuses(&mut program(LONG[0], &out), 1, &["holds an unfinished run", "--resume", "--force"]);
    refuses(&mut resume(&format!("{} --force", LONG[0])), 2, &["--resume", "--force"]);
    let files = |files: &[(String, Vec<u8>)]| {
        files.iter().filter(|(name, _)| !name.starts_with('.')).cloned().collect::<Vec<_>>()
    };
    assert_eq!(files(&contents(&out)), files(&before), "nothing is lost");
    // The number of threads and the instruction set are no part of an experiment.
    let last = format!("{} --threads 3 --isa baseline", LONG[0]);
    assert_eq!(run(&mut resume(&last)), (Some(0), String::new()));
    assert_eq!(run(&mut resume(LONG[0])), (Some(0), String::new()), "it is done");
    let other = format!("{} --seed 2", LONG[0]);
    refuses(&mut resume(&other), 1, &["the results of another experiment", "--seed is 1 there"]);
}

#[test]
fn a_spoilt_checkpoint_is_named() {
    let root = tempfile::tempdir().unwrap();
    let out = root.path().join("out");
    killed(LONG[0], &out);
    let whole = fs::read(out.join(CHECKPOINT)).unwrap();
    let mut flipped = whole.clone();
    flipped[whole.len() / 2] ^= 4;
    for spoilt in [&flipped[..], &whole[..whole.len() - 1], b"", b"no checkpoint at all"] {
        fs::write(out.join(CHECKPOINT), spoilt).unwrap();
        let mut resumed = program(LONG[0], &out);
        refuses(resumed.arg("--resume"), 1, &["checkpoint.myopia is damaged", "--force"]);
        assert_eq!(fs::read(out.join(CHECKPOINT)).unwrap(), spoilt, "left as it was");
    }
    assert_eq!(run(program(LONG[0], &out).arg("--force")), (Some(0), String::new()));
    assert!(!out.join(CHECKPOINT).exists());
}

#[test]
fn to_resume_is_to_begin_to_go_on_or_to_be_done_and_never_writes_among_a_strangers_files() {
    let root = tempfile::tempdir().unwrap();
    let (out, file) = (root.path().join("out"), root.path().join("file"));
    fs::write(&file, "mine").unwrap();
    for arguments in LONG {
        let resume = |out: &Path| program(&format!("{arguments} --resume"), out);
        let results = |out: &Path| {
            contents(out).into_iter().filter(|(name, _)| name != RECORD).collect::<Vec<_>>()
        };
        assert_eq!(run(&mut resume(&out)), (Some(0), String::new()), "it begins");
        let first = results(&out);
        assert_eq!(run(&mut resume(&out)), (Some(0), String::new()), "it is done");
        assert!(results(&out) == first && !first.is_empty());
        fs::remove_dir_all(&out).unwrap();
        refuses(&mut resume(root.path()), 1, &["holds"]);
        refuses(&mut resume(&file), 1, &["is a file, not a folder"]);
        let mut nowhere = Command::new(env!("CARGO_BIN_EXE_myopia"));
        nowhere.args(arguments.split_whitespace()).arg("--resume");
        refuses(&mut nowhere, 2, &["--resume needs the folder of a run"]);
    }
}

#[test]
fn more_meta_steps_go_on_from_a_finished_or_an_unfinished_run_to_the_same_files() {
    let small = "--layers 64,6,10 --batch 10 --objective-size 50";
    let horizons = "horizons --horizon 4,15 --from 0.05,50,1 --from 0.2,10,2";
    for (arguments, few, middle, many) in [
        ("meta --horizon 20", "3", "5", "8"),
        // Two passes to a record.
        (
            "meta --horizon 20 --optimizer adam --epsilon 1e-2 --tune beta2,alpha0,epsilon,beta1",
            "3",
            "5",
            "8",
        ),
        (
            "meta --horizon 20 --optimizer kfac --damping 0.1 --kfac-sampled --tune alpha0,damping",
            "3",
            "5",
            "8",
        ),
        (horizons, "2", "3,2", "5,2"),
        ("horizons --horizon 4,15 --from 0.05,50,1 --seeds 2", "2", "3,2", "5,2"),
        // A start that diverges stays as far as it came.
        ("horizons --horizon 6,40 --from 0.05,50,1 --from 10,1000000,0.001", "1", "1,2", "2,4"),
    ] {
        let root = tempfile::tempdir().unwrap();
        let (whole, grown) = (root.path().join("whole"), root.path().join("grown"));
        let with = |meta_steps: &str, out: &Path| {
            program(&format!("{arguments} --meta-steps {meta_steps} {small}"), out)
        };
        assert_eq!(run(&mut with(many, &whole)), (Some(0), String::new()));
        assert_eq!(run(&mut with(few, &grown)), (Some(0), String::new()));
        assert_eq!(run(with(middle, &grown).arg("--resume")), (Some(0), String::new()));
        // Killed on the way, and killed again: both a finished and an unfinished run go further.
        let mut child = with(many, &grown).arg("--resume").spawn().unwrap();
        wait_until(&mut child, || grown.join(CHECKPOINT).exists());
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(run(with(many, &grown).arg("--resume")), (Some(0), String::new()));
        assert!(contents(&grown) == contents(&whole), "{arguments}");
        assert_eq!(run(with(many, &grown).arg("--resume")), (Some(0), String::new()), "done");
        refuses(with(few, &grown).arg("--resume"), 1, &["--meta-steps is", "another experiment"]);
        assert!(contents(&grown) == contents(&whole), "{arguments}");
    }
}

#[test]
fn an_unfinished_run_is_given_more_meta_steps() {
    let root = tempfile::tempdir().unwrap();
    let horizons = |meta_steps: &str, out: &Path| {
        let arguments = format!("--horizon 5,40 --from 0.05,50,1 --meta-steps {meta_steps}");
        program(&format!("horizons {arguments} --layers 64,6,10 --batch 10"), out)
    };
    let (whole, grown) = (root.path().join("whole"), root.path().join("grown"));
    assert_eq!(run(&mut horizons("5", &whole)), (Some(0), String::new()));
    // Once in its descents and once in its training, which starts afresh with what is then chosen.
    for millis in [0, 60, 200] {
        fs::remove_dir_all(&grown).ok();
        let mut child = horizons("2", &grown).spawn().unwrap();
        wait_until(&mut child, || grown.join(CHECKPOINT).exists());
        std::thread::sleep(Duration::from_millis(millis));
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(run(horizons("5", &grown).arg("--resume")), (Some(0), String::new()));
        assert!(contents(&grown) == contents(&whole), "after {millis} ms");
    }
}

#[test]
fn a_changed_result_is_not_gone_on_from() {
    let root = tempfile::tempdir().unwrap();
    let out = root.path().join("out");
    let meta = |meta_steps: &str| {
        let arguments = format!("meta --horizon 5 --meta-steps {meta_steps} --layers 64,6,10");
        program(&arguments, &out)
    };
    assert_eq!(run(&mut meta("2")), (Some(0), String::new()));
    let trajectory = out.join("trajectory.csv");
    let changed = fs::read_to_string(&trajectory).unwrap().replace("\n1,", "\n1,1");
    fs::write(&trajectory, &changed).unwrap();
    refuses(meta("4").arg("--resume"), 1, &["trajectory.csv was changed", "--force"]);
    assert_eq!(fs::read_to_string(&trajectory).unwrap(), changed);
}

#[test]
fn a_default_that_is_given_is_the_same_experiment() {
    for (arguments, given) in [
        ("train --steps 20", "--layers 64,32,10 --objective-size 1000 --batch 100 --momentum 9e-1"),
        ("meta --horizon 4 --meta-steps 1", "--layers 64,32,10 --meta-lr 0.1"),
        (
            "horizons --horizon 3,6 --from 0.1,9,1 --meta-steps 1",
            "--steps 6 --every 1 --meta-steps 1,1 --layers 64,32,10",
        ),
        ("online --steps 20 --from 0.02 --fixed 0.1", "--every 1 --objective-size 1000"),
        ("surface --horizon 3 --random 2", "--axes alpha0,beta --layers 64,32,10"),
    ] {
        let root = tempfile::tempdir().unwrap();
        let out = root.path().join("out");
        assert_eq!(run(&mut program(arguments, &out)), (Some(0), String::new()));
        let before = contents(&out);
        let arguments = match given.contains("--meta-steps") {
            true => arguments.replace("--meta-steps 1", ""),
            false => arguments.to_owned(),
        };
        let again = run(program(&format!("{arguments} {given}"), &out).arg("--resume"));
        assert_eq!(again, (Some(0), String::new()), "{arguments} {given}");
        assert!(contents(&out) == before, "{arguments}: nothing is left to do");
    }
}

#[test]
fn two_processes_never_write_the_same_folder() {
    let root = tempfile::tempdir().unwrap();
    let out = root.path().join("out");
    let mut first = begun(LONG[1], &out);
    for flag in ["--resume", "--force"] {
        refuses(program(LONG[1], &out).arg(flag), 1, &["another run is writing to"]);
    }
    assert!(first.wait().unwrap().success());
    assert!(!out.join(".myopia.lock").exists());
}

/// A file that may not grow is what a full disk looks like to the program.
#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_leaves_the_last_checkpoint_to_go_on_from() {
    let root = tempfile::tempdir().unwrap();
    let (whole, out) = (root.path().join("whole"), root.path().join("out"));
    let arguments = format!("{} --quiet --checkpoint-every 0", LONG[0]);
    assert_eq!(run(&mut program(LONG[0], &whole)), (Some(0), String::new()));
    let limited = format!(
        "trap '' XFSZ; ulimit -f 16; exec '{}' {arguments} --out '{}'",
        env!("CARGO_BIN_EXE_myopia"),
        out.display()
    );
    let words = ["could not write", CHECKPOINT, "the last checkpoint is intact", "--resume"];
    refuses(Command::new("sh").args(["-c", &limited]), 1, &words);
    let names = names(&out);
    assert_eq!(names, [CHECKPOINT], "no half-written file");
    assert_eq!(run(program(LONG[0], &out).arg("--resume")), (Some(0), String::new()));
    assert_eq!(contents(&out), contents(&whole));
}

#[test]
fn an_export_that_does_not_fit_leaves_the_earlier_one_whole() {
    let root = tempfile::tempdir().unwrap();
    let out = root.path().join("export");
    let export = "hypergrad --layers 64,5,10 --batch 10 --objective-size 20 --quiet";
    shared::succeeds(shared::program(export).args(["--horizon", "3", "--export"]).arg(&out));
    let before = contents(&out);
    let limited = format!(
        "trap '' XFSZ; ulimit -f 16; exec '{}' {export} --seed 2 --horizon 600 --force --export '{}'",
        env!("CARGO_BIN_EXE_myopia"),
        out.display()
    );
    refuses(Command::new("sh").args(["-c", &limited]), 1, &["could not write", "batches.npy"]);
    assert!(contents(&out) == before, "none of the new files, all of the old");
}

#[test]
fn a_refused_request_leaves_nothing_behind() {
    let root = tempfile::tempdir().unwrap();
    for arguments in of_a_problem() {
        let out = root.path().join("new/folder");
        refuses(&mut program(&format!("{arguments} --momentum 2"), &out), 2, &["--momentum 2"]);
        assert!(contents(root.path()).is_empty(), "not even the folder");
        fs::create_dir_all(&out).unwrap();
        refuses(&mut program(&format!("{arguments} --momentum 2"), &out), 2, &["--momentum 2"]);
        assert!(contents(&out).is_empty(), "the user's own folder stays, empty");
        fs::remove_dir_all(root.path().join("new")).unwrap();
    }
}

/// The most memory that a meta-descent of one meta-step held, in KiB.
#[cfg(target_os = "linux")]
fn peak(horizon: u32) -> u64 {
    let arguments = format!(
        "meta --horizon {horizon} --meta-steps 0 --layers 64,16,10 --batch 10 --objective-size 50 --quiet"
    );
    let mut child = Command::new(env!("CARGO_BIN_EXE_myopia"))
        .args(arguments.split_whitespace())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let mut peak = 0;
    while child.try_wait().unwrap().is_none() {
        let status = fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap_or_default();
        let mark = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        if let Some(number) = mark.and_then(|mark| mark.split_whitespace().next()) {
            peak = number.parse().unwrap();
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    assert!(child.wait().unwrap().success());
    peak
}

#[cfg(target_os = "linux")]
#[test]
fn a_look_ahead_of_20_000_steps_takes_the_memory_of_one_of_2_000() {
    let [short, long] = [2_000, 20_000].map(peak);
    assert!(short > 1_000, "{short} KiB");
    // Page by page the two may differ; a tape of the steps would take hundreds of MiB.
    assert!(long < short + 1_024, "{long} KiB after {short} KiB");
}

#[test]
fn results_of_which_only_some_could_be_written_count_as_unfinished() {
    for (arguments, last) in LONG.into_iter().zip([
        "train.json",
        "meta.json",
        "surface.png",
        "surface-range.png",
        "horizons.json",
        "online.json",
    ]) {
        let root = tempfile::tempdir().unwrap();
        let (whole, torn) = (root.path().join("whole"), root.path().join("torn"));
        assert_eq!(run(&mut program(arguments, &whole)).0, Some(0));
        let rarely = ["--checkpoint-every", "3600"];
        let with_rare_checkpoints = |extra: &str| {
            let mut command = Command::new(env!("CARGO_BIN_EXE_myopia"));
            command.args(arguments.split_whitespace()).args(rarely).args(["--quiet", extra]);
            command.arg("--out").arg(&torn).env_remove("MYOPIA_MNIST").stdout(Stdio::null());
            command
        };
        fs::create_dir_all(torn.join(last)).unwrap();
        refuses(with_rare_checkpoints("--force").stderr(Stdio::piped()), 1, &[last, "in the way"]);
        assert!(torn.join(CHECKPOINT).exists(), "{arguments}: looks finished");
        fs::remove_dir(torn.join(last)).unwrap();
        assert_eq!(run(&mut with_rare_checkpoints("--resume")), (Some(0), String::new()));
        assert!(contents(&whole) == contents(&torn), "{arguments}");
    }
}
