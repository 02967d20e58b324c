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

/// Weights [inputs][outputs] and biases of each layer; of a normalised one also scale, shift,
/// running mean and variance.
type Layers = Vec<(Vec<Vec<f64>>, Vec<Vec<f64>>)>;

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

fn weights(path: &Path, sizes: &[usize], is_normalised: bool, has_averages: bool) -> Layers {
    let mut archive = zip::ZipArchive::new(File::open(path).unwrap()).unwrap();
    let hidden = if is_normalised { sizes.len() - 2 } else { 0 };
    let of_norm = if has_averages { 4 } else { 2 };
    assert_eq!(archive.len(), 2 * (sizes.len() - 1) + hidden * of_norm);
    let mut named = |name: String| array(archive.by_name(&name).unwrap());
    let layer = |(l, sizes): (usize, &[usize])| {
        let (shape, weights) = named(format!("w{l}.npy"));
        assert_eq!(shape, sizes);
        let mut row = |name: &str| {
            let (shape, row) = named(format!("{name}{l}.npy"));
            assert_eq!(shape, sizes[1..]);
            row
        };
        let mut rows = vec![row("b")];
        if l < hidden {
            rows.extend([row("scale"), row("shift")]);
            match has_averages {
                true => rows.extend([row("mean"), row("variance")]),
                false => rows.extend([0.0, 1.0].map(|start| vec![start; sizes[1]])),
            }
        }
        (weights.chunks(sizes[1]).map(<[f64]>::to_vec).collect(), rows)
    };
    sizes.windows(2).enumerate().map(layer).collect()
}

impl Export {
    fn read(folder: &Path) -> Self {
        let open = |name: &str| BufReader::new(File::open(folder.join(name)).unwrap());
        let meta: Value = serde_json::from_reader(open("meta.json")).unwrap();
        let sizes = meta["layers"].as_array().unwrap();
        let sizes: Vec<usize> = sizes.iter().map(|n| n.as_u64().unwrap() as usize).collect();
        let is_normalised = meta.get("norm").is_some_and(|norm| norm == "batch");
        let whole = |(shape, numbers): (Vec<usize>, Vec<f64>)| -> (Vec<usize>, Vec<usize>) {
            (shape, numbers.into_iter().map(|n| n as usize).collect())
        };
        let (shape, batches) = whole(array(open("batches.npy")));
        assert_eq!(shape[0] as u64, meta["horizon"].as_u64().unwrap());
        assert_eq!(shape[1] as u64, meta["batch"].as_u64().unwrap());
        Self {
            layers: weights(&folder.join("init.npz"), &sizes, is_normalised, false),
            end: weights(&folder.join("final.npz"), &sizes, is_normalised, is_normalised),
            batches: batches.chunks(shape[1]).map(<[usize]>::to_vec).collect(),
            objective: whole(array(open("objective.npy"))).1,
            meta,
        }
    }
}

type Example = (Vec<f64>, usize);

/// What a layer made of a batch: pre-activations z of every example, what ReLU is given, and
/// 1/√(variance + ε) of each unit where it is normalised.
struct Pass {
    z: Vec<Vec<f64>>,
    y: Vec<Vec<f64>>,
    mean: Vec<f64>,
    inverse: Vec<f64>,
}

fn relu(y: &[Vec<f64>]) -> Vec<Vec<f64>> {
    let gate = |row: &Vec<f64>| row.iter().map(|&y| if y > 0.0 { y } else { 0.0 }).collect();
    y.iter().map(gate).collect()
}

/// All layers on a batch; in training the statistics are its own, and move the running ones.
fn forward(layers: &mut Layers, inputs: &[Vec<f64>], is_training: bool) -> Vec<Pass> {
    let mut all: Vec<Pass> = Vec::new();
    for (weights, rows) in layers.iter_mut() {
        let given = all.last().map_or_else(|| inputs.to_vec(), |below| relu(&below.y));
        let sums = |given: &Vec<f64>| {
            let mut z = rows[0].clone();
            for (x, row) in given.iter().zip(weights.iter()).filter(|(x, _)| **x != 0.0) {
                z.iter_mut().zip(row).for_each(|(z, w)| *z += x * w);
            }
            z
        };
        let z: Vec<Vec<f64>> = given.iter().map(sums).collect();
        let (mut y, mut mean, mut inverse) = (z.clone(), Vec::new(), Vec::new());
        if let [_, scale, shift, running_mean, running_variance] = &mut rows[..] {
            let count = z.len() as f64;
            for unit in 0..scale.len() {
                let column: Vec<f64> = z.iter().map(|z| z[unit]).collect();
                let average = |terms: Vec<f64>| terms.iter().fold(0.0, |s, x| s + x) / count;
                if is_training {
                    let centre = average(column.clone());
                    let spread = average(column.iter().map(|z| (z - centre).powi(2)).collect());
                    mean.push(centre);
                    inverse.push((spread + 1e-5).powf(-0.5));
                    running_mean[unit] = 0.9 * running_mean[unit] + 0.1 * centre;
                    running_variance[unit] = 0.9 * running_variance[unit] + 0.1 * spread;
                } else {
                    mean.push(running_mean[unit]);
                    inverse.push((running_variance[unit] + 1e-5).powf(-0.5));
                }
                for y in &mut y {
                    y[unit] = scale[unit] * (y[unit] - mean[unit]) * inverse[unit] + shift[unit];
                }
            }
        }
        all.push(Pass { z, y, mean, inverse });
    }
    all
}

/// Takes errors of what ReLU is given to errors of the pre-activations, through mean and variance
/// one after the other; adds the gradients of scale and shift to theirs.
fn through_norm(pass: &Pass, rows: &[Vec<f64>], errors: &mut [Vec<f64>], by: &mut [Vec<f64>]) {
    let count = errors.len() as f64;
    for (unit, (&mean, &inverse)) in pass.mean.iter().zip(&pass.inverse).enumerate() {
        let centred: Vec<f64> = pass.z.iter().map(|z| z[unit] - mean).collect();
        let (mut by_variance, mut by_mean) = (0.0, 0.0);
        for (error, d) in errors.iter().zip(&centred) {
            by[1][unit] += error[unit] * d * inverse;
            by[2][unit] += error[unit];
            by_variance -= 0.5 * error[unit] * rows[1][unit] * d * inverse.powi(3);
            by_mean -= error[unit] * rows[1][unit] * inverse;
        }
        by_mean -= by_variance * 2.0 / count * centred.iter().fold(0.0, |s, d| s + d);
        for (error, d) in errors.iter_mut().zip(&centred) {
            error[unit] =
                error[unit] * rows[1][unit] * inverse + (by_variance * 2.0 * d + by_mean) / count;
        }
    }
}

/// What the layers of a network without normalisation give for one example.
fn plain(layers: &Layers, pixels: &[f64]) -> Vec<Vec<f64>> {
    let passes = forward(&mut layers.clone(), &[pixels.to_vec()], false);
    passes.into_iter().map(|mut pass| pass.y.swap_remove(0)).collect()
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
    // K-FAC has added it before it divides.
    if !is("decoupled") && name != "kfac" {
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

/// A matrix, row after row.
type Dense = Vec<Vec<f64>>;

/// What K-FAC knows of each layer; nothing if the export is of another optimiser.
struct Kfac {
    /// A and S.
    average: Vec<[Dense; 2]>,
    /// The batch's own, so far.
    moment: Vec<[Dense; 2]>,
    /// The inverses of A_λ and S_λ.
    inverse: Vec<[Dense; 2]>,
}

/// The inverse by elimination with the largest pivots.
fn inverse(mut m: Dense) -> Dense {
    let n = m.len();
    let one = |i: usize| (0..n).map(move |j| if i == j { 1.0 } else { 0.0 });
    m.iter_mut().enumerate().for_each(|(i, row)| row.extend(one(i)));
    for i in 0..n {
        let largest = (i..n).max_by(|&a, &b| m[a][i].abs().total_cmp(&m[b][i].abs())).unwrap();
        m.swap(i, largest);
        let pivot = m[i].clone();
        for (r, row) in m.iter_mut().enumerate() {
            if r == i {
                row.iter_mut().for_each(|x| *x /= pivot[i]);
            } else {
                let factor = row[i] / pivot[i];
                row.iter_mut().zip(&pivot).for_each(|(x, p)| *x -= factor * p);
            }
        }
    }
    m.into_iter().map(|row| row[n..].to_vec()).collect()
}

fn product(a: &Dense, b: &Dense) -> Dense {
    let row = |row: &Vec<f64>| {
        let mut sums = vec![0.0; b[0].len()];
        for (x, other) in row.iter().zip(b) {
            sums.iter_mut().zip(other).for_each(|(sum, y)| *sum += x * y);
        }
        sums
    };
    a.iter().map(row).collect()
}

/// The errors of every layer of an example's own loss.
fn errors(layers: &Layers, z: &[Vec<f64>], label: usize) -> Vec<Vec<f64>> {
    let mut error = softmax(z.last().unwrap());
    error[label] -= 1.0;
    let mut all = vec![error];
    for l in (1..layers.len()).rev() {
        let above = &all[0];
        let sum = |row: &Vec<f64>| row.iter().zip(above).fold(0.0, |s, (w, e)| s + w * e);
        let gate = |(row, &z): (_, &f64)| if z > 0.0 { sum(row) } else { 0.0 };
        let error = layers[l].0.iter().zip(&z[l - 1]).map(gate).collect();
        all.insert(0, error);
    }
    all
}

impl Kfac {
    fn new(export: &Export, layers: &Layers) -> Self {
        let square = |n: usize| vec![vec![0.0; n]; n];
        let nothing = |(w, rows): &(Dense, Dense)| [square(w.len() + 1), square(rows[0].len())];
        let is_used = export.meta["optimizer"] == "kfac";
        let average: Vec<_> = layers.iter().filter(|_| is_used).map(nothing).collect();
        Self { moment: average.clone(), inverse: average.clone(), average }
    }

    /// The labels that S is of, in step `k`.
    fn drawn(
        &self,
        export: &Export,
        layers: &Layers,
        k: usize,
        batch: &Vec<Example>,
    ) -> Vec<usize> {
        if export.meta["kfac_sampled"] != true {
            return batch.iter().map(|(_, label)| *label).collect();
        }
        // Stream 7 of the seed, from its start: a number for each example of each step.
        let seed = export.meta["seed"].as_u64().unwrap();
        let (increment, next) = (7_u64 << 1 | 1, |state: u64, increment: u64| {
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(increment)
        });
        let mut state = next(increment.wrapping_add(seed), increment);
        for _ in 0..k * batch.len() {
            state = next(state, increment);
        }
        let mut labels = Vec::new();
        for (pixels, _) in batch {
            let bits = (((state >> 18) ^ state) >> 27) as u32;
            let bits = bits.rotate_right((state >> 59) as u32);
            state = next(state, increment);
            let u = f64::from(bits >> 8) / f64::from(1 << 24);
            let p = softmax(plain(layers, pixels).last().unwrap());
            let mut sum = 0.0;
            let above = p.iter().position(|p| {
                sum += p;
                sum > u
            });
            labels.push(above.unwrap_or(p.len() - 1));
        }
        labels
    }

    /// Adds an example to the moments of the batch.
    fn see(&mut self, layers: &Layers, pixels: &[f64], label: usize, examples: usize) {
        if self.moment.is_empty() {
            return;
        }
        let z = plain(layers, pixels);
        let errors = errors(layers, &z, label);
        for (l, [a, s]) in self.moment.iter_mut().enumerate() {
            let mut below: Vec<f64> = match l {
                0 => pixels.to_vec(),
                _ => z[l - 1].iter().map(|&z| if z > 0.0 { z } else { 0.0 }).collect(),
            };
            below.push(1.0);
            for (moment, x) in [(a, &below), (s, &errors[l])] {
                for (row, x_i) in moment.iter_mut().zip(x) {
                    row.iter_mut().zip(x).for_each(|(m, x_j)| *m += x_i * x_j / examples as f64);
                }
            }
        }
    }

    /// Replaces the gradients by U, scaled where steps are clipped.
    fn precondition(
        &mut self,
        export: &Export,
        number: &dyn Fn(&str) -> f64,
        k: usize,
        layers: &Layers,
        gradient: &mut [(Dense, Dense)],
    ) {
        if self.moment.is_empty() {
            return;
        }
        let kept = if k == 0 { 0.0 } else { number("kfac_decay") };
        for (average, moment) in
            self.average.iter_mut().flatten().zip(self.moment.iter_mut().flatten())
        {
            for (a, m) in average.iter_mut().flatten().zip(moment.iter_mut().flatten()) {
                *a = kept * *a + (1.0 - kept) * *m;
                *m = 0.0;
            }
        }
        if (k as u64).is_multiple_of(export.meta["refactor_every"].as_u64().unwrap()) {
            let mean = |m: &Dense| {
                (0..m.len()).map(|i| m[i][i]).fold(0.0, |sum, x| sum + x) / m.len() as f64
            };
            for (inverses, [a, s]) in self.inverse.iter_mut().zip(&self.average) {
                let pi = if mean(s) > 0.0 { (mean(a) / mean(s)).sqrt() } else { 1.0 };
                let root = number("damping").sqrt();
                for (to, (m, damping)) in inverses.iter_mut().zip([(a, pi * root), (s, root / pi)])
                {
                    let mut m = m.clone();
                    m.iter_mut().enumerate().for_each(|(i, row)| row[i] += damping);
                    *to = inverse(m);
                }
            }
        }
        let rate = number(FACTOR) * number("alpha0")
            / (1.0 + k as f64 / number("time_constant")).powf(number("beta"));
        let decay = if export.meta["decoupled"] == true { 0.0 } else { number("weight_decay") };
        let mut along = 0.0;
        for (((dw, rows), [a, s]), (w, _)) in gradient.iter_mut().zip(&self.inverse).zip(layers) {
            for (g, w) in dw.iter_mut().flatten().zip(w.iter().flatten()) {
                *g += decay * w;
            }
            let mut g = dw.clone();
            g.push(rows[0].clone());
            let mut u = product(a, &product(&g, s));
            let terms = g.iter().flatten().zip(u.iter().flatten()).map(|(g, u)| g * u);
            along += rate * rate * terms.fold(0.0, |sum, x| sum + x);
            rows[0] = u.pop().unwrap();
            *dw = u;
        }
        if let Some(clip) = export.meta["kfac_clip"].as_f64()
            && along > clip
        {
            let share = (clip / along).sqrt();
            let all =
                gradient.iter_mut().flat_map(|(dw, rows)| dw.iter_mut().chain(rows).flatten());
            all.for_each(|u| *u *= share);
        }
    }
}

/// Trains on the exported batches and returns the objective and the final layers; `number` gives
/// the hyperparameters.
fn train(
    export: &Export,
    examples: &dyn Fn(usize) -> Example,
    number: Number<'_>,
) -> (f64, Layers) {
    let mut layers = export.layers.clone();
    let zeros = |rows: &[Vec<f64>]| -> Vec<Vec<f64>> {
        rows.iter().map(|row| vec![0.0; row.len()]).collect()
    };
    let nothing = |rows: &[Vec<f64>]| -> Vec<Vec<[f64; 2]>> {
        rows.iter().map(|row| vec![[0.0; 2]; row.len()]).collect()
    };
    let mut state: Vec<_> = layers.iter().map(|(w, rows)| (nothing(w), nothing(rows))).collect();
    let mut kfac = Kfac::new(export, &layers);
    for (k, batch) in export.batches.iter().enumerate() {
        let mut gradient: Vec<_> = layers.iter().map(|(w, rows)| (zeros(w), zeros(rows))).collect();
        let drawn = kfac.drawn(export, &layers, k, &batch.iter().map(|&i| examples(i)).collect());
        let (inputs, labels): (Vec<_>, Vec<_>) = batch.iter().map(|&index| examples(index)).unzip();
        for (pixels, label) in inputs.iter().zip(drawn) {
            kfac.see(&layers, pixels, label, batch.len());
        }
        let passes = forward(&mut layers, &inputs, true);
        let mut errors: Vec<_> = passes.last().unwrap().y.iter().map(|z| softmax(z)).collect();
        for (error, label) in errors.iter_mut().zip(labels) {
            error[label] -= 1.0;
            error.iter_mut().for_each(|e| *e /= batch.len() as f64);
        }
        for l in (0..layers.len()).rev() {
            let (weights, rows) = &layers[l];
            let (dw, by) = &mut gradient[l];
            through_norm(&passes[l], rows, &mut errors, by);
            let below = if l == 0 { inputs.clone() } else { relu(&passes[l - 1].y) };
            for (below, error) in below.iter().zip(&mut errors) {
                for (x, row) in below.iter().zip(&mut *dw).filter(|(x, _)| **x != 0.0) {
                    row.iter_mut().zip(&*error).for_each(|(g, e)| *g += x * e);
                }
                by[0].iter_mut().zip(&*error).for_each(|(g, e)| *g += e);
                let sum = |row: &Vec<f64>| row.iter().zip(&*error).fold(0.0, |s, (w, e)| s + w * e);
                let gate = |(row, &x): (_, &f64)| if x > 0.0 { sum(row) } else { 0.0 };
                *error = weights.iter().zip(below).map(gate).collect();
            }
        }
        kfac.precondition(export, &|name| number(name, k), k, &layers, &mut gradient);
        for ((layer, state), gradient) in layers.iter_mut().zip(&mut state).zip(&gradient) {
            let rows = layer.0.iter_mut().zip(&mut state.0).zip(&gradient.0);
            let rows = rows.map(|row| (row, true));
            // Running averages take no step.
            let others = layer.1.iter_mut().zip(&mut state.1).zip(&gradient.1).take(3);
            for (((theta, state), g), decays) in rows.chain(others.map(|row| (row, false))) {
                for ((theta, state), g) in theta.iter_mut().zip(state).zip(g) {
                    step(export, number, k, decays, theta, state, *g);
                }
            }
        }
    }
    let mut loss = 0.0;
    for &index in &export.objective {
        let (pixels, label) = examples(index);
        let passes = forward(&mut layers, &[pixels], false);
        loss -= softmax(&passes.last().unwrap().y[0])[label].ln();
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
    let flat = |layers: &Layers| -> Vec<f64> {
        layers.iter().flat_map(|(w, rows)| [w.concat(), rows.concat()].concat()).collect()
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
fn the_export_of_kfac_can_be_recomputed_elsewhere() {
    for (optimizer, tuned) in [
        ("--damping 0.02 --refactor-every 1 --kfac-decay 0", "damping,momentum"),
        ("--damping 0.003 --refactor-every 3 --kfac-decay 0.9 --momentum 0.5", "momentum,damping"),
        ("--damping 0.05 --refactor-every 3 --kfac-decay 0.9 --kfac-sampled", "damping"),
        ("--damping 0.05 --refactor-every 2 --kfac-clip 1e-3", "damping,momentum"),
        ("--damping 0.05 --weight-decay 0.05 --momentum 0", "damping,weight-decay"),
        ("--damping 0.05 --weight-decay 0.5 --decoupled --kfac-clip 2e-3", "weight-decay,damping"),
    ] {
        let flags = format!(
            "--layers 64,9,10 --batch 20 --horizon 8 --alpha0 0.02 --time-constant 7 --beta 1.3 --objective-size 150 \
             --optimizer kfac {optimizer} --tune alpha0,time-constant,beta,{tuned}"
        );
        let double = format!("{flags} --precision f64");
        assert_eq!(check(&double, &glyph, 1e-10, 1e-6), 3 + tuned.split(',').count());
        check(&format!("{flags} --seed 5"), &glyph, 1e-4, 1e-2);
    }
}

#[test]
fn the_export_of_batch_normalisation_can_be_recomputed_elsewhere() {
    let network = "--norm batch --layers 64,12,9,10 --batch 20 --horizon 8 --objective-size 150";
    let schedule = "--alpha0 0.02 --time-constant 7 --beta 1.3";
    for (optimizer, tuned) in [
        ("", "momentum"),
        ("--pretrain 5 --momentum 0.8 --weight-decay 0.02 --decoupled", "momentum,weight-decay"),
        ("--nesterov --weight-decay 0.02 --objective train", "momentum,weight-decay"),
        ("--optimizer rmsprop --epsilon 0.01 --weight-decay 0.03", "epsilon,rho,weight-decay"),
        ("--optimizer adam --epsilon 1e-3 --beta2 0.99 --seed 3", "epsilon,beta1,beta2"),
        // The gradient of a bias before a normalisation is nothing but rounding, of which Adam
        // would make steps of 1e-10 with an epsilon of 1e-8.
        ("--optimizer adam --epsilon 5e-4 --weight-decay 0.1 --decoupled", "epsilon,weight-decay"),
    ] {
        let flags = format!("{network} {schedule} {optimizer} --tune alpha0,beta,{tuned}");
        let found = check(&format!("{flags} --precision f64"), &glyph, 1e-10, 1e-6);
        assert_eq!(found, 3 + tuned.matches(',').count(), "{flags}");
    }
    check(&format!("{network} {schedule} --weight-decay 0.02"), &glyph, 1e-6, 1e-4);
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
