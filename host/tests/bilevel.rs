//! `myopia bilevel` as a program.

use std::process::{Command, Output};

fn myopia(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_myopia")).arg("bilevel").args(arguments).output().unwrap()
}

/// What a successful run prints.
fn printed(arguments: &[&str]) -> serde_json::Value {
    let output = myopia(arguments);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{arguments:?}: {said}");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Python with NumPy recomputes what the program prints; where there is none, the last line says so.
#[test]
fn numpy_recomputes_every_closed_form() {
    let python = std::env::var("MYOPIA_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let numpy = Command::new(&python).args(["-c", "import numpy"]).output();
    if !numpy.is_ok_and(|output| output.status.success()) {
        eprintln!(
            "NOT RUN: {python} with NumPy is not there; name one that has it in MYOPIA_PYTHON"
        );
        return;
    }
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/bilevel/tests/recompute.py");
    for seed in ["1", "2", "3"] {
        let output = Command::new(&python)
            .args([script, env!("CARGO_BIN_EXE_myopia"), seed])
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "seed {seed}: {said}");
    }
}

#[test]
fn ten_thousand_directions_with_a_penalty_each_are_no_trouble() {
    let methods = "exact,unrolled:20,neumann:20,identity,cg:5,nystrom:5,damped:0.1";
    let many = ["--spectrum", "inverse", "--dim", "10000", "--method", methods, "--json"];
    let found = printed(&[&["hypergradient"], &many[..]].concat());
    assert_eq!(found[0]["hypergradient"].as_array().unwrap().len(), 10_000);
    assert_eq!(found[4]["products"], 5);
    let bands = found[2]["bands"].as_array().unwrap();
    let error = |band: &serde_json::Value| band["relative_error"].as_f64().unwrap();
    assert!(error(&bands[0]) > 0.99 && error(&bands[3]) < 0.9, "{bands:?}");
}

#[test]
fn what_has_no_answer_is_refused_in_one_sentence_with_status_1() {
    for (arguments, word) in [
        (vec!["game", "--spectrum", "inverse", "--dim", "4", "--step-outer", "50"], "unstable"),
        (
            vec![
                "hypergradient",
                "--spectrum",
                "geometric:1e-9,1",
                "--dim",
                "200",
                "--method",
                "cg",
                "--tolerance",
                "1e-15",
            ],
            "did not converge",
        ),
        (vec!["warm", "quadratic", "--outer-rate", "1e4"], "too large"),
        (vec!["warm", "quadratic", "--hyperparameters", "5"], "at least 12 columns"),
        (vec!["hypergradient", "--csv", "nowhere.csv"], "nowhere.csv"),
    ] {
        let output = myopia(&arguments);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {said}");
        assert_eq!(said.trim_end().lines().count(), 1, "{said}");
        assert!(said.contains(word) && output.stdout.is_empty(), "{said}");
    }
    for (option, value) in [("--step", "-0.1"), ("--step", "nan"), ("--rho", "0")] {
        let output = myopia(&["hypergradient", "--spectrum", "inverse", option, value]);
        assert_eq!(output.status.code(), Some(2), "{option} {value}: {output:?}");
    }
}

#[test]
fn warm_starts_leave_in_the_weights_what_hyperparameters_do_not_hold() {
    let ends = printed(&["warm", "quadratic", "--outer-steps", "60000", "--json"]);
    let number = |i: usize, name: &str| ends[i][name].as_f64().unwrap();
    assert!(number(0, "norm") > 2.0 * number(1, "norm"), "{ends}");
    assert!(number(0, "retrained") < 1e-6 && number(0, "converged") > 1.0, "{ends}");
    assert!(number(1, "converged") < 1e-6 && number(1, "retrained") > 1.0, "{ends}");
}

#[test]
fn every_study_writes_a_folder_that_a_page_is_made_of() {
    let place = tempfile::tempdir().unwrap();
    let small = ["--spectrum", "geometric:0.1,1", "--dim", "5"];
    let network =
        ["--hidden", "4", "--training", "60", "--judged", "60", "--batch", "10", "--seeds", "2"];
    let few = ["--outer-steps", "20"];
    let studies: [(&str, Vec<&str>); 7] = [
        ("hypergradient", [&["hypergradient"], &small[..]].concat()),
        ("game", [&["game", "--inner-noise", "0.1", "--simulate", "200"], &small[..]].concat()),
        ("quadratic", [&["warm", "quadratic"], &few[..]].concat()),
        ("map", [&["warm", "map", "--seeds", "2"], &few[..]].concat()),
        ("distill", [&["warm", "distill"], &network[..], &few[..]].concat()),
        ("stn", [&["stn", "quadratic", "--steps", "200"], &few[..], &small[..]].concat()),
        (
            "tuned",
            [&["stn", "network", "--pretrain", "50", "--fit", "20", "--tune", "20"], &network[..]]
                .concat(),
        ),
    ];
    for (name, arguments) in studies {
        let folder = place.path().join(name);
        let folder = folder.to_str().unwrap();
        let output = myopia(&[&arguments[..], &["--quiet", "--out", folder]].concat());
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{name}: {said}");
        let page = Command::new(env!("CARGO_BIN_EXE_myopia")).args(["report", folder]).output();
        let page = page.unwrap();
        let said = String::from_utf8_lossy(&page.stderr).into_owned();
        assert!(page.status.success(), "{name}: {said}");
        let text = std::fs::read_to_string(place.path().join(name).join("report.html")).unwrap();
        assert!(text.contains("myopia bilevel"), "{name}");
    }
}
