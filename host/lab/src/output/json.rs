//! Values as JSON; floats in the shortest form that reads back to the same bits.

use std::io::{self, Write};

use serde::Serialize;

use super::standard;
use crate::failure::Failure;

/// Writes `value`, indented, and a line end. A float that is not finite becomes `null`: JSON has no
/// word for it.
///
/// # Errors
/// When the writer fails.
pub fn write(to: &mut dyn Write, value: &impl Serialize) -> io::Result<()> {
    serde_json::to_writer_pretty(&mut *to, value)?;
    to.write_all(b"\n")
}

/// Prints `value` on standard output.
///
/// # Errors
/// When standard output cannot be written to.
pub fn print(value: &impl Serialize) -> Result<(), Failure> {
    standard::print(|out| write(out, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_read_back_to_the_same_bits() {
        let numbers = [0.1_f64, 1.0 / 3.0, 5e-324, f64::MAX, 1e21];
        let mut bytes = Vec::new();
        write(&mut bytes, &numbers).unwrap();
        let text = String::from_utf8(bytes).unwrap();
        assert!(text.starts_with("[\n  0.1,\n  0.3333333333333333,\n"), "{text}");
        assert!(text.ends_with("]\n"), "{text}");
        let read: Vec<f64> = text
            .trim_matches(['[', ']', '\n'])
            .split(',')
            .map(|number| number.trim().parse().unwrap())
            .collect();
        assert_eq!(read, numbers);
    }
}
