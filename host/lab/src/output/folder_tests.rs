//! Output folders as runs and people leave them.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use super::*;

const CHILD_FOLDER: &str = "MYOPIA_TEST_LOCKED_FOLDER";

fn refusal(path: &Path, force: bool) -> String {
    let failure = OutputFolder::create(path, force).unwrap_err();
    failure.to_string().replace(&path.display().to_string(), "OUT")
}

#[test]
fn a_new_folder_is_made_with_its_parents_and_written_to() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("a/b");
    let out = OutputFolder::create(&path, false).unwrap();
    out.write("loss.csv", |w| w.write_all(b"loss\n")).unwrap();
    assert_eq!(out.path(), path);
    assert_eq!(fs::read(path.join("loss.csv")).unwrap(), b"loss\n");
}

#[test]
fn earlier_results_are_refused_and_left_alone() {
    let root = tempfile::tempdir().unwrap();
    fs::write(root.path().join("loss.csv"), "old").unwrap();
    assert_eq!(
        refusal(root.path(), false),
        "OUT already holds results; choose another --out or pass --force to overwrite"
    );
    assert_eq!(entries(root.path()).unwrap(), ["loss.csv"]);
}

#[test]
fn force_replaces_only_what_is_written_and_only_when_complete() {
    let root = tempfile::tempdir().unwrap();
    let read = |name: &str| fs::read_to_string(root.path().join(name)).unwrap();
    fs::write(root.path().join("loss.csv"), "old").unwrap();
    fs::write(root.path().join("notes.txt"), "mine").unwrap();
    let out = OutputFolder::create(root.path(), true).unwrap();
    let failure = out.write("loss.csv", |w| {
        w.write_all(b"half")?;
        Err(io::ErrorKind::StorageFull.into())
    });
    let sentence = failure.unwrap_err().to_string();
    assert!(sentence.contains("loss.csv"), "{sentence}");
    assert!(sentence.contains("free some space"), "{sentence}");
    assert_eq!(read("loss.csv"), "old");
    out.write("loss.csv", |w| {
        w.write_all(b"new")?;
        assert_eq!(read("loss.csv"), "old", "replaced too early");
        Ok(())
    })
    .unwrap();
    assert_eq!((read("loss.csv"), read("notes.txt")), ("new".into(), "mine".into()));
}

#[test]
fn results_take_their_names_at_once_or_not_at_all() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("results");
    let read = |name: &str| fs::read_to_string(path.join(name)).ok();
    let write = |text: &str| {
        let out = OutputFolder::create_at_once(&path, true).unwrap();
        out.write("loss.csv", |w| w.write_all(text.as_bytes())).unwrap();
        out.write("run.json", |w| w.write_all(text.as_bytes())).unwrap();
        out
    };
    drop(write("lost"));
    assert!(!path.exists(), "nothing was written, so the folder goes again");
    write("old").finish().unwrap();
    let out = write("new");
    assert_eq!((read("loss.csv"), read("run.json")), (Some("old".into()), Some("old".into())));
    drop(out);
    assert_eq!((read("loss.csv"), read("run.json")), (Some("old".into()), Some("old".into())));
    write("new").finish().unwrap();
    assert_eq!((read("loss.csv"), read("run.json")), (Some("new".into()), Some("new".into())));
    let mut names: Vec<_> = entries(&path).unwrap().into_iter().collect();
    names.sort();
    assert_eq!(names, [record::RECORD, "loss.csv", "run.json"]);
}

#[test]
fn a_run_without_a_checkpoint_that_was_killed_while_its_files_took_their_names_begins_again() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("results");
    let begin = || {
        let out = OutputFolder::resume_at_once(&path)?;
        out.write("loss.csv", |w| w.write_all(b"new"))?;
        out.write("run.json", |w| w.write_all(b"new"))?;
        out.finish()
    };
    begin().unwrap();
    // Of the first file's name alone; what the run was is not noted yet.
    fs::remove_file(path.join("run.json")).unwrap();
    let record = Record { command: None, ..Record::read(&path) };
    record.write(&path).unwrap();
    begin().unwrap();
    assert_eq!(fs::read(path.join("run.json")).unwrap(), b"new");
    for (name, command) in [("notes.txt", None), ("loss.csv", Some("myopia other".to_owned()))] {
        fs::write(path.join(name), "mine").unwrap();
        Record { command, ..record.clone() }.write(&path).unwrap();
        let said = begin().unwrap_err().to_string();
        assert!(said.contains("already holds results"), "{name}: {said}");
        assert_eq!(fs::read(path.join(name)).unwrap(), b"mine");
        fs::remove_file(path.join(name)).unwrap();
    }
}

#[test]
fn a_second_run_is_refused_until_the_first_is_done() {
    let root = tempfile::tempdir().unwrap();
    let first = OutputFolder::create(root.path(), false).unwrap();
    for force in [false, true] {
        assert_eq!(
            refusal(root.path(), force),
            "another run is writing to OUT; wait until it ends or choose another --out"
        );
    }
    drop(first);
    OutputFolder::create(root.path(), false).unwrap();
}

#[test]
#[ignore = "started by a_killed_run_leaves_no_lock_and_no_litter, which kills it"]
fn hold_the_folder_until_killed() {
    let Some(folder) = std::env::var_os(CHILD_FOLDER) else {
        return;
    };
    let out = OutputFolder::create(Path::new(&folder), false).unwrap();
    out.write("never", |w| {
        w.write_all(b"half")?;
        println!("locked");
        // Ends by itself, should the parent be gone.
        std::thread::sleep(std::time::Duration::from_secs(30));
        Err(io::ErrorKind::TimedOut.into())
    })
    .unwrap_err();
}

#[test]
fn a_killed_run_leaves_no_lock_and_no_litter() {
    let root = tempfile::tempdir().unwrap();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "--nocapture"])
        .arg("output::folder::tests::hold_the_folder_until_killed")
        .env(CHILD_FOLDER, root.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let output = BufReader::new(child.stdout.take().unwrap());
    let locked = output.lines().any(|line| line.unwrap().contains("locked"));
    let while_it_runs = OutputFolder::create(root.path(), false);
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(locked, "the child did not get the lock");
    let sentence = while_it_runs.unwrap_err().to_string();
    assert!(sentence.starts_with("another run"), "{sentence}");
    assert!(entries(root.path()).unwrap().iter().any(|n| is_temporary(n)));
    OutputFolder::create(root.path(), false).unwrap();
    assert!(entries(root.path()).unwrap().is_empty());
}

#[test]
fn a_place_that_cannot_be_a_folder_is_named() {
    let root = tempfile::tempdir().unwrap();
    let file = root.path().join("file");
    fs::write(&file, "x").unwrap();
    assert_eq!(refusal(&file, true), "OUT is a file, not a folder; choose another --out");
    assert_eq!(
        refusal(&file.join("below"), false),
        "could not create the folder OUT: a part of the path is a file, not a folder; name another place"
    );
    assert_eq!(
        OutputFolder::create(Path::new(""), false).unwrap_err(),
        Failure::usage("--out is empty; name a folder")
    );
}

#[cfg(unix)]
#[test]
fn a_folder_without_permission_is_named() {
    use std::os::unix::fs::PermissionsExt;
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("closed");
    fs::create_dir(&path).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o555)).unwrap();
    match OutputFolder::create(&path, false) {
        Err(failure) => {
            let sentence = failure.to_string();
            assert!(sentence.contains("permission denied"), "{sentence}");
            assert!(sentence.contains("closed"), "{sentence}");
        }
        // The system lets its administrator write anywhere.
        Ok(_) => writeln!(io::stderr(), "skipped: permissions do not bind this user").unwrap(),
    }
}

#[test]
fn a_folder_in_the_place_of_a_result_is_named() {
    let root = tempfile::tempdir().unwrap();
    fs::create_dir(root.path().join("loss.csv")).unwrap();
    let out = OutputFolder::create(root.path(), true).unwrap();
    let failure = out.write("loss.csv", |w| w.write_all(b"new")).unwrap_err();
    let sentence = failure.to_string();
    assert!(sentence.contains("loss.csv"), "{sentence}");
    assert!(sentence.contains("in the way"), "{sentence}");
}
