//! A CSV file in memory, its cells as text.

/// A header and rows of as many cells.
#[derive(Clone, Debug, PartialEq)]
pub struct Table {
    /// The names of the columns.
    pub header: Vec<String>,
    /// The rows.
    pub rows: Vec<Vec<String>>,
}

impl Table {
    /// The table in `bytes`.
    ///
    /// # Errors
    /// When they are not CSV with as many cells in each row as in the header.
    pub fn read(bytes: &[u8]) -> Result<Self, csv::Error> {
        let mut reader = csv::Reader::from_reader(bytes);
        let text = |record: &csv::StringRecord| record.iter().map(str::to_owned).collect();
        let header = text(reader.headers()?);
        let rows: Result<_, csv::Error> =
            reader.records().map(|record| Ok(text(&record?))).collect();
        Ok(Self { header, rows: rows? })
    }

    /// The number of the column of this name.
    pub fn column(&self, name: &str) -> Option<usize> {
        self.header.iter().position(|column| column == name)
    }

    /// The cell of `row` in the column of this name; nothing when it is empty.
    pub fn text<'a>(&self, row: &'a [String], name: &str) -> Option<&'a str> {
        row.get(self.column(name)?).map(String::as_str).filter(|text| !text.is_empty())
    }

    /// Whether it has a column of this name.
    pub fn has(&self, name: &str) -> bool {
        self.column(name).is_some()
    }

    /// The same as a number.
    pub fn number(&self, row: &[String], name: &str) -> Option<f64> {
        self.text(row, name)?.parse().ok()
    }

    /// The rows that have the same cells in the columns of these names, as they follow one another,
    /// with those cells.
    pub fn groups(&self, names: &[&str]) -> Vec<(Vec<String>, &[Vec<String>])> {
        let columns: Vec<usize> = names.iter().filter_map(|name| self.column(name)).collect();
        let key = |row: &Vec<String>| -> Vec<String> {
            columns.iter().filter_map(|&column| row.get(column).cloned()).collect()
        };
        let runs = self.rows.chunk_by(|a, b| key(a) == key(b));
        runs.map(|rows| (rows.first().map(key).unwrap_or_default(), rows)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_found_by_name_and_rows_grouped() {
        let table = Table::read(b"horizon,step,loss\n5,0,2.5\n5,1,\n9,0,1e-3\n").unwrap();
        let loss = |row: usize| table.number(&table.rows[row], "loss");
        assert_eq!([loss(0), loss(1), loss(2)], [Some(2.5), None, Some(1e-3)]);
        assert_eq!(table.number(&table.rows[0], "none"), None);
        let groups = table.groups(&["horizon", "start"]);
        let sizes: Vec<_> = groups.iter().map(|(key, rows)| (key.join("-"), rows.len())).collect();
        assert_eq!(sizes, [("5".to_owned(), 2), ("9".to_owned(), 1)]);
        assert!(Table::read(b"a,b\n1\n").is_err());
    }
}
