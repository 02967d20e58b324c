use std::fs;
use std::path::Path;

use clap::Parser;

use super::{One, meta};
use myopia::failure::Failure;
use myopia::nqm::run::Run;

#[derive(Parser)]
struct Line<A: clap::Args> {
    #[command(flatten)]
    args: A,
}

fn parsed<A: clap::Args>(words: &str) -> Result<A, Failure> {
    let line = Line::try_parse_from(["nqm"].into_iter().chain(words.split_whitespace()));
    Ok(line.map_err(|e| Failure::usage(e.to_string()))?.args)
}

/// What `myopia nqm` makes of these words.
fn nqm(words: &str) -> Result<Run, Failure> {
    parsed::<One>(words)?.run()
}

/// What `myopia nqm meta` makes of these words.
fn tuned(words: &str) -> Result<Vec<meta::Choice>, Failure> {
    parsed::<meta::Options>(words)?.choices(|| {})
}

fn excess(words: &str) -> f64 {
    nqm(words).unwrap().excess_loss
}

/// Theorem 3: in one dimension greedy is optimal at every horizon.
#[test]
fn greedy_is_optimal_in_one_dimension() {
    for setting in ["--noise inverse", "--noise constant:0.1 --mean0 2", "--noise constant:30"] {
        for steps in [1, 2, 5, 12] {
            let words = format!("--dim 1 --spectrum uniform:0.7,0.7 {setting} --steps {steps}");
            let greedy = nqm(&format!("{words} --schedule greedy")).unwrap();
            let optimal = nqm(&format!("{words} --schedule optimal")).unwrap();
            let ratio = optimal.excess_loss / greedy.excess_loss;
            assert!((ratio - 1.0).abs() < 1e-9, "{words}: {ratio}");
        }
    }
}

#[test]
fn optimal_is_never_worse_than_greedy_and_stationary() {
    for setting in [
        "--dim 30 --steps 12",
        "--dim 30 --steps 1",
        "--dim 20 --steps 10 --spectrum geometric:1e-3,1 --mean0 1 --var0 0",
        "--dim 20 --steps 10 --spectrum uniform:0.5,2 --noise constant:0.1",
        "--dim 20 --steps 8 --momentum 0.9",
        "--dim 12 --steps 6 --noise none",
    ] {
        let optimal = nqm(&format!("{setting} --schedule optimal")).unwrap();
        let greedy = excess(&format!("{setting} --schedule greedy"));
        assert!(optimal.excess_loss <= greedy, "{setting}: {} {greedy}", optimal.excess_loss);
        assert!(optimal.gradient_norm.unwrap() <= 1e-5, "{setting}");
        assert!(optimal.iterations.unwrap() > 0);
    }
}

#[test]
fn momentum_helps_and_is_never_worse_than_greedy_momentum() {
    let setting =
        "--dim 50 --steps 30 --spectrum geometric:1e-3,1 --noise constant:1 --mean0 1 --var0 0";
    let both = excess(&format!("{setting} --schedule optimal-momentum"));
    assert!(both < excess(&format!("{setting} --schedule greedy-momentum")));
    assert!(both < 0.999 * excess(&format!("{setting} --schedule optimal")), "{both}");
}

/// What L-BFGS over ln α finds in NumPy, and, with momenta from 0 up to but not including 1, what
/// this search found before it had a budget.
#[test]
fn optima_within_the_bounds_are_those_that_are_known() {
    for (setting, rates, momenta) in [
        ("--dim 100 --steps 50", 0.6513353503572, 0.6513353503572),
        ("--dim 100 --steps 3", 1.752002665880, 1.752002665880),
        (
            "--dim 50 --spectrum geometric:0.001,1 --noise constant:1 --mean0 1 --steps 20",
            0.3553079385563,
            0.3548463703320,
        ),
        ("--dim 5 --steps 5", 0.3492790672346, 0.3492790672346),
        (
            "--dim 30 --spectrum uniform:0.1,1 --mean0 3 --steps 50",
            0.3866421402649,
            0.3866421402649,
        ),
    ] {
        for (schedule, known) in [("optimal", rates), ("optimal-momentum", momenta)] {
            let found = nqm(&format!("{setting} --cool 0 --schedule {schedule}")).unwrap();
            let ratio = found.excess_loss / known;
            assert!((ratio - 1.0).abs() < 1e-8, "{setting} {schedule}: {ratio}");
            assert_eq!(found.stationary, Some(true), "{setting} {schedule}");
            assert!(found.momenta.iter().all(|momentum| (0.0..1.0).contains(momentum)));
        }
    }
}

/// A thousand curvatures 1/i, evenly spaced on a log scale, and without noise; 250 steps.
#[test]
fn a_thousand_directions_have_the_optima_that_are_known() {
    for (setting, known) in
        [("--noise inverse", 0.9560599596924), ("--spectrum geometric:1e-3,1", 2.371820935505)]
    {
        for schedule in ["optimal", "optimal-momentum"] {
            let found = nqm(&format!("{setting} --cool 0 --schedule {schedule}")).unwrap();
            assert!((found.excess_loss / known - 1.0).abs() < 1e-6, "{}", found.excess_loss);
            assert_eq!(found.stationary, Some(true), "{setting} {schedule}");
            assert!(found.iterations.unwrap() < 3500, "{:?}", found.iterations);
        }
    }
    let excess = |schedule| {
        excess(&format!("--spectrum geometric:1e-3,1 --noise none --cool 0 --schedule {schedule}"))
    };
    let gradient = excess("greedy-momentum");
    assert!(excess("optimal-momentum") < 3.0 * gradient, "conjugate gradient's is {gradient}");
}

/// Without noise momenta below one lead where conjugate gradient's do, whatever those are: on a
/// hundred curvatures 1/i they are as large as 4.5.
#[test]
fn without_noise_bounded_momenta_end_where_conjugate_gradient_does() {
    for (setting, conjugate_gradient) in [
        ("--dim 20 --spectrum uniform:0.2,2 --steps 6", 2.4174955124e-3),
        ("--dim 50 --steps 15", 5.1626979358e-8),
        ("--dim 100 --steps 20", 8.2569114734e-8),
    ] {
        let words = format!("{setting} --noise none --cool 0 --schedule optimal-momentum");
        let ratio = excess(&words) / conjugate_gradient;
        assert!((ratio - 1.0).abs() < 1e-3, "{setting}: {ratio}");
    }
}

/// A search that ends at its budget says so; two directions and many steps once took 98 s.
#[test]
fn a_search_has_a_budget_and_says_how_it_ended() {
    let folder = tempfile::tempdir().unwrap();
    let two = file(folder.path(), "two.csv", "curvature,noise_variance\n1,1\n0.5,2\n");
    let found = nqm(&format!("--spectrum file:{two} --schedule optimal-momentum")).unwrap();
    assert!((found.excess_loss / 4.343127342283e-3 - 1.0).abs() < 1e-8);
    assert_eq!(found.stationary, Some(true));
    let hard = "--dim 10 --spectrum geometric:1e-3,1 --noise constant:0.001";
    for setting in [hard, "--dim 3 --steps 500 --noise constant:0.01"] {
        let found = nqm(&format!("{setting} --schedule optimal-momentum")).unwrap();
        assert!(found.iterations.unwrap() < 15_000, "{setting}: {:?}", found.iterations);
    }
}

/// Little noise, many steps: the landscape's worst. The end is lower than greedy by far.
#[test]
fn ill_conditioned_problems_end_in_an_optimum() {
    for (setting, share) in [
        ("--dim 60 --steps 30 --noise constant:0.01", 0.2),
        ("--dim 50 --steps 15 --noise none", 1e-3),
        ("--dim 40 --steps 20 --spectrum geometric:1e-3,1 --noise constant:0.001", 0.3),
    ] {
        for schedule in ["optimal", "optimal-momentum"] {
            let found = nqm(&format!("{setting} --schedule {schedule}")).unwrap();
            let greedy = excess(&format!("{setting} --schedule greedy"));
            let found = found.excess_loss / greedy;
            assert!(found < share, "{setting} {schedule}: {found} of greedy");
        }
    }
}

#[test]
fn losses_are_taken_apart_by_direction_and_by_noise() {
    let run = nqm("--dim 30 --steps 20 --schedule decay:0.9,10,1 --momentum 0.5 --cool 4").unwrap();
    assert_eq!((run.losses.len(), run.cooled_losses.len()), (21, 21));
    assert_eq!(run.bands.iter().map(|band| band.directions).collect::<Vec<_>>(), [3, 6, 21]);
    for step in 0..=20 {
        let parts = run.bands.iter().map(|band| band.losses[step] * band.directions as f64);
        let total = myopia_core::sum::sum(parts);
        let excess = run.excess.losses[step];
        assert!((total / excess - 1.0).abs() < 1e-13, "step {step}: {total} {excess}");
        assert!(run.excess.cooled[step] <= excess);
        assert!(run.excess.noiseless[step] <= excess);
    }
    assert_eq!(run.excess.noiseless[0], run.excess.losses[0], "there was no noise yet");
    // Cooling is what the greedy schedule does.
    let greedy = nqm("--dim 30 --steps 4 --schedule greedy").unwrap();
    assert_eq!(run.excess.cooled[0].to_bits(), greedy.excess_loss.to_bits());
}

#[test]
fn a_run_as_json_has_the_promised_keys() {
    let keys = |schedule: &str| {
        let run = nqm(&format!("--dim 5 --steps 3 --schedule {schedule}")).unwrap();
        let value = serde_json::to_value(run).unwrap();
        value.as_object().unwrap().keys().cloned().collect::<Vec<_>>()
    };
    let always = ["excess_loss", "loss", "losses", "learning_rates", "momenta"];
    assert!(always.iter().all(|key| keys("greedy").iter().any(|k| k == key)));
    let search = ["gradient_norm", "iterations"];
    for schedule in ["optimal", "optimal-momentum", "replan:2"] {
        assert!(search.iter().all(|key| keys(schedule).iter().any(|k| k == key)), "{schedule}");
    }
    assert!(!keys("greedy").iter().any(|key| key == "gradient_norm"));
}

/// Without noise and momentum the best rates are the inverse Ritz values, and reach conjugate
/// gradient's loss.
#[test]
fn without_noise_the_optimum_is_that_of_conjugate_gradient() {
    let setting = "--dim 20 --spectrum uniform:0.2,2 --noise none --steps 6";
    let ratio = excess(&format!("{setting} --schedule optimal"))
        / excess(&format!("{setting} --schedule greedy-momentum"));
    assert!((ratio - 1.0).abs() < 1e-6, "{ratio}");
}

#[test]
fn replanning_leads_from_greedy_to_optimal() {
    let report =
        |schedule: &str| nqm(&format!("--dim 30 --steps 8 --schedule {schedule}")).unwrap();
    assert_eq!(report("replan:1").learning_rates, report("greedy").learning_rates);
    for whole in ["replan:8", "replan:100"] {
        assert_eq!(report(whole).learning_rates, report("optimal").learning_rates);
    }
    let losses: Vec<f64> =
        [1, 2, 4, 8].map(|h| report(&format!("replan:{h}")).excess_loss).to_vec();
    assert!(losses.windows(2).all(|pair| pair[1] < pair[0]), "{losses:?}");
}

/// Judges that prefer the same leave the plan as it is, others change it, and one that sees more of
/// what is to come makes a better one.
#[test]
fn look_aheads_are_judged_as_asked() {
    let report = |judge: &str| {
        nqm(&format!("--dim 30 --steps 40 --schedule replan:5 --judge {judge}")).unwrap()
    };
    let plain = report("plain");
    for same in ["cooldown:0", "average:0", "next-batch"] {
        assert_eq!(report(same).learning_rates, plain.learning_rates, "{same}");
    }
    assert!(report("cooldown:20").excess_loss < 0.95 * plain.excess_loss);
    // It is paid for following its own noise.
    assert!(report("same-batch").excess_loss > 1.05 * plain.excess_loss);
    let tuned = |judge: &str| excess(&format!("--dim 30 --schedule tuned:5 --judge {judge}"));
    assert_eq!(tuned("plain"), tuned("next-batch"));
    assert!(tuned("plain") != tuned("cooldown:9") && tuned("plain") != tuned("average:0.5"));
    for (words, refusal) in [
        ("--schedule greedy --judge same-batch", "greedy does not look ahead; name replan:H or"),
        ("--schedule optimal --judge cooldown:3", "--judge cooldown:3: optimal does not look"),
    ] {
        assert!(sentence(words).contains(refusal), "{}", sentence(words));
    }
}

fn sentence(words: &str) -> String {
    nqm(words).unwrap_err().to_string()
}

fn file(folder: &Path, name: &str, text: &str) -> String {
    let path = folder.join(name);
    fs::write(&path, text).unwrap();
    path.display().to_string()
}

#[test]
fn wrong_spectra_are_named_with_their_line() {
    let folder = tempfile::tempdir().unwrap();
    let table = |rows: &str| {
        let path =
            file(folder.path(), "spectrum.csv", &format!("curvature,noise_variance\n{rows}"));
        sentence(&format!("--schedule greedy --spectrum file:{path}"))
    };
    assert!(table("1,1\n-2,1\n").contains("line 3: the curvature must be zero or a positive"));
    assert!(table("1,1\n2,nan\n").contains("line 3: the noise_variance is \"nan\""));
    assert!(table("1,1\n1,1\n2\n").contains("line 4: 1 values where the header has 2"));
    assert!(table("").contains("has no directions"));
    assert!(table("1,1\n\0").contains("not text, it has a zero byte"));
    assert!(sentence("--schedule greedy --dim 0").contains("--dim is 0"));
    assert!(sentence("--schedule greedy --steps 0").contains("--steps is 0"));
    assert!(sentence("--schedule replan:0").contains("at least 1"));
    assert!(sentence("--schedule greedy --momentum 1").contains("--momentum is 1; give a number"));
    assert!(sentence("--schedule greedy --momentum -0.1").contains("--momentum is -0.1"));
    // Ten million steps ahead a Hessian has 10¹⁴ entries.
    for policy in ["optimal", "optimal-momentum", "replan:10000000"] {
        let refused = sentence(&format!("--dim 3 --steps 10000000 --schedule {policy}"));
        assert!(refused.contains("GiB are free; look fewer steps ahead"), "{refused}");
    }
    // 2³² + 10 is not ten.
    assert!(sentence("--schedule tuned:4294967306").contains("at most 10000000"));
    assert!(sentence("--schedule constant:0.1 --steps 4294967306").contains("at most 10000000"));
    assert!(sentence("--schedule greedy --dim 4294967306").contains("at most 100000000"));
    assert!(sentence("--schedule greedy --noise constant:1e308 --dim 50").contains("noise"));
}

#[test]
fn a_schedule_file_shorter_than_the_horizon_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = file(folder.path(), "schedule.csv", "learning_rate,momentum\n0.1,0.9\n0.05,0.9\n");
    assert_eq!(nqm(&format!("--schedule file:{path}")).unwrap().losses.len(), 3);
    let refused = sentence(&format!("--schedule file:{path} --steps 3"));
    assert!(refused.contains("--steps is 3 but") && refused.contains("has 2 steps"), "{refused}");
    let path = file(folder.path(), "empty.csv", "learning_rate,momentum\n");
    assert!(sentence(&format!("--schedule file:{path}")).contains("no steps"));
    let path = file(folder.path(), "wrong.csv", "learning_rate,momentum\n0.1,0.9\ninf,0.9\n");
    assert!(sentence(&format!("--schedule file:{path}")).contains("line 3: the learning_rate is"));
}

#[test]
fn wrong_requests_for_meta_descent_are_refused() {
    for (words, says) in [
        ("--horizons 10,0", "--horizons has a 0"),
        ("--steps 0", "--steps is 0"),
        ("--learn damping", "give a positive --damping"),
        ("--alpha0 -1", "alpha0 must be a positive finite number"),
        ("--meta-lr nan", "--meta-lr is NaN"),
        ("--meta-lr 1e30", "--meta-lr 1e30 is above 10"),
        ("--alpha0 1e9", "--alpha0 is 1000000000.0; what is learned starts from 1e-8 to 1"),
        ("--time-constant 0.5", "--time-constant is 0.5; what is learned starts from 1.0 to 1"),
        ("--beta 0", "--beta is 0.0; what is learned starts from 0.0001 to 1000.0"),
        ("--learn damping --damping 1e13", "--damping is 10000000000000.0; what is learned"),
        ("--momentum 1.5", "--momentum is 1.5"),
        ("--power nan", "power must be a finite number"),
        ("--damping -0.1", "damping must be zero or a positive"),
        ("--spectrum geometric:1e-200,1 --power 2 --noise none", "overflows"),
        ("--learn rho", "this training has no rho; choose an optimiser that has it"),
        ("--optimizer adam --tune rho", "this training has no rho"),
        ("--optimizer adam --momentum 0.5", "--momentum is none of adam, which has --beta1"),
        ("--optimizer rmsprop --epsilon 1e13 --tune epsilon", "--epsilon is 10000000000000.0"),
        ("--optimizer rmsprop --power 0.5", "rmsprop has its own; leave one out"),
        ("--optimizer rmsprop --damping 0.5", "rmsprop has --epsilon"),
        ("--optimizer rmsprop --beta2 0.5", "--beta2 is an option of adam"),
        ("--epsilon 0.1", "--epsilon is an option of rmsprop and adam"),
        ("--optimizer adam --beta1 1", "--beta1 1.0 must be a finite number from 0 up to"),
    ] {
        let refused = tuned(&format!("--dim 3 --meta-steps 1 {words}")).unwrap_err().to_string();
        assert!(refused.contains(says), "{words}: {refused}");
    }
}

/// Each horizon tunes what an optimiser in mean field has, lower than where it starts; on a horizon
/// of its own nothing is lower.
#[test]
fn what_an_optimiser_has_is_tuned_at_each_horizon() {
    for (options, names) in [
        ("--optimizer rmsprop --epsilon 0.1 --tune alpha0,epsilon,rho", &["epsilon", "rho"][..]),
        (
            "--optimizer adam --epsilon 0.1 --tune epsilon,beta1,beta2",
            &["beta1", "beta2", "epsilon"],
        ),
        ("--optimizer kfac --damping 1 --momentum 0.5 --tune damping,momentum", &["momentum"]),
        ("--momentum 0.5 --tune alpha0,momentum", &["momentum"]),
    ] {
        let words =
            format!("--dim 30 --beta 0 --alpha0 0.1 --meta-steps 20 --horizons 5,40 {options}");
        let found = tuned(&words).unwrap();
        for choice in &found {
            assert_eq!(choice.others.keys().copied().collect::<Vec<_>>(), names, "{options}");
            let first = choice.trajectory[0].excess_loss;
            assert!(choice.excess_at_horizon < first, "{options}, horizon {}", choice.horizon);
        }
        let long = &found[1];
        assert!((long.excess_loss / long.excess_at_horizon - 1.0).abs() < 1e-13, "{options}");
        assert!(found[0].excess_loss > long.excess_loss, "{options}");
        let moved = |choice: &meta::Choice| choice.others.values().map(|x| x.to_bits()).collect();
        let [short, long]: [Vec<u64>; 2] = [moved(&found[0]), moved(long)];
        assert!(short.iter().zip(&long).all(|(short, long)| short != long), "{options}");
    }
}

/// The table in `nqm::tuning`.
#[test]
fn each_preconditioner_shows_the_bias_in_its_own_direction() {
    type Read = fn(&meta::Choice) -> f64;
    let (alpha0, damping): (Read, Read) = (|choice| choice.alpha0, |choice| choice.damping);
    for (options, read, chosen, worth) in [
        ("--learn alpha0", alpha0, [0.576, 0.383, 0.226, 0.0779], [0.835, 0.147]),
        ("--learn alpha0 --power 0.5", alpha0, [0.354, 0.172, 0.0594, 0.0136], [1.73, 0.0811]),
        ("--learn alpha0 --power 1", alpha0, [0.0493, 0.0399, 0.0146, 0.00265], [1.26, 0.0789]),
        (
            "--learn damping --power 1 --alpha0 1 --damping 1",
            damping,
            [1.00, 2.00, 4.00, 12.6],
            [1.14, 0.144],
        ),
        (
            "--learn damping --power 0.5 --alpha0 1 --damping 1",
            damping,
            [0.867, 1.82, 3.82, 12.4],
            [1.12, 0.144],
        ),
        (
            "--learn alpha0,damping --power 1 --alpha0 0.1 --damping 1 --meta-steps 400",
            damping,
            [1.00, 0.199, 0.0338, 0.0111],
            [1.14, 0.0707],
        ),
    ] {
        let words = format!("--dim 100 --beta 0 --horizons 1,10,100,1000 {options}");
        let found = tuned(&words).unwrap();
        let near = |found: f64, told: f64| (found / told - 1.0).abs() < 6e-3;
        for (choice, told) in found.iter().zip(chosen) {
            let found = read(choice);
            assert!(near(found, told), "{options}, horizon {}: {found}", choice.horizon);
        }
        let ends = [found[0].excess_loss, found[3].excess_loss];
        assert!(ends.iter().zip(worth).all(|(f, t)| near(*f, t)), "{options}: {ends:?}");
    }
}

#[test]
fn replanning_with_momenta_leads_from_greedy_to_optimal() {
    let setting = "--dim 10 --steps 4";
    let found = nqm(&format!("{setting} --schedule optimal-momentum")).unwrap();
    let whole = nqm(&format!("{setting} --schedule replan-momentum:4")).unwrap();
    assert_eq!(whole.momenta, found.momenta);
    let one = nqm(&format!("{setting} --schedule replan-momentum:1")).unwrap();
    let greedy = nqm(&format!("{setting} --schedule greedy-momentum")).unwrap();
    assert_eq!(one.momenta, greedy.momenta);
}
