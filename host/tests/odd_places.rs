//! Places and circumstances that a program meets on other people's machines: limits, pipes where
//! files are meant, signals of batch systems, strangers' files.
#![cfg(unix)]

mod shared;

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use shared::{
    contents, ended, limited, names, program, refuses_in_a_sentence as refuses, run, succeeds,
};

const SMALL: &str = "--layers 64,5,10 --objective-size 20 --batch 10 --quiet";

fn pipe(path: &Path) {
    assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
}

/// Starts it; what it says is kept, what it prints is not.
fn begun(command: &mut Command) -> Child {
    command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
}

/// Runs it, and fails when it takes longer than half a minute: it then waits for something that
/// never comes.
fn in_time(command: &mut Command) -> (Option<i32>, String) {
    let child = begun(command);
    ended(child, Duration::from_secs(30), &format!("{command:?} waits"))
}

#[test]
fn where_no_threads_are_to_be_had_the_calling_one_does_the_work() {
    for arguments in [
        format!("train --steps 5 --json {SMALL}"),
        format!("surface --grid 2x2 --horizon 3 --json --threads 4 {SMALL}"),
        format!("horizons --horizon 2 --meta-steps 1 --json {SMALL}"),
        format!("edge --points 2 --horizon 2 --products 2 --sharpness-examples 9 --json {SMALL}"),
        format!("plan --steps 3 --products 2 --examples 9 --train --json {SMALL}"),
        format!("compare decay:0.1,5,1 --seeds 2 --steps 3 --json {SMALL}"),
        "nqm --dim 4000 --steps 3 --schedule greedy --json --quiet".to_owned(),
    ] {
        let expected = succeeds(&mut program(&arguments));
        // Stacks larger than all addresses there are, then room for two or three of them.
        for (limit, stack) in [("3000000", "9000000000"), ("1500000", "400000000")] {
            let mut limited = limited(&format!("ulimit -v {limit}"), &arguments);
            let (code, stdout, stderr) = run(limited.env("RUST_MIN_STACK", stack));
            assert_eq!((code, stderr.as_str()), (Some(0), ""), "{arguments}");
            assert!(stdout == expected, "{arguments}: other results");
        }
    }
    // Rows with more threads than are to be had were not run; that with one thread was.
    let mut none = limited("ulimit -v 3000000", "verify --isa baseline --json --quiet");
    let (code, stdout, stderr) = run(none.env("RUST_MIN_STACK", "9000000000"));
    assert_eq!(code, Some(3), "{stderr}");
    let rows: Vec<Value> = serde_json::from_str(&stdout).unwrap();
    for row in &rows {
        let alone = row["target"] == "host-baseline";
        assert_eq!(row["equal"], alone, "{row}");
        let why = row["not_run"].as_str().unwrap_or_default();
        assert_eq!(why.contains("could not start"), !alone, "{row}");
    }
    assert!(rows.iter().any(|row| row["equal"] == true), "{stdout}");
    let arguments = format!("train --steps 5 {SMALL}").replace("--quiet", "");
    let mut none = limited("ulimit -v 3000000", &arguments);
    let (code, _, stderr) = run(none.env("RUST_MIN_STACK", "9000000000"));
    assert_eq!(code, Some(0), "{stderr}");
    assert!(
        stderr.contains("could not start ") && stderr.contains("this one does all"),
        "{stderr}"
    );
}

/// Not even the thread that a command runs on; root has no such limit.
#[test]
fn not_even_a_second_thread_is_needed() {
    let root = tempfile::tempdir_in("/tmp").unwrap();
    let copy = root.path().join("myopia");
    fs::copy(env!("CARGO_BIN_EXE_myopia"), &copy).unwrap();
    let readable = |path: &Path| {
        fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    };
    readable(root.path());
    readable(&copy);
    let arguments = format!("train --steps 5 --json {SMALL}");
    let expected = succeeds(&mut program(&arguments));
    for most in ["1", "2"] {
        let mut command = Command::new("setpriv");
        command.args(["--reuid", "64999", "--clear-groups", "prlimit", &format!("--nproc={most}")]);
        command.arg(&copy).args(arguments.split(' '));
        match command.output() {
            Ok(output) if output.status.success() => {
                assert_eq!(String::from_utf8_lossy(&output.stdout), expected);
            }
            Ok(output) => {
                let said = String::from_utf8_lossy(&output.stderr).into_owned();
                // Only root may become somebody else.
                assert!(said.contains("setpriv:") || said.contains("prlimit:"), "{said}");
            }
            Err(_) => eprintln!("NOT RUN: there is no setpriv"),
        }
    }
}

#[test]
fn where_memory_is_scarce_the_answer_is_a_result_or_a_sentence() {
    let root = tempfile::tempdir().unwrap();
    let mut refused = 0;
    for (number, arguments) in [
        format!("train --steps 3 {SMALL}"),
        format!("surface --grid 2x2 --horizon 3,5 {SMALL}"),
        format!("horizons --horizon 3,5 --meta-steps 1 {SMALL}"),
        "nqm compare greedy constant:0.1 --dim 5 --steps 4 --quiet".to_owned(),
        "nqm --dim 10000000 --steps 4 --schedule greedy --quiet".to_owned(),
        // Two searches at the same time, of which each has room alone.
        "nqm compare greedy optimal --dim 300000 --steps 2 --quiet --threads 2".to_owned(),
        "bilevel hypergradient --spectrum inverse --dim 3000 --hyperparameters 3000 --quiet"
            .to_owned(),
    ]
    .iter()
    .enumerate()
    {
        for limit in [20_000, 36_000, 45_000, 60_000, 100_000, 160_000] {
            let out = root.path().join(format!("{number}-{limit}"));
            let arguments = format!("{arguments} --out {}", out.display());
            let (code, _, stderr) = run(&mut limited(&format!("ulimit -v {limit}"), &arguments));
            // Too little to load the program at all: the system's word, or its signal.
            let not_loaded = stderr.contains("shared libraries")
                || code == Some(127)
                || code.is_none() && stderr.is_empty() && limit == 20_000;
            match code {
                Some(0) => assert_eq!(stderr, "", "{arguments}"),
                Some(1 | 2) => {
                    refused += 1;
                    assert!(not_loaded || stderr.lines().count() == 1, "{limit}: {stderr}");
                }
                _ => assert!(not_loaded, "{arguments} under {limit}: {code:?} {stderr}"),
            }
        }
    }
    assert!(refused > 3, "the limits are no limits");
    // Where threads' heaps lie is chance, and with it what they leave: one in ten of these once
    // ended without a sentence.
    let arguments = format!("train --steps 3 {SMALL}");
    for _ in 0..30 {
        let (code, _, stderr) = run(&mut limited("ulimit -v 100000", &arguments));
        assert_eq!((code, stderr.as_str()), (Some(0), ""));
    }
}

#[test]
fn a_pipe_where_a_file_is_meant_is_named_and_not_waited_for() {
    let root = tempfile::tempdir().unwrap();
    let at = |name: &str| root.path().join(name);
    let there = root.path().display();
    for name in [
        "p",
        "lock/.myopia.lock",
        "check/checkpoint.myopia",
        "record/.myopia.files",
        "noted/.myopia.files",
    ] {
        fs::create_dir_all(at(name).parent().unwrap()).unwrap();
        pipe(&at(name));
    }
    for name in ["shard/shard.json", "csv/surface.csv", "mnist/train-images-idx3-ubyte.gz"] {
        fs::create_dir_all(at(name).parent().unwrap()).unwrap();
        pipe(&at(name));
    }
    for name in ["train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"] {
        pipe(&at("mnist").join(name));
    }
    fs::write(at("noted/train.json"), "{}").unwrap();
    fs::create_dir(at("zero")).unwrap();
    std::os::unix::fs::symlink("/dev/zero", at("zero/checkpoint.myopia")).unwrap();
    fs::write(at("shard/shard.csv"), "").unwrap();
    for (arguments, words) in [
        (format!("bilevel hypergradient --problem {there}/p"), "not a regular file"),
        (format!("bilevel hypergradient --csv {there}/p"), "not a regular file"),
        (format!("train --steps 3 {SMALL} --out {there}/lock"), ".myopia.lock is not the regular"),
        (format!("train --steps 3 {SMALL} --out {there}/check --resume"), "not a regular file"),
        (format!("train --steps 3 {SMALL} --out {there}/zero --resume"), "not a regular file"),
        (
            format!("train --steps 3 {SMALL} --out {there}/record --force"),
            ".myopia.files is not the regular",
        ),
        (format!("train --data mnist --mnist-dir {there}/mnist"), "not a regular file"),
        (format!("merge {there}/shard --out {there}/merged"), "not a regular file"),
        (format!("horizons --horizon 3 {SMALL} --surface {there}/csv"), "does not say"),
        (format!("report {there}/csv --quiet"), "holds no results"),
        (format!("report {there}/noted"), "/noted/.myopia.files: it is not a regular file"),
        (format!("train --config {there}/p"), "not a regular file"),
        (format!("train --data npz:{there}/p"), "not a regular file"),
        (format!("train --data csv:{there}/p"), "not a regular file"),
        (format!("train --data idx:{there}/p"), "is no folder"),
        (format!("train --data idx:{there}/mnist"), "not a regular file"),
    ] {
        let (code, stderr) = in_time(&mut program(&arguments));
        assert!(matches!(code, Some(1 | 2)), "{arguments}: {code:?}");
        assert!(stderr.contains(words) && stderr.lines().count() == 1, "{arguments}: {stderr}");
    }
    // A surface of this program whose table was put away.
    succeeds(
        program(&format!("surface --grid 2x2 --horizon 3 {SMALL} --out {there}/own")).env("X", ""),
    );
    fs::remove_file(at("own/surface.csv")).unwrap();
    pipe(&at("own/surface.csv"));
    let horizons = format!("horizons --horizon 3 --meta-steps 1 {SMALL} --surface {there}/own");
    let (code, stderr) = in_time(&mut program(&horizons));
    assert_eq!(code, Some(1));
    assert!(stderr.contains("surface.csv: it is not a regular file"), "{stderr}");
}

#[test]
fn a_schedule_is_read_once_from_a_pipe() {
    let table = "learning_rate,momentum\\n0.1,0\\n0.05,0.5\\n";
    let nqm = "nqm --dim 3 --json --quiet --schedule";
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(&file, table.replace("\\n", "\n")).unwrap();
    let expected = succeeds(program(nqm).arg(format!("file:{}", file.path().display())));
    let line = format!("printf '{table}' | \"$0\" {nqm} file:/dev/stdin");
    let piped = succeeds(Command::new("sh").args(["-c", &line, env!("CARGO_BIN_EXE_myopia")]));
    assert_eq!(piped, expected);
}

/// Sends `signal` once `ready`; how it ended and what it said.
fn signalled(
    command: &mut Command,
    signal: &str,
    ready: impl Fn() -> bool,
) -> (Option<i32>, String) {
    let mut child = begun(command);
    let began = Instant::now();
    while !ready() {
        assert!(child.try_wait().unwrap().is_none() && began.elapsed() < Duration::from_secs(60));
        std::thread::sleep(Duration::from_millis(5));
    }
    kill(signal, &child);
    ended(child, Duration::from_secs(20), &format!("{command:?} does not hear {signal}"))
}

fn kill(signal: &str, child: &Child) {
    let kill = Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap();
    assert!(kill.success());
}

#[test]
fn what_batch_systems_send_before_they_end_a_job_loses_nothing() {
    for signal in ["-HUP", "-XCPU", "-USR1", "-USR2"] {
        let root = tempfile::tempdir().unwrap();
        let out = root.path().join("out");
        let train = format!("train --steps 10000000 {SMALL} --out {}", out.display());
        let ready = || out.join(".myopia.lock").exists();
        let (code, said) = signalled(&mut shared::hearing(program(&train)), signal, ready);
        // Before it listens the signal ends it, and then nothing was there to lose.
        if code.is_some() {
            assert!(said.contains("--resume"), "{signal}: {said}");
            assert!(names(&out).contains(&"checkpoint.myopia".to_owned()), "{signal}");
        }
    }
}

#[test]
fn one_long_look_ahead_hears_a_signal() {
    for arguments in [
        "nqm --dim 200000 --steps 100000 --schedule greedy --cool 0 --quiet",
        "nqm --dim 200000 --steps 100000 --schedule constant:0.001 --cool 0 --quiet",
        "nqm meta --dim 200000 --horizons 100000 --quiet",
        "nqm --dim 1000 --steps 20000 --schedule optimal --quiet",
        "nqm --dim 100 --steps 5000 --schedule optimal-momentum --quiet",
        "nqm --dim 1000 --steps 2 --schedule greedy --cool 10000000 --quiet",
        "hypergrad --horizon 2000000000 --layers 64,100,100,10 --quiet",
        "meta --horizon 2000000000 --layers 64,100,100,10 --quiet",
        "surface --horizon 2000000000 --grid 2x2 --layers 64,100,100,10 --quiet",
        "edge --horizon 2000000000 --layers 64,100,100,10 --quiet",
        "edge --horizon 1 --seeds 1000 --layers 64,2000,10 --points 1000 --quiet",
        "edge --horizon 1 --products 2000 --sharpness-examples 4000 --layers 64,100,10 --quiet",
    ] {
        let began = Instant::now();
        let ready = || began.elapsed() > Duration::from_millis(1500);
        let (code, _) = signalled(&mut program(arguments), "-TERM", ready);
        assert_ne!(code, Some(0), "{arguments}");
    }
}

#[test]
fn a_signal_that_whoever_started_it_ignores_is_ignored() {
    let line = format!("trap '' INT; exec \"$0\" train --steps 10000000 {SMALL}");
    let mut command = Command::new("sh");
    command.args(["-c", &line, env!("CARGO_BIN_EXE_myopia")]);
    let mut child = begun(&mut command);
    std::thread::sleep(Duration::from_millis(1000));
    kill("-INT", &child);
    std::thread::sleep(Duration::from_millis(500));
    assert!(child.try_wait().unwrap().is_none(), "it stays ignored");
    kill("-TERM", &child);
    ended(child, Duration::from_secs(20), "it does not hear -TERM");
}

#[test]
fn a_file_that_may_not_grow_is_a_failure_of_writing_it() {
    let root = tempfile::tempdir().unwrap();
    let out = root.path().join("out");
    let arguments = format!("train --steps 400 {SMALL} --out {}", out.display());
    refuses(
        &mut limited("ulimit -f 1", &arguments),
        1,
        &["larger than a file may be", "ulimit -f"],
    );
    let whole = names(&out).iter().all(|name| !name.starts_with(".myopia-part"));
    assert!(whole, "no litter: {:?}", contents(&out));
}

/// Whatever is being opened when no more may be: a sentence that names the limit, or all is done.
#[test]
fn where_few_files_may_be_open_the_limit_is_named() {
    let root = tempfile::tempdir().unwrap();
    let mut refused = 0;
    for most in 4..8 {
        for arguments in [
            format!("train --steps 3 {SMALL}"),
            format!("surface --grid 2x2 --horizon 3 {SMALL}"),
            "man".to_owned(),
            "nqm --dim 3 --steps 3 --schedule greedy --quiet".to_owned(),
        ] {
            let out = root.path().join("out");
            let line = format!("{arguments} --out {}", out.display());
            let (code, _, stderr) = run(&mut limited(&format!("ulimit -n {most}"), &line));
            if code == Some(0) {
                fs::remove_dir_all(&out).unwrap();
                continue;
            }
            assert_eq!((code, stderr.lines().count()), (Some(1), 1), "{line}: {stderr}");
            assert!(stderr.contains("(`ulimit -n`)"), "{most}, {line}: {stderr}");
            refused += 1;
            let _ = fs::remove_dir_all(&out);
        }
    }
    assert!(refused > 0);
}

#[test]
fn strangers_files_neither_stop_a_report_nor_a_run() {
    let root = tempfile::tempdir().unwrap();
    let out = root.path().join("out");
    succeeds(program(&format!("train --steps 3 {SMALL} --out")).arg(&out));
    fs::write(out.join("lab-notes.csv"), "epoch,notes\n1,good, really\n").unwrap();
    fs::write(out.join("latin.csv"), b"a,b\n\xe9,2\n").unwrap();
    fs::write(out.join("n.json"), r#"{"a": NaN}"#).unwrap();
    fs::write(out.join("x.svg"), b"\xff\xfe<svg").unwrap();
    fs::write(out.join("\u{1b}[2J.csv"), "a\n1,2\n").unwrap();
    fs::create_dir(out.join("folder.csv")).unwrap();
    let (code, _, stderr) = run(program("report").arg(&out));
    assert_eq!(code, Some(0), "{stderr}");
    for name in ["lab-notes.csv", "latin.csv", "n.json", "x.svg", "\\u{1b}[2J.csv"] {
        assert!(
            stderr.lines().any(|line| line.contains(&format!("{name} is left out"))),
            "{stderr}"
        );
    }
    for litter in [".DS_Store", ".gitkeep", ".nfs00000001", "Thumbs.db"] {
        let out = root.path().join(format!("with{litter}"));
        fs::create_dir(&out).unwrap();
        fs::write(out.join(litter), "").unwrap();
        succeeds(program(&format!("train --steps 3 {SMALL} --out")).arg(&out));
        assert!(out.join(litter).exists());
    }
    let out = root.path().join("mounted");
    fs::create_dir_all(out.join("lost+found")).unwrap();
    succeeds(program(&format!("train --steps 3 {SMALL} --out")).arg(&out));
    fs::remove_file(out.join("training.csv")).unwrap();
}

#[test]
fn a_name_that_is_no_text_stands_in_json_as_well_as_it_can() {
    use std::os::unix::ffi::OsStrExt;
    let root = tempfile::tempdir().unwrap();
    for name in [&b"bad\xffname"[..], b"two\nlines", b"\x1b]0;t\x07"] {
        let out = root.path().join(std::ffi::OsStr::from_bytes(name));
        succeeds(program(&format!("train --steps 3 {SMALL} --out")).arg(&out));
        let said = succeeds(program("report --json --quiet").arg(&out));
        let said: Value = serde_json::from_str(&said).unwrap();
        assert!(said["page"].as_str().unwrap().ends_with("report.html"));
        assert!(out.join("report.html").exists());
        let plain = succeeds(program("report --quiet").arg(&out));
        assert_eq!(plain.lines().count(), 1, "{plain:?}");
        assert!(!plain.contains(['\u{1b}', '\u{7}']), "{plain:?}");
    }
}

#[test]
fn a_hostile_figure_is_an_image_and_a_link_out_of_the_folder_is_left_out() {
    let root = tempfile::tempdir().unwrap();
    let (out, secret) = (root.path().join("out"), root.path().join("secret"));
    succeeds(program(&format!("train --steps 3 {SMALL} --out")).arg(&out));
    let evil = r#"<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9" onload="alert(1)"><script>alert(2)</script><foreignObject><b onclick="alert(3)">hi</b></foreignObject></svg>"#;
    fs::write(out.join("evil.svg"), evil).unwrap();
    fs::write(out.join("\" onerror=\"alert(4).svg"), evil).unwrap();
    fs::write(
        out.join("cells.csv"),
        "<script>alert(5)</script>,b\n<img src=x onerror=alert(6)>,2\n",
    )
    .unwrap();
    fs::write(&secret, "<svg>the secret</svg>").unwrap();
    for name in ["leak.svg", "leak.csv", "leak.json"] {
        std::os::unix::fs::symlink(&secret, out.join(name)).unwrap();
    }
    let (code, _, stderr) = run(program("report").arg(&out));
    assert_eq!(code, Some(0), "{stderr}");
    assert!(stderr.contains("leak.svg is left out: it is a link that leads out"), "{stderr}");
    let page = fs::read_to_string(out.join("report.html")).unwrap();
    assert_eq!(page.matches("src=\"data:image/svg+xml;base64,").count(), 2, "two images");
    assert!(page.contains("default-src 'none'"), "a policy");
    for bad in ["<script", "onload=", "onclick=", "<img src=x", "\" onerror=\"", "the secret"] {
        assert!(!page.contains(bad), "{bad} is in the page");
    }
}

#[test]
fn a_manifest_that_refers_to_itself_is_refused() {
    let root = tempfile::tempdir().unwrap();
    let small = "\"--layers\", \"64,5,10\", \"--quiet\"";
    for (name, command, words) in [
        ("again", "\"reproduce\", \"again\", \"--check\"".to_owned(), "makes no result"),
        ("page", "\"report\", \"results/page\"".to_owned(), "makes no result"),
        (
            "own",
            format!("\"horizons\", \"--horizon\", \"3\", \"--surface\", \"results/own\", {small}"),
            "holds no finished surface",
        ),
    ] {
        let folder = root.path().join(name);
        fs::create_dir(&folder).unwrap();
        let manifest = format!(
            "{{\"name\": {name:?}, \"command\": [{command}], \"files\": {{}}, \"version\": {:?}, \
             \"date\": \"\", \"seconds\": 1, \"threads\": 1, \"cpu\": \"\"}}",
            env!("CARGO_PKG_VERSION")
        );
        fs::write(folder.join("manifest.json"), manifest).unwrap();
        let mut reproduce = program(&format!("reproduce {name} --check --quiet --results"));
        refuses(reproduce.arg(root.path()), 1, &[words]);
    }
}

/// Answers of network file systems, put before the system's own by `LD_PRELOAD`.
const ANSWERS: &str = r#"
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
static int answer(const char *name) { const char *text = getenv(name); return text ? atoi(text) : 0; }
int flock(int file, int operation) {
  if (answer("FLOCK")) { errno = answer("FLOCK"); return -1; }
  return ((int (*)(int, int))dlsym(RTLD_NEXT, "flock"))(file, operation);
}
int fsync(int file) {
  struct stat about;
  if (answer("FSYNC") && !fstat(file, &about) && S_ISDIR(about.st_mode)) { errno = answer("FSYNC"); return -1; }
  return ((int (*)(int))dlsym(RTLD_NEXT, "fsync"))(file);
}
"#;

#[cfg(target_os = "linux")]
#[test]
fn a_mount_without_locks_or_syncs_of_folders_is_written_to() {
    let root = tempfile::tempdir().unwrap();
    let (source, library) = (root.path().join("answers.c"), root.path().join("answers.so"));
    fs::write(&source, ANSWERS).unwrap();
    let mut cc = Command::new("cc");
    cc.args(["-shared", "-fPIC", "-o"]).arg(&library).arg(&source).arg("-ldl");
    if !cc.status().is_ok_and(|status| status.success()) {
        return eprintln!("NOT RUN: there is no C compiler");
    }
    let on = |call: &str, errno: i32, out: &Path| {
        let mut command = program(&format!("train --steps 3 {SMALL} --out"));
        command.arg(out).env("LD_PRELOAD", &library).env(call, errno.to_string());
        command
    };
    // ENOSYS, ENOLCK, ENOTSUP, EINVAL.
    for errno in [38, 37, 95, 22] {
        for call in ["FLOCK", "FSYNC"] {
            let out = root.path().join(format!("{call}-{errno}"));
            succeeds(&mut on(call, errno, &out));
            assert_eq!(names(&out), ["train.json", "training.csv"], "{call} {errno}");
        }
    }
    let out = root.path().join("loud");
    let mut loud = program("train --steps 3 --layers 64,5,10 --objective-size 20 --out");
    loud.arg(&out).env("LD_PRELOAD", &library).env("FLOCK", "38");
    let (code, _, stderr) = run(&mut loud);
    assert_eq!(code, Some(0), "{stderr}");
    assert!(stderr.contains("has no locks"), "{stderr}");
    // What is no such answer is a failure: EWOULDBLOCK is another run, EIO a broken disk.
    refuses(&mut on("FLOCK", 11, &root.path().join("held")), 1, &["another run"]);
    refuses(&mut on("FSYNC", 5, &root.path().join("broken")), 1, &["could not write"]);
}
