//! What `myopia hypergrad --export` writes, recomputed by an implementation that shares nothing with the program.
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

    fn number(&self, name: &str) -> f64 {
        self.meta[name].as_f64().unwrap()
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

/// Trains on the exported batches and returns the objective and the final layers.
fn train(
    export: &Export,
    examples: &dyn Fn(usize) -> Example,
    [alpha0, time_constant, beta]: [f64; 3],
) -> (f64, Layers) {
    let momentum = export.number("momentum");
    let mut layers = export.layers.clone();
    let zeros = |(w, b): &(Vec<Vec<f64>>, Vec<f64>)| {
        (vec![vec![0.0; b.len()]; w.len()], vec![0.0; b.len()])
    };
    let mut velocity: Vec<_> = layers.iter().map(zeros).collect();
    for (k, batch) in export.batches.iter().enumerate() {
        let rate = alpha0 / (1.0 + k as f64 / time_constant).powf(beta);
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
        let step = |theta: &mut f64, v: &mut f64, g: f64| {
            *v = momentum * *v - rate * g;
            *theta += *v;
        };
        for ((layer, velocity), gradient) in layers.iter_mut().zip(&mut velocity).zip(&gradient) {
            let rows = layer.0.iter_mut().zip(&mut velocity.0).zip(&gradient.0);
            let bias = ((&mut layer.1, &mut velocity.1), &gradient.1);
            for ((theta, v), g) in rows.chain([bias]) {
                for ((theta, v), g) in theta.iter_mut().zip(v).zip(g) {
                    step(theta, v, *g);
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
fn check(flags: &str, examples: &dyn Fn(usize) -> Example, tolerance: f64, of_derivatives: f64) {
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
    let schedule = ["alpha0", "time_constant", "beta"].map(|name| export.number(name));
    let (loss, end) = train(&export, examples, schedule);
    let off = |found: f64, expected: f64| (found - expected).abs() / expected.abs();
    let said = |name: &str| {
        assert_eq!(printed[name], export.meta[name], "{name} in meta.json");
        printed[name].as_f64().unwrap()
    };
    assert!(off(said("loss"), loss) < tolerance, "loss {} and {loss}", said("loss"));
    let flat = |layers: &[(Vec<Vec<f64>>, Vec<f64>)]| -> Vec<f64> {
        layers.iter().flat_map(|(w, b)| [w.concat(), b.clone()].concat()).collect()
    };
    for (found, expected) in flat(&export.end).iter().zip(flat(&end)) {
        assert!((found - expected).abs() < tolerance, "final weight {found} and {expected}");
    }
    for (which, name) in ["d_alpha0", "d_time_constant", "d_beta"].into_iter().enumerate() {
        let along = |share: f64| {
            let mut moved = schedule;
            moved[which] *= 1.0 + share;
            train(&export, examples, moved).0
        };
        let step = 1e-5;
        let expected = (along(step) - along(-step)) / (2.0 * step * schedule[which]);
        let off = off(said(name), expected);
        assert!(off < of_derivatives, "{name}: {} and {expected}: {off:e}", said(name));
    }
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
    check(&format!("{flags} --precision f64 --pretrain 5"), &glyph, 1e-10, 1e-6);
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
