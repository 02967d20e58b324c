//! Building the firmware for a target and running it.

use std::ffi::OsString;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;
use std::{env, fs, io, thread};

use defmt_decoder::{DecodeError, Table};
use wait_timeout::ChildExt;

use super::target::Target;

/// How long an emulator may take before it counts as hanging.
const PATIENCE: Duration = Duration::from_secs(25);

/// Why there is no log: one sentence.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NotRun(String);

/// Builds the firmware for `target` in the folder `firmware`, runs it and returns the lines of its log. A run that hangs is
/// ended, and its log says so in its last line.
pub fn run(target: &Target, firmware: &Path) -> Result<Vec<String>, NotRun> {
    let Some(command) = &target.run else {
        return Err(NotRun(format!("{} is a real board and needs a probe", target.name)));
    };
    build(target, firmware)?;
    let image = image(target, firmware);
    let (output, hung) = emulate(command, &image, firmware)?;
    let mut log = if target.speaks_defmt() { decoded(&image, &output)? } else { lines(&output) };
    if hung {
        log.push(format!("stopped after {} s", PATIENCE.as_secs()));
    }
    Ok(log)
}

/// `command` without what a running cargo adds to the environment, and with the tools that firmware/setup unpacked.
fn clean(program: impl AsRef<std::ffi::OsStr>, firmware: &Path) -> Command {
    let mut path = OsString::from(firmware.join("target/tools/bin"));
    path.push(":");
    path.push(env::var_os("PATH").unwrap_or_default());
    let mut command = Command::new(program);
    command.current_dir(firmware).env("PATH", path).stdin(Stdio::null());
    for name in ["LD_LIBRARY_PATH", "RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "CARGO_TARGET_DIR"] {
        command.env_remove(name);
    }
    command
}

fn build(target: &Target, firmware: &Path) -> Result<(), NotRun> {
    let mut command = clean(firmware.join("cargo"), firmware);
    command.args(["build", "--locked", "--release", "--bin", "myopia-firmware"]);
    command.args(["--target", &target.triple]);
    if target.is_board() {
        command.args(["--features", &target.name]);
    }
    if let Some(flags) = &target.rustflags {
        let flags: Vec<_> = flags.split_whitespace().collect();
        command.args(["--config", &format!("target.{}.rustflags={flags:?}", target.triple)]);
    }
    let output = command
        .output()
        .map_err(|error| NotRun(format!("could not run {}/cargo: {error}", firmware.display())))?;
    if output.status.success() {
        return Ok(());
    }
    let messages = String::from_utf8_lossy(&output.stderr);
    let first = messages.lines().find(|line| line.contains("error") || line.contains("firmware/"));
    let reason = first.or(messages.lines().last()).unwrap_or("no message");
    Err(NotRun(format!("the firmware could not be built for {}: {reason}", target.name)))
}

fn image(target: &Target, firmware: &Path) -> PathBuf {
    let extension = if target.triple.starts_with("wasm") { "wasm" } else { "" };
    let folder = firmware.join("target").join(&target.triple).join("release");
    folder.join("myopia-firmware").with_extension(extension)
}

/// What the image prints, and whether it had to be stopped.
fn emulate(run: &str, image: &Path, firmware: &Path) -> Result<(Vec<u8>, bool), NotRun> {
    let mut words = run.split_whitespace();
    let program = words.next().unwrap_or_default();
    let mut command = clean(program, firmware);
    command.args(words);
    if program.starts_with("qemu-system") {
        command.args(["-nographic", "-monitor", "none", "-serial", "none"]);
        command.args(["-semihosting-config", "enable=on,target=native", "-kernel"]);
    }
    let mut child =
        command.arg(image).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().map_err(
            |error| {
                NotRun(match error.kind() {
                    io::ErrorKind::NotFound => {
                        format!("{program} is not installed; run firmware/setup --all")
                    }
                    _ => format!("could not start {program}: {error}"),
                })
            },
        )?;
    let stdout = child.stdout.take();
    let reader = thread::spawn(move || {
        let mut output = Vec::new();
        // What was read before an error is judged all the same: it lacks its end.
        let _ = stdout.map(|mut stdout| stdout.read_to_end(&mut output));
        output
    });
    let hung = !matches!(child.wait_timeout(PATIENCE), Ok(Some(_)));
    if hung {
        // It may have ended in the meantime; either way it is waited for.
        let _ = child.kill();
        let _ = child.wait();
    }
    let output =
        reader.join().map_err(|_| NotRun(format!("the output of {program} could not be read")))?;
    Ok((output, hung))
}

fn lines(output: &[u8]) -> Vec<String> {
    String::from_utf8_lossy(output).lines().map(str::to_owned).collect()
}

/// The lines of a `defmt` stream. One that is cut off or garbled ends in a line that says so.
fn decoded(image: &Path, output: &[u8]) -> Result<Vec<String>, NotRun> {
    let unusable =
        |reason: String| NotRun(format!("{} is no firmware image: {reason}", image.display()));
    let elf = fs::read(image).map_err(|error| unusable(error.to_string()))?;
    let table = Table::parse(&elf)
        .map_err(|error| unusable(error.to_string()))?
        .ok_or_else(|| unusable("it has no .defmt section".into()))?;
    let mut decoder = table.new_stream_decoder();
    decoder.received(output);
    let mut lines = Vec::new();
    loop {
        match decoder.decode() {
            Ok(frame) => lines.push(frame.display_message().to_string()),
            Err(DecodeError::UnexpectedEof) => return Ok(lines),
            Err(DecodeError::Malformed) => {
                lines.push("a malformed frame".into());
                return Ok(lines);
            }
        }
    }
}
