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

/// Rates from a file that are those of a formula give its bits: losses, derivatives, forward and
/// back, descents and the run after a kill; other momenta do not.
#[test]
fn a_file_is_differentiated_beside_as_the_formula_that_wrote_it() {
    let root = tempfile::tempdir().unwrap();
    let at = |name: &str| root.path().join(name);
    let table = |momentum: f64| {
        let rows = (0..12).map(|_| format!("0.05,{momentum}\n"));
        format!("learning_rate,momentum\n{}", rows.collect::<String>())
    };
    std::fs::write(at("constant.csv"), table(0.9)).unwrap();
    std::fs::write(at("other.csv"), table(0.8)).unwrap();
    let file = format!("--schedule file:{}", at("constant.csv").display());
    let other = format!("--schedule file:{}", at("other.csv").display());
    let formula = "--alpha0 0.05 --beta 0";
    for training in [
        "--optimizer rmsprop --tune epsilon,rho --epsilon 1e-3",
        "--optimizer kfac --damping 1 --tune damping",
        "--weight-decay 1e-2 --tune weight-decay --norm batch",
        "--weight-decay 1e-2 --tune weight-decay --mode reverse",
    ] {
        let [given, named, changed] = [&*file, formula, &*other]
            .map(|schedule| json(&format!("hypergrad {SMALL} --horizon 12 {training} {schedule}")));
        for key in ["loss", "derivatives", "digest", "exponent"] {
            assert_eq!(given[key], named[key], "{training}: {key}");
        }
        assert_ne!(given["digest"], changed["digest"], "{training}");
    }
    let descent = "--optimizer adam --epsilon 1e-3 --tune epsilon --meta-steps 3";
    let [given, named] = [&*file, formula].map(|schedule| {
        json(&format!("meta {SMALL} --horizon 12 {descent} --pretrain 3 {schedule}"))
    });
    assert_eq!(given["best"]["loss"], named["best"]["loss"]);
    assert_eq!(given["best"]["epsilon"], named["best"]["epsilon"]);
    assert_eq!(given["best"]["alpha0"], Value::Null);
    let meta = format!("meta {SMALL} --horizon 12 {descent} --quiet --out {}", at("out").display());
    succeeds(&mut program(&format!("{meta} {file}")));
    std::fs::write(at("constant.csv"), table(0.7)).unwrap();
    refuses(&mut program(&format!("{meta} {file} --resume")), 1, &["--schedule-digest is"]);
    let steps = "step,learning_rate,momentum\n5,0.1,0.9\n3,0.1,0.9\n";
    std::fs::write(at("steps.csv"), steps).unwrap();
    let train = format!("train --schedule file:{}", at("steps.csv").display());
    refuses(&mut program(&train), 1, &["line 3: the steps do not follow one another"]);
    for (words, said) in [
        ("--horizon 12", "--schedule file: have nothing that is tuned; name hyperparameters"),
        (
            "--horizon 13 --tune weight-decay --weight-decay 1",
            "has 12 steps and 13 are to be taken",
        ),
        ("--horizon 12 --tune alpha0", "--tune alpha0: this training has no alpha0"),
        ("--horizon 12 --tune momentum", "--tune momentum: this training has no momentum"),
        ("--horizon 12 --carry hd", "--carry is of tangents by a schedule's parameters"),
    ] {
        refuses(&mut program(&format!("hypergrad {file} {words}")), 2, &[said]);
    }
}

/// A descent of `horizons` is that of `meta` from the same place, and so is what it chooses.
#[test]
fn horizons_tune_what_meta_tunes() {
    let root = tempfile::tempdir().unwrap();
    let out = root.path().join("out");
    let training = "--optimizer rmsprop --epsilon 1e-3 --rho 0.95";
    let horizons = json(&format!(
        "horizons {SMALL} {training} --tune epsilon,rho --from 0.02,30,1 --horizon 5,12 --meta-steps 4 --steps 20 --out {}",
        out.display()
    ));
    for chosen in horizons["chosen"].as_array().unwrap() {
        let meta = json(&format!(
            "meta {SMALL} {training} --tune epsilon,rho --alpha0 0.02 --time-constant 30 --horizon {} --meta-steps 4",
            chosen["horizon"]
        ));
        let best = &meta["best"];
        for name in ["alpha0", "time_constant", "beta", "epsilon", "rho", "meta_step"] {
            assert_eq!(chosen[name], best[name], "{name}");
        }
        assert_ne!(chosen["epsilon"], 1e-3);
        assert_eq!(chosen["loss_at_horizon"], best["loss"]);
        let trained = json(&format!(
            "train {SMALL} --optimizer rmsprop --epsilon {} --rho {} --alpha0 0.02 --time-constant 30 --steps 20",
            chosen["epsilon"], chosen["rho"]
        ));
        assert_eq!(chosen["digest"], trained["digest"]);
    }
    let table = std::fs::read_to_string(out.join("horizons.csv")).unwrap();
    let header = "horizon,start,meta_step,alpha0,time_constant,beta,epsilon,rho,loss_at_horizon,";
    assert!(table.starts_with(header), "{table}");
    let trajectories = std::fs::read_to_string(out.join("trajectories.csv")).unwrap();
    assert!(trajectories.lines().next().unwrap().ends_with("epsilon,rho,loss,d_epsilon,d_rho"));
    assert!(out.join("trajectories.svg").exists() && !out.join("plane.svg").exists());
}

#[test]
fn options_without_sense_are_refused_by_name() {
    for (words, said) in [
        (
            "hypergrad --schedule slow",
            "give inverse-time, exponential, step, cosine, linear, linear:RATE",
        ),
        ("horizons --schedule file:x.csv", "horizons --schedule file: begins from a formula"),
        ("meta --every-entry --schedule file:x.csv", "--schedule file: begins from a formula"),
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
