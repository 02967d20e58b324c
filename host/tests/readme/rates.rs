//! What expresses a learning rate.

use myopia::shown::number;
use serde_json::Value;

use crate::published::read;

/// The rows and verdicts of `results/NAME`.
fn assert_told(name: &str) {
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
    for curve in report["curves"].as_array().unwrap() {
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
        }
    }
    // Every verdict stands there as the program says it.
    for sentence in report["sentences"].as_array().unwrap() {
        let sentence = sentence.as_str().unwrap();
        if !sentence.contains(", beside T = ") {
            assert!(said.contains(sentence), "results/README.md lacks {sentence}");
        }
    }
}

#[test]
fn what_it_says_of_rates_on_mnist_is_published() {
    assert_told("rates");
}
