//! A digest over the bits of a state: FNV-1a, 64 bits, over the little-endian bytes of each number
//! in turn.

use crate::real::Real;

/// A running digest. Two states have the same digest when all their bits agree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Digest(u64);

/// A NaN was offered: its bits differ between processors, so it has no digest (contract 7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotANumber;

impl core::fmt::Display for NotANumber {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("a state that holds a NaN has no digest")
    }
}

impl core::error::Error for NotANumber {}

impl Default for Digest {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Digest {
    /// Takes in the bytes of `x`; refuses a NaN and is then unchanged.
    pub fn add<T: Real>(&mut self, x: T) -> Result<(), NotANumber> {
        // A NaN is the one number that is not equal to itself.
        if x.partial_cmp(&x).is_none() {
            return Err(NotANumber);
        }
        for byte in x.bits().to_le_bytes().iter().take(T::BYTES) {
            self.byte(*byte);
        }
        Ok(())
    }

    /// Takes in one byte.
    pub fn byte(&mut self, byte: u8) {
        self.0 = (self.0 ^ byte as u64).wrapping_mul(0x0000_0100_0000_01b3);
    }

    /// The 64 bits so far.
    pub fn value(self) -> u64 {
        self.0
    }
}

/// Sixteen hexadecimal digits.
impl core::fmt::Display for Digest {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// From the FNV authors' published test vectors for the 64-bit FNV-1a.
    #[test]
    fn the_digest_gives_the_published_values() {
        let of = |text: &str| {
            let mut digest = Digest::default();
            text.bytes().for_each(|b| digest.byte(b));
            digest.value()
        };
        assert_eq!(of(""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(of("a"), 0xaf63_dc4c_8601_ec8c);
        assert_eq!(of("foobar"), 0x8594_4171_f739_67e8);
    }

    #[test]
    fn a_nan_is_refused_and_the_sign_of_zero_counts() {
        let mut digest = Digest::default();
        assert_eq!(digest.add(f32::NAN), Err(NotANumber));
        assert_eq!(digest, Digest::default());
        let (mut plus, mut minus) = (Digest::default(), Digest::default());
        plus.add(0.0f64).unwrap();
        minus.add(-0.0f64).unwrap();
        assert_ne!(plus, minus);
    }
}
