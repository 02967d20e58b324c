//! Completions, manual pages, colours, and options from a file.

mod shared;

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use shared::{contents, names, program, refuses_in_a_sentence, run, succeeds};
use tempfile::tempdir;

#[test]
fn every_shell_has_a_script_that_knows_commands_and_options() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let script = succeeds(&mut program(&format!("completions {shell}")));
        for word in ["hypergrad", "time-constant", "precision", "compare"] {
            assert!(script.contains(word), "{shell}: {word}");
        }
    }
    shared::refuses(&mut program("completions sh"), 2, &["bash, elvish, fish, powershell, zsh"]);
    let folder = tempdir().unwrap();
    let path = folder.path().join("myopia.bash");
    fs::write(&path, succeeds(&mut program("completions bash"))).unwrap();
    let ask = "source \"$0\"; COMP_WORDS=(myopia hyp); COMP_CWORD=1; _myopia myopia hyp myopia; \
               echo \"${COMPREPLY[@]}\"";
    let bash = Command::new("bash").args(["--norc", "-c", ask]).arg(&path).output();
    let Ok(bash) = bash else { return };
    assert_eq!(String::from_utf8(bash.stdout).unwrap().trim(), "hypergrad");
}

#[test]
fn every_command_has_a_manual_page() {
    let folder = tempdir().unwrap();
    let out = folder.path().join("man1");
    succeeds(program("man --quiet --out").arg(&out));
    let pages = names(&out);
    for page in ["myopia.1", "myopia-train.1", "myopia-nqm.1", "myopia-nqm-meta.1"] {
        assert!(pages.iter().any(|name| name == page), "{page} of {pages:?}");
    }
    let read = |name: &str| fs::read_to_string(out.join(name)).unwrap();
    assert_eq!(succeeds(&mut program("man")), read("myopia.1"));
    assert_eq!(succeeds(&mut program("man nqm meta")), read("myopia-nqm-meta.1"));
    assert!(read("myopia-train.1").contains("\\-\\-time\\-constant"));
    refuses_in_a_sentence(&mut program("man nqm best"), 2, &["there is no command best", "meta"]);
    // What groff makes of it has no warnings.
    for (name, page) in contents(&out).into_iter().filter(|(name, _)| name.ends_with(".1")) {
        let Ok(mut groff) = Command::new("groff")
            .args(["-Kutf8", "-man", "-Tutf8", "-ww", "-z"])
            .stdin(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
        else {
            return;
        };
        std::io::Write::write_all(&mut groff.stdin.take().unwrap(), &page).unwrap();
        let said = groff.wait_with_output().unwrap().stderr;
        assert!(said.is_empty(), "{name}: {}", String::from_utf8_lossy(&said));
    }
}

/// What the program says on a terminal, if there is a program that makes one.
#[cfg(target_os = "linux")]
fn on_a_terminal(arguments: &str, variable: &str, value: &str) -> Option<String> {
    let line = format!("{} {arguments}", env!("CARGO_BIN_EXE_myopia"));
    let mut script = Command::new("script");
    script.args(["-qec", &line, "/dev/null"]).env("TERM", "xterm").env_remove("NO_COLOR");
    let output = script.env(variable, value).stdin(Stdio::null()).output().ok()?;
    Some(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[test]
#[cfg(target_os = "linux")]
fn a_terminal_has_colours_unless_no_color_is_set() {
    for arguments in ["train --help", "train --steps x"] {
        let Some(coloured) = on_a_terminal(arguments, "SOMETHING", "1") else { return };
        let Some(plain) = on_a_terminal(arguments, "NO_COLOR", "1") else { return };
        assert!(coloured.contains("\u{1b}["), "{arguments}: {coloured:?}");
        assert!(!plain.contains('\u{1b}') && plain.contains("steps"), "{arguments}: {plain:?}");
    }
}

/// Whether anything in `text` sets a colour or another rendition.
#[cfg(target_os = "linux")]
fn is_coloured(text: &str) -> bool {
    let sequences = text.split("\u{1b}[").skip(1);
    sequences
        .filter_map(|rest| rest.find(char::is_alphabetic).map(|at| &rest[at..]))
        .any(|end| end.starts_with('m'))
}

/// Bars and errors have none even where they would be allowed.
#[test]
#[cfg(target_os = "linux")]
fn progress_and_failures_have_no_colours() {
    for (arguments, words) in [
        ("train --steps 4000 --layers 64,16,10", "steps/s"),
        ("train --data npz:no-such-file", "does not exist"),
    ] {
        let Some(said) = on_a_terminal(arguments, "SOMETHING", "1") else { return };
        assert!(said.contains(words) && !is_coloured(&said), "{arguments}: {said:?}");
    }
    assert!(
        is_coloured("\u{1b}[2K\u{1b}[1;31merror\u{1b}[0m") && !is_coloured("\u{1b}[2K\u{1b}[1A")
    );
}

fn trained(folder: &Path, name: &str, arguments: &str, more: &[&str]) -> Vec<(String, Vec<u8>)> {
    let out = folder.join(name);
    let mut command = program(arguments);
    succeeds(command.args(more).args(["--quiet", "--out"]).arg(&out));
    contents(&out)
}

#[test]
fn a_file_of_options_is_the_same_run_as_the_command_line() {
    let folder = tempdir().unwrap();
    let config = folder.path().join("train.toml");
    fs::write(
        &config,
        "command = \"train\"\nsteps = 5\nlayers = [64, 4, 10]\nalpha0 = 0.05\nseed = 3\n",
    )
    .unwrap();
    let config = config.to_str().unwrap();
    let line = "train --alpha0=0.05 --layers=64,4,10 --seed=3 --steps=5";
    let plain = trained(folder.path(), "plain", line, &[]);
    assert_eq!(trained(folder.path(), "config", "", &["--config", config]), plain);
    let longer = trained(folder.path(), "longer", "train --steps 6", &["--config", config]);
    assert_ne!(longer, plain);
    let help = run(&mut program("train --help")).1;
    assert!(help.contains("--config <FILE>"), "{help}");
    let mut other = program("meta --config");
    refuses_in_a_sentence(other.arg(config), 2, &["is of `myopia train`, not of `myopia meta`"]);
    fs::write(config, "steps = 5\nsteeps = 6\n").unwrap();
    shared::refuses(program("train --config").arg(config), 2, &["'--steeps' found"]);
}
