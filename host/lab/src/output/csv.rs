//! Tables as CSV: a header line, then one line per row; floats in the shortest form that reads back
//! to the same bits.

use std::io::{self, Write};

pub use csv::Error;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Writes `header` and then `rows`, each a struct or tuple with one field per column.
///
/// # Errors
/// When the writer fails or a row has another number of fields than the header.
pub fn write<R: Serialize>(
    to: &mut dyn Write,
    header: &[impl AsRef<[u8]>],
    rows: impl IntoIterator<Item = R>,
) -> io::Result<()> {
    // The header is not taken from the rows, so that an empty table has one too.
    let mut writer = csv::WriterBuilder::new().has_headers(false).from_writer(to);
    writer.write_record(header).map_err(cause)?;
    for row in rows {
        writer.serialize(row).map_err(cause)?;
    }
    writer.flush()
}

/// What the system said, where it was the system: csv's own conversion hides a full disk behind
/// another kind of error.
fn cause(error: Error) -> io::Error {
    match error.into_kind() {
        csv::ErrorKind::Io(error) => error,
        other => io::Error::other(format!("{other:?}")),
    }
}

/// The rows of a table with a header, by the names of its columns.
///
/// # Errors
/// When it is not such a table.
pub fn read<R: DeserializeOwned>(from: &[u8]) -> Result<Vec<R>, Error> {
    csv::Reader::from_reader(from).deserialize().collect()
}

/// The column of that name of a table with a header, if it has one.
///
/// # Errors
/// When it is not such a table, or holds something else there.
pub fn column<T: DeserializeOwned>(from: &[u8], name: &str) -> Result<Option<Vec<T>>, Error> {
    let mut reader = csv::Reader::from_reader(from);
    let Some(place) = reader.headers()?.iter().position(|header| header == name) else {
        return Ok(None);
    };
    let value = |record: Result<csv::StringRecord, Error>| -> Result<T, Error> {
        let record = record?;
        csv::StringRecord::from_iter(record.get(place)).deserialize(None)
    };
    reader.records().map(value).collect::<Result<_, _>>().map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table<R: Serialize>(
        header: &[&str],
        rows: impl IntoIterator<Item = R>,
    ) -> io::Result<String> {
        let mut bytes = Vec::new();
        write(&mut bytes, header, rows)?;
        Ok(String::from_utf8(bytes).unwrap())
    }

    #[test]
    fn floats_read_back_to_the_same_bits() {
        let numbers = [0.1_f64, 1.0 / 3.0, 5e-324, f64::MAX, -0.0, 1e21];
        let text = table(&["step", "loss"], numbers.iter().enumerate()).unwrap();
        let read: Vec<f64> = text
            .lines()
            .skip(1)
            .map(|line| line.split_once(',').unwrap().1.parse().unwrap())
            .collect();
        let bits = |numbers: &[f64]| numbers.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
        assert_eq!(bits(&read), bits(&numbers), "{text}");
        assert!(text.starts_with("step,loss\n0,0.1\n1,0.3333333333333333\n"), "{text}");
        assert_eq!(table(&["alpha"], [(0.1_f32,)]).unwrap(), "alpha\n0.1\n");
    }

    #[test]
    fn one_column_is_read_by_its_name() {
        let bytes = b"step,loss\n0,0.5\n1,0.25\n";
        assert_eq!(column::<f64>(bytes, "loss").unwrap(), Some(vec![0.5, 0.25]));
        assert_eq!(column::<f64>(bytes, "rate").unwrap(), None);
        assert!(column::<f64>(b"loss\nx\n", "loss").is_err());
    }

    #[test]
    fn an_empty_table_has_its_header_and_a_ragged_one_is_refused() {
        assert_eq!(table::<(u8,)>(&["step"], []).unwrap(), "step\n");
        assert!(table(&["step", "loss"], [(1, 2.0, 3.0)]).is_err());
    }
}
