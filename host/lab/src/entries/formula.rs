//! The schedule that the sizes of a run's gradients ask for, by the theory of the last iterate.

use myopia_core::bilevel::linear::dot;
use myopia_core::elementary::{Elementary, Libm};
use myopia_core::unroll::Diverged;

use crate::precision::Numbers;
use crate::problem::{Entries, InitialParams, Problem, Tangents};

/// The refined schedule of [Defazio et al. 2023](https://arxiv.org/abs/2310.07831), of mean one,
/// from the norms G_t of a run's gradients: α_t ∝ G_t⁻² Σ_{p>t} G_p⁻², with the norms smoothed by
/// a median over a tenth of the run. Constant norms give linear decay to zero.
pub fn refined_linear_decay(norms: &[f64]) -> Vec<f64> {
    let weights: Vec<f64> = medians(norms).iter().map(|g| 1.0 / (g * g)).collect();
    let mut rates = vec![0.0; weights.len()];
    let (mut later, mut total) = (0.0, 0.0);
    for (rate, weight) in rates.iter_mut().zip(&weights).rev() {
        *rate = weight * later;
        later += weight;
        total += *rate;
    }
    let mean = total / rates.len() as f64;
    if mean > 0.0 {
        rates.iter_mut().for_each(|rate| *rate /= mean);
    }
    rates
}

/// The median of each number and its neighbours, a tenth of all; fewer at the ends.
fn medians(numbers: &[f64]) -> Vec<f64> {
    let half = numbers.len() / 20;
    let median = |place: usize| {
        let last = (place + half).min(numbers.len() - 1);
        let mut near = numbers[place.saturating_sub(half)..=last].to_vec();
        near.sort_by(f64::total_cmp);
        near[near.len() / 2]
    };
    (0..numbers.len()).map(median).collect()
}

/// The Euclidean norm of each step's gradient in training by `entries` from `start`, for SGD with
/// momentum: g_k = v_{k+1} − μ_k v_k.
///
/// # Errors
/// When a step leaves the finite range.
pub fn gradient_norms(
    problem: &Problem<'_>,
    start: &InitialParams,
    entries: &Entries,
) -> Result<Vec<f64>, Diverged> {
    let mut run = problem.run(Tangents::None, start);
    let mut before = vec![0.0; problem.parameters()];
    let mut norms = Vec::with_capacity(entries.steps());
    for k in 0..entries.steps() {
        let (rates, momentum) = entries.step(k);
        run.step_by_layer(rates, momentum)?;
        let velocity = match run.state() {
            Numbers::F32(state) => state.into_iter().map(f64::from).collect(),
            Numbers::F64(state) => state,
        };
        let gradient: Vec<f64> =
            velocity.iter().zip(&before).map(|(v, b)| v - momentum * b).collect();
        norms.push(Libm::sqrt(dot(&gradient, &gradient)));
        before = velocity;
    }
    Ok(norms)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn constant_gradients_ask_for_linear_decay() {
        let rates = refined_linear_decay(&[3.0; 11]);
        for (t, rate) in rates.iter().enumerate() {
            assert!((rate - (10 - t) as f64 / 5.0).abs() < 1e-12, "{rates:?}");
        }
    }

    #[test]
    fn gradients_that_shrink_ask_for_warm_up() {
        let norms: Vec<f64> = (0..40).map(|t| 4.0 / f64::from(t + 1)).collect();
        let rates = refined_linear_decay(&norms);
        let highest = (0..40).fold(0, |a, b| if rates[b] > rates[a] { b } else { a });
        assert!((10..39).contains(&highest) && rates[39] == 0.0, "{rates:?}");
    }
}
