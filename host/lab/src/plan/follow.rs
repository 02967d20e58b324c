//! What training does by a schedule that was planned, and by others.

use serde::Serialize;

use crate::problem::{Ended, InitialParams, Problem, Rates, Set, Tangents};

/// Training by a schedule.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Followed {
    /// The mean loss at the end over the examples trained on, in nats.
    pub loss: f64,
    /// The share of wrong answers on the test set, if there is one.
    pub test_error: Option<f64>,
    /// Steps, and the loss after them, where a thousand examples spread over all say it.
    #[serde(skip)]
    pub course: Vec<(usize, f64)>,
}

/// Places at which the loss is looked at on the way.
const PLACES: u32 = 100;
/// Examples that say it there.
const EXAMPLES: usize = 1000;

/// Trains `steps` steps from `start` by `rates`, as long as `stop` does not say otherwise.
///
/// # Errors
/// When a step leaves the finite range, or when it is stopped.
pub fn follow(
    problem: &Problem<'_>,
    start: &InitialParams,
    rates: Rates<'_>,
    steps: u32,
    stop: &(dyn Fn() -> bool + Sync),
) -> Result<Followed, Ended> {
    let mut run = problem.run(Tangents::None, start);
    let all: Vec<u32> = (0..problem.trained_on() as u32).collect();
    let apart = all.len().div_ceil(EXAMPLES).max(1);
    let some: Vec<u32> = all.iter().copied().step_by(apart).collect();
    let round = |x| problem.precision().round(x);
    let stretch = steps.div_ceil(PLACES).max(1);
    let mut course = vec![(0, run.evaluate(Set::Training, &some)?.loss.value)];
    for step in 0..steps {
        if stop() {
            return Err(Ended::Stopped);
        }
        match rates {
            Rates::Schedule(schedule) => {
                run.train(schedule, step..step + 1, &mut |_, _, _| {})?;
            }
            Rates::Entries(entries) => {
                let (rates, momentum) = entries.step(step as usize);
                let rates: Vec<f64> = rates.iter().copied().map(round).collect();
                run.step_by_layer(&rates, round(momentum))?;
            }
        }
        let done = step + 1;
        if done % stretch == 0 || done == steps {
            course.push((done as usize, run.evaluate(Set::Training, &some)?.loss.value));
        }
    }
    let loss = run.evaluate(Set::Training, &all)?.loss.value;
    let test: Vec<u32> = (0..problem.data.len(Set::Test) as u32).collect();
    let test_error = match test.is_empty() {
        true => None,
        false => Some(1.0 - run.evaluate(Set::Test, &test)?.accuracy),
    };
    Ok(Followed { loss, test_error, course })
}
