//! Surfaces: their shape, and that no cell is lost whoever computes it.

mod shared;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use myopia::surface::Row;
use serde_json::Value;
use shared::{contents, names, refuses, succeeds as run};

fn program(arguments: &str) -> Command {
    let mut command = shared::program(arguments);
    command.arg("--quiet");
    command
}

fn rows(folder: &Path) -> Vec<Row> {
    Row::read(&fs::read(folder.join("surface.csv")).unwrap()).unwrap()
}

/// The schedule with the lowest loss at `horizon`.
fn best(rows: &[Row], horizon: u32) -> &Row {
    let at = rows.iter().filter(|row| row.horizon == horizon && row.loss.is_some());
    at.reduce(|a, b| if b.loss < a.loss { b } else { a }).unwrap()
}

const SMALL: &str =
    "surface --layers 64,5,10 --batch 10 --objective-size 50 --horizon 3,12 --grid 4x3";

/// Files of a whole surface with two horizons.
const FILES: [&str; 8] = [
    "surface-12.png",
    "surface-12.svg",
    "surface-3.png",
    "surface-3.svg",
    "surface.csv",
    "surface.json",
    "surface.png",
    "surface.svg",
];

#[test]
fn shards_merge_to_the_bytes_of_one_machine_whatever_their_number() {
    let root = tempfile::tempdir().unwrap();
    let at = |name: &str| root.path().join(name);
    for (kind, arguments) in
        [("grid", SMALL.to_owned()), ("random", SMALL.replace("--grid 4x3", "--random 7"))]
    {
        let whole = at(&format!("{kind}-whole"));
        let printed = run(program(&format!("{arguments} --threads 1")).arg("--out").arg(&whole));
        assert_eq!(names(&whole), FILES);
        let whole = contents(&whole);
        for count in [1, 2, 5, 12] {
            let shard = |number: u32| at(&format!("{kind}-{number}-of-{count}"));
            // The last first: their order does not matter.
            let shards: Vec<_> = (1..=count).rev().map(shard).collect();
            for number in 1..=count {
                let out = shard(number);
                let part = format!(
                    "{arguments} --threads {number} --isa baseline --shard {number}/{count}"
                );
                let said = run(program(&part).arg("--out").arg(&out));
                assert!(said.starts_with(&format!("shard {number}/{count}: ")), "{said}");
                assert_eq!(names(&out), ["shard.csv", "shard.json"]);
            }
            let merged = at(&format!("{kind}-merged-{count}"));
            let said = run(program("merge").args(&shards).arg("--out").arg(&merged));
            assert_eq!(contents(&merged), whole, "{kind} in {count} shards");
            assert_eq!(said, printed);
        }
    }
}

#[test]
fn shards_that_do_not_make_a_surface_are_refused_in_a_sentence_each() {
    let root = tempfile::tempdir().unwrap();
    let at = |name: &str| root.path().join(name);
    let shard = |name: &str, flags: &str| {
        run(program(&format!("{SMALL} {flags}")).arg("--out").arg(at(name)));
    };
    shard("one", "--shard 1/3");
    shard("two", "--shard 2/3");
    shard("three", "--shard 3/3");
    shard("half", "--shard 1/2");
    shard("foreign", "--shard 3/3 --seed 2");
    shard("finer", "--shard 3/3 --momentum 0.5");
    shard("whole", "");
    let merge = |names: &[&str]| {
        let mut command = program("merge");
        command.args(names.iter().map(|name| at(name))).arg("--out").arg(at("merged"));
        command
    };
    refuses(&mut merge(&["one", "two"]), 1, &["4 of 12 cells are in none", "1/3, 2/3"]);
    refuses(&mut merge(&["one", "two", "two", "three"]), 1, &["two (shard 2/3)", "same cells"]);
    refuses(
        &mut merge(&["one", "two", "three", "half"]),
        1,
        &["one (shard 1/3)", "half (shard 1/2)"],
    );
    refuses(
        &mut merge(&["one", "two", "foreign"]),
        1,
        &["shards of different runs", "--seed is 1 in the first and 2 in the second"],
    );
    refuses(&mut merge(&["one", "two", "finer"]), 1, &["--momentum is 0.9 in the first and 0.5"]);
    refuses(&mut merge(&["one", "two", "whole"]), 1, &["whole holds no shard", "--shard"]);
    refuses(&mut merge(&["one", "two", "absent"]), 1, &["absent: it does not exist"]);
    refuses(&mut program("merge"), 2, &["DIR"]);
    refuses(program("merge").arg(at("one")), 2, &["merge needs a folder", "--out"]);
    assert!(!at("merged").exists(), "a refused merge leaves nothing behind");

    let table = at("three").join("shard.csv");
    let mut bytes = fs::read(&table).unwrap();
    let last = bytes.len() - 3;
    bytes[last] ^= 1;
    fs::write(&table, bytes).unwrap();
    refuses(&mut merge(&["one", "two", "three"]), 1, &["shard.csv is damaged"]);
    fs::write(at("three").join("shard.json"), "{}").unwrap();
    refuses(&mut merge(&["one", "two", "three"]), 1, &["shard.json is damaged"]);
    run(program(&format!("{SMALL} --shard 3/3 --force")).arg("--out").arg(at("three")));
    run(&mut merge(&["one", "two", "three"]));
    refuses(&mut merge(&["one", "two", "three"]), 1, &["already holds results", "--force"]);
}

#[test]
fn a_merge_that_resumes_begins_or_is_done_and_spares_what_is_not_its_own() {
    let root = tempfile::tempdir().unwrap();
    let at = |name: &str| root.path().join(name);
    for number in [1, 2] {
        let part = format!("{SMALL} --shard {number}/2");
        run(program(&part).arg("--out").arg(at(&number.to_string())));
    }
    run(program(SMALL).arg("--out").arg(at("whole")));
    let merge = |flags: &str, out: &str| {
        let mut merge = program(&format!("merge --resume {flags}"));
        merge.args([at("1"), at("2")]).arg("--out").arg(at(out));
        merge
    };
    run(&mut merge("", "merged"));
    assert!(contents(&at("merged")) == contents(&at("whole")));
    assert_eq!(run(&mut merge("", "merged")), "", "it is done");
    let printed = fs::read_to_string(at("whole").join("surface.json")).unwrap();
    assert!(run(&mut merge("--json", "whole")) == printed, "so is what one machine did");
    refuses(&mut merge("--force", "merged"), 2, &["--resume", "--force", "give one of them"]);
    run(program(&format!("{SMALL} --seed 2")).arg("--out").arg(at("other")));
    let words = ["results of another experiment", "--seed is 2 there and 1 here"];
    refuses(&mut merge("", "other"), 1, &words);
    fs::create_dir(at("strange")).unwrap();
    fs::write(at("strange").join("surface.csv"), "mine").unwrap();
    refuses(&mut merge("", "strange"), 1, &["already holds results"]);
    // Killed when some files had their names, and before it said what they are.
    let record = at("merged").join(shared::RECORD);
    let said = fs::read_to_string(&record).unwrap();
    let unsaid: String =
        said.lines().filter(|l| !l.starts_with('#')).map(|l| format!("{l}\n")).collect();
    fs::write(&record, unsaid).unwrap();
    fs::remove_file(at("merged").join("surface.png")).unwrap();
    run(&mut merge("", "merged"));
    assert!(contents(&at("merged")) == contents(&at("whole")));
}

#[test]
fn a_cell_is_what_training_with_its_schedule_gives() {
    let root = tempfile::tempdir().unwrap();
    run(program(SMALL).arg("--out").arg(root.path().join("s")));
    for row in rows(&root.path().join("s")).iter().step_by(5) {
        let Row { alpha0, time_constant, beta, horizon, .. } = row;
        let trained = run(&mut program(&format!(
            "train --layers 64,5,10 --batch 10 --objective-size 50 --steps {horizon} --alpha0 {alpha0} \
             --time-constant {time_constant} --beta {beta} --json"
        )));
        let trained: Value = serde_json::from_str(&trained).unwrap();
        assert_eq!(trained["judged"]["loss"].as_f64(), row.loss, "{row:?}");
        assert_eq!(trained["judged"]["accuracy"].as_f64(), row.accuracy, "{row:?}");
        assert_eq!(trained["digest"].as_str(), row.digest.as_deref(), "{row:?}");
    }
}

#[test]
fn diverged_cells_are_recorded_with_their_step() {
    let root = tempfile::tempdir().unwrap();
    let wider = SMALL.replace("64,5,10", "64,32,10");
    let wide = format!("{wider} --alpha0-range 0.01,1e30");
    let printed = run(program(&wide).arg("--out").arg(root.path().join("s")));
    let rows = rows(&root.path().join("s"));
    assert_eq!(rows.len(), 4 * 3 * 2, "none is dropped");
    let diverged: Vec<&Row> = rows.iter().filter(|row| row.diverged_at.is_some()).collect();
    assert!(diverged.len() > 6 && diverged.len() < 24, "{}", diverged.len());
    for row in &rows {
        assert_eq!(row.loss.is_none(), row.diverged_at.is_some(), "{row:?}");
        assert_eq!(row.loss.is_none(), row.digest.is_none(), "{row:?}");
        assert!(row.diverged_at.is_none_or(|step| step <= row.horizon), "{row:?}");
    }
    let last = diverged.iter().filter(|row| row.horizon == 12).count();
    assert!(printed.lines().nth(3).unwrap().ends_with(&format!(" {last}")), "{printed}");
    let all = format!("{wider} --alpha0-range 1e20,1e30");
    assert!(run(&mut program(&all)).contains("every run diverged"));
}

/// The bias on a surface: looking only a little ahead, a rate that decays at once is best, and it
/// is not worth much later.
#[test]
fn a_short_horizon_prefers_faster_decay_and_pays_for_it() {
    let root = tempfile::tempdir().unwrap();
    let arguments = "surface --batch 10 --pretrain 50 --horizon 100,500,2000 --grid 7x7";
    run(program(arguments).arg("--out").arg(root.path().join("s")));
    let rows = rows(&root.path().join("s"));
    let [short, middle, long] = [100, 500, 2000].map(|horizon| best(&rows, horizon));
    // How far the rate has fallen after 2,000 steps.
    let fall = |row: &Row| row.beta * libm::log(1.0 + 2000.0 / row.time_constant);
    assert!(fall(short) > 2.0 * fall(middle), "{short:?}\n{middle:?}");
    assert!(fall(middle) > fall(long), "{middle:?}\n{long:?}");
    let later = rows.iter().find(|row| row.cell == short.cell && row.horizon == 2000).unwrap();
    assert!(later.loss > long.loss.map(|loss| 2.0 * loss), "{later:?}\n{long:?}");
}

/// The published surfaces and the objective each is judged by.
const PUBLISHED: [(&str, &str); 2] = [("surface", "validation"), ("surface-train", "train")];

fn published(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../results").join(name)
}

#[test]
fn the_published_surfaces_show_the_bias_on_mnist() {
    for (name, _) in PUBLISHED {
        let rows = rows(&published(name));
        let [first, .., long] = [100, 1_000, 5_000, 20_000].map(|horizon| best(&rows, horizon));
        // How far the rate falls within 20,000 steps, in powers of e.
        let fall = |row: &Row| row.beta * libm::log(1.0 + 20_000.0 / row.time_constant);
        assert!(fall(first) > 3.0 * fall(long), "{name}: {first:?}\n{long:?}");
        // What looked best after 100 steps is worth at 20,000 at least half as much again as what
        // looks best then.
        let later = rows.iter().find(|row| row.cell == first.cell && row.horizon == 20_000);
        let worth = later.and_then(|row| row.loss).unwrap() / long.loss.unwrap();
        assert!(worth > 1.5, "{name}: {worth}");
    }
}

/// The first rows of a few cells; all of them are what `myopia reproduce surface --check` compares.
#[test]
fn cells_of_the_published_surfaces_are_what_training_gives_here() {
    let Some(folder) = std::env::var_os("MYOPIA_MNIST") else {
        return eprintln!("skipped: set MYOPIA_MNIST to the folder of the MNIST files");
    };
    for (name, objective) in PUBLISHED {
        let rows = rows(&published(name));
        for row in rows.iter().filter(|row| row.horizon == 100).step_by(41) {
            let Row { alpha0, time_constant, beta, .. } = row;
            let mut train = program(&format!(
                "train --data mnist --objective {objective} --pretrain 50 --steps 100 --alpha0 {alpha0} \
                 --time-constant {time_constant} --beta {beta} --json"
            ));
            let trained: Value =
                serde_json::from_str(&run(train.arg("--mnist-dir").arg(&folder))).unwrap();
            assert_eq!(trained["judged"]["loss"].as_f64(), row.loss, "{row:?}");
            assert_eq!(trained["digest"].as_str(), row.digest.as_deref(), "{row:?}");
        }
    }
}

#[test]
fn any_two_parameters_make_a_plane() {
    let root = tempfile::tempdir().unwrap();
    for (axes, fixed) in [("time-constant,beta", "alpha0"), ("beta,alpha0", "time_constant")] {
        let out = root.path().join(axes);
        let arguments = format!("{SMALL} --axes {axes} --alpha0 0.03 --time-constant 70");
        run(program(&arguments).arg("--out").arg(&out));
        for row in rows(&out) {
            let expected =
                if fixed == "alpha0" { (row.alpha0, 0.03) } else { (row.time_constant, 70.0) };
            assert_eq!(expected.0, expected.1, "{row:?}");
        }
    }
}

/// Shards and seeds of it too.
#[test]
fn any_two_hyperparameters_make_a_plane_of_the_runs_that_training_gives() {
    let root = tempfile::tempdir().unwrap();
    let at = |name: &str| root.path().join(name);
    let problem = "--layers 64,5,10 --batch 10 --objective-size 50";
    for (name, flags, option) in [
        ("adam", "--optimizer adam --tune beta2,epsilon --alpha0 0.02", "--optimizer adam"),
        (
            "kfac",
            "--optimizer kfac --axes alpha0,damping --alpha0-range 1e-4,1e-2 --range damping=0.1,10 --random 5",
            "--optimizer kfac",
        ),
        (
            "step",
            "--schedule step --step-every 3 --axes alpha0,factor",
            "--schedule step --step-every 3",
        ),
        ("momentum", "--axes momentum,beta --range momentum=0.2,0.9 --alpha0 0.05", ""),
    ] {
        let grid = if flags.contains("--random") { "" } else { "--grid 2x3" };
        let surface = format!("surface {problem} --horizon 3,12 {grid} {flags}");
        let whole = at(name);
        run(program(&surface).arg("--out").arg(&whole));
        let rows = rows(&whole);
        for row in rows.iter().filter(|row| row.horizon == 12) {
            let Row { alpha0, time_constant, beta, others, .. } = row;
            let others: String = others
                .iter()
                .map(|(parameter, value)| format!(" --{} {value}", parameter.name()))
                .collect();
            let time = match name {
                "step" => String::new(),
                _ => format!("--time-constant {time_constant} --beta {beta}"),
            };
            let line = format!(
                "train {problem} --steps 12 --alpha0 {alpha0} {time} {option}{others} --json"
            );
            let words: Vec<&str> = line.split_whitespace().collect();
            let trained: Value =
                serde_json::from_str(&run(&mut program(&words.join(" ")))).unwrap();
            assert_eq!(trained["digest"].as_str(), row.digest.as_deref(), "{line}");
        }
        for number in 1..=2 {
            let out = at(&format!("{name}-{number}"));
            run(program(&format!("{surface} --shard {number}/2")).arg("--out").arg(&out));
        }
        let shards = [1, 2].map(|number| at(&format!("{name}-{number}")));
        let merged = at(&format!("{name}-merged"));
        run(program("merge").args(shards).arg("--out").arg(&merged));
        assert_eq!(contents(&merged), contents(&whole), "{name}");
        let seeds = at(&format!("{name}-seeds"));
        run(program(&format!("{surface} --seeds 1..2")).arg("--out").arg(&seeds));
        let of_seeds = fs::read_to_string(seeds.join("seeds.csv")).unwrap();
        let of_one = fs::read_to_string(whole.join("surface.csv")).unwrap();
        let first: String = of_seeds.lines().take(1 + rows.len()).map(without_seed).collect();
        assert_eq!(first, of_one, "{name}");
    }
    let descents = format!("horizons {problem} --horizon 3,12 --meta-steps 1 --optimizer adam");
    let words = "varies epsilon, and descents are drawn over alpha0, time-constant and beta";
    let mut descents = program(&descents);
    refuses(descents.arg("--out").arg(at("x")).arg("--surface").arg(at("adam")), 2, &[words]);
}

/// A line of `seeds.csv` as `surface.csv` has it.
fn without_seed(line: &str) -> String {
    format!("{}\n", line.split_once(',').unwrap().1)
}

#[test]
fn impossible_surfaces_are_refused_by_name() {
    for (flags, words) in [
        ("--horizon 0,10", "--horizon 0 leaves no step"),
        ("--horizon ten", "'ten' for '--horizon"),
        ("--horizon -5", "'-5' for '--horizon"),
        ("--grid 25", "such as 25x25"),
        ("--grid 1x5", "from 2 to 1000"),
        ("--grid 5x5 --random 5", "cannot be used with"),
        ("--random 0", "for '--random"),
        ("--random -1", "for '--random"),
        ("--axes alpha0", "--axes names 1 parameters"),
        ("--axes alpha0,beta,time-constant", "--axes names 3 parameters"),
        ("--axes beta,beta", "--axes names one parameter twice"),
        ("--axes alpha0,gamma", "possible values: alpha0, time-constant, beta"),
        ("--alpha0-range 0,1", "two positive numbers"),
        ("--alpha0-range -1,1", "two positive numbers"),
        ("--beta-range 3", "two positive numbers"),
        ("--beta-range 3,2", "the lower first"),
        ("--alpha0-range 1e-60,1", "alpha0 must be a positive finite number"),
        ("--time-constant 0", "K must be a positive finite number"),
        ("--shard 3/2", "such as 1/4"),
        ("--shard 1/2", "--shard needs a folder"),
        ("--resume", "--resume needs the folder"),
        ("--checkpoint-every -1", "for '--checkpoint-every"),
        ("--momentum 1", "--momentum 1 is outside"),
    ] {
        refuses(&mut program(&format!("surface {flags}")), 2, &[words]);
    }
}

/// Each seed's runs are what they are alone, the surface is that of the medians, and shards join to
/// the same bytes.
#[test]
fn seeds_make_a_surface_of_medians() {
    let root = tempfile::tempdir().unwrap();
    let at = |name: &str| root.path().join(name);
    let surface = |name: &str, flags: &str| {
        let line = format!("{SMALL} --alpha0-range 0.01,1e20 {flags}");
        run(program(&line).arg("--out").arg(at(name)))
    };
    let said = surface("all", "--seeds 3..5 --threads 3");
    assert!(said.starts_with("12 schedules, 3 seeds; the best median at each"), "{said}");
    let more = ["seeds.csv", "surface-range.png", "surface-range.svg"];
    let mut files = [&FILES[..], &more[..]].concat();
    files.sort_unstable();
    assert_eq!(names(&at("all")), files);
    let table = fs::read_to_string(at("all").join("seeds.csv")).unwrap();
    let mut of_seeds = table.lines();
    let mut losses: Vec<Vec<Option<f64>>> = vec![Vec::new(); 24];
    let mut header = String::new();
    for seed in 3..=5 {
        let name = seed.to_string();
        surface(&name, &format!("--seed {seed}"));
        let alone = fs::read_to_string(at(&name).join("surface.csv")).unwrap();
        for (line, own) in alone.lines().enumerate() {
            match line {
                0 => header = format!("seed,{own}"),
                _ => assert_eq!(
                    of_seeds.by_ref().find(|l| **l != header),
                    Some(&*format!("{seed},{own}"))
                ),
            }
        }
        for (losses, row) in losses.iter_mut().zip(rows(&at(&name))) {
            losses.push(row.loss);
        }
    }
    assert_eq!(of_seeds.next(), None);
    let report = fs::read(at("all").join("surface.json")).unwrap();
    let report: Value = serde_json::from_slice(&report).unwrap();
    assert_eq!(report["settings"]["seeds"], "3..5");
    let diverged_runs = losses.iter().flatten().filter(|loss| loss.is_none()).count();
    let counted = report["found"].as_array().unwrap().iter().map(|f| f["diverged"].as_u64());
    assert_eq!(counted.fold(0, |sum, count| sum + count.unwrap() as usize), diverged_runs);
    assert!(diverged_runs > 0);
    for ((losses, row), cell) in
        losses.iter().zip(rows(&at("all"))).zip(report["rows"].as_array().unwrap())
    {
        let mut sorted: Vec<f64> =
            losses.iter().map(|loss| loss.unwrap_or(f64::INFINITY)).collect();
        sorted.sort_by(f64::total_cmp);
        let known = |loss: f64| loss.is_finite().then_some(loss);
        assert_eq!(row.loss, known(sorted[1]), "{cell}");
        assert_eq!(cell["loss_least"].as_f64(), known(sorted[0]), "{cell}");
        assert_eq!(cell["loss_greatest"].as_f64(), known(sorted[2]), "{cell}");
    }
    // One seed is one seed, but for the words of the command.
    let written = |name: &str| {
        let files = contents(&at(name)).into_iter();
        files.filter(|(name, _)| name != shared::RECORD).collect::<Vec<_>>()
    };
    for (name, flags) in [("one", "--seeds 4..4"), ("same", "--seed 4 --seeds 1")] {
        surface(name, flags);
        assert!(written(name) == written("4"), "{flags}");
    }

    for number in 1..=5 {
        let said = surface(&format!("part{number}"), &format!("--seeds 3..5 --shard {number}/5"));
        let own = if number == 1 { 8 } else { 7 };
        assert_eq!(said, format!("shard {number}/5: {own} of 36 runs\n"));
    }
    let parts: Vec<_> = [4, 2, 5, 1, 3].iter().map(|n| at(&format!("part{n}"))).collect();
    run(program("merge").args(&parts).arg("--out").arg(at("merged")));
    assert!(contents(&at("merged")) == contents(&at("all")));
    surface("foreign", "--seeds 3..4 --shard 5/5");
    let mut mixed = program("merge");
    mixed.args(&parts[..2]).arg(at("foreign")).arg("--out").arg(at("mixed"));
    refuses(&mut mixed, 1, &["shards of different runs", "--seeds"]);

    // Descents with the same seeds are drawn on the medians, and no others.
    let descents = "horizons --horizon 3 --meta-steps 2 --steps 4 --layers 64,5,10 --batch 10 --objective-size 50";
    let of = |seeds: &str, surface: &str| {
        program(&format!("{descents} {seeds} --surface {}", at(surface).display()))
    };
    run(of("--seeds 3..5", "all").arg("--out").arg(at("drawn")));
    refuses(&mut of("--seed 3", "all"), 2, &["--seeds is 3..5 there and not given here"]);
    refuses(&mut of("--seeds 3..4", "all"), 2, &["--seeds is 3..5 there and 3..4 here"]);
    assert!(names(&at("drawn")).contains(&"surface-trajectories.png".to_owned()));
}
