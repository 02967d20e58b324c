//! The experiments on this machine: every instruction set, several numbers of threads.

use std::sync::Mutex;

use myopia_backend::{Isa, awake, divide_all_work};
use rayon::ThreadPoolBuilder;

use super::log::experiments_log;
use super::target::Set;
use crate::bench::diagnostics;
use crate::failure::Failure;

/// The numbers of threads with which every instruction set is tried.
pub const THREADS: [u16; 4] = [1, 2, 3, 8];

/// The log of the experiments on `isa`, every step of them divided among `threads` threads however small it is.
///
/// # Errors
/// When the threads cannot be started.
pub fn log(label: &str, isa: Isa, threads: u16) -> Result<Vec<String>, Failure> {
    let pool = ThreadPoolBuilder::new().num_threads(threads.into()).build();
    let pool = pool.map_err(|e| Failure::run(format!("could not start {threads} threads: {e}")))?;
    let run = diagnostics(isa).experiment;
    let log = Mutex::new(Vec::new());
    pool.install(|| {
        awake(|| {
            divide_all_work(|| {
                let lines = experiments_log(label, Set::Full, run);
                *log.lock().expect("nobody panics while holding it") = lines;
            });
        });
    });
    Ok(log.into_inner().expect("nobody panics while holding it"))
}
