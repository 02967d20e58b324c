//! The host side of Myopia.

pub mod examples;
pub mod network;
pub mod problem;
