//! The threads that independent runs are spread over.

use std::num::NonZero;
use std::thread::available_parallelism;

use rayon::ThreadPoolBuilder;

use myopia::failure::Failure;
use myopia::remark;

/// The most threads that may be asked for.
pub const MOST: u16 = 1024;

/// As many threads as a step is divided among at most; so many may be asked for on any machine, and the bits compared.
const ANYWHERE: usize = 8;

/// Starts `wanted` threads, or as many as `RAYON_NUM_THREADS` says, or one for each processor; no more than this machine can use.
/// Where there are none to be had, the calling thread does the work.
///
/// # Errors
/// When `RAYON_NUM_THREADS` is no number of threads.
pub fn start(wanted: Option<u16>) -> Result<(), Failure> {
    let processors = available_parallelism().map_or(1, NonZero::get);
    let wanted = match wanted {
        Some(threads) => Some(threads),
        None => from_environment(std::env::var("RAYON_NUM_THREADS").ok().as_deref())?,
    };
    let threads = wanted.map_or(processors, |wanted| useful(wanted.into(), processors));
    if let Some(wanted) = wanted.filter(|&wanted| usize::from(wanted) > threads) {
        remark::say(format_args!(
            "this machine has no use for {wanted} threads; {threads} are started"
        ));
    }
    // One thread is the calling one: nothing is started.
    let pool = |threads: usize| {
        let builder = ThreadPoolBuilder::new().num_threads(threads);
        if threads == 1 { builder.use_current_thread() } else { builder }.build_global()
    };
    if let Err(error) = pool(threads) {
        remark::say(format_args!(
            "could not start {threads} threads ({error}); this one does all the work"
        ));
        // In a pool that somebody else has made, work is done as well.
        let _ = pool(1);
    }
    Ok(())
}

/// No more threads than `processors` can use at once, but some on any machine.
fn useful(wanted: usize, processors: usize) -> usize {
    let most = if processors > ANYWHERE { processors } else { ANYWHERE };
    if wanted < most { wanted } else { most }
}

fn from_environment(value: Option<&str>) -> Result<Option<u16>, Failure> {
    // Rayon's own meaning of zero and of nothing: as many as there are processors.
    let Some(value) = value.filter(|value| !matches!(*value, "" | "0")) else { return Ok(None) };
    match value.parse() {
        Ok(threads @ 1..=MOST) => Ok(Some(threads)),
        _ => Err(Failure::usage(format!(
            "RAYON_NUM_THREADS is {value:?}; give a number from 1 to {MOST}, or leave it away"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_has_the_bounds_of_the_option() {
        let threads = |value| from_environment(value).map_err(|e| e.to_string());
        assert_eq!(threads(None), Ok(None));
        assert_eq!((threads(Some("")), threads(Some("0"))), (Ok(None), Ok(None)));
        assert_eq!(threads(Some("1024")), Ok(Some(1024)));
        for strange in ["99999", "-1", "two", "1025", "\u{1b}[2J"] {
            let said = threads(Some(strange)).unwrap_err();
            assert!(
                said.starts_with("RAYON_NUM_THREADS is \"") && !said.contains('\u{1b}'),
                "{said}"
            );
        }
    }

    #[test]
    fn no_more_threads_are_started_than_can_work() {
        assert_eq!([1, 3, 8, 9, 1024].map(|wanted| useful(wanted, 2)), [1, 3, 8, 8, 8]);
        assert_eq!([1, 20, 1024].map(|wanted| useful(wanted, 64)), [1, 20, 64]);
    }
}
