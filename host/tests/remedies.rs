//! `myopia remedies`, judges of look-aheads and carried tangents, from the command line.

mod shared;

use serde_json::Value;
use shared::{program, succeeds};

const NETWORK: &str = "--objective train --layers 64,8,10 --batch 20 --precision f64";
const SMALL: &str =
    "--objective train --layers 64,8,10 --batch 20 --objective-size 200 --precision f64";

fn json(words: &str) -> Value {
    serde_json::from_str(&succeeds(&mut program(&format!("{words} --json --quiet")))).unwrap()
}

fn remedy<'a>(report: &'a Value, name: &str) -> &'a Value {
    let all = report["remedies"].as_array().unwrap();
    all.iter().find(|of| of["remedy"] == name).unwrap_or_else(|| panic!("{name} in {report}"))
}

/// Training loss of the only seed.
fn loss(report: &Value, name: &str) -> f64 {
    remedy(report, name)["training_loss"][1].as_f64().unwrap()
}

#[test]
fn remedies_are_what_the_other_commands_make_of_them() {
    let root = tempfile::tempdir().unwrap();
    let out = root.path().join("out");
    let report = json(&format!(
        "remedies {SMALL} --steps 120 --rates 0.1,0.3 --look-ahead 20 --meta-steps 6 --from 0.1,50,1 --carry hd,rtho \
         --meta-lr 0.01 --given 20,5,0.2,30,1 --out {}",
        out.display()
    ));
    let train = |schedule: &str| {
        let words = format!("train {NETWORK} --steps 120 {schedule}");
        json(&words)["judged"]["loss"].as_f64().unwrap()
    };
    let [a, b] = [0.1, 0.3].map(|rate| train(&format!("--schedule linear:{rate}")));
    assert_eq!(loss(&report, "linear"), if b < a { b } else { a });
    assert_eq!(remedy(&report, "linear")["cost"], 240.0);
    let given = train("--alpha0 0.2 --time-constant 30 --beta 1");
    assert_eq!(loss(&report, "tuned 20 ahead, published"), given);
    assert_eq!(
        remedy(&report, "tuned 20 ahead, published")["cost"],
        120.0 + 24.0 * (20.0 + 10.0 / 3.0)
    );
    for (judge, name, unrolled) in [
        ("plain", "plain judge, 20 ahead", "--horizon 20"),
        ("cooldown:10", "cool-down judge, 20 ahead", "--horizon 10"),
        ("average:0.9", "average judge, 20 ahead", "--horizon 20"),
    ] {
        let meta = json(&format!(
            "meta {SMALL} {unrolled} --judge {judge} --meta-steps 6 --alpha0 0.1 --time-constant 50 --beta 1 --fix \
             time-constant"
        ));
        let best = &meta["best"];
        let [alpha0, beta] = [&best["alpha0"], &best["beta"]].map(|x| x.as_f64().unwrap());
        let trained = train(&format!("--alpha0 {alpha0:?} --time-constant 50 --beta {beta:?}"));
        assert_eq!(loss(&report, name), trained, "{name}");
        let cost = remedy(&report, name)["cost"].as_f64().unwrap();
        assert!((cost - (120.0 + 7.0 * 4.0 * (20.0 + 10.0 / 3.0))).abs() < 1e-9, "{name} {cost}");
        assert_ne!(loss(&report, &format!("{name}, cooled")), trained);
    }
    assert_ne!(loss(&report, "hd"), loss(&report, "rtho"));
    let moving = remedy(&report, "hd")["cost"].as_f64().unwrap();
    assert!((moving - 2.0 * (120.0 + 119.0 / 3.0)).abs() < 1e-9, "{moving}");
    let sentences = report["sentences"].as_array().unwrap();
    assert!(
        sentences.iter().any(|said| said.as_str().unwrap().contains("judged after a cool-down"))
    );
    for name in ["runs.csv", "remedies.csv", "courses.csv", "remedies.svg", "remedies.json"] {
        assert!(out.join(name).exists(), "{name}");
    }
}

#[test]
fn carried_tangents_see_the_last_steps_alone() {
    let hypergrad = |more: &str| {
        let words = format!("hypergrad {SMALL} --horizon 12 --no-exponent {more}");
        json(&words)["d_alpha0"].as_f64().unwrap()
    };
    let full = hypergrad("");
    assert_eq!(hypergrad("--carry rtho"), full);
    assert_eq!(hypergrad("--carry truncated:12"), full);
    assert_eq!(hypergrad("--carry truncated:1"), hypergrad("--carry hd"));
    assert_ne!(hypergrad("--carry truncated:5"), full);
    assert_ne!(hypergrad("--carry marthe:0.5"), hypergrad("--carry hd"));
}

#[test]
fn biases_of_a_network_are_those_of_the_derivatives_and_runs_of_other_commands() {
    let root = tempfile::tempdir().unwrap();
    let out = root.path().join("out");
    let report = json(&format!(
        "biases {NETWORK} --steps 60 --at 20 --carry hd,rtho --meta-lr 0.01 --meta-steps 2 --particles 2,4 --window 25 \
         --sigma 0.1,0.001 --pairs 3 --seeds 2 --out {}",
        out.display()
    ));
    let estimators = report["estimators"].as_array().unwrap();
    let names: Vec<&str> = estimators.iter().map(|of| of["estimator"].as_str().unwrap()).collect();
    let particles = ["es 2", "es 4", "es 2", "es 4", "pes 2", "pes 4", "pes 2", "pes 4"];
    assert_eq!(names, [&["full", "hd", "rtho"][..], &particles].concat());
    let of = |name: &str, seed: usize, what: &str| {
        let found = estimators.iter().find(|of| of["estimator"] == name).unwrap();
        found["seeds"][seed][what].as_f64().unwrap()
    };
    for (place, seed) in [(0, 1), (1, 2)] {
        let derivative = |steps: u32, rate: f64| {
            let words = format!(
                "hypergrad {NETWORK} --seed {seed} --horizon {steps} --alpha0 {rate:?} --beta 0 --no-exponent"
            );
            rate * json(&words)["d_alpha0"].as_f64().unwrap()
        };
        let near = |a: f64, b: f64| assert!((a - b).abs() < 1e-12, "{a} {b}");
        near(of("full", place, "exact"), derivative(60, 0.1));
        let rate = of("rtho", place, "rate");
        let exact = of("rtho", place, "exact");
        near(exact, derivative(60, rate));
        near(of("rtho", place, "horizon"), derivative(20, rate) - exact);
        assert_eq!(of("rtho", place, "truncation"), 0.0);
        let moved = json(&format!(
            "remedies {NETWORK} --seed {seed} --steps 60 --rates 0.1 --look-ahead 4 --meta-steps 1 --carry hd,rtho --meta-lr 0.01"
        ));
        for name in ["hd", "rtho"] {
            near(of(name, place, "final_loss"), loss(&moved, name));
            let cost = remedy(&moved, name)["cost"].as_f64().unwrap();
            near(of(name, place, "cost"), cost);
            let sum: Vec<f64> =
                ["hysteresis", "truncation", "horizon"].map(|part| of(name, place, part)).to_vec();
            near(of(name, place, "bias"), sum[0] + sum[1] + sum[2]);
        }
        // Twice as many particles have half of the variance.
        let [two, four] = ["pes 2", "pes 4"].map(|name| of(name, place, "standard_deviation"));
        assert!((two / four - libm::sqrt(2.0)).abs() < 1e-12, "{two} {four}");
        assert_eq!(of("es 2", place, "cost_of_estimate"), 2.0 * (10.0 + 5000.0 / 20.0 / 3.0));
    }
    let table = std::fs::read_to_string(out.join("biases.csv")).unwrap();
    assert!(
        table.starts_with("estimator,sigma,meta_lr,seeds,cost_of_estimate,cost,rate,rate_least,")
    );
    assert_eq!(table.lines().count(), 12);
}

#[test]
fn biases_are_shown_at_the_meta_learning_rate_that_ends_lowest() {
    let rtho = |meta_lr: &str| {
        let report = json(&format!(
            "biases {SMALL} --steps 30 --carry rtho --meta-lr {meta_lr} --meta-steps 1 --particles 2 --sigma 0.01 --pairs 2 \
             --window 10 --rate 0.01"
        ));
        let estimators = report["estimators"].as_array().unwrap();
        estimators.iter().find(|of| of["estimator"] == "rtho").unwrap().clone()
    };
    let end = |of: &Value| of["seeds"][0]["final_loss"].as_f64().unwrap();
    let [still, moved] = ["1e-6", "0.1"].map(rtho);
    assert!(end(&moved) < end(&still), "{moved} {still}");
    for both in ["1e-6,0.1", "0.1,1e-6"] {
        assert_eq!(rtho(both), moved, "{both}");
    }
}

#[test]
fn what_has_no_sense_is_refused_in_a_sentence() {
    for (words, said) in [
        ("remedies --steps 0", "--steps 0"),
        ("remedies --look-ahead 3", "--look-ahead has 3"),
        ("remedies --rates 0", "--rates 0"),
        ("remedies --meta-lr 11", "--meta-lr has 11"),
        ("remedies --cool 3000", "--cool is 3000"),
        ("remedies --rates 0.1,0.1", "constant at 0.1 is asked for twice"),
        ("remedies --from 0.1,1e9,1 --optimizer adam", "plain sgd"),
        ("remedies --from 20,50,1", "--from, as alpha0,"),
        ("remedies --carry sideways", "give hd, rtho"),
        ("remedies --given 10,0.1,50,1", "give"),
        ("hypergrad --carry marthe", "--carry marthe"),
        ("hypergrad --carry hd --mode reverse", "no --mode reverse"),
        ("hypergrad --carry hd --optimizer adam", "--carry is of plain sgd"),
        ("meta --judge same-batch", "a network's judge is plain"),
        ("meta --every-entry --judge cooldown:5", "leave out --judge"),
        ("reruns hd --epochs 0", "--epochs 0"),
        ("reruns hd --look-ahead 10,1", "--look-ahead has to ascend from 1"),
        ("reruns hd --after 3,3", "--after has to ascend from 0"),
        ("reruns pes --windows 7", "--windows has 7"),
        ("reruns pes --steps 0", "--steps 0 leaves nothing"),
        ("reruns pes --map 9", "--map names two numbers"),
        ("reruns influence --particles 3", "--particles is 3"),
        ("reruns influence --sigma 0", "--sigma 0"),
        ("reruns influence --windows 0", "--windows has 0"),
        ("biases --steps 9 --at 9", "--at is 9"),
        ("biases --rate 0", "--rate 0"),
        ("biases --sigma 0.1,0", "--sigma 0"),
        ("biases --particles 1", "--particles has 1"),
        ("biases --particles 4e9", "of memory and"),
        ("biases --pairs 1", "--pairs 1 say nothing"),
        ("biases --optimizer adam", "plain sgd"),
        ("biases --norm batch", "--norm batch"),
        ("nqm biases --at 0", "--at is 0"),
        ("nqm biases --particles 3", "--particles has 3"),
        ("nqm biases --sigma 0", "--sigma 0"),
        ("nqm biases --meta-lr 0", "--meta-lr has 0"),
    ] {
        let (status, _, stderr) = shared::run(program(words).arg("--quiet"));
        assert!(status == Some(2) && stderr.contains(said), "{words}: {stderr}");
    }
}
