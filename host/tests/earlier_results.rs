//! Whatever reads the folder of an earlier run checks that it is whole, of this version, and of
//! what is asked for.

mod shared;

use std::fs;
use std::path::Path;
use std::process::Command;

use shared::{contents, program, refuses_in_a_sentence as refuses, succeeds};

const SMALL: &str = "--layers 64,6,10 --batch 10 --objective-size 20 --quiet";

/// `command` with the options of a small problem, and a folder after all.
fn small(command: &str, options: &str, folder: &Path) -> Command {
    let mut small = program(&format!("{command} {SMALL} {options}"));
    small.arg(folder);
    small
}

fn edit(path: &Path, from: &str, to: &str) {
    let text = fs::read_to_string(path).unwrap();
    assert!(text.contains(from), "{}: {text}", path.display());
    fs::write(path, text.replacen(from, to, 1)).unwrap();
}

#[test]
fn descents_are_drawn_only_on_a_whole_surface_of_this_version_and_plane() {
    let root = tempfile::tempdir().unwrap();
    let (surface, other) = (root.path().join("surface"), root.path().join("other"));
    let horizons = |options: &str, folder: &Path| {
        let options = format!("--horizon 4 --meta-steps 1 {options} --surface");
        small("horizons", &options, folder)
    };
    let start = "--from 0.05,50,1";
    let grid = "--grid 2x2 --horizon 4 --out";
    succeeds(&mut small("surface", grid, &surface));
    succeeds(&mut horizons(start, &surface));
    succeeds(&mut small("surface", &format!("--beta-range 1,3 {grid}"), &other));

    // The table of another surface, an edited one, and none.
    let (table, record) = (surface.join("surface.csv"), surface.join(".myopia.files"));
    let own = fs::read(&table).unwrap();
    let words = ["surface.csv is not what the run in its folder wrote"];
    fs::copy(other.join("surface.csv"), &table).unwrap();
    refuses(&mut horizons(start, &surface), 1, &words);
    fs::write(&table, [&own[..], b"\n"].concat()).unwrap();
    refuses(&mut horizons(start, &surface), 1, &words);
    fs::remove_file(&table).unwrap();
    refuses(&mut horizons(start, &surface), 1, &["holds no finished surface"]);
    fs::write(&table, &own).unwrap();

    let noted = fs::read(&record).unwrap();
    let version = format!("\"version\":\"{}\"", env!("CARGO_PKG_VERSION"));
    edit(&record, &version, "\"version\":\"0.0.9\"");
    refuses(&mut horizons(start, &surface), 1, &["was made by myopia 0.0.9, and this is"]);
    fs::write(&record, noted).unwrap();

    // Its K is 5000 everywhere: a descent that keeps another is not in its plane; one that learns K
    // is seen from above.
    let kept = format!("{start} --fix time-constant");
    let words = ["--time-constant 5000.0 everywhere", "--fix keeps it at 50.0"];
    refuses(&mut horizons(&kept, &surface), 2, &words);
    refuses(&mut horizons(&format!("--from 0.05,5000,1 {kept}"), &surface), 2, &words);
    succeeds(&mut horizons("--from 0.05,5000,1 --fix time-constant", &surface));
    succeeds(&mut horizons(&format!("{start} --fix beta"), &surface));

    // What differs first is what the rest follows from.
    let double = format!("{start} --precision f64");
    refuses(&mut horizons(&double, &surface), 2, &["--precision is f32 there and f64 here"]);
    succeeds(&mut horizons(&format!("{start} --pretrain-rate 0.3"), &surface));
}

#[test]
fn what_is_no_surface_is_told_as_what_it_is() {
    let root = tempfile::tempdir().unwrap();
    let train = root.path().join("train");
    succeeds(&mut small("train", "--steps 2 --out", &train));
    let horizons = "--horizon 4 --meta-steps 1 --surface";
    let refused = |folder: &Path, words: &str| {
        refuses(&mut small("horizons", horizons, folder), 1, &[words]);
    };
    refused(&root.path().join("nowhere"), "nowhere: it does not exist");
    refused(&train.join("train.json"), "train.json");
    refused(&train, "holds no finished surface");
    fs::write(train.join("surface.csv"), "").unwrap();
    refused(&train, "was made by `myopia train` and is no surface");
}

#[test]
fn results_are_finished_only_while_their_files_are_what_was_written() {
    for (command, options, files) in [
        ("train", "--steps 3", ["training.csv", "train.json"]),
        ("meta", "--horizon 3 --meta-steps 1", ["trajectory.csv", "meta.json"]),
        ("horizons", "--horizon 3 --meta-steps 1 --from 0.05,50,1", ["horizons.csv", "plane.svg"]),
        ("surface", "--horizon 3 --grid 2x2", ["surface.csv", "surface.json"]),
        ("surface", "--horizon 3 --grid 2x2 --shard 1/2", ["shard.csv", "shard.json"]),
        ("online", "--steps 4 --from 0.02 --fixed 0.1", ["curves.csv", "online.json"]),
    ] {
        let root = tempfile::tempdir().unwrap();
        let out = root.path().join("out");
        let resume = |more: &str| small(command, &format!("{options} {more} --resume --out"), &out);
        let printed = succeeds(&mut resume("--json"));
        let before = contents(&out);
        assert!(!printed.is_empty());
        assert_eq!(succeeds(&mut resume("--json")), printed, "{command}: the same when it is done");
        assert_eq!(succeeds(&mut resume("")), "");
        for name in files {
            let (path, kept) = (out.join(name), root.path().join("kept"));
            fs::rename(&path, &kept).unwrap();
            refuses(&mut resume(""), 1, &[name, "is missing", "not whole"]);
            refuses(&mut resume("--json"), 1, &[name, "is missing"]);
            fs::write(&path, "").unwrap();
            refuses(&mut resume(""), 1, &[name, "was changed since its run wrote it"]);
            fs::rename(&kept, &path).unwrap();
        }
        assert!(contents(&out) == before, "{command}");
        // Nobody misses the page about them.
        if !options.contains("--shard") {
            succeeds(program("report --quiet").arg(&out));
            fs::remove_file(out.join("report.html")).unwrap();
            succeeds(&mut resume(""));
        }
    }
}

#[test]
fn shards_are_not_replaced_by_what_is_merged_from_them() {
    let root = tempfile::tempdir().unwrap();
    let at = |name: &str| root.path().join(name);
    for (number, name) in [(1, "a"), (2, "b")] {
        let options = format!("--grid 2x2 --horizon 3 --shard {number}/2 --out");
        succeeds(&mut small("surface", &options, &at(name)));
    }
    let before = contents(&at("b"));
    for own in ["b", "a/../b"] {
        let mut merge = program("merge --quiet --force");
        merge.args([at("a"), at("b")]).arg("--out").arg(at(own));
        refuses(&mut merge, 2, &["is one of the shards that are merged"]);
    }
    assert!(contents(&at("b")) == before);
    let mut merge = program("merge --quiet --out");
    refuses(merge.args([at("c"), at("a"), at("nowhere")]), 1, &["nowhere: it does not exist"]);
    let mut merge = program("merge --quiet --out");
    succeeds(merge.args([at("c"), at("a"), at("b")]));
}

#[test]
fn a_folder_without_published_results_is_told_as_one() {
    let root = tempfile::tempdir().unwrap();
    let words = ["holds no published results"];
    refuses(program("reproduce --results").arg(root.path()), 1, &words);
    refuses(program("reproduce horizons --check --results").arg(root.path()), 1, &words);
}

#[test]
fn the_option_that_was_given_is_the_one_that_is_named() {
    for (arguments, words) in [
        ("horizons --horizon 2 --from 1e-8,50,1", "--from, as alpha0, is"),
        ("horizons --horizon 2 --from 0.1,50,1 --from 0.1,50,0", "--from, as beta, is 0.0"),
        ("train --pretrain-rate 0", "--pretrain-rate 0 must be a positive finite number"),
        ("train --pretrain-rate inf", "without --pretrain leave it out"),
    ] {
        refuses(&mut program(&format!("{arguments} {SMALL}")), 2, &[words]);
    }
    for (value, ending) in [
        ("constant:x", "\"x\" is not a finite number"),
        ("replan:0", "at least 1 and at most 10000000"),
        ("slow", "decay:RATE,STEPS,EXPONENT or file:PATH"),
    ] {
        let said = shared::refuses(&mut program(&format!("nqm --schedule {value}")), 2, &[]);
        let first = said.lines().next().unwrap();
        assert!(first.ends_with(ending), "{first}");
    }
}
