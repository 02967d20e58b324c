//! The outer optimiser of what is learned.

use myopia_core::elementary::{Elementary, Libm};

/// Adam with its usual decay rates.
#[derive(Clone, Debug)]
pub struct Adam {
    rate: f64,
    mean: Vec<f64>,
    square: Vec<f64>,
    step: i32,
    decay: [f64; 2],
}

impl Adam {
    /// For `count` numbers.
    pub fn new(rate: f64, count: usize) -> Self {
        Self { rate, mean: vec![0.0; count], square: vec![0.0; count], step: 0, decay: [1.0; 2] }
    }

    /// Moves `x` against `gradient`.
    pub fn step(&mut self, x: &mut [f64], gradient: &[f64]) {
        self.step += 1;
        self.decay = [self.decay[0] * 0.9, self.decay[1] * 0.999];
        let [mean_decay, square_decay] = self.decay;
        for (((x, g), m), v) in x.iter_mut().zip(gradient).zip(&mut self.mean).zip(&mut self.square)
        {
            *m = 0.9 * *m + 0.1 * g;
            *v = 0.999 * *v + 0.001 * (g * g);
            let (mean, square) = (*m / (1.0 - mean_decay), *v / (1.0 - square_decay));
            *x -= self.rate * mean / (Libm::sqrt(square) + 1e-8);
        }
    }
}
