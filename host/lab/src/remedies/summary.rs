//! What came of the remedies: a row for each run, a family for runs that differ in a setting, and
//! sentences.

use std::io::{self, Write};

use serde::Serialize;

use super::{Finish, Outcome, Way};
use crate::nqm::judge::Judge;
use crate::output::csv;
use crate::shown::number;
use crate::spread::Spread;

/// A line of `runs.csv`: one training run.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// The seed of weights and batches.
    pub seed: u64,
    /// What it has in common with runs that differ in a setting.
    pub remedy: String,
    /// The rate, or meta-learning rate, in which they differ.
    pub setting: Option<f64>,
    /// Gradients of one batch for finding the rates and training.
    pub cost: f64,
    /// Where they were tuned.
    pub alpha0: Option<f64>,
    /// See above.
    pub time_constant: Option<f64>,
    /// See above.
    pub beta: Option<f64>,
    /// The learning rate of the last step.
    pub last_learning_rate: f64,
    /// In nats, over all examples trained on; none where training diverged.
    pub training_loss: Option<f64>,
    /// Over the test set.
    pub test_loss: Option<f64>,
    /// See above.
    pub test_error: Option<f64>,
    /// The digest of the last parameters and velocity.
    pub digest: Option<String>,
    /// Why it ended early.
    pub diverged: Option<String>,
}

impl Row {
    const HEADER: [&str; 13] = [
        "seed",
        "remedy",
        "setting",
        "cost",
        "alpha0",
        "time_constant",
        "beta",
        "last_learning_rate",
        "training_loss",
        "test_loss",
        "test_error",
        "digest",
        "diverged",
    ];

    /// The row of one outcome.
    pub fn new(seed: u64, way: &Way, finish: Finish, outcome: &Outcome) -> Self {
        let (name, setting) = way.named();
        let end = |which: usize| outcome.end.map(|end| end[which]);
        let tuned = |which: usize| outcome.schedule.map(|schedule| schedule[which]);
        Self {
            seed,
            remedy: name + finish.suffix(),
            setting,
            cost: outcome.cost,
            alpha0: tuned(0),
            time_constant: tuned(1),
            beta: tuned(2),
            last_learning_rate: outcome.last_rate,
            training_loss: end(0),
            test_loss: end(1),
            test_error: end(2),
            digest: outcome.digest.map(|digest| format!("{digest:016x}")),
            diverged: outcome.diverged.clone(),
        }
    }

    /// Writes rows as CSV.
    ///
    /// # Errors
    /// When the writer fails.
    pub fn write(to: &mut dyn Write, rows: &[Self]) -> io::Result<()> {
        csv::write(to, &Self::HEADER, rows)
    }
}

/// A line of `remedies.csv`: a remedy with its best setting, charged for all that were tried.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Family {
    /// Its name.
    pub remedy: String,
    /// The setting with the lowest median of the training loss, where there are several.
    pub setting: Option<f64>,
    /// How many were tried.
    pub tried: usize,
    /// Seeds with which the best did not diverge.
    pub seeds: usize,
    /// Gradients for all settings with one seed, the median.
    pub cost: f64,
    /// In nats, over all examples trained on.
    #[serde(serialize_with = "Spread::as_ends_if_any")]
    pub training_loss: Option<Spread>,
    /// Share of errors on the test set.
    #[serde(serialize_with = "Spread::as_ends_if_any")]
    pub test_error: Option<Spread>,
}

impl Family {
    /// Those of `rows`, lowest training loss first; settings that diverged with some seed count
    /// after all that did not.
    pub fn all(rows: &[Row]) -> Vec<Self> {
        let mut names: Vec<&str> = Vec::new();
        for row in rows {
            if !names.contains(&&*row.remedy) {
                names.push(&row.remedy);
            }
        }
        let mut found: Vec<Self> = names.into_iter().map(|name| Self::of(rows, name)).collect();
        found.sort_by(|a, b| a.order().total_cmp(&b.order()));
        found
    }

    fn of(rows: &[Row], name: &str) -> Self {
        let own: Vec<&Row> = rows.iter().filter(|row| row.remedy == name).collect();
        let mut settings: Vec<Option<f64>> = Vec::new();
        for row in &own {
            if !settings.contains(&row.setting) {
                settings.push(row.setting);
            }
        }
        let with = |setting: Option<f64>| own.iter().filter(move |row| row.setting == setting);
        let family = |setting: Option<f64>| {
            let over = |read: fn(&Row) -> Option<f64>| {
                Spread::of(with(setting).filter_map(|row| read(row)))
            };
            Self {
                remedy: name.to_owned(),
                setting: setting.filter(|_| settings.len() > 1),
                tried: settings.len(),
                seeds: with(setting).filter(|row| row.training_loss.is_some()).count(),
                cost: 0.0,
                training_loss: over(|row| row.training_loss),
                test_error: over(|row| row.test_error),
            }
        };
        let all = with(settings[0]).count();
        // What diverged with more seeds is worse.
        let key = |family: &Self| (all - family.seeds, family.order());
        let candidates = settings.iter().map(|&setting| family(setting));
        let best = candidates.reduce(|a, b| {
            let (a_key, b_key) = (key(&a), key(&b));
            let b_wins = b_key.0 < a_key.0 || (b_key.0 == a_key.0 && b_key.1 < a_key.1);
            if b_wins { b } else { a }
        });
        let cost = settings.iter().fold(0.0, |sum, &setting| {
            sum + Spread::of(with(setting).map(|row| row.cost)).map_or(0.0, |cost| cost.median)
        });
        Self { cost, ..best.expect("a name has a row") }
    }

    fn order(&self) -> f64 {
        self.training_loss.map_or(f64::INFINITY, |loss| loss.median)
    }

    /// Writes families as CSV.
    ///
    /// # Errors
    /// When the writer fails.
    pub fn write(to: &mut dyn Write, families: &[Self]) -> io::Result<()> {
        let first = ["remedy", "setting", "tried", "seeds", "cost"].map(str::to_owned);
        let spreads = crate::spread::header(["training_loss", "test_error"]);
        let header: Vec<String> = first.into_iter().chain(spreads).collect();
        let rows = families.iter().map(|of| {
            let numbers = [of.training_loss, of.test_error].map(Spread::cells).concat();
            (&of.remedy, of.setting, of.tried, of.seeds, of.cost, numbers)
        });
        csv::write(to, &header, rows)
    }

    /// Median and range of the training loss.
    fn losses(&self) -> String {
        self.training_loss.map_or("diverged".to_owned(), |loss| {
            let [least, median, greatest] = loss.ends().map(|x| number(x, 6));
            match self.seeds {
                1 => median,
                _ => format!("{median} ({least} to {greatest})"),
            }
        })
    }
}

/// How two remedies compare: whether the first is lower with every seed, and by more than the
/// spread, so that their ranges have nothing in common.
fn beats(a: &Family, b: &Family) -> &'static str {
    let one = a.seeds < 2 || b.seeds < 2;
    match (a.training_loss, b.training_loss) {
        (Some(a), Some(b)) if one && a.median < b.median => "lower, with one seed",
        (Some(_), Some(_)) if one => "not lower, with one seed",
        (Some(a), Some(b)) if a.greatest < b.least => "lower, by more than the spread of the seeds",
        (Some(a), Some(b)) if b.greatest < a.least => {
            "higher, by more than the spread of the seeds"
        }
        (Some(a), Some(b)) if a.median < b.median => {
            "lower, not by more than the spread of the seeds"
        }
        (Some(_), Some(_)) => "not lower",
        (Some(_), None) => "lower, as the other diverged with every seed",
        _ => "not lower, as it diverged with every seed",
    }
}

/// Who won, at what cost, whether that is more than the spread; and at each length of the
/// look-ahead whether the judge after a cool-down beats the plain one.
pub fn sentences(families: &[Family], ways: &[Way], steps: u32) -> Vec<String> {
    let mut said = Vec::new();
    let cost = |family: &Family| number(family.cost / f64::from(steps), 1);
    if let [first, second, ..] = families {
        said.push(format!(
            "Lowest training loss after {steps} steps: {}, {} at a cost of {} trainings; next {}, {} at {}: {}.",
            first.remedy,
            first.losses(),
            cost(first),
            second.remedy,
            second.losses(),
            cost(second),
            beats(first, second)
        ));
    }
    let by_error = families.iter().filter_map(|of| Some((of, of.test_error?)));
    if let Some((of, error)) = by_error.reduce(|a, b| if b.1.median < a.1.median { b } else { a }) {
        let [least, median, greatest] = error.ends().map(|x| number(100.0 * x, 2));
        said.push(format!("Lowest test error: {}, {median} % ({least} to {greatest}).", of.remedy));
    }
    let find = |name: &str| families.iter().find(|family| family.remedy == name);
    // The strongest rival that needs a single measurement.
    if let Some(simple) = find(&Way::Capped.named().0) {
        let better =
            families.iter().filter(|family| match (family.training_loss, simple.training_loss) {
                (Some(own), Some(simple)) => own.greatest < simple.least,
                (own, None) => own.is_some(),
                _ => false,
            });
        let better: Vec<&str> = better.map(|family| &*family.remedy).collect();
        said.push(format!(
            "Below {}, {} at a cost of {} trainings, with {}: {}.",
            simple.remedy,
            simple.losses(),
            cost(simple),
            if simple.seeds < 2 { "one seed" } else { "every seed of both" },
            if better.is_empty() { "nothing".to_owned() } else { better.join("; ") }
        ));
    }
    for way in ways {
        let Way::Tuned(Judge::Cooldown(_), ahead) = way else { continue };
        for suffix in ["", ", cooled"] {
            let judged = |judge: &str| find(&format!("{judge} judge, {ahead} ahead{suffix}"));
            let (Some(annealed), Some(plain)) = (judged("cool-down"), judged("plain")) else {
                continue;
            };
            said.push(format!(
                "Look-aheads of {ahead} steps in all{}: judged after a cool-down training ends at {}, judged at their end at \
                 {}: {}.",
                if suffix.is_empty() { "" } else { ", a cool-down at the end of training" },
                annealed.losses(),
                plain.losses(),
                beats(annealed, plain)
            ));
        }
    }
    said
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(remedy: &str, setting: Option<f64>, seed: u64, loss: Option<f64>) -> Row {
        let way = Way::Planned;
        let outcome = Outcome { cost: 10.0, ..Outcome::default() };
        Row {
            remedy: remedy.to_owned(),
            setting,
            training_loss: loss,
            test_error: loss.map(|loss| loss / 10.0),
            ..Row::new(seed, &way, Finish::Plain, &outcome)
        }
    }

    #[test]
    fn a_family_is_its_best_setting_and_pays_for_all() {
        let rows = [
            row("a", Some(0.1), 1, Some(3.0)),
            row("a", Some(0.2), 1, Some(0.5)),
            row("b", None, 1, Some(1.0)),
            row("a", Some(0.1), 2, Some(2.0)),
            row("a", Some(0.2), 2, None),
            row("b", None, 2, Some(1.5)),
            row("c", None, 1, None),
            row("c", None, 2, None),
        ];
        let families = Family::all(&rows);
        let names: Vec<&str> = families.iter().map(|of| &*of.remedy).collect();
        assert_eq!(names, ["b", "a", "c"]);
        let a = &families[1];
        assert_eq!((a.setting, a.tried, a.seeds, a.cost), (Some(0.1), 2, 2, 20.0));
        assert_eq!(a.training_loss.unwrap().ends(), [2.0, 2.5, 3.0]);
        assert_eq!(families[2].losses(), "diverged");
        let said = sentences(&families, &[], 5);
        assert_eq!(
            said[0],
            "Lowest training loss after 5 steps: b, 1.250000 (1.000000 to 1.500000) at a cost of 2.0 trainings; next a, \
             2.500000 (2.000000 to 3.000000) at 4.0: lower, by more than the spread of the seeds."
        );
    }

    #[test]
    fn the_criterion_is_applied_to_judges_of_the_same_length() {
        let rows = [
            row("plain judge, 20 ahead", None, 1, Some(1.0)),
            row("plain judge, 20 ahead", None, 2, Some(3.0)),
            row("cool-down judge, 20 ahead", None, 1, Some(0.9)),
            row("cool-down judge, 20 ahead", None, 2, Some(1.1)),
        ];
        let ways = [Way::Tuned(Judge::Plain, 20), Way::Tuned(Judge::Cooldown(10), 20)];
        let said = sentences(&Family::all(&rows), &ways, 5);
        let last = said.last().unwrap();
        assert!(last.starts_with("Look-aheads of 20 steps in all: judged after"), "{last}");
        assert!(last.ends_with(": lower, not by more than the spread of the seeds."), "{last}");
        assert_eq!(said.len(), 3);
    }
}
