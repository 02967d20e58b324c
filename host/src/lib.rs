#![doc = "Host library of Myopia."]

pub mod data;
pub mod failure;
pub mod output;
