//! The float in which a network is trained, `f32` or `f64`, chosen at run time.
//!
//! Everything above a model is compiled once, over `f64`: it holds every `f32` exactly. Arithmetic
//! whose bits count is done in the float of the run, by `in_precision!`.

use myopia_backend::{Isa, Models};
use myopia_core::real::Real;
use myopia_core::schedule::{InvalidSchedule, InverseTime};
use serde::{Deserialize, Serialize};

use crate::problem::{Data, Sets};

/// A float type by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// Single.
    F32,
    /// Double.
    F64,
}

/// Evaluates `$body` with `$t` naming the float type of `$precision`.
macro_rules! in_precision {
    ($precision:expr, $t:ident => $body:expr) => {
        match $precision {
            $crate::precision::Precision::F32 => {
                type $t = f32;
                $body
            }
            $crate::precision::Precision::F64 => {
                type $t = f64;
                $body
            }
        }
    };
}
pub(crate) use in_precision;

impl Precision {
    /// `x` rounded to this float.
    pub fn round(self, x: f64) -> f64 {
        in_precision!(self, T => T::from_f64(x).to_f64())
    }

    /// The schedule α₀/(1 + k/K)^β with its parameters rounded to this float.
    ///
    /// # Errors
    /// Which of them is outside what this float can hold or the schedule takes.
    pub fn schedule(
        self,
        alpha0: f64,
        time_constant: f64,
        beta: f64,
    ) -> Result<InverseTime<f64>, InvalidSchedule> {
        in_precision!(self, T => {
            let [a, k, b] = [alpha0, time_constant, beta].map(T::from_f64);
            let [alpha0, time_constant, beta] = InverseTime::new(a, k, b)?.parameters().map(T::to_f64);
            Ok(InverseTime { alpha0, time_constant, beta })
        })
    }

    /// `a·b`, computed in this float.
    pub fn product(self, a: f64, b: f64) -> f64 {
        in_precision!(self, T => (T::from_f64(a) * T::from_f64(b)).to_f64())
    }

    /// Its name, `f32` or `f64`.
    pub fn name(self) -> &'static str {
        in_precision!(self, T => T::NAME)
    }

    /// Bytes of a number.
    pub fn bytes(self) -> u64 {
        in_precision!(self, T => T::BYTES as u64)
    }
}

/// Numbers in one of the floats.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Numbers {
    /// Single.
    F32(Vec<f32>),
    /// Double.
    F64(Vec<f64>),
}

impl Numbers {
    /// How many there are.
    pub fn len(&self) -> usize {
        match self {
            Self::F32(numbers) => numbers.len(),
            Self::F64(numbers) => numbers.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The float that they are in.
    pub fn precision(&self) -> Precision {
        match self {
            Self::F32(_) => Precision::F32,
            Self::F64(_) => Precision::F64,
        }
    }
}

/// A float with models, data and numbers.
pub trait Float: Real {
    /// The models of the widest instruction set up to `isa` for which there are kernels in this
    /// float.
    fn models(isa: Isa) -> Models<Self>;
    /// `values` as numbers.
    fn numbers(values: Vec<Self>) -> Numbers;
    /// The values of `numbers`, if they are in this float.
    fn values(numbers: &Numbers) -> Option<&[Self]>;
    /// The examples of `data`, if they are in this float.
    fn sets(data: &Data) -> Option<&Sets<Self>>;
}

macro_rules! float {
    ($t:ident, $variant:ident, $models:expr) => {
        impl Float for $t {
            fn models(isa: Isa) -> Models<Self> {
                $models(if isa.available() { isa } else { Isa::Baseline })
            }

            fn numbers(values: Vec<Self>) -> Numbers {
                Numbers::$variant(values)
            }

            fn values(numbers: &Numbers) -> Option<&[Self]> {
                match numbers {
                    Numbers::$variant(values) => Some(values),
                    _ => None,
                }
            }

            fn sets(data: &Data) -> Option<&Sets<Self>> {
                match &data.examples {
                    crate::problem::Examples::$variant(sets) => Some(sets),
                    _ => None,
                }
            }
        }
    };
}

float!(f32, F32, |isa| match isa {
    #[cfg(target_arch = "x86_64")]
    Isa::Avx512 => myopia_kernels_avx512::MODELS,
    #[cfg(target_arch = "x86_64")]
    Isa::Avx2 => myopia_kernels_avx2::MODELS,
    _ => myopia_kernels_baseline::MODELS,
});

float!(f64, F64, |isa| match isa {
    // Whoever has AVX-512 has AVX2; derivatives are checked in f64, not timed.
    #[cfg(target_arch = "x86_64")]
    Isa::Avx512 | Isa::Avx2 => myopia_kernels_double::AVX2,
    _ => myopia_kernels_double::BASELINE,
});
