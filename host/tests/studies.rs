//! `myopia horizons` and `myopia online` as their users meet them.

mod shared;

use std::fs;
use std::path::Path;

use serde_json::Value;
use shared::{contents, names, program, refuses_in_a_sentence as refuses};

const SMALL: &str = "--layers 64,8,10 --batch 10 --objective-size 100 --quiet";

fn run(arguments: &str, out: Option<&Path>) -> (Option<i32>, String, String) {
    let mut command = shared::program(arguments);
    if let Some(out) = out {
        command.arg("--out").arg(out);
    }
    shared::run(&mut command)
}

/// The rows of a CSV file, without its header.
fn rows(folder: &Path, name: &str) -> Vec<Vec<String>> {
    let text = fs::read_to_string(folder.join(name)).unwrap();
    text.lines().skip(1).map(|line| line.split(',').map(str::to_owned).collect()).collect()
}

#[test]
fn a_study_of_horizons_has_its_files_and_any_number_of_threads_writes_the_same() {
    let root = tempfile::tempdir().unwrap();
    let study = format!(
        "horizons --horizon 5,20 --from 0.05,50,1 --from 0.2,10,2 --meta-steps 6,4 --steps 30 --every 10 {SMALL}"
    );
    let (one, five) = (root.path().join("one"), root.path().join("five"));
    let first = run(&format!("{study} --threads 1"), Some(&one));
    assert_eq!((first.0, first.2.as_str()), (Some(0), ""));
    assert_eq!(run(&format!("{study} --threads 5"), Some(&five)), first);
    assert_eq!(contents(&one), contents(&five));

    let names = names(&one);
    assert_eq!(
        names,
        [
            "horizons.csv",
            "horizons.json",
            "plane.png",
            "plane.svg",
            "training.csv",
            "training.png",
            "training.svg",
            "trajectories.csv",
            "trajectories.png",
            "trajectories.svg"
        ]
    );
    let trajectories = rows(&one, "trajectories.csv");
    assert_eq!(trajectories.len(), 2 * 7 + 2 * 5);
    let training = rows(&one, "training.csv");
    assert_eq!(training.len(), 2 * 4, "at steps 0, 10, 20 and 30");
    // The horizon's choice is the lowest objective on its paths, and is what is trained with.
    for choice in rows(&one, "horizons.csv") {
        let own = trajectories.iter().filter(|row| row[0] == choice[0]);
        let losses = own.map(|row| row[6].parse::<f64>().unwrap());
        let lowest = losses.reduce(|a, b| if b < a { b } else { a }).unwrap();
        assert_eq!(choice[6].parse::<f64>().unwrap(), lowest);
        let at_horizon = training.iter().find(|row| row[0] == choice[0] && row[1] == choice[0]);
        if let Some(point) = at_horizon {
            assert_eq!(point[6], choice[6], "training passes through what the look-ahead found");
        }
    }
}

/// Each seed gives what it gives alone; the summary has their medians and ranges.
#[test]
fn seeds_are_studied_side_by_side_and_summarised() {
    let root = tempfile::tempdir().unwrap();
    let study = format!(
        "horizons --horizon 5,20 --from 0.05,50,1 --meta-steps 3 --steps 20 --every 10 {SMALL}"
    );
    let all = root.path().join("all");
    assert_eq!(run(&format!("{study} --seeds 3..5 --threads 1"), Some(&all)).0, Some(0));
    let same = root.path().join("same");
    assert_eq!(run(&format!("{study} --seed 3 --seeds 3 --threads 4"), Some(&same)).0, Some(0));
    // But for the record, which has the words of the command.
    let written = |folder: &Path| -> Vec<_> {
        let mut files = contents(folder);
        files.retain(|(name, _)| name != ".myopia.files");
        files
    };
    assert!(written(&all) == written(&same));
    let mut expected: Vec<[Vec<Vec<String>>; 3]> = Vec::new();
    for seed in 3..=5 {
        let alone = root.path().join(seed.to_string());
        assert_eq!(run(&format!("{study} --seed {seed}"), Some(&alone)).0, Some(0));
        assert!(!alone.join("summary.csv").exists());
        let tables = ["horizons.csv", "trajectories.csv", "training.csv"].map(|name| {
            let of_seed = |row: &Vec<String>| row.first() == Some(&seed.to_string());
            let with = rows(&all, name).into_iter().filter(of_seed);
            let with: Vec<Vec<String>> = with.map(|row| row[1..].to_vec()).collect();
            assert_eq!(with, rows(&alone, name), "{name}, seed {seed}");
            with
        });
        expected.push(tables);
    }
    // In horizons.csv the training loss is the tenth column, in summary.csv the sixteenth.
    for (number, row) in rows(&all, "summary.csv").iter().enumerate() {
        assert_eq!(row[..2], [["5", "20"][number], "3"]);
        let mut losses: Vec<f64> =
            expected.iter().map(|[choices, ..]| choices[number][9].parse().unwrap()).collect();
        losses.sort_by(f64::total_cmp);
        let [median, least, greatest]: [f64; 3] =
            [15, 16, 17].map(|column| row[column].parse().unwrap());
        assert_eq!([least, median, greatest], losses[..]);
        assert!(least < greatest);
    }
    let (code, stdout, _) = run(&format!("{study} --seeds 2 --json"), None);
    let report: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!((code, &report["seeds"]), (Some(0), &"1..2".into()));
    assert_eq!(report["chosen"][3]["seed"], 2);
    assert_eq!(report["summary"][1]["horizon"], 20);
    assert_eq!(report["paths"].as_array().unwrap().len(), 4);
}

/// A range of seeds is so many of them from its first on, in every file.
#[test]
fn seeds_are_a_range_or_so_many_from_the_first() {
    let small = "--layers 64,6,10 --batch 10 --quiet";
    for study in [
        "edge --horizon 5 --points 2 --sharpness-examples 50 --products 2",
        "meta --every-entry --horizon 5 --meta-steps 2",
        "compare decay:0.1,20,1 decay:0.05,20,1 --steps 5",
    ] {
        let root = tempfile::tempdir().unwrap();
        let written = |seeds: &str| {
            let out = root.path().join(seeds.replace(' ', "-"));
            let (code, stdout, stderr) =
                run(&format!("{study} {small} {seeds} --json"), Some(&out));
            assert_eq!(code, Some(0), "{study} {seeds}: {stderr}");
            let mut files = contents(&out);
            // The record has the words of the command.
            files.retain(|(name, _)| name != ".myopia.files");
            (serde_json::from_str::<Value>(&stdout).unwrap(), files)
        };
        let range = written("--seeds 3..4");
        assert!(range == written("--seed 3 --seeds 2"), "{study}");
        assert_eq!((&range.0["seed"], &range.0["seeds"]), (&3.into(), &2.into()), "{study}");
        assert!(range != written("--seed 3 --seeds 3"), "{study}");
        for (seeds, words) in [("0", "give 1 to 1000 seeds"), ("4..3", "the least first")] {
            let refused = &mut shared::program(&format!("{study} {small} --seeds {seeds}"));
            shared::refuses(refused, 2, &["--seeds", words]);
        }
    }
}

/// Each seed's trials are what they are alone; the best of the fixed ones is that of the medians.
#[test]
fn trials_are_repeated_with_several_seeds() {
    let root = tempfile::tempdir().unwrap();
    let study = format!("online --steps 40 --every 20 --fixed 0.02,0.2 --from 0.05 {SMALL}");
    let all = root.path().join("all");
    let (code, stdout, _) = run(&format!("{study} --seeds 2..4 --threads 3 --json"), Some(&all));
    assert_eq!(code, Some(0));
    let mut losses: Vec<Vec<f64>> = vec![Vec::new(); 6];
    for seed in 2..=4 {
        let alone = root.path().join(seed.to_string());
        assert_eq!(run(&format!("{study} --seed {seed}"), Some(&alone)).0, Some(0));
        let of_seed = |row: &Vec<String>| row.first() == Some(&seed.to_string());
        for name in ["curves.csv", "updates.csv", "online.csv"] {
            let with = rows(&all, name).into_iter().filter(of_seed);
            // Which of the fixed ones is tuned is not a seed's own.
            let text = |row: Vec<String>| row.join(",").replace("true", "false");
            let with: Vec<String> = with.map(|row| text(row[1..].to_vec())).collect();
            let alone: Vec<String> = rows(&alone, name).into_iter().map(text).collect();
            assert_eq!(with, alone, "{name}, seed {seed}");
        }
        for (losses, row) in losses.iter_mut().zip(rows(&alone, "online.csv")) {
            losses.push(row[8].parse().unwrap());
        }
    }
    let report: Value = serde_json::from_str(&stdout).unwrap();
    let summary = report["summary"].as_array().unwrap();
    assert_eq!((report["trials"].as_array().unwrap().len(), summary.len()), (18, 6));
    for (losses, summary) in losses.iter_mut().zip(summary) {
        losses.sort_by(f64::total_cmp);
        assert_eq!(summary["validation_loss"]["median"], losses[1], "{summary}");
        assert_eq!(summary["validation_loss"]["greatest"], losses[2]);
    }
    let tuned: Vec<bool> = summary.iter().map(|s| s["tuned"].as_bool().unwrap()).collect();
    for pair in [[0, 1], [2, 3]] {
        let [a, b] = pair.map(|n: usize| losses[n][1]);
        assert_eq!(pair.map(|n| tuned[n]), [a <= b, b < a]);
    }
    assert_eq!(tuned[4..], [false; 2]);
    // Shards of all seeds join to the same files.
    let shards = [1, 2].map(|n| {
        let shard = root.path().join(format!("shard{n}"));
        let arguments = format!("{study} --seeds 2..4 --shard {n}/2");
        assert_eq!(run(&arguments, Some(&shard)).0, Some(0));
        shard
    });
    let joined = root.path().join("joined");
    let mut merge = shared::program("merge --quiet");
    merge.args(&shards).arg("--out").arg(&joined);
    assert_eq!(shared::run(&mut merge).0, Some(0));
    for name in ["online.csv", "summary.csv", "curves.csv", "online.png"] {
        assert!(
            fs::read(joined.join(name)).unwrap() == fs::read(all.join(name)).unwrap(),
            "{name}"
        );
    }
}

/// A descent that diverges at its first look-ahead ends there; the others go on.
#[test]
fn one_diverging_start_does_not_spoil_the_others() {
    let study = "horizons --horizon 5,20 --from 1e20,50,1 --from 0.05,50,1 --fix alpha0 --meta-steps 2 --json";
    let (code, stdout, stderr) = run(&format!("{study} {SMALL}"), None);
    assert_eq!(code, Some(0), "{stderr}");
    let report: Value = serde_json::from_str(&stdout).unwrap();
    let paths = report["paths"].as_array().unwrap();
    assert!(paths[0]["diverged"].as_str().unwrap().contains("meta-step 0"), "{report}");
    assert_eq!((&paths[1]["diverged"], &paths[1]["meta_steps"]), (&Value::Null, &2.into()));
    assert_eq!(report["chosen"][0]["start"], 2);
    let alone = "horizons --horizon 5,20 --from 1e20,50,1 --fix alpha0 --meta-steps 2 --json";
    let (code, stdout, stderr) = run(&format!("{alone} {SMALL}"), None);
    assert_eq!(code, Some(0), "{stderr}");
    let report: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!(report["chosen"][0]["alpha0"], Value::Null, "{report}");
}

#[test]
fn descents_are_drawn_on_a_surface() {
    let root = tempfile::tempdir().unwrap();
    let (surface, out) = (root.path().join("surface"), root.path().join("out"));
    let small = "--layers 64,5,10 --batch 10 --objective-size 50 --quiet";
    let made = run(&format!("surface --horizon 5,9 --grid 3x3 {small}"), Some(&surface));
    assert_eq!((made.0, made.2.as_str()), (Some(0), ""));
    let study = format!(
        "horizons --horizon 5,9 --from 0.1,5000,1 --meta-steps 2 --fix time-constant {small} --surface {}",
        surface.display()
    );
    let (code, _, stderr) = run(&study, Some(&out));
    assert_eq!((code, stderr.as_str()), (Some(0), ""));
    let svg = fs::read_to_string(out.join("surface-trajectories.svg")).unwrap();
    for words in ["T = 5", "T = 9", "start 1", "validation loss"] {
        assert!(svg.contains(words), "the figure does not say {words}");
    }
    fs::write(surface.join("surface.csv"), "cell,alpha0\n0,1\n").unwrap();
    let (code, _, stderr) = run(&study, Some(&root.path().join("spoilt")));
    assert_eq!(code, Some(1));
    assert!(stderr.contains("surface.csv is not what the run in its folder wrote"), "{stderr}");
    fs::remove_file(surface.join("surface.csv")).unwrap();
    let (code, _, stderr) = run(&study, Some(&root.path().join("none")));
    assert_eq!(code, Some(1));
    assert!(stderr.contains("it has no surface.csv"), "{stderr}");
}

#[test]
fn online_trials_have_their_files_and_any_number_of_threads_writes_the_same() {
    let root = tempfile::tempdir().unwrap();
    let study = format!(
        "online --steps 40 --steps-per-update 8 --look-ahead 3 --every 20 --from 0.02,0.1 --fixed 0.05,0.2 {SMALL}"
    );
    let (one, five) = (root.path().join("one"), root.path().join("five"));
    let first = run(&format!("{study} --threads 1"), Some(&one));
    assert_eq!((first.0, first.2.as_str()), (Some(0), ""));
    assert_eq!(run(&format!("{study} --threads 5"), Some(&five)), first);
    assert_eq!(contents(&one), contents(&five));

    let trials = rows(&one, "online.csv");
    let kinds: Vec<&str> = trials.iter().map(|row| row[1].as_str()).collect();
    assert_eq!(kinds, ["fixed", "fixed", "decayed", "decayed", "fresh", "fresh", "same", "same"]);
    assert_eq!(trials.iter().filter(|row| row[3] == "true").count(), 2, "a tuned one of each");
    assert_eq!(rows(&one, "updates.csv").len(), 4 * 5);
    assert_eq!(rows(&one, "curves.csv").len(), 8 * 3);
    // Half-way through, the decayed ones go on at a tenth.
    for row in rows(&one, "curves.csv").iter().filter(|row| row[0].contains("half-way")) {
        let late = row[1] != "0";
        let fixed: f64 = row[0].split(' ').nth(1).unwrap().parse().unwrap();
        let rate: f64 = row[2].parse().unwrap();
        let expected = if late { fixed / 10.0 } else { fixed };
        assert!((rate / expected - 1.0).abs() < 1e-6, "{row:?}");
    }
}

/// Where a meta-step is too small to move a float, adapted training is fixed training, whatever its
/// look-aheads see.
#[test]
fn look_aheads_leave_training_as_it_is() {
    let study = format!(
        "online --steps 30 --from 0.1 --fixed 0.1 --meta-lr 1e-30 --momentum 0.75 --json {SMALL}"
    );
    let (code, stdout, stderr) = run(&study, None);
    assert_eq!(code, Some(0), "{stderr}");
    let report: Value = serde_json::from_str(&stdout).unwrap();
    let digest = |kind: &str| {
        let trials = report["trials"].as_array().unwrap();
        trials.iter().find(|trial| trial["kind"] == kind).unwrap()["digest"].clone()
    };
    assert_eq!(digest("fixed"), digest("fresh"));
    assert_eq!(digest("fixed"), digest("same"));
    assert_ne!(digest("fixed"), digest("decayed"));
}

#[test]
fn what_makes_no_sense_is_refused_by_name() {
    for (arguments, words) in [
        ("horizons --horizon 20,5", "--horizon 20,5 must be ascending"),
        ("horizons --horizon 0", "--horizon 0"),
        ("horizons --horizon 1,2,3 --meta-steps 1,2", "--meta-steps 1,2 does not fit"),
        ("horizons --from 0.1", "give alpha0, K and beta"),
        ("horizons --from 0,1,1", "alpha0 must be a positive"),
        ("horizons --from 1e-60,1,1", "--from"),
        ("horizons --every 0", "--every 0"),
        ("online --steps 0", "--steps 0"),
        ("online --look-ahead 0", "--look-ahead 0"),
        ("online --steps-per-update 0", "--steps-per-update 0"),
        ("online --from 0", "--from 0"),
        ("online --fixed -1", "--fixed -1"),
        ("online --meta-lr nan", "--meta-lr"),
        ("online --decay 0", "--decay 0"),
        ("online --batches other", "--batches"),
        ("online --resume", "--resume needs the folder"),
    ] {
        let (code, stdout, stderr) = run(arguments, None);
        assert_eq!((code, stdout.as_str()), (Some(2), ""), "{arguments}: {stderr}");
        assert!(stderr.contains(words), "{arguments} does not say {words:?}: {stderr}");
    }
}

#[test]
fn a_surface_of_another_problem_or_horizon_is_refused() {
    let root = tempfile::tempdir().unwrap();
    let surface = root.path().join("surface");
    let small = "--layers 64,5,10 --batch 10 --objective-size 50 --quiet";
    let made = run(&format!("surface --horizon 5,9 --grid 2x2 {small}"), Some(&surface));
    assert_eq!(made.0, Some(0), "{}", made.2);
    let study = "horizons --from 0.1,5,1 --meta-steps 1 --surface";
    for (others, words) in [
        ("--horizon 5,9 --pretrain 5", "--pretrain is 0 there and 5 here"),
        ("--horizon 5,9 --objective train", "--objective is validation there"),
        ("--horizon 5,9 --seed 2", "--seed is 1 there and 2 here"),
        ("--horizon 5,9 --momentum 0.5", "--momentum is 0.9 there and 0.5 here"),
        ("--horizon 5,10", "has no losses at --horizon 10, only at 5,9"),
    ] {
        let arguments = format!("{study} {} {others} {small}", surface.display());
        let (code, stdout, stderr) = run(&arguments, None);
        assert_eq!((code, stdout.as_str()), (Some(2), ""), "{others}: {stderr}");
        assert!(stderr.contains(words) && stderr.lines().count() == 1, "{others}: {stderr}");
    }
    // The other way round: what the surface was made with, and the descents are not.
    for (number, (others, words)) in [
        ("--optimizer adam", "--optimizer is adam there and not given here"),
        ("--optimizer rmsprop --rho 0.8", "--optimizer is rmsprop there and not given here"),
        ("--weight-decay 0.01", "--weight-decay is 0.01 there and not given here"),
        ("--nesterov", "--nesterov is true there and not given here"),
        ("--training-size 50", "--training-size is 50 there and not given here"),
    ]
    .into_iter()
    .enumerate()
    {
        let made = root.path().join(format!("other {number}"));
        let arguments = format!("surface --horizon 5 --grid 2x2 {others} {small}");
        assert_eq!(run(&arguments, Some(&made)).0, Some(0), "{arguments}");
        let mut plain =
            program(&format!("horizons --from 0.1,5,1 --meta-steps 1 --horizon 5 {small}"));
        refuses(plain.arg("--surface").arg(&made), 2, &[words]);
        let other = format!("horizons --from 0.1,5,1 --meta-steps 1 --horizon 5 {others} {small}");
        assert_eq!(shared::run(program(&other).arg("--surface").arg(&made)).0, Some(0), "{others}");
    }
    // A folder that does not say how it was made.
    std::fs::remove_file(surface.join(".myopia.files")).unwrap();
    let arguments = format!("{study} {} --horizon 5,9 {small}", surface.display());
    let (code, _, stderr) = run(&arguments, None);
    assert_eq!(code, Some(1), "{stderr}");
    assert!(stderr.contains("does not say with which settings"), "{stderr}");
}
