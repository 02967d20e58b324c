//! The descent itself.

use std::iter;
use std::ops::Range;

use myopia_core::elementary::{Elementary, Libm};
use myopia_core::family::Schedule;
use myopia_core::meta::{Limits, MetaDescent};
use myopia_core::schedule::Parameter;
use myopia_core::sum::sum;
use myopia_core::unroll::Diverged;
use myopia_nqm::lbfgs::minimise;
use rayon::prelude::*;

use super::{EntryProgress, EntryRule, Look};
use crate::checkpoint::Keeper;
use crate::descent::{DivergedAt, Ended};
use crate::failure::Failure;
use crate::interrupt;
use crate::outer;
use crate::problem::{Entries, InitialParams, Problem, Rates, ReversePlan, TooLittle, Wanted};

/// Pairs of steps and gradients that L-BFGS keeps.
const PAIRS: usize = 10;

/// L-BFGS ends after so many looks that found nothing lower: past the edge of chaos its line search
/// would look on for a slope that differences do not have.
const STALLED: usize = 20;

/// The least rate that an outer optimizer goes to; the greatest is α₀'s. A schedule that falls to
/// zero needs less than α₀ does.
const LEAST_RATE: f64 = 1e-6;

/// How a meta-descent on every entry runs.
#[derive(Clone, Debug)]
pub struct EntryDescent {
    /// T, the steps of each unroll.
    pub horizon: u32,
    /// Steps that share an entry; the last window may be shorter.
    pub window: u32,
    /// Rates of each entry: one for all layers, or one for each layer.
    pub layers: usize,
    /// The schedule it starts from: each window takes the rate of its middle step.
    pub from: Schedule<f64>,
    /// The momentum it starts from.
    pub momentum: f64,
    /// Whether momenta are tuned.
    pub tunes_momenta: bool,
    /// How entries are moved.
    pub rule: EntryRule,
    /// Looks after the first.
    pub meta_steps: u32,
    /// Seeds over which the objective is averaged, from the problem's on.
    pub seeds: u32,
    /// Whether every look takes other seeds than the last.
    pub is_fresh: bool,
    /// The bytes that runs may take in all, besides the data.
    pub memory: u64,
}

/// Where the run of a problem starts.
pub type Start<'a> = &'a (dyn Fn(&Problem<'_>) -> Result<InitialParams, Failure> + Sync);

impl EntryDescent {
    /// How many windows there are.
    pub fn windows(&self) -> usize {
        self.horizon.div_ceil(self.window) as usize
    }

    /// How many rates there are.
    pub fn rates(&self) -> usize {
        self.windows() * self.layers
    }

    fn window(&self, place: usize) -> Range<usize> {
        let first = place * self.window as usize;
        first..(first + self.window as usize).min(self.horizon as usize)
    }

    /// The values it starts from.
    pub fn first(&self) -> Vec<f64> {
        let rates: Vec<f64> = self.from.rates().take(self.horizon as usize).collect();
        let rate = |place| {
            let Range { start, end } = self.window(place);
            rates[start + (end - 1 - start) / 2]
        };
        let windows = self.windows();
        let momenta = if self.tunes_momenta { windows } else { 0 };
        let rates = (0..windows).flat_map(|place| iter::repeat_n(rate(place), self.layers));
        rates.chain((0..momenta).map(|_| self.momentum)).collect()
    }

    /// The schedule of these values.
    pub fn schedule(&self, values: &[f64]) -> Entries {
        let (rates, momenta) = values.split_at(self.rates());
        let place = |k: u32| (k / self.window) as usize;
        let rates = (0..self.horizon).flat_map(|k| &rates[place(k) * self.layers..][..self.layers]);
        let momentum = |k| momenta.get(place(k)).copied().unwrap_or(self.momentum);
        Entries::new(rates.copied().collect(), (0..self.horizon).map(momentum).collect())
    }

    /// The bounds of every rate, and those of every momentum.
    pub fn limits(&self) -> [Limits<f64>; 2] {
        let all = outer::limits(&[Parameter::Alpha0, Parameter::Momentum]);
        let [rate, momentum] = [Parameter::Alpha0, Parameter::Momentum].map(|p| all[p as usize]);
        [Limits { least: LEAST_RATE, ..rate }, momentum]
    }

    /// How runs are taken back in the memory that each of them has.
    ///
    /// # Errors
    /// When that is less than one point takes.
    pub fn plan(
        &self,
        problem: &Problem<'_>,
        start: &InitialParams,
    ) -> Result<ReversePlan, TooLittle> {
        let wanted = if self.tunes_momenta { Wanted::All } else { Wanted::Rates };
        problem.reverse(start).plan(self.horizon, self.memory / u64::from(self.seeds), wanted)
    }

    /// The problems of look number `meta_step`, one for each seed.
    fn problems<'a>(&self, problem: &Problem<'a>, meta_step: u32) -> Vec<Problem<'a>> {
        let first = if self.is_fresh { u64::from(meta_step) * u64::from(self.seeds) } else { 0 };
        let seed = |n: u32| problem.seed.wrapping_add(first).wrapping_add(n.into());
        (0..self.seeds).map(|n| Problem { seed: seed(n), ..problem.clone() }).collect()
    }

    /// What there is at `values`; training that diverged is told as such.
    fn look(
        &self,
        problems: &[Problem<'_>],
        start: Start<'_>,
        values: Vec<f64>,
        tick: &(dyn Fn() + Sync),
    ) -> Result<Result<Look, Diverged>, Failure> {
        let schedule = self.schedule(&values);
        let found: Vec<_> = problems
            .par_iter()
            .map(|problem| {
                let start = start(problem)?;
                let plan = self.plan(problem, &start).map_err(|TooLittle { least }| {
                    Failure::run(format!("a run takes at least {least} bytes; allow more memory"))
                })?;
                let mut go_on = || {
                    tick();
                    !interrupt::is_asked()
                };
                let mut run = problem.reverse(&start);
                match run.run(Rates::Entries(&schedule), &plan, &mut go_on) {
                    Ok(Some(found)) => Ok(Ok(found)),
                    Ok(None) => Err(Failure::Interrupted("interrupted between two looks".into())),
                    Err(diverged) => Ok(Err(diverged)),
                }
            })
            .collect::<Result<Vec<_>, Failure>>()?;
        let found = match found.into_iter().collect::<Result<Vec<_>, _>>() {
            Ok(found) => found,
            Err(diverged) => return Ok(Err(diverged)),
        };
        let mean = |numbers: &mut dyn Iterator<Item = f64>| sum(numbers) / f64::from(self.seeds);
        let layers = self.layers;
        let by_rate = |k: usize| mean(&mut found.iter().map(|found| found.by_rate[k]));
        let of_layer = |place, layer| sum(self.window(place).map(|k| by_rate(k * layers + layer)));
        let mut derivatives: Vec<f64> =
            (0..self.rates()).map(|number| of_layer(number / layers, number % layers)).collect();
        if self.tunes_momenta {
            let by_momentum = |k: usize| {
                mean(&mut found.iter().map(|found| {
                    let by = found.by_others.iter().find(|(by, _)| *by == Parameter::Momentum);
                    by.map_or(0.0, |(_, steps)| steps[k])
                }))
            };
            let windows = (0..self.windows()).map(|place| self.window(place));
            derivatives.extend(windows.map(|window| sum(window.map(by_momentum))));
        }
        Ok(Ok(Look {
            values,
            loss: Some(mean(&mut found.iter().map(|found| found.objective.loss.value))),
            accuracy: Some(mean(&mut found.iter().map(|found| found.objective.accuracy))),
            derivatives,
        }))
    }

    /// Runs it on from `progress`, the same descent's, to the same bits as if it had never ended.
    /// `progress` then holds all looks, also when the descent ends early; between looks it is left
    /// with `keeper`. `tick` is called after each step of training, forward or back, `observe` with
    /// each look. L-BFGS ends before the last meta-step where it finds nothing lower.
    ///
    /// # Errors
    /// When training diverges at a point of an outer optimizer or at the first of all, or `keeper`
    /// refuses to go on.
    pub fn go_on(
        &self,
        problem: &Problem<'_>,
        start: Start<'_>,
        progress: &mut EntryProgress,
        keeper: &impl Keeper<EntryProgress>,
        tick: &(dyn Fn() + Sync),
        observe: &mut dyn FnMut(&Look),
    ) -> Result<(), Ended> {
        let mut next = |progress: &mut EntryProgress, values: Vec<f64>| -> Result<(), Ended> {
            let meta_step = progress.looks.len() as u32;
            let problems = self.problems(problem, meta_step);
            let found = match self.look(&problems, start, values.clone(), tick) {
                Err(failure) if failure.is_interruption() => {
                    // The keeper says where to go on.
                    keeper.pause(|| progress.clone())?;
                    return Err(failure.into());
                }
                found => found?,
            };
            let look = match (found, self.rule) {
                (Ok(look), _) => look,
                (Err(_), EntryRule::Lbfgs) if meta_step > 0 => {
                    let derivatives = vec![0.0; values.len()];
                    Look { values, loss: None, accuracy: None, derivatives }
                }
                (Err(diverged), _) => {
                    let rates = &values[..self.rates()];
                    let most = rates.iter().fold(0.0, |a: f64, b| if *b > a { *b } else { a });
                    let with = vec![("rates up to alpha", most)];
                    return Err(Ended::Diverged(DivergedAt { meta_step, with, diverged }));
                }
            };
            observe(&look);
            progress.looks.push(look);
            keeper.pause(|| progress.clone())?;
            Ok(())
        };
        match self.rule {
            EntryRule::Outer(rule, meta_lr, clip) => {
                let limits = self.limits().map(|limits| Limits { clip, ..limits });
                let mut outer: Vec<MetaDescent<f64, 1>> = (0..self.first().len())
                    .map(|place| limits[usize::from(place >= self.rates())])
                    .map(|limits| MetaDescent::new(rule, meta_lr, [limits]))
                    .collect();
                let mut moved = |look: &Look| -> Vec<f64> {
                    let entries = look.values.iter().zip(&look.derivatives).zip(&mut outer);
                    entries.map(|((x, d), outer)| outer.update::<Libm>([*x], [*d])[0]).collect()
                };
                let mut values = self.first();
                for look in &progress.looks {
                    values = moved(look);
                }
                while progress.looks.len() as u64 <= u64::from(self.meta_steps) {
                    next(progress, values)?;
                    values = progress.looks.last().map(&mut moved).unwrap_or_default();
                }
                Ok(())
            }
            EntryRule::Lbfgs => {
                let (mut asked, mut ended) = (0, Ok(()));
                minimise(self.coordinates(&self.first()), PAIRS, &mut |point| {
                    let is_finite = point.iter().all(|x| x.is_finite());
                    let lowest = super::best(&progress.looks[..asked]).unwrap_or(0);
                    let is_spent = asked as u64 > u64::from(self.meta_steps);
                    if is_spent || !is_finite || asked - lowest > STALLED {
                        return None;
                    }
                    if asked == progress.looks.len() {
                        ended = next(progress, self.values(point));
                    }
                    let (first, look) = (progress.looks.first()?, progress.looks.get(asked)?);
                    if ended.is_err() {
                        return None;
                    }
                    asked += 1;
                    // Where training diverged, the line search is to turn back.
                    let cost = look.loss.or(first.loss.map(|loss| 2.0 * loss))?;
                    Some((cost, look.gradient(self.rates())))
                });
                ended
            }
        }
    }

    /// ln α of every rate, then ln(μ/(1 − μ)).
    fn coordinates(&self, values: &[f64]) -> Vec<f64> {
        let (rates, momenta) = values.split_at(self.rates());
        let logits = momenta.iter().map(|x| Libm::ln(x / (1.0 - x)));
        rates.iter().map(|x| Libm::ln(*x)).chain(logits).collect()
    }

    /// What has these coordinates.
    fn values(&self, point: &[f64]) -> Vec<f64> {
        let (rates, momenta) = point.split_at(self.rates());
        let momenta = momenta.iter().map(|y| 1.0 / (1.0 + Libm::exp(-y)));
        rates.iter().map(|x| Libm::exp(*x)).chain(momenta).collect()
    }
}

#[cfg(test)]
mod tests {
    use myopia_core::schedule::InverseTime;

    use super::*;

    fn descent(horizon: u32, window: u32) -> EntryDescent {
        EntryDescent {
            horizon,
            window,
            layers: 1,
            from: InverseTime { alpha0: 0.5, time_constant: 4.0, beta: 1.0 }.into(),
            momentum: 0.9,
            tunes_momenta: true,
            rule: EntryRule::Lbfgs,
            meta_steps: 3,
            seeds: 1,
            is_fresh: false,
            memory: 1 << 30,
        }
    }

    #[test]
    fn windows_share_entries_and_the_last_may_be_shorter() {
        let descent = descent(7, 3);
        assert_eq!(descent.windows(), 3);
        let rate = |k: f64| 0.5 / (1.0 + k / 4.0);
        let first = descent.first();
        assert_eq!(first, [rate(1.0), rate(4.0), rate(6.0), 0.9, 0.9, 0.9]);
        let values = [1.0, 2.0, 3.0, 0.1, 0.2, 0.3];
        let steps = descent.schedule(&values);
        assert_eq!(steps.rates(), [1.0, 1.0, 1.0, 2.0, 2.0, 2.0, 3.0]);
        assert_eq!(steps.momenta(), [0.1, 0.1, 0.1, 0.2, 0.2, 0.2, 0.3]);
    }

    #[test]
    fn layers_have_rates_of_their_own_in_each_window() {
        let descent = EntryDescent { layers: 2, ..descent(3, 2) };
        let rate = |k: f64| 0.5 / (1.0 + k / 4.0);
        assert_eq!(descent.first(), [rate(0.0), rate(0.0), rate(2.0), rate(2.0), 0.9, 0.9]);
        let steps = descent.schedule(&[1.0, 2.0, 3.0, 4.0, 0.1, 0.2]);
        assert_eq!(steps.rates(), [1.0, 2.0, 1.0, 2.0, 3.0, 4.0]);
        assert_eq!(steps.momenta(), [0.1, 0.1, 0.2]);
        let values = [1e-5, 0.3, 7.0, 0.01, 0.5, 0.999];
        assert_eq!(descent.coordinates(&values)[3], Libm::ln(0.01));
    }

    #[test]
    fn values_come_back_from_their_coordinates() {
        let descent = descent(3, 1);
        let values = [1e-5, 0.3, 7.0, 0.01, 0.5, 0.999];
        for (back, value) in descent.values(&descent.coordinates(&values)).iter().zip(values) {
            assert!((back / value - 1.0).abs() < 1e-12, "{back}, {value}");
        }
    }
}
