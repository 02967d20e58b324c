//! An engine that notes how long each task takes.

use std::cell::RefCell;
use std::time::Instant;

use myopia_core::backend::{Backend, Kernel};

/// What tasks of one name took since [`taken`] was last called on this thread.
pub struct Timing {
    pub name: &'static str,
    pub microseconds: f64,
    pub operations: f64,
}

thread_local! {
    static KERNELS: RefCell<Vec<Timing>> = const { RefCell::new(Vec::new()) };
}

/// What was noted on this thread since the last call.
pub fn taken() -> Vec<Timing> {
    KERNELS.take()
}

/// An engine and a watch; it stays on one thread.
#[derive(Clone, Copy, Debug)]
pub struct Timed<G>(pub G);

impl<G: Backend> Backend for Timed<G> {
    type Vector = G::Vector;
    type Elementary = G::Elementary;
    const ACCUMULATORS: usize = G::ACCUMULATORS;
    const DENSE: bool = G::DENSE;

    fn run<K: Kernel>(self, task: K) -> K::Output {
        let (name, operations) = (task.label(), task.flops() as f64);
        let started = Instant::now();
        let output = self.0.run(task);
        let microseconds = started.elapsed().as_secs_f64() * 1e6;
        KERNELS.with_borrow_mut(|kernels| match kernels.iter_mut().find(|k| k.name == name) {
            Some(kernel) => {
                kernel.microseconds += microseconds;
                kernel.operations += operations;
            }
            None => kernels.push(Timing { name, microseconds, operations }),
        });
        output
    }
}
