//! Examples in a CSV file: a row each, with a column of labels.
//!
//! Of every six rows four are trained on, the fifth is held out and the sixth tests, so that a file
//! that is sorted by class gives each of the three every class.

use std::path::Path;

use csv::{ReaderBuilder, StringRecord, Trim};
use myopia_core::elementary::{Elementary, Libm};
use myopia_core::sum::sum;

use super::labelled::{Inputs, Labelled, Own};
use crate::failure::Failure;
use crate::input::read_regular;
use crate::memory::afford;

/// How a CSV file is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading {
    /// The name of the column of labels.
    pub label: String,
    /// Whether inputs are left as they are, in place of giving each column mean 0 and variance 1 on
    /// the rows that are trained on.
    pub raw: bool,
}

/// The largest file that is read.
const LARGEST: u64 = 1 << 36;
/// The largest number that is taken: squares of it are finite.
const LARGEST_INPUT: f64 = 1e100;

/// The examples of the CSV file at `path`, in double precision.
///
/// # Errors
/// One sentence that names the file, the line and what is wrong.
pub fn load(path: &Path, reading: &Reading) -> Result<Own<'static>, Failure> {
    let unreadable = |e| Failure::io("read", path, &e);
    let name = path.display().to_string();
    if let Ok(metadata) = path.metadata() {
        let advice = "give fewer rows or free some memory";
        afford(&name, 2 * u128::from(metadata.len()), advice)?;
    }
    let bytes = read_regular(path, LARGEST).map_err(unreadable)?;
    parse(&name, &bytes, reading)
}

/// The examples of the CSV file that holds these bytes; messages call it `name`.
///
/// # Errors
/// One sentence that names the file, the line and what is wrong.
pub fn parse(name: &str, bytes: &[u8], reading: &Reading) -> Result<Own<'static>, Failure> {
    let first_line = bytes.split(|&b| b == b'\n').next().unwrap_or_default();
    let separator =
        [b',', b';', b'\t'].into_iter().find(|s| first_line.contains(s)).unwrap_or(b',');
    let mut reader = ReaderBuilder::new().trim(Trim::All).delimiter(separator).from_reader(bytes);
    let headers = reader.headers().map_err(|e| unparsed(name, &e))?.clone();
    let columns = Columns::of(name, &headers, &reading.label)?;
    let width = columns.inputs.len();

    let rows = bytes.iter().filter(|&&b| b == b'\n').count() + 1;
    let numbers = rows as u128 * width as u128;
    // As they are read, as they grow by doubling, and once more side by side.
    afford(name, 4 * 8 * numbers, "give fewer rows or free some memory")?;
    let mut parts: [(Vec<f64>, Vec<i64>); 3] = Default::default();
    let mut record = StringRecord::new();
    let mut row = 0;
    while reader.read_record(&mut record).map_err(|e| unparsed(name, &e))? {
        let line = record.position().map_or(0, csv::Position::line);
        // Four of six rows, then one, then one.
        let (inputs, labels) = &mut parts[[0, 0, 0, 0, 1, 2][row % 6]];
        let cell = |column: usize| record.get(column).unwrap_or_default();
        for &column in &columns.inputs {
            let number = cell(column).parse::<f64>().ok().filter(|x| x.abs() <= LARGEST_INPUT);
            inputs.push(number.ok_or_else(|| {
                Failure::run(format!(
                    "{name}, line {line}: the {} is {:?}; give a number from -1e100 to 1e100",
                    shown(headers.get(column).unwrap_or_default()),
                    shown(cell(column))
                ))
            })?);
        }
        let label = cell(columns.label).parse().map_err(|_| {
            Failure::run(format!(
                "{name}, line {line}: the {} is {:?}; number the classes 0, 1, 2 and so on without a gap",
                shown(&reading.label),
                shown(cell(columns.label))
            ))
        })?;
        labels.push(label);
        row += 1;
    }
    if row < 6 {
        return Err(Failure::run(format!(
            "{name}: {row} rows are too few to train on, to hold some out and to test on; give six or more"
        )));
    }
    let [(mut inputs, mut labels), held_out, test] = parts;
    let trained = labels.len();
    inputs.extend(held_out.0);
    inputs.extend(test.0);
    if !reading.raw {
        standardise(&mut inputs, width, trained);
    }
    labels.extend(&held_out.1);
    let tested = inputs.split_off(labels.len() * width);
    let part = |which: &str, inputs: Vec<f64>, labels: Vec<i64>| Labelled {
        names: [(); 2].map(|()| format!("{name}, the rows {which}")),
        width,
        inputs: Inputs::F64(inputs.into()),
        labels,
    };
    Ok(Own {
        training: part("to train on", inputs, labels),
        test: Some(part("to test on", tested, test.1)),
        held_out: Some(held_out.1.len()),
    })
}

/// Which columns hold what.
struct Columns {
    label: usize,
    inputs: Vec<usize>,
}

impl Columns {
    fn of(name: &str, headers: &StringRecord, label: &str) -> Result<Self, Failure> {
        let names: Vec<&str> = headers.iter().collect();
        if names.iter().all(|name| name.parse::<f64>().is_ok()) {
            return Err(Failure::run(format!(
                "{name}, line 1: numbers where the names of the columns should be; put the names in the first line"
            )));
        }
        let mut found = names.iter().enumerate().filter(|(_, name)| **name == label);
        let (Some((place, _)), None) = (found.next(), found.next()) else {
            let all: Vec<String> = names.iter().take(12).map(|name| shown(name)).collect();
            let more = if names.len() > 12 { " and others" } else { "" };
            return Err(Failure::run(format!(
                "{name} does not have one column {:?}; it has {}{more}; name the one that holds the classes",
                shown(label),
                all.join(", ")
            )));
        };
        // The row numbers that pandas and R write have no name.
        let is_input = |column: &usize| *column != place && !(*column == 0 && names[0].is_empty());
        let inputs: Vec<usize> = (0..names.len()).filter(is_input).collect();
        Ok(Self { label: place, inputs })
    }
}

fn unparsed(name: &str, error: &csv::Error) -> Failure {
    let line = error.position().map_or(1, csv::Position::line);
    let why = match error.kind() {
        csv::ErrorKind::Utf8 { .. } => "is not text in UTF-8; give a CSV file in UTF-8".to_owned(),
        csv::ErrorKind::UnequalLengths { expected_len, len, .. } => {
            format!(
                "has {len} values where the header has {expected_len}; give one for each column"
            )
        }
        _ => format!("cannot be read ({error}); give a CSV file"),
    };
    Failure::run(format!("{name}, line {line}: it {why}"))
}

/// The beginning of a text, fit for a message.
fn shown(text: &str) -> String {
    match text.char_indices().nth(60) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// Mean 0 and variance 1 in every one of `columns` columns on the first `trained` rows; a column
/// that does not vary becomes zero.
pub fn standardise(rows: &mut [f64], columns: usize, trained: usize) {
    let count = trained as f64;
    let mean = |values: &mut dyn Iterator<Item = f64>| sum(values) / count;
    for column in 0..columns {
        let places = || (column..trained * columns).step_by(columns);
        let centre = mean(&mut places().map(|i| rows[i]));
        let spread = mean(&mut places().map(|i| (rows[i] - centre) * (rows[i] - centre)));
        let scale = Libm::sqrt(spread);
        for value in rows.iter_mut().skip(column).step_by(columns) {
            *value = if scale > 0.0 { (*value - centre) / scale } else { 0.0 };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::precision::Precision;

    fn reading(label: &str, raw: bool) -> Reading {
        Reading { label: label.to_owned(), raw }
    }

    /// Twelve rows sorted by class; the input counts them.
    fn sorted() -> String {
        let rows = (0..12).map(|i| format!("{i},{},5\n", i / 6));
        format!("row,label,same\n{}", rows.collect::<String>())
    }

    fn read(text: impl AsRef<[u8]>, label: &str) -> Result<Own<'static>, String> {
        parse("it.csv", text.as_ref(), &reading(label, true)).map_err(|e| e.to_string())
    }

    fn numbers(part: &Labelled<'_>) -> Vec<f64> {
        let Inputs::F64(numbers) = &part.inputs else { panic!("{part:?}") };
        numbers.to_vec()
    }

    #[test]
    fn of_every_six_rows_four_train_one_is_held_out_and_one_tests() {
        let own = read(sorted(), "label").unwrap();
        let rows = |part: &Labelled<'_>| -> Vec<f64> {
            numbers(part).chunks(2).map(|row| row[0]).collect()
        };
        assert_eq!(rows(&own.training), [0., 1., 2., 3., 6., 7., 8., 9., 4., 10.]);
        assert_eq!(own.training.labels, [0, 0, 0, 0, 1, 1, 1, 1, 0, 1]);
        assert_eq!(own.held_out, Some(2));
        let test = own.test.as_ref().unwrap();
        assert_eq!((rows(test), &test.labels[..]), (vec![5., 11.], &[0, 1][..]));
        assert_eq!(own.load(Precision::F32).unwrap().held_out, 2);
    }

    #[test]
    fn columns_have_mean_0_and_variance_1_on_the_rows_that_are_trained_on() {
        let own = parse("it.csv", sorted().as_bytes(), &reading("label", false)).unwrap();
        let rows = numbers(&own.training);
        // 0, 1, 2, 3, 6, 7, 8 and 9: mean 4.5, variance 10.25.
        let scaled = |x: f64| (x - 4.5) / Libm::sqrt(10.25);
        let expected = [0., 1., 2., 3., 6., 7., 8., 9., 4., 10.].map(|x| [scaled(x), 0.0]);
        assert_eq!(rows, expected.concat());
        assert_eq!(numbers(own.test.as_ref().unwrap()), [scaled(5.), 0.0, scaled(11.), 0.0]);
    }

    #[test]
    fn tables_of_other_programs_are_the_same_examples() {
        let plain = read(sorted(), "label").unwrap();
        let pandas = sorted()
            .lines()
            .enumerate()
            .map(
                |(i, line)| {
                    if i == 0 { format!(",{line}\n") } else { format!("{},{line}\n", i - 1) }
                },
            )
            .collect::<String>();
        for (program, text) in [
            ("pandas", pandas),
            ("a spreadsheet", format!("\u{feff}{}", sorted().replace('\n', "\r\n"))),
            ("semicolons", sorted().replace(',', ";")),
            ("tabs", sorted().replace(',', "\t")),
            ("quotes", sorted().replace("label", "\"label\"")),
            ("blanks", sorted().replace(',', " , ")),
        ] {
            assert_eq!(read(text, "label").unwrap(), plain, "{program}");
        }
    }

    #[test]
    fn what_is_wrong_is_named_with_its_line() {
        let changed =
            |from: &str, to: &str| read(sorted().replacen(from, to, 1), "label").unwrap_err();
        assert_eq!(
            changed("\n3,0", "\nNaN,0"),
            "it.csv, line 5: the row is \"NaN\"; give a number from -1e100 to 1e100"
        );
        assert!(changed("\n3,0", "\n,0").contains("line 5: the row is \"\"; give a number"));
        assert!(changed("\n3,0", "\n1e200,0").contains("line 5: the row is \"1e200\""));
        assert_eq!(
            changed("\n3,0", "\n3,cat"),
            "it.csv, line 5: the label is \"cat\"; number the classes 0, 1, 2 and so on without a gap"
        );
        assert_eq!(
            changed("\n3,0,5", "\n3,0"),
            "it.csv, line 5: it has 2 values where the header has 3; give one for each column"
        );
        assert_eq!(
            read(sorted(), "class").unwrap_err(),
            "it.csv does not have one column \"class\"; it has row, label, same; name the one that holds the classes"
        );
        assert!(changed("same", "label").contains("does not have one column"));
        assert!(changed("row,label,same", "1,2,3").contains("line 1: numbers where the names"));
        assert!(read("a,label\n1,0\n2,1\n", "label").unwrap_err().contains("2 rows are too few"));
        assert!(read("", "label").is_err());
        assert_eq!(
            read([&sorted().into_bytes()[..], b"\xff,1,5\n"].concat(), "label").unwrap_err(),
            "it.csv, line 14: it is not text in UTF-8; give a CSV file in UTF-8"
        );
        let own = read(sorted().replace(",1,", ",2,"), "label").unwrap();
        let gap = own.load(Precision::F32).err().map(|e| e.to_string()).unwrap();
        assert!(
            gap.starts_with("it.csv, the rows to train on: the labels run up to 2, and"),
            "{gap}"
        );
    }
}
