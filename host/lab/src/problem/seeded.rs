//! A problem with one of several seeds.

use rayon::prelude::*;

use super::{InitialParams, Problem};
use crate::failure::Failure;

/// What is trained with one seed.
pub struct Seeded<'a> {
    /// The problem, with that seed.
    pub problem: Problem<'a>,
    /// The weights from which it starts.
    pub weights: InitialParams,
}

impl<'a> Seeded<'a> {
    /// `problem` with each of `seeds`, from where `start` says.
    ///
    /// # Errors
    /// Those of `start`.
    pub fn all(
        problem: &Problem<'a>,
        seeds: impl IntoIterator<Item = u64>,
        start: impl Fn(&Problem<'_>) -> Result<InitialParams, Failure> + Sync,
    ) -> Result<Vec<Self>, Failure> {
        let seeds: Vec<u64> = seeds.into_iter().collect();
        let seeded = |seed| {
            let problem = Problem { seed, ..problem.clone() };
            let weights = start(&problem)?;
            Ok(Self { problem, weights })
        };
        seeds.into_par_iter().map(seeded).collect()
    }
}
