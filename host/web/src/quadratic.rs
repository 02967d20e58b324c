//! Schedules on the noisy quadratic.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use myopia_nqm::optimum::{bytes, evaluations};
use myopia_nqm::policy::Policy;
use myopia_nqm::request::Request;
use myopia_nqm::run::{self, Run};
use myopia_nqm::tolerances::Control;
use myopia_nqm::tuning::{Tuned, Tuning};
use serde::Serialize;

use crate::Listener;

/// A run with what the page draws besides.
#[derive(Debug, Serialize)]
pub struct Shown {
    /// What the program prints.
    #[serde(flatten)]
    pub run: Run,
    /// The losses above the floor, before the first step and after each.
    excess_losses: Vec<f64>,
    /// α₀, K and β where meta-descent chose them.
    tuned: Option<Tuned>,
}

/// Bytes that a search may take: what a tab of a browser has with some to spare.
const AFFORDABLE: u128 = 1 << 30;

/// The run that `options` describe by the words which the program takes.
///
/// # Errors
/// One sentence when they are not understood, when the run is too large for a page, or when it
/// diverges.
pub fn run(options: &BTreeMap<String, String>, listener: &dyn Listener) -> Result<Shown, String> {
    let mut request = Request::default();
    for (name, text) in options {
        request.set(name, text).map_err(|e| e.to_string())?;
    }
    let (policy, training) = request.checked().map_err(|e| e.to_string())?;
    let (setting, settings) = (request.setting, request.settings);
    let search = policy.search(settings.steps, settings.momentum);
    let tolerances = Control::default().tolerances;
    let search_bytes = search.map_or(0, |(ahead, variables)| {
        let ahead = ahead + settings.judge.cooldown();
        bytes(setting.directions, ahead, variables, &tolerances)
    });
    if search_bytes + 200 * setting.directions as u128 + 400 * settings.steps as u128 > AFFORDABLE {
        return Err(
            "this run is too large for a page; give fewer directions or steps, or use the program"
                .into(),
        );
    }
    let quadratic = training.quadratic(setting.directions()).map_err(|e| e.to_string())?;

    // Meta-descent tells the losses it has differentiated, a receding horizon the steps it has
    // planned, and a single search its evaluations.
    let whole = search.filter(|(ahead, _)| *ahead == settings.steps);
    let all = match (policy, whole) {
        (Policy::Tuned(_), _) => f64::from(Tuning::new(&quadratic).meta_steps) + 1.0,
        (_, Some((ahead, variables))) => {
            evaluations(setting.directions, ahead, variables, &tolerances) as f64
        }
        _ => settings.steps as f64,
    };
    let done = |count: usize| listener.progress(count as f64, all);
    let evaluated = AtomicU64::new(0);
    let spent = |more: u64| {
        let before = evaluated.fetch_add(more, Ordering::Relaxed);
        if whole.is_some() {
            listener.progress((before + more) as f64, all);
        }
    };
    let control = Control { done: &done, spent: &spent, ..Control::default() };
    let run =
        run::run(&quadratic, policy, settings, &control).map_err(|e| format!("{policy}: {e}"))?;
    Ok(Shown { excess_losses: run.excess.losses.clone(), tuned: run.tuned, run })
}
