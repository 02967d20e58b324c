//! Data that somebody brought: NumPy archives, CSV files, IDX files.

mod shared;

use std::fs;
use std::io::{Cursor, Write};
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use shared::{contents, limited, program, refuses_in_a_sentence, succeeds};
use tempfile::tempdir;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

/// An `.npy` file of this type and shape over these bytes.
fn npy(element: &str, shape: &str, data: &[u8]) -> Vec<u8> {
    let mut header =
        format!("{{'descr': '{element}', 'fortran_order': False, 'shape': {shape}, }}");
    header += &" ".repeat(63 - (10 + header.len()) % 64);
    header.push('\n');
    let length = (header.len() as u16).to_le_bytes();
    [b"\x93NUMPY\x01\x00", &length[..], header.as_bytes(), data].concat()
}

fn archive(path: &Path, arrays: &[(&str, Vec<u8>)]) {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    let stored = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    for (name, bytes) in arrays {
        zip.start_file(format!("{name}.npy"), stored).unwrap();
        zip.write_all(bytes).unwrap();
    }
    fs::write(path, zip.finish().unwrap().into_inner()).unwrap();
}

/// Pictures of 28×28 pixels: `count` of them, from a generator that begins with `seed`.
fn pixels(count: usize, seed: u32) -> Vec<u8> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    (0..count * 784).map(|i| if i % 3 == 0 { next() } else { 0 }).collect()
}

fn labels(count: usize) -> Vec<u8> {
    (0..count).map(|i| (i % 10) as u8).collect()
}

/// 60 pictures to train on and 12 to test on, as four IDX files.
fn idx(folder: &Path, seed: u32) {
    for (part, count) in [("train", 60), ("t10k", 12)] {
        let header = |magic: u8, sizes: &[u32]| {
            let sizes = sizes.iter().flat_map(|size| size.to_be_bytes());
            [0, 0, 8, magic].into_iter().chain(sizes).collect::<Vec<u8>>()
        };
        let images = [header(3, &[count, 28, 28]), pixels(count as usize, seed)].concat();
        let digits = [header(1, &[count]), labels(count as usize)].concat();
        fs::write(folder.join(format!("{part}-images-idx3-ubyte")), images).unwrap();
        fs::write(folder.join(format!("{part}-labels-idx1-ubyte")), digits).unwrap();
    }
}

/// The same as a NumPy archive.
fn npz(path: &Path, seed: u32) {
    archive(
        path,
        &[
            ("x_train", npy("|u1", "(60, 28, 28)", &pixels(60, seed))),
            ("y_train", npy("|u1", "(60,)", &labels(60))),
            ("x_test", npy("|u1", "(12, 784)", &pixels(12, seed))),
            ("y_test", npy("|u1", "(12,)", &labels(12))),
        ],
    );
}

fn on(arguments: &str, form: &str, path: &Path) -> Command {
    let mut command = program(arguments);
    command.arg("--data").arg(format!("{form}:{}", path.display()));
    command
}

/// Four numbers a row, sorted by class: three classes that the numbers tell apart.
fn table(path: &Path, shift: i32) {
    let mut text = String::from("one,two,three,four,species\n");
    for row in 0..90 {
        let class = row / 30;
        let wave = (row * 37 + shift) % 11;
        text += &format!("{},{wave},{},7,{class}\n", class * 10 + wave, 40 - 10 * class + wave % 3);
    }
    fs::write(path, text).unwrap();
}

#[test]
fn the_same_pictures_are_the_same_data_in_every_form() {
    let folder = tempdir().unwrap();
    let archive = folder.path().join("digits.npz");
    idx(folder.path(), 1);
    npz(&archive, 1);
    let arguments = "hypergrad --horizon 3 --batch 5 --json --quiet";
    for precision in ["f32", "f64"] {
        let arguments = format!("{arguments} --precision {precision}");
        let mut mnist = program(&format!("{arguments} --data mnist"));
        let mnist = succeeds(mnist.arg("--mnist-dir").arg(folder.path()));
        assert_eq!(succeeds(&mut on(&arguments, "idx", folder.path())), mnist);
        assert_eq!(succeeds(&mut on(&arguments, "npz", &archive)), mnist);
    }
    // Inputs, 100, 100 and classes.
    let given = format!("{arguments} --layers 784,100,100,10");
    let default = succeeds(&mut on(arguments, "npz", &archive));
    assert_eq!(succeeds(&mut on(&given, "npz", &archive)), default);
    let wrong = format!("{arguments} --layers 784,100,9");
    refuses_in_a_sentence(&mut on(&wrong, "npz", &archive), 2, &["784 inputs and end with 10"]);
}

#[test]
fn a_table_is_learned_from_although_it_is_sorted_by_class() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("iris.csv");
    table(&path, 0);
    let arguments = "train --steps 200 --batch 10 --json --quiet";
    let train = |more: &str| {
        let mut command = on(&format!("{arguments} {more}"), "csv", &path);
        serde_json::from_str::<Value>(&succeeds(&mut command)).unwrap()
    };
    let scaled = train("--label-column species");
    assert_eq!(
        (&scaled["judged"]["accuracy"], &scaled["test"]["accuracy"]),
        (&1.0.into(), &1.0.into())
    );
    assert_eq!(scaled["data"], "csv:iris.csv");
    let raw = train("--label-column species --raw-columns --alpha0 0.001");
    assert_ne!(raw["digest"], scaled["digest"]);
    let mut unnamed = on(arguments, "csv", &path);
    refuses_in_a_sentence(&mut unnamed, 1, &["does not have one column \"label\"", "species"]);
    let mut other = program("train --steps 1 --raw-columns");
    refuses_in_a_sentence(&mut other, 2, &["--raw-columns is an option of --data csv:FILE"]);
}

#[test]
fn a_run_goes_on_with_its_own_data_alone_wherever_they_lie() {
    let folder = tempdir().unwrap();
    let [one, moved, other] = ["one.npz", "moved.npz", "other.npz"].map(|n| folder.path().join(n));
    npz(&one, 1);
    npz(&moved, 1);
    npz(&other, 2);
    let out = folder.path().join("out");
    let run = |data: &Path, meta_steps: u32| {
        let arguments = format!(
            "meta --horizon 2 --batch 5 --layers 784,3,10 --meta-steps {meta_steps} --resume --quiet"
        );
        let mut command = on(&arguments, "npz", data);
        command.arg("--out").arg(&out);
        command
    };
    succeeds(&mut run(&one, 1));
    let words = ["--data is npz:one.npz", "npz:other.npz"];
    refuses_in_a_sentence(&mut run(&other, 2), 1, &words);
    let before = contents(&out);
    succeeds(&mut run(&moved, 1));
    assert_eq!(contents(&out), before, "nothing was left to do");
    fs::copy(&other, &one).unwrap();
    refuses_in_a_sentence(&mut run(&one, 2), 1, &["the data are not the same"]);
    succeeds(&mut run(&moved, 2));
    let direct = folder.path().join("direct");
    let mut command =
        on("meta --horizon 2 --batch 5 --layers 784,3,10 --meta-steps 2 --quiet", "npz", &moved);
    succeeds(command.arg("--out").arg(&direct));
    let table = |folder: &Path| fs::read(folder.join("trajectory.csv")).unwrap();
    assert_eq!(table(&out), table(&direct));
}

#[test]
fn shards_of_one_file_join_and_of_two_do_not() {
    let folder = tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let machines = ["first", "second", "third"].map(path);
    for (machine, shift) in machines.iter().zip([0, 0, 1]) {
        fs::create_dir(machine).unwrap();
        table(&machine.join("iris.csv"), shift);
    }
    let arguments = "surface --grid 2x2 --horizon 2,4 --batch 10 --label-column species --quiet";
    let surface = |machine: &Path, more: &str, out: &str| {
        let mut command = on(&format!("{arguments} {more}"), "csv", &machine.join("iris.csv"));
        succeeds(command.arg("--out").arg(path(out)));
    };
    surface(&machines[0], "", "whole");
    surface(&machines[0], "--shard 1/2", "one");
    surface(&machines[1], "--shard 2/2", "two");
    surface(&machines[2], "--shard 2/2", "strange");
    let merge = |parts: [&str; 2], out: &str| {
        let mut command = program("merge --quiet");
        command.args(parts.map(path)).arg("--out").arg(path(out));
        command
    };
    succeeds(&mut merge(["one", "two"], "joined"));
    for name in ["surface.csv", "surface.json", "surface.svg"] {
        let read = |out: &str| fs::read(path(out).join(name)).unwrap();
        assert_eq!(read("joined"), read("whole"), "{name}");
    }
    let words = ["shards of different runs: the data are not the same"];
    refuses_in_a_sentence(&mut merge(["one", "strange"], "never"), 1, &words);
}

#[test]
fn what_is_missing_spoilt_or_too_large_is_said_in_one_sentence() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("digits.npz");
    let arguments = "hypergrad --horizon 1 --batch 5";
    for (form, what) in [("npz", "digits.npz"), ("csv", "digits.npz"), ("idx", "digits.npz")] {
        let words = ["could not read", what, "does not exist"];
        refuses_in_a_sentence(&mut on(arguments, form, &path), 1, &words);
    }
    npz(&path, 1);
    let bytes = fs::read(&path).unwrap();
    fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
    refuses_in_a_sentence(&mut on(arguments, "npz", &path), 1, &["is not an .npz archive"]);
    // A parser that calls itself for each bracket would run out of stack.
    archive(&path, &[("x_train", npy("|u1", &"(".repeat(20_000), &[]))]);
    let words = ["x_train", "its header is nested over 64 deep"];
    refuses_in_a_sentence(&mut on(arguments, "npz", &path), 1, &words);
    let mut unknown = program("hypergrad --data hdf5:x");
    let said =
        shared::refuses(&mut unknown, 2, &["give glyphs, mnist, npz:FILE, csv:FILE or idx:DIR"]);
    assert!(said.contains("'hdf5:x' for '--data <DATA>'"), "{said}");
    if cfg!(target_os = "linux") {
        // 300 MB of zeros, of which the archive's folder tells.
        let zeros = vec![0; 300_000_000];
        archive(&path, &[("x_train", npy("|u1", "(300000, 1000)", &zeros))]);
        let arguments = format!("{arguments} --data npz:{}", path.display());
        let words = ["x_train", "takes about 858.3 MiB of memory", "ulimit -v"];
        refuses_in_a_sentence(&mut limited("ulimit -v 600000", &arguments), 2, &words);
    }
}
