//! Arrays from an `.npz` archive that NumPy wrote, compressed or not.

use std::fs::File;
use std::io::{Cursor, Read, Seek};
use std::path::{Path, PathBuf};

use flate2::Crc;
use flate2::read::DeflateDecoder;
use myopia_bilevel::matrix::Matrix;
use npyz::{NpyFile, Order};
use zip::{CompressionMethod, ZipArchive};

use crate::failure::Failure;
use crate::input::open_regular;
use crate::memory::afford;

/// An open archive.
pub struct Archive<R = File> {
    path: PathBuf,
    zip: ZipArchive<R>,
}

/// An array of numbers in row-major order.
#[derive(Debug, PartialEq)]
pub struct Array {
    /// Its sizes; their product is the number of entries.
    pub shape: Vec<usize>,
    /// The last index varies fastest.
    pub entries: Vec<f64>,
}

/// The largest array that is read: 10,000 by 10,000 numbers of eight bytes, and its header.
const MOST_BYTES: u64 = 800_010_000;

/// How deep a header may be nested; NumPy's are at most five deep. The parser calls itself once for
/// each bracket and would run out of stack.
const MOST_NESTED: usize = 64;

impl Archive<File> {
    /// The archive at `path`.
    ///
    /// # Errors
    /// One sentence naming the file.
    pub fn open(path: &Path) -> Result<Self, Failure> {
        let file = open_regular(path).map_err(|e| Failure::io("read", path, &e))?;
        Self::new(path, file)
    }
}

impl<R: Read + Seek> Archive<R> {
    /// The archive in `source`; messages call it `path`.
    ///
    /// # Errors
    /// When it is none.
    pub fn new(path: &Path, source: R) -> Result<Self, Failure> {
        let zip = ZipArchive::new(source).map_err(|e| {
            Failure::run(format!(
                "{} is not an .npz archive: {e}; write it with numpy.savez",
                path.display()
            ))
        })?;
        Ok(Self { path: path.to_path_buf(), zip })
    }

    /// The array `name`, which must be there.
    ///
    /// # Errors
    /// One sentence naming the file and the array.
    pub fn array(&mut self, name: &str) -> Result<Array, Failure> {
        let found = self.find(name)?;
        found.ok_or_else(|| {
            Failure::run(format!(
                "{} has no array {name}, which this command needs; add it with numpy.savez",
                self.path.display()
            ))
        })
    }

    /// The array `name` as a matrix; a vector is its diagonal.
    ///
    /// # Errors
    /// One sentence naming the file and the array.
    pub fn matrix(&mut self, name: &str) -> Result<Matrix, Failure> {
        let array = self.array(name)?;
        match *array.shape.as_slice() {
            [_] => Ok(Matrix::Diagonal(array.entries)),
            [rows, columns] => Ok(Matrix::Dense { rows, columns, entries: array.entries }),
            _ => Err(self.misshapen(name, &array, "a matrix, or a vector for its diagonal")),
        }
    }

    /// The array `name` as a vector.
    ///
    /// # Errors
    /// One sentence naming the file and the array.
    pub fn vector(&mut self, name: &str) -> Result<Vec<f64>, Failure> {
        let array = self.array(name)?;
        self.flat(name, array)
    }

    /// The array `name` as a vector, if it is there.
    ///
    /// # Errors
    /// One sentence naming the file and the array.
    pub fn find_vector(&mut self, name: &str) -> Result<Option<Vec<f64>>, Failure> {
        self.find(name)?.map(|array| self.flat(name, array)).transpose()
    }

    fn flat(&self, name: &str, array: Array) -> Result<Vec<f64>, Failure> {
        match array.shape.len() {
            1 => Ok(array.entries),
            _ => Err(self.misshapen(name, &array, "a vector")),
        }
    }

    fn misshapen(&self, name: &str, array: &Array, wanted: &str) -> Failure {
        let shape: Vec<String> = array.shape.iter().map(usize::to_string).collect();
        Failure::run(format!(
            "the array {name} in {} has shape {}; give {wanted}",
            self.path.display(),
            shape.join(" x ")
        ))
    }

    /// The array `name`, if it is there.
    ///
    /// # Errors
    /// One sentence naming the file and the array.
    pub fn find(&mut self, name: &str) -> Result<Option<Array>, Failure> {
        let Some(bytes) = self.bytes(name, MOST_BYTES)? else { return Ok(None) };
        decode(bytes).map(Some).map_err(|why| wrong(&self.path, name, &why))
    }

    /// The `.npy` file of the array `name`, if it is there, of any size that memory has room for
    /// three times.
    ///
    /// # Errors
    /// One sentence naming the file and the array.
    pub fn file(&mut self, name: &str) -> Result<Option<Vec<u8>>, Failure> {
        let Some(index) = self.zip.index_for_name(&format!("{name}.npy")) else { return Ok(None) };
        let announced = self.zip.by_index_raw(index).map(|member| member.size());
        let announced =
            announced.map_err(|e| wrong(&self.path, name, &format!("is damaged: {e}")))?;
        let what = format!("the array {name} in {}", self.path.display());
        afford(&what, 3 * u128::from(announced), "give fewer examples or free some memory")?;
        self.bytes(name, announced)
    }

    /// Where it lies.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The `most` bytes at most of the array's file, which have its checksum.
    fn bytes(&mut self, name: &str, most: u64) -> Result<Option<Vec<u8>>, Failure> {
        let Some(index) = self.zip.index_for_name(&format!("{name}.npy")) else { return Ok(None) };
        let path = self.path.clone();
        let wrong = |why: String| wrong(&path, name, &why);
        let member = self.zip.by_index_raw(index).map_err(|e| wrong(format!("is damaged: {e}")))?;
        let (method, checksum) = (member.compression(), member.crc32());
        let mut bytes = Vec::new();
        let read = match method {
            CompressionMethod::Stored => member.take(most + 1).read_to_end(&mut bytes),
            // Deflate is number 8; the zip crate names it only where it can undo it itself.
            _ => DeflateDecoder::new(member).take(most + 1).read_to_end(&mut bytes),
        };
        read.map_err(|e| wrong(format!("cannot be read: {e}")))?;
        if bytes.len() as u64 > most {
            return Err(wrong(format!("has more than {most} bytes")));
        }
        let mut found = Crc::new();
        found.update(&bytes);
        if found.sum() != checksum {
            return Err(wrong("is damaged: its checksum is not that of its bytes".to_owned()));
        }
        if nesting(header(&bytes)) > MOST_NESTED {
            return Err(wrong(format!("is damaged: its header is nested over {MOST_NESTED} deep")));
        }
        Ok(Some(bytes))
    }
}

/// The text that says what is in an `.npy` file, or as much of it as there is.
fn header(bytes: &[u8]) -> &[u8] {
    let number = |bytes: &[u8]| bytes.iter().rev().fold(0, |n, &b| n << 8 | usize::from(b));
    // Version 1 has two bytes for the length, later ones four.
    let start = if bytes.get(6) == Some(&1) { 10 } else { 12 };
    let Some((before, rest)) = bytes.split_at_checked(start) else { return &[] };
    rest.get(..number(&before[8..])).unwrap_or(rest)
}

/// How many brackets are open at once, at most.
fn nesting(text: &[u8]) -> usize {
    let depths = text.iter().scan(0usize, |depth, byte| {
        *depth = match byte {
            b'(' | b'[' | b'{' => *depth + 1,
            b')' | b']' | b'}' => depth.saturating_sub(1),
            _ => *depth,
        };
        Some(*depth)
    });
    depths.max().unwrap_or(0)
}

/// What is wrong with the array `name`, a predicate, as a sentence.
fn wrong(path: &Path, name: &str, why: &str) -> Failure {
    let path = path.display();
    Failure::run(format!("the array {name} in {path} {why}; write it with numpy.savez"))
}

/// The numbers of an `.npy` file; the error is a predicate.
fn decode(bytes: Vec<u8>) -> Result<Array, String> {
    let header = NpyFile::new(Cursor::new(&bytes)).map_err(|e| format!("is damaged: {e}"))?;
    let shape: Vec<usize> = header.shape().iter().map(|&n| n as usize).collect();
    // No number takes less than a byte.
    let count = shape.iter().try_fold(1usize, |count, &n| count.checked_mul(n));
    if count.is_none_or(|count| count > bytes.len()) {
        return Err("is damaged: it has fewer numbers than its shape says".to_owned());
    }
    let order = header.order();
    macro_rules! numbers {
        ($($type:ty),*) => {$(
            let array = NpyFile::new(Cursor::new(&bytes)).map_err(|e| format!("is damaged: {e}"))?;
            if let Ok(data) = array.data::<$type>() {
                let numbers = data.collect::<Result<Vec<$type>, _>>();
                let numbers = numbers.map_err(|e| format!("is damaged: {e}"))?;
                let entries = numbers.into_iter().map(|x| x as f64).collect();
                return Ok(Array { entries: row_major(entries, &shape, order), shape });
            }
        )*};
    }
    numbers!(f64, f32, i64, i32);
    Err("holds something other than floats or whole numbers".to_owned())
}

/// A matrix whose entries lie column by column, row by row.
fn row_major(entries: Vec<f64>, shape: &[usize], order: Order) -> Vec<f64> {
    let (Order::Fortran, &[rows, columns]) = (order, shape) else { return entries };
    (0..rows * columns).map(|i| entries[i % columns * rows + i / columns]).collect()
}
