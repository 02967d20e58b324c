//! The experiments on this machine: every instruction set, several numbers of threads.

use myopia_backend::{Isa, awake, divide_all_work, pool_size};
use myopia_core::schedule::InverseTime;
use myopia_core::unroll::Diverged;
use rayon::ThreadPoolBuilder;

use super::NotRun;
use super::log::{JudgedExperiment, experiments_log};
use super::target::Set;
use crate::bench::diagnostics;
use crate::precision::Precision;
use crate::problem::{Problem, Source, Tangents};

/// The numbers of threads with which every instruction set is tried.
pub const THREADS: [u16; 4] = [1, 2, 3, 8];

/// The digest of a run whose learning rates become subnormal, and with them its updates: where a
/// thread takes subnormal numbers as zero it is another.
const SUBNORMAL_DIGEST: &str = "c911d03a70bf8b48";

/// That run on `isa`, its steps divided among `threads` threads.
///
/// # Errors
/// When the threads cannot be started.
pub fn subnormal_training(isa: Isa, threads: u16) -> Result<JudgedExperiment, NotRun> {
    let data = Source::Glyphs.load(Precision::F32, |_| {}).map_err(|e| NotRun(e.to_string()))?;
    let problem =
        Problem { batch: 20, isa, ..Problem::new(&data, vec![data.inputs, 32, data.classes]) };
    let schedule = InverseTime { alpha0: 0.02, time_constant: 5.0, beta: 60.0 };
    let digest = divided(threads, || {
        let start = problem.start(0, 0.0)?;
        let mut run = problem.run(Tangents::None, &start);
        run.train(&schedule, 0..400, &mut |_, _, _| {})?;
        Ok::<_, Diverged>(run.digests()[0])
    })?;
    let digest = digest.ok().map(|digest| digest.to_string());
    Ok(JudgedExperiment {
        name: "subnormal-training".into(),
        equal: digest.as_deref() == Some(SUBNORMAL_DIGEST),
        digest,
        expected: SUBNORMAL_DIGEST.to_owned(),
    })
}

/// The log of the experiments on `isa`, every step of them divided among `threads` threads however
/// small it is.
///
/// # Errors
/// When the threads cannot be started.
pub fn log(label: &str, isa: Isa, threads: u16) -> Result<Vec<String>, NotRun> {
    let run = diagnostics(isa).experiment;
    divided(threads, || experiments_log(label, Set::Full, run))
}

/// Does `work` with every step of it divided among `threads` threads, however small it is.
fn divided<R: Send>(threads: u16, work: impl FnOnce() -> R + Send) -> Result<R, NotRun> {
    if threads == 1 && pool_size() == 1 {
        return Ok(divide_all_work(work));
    }
    let pool = ThreadPoolBuilder::new().num_threads(threads.into()).build();
    let pool = pool.map_err(|e| NotRun(format!("could not start {threads} threads: {e}")))?;
    Ok(pool.install(|| awake(|| divide_all_work(work))))
}
