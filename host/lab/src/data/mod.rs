//! Data from files: the four MNIST files, where they lie, how they are read, and how they are
//! fetched; arrays and tables of numbers that other programs wrote.

pub mod archive;
pub mod csv;
#[cfg(feature = "fetch")]
pub mod fetch;
pub mod idx;
pub mod idx_folder;
pub mod images;
pub mod labelled;
pub mod mnist;
pub mod npz;
#[cfg(feature = "fetch")]
mod pace;
pub mod published;
pub mod table;
