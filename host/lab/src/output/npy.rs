//! Arrays in NumPy's `.npy` format: little-endian, row-major, the same bytes on every machine.

use std::io::{self, Write};

use npyz::{DType, WriterBuilder};

/// A type of element that can be written.
pub trait Element: npyz::Serialize + Copy + sealed::Sealed {
    /// NumPy's name of the type, with its byte order.
    const TYPE: &'static str;
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for f32 {}
    impl Sealed for f64 {}
    impl Sealed for u32 {}
    impl Sealed for i64 {}
}

impl Element for f32 {
    const TYPE: &'static str = "<f4";
}

impl Element for f64 {
    const TYPE: &'static str = "<f8";
}

impl Element for u32 {
    const TYPE: &'static str = "<u4";
}

impl Element for i64 {
    const TYPE: &'static str = "<i8";
}

/// Writes the array of this `shape` whose elements lie in `data` in row-major order.
///
/// # Errors
/// When the writer fails.
///
/// # Panics
/// When `data` does not hold exactly as many elements as `shape` says.
pub fn write<T: Element>(to: &mut dyn Write, shape: &[usize], data: &[T]) -> io::Result<()> {
    let len = shape.iter().fold(1, |len: usize, size| len * size);
    assert_eq!(data.len(), len, "elements of {shape:?}");
    let shape: Vec<u64> = shape.iter().map(|&size| size as u64).collect();
    let element = T::TYPE.parse().expect("a type NumPy knows");
    let mut array = npyz::WriteOptions::new()
        .dtype(DType::new_scalar(element))
        .shape(&shape)
        .writer(to)
        .begin_nd()?;
    array.extend(data.iter().copied())?;
    array.finish()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// The array read back by its type: shape and elements.
    pub fn read<T: npyz::Deserialize>(bytes: &[u8]) -> (Vec<u64>, Vec<T>) {
        let array = npyz::NpyFile::new(bytes).unwrap();
        (array.shape().to_vec(), array.into_vec().unwrap())
    }

    #[test]
    fn the_bytes_are_those_of_the_format() {
        let mut bytes = Vec::new();
        write(&mut bytes, &[2, 3], &[1_u32, 2, 3, 4, 5, 6]).unwrap();
        let header = "{'descr': '<u4', 'fortran_order': False, 'shape': (2, 3), }";
        assert_eq!(bytes[..8], *b"\x93NUMPY\x01\x00");
        let end = 10 + usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
        assert_eq!(end % 64, 0);
        let text = std::str::from_utf8(&bytes[10..end]).unwrap();
        let plain = |s: &str| s.replace([' ', '\n', ','], "");
        assert_eq!(plain(text), plain(header));
        assert_eq!(bytes[end..], [1, 2, 3, 4, 5, 6].map(u32::to_le_bytes).concat());
    }

    #[test]
    fn every_type_and_rank_reads_back() {
        fn check<T: Element + npyz::Deserialize + PartialEq + std::fmt::Debug>(
            shape: &[usize],
            data: &[T],
        ) {
            let mut bytes = Vec::new();
            write(&mut bytes, shape, data).unwrap();
            let (found, elements) = read::<T>(&bytes);
            assert_eq!(found, shape.iter().map(|&s| s as u64).collect::<Vec<_>>());
            assert_eq!(elements, data);
        }
        check(&[3], &[0.1_f32, -0.0, f32::MIN_POSITIVE]);
        check(&[1, 2], &[0.1_f64, f64::MAX]);
        check(&[2, 1, 1], &[0_u32, u32::MAX]);
        check(&[], &[i64::MIN]);
        check::<f32>(&[0, 5], &[]);
    }

    #[test]
    #[should_panic(expected = "elements of [2, 2]")]
    fn a_shape_that_does_not_fit_is_a_mistake_of_the_caller() {
        write(&mut Vec::new(), &[2, 2], &[1.0_f32]).unwrap();
    }
}
