//! `myopia meta --every-entry` and `myopia train --schedule`, run as their users run them.

mod shared;

use std::fs;
use std::path::Path;

use serde_json::Value;
use shared::{contents, names, program, refuses_in_a_sentence, run, succeeds};

const RUN: &str = "--layers 64,17,10 --batch 20 --alpha0 0.02 --objective-size 150";

/// What the command prints as JSON with its files in `out`.
fn meta(flags: &str, out: &Path) -> Value {
    let line = format!("meta --every-entry {RUN} --quiet --json {flags}");
    serde_json::from_str(&succeeds(program(&line).arg("--out").arg(out))).unwrap()
}

/// The numbers of a column.
fn column(path: &Path, name: &str) -> Vec<f64> {
    let text = fs::read_to_string(path).unwrap();
    let mut lines = text.lines();
    let place = lines.next().unwrap().split(',').position(|header| header == name).unwrap();
    lines.map(|line| line.split(',').nth(place).unwrap().parse().unwrap()).collect()
}

#[test]
fn every_entry_is_tuned_and_train_takes_the_schedule() {
    let root = tempfile::tempdir().unwrap();
    let out = root.path().join("out");
    let report = meta("--horizon 23 --meta-steps 15", &out);
    let written =
        ["entries.csv", "entries.png", "entries.svg", "formula.csv", "meta.json", "schedule.csv"];
    assert_eq!(names(&out), [&written[..], &["trajectory.csv"]].concat());
    let loss = |which: &str| report[which]["loss"].as_f64().unwrap();
    assert!(loss("best") < 0.975 * loss("first"), "{report}");
    let rates = column(&out.join("schedule.csv"), "learning_rate");
    assert_eq!(rates.len(), 23);
    assert!(rates.windows(2).all(|pair| pair[0] != pair[1]), "{rates:?}");
    assert_eq!(column(&out.join("trajectory.csv"), "loss").len(), 16);
    assert!(report["exponent"].is_f64() && report["formula_correlation"].is_f64(), "{report}");
    // The last rate of the formula is zero.
    assert_eq!(column(&out.join("formula.csv"), "learning_rate").last(), Some(&0.0));
    let file = format!("--schedule file:{}", out.join("schedule.csv").display());
    let flags = RUN.replace("--alpha0 0.02 ", "");
    let trained = succeeds(&mut program(&format!("train {file} {flags} --quiet --json")));
    let trained: Value = serde_json::from_str(&trained).unwrap();
    assert_eq!(trained["steps"], 23);
    assert_eq!(trained["judged"]["loss"].as_f64(), report["best"]["loss"].as_f64());
    // Stretched to three times its length, each rate is taken three times.
    let long = root.path().join("long");
    let line = format!("train {file} {flags} --stretch --steps 69 --quiet");
    succeeds(program(&line).arg("--out").arg(&long));
    let stretched = column(&long.join("training.csv"), "learning_rate");
    let thrice: Vec<f64> = rates.iter().flat_map(|rate| [f64::from(*rate as f32); 3]).collect();
    assert_eq!(stretched, thrice);
}

/// The first look's derivatives, one window over all steps, are those of `hypergrad` by α₀ and by
/// momentum at a constant rate; those of shorter windows add up to them.
#[test]
fn derivatives_are_those_of_forward_mode() {
    let root = tempfile::tempdir().unwrap();
    let constant = format!("{RUN} --horizon 20 --beta 0 --precision f64 --quiet --json");
    let line = format!("hypergrad {constant} --tune alpha0,momentum");
    let forward: Value = serde_json::from_str(&succeeds(&mut program(&line))).unwrap();
    for window in [20, 7, 1] {
        let out = root.path().join(window.to_string());
        let line = format!(
            "meta --every-entry --every-momentum --meta-steps 0 --window {window} {constant}"
        );
        succeeds(program(&line).arg("--out").arg(&out));
        for (name, column_name) in [("alpha0", "d_learning_rate"), ("momentum", "d_momentum")] {
            let found = column(&out.join("entries.csv"), column_name);
            assert_eq!(found.len(), 20usize.div_ceil(window), "{name}");
            let found = found.iter().fold(0.0, |sum, x| sum + x);
            let expected = forward["derivatives"][name].as_f64().unwrap();
            assert!((found - expected).abs() < 1e-9 * expected.abs(), "{found}, {expected}");
        }
    }
}

/// Each run of a comparison is that of `train`; with `--training-size` all are on the first
/// examples alone.
#[test]
fn schedules_are_compared_as_train_trains() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("short.csv");
    fs::write(&path, "learning_rate,momentum\n0.1,0.9\n0.05,0.5\n").unwrap();
    let network =
        "--layers 64,9,10 --batch 20 --training-size 100 --objective train --quiet --json";
    let out = root.path().join("out");
    let line = format!(
        "compare file:{} decay:0.1,20,1 {network} --steps 30 --stretch --seeds 2",
        path.display()
    );
    let report = succeeds(program(&line).arg("--out").arg(&out));
    let report: Value = serde_json::from_str(&report).unwrap();
    assert_eq!(names(&out), ["compare.csv", "compare.json", "compare.png", "compare.svg"]);
    let table = fs::read_to_string(out.join("compare.csv")).unwrap();
    // From the end: a name may have commas.
    let column = |place: usize| -> Vec<String> {
        let fields = table.lines().skip(1).map(|line| line.rsplit(',').nth(place));
        fields.map(|field| field.unwrap().to_owned()).collect()
    };
    let digests = column(0);
    let file = format!("--schedule file:{} --stretch", path.display());
    let schedules = [file.as_str(), "--alpha0 0.1 --time-constant 20 --beta 1"];
    let mut losses = Vec::new();
    for (place, digest) in digests.iter().enumerate() {
        let seed = 1 + place % 2;
        let line = format!("train {} {network} --steps 30 --seed {seed}", schedules[place / 2]);
        let trained: Value = serde_json::from_str(&succeeds(&mut program(&line))).unwrap();
        assert_eq!(trained["digest"].as_str(), Some(digest.as_str()), "{line}");
        losses.push(trained["judged"]["loss"].as_f64().unwrap());
    }
    assert_eq!(digests.len(), 4);
    let written = column(6).into_iter().map(|loss| loss.parse().unwrap());
    assert_eq!(written.collect::<Vec<f64>>(), losses);
    let spread = &report["summary"][1];
    assert_eq!(spread["schedule"], "decay:0.1,20,1");
    let median = (losses[2] + losses[3]) / 2.0;
    assert_eq!(spread["training_loss"][1].as_f64(), Some(median));
    // More examples are another training.
    let other = line.replace("--training-size 100 ", "");
    let other: Value = serde_json::from_str(&succeeds(&mut program(&other))).unwrap();
    assert_ne!(other["data_digest"], report["data_digest"]);
}

/// By layer, the first look's derivatives add up to those of one rate for all; what is tuned is
/// written with a column for each layer, and `train` takes it.
#[test]
fn layers_have_rates_of_their_own() {
    let root = tempfile::tempdir().unwrap();
    let flags = "--horizon 20 --window 4 --meta-steps 25 --precision f64";
    let [one, each] = ["", "--by-layer"].map(|by_layer| {
        let out = root.path().join(format!("out{by_layer}"));
        (meta(&format!("{flags} {by_layer}"), &out), out)
    });
    assert_eq!(each.0["first"]["loss"], one.0["first"]["loss"]);
    let losses = |(report, _): &(Value, _)| {
        ["first", "best"].map(|which| report[which]["loss"].as_f64().unwrap())
    };
    let [first, best] = losses(&each);
    assert!(best < 0.975 * first, "{}", each.0);
    assert_eq!((&each.0["by_layer"], &one.0["by_layer"]), (&Value::Bool(true), &Value::Null));
    assert_eq!(each.0["formula_correlation"], Value::Null);
    let schedule = each.1.join("schedule.csv");
    let rates = ["learning_rate_1", "learning_rate_2"].map(|name| column(&schedule, name));
    assert!(rates[0].len() == 20 && rates[0].iter().zip(&rates[1]).all(|(a, b)| a != b));
    assert!(rates.iter().all(|rates| rates[0] == rates[3] && rates[3] != rates[4]), "{rates:?}");
    assert!(!names(&each.1).contains(&"formula.csv".to_owned()));
    // At the first look nothing has moved yet.
    let at_first = |by_layer: &str, names: &[&str]| {
        let out = root.path().join(format!("first{by_layer}"));
        meta(&format!("{flags} --meta-steps 0 {by_layer}").replace("--meta-steps 25 ", ""), &out);
        let columns = names.iter().map(|name| column(&out.join("entries.csv"), name));
        columns.collect::<Vec<_>>()
    };
    let all = at_first("", &["d_learning_rate"]);
    let layers = at_first("--by-layer", &["d_learning_rate_1", "d_learning_rate_2"]);
    for (window, all) in all[0].iter().enumerate() {
        let (sum, size) = (layers[0][window] + layers[1][window], layers[0][window].abs());
        assert!((sum - all).abs() < 1e-10 * size, "{window}: {sum}, {all}");
    }
    let file = format!("--schedule file:{}", schedule.display());
    let network = RUN.replace("--alpha0 0.02 ", "");
    let out = root.path().join("trained");
    let line = format!("train {file} {network} --precision f64 --quiet --json");
    let trained = succeeds(program(&line).arg("--out").arg(&out));
    let trained: Value = serde_json::from_str(&trained).unwrap();
    assert_eq!(trained["judged"]["loss"].as_f64(), Some(best));
    assert_eq!(column(&out.join("training.csv"), "learning_rate_2"), rates[1]);
    let deeper = format!("train {file} --layers 64,5,5,10 --quiet");
    let says = "the schedule has rates for 2 layers and the network has 3";
    refuses_in_a_sentence(&mut program(&deeper), 2, &[says]);
    let nqm = format!("nqm --schedule file:{} --quiet", schedule.display());
    refuses_in_a_sentence(&mut program(&nqm), 1, &["\"learning_rate_1\" is not known"]);
}

#[test]
fn lbfgs_goes_lower_than_where_it_began_and_ends_by_itself() {
    let root = tempfile::tempdir().unwrap();
    let flags = "--lbfgs --horizon 12 --window 3 --meta-steps 300 --precision f64";
    let report = meta(flags, &root.path().join("out"));
    let loss = |which: &str| report[which]["loss"].as_f64().unwrap();
    assert!(loss("best") < 0.975 * loss("first"), "{report}");
    assert!(report["last"]["meta_step"].as_u64().unwrap() < 300, "{report}");
}

#[test]
fn neither_memory_threads_nor_instruction_set_enter_a_bit() {
    let root = tempfile::tempdir().unwrap();
    for (study, flags) in [
        "--every-momentum --window 2 --fresh --seeds 3 --horizon 20 --meta-steps 4",
        "--lbfgs --horizon 20 --window 4 --seeds 2 --meta-steps 12",
        "--by-layer --window 3 --horizon 20 --meta-steps 5",
    ]
    .into_iter()
    .enumerate()
    {
        let first = root.path().join(format!("first-{study}"));
        meta(flags, &first);
        let mut compared = 0;
        for (number, other) in [
            "--isa baseline",
            "--isa avx2",
            "--isa avx512",
            "--threads 1",
            "--threads 2",
            "--threads 3",
            "--threads 8",
            "--memory 700KiB",
        ]
        .into_iter()
        .enumerate()
        {
            let out = root.path().join(format!("{study}-{number}"));
            let line = format!("meta --every-entry {RUN} --quiet {flags} {other}");
            let (code, _, stderr) = run(program(&line).arg("--out").arg(&out));
            if code != Some(0) {
                assert!(stderr.contains("not among this processor's"), "{other}: {stderr}");
                continue;
            }
            // The record of files names the command.
            let files = |out: &Path| {
                let files = contents(out).into_iter();
                files.filter(|(name, _)| !name.starts_with('.')).collect::<Vec<_>>()
            };
            let (found, expected) = (files(&out), files(&first));
            assert_eq!(found.len(), expected.len());
            for ((name, found), (_, expected)) in found.iter().zip(&expected) {
                assert!(found == expected, "{name}: {flags} {other}");
            }
            compared += 1;
        }
        assert!(compared > 5, "{compared} compared");
    }
}

#[test]
fn fresh_batches_are_others_and_the_last_schedule_is_kept() {
    let root = tempfile::tempdir().unwrap();
    let flags = "--horizon 9 --meta-steps 1 --meta-lr 1e-9";
    let [fresh, same] = ["--fresh", ""].map(|fresh| {
        let out = root.path().join(format!("out{fresh}"));
        meta(&format!("{flags} {fresh}"), &out);
        column(&out.join("trajectory.csv"), "loss")
    });
    assert!((same[0] - same[1]).abs() < 1e-3, "{same:?}");
    assert!(fresh[0] == same[0] && (fresh[1] - fresh[0]).abs() > 1e-3, "{fresh:?}");
}

/// The exponent of a run is told by all, and above zero they warn.
#[test]
fn a_run_past_the_edge_of_chaos_is_told() {
    let network = "--layers 64,17,10 --batch 20 --objective-size 150 --horizon 20";
    for (alpha0, is_past) in [(0.001, false), (2.0, true)] {
        for command in ["hypergrad", "hypergrad --mode reverse", "meta --meta-steps 0 --fix beta"] {
            let line = format!("{command} {network} --alpha0 {alpha0} --json");
            let (code, stdout, stderr) = run(&mut program(&line));
            assert_eq!(code, Some(0), "{line}: {stderr}");
            let found: Value = serde_json::from_str(&stdout).unwrap();
            let exponent = found["exponent"].as_f64().unwrap();
            assert_eq!(exponent > 0.0, is_past, "{line}: {exponent}");
            let warned = stderr.contains("per step, above zero: derivatives may not foretell");
            assert_eq!(warned, is_past, "{line}: {stderr}");
        }
        let line = format!(
            "horizons {} --horizon 20 --meta-steps 0 --steps 2 --from {alpha0},5000,1",
            network.replace("--horizon 20", "")
        );
        let (code, _, stderr) = run(&mut program(&line));
        assert_eq!(code, Some(0), "{line}: {stderr}");
        assert_eq!(stderr.contains("schedule of T = 20 is"), is_past, "{line}: {stderr}");
    }
    let without = format!("hypergrad {network} --alpha0 2 --no-exponent --json");
    let (_, stdout, stderr) = run(&mut program(&without));
    assert!(!stdout.contains("exponent") && !stderr.contains("exponent"), "{stdout}{stderr}");
}

#[test]
fn what_cannot_be_is_refused_in_a_sentence() {
    let refused = |line: &str, words: &str| {
        refuses_in_a_sentence(&mut program(&format!("{line} --quiet")), 2, &[words]);
    };
    let meta = "meta --every-entry";
    refused(&format!("{meta} --horizon 0"), "--horizon 0 leaves no step to tune");
    refused(&format!("{meta} --window 0"), "--window 0 must be between 1 and 100");
    refused(&format!("{meta} --window 101"), "--window 101 must be between 1 and 100");
    refused(&format!("{meta} --tune alpha0"), "leave out --tune and --fix");
    refused(&format!("{meta} --lbfgs --fresh"), "leave out one of them");
    for chosen in ["--clip 0.3", "--meta-lr 0.3", "--outer momentum"] {
        let name = chosen.split(' ').next().unwrap();
        let words = format!("--lbfgs chooses its own steps; leave out {name}");
        refused(&format!("{meta} --lbfgs {chosen}"), &words);
    }
    refused(&format!("{meta} --alpha0 20"), "--alpha0 is");
    refused(&format!("{meta} --memory 1KiB"), "give at least that");
    refused(&format!("{meta} --seeds 1000 --memory 10MiB"), "one point of each of 1000 runs with");
    refused(&format!("{meta} --horizon 4000000000 --meta-steps 0"), "of memory and");
    refused(&format!("{meta} --optimizer adam --every-momentum"), "has no momentum");
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("schedule.csv");
    fs::write(&path, "step,learning_rate,momentum\n0,0.1,0.9\n1,0.2,0.9\n").unwrap();
    let file = format!("--schedule file:{}", path.display());
    refused(&format!("train {file} --steps 3"), "has 2 steps; leave --steps away");
    refused(
        &format!("compare {file}").replace("--schedule ", ""),
        "with --stretch it is stretched",
    );
    refused(&format!("compare {0} {0} --steps 2", &file[11..]), "is named twice; name it once");
    refused("compare decay:0.1,1e-40,1", "the time constant K must be");
    refused("compare decay:0.1,9,1 --steps 0", "give at least one step");
    refused("train --training-size 0", "--training-size 0 must be between 1 and 4000");
    refused("train --training-size 4001", "--training-size 4001 must be between 1 and 4000");
    for momentum in ["1", "-0.5", "0.99999999"] {
        fs::write(&path, format!("learning_rate,momentum\n0.1,0.9\n0.2,{momentum}\n")).unwrap();
        refused(&format!("train {file}"), "the schedule's momentum of step 1 is");
    }
    fs::write(&path, "learning_rate,momentum\n1e300,0.9\n").unwrap();
    let diverged = ["training diverged", "lower the rates of --schedule"];
    refuses_in_a_sentence(&mut program(&format!("train {file} --quiet")), 1, &diverged);
    shared::refuses(
        &mut program("train --schedule linear:"),
        2,
        &["give a positive number after linear:"],
    );
    shared::refuses(&mut program(&format!("train {file} --alpha0 1")), 2, &["--alpha0"]);
    shared::refuses(&mut program(&format!("train {file} --stretch")), 2, &["--steps"]);
    shared::refuses(&mut program("meta --window 2"), 2, &["--every-entry"]);
    let diverging = "meta --every-entry --alpha0 9 --horizon 60 --layers 64,10 --quiet --momentum 0.999 --meta-lr 1";
    let (code, _, stderr) = run(&mut program(diverging));
    assert!(code == Some(0) || stderr.contains("training diverged"), "{stderr}");
}
