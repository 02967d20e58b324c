//! Building the firmware for a target.

use std::env;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::{Firmware, NotRun, Target};

/// Builds the program `binary` of the firmware for `target` with these cargo features beside its own; returns the image.
///
/// # Errors
/// When the toolchain is missing, or when the build fails, which it does where a memory budget is exceeded.
pub fn build(
    firmware: &Firmware,
    target: &Target,
    binary: &str,
    features: &[&str],
) -> Result<PathBuf, NotRun> {
    let mut command = command(firmware.folder.join("cargo"), &firmware.folder);
    command.args(["build", "--locked", "--release", "--bin", binary, "--target", &target.triple]);
    let board = target.is_board().then_some(target.name.as_str());
    let features: Vec<&str> = board.into_iter().chain(features.iter().copied()).collect();
    if !features.is_empty() {
        command.args(["--features", &features.join(",")]);
    }
    if let Some(flags) = &target.rustflags {
        let flags: Vec<_> = flags.split_whitespace().collect();
        command.args(["--config", &format!("target.{}.rustflags={flags:?}", target.triple)]);
    }
    let output = command.output().map_err(|error| {
        NotRun(format!("could not run {}/cargo: {error}", firmware.folder.display()))
    })?;
    if !output.status.success() {
        let messages = String::from_utf8_lossy(&output.stderr);
        return Err(NotRun(format!(
            "the firmware could not be built for {}: {}",
            target.name,
            reason(&messages)
        )));
    }
    let extension = if target.triple.starts_with("wasm") { "wasm" } else { "" };
    let folder = firmware.folder.join("target").join(&target.triple).join("release");
    Ok(folder.join(binary).with_extension(extension))
}

/// The line of cargo's messages that says most.
fn reason(messages: &str) -> &str {
    // The linker's own words are indented in the note that follows rustc's error.
    let telling = ["will not fit in region", "undefined symbol", "firmware/cargo:", "error"];
    let find = |words: &&str| messages.lines().find(|line| line.contains(words));
    telling.iter().find_map(find).or(messages.lines().last()).unwrap_or("no message").trim()
}

/// `program` without what a running cargo adds to the environment, and with the tools that firmware/setup unpacked where
/// there are no others.
pub(super) fn command(program: impl AsRef<OsStr>, firmware: &Path) -> Command {
    let mut path = env::var_os("PATH").unwrap_or_default();
    path.push(":");
    path.push(OsString::from(firmware.join("target/tools/bin")));
    let mut command = Command::new(program);
    command.current_dir(firmware).env("PATH", path).stdin(Stdio::null());
    for name in ["LD_LIBRARY_PATH", "RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "CARGO_TARGET_DIR"] {
        command.env_remove(name);
    }
    command
}
