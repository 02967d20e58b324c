use proptest::prelude::*;
use tiny_skia::Pixmap;

use super::*;

fn step() -> Axis {
    Axis::linear("step")
}

fn curves(count: usize) -> Lines {
    (0..count).fold(Lines::new("loss", step(), Axis::log("loss")), |lines, i| {
        let values = (1..=50).map(move |k| 1.0 / f64::from(k) + i as f64);
        let series = Series::steps(format!("horizon {i}"), values);
        lines.series(series.markers(Markers::Ends))
    })
}

fn surface(values: Vec<Option<f64>>, columns: usize) -> Surface {
    let rows = values.len() / columns;
    let coordinates = |count: usize| (1..=count).map(|i| i as f64 / 10.0).collect();
    let field = Field::Grid { x: coordinates(columns), y: coordinates(rows), values };
    let axes = (Axis::log("α₀"), Axis::log("β"));
    Surface::new("surface", axes.0, axes.1, Axis::log("loss"), field)
}

fn figure(panel: impl Into<Panel>) -> Figure {
    Figure::new("title").panel(panel)
}

fn page(rendered: &Rendered) -> Pixmap {
    Pixmap::decode_png(&rendered.png).unwrap()
}

#[test]
fn the_same_figure_makes_the_same_bytes() {
    let mixed = || {
        let values = (0..30).map(|i| (i % 7 > 0).then_some(f64::from(i + 1)));
        figure(curves(8)).panel(surface(values.collect(), 6))
    };
    let (a, b) = (mixed().render().unwrap(), mixed().render().unwrap());
    assert!(a == b);
}

#[test]
fn png_and_svg_have_the_sizes_that_were_asked_for() {
    let rendered = figure(curves(2)).render().unwrap();
    let page = page(&rendered);
    assert_eq!(page.width(), 1600);
    let height = page.height() / 2;
    let head = format!(
        "<svg width=\"800\" height=\"{height}\" stroke-linejoin=\"round\" viewBox=\"0 0 8000 "
    );
    assert!(rendered.svg.starts_with(&head), "{}", &rendered.svg[..120]);
}

#[test]
fn nothing_is_drawn_at_the_very_edge_of_the_page() {
    let values = (0..9).map(|i| Some(f64::from(i + 1))).collect();
    for figure in [
        figure(curves(8)),
        figure(curves(3)).panel(curves(1)).panel(curves(1)),
        figure(surface(values, 3).trajectory("path", [(0.1, 0.1), (0.3, 0.2)])),
    ] {
        let page = page(&figure.render().unwrap());
        let (width, height) = (page.width(), page.height());
        for (i, pixel) in page.pixels().iter().enumerate() {
            let (x, y) = (i as u32 % width, i as u32 / width);
            let inner = (8..width - 8).contains(&x) && (8..height - 8).contains(&y);
            let white = (pixel.red(), pixel.green(), pixel.blue()) == (255, 255, 255);
            assert!(inner || white, "({x}, {y}) of {width} by {height}");
        }
    }
}

#[test]
fn the_raster_shows_what_the_vector_names() {
    // A surface of one value fills its plot with the middle of the colour map.
    let figure = figure(surface(vec![Some(1.0); 4], 2));
    let layout = figure.layout().unwrap();
    let plot = layout.frames[0].plot;
    let page = page(&figure.render().unwrap());
    let at = ((plot.right - 6.0) * PIXELS, (plot.top + 6.0) * PIXELS);
    let pixel = page.pixel(at.0 as u32, at.1 as u32).unwrap();
    let expected = style::surface_colour(0.5).rgb;
    assert_eq!((pixel.red(), pixel.green(), pixel.blue()), expected);
}

#[test]
fn points_that_stand_alone_are_seen() {
    let points = [(0.0, 1.0), (1.0, f64::NAN), (2.0, 3.0)];
    let lines = Lines::new("", step(), Axis::linear("y")).series(Series::new("alone", points));
    let rendered = figure(lines).render().unwrap();
    assert_eq!(rendered.svg.matches("<circle").count(), 4, "two discs each");
    assert_eq!(rendered.notes.len(), 1, "{:?}", rendered.notes);
}

#[test]
fn a_panel_without_data_says_so() {
    let nothing = Lines::new("loss", step(), Axis::log("loss"));
    let hidden = nothing.clone().series(Series::new("below", [(0.0, -1.0)]));
    let empty = Field::Scattered(Vec::new());
    let scattered = Surface::new("", Axis::log("x"), Axis::log("y"), Axis::log("loss"), empty);
    for panel in [Panel::from(nothing), hidden.into(), scattered.into()] {
        let figure = figure(panel);
        let svg = figure.vector(&figure.layout().unwrap()).unwrap();
        assert!(svg.contains("no data"));
    }
}

#[test]
fn diverged_cells_are_named_counted_and_drawn() {
    let some = surface(vec![Some(0.5), None, Some(f64::NAN), Some(2.0)], 2);
    let rendered = figure(some).render().unwrap();
    assert!(rendered.svg.contains("diverged"));
    let flat: String = rendered.svg.replace('\u{a0}', " ");
    assert!(flat.contains("Lowest loss: 0.500 at α₀ = 0.100, β = 0.100; 2 of 4 diverged."));

    let all = figure(surface(vec![None; 4], 2)).render().unwrap();
    assert!(all.svg.contains("Every run diverged."));
}

#[test]
fn iso_lines_lie_where_the_value_is_and_keep_away_from_diverged_cells() {
    // The value is 0.3 x, so that the line of 1 runs upwards at x = 1 / 0.3, between two columns.
    let axis = vec![0.1, 1.0, 10.0];
    let mut values: Vec<_> = (0..9).map(|i| Some(0.3 * axis[i % 3])).collect();
    let drawn = |values: &[Option<f64>]| {
        let field = Field::Grid { x: axis.clone(), y: axis.clone(), values: values.to_vec() };
        let figure = figure(Surface { field, ..surface(vec![None], 1) });
        let layout = figure.layout().unwrap();
        let start = layout.frames[0].at(1.0 / 0.3, 0.1);
        let end = layout.frames[0].at(1.0 / 0.3, 10.0);
        let units = |v: f64| (v * SCALE).round();
        let svg = figure.vector(&layout).unwrap();
        svg.lines().any(|line| {
            let has = |(x, y)| line.contains(&format!("{},{} ", units(x), units(y)));
            line.starts_with("<polyline") && has(start) && has(end)
        })
    };
    assert!(drawn(&values));
    values[4] = None;
    assert!(!drawn(&values));
}

#[test]
fn values_beyond_the_colour_range_are_mentioned() {
    let mut wide = surface(vec![Some(0.5), Some(1e9), Some(0.0), Some(2.0)], 2);
    wide.colour = wide.colour.range(0.1, 10.0);
    let notes = figure(wide).layout().unwrap().notes;
    assert_eq!(notes.len(), 2, "{notes:?}");
    assert!(notes[0].contains("1 value without a place"), "{notes:?}");
    assert!(notes[1].contains("1 value outside 0.100 to 10.0"), "{notes:?}");
}

#[test]
fn names_are_shared_by_panels_and_escaped() {
    let panel = || {
        let line = Series::new("a < b & c", [(0.0, 1.0), (1.0, 2.0)]);
        Lines::new("", step(), Axis::linear("y")).series(line)
    };
    let svg = figure(panel()).panel(panel()).render().unwrap().svg;
    assert_eq!(svg.matches("a &lt; b &amp; c").count(), 1);
}

#[test]
fn figures_that_make_no_sense_are_refused_in_one_sentence() {
    let good = || surface(vec![Some(1.0); 4], 2);
    let ragged = Field::Grid { x: vec![1.0, 2.0], y: vec![1.0], values: vec![None; 3] };
    let unsorted = Field::Grid { x: vec![2.0, 1.0], y: vec![1.0], values: vec![None; 2] };
    let negative = Field::Scattered(vec![(-1.0, 1.0, None)]);
    let with = |field| figure(Surface { field, ..good() });
    let crowded = (0..12).fold(Figure::new("").columns(12), |f, _| f.panel(curves(1)));
    let mut tiny = figure(good());
    tiny.width = f64::NAN;
    for (figure, part) in [
        (Figure::new("empty"), "\"empty\" has no panels"),
        (with(ragged), "2 columns and 1 rows cannot hold 3 values"),
        (with(unsorted), "along \"α₀\""),
        (with(negative), "along \"α₀\""),
        (crowded, "12 panels side by side"),
        (tiny, "NaN by"),
        (figure(Lines::new("", step().range(2.0, 1.0), step())), "cannot show 2 to 1"),
    ] {
        let message = figure.render().unwrap_err().to_string();
        assert!(message.contains(part), "{message}");
    }
}

/// Numbers of all kinds, odd ones often.
fn number() -> impl Strategy<Value = f64> {
    prop_oneof![
        4 => -10.0..10.0,
        1 => prop::num::f64::ANY,
        1 => prop::sample::select(vec![0.0, -0.0, f64::NAN, f64::INFINITY, f64::MAX, f64::MIN, 5e-324]),
    ]
}

fn axis() -> impl Strategy<Value = Axis> {
    ("[ -~]{0,40}", any::<bool>()).prop_map(|(label, log)| match log {
        true => Axis::log(label),
        false => Axis::linear(label),
    })
}

fn any_lines() -> impl Strategy<Value = Panel> {
    let points = || prop::collection::vec((number(), number()), 0..12);
    let series = prop::collection::vec(("[a-c]{0,60}", points(), 0..3_usize), 0..10);
    (axis(), axis(), series, number()).prop_map(|(x, y, series, reference)| {
        let lines =
            series.into_iter().fold(Lines::new("panel", x, y), |lines, (name, points, markers)| {
                let markers = [Markers::None, Markers::Ends, Markers::Points][markers];
                lines.series(Series::new(name, points).markers(markers))
            });
        let lines = lines.reference(Reference::Horizontal(reference, "level".into()));
        lines.reference(Reference::Vertical(reference, "moment".into())).into()
    })
}

fn any_surface() -> impl Strategy<Value = Panel> {
    let values = (1..5_usize, 1..5_usize).prop_flat_map(|(columns, rows)| {
        let cell = prop::option::of(number());
        (Just(columns), prop::collection::vec(cell, columns * rows))
    });
    let path = prop::collection::vec((number(), number()), 0..6);
    (values, axis(), path).prop_map(|((columns, values), colour, path)| {
        let surface = surface(values, columns).trajectory("path", path);
        Surface { colour, ..surface }.into()
    })
}

/// Up to four panels of any kind.
fn any_figure() -> impl Strategy<Value = Figure> {
    let panel = prop_oneof![any_lines(), any_surface()];
    prop::collection::vec(panel, 1..5).prop_map(|panels| {
        let mut figure = Figure::new("title").columns(2);
        figure.panels = panels;
        figure
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_data_make_a_figure_fail_or_its_legend_cover_a_plot(figure in any_figure()) {
        let layout = figure.layout().unwrap();
        for (i, frame) in layout.frames.iter().enumerate() {
            prop_assert!(!frame.plot.overlaps(&layout.legend_at));
            for other in &layout.frames[..i] {
                prop_assert!(!frame.plot.overlaps(&other.plot));
            }
        }
        let svg = figure.vector(&layout).unwrap();
        prop_assert!(svg.ends_with("</svg>\n") && !svg.contains("NaN"));
    }
}

proptest! {
    // Few and small, for pixels take their time in a debug build; what is drawn is covered above.
    #![proptest_config(ProptestConfig::with_cases(3))]

    #[test]
    fn no_data_make_the_raster_fail(figure in any_figure()) {
        let figure = Figure {
            columns: Some(1),
            width: 400.0,
            plot_height: Some(100.0),
            ..figure
        };
        let rendered = figure.render().unwrap();
        prop_assert_eq!(page(&rendered).width(), 800);
    }
}
