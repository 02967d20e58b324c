//! How every engine of the host spreads a step over threads: by work stealing, when it runs on one of rayon's.
//!
//! Where all threads have runs of their own, nobody steals and a step stays where it is; where there is one run, its halves are
//! taken by whoever is idle. Outside rayon's threads there is one thread: waking others up from there costs more than it brings.

/// How many pieces of work can be under way at a time.
pub fn count() -> usize {
    match rayon::current_thread_index() {
        Some(_) => rayon::current_num_threads(),
        None => 1,
    }
}

/// Does `a` and `b`.
pub fn join<A: Send, B: Send>(
    a: impl FnOnce() -> A + Send,
    b: impl FnOnce() -> B + Send,
) -> (A, B) {
    match count() {
        1 => (a(), b()),
        _ => rayon::join(a, b),
    }
}
