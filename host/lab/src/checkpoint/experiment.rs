//! What makes two runs the same experiment.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::shown;

/// A command and every setting that its result depends on. Only the same experiment goes on from a
/// checkpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Experiment {
    command: String,
    /// By name, as JSON text: two floats are the same setting when their shortest texts are.
    settings: BTreeMap<String, String>,
    /// The settings of which a run that goes on may have more.
    #[serde(skip)]
    growing: Vec<String>,
}

/// How an experiment relates to an earlier one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// It is the same.
    Same,
    /// It is the same and goes further.
    Further,
    /// It is another; the sentence says which setting differs.
    Other(String),
}

impl Experiment {
    /// The experiment of `command` with the fields of `settings`, the options of a command as its
    /// report shows them.
    ///
    /// # Panics
    /// When `settings` is not a struct or a map with names.
    pub fn new(command: &str, settings: &impl Serialize) -> Self {
        let value = serde_json::to_value(settings).expect("settings are plain data");
        let Value::Object(fields) = value else { panic!("settings have names") };
        let settings = fields.into_iter().map(|(name, value)| (name, value.to_string())).collect();
        Self { command: command.to_owned(), settings, growing: Vec::new() }
    }

    /// The experiment with one more setting.
    pub fn with(mut self, name: &str, value: impl Serialize) -> Self {
        let value = serde_json::to_value(value).expect("a setting is plain data");
        self.settings.insert(name.to_owned(), value.to_string());
        self
    }

    /// The experiment with `value` for a setting that is not given: to give the default is the same
    /// as to give nothing.
    pub fn with_default(self, name: &str, value: impl Serialize) -> Self {
        match self.setting(name) {
            None => self.with(name, value),
            Some(_) => self,
        }
    }

    /// The experiment with `value` for a setting, if there is one.
    pub fn with_some(self, name: &str, value: Option<impl Serialize>) -> Self {
        match value {
            Some(value) => self.with(name, value),
            None => self,
        }
    }

    /// The experiment, of which a run that goes on may have more of the settings `names`: a number,
    /// or numbers.
    pub fn growing(mut self, names: &[&str]) -> Self {
        self.growing.extend(names.iter().map(|&name| name.to_owned()));
        self
    }

    /// What is given for `name`.
    fn setting(&self, name: &str) -> Option<Value> {
        let text = self.settings.get(name)?;
        // What is no JSON was not written by this program, and is then compared as it stands.
        let value = serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.clone()));
        (!value.is_null()).then_some(value)
    }

    /// How `wanted` relates to this one.
    pub fn compare(&self, wanted: &Self, places: [&str; 2]) -> Comparison {
        if self.command != wanted.command {
            return Comparison::Other(format!("it is of `myopia {}`", self.command));
        }
        let mut further = false;
        for name in last(self.settings.keys().chain(wanted.settings.keys()), "data_digest") {
            let (here, there) = (self.setting(name), wanted.setting(name));
            if same(here.as_ref(), there.as_ref())
                || both_sgd(name, [here.as_ref(), there.as_ref()])
                || self.is_name_of_same_data(name, wanted)
            {
                continue;
            }
            if wanted.growing.contains(name) && grows(here.as_ref(), there.as_ref()) {
                further = true;
                continue;
            }
            return Comparison::Other(told(name, [here, there], places));
        }
        if further { Comparison::Further } else { Comparison::Same }
    }

    /// The first setting that differs between this and `part`, which lacks what is this command's
    /// `own`; commands may differ. Whatever else only one of the two gives is a difference: options
    /// of an optimizer are not written where there are none.
    pub fn departure(&self, part: &Self, own: &[&str], places: [&str; 2]) -> Option<String> {
        let here = self.settings.keys().filter(|name| !own.contains(&name.as_str()));
        last(part.settings.keys().chain(here), "data_digest").into_iter().find_map(|name| {
            let (here, there) = (self.setting(name), part.setting(name));
            // Without steps there is no rate.
            let idle = name == "pretrain_rate" && self.pretrains() == 0 && part.pretrains() == 0;
            let same = idle
                || same(here.as_ref(), there.as_ref())
                || both_sgd(name, [here.as_ref(), there.as_ref()])
                || self.is_name_of_same_data(name, part);
            (!same).then(|| told(name, [here, there], places))
        })
    }

    /// Whether `name` is that of what the data are called, and the data of both have one digest:
    /// a file may have been moved, or written in another form.
    fn is_name_of_same_data(&self, name: &str, other: &Self) -> bool {
        let [here, there] = [self, other].map(|of| of.setting("data_digest"));
        name == "data" && here.is_some() && here == there
    }

    /// Steps of pretraining.
    fn pretrains(&self) -> u64 {
        self.setting("pretrain").and_then(|steps| steps.as_u64()).unwrap_or(0)
    }

    /// The command that it is of.
    pub fn command(&self) -> &str {
        &self.command
    }

    /// The whole numbers that are given for `name`, as a list or as one.
    pub fn numbers(&self, name: &str) -> Vec<u64> {
        match self.setting(name) {
            Some(Value::Array(values)) => values.iter().filter_map(Value::as_u64).collect(),
            value => value.iter().filter_map(Value::as_u64).collect(),
        }
    }

    /// The first setting that differs between `self` and `other`; `places` says where each of the
    /// two is.
    pub(crate) fn difference(&self, other: &Self, places: [&str; 2]) -> Option<String> {
        match self.compare(other, places) {
            Comparison::Other(sentence) => Some(sentence),
            Comparison::Same | Comparison::Further => None,
        }
    }
}

/// The names, `name` after all others: it may differ only because another setting does. The
/// optimizer comes first, which brings others with it.
fn last<'a>(names: impl Iterator<Item = &'a String>, name: &str) -> Vec<&'a String> {
    let mut names: Vec<_> = names.collect();
    names.sort_by_key(|other| (*other == name, *other != OPTIMIZER));
    names
}

/// The setting that is not written for plain SGD, and is for SGD with more options.
const OPTIMIZER: &str = "optimizer";

/// Whether one of the two is plain SGD and the other SGD with options, which differ as such.
fn both_sgd(name: &str, values: [Option<&Value>; 2]) -> bool {
    let sgd = |value: Option<&Value>| value.is_none_or(|value| value == "sgd");
    name == OPTIMIZER && values.into_iter().all(sgd)
}

/// Whether two settings are the same by value: `1` and `1.0` are.
fn same(one: Option<&Value>, other: Option<&Value>) -> bool {
    match (one, other) {
        // Whole numbers as such: a float does not tell neighbours above 2⁵³ apart.
        (Some(Value::Number(a)), Some(Value::Number(b))) if a.is_f64() || b.is_f64() => {
            a.as_f64().zip(b.as_f64()).is_some_and(|(a, b)| a.to_bits() == b.to_bits())
        }
        (Some(Value::Array(a)), Some(Value::Array(b))) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(Some(a), Some(b)))
        }
        (one, other) => one == other,
    }
}

/// Whether `to` is nowhere less than `from`.
fn grows(from: Option<&Value>, to: Option<&Value>) -> bool {
    match (from, to) {
        (Some(Value::Number(a)), Some(Value::Number(b))) => {
            a.as_f64().zip(b.as_f64()).is_some_and(|(a, b)| a <= b)
        }
        (Some(Value::Array(a)), Some(Value::Array(b))) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| grows(Some(a), Some(b)))
        }
        _ => false,
    }
}

/// Which setting differs, and how.
fn told(name: &str, values: [Option<Value>; 2], places: [&str; 2]) -> String {
    if name == "data_digest" {
        return "the data are not the same".to_owned();
    }
    let [here, there] = values.map(|value| match value {
        None => "not given".to_owned(),
        Some(value) => shown::name(&value.to_string().replace('"', "")),
    });
    let name = shown::name(&name.replace('_', "-"));
    format!("--{name} is {here} {} and {there} {}", places[0], places[1])
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

    #[test]
    fn data_that_differ_by_their_float_are_told_by_it_and_an_idle_rate_is_not() {
        let of = |precision: &str, digest: &str| {
            let settings = json!({ "precision": precision, "pretrain": 0, "pretrain_rate": 0.1 });
            Experiment::new("surface", &settings).with("data_digest", digest)
        };
        let (single, double) = (of("f32", "1"), of("f64", "2"));
        let said = "--precision is f32 there and f64 here";
        assert_eq!(single.departure(&double, &["own"], PLACES).unwrap(), said);
        assert_eq!(single.difference(&double, PLACES).unwrap(), said);
        let other = of("f32", "1").with("pretrain_rate", 0.2);
        assert_eq!(single.departure(&other, &["own"], PLACES), None);
        let pretrained = other.with("pretrain", 5);
        assert!(
            single.clone().with("pretrain", 5).departure(&pretrained, &["own"], PLACES).is_some()
        );
    }

    #[test]
    fn data_are_told_apart_by_their_digest_whatever_their_file_is_called() {
        let of = |name: &str, digest: Option<&str>| {
            let one = Experiment::new("train", &json!({ "data": name }));
            digest.into_iter().fold(one, |one, digest| one.with("data_digest", digest))
        };
        let one = of("npz:one.npz", Some("1"));
        let moved = of("npz:two.npz", Some("1"));
        assert_eq!(one.compare(&moved, PLACES), Comparison::Same);
        assert_eq!(one.departure(&moved, &["own"], PLACES), None);
        let other = of("npz:two.npz", Some("2"));
        let said = "--data is npz:one.npz there and npz:two.npz here";
        assert_eq!(one.difference(&other, PLACES).unwrap(), said);
        assert_eq!(one.departure(&other, &["own"], PLACES).unwrap(), said);
        let changed = of("npz:one.npz", Some("2"));
        assert_eq!(one.difference(&changed, PLACES).unwrap(), "the data are not the same");
        let untold = [of("mnist", None), of("glyphs", None)];
        assert!(untold[0].difference(&untold[1], PLACES).is_some());
    }

    #[test]
    fn what_only_one_of_two_gives_is_a_difference_unless_it_is_its_own() {
        let of = |settings| Experiment::new("surface", &settings);
        let plain = of(json!({ "batch": 10, "own": 1 }));
        let part = of(json!({ "batch": 10 }));
        assert_eq!(plain.departure(&part, &["own"], PLACES), None);
        assert!(plain.departure(&part, &[], PLACES).is_some());
        let adam = of(json!({ "batch": 10, "beta1": 0.9, "optimizer": "adam" }));
        let said = "--optimizer is adam there and not given here";
        assert_eq!(adam.departure(&part, &["own"], PLACES).unwrap(), said);
        assert_eq!(adam.difference(&part, PLACES).unwrap(), said);
        // SGD with an option differs by the option.
        let decayed = of(json!({ "batch": 10, "optimizer": "sgd", "weight_decay": 0.5 }));
        let said = "--weight-decay is not given there and 0.5 here";
        assert_eq!(plain.departure(&decayed, &["own"], PLACES).unwrap(), said);
        assert_eq!(part.difference(&decayed, PLACES).unwrap(), said);
    }

    #[test]
    fn settings_are_compared_by_value_and_a_default_may_be_given() {
        let plain = Experiment::new("meta", &json!({ "layers": null, "rate": 1 }));
        let plain = plain.with_default("layers", [64, 32, 10]);
        let given = Experiment::new("meta", &json!({ "layers": [64, 32, 10], "rate": 1.0 }));
        let given = given.with_default("layers", [1]);
        assert_eq!(plain.compare(&given, PLACES), Comparison::Same);
        let absent =
            Experiment::new("meta", &json!({ "rate": 1, "layers": [64, 32, 10], "x": null }));
        assert_eq!(plain.compare(&absent, PLACES), Comparison::Same);
        let zero = |x: f64| Experiment::new("meta", &json!({ "x": x }));
        assert_ne!(zero(0.0).compare(&zero(-0.0), PLACES), Comparison::Same, "other bits");
        let seed = |x: u64| Experiment::new("meta", &json!({ "seed": x }));
        let (one, next) = (seed(1 << 53), seed((1 << 53) + 1));
        assert_ne!(one.compare(&next, PLACES), Comparison::Same, "neighbours");
    }

    #[test]
    fn more_of_what_may_grow_goes_further_and_less_does_not() {
        let steps = |steps: Value| Experiment::new("meta", &json!({ "meta_steps": steps }));
        let wanted = |value: Value| steps(value).growing(&["meta_steps"]);
        let compare = |from: Value, to: Value| steps(from).compare(&wanted(to), PLACES);
        assert_eq!(compare(json!(6), json!(9)), Comparison::Further);
        assert_eq!(compare(json!([6, 3]), json!([6, 4])), Comparison::Further);
        assert_eq!(compare(json!(6), json!(6)), Comparison::Same);
        for (from, to) in
            [(json!(6), json!(5)), (json!([6, 3]), json!([7, 2])), (json!([6]), json!(7))]
        {
            assert!(matches!(compare(from, to), Comparison::Other(_)));
        }
        assert!(matches!(steps(json!(6)).compare(&steps(json!(9)), PLACES), Comparison::Other(_)));
    }
}
