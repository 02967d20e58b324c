//! Wall time and float operations by kernel label and thread; off unless asked for.

use std::cell::RefCell;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use myopia_core::backend::Kernel;

/// What kernels of one label took on this thread.
#[derive(Clone, Debug, PartialEq)]
pub struct KernelTime {
    /// The kernels' label.
    pub label: &'static str,
    /// All of them together.
    pub microseconds: f64,
    /// Float operations, padding included.
    pub flops: f64,
}

thread_local! {
    static TIMES: RefCell<Vec<KernelTime>> = const { RefCell::new(Vec::new()) };
}

static ON: AtomicBool = AtomicBool::new(false);

/// Times every kernel of every thread while `work` runs.
pub fn timed<R>(work: impl FnOnce() -> R) -> R {
    ON.store(true, Ordering::Relaxed);
    let result = work();
    ON.store(false, Ordering::Relaxed);
    result
}

/// What was timed on this thread since the last call.
pub fn take() -> Vec<KernelTime> {
    TIMES.take()
}

/// A kernel that is being timed.
pub(crate) struct Timer {
    label: &'static str,
    flops: f64,
    started: Instant,
}

#[inline(always)]
pub(crate) fn start<K: Kernel>(kernel: &K) -> Option<Timer> {
    if !ON.load(Ordering::Relaxed) {
        return None;
    }
    let (label, flops) = (kernel.label(), kernel.flops() as f64);
    Some(Timer { label, flops, started: Instant::now() })
}

#[inline(always)]
pub(crate) fn stop(timer: Option<Timer>) {
    if let Some(timer) = timer {
        note(timer);
    }
}

#[cold]
fn note(Timer { label, flops, started }: Timer) {
    let microseconds = started.elapsed().as_secs_f64() * 1e6;
    TIMES.with_borrow_mut(|times| match times.iter_mut().find(|time| time.label == label) {
        Some(time) => {
            time.microseconds += microseconds;
            time.flops += flops;
        }
        None => times.push(KernelTime { label, microseconds, flops }),
    });
}
