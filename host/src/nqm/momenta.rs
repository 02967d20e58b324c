//! The search for schedules whose momenta may be of any sign.
//!
//! Its landscape has very many optima, ever lower the farther steps may go, and most of them at the ends of their reach (see
//! [`super::chart`]). The more steps there are, the shorter is the reach within which rounding lets the end be seen as stationary.
//! So starts are taken down within several reaches, the best of these ends are shaken, and what counts is the lowest that is
//! stationary.

use std::cmp::Ordering;

use myopia_core::rng::Pcg32;
use rayon::prelude::*;

use super::chart::{Chart, Freedom};
use super::objective::{Candidate, Objective};
use super::optimum::{Optimum, SCOUTING};
use super::quadratic::{Quadratic, Schedule, State};

/// The largest momenta that are tried; where evaluations are dear only the first few.
const REACHES: [f64; 9] = [0.6, 0.7, 0.85, 1.0, 1.5, 3.0, 10.0, 100.0, 1000.0];
/// What a search may spend, in steps times directions times evaluations.
const AFFORDABLE: usize = 15_000_000_000;
/// What an evaluation costs at least.
const LEAST_COST: usize = 25_000;
/// Evaluations for each step that a descent may take, if that can be afforded.
const EACH: usize = 400;
/// Ends of scouting within each reach that are descended from.
const DESCENTS: usize = 5;
/// Where evaluations are dear, the longer reaches into which the best end is taken further.
const FURTHER: usize = 2;
/// Batches of descents from shaken optima without progress after which the search ends.
const STALE: usize = 20;
/// Descents from shaken optima before the best are chosen again.
const BATCH: usize = 12;
/// How many of the best optima are shaken by turns.
const SHAKEN: usize = 6;

/// Where a descent has arrived.
struct Arrival {
    reach: f64,
    found: Candidate,
    stationary: bool,
    evaluations: u64,
    spent: u64,
}

impl Arrival {
    /// The lowest first, and those that are stationary before all others.
    fn order(&self, other: &Self) -> Ordering {
        let failed = other.stationary.cmp(&self.stationary);
        failed.then(self.found.excess.total_cmp(&other.found.excess))
    }
}

/// A search and what it has spent.
struct Search<'a> {
    quadratic: &'a Quadratic,
    state: &'a State,
    evaluations: u64,
    spent: u64,
}

impl Search<'_> {
    fn objective(&self, reach: f64) -> Objective<'_> {
        let chart = Chart::new(Freedom::Within(reach), self.quadratic.largest_gain(), 0.0);
        Objective::new(self.quadratic, self.state, chart)
    }

    /// From `start` down for a while.
    fn scout(&self, reach: f64, start: Schedule) -> Option<Arrival> {
        let objective = self.objective(reach);
        let found = objective.descend(start, SCOUTING).1?;
        let (evaluations, spent) = (objective.evaluations(), objective.spent());
        Some(Arrival { reach, found, stationary: false, evaluations, spent })
    }

    /// From `start` down to the end.
    fn descend(&self, reach: f64, start: Schedule, evaluations: usize) -> Option<Arrival> {
        let objective = self.objective(reach);
        let found = objective.descend(start, SCOUTING).1?;
        let (found, stationary) = objective.measured(objective.follow(found, evaluations as u64));
        let (evaluations, spent) = (objective.evaluations(), objective.spent());
        Some(Arrival { reach, found, stationary, evaluations, spent })
    }

    /// What all of `work` arrives at, the best first.
    fn all<T: Send>(
        &mut self,
        work: Vec<T>,
        arrive: impl Fn(&Self, T) -> Option<Arrival> + Sync,
    ) -> Vec<Arrival> {
        let search = &*self;
        let mut arrivals: Vec<Arrival> =
            work.into_par_iter().filter_map(|item| arrive(search, item)).collect();
        for arrival in &arrivals {
            self.evaluations += arrival.evaluations;
            self.spent += arrival.spent;
        }
        arrivals.sort_by(Arrival::order);
        arrivals
    }
}

/// The best schedule found from `starts`; none when the loss of all of them overflows.
pub fn of_any_sign(quadratic: &Quadratic, state: &State, starts: Vec<Schedule>) -> Option<Optimum> {
    let steps = starts.first()?.len();
    let affordable = AFFORDABLE / (steps * quadratic.directions().len()).max(LEAST_COST);
    let dear = affordable < 4 * REACHES.len() * starts.len() * SCOUTING as usize;
    let mut search = Search { quadratic, state, evaluations: 0, spent: 0 };

    let scouts = if dear { &REACHES[..1] } else { &REACHES[..] };
    let pairs = scouts.iter().flat_map(|&reach| starts.iter().map(move |s| (reach, s.clone())));
    let scouted = search.all(pairs.collect(), |search, (reach, start)| search.scout(reach, start));
    let left = affordable.saturating_sub(search.spent as usize);
    let descents = (left / (EACH / 2 * steps)).clamp(1, REACHES.len() * DESCENTS);
    let reaches = &REACHES[..(descents / 2).clamp(1, REACHES.len())];
    let best = |&reach: &f64| {
        let scout = if dear { REACHES[0] } else { reach };
        let mut best: Vec<&Arrival> = scouted.iter().filter(|a| a.reach == scout).collect();
        best.dedup_by(|b, a| alike(a, b));
        let best = best.into_iter().take(descents / reaches.len());
        best.map(move |arrival| (reach, arrival.found.schedule.clone())).collect::<Vec<_>>()
    };
    let pairs: Vec<(f64, Schedule)> = reaches.iter().flat_map(best).collect();
    let further = if dear { FURTHER } else { REACHES.len() };
    let each = (EACH * steps).min(left / (pairs.len() + further));
    let mut ends = search.all(pairs, |search, (reach, start)| search.descend(reach, start, each));
    ends.dedup_by(|b, a| alike(a, b));

    // From the best end as far as it goes: where steps are many, straight into a long reach leads astray.
    let onward = |best: &Arrival| {
        let longer = REACHES.into_iter().filter(move |reach| *reach > best.reach).take(further);
        longer.map(|reach| (reach, best.found.schedule.clone())).collect::<Vec<_>>()
    };
    let pairs = ends.first().map(onward).unwrap_or_default();
    ends.extend(search.all(pairs, |search, (reach, start)| search.descend(reach, start, each)));
    ends.sort_by(Arrival::order);
    ends.dedup_by(|b, a| alike(a, b));

    let mut batch = 0;
    let mut latest = 0;
    while batch < latest + STALE && search.spent as usize + BATCH * each / 4 <= affordable {
        let before = ends.first().map_or(f64::INFINITY, |first| first.found.excess);
        let shaken = |i: usize| {
            let from = ends.get(i % SHAKEN)?;
            let mut rng = Pcg32::new((batch * BATCH + i) as u64, 0);
            let start = search.objective(from.reach).shaken(&from.found, &mut rng);
            let elsewhere = REACHES[rng.below(REACHES.len() as u32) as usize];
            Some((if i < BATCH / 2 { from.reach } else { elsewhere }, start))
        };
        let pairs = (0..BATCH).filter_map(shaken).collect();
        ends.extend(search.all(pairs, |search, (reach, start)| search.descend(reach, start, each)));
        ends.sort_by(Arrival::order);
        ends.dedup_by(|b, a| alike(a, b));
        batch += 1;
        if ends.first().is_some_and(|first| first.found.excess < before * (1.0 - 1e-7)) {
            latest = batch;
        }
    }
    let Arrival { found, stationary, .. } = ends.into_iter().next()?;
    Some(Optimum {
        schedule: found.schedule,
        excess: found.excess,
        gradient_norm: found.gradient_norm,
        iterations: search.evaluations,
        stationary,
    })
}

/// Whether two arrivals are the same place, for all that their losses say.
fn alike(a: &Arrival, b: &Arrival) -> bool {
    (a.found.excess - b.found.excess).abs() <= 1e-7 * a.found.excess && a.stationary == b.stationary
}
