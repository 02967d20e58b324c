//! Running an image in its emulator.

use std::io::{self, Read};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use wait_timeout::ChildExt;

use super::build::command;
use super::{Firmware, Target};
use super::{NotRun, decode};

/// A log is some twenty kilobytes; a run that prints this much more has gone wrong.
const MOST: usize = 1 << 22;

/// How a run ended.
enum Ending {
    Exit(ExitStatus),
    Hung,
    Flooded,
}

/// How an image is run in an emulator.
#[derive(Debug, Clone, Copy)]
pub struct Emulation<'a> {
    /// What the program's command line asks to go wrong.
    pub drill: Option<&'a str>,
    /// Whether each instruction takes the same time on the emulated clock (QEMU only).
    pub count_instructions: bool,
    /// How long the run may take before it counts as hanging.
    pub patience: Duration,
}

/// What a run left.
#[derive(Debug, Clone)]
pub struct Ran {
    /// What it printed.
    pub output: Vec<u8>,
    /// The first line of what it printed on standard error.
    pub complaint: String,
    /// How it ended: a last line for its log.
    pub ending: String,
}

impl Ran {
    /// Whether it complained, printed nothing and failed: the image did not run.
    pub(super) fn is_refusal(&self) -> bool {
        let failed = self.ending.starts_with("exit status ") && self.ending != "exit status 0";
        failed && self.output.is_empty() && !self.complaint.is_empty()
    }

    /// Why `program` did not run the image.
    pub(super) fn refusal(&self, program: &str) -> NotRun {
        NotRun(format!("{program} could not run the image: {}", self.complaint))
    }

    /// The lines of the log of a run of `image` on `target`.
    ///
    /// # Errors
    /// When `image` is no firmware image.
    pub fn log(&self, target: &Target, image: &Path) -> Result<Vec<String>, NotRun> {
        let mut log = match target.speaks_defmt() {
            true => decode::defmt(image, &self.output)?,
            false => decode::text(&self.output),
        };
        log.push(self.ending.clone());
        Ok(log)
    }
}

impl Emulation<'_> {
    /// Runs `image` in the emulator of `target`.
    ///
    /// # Errors
    /// When the emulator is missing, or refuses to run the image.
    pub fn run(&self, firmware: &Firmware, target: &Target, image: &Path) -> Result<Ran, NotRun> {
        let Some(run) = &target.run else {
            return Err(NotRun(format!("{} is a real board and needs a probe", target.name)));
        };
        let mut words = run.split_whitespace();
        let program = words.next().unwrap_or_default();
        let mut command = command(program, &firmware.folder);
        command.args(words);
        let drill = self.drill.map(|drill| format!("drill={drill}"));
        if program.starts_with("qemu-system") {
            let arguments = drill.as_ref().map(|drill| format!(",arg=myopia,arg={drill}"));
            let semihosting = format!("enable=on,target=native{}", arguments.unwrap_or_default());
            if self.count_instructions {
                command.args(["-icount", "shift=0"]);
            }
            command.args(["-nographic", "-monitor", "none", "-serial", "none"]);
            command.args(["-semihosting-config", &semihosting, "-kernel"]).arg(image);
        } else {
            command.arg(image).args(drill);
        }
        let ran = run_command(command, program, self.patience)?;
        match ran.is_refusal() {
            true => Err(ran.refusal(program)),
            false => Ok(ran),
        }
    }
}

/// Runs `command`, which starts `program`, until it ends or `patience` does.
///
/// # Errors
/// When the program cannot be started.
pub(super) fn run_command(
    mut command: Command,
    program: &str,
    patience: Duration,
) -> Result<Ran, NotRun> {
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => {
            NotRun(format!("{program} is not installed; run firmware/setup --all"))
        }
        _ => NotRun(format!("could not start {program}: {error}")),
    })?;
    let (output, complaint) = (listen(child.stdout.take()), listen(child.stderr.take()));
    let (output, ending) = attend(&mut child, &output, Instant::now() + patience);
    let complaint = heard(&complaint);
    let ending = match ending {
        Ending::Exit(status) => match status.code() {
            Some(code) => format!("exit status {code}"),
            None => format!("broken {program} crashed: {complaint}"),
        },
        Ending::Hung => format!("stopped after {} s without an end", patience.as_secs()),
        Ending::Flooded => "stopped since it printed without an end".into(),
    };
    Ok(Ran { output, complaint, ending })
}

/// What arrives on `pipe`, piece by piece, until it closes.
fn listen(pipe: Option<impl Read + Send + 'static>) -> Receiver<Vec<u8>> {
    let (sender, receiver) = channel();
    thread::spawn(move || {
        let Some(mut pipe) = pipe else { return };
        let mut piece = [0; 4096];
        // A pipe that breaks ends like one that closes: the log then lacks its end.
        while let Ok(count @ 1..) = pipe.read(&mut piece) {
            if sender.send(piece[..count].to_vec()).is_err() {
                return;
            }
        }
    });
    receiver
}

/// Everything printed until `child` ends or has to be ended. A pipe that a grandchild holds open is
/// not waited for.
fn attend(child: &mut Child, pieces: &Receiver<Vec<u8>>, deadline: Instant) -> (Vec<u8>, Ending) {
    let mut output = Vec::new();
    let left = || deadline.saturating_duration_since(Instant::now());
    let mut ending = loop {
        match pieces.recv_timeout(left()) {
            Ok(piece) => output.extend(piece),
            Err(RecvTimeoutError::Timeout) => break Ending::Hung,
            Err(RecvTimeoutError::Disconnected) => {
                break match child.wait_timeout(left()) {
                    Ok(Some(status)) => Ending::Exit(status),
                    _ => Ending::Hung,
                };
            }
        }
        if output.len() > MOST {
            break Ending::Flooded;
        }
    };
    if !matches!(ending, Ending::Exit(_)) {
        // It may have ended in the meantime; either way it is waited for.
        let _ = child.kill();
        if let (Ok(status), true) = (child.wait(), matches!(ending, Ending::Hung))
            && status.code().is_some()
        {
            ending = Ending::Exit(status);
        }
    }
    (output, ending)
}

/// The first line of what was said so far.
fn heard(pieces: &Receiver<Vec<u8>>) -> String {
    // The program has ended: what it said is on its way at most.
    let mut said = Vec::new();
    while let Ok(piece) = pieces.recv_timeout(Duration::from_millis(100)) {
        said.extend(piece);
        if said.len() > MOST {
            break;
        }
    }
    String::from_utf8_lossy(&said).lines().next().unwrap_or_default().trim().to_owned()
}
