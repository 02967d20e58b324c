//! What is published: texts, tables and their numbers.

use std::path::Path;

/// The text of a file of the repository.
pub fn read(name: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    std::fs::read_to_string(root.join(name)).unwrap()
}

/// The rows of a published table, each a number by the name of its column.
pub fn rows(name: &str, table: &str) -> Vec<impl Fn(&str) -> f64> {
    let table = read(&format!("results/{name}/{table}.csv"));
    let mut lines = table.lines();
    let columns: Vec<String> = lines.next().unwrap().split(',').map(str::to_owned).collect();
    lines
        .map(|line| {
            let fields: Vec<String> = line.split(',').map(str::to_owned).collect();
            let columns = columns.clone();
            move |column: &str| {
                let at = columns.iter().position(|name| name == column).unwrap();
                fields[at].parse().unwrap()
            }
        })
        .collect()
}

/// Three significant digits, in full.
pub fn three(x: f64) -> String {
    let places = 2 - libm::log10(x.abs()).floor() as i32;
    format!("{x:.*}", places.max(0) as usize)
}

/// The numbers of a column of a published table.
pub fn column(file: &str, name: &str) -> Vec<f64> {
    let table = read(file);
    let mut lines = table.lines();
    let at = lines.next().unwrap().split(',').position(|header| header == name).expect(name);
    lines.map(|line| line.split(',').nth(at).unwrap().parse().unwrap_or(f64::NAN)).collect()
}
