//! The experiments against their golden reports, and the command that mints new ones.

use std::fmt::Write;
use std::{env, fs};

use myopia_core::experiments::{Experiment, Full, Record, Reduced, Report, experiments};

static GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/experiments/golden.rs");

fn run(experiment: &Experiment, workspace: &mut Full) -> (Vec<Record>, Report) {
    let mut records = Vec::new();
    let report = experiment.run(workspace, |record| records.push(*record));
    (records, report.unwrap_or_else(|failed| panic!("{}: {failed}", experiment.name)))
}

/// With `MYOPIA_MINT="Why."` it writes the golden reports anew instead.
#[test]
fn every_experiment_gives_its_golden_report() {
    let mut workspace = Box::new(Full::new());
    if let Ok(reason) = env::var("MYOPIA_MINT") {
        fs::write(GOLDEN, minted(&reason, &mut workspace)).unwrap();
        return;
    }
    for experiment in experiments::<Full>() {
        let (_, report) = run(experiment, &mut workspace);
        assert_eq!(report, experiment.golden, "{}: see core/src/experiments", experiment.name);
    }
}

fn minted(reason: &str, workspace: &mut Full) -> String {
    assert!(
        reason.contains(' ') && reason.ends_with('.') && !reason.contains('\n'),
        "MYOPIA_MINT must be one sentence that says why the golden reports change, with its full stop"
    );
    let mut text = format!(
        "//! The golden reports, written by the command that `mod.rs` names. Why they last changed:\n//! {reason}\n\nuse super::report::Report;\n"
    );
    for experiment in experiments::<Full>() {
        let (_, report) = run(experiment, workspace);
        let name = experiment.name.to_uppercase().replace('-', "_");
        let Report { values, tangents, loss, derivatives: [alpha0, time_constant, beta] } = report;
        write!(
            text,
            "\npub const {name}: Report = Report {{\n    values: {values:#018x},\n    tangents: {tangents:#018x},\n    loss: {loss:#018x},\n    derivatives: [{alpha0:#018x}, {time_constant:#018x}, {beta:#018x}],\n}};\n"
        )
        .unwrap();
    }
    text
}

#[test]
fn a_second_run_in_a_used_workspace_gives_the_same_records() {
    let mut workspace = Box::new(Full::new());
    for experiment in experiments::<Full>() {
        let first = run(experiment, &mut workspace);
        assert_eq!(run(experiment, &mut workspace), first, "{}", experiment.name);
        let settings = experiment.settings;
        let steps =
            if settings.meta_steps == 0 { settings.horizon } else { settings.meta_steps + 1 };
        assert!(first.0.iter().map(|record| record.step).eq(0..steps), "{}", experiment.name);
    }
}

#[test]
fn the_reduced_set_gives_the_same_reports_in_its_own_workspace() {
    let mut workspace = Box::new(Reduced::new());
    let mut count = 0;
    for experiment in experiments::<Reduced>() {
        assert_eq!(experiment.run(&mut *workspace, |_| {}), Ok(experiment.golden));
        count += 1;
    }
    assert_eq!(count, 4);
}

/// The quadratics and the meta-descents end below their first loss; training, whose records are of
/// single batches, ends below the loss of guessing, ln 10.
#[test]
fn the_experiments_learn() {
    let mut workspace = Box::new(Full::new());
    for experiment in experiments::<Full>() {
        let (records, report) = run(experiment, &mut workspace);
        let loss = |bits: u64| match experiment.name {
            "nqm-moments-f64" | "nqm-meta-descent" => f64::from_bits(bits),
            _ => f64::from(f32::from_bits(bits as u32)),
        };
        let first = if experiment.name == "mlp-training" { 2.302 } else { loss(records[0].loss) };
        let last = loss(report.loss);
        assert!(last < 0.98 * first, "{}: from {first} to {last}", experiment.name);
    }
}
