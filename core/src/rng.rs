//! Random numbers: PCG32 (XSH RR 64/32; O'Neill 2014), integers only, and what is drawn from it
//! under the contract.

use crate::elementary::{Elementary, Libm};
use crate::real::Real;

/// PCG32: 64 bits of state, 2⁶³ independent streams, period 2⁶⁴.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pcg32 {
    state: u64,
    increment: u64,
}

const MULTIPLIER: u64 = 6_364_136_223_846_793_005;

impl Pcg32 {
    /// A generator from a seed and a stream number; the same as the reference `pcg32_srandom_r`.
    pub fn new(seed: u64, stream: u64) -> Self {
        let mut rng = Self { state: 0, increment: (stream << 1) | 1 };
        rng.next_u32();
        rng.state = rng.state.wrapping_add(seed);
        rng.next_u32();
        rng
    }

    /// The state and the increment, for a checkpoint.
    pub fn parts(self) -> (u64, u64) {
        (self.state, self.increment)
    }

    /// The generator whose [`parts`](Self::parts) these are.
    pub fn from_parts(state: u64, increment: u64) -> Self {
        Self { state, increment: increment | 1 }
    }

    /// Leaves out the next `numbers` numbers of 32 bits (Brown 1994: the map of one number,
    /// x → a x + c, is squared for each bit of `numbers`).
    pub fn skip(&mut self, mut numbers: u64) {
        let (mut factor, mut term) = (MULTIPLIER, self.increment);
        while numbers > 0 {
            if numbers & 1 == 1 {
                self.state = self.state.wrapping_mul(factor).wrapping_add(term);
            }
            term = factor.wrapping_add(1).wrapping_mul(term);
            factor = factor.wrapping_mul(factor);
            numbers >>= 1;
        }
    }

    /// 32 random bits.
    pub fn next_u32(&mut self) -> u32 {
        let old = self.state;
        self.state = old.wrapping_mul(MULTIPLIER).wrapping_add(self.increment);
        let shifted = (((old >> 18) ^ old) >> 27) as u32;
        shifted.rotate_right((old >> 59) as u32)
    }

    /// An integer in `0..bound`, without bias (Lemire 2019); 0 when `bound` is 0.
    pub fn below(&mut self, bound: u32) -> u32 {
        let threshold = bound.wrapping_neg().checked_rem(bound).unwrap_or(0);
        loop {
            let product = self.next_u32() as u64 * bound as u64;
            if product as u32 >= threshold {
                return (product >> 32) as u32;
            }
        }
    }

    /// A float uniform on the multiples of 2⁻²⁴ in [0, 1), the same number at either precision.
    pub fn uniform<T: Real>(&mut self) -> T {
        // 2⁻²⁴; an integer below 2²⁴ and this product are exact.
        T::from_u32(self.next_u32() >> 8) * T::from_f32(5.960_464_5e-8)
    }

    /// A standard normal number (Marsaglia's polar method, its second number dropped).
    pub fn normal<T: Real>(&mut self) -> T
    where
        Libm: Elementary<T>,
    {
        let two = T::ONE + T::ONE;
        loop {
            let x = two * self.uniform::<T>() - T::ONE;
            let y = two * self.uniform::<T>() - T::ONE;
            let s = x * x + y * y;
            if s > T::ZERO && s < T::ONE {
                return x * Libm::sqrt(T::ZERO - two * Libm::ln(s) / s);
            }
        }
    }

    /// Puts `items` into an order drawn uniformly (Fisher–Yates, from the last item down).
    pub fn shuffle<I>(&mut self, items: &mut [I]) {
        let mut rest = items;
        while let Ok(length) = u32::try_from(rest.len())
            && length > 1
        {
            let chosen = self.below(length) as usize;
            let Some((last, others)) = rest.split_last_mut() else { return };
            if let Some(chosen) = others.get_mut(chosen) {
                core::mem::swap(last, chosen);
            }
            rest = others;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first six outputs of the reference program `pcg32-demo` for seed 42, stream 54.
    #[test]
    fn the_generator_gives_the_published_numbers() {
        let mut rng = Pcg32::new(42, 54);
        let drawn: [u32; 6] = core::array::from_fn(|_| rng.next_u32());
        let published =
            [0xa15c_02b7, 0x7b47_f409, 0xba1d_3330, 0x83d2_f293, 0xbfa4_784b, 0xcbed_606e];
        assert_eq!(drawn, published);
    }

    #[test]
    fn skipping_is_drawing_and_forgetting() {
        let mut drawn = Pcg32::new(42, 54);
        for numbers in [0, 1, 2, 7, 100, 1_025] {
            let mut skipped = drawn;
            skipped.skip(numbers);
            (0..numbers).for_each(|_| {
                drawn.next_u32();
            });
            assert_eq!(skipped, drawn, "{numbers}");
        }
    }

    #[test]
    fn numbers_below_a_bound_stay_below_it_and_reach_every_value() {
        let mut rng = Pcg32::new(1, 1);
        let mut seen = [0u32; 7];
        for _ in 0..7_000 {
            seen[rng.below(7) as usize] += 1;
        }
        assert!(seen.iter().all(|&n| (850..1150).contains(&n)), "{seen:?}");
        assert_eq!(rng.below(0), 0);
        assert_eq!(rng.below(1), 0);
    }

    #[test]
    fn normal_numbers_have_mean_zero_and_variance_one() {
        let mut rng = Pcg32::new(3, 9);
        let n = 100_000;
        let (mut mean, mut square) = (0.0, 0.0);
        for _ in 0..n {
            let x: f64 = rng.normal();
            mean += x / n as f64;
            square += x * x / n as f64;
        }
        // Standard errors: 1/sqrt(n) = 0.0032 and sqrt(2/n) = 0.0045.
        assert!(mean.abs() < 0.013, "{mean}");
        assert!((square - 1.0).abs() < 0.018, "{square}");
    }

    #[test]
    fn a_shuffle_is_a_permutation_and_reaches_every_order() {
        let mut rng = Pcg32::new(5, 5);
        let mut seen = [0u32; 6];
        for _ in 0..6_000 {
            let mut items = [0u8, 1, 2];
            rng.shuffle(&mut items);
            let order = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];
            seen[order.iter().position(|o| *o == items).expect("a permutation")] += 1;
        }
        assert!(seen.iter().all(|&n| (850..1150).contains(&n)), "{seen:?}");
    }
}
