//! The threads that independent runs are spread over.

use std::io;
use std::num::NonZero;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::{self, available_parallelism};

use rayon::{ThreadBuilder, ThreadPoolBuilder};

use myopia::failure::Failure;
use myopia::remark;

/// The most threads that may be asked for.
pub const MOST: u16 = 1024;

/// As many threads as a step is divided among at most; so many may be asked for on any machine, and
/// the bits compared.
const ANYWHERE: usize = 8;

/// Starts `wanted` threads, or as many as `RAYON_NUM_THREADS` says, or one for each processor; no
/// more than this machine can use. Where fewer are to be had, those do the work, and the calling
/// thread where there are none.
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
    let (waiting, refused) = if threads == 1 { (Vec::new(), None) } else { idle(threads) };
    if let Some(error) = refused {
        let who = match waiting.len() {
            0 | 1 => "this one does all the work".to_owned(),
            started => format!("{started} do the work"),
        };
        remark::say(format_args!("could not start {threads} threads ({error}); {who}"));
    }
    let pool = match waiting.len() {
        0 | 1 => ThreadPoolBuilder::new().num_threads(1).use_current_thread().build_global(),
        started => {
            let mut waiting = waiting.into_iter();
            ThreadPoolBuilder::new()
                .num_threads(started)
                .spawn_handler(|work| {
                    let thread = waiting.next().ok_or(io::ErrorKind::WouldBlock)?;
                    thread.send(work).map_err(|_| io::ErrorKind::WouldBlock.into())
                })
                .build_global()
        }
    };
    pool.map_err(|e| Failure::run(format!("could not prepare threads: {e}; try --threads 1")))
}

/// Threads that wait for what they are to do, as many of `wanted` as are to be had, and why there
/// are no more. Rayon cannot be asked for that: a global pool that could not be made stays unmade.
fn idle(wanted: usize) -> (Vec<SyncSender<ThreadBuilder>>, Option<io::Error>) {
    let mut waiting = Vec::new();
    for _ in 0..wanted {
        let (sender, receiver) = sync_channel::<ThreadBuilder>(1);
        // A thread whose sender is dropped has nothing to do.
        let body = move || receiver.recv().map_or((), ThreadBuilder::run);
        match thread::Builder::new().spawn(body) {
            Ok(_) => waiting.push(sender),
            Err(error) => return (waiting, Some(error)),
        }
    }
    (waiting, None)
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
