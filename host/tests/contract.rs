//! What `myopia hypergrad --export` writes, recomputed by an implementation that shares nothing
//! with the program.
#![expect(
    clippy::disallowed_methods,
    reason = "an independent check uses the platform's own functions"
)]

use std::fs::{self, File};
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// Weights [inputs][outputs] and biases of each layer.
type Layers = Vec<(Vec<Vec<f64>>, Vec<f64>)>;

/// The arrays of an exported folder, in double precision.
struct Export {
    layers: Layers,
    end: Layers,
    batches: Vec<Vec<usize>>,
    objective: Vec<usize>,
    meta: Value,
}

fn array<R: Read>(reader: R) -> (Vec<usize>, Vec<f64>) {
    use npyz::{DType, NpyFile};
    let file = NpyFile::new(reader).unwrap();
    let shape = file.shape().iter().map(|&n| n as usize).collect();
    let DType::Plain(dtype) = file.dtype() else { panic!("not a plain array") };
    let numbers = match dtype.to_string().as_str() {
        "<f4" => file.into_vec::<f32>().unwrap().into_iter().map(f64::from).collect(),
        "<f8" => file.into_vec::<f64>().unwrap(),
        "<u4" => file.into_vec::<u32>().unwrap().into_iter().map(f64::from).collect(),
        other => panic!("unexpected type {other}"),
    };
    (shape, numbers)
}

fn weights(path: &Path, sizes: &[usize]) -> Layers {
    let mut archive = zip::ZipArchive::new(File::open(path).unwrap()).unwrap();
    assert_eq!(archive.len(), 2 * (sizes.len() - 1));
    let mut named = |name: String| array(archive.by_name(&name).unwrap());
    let layer = |(l, sizes): (usize, &[usize])| {
        let (shape, weights) = named(format!("w{l}.npy"));
        assert_eq!(shape, sizes);
        let (shape, bias) = named(format!("b{l}.npy"));
        assert_eq!(shape, sizes[1..]);
        (weights.chunks(sizes[1]).map(<[f64]>::to_vec).collect(), bias)
    };
    sizes.windows(2).enumerate().map(layer).collect()
}

impl Export {
    fn read(folder: &Path) -> Self {
        let open = |name: &str| BufReader::new(File::open(folder.join(name)).unwrap());
        let meta: Value = serde_json::from_reader(open("meta.json")).unwrap();
        let sizes = meta["layers"].as_array().unwrap();
        let sizes: Vec<usize> = sizes.iter().map(|n| n.as_u64().unwrap() as usize).collect();
        let whole = |(shape, numbers): (Vec<usize>, Vec<f64>)| -> (Vec<usize>, Vec<usize>) {
            (shape, numbers.into_iter().map(|n| n as usize).collect())
        };
        let (shape, batches) = whole(array(open("batches.npy")));
        assert_eq!(shape[0] as u64, meta["horizon"].as_u64().unwrap());
        assert_eq!(shape[1] as u64, meta["batch"].as_u64().unwrap());
        Self {
            layers: weights(&folder.join("init.npz"), &sizes),
            end: weights(&folder.join("final.npz"), &sizes),
            batches: batches.chunks(shape[1]).map(<[usize]>::to_vec).collect(),
            objective: whole(array(open("objective.npy"))).1,
            meta,
        }
    }
}

type Example = (Vec<f64>, usize);

/// The pre-activations of every layer.
fn forward(layers: &[(Vec<Vec<f64>>, Vec<f64>)], pixels: &[f64]) -> Vec<Vec<f64>> {
    let mut all: Vec<Vec<f64>> = Vec::new();
    for (l, (weights, bias)) in layers.iter().enumerate() {
        let given: Vec<f64> = match l {
            0 => pixels.to_vec(),
            _ => all[l - 1].iter().map(|&z| if z > 0.0 { z } else { 0.0 }).collect(),
        };
        let mut z = bias.clone();
        for (x, row) in given.iter().zip(weights).filter(|(x, _)| **x != 0.0) {
            z.iter_mut().zip(row).for_each(|(z, w)| *z += x * w);
        }
        all.push(z);
    }
    all
}

fn softmax(z: &[f64]) -> Vec<f64> {
    let largest = z.iter().fold(f64::MIN, |a, &b| if b > a { b } else { a });
    let powers: Vec<f64> = z.iter().map(|z| (z - largest).exp()).collect();
    let total = powers.iter().fold(0.0, |sum, p| sum + p);
    powers.iter().map(|p| p / total).collect()
}

/// The value of a hyperparameter at a step.
type Number<'a> = &'a dyn Fn(&str, usize) -> f64;

/// Moves `theta` along its gradient as the optimiser of the export says; `m` and `s` are its state.
fn step(
    export: &Export,
    number: Number<'_>,
    k: usize,
    decays: bool,
    theta: &mut f64,
    [m, s]: &mut [f64; 2],
    mut g: f64,
) {
    let (name, is) = (&export.meta["optimizer"], |flag: &str| export.meta[flag] == true);
    let number = |name: &str| number(name, k);
    let rate = number(FACTOR) * number("alpha0")
        / (1.0 + k as f64 / number("time_constant")).powf(number("beta"));
    let decay = if decays { number("weight_decay") } else { 0.0 };
    let before = *theta;
    if !is("decoupled") {
        g += decay * before;
    }
    match name.as_str() {
        Some("adam") => {
            let [beta1, beta2] = ["beta1", "beta2"].map(number);
            *m = beta1 * *m + (1.0 - beta1) * g;
            *s = beta2 * *s + (1.0 - beta2) * g.powi(2);
            let steps = k as f64 + 1.0;
            let (mean, square) = (*m / (1.0 - beta1.powf(steps)), *s / (1.0 - beta2.powf(steps)));
            if *s > 0.0 {
                *theta -=
                    rate * mean / ((square + number("epsilon_root")).sqrt() + number("epsilon"));
            }
        }
        Some("rmsprop") => {
            let (rho, epsilon) = (number("rho"), number("epsilon"));
            *s = rho * *s + (1.0 - rho) * g.powi(2);
            let root =
                if is("epsilon_inside") { (*s + epsilon).sqrt() } else { s.sqrt() + epsilon };
            let along = if *s > 0.0 { g / root } else { 0.0 };
            *m = number("momentum") * *m - rate * along;
            *theta += *m;
        }
        _ => {
            *m = number("momentum") * *m - rate * g;
            *theta += if is("nesterov") { number("momentum") * *m - rate * g } else { *m };
        }
    }
    if is("decoupled") {
        *theta -= rate * decay * before;
    }
}

/// The name of a factor of each step's learning rate, one unless a test moves it.
const FACTOR: &str = "factor";

/// Trains on the exported batches and returns the objective and the final layers; `number` gives
/// the hyperparameters.
fn train(
    export: &Export,
    examples: &dyn Fn(usize) -> Example,
    number: Number<'_>,
) -> (f64, Layers) {
    let mut layers = export.layers.clone();
    let zeros = |(w, b): &(Vec<Vec<f64>>, Vec<f64>)| {
        (vec![vec![0.0; b.len()]; w.len()], vec![0.0; b.len()])
    };
    let nothing = |(w, b): &(Vec<Vec<f64>>, Vec<f64>)| {
        (vec![vec![[0.0; 2]; b.len()]; w.len()], vec![[0.0; 2]; b.len()])
    };
    let mut state: Vec<_> = layers.iter().map(nothing).collect();
    for (k, batch) in export.batches.iter().enumerate() {
        let mut gradient: Vec<_> = layers.iter().map(zeros).collect();
        for &index in batch {
            let (pixels, label) = examples(index);
            let z = forward(&layers, &pixels);
            let mut error = softmax(z.last().unwrap());
            error[label] -= 1.0;
            error.iter_mut().for_each(|e| *e /= batch.len() as f64);
            for l in (0..layers.len()).rev() {
                let below: Vec<f64> = match l {
                    0 => pixels.clone(),
                    _ => z[l - 1].iter().map(|&z| if z > 0.0 { z } else { 0.0 }).collect(),
                };
                let (dw, db) = &mut gradient[l];
                for (x, row) in below.iter().zip(dw).filter(|(x, _)| **x != 0.0) {
                    row.iter_mut().zip(&error).for_each(|(g, e)| *g += x * e);
                }
                db.iter_mut().zip(&error).for_each(|(g, e)| *g += e);
                let sum = |row: &Vec<f64>| row.iter().zip(&error).fold(0.0, |s, (w, e)| s + w * e);
                let gate = |(row, &x): (_, &f64)| if x > 0.0 { sum(row) } else { 0.0 };
                error = layers[l].0.iter().zip(&below).map(gate).collect();
            }
        }
        for ((layer, state), gradient) in layers.iter_mut().zip(&mut state).zip(&gradient) {
            let rows = layer.0.iter_mut().zip(&mut state.0).zip(&gradient.0);
            let rows = rows.map(|row| (row, true));
            let bias = ((&mut layer.1, &mut state.1), &gradient.1);
            for (((theta, state), g), decays) in rows.chain([(bias, false)]) {
                for ((theta, state), g) in theta.iter_mut().zip(state).zip(g) {
                    step(export, number, k, decays, theta, state, *g);
                }
            }
        }
    }
    let mut loss = 0.0;
    for &index in &export.objective {
        let (pixels, label) = examples(index);
        loss -= softmax(forward(&layers, &pixels).last().unwrap())[label].ln();
    }
    (loss / export.objective.len() as f64, layers)
}

/// Runs `myopia hypergrad` with these flags and recomputes what it says.
///
/// Returns how many derivatives it says.
fn check(
    flags: &str,
    examples: &dyn Fn(usize) -> Example,
    tolerance: f64,
    of_derivatives: f64,
) -> usize {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("export");
    let run = Command::new(env!("CARGO_BIN_EXE_myopia"))
        .args(["hypergrad", "--json", "--quiet", "--export"])
        .arg(&out)
        .args(flags.split_whitespace())
        .output()
        .unwrap();
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    let printed: Value = serde_json::from_slice(&run.stdout).unwrap();
    let export = Export::read(&out);
    // Weights decay only where the export says by how much.
    let number = |name: &str| match name {
        FACTOR => 1.0,
        name => export.meta.get(name).map_or(0.0, |x| x.as_f64().unwrap()),
    };
    let (loss, end) = train(&export, examples, &|name, _| number(name));
    let off = |found: f64, expected: f64| (found - expected).abs() / expected.abs();
    let said = |name: &str| {
        assert_eq!(printed[name], export.meta[name], "{name} in meta.json");
        printed[name].as_f64().unwrap()
    };
    assert!(off(said("loss"), loss) < tolerance, "{flags}: loss {} and {loss}", said("loss"));
    let flat = |layers: &[(Vec<Vec<f64>>, Vec<f64>)]| -> Vec<f64> {
        layers.iter().flat_map(|(w, b)| [w.concat(), b.clone()].concat()).collect()
    };
    for (found, expected) in flat(&export.end).iter().zip(flat(&end)) {
        assert!((found - expected).abs() < tolerance, "final weight {found} and {expected}");
    }
    let derivatives = printed["derivatives"].as_object().unwrap();
    assert_eq!(printed["derivatives"], export.meta["derivatives"]);
    for (name, found) in derivatives {
        let (tuned, found) = (name.replace('-', "_"), found.as_f64().unwrap());
        let along = |share: f64| {
            let moved = |name: &str| number(name) * if name == tuned { 1.0 + share } else { 1.0 };
            train(&export, examples, &|name, _| moved(name)).0
        };
        let step = 1e-5;
        let expected = (along(step) - along(-step)) / (2.0 * step * number(&tuned));
        let off = off(found, expected);
        assert!(off < of_derivatives, "{flags}: {name}: {found} and {expected}: {off:e}");
        if let Some(old) = printed.get(format!("d_{tuned}")) {
            assert_eq!(old, &derivatives[name], "the old key");
        }
    }
    // Reverse mode has the derivatives by every step's own learning rate and momentum.
    let is_reverse = export.meta.get("mode").is_some_and(|mode| mode == "reverse");
    for (file, name, of) in
        [("d_learning_rate.npy", FACTOR, "alpha0"), ("d_momentum.npy", "momentum", "momentum")]
    {
        let is_used = name == FACTOR || export.meta["optimizer"] != "adam";
        assert_eq!(out.join(file).exists(), is_reverse && is_used, "{flags}: {file}");
        if !(is_reverse && is_used) {
            continue;
        }
        let (shape, found) = array(File::open(out.join(file)).unwrap());
        assert_eq!(shape, [export.batches.len()]);
        let largest = found.iter().fold(0.0, |a: f64, x| if x.abs() > a { x.abs() } else { a });
        for (k, found) in found.into_iter().enumerate() {
            let along = |share: f64| {
                let moved = |asked: &str, step: usize| {
                    number(asked) * if asked == name && step == k { 1.0 + share } else { 1.0 }
                };
                train(&export, examples, &moved).0
            };
            // By a factor of the rate; by the rate itself it is that divided by the rate.
            let rate = match of {
                "alpha0" => {
                    number(of) / (1.0 + k as f64 / number("time_constant")).powf(number("beta"))
                }
                other => number(other),
            };
            let step = 1e-5;
            let expected = (along(step) - along(-step)) / (2.0 * step * rate);
            let off = (found - expected).abs() / largest;
            assert!(off < of_derivatives, "{flags}: {file}, step {k}: {found} and {expected}");
        }
    }
    derivatives.len()
}

fn glyph(index: usize) -> Example {
    let (pixels, label) = myopia_core::glyphs::Glyphs { seed: 1 }.draw(index as u32);
    (pixels.map(f64::from).to_vec(), label.into())
}

#[test]
fn the_export_of_a_run_on_glyphs_can_be_recomputed_elsewhere() {
    let flags = "--layers 64,12,9,10 --batch 20 --horizon 8 --alpha0 0.05 --time-constant 7 --beta 1.3 --objective-size 150";
    check(&format!("{flags} --precision f64 --seed 3"), &glyph, 1e-10, 1e-6);
    check(&format!("{flags} --seed 4 --objective train --momentum 0.5"), &glyph, 1e-6, 1e-4);
    assert_eq!(check(&format!("{flags} --precision f64 --pretrain 5"), &glyph, 1e-10, 1e-6), 3);
    let reverse = format!("{flags} --mode reverse --tune alpha0,time-constant,beta,momentum");
    assert_eq!(check(&format!("{reverse} --precision f64"), &glyph, 1e-10, 1e-6), 4);
    assert_eq!(check(&format!("{reverse} --memory 500KiB"), &glyph, 1e-6, 1e-4), 4);
}

#[test]
fn the_export_of_every_optimiser_can_be_recomputed_elsewhere() {
    let schedule = "alpha0,time-constant,beta";
    for (optimizer, tuned) in [
        ("--nesterov --momentum 0.8", "momentum"),
        ("--momentum 0.8 --weight-decay 0.02", "momentum,weight-decay"),
        ("--optimizer rmsprop --rho 0.8 --epsilon 0.01", "momentum,epsilon,rho"),
        (
            "--optimizer rmsprop --epsilon-inside --epsilon 1e-3 --momentum 0.4 --weight-decay 0.03",
            "momentum,epsilon,rho,weight-decay",
        ),
        ("--optimizer adam --epsilon 1e-3 --beta1 0.9 --beta2 0.99", "epsilon,beta1,beta2"),
        (
            "--optimizer adam --epsilon 1e-2 --epsilon-root 1e-6 --weight-decay 0.1 --decoupled",
            "epsilon,beta1,beta2,weight-decay",
        ),
    ] {
        let flags = format!(
            "--layers 64,9,10 --batch 20 --horizon 8 --alpha0 0.01 --time-constant 7 --beta 1.3 --objective-size 150 \
             --precision f64 {optimizer} --tune {schedule},{tuned}"
        );
        assert_eq!(check(&flags, &glyph, 1e-10, 1e-6), 3 + tuned.split(',').count());
        let flags = format!("{flags} --mode reverse");
        assert_eq!(check(&flags, &glyph, 1e-10, 1e-6), 3 + tuned.split(',').count());
    }
}

#[test]
fn the_export_of_a_run_on_mnist_can_be_recomputed_elsewhere() {
    let Some(folder) = std::env::var_os("MYOPIA_MNIST").map(PathBuf::from) else {
        return eprintln!("skipped: set MYOPIA_MNIST to the folder of the MNIST files");
    };
    let read = |name: &str| {
        let bytes = fs::read(folder.join(format!("{name}.gz"))).unwrap();
        let mut contents = Vec::new();
        flate2::read::GzDecoder::new(&bytes[..]).read_to_end(&mut contents).unwrap();
        contents
    };
    let (images, labels) = (read("train-images-idx3-ubyte"), read("train-labels-idx1-ubyte"));
    let example = |index: usize| {
        let pixels = &images[16 + 784 * index..][..784];
        let pixels = pixels.iter().map(|&p| f64::from(p) / 255.0).collect();
        (pixels, usize::from(labels[8 + index]))
    };
    let flags = "--data mnist --layers 784,30,20,10 --batch 50 --horizon 5 --alpha0 0.1 --time-constant 50 --beta 1 \
                 --objective-size 200";
    check(&format!("{flags} --precision f64 --objective train"), &example, 1e-10, 1e-6);
    check(&format!("{flags} --seed 2"), &example, 1e-6, 1e-4);
}
