//! Real data: the four MNIST files, where they lie, how they are read, and how they are fetched.

#[cfg(feature = "fetch")]
pub mod fetch;
pub mod idx;
pub mod images;
pub mod mnist;
#[cfg(feature = "fetch")]
mod pace;
pub mod published;
