//! The one place where work is spread over threads.

/// `f` of each item, in order. With the feature `rayon` on its threads; the results are the same.
#[cfg(feature = "rayon")]
pub fn map<T: Send, R: Send>(items: Vec<T>, f: impl Fn(T) -> R + Sync + Send) -> Vec<R> {
    use rayon::prelude::*;
    items.into_par_iter().map(f).collect()
}

/// `f` of each item, in order. With the feature `rayon` on its threads; the results are the same.
#[cfg(not(feature = "rayon"))]
pub fn map<T, R>(items: Vec<T>, f: impl Fn(T) -> R) -> Vec<R> {
    items.into_iter().map(f).collect()
}

/// How many items [`map`] works on at a time.
pub fn threads() -> usize {
    #[cfg(feature = "rayon")]
    return rayon::current_num_threads();
    #[cfg(not(feature = "rayon"))]
    1
}
