//! The reading: sentences about what the tables show. Each is chosen by a condition on the numbers
//! that a test makes false; none says why something is so.

use myopia_core::elementary::Libm;
use myopia_core::schedule::InverseTime;

mod bilevel;
mod entries;
mod horizons;
mod online;
mod plan;
mod remedies;
mod surface;
mod training;

use super::{Contents, Table};

/// What the tables of a folder show.
pub fn sentences(contents: &Contents) -> Vec<String> {
    let mut found = Vec::new();
    if let Some(table) = contents.table("horizons") {
        found.extend(horizons::seeds(table));
        // Of several seeds the medians.
        let table = contents.table("summary").unwrap_or(table);
        found.extend(horizons::choices(table));
        found.extend(horizons::worth(table));
    }
    if let Some(table) = contents.table("trajectories") {
        found.extend(horizons::paths(table, contents));
    }
    if let Some(table) = contents.table("surface") {
        let of = contents.settings.iter().find(|settings| settings.name.starts_with("surface."));
        let family = of.and_then(|of| of.fields.get("schedule")?.as_str());
        found.extend(surface::bests(table, family.unwrap_or(surface::INVERSE_TIME)));
    }
    if let Some(table) = contents.table("online") {
        found.extend(online::ends(contents.table("summary").unwrap_or(table)));
        found.extend(contents.table("curves").map(online::risen).unwrap_or_default());
    }
    if let Some(table) = contents.table("trajectory") {
        found.extend(training::descent(table));
    }
    if let Some(table) = contents.table("entries") {
        found.extend(entries::course(table));
    }
    if let (Some(table), None) = (contents.table("training"), contents.table("horizons")) {
        found.extend(training::losses(table));
    }
    if let Some(table) = contents.table("tour") {
        found.extend(training::tour(table));
    }
    let plans = contents.settings.iter().filter(|settings| settings.name.starts_with("plan."));
    found.extend(plans.flat_map(plan::ends));
    let told =
        |name: &str| ["rates.", "remedies.", "reruns."].iter().any(|of| name.starts_with(of));
    let told = contents.settings.iter().filter(|settings| told(&settings.name));
    found.extend(told.flat_map(remedies::told));
    for (name, read) in bilevel::STUDIES {
        found.extend(contents.table(name).map(read).unwrap_or_default());
    }
    found
}

/// A number to four significant digits.
pub fn brief(x: f64) -> String {
    let size = x.abs();
    if x == 0.0 {
        "0".to_owned()
    } else if !(1e-4..1e6).contains(&size) {
        format!("{x:.3e}")
    } else {
        let digits = 3 - libm::log10(size).floor() as i32;
        format!("{x:.*}", digits.clamp(0, 8) as usize)
    }
}

fn percent(share: f64) -> String {
    if share > 0.0 && share < 0.001 {
        "less than 0.1 %".to_owned()
    } else {
        format!("{:.1} %", 100.0 * share)
    }
}

/// A share of mistakes, which may be small.
fn error_rate(share: f64) -> String {
    match 100.0 * share {
        percent if percent > 0.0 && percent < 0.01 => format!("{} %", brief(percent)),
        percent => format!("{percent:.2} %"),
    }
}

/// The lowest of `items` by `loss`, the first of several; those without one are passed over.
fn lowest<T: Copy>(items: impl Iterator<Item = T>, loss: impl Fn(T) -> Option<f64>) -> Option<T> {
    let losses = items.filter_map(|item| Some((loss(item)?, item)));
    losses.reduce(|a, b| if b.0 < a.0 { b } else { a }).map(|(_, item)| item)
}

/// Whether four digits do not tell the two apart.
fn alike(a: f64, b: f64) -> bool {
    brief(a) == brief(b)
}

/// How a quantity went from `first` to `last`, as far as four digits tell.
fn went(first: f64, last: f64) -> &'static str {
    if alike(first, last) {
        "stayed"
    } else if last < first {
        "fell"
    } else if last > first {
        "rose"
    } else {
        "stayed"
    }
}

/// "A, B and C".
fn list(items: &[String]) -> String {
    match items {
        [] => String::new(),
        [one] => one.clone(),
        [rest @ .., last] => format!("{} and {last}", rest.join(", ")),
    }
}

/// The share of its first rate that a schedule keeps after `steps` steps.
fn kept(schedule: InverseTime<f64>, steps: f64) -> f64 {
    let rate = |k| schedule.with_tangents([]).learning_rate::<Libm>(k).value;
    rate(steps as u32) / schedule.alpha0
}

/// What a row says of a schedule.
fn schedule(table: &Table, row: &[String]) -> Option<InverseTime<f64>> {
    Some(InverseTime {
        alpha0: table.number(row, "alpha0")?,
        time_constant: table.number(row, "time_constant")?,
        beta: table.number(row, "beta")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contents(tables: &[(&str, &str)]) -> Contents {
        let tables = tables
            .iter()
            .map(|(name, text)| {
                ((*name).to_owned(), Table::read(text.as_bytes()).unwrap(), Vec::new())
            })
            .collect();
        Contents { tables, ..Contents::default() }
    }

    #[test]
    fn the_reading_follows_the_numbers_and_not_a_belief() {
        let table = |short: &str, long: &str| {
            format!(
                "horizon,alpha0,time_constant,beta,steps,training_loss,validation_loss,test_error,digest\n\
                 10,0.1,5,2,100,{short},,0.04,aa\n100,0.1,50,1,100,{long},,0.02,bb\n"
            )
        };
        let read =
            |short, long| sentences(&contents(&[("horizons.csv", &table(short, long))])).join("\n");
        let biased = read("0.4", "0.1");
        assert!(biased.contains("lowest with the schedule of T = 100, 0.1000"), "{biased}");
        assert!(
            biased.contains("4.000 times as high; the longer the horizon, the lower"),
            "{biased}"
        );
        assert!(biased.contains("11.1 % is left after 10 steps"), "{biased}");
        let unbiased = read("0.1", "0.3");
        assert!(
            unbiased.contains("3.000 times as high; the longer the horizon, the higher it is"),
            "{unbiased}"
        );
        assert!(unbiased.contains("test error is lowest with the schedule of T = 100, 2.00 %"));
    }

    #[test]
    fn descents_that_part_and_clipped_hypergradients_are_told_in_numbers() {
        let mut found = contents(&[(
            "trajectories.csv",
            "horizon,start,meta_step,alpha0,time_constant,beta,loss,d_alpha0,d_time_constant,d_beta\n\
             5,1,0,0.1,5,2,1,0,0,0\n5,1,1,0.1,5,9,1,900,0,0\n5,2,0,0.1,5,2,1,0,0,1\n",
        )]);
        let fields = serde_json::from_str(r#"{"clip": 10.0}"#).unwrap();
        found.settings.push(crate::report::Settings { name: "horizons.json".into(), fields });
        let read = sentences(&found).join("\n");
        assert!(
            read.contains(
                "1 of 3 hypergradients by the logarithms exceeded the clip of 10.00 in some parameter, at most with 90.00"
            ),
            "{read}"
        );
        assert!(read.contains("the 2 descents do not meet: they end with β from 2.000 to 9.000"));
        assert!(!read.contains("with α₀ from"), "{read}");
    }

    #[test]
    fn remedies_and_reruns_say_what_the_run_has_said() {
        for name in ["rates.json", "remedies.json", "reruns.json"] {
            let json = r#"{"sentences": ["Lowest training loss: a.", "Next b."]}"#;
            let fields = serde_json::from_str::<serde_json::Map<_, _>>(json).unwrap();
            let mut found = Contents::default();
            let fields = fields.into_iter().collect();
            found.settings.push(crate::report::Settings { name: name.into(), fields });
            assert_eq!(sentences(&found), ["Lowest training loss: a.", "Next b."]);
        }
    }

    #[test]
    fn of_a_plan_the_lowest_schedule_is_named_first() {
        let read = |planned: &str| {
            let trained = format!(
                r#"[{{"schedule": "planned"{planned}}}, {{"schedule": "linear decay", "loss": 0.2}}]"#
            );
            let text =
                format!(r#"{{"steps": 9, "predicted": {{"loss": 0.5}}, "trained": {trained}}}"#);
            let mut found = contents(&[]);
            let fields = serde_json::from_str(&text).unwrap();
            found.settings.push(crate::report::Settings { name: "plan.json".into(), fields });
            sentences(&found).join("\n")
        };
        let lower = read(r#", "loss": 0.1"#);
        assert!(lower.contains("a training loss of 0.5000 after 9 steps"), "{lower}");
        assert!(lower.ends_with("lowest first: planned 0.1000, linear decay 0.2000."), "{lower}");
        assert!(read(r#", "loss": 0.3"#).ends_with("linear decay 0.2000, planned 0.3000."));
        assert!(read("").ends_with("linear decay 0.2000, planned diverged."));
    }

    #[test]
    fn numbers_are_brief() {
        for (x, text) in [
            (0.0, "0"),
            (0.123_456, "0.1235"),
            (5000.0, "5000"),
            (-2.5, "-2.500"),
            (3e-9, "3.000e-9"),
        ] {
            assert_eq!(brief(x), text);
        }
    }

    /// What is read in one table.
    fn read(name: &str, text: &str) -> String {
        sentences(&contents(&[(name, text)])).join("\n")
    }

    #[test]
    fn a_loss_is_told_to_fall_only_when_it_does() {
        let losses = |losses: [f64; 3]| {
            let [a, b, c] = losses;
            read("training.csv", &format!("step,learning_rate,loss\n0,1,{a}\n1,1,{b}\n2,1,{c}\n"))
        };
        assert!(
            losses([2.0, 9.0, 1.0]).contains("batch fell from 2.000 at the first step to 1.000")
        );
        assert!(
            losses([2.315, 1.0, 2.496])
                .contains("batch rose from 2.315 at the first step to 2.496")
        );
        assert!(losses([2.0, 1.0, 2.0]).contains("batch stayed at 2.000 from the first step"));
        assert!(losses([2.2941, 2.2, 2.29409]).contains("batch stayed at 2.294 from"));
    }

    #[test]
    fn a_descent_is_told_to_fall_only_when_it_does() {
        let descent = |losses: [f64; 3]| {
            let [a, b, c] = losses;
            let header = "meta_step,alpha0,time_constant,beta,loss\n";
            read("trajectory.csv", &format!("{header}0,1,2,3,{a}\n1,1,2,3,{b}\n2,1,2,3,{c}\n"))
        };
        let falls = descent([3.0, 2.0, 1.0]);
        assert!(falls.contains("fell from 3.000 to 1.000, lowest at meta-step 2"), "{falls}");
        assert!(!falls.contains("ended at"), "{falls}");
        let back = descent([3.0, 1.0, 4.0]);
        assert!(back.contains("fell from 3.000 to 1.000, lowest at meta-step 1"), "{back}");
        assert!(back.contains("; it ended at 4.000"), "{back}");
        let rises = descent([1.0, 2.0, 3.0]);
        assert!(!rises.contains("fell"), "{rises}");
        let still = descent([2.2941, 2.29409, 2.29408]);
        assert!(still.contains("objective stayed at 2.294."), "{still}");
        assert!(rises.contains("never lower than the 1.000 that it began with; it ended at 3.000"));
        assert_eq!(
            read("trajectory.csv", "meta_step,alpha0,time_constant,beta,loss\n0,1,2,3,4\n"),
            ""
        );
    }

    #[test]
    fn a_warm_up_is_told_only_where_there_is_one() {
        let course = |rates: [f64; 3]| {
            let [a, b, c] = rates;
            let header = "window,first_step,learning_rate,d_learning_rate,momentum,d_momentum\n";
            read(
                "entries.csv",
                &format!("{header}0,0,{a},0,0.9,\n1,5,{b},0,0.9,\n2,10,{c},0,0.9,\n"),
            )
        };
        assert_eq!(
            course([0.1, 0.4, 0.02]),
            "Of 3 entries the first is 0.1000, the greatest 0.4000, from step 5 on, and the last 0.02000: rates rise to \
             4.000 times the first one before they fall to 5.0 % of the greatest."
        );
        let falls = course([0.4, 0.1, 0.02]);
        assert!(
            falls.ends_with("rates are never above the first one, and end at 5.0 % of it."),
            "{falls}"
        );
    }

    #[test]
    fn no_clip_is_exceeded_by_shorter_hypergradients() {
        let table = "horizon,start,meta_step,alpha0,time_constant,beta,loss,d_alpha0,d_time_constant,d_beta\n\
                     5,1,0,0.1,5,2,1,0,0,4.9\n5,1,1,0.1,5,2,1,0,0,1\n";
        let mut found = contents(&[("trajectories.csv", table)]);
        let fields = serde_json::from_str(r#"{"clip": 10.0}"#).unwrap();
        found.settings.push(crate::report::Settings { name: "horizons.json".into(), fields });
        assert_eq!(sentences(&found), Vec::<String>::new());
    }

    #[test]
    fn several_seeds_are_told_apart_and_read_by_their_medians() {
        let header = "horizon,alpha0,time_constant,beta,steps,training_loss,test_error";
        let summary = format!("{header}\n10,0.1,5,1,10,0.5,0.2\n100,0.2,5,1,10,0.3,0.1\n");
        let table = |last: f64| {
            let rows = "1,10,0.1,5,1,10,0.6,0.2,a\n1,100,0.1,5,1,10,0.2,0.2,a\n2,10,0.1,5,1,10,0.4,0.2,a\n";
            format!("seed,{header},digest\n{rows}2,100,0.3,5,1,10,{last},0.2,a\n")
        };
        let read = |last: f64| {
            let table = table(last);
            sentences(&contents(&[("horizons.csv", &table), ("summary.csv", &summary)])).join("\n")
        };
        let all = read(0.3);
        assert!(all.contains("Of 2 seeds, medians below."), "{all}");
        assert!(
            all.contains(
                "From T = 10 to T = 100 the training loss in the end falls on 2 of 2 seeds."
            ),
            "{all}"
        );
        assert!(all.contains("highest with that of T = 10, 0.5000"), "{all}");
        let one = read(0.7);
        assert!(one.contains("falls on 1 of 2 seeds"), "{one}");
        // A run that diverged has no end.
        let none =
            sentences(&contents(&[("horizons.csv", &table(0.3).replace("0.3,0.2,a", ",,"))]));
        assert!(none.join("\n").contains("falls on 1 of 1 seeds"), "{none:?}");
    }

    #[test]
    fn nearly_the_same_schedules_are_told_by_how_near_they_are() {
        let table = |beta: f64| {
            let header = "horizon,alpha0,time_constant,beta,steps,training_loss,validation_loss,test_error,digest\n";
            format!("{header}10,0.1,5,1,10,,,,\n100,0.1,5,{beta},10,,,,\n")
        };
        let near = read("horizons.csv", &table(1.2));
        assert!(
            near.contains("nearly the same schedule, no parameter further apart than 20.0 %."),
            "{near}"
        );
        assert!(!read("horizons.csv", &table(1.3)).contains("nearly the same"));
    }

    #[test]
    fn a_surface_counts_the_losses_there_are_and_says_where_the_best_moves() {
        let table = |long: &str| {
            let header =
                "cell,alpha0,time_constant,beta,horizon,loss,accuracy,diverged_at,digest\n";
            format!("{header}0,0.1,5,1,10,2,,,\n1,0.2,5,4,10,3,,,\n2,9,5,4,10,,,3,\n{long}")
        };
        let one = read("surface.csv", &table(""));
        assert!(one.contains("At T = 10 the lowest of 2 losses is 2.000, at α₀ = 0.1000"), "{one}");
        assert!(one.contains("; 1 diverged."), "{one}");
        assert!(!one.contains("From T"), "{one}");
        let of_seeds =
            "cell,alpha0,time_constant,beta,horizon,seeds,loss\n0,0.1,5,1,10,3,2\n1,9,5,1,10,3,\n";
        let medians = read("surface.csv", of_seeds);
        assert!(medians.contains("the lowest of 1 medians over 3 seeds is 2.000"), "{medians}");
        assert!(medians.contains("; 1 diverged with half of the seeds or more."), "{medians}");
        let moved = read("surface.csv", &table("0,0.1,5,1,20,5,,,\n1,0.2,5,1,20,4,,,\n"));
        assert!(
            moved.contains("the best β stays 1.000 and the best α₀ goes from 0.1000 to 0.2000"),
            "{moved}"
        );
        assert!(
            read("surface.csv", &table("1,1,1,1,20,,,,\n"))
                .contains("At T = 20 every schedule diverged.")
        );
    }

    #[test]
    fn the_best_adapted_run_is_compared_by_its_numbers() {
        let table = |adapted: f64| {
            let header = "trial,kind,training_loss,validation_loss,first_learning_rate,last_learning_rate,last_momentum\n";
            format!("{header}f,fixed,2,,1,1,0.9\na,fresh,{adapted},,1,2,0.5\ns,same,9,,1,4,0.5\n")
        };
        for (adapted, words) in [
            (1.0, "(a) is lower than that of the best tuned one (f): 1.000 and 2.000."),
            (2.0, "(a) is the same as that of the best tuned one (f): 2.000 and 2.000."),
            (3.0, "(a) is higher than that of the best tuned one (f): 3.000 and 2.000."),
        ] {
            let said = read("online.csv", &table(adapted));
            assert!(said.contains(words), "{said}");
        }
        let curves = |last: f64| {
            let mut found = contents(&[
                ("online.csv", &table(1.0)),
                ("curves.csv", &format!("trial,step,training_loss\na,0,2\na,1,9\na,2,{last}\n")),
            ]);
            found.unfinished = false;
            sentences(&found).join("\n")
        };
        assert!(
            curves(3.0)
                .contains("a: the training loss rose from 2.000 to 3.000; its highest was 9.000.")
        );
        assert!(!curves(1.0).contains("rose"));
    }

    #[test]
    fn the_tour_names_a_costly_early_choice_only_where_there_is_one() {
        let table = |short: f64| format!("study,horizon,loss_at_longest\nx,10,{short}\nx,100,2\n");
        assert!(
            read("tour.csv", &table(8.0))
                .contains("best after 10 steps ends with 4.000 times the loss")
        );
        let alike = read("tour.csv", &table(2.00001));
        assert!(alike.contains("no schedule ends with a higher loss"), "{alike}");
        assert!(read("tour.csv", &table(1.0)).contains(
            "no schedule ends with a higher loss than the one that looks best after 100"
        ));
    }

    #[test]
    fn a_small_share_of_mistakes_is_never_told_as_none() {
        for (share, text) in
            [(0.02, "2.00 %"), (0.0, "0.00 %"), (1e-5, "0.001000 %"), (1e-9, "1.000e-7 %")]
        {
            assert_eq!(error_rate(share), text);
        }
    }
}
