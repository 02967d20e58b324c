//! Several named arrays in one of NumPy's `.npz` archives: stored, not compressed, with no time of
//! day in it, so that the same arrays give the same bytes.

use std::io::{self, Cursor, Write};

use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime, ZipWriter};

use super::npy::{self, Element};

/// An archive being filled, in memory.
pub struct Npz {
    zip: ZipWriter<Cursor<Vec<u8>>>,
}

impl Npz {
    /// An archive without arrays.
    pub fn new() -> Self {
        Self { zip: ZipWriter::new(Cursor::new(Vec::new())) }
    }

    /// Adds the array `name` of this `shape` whose elements lie in `data` in row-major order.
    ///
    /// # Errors
    /// When the archive has an array of that name or would be larger than its format allows.
    ///
    /// # Panics
    /// When `data` does not hold exactly as many elements as `shape` says.
    pub fn array<T: Element>(&mut self, name: &str, shape: &[usize], data: &[T]) -> io::Result<()> {
        let options = SimpleFileOptions::default()
            .compression_method(CompressionMethod::Stored)
            .last_modified_time(DateTime::default())
            .unix_permissions(0o644)
            .system(zip::System::Unix);
        self.zip.start_file(format!("{name}.npy"), options)?;
        npy::write(&mut self.zip, shape, data)
    }

    /// Closes the archive and writes it.
    ///
    /// # Errors
    /// When the writer fails.
    pub fn finish(self, to: &mut dyn Write) -> io::Result<()> {
        to.write_all(self.zip.finish()?.get_ref())
    }
}

impl Default for Npz {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;
    use crate::output::npy::tests::read;

    fn archive() -> Vec<u8> {
        let mut npz = Npz::new();
        npz.array("w0", &[2, 3], &[0.5_f32, 1.0, 1.5, 2.0, 2.5, 3.0]).unwrap();
        npz.array("batches", &[2], &[7_i64, 9]).unwrap();
        let mut bytes = Vec::new();
        npz.finish(&mut bytes).unwrap();
        bytes
    }

    #[test]
    fn the_arrays_read_back_by_name() {
        let mut zip = zip::ZipArchive::new(Cursor::new(archive())).unwrap();
        let mut member = |name: &str| {
            let mut bytes = Vec::new();
            zip.by_name(name).unwrap().read_to_end(&mut bytes).unwrap();
            bytes
        };
        let w0 = [0.5, 1.0, 1.5, 2.0, 2.5, 3.0].to_vec();
        assert_eq!(read::<f32>(&member("w0.npy")), (vec![2, 3], w0));
        assert_eq!(read::<i64>(&member("batches.npy")), (vec![2], vec![7, 9]));
    }

    #[test]
    fn the_bytes_do_not_depend_on_the_time_of_day() {
        let mut zip = zip::ZipArchive::new(Cursor::new(archive())).unwrap();
        for i in 0..zip.len() {
            let member = zip.by_index(i).unwrap();
            assert_eq!(member.last_modified(), Some(DateTime::default()));
            assert_eq!(member.compression(), CompressionMethod::Stored);
        }
        assert_eq!(archive(), archive());
    }

    #[test]
    fn a_name_can_be_given_once() {
        let mut npz = Npz::new();
        npz.array("w0", &[1], &[0.5_f32]).unwrap();
        assert!(npz.array("w0", &[1], &[0.5_f32]).is_err());
    }
}
