//! The firmware in emulators: the quick subset of the matrix, what happens when a run goes wrong,
//! and what the checks would notice.
//!
//! Where `firmware/setup` can provide no toolchain or no emulator these tests cannot run;
//! `tests/run` then says so and leaves them out, and they are listed as ignored.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

use myopia::verify::{
    Build, Emulation, Expected, Firmware, Judged, Runner, Set, Subject, Target, cost,
};

/// One board for each core that is cheap to emulate.
const QUICK: [&str; 6] =
    ["microbit", "mps2-an385", "mps2-an386", "mps2-an500", "mps2-an505", "rv32imac"];
/// One board for each way in which the firmware guards its stack.
const GUARDS: [&str; 3] = ["microbit", "mps2-an386", "rv32imac"];
const PATIENCE: Duration = Duration::from_secs(25);

fn firmware() -> &'static Firmware {
    static FIRMWARE: OnceLock<Firmware> = OnceLock::new();
    FIRMWARE.get_or_init(|| Firmware::open(None).unwrap())
}

fn target(name: &str) -> &'static Target {
    firmware().target(name).unwrap()
}

fn judged(firmware: &Firmware, target: &Target, set: Set) -> Judged {
    let runner = Runner { image: None, patience: PATIENCE, board: None };
    let subject = Subject::Target(target);
    runner.run(firmware, &subject, &Expected::of(set)).unwrap_or_else(|not_run| {
        panic!("{}: not run: {not_run}", target.name);
    })
}

#[test]
#[ignore = "needs firmware/setup; tests/run runs it"]
fn emulated_boards_print_what_the_host_computes_and_keep_their_budgets() {
    for name in QUICK {
        let target = target(name);
        let Judged { experiments, difference, memory } = judged(firmware(), target, target.set);
        assert_eq!(difference.map(|d| d.to_string()), None, "{name}");
        assert!(experiments.iter().all(|experiment| experiment.equal), "{name}");
        let memory = memory.unwrap_or_else(|| panic!("{name} does not say what memory it used"));
        let (flash, ram) = (target.flash.unwrap().size, target.ram.unwrap().size);
        println!(
            "{name}: flash {} of {flash}, RAM {} + stack {} of {ram} bytes",
            memory.flash, memory.statics, memory.stack
        );
        assert!(memory.flash <= flash && memory.statics + memory.stack_size <= ram, "{name}");
        assert!(memory.stack < memory.stack_size, "{name}: {memory:?}");
    }
}

/// The log of a run of `image` that is told to go wrong.
fn drill_log(target: &Target, image: &Path, drill: &str, patience: Duration) -> Vec<String> {
    let emulation = Emulation { drill: Some(drill), count_instructions: false, patience };
    emulation.run(firmware(), target, image).unwrap().log(target, image).unwrap()
}

#[test]
#[ignore = "needs firmware/setup; tests/run runs it"]
fn a_run_that_goes_wrong_ends_with_a_message_and_a_failure_status() {
    for name in GUARDS {
        let target = target(name);
        let image = Build::EXPERIMENTS.image(firmware(), target).unwrap();
        let drilled = |drill: &str, patience: u64| {
            let patience = Duration::from_secs(patience);
            drill_log(target, &image, drill, patience)
        };
        for (drill, message, end) in [
            ("panic", "broken panicked at src/drill.rs", "exit status 2"),
            (
                "fault",
                if name == "rv32imac" { "broken trap 2 at" } else { "broken hard fault at" },
                "exit status 2",
            ),
            ("overflow", "broken stack overflow", "exit status 2"),
        ] {
            let log = drilled(drill, 25);
            assert!(log.iter().any(|line| line.starts_with(message)), "{name} {drill}: {log:#?}");
            assert_eq!(log.last().unwrap(), end, "{name} {drill}: {log:#?}");
            assert!(Expected::of(target.set).judge(name, &log).difference.is_some());
        }
        assert_eq!(
            drilled("hang", 2),
            [&format!("target {name}"), "stopped after 2 s without an end"]
        );
    }
    // A device that computes other bits says so itself.
    let image = Build::EXPERIMENTS.image(firmware(), target("microbit")).unwrap();
    let log = drill_log(target("microbit"), &image, "difference", PATIENCE);
    assert_eq!(log.last().unwrap(), "exit status 1");
    let difference = Expected::of(Set::Reduced).judge("microbit", &log).difference.unwrap();
    assert!(difference.to_string().starts_with("report nqm-moments-f32: "), "{difference}");
}

/// The link fails when a panic is reachable, and does not fail for the experiments.
#[test]
#[ignore = "needs firmware/setup; tests/run runs it"]
fn no_panic_can_be_reached_from_the_experiments() {
    let build = Build { binary: "no-panic", features: &["no-panic"], drill: None };
    for name in ["mps2-an386", "rv32imac"] {
        build.image(firmware(), target(name)).unwrap_or_else(|reason| panic!("{name}: {reason}"));
    }
    let reachable = Build { drill: Some("panic"), ..build };
    let refused = reachable.image(firmware(), target("mps2-an386")).unwrap_err().to_string();
    assert!(refused.contains("undefined symbol: a_panic_can_be_reached"), "{refused}");
}

/// A copy of the core and the firmware in which each of `changes`, of a file's text from one thing
/// to another, was made.
///
/// It has a copy of what cargo made for the microbit, so that only what changed is built. It must
/// be a copy: cargo tells two checkouts apart by the age of their files alone, and would take one's
/// objects for the other's.
fn changed(name: &str, changes: &[(&str, &str, &str)]) -> Firmware {
    let root = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = fs::remove_dir_all(&root);
    let target = root.join("firmware/target");
    fs::create_dir_all(&target).unwrap();
    let checkout = firmware().folder.parent().unwrap();
    Build::EXPERIMENTS.image(firmware(), self::target("microbit")).unwrap();
    {
        let builds = firmware().builds(self::target("microbit"));
        let _nobody_builds = firmware().lock(&builds).unwrap();
        let to = target.join("firmware");
        fs::create_dir_all(&to).unwrap();
        copy(builds.parent().unwrap(), &to, &["thumbv6m-none-eabi"]);
    }
    let tools = firmware().folder.join("target/tools");
    std::os::unix::fs::symlink(tools, target.join("tools")).unwrap();
    copy(checkout, &root, &["Cargo.toml", "core"]);
    let parts = [".cargo", "Cargo.lock", "Cargo.toml", "build.rs", "cargo", "src", "targets.toml"];
    copy(&firmware().folder, &root.join("firmware"), &parts);
    for file in files(&root.join("core")).chain(files(&root.join("firmware/src"))) {
        touch(&file);
    }
    for part in ["Cargo.toml", "build.rs", "targets.toml"] {
        touch(&root.join("firmware").join(part));
    }
    for (path, from, to) in changes {
        let file = root.join(path);
        let text = fs::read_to_string(&file).unwrap();
        assert!(text.contains(from), "{path} no longer has what this test changes: {from}");
        fs::write(file, text.replacen(from, to, 1)).unwrap();
    }
    Firmware::open(Some(&root.join("firmware"))).unwrap()
}

/// Every file in `folder` and below.
fn files(folder: &Path) -> Box<dyn Iterator<Item = PathBuf>> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    Box::new(entries.flat_map(|path| match path.is_dir() {
        true => files(&path),
        false => Box::new(std::iter::once(path)),
    }))
}

/// Makes `file` newer than anything that was built.
fn touch(file: &Path) {
    let file = fs::File::options().append(true).open(file).unwrap();
    file.set_modified(SystemTime::now()).unwrap();
}

fn copy(from: &Path, to: &Path, names: &[&str]) {
    for name in names {
        let status = Command::new("cp").arg("-a").arg(from.join(name)).arg(to).status().unwrap();
        assert!(status.success(), "{name}");
    }
}

/// Where the log of `name`, built from a changed copy, first departs from what this machine
/// computes.
fn seen_on(firmware: &Firmware, name: &str) -> String {
    let target = firmware.target(name).unwrap();
    let difference = judged(firmware, target, target.set).difference;
    difference.unwrap_or_else(|| panic!("{name} did not notice")).to_string()
}

#[test]
#[ignore = "needs firmware/setup; tests/run runs it"]
fn the_matrix_notices_another_order_of_one_sum_and_one_fused_multiply_add() {
    let reordered = changed(
        "reordered",
        &[("core/src/sum.rs", "(s[0] + s[1]) + (s[2] + s[3])", "(s[0] + s[2]) + (s[1] + s[3])")],
    );
    let difference = seen_on(&reordered, "microbit");
    println!("another order of one sum: {difference}");
    assert!(difference.starts_with("record nqm-moments-f32 "), "{difference}");

    let fused = changed(
        "fused",
        &[
            (
                "core/src/real.rs",
                "fn finite(self) -> bool;",
                "fn finite(self) -> bool;\n/// a·b + c\nfn fused(self, b: Self, c: Self) -> Self;",
            ),
            (
                "core/src/real.rs",
                "fn finite(self) -> bool {",
                "fn fused(self, b: Self, c: Self) -> Self { libm::Libm::<$t>::fma(self, b, c) }\nfn finite(self) -> bool {",
            ),
            (
                "core/src/meta.rs",
                "decay_mean * *mean + (T::ONE - decay_mean) * g",
                "decay_mean.fused(*mean, (T::ONE - decay_mean) * g)",
            ),
        ],
    );
    let difference = seen_on(&fused, "microbit");
    println!("one fused multiply-add: {difference}");
    assert!(difference.starts_with("record nqm-meta-descent "), "{difference}");
}

#[test]
#[ignore = "needs firmware/setup; tests/run runs it"]
fn a_budget_that_is_exceeded_fails_the_build_or_the_run() {
    let name = "microbit";
    let with = |from, to| changed("budget", &[("firmware/targets.toml", from, to)]);
    let (flash, ram) = ("size = 0x4_0000 }", "size = 0x4000 }");
    for (from, to, region) in [(flash, "size = 0x8000 }", "FLASH"), (ram, "size = 0x3000 }", "RAM")]
    {
        let firmware = with(from, to);
        let built = Build::EXPERIMENTS.image(&firmware, firmware.target(name).unwrap());
        let refused = built.unwrap_err().to_string();
        assert!(refused.contains(&format!("will not fit in region '{region}'")), "{refused}");
        println!("{refused}");
    }
    let difference = seen_on(&with("stack = 0x2000", "stack = 0x800"), name);
    assert!(difference.starts_with("broken stack overflow"), "{difference}");
}

/// What `firmware/COST.md` says of the Cortex-M4F, for whatever compiler is here.
#[test]
#[ignore = "needs firmware/setup; tests/run runs it"]
fn a_multiply_accumulate_takes_at_most_six_instructions_on_a_cortex_m4f() {
    let count = || cost::count(firmware(), &[target("mps2-an386")], PATIENCE).unwrap();
    let report = count();
    for row in &report.costs {
        println!("{row:?}");
        assert!(row.forward <= 6.0 && row.gradient <= 6.0 && row.of_step <= 6.0, "{row:?}");
    }
    assert_eq!(report.to_string(), count().to_string(), "the same at every run");
}
