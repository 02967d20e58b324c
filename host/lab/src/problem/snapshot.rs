//! Parameters of a network outside of it: where a run starts, and where it stands.

use serde::{Deserialize, Serialize};

use crate::precision::Numbers;

/// Initial parameters in the order of [`Network::load`](myopia_core::mlp::Network::load); their
/// velocity is zero.
#[derive(Clone, Debug, PartialEq)]
pub struct InitialParams(pub Numbers);

/// A training run between two steps. The batches to come follow from the problem's seed and the
/// number of steps.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Snapshot {
    /// Steps trained.
    pub steps: u32,
    /// Value and tangents of each parameter and then of each velocity, in the order of
    /// [`Network::load`](myopia_core::mlp::Network::load).
    pub numbers: Numbers,
}
