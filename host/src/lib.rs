#![doc = "Host library of Myopia."]

pub mod figure;
