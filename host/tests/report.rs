//! `myopia report` and `myopia reproduce` as their users meet them.

mod shared;

use std::fs;
use std::path::Path;
#[cfg(unix)]
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use shared::{program, refuses_in_a_sentence as refuses, run, succeeds};

const STUDY: &str = "horizons --horizon 5,20 --from 0.05,50,1 --from 0.2,10,2 --meta-steps 4 --layers 64,8,10 --batch 10 --objective-size 50";

#[test]
fn a_comparison_on_the_quadratic_has_a_page() {
    let root = tempfile::tempdir().unwrap();
    let compare = "nqm compare --dim 5 --steps 6 greedy constant:0.1 --quiet --out";
    succeeds(program(compare).arg(root.path()));
    succeeds(program("report").arg(root.path()));
    let page = fs::read_to_string(root.path().join("report.html")).unwrap();
    assert_eq!(page.matches("<figure>").count(), 2);
    assert!(page.contains("download=\"bands.csv\""));
}

/// Whatever a command wrote can be reported on, by its record alone or, as the published results,
/// without one.
#[test]
fn every_command_s_folder_has_a_page() {
    let root = tempfile::tempdir().unwrap();
    let small = "--layers 64,4,10 --batch 10 --objective-size 20";
    let few = "--sharpness-examples 50 --products 3 --seeds 1";
    for line in [
        format!("train --steps 3 {small}"),
        format!("hypergrad --horizon 3 {small}"),
        format!("meta --horizon 3 --meta-steps 2 {small}"),
        format!("surface --grid 2x2 --horizon 3 {small}"),
        format!("surface --grid 2x2 --horizon 3 --shard 1/2 {small}"),
        format!("horizons --horizon 3 --meta-steps 2 {small}"),
        format!("online --steps 4 --every 2 --from 0.02 {small}"),
        format!("edge --horizon 3 --points 2 {few} {small}"),
        format!("compare decay:0.1,10,1 --steps 3 {small}"),
        format!("meta --every-entry --by-layer --horizon 3 --meta-steps 2 {small}"),
        "nqm --dim 3 --steps 4 --schedule greedy".to_owned(),
        "nqm compare --dim 3 --steps 4 greedy constant:0.1".to_owned(),
        "nqm meta --dim 3 --horizons 4 --meta-steps 2".to_owned(),
        "nqm judges --dim 3".to_owned(),
        "nqm meta --dim 3 --horizons 4 --meta-steps 2 --optimizer adam --tune epsilon,beta2"
            .to_owned(),
        "nqm rates --dim 3 --horizons 2,4 --warm 3 --grid 3".to_owned(),
        "reruns influence --updates 20".to_owned(),
        "reruns hd --epochs 1 --after 2 --look-ahead 1".to_owned(),
        "reruns pes --steps 4 --windows 2 --outer-steps 3 --map 2,2".to_owned(),
    ] {
        let out = root.path().join("out");
        succeeds(program(&line).args(["--quiet", "--force", "--out"]).arg(&out));
        for record in [true, false] {
            if !record {
                fs::remove_file(out.join(".myopia.files")).unwrap();
            }
            let (code, _, stderr) = run(program("report").arg(&out));
            assert_eq!(code, Some(0), "{line}: {stderr}");
            let page = fs::read_to_string(out.join("report.html")).unwrap();
            assert!(page.contains("<h2>Digests</h2>"), "{line}");
        }
        fs::remove_dir_all(&out).unwrap();
    }
}

#[cfg(unix)]
#[test]
fn the_command_that_a_comparison_saves_makes_the_same_bytes() {
    let root = tempfile::tempdir().unwrap();
    let (out, again) = (root.path().join("out"), root.path().join("again"));
    let spectrum = root.path().join("it's a spectrum.csv");
    fs::write(&spectrum, "curvature,noise_variance\n1,1\n0.1,2\n").unwrap();
    let mut compare = program("nqm compare greedy optimal-momentum replan:2 --steps 5 --spectrum");
    compare.arg(format!("file:{}", spectrum.display()));
    succeeds(compare.args(["--cool=3", "--mean0", "0.3", "--quiet", "--out"]).arg(&out));
    let saved: Value =
        serde_json::from_slice(&fs::read(out.join("compare.json")).unwrap()).unwrap();
    let line = saved["command_line"].as_str().unwrap();
    let script = format!("myopia() {{ \"$0\" \"$@\"; }}; {line} --quiet --out \"$OUT\"");
    let mut shell = Command::new("sh");
    succeeds(shell.args(["-c", &script, env!("CARGO_BIN_EXE_myopia")]).env("OUT", &again));
    assert_eq!(shared::contents(&again), shared::contents(&out), "{line}");
}

#[test]
fn a_page_stands_alone_and_its_command_makes_the_same_results() {
    let root = tempfile::tempdir().unwrap();
    let (out, again) = (root.path().join("out"), root.path().join("again"));
    succeeds(program(STUDY).args(["--quiet", "--out"]).arg(&out));
    succeeds(program("report --tensorboard").arg(&out));
    let page = fs::read_to_string(out.join("report.html")).unwrap();
    assert_eq!(page.matches("<figure>").count(), 3);
    assert_eq!(page.matches(" src=\"data:image/svg+xml;base64,").count(), 3);
    assert!(page.contains("Content-Security-Policy"));
    for name in ["horizons.csv", "training.csv", "trajectories.csv", "plane.png", "training.svg"] {
        assert!(page.contains(&format!("download=\"{name}\"")), "{name} is not in the page");
    }
    // Nothing to fetch: links and figures carry their files.
    assert_eq!(page.matches("http:").count() + page.matches("https:").count(), 0);
    assert_eq!(page.matches(" href=").count(), page.matches(" href=\"data:").count());
    assert_eq!((page.matches(" src=").count(), page.matches("<script").count()), (3, 0));
    assert!(page.contains("T = 5 chose"), "a reading");

    let command = page.split("<pre>").nth(1).unwrap().split("</pre>").next().unwrap();
    let arguments = command.trim().strip_prefix("myopia ").unwrap();
    succeeds(program(arguments).args(["--quiet", "--out"]).arg(&again));
    for name in ["horizons.csv", "horizons.json", "trajectories.png"] {
        let read = |folder: &Path| fs::read(folder.join(name)).unwrap();
        assert!(read(&out) == read(&again), "{name} by the page's command: {command}");
    }

    let events = out.join("tensorboard/horizon 20/events.out.tfevents.0.myopia");
    let first = fs::read(&events).unwrap();
    succeeds(program("report --tensorboard").arg(&out));
    assert_eq!(fs::read_to_string(out.join("report.html")).unwrap(), page, "written twice");
    assert_eq!(fs::read(&events).unwrap(), first);
}

#[test]
fn an_unfinished_run_is_said_to_be_one() {
    let root = tempfile::tempdir().unwrap();
    fs::write(
        root.path().join("trajectory.partial.csv"),
        "meta_step,alpha0,time_constant,beta,loss\n0,1,1,1,2\n",
    )
    .unwrap();
    succeeds(program("report").arg(root.path()));
    let page = fs::read_to_string(root.path().join("report.html")).unwrap();
    assert!(page.contains("has not ended"), "{page}");
}

#[test]
fn what_cannot_be_reported_on_is_named() {
    let root = tempfile::tempdir().unwrap();
    refuses(program("report").arg(root.path()), 1, &["holds no results", "--out"]);
    fs::write(root.path().join("strange.json"), "{}").unwrap();
    refuses(program("report").arg(root.path()), 1, &["holds no results", "--out"]);
    fs::write(root.path().join("checkpoint.myopia"), "").unwrap();
    refuses(program("report").arg(root.path()), 1, &["unfinished run", "--resume"]);
    fs::remove_file(root.path().join("checkpoint.myopia")).unwrap();
    refuses(program("report").arg(root.path().join("none")), 1, &["none", "does not exist"]);
    fs::write(root.path().join("training.csv"), "a,b\n1\n").unwrap();
    refuses(program("report").arg(root.path()), 1, &["training.csv is not a table", "again"]);
    fs::write(root.path().join("training.csv"), "a,b\n1,2\n").unwrap();
    refuses(program("report --tensorboard").arg(root.path()), 1, &["no curves"]);
    fs::write(root.path().join("x.json"), "{").unwrap();
    let (code, _, stderr) = run(program("report").arg(root.path()));
    assert_eq!(code, Some(0), "a stranger's file is no reason to stop");
    assert!(stderr.contains("x.json is left out: it is not JSON"), "{stderr}");
    // Of a folder that cannot be written to.
    let elsewhere = root.path().join("elsewhere");
    let mut report = program("report");
    report.arg(root.path()).arg("--out").arg(&elsewhere).arg("--quiet");
    assert_eq!(run(&mut report).0, Some(0));
    assert!(elsewhere.join("report.html").exists());
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Publishes a small result in `results`, as this version makes it.
fn publish(results: &Path, command: &str) {
    let folder = results.join("small");
    succeeds(program(command).args(["--quiet", "--out"]).arg(&folder));
    write_manifest(results, command);
}

fn write_manifest(results: &Path, command: &str) {
    let folder = results.join("small");
    let files: serde_json::Map<String, Value> = fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name != "manifest.json" && !name.starts_with('.'))
        .map(|name| (name.clone(), sha256(&fs::read(folder.join(&name)).unwrap()).into()))
        .collect();
    let manifest = json!({
        "name": "small",
        "command": command.split_whitespace().collect::<Vec<_>>(),
        "files": files,
        "version": env!("CARGO_PKG_VERSION"),
        "date": "2026-11-24",
        "seconds": 1,
        "threads": 1,
        "cpu": "any",
    });
    fs::write(folder.join("manifest.json"), manifest.to_string()).unwrap();
}

#[test]
fn a_published_result_is_made_again_and_compared_bit_for_bit() {
    let root = tempfile::tempdir().unwrap();
    let results = root.path().join("results");
    fs::create_dir(&results).unwrap();
    let command = "train --steps 5 --layers 64,5,10 --batch 10 --objective-size 20";
    publish(&results, command);
    let reproduce = |arguments: &str| {
        let mut command = program(&format!("reproduce {arguments}"));
        command.arg("--results").arg(&results);
        command
    };
    assert!(succeeds(&mut reproduce("")).contains("small"));
    let said = succeeds(&mut reproduce("small --check --quiet"));
    assert!(said.contains("2 files, each equal to the published one"), "{said}");

    // Found from a folder below, as everything named results is.
    let below = results.join("small");
    succeeds(program("reproduce small --check --quiet").current_dir(&below));

    // Begun, and done: of a command that keeps checkpoints, and of one that does not.
    for (name, command) in [("kept", command), ("short", "nqm --dim 3 --steps 4 --schedule greedy")]
    {
        write_manifest(&results, command);
        let out = root.path().join(name);
        let mut resumed = reproduce("small --resume --quiet");
        resumed.arg("--out").arg(&out);
        assert!(!succeeds(&mut resumed).is_empty(), "{name} begins");
        assert_eq!(succeeds(&mut resumed), "", "{name} is done");
        let file = fs::read_dir(&out).unwrap().map(|entry| entry.unwrap().path());
        fs::remove_file(
            file.filter(|path| path.extension() == Some("csv".as_ref())).last().unwrap(),
        )
        .unwrap();
        refuses(&mut resumed, 1, &["csv is missing"]);
    }
    write_manifest(&results, command);

    refuses(&mut reproduce("other --check"), 2, &["no published result other", "small"]);
    refuses(&mut reproduce("small"), 2, &["--out", "--check"]);
    let table = below.join("training.csv");
    let whole = fs::read_to_string(&table).unwrap();
    fs::write(&table, whole.replace("\n2,", "\n2,9")).unwrap();
    let (code, _, stderr) = run(&mut reproduce("small --check --quiet"));
    assert_eq!(code, Some(1));
    assert!(stderr.contains("training.csv was changed after it was published"), "{stderr}");
    write_manifest(&results, command);
    let (code, _, stderr) = run(&mut reproduce("small --check --quiet"));
    assert_eq!(code, Some(1));
    assert!(
        stderr.contains("training.csv differs from the published one in line 4: 2,"),
        "{stderr}"
    );
    fs::remove_file(&table).unwrap();
    let (code, _, stderr) = run(&mut reproduce("small --check --quiet"));
    assert_eq!(code, Some(1));
    assert!(stderr.contains("training.csv") && stderr.contains("does not exist"), "{stderr}");
    write_manifest(&results, "train --no-such-flag");
    refuses(&mut reproduce("small --check"), 1, &["does not understand the command of small"]);
    fs::write(below.join("manifest.json"), "{}").unwrap();
    refuses(&mut reproduce("small --check"), 1, &["manifest.json is not a manifest"]);
    let nowhere = root.path().join("nowhere");
    refuses(program("reproduce --results").arg(&nowhere), 1, &["nowhere", "does not exist"]);
}

/// What the repository publishes is what its manifests say; the small one is made again, where
/// there is MNIST.
#[test]
fn the_published_results_are_whole_and_the_small_one_is_made_again() {
    let results = Path::new(env!("CARGO_MANIFEST_DIR")).join("../results");
    let mut names = Vec::new();
    for entry in fs::read_dir(&results).unwrap() {
        let folder = entry.unwrap().path();
        let Ok(text) = fs::read_to_string(folder.join("manifest.json")) else { continue };
        let manifest: Value = serde_json::from_str(&text).unwrap();
        for (name, digest) in manifest["files"].as_object().unwrap() {
            let bytes = fs::read(folder.join(name)).unwrap();
            assert_eq!(*digest, sha256(&bytes), "{}", folder.join(name).display());
        }
        names.push(manifest["name"].as_str().unwrap().to_owned());
        assert_eq!(folder.file_name().unwrap().to_str(), names.last().map(String::as_str));
    }
    names.sort();
    for name in ["horizons-small", "judges", "tour"] {
        assert!(names.iter().any(|known| known == name), "{name} is not among {names:?}");
    }
    let mut judges = program("reproduce judges --check --quiet");
    judges.arg("--results").arg(&results);
    assert!(succeeds(&mut judges).contains("each equal to the published one"));
    let check = "reproduce horizons-small --check --quiet";
    let Some(folder) = std::env::var_os("MYOPIA_MNIST") else {
        let mut missing = program(check);
        missing.arg("--results").arg(&results).args(["--mnist-dir", "no/such/folder"]);
        refuses(&mut missing, 1, &["is not in no/such/folder", "myopia data fetch"]);
        return eprintln!("skipped: set MYOPIA_MNIST to the folder of the MNIST files");
    };
    let mut check = program(check);
    check.arg("--results").arg(&results).arg("--mnist-dir").arg(folder);
    assert!(succeeds(&mut check).contains("each equal to the published one"));
}

#[test]
fn a_stranger_s_large_table_is_left_out_and_a_result_is_not() {
    let root = tempfile::tempdir().unwrap();
    let out = root.path().join("out");
    let train = "train --layers 64,5,10 --objective-size 20 --batch 10 --steps 3 --quiet --out";
    succeeds(program(train).arg(&out));
    let rows = |count: usize| "0,1,2\n".repeat(count);
    let table = format!("step,learning_rate,loss\n{}", rows(400_000));
    fs::write(out.join("foreign.csv"), &table).unwrap();
    let (code, _, stderr) = run(program("report").arg(&out));
    assert_eq!(code, Some(0), "{stderr}");
    assert!(
        stderr.contains("foreign.csv is left out: it is larger than 2097152 bytes"),
        "{stderr}"
    );
    // As wide as it may be.
    let names: String = (0..100_000).map(|number| format!(",a{number}")).collect();
    let wide = format!("step{names}\n0{}\n", ",1".repeat(100_000));
    fs::write(out.join("wide.csv"), wide).unwrap();
    let began = Instant::now();
    succeeds(program("report --quiet --tensorboard").arg(&out));
    assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
    fs::remove_file(out.join("wide.csv")).unwrap();
    fs::write(out.join("training.csv"), &table).unwrap();
    fs::remove_file(out.join("foreign.csv")).unwrap();
    succeeds(program("report --quiet").arg(&out));
    let page = fs::read_to_string(out.join("report.html")).unwrap();
    assert!(page.contains("and 399976 rows more in the file"), "a result is shown at any size");
}

#[test]
fn every_curve_of_a_command_is_a_run_of_its_own_in_tensorboard() {
    let root = tempfile::tempdir().unwrap();
    for (number, (command, runs)) in [
        (
            "nqm compare greedy greedy constant:0.1 --dim 1 --steps 4",
            &["constant_0.1", "greedy", "greedy (2)"][..],
        ),
        (
            "nqm judges --dim 2 --steps 6 --horizon 2 --cooldowns 0,2 --averages 0.5",
            &["average", "average_0.5", "cooldown", "cooldown_0", "cooldown_2"][..],
        ),
        ("bilevel stn quadratic --spectrum inverse --dim 5", &["delta-stn", "implicit", "stn"][..]),
        (
            "bilevel game --spectrum inverse --dim 3",
            &["alternating", "simultaneous", "stackelberg"][..],
        ),
    ]
    .into_iter()
    .enumerate()
    {
        let out = root.path().join(number.to_string());
        succeeds(program(&format!("{command} --quiet --out")).arg(&out));
        succeeds(program("report --quiet --tensorboard").arg(&out));
        let entries = fs::read_dir(out.join("tensorboard")).unwrap();
        let mut found: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        found.sort();
        found.retain(|name| !name.contains("lowest"));
        assert_eq!(found, runs, "{command}");
    }
}
