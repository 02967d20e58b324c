//! Where myopia sets in: the constant rate that is best so many steps on, from the states that a
//! run of hypergradient descent goes through.

use serde::{Deserialize, Serialize};

use super::hypergradient_descent::{Method, Run};
use crate::problem::{Ended, Problem, Set};

/// What look-aheads from one state of a run find best.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ahead {
    /// Steps taken before.
    pub step: u32,
    /// The rate that the run takes next.
    pub rate: f64,
    /// For each length, the rate of the grid with the lowest loss, and that loss.
    pub best: Vec<(u32, f64, f64)>,
}

/// Look-aheads from states of a run.
#[derive(Clone, Copy, Debug)]
pub struct LookAheads<'a> {
    /// Their lengths in steps, ascending.
    pub lengths: &'a [u32],
    /// Constant rates to choose from.
    pub rates: &'a [f64],
    /// The first so many training examples judge.
    pub judged: usize,
}

impl LookAheads<'_> {
    /// From the states of a run of `method` after each number of steps in `after`, ascending:
    /// every rate trains on the very batches that the run takes next. `tick` is called after each
    /// step.
    ///
    /// # Errors
    /// When `go_on` stops it, or the run itself diverges.
    pub fn along(
        &self,
        problem: &Problem<'_>,
        method: &Method,
        after: &[u32],
        go_on: &mut dyn FnMut() -> bool,
        tick: &dyn Fn(),
    ) -> Result<Vec<Ahead>, Ended> {
        let mut run = Run::new(problem, method);
        let mut done = 0;
        let mut found = Vec::new();
        for &step in after {
            while done < step {
                run.step(go_on)?;
                tick();
                done += 1;
            }
            let mut best: Vec<(u32, f64, f64)> = Vec::new();
            for &rate in self.rates {
                let losses = self.ahead(run.at(rate), go_on, tick)?;
                for (place, (length, loss)) in self.lengths.iter().zip(losses).enumerate() {
                    match best.get_mut(place) {
                        None => best.push((*length, rate, loss)),
                        Some(lowest) if loss < lowest.2 => *lowest = (*length, rate, loss),
                        Some(_) => {}
                    }
                }
            }
            let mut next = run.clone();
            next.step(go_on)?;
            found.push(Ahead { step, rate: next.rate, best });
        }
        Ok(found)
    }

    /// The loss after each length; infinite from where it left the finite range.
    fn ahead(
        &self,
        mut run: Run<'_>,
        go_on: &mut dyn FnMut() -> bool,
        tick: &dyn Fn(),
    ) -> Result<Vec<f64>, Ended> {
        let (mut losses, mut done) = (Vec::new(), 0);
        let mut lost = false;
        for &length in self.lengths {
            while done < length && !lost {
                match run.step(go_on) {
                    Ok(_) => {}
                    Err(Ended::Stopped) => return Err(Ended::Stopped),
                    Err(Ended::Diverged(_)) => lost = true,
                }
                done += 1;
                tick();
            }
            let loss = if lost { None } else { run.loss(Set::Training, self.judged).ok() };
            losses.push(loss.unwrap_or(f64::INFINITY));
        }
        Ok(losses)
    }
}

#[cfg(test)]
mod tests {
    use super::super::hypergradient_descent::tests::{named, with};
    use super::*;

    /// One step ahead, the best rate of a grid is that of the losses themselves.
    #[test]
    fn look_aheads_choose_the_lowest_loss_of_the_grid() {
        with(|problem, _| {
            let rates = [1e-3, 0.1, 0.5, 1e6];
            let ahead = LookAheads { lengths: &[1, 3], rates: &rates, judged: 100 };
            let method = named("SGD-HD");
            let found = ahead.along(problem, &method, &[0, 5], &mut || true, &|| ()).unwrap();
            let mut run = Run::new(problem, &method);
            (0..5).for_each(|_| {
                run.step(&mut || true).unwrap();
            });
            let losses = rates.map(|rate| {
                let mut moved = run.at(rate);
                (0..3).for_each(|_| {
                    moved.step(&mut || true).unwrap();
                });
                moved.loss(Set::Training, 100).unwrap()
            });
            let (_, best, loss) = found[1].best[1];
            assert_eq!(found.iter().map(|of| of.step).collect::<Vec<_>>(), [0, 5]);
            let lowest = losses.iter().fold(f64::INFINITY, |a, &b| if b < a { b } else { a });
            assert_eq!(loss, lowest);
            assert_eq!(losses[rates.iter().position(|&rate| rate == best).unwrap()], lowest);
            run.step(&mut || true).unwrap();
            assert_eq!(found[1].rate, run.rate);
        });
    }
}
