//! Shards of studies: whoever does which part of the work, the files are those of one machine.

mod shared;

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;
use shared::{contents, names, refuses_in_a_sentence as refuses, succeeds};

const SMALL: &str = "--layers 64,6,10 --batch 10 --objective-size 50";

/// The commands that have shards of this kind, what their units are called, and how many there are.
const STUDIES: [(&str, &str, u32); 3] = [
    ("online --steps 60 --from 0.02,0.1 --fixed 0.1,0.05 --every 20", "trials", 8),
    ("horizons --horizon 4,15 --from 0.05,50,1 --from 0.2,10,2 --meta-steps 3,2", "descents", 4),
    ("horizons --horizon 4,15 --from 10,1000000,0.001 --seeds 2..4 --meta-steps 2", "descents", 6),
];

fn program(arguments: &str, out: &Path) -> Command {
    let mut command = shared::program(arguments);
    command.args(["--quiet", "--out"]).arg(out);
    command
}

#[test]
fn shards_merge_to_the_bytes_of_one_machine_whatever_their_number() {
    let root = tempfile::tempdir().unwrap();
    let at = |name: &str| root.path().join(name);
    for (kind, (study, units, count)) in STUDIES.into_iter().enumerate() {
        let whole = at(&format!("{kind}-whole"));
        let printed = succeeds(&mut program(&format!("{study} {SMALL}"), &whole));
        for shards in [2, count + 1] {
            let folder = |number: u32| at(&format!("{kind}-{number}-of-{shards}"));
            let mut held = 0;
            for number in 1..=shards {
                // As a requeued task runs it, on whatever machine.
                let part = format!("{study} {SMALL} --shard {number}/{shards} --resume --json");
                let part = format!("{part} --threads {number} --isa baseline");
                let said = succeeds(&mut program(&part, &folder(number)));
                let report: Value = serde_json::from_str(&said).unwrap();
                assert_eq!(report["units"], count, "{said}");
                held += report["held"].as_u64().unwrap();
                assert_eq!(names(&folder(number)), ["shard.json", "shard.myopia"]);
                assert_eq!(succeeds(&mut program(&part, &folder(number))), said, "it is done");
            }
            assert_eq!(held, u64::from(count), "{units}");
            let merged = at(&format!("{kind}-merged-{shards}"));
            // The last first: their order does not matter.
            let merge = |more: &str| {
                let mut merge = program(&format!("merge {more}"), &merged);
                merge.args((1..=shards).rev().map(folder));
                merge
            };
            assert_eq!(succeeds(&mut merge("--resume")), printed, "it begins");
            assert!(contents(&merged) == contents(&whole), "{kind} in {shards} shards");
            assert_eq!(succeeds(&mut merge("--resume")), "", "it is done");
            refuses(&mut merge(""), 1, &["already holds results", "--force"]);
            assert_eq!(succeeds(&mut merge("--force")), printed);
            assert!(contents(&merged) == contents(&whole), "{kind} in {shards} shards");
        }
    }
}

#[test]
fn shards_that_do_not_make_a_whole_are_refused_in_a_sentence_each() {
    for (study, units, count) in STUDIES {
        let root = tempfile::tempdir().unwrap();
        let at = |name: &str| root.path().join(name);
        let shard = |name: &str, flags: &str| {
            succeeds(&mut program(&format!("{study} {SMALL} {flags}"), &at(name)));
        };
        shard("one", "--shard 1/2");
        shard("two", "--shard 2/2");
        shard("foreign", "--shard 2/2 --momentum 0.5");
        shard("whole", "");
        let merge = |names: &[&str]| {
            let mut merge = program("merge", &at("merged"));
            merge.args(names.iter().map(|name| at(name)));
            merge
        };
        let missing = format!("{} of {count} {units} are in none of the shards 1/2", count / 2);
        refuses(&mut merge(&["one"]), 1, &[&missing, "name the folders of all shards"]);
        refuses(&mut merge(&["one", "two", "two"]), 1, &["hold the same", units]);
        let words = ["shards of different runs", "--momentum is 0.5 there and 0.9 here"];
        refuses(&mut merge(&["one", "foreign"]), 1, &words);
        refuses(&mut merge(&["one", "whole"]), 1, &["whole holds no shard"]);
        refuses(&mut merge(&["one", "absent"]), 1, &["absent", "does not exist"]);
        let mut other = program(&format!("{study} {SMALL} --shard 1/2 --resume"), &at("two"));
        refuses(&mut other, 1, &["--shard is 2/2 there and 1/2 here"]);
        let mut nowhere = shared::program(&format!("{study} --shard 1/2 --quiet"));
        refuses(&mut nowhere, 2, &["--shard needs a folder"]);

        let states = at("two").join("shard.myopia");
        let mut bytes = fs::read(&states).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(&states, bytes).unwrap();
        let damaged = ["shard.myopia is damaged", "run that shard again"];
        refuses(&mut merge(&["one", "two"]), 1, &damaged);
        fs::write(at("two").join("shard.json"), "{}").unwrap();
        refuses(&mut merge(&["one", "two"]), 1, &["shard.json is damaged"]);
        fs::remove_file(at("two").join("shard.json")).unwrap();
        refuses(&mut merge(&["one", "two"]), 1, &["two holds no shard"]);
        let report = at("one").join("shard.json");
        let evil = fs::read_to_string(&report).unwrap();
        for (command, why) in [
            ("myopia train --steps 3", "its command has no such shards"),
            ("myopia train --steps 'x", "its command is no line of a shell"),
            ("myopia online --steeps 3", "'--steeps'"),
        ] {
            let mut report_of: Value = serde_json::from_str(&evil).unwrap();
            report_of["command"] = command.into();
            fs::write(&report, report_of.to_string()).unwrap();
            refuses(&mut merge(&["one", "two"]), 1, &["does not say what it is a shard of", why]);
        }
        assert!(!at("merged").exists(), "a refused merge leaves nothing behind");
    }
}

#[test]
fn shards_go_further_and_what_they_were_joined_into_does() {
    let root = tempfile::tempdir().unwrap();
    let at = |name: &str| root.path().join(name);
    let study = "horizons --horizon 4,15 --from 0.05,50,1 --from 0.2,10,2 --from 10,1000000,0.001";
    let with = |meta_steps: &str, more: &str, out: &str| {
        program(&format!("{study} {SMALL} --meta-steps {meta_steps} {more}"), &at(out))
    };
    let merge = || {
        let mut merge = program("merge --resume", &at("merged"));
        merge.args([at("one"), at("two")]);
        merge
    };
    for meta_steps in ["2", "5,3"] {
        succeeds(&mut with(meta_steps, "--shard 1/2 --resume", "one"));
        // The first of the two times, one shard has gone further than the other.
        if meta_steps != "2" {
            let words = ["shards of different runs", "less of what may grow"];
            refuses(&mut merge(), 1, &words);
        }
        succeeds(&mut with(meta_steps, "--shard 2/2 --resume", "two"));
        succeeds(&mut merge());
        let whole = format!("whole-{meta_steps}");
        succeeds(&mut with(meta_steps, "", &whole));
        assert!(contents(&at("merged")) == contents(&at(&whole)), "{meta_steps} meta-steps");
    }
    let mut fewer = with("2", "--shard 1/2 --resume", "one");
    refuses(&mut fewer, 1, &["--meta-steps is [5,3] there and", "another experiment"]);
}

#[cfg(unix)]
#[test]
fn a_merge_that_is_asked_to_stop_goes_on_to_the_same_files() {
    let root = tempfile::tempdir().unwrap();
    let at = |name: &str| root.path().join(name);
    let study =
        format!("horizons --horizon 5 --from 0.05,50,1 --meta-steps 1 --steps 300000 {SMALL}");
    succeeds(&mut program(&study, &at("whole")));
    succeeds(&mut program(&format!("{study} --shard 1/1"), &at("part")));
    let merge = || {
        let mut merge = program("merge --resume", &at("merged"));
        merge.arg(at("part"));
        merge
    };
    let mut child = shared::hearing(merge()).spawn().unwrap();
    let began = Instant::now();
    while !at("merged").join(".myopia.lock").exists() {
        assert!(began.elapsed() < Duration::from_secs(60) && child.try_wait().unwrap().is_none());
        std::thread::sleep(Duration::from_millis(5));
    }
    // Training, by then; before, it would end without a checkpoint.
    std::thread::sleep(Duration::from_millis(300));
    let id = child.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
    let (code, said) = shared::ended(child, Duration::from_secs(60), "it does not stop");
    assert_eq!(code, Some(75), "{said}");
    assert!(at("merged").join("checkpoint.myopia").exists(), "{said}");
    succeeds(&mut merge());
    assert!(contents(&at("merged")) == contents(&at("whole")));
}
