//! An order-preserving parallel `map` (feature `rayon`), sequential without it.

/// `f` of each item, in order. With the feature `rayon` on its threads; the results are the same.
#[cfg(feature = "rayon")]
pub fn map<T: Send, R: Send>(items: Vec<T>, f: impl Fn(T) -> R + Sync) -> Vec<R> {
    let mut results: Vec<Option<R>> = items.iter().map(|_| None).collect();
    let f = &f;
    let task = |(item, result): (T, _)| -> Box<dyn FnOnce() + Send + '_> {
        let result: &mut Option<R> = result;
        Box::new(move || *result = Some(f(item)))
    };
    spread(items.into_iter().zip(&mut results).map(task).collect());
    results.into_iter().flatten().collect()
}

/// Runs `tasks` on rayon's threads. Not generic: rayon's machinery is compiled once.
#[cfg(feature = "rayon")]
fn spread(tasks: Vec<Box<dyn FnOnce() + Send + '_>>) {
    use rayon::prelude::*;
    tasks.into_par_iter().for_each(|task| task());
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
