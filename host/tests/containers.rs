//! What containers and other systems show to a program: no `/proc`, a control group's limit.
#![cfg(target_os = "linux")]

mod shared;

use std::path::Path;
use std::process::Command;

use shared::{program, refuses_in_a_sentence as refuses, run, succeeds};

const SMALL: &str = "--layers 64,5,10 --objective-size 20 --batch 10 --quiet";

/// A command in a mount namespace of its own, prepared by a line of shell.
fn unshared(prepared: &str, then: &str) -> Command {
    let mut command = Command::new("unshare");
    command.args(["--map-root-user", "--mount", "sh", "-c", &format!("{prepared} && {then}")]);
    command
}

/// The program with these arguments there.
fn within(prepared: &str, arguments: &str) -> Command {
    let plain = program(arguments);
    let mut command = unshared(prepared, "exec \"$0\" \"$@\"");
    command.arg(plain.get_program()).args(plain.get_args()).env_remove("MYOPIA_MNIST");
    command
}

/// Whether namespaces can be made here.
fn can_unshare(prepared: &str) -> bool {
    let (code, _, stderr) = run(&mut unshared(prepared, "true"));
    if code != Some(0) {
        eprintln!("NOT RUN: {stderr}");
    }
    code == Some(0)
}

/// The data do not depend on what the system tells, and nothing is refused that cannot be known.
#[test]
fn without_proc_every_command_does_its_work() {
    let hidden = "mount -t tmpfs none /proc && mount -t tmpfs none /sys";
    if !can_unshare(hidden) {
        return;
    }
    for arguments in [
        format!("train --steps 3 --json {SMALL}"),
        format!("surface --grid 2x2 --horizon 2 --json --threads 2 {SMALL}"),
        format!("meta --every-entry --horizon 2 --meta-steps 1 --json {SMALL}"),
        format!("hypergrad --mode reverse --horizon 2 --json {SMALL}"),
        format!("compare decay:0.1,5,1 --steps 2 --seeds 2 --json {SMALL}"),
        format!("plan --steps 3 --products 2 --examples 20 --json {SMALL}"),
        format!("edge --points 2 --horizon 2 --products 2 --sharpness-examples 9 --json {SMALL}"),
        "nqm --dim 10 --steps 3 --schedule optimal --json --quiet".to_owned(),
    ] {
        let expected = succeeds(&mut program(&arguments));
        assert!(succeeds(&mut within(hidden, &arguments)) == expected, "{arguments}");
    }
    let root = tempfile::tempdir().unwrap();
    let out = root.path().join("judges");
    let judges = "nqm judges --dim 5 --steps 9 --horizon 3 --quiet --out";
    succeeds(&mut within(hidden, &format!("{judges} {}", out.display())));
    succeeds(&mut within(hidden, &format!("report {} --quiet", out.display())));
    assert!(Path::new("/proc/self").exists(), "outside it is as it was");
}

/// A pod that has just read large files: nearly all its memory is cache.
#[test]
fn a_cache_is_free_for_every_command_and_what_is_held_is_not() {
    let group = |anonymous: u64, file: u64| {
        let files =
            "cd /sys/fs/cgroup && echo 1073741824 >memory.max && echo 1072741824 >memory.current";
        let stat = format!(
            "printf 'anon {anonymous}\\nfile {file}\\ninactive_file {file}\\n' >memory.stat"
        );
        format!("mount -t tmpfs none /sys/fs/cgroup && {files} && {stat} && cd /")
    };
    let (cached, held) = (group(300_000_000, 771_741_824), group(1_072_000_000, 0));
    if !can_unshare(&cached) {
        return;
    }
    for arguments in [
        format!("train --steps 3 {SMALL}"),
        format!("meta --every-entry --horizon 2 --meta-steps 1 {SMALL}"),
        format!("plan --steps 3 --products 2 --examples 20 {SMALL}"),
        "nqm --dim 1000 --steps 3 --schedule greedy --quiet".to_owned(),
    ] {
        succeeds(&mut within(&cached, &arguments));
        let words = ["takes about 32.0 MiB of memory and 1.0 MiB are free in this control group"];
        refuses(&mut within(&held, &arguments), 2, &words);
    }
    // What fits into the machine and not into what the cache leaves.
    let large = format!("meta --every-entry --horizon 4000000 --memory 900MiB {SMALL}");
    refuses(&mut within(&cached, &large), 2, &["are free in this control group"]);
}
