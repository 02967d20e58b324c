//! The `Backend` trait: vector type, instruction set and threads a [`Kernel`] is compiled for.
//!
//! A kernel is written once, as a [`Kernel`] of plain loops. A [`Backend`] decides which
//! instructions the compiler may use for it; it cannot decide what is computed. On a device the
//! backend is [`Portable`]; the host has one for each instruction set.

use core::marker::PhantomData;

use crate::vector::Vector;

/// A piece of work whose body is compiled into whatever a [`Backend`] calls it from.
///
/// `run` and everything under it must be `#[inline(always)]`: only what is inlined receives the
/// backend's instructions.
pub trait Kernel {
    /// What the work yields.
    type Output;
    /// Does the work.
    fn run(self) -> Self::Output;

    /// Does the same work in the smallest tiles, to the same bits: less code, where registers are
    /// too few for larger ones.
    #[inline(always)]
    fn run_in_small_tiles(self) -> Self::Output
    where
        Self: Sized,
    {
        self.run()
    }

    /// What it is called in a table of times.
    fn label(&self) -> &'static str {
        "other work"
    }

    /// How many float operations it is about to do, padding included; zero for one that mostly
    /// moves numbers.
    fn flops(&self) -> u64 {
        0
    }
}

/// Where kernels run. Two backends over the same scalar type give the same bits.
pub trait Backend: Copy + Send + Sync {
    /// The block in which rows are stored.
    type Vector: Vector;
    /// How many vectors a kernel keeps as running sums: enough to hide the latency of an addition,
    /// few enough to leave registers for operands and to keep a tile of the matrix in L1.
    const ACCUMULATORS: usize;
    /// Whether a plain network multiplies by all hidden units, several examples at a time, and does
    /// not look for those that are active: faster where registers are many and wide.
    const DENSE: bool;
    /// Whether a loop over parameters is compiled once for each rule, outside of the choice between
    /// them: faster and longer.
    const SPECIALISES: bool = false;

    /// Runs `task` with this backend's instructions.
    fn run<K: Kernel>(self, task: K) -> K::Output;

    /// Runs `task` in a function of its own, so that a long one asked for in many places stands
    /// once in a program.
    fn call<K: Kernel>(self, task: K) -> K::Output {
        self.run(task)
    }

    /// How many threads are worth waking for `multiply_adds` multiply-adds on P + 1 planes.
    fn threads(self, multiply_adds: usize) -> usize {
        let _ = multiply_adds;
        1
    }

    /// Does `a` and `b`, at the same time where there is a thread to spare. They share nothing that
    /// either changes, so neither the order nor the number of threads enters a bit.
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
pub struct Portable<V>(PhantomData<V>);

impl<V> Portable<V> {
    /// The backend; it holds nothing.
    pub const fn new() -> Self {
        Self(PhantomData)
    }
}

impl<V> Default for Portable<V> {
    fn default() -> Self {
        Self::new()
    }
}

impl<V> Clone for Portable<V> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<V> Copy for Portable<V> {}

impl<V: Vector> Backend for Portable<V> {
    type Vector = V;
    // With one lane, code that is half as long: it is for where flash is short. Registers of 128
    // bits hold eight sums of four `f32` beside their operands, sixteen of them with SSE2 and 32
    // with NEON: two panels with three tangents do not touch memory in between. Sixteen go
    // through memory in most passes, on NEON too (`benches/README.md`).
    const ACCUMULATORS: usize = if V::LANES == 1 { 4 } else { 8 };
    const DENSE: bool = false;

    #[inline(always)]
    fn run<K: Kernel>(self, task: K) -> K::Output {
        task.run()
    }

    #[inline(never)]
    fn call<K: Kernel>(self, task: K) -> K::Output {
        task.run()
    }
}
