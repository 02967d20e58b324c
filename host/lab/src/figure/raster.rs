//! An anti-aliased raster as a plotters drawing backend: the same calls that make the SVG make the
//! pixels.

use std::convert::Infallible;

use plotters_backend::text_anchor::HPos;
use plotters_backend::{
    BackendColor, BackendCoord, BackendStyle, BackendTextStyle, DrawingBackend, DrawingErrorKind,
    FontStyle, FontTransform,
};
use tiny_skia::{
    Color, FillRule, LineJoin, Paint, Path, PathBuilder, Pixmap, Rect, Stroke, Transform,
};
use ttf_parser::OutlineBuilder;

use super::text::{BASELINE, face};

type Drawn = Result<(), DrawingErrorKind<Infallible>>;

/// A white page; a backend coordinate is `zoom` pixels.
pub(super) struct Raster {
    page: Pixmap,
    zoom: f32,
}

impl Raster {
    /// A page of `width` by `height` pixels, or `None` if there is no such page.
    pub fn new(width: u32, height: u32, zoom: f32) -> Option<Self> {
        let mut page = Pixmap::new(width, height)?;
        page.fill(Color::WHITE);
        Some(Self { page, zoom })
    }

    /// The page as a PNG file.
    pub fn encode(&self) -> Result<Vec<u8>, impl std::fmt::Display + use<>> {
        self.page.encode_png()
    }

    fn zoomed(&self) -> Transform {
        Transform::from_scale(self.zoom, self.zoom)
    }

    fn fill(&mut self, path: Option<Path>, colour: BackendColor, transform: Transform) -> Drawn {
        if let Some(path) = path {
            let paint = paint(colour);
            self.page.fill_path(&path, &paint, FillRule::Winding, transform, None);
        }
        Ok(())
    }

    fn stroke<S: BackendStyle>(&mut self, path: Option<Path>, style: &S) -> Drawn {
        let stroke = Stroke {
            width: style.stroke_width() as f32,
            line_join: LineJoin::Round,
            ..Stroke::default()
        };
        if let Some(path) = path {
            let (paint, transform) = (paint(style.color()), self.zoomed());
            self.page.stroke_path(&path, &paint, &stroke, transform, None);
        }
        Ok(())
    }
}

impl DrawingBackend for Raster {
    type ErrorType = Infallible;

    fn get_size(&self) -> (u32, u32) {
        let size = |pixels: u32| (pixels as f32 / self.zoom) as u32;
        (size(self.page.width()), size(self.page.height()))
    }

    fn ensure_prepared(&mut self) -> Drawn {
        Ok(())
    }

    fn present(&mut self) -> Drawn {
        Ok(())
    }

    fn draw_pixel(&mut self, (x, y): BackendCoord, colour: BackendColor) -> Drawn {
        let dot = rectangle((x, y), (x + 1, y + 1));
        self.fill(dot, colour, self.zoomed())
    }

    fn draw_line<S: BackendStyle>(
        &mut self,
        from: BackendCoord,
        to: BackendCoord,
        style: &S,
    ) -> Drawn {
        self.stroke(polyline([from, to], false), style)
    }

    fn draw_rect<S: BackendStyle>(
        &mut self,
        upper_left: BackendCoord,
        bottom_right: BackendCoord,
        style: &S,
        fill: bool,
    ) -> Drawn {
        let path = rectangle(upper_left, bottom_right);
        if fill { self.fill(path, style.color(), self.zoomed()) } else { self.stroke(path, style) }
    }

    fn draw_path<S: BackendStyle, I: IntoIterator<Item = BackendCoord>>(
        &mut self,
        path: I,
        style: &S,
    ) -> Drawn {
        self.stroke(polyline(path, false), style)
    }

    fn draw_circle<S: BackendStyle>(
        &mut self,
        (x, y): BackendCoord,
        radius: u32,
        style: &S,
        fill: bool,
    ) -> Drawn {
        let path = PathBuilder::from_circle(x as f32, y as f32, radius as f32);
        if fill { self.fill(path, style.color(), self.zoomed()) } else { self.stroke(path, style) }
    }

    fn fill_polygon<S: BackendStyle, I: IntoIterator<Item = BackendCoord>>(
        &mut self,
        corners: I,
        style: &S,
    ) -> Drawn {
        self.fill(polyline(corners, true), style.color(), self.zoomed())
    }

    fn draw_text<S: BackendTextStyle>(
        &mut self,
        text: &str,
        style: &S,
        (x, y): BackendCoord,
    ) -> Drawn {
        let face = face(matches!(style.style(), FontStyle::Bold));
        let mut outline = Outline::default();
        for c in text.chars() {
            let glyph = face.glyph_index(c).unwrap_or_default();
            face.outline_glyph(glyph, &mut outline);
            outline.pen += f32::from(face.glyph_hor_advance(glyph).unwrap_or_default());
        }
        let start = match style.anchor().h_pos {
            HPos::Left => 0.0,
            HPos::Center => -outline.pen / 2.0,
            HPos::Right => -outline.pen,
        };
        let turn = match style.transform() {
            FontTransform::None => 0.0,
            FontTransform::Rotate90 => 90.0,
            FontTransform::Rotate180 => 180.0,
            FontTransform::Rotate270 => 270.0,
        };
        let em = (style.size() / 1.24) as f32;
        let unit = em / f32::from(face.units_per_em());
        // Innermost first: font units with y upwards, the baseline below the line's middle, the
        // turn, the place.
        let transform = Transform::from_translate(start, 0.0)
            .post_scale(unit, -unit)
            .post_translate(0.0, BASELINE as f32 * em)
            .post_concat(Transform::from_rotate(turn))
            .post_translate(x as f32, y as f32)
            .post_scale(self.zoom, self.zoom);
        self.fill(outline.path.finish(), style.color(), transform)
    }
}

fn paint(colour: BackendColor) -> Paint<'static> {
    let (r, g, b) = colour.rgb;
    let mut paint = Paint { anti_alias: true, ..Paint::default() };
    paint.set_color_rgba8(r, g, b, (colour.alpha * 255.0).round() as u8);
    paint
}

fn rectangle(upper_left: BackendCoord, bottom_right: BackendCoord) -> Option<Path> {
    Rect::from_ltrb(
        upper_left.0 as f32,
        upper_left.1 as f32,
        bottom_right.0 as f32,
        bottom_right.1 as f32,
    )
    .map(PathBuilder::from_rect)
}

fn polyline(points: impl IntoIterator<Item = BackendCoord>, close: bool) -> Option<Path> {
    let mut path = PathBuilder::new();
    for (i, (x, y)) in points.into_iter().enumerate() {
        match i {
            0 => path.move_to(x as f32, y as f32),
            _ => path.line_to(x as f32, y as f32),
        }
    }
    if close {
        path.close();
    }
    path.finish()
}

/// Glyph outlines set one after another on a baseline, in font units.
#[derive(Default)]
struct Outline {
    path: PathBuilder,
    pen: f32,
}

impl OutlineBuilder for Outline {
    fn move_to(&mut self, x: f32, y: f32) {
        self.path.move_to(self.pen + x, y);
    }

    fn line_to(&mut self, x: f32, y: f32) {
        self.path.line_to(self.pen + x, y);
    }

    fn quad_to(&mut self, x1: f32, y1: f32, x: f32, y: f32) {
        self.path.quad_to(self.pen + x1, y1, self.pen + x, y);
    }

    fn curve_to(&mut self, x1: f32, y1: f32, x2: f32, y2: f32, x: f32, y: f32) {
        let pen = self.pen;
        self.path.cubic_to(pen + x1, y1, pen + x2, y2, pen + x, y);
    }

    fn close(&mut self) {
        self.path.close();
    }
}
