//! Instruction sets.

/// An instruction set. Each gives the bits of every other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Isa {
    /// What every processor of the architecture has: SSE2, NEON, …
    Baseline,
    /// AVX2.
    Avx2,
    /// AVX-512.
    Avx512,
}

impl Isa {
    /// Every instruction set that a processor of this architecture may have, the widest last.
    pub const ALL: &'static [Self] = if cfg!(target_arch = "x86_64") {
        &[Self::Baseline, Self::Avx2, Self::Avx512]
    } else {
        &[Self::Baseline]
    };

    /// Whether this processor has it.
    pub fn available(self) -> bool {
        match self {
            Self::Baseline => true,
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => std::arch::is_x86_feature_detected!("avx2"),
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => std::arch::is_x86_feature_detected!("avx512f"),
            #[cfg(not(target_arch = "x86_64"))]
            Self::Avx2 | Self::Avx512 => false,
        }
    }

    /// The widest that this processor has.
    pub fn widest() -> Self {
        let mut available = Self::ALL.iter().copied().filter(|isa| isa.available());
        available.next_back().unwrap_or(Self::Baseline)
    }

    /// Its name: `baseline`, `avx2` or `avx512`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Baseline => "baseline",
            Self::Avx2 => "avx2",
            Self::Avx512 => "avx512",
        }
    }
}
