//! What expresses a learning rate.

use myopia::shown::number;
use serde_json::Value;

use crate::published::read;

/// The rows and verdicts of `results/NAME`, those of one start alone where its steps are given.
fn assert_told(name: &str, only: Option<u32>) {
    let readme = read("results/README.md");
    let said = readme.split_whitespace().collect::<Vec<_>>().join(" ");
    let report: Value = serde_json::from_str(&read(&format!("results/{name}/rates.json"))).unwrap();
    let range = |spread: &Value, places: usize| {
        let ends = spread.as_array().expect("nothing published has diverged").iter();
        let [least, median, greatest] =
            &ends.map(|x| number(x.as_f64().unwrap(), places)).collect::<Vec<_>>()[..]
        else {
            panic!("{spread} is no spread")
        };
        if least == greatest { median.clone() } else { format!("{median} ({least}–{greatest})") }
    };
    let mut rows = 0;
    for curve in report["curves"].as_array().unwrap() {
        if only.is_some_and(|steps| curve["pretrain"] != steps) {
            continue;
        }
        let [optimizer, parameter] =
            ["optimizer", "parameter"].map(|name| curve[name].as_str().unwrap());
        let start = if curve["pretrain"] == 0 { "cold" } else { "warm" };
        for of in curve["horizons"].as_array().unwrap() {
            let line = format!(
                "| {optimizer}, {parameter} | {start} | {} | {} | {} | {} | {} |",
                of["horizon"],
                range(&of["value"], 4),
                range(&of["relative_rate"], 2),
                range(&of["loss"], 5),
                range(&of["relative_loss"], 1),
            );
            assert!(readme.contains(&line), "results/README.md lacks {line}");
            rows += 1;
        }
    }
    assert!(rows >= 20, "{rows} rows of {name}");
    // Every verdict stands there as the program says it.
    for sentence in report["sentences"].as_array().unwrap() {
        let sentence = sentence.as_str().unwrap();
        let of_start =
            only.is_none_or(|steps| sentence.contains(&format!("after {steps} steps of")));
        if of_start && !sentence.contains(", beside T = ") {
            assert!(said.contains(sentence), "results/README.md lacks {sentence}");
        }
    }
}

#[test]
fn what_it_says_of_rates_on_mnist_is_published() {
    assert_told("rates", None);
    assert_told("rates-kfac", None);
    let readme = read("results/README.md");
    let said = readme.split_whitespace().collect::<Vec<_>>().join(" ");
    let report: Value = serde_json::from_str(&read("results/rates/rates.json")).unwrap();
    let curves = report["curves"].as_array().unwrap();
    let at = |optimizer: &str, pretrain: u32, horizon: u32| {
        let of = |curve: &&Value| {
            (&curve["optimizer"], &curve["pretrain"]) == (&optimizer.into(), &pretrain.into())
        };
        let horizons = curves.iter().find(of).unwrap()["horizons"].as_array().unwrap();
        horizons.iter().find(|of| of["horizon"] == horizon).unwrap()
    };
    let median = |of: &Value, name: &str| of[name][1].as_f64().unwrap();
    // At the same effective rate, of RMSprop α/ε and of Adam (1 − β₁)α/ε.
    let [sgd, rmsprop, adam] =
        ["sgd", "rmsprop", "adam"].map(|of| median(at(of, 0, 20_000), "value"));
    for sentence in [
        format!("RMSprop's α/ε is {:.4}", 0.01 / rmsprop),
        format!("(1 − β₁)α/ε is {:.4} from a cold start, SGD's α is {sgd:.4}", 0.1 * 0.05 / adam),
        format!("with every seed, {:.2} times", median(at("adam", 50, 10), "relative_rate")),
    ] {
        assert!(said.contains(&sentence), "results/README.md lacks {sentence}");
    }
    let short = ["sgd", "rmsprop", "adam"]
        .map(|of| [10, 100].map(|t| median(at(of, 0, t), "relative_loss")));
    let short = short.concat();
    let pick = |better: fn(f64, f64) -> bool| {
        short.iter().copied().reduce(|a, b| if better(b, a) { b } else { a }).unwrap()
    };
    let ends = format!("end {:.0} to {:.0} times higher", pick(|a, b| a < b), pick(|a, b| a > b));
    assert!(said.contains(&ends), "results/README.md lacks {ends}");
    // Weight decay: short horizons do not care.
    for (pretrain, horizon) in [(0, 10), (0, 100), (50, 10), (50, 100)] {
        assert!(median(at("sgd-norm", pretrain, horizon), "slack") > 200.0);
    }
    // Only Adam's choice takes the smaller rate with every seed.
    let smaller = |of: &Value| of["relative_rate"][2].as_f64().unwrap() < 1.0;
    let all = ["sgd", "rmsprop", "adam"]
        .iter()
        .flat_map(|of| [10, 100, 1000, 5000].map(|t| (*of, t, smaller(at(of, 50, t)))));
    let all: Vec<_> = all.filter(|(_, _, smaller)| *smaller).collect();
    assert_eq!(all, [("adam", 10, true)]);
}

#[test]
fn what_it_says_of_rates_on_glyphs_is_published() {
    assert_told("rates-glyphs", Some(500));
    let readme = read("results/README.md");
    let said = readme.split_whitespace().collect::<Vec<_>>().join(" ");
    let report: Value = serde_json::from_str(&read("results/rates-glyphs/rates.json")).unwrap();
    let curves = report["curves"].as_array().unwrap().iter();
    let warm: Vec<&Value> = curves
        .filter(|curve| curve["pretrain"] == 500 && curve["parameter"] != "weight_decay")
        .map(|curve| &curve["horizons"][0])
        .collect();
    assert_eq!(warm.len(), 4);
    assert!(warm.iter().all(|of| of["relative_rate"][2].as_f64().unwrap() < 1.0));
    let ends = |name: &str| {
        let mut medians: Vec<f64> = warm.iter().map(|of| of[name][1].as_f64().unwrap()).collect();
        medians.sort_by(f64::total_cmp);
        [medians[0], medians[3]]
    };
    let ([low, high], [least, most]) = (ends("relative_rate"), ends("relative_loss"));
    for sentence in [
        format!("{low:.3} to {high:.3} times that of T = 5,000 at the median"),
        format!("ends {least:.0} to {most:.0} times higher"),
    ] {
        assert!(said.contains(&sentence), "results/README.md lacks {sentence}");
    }
}
