//! Every reader of files on bytes that anybody may have written: it answers or refuses, and what it
//! answers is sound.
//!
//! Checksums are made good first, so that what lies behind them is reached.

use std::io::Cursor;
use std::path::Path;
use std::sync::LazyLock;

use myopia::checkpoint::{self, Experiment};
use myopia::config;
use myopia::data;
use myopia::data::archive::Archive;
use myopia::data::csv::Reading;
use myopia::data::idx::{self, Kind};
use myopia::data::idx_folder;
use myopia::data::labelled::Own;
use myopia::data::table::{self, Columns};
use myopia::descent::{self, MetaDescent};
use myopia::failure::Failure;
use myopia::horizons::State;
use myopia::nqm::judge::Judge;
use myopia::outer::{OuterOptimizer, OuterRule, limits};
use myopia::output::record::{Record, sha256};
use myopia::precision::Precision;
use myopia::problem::{self, Data, Problem, Snapshot, Source, Tangents};
use myopia::provenance;
use myopia::published::Manifest;
use myopia::report::{self, Contents, Table};
use myopia::surface::{self, Piece, Row, ShardReport, merge};
use myopia::verify::{Expected, Set};
use myopia_backend::Isa;
use myopia_core::schedule::{InverseTime, PARAMETERS, Parameter};
use sha2::{Digest, Sha256};

/// Images and labels in IDX files, raw or compressed.
pub fn idx(bytes: &[u8]) {
    for (kind, size) in [(Kind::Images, 784), (Kind::Labels, 1)] {
        if let Ok(found) = idx::decode_up_to(bytes, kind, 1 << 20) {
            assert!(!found.bytes.is_empty() && found.bytes.len().is_multiple_of(size));
            assert_eq!(found.width, size);
        }
    }
    for kind in [Kind::AnyExamples, Kind::AnyLabels] {
        if let Ok(found) = idx::decode_up_to(bytes, kind, 1 << 20) {
            assert!(!found.bytes.is_empty() && found.bytes.len().is_multiple_of(found.width));
        }
    }
}

/// Examples in four IDX files, before which stand the lengths of the first three.
pub fn idx_folder(bytes: &[u8]) {
    let Some((lengths, mut rest)) = bytes.split_at_checked(6) else { return };
    let mut part = |length: usize| {
        let (part, after) = rest.split_at(length.min(rest.len()));
        rest = after;
        part
    };
    let length = |at: usize| u16::from_le_bytes([lengths[at], lengths[at + 1]]).into();
    let parts = [part(length(0)), part(length(2)), part(length(4)), part(usize::MAX)];
    let kinds = [Kind::AnyExamples, Kind::AnyLabels].repeat(2);
    let files: Option<Vec<_>> = parts
        .into_iter()
        .zip(kinds)
        .map(|(bytes, kind)| {
            let found = idx::decode_up_to(bytes, kind, 1 << 20);
            found.ok().map(|contents| ("it".to_owned(), contents))
        })
        .collect();
    if let Some(files) = files {
        taken(Ok(idx_folder::own(files.try_into().unwrap())));
    }
}

/// Options in a file: words that the command line reads, whatever they say.
pub fn config(bytes: &[u8]) {
    match config::parse(bytes) {
        Ok(settings) => {
            for option in &settings.options {
                assert!(option[0].as_encoded_bytes().starts_with(b"-"), "{option:?}");
            }
            let words = settings.command.iter().chain(settings.options.iter().flatten());
            assert_eq!(config::grouped(words.cloned()), settings);
        }
        Err(why) => said(&why),
    }
}

/// Files of a folder that is reported on: a name on a line, then what it holds up to a line `%`.
pub fn report(bytes: &[u8]) {
    let mut contents = Contents::default();
    let lines: Vec<&[u8]> = bytes.split_inclusive(|&byte| byte == b'\n').collect();
    for file in lines.split(|line| *line == b"%\n") {
        let Some((name, lines)) = file.split_first() else { continue };
        let name = String::from_utf8_lossy(name);
        let _ = contents.take(name.trim_end(), lines.concat(), None);
    }
    let page = report::page("it", &contents, &[]);
    assert!(!page.contains("<script") && !page.contains("<svg"));
}

/// Tables of numbers that other programs wrote.
pub fn table(bytes: &[u8]) {
    let columns = Columns {
        names: &["curvature", "noise_variance", "initial_mean", "initial_variance"],
        required: 2,
        passed_over: &["direction"],
        numbered: Some("curvature"),
    };
    match table::parse("it", bytes, columns) {
        Ok(table) => {
            for mut row in table.rows {
                assert!(row.numbered.iter().all(|x| x.is_finite()));
                row.values[0] = row.values[0].or(row.numbered.first().copied());
                assert_eq!(row.values.len(), columns.names.len());
                let (required, rest) = row.values.split_at(columns.required);
                assert!(required.iter().all(Option::is_some));
                assert!(required.iter().chain(rest).flatten().all(|x| x.is_finite()));
            }
        }
        Err(failure) => said(&failure.to_string()),
    }
}

/// Examples in a CSV file.
pub fn labelled(bytes: &[u8]) {
    for raw in [false, true] {
        let reading = Reading { label: "species".to_owned(), raw };
        taken(data::csv::parse("it", bytes, &reading));
    }
}

/// Takes the examples that somebody brought, whose data are then sound.
fn taken(own: Result<Own<'static>, Failure>) {
    match own.and_then(|own| own.load(Precision::F32)) {
        Ok(data) => {
            assert!(data.classes >= 2 && data.inputs >= 1 && data.held_out >= 1);
            assert!(data.held_out < data.len(problem::Set::Training));
            data.digest();
        }
        Err(failure) => said(&failure.to_string()),
    }
}

/// This program's own tables.
pub fn csv(bytes: &[u8]) {
    if let Ok(table) = Table::read(bytes) {
        assert!(table.rows.iter().all(|row| row.len() == table.header.len()));
        let rows = |names: &[&str]| {
            table.groups(names).iter().fold(0, |count, (_, rows)| count + rows.len())
        };
        assert_eq!(rows(&["horizon", "start"]), table.rows.len());
    }
    if let Ok(rows) = Row::read(bytes) {
        let horizon = rows.first().map_or(1, |row| row.horizon);
        let other =
            rows.first().and_then(|row| row.others.first()).map(|(parameter, _)| *parameter);
        let axes = [Parameter::Alpha0, other.unwrap_or(Parameter::Beta)];
        let _ = surface::panel(&rows, axes, horizon, "loss");
    }
    let _ = descent::Columns::default().read(bytes);
}

/// Arrays in a NumPy archive.
pub fn npz(bytes: &[u8]) {
    let path = Path::new("it.npz");
    let mut archive = match Archive::new(path, Cursor::new(bytes)) {
        Ok(archive) => archive,
        Err(failure) => return said(&failure.to_string()),
    };
    taken(data::npz::parse(&mut archive));
    for name in ["H", "A", "w_star"] {
        match archive.find(name) {
            Ok(Some(array)) => {
                let count = array.shape.iter().fold(1, |count: usize, size| count * size);
                assert_eq!(count, array.entries.len());
            }
            Ok(None) => {}
            Err(failure) => said(&failure.to_string()),
        }
        let _ = (archive.matrix(name), archive.find_vector(name));
    }
}

/// The two files of a shard, one after the other.
pub fn shard(bytes: &[u8]) {
    let end = bytes.windows(3).position(|three| three == b"\n}\n").map_or(bytes.len(), |at| at + 3);
    let (report, rows) = bytes.split_at(end);
    let path = Path::new("it");
    let report = match serde_json::from_slice::<ShardReport>(report) {
        Ok(mut good) => {
            good.sha256 = sha256(rows);
            serde_json::to_vec(&good.sealed()).unwrap()
        }
        Err(_) => report.to_vec(),
    };
    let piece = match Piece::parse(path, &report, rows) {
        Ok(piece) => piece,
        Err(error) => return drop(error.to_string()),
    };
    if let Ok((about, runs)) = merge(vec![piece]) {
        assert_eq!(runs.len(), about.runs() as usize * about.horizons.len());
        let report = surface::write(None, &about, &runs, false).unwrap();
        report.print(&mut Vec::new()).unwrap();
    }
}

/// Manifests of published results.
pub fn manifest(bytes: &[u8]) {
    if let Ok(manifest) = Manifest::parse(bytes) {
        let arguments = manifest.arguments(Path::new("results"));
        assert_eq!(arguments.len(), manifest.command.len());
        let again = serde_json::to_vec(&manifest).unwrap();
        assert_eq!(Manifest::parse(&again).unwrap(), manifest);
    }
}

/// Records of which files a run wrote.
pub fn record(bytes: &[u8]) {
    let record = Record::parse(&String::from_utf8_lossy(bytes));
    for (name, digest) in &record.files {
        assert!(!Path::new(name).is_absolute() && !name.split('/').any(|part| part == ".."));
        assert_eq!(digest.len(), 64);
    }
    if let Some(words) = record.command.as_deref().and_then(provenance::words) {
        let line: Vec<String> = words.iter().map(|word| provenance::quoted(word)).collect();
        assert_eq!(provenance::words(&line.join(" ")), Some(words));
    }
}

static DATA: LazyLock<Data> = LazyLock::new(|| {
    Source::Glyphs.load(Precision::F32, drop).unwrap_or_else(|e| panic!("built in: {e}"))
});

/// The experiment of which the corpus holds checkpoints.
pub fn experiment() -> Experiment {
    Experiment::new("horizons", &serde_json::json!({ "horizon": [3, 5], "seed": 1 }))
}

/// Its problem.
pub fn problem() -> Problem<'static> {
    Problem {
        batch: 2,
        objective_size: Some(2),
        isa: Isa::Baseline,
        ..Problem::new(&DATA, vec![64, 2, 10])
    }
}

/// A descent of it.
fn descent() -> MetaDescent {
    let limits = limits(&PARAMETERS);
    MetaDescent {
        schedule: InverseTime { alpha0: 0.1, time_constant: 5.0, beta: 1.0 },
        tuned: PARAMETERS.to_vec(),
        outer: OuterOptimizer::new(Precision::F32, OuterRule::Adam, 0.1, limits),
        horizon: 5,
        judge: Judge::Plain,
        meta_steps: 3,
    }
}

/// Checkpoints, and the runs that are taken up from them.
pub fn checkpoint(bytes: &[u8]) {
    let contents = &bytes[..bytes.len().saturating_sub(32)];
    let sealed = [contents, Sha256::digest(contents).as_slice()].concat();
    let found = match checkpoint::decode::<State>(&sealed, &experiment(), 4) {
        Ok(found) => found,
        Err(trouble) => return drop(trouble.to_string()),
    };
    assert_eq!(found.states.len(), 4);
    let problem = problem();
    let restore = |tangents, snapshot: &Snapshot| {
        if let Some(run) = problem.restore(tangents, snapshot) {
            assert_eq!(run.steps(), snapshot.steps);
        }
    };
    for state in found.states.into_iter().flatten() {
        match state {
            State::Path(progress, _) => {
                let records = (progress.records.len() + progress.passes.len()) as u64;
                let unroll = progress.unroll.as_ref().map_or(0, |unroll| u64::from(unroll.steps));
                assert_eq!(descent().steps(&progress).1, 5 * records + unroll);
                progress.unroll.iter().for_each(|unroll| restore(Tangents::Schedule, unroll));
            }
            State::Training(_, snapshot) => restore(Tangents::None, &snapshot),
            State::Trained(..) => {}
        }
    }
}

static EXPECTED: LazyLock<Expected> = LazyLock::new(|| Expected::of(Set::Reduced));

/// Logs of devices.
pub fn device_log(bytes: &[u8]) {
    let log: Vec<String> = String::from_utf8_lossy(bytes).lines().map(str::to_owned).collect();
    let judged = EXPECTED.judge("here", &log);
    let equal = judged.difference.is_none();
    assert!(!equal || judged.experiments.iter().all(|experiment| experiment.equal));
    drop(judged.difference.map(|difference| difference.to_string()));
}

/// A sentence is one line and has an end.
fn said(sentence: &str) {
    assert!(sentence.lines().count() <= 1 && sentence.len() < 5_000, "{sentence}");
}
