//! The key below the panels: what each line, marker and hatching stands for.

use super::canvas::{Canvas, Page};
use super::geometry::{Point, Rect};
use super::style::{INK, Look, Marker, WHITE, hatch};
use super::text::{Align, Font};

const SAMPLE: f64 = 36.0;
const GAP: f64 = 24.0;
const ROW: f64 = 21.0;

/// What an entry shows beside its name.
#[derive(Clone, Copy)]
pub(super) enum Sample {
    /// A series or trajectory, with its marker if it has one in the figure.
    Line { look: Look, marked: bool, solid: bool },
    /// A diverged cell or sample.
    Diverged,
    /// The start of a trajectory.
    Start,
    /// The end of a trajectory.
    End,
    /// The best point of a surface.
    Best,
}

/// One line of the key.
#[derive(Clone)]
pub(super) struct Entry {
    pub sample: Sample,
    pub name: String,
}

/// The key laid out in centred rows of a given width.
pub(super) struct Legend {
    /// Each entry with its left edge and its row.
    entries: Vec<(Entry, f64, usize)>,
    rows: usize,
}

impl Legend {
    /// The entries in rows no wider than `width`; an entry that is wider on its own is cut short.
    pub fn new(entries: Vec<Entry>, width: f64) -> Self {
        let mut rows: Vec<(Vec<(Entry, f64)>, f64)> = Vec::new();
        for mut entry in entries {
            entry.name = Font::BODY.shorten(&entry.name, width - SAMPLE - 6.0);
            let wide = SAMPLE + 6.0 + Font::BODY.width(&entry.name);
            match rows.last_mut() {
                Some((row, end)) if *end + GAP + wide <= width => {
                    row.push((entry, *end + GAP));
                    *end += GAP + wide;
                }
                _ => rows.push((vec![(entry, 0.0)], wide)),
            }
        }
        let count = rows.len();
        let entries = rows
            .into_iter()
            .enumerate()
            .flat_map(|(i, (row, end))| {
                row.into_iter().map(move |(entry, left)| (entry, left + (width - end) / 2.0, i))
            })
            .collect();
        Self { entries, rows: count }
    }

    /// Height in points; an empty key takes no room.
    pub fn height(&self) -> f64 {
        ROW * self.rows as f64
    }

    pub fn draw<P: Page>(&self, canvas: &mut Canvas<P>, at: Rect) {
        for (entry, left, row) in &self.entries {
            let middle = at.top + ROW * (*row as f64 + 0.5);
            let start = at.left + left;
            entry.sample.draw(canvas, (start, middle));
            let text = (start + SAMPLE + 6.0, middle);
            canvas.text(&entry.name, text, Font::BODY, Align::Left, INK);
        }
    }
}

impl Sample {
    fn draw<P: Page>(self, canvas: &mut Canvas<P>, (left, y): Point) {
        let line = [(left, y), (left + SAMPLE, y)];
        let centre = (left + SAMPLE - 8.0, y);
        match self {
            Sample::Line { look, marked, solid } => {
                let dash = if solid { &[] } else { look.dash };
                canvas.dashed(&line, dash, 2.2, look.colour);
                if marked {
                    let middle = (left + SAMPLE / 2.0, y);
                    look.marker.draw(canvas, middle, 4.0, look.colour, look.colour);
                }
            }
            Sample::Diverged => {
                hatch(canvas, Rect::new(left + SAMPLE - 22.0, y - 7.0, 22.0, 14.0));
            }
            Sample::Start => Marker::Circle.draw(canvas, centre, 5.0, WHITE, INK),
            Sample::End => Marker::Circle.draw(canvas, centre, 5.0, INK, WHITE),
            Sample::Best => Marker::Star.draw(canvas, centre, 5.5, WHITE, INK),
        }
    }
}
