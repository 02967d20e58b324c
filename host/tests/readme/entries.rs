//! Every entry of a schedule, stretched schedules, and schedules of all steps.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;

use crate::published::{column, read, rows};

/// A whole number with its sign as it is printed.
fn signed(number: f64) -> String {
    format!("{number:.0}").replace('-', "−")
}

/// Where a straight line through the rates of the last two fifths meets zero, as a share of the
/// steps, and its correlation with them.
fn end_of(rates: &[f64]) -> (f64, f64) {
    let first = rates.len() - 2 * rates.len() / 5;
    let count = (rates.len() - first) as f64;
    let points = || (first..rates.len()).map(|k| (k as f64, rates[k]));
    let (sum_x, sum_y) = points().fold((0.0, 0.0), |(x, y), point| (x + point.0, y + point.1));
    let (x, y) = (sum_x / count, sum_y / count);
    let [xx, xy, yy] = points().fold([0.0; 3], |[xx, xy, yy], (a, b)| {
        [xx + (a - x) * (a - x), xy + (a - x) * (b - y), yy + (b - y) * (b - y)]
    });
    ((x - y * xx / xy) / rates.len() as f64, xy / libm::sqrt(xx * yy))
}

#[test]
fn what_it_says_of_every_entry_is_published() {
    let readme = read("results/README.md");
    let results = Path::new(env!("CARGO_MANIFEST_DIR")).join("../results");
    let names = std::fs::read_dir(results).unwrap().map(|entry| entry.unwrap().file_name());
    let mut names: Vec<String> = names
        .filter_map(|name| name.into_string().ok())
        .filter(|name| name.starts_with("entries-"))
        .collect();
    names.sort();
    assert!(names.len() >= 3, "{names:?}");
    let mut courses = BTreeMap::<u64, Vec<[f64; 5]>>::new();
    let (mut warm, mut exponents) = (0, Vec::new());
    let mean = |numbers: &[f64]| numbers.iter().fold(0.0, |a, b| a + b) / numbers.len() as f64;
    for name in names {
        let meta: Value =
            serde_json::from_str(&read(&format!("results/{name}/meta.json"))).unwrap();
        let rates = column(&format!("results/{name}/schedule.csv"), "learning_rate");
        let losses = column(&format!("results/{name}/trajectory.csv"), "loss");
        let tenth = rates.len() / 10;
        let correlation = meta["formula_correlation"].as_f64().unwrap();
        let line = format!(
            "| [{}]({name}) | {} | {:.3} | {:.3} | {:.3} | {:.3} | {:.4} | {:.4} | {}{:.2} |",
            meta["horizon"],
            meta["seed"],
            mean(&rates[..tenth]),
            mean(&rates[2 * tenth..4 * tenth]),
            mean(&rates[rates.len() - tenth..]),
            rates[rates.len() - 1],
            mean(&losses[..10]),
            mean(&losses[losses.len() - 10..]),
            if correlation < 0.0 { "−" } else { "" },
            correlation.abs()
        );
        assert!(readme.contains(&line), "results/README.md lacks {line}");
        // What the text says of all of them.
        let (first, early) = (mean(&rates[..tenth]), mean(&rates[2 * tenth..4 * tenth]));
        let (end, last) = (mean(&rates[rates.len() - tenth..]), rates[rates.len() - 1]);
        let horizon = meta["horizon"].as_u64().unwrap();
        let is_last = |rate: &f64| if horizon < 1000 { *rate <= last } else { *rate >= last };
        assert!(rates[rates.len() - tenth..].iter().all(is_last) && end > 0.0, "{name}");
        let (zero, straight) = end_of(&rates);
        assert!(first < early, "{name}");
        warm += usize::from(first < 0.75 * early);
        if horizon == 1000 {
            exponents.push(1000.0 * meta["exponent"].as_f64().unwrap());
        }
        let gain = 1.0 - mean(&losses[losses.len() - 10..]) / mean(&losses[..10]);
        let course = [early / first, early / end, 100.0 * gain, zero, -straight];
        courses.entry(horizon).or_default().push(course);
        assert!(correlation < 0.0, "{name}");
    }
    for (horizon, courses) in courses {
        let [rises, falls, gains, zeros, straight] = [0, 1, 2, 3, 4].map(|which| {
            let mut numbers: Vec<f64> = courses.iter().map(|course| course[which]).collect();
            numbers.sort_by(f64::total_cmp);
            [numbers[0], numbers[numbers.len() - 1]]
        });
        let line = format!(
            "- T = {horizon}: from the first tenth to the third and fourth, rates rise {:.1} to {:.1} times; from there to \
             the last tenth they fall {:.1} to {:.1} times; the objective falls by {} to {} %. A straight line through \
             the last two fifths meets zero at {:.2} to {:.2} T (correlation −{:.2} to −{:.2}).",
            rises[0],
            rises[1],
            falls[0],
            falls[1],
            signed(gains[0]),
            signed(gains[1]),
            zeros[0],
            zeros[1],
            straight[0],
            straight[1]
        );
        assert!(readme.contains(&line), "results/README.md lacks {line}");
    }
    let of_nine = format!("in {warm} of them by more than a quarter");
    assert!(readme.contains(&of_nine), "results/README.md lacks {of_nine}");
    let [first, second, third] = exponents[..] else { panic!("three runs of 1,000 steps") };
    let said = readme.split_whitespace().collect::<Vec<_>>().join(" ");
    let line = format!("times the steps, is {first:.1}, {second:.1} and {third:.1}");
    assert!(said.contains(&line), "results/README.md lacks {line}");
}

#[test]
fn what_it_says_of_stretched_schedules_is_published() {
    let readme = read("results/README.md");
    let said = readme.split_whitespace().collect::<Vec<_>>().join(" ");
    let table = read("results/stretched/compare.csv");
    // From the end: a name may have commas.
    let field = |line: &str, place: usize| -> f64 {
        line.rsplit(',').nth(place).and_then(|field| field.parse().ok()).unwrap()
    };
    let of = |start: &str| -> Vec<[f64; 3]> {
        let lines = table.lines().filter(|line| line.trim_start_matches('"').starts_with(start));
        lines.map(|line| [6, 4, 1].map(|place| field(line, place))).collect()
    };
    let lacks = |line: &str| assert!(said.contains(line), "results/README.md lacks {line}");
    let shown = |row: &[f64; 3], which: usize| match which {
        0 => format!("{:.1e}", row[0]).replace('-', "−"),
        1 => format!("{:.3}", row[1]),
        _ => format!("{:.2} %", 100.0 * row[2]),
    };
    let mut free = Vec::new();
    for horizon in [100, 250, 1000] {
        let rows = of(&format!("file:entries-{horizon}-"));
        assert_eq!(rows.len(), 3);
        let [loss, held_out, test] = [0, 1, 2]
            .map(|which| rows.iter().map(|row| shown(row, which)).collect::<Vec<_>>().join(" / "));
        let what = "each entry, three seeds, stretched";
        lacks(&format!("| {horizon} steps, {what} | {loss} | {held_out} | {test} |"));
        free.extend(rows);
    }
    let formulas = of("decay:");
    for (horizon, row) in [100, 1000, 5000, 20000].into_iter().zip(&formulas) {
        let [loss, held_out, test] = [0, 1, 2].map(|which| shown(row, which));
        let what = "α₀ and β of the formula";
        lacks(&format!("| {horizon} steps, {what} | {loss} | {held_out} | {test} |"));
    }
    // The formulas are those that the study of horizons found.
    for (row, line) in rows("horizons", "horizons").iter().zip(table.lines().skip(10)) {
        let name = format!("\"decay:{},5000,{}\"", row("alpha0"), row("beta"));
        assert!(line.starts_with(&name), "{line}");
    }
    let (last, lost) = (formulas[3], free[8]);
    let held = &free[..8];
    let range = |read: &dyn Fn(&[f64; 3]) -> f64| {
        let numbers = || held.iter().map(read);
        let least = numbers().fold(f64::MAX, |a, b| if b < a { b } else { a });
        (least, numbers().fold(0.0, |a, b| if b > a { b } else { a }))
    };
    let (least, most) = range(&|row| last[0] / row[0]);
    let rounded = 10.0 * (most / 10.0).round();
    lacks(&format!("a training loss {least:.0} to {rounded:.0} times below that"));
    let (least, most) = range(&|row| row[1]);
    lacks(&format!("({least:.3} to {most:.3} against {:.3})", last[1]));
    assert!(range(&|row| row[2]).1 < last[2]);
    lacks(&format!("stops at a loss of {:.2}", formulas[0][0]));
    // As many test images are of the digit one.
    assert_eq!(lost[2], 1.0 - 0.1135);
    let rates = column("results/entries-1000-3/schedule.csv", "learning_rate");
    let highest = rates.iter().fold(0.0, |a: f64, b| if *b > a { *b } else { a });
    lacks(&format!("a rate of {highest:.2} for 400 steps"));
}

#[test]
fn what_it_says_of_a_schedule_of_all_steps_is_published() {
    let readme = read("results/README.md");
    let [losses, norms, greatest] = ["loss", "gradient_norm", "greatest_rate"]
        .map(|name| column("results/schedule-20000/trajectory.csv", name));
    let mean = |losses: &[f64]| losses.iter().fold(0.0, |sum, x| sum + x) / losses.len() as f64;
    let last = losses.len() - 1;
    let norm = format!("{:.0}", norms[last]);
    let (thousands, rest) = norm.split_at(norm.len() - 3);
    for line in [
        format!(
            "{:.4} over the first ten meta-steps and {:.4} over the last ten",
            mean(&losses[..10]),
            mean(&losses[losses.len() - 10..])
        ),
        format!(
            "norm grows from {:.3} to {thousands},{rest} as the first\nrate is raised to {:.2}",
            norms[0], greatest[last]
        ),
    ] {
        assert!(readme.contains(&line), "results/README.md lacks {line}");
    }
}
