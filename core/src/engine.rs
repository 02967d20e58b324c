//! What a kernel runs on: which vector, which elementary functions, and which instructions.
//!
//! A kernel is written once, as a [`Task`] of plain loops. An [`Engine`] decides which instructions the compiler
//! may use for it; it cannot decide what is computed. On a device the engine is [`Plain`]; the host has one for
//! each instruction set.

use core::marker::PhantomData;

use crate::elementary::{Elementary, Libm};
use crate::vector::Vector;

/// A piece of work whose body is compiled into whatever an [`Engine`] calls it from.
///
/// `run` and everything under it must be `#[inline(always)]`: only what is inlined receives the engine's instructions.
pub trait Task {
    /// What the work yields.
    type Output;
    /// Does the work.
    fn run(self) -> Self::Output;

    /// What it is called in a table of times.
    fn name(&self) -> &'static str {
        "other work"
    }

    /// How many float operations it is about to do, padding included; zero for one that mostly moves numbers.
    fn operations(&self) -> u64 {
        0
    }
}

/// Where kernels run. Two engines over the same scalar type give the same bits.
pub trait Engine: Copy + Send + Sync {
    /// The block in which rows are stored.
    type Vector: Vector;
    /// Where elementary functions come from.
    type Elementary: Elementary<Scalar<Self>>;
    /// How many vectors a kernel keeps as running sums: enough to hide the latency of an addition, few enough to leave
    /// registers for operands and to let a tile of the matrix stay in the nearest cache.
    const SUMS: usize;
    /// Whether a plain network multiplies by all hidden units, several examples at a time, and does not look for those that
    /// are active: faster where registers are many and wide.
    const DENSE: bool;

    /// Runs `task` with this engine's instructions.
    fn run<K: Task>(self, task: K) -> K::Output;

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

/// The float of an engine.
pub type Scalar<G> = <<G as Engine>::Vector as Vector>::Scalar;

/// The instructions the crate was compiled for: the specification, and the engine of every device.
#[derive(Debug)]
pub struct Plain<V, E = Libm>(PhantomData<(V, E)>);

impl<V, E> Plain<V, E> {
    /// The engine; it holds nothing.
    pub const fn new() -> Self {
        Self(PhantomData)
    }
}

impl<V, E> Default for Plain<V, E> {
    fn default() -> Self {
        Self::new()
    }
}

impl<V, E> Clone for Plain<V, E> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<V, E> Copy for Plain<V, E> {}

impl<V: Vector, E: Elementary<V::Scalar>> Engine for Plain<V, E> {
    type Vector = V;
    type Elementary = E;
    const SUMS: usize = 8;
    const DENSE: bool = false;

    #[inline(always)]
    fn run<K: Task>(self, task: K) -> K::Output {
        task.run()
    }
}
