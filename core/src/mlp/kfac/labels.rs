//! Labels drawn from what a network predicts.

use crate::backend::Kernel;
use crate::mlp::matrix::Matrix;
use crate::real::Real;
use crate::rng::Pcg32;
use crate::vector::Vector;

/// Draws a label for each example: the first class up to which the scores sum to more than u times
/// all of them, else the last class.
pub struct Draw<'a, V: Vector, const P: usize> {
    pub classes: usize,
    /// e^(z_j − m), examples × classes.
    pub scores: Matrix<'a, V, P>,
    pub rng: Pcg32,
    pub labels: &'a mut [u16],
}

impl<V: Vector, const P: usize> Kernel for Draw<'_, V, P> {
    type Output = ();

    fn label(&self) -> &'static str {
        "labels"
    }

    #[inline(always)]
    fn run(mut self) {
        for (example, label) in self.labels.iter_mut().enumerate() {
            let score = |class: usize| match self.scores.at(example, class) {
                Some(score) => score.value,
                None => V::Scalar::ZERO,
            };
            let add = |sum: V::Scalar, class: usize| sum + score(class);
            let total = (0..self.classes).fold(V::Scalar::ZERO, add);
            let above = self.rng.uniform::<V::Scalar>() * total;
            let (mut sum, mut found) = (V::Scalar::ZERO, self.classes.saturating_sub(1));
            for class in 0..self.classes {
                sum = add(sum, class);
                if sum > above {
                    found = class;
                    break;
                }
            }
            *label = found as u16;
        }
    }
}
