//! How series are told apart: by colour, by dash pattern and by marker, so that any one of the
//! three is enough.

use plotters_backend::BackendColor;

use super::canvas::{Canvas, Page};
use super::geometry::{Point, Rect};

pub(super) const INK: BackendColor = grey(40);
pub(super) const FAINT: BackendColor = grey(228);
pub(super) const MUTED: BackendColor = grey(110);
pub(super) const WHITE: BackendColor = grey(255);
pub(super) const DIVERGED: BackendColor = grey(205);

const fn grey(level: u8) -> BackendColor {
    BackendColor { alpha: 1.0, rgb: (level, level, level) }
}

/// Dash patterns in points, drawn and blank in turn; the first is solid.
const DASHES: [&[f64]; 6] = [
    &[],
    &[9.0, 3.0],
    &[2.5, 2.5],
    &[9.0, 3.0, 2.5, 3.0],
    &[16.0, 4.0],
    &[9.0, 3.0, 2.5, 3.0, 2.5, 3.0],
];

/// The dash pattern of reference lines.
pub(super) const REFERENCE_DASH: &[f64] = &[4.0, 3.0];

/// The look of one series.
#[derive(Clone, Copy)]
pub(super) struct Look {
    pub colour: BackendColor,
    pub dash: &'static [f64],
    pub marker: Marker,
}

impl Look {
    /// The look of the series of this index among `count`: plasma from dark to light, so that order
    /// survives greyscale.
    pub fn nth(index: usize, count: usize) -> Self {
        // The palest quarter of plasma is too light to read on white.
        let place = if count > 1 { 0.78 * index as f64 / (count - 1) as f64 } else { 0.0 };
        Self {
            colour: opaque(colorous::PLASMA.eval_continuous(place)),
            dash: DASHES[index % DASHES.len()],
            marker: Marker::ALL[index % Marker::ALL.len()],
        }
    }
}

/// The colour of a surface at `place` from 0 (lowest) to 1 (highest): viridis.
pub(super) fn surface_colour(place: f64) -> BackendColor {
    opaque(colorous::VIRIDIS.eval_continuous(place))
}

/// White on dark colours, near-black on light ones.
pub(super) fn contrast(colour: BackendColor) -> BackendColor {
    if luminance(colour) < 0.5 { WHITE } else { INK }
}

/// Rec. 601 luma, from 0 (black) to 1 (white).
pub(super) fn luminance(colour: BackendColor) -> f64 {
    let (r, g, b) = colour.rgb;
    (0.299 * f64::from(r) + 0.587 * f64::from(g) + 0.114 * f64::from(b)) / 255.0
}

fn opaque(colour: colorous::Color) -> BackendColor {
    BackendColor { alpha: 1.0, rgb: colour.as_tuple() }
}

/// The shape that marks a point.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Marker {
    Circle,
    Square,
    Triangle,
    Diamond,
    Wedge,
    Star,
}

impl Marker {
    const ALL: [Marker; 6] = [
        Marker::Circle,
        Marker::Square,
        Marker::Triangle,
        Marker::Diamond,
        Marker::Wedge,
        Marker::Star,
    ];

    /// Draws the shape about `at` in `fill` with an outline, about `radius` points from the centre
    /// to its edge.
    pub fn draw<P: Page>(
        self,
        canvas: &mut Canvas<P>,
        at: Point,
        radius: f64,
        fill: BackendColor,
        outline: BackendColor,
    ) {
        if self == Marker::Circle {
            canvas.disc(at, radius + 0.6, outline);
            canvas.disc(at, radius - 0.6, fill);
            return;
        }
        let (from, corners): (f64, &[f64]) = match self {
            Marker::Square => (45.0, &[1.25; 4]),
            Marker::Diamond => (0.0, &[1.35; 4]),
            Marker::Triangle => (-90.0, &[1.4; 3]),
            Marker::Wedge => (90.0, &[1.4; 3]),
            Marker::Star | Marker::Circle => {
                (-90.0, &[1.6, 0.7, 1.6, 0.7, 1.6, 0.7, 1.6, 0.7, 1.6, 0.7])
            }
        };
        let shape: Vec<Point> = corners
            .iter()
            .enumerate()
            .map(|(i, reach)| {
                let turn = from + 360.0 * i as f64 / corners.len() as f64;
                let (sin, cos) = libm::sincos(turn.to_radians());
                (at.0 + reach * radius * cos, at.1 + reach * radius * sin)
            })
            .collect();
        canvas.polygon(&shape, fill);
        let around = [&shape[..], &shape[..2]].concat();
        canvas.stroke(&around, 1.2, outline);
    }
}

/// A grey field with diagonal lines that run on from one field to the next.
pub(super) fn hatch<P: Page>(canvas: &mut Canvas<P>, rect: Rect) {
    const STEP: f64 = 7.0;
    canvas.fill(rect, DIVERGED);
    let reach = rect.height();
    let mut foot = ((rect.left + rect.top) / STEP).ceil() * STEP;
    while foot < rect.right + rect.bottom {
        // Points of the line x + y = foot.
        let line = ((foot - rect.top, rect.top), (foot - rect.top - reach, rect.bottom));
        if let Some((a, b)) = rect.clip(line.0, line.1) {
            canvas.stroke(&[a, b], 1.0, MUTED);
        }
        foot += STEP;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn series_colours_and_surface_colours_grow_lighter_all_the_way() {
        for count in 2..=10 {
            let light: Vec<f64> =
                (0..count).map(|i| luminance(Look::nth(i, count).colour)).collect();
            assert!(light.windows(2).all(|pair| pair[0] < pair[1]), "{light:?}");
            assert!(light[count - 1] < 0.75, "too pale on white: {light:?}");
        }
        let light: Vec<f64> =
            (0..=50).map(|i| luminance(surface_colour(f64::from(i) / 50.0))).collect();
        assert!(light.windows(2).all(|pair| pair[0] < pair[1]), "{light:?}");
    }

    #[test]
    fn eight_series_differ_in_dash_or_marker_as_well_as_in_colour() {
        for i in 0..6 {
            for j in 0..i {
                let (a, b) = (Look::nth(i, 8), Look::nth(j, 8));
                assert!(a.dash != b.dash && a.marker != b.marker, "{i} and {j}");
            }
        }
    }
}
