//! Every reader of files on the fuzz targets' corpus and on what seeded mutations make of it.

#[path = "../../tests/fuzz/src/lib.rs"]
mod readers;

use std::fs;
use std::path::{Path, PathBuf};

/// A small generator (SplitMix64): the same mutations at every run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }
}

/// What stands where a number or a word stood.
const STRANGE: [&[u8]; 16] = [
    b"0",
    b"-1",
    b"NaN",
    b"inf",
    b"1e999",
    b"4294967296",
    b"18446744073709551615",
    b"\"\"",
    b"null",
    b"[]",
    b"{",
    b"\n",
    b",",
    b"\xff",
    b"\0\0\0\0\0\0\0\0",
    b"../..",
];

/// The bytes with one to four changes; `other` lends parts.
fn mutated(bytes: &[u8], other: &[u8], random: &mut Random) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for _ in 0..=random.below(4) {
        let at = random.below(bytes.len());
        let end = bytes.len().min(at + random.below(12));
        match random.below(8) {
            0 if !bytes.is_empty() => bytes[at] ^= 1 << random.below(8),
            1 if !bytes.is_empty() => bytes[at] = random.next() as u8,
            2 => bytes.truncate(at),
            3 => drop(bytes.drain(at..end)),
            4 => drop(bytes.splice(at..end, STRANGE[random.below(STRANGE.len())].iter().copied())),
            5 => {
                let from = random.below(other.len());
                let part = &other[from..other.len().min(from + random.below(64))];
                drop(bytes.splice(at..at, part.iter().copied()));
            }
            6 => {
                // A number or a word as a whole.
                let is_word = |byte: &u8| byte.is_ascii_alphanumeric() || b".-+".contains(byte);
                let begin =
                    bytes[..at].iter().rposition(|byte| !is_word(byte)).map_or(0, |i| i + 1);
                let end = bytes[at..]
                    .iter()
                    .position(|byte| !is_word(byte))
                    .map_or(bytes.len(), |i| at + i);
                drop(
                    bytes.splice(begin..end, STRANGE[random.below(STRANGE.len())].iter().copied()),
                );
            }
            _ => {
                let part = bytes[at..end].to_vec();
                drop(bytes.splice(at..at, part));
            }
        }
    }
    bytes
}

fn corpus(target: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fuzz/corpus").join(target);
    let entries = fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let mut files: Vec<_> = entries
        .map(|entry| entry.unwrap().path())
        .map(|path| (path.clone(), fs::read(path).unwrap()))
        .collect();
    files.sort();
    assert!(!files.is_empty(), "{target} has a corpus");
    files
}

/// Takes `read` through the corpus of `target` and `count` mutations of each of its files;
/// `MUTATIONS=1000` makes that a thousand times as many, others.
fn survives(target: &str, read: fn(&[u8]), count: usize) {
    let files = corpus(target);
    let times = std::env::var("MUTATIONS").ok().and_then(|times| times.parse().ok());
    let count = count * times.unwrap_or(1);
    let mut random = Random(0x6d79_6f70 + times.unwrap_or(0) as u64);
    for (path, bytes) in &files {
        read(bytes);
        for number in 0..count {
            let other = &files[random.below(files.len())].1;
            let changed = mutated(bytes, other, &mut random);
            let outcome = std::panic::catch_unwind(|| read(&changed));
            assert!(
                outcome.is_ok(),
                "mutation {number} of {}: {:?}",
                path.display(),
                String::from_utf8_lossy(&changed)
            );
        }
    }
}

#[test]
fn images_and_labels() {
    survives("idx", readers::idx, 400);
}

#[test]
fn tables_of_other_programs() {
    survives("table", readers::table, 1_000);
}

#[test]
fn examples_in_csv_files() {
    survives("labelled", readers::labelled, 600);
}

#[test]
fn tables_of_this_program() {
    survives("csv", readers::csv, 600);
}

#[test]
fn examples_in_idx_files() {
    survives("idx_folder", readers::idx_folder, 600);
}

#[test]
fn options_in_a_file() {
    survives("config", readers::config, 1_000);
}

#[test]
fn folders_that_are_reported_on() {
    survives("report", readers::report, 300);
}

/// A target without its line here, or without a place to begin, would never be run.
#[test]
fn every_target_has_a_corpus_and_a_line_here() {
    let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fuzz");
    let manifest = fs::read_to_string(fuzz.join("Cargo.toml")).unwrap();
    let this = include_str!("untrusted.rs");
    let mut targets = 0;
    for entry in fs::read_dir(fuzz.join("fuzz_targets")).unwrap() {
        let path = entry.unwrap().path();
        let target = path.file_stem().unwrap().to_str().unwrap();
        assert!(manifest.contains(&format!("name = \"{target}\"")), "{target}");
        let call = format!("survives(\"{target}\", readers::{target}, ");
        assert!(this.contains(&call), "{target}");
        assert!(!corpus(target).is_empty());
        targets += 1;
    }
    assert_eq!(manifest.matches("[[bin]]").count(), targets);
}

#[test]
fn archives() {
    survives("npz", readers::npz, 600);
}

#[test]
fn shards() {
    survives("shard", readers::shard, 1_000);
}

#[test]
fn manifests() {
    survives("manifest", readers::manifest, 600);
}

#[test]
fn records() {
    survives("record", readers::record, 1_000);
}

#[test]
fn checkpoints() {
    survives("checkpoint", readers::checkpoint, 600);
}

#[test]
fn logs_of_devices() {
    survives("device_log", readers::device_log, 300);
}

/// A log in which nothing is missing: each line is what is expected after those before.
fn whole_log() -> String {
    let expected = myopia::verify::Expected::of(myopia::verify::Set::Reduced);
    let mut log: Vec<String> = Vec::new();
    while let Some(difference) = expected.judge("here", &log).difference {
        log.push(difference.expected.unwrap());
    }
    log.join("\n") + "\n"
}

/// A checkpoint of the corpus's experiment: a descent under way, one that diverged, a run under
/// way, one that ended.
fn checkpoint() -> Vec<u8> {
    use myopia::curve::Point;
    use myopia::descent::{Progress, Record};
    use myopia::horizons::State;
    use myopia::problem::{Problem, Tangents};
    use myopia_core::schedule::InverseTime;

    let problem: Problem<'_> = readers::problem();
    let schedule = InverseTime { alpha0: 0.1, time_constant: 5.0, beta: 1.0 };
    let snapshot = |tangents| {
        let mut run = problem.run(tangents, &problem.start(0, 0.1).unwrap());
        run.train(&schedule, 0..2, &mut |_, _, _| {}).unwrap();
        run.snapshot()
    };
    let records = vec![Record::new(0, schedule, 2.25, [-0.5, 1e-9, 0.125])];
    let unroll = Some(snapshot(Tangents::Schedule));
    let curve = vec![Point {
        step: 0,
        learning_rate: 0.1,
        momentum: 0.9,
        training_loss: 2.5,
        training_error: 0.875,
        validation_loss: Some(2.25),
        validation_error: None,
        test_loss: 2.0,
        test_error: 1.0,
    }];
    let states = [
        Some(State::Path(Progress { records: records.clone(), passes: Vec::new(), unroll }, None)),
        Some(State::Path(Progress { records, ..Progress::default() }, Some("diverged".to_owned()))),
        Some(State::Training(curve.clone(), snapshot(Tangents::None))),
        Some(State::Trained(curve, Some(7), None)),
    ];
    myopia::checkpoint::encode(&readers::experiment(), &states)
}

/// What the corpus holds of what this version writes; [`write_them`] writes it again.
#[test]
fn the_corpus_is_what_this_version_writes() {
    let one = |target: &str| corpus(target).into_iter().next().unwrap().1;
    assert!(one("checkpoint") == checkpoint(), "run the ignored test of this file");
    assert!(one("device_log") == whole_log().into_bytes(), "run the ignored test of this file");
}

#[test]
#[ignore = "writes into the corpus"]
fn write_them() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fuzz/corpus");
    for (target, bytes) in [("checkpoint", checkpoint()), ("device_log", whole_log().into_bytes())]
    {
        fs::create_dir_all(folder.join(target)).unwrap();
        fs::write(folder.join(target).join("whole"), bytes).unwrap();
    }
}
