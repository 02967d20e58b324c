//! Which remedy won, or whether published numbers agree, as the run has said it.

use serde_json::Value;

use super::super::Settings;

/// The sentences of a run.
pub(super) fn told(settings: &Settings) -> Vec<String> {
    let said = settings.fields.get("sentences").and_then(Value::as_array);
    said.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}
