//! `Threaded`: backend that splits one step over rayon's threads by work stealing.
//!
//! Where all threads have runs of their own, nobody steals and a step stays where it is; where
//! there is one run, its halves are taken by whoever is idle. Outside rayon's threads there is one
//! thread: waking others up from there costs more than it brings.

use std::sync::atomic::{AtomicBool, Ordering};

use myopia_core::backend::{Backend, Kernel};
use rayon::Yield;

use crate::control;
use crate::model::HostBackend;
use crate::profile;

/// Threads of the pool that the calling thread belongs to; 1 outside a pool.
pub fn pool_size() -> usize {
    match rayon::current_thread_index() {
        Some(_) => rayon::current_num_threads(),
        None => 1,
    }
}

/// Multiply-adds below which waking a second thread costs more than it saves.
const PARALLEL_THRESHOLD: usize = 4_000_000;

/// Whether also work below the threshold is divided.
static DIVIDE_ALL: AtomicBool = AtomicBool::new(false);

/// Divides also work below the threshold among threads while `work` runs, on every thread: slower,
/// and a proof that the number of threads enters no bit.
pub fn divide_all_work<R>(work: impl FnOnce() -> R) -> R {
    DIVIDE_ALL.store(true, Ordering::Relaxed);
    let result = work();
    DIVIDE_ALL.store(false, Ordering::Relaxed);
    result
}

/// More threads than this find nothing to do in a step.
const MOST_THREADS: usize = 8;

/// Does `work` on one of rayon's threads and keeps others awake while it lasts: one that has gone
/// to sleep between two pieces of a step takes longer to wake up than most pieces take. No more of
/// them than there are cores: they wait busily.
pub fn awake<R: Send>(work: impl FnOnce() -> R + Send) -> R {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let awake = if cores < MOST_THREADS { cores } else { MOST_THREADS };
    let over = &OwnCacheLine(AtomicBool::new(false));
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

/// Helpers poll it: on a line of its own, since false sharing would slow its neighbours.
#[repr(align(128))]
struct OwnCacheLine(AtomicBool);

struct Release<'a>(&'a OwnCacheLine);

impl Drop for Release<'_> {
    fn drop(&mut self) {
        self.0.0.store(true, Ordering::Relaxed);
    }
}

/// A backend whose steps are divided among the threads of the pool they run in.
#[derive(Clone, Copy, Debug)]
pub struct Threaded<G>(G);

impl<G: HostBackend> HostBackend for Threaded<G> {
    fn detect() -> Option<Self> {
        G::detect().map(Self)
    }
}

impl<G: Backend> Backend for Threaded<G> {
    type Vector = G::Vector;
    const ACCUMULATORS: usize = G::ACCUMULATORS;
    const DENSE: bool = G::DENSE;
    const SPECIALISES: bool = G::SPECIALISES;

    #[inline(always)]
    fn run<K: Kernel>(self, kernel: K) -> K::Output {
        let timer = profile::start(&kernel);
        let output = self.0.run(kernel);
        profile::stop(timer);
        output
    }

    #[inline(always)]
    fn call<K: Kernel>(self, kernel: K) -> K::Output {
        self.0.call(kernel)
    }

    fn threads(self, multiply_adds: usize) -> usize {
        if multiply_adds >= PARALLEL_THRESHOLD || DIVIDE_ALL.load(Ordering::Relaxed) {
            pool_size()
        } else {
            1
        }
    }

    fn join<A: Send, B: Send>(
        self,
        a: impl FnOnce() -> A + Send,
        b: impl FnOnce() -> B + Send,
    ) -> (A, B) {
        if pool_size() == 1 {
            return (a(), b());
        }
        // One instance of rayon's join serves all: its code would otherwise be compiled anew for
        // each pair of closures.
        let (mut a, mut b) = (Ready(Some(a), None), Ready(Some(b), None));
        join(&mut || a.run(), &mut || b.run());
        (a.finished(), b.finished())
    }
}

/// A piece of work, and what it gave once it has been done.
struct Ready<F, R>(Option<F>, Option<R>);

impl<F: FnOnce() -> R, R> Ready<F, R> {
    fn run(&mut self) {
        self.1 = self.0.take().map(|work| work());
    }

    fn finished(self) -> R {
        self.1.expect("rayon has run both sides of a join")
    }
}

/// Does both at the same time if a thread is idle.
#[inline(never)]
fn join(a: &mut (dyn FnMut() + Send), b: &mut (dyn FnMut() + Send)) {
    rayon::join(a, || {
        control::restore();
        b();
    });
}
