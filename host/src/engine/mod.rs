//! The instruction sets of the host, chosen at run time. Each gives the bits of every other.

mod threads;
#[cfg(target_arch = "x86_64")]
use myopia_x86 as x86;

use myopia_core::backend::{Backend, Portable};
use myopia_core::real::Real;
use myopia_core::vector::{F32x4, F32x8, F32x16, F64x4, F64x8, Vector};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::failure::Failure;
use threads::Threaded;

/// An instruction set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Isa {
    /// What every processor of the architecture has: SSE2, NEON, …
    Baseline,
    /// AVX2
    Avx2,
    /// AVX-512
    Avx512,
}

impl Isa {
    /// Every instruction set, the widest last.
    pub const ALL: [Self; 3] = [Self::Baseline, Self::Avx2, Self::Avx512];

    /// Whether this processor has it.
    pub fn available(self) -> bool {
        match self {
            Self::Baseline => true,
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => x86::Avx2::<F32x8>::detect().is_some(),
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => x86::Avx512::<F32x16>::detect().is_some(),
            #[cfg(not(target_arch = "x86_64"))]
            Self::Avx2 | Self::Avx512 => false,
        }
    }

    /// The widest that this processor has.
    pub fn widest() -> Self {
        Self::ALL.into_iter().rfind(|isa| isa.available()).unwrap_or(Self::Baseline)
    }

    /// `named`, or the widest.
    ///
    /// # Errors
    /// When this processor does not have it.
    pub fn choose(named: Option<Self>) -> Result<Self, Failure> {
        match named {
            None => Ok(Self::widest()),
            Some(isa) if isa.available() => Ok(isa),
            Some(isa) => Err(Failure::usage(format!(
                "--isa {} is not among this processor's instructions; leave it out for the widest there is, {}",
                isa.name(),
                Self::widest().name()
            ))),
        }
    }

    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Baseline => "baseline",
            Self::Avx2 => "avx2",
            Self::Avx512 => "avx512",
        }
    }
}

/// Work that runs on whichever engine it is given.
pub trait Work<T: Real> {
    /// What it yields.
    type Output;
    /// Does it.
    fn on<G: Backend<Vector: Vector<Scalar = T>>>(self, engine: G) -> Self::Output;
}

/// A float with engines for it.
pub trait Precision: Real + Serialize + DeserializeOwned {
    /// Runs `work` with the instructions of `isa`, or with the baseline where the processor lacks them.
    fn run<W: Work<Self>>(isa: Isa, work: W) -> W::Output;

    /// The same where there is nothing else to do at the same time: each step is spread over the threads there are.
    fn spread<W: Work<Self, Output: Send> + Send>(isa: Isa, work: W) -> W::Output {
        threads::awake(|| Self::run(isa, work))
    }
}

macro_rules! precision {
    ($t:ident, $baseline:ident, $avx2:ident, $avx512:ident) => {
        impl Precision for $t {
            fn run<W: Work<$t>>(isa: Isa, work: W) -> W::Output {
                #[cfg(target_arch = "x86_64")]
                {
                    if isa == Isa::Avx512
                        && let Some(engine) = x86::Avx512::<$avx512>::detect()
                    {
                        return work.on(Threaded(engine));
                    }
                    if isa == Isa::Avx2
                        && let Some(engine) = x86::Avx2::<$avx2>::detect()
                    {
                        return work.on(Threaded(engine));
                    }
                }
                #[cfg(not(target_arch = "x86_64"))]
                let _ = isa;
                work.on(Threaded(Portable::<$baseline>::new()))
            }
        }
    };
}

precision!(f32, F32x4, F32x8, F32x16);
precision!(f64, F64x4, F64x4, F64x8);
