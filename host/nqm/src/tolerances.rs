//! Tolerances and evaluation budgets of a search; `Control` adds the stop callback.

use crate::error::Interrupted;

/// Tolerances and budgets of [`optimal`](crate::optimum::optimal).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tolerances {
    /// The projected gradient's norm at or below which a schedule is stationary; dimensionless.
    pub stationary_gradient_norm: f64,
    /// The norm at which a descent ends; dimensionless, below the one above.
    pub converged_gradient_norm: f64,
    /// What is added to the loss before its logarithm is taken, as a share of the initial loss.
    pub rounding_share_of_initial_loss: f64,
    /// The relative difference below which two losses are equal.
    pub equal_loss_ratio: f64,
    /// Evaluations without a lower loss after which a descent ends.
    pub stalled_evaluations: u64,
    /// Evaluations from each start, at most, before the lowest ends are continued.
    pub evaluations_per_start: u64,
    /// How many ends are continued side by side, the lowest first; the next ones after them while
    /// the budget lasts, or, if momentum is constant, until one is stationary.
    pub continued_ends: usize,
    /// Evaluations of a search, at most.
    pub evaluations: u64,
    /// Evaluations × (steps × directions + coordinates × [`OVERHEAD_DIRECTIONS`]) of a search, at
    /// most: its time.
    pub evaluated_direction_steps: u64,
    /// Evaluations that a search may make whatever that says.
    pub least_evaluations: u64,
    /// Pairs of steps and gradient differences that L-BFGS keeps, at most.
    pub lbfgs_memory_pairs: usize,
    /// Pairs that it keeps however many coordinates there are.
    pub least_memory_pairs: usize,
    /// Pairs × coordinates, at most.
    pub lbfgs_memory: usize,
}

impl Default for Tolerances {
    fn default() -> Self {
        Self {
            stationary_gradient_norm: 1e-5,
            converged_gradient_norm: 1e-7,
            rounding_share_of_initial_loss: 1e-20,
            equal_loss_ratio: 1e-13,
            stalled_evaluations: 40,
            evaluations_per_start: 60,
            continued_ends: 3,
            evaluations: 15_000,
            evaluated_direction_steps: 480_000_000,
            least_evaluations: 500,
            lbfgs_memory_pairs: 100,
            least_memory_pairs: 25,
            lbfgs_memory: 10_000,
        }
    }
}

/// What the optimiser itself takes for each coordinate of an evaluation, in directions that take as
/// long for a step.
pub const OVERHEAD_DIRECTIONS: u64 = 185;

impl Tolerances {
    /// Evaluations of a search, at most; with momenta there are two searches.
    pub fn budget(&self, directions: usize, steps: usize, coordinates: usize) -> u64 {
        let each = (directions as u64)
            .saturating_mul(steps as u64)
            .saturating_add(OVERHEAD_DIRECTIONS.saturating_mul(coordinates as u64));
        let affordable = self.evaluations.min(self.evaluated_direction_steps / each.max(1));
        affordable.max(self.least_evaluations.min(self.evaluations))
    }

    /// Pairs that L-BFGS keeps for so many coordinates.
    pub fn pairs(&self, coordinates: usize) -> usize {
        let affordable = self.lbfgs_memory / coordinates.max(1);
        affordable.max(self.least_memory_pairs).min(self.lbfgs_memory_pairs)
    }
}

/// How a search is controlled from outside: its tolerances, and whether it is to stop.
#[derive(Clone, Copy)]
pub struct Control<'a> {
    /// Its tolerances and budgets.
    pub tolerances: Tolerances,
    /// Asked before each evaluation and on the way to one; once true the search ends with
    /// [`Interrupted`].
    pub stop: &'a (dyn Fn() -> bool + Sync),
    /// Told how many steps a receding horizon has planned, after each, or how many meta-steps a
    /// meta-descent has made.
    pub done: &'a (dyn Fn(usize) + Sync),
    /// Told how many evaluations a search has spent since it was told last; of all of them
    /// [`optimum::evaluations`](crate::optimum::evaluations) is the most.
    pub spent: &'a (dyn Fn(u64) + Sync),
}

impl Control<'_> {
    /// Whether the search goes on; asked in every loop that may last a second.
    pub fn check(&self) -> Result<(), Interrupted> {
        if (self.stop)() { Err(Interrupted) } else { Ok(()) }
    }
}

impl Default for Control<'_> {
    fn default() -> Self {
        Self { tolerances: Tolerances::default(), stop: &|| false, done: &|_| {}, spent: &|_| {} }
    }
}

impl std::fmt::Debug for Control<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Control").field("tolerances", &self.tolerances).finish_non_exhaustive()
    }
}
