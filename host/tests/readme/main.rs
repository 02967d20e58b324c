//! What `results/README.md` says is what the published tables say.

mod edge;
mod entries;
mod horizons;
mod judges;
mod plans;
mod published;
mod quadratic_rates;
mod rates;
mod remedies;
#[path = "../shared/mod.rs"]
mod shared;
