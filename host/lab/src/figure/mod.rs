//! Figures as PNG and SVG: panels of curves ([`Lines`]) and of surfaces ([`Surface`]) with one
//! legend below them.
//!
//! A figure is drawn once, in points, by code that knows only a plotters backend; the SVG and the
//! PNG (two pixels to a point) come from the same calls. Nothing depends on the machine's fonts or
//! locale: the same figure makes the same bytes.
//!
//! ```
//! use myopia::figure::{Axis, Figure, Lines, Reference, Series};
//!
//! let losses = Series::steps("greedy", [1.0, 0.3, 0.1, 0.05]);
//! let panel = Lines::new("Expected loss", Axis::linear("step"), Axis::log("loss"))
//!     .series(losses)
//!     .reference(Reference::Horizontal(0.07, "noise floor".into()));
//! let rendered = Figure::new("").panel(panel).render()?;
//! assert!(rendered.svg.contains("noise floor"));
//! # Ok::<(), myopia::figure::Error>(())
//! ```

mod axis;
mod canvas;
mod file;
mod frame;
mod geometry;
mod legend;
mod lines;
mod numbers;
mod raster;
mod style;
mod surface;
mod text;

use plotters_svg::SVGBackend;

pub use self::axis::{Axis, Scale};
pub use self::lines::{Band, Lines, Markers, Reference, Series};
pub use self::surface::{Field, Surface, Trajectory};

use self::canvas::{Canvas, Page, SCALE};
use self::frame::{Frame, Outline};
use self::geometry::{Rect, larger, smaller};
use self::legend::{Entry, Legend, Sample};
use self::raster::Raster;
use self::style::{INK, Look, MUTED, WHITE};
use self::text::{Align, Font};
use crate::memory::afford;

/// Pixels of the PNG to a point.
const PIXELS: f64 = 2.0;
const MARGIN: f64 = 14.0;
const GUTTER: f64 = 26.0;

/// A figure: panels in rows, one legend for all of them.
#[derive(Clone, Debug)]
pub struct Figure {
    /// Heading of the whole figure; may be empty.
    pub title: String,
    /// The panels, row by row.
    pub panels: Vec<Panel>,
    /// Panels in a row; `None` puts up to three in one row.
    pub columns: Option<usize>,
    /// Width in points.
    pub width: f64,
    /// Height of each plot area in points; `None` chooses by the panels' width.
    pub plot_height: Option<f64>,
}

/// One plot of a figure.
#[derive(Clone, Debug)]
pub enum Panel {
    /// Curves.
    Lines(Lines),
    /// A surface.
    Surface(Surface),
}

/// A figure as the bytes of two files.
#[derive(Clone, Debug, PartialEq)]
pub struct Rendered {
    /// A PNG file, two pixels to a point.
    pub png: Vec<u8>,
    /// An SVG document.
    pub svg: String,
    /// Sentences about data that could not be drawn; the figure shows them too.
    pub notes: Vec<String>,
}

/// Why a figure cannot be drawn.
#[derive(Debug, thiserror::Error, PartialEq)]
#[non_exhaustive]
pub enum Error {
    /// There is nothing to draw.
    #[error("the figure \"{title}\" has no panels; add at least one")]
    NoPanels {
        /// The figure's title.
        title: String,
    },
    /// Labels leave the plots no room.
    #[error(
        "{columns} panels side by side do not fit into {width} points; make the figure wider or use fewer columns"
    )]
    Narrow {
        /// Panels in a row.
        columns: usize,
        /// The figure's width in points.
        width: f64,
    },
    /// A size that is no size.
    #[error(
        "the figure cannot be {width} by {height} points; give it a width and a plot height between 100 and 10,000"
    )]
    Size {
        /// Width in points.
        width: f64,
        /// Height of the plots in points.
        height: f64,
    },
    /// A range that shows nothing.
    #[error(
        "the axis \"{label}\" cannot show {low} to {high}; give two finite numbers in increasing order, both positive if the axis is logarithmic"
    )]
    Range {
        /// The axis's label.
        label: String,
        /// Lowest value asked for.
        low: f64,
        /// Highest value asked for.
        high: f64,
    },
    /// A grid with too many or too few values.
    #[error(
        "a grid of {columns} columns and {rows} rows cannot hold {values} values; give one value for each cell"
    )]
    Grid {
        /// Number of columns.
        columns: usize,
        /// Number of rows.
        rows: usize,
        /// Number of values.
        values: usize,
    },
    /// Coordinates of samples that the axis cannot place.
    #[error(
        "the coordinates along \"{label}\" cannot be placed; they must be finite, positive on a logarithmic axis, and strictly increasing in a grid"
    )]
    Coordinates {
        /// The axis's label.
        label: String,
    },
    /// The drawing library failed.
    #[error("the figure could not be drawn ({reason}); free some memory, or draw fewer panels")]
    Backend {
        /// What it said.
        reason: String,
    },
}

impl Figure {
    /// A figure 800 points wide without panels.
    pub fn new(title: impl Into<String>) -> Self {
        Self {
            title: title.into(),
            panels: Vec::new(),
            columns: None,
            width: 800.0,
            plot_height: None,
        }
    }

    /// The figure with one more panel.
    pub fn panel(mut self, panel: impl Into<Panel>) -> Self {
        self.panels.push(panel.into());
        self
    }

    /// The figure with this many panels in a row.
    pub fn columns(self, columns: usize) -> Self {
        Self { columns: Some(columns), ..self }
    }

    /// The figure as PNG and SVG.
    ///
    /// # Errors
    /// No panels, no room for them, or a panel whose ranges or grid make no sense. Data that cannot
    /// be drawn is no error: it is left out and named in [`Rendered::notes`], and a panel without
    /// any says "no data".
    pub fn render(&self) -> Result<Rendered, Error> {
        let layout = self.layout()?;
        Ok(Rendered { png: self.raster(&layout)?, svg: self.vector(&layout)?, notes: layout.notes })
    }

    /// The figure as an SVG document.
    fn vector(&self, layout: &Layout) -> Result<String, Error> {
        let mut svg = String::new();
        let mut canvas = Canvas::new(SVGBackend::with_string(&mut svg, self.size(layout, SCALE)));
        self.draw(&mut canvas, layout);
        canvas.finish().map(drop).map_err(failed)?;
        Ok(in_points(&svg, self.size(layout, SCALE), self.size(layout, 1.0)))
    }

    /// The figure as a PNG file.
    fn raster(&self, layout: &Layout) -> Result<Vec<u8>, Error> {
        let (width, height) = self.size(layout, PIXELS);
        // The page, and as much for its compression.
        let bytes = 2 * 4 * u128::from(width) * u128::from(height);
        afford(&format!("the figure '{}'", self.title), bytes, "draw less in it")
            .map_err(failed)?;
        let page = Raster::new(width, height, (PIXELS / SCALE) as f32)
            .ok_or_else(|| failed("the page is too large"))?;
        let mut canvas = Canvas::new(page);
        self.draw(&mut canvas, layout);
        let page = canvas.finish().map_err(failed)?;
        page.encode().map_err(failed)
    }

    /// Width and height in whole units of which `scale` make a point.
    fn size(&self, layout: &Layout, scale: f64) -> (u32, u32) {
        let units = |length: f64| (length * scale).round() as u32;
        (units(self.width), units(layout.height))
    }

    fn layout(&self) -> Result<Layout, Error> {
        let columns = match self.columns {
            Some(columns) => columns.clamp(1, self.panels.len().max(1)),
            None => self.panels.len().clamp(1, 3),
        };
        if self.panels.is_empty() {
            return Err(Error::NoPanels { title: self.title.clone() });
        }
        let (count, width) = (columns as f64, self.width);
        let inner = width - 2.0 * MARGIN;
        let cell = (inner - GUTTER * (count - 1.0)) / count;
        let height = self.plot_height.unwrap_or_else(|| self.plot_height(cell));
        if ![width, height].iter().all(|v| (100.0..=10_000.0).contains(v)) {
            return Err(Error::Size { width, height });
        }

        let title = Font::TITLE.wrap(&self.title, inner);
        let heading = if title.is_empty() { 0.0 } else { 8.0 };
        let mut top = MARGIN + Font::TITLE.line() * title.len() as f64 + heading;
        let mut frames = Vec::new();
        for row in self.panels.chunks(columns) {
            let mut placed = Vec::new();
            for (i, panel) in row.iter().enumerate() {
                let left = MARGIN + (cell + GUTTER) * i as f64;
                let frame = Frame::new(panel.outline()?, left, cell, height)
                    .ok_or(Error::Narrow { columns, width })?;
                placed.push(frame);
            }
            let plots = top + placed.iter().map(Frame::above).fold(0.0, larger);
            top = plots + height + placed.iter().map(Frame::below).fold(0.0, larger) + 10.0;
            for mut frame in placed {
                frame.lower_to(plots);
                frames.push(frame);
            }
        }

        let looks = self.looks();
        let legend = Legend::new(self.entries(&looks), inner);
        let legend_at = Rect::new(MARGIN, top, inner, legend.height());
        let mut notes: Vec<String> = Vec::new();
        for note in self.panels.iter().flat_map(Panel::notes) {
            if !notes.contains(&note) {
                notes.push(note);
            }
        }
        let note_lines: Vec<String> =
            notes.iter().flat_map(|note| Font::BODY.wrap(note, inner)).collect();
        let below = if note_lines.is_empty() { 0.0 } else { 6.0 };
        let notes_top = legend_at.bottom + below;
        Ok(Layout {
            height: (notes_top + Font::BODY.line() * note_lines.len() as f64 + MARGIN).ceil(),
            title,
            frames,
            looks,
            legend,
            legend_at,
            note_lines,
            notes_top,
            notes,
        })
    }

    /// The plots' height if none is asked for: surfaces are nearly square, curves wider than high.
    fn plot_height(&self, cell: f64) -> f64 {
        let square = self.panels.iter().any(|p| matches!(p, Panel::Surface(_)));
        let (share, most) = if square { (0.78, 460.0) } else { (0.72, 350.0) };
        larger(smaller(share * cell, most), 150.0)
    }

    /// The looks of all names in order of appearance.
    fn looks(&self) -> Looks {
        let mut names: Vec<String> = Vec::new();
        for name in self.panels.iter().flat_map(Panel::names) {
            if !names.iter().any(|known| known == name) {
                names.push(name.to_owned());
            }
        }
        Looks(names)
    }

    /// The legend's entries.
    fn entries(&self, looks: &Looks) -> Vec<Entry> {
        let entry = |sample, name: &str| Entry { sample, name: name.to_owned() };
        let mut entries: Vec<Entry> = looks
            .0
            .iter()
            .filter(|name| !name.is_empty())
            .map(|name| {
                let sample = Sample::Line {
                    look: looks.of(name),
                    marked: self.panels.iter().any(|panel| panel.marks(name)),
                    solid: self.panels.iter().all(|panel| panel.solid(name)),
                };
                entry(sample, name)
            })
            .collect();
        let any = |test: fn(&Panel) -> bool| self.panels.iter().any(test);
        if any(Panel::travelled) {
            entries.push(entry(Sample::Start, "start"));
            entries.push(entry(Sample::End, "end"));
        }
        if any(|panel| matches!(panel, Panel::Surface(surface) if surface.best().is_some())) {
            entries.push(entry(Sample::Best, "lowest"));
        }
        if any(|panel| matches!(panel, Panel::Surface(surface) if surface.diverged())) {
            entries.push(entry(Sample::Diverged, "diverged"));
        }
        entries
    }

    fn draw<P: Page>(&self, canvas: &mut Canvas<P>, layout: &Layout) {
        canvas.fill(Rect::new(0.0, 0.0, self.width, layout.height), WHITE);
        let mut y = MARGIN + Font::TITLE.line() / 2.0;
        for line in &layout.title {
            let at = (self.width / 2.0, y);
            canvas.text(line, at, Font::TITLE, Align::Centre, INK);
            y += Font::TITLE.line();
        }
        for (panel, frame) in self.panels.iter().zip(&layout.frames) {
            match panel {
                Panel::Lines(lines) => lines.draw(canvas, frame, &layout.looks),
                Panel::Surface(surface) => surface.draw(canvas, frame, &layout.looks),
            }
        }
        layout.legend.draw(canvas, layout.legend_at);
        let mut y = layout.notes_top + Font::BODY.line() / 2.0;
        for line in &layout.note_lines {
            canvas.text(line, (MARGIN, y), Font::BODY, Align::Left, MUTED);
            y += Font::BODY.line();
        }
    }
}

impl Panel {
    fn outline(&self) -> Result<Outline, Error> {
        match self {
            Panel::Lines(lines) => lines.outline(),
            Panel::Surface(surface) => surface.outline(),
        }
    }

    fn notes(&self) -> Vec<String> {
        match self {
            Panel::Lines(lines) => lines.notes(),
            Panel::Surface(surface) => surface.notes(),
        }
    }

    fn names(&self) -> Vec<&str> {
        match self {
            Panel::Lines(lines) => lines.series.iter().map(|s| s.name.as_str()).collect(),
            Panel::Surface(surface) => {
                let paths = surface.trajectories.iter();
                paths.map(|path| path.name.as_str()).collect()
            }
        }
    }

    /// Whether the series of this name shows its marker.
    fn marks(&self, name: &str) -> bool {
        match self {
            Panel::Lines(lines) => lines
                .series
                .iter()
                .any(|series| series.name == name && series.markers != Markers::None),
            Panel::Surface(surface) => surface.trajectories.iter().any(|path| path.name == name),
        }
    }

    /// Whether every series of this name is drawn solid.
    fn solid(&self, name: &str) -> bool {
        match self {
            Panel::Lines(lines) => {
                lines.series.iter().all(|series| series.name != name || series.solid)
            }
            Panel::Surface(surface) => surface.trajectories.iter().all(|path| path.name != name),
        }
    }

    /// Whether there are paths whose direction the axes do not tell.
    fn travelled(&self) -> bool {
        matches!(self, Panel::Surface(surface) if !surface.trajectories.is_empty())
    }
}

impl From<Lines> for Panel {
    fn from(lines: Lines) -> Self {
        Panel::Lines(lines)
    }
}

impl From<Surface> for Panel {
    fn from(surface: Surface) -> Self {
        Panel::Surface(surface)
    }
}

/// The names of a figure's series in order of appearance, which decides their looks.
struct Looks(Vec<String>);

impl Looks {
    fn of(&self, name: &str) -> Look {
        let index = self.0.iter().position(|known| known == name).unwrap_or(0);
        Look::nth(index, self.0.len())
    }
}

/// Where everything goes.
struct Layout {
    height: f64,
    title: Vec<String>,
    frames: Vec<Frame>,
    looks: Looks,
    legend: Legend,
    legend_at: Rect,
    note_lines: Vec<String>,
    notes_top: f64,
    notes: Vec<String>,
}

fn failed(reason: impl ToString) -> Error {
    let reason = reason.to_string();
    Error::Backend { reason }
}

/// The document drawn in tenths of a point, sized in points and with its lines joined as the raster
/// joins them.
fn in_points(svg: &str, drawn: (u32, u32), size: (u32, u32)) -> String {
    let sized = |(width, height)| format!("<svg width=\"{width}\" height=\"{height}\"");
    let joined = format!("{} stroke-linejoin=\"round\"", sized(size));
    svg.replacen(&sized(drawn), &joined, 1)
}

#[cfg(test)]
mod tests;
