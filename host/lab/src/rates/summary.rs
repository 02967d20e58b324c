//! What the choices show: for each hyperparameter and start a curve over the horizons, and
//! sentences that apply criteria set beforehand.

use serde::Serialize;

use super::{Choice, expression, relative_rate};
use crate::shown::number;
use crate::spread::Spread;
use myopia_core::schedule::Parameter;

/// A hyperparameter from one start, tuned at each horizon.
#[derive(Clone, Debug, Serialize)]
pub struct Curve {
    /// The optimiser.
    pub optimizer: String,
    /// What was tuned.
    pub parameter: String,
    /// The constant learning rate, where that is not what was tuned.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alpha0: Option<f64>,
    /// The network.
    pub layers: String,
    /// Steps of pretraining; without any the start is cold.
    pub pretrain: u32,
    /// The horizons, ascending.
    pub horizons: Vec<Horizon>,
    /// Whether the learning rate that it expresses is at each horizon within a factor of
    /// `ALIKE` of that which α of SGD on the same network from the same start has there, both
    /// relative to the longest horizon's; nothing of α itself, and where there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub goes_with_alpha: Option<bool>,
}

/// What one horizon chose, over the seeds: least, median, greatest.
#[derive(Clone, Debug, Serialize)]
pub struct Horizon {
    /// T.
    pub horizon: u32,
    /// The value.
    #[serde(serialize_with = "Spread::as_ends")]
    pub value: Spread,
    /// The learning rate it expresses, relative to that of the longest horizon, seed by seed.
    #[serde(serialize_with = "Spread::as_ends")]
    pub relative_rate: Spread,
    /// The objective after all steps; nothing when a training diverged.
    #[serde(serialize_with = "Spread::as_ends_if_any")]
    pub loss: Option<Spread>,
    /// Seed by seed the loss with its choice on the other seeds, which had no part in it, relative
    /// to that with the longest horizon's choice, which else would be the lowest by chance alone;
    /// of one seed the losses themselves.
    #[serde(serialize_with = "Spread::as_ends_if_any")]
    pub relative_loss: Option<Spread>,
    /// The factor over which the objective at the horizon stays within 1 % of its lowest.
    #[serde(serialize_with = "Spread::as_ends")]
    pub slack: Spread,
    /// With how many seeds the value is an end of the grid.
    pub at_edge: usize,
    /// How many seeds.
    pub seeds: usize,
}

impl Horizon {
    /// Whether it ends higher than the longest horizon with every seed, or diverges.
    fn is_worse(&self) -> bool {
        self.relative_loss.is_none_or(|loss| loss.least > 1.0)
    }

    /// Whether its rate is smaller or larger than the longest horizon's with every seed.
    fn side(&self) -> &'static str {
        match self.relative_rate {
            Spread { greatest, .. } if greatest < 1.0 => "smaller",
            Spread { least, .. } if least > 1.0 => "larger",
            _ => "not told apart",
        }
    }
}

/// Curves go alike when they are nowhere further apart than this factor.
pub const ALIKE: f64 = 2.0;

/// Horizons count as short up to this share of all steps.
pub const SHORT: f64 = 0.05;

impl Curve {
    /// Those of `choices`, in their order.
    pub fn all(choices: &[Choice]) -> Vec<Self> {
        let key = |choice: &Choice| {
            let Choice { optimizer, parameter, alpha0, layers, pretrain, .. } = choice.clone();
            (optimizer, parameter, alpha0, layers, pretrain)
        };
        let mut keys = Vec::new();
        for choice in choices {
            if !keys.contains(&key(choice)) {
                keys.push(key(choice));
            }
        }
        let curve = |one: &(String, String, Option<f64>, String, u32)| {
            let own: Vec<&Choice> = choices.iter().filter(|choice| key(choice) == *one).collect();
            let (optimizer, parameter, alpha0, layers, pretrain) = one.clone();
            let horizons = Self::horizons(&own);
            let goes_with_alpha = None;
            Self { optimizer, parameter, alpha0, layers, pretrain, horizons, goes_with_alpha }
        };
        let mut curves: Vec<Self> = keys.iter().map(curve).collect();
        let alphas: Vec<Self> = curves.iter().filter(|curve| curve.is_alpha()).cloned().collect();
        for curve in &mut curves {
            let alpha = alphas.iter().find(|alpha| {
                (&alpha.layers, alpha.pretrain) == (&curve.layers, curve.pretrain)
                    && alpha.optimizer == "sgd"
            });
            if let (false, Some(alpha)) = (curve.is_alpha(), alpha) {
                curve.goes_with_alpha = Some(curve.farthest(alpha).1 <= ALIKE);
            }
        }
        curves
    }

    fn horizons(own: &[&Choice]) -> Vec<Horizon> {
        let mut horizons: Vec<u32> = own.iter().map(|choice| choice.horizon).collect();
        horizons.sort_unstable();
        horizons.dedup();
        let longest = horizons.last().copied();
        let at_longest = |seed: u64| {
            own.iter().find(|choice| (choice.seed, Some(choice.horizon)) == (seed, longest))
        };
        let of = |horizon: u32| {
            let there = || own.iter().filter(move |choice| choice.horizon == horizon);
            let relative = |choice: &&&Choice| {
                let parameter = Parameter::ALL.into_iter();
                let parameter = parameter.clone().find(|p| p.name() == choice.parameter)?;
                Some(relative_rate(parameter, choice.value, at_longest(choice.seed)?.value))
            };
            let losses = || there().map(|choice| choice.loss_at_end).collect::<Option<Vec<_>>>();
            let alone = own.iter().all(|choice| choice.seed == own[0].seed);
            let worth = |choice: &Choice| match alone {
                true => choice.loss_at_end,
                false => choice.loss_elsewhere,
            };
            let ratio = |choice: &&&Choice| Some(worth(choice)? / worth(at_longest(choice.seed)?)?);
            let ratios = there().map(|choice| ratio(&choice)).collect::<Option<Vec<f64>>>();
            Some(Horizon {
                horizon,
                value: Spread::of(there().map(|choice| choice.value))?,
                relative_rate: Spread::of(there().filter_map(|choice| relative(&choice)))?,
                loss: losses().and_then(Spread::of),
                relative_loss: ratios.and_then(Spread::of),
                slack: Spread::of(there().map(|choice| choice.slack))?,
                at_edge: there().filter(|choice| choice.at_edge).count(),
                seeds: there().count(),
            })
        };
        horizons.into_iter().filter_map(of).collect()
    }

    fn is_alpha(&self) -> bool {
        self.parameter == Parameter::Alpha0.name()
    }

    /// What it is called in figures and sentences.
    pub fn name(&self) -> String {
        let of = Parameter::ALL.into_iter().find(|parameter| parameter.name() == self.parameter);
        let expressed = of.map_or("α", expression);
        let Self { optimizer, layers, .. } = self;
        match self.alpha0 {
            None => format!("{expressed} ({optimizer}, {layers})"),
            Some(alpha0) => format!("{expressed} ({optimizer} at α = {alpha0}, {layers})"),
        }
    }

    /// The horizon at which its relative rate is furthest from that of `other`, and by what factor.
    fn farthest(&self, other: &Self) -> (u32, f64) {
        let apart = |own: &Horizon| {
            let there = other.horizons.iter().find(|there| there.horizon == own.horizon)?;
            let ratio = own.relative_rate.median / there.relative_rate.median;
            Some((own.horizon, if ratio < 1.0 { 1.0 / ratio } else { ratio }))
        };
        let all = self.horizons.iter().filter_map(apart);
        all.reduce(|a, b| if b.1 > a.1 { b } else { a }).unwrap_or((0, 1.0))
    }
}

/// From which start.
fn started(pretrain: u32) -> String {
    match pretrain {
        0 => "from a cold start".to_owned(),
        steps => format!("after {steps} steps of pretraining"),
    }
}

fn range(spread: Spread, digits: usize) -> String {
    let [least, median, greatest] = spread.ends().map(|x| number(x, digits));
    if least == greatest { median } else { format!("{median} ({least} to {greatest})") }
}

/// For each curve: the learning rate of each horizon relative to the longest's, what its choice
/// costs, and whether the claims hold by the criteria set beforehand.
///
/// - There is a bias at a horizon when with every seed its choice ends higher on the other seeds
///   after all steps than the longest horizon's. The claim that a hyperparameter shows
///   short-horizon bias has failed from a start when there is none at any horizon up to `SHORT`
///   of the steps.
/// - The bias is to small rates where the rate is smaller than the longest horizon's with every
///   seed; where it is larger with every seed, the claim that short horizons take small rates has
///   failed.
/// - The claim that a hyperparameter is a learning rate has failed where its relative rate is
///   anywhere further than a factor of `ALIKE` from that of SGD's α.
pub fn sentences(curves: &[Curve], steps: u32) -> Vec<String> {
    let mut said = Vec::new();
    for curve in curves {
        let Some((longest, shorter)) = curve.horizons.split_last() else { continue };
        let name = format!("{}, {}", curve.name(), started(curve.pretrain));
        let each = shorter.iter().map(|own| {
            let edge = if own.at_edge > 0 { ", at an end of the grid" } else { "" };
            let slack = match own.slack.median {
                slack if slack >= 10.0 => {
                    format!(
                        ", though values {} times apart are as good within 1 %",
                        number(slack, 0)
                    )
                }
                _ => String::new(),
            };
            let worth = match own.relative_loss {
                None => "which diverges".to_owned(),
                Some(loss) if own.seeds == 1 => {
                    format!("which ends at {} times its loss", range(loss, 2))
                }
                Some(loss) => {
                    let loss = range(loss, 2);
                    format!("which with the other seeds ends at {loss} times its loss")
                }
            };
            let rate = range(own.relative_rate, 2);
            format!("T = {} takes {rate} times the rate{edge}{slack}, {worth}", own.horizon)
        });
        let each: Vec<String> = each.collect();
        said.push(format!("{name}, beside T = {}: {}.", longest.horizon, each.join("; ")));
        let short: Vec<&Horizon> = shorter
            .iter()
            .filter(|own| f64::from(own.horizon) <= SHORT * f64::from(steps))
            .collect();
        let biased: Vec<&&Horizon> = short.iter().filter(|own| own.is_worse()).collect();
        if short.is_empty() {
            continue;
        }
        if biased.is_empty() {
            said.push(format!("{name}: no short-horizon bias at any T up to {}.", {
                short[short.len() - 1].horizon
            }));
            continue;
        }
        let of = |side: &str| {
            let own = biased.iter().filter(|own| own.side() == side);
            own.map(|own| own.horizon.to_string()).collect::<Vec<_>>().join(", ")
        };
        let sides = ["smaller", "larger", "not told apart"].map(|side| (side, of(side)));
        let sides: Vec<String> = sides
            .into_iter()
            .filter(|(_, horizons)| !horizons.is_empty())
            .map(|(side, horizons)| match side {
                "not told apart" => {
                    format!("at T = {horizons} without a rate that every seed has on one side")
                }
                _ => format!("at T = {horizons} with a {side} rate"),
            })
            .collect();
        said.push(format!("{name}: short-horizon bias with every seed {}.", sides.join(", ")));
    }
    for curve in curves {
        let alpha = curves.iter().find(|alpha| {
            alpha.is_alpha()
                && alpha.optimizer == "sgd"
                && (&alpha.layers, alpha.pretrain) == (&curve.layers, curve.pretrain)
        });
        let (Some(alpha), Some(goes)) = (alpha, curve.goes_with_alpha) else { continue };
        let (horizon, factor) = curve.farthest(alpha);
        said.push(format!(
            "{} {} {} with SGD's α over the horizons: the farthest apart are the medians at T = {horizon}, by a factor of {}.",
            curve.name(),
            started(curve.pretrain),
            if goes { "goes" } else { "does not go" },
            number(factor, 2)
        ));
    }
    said
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choice(parameter: &str, horizon: u32, seed: u64, value: f64, loss: Option<f64>) -> Choice {
        let of_alpha = parameter == "alpha0";
        Choice {
            optimizer: if of_alpha { "sgd" } else { "adam" }.to_owned(),
            parameter: parameter.to_owned(),
            start: "cold".to_owned(),
            horizon,
            seed,
            value,
            loss_at_end: Some(0.1),
            loss_elsewhere: loss,
            trained_value: value,
            loss_at_horizon: 1.0,
            at_edge: false,
            slack: 1.0,
            alpha0: (!of_alpha).then_some(0.05),
            layers: "4-2".to_owned(),
            pretrain: 0,
            test_error: None,
            digest: None,
        }
    }

    #[test]
    fn criteria_are_applied_to_every_seed() {
        let both = |parameter: &str, values: [f64; 4], losses: [Option<f64>; 4]| {
            let ways = [(10, 1), (10, 2), (1000, 1), (1000, 2)].into_iter();
            let all = ways.zip(values.into_iter().zip(losses));
            all.map(|((t, seed), (value, loss))| choice(parameter, t, seed, value, loss))
                .collect::<Vec<_>>()
        };
        let mut choices = both("alpha0", [0.5, 0.75, 0.25, 0.25], [0.2, 0.3, 0.1, 0.1].map(Some));
        choices.extend(both("epsilon", [0.1, 0.1, 0.2, 0.5], [None, Some(0.3), Some(0.1), None]));
        let curves = Curve::all(&choices);
        let [alpha, epsilon] = &curves[..] else { panic!("two curves of {curves:?}") };
        assert_eq!(alpha.horizons[0].relative_rate.ends(), [2.0, 2.5, 3.0]);
        // The rate is the inverse of ε.
        assert_eq!(epsilon.horizons[0].relative_rate.ends(), [2.0, 3.5, 5.0]);
        assert_eq!((alpha.goes_with_alpha, epsilon.goes_with_alpha), (None, Some(true)));
        let said = sentences(&curves, 1000);
        assert_eq!(
            said[..2],
            [
                "α (sgd, 4-2), from a cold start, beside T = 1000: T = 10 takes 2.50 (2.00 to 3.00) times the rate, which with \
                 the other seeds ends at 2.50 (2.00 to 3.00) times its loss.",
                "α (sgd, 4-2), from a cold start: short-horizon bias with every seed at T = 10 with a larger rate.",
            ]
        );
        assert!(said[2].ends_with("times the rate, which diverges."), "{}", said[2]);
        assert!(said[4].ends_with("at T = 10, by a factor of 1.40."), "{}", said[4]);
        // With one seed that is no higher there is no bias.
        choices[0].loss_elsewhere = Some(0.1);
        let said = sentences(&Curve::all(&choices), 1000);
        assert!(said[1].ends_with("no short-horizon bias at any T up to 10."), "{}", said[1]);
        // Three times the distance to α's is too far.
        choices.iter_mut().filter(|c| c.parameter == "epsilon" && c.horizon == 10).for_each(|c| {
            c.value = 0.02;
        });
        assert_eq!(Curve::all(&choices)[1].goes_with_alpha, Some(false));
    }
}
