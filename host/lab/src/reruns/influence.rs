//! Influence balancing (Tallec & Ollivier 2017, as in Vicol et al. 2021): a linear recurrence whose
//! parameter first moves the loss one way and in the long run the other.
//!
//! ```text
//! s ← As + θ sign,  A = ½(identity + first superdiagonal),  n = 23,  ten signs +, thirteen −
//! L = ½(s_1 − 1)²
//! ```
//!
//! At rest s_1 = 2θ Σ sign = −6θ, so that θ = −1/6 is best; yet k < n steps let θ reach s_1 through
//! the first k signs alone. The state begins with ones and is never begun again, θ = 0.5 moves
//! along the negative of what is estimated after each window. All in double precision.

use myopia_core::rng::Pcg32;
use myopia_core::sum::sum;
use serde::Serialize;

/// n.
const N: usize = 23;
/// Signs that are positive, the first.
const POSITIVE: usize = 10;
/// θ at first.
pub const FIRST: f64 = 0.5;
/// Steps from the first state after which a θ is judged.
pub const JUDGED: u32 = 500;

type State = [f64; N];

/// One step. The recurrence is linear: with θ = 1 it is that of the derivative by θ.
fn advance(state: &mut State, theta: f64) {
    for i in 0..N {
        let above = state.get(i + 1).copied().unwrap_or(0.0);
        let sign = if i < POSITIVE { 1.0 } else { -1.0 };
        state[i] = 0.5 * state[i] + 0.5 * above + theta * sign;
    }
}

fn loss(state: &State) -> f64 {
    0.5 * (state[0] - 1.0) * (state[0] - 1.0)
}

/// The loss after [`JUDGED`] steps from the first state, and its derivative by θ.
pub fn judged(theta: f64) -> [f64; 2] {
    let (mut state, mut tangent) = ([1.0; N], [0.0; N]);
    for _ in 0..JUDGED {
        advance(&mut state, theta);
        advance(&mut tangent, 1.0);
    }
    [loss(&state), (state[0] - 1.0) * tangent[0]]
}

/// ∂s_1/∂θ over so many steps, θ being held before them.
pub fn reach(steps: u32) -> f64 {
    let mut tangent = [0.0; N];
    (0..steps).for_each(|_| advance(&mut tangent, 1.0));
    tangent[0]
}

/// How the derivative is estimated.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Method {
    /// Exactly over windows of so many steps: tangents are dropped after each.
    Truncated(u32),
    /// By tangents that are carried on for good, read after each step (real-time recurrent
    /// learning).
    Carried,
    /// By evolution strategies with so many particles, in antithetic pairs, and windows of one
    /// step, persistent or not, of this standard deviation.
    Particles {
        /// Whether perturbed states and the sums of perturbations persist.
        persistent: bool,
        /// How many.
        count: u32,
        /// σ.
        sigma: f64,
    },
}

impl Method {
    /// Its name.
    pub fn name(&self) -> String {
        match self {
            Self::Truncated(steps) => format!("truncated:{steps}"),
            Self::Carried => "carried".to_owned(),
            Self::Particles { persistent: true, count, .. } => format!("pes {count}"),
            Self::Particles { persistent: false, count, .. } => format!("es {count}"),
        }
    }

    /// Whether it depends on a seed.
    pub fn is_random(&self) -> bool {
        matches!(self, Self::Particles { .. })
    }
}

/// One descent.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Path {
    /// θ after each update.
    pub theta: Vec<f64>,
    /// What each update was along.
    pub gradient: Vec<f64>,
}

/// A pair of particles and the sum of its perturbations.
#[derive(Clone)]
struct Pair {
    states: [State; 2],
    summed: f64,
}

/// Descent for so many updates at an outer rate, asked before each whether to go on; none when not.
/// It ends where θ leaves the finite range.
pub fn descend(
    method: Method,
    updates: u32,
    rate: f64,
    rng: &mut Pcg32,
    go_on: impl Fn() -> bool,
) -> Option<Path> {
    let (mut theta, mut path) = (FIRST, Path::default());
    let (mut state, mut tangent) = ([1.0; N], [0.0; N]);
    let pairs = match method {
        Method::Particles { count, .. } => count as usize / 2,
        _ => 0,
    };
    let mut all = vec![Pair { states: [[1.0; N]; 2], summed: 0.0 }; pairs];
    for _ in 0..updates {
        if !go_on() {
            return None;
        }
        let gradient = match method {
            Method::Truncated(steps) => {
                tangent = [0.0; N];
                for _ in 0..steps {
                    advance(&mut state, theta);
                    advance(&mut tangent, 1.0);
                }
                (state[0] - 1.0) * tangent[0]
            }
            Method::Carried => {
                advance(&mut state, theta);
                advance(&mut tangent, 1.0);
                (state[0] - 1.0) * tangent[0]
            }
            Method::Particles { persistent, sigma, .. } => {
                let estimates = all.iter_mut().map(|pair| {
                    let epsilon = sigma * rng.normal::<f64>();
                    if !persistent {
                        *pair = Pair { states: [state; 2], summed: 0.0 };
                    }
                    pair.summed += epsilon;
                    let [above, below] = &mut pair.states;
                    advance(above, theta + epsilon);
                    advance(below, theta - epsilon);
                    pair.summed * (loss(above) - loss(below)) / (2.0 * sigma * sigma)
                });
                let gradient = sum(estimates) / pairs as f64;
                advance(&mut state, theta);
                gradient
            }
        };
        theta -= rate * gradient;
        if !theta.is_finite() {
            break;
        }
        path.theta.push(theta);
        path.gradient.push(gradient);
    }
    Some(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The sum over paths: a sign i places on reaches s_1 after k steps along C(k, i) of 2ᵏ.
    #[test]
    fn the_reach_is_that_of_binomial_coefficients() {
        for steps in [1u32, 5, 40] {
            let mut expected = 0.0;
            for k in 0..steps {
                let mut share = libm::pow(0.5, f64::from(k));
                for i in 0..=k.min(22) {
                    expected += if i < 10 { share } else { -share };
                    share *= f64::from(k - i) / f64::from(i + 1);
                }
            }
            assert!((reach(steps) - expected).abs() < 1e-12, "{steps}");
        }
        assert!((reach(2000) + 6.0).abs() < 1e-9);
    }

    #[test]
    fn the_judge_is_lowest_at_minus_a_sixth_and_its_derivative_is_that_of_differences() {
        assert!(judged(-1.0 / 6.0)[0] < 1e-20);
        let h = 1e-6;
        let difference = (judged(0.5 + h)[0] - judged(0.5 - h)[0]) / (2.0 * h);
        assert!((judged(0.5)[1] / difference - 1.0).abs() < 1e-8);
    }

    #[test]
    fn truncation_goes_the_wrong_way_and_what_is_carried_on_the_right_one() {
        let end = |method| {
            let path = descend(method, 3000, 1e-4, &mut Pcg32::new(1, 0), || true);
            *path.unwrap().theta.last().unwrap()
        };
        for steps in [1, 10] {
            assert!(end(Method::Truncated(steps)) > FIRST, "{steps}");
        }
        assert!((end(Method::Carried) + 1.0 / 6.0).abs() < 1e-3);
        let particles = |persistent| Method::Particles { persistent, count: 1000, sigma: 0.1 };
        assert!(end(particles(false)) > FIRST);
        assert!((end(particles(true)) + 1.0 / 6.0).abs() < 0.1);
    }

    /// In the mean, one window of particles is the derivative that a window has.
    #[test]
    fn particles_estimate_what_tangents_find() {
        for (persistent, exact) in [(false, Method::Truncated(1)), (true, Method::Carried)] {
            let still = |method, seed| {
                descend(method, 4, 0.0, &mut Pcg32::new(seed, 0), || true).unwrap().gradient
            };
            let method = Method::Particles { persistent, count: 20_000, sigma: 0.01 };
            for (k, (found, exact)) in still(method, 3).iter().zip(still(exact, 0)).enumerate() {
                let off = (found - exact).abs();
                assert!(off < 0.05 * exact.abs(), "{persistent} {k}: {found} {exact}");
            }
        }
    }
}
