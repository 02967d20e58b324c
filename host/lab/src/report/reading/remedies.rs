//! Which remedy won, as the run has said it.

use serde_json::Value;

use super::super::Settings;

/// The sentences of a comparison of remedies.
pub(super) fn ends(settings: &Settings) -> Vec<String> {
    let said = settings.fields.get("sentences").and_then(Value::as_array);
    said.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}
