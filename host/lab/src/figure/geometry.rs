//! Points, rectangles and clipping, in points (1/72 inch at print size, one pixel at 1x) with y
//! downwards.

/// A position on the page.
pub(super) type Point = (f64, f64);

/// An axis-parallel rectangle, `left <= right` and `top <= bottom`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Rect {
    pub left: f64,
    pub top: f64,
    pub right: f64,
    pub bottom: f64,
}

impl Rect {
    /// The rectangle at `(left, top)` with the given size.
    pub fn new(left: f64, top: f64, width: f64, height: f64) -> Self {
        Self { left, top, right: left + width, bottom: top + height }
    }

    pub fn width(&self) -> f64 {
        self.right - self.left
    }

    pub fn height(&self) -> f64 {
        self.bottom - self.top
    }

    pub fn centre(&self) -> Point {
        (self.left + self.width() / 2.0, self.top + self.height() / 2.0)
    }

    /// Whether the point lies in the rectangle or on its edge.
    pub fn contains(&self, (x, y): Point) -> bool {
        self.left <= x && x <= self.right && self.top <= y && y <= self.bottom
    }

    /// Whether the interiors meet.
    #[cfg(test)]
    pub fn overlaps(&self, other: &Rect) -> bool {
        self.left < other.right
            && other.left < self.right
            && self.top < other.bottom
            && other.top < self.bottom
    }

    /// The part of the segment from `a` to `b` that lies in the rectangle (Liang–Barsky), if any.
    pub fn clip(&self, a: Point, b: Point) -> Option<(Point, Point)> {
        let (dx, dy) = (b.0 - a.0, b.1 - a.1);
        let (mut enter, mut leave) = (0.0, 1.0);
        for (step, room) in [
            (-dx, a.0 - self.left),
            (dx, self.right - a.0),
            (-dy, a.1 - self.top),
            (dy, self.bottom - a.1),
        ] {
            if step == 0.0 {
                if room < 0.0 {
                    return None;
                }
            } else if step < 0.0 {
                enter = larger(enter, room / step);
            } else {
                leave = smaller(leave, room / step);
            }
        }
        let at = |t: f64| (a.0 + t * dx, a.1 + t * dy);
        (enter <= leave).then(|| {
            (if enter > 0.0 { at(enter) } else { a }, if leave < 1.0 { at(leave) } else { b })
        })
    }

    /// The parts of the polyline that lie in the rectangle.
    pub fn clip_polyline(&self, line: &[Point]) -> Vec<Vec<Point>> {
        let mut parts: Vec<Vec<Point>> = Vec::new();
        for pair in line.windows(2) {
            let Some((a, b)) = self.clip(pair[0], pair[1]) else {
                continue;
            };
            match parts.last_mut() {
                Some(part) if part.last() == Some(&a) => part.push(b),
                _ => parts.push(vec![a, b]),
            }
        }
        parts
    }
}

/// The larger of two ordered numbers.
pub(super) fn larger(a: f64, b: f64) -> f64 {
    if a > b { a } else { b }
}

/// The smaller of two ordered numbers.
pub(super) fn smaller(a: f64, b: f64) -> f64 {
    if a < b { a } else { b }
}

/// The pieces of a polyline under a dash pattern of alternating drawn and blank lengths; an empty
/// pattern is solid.
pub(super) fn dashes(line: &[Point], pattern: &[f64]) -> Vec<Vec<Point>> {
    if pattern.is_empty() {
        return vec![line.to_vec()];
    }
    let mut pieces = Vec::new();
    let (mut phase, mut left) = (0, pattern[0]);
    let mut piece: Vec<Point> = line.first().copied().into_iter().collect();
    for pair in line.windows(2) {
        let (mut from, to) = (pair[0], pair[1]);
        loop {
            let (dx, dy) = (to.0 - from.0, to.1 - from.1);
            let length = libm::sqrt(dx * dx + dy * dy);
            let drawn = phase % 2 == 0;
            if length < left {
                left -= length;
                if drawn {
                    piece.push(to);
                }
                break;
            }
            from = (from.0 + dx * left / length, from.1 + dy * left / length);
            if drawn {
                piece.push(from);
                pieces.push(std::mem::take(&mut piece));
            } else {
                piece = vec![from];
            }
            phase = (phase + 1) % pattern.len();
            left = pattern[phase];
        }
    }
    if piece.len() > 1 {
        pieces.push(piece);
    }
    pieces
}

/// The lowest and highest of the finite numbers given.
pub(super) fn extent(values: impl IntoIterator<Item = f64>) -> Option<(f64, f64)> {
    values.into_iter().filter(|v| v.is_finite()).fold(None, |range, v| match range {
        None => Some((v, v)),
        Some((low, high)) => Some((smaller(low, v), larger(high, v))),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const UNIT: Rect = Rect { left: 0.0, top: 0.0, right: 1.0, bottom: 1.0 };

    #[test]
    fn a_line_is_cut_at_the_edges_and_joined_inside() {
        let parts = UNIT.clip_polyline(&[(-1.0, 0.5), (0.5, 0.5), (0.5, 2.0), (3.0, 2.0)]);
        assert_eq!(parts, vec![vec![(0.0, 0.5), (0.5, 0.5), (0.5, 1.0)]]);
        assert_eq!(UNIT.clip((2.0, -1.0), (2.0, 3.0)), None);
    }

    #[test]
    fn dashes_turn_corners() {
        let pieces = dashes(&[(0.0, 0.0), (3.0, 0.0), (3.0, 3.0)], &[4.0, 1.0]);
        assert_eq!(
            pieces,
            vec![vec![(0.0, 0.0), (3.0, 0.0), (3.0, 1.0)], vec![(3.0, 2.0), (3.0, 3.0)]]
        );
    }

    #[test]
    fn extent_passes_over_what_is_not_finite() {
        assert_eq!(extent([f64::NAN, 2.0, f64::INFINITY, -1.0]), Some((-1.0, 2.0)));
        assert_eq!(extent([f64::NAN]), None);
    }
}
