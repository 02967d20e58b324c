//! What a plan foretold, and what training did by it and by its rivals.

use serde_json::Value;

use super::super::Settings;
use super::brief;

/// The loss foretold, and who ended lowest.
pub(super) fn ends(settings: &Settings) -> Vec<String> {
    let number = |value: &Value| value.as_f64();
    let Some(predicted) = settings.fields.get("predicted") else { return Vec::new() };
    let (Some(steps), Some(foretold)) =
        (settings.fields.get("steps").and_then(number), number(&predicted["loss"]))
    else {
        return Vec::new();
    };
    let mut found = vec![format!(
        "The plan foretells a training loss of {} after {steps} steps.",
        brief(foretold)
    )];
    let trained = settings.fields.get("trained").and_then(Value::as_array);
    let runs = trained.into_iter().flatten().filter_map(|run| {
        let name = run["schedule"].as_str()?;
        Some((if name == "beside" { "the schedule beside" } else { name }, run["loss"].as_f64()))
    });
    let mut runs: Vec<(&str, Option<f64>)> = runs.collect();
    let key = |run: &(&str, Option<f64>)| run.1.unwrap_or(f64::INFINITY);
    runs.sort_by(|a, b| key(a).total_cmp(&key(b)));
    let told: Vec<String> = runs
        .iter()
        .map(|(name, loss)| match loss {
            Some(loss) => format!("{name} {}", brief(*loss)),
            None => format!("{name} diverged"),
        })
        .collect();
    if !told.is_empty() {
        let all = told.join(", ");
        found.push(format!("Training by each schedule ended at, the lowest first: {all}."));
    }
    found
}
