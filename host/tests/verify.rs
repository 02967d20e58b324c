//! `myopia verify` as its users meet it. Emulators are played by small scripts, except where
//! `firmware/setup` is needed.

mod shared;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use myopia::verify::{Build, Firmware};
use myopia_core::backend::{Backend, Portable};
use myopia_core::vector::{F32x4, Vector};
use serde_json::Value;
use tempfile::TempDir;

/// What a run of `myopia verify` leaves: exit status, standard output, standard error.
type Said = (Option<i32>, String, String);

fn verify(path: Option<&Path>, arguments: &[&str]) -> Said {
    let mut command = Command::new(env!("CARGO_BIN_EXE_myopia"));
    command.arg("verify").arg("--quiet").args(arguments);
    if let Some(first) = path {
        let rest = std::env::var_os("PATH").unwrap_or_default();
        let mut path = first.as_os_str().to_owned();
        path.push(":");
        path.push(rest);
        command.env("PATH", path);
    }
    let output = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

/// A folder in which `program` is this script.
fn playing(program: &str, script: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(program);
    fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    folder
}

/// `myopia verify` of a target whose log is text, in an emulator that is this script.
fn in_emulator(script: &str) -> Said {
    let folder = playing("qemu-system-riscv32", script);
    let image = folder.path().join("qemu-system-riscv32");
    let arguments = ["--target", "rv32imac", "--timeout", "2", "--image", image.to_str().unwrap()];
    verify(Some(folder.path()), &arguments)
}

#[test]
fn every_instruction_set_and_number_of_threads_gives_the_golden_reports() {
    let (_, stdout, stderr) = verify(None, &["--target", "host", "--json"]);
    let entries: Vec<Value> = serde_json::from_str(&stdout).unwrap();
    assert!(entries.len() >= 4 * 6, "{stderr}");
    for entry in &entries {
        if entry.get("not_run").is_some() {
            assert_eq!((&entry["digest"], &entry["equal"]), (&Value::Null, &Value::Bool(false)));
            continue;
        }
        assert_eq!(entry["equal"], true, "{entry}");
        assert_eq!(entry["digest"], entry["expected"], "{entry}");
    }
    let baseline = entries.iter().filter(|entry| entry["target"] == "host-baseline");
    let names: Vec<&str> = baseline.map(|entry| entry["experiment"].as_str().unwrap()).collect();
    assert_eq!(
        names,
        [
            "nqm-moments-f32",
            "nqm-moments-f64",
            "nqm-meta-descent",
            "mlp-training",
            "mlp-meta-descent",
            "mlp-meta-descent-micromath",
            "mlp-adam",
            "mlp-norm",
            "bilevel-descent",
            "subnormal-training",
        ]
    );
    let (code, stdout, stderr) = verify(None, &["--isa", "baseline", "--threads", "3"]);
    assert_eq!((code, stderr.as_str()), (Some(0), ""));
    let rows: Vec<&str> = stdout.lines().skip(1).collect();
    assert!(
        matches!(rows.as_slice(), [row] if row.starts_with("host-baseline-3-threads ") && row.ends_with(" equal")),
        "{stdout}"
    );
}

#[test]
fn what_is_not_understood_is_refused_with_what_there_is() {
    for (arguments, words) in [
        (&["--target", "arduino"][..], &["--target arduino", "microbit", "host, qemu"][..]),
        (&["--target", "probe"], &["--chip"]),
        (&["--target", "probe", "--chip", "Z80"], &["--chip Z80", "nucleo-f411re (STM32F411RETx)"]),
        (&["--target", "nrf52840-dk", "--chip", "RP2040"], &["one board"]),
        (&["--target", "qemu", "--image", "x"], &["single target"]),
        (&["--target", "linux-aarch64", "--image", "no/such"], &["--image no/such is no file"]),
        (&["--timeout", "0"], &["--timeout"]),
    ] {
        let (code, stdout, stderr) = verify(None, arguments);
        assert_eq!((code, stdout.as_str()), (Some(2), ""), "{arguments:?}: {stderr}");
        assert!(words.iter().all(|word| stderr.contains(word)), "{arguments:?}: {stderr}");
    }
    let (code, _, stderr) = verify(None, &["--target", "qemu", "--firmware", "no/such"]);
    assert_eq!(code, Some(1), "{stderr}");
    assert!(stderr.contains("no/such/targets.toml") && stderr.contains("--firmware"), "{stderr}");
}

#[test]
fn a_board_without_a_probe_is_not_run() {
    let started = Instant::now();
    let (code, stdout, stderr) = verify(None, &["--target", "probe", "--chip", "STM32F411RETx"]);
    assert_eq!(code, Some(3), "{stderr}");
    let why =
        if cfg!(feature = "probe") { "no debug probe is connected" } else { "--features probe" };
    assert!(stdout.contains("not run: ") && stdout.contains(why), "{stdout}");
    assert!(stderr.contains("1 of 1 targets were not run: nucleo-f411re"), "{stderr}");
    let (_, stdout, _) = verify(None, &["--target", "nrf52840-dk", "--json"]);
    let entries: Vec<Value> = serde_json::from_str(&stdout).unwrap();
    assert_eq!(entries.len(), 9);
    for entry in entries {
        assert_eq!((&entry["equal"], &entry["digest"]), (&Value::Bool(false), &Value::Null));
        assert!(entry["not_run"].as_str().unwrap().contains(why), "{entry}");
    }
    assert!(started.elapsed() < Duration::from_secs(30));
}

/// Such a file for a board: neither flashed nor waited for.
#[cfg(feature = "probe")]
#[test]
fn an_image_that_is_not_one_is_refused_before_a_probe_is_looked_for() {
    let folder = tempfile::tempdir().unwrap();
    let image = folder.path().join("image.elf");
    fs::write(&image, b"\x7fELF and nothing more").unwrap();
    let arguments = ["--target", "nucleo-f411re", "--image", image.to_str().unwrap()];
    let (code, stdout, _) = verify(None, &arguments);
    assert_eq!(code, Some(3));
    assert!(stdout.contains("is no firmware image"), "{stdout}");
}

#[test]
fn an_emulator_that_hangs_is_stopped_and_told() {
    for script in ["echo target rv32imac; exec sleep 60", "sleep 60", "sleep 60 & exec sleep 60"] {
        let started = Instant::now();
        let (code, stdout, stderr) = in_emulator(script);
        assert_eq!(code, Some(1), "{stderr}");
        assert!(stdout.contains("DIFFERENT: stopped after 2 s without an end"), "{stdout}");
        assert!(started.elapsed() < Duration::from_secs(20), "{script}");
    }
    let (code, stdout, _) = in_emulator("exec yes record");
    assert_eq!(code, Some(1));
    assert!(stdout.contains("'record' instead of 'target rv32imac'"), "{stdout}");
}

#[test]
fn other_lines_a_failure_status_and_a_crash_are_no_success() {
    for (script, words) in [
        ("echo target microbit", "'target microbit' instead of 'target rv32imac'"),
        ("echo target rv32imac", "'exit status 0' instead of 'record nqm-moments-f32 0"),
        ("echo target rv32imac; exit 2", "'exit status 2' instead of 'record nqm-moments-f32 0"),
        ("echo target rv32imac; kill -SEGV $$", "broken qemu-system-riscv32 crashed"),
        ("true", "'exit status 0' instead of 'target rv32imac'"),
        ("printf '\\377\\376\\200garbage\\n'", "garbage"),
    ] {
        let (code, stdout, stderr) = in_emulator(script);
        assert_eq!(code, Some(1), "{script}: {stdout}{stderr}");
        assert!(stdout.contains("DIFFERENT: ") && stdout.contains(words), "{script}: {stdout}");
        assert!(stderr.contains("1 of 1 targets differed or broke: rv32imac"), "{stderr}");
    }
    // One that complains and prints nothing has not run anything.
    let (code, stdout, _) = in_emulator("echo no such machine >&2; exit 1");
    assert_eq!(code, Some(3));
    assert!(
        stdout.contains("not run: qemu-system-riscv32 could not run the image: no such machine"),
        "{stdout}"
    );
}

#[test]
fn a_missing_emulator_is_not_run_and_says_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let image = folder.path().join("image");
    fs::write(&image, "").unwrap();
    let targets = fs::read_to_string(firmware().join("targets.toml")).unwrap();
    let targets = targets.replace("\"qemu-system-riscv32 ", "\"no-such-emulator ");
    fs::write(folder.path().join("targets.toml"), targets).unwrap();
    let (code, stdout, _) = verify(
        None,
        &[
            "--target",
            "rv32imac",
            "--firmware",
            folder.path().to_str().unwrap(),
            "--image",
            image.to_str().unwrap(),
        ],
    );
    assert_eq!(code, Some(3));
    assert!(
        stdout.contains("not run: no-such-emulator is not installed; run firmware/setup"),
        "{stdout}"
    );
}

fn firmware() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../firmware").canonicalize().unwrap()
}

/// What could be tried without a board: that there is an image for each, and that it lies in the
/// chip's memory.
#[test]
#[ignore = "needs firmware/setup; tests/run runs it"]
fn there_is_an_image_for_every_real_board() {
    let firmware = Firmware::open(None).unwrap();
    for name in ["nucleo-f411re", "nrf52840-dk", "raspberry-pi-pico"] {
        let target = firmware.target(name).unwrap();
        let image = Build::EXPERIMENTS.image(&firmware, target).unwrap();
        assert!(fs::metadata(&image).unwrap().len() > 0);
        #[cfg(feature = "probe")]
        {
            let chip = |name: &str| myopia::verify::chip(name, &firmware.targets).unwrap().1;
            chip(target.chip.as_deref().unwrap()).fits(&image).unwrap();
            let emulators = firmware.target("microbit").unwrap();
            let image = Build::EXPERIMENTS.image(&firmware, emulators).unwrap();
            let refused = chip(target.chip.as_deref().unwrap()).fits(&image).unwrap_err();
            assert!(refused.to_string().contains("is no image for"), "{refused}");
        }
    }
}

/// The real stream of a real image, cut off and garbled on its way; and an image of another board.
#[test]
#[ignore = "needs firmware/setup; tests/run runs it"]
fn a_spoilt_stream_and_another_boards_image_are_told() {
    let (code, stdout, stderr) = verify(None, &["--target", "microbit"]);
    assert_eq!(code, Some(0), "{stdout}{stderr}");
    let image = firmware().join("target/images/myopia-firmware-microbit");
    let image = image.to_str().unwrap();
    let real = firmware().join("target/tools/bin");
    let on = |script: &str, target: &str| {
        let script =
            format!("PATH=${{PATH#*:}}:{}; qemu-system-arm \"$@\" {script}", real.display());
        let folder = playing("qemu-system-arm", &script);
        let started = Instant::now();
        let said = verify(Some(folder.path()), &["--target", target, "--image", image]);
        assert!(started.elapsed() < Duration::from_secs(30), "{script}");
        assert_ne!(said.0, Some(0), "{script}: {}", said.1);
        said
    };
    let (code, stdout, _) = on("| head -c 300", "microbit");
    assert_eq!(code, Some(1));
    assert!(
        stdout.contains("DIFFERENT: ") && stdout.contains("record nqm-moments-f32"),
        "{stdout}"
    );
    for script in [
        "| tr '\\001-\\011' '\\101-\\111'",
        "| tail -c +7",
        "| tr -d '\\000'",
        "| cat /dev/urandom - | head -c 100000",
    ] {
        let (code, stdout, stderr) = on(script, "microbit");
        assert_eq!(code, Some(1), "{script}: {stdout}{stderr}");
        assert!(stdout.contains("DIFFERENT: ") && !stderr.contains("panicked"), "{stdout}{stderr}");
    }
    // It runs on a larger board of another core as well, but it is not that board's image.
    let (code, stdout, _) = on("", "mps2-an385");
    assert_eq!(code, Some(1));
    assert!(stdout.contains("instead of 'target mps2-an385'"), "{stdout}");
    // On this one there is nothing where the image lies.
    let (_, stdout, _) = on("", "netduinoplus2");
    assert!(stdout.contains("DIFFERENT: ") || stdout.contains("not run: "), "{stdout}");
}

/// `myopia verify` of the whole program, which is this script.
fn as_program(script: &str) -> Said {
    let folder = playing("image", script);
    let image = folder.path().join("image");
    let target = ["--target", "program-linux-musl", "--timeout", "60"];
    verify(None, &[&target[..], &["--image", image.to_str().unwrap()]].concat())
}

/// A program that leaves the published tour where it is told to.
fn published_again() -> String {
    let tour = Path::new(env!("CARGO_MANIFEST_DIR")).join("../results/tour");
    format!("mkdir \"$4\" && cp {}/* \"$4\"", tour.display())
}

#[test]
fn the_whole_program_is_judged_by_each_file_of_the_published_tour() {
    let copy = published_again();
    let (code, stdout, stderr) = as_program(&copy);
    assert_eq!(code, Some(0), "{stdout}{stderr}");
    assert!(stdout.trim_end().ends_with(" equal"), "{stdout}");
    for (script, words) in [
        (format!("{copy}; echo >> \"$4/tour.csv\""), "report tour.csv: digest="),
        (format!("{copy}; rm \"$4/tour.csv\""), "instead of 'report tour.csv digest="),
        (format!("{copy}; exit 1"), "'exit status 1' instead of 'exit status 0'"),
        ("echo 'myopia: out of order' >&2; exit 1".into(), "broken myopia: out of order"),
        ("exit 1".into(), "'exit status 1' instead of 'report digits-training.csv"),
    ] {
        let (code, stdout, stderr) = as_program(&script);
        assert_eq!(code, Some(1), "{script}: {stdout}{stderr}");
        assert!(stdout.contains("DIFFERENT: ") && stdout.contains(words), "{script}: {stdout}");
    }
    let (code, stdout, _) = as_program("echo no such machine >&2; exit 1");
    assert_eq!(code, Some(3));
    assert!(stdout.contains("not run: ") && stdout.contains("no such machine"), "{stdout}");
}

#[test]
fn the_page_of_the_whole_program_says_how_it_is_written() {
    let folder = playing("image", &published_again());
    let image = folder.path().join("image");
    let image = image.to_str().unwrap();
    let arguments = ["--target", "program-linux-musl", "--image", image, "--markdown"];
    let (code, stdout, stderr) = verify(None, &arguments);
    assert_eq!(code, Some(0), "{stderr}");
    for words in [
        "`myopia verify --target program-linux-musl --markdown > firmware/PROGRAM.md` at commit ",
        "1 of 1 gave the bytes of the published tour, file by file.",
        "| program-linux-musl | x86-64, static | simd | tour |  |  | equal |",
    ] {
        assert!(stdout.contains(words), "{stdout}");
    }
}

/// The whole program for AArch64, built from source.
fn program_for_aarch64() -> PathBuf {
    let firmware = Firmware::open(None).unwrap();
    let target = firmware.target("program-linux-aarch64").unwrap();
    Build::PROGRAM.image(&firmware, target).unwrap_or_else(|reason| panic!("{reason}"))
}

/// What `program`, a command, prints and writes for `arguments`.
fn done(program: &[&Path], arguments: &str) -> (String, Vec<(String, Vec<u8>)>) {
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new(program[0]);
    command.args(&program[1..]).args(arguments.split(' ')).args(["--out", "out"]);
    let output = command.current_dir(folder.path()).output().unwrap();
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments}: {complaint}");
    (String::from_utf8(output.stdout).unwrap(), shared::contents(&folder.path().join("out")))
}

#[test]
#[ignore = "needs firmware/setup; tests/run runs it"]
fn the_whole_program_for_aarch64_gives_the_bytes_of_this_machine() {
    let image = program_for_aarch64();
    let [here, there] = [
        vec![Path::new(env!("CARGO_BIN_EXE_myopia"))],
        vec![Path::new("qemu-aarch64-static"), &image],
    ];
    for arguments in [
        "nqm meta --dim 50 --horizons 5,20 --meta-steps 10 --quiet",
        "nqm compare greedy replan:5 optimal --dim 50 --steps 20 --quiet",
        "horizons --horizon 2,5 --meta-steps 3 --steps 20 --layers 64,20,10 --quiet",
        "hypergrad --horizon 30 --json --quiet",
        "hypergrad --horizon 30 --optimizer adam --mode reverse --precision f64 --json --quiet",
    ] {
        let (expected, found) = (done(&here, arguments), done(&there, arguments));
        assert_eq!(expected.0, found.0, "{arguments}");
        for (expected, found) in expected.1.iter().zip(&found.1) {
            assert!(expected == found, "{arguments}: {} is another file", found.0);
        }
        assert_eq!(expected.1.len(), found.1.len(), "{arguments}");
    }
    let output = Command::new(there[0]).arg(there[1]).args(["verify", "--quiet"]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{said}{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(said.matches(" equal").count(), 4, "{said}");
}

/// Instructions that round once where two would round twice, as their names begin.
const FUSED: [&str; 9] =
    ["fmadd", "fmsub", "fnmadd", "fnmsub", "fmla", "fmls", "fcmla", "bfml", "bfmm"];

/// The disassembled whole program for AArch64.
fn disassembled() -> String {
    let output = Command::new("aarch64-linux-gnu-objdump")
        .args(["-d", "--no-show-raw-insn"])
        .arg(program_for_aarch64())
        .output()
        .unwrap();
    String::from_utf8(output.stdout).unwrap()
}

/// The loop over k of each dense or sparse product in `f32` with three tangents: the stretch
/// between two branches with the most multiplications of whole registers, and as many additions.
#[test]
#[ignore = "needs firmware/setup; tests/run runs it"]
fn no_sum_in_an_inner_loop_for_aarch64_goes_through_memory() {
    // What firmware/README.md says of NEON.
    assert_eq!((F32x4::LANES, <Portable<F32x4> as Backend>::ACCUMULATORS), (4, 8));
    let text = disassembled();
    for (product, least) in [
        ("8products7Forward", 14),
        ("8products13InputGradient", 14),
        ("8products14WeightGradient", 14),
        ("11input_layer13SparseForward", 14),
        ("11input_layer20SparseWeightGradient", 8),
    ] {
        let (mut is_it, mut stretch, mut innermost) = (false, Vec::new(), (0, Vec::new()));
        for line in text.lines() {
            if line.ends_with(">:") {
                let names = [product, "F32x4", "Kj3_", "run_panels"];
                (is_it, stretch) = (names.iter().all(|name| line.contains(name)), Vec::new());
            } else if is_it {
                stretch.push(line);
                let instruction = line.split('\t').nth(1).unwrap_or("").trim();
                if ["b", "ret"].contains(&instruction) || instruction.starts_with("b.") {
                    let count = |name: &str| {
                        let whole = |line: &&&str| line.contains(name) && line.contains(".4s,");
                        stretch.iter().filter(whole).count()
                    };
                    // A rule after the gradient subtracts or divides; this adds all products up.
                    let products = count("\tfmul\t");
                    let others = count("\tfsub\t") + count("\tfdiv\t");
                    if products > innermost.0 && products == count("\tfadd\t") && others == 0 {
                        innermost = (products, stretch.clone());
                    }
                    stretch.clear();
                }
            }
        }
        let (products, stretch) = innermost;
        assert!(products >= least, "{product}: {products}");
        let spilled: Vec<_> = stretch.iter().filter(|line| line.contains("[sp")).collect();
        assert!(spilled.is_empty(), "{product}: {spilled:#?}");
    }
}

#[test]
#[ignore = "needs firmware/setup; tests/run runs it"]
fn no_code_of_ours_for_aarch64_has_a_fused_multiply_add() {
    let text = disassembled();
    let (mut function, mut products, mut sums, mut fused) = ("", 0, 0, Vec::new());
    for line in text.lines() {
        if let Some((_, name)) = line.split_once(" <").filter(|_| line.ends_with(">:")) {
            // The compiler's own library and the C library may fuse what they like.
            let is_ours = ["myopia", "4libm"].iter().any(|crates| name.contains(crates));
            function = if is_ours { name } else { "" };
        } else if !function.is_empty() {
            let mut words = line.split_whitespace().skip(1);
            let (instruction, operand) = (words.next().unwrap_or(""), words.next().unwrap_or(""));
            let is_wide = [".4s,", ".2d,"].iter().any(|lanes| operand.ends_with(lanes));
            products += usize::from(instruction == "fmul" && is_wide);
            sums += usize::from(instruction == "fadd" && is_wide);
            if FUSED.iter().any(|name| instruction.starts_with(name)) {
                fused.push(format!("{function} {line}"));
            }
        }
    }
    println!("{products} multiplications and {sums} additions of whole registers");
    assert!(products > 1000 && sums > 1000, "{products}, {sums}");
    assert_eq!(fused, [""; 0]);
}
