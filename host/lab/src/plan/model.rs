//! The noisy quadratic that a measured spectrum stands for.

use myopia_core::elementary::{Elementary, Libm};
use myopia_core::nqm::Direction;
use myopia_core::real::Real;
use myopia_core::sum::sum;
use myopia_nqm::lanczos::Node;

use super::{Failed, Measured};

/// The quadratic of a measured spectrum.
///
/// A node of the gradient's measure is a direction of its curvature that starts off the minimum
/// and has no noise, one of the noise's a direction that starts there and has:
///
/// ```text
/// θ_j = √w_j/(|h_j| + λ)      σ²_l = w_l/h_l²
/// ```
///
/// Directions share learning rate and momentum alone. What training can remove, ½ Σ |h_j| θ_j², is
/// taken to be the present loss, as of a network that can fit its examples: where it would be more,
/// for directions of nearly no curvature promise more than there is, λ > 0 is the damping that
/// makes it so; where it would be less, all w_j are multiplied by the same number.
#[derive(Clone, Debug, PartialEq)]
pub struct Model {
    /// The directions: those of the gradient, then those of the noise.
    pub directions: Vec<Direction<f64>>,
    /// λ.
    pub damping: f64,
    /// The present loss, in nats.
    pub loss: f64,
    /// ½ Σ w_j/|h_j|, what training could remove by the spectrum alone.
    pub removable: f64,
}

/// Nodes below this share of the largest curvature are left out: rounding has made them.
const FLAT: f64 = 1e-7;
/// Halvings of the interval in which the damping lies.
const HALVINGS: u32 = 200;

impl Model {
    /// The quadratic of `measured`, its noise as it was measured.
    ///
    /// # Errors
    /// When there is no loss to remove or no curvature, or when a number is not finite.
    pub fn new(measured: &Measured) -> Result<Self, Failed> {
        let flat = FLAT * measured.sharpness();
        let curved = |nodes: &[Node]| -> Vec<Node> {
            let nodes = nodes.iter().filter(|node| node.value.abs() > flat && node.weight > 0.0);
            nodes.map(|node| Node { value: node.value.abs(), ..*node }).collect()
        };
        let (mut gradient, noise) = (curved(&measured.gradient), curved(&measured.noise));
        let loss = measured.loss;
        let found = removable(&gradient, 0.0);
        let damping = if found > loss { damping(&gradient, loss) } else { 0.0 };
        if found > 0.0 && found < loss {
            gradient.iter_mut().for_each(|node| node.weight *= loss / found);
        }
        let still = Direction {
            curvature: 0.0,
            noise_variance: 0.0,
            initial_mean: 0.0,
            initial_variance: 0.0,
        };
        let off = gradient.iter().map(|node| Direction {
            curvature: node.value,
            initial_mean: displacement(node, damping),
            ..still
        });
        let noisy = noise.iter().map(|node| Direction {
            curvature: node.value,
            noise_variance: node.weight / (node.value * node.value),
            ..still
        });
        let directions: Vec<_> = off.chain(noisy).collect();
        if found <= 0.0 || loss <= 0.0 {
            return Err(Failed::Flat);
        }
        if !(loss.is_finite() && directions.iter().all(|direction| direction.check().is_ok())) {
            return Err(Failed::Spectrum);
        }
        Ok(Self { directions, damping, loss, removable: found })
    }

    /// Its directions, the noise of each times its factor.
    pub fn with_noise(&self, factors: &[f64]) -> Vec<Direction<f64>> {
        let mut directions = self.directions.clone();
        for (direction, factor) in directions.iter_mut().zip(factors) {
            direction.noise_variance *= factor;
        }
        directions
    }
}

/// Displacement √w/(|h| + λ).
fn displacement(node: &Node, damping: f64) -> f64 {
    Libm::sqrt(node.weight) / (node.value + damping)
}

/// ½ Σ |h| θ².
fn removable(nodes: &[Node], damping: f64) -> f64 {
    let losses = nodes.iter().map(|node| {
        let away = displacement(node, damping);
        node.value * away * away / 2.0
    });
    sum(losses)
}

/// The least λ with which the removable loss, more than that without it, is at most `most`.
fn damping(nodes: &[Node], most: f64) -> f64 {
    let mut high = nodes.iter().fold(0.0, |most: f64, node| most.larger(node.value));
    while removable(nodes, high) > most {
        high *= 2.0;
    }
    let mut low = 0.0;
    for _ in 0..HALVINGS {
        let middle = low + (high - low) / 2.0;
        if removable(nodes, middle) > most { low = middle } else { high = middle }
    }
    high
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::plan::Cost;

    /// A measured spectrum of three directions with a gradient and two with noise.
    pub fn measured(loss: f64) -> Measured {
        let node = |(value, weight)| Node { value, weight };
        Measured {
            loss,
            gradient: [(5.0, 0.4), (0.3, 0.2), (-0.01, 0.001)].map(node).to_vec(),
            noise: [(4.0, 0.7), (0.5, 0.3)].map(node).to_vec(),
            cost: Cost::default(),
        }
    }

    #[test]
    fn what_there_is_can_be_removed_and_no_more() {
        let all = 0.4 / 10.0 + 0.2 / 0.6 + 0.001 / 0.02;
        for (loss, is_damped) in [(2.0, false), (0.1, true)] {
            let model = Model::new(&measured(loss)).unwrap();
            assert!((model.removable - all).abs() < 1e-15, "{}", model.removable);
            assert_eq!(model.damping > 0.0, is_damped);
            let removed = sum(model
                .directions
                .iter()
                .map(|d| d.curvature * d.initial_mean * d.initial_mean / 2.0));
            assert!((removed / loss - 1.0).abs() < 1e-12, "{removed}");
            let noise: Vec<f64> = model.directions[3..].iter().map(|d| d.noise_variance).collect();
            assert_eq!(noise, [0.7 / 16.0, 0.3 / 0.25]);
        }
    }

    #[test]
    fn without_loss_curvature_or_finite_numbers_there_is_no_model() {
        let flat = Measured { gradient: Vec::new(), ..measured(1.0) };
        assert_eq!(Model::new(&flat), Err(Failed::Flat));
        assert_eq!(Model::new(&measured(0.0)), Err(Failed::Flat));
        assert_eq!(Model::new(&measured(f64::INFINITY)), Err(Failed::Spectrum));
    }
}
