//! The figures of a study of horizons.

use myopia_core::schedule::Parameter;

use super::{Path, Training};
use crate::curve::Point;
use crate::descent::Record;
use crate::figure::{Axis, Figure, Lines, Markers, Reference, Series, Surface};
use crate::shown::symbol;
use crate::spread;

/// A surface to draw paths on: that of one horizon, over two parameters.
pub struct Overlay {
    /// T.
    pub horizon: u32,
    /// The parameters along its axes.
    pub axes: [Parameter; 2],
    /// The surface without paths.
    pub panel: Surface,
}

/// The label of a hyperparameter's axis.
fn label(parameter: Parameter) -> String {
    let said = match parameter {
        Parameter::Alpha0 => ", first learning rate",
        Parameter::TimeConstant => ", time constant (steps)",
        Parameter::Beta => ", decay exponent",
        Parameter::Momentum => ", momentum",
        Parameter::Epsilon => "",
        Parameter::Rho | Parameter::Beta2 => ", decay of the mean square",
        Parameter::Beta1 => ", decay of the mean",
        Parameter::WeightDecay => ", weight decay",
        Parameter::Damping => ", damping",
        Parameter::Factor => ", factor of each fall",
        Parameter::FinalShare => ", share left at the end",
    };
    format!("{}{said}", symbol(parameter))
}

fn name(horizon: u32) -> String {
    format!("T = {horizon}")
}

fn title(text: &str, partial: bool) -> String {
    if partial { format!("{text}, unfinished") } else { text.to_owned() }
}

/// Every parameter that moved, the objective and the size of the hypergradient against the
/// meta-step. Beyond `clip` the outer optimizer does not see how large it is.
pub fn trajectories(paths: &[Path], clip: f64, partial: bool) -> Figure {
    let panel = |axis: Axis, read: &dyn Fn(&Record) -> f64| {
        let panel = Lines::new("", Axis::linear("meta-step"), axis);
        paths.iter().fold(panel, |panel, path| {
            let points = path.records.iter().map(|r| (f64::from(r.meta_step), read(r)));
            panel.series(Series::new(name(path.horizon), points).markers(Markers::Ends))
        })
    };
    let moved = |parameter| {
        let differ = |pair: &[Record]| pair[0].value(parameter) != pair[1].value(parameter);
        paths.iter().any(|path| path.records.windows(2).any(differ))
    };
    let figure = Figure::new(title("Hyperparameter trajectories by horizon T", partial));
    let all = Parameter::ALL.into_iter().filter(|parameter| moved(*parameter));
    let figure = all.fold(figure, |figure, parameter| {
        figure.panel(panel(Axis::log(label(parameter)), &|r| r.value(parameter)))
    });
    let clipped = Reference::Horizontal(clip, "clipped above".to_owned());
    figure
        .panel(panel(Axis::log("objective at the horizon (nats)"), &|r| r.loss))
        .panel(panel(Axis::log("largest |∂ objective / ∂ ln|"), &steepness).reference(clipped))
        .columns(2)
}

/// The largest derivative by the logarithm of a parameter, in size.
pub fn steepness(record: &Record) -> f64 {
    let slopes = record.values.iter().zip(&record.derivatives).map(|(value, d)| value * d);
    slopes.fold(
        0.0,
        |largest: f64, slope: f64| if slope.abs() > largest { slope.abs() } else { largest },
    )
}

/// The paths in the plane of α₀ and β.
pub fn plane(paths: &[Path], partial: bool) -> Figure {
    let panel =
        Lines::new("", Axis::log(label(Parameter::Alpha0)), Axis::log(label(Parameter::Beta)));
    let panel = paths.iter().fold(panel, |panel, path| {
        let points = path.records.iter().map(|r| (r.schedule().alpha0, r.schedule().beta));
        panel.series(Series::new(name(path.horizon), points).markers(Markers::Ends))
    });
    let text = "Where meta-descent goes: open circle to marker";
    let mut figure = Figure::new(title(text, partial)).panel(panel);
    figure.width = 560.0;
    figure
}

/// The paths of each horizon on its surface.
pub fn surface(paths: &[Path], overlays: &[Overlay], loss: &str, partial: bool) -> Figure {
    let text = format!("Meta-descent on the {loss} after T steps");
    overlays.iter().fold(Figure::new(title(&text, partial)).columns(2), |figure, overlay| {
        let [x, y] = overlay.axes;
        let own = paths.iter().filter(|path| path.horizon == overlay.horizon);
        figure.panel(own.fold(overlay.panel.clone(), |panel, path| {
            let points = path.records.iter().map(|r| (r.value(x), r.value(y)));
            panel.trajectory(format!("start {}", path.start), points)
        }))
    })
}

/// Training with what each horizon chose: learning rate, training loss, validation loss, test
/// error. Of several seeds the median, and the range as a band.
pub fn curves(trainings: &[(u32, &Training)]) -> Figure {
    let mut horizons: Vec<(u32, Vec<&[Point]>)> = Vec::new();
    for &(horizon, training) in trainings {
        match horizons.iter_mut().find(|(known, _)| *known == horizon) {
            Some((_, seeds)) => seeds.push(&training.curve),
            None => horizons.push((horizon, vec![&training.curve])),
        }
    }
    let panel = |axis: Axis, read: &dyn Fn(&Point) -> Option<f64>| {
        let panel = Lines::new("", Axis::linear("training step"), axis);
        horizons.iter().fold(panel, |panel, (horizon, seeds)| {
            spread::draw(panel, &name(*horizon), seeds, read)
        })
    };
    let held_out = trainings
        .iter()
        .any(|(_, training)| training.curve.iter().any(|p| p.validation_loss.is_some()));
    // A rate that has underflowed has no place on a logarithmic axis.
    let rate = |p: &Point| (p.learning_rate > 0.0).then_some(p.learning_rate);
    let title = match horizons.iter().map(|(_, seeds)| seeds.len()).max() {
        Some(seeds @ 2..) => {
            format!("What each horizon's schedule is worth: median and range of {seeds} seeds")
        }
        _ => "What the schedule chosen at each horizon T is worth".to_owned(),
    };
    let mut figure = Figure::new(title)
        .columns(2)
        .panel(panel(floored("learning rate", trainings), &rate))
        .panel(panel(Axis::log("training loss (nats)"), &|p| Some(p.training_loss)));
    if held_out {
        figure = figure.panel(panel(Axis::log("validation loss (nats)"), &|p| p.validation_loss));
    }
    figure.panel(panel(Axis::log("test error"), &|p| Some(p.test_error)))
}

/// A logarithmic axis of rates that shows six decades at most: what lies lower is no rate to speak
/// of.
fn floored(label: &str, trainings: &[(u32, &Training)]) -> Axis {
    let rates = || trainings.iter().flat_map(|(_, training)| &training.curve);
    let pick = |better: fn(f64, f64) -> bool| {
        let positive = rates().map(|p| p.learning_rate).filter(|&rate| rate > 0.0);
        positive.reduce(|a, b| if better(b, a) { b } else { a })
    };
    let (Some(low), Some(high)) = (pick(|a, b| a < b), pick(|a, b| a > b)) else {
        return Axis::log(label);
    };
    match low < 1e-6 * high {
        true => Axis::log(label).range(1e-6 * high, 1.5 * high),
        false => Axis::log(label),
    }
}
