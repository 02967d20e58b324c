//! The firmware in emulators: the quick subset of the matrix, each target's every line against this machine's.

use std::path::Path;
use std::process::Command;

use myopia::verify::{Verdict, targets, verify};

/// One board for each core that is cheap to emulate.
const QUICK: [&str; 6] =
    ["microbit", "mps2-an385", "mps2-an386", "mps2-an500", "mps2-an505", "rv32imac"];

/// Skipped, with the reason, where `firmware/setup` can provide no toolchain or no emulator.
#[test]
#[ignore = "builds firmware for six boards and may install emulators: cargo test --release --test firmware -- --ignored"]
fn emulated_boards_print_what_the_host_computes() {
    let firmware =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../firmware").canonicalize().unwrap();
    let setup = Command::new(firmware.join("setup")).output().unwrap();
    if !setup.status.success() {
        let reason = String::from_utf8_lossy(&setup.stderr);
        println!("SKIPPED, nothing was emulated: {}", reason.trim());
        return;
    }
    let mut red = Vec::new();
    for target in targets().iter().filter(|target| QUICK.contains(&target.name.as_str())) {
        match verify(target, &firmware) {
            Verdict::Equal => println!("{} ({}): equal", target.name, target.core),
            Verdict::Different(difference) => red.push(format!("{}: {difference}", target.name)),
            Verdict::NotRun(reason) => red.push(format!("{}: not run: {reason}", target.name)),
        }
    }
    assert!(red.is_empty(), "{}", red.join("\n"));
}
