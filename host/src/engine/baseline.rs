//! The engine that every processor has.

use std::marker::PhantomData;

use myopia_core::elementary::{Elementary, Libm};
use myopia_core::engine::{Engine, Plain, Task};
use myopia_core::vector::Vector;

use super::threads;

/// The instructions that the program was compiled for, and the threads that there are.
#[derive(Debug)]
pub struct Baseline<V>(PhantomData<V>);

impl<V> Baseline<V> {
    /// The engine.
    pub fn new() -> Self {
        Self(PhantomData)
    }
}

impl<V> Default for Baseline<V> {
    fn default() -> Self {
        Self::new()
    }
}

impl<V> Clone for Baseline<V> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<V> Copy for Baseline<V> {}

impl<V: Vector> Engine for Baseline<V>
where
    Libm: Elementary<V::Scalar>,
{
    type Vector = V;
    type Elementary = Libm;
    const SUMS: usize = Plain::<V>::SUMS;
    const DENSE: bool = false;

    #[inline(always)]
    fn run<K: Task>(self, task: K) -> K::Output {
        task.run()
    }

    fn threads(self) -> usize {
        threads::count()
    }

    fn join<A: Send, B: Send>(
        self,
        a: impl FnOnce() -> A + Send,
        b: impl FnOnce() -> B + Send,
    ) -> (A, B) {
        threads::join(a, b)
    }
}
