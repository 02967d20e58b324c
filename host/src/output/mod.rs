//! Results: the folder they go to, and the forms they take.

pub mod atomic;
pub mod csv;
pub mod folder;
pub mod json;
pub mod npy;
pub mod npz;

pub use folder::OutputFolder;
