//! Solutions that move: distilling a linear map into n learned examples.
//!
//! Inner ½|XW − Y|² over W (d·c) with n < d rows, outer ½|W − W*|² over X (n·d) and Y (n·c). A run
//! from W = 0 stays in the span of the rows of X, so W has rank at most n: cold starts end no lower
//! than ½Σ_{i>n}σ_i² with σ the singular values of W*. A warm start leaves its earlier solutions in
//! W and passes them by: its W may have any rank, and what X and Y hold at the end no longer tells
//! it.

use myopia_core::bilevel::linear::{dot, multiply, multiply_transposed, product};
use myopia_core::rng::Pcg32;
use serde::Serialize;

use crate::Error;
use crate::adam::Adam;
use crate::error::positive;
use crate::matrix::finite;

/// The problem: W* is diagonal, with its singular values there.
#[derive(Clone, Debug)]
pub struct Moving {
    inputs: usize,
    outputs: usize,
    examples: usize,
    target: Vec<f64>,
    inner_rate: f64,
    steps: u32,
}

/// Where outer descent ends.
#[derive(Clone, Debug, Serialize)]
pub struct MovingEnd {
    /// Whether the inner problem went on from the last W.
    pub warm: bool,
    /// ½|W − W*|² at the end.
    pub loss: f64,
    /// The same after T steps from zero on what was learned.
    pub retrained: f64,
    /// ½Σ_{i>n}σ_i², below which no W trained from zero can be.
    pub bound: f64,
    /// The loss before each outer step.
    #[serde(skip)]
    pub losses: Vec<f64>,
}

/// X and Y.
#[derive(Clone, Debug)]
struct Learned {
    x: Vec<f64>,
    y: Vec<f64>,
}

impl Moving {
    /// `examples` learned ones for a map from `inputs` with these singular values, in descending
    /// order.
    ///
    /// # Errors
    /// When there are more singular values than inputs, no examples, or a rate that is not
    /// positive.
    pub fn new(
        inputs: usize,
        singular: &[f64],
        examples: usize,
        inner_rate: f64,
        steps: u32,
    ) -> Result<Self, Error> {
        positive("the inner rate", inner_rate)?;
        finite("the singular values", singular)?;
        if singular.is_empty() || singular.len() > inputs || examples == 0 {
            return Err(Error::Shape {
                name: "W*",
                found: format!("{inputs} x {} with {examples} examples", singular.len()),
                expected: "at least one example, one output, and as many inputs as outputs"
                    .to_owned(),
            });
        }
        let outputs = singular.len();
        let mut target = vec![0.0; inputs * outputs];
        singular.iter().enumerate().for_each(|(i, s)| target[i * outputs + i] = *s);
        Ok(Self { inputs, outputs, examples, target, inner_rate, steps })
    }

    fn loss(&self, w: &[f64]) -> f64 {
        let apart: Vec<f64> = w.iter().zip(&self.target).map(|(w, t)| w - t).collect();
        0.5 * dot(&apart, &apart)
    }

    /// XW − Y.
    fn residual(&self, learned: &Learned, w: &[f64]) -> Vec<f64> {
        let mut r = vec![0.0; learned.y.len()];
        product(&learned.x, w, self.inputs, self.outputs, &mut r);
        r.iter_mut().zip(&learned.y).for_each(|(r, y)| *r -= y);
        r
    }

    /// W ← W − a·Xᵀr.
    fn step(&self, learned: &Learned, w: &mut [f64], residual: &[f64]) {
        for (x, r) in learned.x.chunks_exact(self.inputs).zip(residual.chunks_exact(self.outputs)) {
            for (row, x) in w.chunks_exact_mut(self.outputs).zip(x) {
                row.iter_mut().zip(r).for_each(|(w, r)| *w -= self.inner_rate * (x * r));
            }
        }
    }

    /// ZᵀZ·`apart`/m.
    fn seen(&self, batch: &[f64], apart: &[f64]) -> Vec<f64> {
        let count = (batch.len() / self.inputs) as f64;
        let mut out = vec![0.0; apart.len()];
        let mut image = vec![0.0; self.outputs];
        for z in batch.chunks_exact(self.inputs) {
            multiply_transposed(apart, z, &mut image);
            for (row, z) in out.chunks_exact_mut(self.outputs).zip(z) {
                row.iter_mut().zip(&image).for_each(|(out, image)| *out += z * image / count);
            }
        }
        out
    }

    /// T steps from `w`, and the derivatives with respect to X and Y of ½|Z(W − W*)|²/m after them
    /// for the m rows of `batch`; of ½|W − W*|² without one.
    fn unrolled(
        &self,
        learned: &Learned,
        w: &mut [f64],
        batch: Option<&[f64]>,
    ) -> (Vec<f64>, Vec<f64>) {
        let mut path = Vec::new();
        for _ in 0..self.steps {
            let residual = self.residual(learned, w);
            path.push((w.to_vec(), residual.clone()));
            self.step(learned, w, &residual);
        }
        let (mut gx, mut gy) = (vec![0.0; learned.x.len()], vec![0.0; learned.y.len()]);
        let mut u: Vec<f64> = w.iter().zip(&self.target).map(|(w, t)| w - t).collect();
        if let Some(batch) = batch {
            u = self.seen(batch, &u);
        }
        let a = self.inner_rate;
        let mut seen = vec![0.0; self.outputs];
        let (mut first, mut second) = (vec![0.0; self.inputs], vec![0.0; self.inputs]);
        while let Some((w, residual)) = path.pop() {
            let before = u.clone();
            for (i, x) in learned.x.chunks_exact(self.inputs).enumerate() {
                let r = &residual[i * self.outputs..][..self.outputs];
                // Row i of XU; then of RUᵀ + (XU)Wᵀ.
                multiply_transposed(&before, x, &mut seen);
                multiply(&before, r, &mut first);
                multiply(&w, &seen, &mut second);
                let row = gx[i * self.inputs..][..self.inputs].iter_mut();
                for ((g, first), second) in row.zip(&first).zip(&second) {
                    *g -= a * (first + second);
                }
                let row = gy[i * self.outputs..][..self.outputs].iter_mut();
                row.zip(&seen).for_each(|(g, seen)| *g += a * seen);
                for (row, x) in u.chunks_exact_mut(self.outputs).zip(x) {
                    row.iter_mut().zip(&seen).for_each(|(u, seen)| *u -= a * (x * seen));
                }
            }
        }
        (gx, gy)
    }

    /// `outer_steps` of Adam at `outer_rate` on X and Y, which begin as small normals of `seed`;
    /// each sees W − W* through a `batch` of random inputs, as training on examples does.
    ///
    /// # Errors
    /// When numbers leave the finite range.
    pub fn run(
        &self,
        warm: bool,
        outer_rate: f64,
        outer_steps: u32,
        batch: usize,
        seed: u64,
    ) -> Result<MovingEnd, Error> {
        positive("the outer rate", outer_rate)?;
        let mut rng = Pcg32::new(seed, 43);
        let mut normals = |scale: f64, count: usize| {
            (0..count).map(|_| scale * rng.normal::<f64>()).collect::<Vec<f64>>()
        };
        let mut learned = Learned {
            x: normals(0.3, self.examples * self.inputs),
            y: normals(0.3, self.examples * self.outputs),
        };
        let mut adam =
            [Adam::new(outer_rate, learned.x.len()), Adam::new(outer_rate, learned.y.len())];
        let mut w = vec![0.0; self.target.len()];
        let mut losses = Vec::new();
        for _ in 0..outer_steps {
            if !warm {
                w.fill(0.0);
            }
            let seen = normals(1.0, batch * self.inputs);
            let (gx, gy) = self.unrolled(&learned, &mut w, Some(&seen));
            losses.push(self.loss(&w));
            adam[0].step(&mut learned.x, &gx);
            adam[1].step(&mut learned.y, &gy);
        }
        let mut again = vec![0.0; w.len()];
        self.unrolled(&learned, &mut again, None);
        finite("W", &w).and_then(|()| finite("W", &again)).map_err(|_| Error::Overflow {
            what: "the inner descent".to_owned(),
            reason: "the learned inputs outgrew the inner rate; lower it or the outer rate"
                .to_owned(),
        })?;
        let rest = (self.examples..self.outputs).map(|i| {
            let s = self.target[i * self.outputs + i];
            0.5 * s * s
        });
        Ok(MovingEnd {
            warm,
            loss: self.loss(&w),
            retrained: self.loss(&again),
            bound: myopia_core::sum::sum(rest),
            losses,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hypergradients_are_what_central_differences_say() {
        let moving = Moving::new(4, &[2.0, 1.0, 0.5], 2, 0.1, 5).unwrap();
        let numbers = |count: usize, k: usize| -> Vec<f64> {
            (0..count).map(|i| ((k * (i + 3) * (i + 3)) % 17) as f64 / 8.0 - 1.0).collect()
        };
        let learned = Learned { x: numbers(8, 3), y: numbers(6, 5) };
        let start = numbers(12, 7);
        let (gx, gy) = moving.unrolled(&learned, &mut start.clone(), None);
        let loss = |learned: &Learned| {
            let mut w = start.clone();
            moving.unrolled(learned, &mut w, None);
            moving.loss(&w)
        };
        let e = 1e-6;
        for place in 0..14 {
            let change = |by: f64| {
                let mut learned = learned.clone();
                match place {
                    0..8 => learned.x[place] += by,
                    _ => learned.y[place - 8] += by,
                }
                loss(&learned)
            };
            let difference = (change(e) - change(-e)) / (2.0 * e);
            let found = if place < 8 { gx[place] } else { gy[place - 8] };
            assert!((found - difference).abs() < 1e-8, "{place}: {found} {difference}");
        }
    }

    #[test]
    fn cold_starts_end_at_the_bound_of_their_rank_and_warm_ones_below() {
        let moving = Moving::new(6, &[2.0, 1.5, 1.0], 1, 0.1, 1).unwrap();
        for seed in 1..4 {
            let cold = moving.run(false, 0.02, 3_000, 8, seed).unwrap();
            let warm = moving.run(true, 0.02, 3_000, 8, seed).unwrap();
            assert_eq!(cold.bound, 0.5 * (1.5 * 1.5 + 1.0));
            assert!(cold.loss > cold.bound && cold.loss < 1.01 * cold.bound, "{}", cold.loss);
            assert!(warm.loss < 0.9 * warm.bound, "{}", warm.loss);
            assert!(warm.retrained > 1.8 * warm.bound, "{}", warm.retrained);
        }
    }
}
