//! How a schedule runs whose every entry was tuned.

use super::super::Table;
use super::{brief, lowest, percent};

/// Where its rates are greatest, and how they begin and end.
pub(super) fn course(table: &Table) -> Vec<String> {
    let rate = |row: &Vec<String>| table.number(row, "learning_rate");
    let greatest = lowest(table.rows.iter(), |row| rate(row).map(|rate| -rate));
    let (Some(first), Some(last), Some(row)) =
        (table.rows.first().and_then(rate), table.rows.last().and_then(rate), greatest)
    else {
        return Vec::new();
    };
    let Some(greatest) = rate(row) else { return Vec::new() };
    let course = match greatest > first {
        true => format!(
            "rates rise to {} times the first one before they fall to {} of the greatest",
            brief(greatest / first),
            percent(last / greatest)
        ),
        false => format!(
            "rates are never above the first one, and end at {} of it",
            percent(last / greatest)
        ),
    };
    vec![format!(
        "Of {} entries the first is {}, the greatest {}, from step {} on, and the last {}: {course}.",
        table.rows.len(),
        brief(first),
        brief(greatest),
        table.text(row, "first_step").unwrap_or("?"),
        brief(last)
    )]
}
