use std::fs;
use std::path::Path;

use clap::Parser;

use super::{One, meta};
use crate::failure::Failure;
use crate::nqm::run::Run;

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
    let setting = "--dim 20 --steps 5";
    let both = excess(&format!("{setting} --schedule optimal-momentum"));
    assert!(both < excess(&format!("{setting} --schedule greedy-momentum")));
    assert!(both < excess(&format!("{setting} --schedule optimal")));
}

/// Without noise and momentum the best rates are the inverse Ritz values, and reach conjugate gradient's loss.
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
    assert!(sentence("--schedule greedy --dim 0").contains("--dim is 0"));
    assert!(sentence("--schedule greedy --steps 0").contains("--steps is 0"));
    assert!(sentence("--schedule replan:0").contains("at least 1"));
}

#[test]
fn a_schedule_file_shorter_than_the_horizon_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = file(folder.path(), "schedule.csv", "learning_rate,momentum\n0.1,0.9\n0.05,0.9\n");
    assert_eq!(nqm(&format!("--schedule file:{path}")).unwrap().losses.len(), 3);
    let refused = sentence(&format!("--schedule file:{path} --steps 3"));
    assert!(refused.contains("--steps is 3 but") && refused.contains("has 2 steps"), "{refused}");
    let path = file(folder.path(), "wrong.csv", "learning_rate,momentum\n0.1,0.9\ninf,0.9\n");
    assert!(sentence(&format!("--schedule file:{path}")).contains("line 3: the learning_rate is"));
}
