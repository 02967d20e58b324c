//! What a kernel runs on: which vector, which elementary functions, and which instructions.
//!
//! A kernel is written once, as a [`Kernel`] of plain loops. A [`Backend`] decides which instructions the compiler
//! may use for it; it cannot decide what is computed. On a device the backend is [`Portable`]; the host has one for
//! each instruction set.

use core::marker::PhantomData;

use crate::elementary::{Elementary, Libm};
use crate::vector::Vector;

/// A piece of work whose body is compiled into whatever a [`Backend`] calls it from.
///
/// `run` and everything under it must be `#[inline(always)]`: only what is inlined receives the backend's instructions.
pub trait Kernel {
    /// What the work yields.
    type Output;
    /// Does the work.
    fn run(self) -> Self::Output;

    /// What it is called in a table of times.
    fn label(&self) -> &'static str {
        "other work"
    }

    /// How many float operations it is about to do, padding included; zero for one that mostly moves numbers.
    fn flops(&self) -> u64 {
        0
    }
}

/// Where kernels run. Two backends over the same scalar type give the same bits.
pub trait Backend: Copy + Send + Sync {
    /// The block in which rows are stored.
    type Vector: Vector;
    /// Where elementary functions come from.
    type Elementary: Elementary<Scalar<Self>>;
    /// How many vectors a kernel keeps as running sums: enough to hide the latency of an addition, few enough to leave
    /// registers for operands and to let a tile of the matrix stay in the nearest cache.
    const ACCUMULATORS: usize;
    /// Whether a plain network multiplies by all hidden units, several examples at a time, and does not look for those that
    /// are active: faster where registers are many and wide.
    const DENSE: bool;
    /// Multiply-adds of a product over all layers, at least: with fewer, waking a second thread costs more than it saves.
    const PARALLEL_THRESHOLD: usize = 4_000_000;

    /// Runs `task` with this backend's instructions.
    fn run<K: Kernel>(self, task: K) -> K::Output;

    /// How many pieces of work can be under way at a time.
    fn threads(self) -> usize {
        1
    }

    /// Does `a` and `b`, at the same time where there is a thread to spare. They share nothing that either changes, so
    /// neither the order nor the number of threads enters a bit.
    fn join<A: Send, B: Send>(
        self,
        a: impl FnOnce() -> A + Send,
        b: impl FnOnce() -> B + Send,
    ) -> (A, B) {
        (a(), b())
    }
}

/// The float of a backend.
pub type Scalar<G> = <<G as Backend>::Vector as Vector>::Scalar;

/// The instructions the crate was compiled for: the specification, and the backend of every device.
#[derive(Debug)]
pub struct Portable<V, E = Libm>(PhantomData<(V, E)>);

impl<V, E> Portable<V, E> {
    /// The backend; it holds nothing.
    pub const fn new() -> Self {
        Self(PhantomData)
    }
}

impl<V, E> Default for Portable<V, E> {
    fn default() -> Self {
        Self::new()
    }
}

impl<V, E> Clone for Portable<V, E> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<V, E> Copy for Portable<V, E> {}

impl<V: Vector, E: Elementary<V::Scalar>> Backend for Portable<V, E> {
    type Vector = V;
    type Elementary = E;
    const ACCUMULATORS: usize = 8;
    const DENSE: bool = false;

    #[inline(always)]
    fn run<K: Kernel>(self, task: K) -> K::Output {
        task.run()
    }
}
