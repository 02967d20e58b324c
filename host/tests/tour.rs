//! The published tour is what the program makes, byte for byte, and the README says what it says.

use std::path::Path;
use std::process::Command;

/// What the tour publishes: its tables and its figures.
const FILES: [&str; 13] = [
    "digits-training.csv",
    "digits-training.png",
    "digits-training.svg",
    "digits-trajectories.csv",
    "digits-trajectories.png",
    "digits-trajectories.svg",
    "quadratic-training.csv",
    "quadratic-training.png",
    "quadratic-training.svg",
    "quadratic-trajectories.csv",
    "quadratic-trajectories.png",
    "quadratic-trajectories.svg",
    "tour.csv",
];

#[test]
fn the_published_tour_is_what_the_program_makes() {
    let published = Path::new(env!("CARGO_MANIFEST_DIR")).join("../results/tour");
    let root = tempfile::tempdir().unwrap();
    let made = root.path().join("tour");
    let output = Command::new(env!("CARGO_BIN_EXE_myopia"))
        .args(["tour", "--quiet", "--out"])
        .arg(&made)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    for file in FILES {
        let read = |folder: &Path| std::fs::read(folder.join(file)).unwrap();
        assert!(
            read(&published) == read(&made),
            "{file} is not the published one; if that is meant, run `myopia tour --out results/tour --force` and say why \
             the bits changed"
        );
    }

    let readme = std::fs::read_to_string(published.join("../../README.md")).unwrap();
    let printed = String::from_utf8(output.stdout).unwrap();
    for line in printed.lines().filter(|line| line.starts_with("    ") && line.contains('.')) {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let [horizon, alpha0, time_constant, beta, _, there, end] = fields[..] else {
            panic!("a row of the tour has seven fields: {line}");
        };
        let row = format!("| {horizon} | {alpha0} | {time_constant} | {beta} | {there} | {end} |");
        assert!(readme.contains(&row), "the README lacks {row}");
    }
    assert!(printed.contains("7.5 times"), "the README says so: {printed}");
}
