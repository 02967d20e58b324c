//! What makes two runs the same experiment.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A command and every setting that its result depends on. Only the same experiment goes on from a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Experiment {
    command: String,
    /// By name, as JSON text: two floats are the same setting when their shortest texts are.
    settings: BTreeMap<String, String>,
}

impl Experiment {
    /// The experiment of `command` with the fields of `settings`, the options of a command as its report shows them.
    ///
    /// # Panics
    /// When `settings` is not a struct or a map with names.
    pub fn new(command: &str, settings: &impl Serialize) -> Self {
        let value = serde_json::to_value(settings).expect("settings are plain data");
        let Value::Object(fields) = value else { panic!("settings have names") };
        let settings = fields.into_iter().map(|(name, value)| (name, value.to_string())).collect();
        Self { command: command.to_owned(), settings }
    }

    /// The experiment with one more setting.
    pub fn with(mut self, name: &str, value: impl Serialize) -> Self {
        let value = serde_json::to_value(value).expect("a setting is plain data");
        self.settings.insert(name.to_owned(), value.to_string());
        self
    }

    /// The first setting that differs between `self` and `other`; `places` says where each of the two is.
    pub(crate) fn difference(&self, other: &Self, places: [&str; 2]) -> Option<String> {
        if self.command != other.command {
            return Some(format!("it is of `myopia {}`", self.command));
        }
        let mut names = self.settings.keys().chain(other.settings.keys());
        let name = names.find(|&n| self.settings.get(n) != other.settings.get(n))?;
        let told =
            |settings: &BTreeMap<String, String>| match settings.get(name).map(String::as_str) {
                None | Some("null") => "not given".to_owned(),
                Some(text) => text.replace('"', ""),
            };
        Some(match name.as_str() {
            "data_digest" => "the data are not the same".to_owned(),
            name => format!(
                "--{} is {} {} and {} {}",
                name.replace('_', "-"),
                told(&self.settings),
                places[0],
                told(&other.settings),
                places[1]
            ),
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const PLACES: [&str; 2] = ["there", "here"];

    #[test]
    fn the_setting_that_differs_is_named_as_on_the_command_line() {
        let one = Experiment::new("train", &json!({ "alpha0": 0.1, "objective_size": null }));
        assert_eq!(one.difference(&one.clone(), PLACES), None);
        let said = |other: Experiment| one.difference(&other, PLACES).unwrap();
        let size = Experiment::new("train", &json!({ "alpha0": 0.1, "objective_size": 20 }));
        assert_eq!(said(size), "--objective-size is not given there and 20 here");
        let least = f64::from_bits(0.1f64.to_bits() + 1);
        let rate = Experiment::new("train", &json!({ "alpha0": least, "objective_size": null }));
        assert_eq!(said(rate), "--alpha0 is 0.1 there and 0.10000000000000002 here");
        assert_eq!(said(Experiment::new("meta", &json!({}))), "it is of `myopia train`");
        assert_eq!(said(one.clone().with("data_digest", "1")), "the data are not the same");
    }
}
