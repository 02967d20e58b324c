//! What surrounds the data of a panel: title, axes, grid, colour bar and caption.

use plotters_backend::BackendColor;

use super::axis::{Span, Tick};
use super::canvas::{Canvas, Page};
use super::geometry::{Point, Rect, larger};
use super::style::{FAINT, INK, contrast, surface_colour};
use super::text::{Align, Font};

const TICK: f64 = 5.0;
const TICK_GAP: f64 = 4.0;
const BAR_GAP: f64 = 14.0;
const BAR: f64 = 15.0;
const NARROWEST_PLOT: f64 = 60.0;

/// A labelled span.
#[derive(Clone, Debug)]
pub(super) struct Dimension {
    pub label: String,
    pub span: Span,
}

/// Everything about a panel that decides how much room its plot has.
#[derive(Clone, Debug)]
pub(super) struct Outline {
    pub title: String,
    pub x: Dimension,
    pub y: Dimension,
    /// The colour scale, for panels that have one.
    pub colour: Option<Dimension>,
    /// Text below the panel.
    pub caption: String,
}

/// A panel laid out around its plot rectangle.
#[derive(Debug)]
pub(super) struct Frame {
    outline: Outline,
    pub plot: Rect,
    cell: Rect,
    title: Vec<String>,
    caption: Vec<String>,
    x_label: Vec<String>,
    y_label: Vec<String>,
    bar_label: Vec<String>,
    x_ticks: Vec<Tick>,
    y_ticks: Vec<Tick>,
    bar_ticks: Vec<Tick>,
}

impl Frame {
    /// The panel in a cell of the given width around a plot of the given height, with its top edge
    /// at zero, or `None` if its labels leave the plot no room.
    pub fn new(outline: Outline, left: f64, width: f64, height: f64) -> Option<Self> {
        let body = Font::BODY;
        let upright = |span: &Span| span.ticks(height, |_| body.line());
        let wide = |ticks: &[Tick]| {
            let labels = ticks.iter().filter_map(|tick| tick.label.as_deref());
            labels.map(|label| body.width(label)).fold(0.0, larger)
        };
        let lines = |lines: &[String]| body.line() * lines.len() as f64;
        let y_ticks = upright(&outline.y.span);
        let y_label = body.wrap(&outline.y.label, height);
        let (mut bar_ticks, mut bar_label, mut right) = (Vec::new(), Vec::new(), 4.0);
        if let Some(colour) = &outline.colour {
            bar_ticks = upright(&colour.span);
            bar_label = body.wrap(&colour.label, height);
            right = BAR_GAP + BAR + TICK + TICK_GAP + wide(&bar_ticks) + 3.0 + lines(&bar_label);
        }
        let plot_left = left + lines(&y_label) + 3.0 + wide(&y_ticks) + TICK_GAP + TICK;
        let room = |right: f64| left + width - right - plot_left;
        let horizontal = |length| outline.x.span.ticks(length, |label| body.width(label));
        // The last label may stick out; the plot gives way to it.
        let length = room(right);
        let overhang = horizontal(length)
            .iter()
            .filter_map(|t| Some((t.place - 1.0) * length + body.width(t.label.as_deref()?) / 2.0))
            .fold(0.0, larger);
        let length = room(larger(right, overhang));
        if length < NARROWEST_PLOT {
            return None;
        }
        let title = Font::HEADING.wrap(&outline.title, width);
        let caption = body.wrap(&outline.caption, width);
        let x_label = body.wrap(&outline.x.label, width);
        let above = match title.len() {
            0 => 8.0,
            count => Font::HEADING.line() * count as f64 + 6.0,
        };
        let mut below = TICK + TICK_GAP + body.line() + lines(&x_label);
        if !caption.is_empty() {
            below += 6.0 + lines(&caption);
        }
        Some(Self {
            plot: Rect::new(plot_left, above, length, height),
            cell: Rect::new(left, 0.0, width, above + height + below),
            x_ticks: horizontal(length),
            outline,
            title,
            caption,
            x_label,
            y_label,
            bar_label,
            y_ticks,
            bar_ticks,
        })
    }

    /// Height of what stands above the plot.
    pub fn above(&self) -> f64 {
        self.plot.top - self.cell.top
    }

    /// Height of what stands below the plot.
    pub fn below(&self) -> f64 {
        self.cell.bottom - self.plot.bottom
    }

    /// Moves the frame down until its plot starts at `top`.
    pub fn lower_to(&mut self, top: f64) {
        let by = top - self.plot.top;
        for rect in [&mut self.plot, &mut self.cell] {
            rect.top += by;
            rect.bottom += by;
        }
    }

    /// Where a pair of values lies on the page.
    pub fn at(&self, x: f64, y: f64) -> Point {
        (
            self.plot.left + self.outline.x.span.place(x) * self.plot.width(),
            self.plot.bottom - self.outline.y.span.place(y) * self.plot.height(),
        )
    }

    /// The colour of a value that the colour scale can place; the ends stand for all beyond them.
    pub fn colour(&self, value: f64) -> BackendColor {
        let scale = self.outline.colour.as_ref();
        surface_colour(scale.map_or(0.0, |colour| colour.span.place(value)))
    }

    /// The labelled values of the colour bar.
    pub fn levels(&self) -> impl Iterator<Item = f64> {
        let labelled = self.bar_ticks.iter().filter(|tick| tick.label.is_some());
        labelled.map(|tick| tick.value)
    }

    /// What lies behind the data.
    pub fn draw_grid<P: Page>(&self, canvas: &mut Canvas<P>) {
        let plot = self.plot;
        for tick in self.x_ticks.iter().filter(|tick| tick.label.is_some()) {
            let x = plot.left + tick.place * plot.width();
            canvas.stroke(&[(x, plot.top), (x, plot.bottom)], 1.0, FAINT);
        }
        for tick in self.y_ticks.iter().filter(|tick| tick.label.is_some()) {
            let y = plot.bottom - tick.place * plot.height();
            canvas.stroke(&[(plot.left, y), (plot.right, y)], 1.0, FAINT);
        }
    }

    /// What lies around the data, and the frame.
    pub fn draw_axes<P: Page>(&self, canvas: &mut Canvas<P>) {
        let (plot, body) = (self.plot, Font::BODY);
        border(canvas, plot);
        for tick in &self.x_ticks {
            let x = plot.left + tick.place * plot.width();
            let end = plot.bottom + length(tick);
            canvas.stroke(&[(x, plot.bottom), (x, end)], 1.0, INK);
            if let Some(label) = &tick.label {
                let at = (x, plot.bottom + TICK + TICK_GAP + body.line() / 2.0);
                canvas.text(label, at, body, Align::Centre, INK);
            }
        }
        for tick in &self.y_ticks {
            let y = plot.bottom - tick.place * plot.height();
            canvas.stroke(&[(plot.left - length(tick), y), (plot.left, y)], 1.0, INK);
            if let Some(label) = &tick.label {
                let at = (plot.left - TICK - TICK_GAP, y);
                canvas.text(label, at, body, Align::Right, INK);
            }
        }
        let (middle_x, middle_y) = plot.centre();
        let mut y = plot.bottom + TICK + TICK_GAP + body.line() * 1.5;
        for line in &self.x_label {
            canvas.text(line, (middle_x, y), body, Align::Centre, INK);
            y += body.line();
        }
        y += 6.0;
        for line in &self.caption {
            canvas.text(line, (self.cell.left, y), body, Align::Left, INK);
            y += body.line();
        }
        let mut x = self.cell.left + body.line() / 2.0;
        for line in &self.y_label {
            canvas.upright(line, (x, middle_y), body, INK);
            x += body.line();
        }
        let mut y = plot.top - 6.0 - Font::HEADING.line() * (self.title.len() as f64 - 0.5);
        for line in &self.title {
            canvas.text(line, (plot.left, y), Font::HEADING, Align::Left, INK);
            y += Font::HEADING.line();
        }
        self.draw_bar(canvas);
    }

    fn draw_bar<P: Page>(&self, canvas: &mut Canvas<P>) {
        if self.outline.colour.is_none() {
            return;
        }
        let (plot, body) = (self.plot, Font::BODY);
        let bar = Rect::new(plot.right + BAR_GAP, plot.top, BAR, plot.height());
        let steps = 128;
        for i in 0..steps {
            // Each band reaches up to the top; the next one covers what is not its own. No seams
            // show.
            let low = bar.bottom - bar.height() * f64::from(i) / f64::from(steps);
            let band = Rect { bottom: low, ..bar };
            canvas.fill(band, surface_colour((f64::from(i) + 0.5) / f64::from(steps)));
        }
        for tick in &self.bar_ticks {
            let y = bar.bottom - tick.place * bar.height();
            canvas.stroke(&[(bar.right, y), (bar.right + length(tick), y)], 1.0, INK);
            if let Some(label) = &tick.label {
                let line = contrast(surface_colour(tick.place));
                canvas.stroke(&[(bar.left, y), (bar.right, y)], 1.0, line);
                let at = (bar.right + TICK + TICK_GAP, y);
                canvas.text(label, at, body, Align::Left, INK);
            }
        }
        border(canvas, bar);
        let count = self.bar_label.len() as f64;
        let mut x = self.cell.right - body.line() * (count - 0.5);
        for line in &self.bar_label {
            canvas.upright(line, (x, bar.centre().1), body, INK);
            x += body.line();
        }
    }
}

fn length(tick: &Tick) -> f64 {
    if tick.label.is_some() { TICK } else { 3.0 }
}

fn border<P: Page>(canvas: &mut Canvas<P>, rect: Rect) {
    let (left, right) = (rect.left, rect.right);
    let (top, bottom) = (rect.top, rect.bottom);
    let corners =
        [(left, top), (right, top), (right, bottom), (left, bottom), (left, top), (right, top)];
    canvas.stroke(&corners, 1.0, INK);
}
