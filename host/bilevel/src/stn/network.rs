//! Self-tuning networks on images: the weight decay of each layer is tuned while the network
//! trains.
//!
//! Inner: mean cross-entropy plus ½Σ_l e^{λ_l}|w_l|² over the layers l, with mini-batches. Outer:
//! mean cross-entropy of held-out examples. The response is linear in full, one column of U for
//! each layer, not the low-rank form of the literature, so that what differs between the methods is
//! centring and linearisation alone.
//!
//! Each method's rate is the inner rate over the largest eigenvalue of its features' second
//! moments. Cost counts examples passed: a pass forward costs ⅓, a pass backward ⅔, with a tangent
//! twice that.

use myopia_core::bilevel::inverse::conjugate_gradient;
use myopia_core::bilevel::linear::{Operator, add_scaled, dot};
use myopia_core::elementary::{Elementary, Libm};
use myopia_core::rng::Pcg32;
use serde::Serialize;

use super::Method;
use crate::Error;
use crate::adam::Adam;
use crate::error::positive;
use crate::matrix::finite;
use crate::method::cosine;
use crate::network::{Examples, Network};

/// How it is run.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Settings {
    /// λ of every layer at first, the logarithm of its weight decay.
    pub log_decay: f64,
    /// s, of λ' around λ.
    pub spread: f64,
    /// Of w.
    pub inner_rate: f64,
    /// Adam's, of λ.
    pub outer_rate: f64,
    /// Examples in a batch.
    pub batch: u32,
    /// Inner steps before anything is learned of λ.
    pub pretrain: u32,
    /// Cost of learning the response while λ stands still, in gradients of a batch.
    pub fit: u32,
    /// Cost of tuning, in gradients of a batch.
    pub tune: u32,
    /// Response steps, or inner steps, between two outer steps.
    pub between: u32,
    /// Products of conjugate gradient, of [`Method::Implicit`].
    pub products: u32,
}

/// A network, examples to train on and others to tune by.
#[derive(Clone, Debug)]
pub struct Tuning<'a> {
    network: Network,
    training: &'a Examples,
    validation: &'a Examples,
    settings: Settings,
}

/// Weights after pretraining, where all methods begin.
#[derive(Clone, Debug)]
pub struct Start {
    seed: u64,
    weights: Vec<f64>,
}

/// A point of a tuning.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Point {
    /// Gradients of a batch so far, since pretraining.
    pub cost: f64,
    /// Mean cross-entropy of the validation examples.
    pub validation_loss: f64,
}

/// How each learned column of U points, one number for each layer.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Angles {
    /// The cosine to −H⁻¹∂²f/∂w∂λ; none where H is not positive definite at these weights.
    pub hessian: Option<Vec<f64>>,
    /// The cosine to −(G + diag(e^λ))⁻¹∂²f/∂w∂λ, with the Gauss–Newton matrix G for the Hessian of
    /// the cross-entropy.
    pub gauss_newton: Option<Vec<f64>>,
    /// Why there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Where a tuning ends.
#[derive(Clone, Debug, Serialize)]
pub struct End {
    /// Which.
    pub method: Method,
    /// Of weights, batches and perturbations.
    pub seed: u64,
    /// When λ had stood still; none for `implicit`.
    pub fitted: Option<Angles>,
    /// At the end.
    pub tuned: Option<Angles>,
    /// Mean cross-entropy of the validation examples after pretraining.
    pub start_loss: f64,
    /// The same at the end.
    pub validation_loss: f64,
    /// The share of them that are classified wrongly.
    pub validation_error: f64,
    /// λ.
    pub log_decays: Vec<f64>,
    /// The cost that was paid, in gradients of a batch.
    pub cost: f64,
    /// On the way.
    #[serde(skip)]
    pub points: Vec<Point>,
}

/// Products with H at most, of the Jacobian that the responses are compared with.
const MOST_PRODUCTS: u32 = 1_000;
/// Its relative residual.
const TOLERANCE: f64 = 1e-5;

/// The Hessian of the inner loss on `examples`.
struct Hessian<'a> {
    network: &'a Network,
    weights: &'a [f64],
    examples: &'a Examples,
    decays: &'a [f64],
    curvature: Curvature,
}

/// Which second derivatives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Curvature {
    /// All of them.
    Hessian,
    /// Those of the loss alone, not of the network.
    GaussNewton,
}

impl Operator<f64> for Hessian<'_> {
    fn dimension(&self) -> usize {
        self.weights.len()
    }

    fn apply(&self, x: &[f64], y: &mut [f64]) {
        let product = match self.curvature {
            Curvature::Hessian => self.network.hessian_product(self.weights, self.examples, x),
            Curvature::GaussNewton => {
                self.network.gauss_newton_product(self.weights, self.examples, x)
            }
        };
        for (((y, product), decay), x) in y.iter_mut().zip(product).zip(self.decays).zip(x) {
            *y = product + decay * x;
        }
    }
}

/// What one method carries along.
struct State {
    method: Method,
    /// w₀.
    weights: Vec<f64>,
    /// U.
    columns: Vec<Vec<f64>>,
    lambda: Vec<f64>,
    rng: Pcg32,
    cost: f64,
}

impl<'a> Tuning<'a> {
    /// Tuning `network` on `training` by `validation`.
    ///
    /// # Errors
    /// Rates or a spread that are not positive, or a batch larger than the data.
    pub fn new(
        network: Network,
        training: &'a Examples,
        validation: &'a Examples,
        settings: Settings,
    ) -> Result<Self, Error> {
        positive("the spread", settings.spread)?;
        positive("the inner rate", settings.inner_rate)?;
        positive("the outer rate", settings.outer_rate)?;
        let batch = settings.batch as usize;
        if batch == 0 || batch > training.count || batch > validation.count {
            return Err(Error::Range {
                name: "the batch",
                value: f64::from(settings.batch),
                expected: "a number from 1, no larger than the examples of either set",
            });
        }
        Ok(Self { network, training, validation, settings })
    }

    /// e^λ of each weight's layer.
    fn decays(&self, lambda: &[f64]) -> Vec<f64> {
        let layers = self.network.layers();
        layers
            .iter()
            .zip(lambda)
            .flat_map(|(range, l)| std::iter::repeat_n(Libm::exp(*l), range.len()))
            .collect()
    }

    fn batch(&self, of: &Examples, rng: &mut Pcg32) -> Examples {
        let most = u32::try_from(of.count).unwrap_or(u32::MAX);
        let chosen: Vec<u32> = (0..self.settings.batch).map(|_| rng.below(most)).collect();
        of.select(&chosen)
    }

    /// The inner gradient on `batch`.
    fn gradient(&self, weights: &[f64], batch: &Examples, decays: &[f64]) -> Vec<f64> {
        let mut gradient = self.network.loss_gradient(weights, batch).1;
        for ((g, decay), w) in gradient.iter_mut().zip(decays).zip(weights) {
            *g += decay * w;
        }
        gradient
    }

    /// Weights of `seed`, trained at the first λ.
    pub fn start(&self, seed: u64) -> Start {
        let mut weights = self.network.initial(&mut Pcg32::new(seed, 60));
        let mut rng = Pcg32::new(seed, 61);
        let decays = self.decays(&vec![self.settings.log_decay; self.network.layers().len()]);
        for _ in 0..self.settings.pretrain {
            let batch = self.batch(self.training, &mut rng);
            let gradient = self.gradient(&weights, &batch, &decays);
            add_scaled(&mut weights, -self.settings.inner_rate, &gradient);
        }
        Start { seed, weights }
    }

    /// −H⁻¹∂²f/∂w∂λ at `weights` on all training examples, one column for each layer.
    ///
    /// # Errors
    /// When H is not positive definite there, or conjugate gradient takes too long.
    pub fn truth(
        &self,
        weights: &[f64],
        lambda: &[f64],
        curvature: Curvature,
    ) -> Result<Vec<Vec<f64>>, Error> {
        let decays = self.decays(lambda);
        let hessian = Hessian {
            network: &self.network,
            weights,
            examples: self.training,
            decays: &decays,
            curvature,
        };
        let size = weights.len();
        let mut work = [vec![0.0; size], vec![0.0; size], vec![0.0; size]];
        let layers = self.network.layers();
        layers
            .into_iter()
            .map(|range| {
                let mut right = vec![0.0; size];
                for i in range {
                    right[i] = -(decays[i] * weights[i]);
                }
                let mut x = vec![0.0; size];
                let [r, p, q] = &mut work;
                let solved = conjugate_gradient(
                    &hessian,
                    &right,
                    MOST_PRODUCTS,
                    TOLERANCE,
                    &mut x,
                    [r, p, q],
                )
                .map_err(|e| Error::NotPositiveDefinite {
                    name: "H".to_owned(),
                    reason: e.to_string(),
                })?;
                match solved.residual <= TOLERANCE {
                    true => Ok(x),
                    false => Err(Error::NoConvergence {
                        products: solved.products,
                        residual: solved.residual,
                        tolerance: TOLERANCE,
                    }),
                }
            })
            .collect()
    }

    /// One step of w₀ and U on `batch` at λ' = λ + sε.
    fn respond(&self, state: &mut State) {
        let batch = self.batch(self.training, &mut state.rng);
        let s = self.settings.spread;
        let change: Vec<f64> = state.lambda.iter().map(|_| s * state.rng.normal::<f64>()).collect();
        let near: Vec<f64> = state.lambda.iter().zip(&change).map(|(l, e)| l + e).collect();
        let decays = self.decays(&near);
        // Of s²|ε|²ε-terms the mean is (p + 2)s².
        let noise = (state.lambda.len() as f64 + 2.0) * s * s;
        if state.method == Method::Stn {
            let rate = self.settings.inner_rate / (1.0 + dot(&state.lambda, &state.lambda) + noise);
            let weights = sum(&state.weights, &state.columns, &near);
            let gradient = self.gradient(&weights, &batch, &decays);
            add_scaled(&mut state.weights, -rate, &gradient);
            for (column, x) in state.columns.iter_mut().zip(&near) {
                add_scaled(column, -(rate * x), &gradient);
            }
            state.cost += 1.0;
            return;
        }
        let here = self.decays(&state.lambda);
        let own = self.gradient(&state.weights, &batch, &here);
        let zero = vec![0.0; state.weights.len()];
        let moved = sum(&zero, &state.columns, &change);
        let mut gradient = self.network.linearised_gradient(&state.weights, &batch, &moved);
        for (((g, decay), w), m) in gradient.iter_mut().zip(&decays).zip(&state.weights).zip(&moved)
        {
            *g += decay * (w + m);
        }
        add_scaled(&mut state.weights, -self.settings.inner_rate, &own);
        for (column, x) in state.columns.iter_mut().zip(&change) {
            add_scaled(column, -(self.settings.inner_rate / noise * x), &gradient);
        }
        state.cost += 1.0 + 4.0 / 3.0;
    }

    /// w at the present λ.
    fn present(&self, state: &State) -> Vec<f64> {
        match state.method {
            Method::Stn => sum(&state.weights, &state.columns, &state.lambda),
            _ => state.weights.clone(),
        }
    }

    /// The hypergradient at the present λ.
    fn slope(&self, state: &mut State) -> Vec<f64> {
        let weights = self.present(state);
        let judged = self.batch(self.validation, &mut state.rng);
        let v = self.network.loss_gradient(&weights, &judged).1;
        state.cost += 1.0;
        if state.method != Method::Implicit {
            return state.columns.iter().map(|column| dot(column, &v)).collect();
        }
        let batch = self.batch(self.training, &mut state.rng);
        let decays = self.decays(&state.lambda);
        let hessian = Hessian {
            network: &self.network,
            weights: &weights,
            examples: &batch,
            decays: &decays,
            curvature: Curvature::Hessian,
        };
        let mut x = vec![0.0; v.len()];
        let mut work = [x.clone(), x.clone(), x.clone()];
        let [r, p, q] = &mut work;
        let most = self.settings.products;
        // Where a direction of negative curvature is met, the iterate before it stands (truncated
        // Newton).
        let products = match conjugate_gradient(&hessian, &v, most, 1e-10, &mut x, [r, p, q]) {
            Ok(solved) => solved.products,
            Err(indefinite) => indefinite.products,
        };
        state.cost += 2.0 * f64::from(products);
        let layers = self.network.layers();
        layers
            .into_iter()
            .map(|range| {
                let terms: Vec<f64> = range.clone().map(|i| decays[i] * weights[i]).collect();
                -dot(&terms, &x[range])
            })
            .collect()
    }

    /// From `start`: the response is learned while λ stands still, then λ is tuned.
    ///
    /// # Errors
    /// When numbers leave the finite range.
    pub fn run(&self, method: Method, start: &Start) -> Result<End, Error> {
        let layers = self.network.layers().len();
        let lambda = vec![self.settings.log_decay; layers];
        let mut state = State {
            method,
            weights: start.weights.clone(),
            columns: vec![vec![0.0; start.weights.len()]; layers],
            lambda,
            rng: Pcg32::new(start.seed, 62),
            cost: 0.0,
        };
        let start_loss = self.network.loss_error(&state.weights, self.validation).0;
        while state.cost < f64::from(self.settings.fit) {
            self.advance(&mut state);
        }
        let mut points = vec![self.point(&state)];
        let fitted = self.angles(&state);
        let mut adam = Adam::new(self.settings.outer_rate, layers);
        let fit = state.cost;
        let end = fit + f64::from(self.settings.tune);
        let mut next = fit;
        while state.cost < end {
            (0..self.settings.between).for_each(|_| self.advance(&mut state));
            let slope = self.slope(&mut state);
            adam.step(&mut state.lambda, &slope);
            if state.cost >= next {
                points.push(self.point(&state));
                next += f64::from(self.settings.tune) / 40.0;
            }
        }
        let weights = self.present(&state);
        finite("the weights", &weights).map_err(|_| Error::Overflow {
            what: method.name().to_owned(),
            reason: "lower the inner rate or the spread".to_owned(),
        })?;
        let tuned = self.angles(&state);
        points.push(self.point(&state));
        let (validation_loss, validation_error) =
            self.network.loss_error(&weights, self.validation);
        Ok(End {
            method,
            seed: start.seed,
            fitted,
            tuned,
            start_loss,
            validation_loss,
            validation_error,
            log_decays: state.lambda,
            cost: state.cost,
            points,
        })
    }

    /// One step of the response, or of the weights alone.
    fn advance(&self, state: &mut State) {
        if state.method != Method::Implicit {
            return self.respond(state);
        }
        let batch = self.batch(self.training, &mut state.rng);
        let decays = self.decays(&state.lambda);
        let gradient = self.gradient(&state.weights, &batch, &decays);
        add_scaled(&mut state.weights, -self.settings.inner_rate, &gradient);
        state.cost += 1.0;
    }

    fn point(&self, state: &State) -> Point {
        let weights = self.present(state);
        let validation_loss = self.network.loss_error(&weights, self.validation).0;
        Point { cost: state.cost, validation_loss }
    }

    fn angles(&self, state: &State) -> Option<Angles> {
        if state.method == Method::Implicit {
            return None;
        }
        let weights = self.present(state);
        let cosines = |truth: Vec<Vec<f64>>| -> Vec<f64> {
            let pairs = state.columns.iter().zip(&truth);
            pairs.map(|(u, t)| cosine(u, t).unwrap_or(0.0)).collect()
        };
        let of = |curvature| self.truth(&weights, &state.lambda, curvature).map(cosines);
        let (hessian, gauss_newton) = (of(Curvature::Hessian), of(Curvature::GaussNewton));
        let reason = hessian.as_ref().err().or(gauss_newton.as_ref().err()).map(Error::to_string);
        Some(Angles { hessian: hessian.ok(), gauss_newton: gauss_newton.ok(), reason })
    }
}

/// w + Σ_l x_l·U_l.
fn sum(weights: &[f64], columns: &[Vec<f64>], x: &[f64]) -> Vec<f64> {
    let mut out = weights.to_vec();
    for (column, x) in columns.iter().zip(x) {
        add_scaled(&mut out, *x, column);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::glyphs;
    use myopia_core::glyphs::{CLASSES, PIXELS};

    const SETTINGS: Settings = Settings {
        log_decay: -3.0,
        spread: 0.5,
        inner_rate: 0.2,
        outer_rate: 0.02,
        batch: 20,
        pretrain: 800,
        fit: 800,
        tune: 250,
        between: 5,
        products: 5,
    };

    /// The Jacobian is what weights trained to the end at λ ± e say.
    #[test]
    fn the_true_jacobian_is_what_retraining_says() {
        let (training, validation) = (glyphs(0..40), glyphs(40..80));
        let settings = Settings { batch: 40, pretrain: 0, ..SETTINGS };
        let network = Network::new(&[PIXELS, 4, CLASSES]);
        let tuning = Tuning::new(network, &training, &validation, settings).unwrap();
        let trained = |mut weights: Vec<f64>, lambda: &[f64]| {
            let decays = tuning.decays(lambda);
            for _ in 0..4_000 {
                let gradient = tuning.gradient(&weights, &training, &decays);
                add_scaled(&mut weights, -0.3, &gradient);
            }
            weights
        };
        let lambda = [-2.0, -2.5];
        let weights = trained(tuning.start(1).weights, &lambda);
        let truth = tuning.truth(&weights, &lambda, Curvature::Hessian).unwrap();
        for (layer, told) in truth.iter().enumerate() {
            let moved = |by: f64| {
                let mut lambda = lambda;
                lambda[layer] += by;
                trained(weights.clone(), &lambda)
            };
            let (up, down) = (moved(1e-3), moved(-1e-3));
            let difference: Vec<f64> = up.iter().zip(&down).map(|(u, d)| (u - d) / 2e-3).collect();
            assert!(cosine(&difference, told).unwrap() > 0.9999, "layer {layer}");
        }
    }

    #[test]
    fn a_centred_response_points_nearer_to_the_true_one() {
        let (training, validation) = (glyphs(0..100), glyphs(100..200));
        let network = Network::new(&[PIXELS, 8, CLASSES]);
        let tuning = Tuning::new(network, &training, &validation, SETTINGS).unwrap();
        let start = tuning.start(1);
        let [stn, delta, implicit] = Method::ALL.map(|method| tuning.run(method, &start).unwrap());
        let cosines = |end: &End| end.fitted.clone().unwrap().gauss_newton.unwrap();
        let (plain, centred) = (cosines(&stn), cosines(&delta));
        for layer in 0..2 {
            assert!(centred[layer] > plain[layer] + 0.1, "{centred:?} {plain:?}");
        }
        assert!(implicit.fitted.is_none() && implicit.cost >= 250.0);
        assert!(delta.validation_loss < stn.validation_loss, "{delta:?} {stn:?}");
    }
}
