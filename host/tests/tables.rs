//! Published tables carry the commit at which they were made, and are not much older than what they
//! describe.

use std::fs;
use std::path::Path;
use std::process::Command;

/// A table, the command that writes it, what it describes, and how many commits to that it may be
/// behind.
struct Published {
    file: &'static str,
    command: &'static str,
    describes: &'static [&'static str],
    most: usize,
}

const PUBLISHED: [Published; 3] = [
    Published {
        file: "firmware/MATRIX.md",
        command: "myopia verify --target all --markdown",
        describes: &["core/src", "firmware/src", "firmware/targets.toml", "firmware/Cargo.lock"],
        most: 40,
    },
    Published {
        file: "firmware/COST.md",
        command: "myopia verify --cost",
        describes: &["core/src", "firmware/src", "firmware/targets.toml", "firmware/Cargo.lock"],
        most: 40,
    },
    Published {
        file: "firmware/PROGRAM.md",
        command: "myopia verify --target program --markdown",
        describes: &[
            "core/src",
            "host/backend",
            "host/kernels",
            "host/nqm/src",
            "host/lab/src/tour",
            "Cargo.lock",
        ],
        most: 40,
    },
];

/// The commit that a table says it was made at.
fn commit(text: &str) -> Option<&str> {
    let after = text.split_once("at commit ")?.1;
    let end = after.find(|c: char| !c.is_ascii_hexdigit()).unwrap_or(after.len());
    (end >= 12).then(|| &after[..end])
}

/// What git prints; none where it cannot be asked, or does not know what it is asked about.
fn git(root: &Path, arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").arg("-C").arg(root).args(arguments).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// How many commits to `paths` have come since `commit`.
fn behind(root: &Path, commit: &str, paths: &[&str]) -> Option<usize> {
    let range = format!("{commit}..HEAD");
    let arguments = ["rev-list", "--no-merges", "--count", &range, "--"];
    git(root, &[&arguments, paths].concat())?.parse().ok()
}

#[test]
fn no_published_table_is_older_than_its_bound() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let shallow = git(&root, &["rev-parse", "--is-shallow-repository"]);
    for Published { file, command, describes, most } in PUBLISHED {
        let text = fs::read_to_string(root.join(file)).unwrap();
        let commit = commit(&text).unwrap_or_else(|| panic!("{file} does not say its commit"));
        if shallow.as_deref() != Some("false") {
            eprintln!("NOT RUN: without its history it cannot be told how old {file} is");
            continue;
        }
        let behind = behind(&root, commit, describes)
            .unwrap_or_else(|| panic!("{file}: the history has no commit {commit}"));
        assert!(
            behind <= most,
            "{file} is {behind} commits behind {describes:?}, of at most {most}; write it again: `{command} > {file}`"
        );
    }
}

#[test]
fn a_table_says_its_commit_in_full_and_an_old_one_is_noticed() {
    assert_eq!(commit("made at commit 0123456789ab: all"), Some("0123456789ab"));
    assert_eq!(commit("made at commit 0123456789ab with changes"), Some("0123456789ab"));
    assert_eq!(commit("made at commit unknown"), None);
    assert_eq!(commit("made once"), None);
    let root = tempfile::tempdir().unwrap();
    let git = |arguments: &[&str]| {
        let identity = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false"];
        git(root.path(), &[&identity, arguments].concat())
    };
    if git(&["init", "-q"]).is_none() {
        return eprintln!("NOT RUN: there is no git");
    }
    let commit = |file: &str, text: &str| {
        fs::write(root.path().join(file), text).unwrap();
        git(&["add", "."]).unwrap();
        git(&["commit", "-qm", text]).unwrap();
    };
    commit("code", "1");
    let made = git(&["rev-parse", "--short=12", "HEAD"]).unwrap();
    assert_eq!(behind(root.path(), &made, &["code"]), Some(0));
    commit("code", "2");
    commit("other", "1");
    assert_eq!(behind(root.path(), &made, &["code"]), Some(1));
    assert_eq!(behind(root.path(), &made, &["code", "other"]), Some(2));
    assert_eq!(behind(root.path(), "0123456789ab", &["code"]), None);
}
