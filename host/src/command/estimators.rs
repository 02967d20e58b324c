//! Options that both tables of biases take: of the noisy quadratic and of a network.

use clap::Args;
use serde::Serialize;

use super::nqm::each_as_words;
use super::outer::MOST_META_LR;
use super::values::{once, trimmed, whole};
use myopia::failure::Failure;
use myopia::remedies::Carry;

/// How a rate moves while training runs, and where derivatives by it are compared.
#[derive(Args, Debug, Serialize)]
pub struct Moving {
    /// Learning rate at first
    #[arg(long, default_value_t = 0.1, allow_negative_numbers = true, value_name = "RATE")]
    pub rate: f64,
    /// Steps after which derivatives are compared [default: half of --steps]
    #[arg(long, value_name = "T", allow_negative_numbers = true, value_parser = whole::<u32>)]
    pub at: Option<u32>,
    /// How tangents are carried: hd, rtho, marthe, marthe:NU or truncated:STEPS
    #[arg(
        long, value_delimiter = ',', value_name = "CARRY,…", value_parser = trimmed::<Carry>,
        default_value = "hd,marthe:0.9,marthe:0.99,marthe,truncated:10,truncated:100,rtho"
    )]
    #[serde(serialize_with = "each_as_words")]
    pub carry: Vec<Carry>,
}

impl Moving {
    /// After how many of so many steps derivatives are compared.
    pub fn at(&self, steps: u32) -> Result<u32, Failure> {
        if steps < 2 {
            return Err(Failure::usage(format!(
                "--steps {steps} leave no step after which derivatives are compared; give at least 2"
            )));
        }
        once("carry", &self.carry)?;
        let at = self.at.unwrap_or(steps / 2);
        if at == 0 || at >= steps {
            return Err(Failure::usage(format!(
                "--at is {at}; give a number of steps from 1 to {}, below --steps",
                steps.saturating_sub(1)
            )));
        }
        Ok(at)
    }
}

/// Refuses numbers without sense: perturbations, meta-learning rates, numbers of particles, steps
/// of a window and pairs.
pub fn check(
    sigmas: &[f64],
    meta_rates: &[f64],
    particles: &[u32],
    [window, pairs]: [u32; 2],
) -> Result<(), Failure> {
    if let Some(sigma) = sigmas.iter().find(|sigma| !(**sigma > 0.0 && sigma.is_finite())) {
        return Err(Failure::usage(format!("--sigma {sigma} must be a positive number")));
    }
    if let Some(rate) = meta_rates.iter().find(|&&rate| !(rate > 0.0 && rate <= MOST_META_LR)) {
        return Err(Failure::usage(format!(
            "--meta-lr has {rate:?}; give positive numbers up to {MOST_META_LR}, steps on a logarithm"
        )));
    }
    if window == 0 {
        return Err(Failure::usage("--window 0 is no step; give at least 1"));
    }
    if pairs < 2 {
        return Err(Failure::usage(format!(
            "--pairs {pairs} say nothing of a variance; give at least 2"
        )));
    }
    once("sigma", sigmas)?;
    once("meta-lr", meta_rates)?;
    once("particles", particles)?;
    if let Some(n) = particles.iter().find(|&&n| n < 2 || !n.is_multiple_of(2)) {
        return Err(Failure::usage(format!(
            "--particles has {n}; give even numbers, for they come in pairs"
        )));
    }
    Ok(())
}
