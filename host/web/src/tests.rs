//! Requests as the page sends them.

use std::sync::Mutex;

use serde_json::{Value, json};

use super::*;

/// Keeps what it hears.
#[derive(Default)]
struct Heard {
    progress: Mutex<Vec<(f64, f64)>>,
    parts: Mutex<Vec<Value>>,
}

impl Listener for Heard {
    fn progress(&self, done: f64, of: f64) {
        self.progress.lock().unwrap().push((done, of));
    }

    fn part(&self, json: &str) {
        self.parts.lock().unwrap().push(serde_json::from_str(json).unwrap());
    }
}

fn asked(request: &Value) -> Result<(Value, Heard), String> {
    let heard = Heard::default();
    let answer = answer(&request.to_string(), &heard)?;
    Ok((serde_json::from_str(&answer).unwrap(), heard))
}

fn refusal(request: Value) -> String {
    asked(&request).map(|(answer, _)| answer).expect_err("refused")
}

#[test]
fn every_golden_digest_equals() {
    let (rows, _) = asked(&json!({"task": "verify"})).unwrap();
    let rows = rows.as_array().unwrap();
    assert_eq!(rows.len(), myopia_core::experiments::EXPERIMENTS.len());
    assert!(rows.iter().all(|row| row["equal"] == true), "{rows:?}");
}

#[test]
fn what_is_drawn_is_what_is_printed_and_what_meta_descent_chose() {
    let options = json!({"dim": "10", "steps": "6", "schedule": "tuned:3"});
    let (printed, heard) = asked(&json!({"task": "nqm", "options": options})).unwrap();
    let (shown, _) = asked(&json!({"task": "run", "options": options})).unwrap();
    for (name, value) in printed.as_object().unwrap() {
        assert_eq!(&shown[name], value, "{name}");
    }
    let tuned = &shown["tuned"];
    let words = ["alpha0", "time_constant", "beta"].map(|name| tuned[name].to_string());
    let decay = format!("decay:{}", words.join(","));
    let options = json!({"dim": "10", "steps": "6", "schedule": decay});
    let (same, _) = asked(&json!({"task": "nqm", "options": options})).unwrap();
    assert_eq!(same["losses"], printed["losses"]);
    assert_eq!(tuned["excess_loss"], shown["excess_losses"][3]);
    let progress = heard.progress.into_inner().unwrap();
    assert_eq!(progress.last(), Some(&(201.0, 201.0)));
    assert_eq!(progress.len(), 201, "every meta-step is told");
}

#[test]
fn a_horizon_that_recedes_tells_how_many_steps_it_has_planned() {
    let options = json!({"dim": "4", "steps": "9", "schedule": "replan:3"});
    let (_, heard) = asked(&json!({"task": "run", "options": options})).unwrap();
    let planned: Vec<f64> = heard.progress.into_inner().unwrap().iter().map(|p| p.0).collect();
    assert_eq!(planned, [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
}

#[test]
fn a_search_tells_its_evaluations() {
    for (schedule, dim) in [("optimal", 20), ("optimal-momentum", 4), ("replan:9", 20)] {
        let options = json!({"dim": dim.to_string(), "steps": "9", "schedule": schedule});
        let (run, heard) = asked(&json!({"task": "run", "options": options})).unwrap();
        let told = heard.progress.into_inner().unwrap();
        let (last, all) = told.iter().fold((0.0, 0.0), |most: (f64, f64), next| {
            (if next.0 > most.0 { next.0 } else { most.0 }, next.1)
        });
        // The starts and the sorting of ends count as well, and are over in no time.
        let spent = run["iterations"].as_f64().unwrap();
        assert!(last <= spent && last > 0.8 * spent && spent < all, "{last} {spent} {all}");
    }
}

fn problem() -> Value {
    json!({"hidden": 4, "batch": 5, "momentum": 0.9, "judged_by": 20, "seed": 1})
}

fn schedule() -> Value {
    json!({"alpha0": 0.01, "time_constant": 200, "beta": 1})
}

#[test]
fn a_meta_descent_tells_each_record_and_moves_against_its_derivatives() {
    let request = json!({
        "task": "meta", "problem": problem(), "horizon": 4, "meta_steps": 2, "meta_lr": 0.1, "schedule": schedule()
    });
    let (records, heard) = asked(&request).unwrap();
    assert_eq!(records.as_array().unwrap(), &heard.parts.into_inner().unwrap());
    assert_eq!(records.as_array().unwrap().len(), 3);
    let of = |i: usize, name: &str| records[i][name].as_f64().unwrap();
    assert!(of(1, "alpha0") > of(0, "alpha0") && of(0, "d_alpha0") < 0.0, "{records}");
}

#[test]
fn a_cell_of_the_surface_is_the_start_of_a_descent_and_the_end_of_a_training() {
    let plane = json!({
        "task": "surface", "problem": problem(), "horizon": 4, "time_constant": 200,
        "alpha0": [0.01, 1e30], "beta": [1, 2], "columns": 2, "rows": 2
    });
    let (cells, heard) = asked(&plane).unwrap();
    assert_eq!(cells.as_array().unwrap(), &heard.parts.into_inner().unwrap());
    assert_eq!(cells[1]["loss"], Value::Null, "it diverges");
    let descent = json!({
        "task": "meta", "problem": problem(), "horizon": 4, "meta_steps": 0, "meta_lr": 0.1, "schedule": schedule()
    });
    let training = json!({
        "task": "train", "problem": problem(), "schedule": schedule(), "steps": 4, "every": 3
    });
    let (training, heard) = asked(&training).unwrap();
    assert_eq!(heard.parts.into_inner().unwrap().len(), 3, "looks at steps 0, 3 and 4");
    assert_eq!(cells[0]["loss"], asked(&descent).unwrap().0[0]["loss"]);
    assert_eq!(cells[0]["loss"], training["judged"]["loss"]);
    assert_eq!(training["curve"][2]["loss"], training["judged"]["loss"]);
    let rates = json!({"task": "rates", "schedule": schedule(), "steps": [0, 200]});
    let (rates, _) = asked(&rates).unwrap();
    assert_eq!(rates[0], f64::from(0.01_f32));
    assert_eq!(rates[1], f64::from(0.005_f32));
}

#[test]
fn what_makes_no_sense_is_refused_in_a_sentence() {
    let run = |options: Value| json!({"task": "nqm", "options": options});
    let mut train = json!({
        "task": "train", "problem": problem(), "schedule": schedule(), "steps": 4, "every": 3
    });
    train["problem"]["judged_by"] = json!(5_000);
    for (request, words) in [
        (json!({"task": "fly"}), "unknown variant"),
        (run(json!({"schedule": "constant:1e9", "dim": "3"})), "constant:1000000000: "),
        (
            run(json!({"schedule": "optimal", "dim": "1000000", "steps": "1000000"})),
            "too large for a page",
        ),
        (train, "the digits to judge by must be from 1 to 1000, not 5000"),
    ] {
        let said = refusal(request);
        assert!(said.contains(words), "{said}");
    }
}
