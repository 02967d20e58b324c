//! Draws a sample of every kind of figure from made-up data: `cargo run --example figures --
//! FOLDER`.
//!
//! For looking at: after a change in `figure`, open these and see whether they can be read in five
//! seconds.

use std::path::Path;

use myopia::figure::{Axis, Error, Field, Figure, Lines, Markers, Reference, Series, Surface};

const HORIZONS: [f64; 4] = [100.0, 1_000.0, 5_000.0, 20_000.0];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = std::env::args().nth(1).ok_or("give a folder to write to")?;
    let folder = Path::new(&folder);
    std::fs::create_dir_all(folder)?;
    for (name, figure) in [
        ("single", single()),
        ("schedules", schedules()),
        ("eight", eight()),
        ("trajectories", trajectories()),
        ("surface", surface(1_000.0)),
        ("surfaces", surfaces()),
        ("scattered", scattered()),
        ("awkward", awkward()),
    ] {
        let rendered = figure.render()?;
        std::fs::write(folder.join(name).with_extension("png"), rendered.png)?;
        std::fs::write(folder.join(name).with_extension("svg"), rendered.svg)?;
        for note in rendered.notes {
            eprintln!("{name}: {note}");
        }
    }
    let nothing = Figure::new("nothing").render();
    assert!(matches!(nothing, Err(Error::NoPanels { .. })));
    Ok(())
}

/// Deterministic noise in -1..1.
fn noise(i: usize) -> f64 {
    let bits = (i as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let bits = (bits ^ (bits >> 29)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    (bits >> 40) as f64 / (1 << 23) as f64 - 1.0
}

fn name(horizon: f64) -> String {
    format!("T = {horizon}")
}

/// One noisy training run.
fn single() -> Figure {
    let losses = (0..20_000).map(|step| {
        let t = step as f64;
        2.3 / (1.0 + t / 60.0) * (1.0 + 0.4 * noise(step)) + 2e-4
    });
    let panel =
        Lines::new("Training loss", Axis::linear("step"), Axis::log("cross-entropy (nats)"))
            .series(Series::steps("training loss", losses))
            .reference(Reference::Vertical(10_000.0, "rate decayed".into()))
            .reference(Reference::Horizontal(0.05, "fixed schedule".into()));
    Figure::new("").panel(panel)
}

/// What each horizon's schedule is worth: rate and loss over time.
fn schedules() -> Figure {
    let steps = || (0..=200).map(|i| f64::from(i) * 100.0);
    let mut rate = Lines::new("Learning rate", Axis::linear("step"), Axis::log("learning rate"));
    let mut loss = Lines::new("Training loss", Axis::linear("step"), Axis::log("loss (nats)"));
    for (i, horizon) in HORIZONS.into_iter().enumerate() {
        let beta = [30.0, 6.0, 2.0, 0.8][i];
        let at = move |t: f64| 0.1 / libm::pow(1.0 + t / 5_000.0, beta + 1.0);
        rate = rate.series(Series::new(name(horizon), steps().map(|t| (t, at(t)))));
        let floor = [0.08, 0.01, 1e-3, 2e-4][i];
        let losses = steps().map(move |t| (t, floor + 2.3 / (1.0 + (t / 40.0) * (t / 40.0))));
        loss = loss.series(Series::new(name(horizon), losses));
    }
    Figure::new("What each horizon's schedule achieves in 20,000 steps").panel(rate).panel(loss)
}

/// Eight schedules on the noisy quadratic.
fn eight() -> Figure {
    let mut panel = Lines::new(
        "Expected loss on the noisy quadratic",
        Axis::linear("step"),
        Axis::log("expected excess loss"),
    );
    for i in 0..8 {
        let rate = 0.004 * f64::from(i + 1);
        let losses = (0..=250).map(move |t| {
            let t = f64::from(t);
            5.0 / (1.0 + rate * t * t) + 0.02 / f64::from(i + 1)
        });
        let label = ["greedy", "re-plan, 2 steps", "re-plan, 5 steps", "re-plan, 10 steps"];
        let label = label.get(i as usize).copied().unwrap_or("re-plan, longer");
        let label = if i < 4 { label.to_owned() } else { format!("{label} ({})", 10 * i) };
        panel = panel.series(Series::steps(label, losses).markers(Markers::Ends));
    }
    Figure::new("").panel(panel)
}

/// Hyperparameters against the meta-step for four horizons.
fn trajectories() -> Figure {
    let panel = |title: &str, label: &str, start: f64, ends: [f64; 4]| {
        let mut panel = Lines::new(title, Axis::linear("meta-step"), Axis::log(label));
        for (i, horizon) in HORIZONS.into_iter().enumerate() {
            let values = (0..=500).map(move |step: i32| {
                let gone = 1.0 - 1.0 / (1.0 + f64::from(step) / 60.0);
                start
                    * libm::pow(ends[i] / start, gone)
                    * (1.0 + 0.03 * noise(step as usize + 977 * i))
            });
            panel = panel.series(Series::steps(name(horizon), values).markers(Markers::Ends));
        }
        panel
    };
    Figure::new("Hyperparameter trajectories for different horizons")
        .panel(panel("Initial rate", "α₀", 1e-2, [0.03, 0.08, 0.15, 0.22]))
        .panel(panel("Time constant", "K", 500.0, [40.0, 400.0, 3e3, 1.2e4]))
        .panel(panel("Decay exponent", "β", 1.0, [60.0, 9.0, 1.7, 0.8]))
}

fn spaced(low: f64, high: f64, count: usize) -> Vec<f64> {
    let ratio = libm::pow(high / low, 1.0 / (count - 1) as f64);
    (0..count).map(|i| low * libm::pow(ratio, i as f64)).collect()
}

/// A valley whose floor moves towards slower decay as the horizon grows, with a diverged corner.
fn valley(horizon: f64, x: f64, y: f64) -> Option<f64> {
    let best = 40.0 / libm::pow(horizon / 100.0, 0.75);
    let (u, v) = (libm::log10(x / 0.1), libm::log10(y / best));
    let diverged = x > 0.25 && y < 3.0 * if best < 3.0 { best } else { 3.0 };
    (!diverged).then(|| {
        0.3 / libm::pow(horizon / 100.0, 0.9)
            * libm::exp10(0.9 * u * u + 0.35 * v * v + 0.4 * u * v)
    })
}

fn panel(horizon: f64, count: usize) -> Surface {
    let (x, y) = (spaced(1e-3, 0.5, count), spaced(1e-2, 200.0, count));
    let values = y.iter().flat_map(|&y| x.iter().map(move |&x| valley(horizon, x, y))).collect();
    let grid = Field::Grid { x, y, values };
    Surface::new(name(horizon), Axis::log("α₀"), Axis::log("β"), Axis::log("training loss"), grid)
}

fn surface(horizon: f64) -> Figure {
    let best = 40.0 / libm::pow(horizon / 100.0, 0.75);
    let mut panel = panel(horizon, 25);
    for (start, (x, y)) in [(0.003, 0.05), (0.004, 120.0), (0.2, 100.0)].into_iter().enumerate() {
        let path = (0..=200).map(move |step| {
            let gone = 1.0 - 1.0 / (1.0 + f64::from(step) / 20.0);
            let bend: f64 = 1.0 + 0.6 * gone * (1.0 - gone);
            (x * libm::pow(0.1 / x, gone) * bend, y * libm::pow(best / y, gone * gone))
        });
        panel = panel.trajectory(format!("start {}", start + 1), path);
    }
    Figure::new("Loss after 1,000 steps").panel(panel)
}

fn surfaces() -> Figure {
    let figure = Figure::new("Each horizon prefers another schedule").columns(2);
    HORIZONS.into_iter().fold(figure, |figure, horizon| figure.panel(panel(horizon, 25)))
}

fn scattered() -> Figure {
    let samples = (0..300).map(|i| {
        let place = |low: f64, high: f64, i| low * libm::pow(high / low, (noise(i) + 1.0) / 2.0);
        let (x, y) = (place(1e-3, 0.5, 2 * i), place(1e-2, 200.0, 2 * i + 1));
        (x, y, valley(5_000.0, x, y))
    });
    let field = Field::Scattered(samples.collect());
    let axes = (Axis::log("initial rate α₀"), Axis::log("decay exponent β"));
    let colour = Axis::log("training loss");
    Figure::new("").panel(Surface::new(
        "300 random schedules, T = 5,000",
        axes.0,
        axes.1,
        colour,
        field,
    ))
}

/// Everything that can be wrong with data.
fn awkward() -> Figure {
    let axes = || (Axis::linear("step"), Axis::log("loss"));
    let broken = [1.0, 0.5, f64::NAN, 0.2, f64::INFINITY, 0.1, 0.05, -1.0, 0.0, 0.02];
    let lines = |title: &str| Lines::new(title, axes().0, axes().1);
    let surface = |value: Option<f64>| {
        let (x, y) = (vec![0.1, 0.2], vec![1.0, 2.0]);
        let values = vec![value; 4];
        let grid = Field::Grid { x, y, values };
        Surface::new("2 × 2", Axis::log("α₀"), Axis::log("β"), Axis::log("loss"), grid)
    };
    Figure::new("A title that is much longer than the figure is wide, so that it has to go on in a second line")
        .panel(lines("Broken").series(Series::steps("T = 10", broken)))
        .panel(lines("Constant").series(Series::steps("constant", [0.3; 5])))
        .panel(lines("One point").series(Series::new("alone", [(3.0, 1e-3)]).markers(Markers::Ends)))
        .panel(lines("Nothing at all"))
        .panel(surface(None))
        .panel(surface(Some(0.5)))
}
