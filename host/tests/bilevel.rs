//! `myopia bilevel` as a program.

use std::collections::HashMap;
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

/// Python with NumPy recomputes what the program prints; where there is none, the last line says
/// so.
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
        assert!(said.contains(word), "{said}");
        // The eigenvalues of an unstable game are what was asked for; nothing else is printed
        // beside a refusal.
        assert!(arguments[0] == "game" || output.stdout.is_empty(), "{said}");
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

/// A published table.
struct Published(Vec<HashMap<String, String>>);

impl Published {
    fn read(name: &str, table: &str) -> Self {
        let path = format!("{}/../results/{name}/{table}.csv", env!("CARGO_MANIFEST_DIR"));
        let text = std::fs::read_to_string(path).unwrap();
        let mut lines = text.lines().map(|line| line.split(',').map(str::to_owned));
        let header: Vec<String> = lines.next().unwrap().collect();
        Self(lines.map(|line| header.iter().cloned().zip(line).collect()).collect())
    }

    /// The numbers of `column` in the rows where all of `of` hold.
    fn column(&self, of: &[(&str, &str)], column: &str) -> Vec<f64> {
        let own = self.0.iter().filter(|row| of.iter().all(|(name, value)| row[*name] == *value));
        own.map(|row| row[column].parse().unwrap()).collect()
    }

    /// Mean and standard deviation of them, times `scale`.
    fn spread(&self, of: &[(&str, &str)], column: &str, scale: f64, digits: usize) -> String {
        let x = self.column(of, column);
        let count = x.len() as f64;
        let mean = x.iter().fold(0.0, |sum, x| sum + x) / count;
        let square = x.iter().fold(0.0, |sum, x| sum + (x - mean) * (x - mean));
        let deviation = libm::sqrt(square / (count - 1.0));
        format!("{:.digits$} ± {:.digits$}", scale * mean, scale * deviation)
    }
}

#[test]
fn the_numbers_of_its_readme_are_published() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/bilevel/README.md");
    let text = std::fs::read_to_string(path).unwrap().replace('\n', " ");
    let says = |sentence: String| assert!(text.contains(&sentence), "{sentence:?} is not there");
    let table = Published::read("bilevel-distill", "distill");
    for count in ["1", "10"] {
        let of = |start, column| {
            format!(
                "{} %",
                table.spread(&[("examples", count), ("start", start)], column, 100.0, 1)
            )
        };
        let (cold, warm) = (of("cold", "accuracy"), of("warm", "accuracy"));
        says(format!("| {count} | {cold} | {warm} | {} |", of("warm", "retrained")));
    }
    let table = Published::read("bilevel-map", "warm");
    let of =
        |steps, column| table.spread(&[("inner_steps", steps), ("start", "warm")], column, 1.0, 3);
    says(format!(
        "warm ones end at {}, and at {} when retrained",
        of("1", "loss"),
        of("1", "retrained")
    ));
    says(format!("With 20 inner steps they end at {}", of("20", "loss")));
    let table = Published::read("bilevel-warm", "warm");
    let of = |start, column| table.column(&[("start", start)], column)[0];
    says(format!("the cold λ is {:.1} times as long", of("cold", "norm") / of("warm", "norm")));
    says(format!("leaves a loss of {:.2}.", of("warm", "retrained")));
    let table = Published::read("bilevel-hypergradient", "hypergradient");
    let of = |method, column| table.column(&[("method", method)], column)[0];
    says(format!(
        "off by {:.1} % at a cosine of {:.3};",
        100.0 * of("identity", "relative_error"),
        of("identity", "cosine")
    ));
    says(format!("instead leave {:.1} % in all", 100.0 * of("cg:20", "relative_error")));
    says(format!("more error than nothing would, {:.1} %", 100.0 * of("cg:5", "relative_error")));
    let lowest = Published::read("bilevel-hypergradient", "bands");
    let lowest = lowest.column(&[("method", "neumann:200")], "relative_error")[0];
    says(format!("and off by {:.1} % in the lowest", 100.0 * lowest));
    let table = Published::read("bilevel-game", "game");
    let of = |dynamics, column| table.column(&[("dynamics", dynamics)], column)[0];
    says(format!("ratio of rates of {:.3} on", of("simultaneous", "turns_at")));
    says(format!("diverges above {:.2};", of("simultaneous", "diverges_at")));
    says(format!("it converges up to {:.1}.", of("alternating", "diverges_at")));
    let table = Published::read("bilevel-stn", "stn");
    let of = |method, column| table.column(&[("method", method)], column)[0];
    says(format!("1,{:.0} to {:.0}", of("stn", "response") - 1000.0, of("delta-stn", "response")));
    says(format!(
        "1,{:.0} to {:.0}",
        of("stn", "within_a_hundredth") - 1000.0,
        of("delta-stn", "within_a_hundredth")
    ));
    for (data, name) in [("glyphs", "bilevel-stn-glyphs"), ("MNIST", "bilevel-stn-mnist")] {
        let (ends, angles) = (Published::read(name, "stn"), Published::read(name, "angles"));
        for (method, called) in [("stn", "STN"), ("delta-stn", "Δ-STN"), ("implicit", "implicit")]
        {
            let cosine = |layer| match method {
                "implicit" => String::new(),
                _ => {
                    let of = [("method", method), ("when", "fitted"), ("layer", layer)];
                    format!("{} ", angles.spread(&of, "gauss_newton", 1.0, 3))
                }
            };
            let loss = ends.spread(&[("method", method)], "validation_loss", 1.0, 3);
            says(format!("| {data} | {called} | {}| {}| {loss} |", cosine("1"), cosine("2")));
        }
    }
}

/// The table of the filter, and the formulas: a band's error lies between the factors at its ends.
#[test]
fn unrolling_terms_and_damping_are_one_filter() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/bilevel/README.md");
    let text = std::fs::read_to_string(path).unwrap();
    let bands = Published::read("bilevel-filter", "bands");
    let of = |method, column| bands.column(&[("method", method)], column);
    let ends = ["lowest", "highest"].map(|end| of("exact", end));
    let step = 0.5;
    for (n, [unrolled, terms, damped], lambda) in [
        (20, ["unrolled:20", "neumann:19", "damped:0.1"], 0.1),
        (200, ["unrolled:200", "neumann:199", "damped:0.01"], 0.01),
    ] {
        let [steps, terms, damped] = [unrolled, terms, damped].map(|m| of(m, "relative_error"));
        for band in 0..4 {
            let [low, high] = ends.each_ref().map(|ends| ends[band]);
            let keeps = |h: f64| libm::pow(1.0 - step * h, f64::from(n));
            assert!(steps[band] <= keeps(low) && steps[band] >= keeps(high));
            let keeps = |h: f64| lambda / (h + lambda);
            assert!(damped[band] <= keeps(low) && damped[band] >= keeps(high));
            assert!((steps[band] / terms[band] - 1.0).abs() < 1e-6);
            let cells = format!("| {:.2} % | {:.2} % |", 100.0 * steps[band], 100.0 * damped[band]);
            assert!(text.contains(&cells), "host/bilevel/README.md lacks {cells}");
        }
    }
}
