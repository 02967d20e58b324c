//! Building the firmware, or the whole program, for a target.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{env, io};

use super::{Firmware, NotRun, Target};

/// A program of the firmware, or that of the host.
#[derive(Debug, Clone, Copy, Default)]
pub struct Build<'a> {
    /// The program's name.
    pub binary: &'a str,
    /// Cargo features beside the board's own.
    pub features: &'a [&'a str],
    /// A drill to build in.
    pub drill: Option<&'a str>,
}

impl Build<'_> {
    /// The program that runs the experiments.
    pub const EXPERIMENTS: Self = Self { binary: "myopia-firmware", features: &[], drill: None };
    /// The whole program.
    pub const PROGRAM: Self = Self { binary: "myopia", features: &[], drill: None };

    /// Builds it for `target`; returns the image.
    ///
    /// # Errors
    /// When the toolchain is missing, or when the build fails, which it does where a memory budget
    /// is exceeded.
    pub fn image(&self, firmware: &Firmware, target: &Target) -> Result<PathBuf, NotRun> {
        let folder = firmware.builds(target);
        let kept = firmware.images.join(format!(
            "{}-{}{}",
            self.binary,
            target.name,
            self.drill.map(|drill| format!("-{drill}")).unwrap_or_default()
        ));
        let unwritable = |error: io::Error| {
            NotRun(format!("could not write the image in {}: {error}", folder.display()))
        };
        fs::create_dir_all(&firmware.images).map_err(unwritable)?;
        // Two boards of one triple share cargo's name for their image: it is taken out before the
        // next build begins.
        let _nobody_else_builds = firmware.lock(&folder).map_err(unwritable)?;
        self.cargo("build", firmware, target)?;
        let extension = match &target.triple {
            triple if triple.starts_with("wasm") => "wasm",
            triple if triple.contains("windows") => "exe",
            _ => "",
        };
        let kept = kept.with_extension(extension);
        let built = folder.join(&target.triple).join("release").join(self.binary);
        let fresh = kept.with_extension("new");
        fs::copy(built.with_extension(extension), &fresh).map_err(unwritable)?;
        fs::rename(&fresh, &kept).map_err(unwritable)?;
        Ok(kept)
    }

    /// Compiles it for `target` as far as that goes without a linker and libraries.
    ///
    /// # Errors
    /// When the toolchain is missing, or when something does not compile.
    pub fn check(&self, firmware: &Firmware, target: &Target) -> Result<(), NotRun> {
        self.cargo("check", firmware, target)
    }

    fn cargo(&self, verb: &str, firmware: &Firmware, target: &Target) -> Result<(), NotRun> {
        let mut command = command(firmware.folder.join("cargo"), &firmware.folder);
        command.args([verb, "--locked", "--release", "--bin", self.binary]);
        command.args(["--target", &target.triple]);
        command.arg("--target-dir").arg(firmware.builds(target));
        if target.is_program() {
            command.args(["--manifest-path", "../Cargo.toml", "--package", "myopia"]);
            command.env("CARGO_UNSTABLE_BUILD_STD", "std,panic_unwind");
        }
        let board = target.is_board().then_some(target.name.as_str());
        let features: Vec<&str> = board.into_iter().chain(self.features.iter().copied()).collect();
        if !features.is_empty() {
            command.args(["--features", &features.join(",")]);
        }
        if let Some(flags) = &target.rustflags {
            let flags: Vec<_> = flags.split_whitespace().collect();
            command.args(["--config", &format!("target.{}.rustflags={flags:?}", target.triple)]);
        }
        if let Some(drill) = self.drill {
            command.env("MYOPIA_DRILL", drill);
        }
        let output = command.output().map_err(|error| {
            NotRun(format!("could not run {}/cargo: {error}", firmware.folder.display()))
        })?;
        if output.status.success() {
            return Ok(());
        }
        let messages = String::from_utf8_lossy(&output.stderr);
        Err(NotRun(format!(
            "{} could not be built for {}: {}",
            self.binary,
            target.name,
            reason(&messages)
        )))
    }
}

/// The line of cargo's messages that says most.
fn reason(messages: &str) -> &str {
    // The linker's own words are indented in the note that follows rustc's error.
    let telling =
        ["will not fit in region", "undefined symbol", "firmware/cargo:", "error:", "error["];
    let find = |words: &&str| messages.lines().find(|line| line.contains(words));
    telling.iter().find_map(find).or(messages.lines().last()).unwrap_or("no message").trim()
}

/// `program` without what a running cargo adds to the environment, and with the tools that
/// firmware/setup unpacked where there are no others.
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
