//! CSV tables of numbers, read with the line number of whatever is wrong.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use crate::failure::Failure;

/// The rows of the table at `path`, whose header must be the first `required` of `columns`, or more of them.
///
/// Every row has as many numbers as there are columns in the header, all finite.
///
/// # Errors
/// One sentence that names the file, the line and the column.
pub fn read(path: &Path, columns: &[&str], required: usize) -> Result<Table, Failure> {
    let name = path.display();
    let wrong = |e: csv::Error| match e.kind() {
        csv::ErrorKind::Io(io) if io.kind() == io::ErrorKind::InvalidData => {
            Failure::run(format!("{name}: not text, it has a zero byte; give a CSV file in UTF-8"))
        }
        csv::ErrorKind::Io(io) => Failure::io("read", path, io),
        csv::ErrorKind::UnequalLengths { pos, expected_len, len } => Failure::run(format!(
            "{name}, line {}: {len} values where the header has {expected_len}; give one value for each column",
            pos.as_ref().map_or(0, csv::Position::line),
        )),
        csv::ErrorKind::Utf8 { pos, .. } => Failure::run(format!(
            "{name}, line {}: not text; give a CSV file in UTF-8",
            pos.as_ref().map_or(0, csv::Position::line),
        )),
        _ => Failure::run(format!("{name} is not a CSV file: {e}")),
    };
    let file = File::open(path).map_err(|e| Failure::io("read", path, &e))?;
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(Text(file));
    let header = reader.headers().map_err(wrong)?;
    let known = header.len() >= required && header.len() <= columns.len();
    if !known || header.iter().zip(columns).any(|(have, want)| have != *want) {
        let optional = columns.len() - required;
        let remark = match optional {
            0 => String::new(),
            1 => "; the last column may be missing".into(),
            n => format!("; the last {n} columns may be missing"),
        };
        return Err(Failure::run(format!(
            "{name}, line 1: the header must be {}{remark}",
            columns.join(",")
        )));
    }
    let present = header.len();
    let mut rows = Vec::new();
    for record in reader.records() {
        let record = record.map_err(wrong)?;
        let line = record.position().map_or(0, csv::Position::line);
        let mut row = Row { line, values: Vec::with_capacity(present) };
        for (text, column) in record.iter().zip(columns) {
            let value = text.parse::<f64>().ok().filter(|x| x.is_finite()).ok_or_else(|| {
                Failure::run(format!(
                    "{name}, line {line}: the {column} is {text:?}; give a finite number"
                ))
            })?;
            row.values.push(value);
        }
        rows.push(row);
    }
    Ok(Table { rows, columns: present })
}

/// The bytes of a file that must be text.
struct Text(File);

impl Read for Text {
    /// A zero byte is an error: a device full of them would otherwise be one value without an end.
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.0.read(buffer)?;
        if buffer[..read].contains(&0) {
            return Err(io::ErrorKind::InvalidData.into());
        }
        Ok(read)
    }
}

/// A table of numbers.
#[derive(Clone, Debug, PartialEq)]
pub struct Table {
    /// Its rows, in order.
    pub rows: Vec<Row>,
    /// How many columns are present.
    pub columns: usize,
}

/// One row.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// The line of the file on which it begins, from 1.
    pub line: u64,
    /// A finite number for each column.
    pub values: Vec<f64>,
}
