//! The library behind the program `myopia`: data, problems, studies, figures, results on disk.

pub mod bench;
pub mod checkpoint;
pub mod compare;
pub mod config;
pub mod curve;
pub mod data;
pub mod descent;
pub mod edge;
pub mod entries;
pub mod failure;
pub mod figure;
pub mod heap;
pub mod horizons;
pub mod input;
pub mod interrupt;
pub mod memory;
pub mod online;
pub mod outer;
pub mod output;
pub mod plan;
pub mod precision;
pub mod problem;
pub mod provenance;
pub mod published;
pub mod remark;
pub mod remedies;
pub mod report;
pub mod shard;
pub mod shown;
pub mod slurm;
pub mod spread;
pub mod surface;
pub mod tensorboard;
pub mod tour;
pub mod verify;

pub use myopia_nqm as nqm;
