//! Drawing in points on any plotters backend.

use plotters_backend::{
    BackendColor, BackendCoord, BackendStyle, DrawingBackend, DrawingErrorKind,
};

use super::geometry::{Point, Rect, dashes};
use super::text::{Align, Font, Style, drawable};

/// Backend units per point: backends take whole numbers, and a tenth of a point is finer than the
/// eye.
pub(super) const SCALE: f64 = 10.0;

/// Any plotters backend.
pub(super) trait Page: DrawingBackend {}
impl<B: DrawingBackend> Page for B {}

/// A backend with the drawing calls the figures need; remembers the first failure, so that drawing
/// code reads plainly.
pub(super) struct Canvas<P: Page> {
    page: P,
    failure: Option<String>,
}

impl<P: Page> Canvas<P> {
    pub fn new(page: P) -> Self {
        Self { page, failure: None }
    }

    /// Presents the page and gives it back, or says what went wrong first.
    pub fn finish(mut self) -> Result<P, String> {
        let presented = self.page.present();
        self.note(presented);
        match self.failure {
            None => Ok(self.page),
            Some(failure) => Err(failure),
        }
    }

    pub fn fill(&mut self, rect: Rect, colour: BackendColor) {
        let drawn = self.page.draw_rect(
            units((rect.left, rect.top)),
            units((rect.right, rect.bottom)),
            &colour,
            true,
        );
        self.note(drawn);
    }

    pub fn stroke(&mut self, line: &[Point], width: f64, colour: BackendColor) {
        let mut line: Vec<BackendCoord> = line.iter().copied().map(units).collect();
        line.dedup();
        if line.len() < 2 {
            return;
        }
        let pen = Pen { colour, width: (width * SCALE) as u32 };
        let drawn = self.page.draw_path(line, &pen);
        self.note(drawn);
    }

    pub fn dashed(&mut self, line: &[Point], pattern: &[f64], width: f64, colour: BackendColor) {
        for piece in dashes(line, pattern) {
            self.stroke(&piece, width, colour);
        }
    }

    pub fn polygon(&mut self, corners: &[Point], colour: BackendColor) {
        let drawn = self.page.fill_polygon(corners.iter().copied().map(units), &colour);
        self.note(drawn);
    }

    pub fn disc(&mut self, centre: Point, radius: f64, colour: BackendColor) {
        let drawn = self.page.draw_circle(units(centre), (radius * SCALE) as u32, &colour, true);
        self.note(drawn);
    }

    /// One line of text, vertically centred on `at`.
    pub fn text(&mut self, text: &str, at: Point, font: Font, align: Align, colour: BackendColor) {
        self.set(text, at, font, align, colour, false);
    }

    /// One line of text read from bottom to top, centred on `at`.
    pub fn upright(&mut self, text: &str, at: Point, font: Font, colour: BackendColor) {
        self.set(text, at, font, Align::Centre, colour, true);
    }

    fn set(
        &mut self,
        text: &str,
        at: Point,
        font: Font,
        align: Align,
        colour: BackendColor,
        upright: bool,
    ) {
        let style = Style { font, scale: SCALE, colour, align, upright };
        let drawn = self.page.draw_text(&drawable(text, font.bold), &style, units(at));
        self.note(drawn);
    }

    fn note(&mut self, drawn: Result<(), DrawingErrorKind<P::ErrorType>>) {
        if let (Err(error), None) = (drawn, &self.failure) {
            self.failure = Some(error.to_string());
        }
    }
}

fn units((x, y): Point) -> BackendCoord {
    ((x * SCALE).round() as i32, (y * SCALE).round() as i32)
}

struct Pen {
    colour: BackendColor,
    width: u32,
}

impl BackendStyle for Pen {
    fn color(&self) -> BackendColor {
        self.colour
    }

    fn stroke_width(&self) -> u32 {
        self.width
    }
}
