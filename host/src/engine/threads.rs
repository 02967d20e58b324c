//! How every engine of the host spreads a step over threads: by work stealing, when it runs on one of rayon's.
//!
//! Where all threads have runs of their own, nobody steals and a step stays where it is; where there is one run, its halves are
//! taken by whoever is idle. Outside rayon's threads there is one thread: waking others up from there costs more than it brings.

use std::sync::atomic::{AtomicBool, Ordering};

use myopia_core::backend::{Backend, Kernel};
use rayon::Yield;

/// How many pieces of work can be under way at a time.
fn count() -> usize {
    match rayon::current_thread_index() {
        Some(_) => rayon::current_num_threads(),
        None => 1,
    }
}

/// More threads than this find nothing to do in a step.
const MOST: usize = 8;

/// Does `work` on one of rayon's threads and keeps others awake while it lasts: one that has gone to sleep between two pieces of
/// a step takes longer to wake up than most pieces take. No more of them than there are cores: they wait busily.
pub fn awake<R: Send>(work: impl FnOnce() -> R + Send) -> R {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let awake = if cores < MOST { cores } else { MOST };
    let over = &Apart(AtomicBool::new(false));
    rayon::scope(|scope| {
        let here = rayon::current_thread_index();
        scope.spawn_broadcast(move |_, thread| {
            let helps = Some(thread.index()) != here && thread.index() < awake;
            while helps && !over.0.load(Ordering::Relaxed) {
                if rayon::yield_now() != Some(Yield::Executed) {
                    // Not a yield to the system: helper and helped then end up on one core.
                    std::hint::spin_loop();
                }
            }
        });
        // Also when the work panics: the scope ends only when they have gone.
        let _release = Release(over);
        work()
    })
}

/// Apart from everything else in the cache: helpers look at it all the time, and whatever lay beside it would be slow to write.
#[repr(align(128))]
struct Apart(AtomicBool);

struct Release<'a>(&'a Apart);

impl Drop for Release<'_> {
    fn drop(&mut self) {
        self.0.0.store(true, Ordering::Relaxed);
    }
}

/// An engine whose steps are spread over the threads there are.
#[derive(Clone, Copy, Debug)]
pub struct Threaded<G>(pub G);

impl<G: Backend> Backend for Threaded<G> {
    type Vector = G::Vector;
    type Elementary = G::Elementary;
    const ACCUMULATORS: usize = G::ACCUMULATORS;
    const DENSE: bool = G::DENSE;

    #[inline(always)]
    fn run<K: Kernel>(self, task: K) -> K::Output {
        self.0.run(task)
    }

    fn threads(self) -> usize {
        count()
    }

    fn join<A: Send, B: Send>(
        self,
        a: impl FnOnce() -> A + Send,
        b: impl FnOnce() -> B + Send,
    ) -> (A, B) {
        match count() {
            1 => (a(), b()),
            _ => rayon::join(a, b),
        }
    }
}
