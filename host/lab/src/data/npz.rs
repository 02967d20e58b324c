//! Examples in an `.npz` archive: x_train, y_train, x_test and y_test.

use std::io::{Read, Seek};
use std::path::Path;

use npyz::{DType, Endianness, NpyFile, Order, TypeChar};

use super::archive::Archive;
use super::labelled::{Inputs, Labelled, Own};
use crate::failure::Failure;

/// The examples of the archive at `path`: inputs uint8, float32 or float64 with the examples along
/// the first axis, labels whole numbers.
///
/// # Errors
/// One sentence that names the file, the array and what is wrong.
pub fn load(path: &Path) -> Result<Own<'static>, Failure> {
    parse(&mut Archive::open(path)?)
}

/// The examples of an open archive.
///
/// # Errors
/// One sentence that names the file, the array and what is wrong.
pub fn parse(archive: &mut Archive<impl Read + Seek>) -> Result<Own<'static>, Failure> {
    let training = part(archive, ["x_train", "y_train"])?;
    let test = Some(part(archive, ["x_test", "y_test"])?);
    Ok(Own { training, test, held_out: None })
}

fn part(
    archive: &mut Archive<impl Read + Seek>,
    arrays: [&str; 2],
) -> Result<Labelled<'static>, Failure> {
    let [inputs, labels] = arrays.map(|name| array(archive, name));
    let (inputs, labels) = (inputs?, labels?);
    if inputs.shape.len() < 2 {
        return Err(
            inputs.wrong("give the examples along the first axis, their inputs along the second")
        );
    }
    if labels.shape.len() != 1 {
        return Err(
            labels.wrong("give a vector of class numbers, such as y.argmax(axis=1) or y.ravel()")
        );
    }
    let width = inputs.shape[1..].iter().try_fold(1_usize, |width, &n| width.checked_mul(n));
    let width = width.ok_or_else(|| inputs.wrong("give fewer inputs"))?;
    let names = [&inputs.name, &labels.name].map(String::clone);
    Ok(Labelled { names, width, inputs: inputs.inputs()?, labels: labels.labels()? })
}

/// An array as it lies in the archive.
struct Array {
    /// What messages call it.
    name: String,
    /// NumPy's name of its type.
    element: String,
    kind: (TypeChar, u64),
    shape: Vec<usize>,
    /// The whole `.npy` file.
    bytes: Vec<u8>,
}

/// The array `name`, its elements in row-major order and as many as its shape says.
fn array(archive: &mut Archive<impl Read + Seek>, name: &str) -> Result<Array, Failure> {
    let path = archive.path().display().to_string();
    let Some(bytes) = archive.file(name)? else {
        return Err(Failure::run(format!(
            "{path} has no array {name}; write x_train, y_train, x_test and y_test with numpy.savez"
        )));
    };
    let name = format!("{name} in {path}");
    let wrong = |why: &str| Failure::run(format!("{name} {why}"));
    let file = NpyFile::new(&bytes[..]);
    let file = file.map_err(|e| wrong(&format!("is damaged: {e}; write it again")))?;
    let dtype = file.dtype();
    let DType::Plain(element) = &dtype else {
        return Err(wrong("has fields with names; give an array of numbers"));
    };
    let kind = (element.type_char(), element.size_field());
    if element.uses_pickled_array() {
        return Err(wrong(
            "holds Python objects; convert it to numbers, as with numpy.stack(list(x)).astype(\"float32\")",
        ));
    }
    if element.endianness() == Endianness::Big {
        return Err(wrong(
            "is big-endian; turn it round with x.astype(x.dtype.newbyteorder(\"<\"))",
        ));
    }
    if file.order() == Order::Fortran && file.shape().len() > 1 {
        return Err(wrong("is in Fortran order; write numpy.ascontiguousarray(x)"));
    }
    let shape: Option<Vec<usize>> = file.shape().iter().map(|&n| usize::try_from(n).ok()).collect();
    let size = element.num_bytes().unwrap_or(0);
    let expected = shape
        .as_ref()
        .and_then(|shape| shape.iter().try_fold(size, |bytes, &n| bytes.checked_mul(n)));
    let left = file.into_inner().len();
    let (Some(shape), Some(expected)) = (shape, expected) else {
        return Err(wrong("is damaged: its shape is of more than there can be; write it again"));
    };
    if left < expected {
        return Err(wrong(&format!(
            "is cut short: it holds {left} of the {expected} bytes that its shape says; write it again"
        )));
    }
    if left > expected {
        return Err(wrong(&format!(
            "is damaged: it goes on behind the {expected} bytes that its shape says; write it again"
        )));
    }
    let element = element.to_string();
    Ok(Array { name, element, kind, shape, bytes })
}

impl Array {
    fn wrong(&self, remedy: &str) -> Failure {
        let shape: Vec<String> = self.shape.iter().map(usize::to_string).collect();
        Failure::run(format!("{} has shape {}; {remedy}", self.name, shape.join(" x ")))
    }

    fn elements<T: npyz::Deserialize>(&self) -> Result<Vec<T>, Failure> {
        let elements = NpyFile::new(&self.bytes[..]).and_then(NpyFile::into_vec);
        elements.map_err(|e| Failure::run(format!("{} is damaged: {e}; write it again", self.name)))
    }

    fn inputs(&self) -> Result<Inputs<'static>, Failure> {
        match self.kind {
            (TypeChar::Uint, 1) => Ok(Inputs::Bytes(self.elements::<u8>()?.into())),
            (TypeChar::Float, 4) => Ok(Inputs::F32(self.elements::<f32>()?.into())),
            (TypeChar::Float, 8) => Ok(Inputs::F64(self.elements::<f64>()?.into())),
            _ => Err(Failure::run(format!(
                "{} is of type {}; give uint8 from 0 to 255, of which each is divided by 255, or float32 or float64, \
                 which are taken as they are",
                self.name, self.element
            ))),
        }
    }

    fn labels(&self) -> Result<Vec<i64>, Failure> {
        // What i64 does not hold is no class, as its largest number is none.
        macro_rules! whole {
            ($type:ty) => {{
                let labels = self.elements::<$type>()?.into_iter();
                Ok(labels.map(|label| i64::try_from(label).unwrap_or(i64::MAX)).collect())
            }};
        }
        match self.kind {
            (TypeChar::Int, 8) => whole!(i64),
            (TypeChar::Int, 4) => whole!(i32),
            (TypeChar::Int, 2) => whole!(i16),
            (TypeChar::Int, 1) => whole!(i8),
            (TypeChar::Uint, 8) => whole!(u64),
            (TypeChar::Uint, 4) => whole!(u32),
            (TypeChar::Uint, 2) => whole!(u16),
            (TypeChar::Uint, 1) => whole!(u8),
            _ => Err(Failure::run(format!(
                "{} is of type {}; give whole numbers, as y.astype(\"int64\") does",
                self.name, self.element
            ))),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Cursor, Write};

    use zip::ZipWriter;
    use zip::write::SimpleFileOptions;

    use super::*;
    use crate::precision::Precision;

    /// An `.npy` file with this type, order and shape over these bytes.
    fn npy(element: &str, fortran: &str, shape: &str, data: &[u8]) -> Vec<u8> {
        let mut header =
            format!("{{'descr': {element}, 'fortran_order': {fortran}, 'shape': {shape}, }}");
        header += &" ".repeat(63 - (10 + header.len()) % 64);
        header.push('\n');
        let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
        bytes.extend((header.len() as u16).to_le_bytes());
        bytes.extend(header.as_bytes());
        bytes.extend(data);
        bytes
    }

    fn archive(arrays: &[(&str, Vec<u8>)]) -> Vec<u8> {
        let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
        let stored =
            SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
        for (name, bytes) in arrays {
            zip.start_file(format!("{name}.npy"), stored).unwrap();
            zip.write_all(bytes).unwrap();
        }
        zip.finish().unwrap().into_inner()
    }

    const PIXELS: [u8; 12] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 255];

    /// Six examples of two bytes and two classes to train on, one to test on; one array replaced.
    fn with(name: &str, bytes: Option<Vec<u8>>) -> Vec<u8> {
        let labels: Vec<u8> = [0_i64, 1, 0, 1, 0, 1].iter().flat_map(|y| y.to_le_bytes()).collect();
        let mut arrays = vec![
            ("x_train", npy("'|u1'", "False", "(6, 2)", &PIXELS)),
            ("y_train", npy("'<i8'", "False", "(6,)", &labels)),
            ("x_test", npy("'|u1'", "False", "(1, 1, 2)", &[7, 8])),
            ("y_test", npy("'|u1'", "False", "(1,)", &[1])),
        ];
        arrays.retain(|(other, _)| *other != name);
        arrays.extend(bytes.map(|bytes| (name, bytes)));
        archive(&arrays)
    }

    fn read(bytes: &[u8]) -> Result<Own<'static>, String> {
        let archive = Archive::new(Path::new("it.npz"), Cursor::new(bytes));
        archive.and_then(|mut archive| parse(&mut archive)).map_err(|e| e.to_string())
    }

    fn refusal(name: &str, bytes: Vec<u8>) -> String {
        read(&with(name, Some(bytes))).unwrap_err()
    }

    #[test]
    fn arrays_are_taken_in_each_of_their_types() {
        let own = read(&with("", None)).unwrap();
        assert_eq!(own.training.inputs, Inputs::Bytes(PIXELS.to_vec().into()));
        assert_eq!(own.training.labels, [0, 1, 0, 1, 0, 1]);
        assert_eq!(own.test.as_ref().map(|test| test.width), Some(2));
        let bytes = own.load(Precision::F64).unwrap().digest();
        let floats = PIXELS.map(|p| f64::from(p) / 255.0);
        let floats = Inputs::F64(floats.to_vec().into());
        let test = [7.0, 8.0].map(|p| p / 255.0).to_vec();
        let mut other = own;
        other.training.inputs = floats;
        other.test.as_mut().unwrap().inputs = Inputs::F64(test.into());
        assert_eq!(other.load(Precision::F64).unwrap().digest(), bytes);
        for (element, size) in
            [("|i1", 1), ("<i2", 2), ("<u2", 2), ("<i4", 4), ("<u4", 4), ("<u8", 8)]
        {
            let labels: Vec<u8> = [0_u64, 1, 1, 1, 0, 1]
                .iter()
                .flat_map(|y| y.to_le_bytes().into_iter().take(size))
                .collect();
            let file = npy(&format!("'{element}'"), "False", "(6,)", &labels);
            let own = read(&with("y_train", Some(file))).unwrap();
            assert_eq!(own.training.labels, [0, 1, 1, 1, 0, 1], "{element}");
        }
        let huge = npy("'<u8'", "False", "(6,)", &[0xff; 48]);
        let own = read(&with("y_train", Some(huge))).unwrap();
        assert!(own.load(Precision::F32).is_err(), "2^64 - 1 is no class");
    }

    #[test]
    fn what_is_wrong_with_an_array_is_named_in_one_sentence() {
        let x = |element: &str, fortran: &str, shape: &str, size: usize| {
            refusal("x_train", npy(element, fortran, shape, &vec![0; size]))
        };
        assert_eq!(
            x("'|O'", "False", "(6,)", 9),
            "x_train in it.npz holds Python objects; convert it to numbers, as with \
             numpy.stack(list(x)).astype(\"float32\")"
        );
        assert_eq!(
            x("'>f4'", "False", "(6, 2)", 48),
            "x_train in it.npz is big-endian; turn it round with x.astype(x.dtype.newbyteorder(\"<\"))"
        );
        assert_eq!(
            x("'<f4'", "True", "(6, 2)", 48),
            "x_train in it.npz is in Fortran order; write numpy.ascontiguousarray(x)"
        );
        assert_eq!(
            x("'<i8'", "False", "(6, 2)", 96),
            "x_train in it.npz is of type <i8; give uint8 from 0 to 255, of which each is divided by 255, or float32 \
             or float64, which are taken as they are"
        );
        assert!(x("'<f2'", "False", "(6, 2)", 24).contains("is of type <f2; give uint8"));
        assert!(x("'<U3'", "False", "(6, 2)", 144).contains("is of type <U3; give uint8"));
        assert!(x("[('a', '<f4')]", "False", "(6, 2)", 48).contains("has fields with names"));
        assert_eq!(
            x("'<f4'", "False", "(6, 2)", 47),
            "x_train in it.npz is cut short: it holds 47 of the 48 bytes that its shape says; write it again"
        );
        assert!(x("'<f4'", "False", "(6, 2)", 49).contains("goes on behind the 48 bytes"));
        assert!(
            x("'<f4'", "False", "(6, 9223372036854775807)", 48).contains("more than there can be")
        );
        assert_eq!(
            x("'<f4'", "False", "(12,)", 48),
            "x_train in it.npz has shape 12; give the examples along the first axis, their inputs along the second"
        );
        let y = |element: &str, shape: &str, size: usize| {
            refusal("y_train", npy(element, "False", shape, &vec![0; size]))
        };
        assert_eq!(
            y("'<i8'", "(6, 1)", 48),
            "y_train in it.npz has shape 6 x 1; give a vector of class numbers, such as y.argmax(axis=1) or y.ravel()"
        );
        assert_eq!(
            y("'<f4'", "(6,)", 24),
            "y_train in it.npz is of type <f4; give whole numbers, as y.astype(\"int64\") does"
        );
        assert_eq!(
            read(&with("x_test", None)).unwrap_err(),
            "it.npz has no array x_test; write x_train, y_train, x_test and y_test with numpy.savez"
        );
        assert!(refusal("y_test", b"\x93NUMPY".to_vec()).contains("y_test in it.npz is damaged"));
    }

    #[test]
    fn an_archive_that_was_cut_or_changed_anywhere_never_gives_other_examples() {
        let whole = with("", None);
        let good = read(&whole).unwrap();
        for length in 0..whole.len() {
            assert!(read(&whole[..length]).is_err(), "{length} bytes");
        }
        let mut refused = 0;
        for byte in 0..whole.len() {
            let mut flipped = whole.clone();
            flipped[byte] ^= 1 << (byte % 8);
            match read(&flipped) {
                // Of some entries nobody asks, such as the time stamp.
                Ok(own) => assert_eq!(own, good, "byte {byte}"),
                Err(_) => refused += 1,
            }
        }
        assert!(refused > whole.len() / 2, "only {refused} were refused");
    }
}
