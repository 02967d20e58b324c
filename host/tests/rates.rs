//! `myopia rates`, hyperparameters that express a learning rate, from the command line.

mod shared;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::Value;
use shared::{program, refuses, succeeds};

const SMALL: &str =
    "--objective train --layers 64,8,10 --batch 20 --objective-size 100 --precision f64 --quiet";

type Row = BTreeMap<String, String>;

fn table(path: &Path) -> Vec<Row> {
    let text = fs::read_to_string(path).unwrap();
    let mut lines = text.lines().map(|line| line.split(',').map(str::to_owned));
    let header: Vec<String> = lines.next().unwrap().collect();
    lines.map(|cells| header.iter().cloned().zip(cells).collect()).collect()
}

fn number(row: &Row, name: &str) -> f64 {
    row[name].parse().unwrap_or_else(|e| panic!("{name} of {row:?}: {e}"))
}

#[test]
fn each_run_is_what_train_makes_of_it_and_the_lowest_is_chosen() {
    let root = tempfile::tempdir().unwrap();
    let out = root.path().join("out");
    let studies = [
        ("sgd:alpha0:0.02..0.32", "--alpha0"),
        ("rmsprop:epsilon:0.01..0.16@0.02", "--optimizer rmsprop --alpha0 0.02 --epsilon"),
        ("adam:epsilon:0.01..0.16@0.05", "--optimizer adam --alpha0 0.05 --epsilon"),
        (
            "kfac:damping:0.1..1.6@0.2/64-6-10",
            "--layers 64,6,10 --optimizer kfac --refactor-every 3 --alpha0 0.2 --damping",
        ),
        ("sgd-norm:weight-decay:1e-4..0.02@0.1", "--norm batch --alpha0 0.1 --weight-decay"),
    ];
    let named: Vec<String> = studies.iter().map(|(study, _)| format!("--study {study}")).collect();
    let said = succeeds(&mut program(&format!(
        "rates {SMALL} {} --horizon 3,12 --steps 20 --starts 0,4 --seeds 2..3 --refactor-every 3 --json --out {}",
        named.join(" "),
        out.display()
    )));
    let report: Value = serde_json::from_str(&said).unwrap();
    let [rates, grid] = ["rates.csv", "grid.csv"].map(|name| table(&out.join(name)));
    // Of weight decay each value is four times the one before, of others twice.
    let values = 5 + 5 + 5 + 5 + 4;
    assert_eq!([grid.len(), rates.len()], [values * 2 * 2 * 2, studies.len() * 2 * 2 * 2]);
    for (study, options) in studies {
        let mut parts = study.split(':');
        let [optimizer, parameter] = [parts.next().unwrap(), parts.next().unwrap()];
        let layers = if optimizer == "kfac" { "64-6-10" } else { "64-8-10" };
        let parameter = parameter.replace('-', "_");
        let of = |row: &&Row| {
            row["optimizer"] == optimizer
                && row["parameter"] == parameter
                && row["layers"] == layers
        };
        for choice in rates.iter().filter(of) {
            let same = ["optimizer", "layers", "pretrain", "seed", "horizon"];
            let own: Vec<&Row> = grid
                .iter()
                .filter(|row| same.iter().all(|name| row[*name] == choice[*name]))
                .collect();
            let lowest = own
                .iter()
                .map(|row| number(row, "loss"))
                .fold(f64::INFINITY, |a, b| if b < a { b } else { a });
            let trained = number(choice, "trained_value");
            let at = own.iter().position(|row| number(row, "value") == trained).unwrap();
            assert_eq!([number(own[at], "loss"), number(choice, "loss_at_horizon")], [lowest; 2]);
            assert_eq!(choice["at_edge"], (at == 0 || at + 1 == own.len()).to_string());
            let apart = number(choice, "value") / trained;
            assert!((0.5..=2.0).contains(&apart), "{choice:?}");
            let cold = choice["pretrain"] == "0";
            assert_eq!(choice["start"], if cold { "cold" } else { "warm" });
        }
        // One run of each study by itself, to the bit.
        let row = rates.iter().filter(of).rfind(|row| row["horizon"] == "12").unwrap();
        let words = SMALL.replace(
            "--layers 64,8,10 ",
            if layers == "64-8-10" { "--layers 64,8,10 " } else { "" },
        );
        let train = |steps: u32| {
            let words = format!(
                "train {words} --beta 0 --pretrain 4 --seed {} --steps {steps} {options} {} --json",
                row["seed"], row["trained_value"]
            );
            serde_json::from_str::<Value>(&succeeds(&mut program(&words))).unwrap()
        };
        let [at_horizon, at_end] = [12, 20].map(train);
        assert_eq!(at_horizon["judged"]["loss"], number(row, "loss_at_horizon"), "{study}");
        assert_eq!(at_end["judged"]["loss"], number(row, "loss_after_20"), "{study}");
        assert_eq!(at_end["digest"], row["digest"].as_str(), "{study}");
    }
    let curves = report["curves"].as_array().unwrap();
    assert_eq!(curves.len(), 10);
    let longest = &curves[0]["horizons"][1];
    assert_eq!(longest["relative_rate"], serde_json::json!([1.0, 1.0, 1.0]));
    for name in ["rates.svg", "rates.png", "grid.svg", "rates.json"] {
        assert!(out.join(name).exists(), "{name}");
    }
}

#[test]
fn a_study_of_which_every_run_diverges_is_told() {
    let root = tempfile::tempdir().unwrap();
    let out = root.path().join("out");
    let rates = format!(
        "rates {SMALL} --horizon 4,10 --seeds 1 --starts 0 --study sgd:alpha0:1e200..1e202 --out {}",
        out.display()
    );
    let said = succeeds(&mut program(&rates));
    for horizon in [4, 10] {
        assert!(said.contains(&format!("seed 1, T = {horizon}: training diverged with every")));
    }
    assert!(out.join("rates.json").exists() && !out.join("rates.svg").exists());
}

#[test]
fn what_makes_no_sense_is_refused_in_a_sentence() {
    for (arguments, words) in [
        ("--study sgd:epsilon:0.1..1@0.1", "sgd has no epsilon"),
        ("--study adam:damping:0.1..1@0.1", "adam has no damping"),
        ("--study adam:beta1:0.1..1@0.1", "beta1 is none of alpha0"),
        ("--study lion:alpha0:0.1..1", "lion is none of sgd"),
        ("--study adam:epsilon:0.1..1", "@0.05"),
        ("--study sgd:alpha0:0.1..1@0.1", "leave out what follows @"),
        ("--study adam:epsilon:1..0.1@0.1", "1..0.1 is no range"),
        ("--study adam:epsilon:0..0.1@0.1", "0..0.1 is no range"),
        ("--study sgd:alpha0:0.1..1/64-x", "give the layers"),
        ("--study sgd:alpha0:0.1..1/32-10", "--study sgd:alpha0:0.1..1/32-10:"),
        ("--study kfac-norm:damping:0.1..1@0.1", "kfac"),
        ("--study sgd:alpha0:1e-9..1 --spacing 1.001", "more than 1000 values"),
        ("--study sgd:alpha0:0.1..1 --study sgd:alpha0:0.1..1", "given twice"),
        ("--spacing 1", "--spacing 1.0"),
        ("--starts 3,3", "--starts has 3 twice"),
        ("--horizon 5,5", "--horizon 5,5"),
        ("--horizon 0", "--horizon 0"),
        ("--steps 3", "--steps 3 is less"),
        ("--pretrain 5", "--starts"),
        ("--optimizer adam", "--optimizer adam"),
        ("--norm batch", "--norm batch"),
        ("--study adam:epsilon:0.1..1@-1", "alpha0 = -1.0"),
    ] {
        let mut command = program(&format!("rates {SMALL} {arguments}"));
        let said = refuses(&mut command, 2, &[words]);
        // What is no option at all is told by the parser of options, and how to get help.
        assert!(said.starts_with("error: ") || said.lines().count() == 1, "one sentence: {said}");
    }
}
