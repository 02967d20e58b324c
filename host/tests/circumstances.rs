//! What a process inherits and what ends it: limits of memory, a control register, signals that
//! nobody awaits.
#![cfg(unix)]

mod shared;

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use shared::{limited, program, refuses_in_a_sentence as refuses, succeeds};

const SMALL: &str = "--layers 64,6,10 --batch 10 --objective-size 20";

/// What grows with the number of steps is refused before any is taken; what is not refused fits.
#[cfg(target_os = "linux")]
#[test]
fn a_record_of_more_steps_than_memory_has_room_for_is_refused() {
    let root = tempfile::tempdir().unwrap();
    let out = root.path().join("out");
    for arguments in [
        "nqm --steps 1000000 --dim 10 --schedule constant:0.1".to_owned(),
        format!(
            "nqm compare --dim 10 --steps 300000 constant:1 constant:2 --out {}",
            out.display()
        ),
        "nqm meta --dim 10 --horizons 300000 --meta-steps 1".to_owned(),
        format!("train --steps 2000000 {SMALL}"),
        format!("meta --horizon 1 --meta-steps 2000000 {SMALL}"),
        format!("online --steps 2000000 --every 1 --from 0.02 {SMALL}"),
        format!("horizons --horizon 1 --meta-steps 2000000 {SMALL}"),
    ] {
        let words = ["of memory and", "ulimit -v", "fewer"];
        refuses(&mut limited("ulimit -v 100000", &format!("{arguments} --quiet")), 2, &words);
        assert!(!out.exists(), "{arguments}");
    }
    for steps in [30_000, 50_000] {
        let compare = "nqm compare --dim 10 --cool 0 constant:0.1 constant:0.2 --quiet";
        let out = out.with_extension(steps.to_string());
        let line = format!("{compare} --steps {steps} --out '{}'", out.display());
        succeeds(&mut limited("ulimit -v 100000", &line));
    }
}

/// A library that rounds upwards, before the program begins.
const UPWARDS: &str = "#include <xmmintrin.h>\n\
    __attribute__((constructor)) static void upwards(void) {\n\
      _mm_setcsr(_mm_getcsr() | _MM_ROUND_UP | 0x8040);\n\
    }\n";

#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
#[test]
fn an_inherited_rounding_mode_changes_no_bit() {
    let root = tempfile::tempdir().unwrap();
    let (source, library) = (root.path().join("upwards.c"), root.path().join("upwards.so"));
    fs::write(&source, UPWARDS).unwrap();
    let mut cc = Command::new("cc");
    cc.args(["-shared", "-fPIC", "-o"]).arg(&library).arg(&source);
    if !cc.status().is_ok_and(|status| status.success()) {
        return eprintln!("NOT RUN: there is no C compiler");
    }
    for arguments in [
        format!("train --steps 30 {SMALL}"),
        format!("hypergrad --horizon 10 {SMALL}"),
        format!("surface --grid 2x2 --horizon 5 {SMALL}"),
        "nqm --dim 20 --steps 10 --schedule optimal".to_owned(),
        "nqm meta --dim 20 --horizons 5 --meta-steps 9".to_owned(),
        "bilevel hypergradient --spectrum inverse --dim 9".to_owned(),
    ] {
        let run = || program(&format!("{arguments} --json --quiet --threads 2"));
        let expected = succeeds(&mut run());
        assert!(succeeds(run().env("LD_PRELOAD", &library)) == expected, "{arguments}");
    }
}

#[test]
fn a_signal_that_nobody_listens_to_leaves_no_lock() {
    for signal in ["-XCPU", "-TERM", "-HUP"] {
        let root = tempfile::tempdir().unwrap();
        let out = root.path().join("out");
        let mut tour = shared::hearing(program(&format!("tour --quiet --out {}", out.display())));
        let mut child = tour.spawn().unwrap();
        let began = Instant::now();
        while !out.join(".myopia.lock").exists() {
            assert!(
                began.elapsed() < Duration::from_secs(60) && child.try_wait().unwrap().is_none()
            );
            std::thread::sleep(Duration::from_millis(5));
        }
        // The handlers come right after the lock.
        std::thread::sleep(Duration::from_millis(200));
        let id = child.id().to_string();
        assert!(Command::new("kill").args([signal, &id]).status().unwrap().success());
        assert_eq!(child.wait().unwrap().code(), None, "{signal} ends it");
        assert_eq!(fs::read_dir(&out).unwrap().count(), 0, "{signal}");
    }
}

/// Before it has begun, while threads start, data are read and what was asked is checked.
#[test]
fn a_signal_ends_it_at_whatever_moment_of_its_beginning() {
    let many = "surface --grid 40x40 --horizon 1000000 --threads 1024 --quiet";
    let pictures = "train --steps 1000000 --pretrain 2000000000 --quiet";
    for arguments in [many, pictures] {
        for wait in [0, 1, 2, 4, 8, 16, 32, 64, 128] {
            let mut begun = shared::hearing(program(&format!("{arguments} {SMALL}")));
            let child = begun.stderr(std::process::Stdio::piped()).spawn().unwrap();
            std::thread::sleep(Duration::from_millis(wait));
            let id = child.id().to_string();
            assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
            let what = format!("{arguments} does not hear a signal after {wait} ms");
            let (code, said) = shared::ended(child, Duration::from_secs(5), &what);
            assert!(matches!(code, None | Some(75)), "{arguments}: {code:?} {said}");
        }
    }
}

/// What keeps nothing ends soon, and with a sentence.
#[test]
fn what_cannot_go_on_later_says_that_it_was_interrupted() {
    let root = tempfile::tempdir().unwrap();
    let out = root.path().join("out");
    for arguments in [
        format!("hypergrad --horizon 100000000 --no-exponent {SMALL}"),
        format!("nqm biases --pairs 100000000 --out {}", out.display()),
        format!("reruns influence --updates 20000 --particles 10000 --out {}", out.display()),
    ] {
        let mut begun = shared::hearing(program(&format!("{arguments} --quiet --force")));
        let child = begun.stderr(std::process::Stdio::piped()).spawn().unwrap();
        std::thread::sleep(Duration::from_secs(1));
        let id = child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
        let (code, said) = shared::ended(child, Duration::from_secs(30), &arguments);
        assert!(code == Some(75) && said.contains("interrupted"), "{arguments}: {code:?} {said}");
    }
}

#[test]
fn a_socket_is_told_from_a_broken_disk() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("socket");
    let _listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
    for option in ["--schedule greedy --spectrum", "--schedule"] {
        let mut nqm = program(&format!("nqm --quiet {option}"));
        refuses(nqm.arg(format!("file:{}", path.display())), 1, &["is not a regular file but"]);
    }
}
