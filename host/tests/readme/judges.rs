//! What a look-ahead is judged by.

use serde_json::Value;

use crate::published::read;
use crate::shared::{program, succeeds};

#[test]
fn what_it_says_of_judges_is_published_and_what_the_program_prints() {
    let readme = read("results/README.md");
    let bias = read("results/judges/judges.csv");
    let zeros = read("results/judges/zeros.csv");
    let last = |table: &str, row: &str| -> f64 {
        let line = table.lines().find(|line| line.starts_with(row)).expect(row);
        line.rsplit(',').next().and_then(|x| x.parse().ok()).expect(row)
    };
    for step in [0, 50, 100, 150, 200] {
        let line = format!(
            "| {step} | −{:.2} | {:.0} | {:.2} |",
            last(&bias, &format!("cooldown:0,{step},")).abs(),
            last(&zeros, &format!("cooldown,{step},")),
            last(&zeros, &format!("average,{step},")),
        );
        assert!(readme.contains(&line), "results/README.md lacks {line}");
    }
    let excess = |schedule: &str| -> f64 {
        let words = format!("nqm --dim 100 --steps 250 --json --quiet --schedule {schedule}");
        let run: Value = serde_json::from_str(&succeeds(&mut program(&words))).unwrap();
        run["excess_loss"].as_f64().unwrap()
    };
    let sentence = format!(
        "the excess loss is {:.4} when every step is planned 20 steps ahead, {:.4} with a cool-down of 80 steps, \
         {:.4} with γ = 0.9, and {:.4} for the optimal schedule",
        excess("replan:20"),
        excess("replan:20 --judge cooldown:80"),
        excess("replan:20 --judge average:0.9"),
        excess("optimal"),
    );
    let said = readme.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(said.contains(&sentence), "results/README.md lacks {sentence}");
}
