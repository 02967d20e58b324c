#![doc = include_str!("../README.md")]
//!
//! # Modules
//!
//! - [`bilevel`]: solvers of bilevel problems and the dynamics of their two players;
//! - [`nqm`]: the noisy quadratic model with its exact expected loss;
//! - [`mlp`]: a multilayer perceptron whose training step is written once, over numbers with P
//!   tangents ([`dual`]);
//! - [`schedule`], [`unroll`], [`meta`]: α_k = α₀/(1 + k/K)^β, its hypergradient after T steps, and
//!   the meta-step;
//! - [`family`]: other learning-rate schedules, and a warm-up;
//! - [`exponent`]: how fast neighbouring runs part;
//! - [`online`]: learning rate and momentum adapted while training runs;
//! - [`sampler`], [`glyphs`], [`rng`]: what training is fed with;
//! - [`trace`], [`digest`]: what a run leaves behind, and whether two machines agree;
//! - [`experiments`]: small runs with golden reports, by which any target is judged.
//!
//! The crate is `no_std`, allocates only in `mlp::HeapNetwork` and `mlp::HeapBatch`, contains no
//! unsafe code, and its functions do not panic. Source of the equations: Wu, Ren, Liao & Grosse,
//! *Understanding short-horizon bias in stochastic meta-optimization* (ICLR 2018,
//! arXiv:1803.02021).
//!
//! # The numeric contract
//!
//! The same inputs give the same bits: on every target, at every vector width, for every number of
//! threads, in debug and in release. Each clause names the measured trap that it closes.
//!
//! 1. **Numbers and operations.** `f32` and `f64` of IEEE 754 with `+ − × ÷` rounded to nearest
//!    even, subnormals kept, in the order in which the source writes them. The compiler neither
//!    reorders nor contracts float operations. x86 without SSE2 computes in 80 bits and is refused
//!    at compile time. Units that flush subnormals to zero are not to be used: Cortex-M55's MVE
//!    float vectors (`-C target-feature=-mve.fp`, or a generic `target-cpu`), AltiVec (`-altivec`),
//!    ARMv7 NEON float; nobody may set FTZ or DAZ on x86.
//! 2. **No fused multiply-add**, on any target: it rounds once where a product and a sum round
//!    twice. Libraries whose kernels depend on the processor (BLAS, gemm, matrixmultiply, faer,
//!    pulp) are not used for anything that ends in a digest.
//! 3. **Sums.** Every sum has one order. In matrix products each element is one sequential sum,
//!    begun at its bias or at +0, over ascending inputs, examples or outputs ([`mlp`]); vector
//!    lanes hold different elements, so their number is free. A long sum of scalars is eight
//!    interleaved partial sums and a fixed tree ([`sum::Sum`]): the losses of a batch, the batches
//!    of an objective, the dimensions of a quadratic ([`nqm`]). Partial sums may be stored and
//!    continued; they are never split. Threads divide elements, never a sum.
//! 4. **Elementary functions** are those of [`elementary`]: `exp`, `ln`, `pow` and `sqrt` of the
//!    `libm` crate at a pinned version without its default features, called as free functions. The
//!    platform's own differ in the last bit in one call out of fifteen, and so does everything
//!    computed from them. `micromath` is a second backend for whoever names it as a type parameter.
//! 5. **Selection is by comparison**: `if a > b { a } else { b }`, never `max`, `min` or `clamp`,
//!    whose sign of zero varies. ReLU is `if z > 0 { z } else { 0 }`; its tangents follow the same
//!    branch, so the derivative at zero is zero.
//! 6. **Zero factors may be left out.** A term x·w is skipped when x is a unit that ReLU switched
//!    off, or one of a pair of neighbouring inputs that are both zero. The dense sum has the same
//!    bits: s + (±0) = s for every s but −0 + (+0) = +0, and a sum that starts at +0 or at a bias
//!    is −0 only while the bias is −0 and all terms so far were −0. Initial biases are +0; θ ← θ +
//!    v gives −0 only from −0 and −0; so a bias is never −0. Infinite or NaN weights, with which
//!    0·w is not zero, meet no factor: the step that made them has ended the run by clause 7.
//! 7. **No NaN, no infinity in a result.** A step that leaves the finite range, in value or in
//!    tangent, ends the run with a report of the step. A [`digest`] refuses NaN, whose sign and
//!    payload vary. Nothing is cast from float to integer (the cast of a signalling NaN varies).
//! 8. **Division is division.** A pixel is p/255, not p·(1/255), which differs for 126 of 256
//!    values. The quotient rule of a dual number divides values by the float formula.
//! 9. **Tangents never touch values.** The value part of an operation on [`dual::Dual`] is the
//!    plain operation, so P = 3 and P = 0 agree in every value bit, and each tangent agrees with a
//!    run that carries it alone.
//! 10. **Integers.** `usize` enters no digest, no file and no seed; a digest takes little-endian
//!     bytes of fixed width. Random numbers are integer arithmetic ([`rng`]); floats are made from
//!     them by exact operations.
//! 11. **Constants are literals**, parsed by the compiler with correct rounding; no table is
//!     computed by the build machine.
//!
//! Promised: equal bits wherever clauses 1 to 11 can be kept, for one version of this crate. Not
//! promised: the same bits from one version to the next (a changed golden value is announced with
//! its reason), bits of intermediate storage such as padding, and anything on targets named in
//! clause 1 with their flushing units switched on. s390x under QEMU 7.2 computes single
//! multiply-subtract wrongly; that is the emulator's fault.

#![no_std]
#![forbid(unsafe_code)]

#[cfg(all(any(target_arch = "x86", target_arch = "x86_64"), not(target_feature = "sse2")))]
compile_error!(
    "Myopia needs SSE2 on x86: without it floats are computed in 80 bits and every digest differs (contract 1). \
     Build for i686 or x86_64, or add -C target-feature=+sse2."
);

#[cfg(feature = "alloc")]
extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod backend;
pub mod bilevel;
pub mod digest;
pub mod dual;
pub mod elementary;
#[cfg(feature = "experiments")]
pub mod experiments;
pub mod exponent;
pub mod family;
pub mod glyphs;
pub mod kfac;
pub mod meta;
pub mod mlp;
pub mod nqm;
pub mod online;
pub mod optimizer;
pub mod real;
pub mod rng;
pub mod sampler;
pub mod schedule;
pub mod sum;
pub mod trace;
pub mod unroll;
pub mod vector;
