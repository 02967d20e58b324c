//! Peak of one core, in float operations a second: unfused multiplications and additions, each
//! counted.

use std::hint::black_box;
use std::time::Instant;

use myopia_core::backend::{Backend, Kernel, Scalar};
use myopia_core::dual::Dual;
use myopia_core::real::Real;
use myopia_core::vector::Vector;

/// How many sums are begun, and how many terms each has.
const SUMS: usize = 100;
const TERMS: usize = 32;

struct Products<'a, V> {
    terms: [&'a [Dual<V, 3>]; 2],
    factor: V,
    out: &'a mut [[Dual<V, 3>; 2]],
}

impl<V: Vector> Kernel for Products<'_, V> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let [first, second] = self.terms;
        for out in self.out {
            let mut sums = *out;
            for (a, b) in first.iter().zip(second) {
                let [x, y] = &mut sums;
                *x = *x + a.scaled(self.factor);
                *y = *y + b.scaled(self.factor);
            }
            *out = sums;
        }
    }
}

/// Peak of one core in 10⁹ multiplications and additions a second, not fused: eight independent
/// sums of products, one factor in a register and the other in L1.
pub fn peak<G: Backend>(backend: G) -> f64 {
    let one = Dual::constant(G::Vector::splat(black_box(Scalar::<G>::ONE)));
    let (terms, mut out) = ([one; TERMS], vec![[one; 2]; SUMS]);
    let times = 50;
    let operations = (times * SUMS * TERMS * 16 * G::Vector::LANES) as f64;
    let mut best = 0.0_f64;
    for _ in 0..25 {
        let started = Instant::now();
        for _ in 0..times {
            let factor = G::Vector::splat(Scalar::<G>::from_f32(0.5));
            backend.run(Products { terms: [&terms, &terms], factor, out: &mut out });
            black_box(&mut out);
        }
        let rate = operations / started.elapsed().as_secs_f64() / 1e9;
        best = if rate > best { rate } else { best };
    }
    best
}
