//! `myopia hypergrad --mode reverse` and `myopia edge`, run as their users run them.

mod shared;

use serde_json::Value;
use shared::{names, program, refuses_in_a_sentence, run, succeeds};

const RUN: &str = "--layers 64,17,10 --batch 20 --horizon 30 --alpha0 0.02 --time-constant 20 --beta 0.8 --objective-size 150";

/// What `hypergrad` prints as JSON.
fn hypergrad(flags: &str) -> Value {
    let line = format!("hypergrad {RUN} --quiet --json {flags}");
    serde_json::from_str(&succeeds(&mut program(&line))).unwrap()
}

#[test]
fn neither_memory_threads_nor_instruction_set_enter_a_bit() {
    let everything = hypergrad("--mode reverse");
    let forward = hypergrad("");
    for key in ["loss", "accuracy", "digest"] {
        assert_eq!(everything[key], forward[key], "{key}");
    }
    let steps = RUN.replace("--horizon", "--steps");
    let trained = succeeds(&mut program(&format!("train {steps} --quiet --json")));
    let trained: Value = serde_json::from_str(&trained).unwrap();
    assert_eq!(everything["digest"], trained["digest"]);
    for (name, found) in everything["derivatives"].as_object().unwrap() {
        let (found, forward) =
            (found.as_f64().unwrap(), forward["derivatives"][name].as_f64().unwrap());
        assert!((found - forward).abs() < 1e-3 * forward.abs(), "{name}: {found}, {forward}");
        let old = format!("d_{}", name.replace('-', "_"));
        assert_eq!(everything[old], everything["derivatives"][name]);
    }
    let isas = ["baseline", "avx2", "avx512"].map(|isa| format!("--isa {isa}"));
    let threads = [1, 2, 3, 8].map(|threads| format!("--threads {threads}"));
    let memory = ["150KiB", "180 KiB", "1MiB"].map(|size| format!("--memory {}", size));
    let mut compared = 0;
    for flags in isas.iter().chain(&threads).chain(&memory) {
        let line = format!("hypergrad {RUN} --quiet --json --mode reverse");
        let mut command = program(&line);
        let (option, value) = flags.split_once(' ').unwrap();
        let (code, stdout, stderr) = run(command.args([option, value]));
        if code != Some(0) {
            assert!(stderr.contains("not among this processor's"), "{flags}: {stderr}");
            continue;
        }
        let found: Value = serde_json::from_str(&stdout).unwrap();
        assert_eq!(found, everything, "{flags}");
        compared += 1;
    }
    assert!(compared > 7, "{compared} compared");
}

#[test]
fn the_cost_is_told_before_it_starts() {
    let says = |flags: &str| {
        let line = format!("hypergrad {RUN} --json --mode reverse {flags}");
        let (code, _, stderr) = run(&mut program(&line));
        assert_eq!(code, Some(0), "{stderr}");
        stderr.lines().next().unwrap().to_owned()
    };
    let all = says("");
    assert!(all.starts_with("reverse mode stores all 30 points ("), "{all}");
    assert!(all.ends_with("30 steps forward, 30 back"), "{all}");
    let few = says("--memory 180KiB");
    assert!(few.contains(" binomial checkpoints ("), "{few}");
    let steps = few.split(": ").nth(1).unwrap().split(' ').next().unwrap();
    assert!(steps.parse::<u32>().unwrap() > 30, "{few}");
}

#[test]
fn what_cannot_be_is_refused_in_a_sentence() {
    let refused = |line: &str, words: &str| {
        refuses_in_a_sentence(&mut program(&format!("{line} --quiet")), 2, &[words]);
    };
    refused("hypergrad --memory 1GiB", "--memory limits reverse mode; give --mode reverse too");
    refused("hypergrad --mode reverse --memory 1KiB", "give at least that");
    refused(
        "hypergrad --mode reverse --horizon 1e9 --memory 900TiB --layers 64,10",
        "give a smaller --memory",
    );
    refused("edge --horizon 0", "--horizon 0 leaves no step");
    refused("edge --horizon 5,5", "--horizon names 5 twice");
    refused("edge --from 1 --to 0.1", "give two positive numbers, the smaller one first");
    refused("edge --points 1", "--points 1 must be at least 2");
    refused("edge --ladder 2", "a relative change must be between 0 and 1");
    refused("edge --parameter rho", "this training has no rho");
    refused("edge --parameter momentum --to 0.99", "must stay below 1");
    refused("edge --sharpness-examples 1e9", "must be between 1 and");
    refused("edge --points 4000000000", "of memory and");
    refused("edge --seeds 1000 --layers 64,60000,100,10", "of memory and");
    refused("edge --layers 64,1000,10 --products 70000", "of memory and");
    refused("edge --to 1e300", "f32 has no such numbers");
    refused("edge --from 1e-46", "f32 has no such numbers");
    refused("edge --from 1e-300 --to 1e300 --precision f64", "less than 1e308 times below");
    refused("edge --from 0.1 --to 0.10000001", "f32 does not tell them apart");
    refused("edge --ladder 0.1,1e-9", "f32 does not tell a value from one that is so near");
    shared::refuses(
        &mut program("hypergrad --mode reverse --memory much"),
        2,
        &["give a size, such as 512MiB or 1GiB"],
    );
    let diverging = "hypergrad --mode reverse --quiet --alpha0 1e30 --horizon 9";
    refuses_in_a_sentence(&mut program(diverging), 1, &["training diverged", "lower --alpha0"]);
}

const EDGE: &str = "edge --layers 64,12,10 --batch 20 --objective-size 100 --horizon 5,20 --points 4 --from 0.01 --to 8 --seeds 2 \
     --sharpness-examples 200 --products 8 --precision f64 --quiet";

#[test]
fn the_edge_is_found_and_written() {
    let root = tempfile::tempdir().unwrap();
    let out = root.path().join("edge");
    let printed = succeeds(program(&format!("{EDGE} --json")).arg("--out").arg(&out));
    assert_eq!(names(&out), ["edge.csv", "edge.json", "edge.png", "edge.svg"]);
    let report: Value = serde_json::from_str(&printed).unwrap();
    let rows = report["rows"].as_array().unwrap();
    assert_eq!(rows.len(), 8);
    assert_eq!(report["sentences"].as_array().unwrap().len(), 2);
    // A small rate: differences agree with the derivative, and neighbouring runs stay together.
    let calm = &rows[0];
    assert_eq!((calm["horizon"].as_u64(), calm["value"].as_f64()), (Some(5), Some(0.01)));
    for ratio in calm["agreement"].as_array().unwrap() {
        let ratio = ratio.as_f64().unwrap();
        assert!((ratio - 1.0).abs() < 0.01, "{ratio}");
    }
    assert!(calm["exponent"].as_f64().unwrap() < 0.0, "{calm}");
    assert!(calm["edge_of_stability"].as_f64().unwrap() < 1.0, "{calm}");
    // A large one: neighbouring runs part, or nothing is left of the run.
    let wild = &rows[3];
    assert!(
        wild["exponent"]
            .as_f64()
            .is_none_or(|exponent| exponent > calm["exponent"].as_f64().unwrap()),
        "{wild}"
    );
    let table = std::fs::read_to_string(out.join("edge.csv")).unwrap();
    let header = "horizon,alpha0,loss,derivative,exponent,sharpness,gauss_newton,edge_of_stability,gauss_newton_stability,\
                  signal_to_noise,agreement_0.01,agreement_0.1,agreement_0.001,agreement_0.0001";
    assert_eq!((table.lines().next(), table.lines().count()), (Some(header), 9));
    // The derivative is that of hypergrad.
    let flags = EDGE.split(" --horizon").next().unwrap().replace("edge", "hypergrad");
    let same = format!("{flags} --horizon 5 --alpha0 0.01 --precision f64 --quiet --json");
    let same: Value = serde_json::from_str(&succeeds(&mut program(&same))).unwrap();
    assert_eq!(same["d_alpha0"], calm["derivative"]);
    // Threads change nothing, and a finished run has nothing left to do.
    let one = succeeds(&mut program(&format!("{EDGE} --json --threads 1 --isa baseline")));
    assert_eq!(one, printed);
    let again = run(program(&format!("{EDGE} --json --resume")).arg("--out").arg(&out));
    assert_eq!((again.0, again.1), (Some(0), printed));
}
