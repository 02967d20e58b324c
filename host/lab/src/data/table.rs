//! CSV tables of numbers as people's programs write them, read once and with the line of whatever
//! is wrong.
//!
//! Taken are: commas, semicolons, tabs or blanks between values; decimal commas where values are
//! not separated by commas; quoted names in any case; a `#` before the header (NumPy) and comments;
//! a byte order mark; CRLF; a column of row numbers (pandas, R); and this program's own tables.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use crate::failure::Failure;
use crate::input;

/// The columns of a table.
#[derive(Clone, Copy, Debug)]
pub struct Columns {
    /// Those that must be there, then those that may.
    pub names: &'static [&'static str],
    /// How many must.
    pub required: usize,
    /// Those of the program's own tables that are passed over.
    pub passed_over: &'static [&'static str],
    /// One of the names in whose place there may be several columns, numbered from 1: NAME_1,
    /// NAME_2, …
    pub numbered: Option<&'static str>,
}

/// A table of numbers.
#[derive(Clone, Debug, PartialEq)]
pub struct Table {
    /// Its rows, in order.
    pub rows: Vec<Row>,
}

/// One row.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// The line of the file on which it stands, from 1.
    pub line: usize,
    /// A finite number for each of [`Columns::names`], where the table has that column.
    pub values: Vec<Option<f64>>,
    /// A finite number for each of the numbered columns, in their order.
    pub numbered: Vec<f64>,
}

/// More bytes than any table of this program's sizes has.
const LARGEST: u64 = 1 << 34;
/// The most characters of a cell or a header that a message shows.
const SHOWN: usize = 60;

/// The table at `path`, which is opened and read once: it may be a pipe.
///
/// # Errors
/// One sentence that names the file, the line, the column, and what was found there.
pub fn read(path: &Path, columns: Columns) -> Result<Table, Failure> {
    let name = path.display().to_string();
    let file = File::open(path)
        .map_err(|e| Failure::io("read", path, &input::special(path).unwrap_or(e)))?;
    let mut bytes = Vec::new();
    Text(file).take(LARGEST).read_to_end(&mut bytes).map_err(|e| match e.kind() {
        io::ErrorKind::InvalidData => {
            Failure::run(format!("{name}: {e}; give a CSV file in UTF-8"))
        }
        _ => Failure::io("read", path, &e),
    })?;
    parse(&name, &bytes, columns)
}

/// The bytes of a file that must be text.
struct Text(File);

impl Read for Text {
    /// A zero byte is an error: a device full of them would otherwise be one value without an end.
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.0.read(buffer)?;
        if buffer[..read].starts_with(b"\xff\xfe") || buffer[..read].starts_with(b"\xfe\xff") {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "it is text in UTF-16"));
        }
        if buffer[..read].contains(&0) {
            let reason = "not text, it has a zero byte";
            return Err(io::Error::new(io::ErrorKind::InvalidData, reason));
        }
        Ok(read)
    }
}

/// The table in `bytes`; `name` is what messages call it.
pub fn parse(name: &str, bytes: &[u8], columns: Columns) -> Result<Table, Failure> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let text = std::str::from_utf8(bytes).map_err(|e| {
        let line = 1 + bytes[..e.valid_up_to()].iter().filter(|b| **b == b'\n').count();
        Failure::run(format!("{name}, line {line}: not text; give a CSV file in UTF-8"))
    })?;
    let mut lines = (1..).zip(lines(text)).filter(|(_, line)| !line.trim().is_empty());
    let header = header(name, &mut lines, columns)?;
    let columns_of_file = header.places.len();
    let mut rows = Vec::new();
    let mut unfinished = None;
    for (line, text) in lines {
        if text.trim_start().starts_with('#') {
            continue;
        }
        if let Some(line) = unfinished {
            return Err(Failure::run(format!(
                "{name}, line {line}: values are missing; give one value for each column"
            )));
        }
        let mut cells = split(text, header.separator);
        if header.trailing
            && cells.len() > columns_of_file
            && cells.last().is_some_and(String::is_empty)
        {
            cells.pop();
        }
        // Where R writes row names, the header has no name for them.
        let row_name =
            text.trim_start().starts_with('"') || cells[0] == (rows.len() + 1).to_string();
        if header.separator != ',' && row_name && cells.len() == header.places.len() + 1 {
            cells.remove(0);
        }
        if cells.len() != columns_of_file {
            return Err(Failure::run(format!(
                "{name}, line {line}: {} values where the header has {}; \
                 give one value for each column",
                cells.len(),
                columns_of_file
            )));
        }
        let mut values = vec![None; columns.names.len() + header.numbered];
        let mut empty = 0;
        for (cell, place) in cells.iter().zip(&header.places) {
            let Some(place) = *place else { continue };
            empty += usize::from(cell.is_empty());
            let number = number(cell, header.separator);
            let refused = || {
                Failure::run(format!(
                    "{name}, line {line}: the {} is {:?}; give a finite number",
                    columns.name(place),
                    shown(cell)
                ))
            };
            if !cell.is_empty() {
                values[place] = Some(number.ok_or_else(refused)?);
            } else if !header.own {
                return Err(refused());
            }
        }
        // In this program's own tables no step follows the last losses.
        if empty > 0 {
            unfinished = Some(line);
            continue;
        }
        let numbered = values.split_off(columns.names.len()).into_iter().flatten().collect();
        rows.push(Row { line, values, numbered });
    }
    Ok(Table { rows })
}

/// The lines, whether they end in LF, CRLF or CR.
fn lines(text: &str) -> impl Iterator<Item = &str> {
    let carriage = !text.contains('\n');
    text.split(move |c| c == '\n' || carriage && c == '\r')
        .map(|line| line.strip_suffix('\r').unwrap_or(line))
}

/// What a header says.
struct Header {
    separator: char,
    /// For each column of the file its place in [`Columns::names`], those of the numbered columns
    /// after them, none where it is passed over.
    places: Vec<Option<usize>>,
    /// How many numbered columns there are.
    numbered: usize,
    /// Whether it is that of one of this program's own tables, in which a step may be missing.
    own: bool,
    /// Whether a separator follows the last column, as it then does in rows.
    trailing: bool,
}

/// The header: the first line that is no comment, or a comment with the names of the columns.
fn header<'a>(
    name: &str,
    lines: &mut impl Iterator<Item = (usize, &'a str)>,
    columns: Columns,
) -> Result<Header, Failure> {
    let mut comment = None;
    for (line, text) in lines {
        // A spreadsheet's word for the separator, which the header shows as well.
        if text.len() == 5 && text.to_ascii_lowercase().starts_with("sep=") {
            continue;
        }
        let bare = text.trim_start().trim_start_matches('#');
        let is_comment = bare.len() < text.trim_start().len();
        match understood(bare, columns) {
            Ok(header) => return Ok(header),
            Err(why) if is_comment => comment = comment.or(Some((line, bare, why))),
            Err(why) => return Err(wrong_header(name, line, bare, &why, columns)),
        }
    }
    match comment {
        Some((line, text, why)) => Err(wrong_header(name, line, text, &why, columns)),
        None => Err(wrong_header(name, 1, "", "it is empty", columns)),
    }
}

fn wrong_header(name: &str, line: usize, found: &str, why: &str, columns: Columns) -> Failure {
    let remark = match columns.names.len() - columns.required {
        0 => String::new(),
        1 => "; the last column may be missing".into(),
        n => format!("; the last {n} columns may be missing"),
    };
    let numbered = match columns.numbered {
        None => String::new(),
        Some(name) => format!("; {name}_1,{name}_2,… may stand in place of {name}"),
    };
    Failure::run(format!(
        "{name}, line {line}: {why}: {:?}; the header must be {}{remark}{numbered}",
        shown(found.trim()),
        columns.names.join(",")
    ))
}

/// The header in this line, or why it is none.
fn understood(text: &str, columns: Columns) -> Result<Header, String> {
    let separator = [';', '\t', ','].into_iter().find(|s| text.contains(*s)).unwrap_or(' ');
    let cells = split(text, separator);
    if cells.iter().all(|cell| number(cell, separator).is_some()) {
        return Err("numbers where the header should be".into());
    }
    let mut found: Vec<String> = cells.iter().map(|cell| plain(cell)).collect();
    // A separator after the last column.
    let trailing = found.len() > 1 && found.last().is_some_and(String::is_empty);
    if trailing {
        found.pop();
    }
    let mut places = Vec::new();
    let mut own = false;
    for (i, column) in found.iter().enumerate() {
        let place = columns.place(column);
        let row_numbers = ["", "unnamed:_0", "index", "rownames"].contains(&column.as_str());
        let passed_over = columns.passed_over.contains(&column.as_str());
        own |= passed_over;
        if place.is_none() && !(passed_over || i == 0 && row_numbers) {
            return Err(format!("the column {:?} is not known", shown(column)));
        }
        if place.is_some() && places.contains(&place) {
            return Err(format!("the column {column} is there twice"));
        }
        places.push(place);
    }
    let names = columns.names.len();
    let numbered = places.iter().flatten().filter(|place| **place >= names).count();
    if let Some(name) = columns.numbered.filter(|_| numbered > 0) {
        let is_whole = (names..names + numbered).all(|place| places.contains(&Some(place)));
        if !is_whole || places.contains(&columns.place(name)) {
            return Err(format!(
                "of {name}_1, {name}_2, … none may be left out, nor {name} stand beside them"
            ));
        }
    }
    let is_there = |name: &&str| {
        places.contains(&columns.place(name)) || numbered > 0 && columns.numbered == Some(name)
    };
    match columns.names[..columns.required].iter().find(|name| !is_there(name)) {
        Some(missing) => Err(format!("there is no column {missing}")),
        None => Ok(Header { separator, places, numbered, own, trailing }),
    }
}

impl Columns {
    /// The place of a column: that of its name, or its number after all names.
    fn place(self, column: &str) -> Option<usize> {
        let number = || {
            let number = column.strip_prefix(self.numbered?)?.strip_prefix('_')?;
            let number =
                number.parse::<u16>().ok().filter(|n| *n > 0 && n.to_string() == number)?;
            Some(self.names.len() + usize::from(number) - 1)
        };
        self.names.iter().position(|name| *name == column).or_else(number)
    }

    /// What the column at `place` is called.
    fn name(self, place: usize) -> String {
        match (self.names.get(place), self.numbered) {
            (Some(name), _) => (*name).to_owned(),
            (None, name) => {
                format!("{}_{}", name.unwrap_or_default(), place - self.names.len() + 1)
            }
        }
    }
}

/// A column's name in small letters, its words joined by underscores.
fn plain(cell: &str) -> String {
    cell.trim().to_lowercase().replace([' ', '.', '-'], "_")
}

/// The cells of a line, without quotes and the blanks around them.
fn split(line: &str, separator: char) -> Vec<String> {
    let mut cells = vec![String::new()];
    let mut quoted = false;
    let mut blank = true;
    for c in line.trim_matches(|c: char| c.is_whitespace() && c != separator || c == ' ').chars() {
        let between = !quoted && (c == separator || separator == ' ' && c.is_whitespace());
        match c {
            '"' => quoted = !quoted,
            _ if between && separator == ' ' && blank => {}
            _ if between => cells.push(String::new()),
            _ => cells.last_mut().expect("there is one at first").push(c),
        }
        blank = between;
    }
    cells.iter().map(|cell| cell.trim().to_owned()).collect()
}

/// The finite number in a cell; a comma is the decimal sign where it separates no values.
fn number(cell: &str, separator: char) -> Option<f64> {
    let decimal_comma = separator != ',' && !cell.contains('.') && cell.matches(',').count() == 1;
    let number = match decimal_comma {
        true => cell.replace(',', ".").parse(),
        false => cell.parse::<f64>(),
    };
    number.ok().filter(|x| x.is_finite())
}

/// The beginning of a text, fit for a message.
fn shown(text: &str) -> String {
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPECTRUM: Columns = Columns {
        names: &["curvature", "noise_variance", "initial_mean", "initial_variance"],
        required: 2,
        passed_over: &["direction"],
        numbered: None,
    };

    fn rows(text: impl AsRef<[u8]>) -> Result<Vec<Vec<f64>>, String> {
        let table = parse("it", text.as_ref(), SPECTRUM).map_err(|e| e.to_string())?;
        Ok(table.rows.into_iter().map(|row| row.values.into_iter().flatten().collect()).collect())
    }

    #[test]
    fn a_table_is_taken_as_other_programs_write_it() {
        for (program, text) in [
            ("plain", "curvature,noise_variance\n1.5,1\n0.5,2\n"),
            ("numpy.savetxt", "# curvature,noise_variance\n1.500e+00,1.0e+00\n5.0e-01,2.0e+00\n"),
            ("numpy.savetxt with blanks", "# curvature noise_variance\n1.5e+00 1e+00\n 0.5  2\n"),
            ("a spreadsheet in Germany", "curvature;noise_variance\r\n1,5;1\r\n0,5;2\r\n"),
            ("a spreadsheet with tabs", "\u{feff}curvature\tnoise_variance\n1,5\t1\n0,5\t2\n"),
            ("pandas.to_csv", ",curvature,noise_variance\n0,1.5,1\n1,0.5,2\n"),
            ("pandas read twice", "Unnamed: 0,curvature,noise_variance\n0,1.5,1\n1,0.5,2\n"),
            ("R's write.csv", "\"\",\"curvature\",\"noise.variance\"\n\"1\",1.5,1\n\"2\",0.5,2\n"),
            ("R's write.table", "\"curvature\" \"noise.variance\"\n\"1\" 1.5 1\n\"2\" 0.5 2\n"),
            (
                "a careful person",
                "# made by hand\n#\nCurvature, Noise variance\n\n1.5,1\n# c\n0.5,2",
            ),
            ("a spreadsheet that says so", "sep=;\ncurvature;noise_variance\n1,5;1\n0,5;2\n"),
            ("Sep with a comma", "\u{feff}SEP=,\r\ncurvature,noise_variance\r\n1.5,1\r\n0.5,2\r\n"),
            ("a separator at each end", "curvature,noise_variance,\n1.5,1,\n0.5,2,\n"),
            ("one at the header's", "curvature;noise_variance;\n1,5;1\n0,5;2;\n"),
            ("an old Macintosh", "curvature,noise_variance\r1.5,1\r0.5,2\r"),
            ("columns the other way round", "noise_variance,curvature\n1,1.5\n2,0.5\n"),
            ("curvature.csv with noise", "direction,curvature,noise_variance\n1,1.5,1\n2,0.5,2\n"),
        ] {
            assert_eq!(rows(text).unwrap(), [[1.5, 1.0], [0.5, 2.0]], "{program}");
        }
    }

    #[test]
    fn what_is_ambiguous_is_refused_with_what_was_found() {
        for (text, says) in [
            ("1.5,1\n0.5,2\n", "line 1: numbers where the header should be: \"1.5,1\""),
            ("epoch,notes\n1,good, really\n", "the column \"epoch\" is not known: \"epoch,notes\""),
            ("curvature,noise_variance,initial_men\n1,1,0\n", "\"initial_men\" is not known"),
            ("curvature,curvature\n1,1\n", "the column curvature is there twice"),
            ("curvature\n1\n", "there is no column noise_variance"),
            ("curvature,noise_variance\n1,5,\n", "line 2: 3 values where the header has 2"),
            ("curvature,noise_variance,\n1,5,1\n", "line 2: 3 values where the header has 2"),
            ("curvature,,noise_variance\n1,5,1\n", "the column \"\" is not known"),
            ("sep=ab\n1,1\n", "line 1: the column \"sep=ab\" is not known"),
            ("", "line 1: it is empty"),
            ("# only a remark\n", "line 1: the column \"only\" is not known"),
            ("curvature;noise_variance\n1.234,5;1\n", "line 2: the curvature is \"1.234,5\""),
            ("curvature,noise_variance\n1,5,1\n0,5,2\n", "line 2: 3 values where the header has 2"),
            ("curvature,noise_variance\n1,\n", "line 2: the noise_variance is \"\""),
            ("curvature,noise_variance\n1,0x10\n", "line 2: the noise_variance is \"0x10\""),
        ] {
            let said = rows(text).unwrap_err();
            assert!(said.contains(says), "{text:?}: {said}");
            assert_eq!(said.lines().count(), 1);
        }
        let long = format!("curvature,noise_variance\n1,{}\n", "9".repeat(100_000) + "x");
        assert!(rows(long).unwrap_err().len() < 300);
        assert!(
            rows(b"curvature,noise_variance\n1,\xff\n").unwrap_err().contains("line 2: not text")
        );
    }

    const SCHEDULE: Columns = Columns {
        names: &["learning_rate", "momentum"],
        required: 2,
        passed_over: &["step"],
        numbered: Some("learning_rate"),
    };

    #[test]
    fn a_column_may_be_there_several_times_by_number() {
        let read = |text: &str| parse("it", text.as_bytes(), SCHEDULE).map_err(|e| e.to_string());
        let table = read("step,learning_rate_2,learning_rate_1,momentum\n0,2,1,0.5\n").unwrap();
        let [row] = &table.rows[..] else { panic!("one row") };
        assert_eq!((&row.values[..], &row.numbered[..]), (&[None, Some(0.5)][..], &[1.0, 2.0][..]));
        let one = read("learning_rate,momentum\n2,0.5\n").unwrap();
        assert_eq!((one.rows[0].values[0], one.rows[0].numbered.len()), (Some(2.0), 0));
        for (text, says) in [
            ("learning_rate_2,momentum\n", "none may be left out"),
            ("learning_rate_1,learning_rate,momentum\n", "nor learning_rate stand beside them"),
            ("learning_rate_0,momentum\n", "\"learning_rate_0\" is not known"),
            ("learning_rate_01,momentum\n", "\"learning_rate_01\" is not known"),
            ("momentum\n", "there is no column learning_rate: "),
            ("learning_rate_1\n", "there is no column momentum"),
            ("learning_rate_1,momentum\nx,1\n", "line 2: the learning_rate_1 is \"x\""),
            ("a,b\n", "learning_rate_1,learning_rate_2,… may stand in place of learning_rate"),
        ] {
            let said = read(text).unwrap_err();
            assert!(said.contains(says), "{text:?}: {said}");
        }
    }
}
