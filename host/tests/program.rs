//! The program as its users meet it: every mistake gets one clear sentence, and nothing is lost.

mod shared;

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;
use shared::{program, refuses, run};
use tempfile::TempDir;

const QUICK: &str = "--quiet --horizon 3 --layers 64,5,10 --batch 10 --objective-size 20";

fn quick(command: &str) -> Command {
    program(&format!("{command} {QUICK}"))
}

fn in_folder(command: &str, flag: &str, folder: &Path) -> Command {
    let mut command = quick(command);
    command.arg(flag).arg(folder);
    command
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<String> =
        entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.retain(|name| name != ".myopia.lock" && name != shared::RECORD);
    names.sort();
    names
}

#[test]
fn impossible_values_are_refused_by_name() {
    for (flags, words) in [
        ("--alpha0 0", "--alpha0 0"),
        ("--alpha0 -0.1", "--alpha0 -0.1"),
        ("--alpha0 nan", "alpha0 must be a positive finite number"),
        ("--alpha0 inf", "alpha0 must be a positive finite number"),
        ("--alpha0 1e300", "also when rounded to f32"),
        ("--alpha0 1e-60", "--alpha0 1e-60"),
        ("--alpha0 much", "'much' for '--alpha0"),
        ("--time-constant 0", "K must be a positive finite number of steps"),
        ("--time-constant -5", "K must be a positive finite number of steps"),
        ("--beta -1", "beta must be zero or a positive finite number"),
        ("--momentum 1", "--momentum 1 is outside 0..1"),
        ("--momentum -0.1", "--momentum -0.1 is outside 0..1"),
        ("--momentum 0.9999999999", "--momentum 0.9999999999 is outside 0..1 when rounded to f32"),
        ("--momentum nan", "--momentum NaN is outside 0..1"),
        ("--batch 0", "--batch 0 must be between 1 and 4000"),
        ("--batch 4001", "--batch 4001 must be between 1 and 4000"),
        ("--batch 5001 --objective train", "--batch 5001 must be between 1 and 5000"),
        ("--batch -1", "invalid value '-1' for '--batch"),
        ("--batch 99999999999999999999999", "for '--batch"),
        ("--objective-size 0", "--objective-size 0 must be between 1 and 1000"),
        ("--objective-size 1001", "--objective-size 1001 must be between 1 and 1000"),
        ("--objective test", "possible values: validation, train"),
        ("--precision f16", "possible values: f32, f64"),
        ("--pretrain-rate 0", "--pretrain-rate 0 must be a positive finite number"),
        ("--pretrain-rate -1", "--pretrain-rate -1 must be a positive finite number"),
        ("--pretrain -1", "invalid value '-1' for '--pretrain"),
        ("--layers 64", "--layers 64: a network needs at least two sizes"),
        ("--layers 64,,10", "for '--layers"),
        ("--layers 64,0,10", "--layers 64,0,10: a layer needs at least one unit"),
        ("--layers 64,-3,10", "for '--layers"),
        ("--layers 64,70000,10", "a layer has at most 65535 units"),
        ("--layers 64,1000000000,10", "a layer has at most 65535 units"),
        ("--layers 784,10", "--layers 784,10 does not fit the data: it must start with 64"),
        ("--layers 64,9", "end with 10 classes"),
        ("--threads 0", "for '--threads"),
        ("--threads 1000000", "for '--threads"),
        ("--seed -1", "invalid value '-1' for '--seed"),
        ("--colour red", "unexpected argument '--colour'"),
        ("--optimizer lion", "possible values: sgd, rmsprop, adam, kfac"),
        ("--optimizer adam --epsilon -0.001", "--epsilon -0.001 must be a finite number from 0 on"),
        (
            "--optimizer adam --beta2 1",
            "--beta2 1.0 must be a finite number from 0 up to, but not, 1",
        ),
        ("--optimizer adam --beta1 nan", "--beta1 NaN must be a finite number"),
        ("--optimizer rmsprop --rho -0.1", "--rho -0.1 must be a finite number"),
        ("--optimizer rmsprop --nesterov", "--nesterov is an option of sgd"),
        ("--epsilon 1", "--epsilon is an option of rmsprop and adam"),
        ("--damping 1", "--damping is an option of kfac"),
        ("--optimizer adam --kfac-sampled", "--kfac-sampled is an option of kfac"),
        ("--optimizer kfac --damping -1", "--damping -1.0 must be a finite number from 0 on"),
        ("--optimizer kfac --kfac-decay 1", "--kfac-decay 1.0 must be a finite number from 0 up"),
        ("--optimizer kfac --refactor-every 0", "--refactor-every 0 would never factorise"),
        ("--optimizer kfac --kfac-clip 0", "--kfac-clip 0 would stop every step"),
        ("--weight-decay -1", "--weight-decay -1.0 must be a finite number from 0 on"),
        ("--decoupled", "--decoupled says how weights decay; give --weight-decay"),
    ] {
        for command in ["hypergrad", "meta", "train"] {
            refuses(&mut program(&format!("{command} {flags}")), 2, &[words]);
        }
    }
    for (command, words) in [
        ("meta --meta-lr 0", "--meta-lr 0 must be a positive finite number"),
        ("meta --meta-lr -1", "--meta-lr -1 must be a positive finite number"),
        ("meta --clip nan", "--clip NaN must be a positive finite number"),
        ("meta --horizon 0", "--horizon 0 leaves no step to tune"),
        ("meta --meta-steps -1", "invalid value '-1' for '--meta-steps"),
        ("meta --outer sgd", "possible values: adam, momentum"),
        ("hypergrad --horizon -1", "invalid value '-1' for '--horizon"),
        ("train --steps -1", "invalid value '-1' for '--steps"),
        ("hypergrad --export a --out b", "--export and --out both name a folder"),
        ("hypergrad --tune epsilon", "--tune epsilon: this training has no epsilon"),
        (
            "hypergrad --optimizer adam --tune momentum",
            "--tune momentum: this training has no momentum",
        ),
        ("hypergrad --tune beta,alpha0,beta", "--tune names beta twice"),
        ("meta --optimizer adam --tune weight-decay", "has no weight-decay; give --weight-decay"),
        ("meta --tune alpha0 --fix beta", "--fix and --tune both say what is learned"),
        ("meta --optimizer adam --epsilon 0 --tune epsilon", "or leave it out of --tune"),
        ("horizons --tune epsilon", "--tune epsilon: this training has no epsilon"),
        ("hypergrad --norm batch --optimizer kfac", "--norm batch: kfac knows no normalisation"),
        ("horizons --tune alpha0 --surface x", "--surface shows alpha0, time-constant and beta"),
        ("horizons --tune alpha0 --fix beta", "--fix and --tune both say what is learned"),
        ("horizons --tune alpha0 --from 20,1,1", "--alpha0 is 20.0 where the descent starts"),
        ("surface --tune alpha0,rho", "--axes rho: this training has no rho"),
        ("surface --axes alpha0,momentum --beta-range 1,2", "--beta-range is of no axis here"),
        ("biases --carry hd,hd", "--carry names hd twice"),
        ("biases --particles 4,4", "--particles names 4 twice"),
        ("biases --window 0", "--window 0 is no step"),
        ("biases --pairs 1", "--pairs 1 say nothing of a variance"),
        ("biases --steps 1", "--steps 1 leave no step"),
        ("nqm judges --after 5,5", "--after names 5 twice"),
        ("reruns pes --windows 10,10", "--windows names 10 twice"),
        ("reruns influence --windows 5,5", "--windows names 5 twice"),
        ("surface --schedule file:x", "surface --schedule file: begins from a formula"),
        (
            "surface --schedule linear:0.1",
            "surface --schedule linear:0.1: the first rate is --alpha0",
        ),
        ("surface --axes alpha0,final-share --schedule cosine --beta 2", "--beta says nothing of"),
        ("surface --axes alpha0,momentum --range momentum=0.5,1", "above 0 and below 1"),
        ("online --optimizer adam", "online adapts the learning rate and momentum of plain sgd"),
        ("online --optimizer kfac", "online adapts the learning rate and momentum of plain sgd"),
        ("plan --optimizer kfac", "leave --optimizer, --nesterov and --weight-decay out"),
        ("remedies --from 0.1,1e9,1 --optimizer kfac", "plain sgd"),
        ("hypergrad --optimizer kfac --carry hd", "--carry is of plain sgd"),
        ("hypergrad --optimizer kfac --mode reverse", "--mode reverse takes steps back"),
        ("meta --every-entry --optimizer kfac", "--every-entry takes steps back"),
        ("hypergrad --tune damping", "--tune damping: this training has no damping"),
        ("hypergrad --optimizer kfac --damping 0 --tune damping", "its root has no derivative"),
        ("descend", "unrecognized subcommand 'descend'"),
        ("nqm --schedule replan:3 --judge jury", "a judge is plain, cooldown:STEPS,"),
        ("nqm --schedule replan:3 --judge average:1", "from 0 up to but not including 1"),
        ("nqm compare greedy optimal --judge cooldown:3", "greedy, optimal does not look ahead"),
        (
            "nqm --optimizer adam --schedule optimal",
            "second moment of adam does not take; name tuned:H",
        ),
        (
            "nqm judges --optimizer rmsprop",
            "nqm judges knows fixed preconditioners (--power) alone",
        ),
        ("nqm biases --optimizer kfac", "leave out --optimizer"),
        ("nqm rates --optimizer kfac", "nqm rates tunes optimisers of its own; leave out"),
        ("nqm rates --power 1", "leave out --power and --damping"),
        ("nqm rates --horizons 10,10", "--horizons is not ascending from 1 on"),
        ("nqm rates --grid 1", "--grid is 1; give a number of values from 2 to 1000"),
        ("nqm rates --warm-rate nan", "--warm-rate is NaN; give zero or a positive number"),
        ("nqm judges --horizon 0", "--horizon is 0; give a number from 1 to the 250 of --steps"),
        ("nqm judges --horizon 9 --steps 8", "--horizon is 9; give a number from 1 to the 8"),
        ("nqm judges --after 240", "--after has 240, but of 250 steps no more than 230"),
        ("nqm judges --cooldowns 3,1", "--cooldowns is not ascending; give each number once"),
        ("nqm judges --averages 0.5,0.5", "--averages is not ascending"),
        ("nqm judges --averages 0.5,nan", "--averages has NaN; give numbers from 0 up to"),
    ] {
        refuses(&mut program(command), 2, &[words]);
    }
}

/// Sizes that each fit but together need some hundred gigabytes and more.
#[test]
fn what_cannot_fit_in_memory_is_refused_before_it_is_tried() {
    let wide = vec!["65535"; 200].join(",");
    for flags in [format!("--layers 64,{wide},10"), format!("--layers 64,{wide},10 --batch 4000")] {
        let mut command = program(&format!("hypergrad {flags}"));
        refuses(&mut command, 2, &["GiB of memory", "make one of them smaller"]);
    }
    let many: Vec<String> = (1..=700).map(|horizon| horizon.to_string()).collect();
    let surface = format!("surface --grid 1000x1000 --horizon {}", many.join(","));
    let words = ["a surface of 700000000 rows", "GiB of memory", "take fewer"];
    refuses(&mut program(&surface), 2, &words);
}

#[test]
fn a_look_ahead_of_no_steps_judges_the_start() {
    let (code, stdout, _) = run(&mut program("hypergrad --horizon 0 --json --quiet"));
    assert_eq!(code, Some(0));
    let report: Value = serde_json::from_str(&stdout).unwrap();
    assert!((1.0..4.0).contains(&report["loss"].as_f64().unwrap()), "{report}");
    for derivative in ["d_alpha0", "d_time_constant", "d_beta"] {
        assert_eq!(report[derivative], 0.0, "{derivative}");
    }
}

#[test]
fn a_factor_of_kfac_without_an_inverse_is_reported_with_its_layer_and_step() {
    let singular = "the damped factor of the errors (S) of layer 1 is singular";
    for command in ["hypergrad --horizon 5", "train --steps 5"] {
        let words = ["K-FAC stopped: ", singular, " at step 0; give a larger --damping"];
        let flags = format!("{command} --optimizer kfac --damping 0");
        refuses(&mut program(&flags), 1, &words);
    }
    let words = ["meta-step 0", singular, "start from a larger damping"];
    refuses(&mut program("meta --horizon 5 --optimizer kfac --damping 0"), 1, &words);
}

#[test]
fn a_diverging_run_is_reported_with_its_step() {
    let diverging = "--alpha0 1e20";
    refuses(
        &mut program(&format!("hypergrad --quiet {diverging}")),
        1,
        &["training diverged", "left the finite range at step ", "lower --alpha0"],
    );
    refuses(
        &mut program(&format!("train --quiet {diverging}")),
        1,
        &["at step ", "lower --alpha0"],
    );
    let root = tempfile::tempdir().unwrap();
    let out = root.path().join("out");
    let mut meta = program(&format!("meta --quiet {diverging} --fix alpha0"));
    refuses(meta.arg("--out").arg(&out), 1, &["meta-step 0", "at step ", "--meta-lr"]);
    assert_eq!(names(&out), ["trajectory.partial.csv"], "nothing that looks whole");
    let pretrain = "hypergrad --quiet --pretrain 9 --pretrain-rate 1e20";
    refuses(&mut program(pretrain), 1, &["pretraining diverged", "lower --pretrain-rate"]);
}

#[test]
fn machine_output_stands_alone_on_standard_output() {
    for arguments in ["hypergrad --horizon 3", "meta --horizon 3 --meta-steps 2", "train --steps 3"]
    {
        let command = format!("{arguments} --layers 64,5,10 --objective-size 20 --json");
        let (code, stdout, _) = run(&mut program(&command));
        assert_eq!(code, Some(0), "{arguments}");
        let parsed: Value = serde_json::from_str(&stdout).unwrap();
        assert!(parsed.is_object(), "{arguments}");
        let (code, quiet, stderr) = run(&mut program(&format!("{command} --quiet")));
        assert_eq!((code, stderr.as_str()), (Some(0), ""), "{arguments}");
        assert_eq!(quiet, stdout, "{arguments}");
    }
    let (_, stdout, stderr) =
        run(&mut program("nqm --schedule constant:0.1 --dim 4 --steps 5 --json --quiet"));
    let parsed: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!((parsed["losses"].as_array().unwrap().len(), stderr.as_str()), (6, ""));
}

#[test]
fn the_number_of_threads_changes_no_output() {
    let meta =
        |threads: u32| run(quick("meta --meta-steps 3 --json --threads").arg(threads.to_string()));
    assert_eq!(meta(1), meta(5));
}

#[test]
fn earlier_results_are_kept_unless_forced() {
    let root = tempfile::tempdir().unwrap();
    for (command, flag, files) in [
        (
            "hypergrad",
            "--out",
            &["batches.npy", "final.npz", "init.npz", "meta.json", "objective.npy"][..],
        ),
        (
            "hypergrad",
            "--export",
            &["batches.npy", "final.npz", "init.npz", "meta.json", "objective.npy"],
        ),
        ("meta --meta-steps 1", "--out", &["meta.json", "trajectory.csv"]),
    ] {
        let folder = root.path().join(format!("{command}{flag}"));
        let (code, _, stderr) = run(&mut in_folder(command, flag, &folder));
        assert_eq!((code, stderr.as_str()), (Some(0), ""));
        assert_eq!(names(&folder), files);
        let contents = |name: &&str| fs::read(folder.join(name)).unwrap();
        let first: Vec<Vec<u8>> = files.iter().map(contents).collect();
        let mut again = in_folder(command, flag, &folder);
        refuses(again.args(["--seed", "2"]), 1, &["already holds results", "--force"]);
        assert_eq!(files.iter().map(contents).collect::<Vec<_>>(), first, "untouched");
        let (code, _, _) = run(in_folder(command, flag, &folder).args(["--seed", "2", "--force"]));
        assert_eq!(
            (code, names(&folder)),
            (Some(0), files.iter().map(|f| f.to_string()).collect())
        );
        assert_ne!(files.iter().map(contents).collect::<Vec<_>>(), first, "another seed");
    }
}

#[test]
fn a_refused_request_leaves_no_results_behind() {
    let root = tempfile::tempdir().unwrap();
    let out = root.path().join("out");
    refuses(in_folder("meta", "--out", &out).args(["--momentum", "2"]), 2, &["--momentum 2"]);
    if out.exists() {
        assert!(names(&out).is_empty());
    }
    let (code, _, stderr) = run(&mut in_folder("meta --meta-steps 1", "--out", &out));
    assert_eq!(
        (code, stderr.as_str()),
        (Some(0), ""),
        "the folder is free for the corrected request"
    );
}

#[test]
fn a_place_that_cannot_be_written_to_is_named() {
    let root = tempfile::tempdir().unwrap();
    let file = root.path().join("file");
    fs::write(&file, "mine").unwrap();
    for command in ["hypergrad", "meta"] {
        refuses(&mut in_folder(command, "--out", &file), 1, &["is a file, not a folder"]);
        let below = file.join("below");
        refuses(&mut in_folder(command, "--out", &below), 1, &["could not create the folder"]);
    }
    assert_eq!(fs::read(&file).unwrap(), b"mine");
}

/// A reader that leaves at once, such as `head` with enough.
#[cfg(unix)]
#[test]
fn a_closed_pipe_is_no_reason_to_panic() {
    for command in ["hypergrad", "hypergrad --json", "meta --meta-steps 1", "meta --json"] {
        let mut child =
            quick(command).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!((output.status.code(), stderr.as_str()), (Some(0), ""), "{command}");
    }
    // Standard error closed as well: the exit status still tells.
    let mut child = program("train --alpha0 0").stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stderr.take());
    assert_eq!(child.wait().unwrap().code(), Some(2));
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_under_standard_output_is_a_failure() {
    let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    for mut command in [
        quick("hypergrad"),
        quick("hypergrad --json"),
        program("--help"),
        program("--version"),
        program("train --help"),
    ] {
        let child = command.stdout(full.try_clone().unwrap()).stderr(Stdio::piped()).spawn();
        let output = child.unwrap().wait_with_output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{command:?}");
        assert!(stderr.starts_with("myopia: could not write "), "{stderr}");
        assert!(stderr.contains("to standard output"), "{stderr}");
    }
}

/// Well-formed files of MNIST's names: 12 images to train on, 6 to test on.
fn small_mnist() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (part, count) in [("train", 12u32), ("t10k", 6)] {
        let mut images = [0x803u32, count, 28, 28].map(u32::to_be_bytes).concat();
        images.extend((0..count * 784).map(|i| if i % 3 == 0 { (i % 251) as u8 } else { 0 }));
        let mut labels = [0x801u32, count].map(u32::to_be_bytes).concat();
        labels.extend((0..count).map(|i| (i % 10) as u8));
        fs::write(folder.path().join(format!("{part}-images-idx3-ubyte")), images).unwrap();
        fs::write(folder.path().join(format!("{part}-labels-idx1-ubyte")), labels).unwrap();
    }
    folder
}

fn on(folder: &Path) -> Command {
    let mut command =
        program("hypergrad --data mnist --horizon 2 --batch 2 --layers 784,4,10 --mnist-dir");
    command.arg(folder);
    command
}

#[test]
fn other_images_in_the_same_format_are_remarked_on_and_used() {
    let folder = small_mnist();
    let (code, stdout, stderr) = run(on(folder.path()).arg("--json"));
    assert_eq!(code, Some(0), "{stderr}");
    assert_eq!(stderr.matches("is not the published MNIST file").count(), 4, "{stderr}");
    assert!(serde_json::from_str::<Value>(&stdout).unwrap()["loss"].is_number());
    let (code, _, stderr) = run(on(folder.path()).arg("--quiet"));
    assert_eq!((code, stderr.as_str()), (Some(0), ""));
    let mut by_environment = program("hypergrad --data mnist --horizon 2 --batch 2 --quiet --json");
    let (code, _, stderr) = run(by_environment.env("MYOPIA_MNIST", folder.path()));
    assert_eq!(code, Some(0), "{stderr}");
    refuses(on(folder.path()).args(["--objective-size", "3"]), 2, &["between 1 and 2"]);
}

#[test]
fn spoilt_files_are_named_with_what_is_wrong() {
    let nowhere = Path::new("no/such/folder");
    refuses(&mut on(nowhere), 1, &["is not in no/such/folder", "myopia data fetch", "--mnist-dir"]);
    type Spoil = fn(&mut Vec<u8>);
    let cases: [(&str, Spoil, &str); 6] = [
        ("train-images-idx3-ubyte", |b| b.truncate(b.len() - 1), "train-images"),
        ("train-images-idx3-ubyte", |b| b[3] = 9, "train-images"),
        ("t10k-images-idx3-ubyte", |b| b[11] = 27, "t10k-images"),
        ("train-labels-idx1-ubyte", |b| b[8] = 10, "train-labels"),
        ("t10k-labels-idx1-ubyte", |b| b.clear(), "t10k-labels"),
        ("train-labels-idx1-ubyte", |b| (b[7], _) = (11, b.pop()), "12 images"),
    ];
    for (name, spoil, words) in cases {
        let folder = small_mnist();
        let path = folder.path().join(name);
        let mut bytes = fs::read(&path).unwrap();
        spoil(&mut bytes);
        fs::write(&path, bytes).unwrap();
        refuses(on(folder.path()).arg("--quiet"), 1, &[words]);
    }
    let folder = small_mnist();
    fs::remove_file(folder.path().join("t10k-labels-idx1-ubyte")).unwrap();
    refuses(&mut on(folder.path()), 1, &["t10k-labels-idx1-ubyte.gz is not in"]);
}

#[test]
fn a_flipped_bit_in_a_compressed_file_is_noticed() {
    let folder = small_mnist();
    let path = folder.path().join("train-images-idx3-ubyte");
    let raw = fs::read(&path).unwrap();
    fs::remove_file(&path).unwrap();
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(&raw).unwrap();
    let whole = encoder.finish().unwrap();
    let path = folder.path().join("train-images-idx3-ubyte.gz");
    fs::write(&path, &whole).unwrap();
    let (code, _, stderr) = run(on(folder.path()).arg("--quiet"));
    assert_eq!((code, stderr.as_str()), (Some(0), ""));
    for at in [whole.len() / 3, whole.len() / 2, whole.len() - 6] {
        let mut flipped = whole.clone();
        flipped[at] ^= 1;
        fs::write(&path, flipped).unwrap();
        refuses(on(folder.path()).arg("--quiet"), 1, &["train-images-idx3-ubyte.gz"]);
    }
    fs::write(&path, &whole[..whole.len() - 9]).unwrap();
    refuses(on(folder.path()).arg("--quiet"), 1, &["train-images-idx3-ubyte.gz"]);
}

/// From a learning rate a hundred times too small, on the real files.
#[test]
fn meta_descent_on_mnist_lowers_the_objective_from_a_bad_start() {
    let Some(folder) = std::env::var_os("MYOPIA_MNIST") else {
        return eprintln!("skipped: set MYOPIA_MNIST to the folder of the MNIST files");
    };
    // Unoptimised, a fifth of the work keeps the test short.
    let (meta_steps, horizon) = if cfg!(debug_assertions) { (6, 20) } else { (15, 100) };
    let root = tempfile::tempdir().unwrap();
    let flags = format!(
        "meta --data mnist --horizon {horizon} --meta-steps {meta_steps} --meta-lr 0.3 --alpha0 0.001 --batch 50 \
         --objective-size 1000 --quiet --json --mnist-dir"
    );
    let out = root.path().join("out");
    let (code, stdout, stderr) = run(program(&flags).arg(folder).arg("--out").arg(&out));
    assert_eq!((code, stderr.as_str()), (Some(0), ""));
    let report: Value = serde_json::from_str(&stdout).unwrap();
    let loss = |record: &str| report[record]["loss"].as_f64().unwrap();
    assert!(loss("last") < 0.9 * loss("first"), "{report}");
    assert!(loss("best") <= loss("last"), "{report}");
    let trajectory = fs::read_to_string(out.join("trajectory.csv")).unwrap();
    assert_eq!(trajectory.lines().count(), meta_steps + 2);
    assert_eq!(
        trajectory.lines().next().unwrap(),
        "meta_step,alpha0,time_constant,beta,loss,d_alpha0,d_time_constant,d_beta"
    );
}

/// `ulimit` before the program, as a shell or a batch system sets it.
#[cfg(unix)]
fn limited(limits: &str, arguments: &str) -> Command {
    let mut command = Command::new("sh");
    let program = env!("CARGO_BIN_EXE_myopia");
    command.args(["-c", &format!("{limits}; exec \"$0\" {arguments}"), program]);
    command
}

#[cfg(unix)]
#[test]
fn a_small_stack_is_enough_for_every_study() {
    let small = "--layers 64,5,10 --objective-size 20 --quiet";
    for arguments in [
        &format!("horizons --horizon 3,5 --meta-steps 2 --from 0.1,5,1 {small}"),
        "nqm compare greedy constant:0.1 --dim 40 --steps 20 --quiet",
        &format!("surface --horizon 3 --grid 2x2 {small}"),
        &format!("online --steps 10 --from 0.1 --fixed 0.1 {small}"),
    ] {
        let root = tempfile::tempdir().unwrap();
        let out = root.path().join("out");
        let line = format!("{arguments} --out {}", out.display());
        let (code, _, stderr) = run(&mut limited("ulimit -s 64", &line));
        assert_eq!((code, stderr.as_str()), (Some(0), ""), "{arguments}");
    }
}

#[cfg(unix)]
#[test]
fn threads_asked_of_the_environment_have_bounds() {
    let train = "train --steps 3 --layers 64,5,10 --objective-size 20 --json --quiet";
    let expected = run(&mut program(train));
    assert_eq!(expected.0, Some(0));
    for threads in ["1", "5", "1000"] {
        assert_eq!(run(program(train).env("RAYON_NUM_THREADS", threads)), expected, "{threads}");
    }
    let mut many = program(train);
    refuses(many.env("RAYON_NUM_THREADS", "99999"), 2, &["RAYON_NUM_THREADS", "1 to 1024"]);
}

#[cfg(unix)]
#[test]
fn a_signal_is_heard_while_pretraining() {
    let root = tempfile::tempdir().unwrap();
    let mut train = program("meta --pretrain 4000000000 --layers 64,5,10 --quiet --out");
    let child = train.arg(root.path().join("out")).spawn().unwrap();
    std::thread::sleep(std::time::Duration::from_millis(700));
    let kill = Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap();
    assert!(kill.success());
    let (code, _) =
        shared::ended(child, std::time::Duration::from_secs(10), "it went on for ten seconds");
    assert_ne!(code, Some(0));
}
