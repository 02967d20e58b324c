//! `--schedule` and its options, from the command line.

mod shared;

use serde_json::Value;
use shared::{program, refuses, succeeds};

const SMALL: &str = "--layers 64,8,10 --batch 20 --objective-size 200 --precision f64";

fn json(words: &str) -> Value {
    serde_json::from_str(&succeeds(&mut program(&format!("{words} --json --quiet")))).unwrap()
}

/// What training by a schedule comes to, and what the look-ahead of the same schedule does.
#[test]
fn training_by_a_schedule_is_its_look_ahead() {
    for schedule in [
        "exponential --alpha0 0.2 --time-constant 20",
        "step --factor 0.3 --step-every 10",
        "cosine --final-share 0.1",
        "linear:0.2 --schedule-steps 25 --warmup 5",
    ] {
        let trained = json(&format!("train {SMALL} --steps 30 --schedule {schedule}"));
        let ahead =
            json(&format!("hypergrad {SMALL} --horizon 30 --no-exponent --schedule {schedule}"));
        assert_eq!(trained["digest"], ahead["digest"], "{schedule}");
        assert_eq!(trained["judged"]["loss"], ahead["loss"], "{schedule}");
    }
}

#[test]
fn a_rate_may_be_given_with_the_name() {
    for name in ["linear", "cosine"] {
        let [a, b] = [format!("{name}:0.3"), format!("{name} --alpha0 0.3")].map(|schedule| {
            json(&format!("train {SMALL} --steps 12 --schedule {schedule}"))["digest"].clone()
        });
        assert_eq!(a, b);
    }
}

#[test]
fn what_a_schedule_has_is_tuned_and_has_columns() {
    for (schedule, names, fixed) in [
        ("exponential", &["alpha0", "time-constant"][..], None),
        ("step", &["alpha0", "factor"], None),
        ("cosine", &["alpha0"], Some("final_share")),
        ("linear --final-share 0.2", &["alpha0", "final-share"], None),
    ] {
        let found = json(&format!("hypergrad {SMALL} --horizon 8 --schedule {schedule}"));
        let derivatives = found["derivatives"].as_object().unwrap();
        let found: Vec<&str> = derivatives.keys().map(String::as_str).collect();
        assert_eq!(found, names, "{schedule}");
        let meta = json(&format!("meta {SMALL} --horizon 8 --meta-steps 3 --schedule {schedule}"));
        let [first, best] = [&meta["first"], &meta["best"]];
        let columns: Vec<&str> = first.as_object().unwrap().keys().map(String::as_str).collect();
        let of = |prefix: &'static str| {
            names.iter().map(move |name| format!("{prefix}{}", name.replace('-', "_")))
        };
        let mut expected: Vec<String> = ["meta_step".to_owned()]
            .into_iter()
            .chain(of(""))
            .chain(["loss".to_owned()])
            .chain(of("d_"))
            .chain(fixed.map(str::to_owned))
            .collect();
        // Keys come back sorted.
        expected.sort();
        assert_eq!(columns, expected, "{schedule}");
        assert!(best["loss"].as_f64() < first["loss"].as_f64(), "{schedule}");
    }
}

#[test]
fn options_without_sense_are_refused_by_name() {
    for (words, said) in [
        ("hypergrad --schedule slow", "give inverse-time, exponential, step, cosine, linear or"),
        ("hypergrad --schedule file:x.csv", "the rates of a file have nothing that is tuned"),
        ("meta --schedule file:x.csv", "the rates of a file have nothing that is tuned"),
        ("train --schedule cosine --beta 2", "--beta says nothing of --schedule cosine"),
        (
            "train --schedule linear:0.1 --alpha0 1",
            "--alpha0 says nothing of --schedule linear:0.1",
        ),
        ("train --factor 0.1", "--factor says nothing of --schedule inverse-time"),
        (
            "train --schedule step --final-share 0.1",
            "--final-share says nothing of --schedule step",
        ),
        ("train --schedule step --factor 1.5", "--factor 1.5 must be from 0 to 1"),
        ("train --schedule step --step-every 0", "--step-every 0 must be at least 1"),
        ("train --schedule cosine --final-share -1", "--final-share -1.0 must be from 0 to 1"),
        ("hypergrad --schedule step --tune beta", "--tune beta: this training has no beta"),
        ("hypergrad --tune factor", "--tune factor: this training has no factor"),
        ("meta --schedule cosine --tune final-share", "--final-share is 0.0 where the descent"),
        ("meta --schedule exponential --fix alpha0", "leave out --fix"),
    ] {
        refuses(&mut program(words), 2, &[said]);
    }
}
