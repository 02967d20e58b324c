//! Remedies against short-horizon bias, side by side.

mod carry;

pub use carry::{Carry, Tuner};
