//! `myopia plan`: the files it writes are the ones the other commands take.

mod shared;

use serde_json::Value;
use shared::{program, succeeds};

const SMALL: &str = "--pretrain 20 --objective train --products 10 --samples 2 --examples 500";

fn json(words: &str) -> Value {
    serde_json::from_str(&succeeds(&mut program(&format!("{words} --json --quiet")))).unwrap()
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap()
}

#[test]
fn the_noisy_quadratic_confirms_a_plan_and_training_takes_it() {
    let root = tempfile::tempdir().unwrap();
    for (name, more) in [("once", ""), ("again", "--replan 110")] {
        let out = root.path().join(name);
        let out = out.display();
        let plan =
            json(&format!("plan {SMALL} --steps 300 --train --beside 0.2,90,2 {more} --out {out}"));
        let words = "nqm --spectrum file:{out}/spectrum.csv --schedule file:{out}/schedule.csv";
        let run = json(&words.replace("{out}", &out.to_string()));
        let [foretold, found] =
            [&plan["predicted"]["excess_loss"], &run["excess_loss"]].map(number);
        assert!((found / foretold - 1.0).abs() < 1e-12, "{found} {foretold}");
        let cap = number(&plan["cap_rate"]);
        let rates = run["learning_rates"].as_array().unwrap();
        assert_eq!(rates.len(), 300);
        assert!(rates.iter().all(|rate| (0.0..=cap).contains(&number(rate))));
        let train = "train --pretrain 20 --objective train --steps 300 --schedule";
        let planned = json(&format!("{train} file:{out}/schedule.csv"));
        let linear = json(&format!("{train} linear:{cap:?}"));
        let cosine = json(&format!("{train} cosine:{cap:?}"));
        let beside = json(
            "train --pretrain 20 --objective train --steps 300 --alpha0 0.2 --time-constant 90 --beta 2",
        );
        for (place, run) in [&planned, &linear, &beside].into_iter().enumerate() {
            assert_eq!(run["judged"]["loss"], plan["trained"][place]["loss"], "{place}");
        }
        assert_ne!(linear["judged"]["loss"], cosine["judged"]["loss"]);
        let [before, after] = [&plan["measured"]["loss"], &planned["judged"]["loss"]].map(number);
        assert!(after < before / 2.0, "{after} {before}");
        let rounds = plan["rounds"].as_array().unwrap();
        let taken: Vec<_> = rounds.iter().filter(|round| round["is_taken"] == true).collect();
        if more.is_empty() {
            assert_eq!(taken.len(), 1);
        } else {
            assert_eq!(taken.len(), 3);
            assert_eq!(taken[2]["trained"], planned["judged"]["loss"]);
            assert!(number(&taken[1]["loss"]) < number(&taken[0]["loss"]));
            let choices = plan["choices"].as_array().unwrap();
            assert_eq!(choices.len(), 2);
            for ((choice, last), left) in choices.iter().zip(&taken).zip([190.0 / 110.0, 1.0]) {
                let ratio = number(&last["predicted"]) / number(&last["trained"]);
                let [gain, doubt] = [&choice["gain"], &choice["doubt"]].map(number);
                assert!((left * libm::log(ratio).abs() - doubt).abs() < 1e-12, "{choice} {last}");
                assert_eq!(choice["is_kept"], gain <= doubt);
            }
        }
    }
}

#[test]
fn a_plan_has_the_same_bits_on_every_instruction_set_and_number_of_threads() {
    let words = format!("plan {SMALL} --steps 60 --replan 40 --train");
    let one = json(&format!("{words} --threads 1 --isa baseline"));
    assert_eq!(one, json(&format!("{words} --threads 3")));
    assert!(number(&one["gradient_equivalents"]) > 0.0);
}

#[test]
fn what_cannot_be_planned_is_refused_in_a_sentence() {
    for (words, said) in [
        ("plan --steps 0", "--steps 0 must be at least 1"),
        ("plan --products 0", "--products 0 must be at least 1"),
        ("plan --samples 0", "--samples 0 must be at least 1"),
        ("plan --replan 0", "--replan 0 must be at least 1"),
        ("plan --steps 60 --replan 61", "--replan 61 is above the 60 of --steps; plan again after"),
        ("plan --steps 3e9", "--steps 3000000000"),
        ("plan --cap 1", "--cap 1.0 must be between 0 and 1"),
        ("plan --noise-power -1", "--noise-power -1.0 must be zero or a positive number"),
        ("plan --examples 1e6", "--examples 1000000 must be between 1 and"),
        ("plan --optimizer adam", "leave --optimizer, --nesterov and --weight-decay out"),
        ("plan --samples 9 --noise-batches 8", "--noise-batches 8 must be at least --samples 9"),
        ("plan --samples 1e9 --noise-batches 1e9", "of memory and"),
        ("train --schedule linear:0 --steps 5", "give a positive number after linear:"),
        ("train --schedule slow:1 --steps 5", "linear:RATE, cosine:RATE or file:PATH"),
        ("train --schedule cosine:0.1 --stretch --steps 5", "--stretch: this schedule has as many"),
    ] {
        shared::refuses(&mut program(words), 2, &[said]);
    }
}
