//! Core of Myopia.
#![no_std]
#![forbid(unsafe_code)]

pub mod digest;
pub mod dual;
pub mod elementary;
pub mod engine;
pub mod mlp;
pub mod nqm;
pub mod real;
pub mod rng;
pub mod schedule;
pub mod sum;
pub mod vector;
