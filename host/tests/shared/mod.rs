//! The program, run as its users run it.
#![allow(dead_code, reason = "every test file takes what it needs")]

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// `myopia` with these arguments.
pub fn program(arguments: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_myopia"));
    command.args(arguments.split_whitespace()).env_remove("MYOPIA_MNIST");
    command
}

/// The same program, hearing signals although whoever started the tests ignores them, as a shell
/// does for what it starts with `&`.
pub fn hearing(command: Command) -> Command {
    if !cfg!(target_os = "linux") {
        return command;
    }
    let mut hearing = Command::new("env");
    hearing.arg("--default-signal").arg(command.get_program()).args(command.get_args());
    hearing.env_remove("MYOPIA_MNIST").stdout(Stdio::piped()).stderr(Stdio::piped());
    hearing
}

/// The program under the limits that a shell or a batch system sets.
pub fn limited(limits: &str, arguments: &str) -> Command {
    let mut command = Command::new("sh");
    let line = format!("{limits}; exec \"$0\" {arguments}");
    command.args(["-c", &line, env!("CARGO_BIN_EXE_myopia")]).env_remove("MYOPIA_MNIST");
    command
}

/// How it ends and what it says; fails when that takes longer than `limit`.
pub fn ended(mut child: Child, limit: Duration, what: &str) -> (Option<i32>, String) {
    let began = Instant::now();
    while child.try_wait().unwrap().is_none() {
        if began.elapsed() > limit {
            child.kill().unwrap();
            panic!("{what}");
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    let output = child.wait_with_output().unwrap();
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

/// Exit status, standard output and standard error.
pub fn run(command: &mut Command) -> (Option<i32>, String, String) {
    let Output { status, stdout, stderr } = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code(), text(stdout), text(stderr))
}

/// Runs it and expects success without a word on standard error; what it prints.
pub fn succeeds(command: &mut Command) -> String {
    let (code, stdout, stderr) = run(command);
    assert_eq!((code, stderr.as_str()), (Some(0), ""), "{command:?}");
    stdout
}

/// Runs it and expects this exit status, nothing on standard output, and these words; what it says.
pub fn refuses(command: &mut Command, status: i32, words: &[&str]) -> String {
    let (code, stdout, stderr) = run(command);
    assert_eq!((code, stdout.as_str()), (Some(status), ""), "{command:?}\n{stderr}");
    assert!(!stderr.contains("panicked"), "{command:?}\n{stderr}");
    for word in words {
        assert!(stderr.contains(word), "{command:?} does not say {word:?}:\n{stderr}");
    }
    stderr
}

/// The same, in one sentence.
pub fn refuses_in_a_sentence(command: &mut Command, status: i32, words: &[&str]) {
    let said = refuses(command, status, words);
    assert_eq!(said.lines().count(), 1, "one sentence: {said}");
}

/// Every file of a folder, by name.
pub fn contents(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    let mut files: Vec<_> = entries
        .map(|e| (e.file_name().into_string().unwrap(), fs::read(e.path()).unwrap()))
        .collect();
    files.sort();
    files
}

/// The names of its files, without the record of which run wrote them.
pub fn names(folder: &Path) -> Vec<String> {
    contents(folder).into_iter().map(|(name, _)| name).filter(|name| name != RECORD).collect()
}

/// The record that every folder has.
pub const RECORD: &str = ".myopia.files";
