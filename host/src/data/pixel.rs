//! The value of a pixel: p/255, by one division in the working type.
//!
//! Multiplying by 1/255 would give another number for 126 of the 256 values.

const fn values_f32() -> [f32; 256] {
    let mut table = [0.0; 256];
    let mut p = 0;
    while p < 256 {
        table[p] = p as f32 / 255.0;
        p += 1;
    }
    table
}

const fn values_f64() -> [f64; 256] {
    let mut table = [0.0; 256];
    let mut p = 0;
    while p < 256 {
        table[p] = p as f64 / 255.0;
        p += 1;
    }
    table
}

/// p/255 for p = 0, …, 255 in single precision.
pub static F32: [f32; 256] = values_f32();

/// p/255 for p = 0, …, 255 in double precision.
pub static F64: [f64; 256] = values_f64();

#[cfg(test)]
mod tests {
    use std::hint::black_box;

    use super::*;

    #[test]
    fn the_tables_hold_one_division_at_run_time() {
        for p in 0..=255_u8 {
            let at = usize::from(p);
            let single = f32::from(black_box(p)) / black_box(255.0);
            let double = f64::from(black_box(p)) / black_box(255.0);
            assert_eq!(F32[at].to_bits(), single.to_bits(), "pixel {p}");
            assert_eq!(F64[at].to_bits(), double.to_bits(), "pixel {p}");
        }
        assert_eq!((F32[0], F32[255], F64[0], F64[255]), (0.0, 1.0, 0.0, 1.0));
    }

    #[test]
    fn a_product_with_the_reciprocal_differs_for_126_pixels() {
        let reciprocal = black_box(1.0_f32) / 255.0;
        let differing = (0..=255_u8)
            .filter(|&p| F32[usize::from(p)] != f32::from(p) * reciprocal)
            .count();
        assert_eq!(differing, 126);
    }
}
