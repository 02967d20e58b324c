//! Results: the folder they go to, and the forms they take.

pub mod atomic;
pub mod csv;
pub mod folder;
pub mod json;
mod lock;
pub mod npy;
pub mod npz;
pub mod record;
pub mod standard;

pub use folder::OutputFolder;
