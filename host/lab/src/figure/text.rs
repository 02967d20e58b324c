//! The figure's typeface: measuring, wrapping and the style handed to a drawing backend.

use std::borrow::Cow;
use std::sync::LazyLock;

use plotters_backend::text_anchor::{HPos, Pos, VPos};
use plotters_backend::{
    BackendColor, BackendCoord, BackendTextStyle, FontFamily, FontStyle, FontTransform,
};
use ttf_parser::Face;

use crate::shown;

/// DejaVu Sans is what the raster is set in; Verdana has the same widths where a viewer lacks it.
const FAMILY: &str = "DejaVu Sans, Verdana, sans-serif";

/// How far below the middle of a line of text its baseline lies, in ems: half the height of a
/// lower-case x.
pub(super) const BASELINE: f64 = 0.27;

static REGULAR: LazyLock<Face<'static>> = LazyLock::new(|| {
    Face::parse(dejavu::sans::regular(), 0).expect("the built-in typeface is well formed")
});
static BOLD: LazyLock<Face<'static>> = LazyLock::new(|| {
    Face::parse(dejavu::sans::bold(), 0).expect("the built-in typeface is well formed")
});

/// The typeface of a weight.
pub(super) fn face(bold: bool) -> &'static Face<'static> {
    if bold { &BOLD } else { &REGULAR }
}

/// Size and weight of a piece of text.
#[derive(Clone, Copy, Debug)]
pub(super) struct Font {
    /// Em size in points.
    pub size: f64,
    pub bold: bool,
}

impl Font {
    pub const BODY: Font = Font { size: 13.0, bold: false };
    pub const HEADING: Font = Font { size: 14.0, bold: true };
    pub const TITLE: Font = Font { size: 17.0, bold: true };

    /// Height of one line with its leading, in points.
    pub fn line(self) -> f64 {
        self.size * 1.35
    }

    /// Width of the text in points.
    pub fn width(self, text: &str) -> f64 {
        let face = face(self.bold);
        let text = drawable(text, self.bold);
        let units = text.chars().map(|c| advance(face, c)).fold(0, |a: u32, b| a + b);
        f64::from(units) * self.size / f64::from(face.units_per_em())
    }

    /// The text broken at spaces (not at no-break spaces) into lines no wider than `width`; a
    /// single word that is wider is cut short with "…".
    pub fn wrap(self, text: &str, width: f64) -> Vec<String> {
        let mut lines: Vec<String> = Vec::new();
        for word in text.split([' ', '\n']).filter(|word| !word.is_empty()) {
            match lines.last_mut() {
                Some(line) if self.width(line) + self.width(" ") + self.width(word) <= width => {
                    line.push(' ');
                    line.push_str(&drawable(word, self.bold));
                }
                _ => lines.push(self.shorten(word, width)),
            }
        }
        lines
    }

    /// The text, cut short with "…" if it is wider than `width`.
    pub fn shorten(self, text: &str, width: f64) -> String {
        let mut short = drawable(text, self.bold).into_owned();
        if self.width(&short) <= width {
            return short;
        }
        while short.pop().is_some() {
            let cut = format!("{}…", short.trim_end());
            if self.width(&cut) <= width {
                return cut;
            }
        }
        short
    }
}

/// The text with an escape, such as `\u{6f22}`, for each character that the typeface lacks or that
/// is not to be seen.
pub(super) fn drawable(text: &str, bold: bool) -> Cow<'_, str> {
    let face = face(bold);
    let lacking = |c: char| face.glyph_index(c).is_none();
    let escaped = shown::escaped(text);
    if !escaped.contains(lacking) {
        return escaped;
    }
    let mut drawable = String::with_capacity(escaped.len() + 16);
    for c in escaped.chars() {
        if lacking(c) { drawable.extend(c.escape_unicode()) } else { drawable.push(c) }
    }
    Cow::Owned(drawable)
}

fn advance(face: &Face<'_>, c: char) -> u32 {
    let glyph = face.glyph_index(c).unwrap_or_default();
    face.glyph_hor_advance(glyph).unwrap_or_default().into()
}

/// Which end of the text its position names.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Align {
    Left,
    Centre,
    Right,
}

/// A text style as a drawing backend takes it, already in the backend's units.
pub(super) struct Style {
    pub font: Font,
    pub scale: f64,
    pub colour: BackendColor,
    pub align: Align,
    /// Read from bottom to top.
    pub upright: bool,
}

/// A backend asked for the pixels of a text instead of drawing its outlines.
#[derive(Debug, thiserror::Error)]
#[error("figures are drawn on backends that set text themselves")]
pub(super) struct NoPixelText;

impl BackendTextStyle for Style {
    type FontError = NoPixelText;

    fn color(&self) -> BackendColor {
        self.colour
    }

    // Backends of this family take the height of a line and divide by 1.24 to find the em.
    fn size(&self) -> f64 {
        self.font.size * self.scale * 1.24
    }

    fn transform(&self) -> FontTransform {
        if self.upright { FontTransform::Rotate270 } else { FontTransform::None }
    }

    fn style(&self) -> FontStyle {
        if self.font.bold { FontStyle::Bold } else { FontStyle::Normal }
    }

    fn anchor(&self) -> Pos {
        let horizontal = match self.align {
            Align::Left => HPos::Left,
            Align::Centre => HPos::Center,
            Align::Right => HPos::Right,
        };
        Pos::new(horizontal, VPos::Center)
    }

    fn family(&self) -> FontFamily<'_> {
        FontFamily::Name(FAMILY)
    }

    fn layout_box(&self, text: &str) -> Result<((i32, i32), (i32, i32)), NoPixelText> {
        let size = (self.font.width(text) * self.scale, self.font.size * self.scale);
        Ok(((0, 0), (size.0 as i32, size.1 as i32)))
    }

    fn draw<E, F: FnMut(i32, i32, BackendColor) -> Result<(), E>>(
        &self,
        _text: &str,
        _position: BackendCoord,
        _draw: F,
    ) -> Result<Result<(), E>, NoPixelText> {
        Err(NoPixelText)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_sign_the_figures_use_is_in_the_typeface() {
        for c in "0123456789,.−×⁻⁰¹²³⁴⁵⁶⁷⁸⁹αβμλθασ₀₁₂≤≥…–=★° ".chars()
        {
            for bold in [false, true] {
                assert!(face(bold).glyph_index(c).is_some(), "{c:?}, bold {bold}");
            }
        }
    }

    #[test]
    fn wrapped_lines_fit_and_lose_no_word() {
        let text = "the loss that each horizon's schedule reaches on the longest horizon";
        let lines = Font::BODY.wrap(text, 120.0);
        assert!(lines.len() > 2);
        assert!(lines.iter().all(|line| Font::BODY.width(line) <= 120.0));
        assert_eq!(lines.join(" "), text);
    }

    #[test]
    fn a_word_that_cannot_fit_is_cut_short() {
        let cut = Font::BODY.shorten("incomprehensibilities", 60.0);
        assert!(cut.ends_with('…') && Font::BODY.width(&cut) <= 60.0, "{cut}");
    }

    #[test]
    fn what_the_typeface_lacks_is_written_as_an_escape_and_takes_its_room() {
        assert_eq!(drawable("schedule 漢", false), r"schedule \u{6f22}");
        assert_eq!(drawable("a\u{1b}[31m\tb\u{202e}", true), r"a\u{1b}[31m\tb\u{202e}");
        assert_eq!(drawable("α₀ = 10⁻³", false), "α₀ = 10⁻³");
        assert_eq!(Font::BODY.width("漢"), Font::BODY.width(r"\u{6f22}"));
        assert_eq!(Font::BODY.wrap("一 二", 1e3), [r"\u{4e00} \u{4e8c}"]);
    }
}
