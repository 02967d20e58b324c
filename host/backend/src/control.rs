//! Float control register of the calling thread: round to nearest, subnormals kept (contract 1).
//!
//! A library in the same process may have switched flushing to zero on, and a new thread inherits
//! it.

/// What of the float control register differed from the contract.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FloatControl {
    /// Subnormal results or operands were taken as zero.
    pub flushed: bool,
    /// Results were not rounded to nearest.
    pub rounded_otherwise: bool,
}

/// Puts the calling thread's float control register into the contract's state; returns what it
/// departed from.
#[inline]
pub fn restore() -> FloatControl {
    #[cfg(target_arch = "x86_64")]
    {
        const DENORMALS_ARE_ZERO: u32 = 1 << 6;
        const FLUSH_TO_ZERO: u32 = 1 << 15;
        const ROUNDING: u32 = 3 << 13;
        let mut word = 0u32;
        // SAFETY: every x86-64 processor has MXCSR; the instruction writes four bytes to a local
        // variable.
        unsafe { std::arch::asm!("stmxcsr [{}]", in(reg) &raw mut word, options(nostack)) };
        let found = FloatControl {
            flushed: word & (DENORMALS_ARE_ZERO | FLUSH_TO_ZERO) != 0,
            rounded_otherwise: word & ROUNDING != 0,
        };
        if found != FloatControl::default() {
            let word = word & !(DENORMALS_ARE_ZERO | FLUSH_TO_ZERO | ROUNDING);
            // SAFETY: the word was read from MXCSR, so no reserved bit is set; the bits cleared are
            // those that the Rust abstract machine expects to be clear.
            unsafe {
                std::arch::asm!("ldmxcsr [{}]", in(reg) &raw const word, options(nostack, readonly))
            };
        }
        found
    }
    #[cfg(target_arch = "aarch64")]
    {
        const FLUSH_TO_ZERO: u64 = 1 << 24;
        const ROUNDING: u64 = 3 << 22;
        let word: u64;
        // SAFETY: FPCR is readable at every exception level.
        unsafe { std::arch::asm!("mrs {}, fpcr", out(reg) word, options(nomem, nostack)) };
        let found = FloatControl {
            flushed: word & FLUSH_TO_ZERO != 0,
            rounded_otherwise: word & ROUNDING != 0,
        };
        if found != FloatControl::default() {
            let word = word & !(FLUSH_TO_ZERO | ROUNDING);
            // SAFETY: the word was read from FPCR; only bits that the abstract machine expects to
            // be clear are cleared.
            unsafe { std::arch::asm!("msr fpcr, {}", in(reg) word, options(nomem, nostack)) };
        }
        found
    }
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    FloatControl::default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::hint::black_box;

    #[cfg(target_arch = "x86_64")]
    fn set(bits: u32) {
        let mut word = 0u32;
        // SAFETY: as in `restore`; the bits set are defined ones.
        unsafe {
            std::arch::asm!("stmxcsr [{}]", in(reg) &raw mut word);
            word |= bits;
            std::arch::asm!("ldmxcsr [{}]", in(reg) &raw const word);
        }
    }

    #[cfg(target_arch = "x86_64")]
    #[test]
    fn subnormals_and_rounding_are_restored_on_the_calling_thread() {
        let halved = || black_box(f32::MIN_POSITIVE) / black_box(2.0);
        for (bits, departed) in [
            (1 << 15, FloatControl { flushed: true, rounded_otherwise: false }),
            (1 << 6, FloatControl { flushed: true, rounded_otherwise: false }),
            (2 << 13, FloatControl { flushed: false, rounded_otherwise: true }),
            (0, FloatControl::default()),
        ] {
            set(bits);
            assert_eq!(restore(), departed, "{bits:#x}");
            assert_eq!(restore(), FloatControl::default(), "{bits:#x}");
            assert!(halved() > 0.0, "{bits:#x}");
        }
    }
}
