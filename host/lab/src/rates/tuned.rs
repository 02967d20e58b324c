//! The lowest point of a hyperparameter's losses on a grid.

use myopia_core::elementary::{Elementary, Libm};

/// What a horizon chooses on a grid.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tuned {
    /// The value: the vertex of the parabola of ln loss over ln value through the lowest point and
    /// its neighbours, or that point itself where a neighbour is missing.
    pub value: f64,
    /// The value of the grid with the lowest loss, the least of several.
    pub grid_value: f64,
    /// Its loss.
    pub grid_loss: f64,
    /// Whether that is the first or the last value of the grid: the optimum may lie beyond.
    pub at_edge: bool,
    /// How many times the least value of the grid is the greatest, of those whose losses are within
    /// `ALIKE` of the lowest: how little the horizon cares.
    pub slack: f64,
}

/// By what share of the lowest loss others may lie above it that are called as good.
pub const ALIKE: f64 = 0.01;

/// What is chosen among `points`, values in ascending order, each `spacing` times the one before,
/// with their losses; nothing where every training diverged.
pub fn tuned(points: &[(f64, Option<f64>)], spacing: f64) -> Option<Tuned> {
    let losses = points.iter().enumerate().filter_map(|(at, &(_, loss))| Some((at, loss?)));
    let (at, grid_loss) = losses.reduce(|a, b| if b.1 < a.1 { b } else { a })?;
    let grid_value = points[at].0;
    let beside = |at: Option<usize>| at.and_then(|at| points.get(at)?.1);
    let at_edge = at == 0 || at + 1 == points.len();
    let offset = match (beside(at.checked_sub(1)), beside(at.checked_add(1))) {
        (Some(below), Some(above)) => vertex([below, grid_loss, above]),
        _ => 0.0,
    };
    let step = <Libm as Elementary<f64>>::ln(spacing);
    let value = grid_value * <Libm as Elementary<f64>>::exp(offset * step);
    let good = |&&(_, loss): &&(f64, Option<f64>)| {
        loss.is_some_and(|loss| loss <= (1.0 + ALIKE) * grid_loss)
    };
    let least = points.iter().find(good).map_or(grid_value, |point| point.0);
    let greatest = points.iter().rfind(good).map_or(grid_value, |point| point.0);
    Some(Tuned { value, grid_value, grid_loss, at_edge, slack: greatest / least })
}

/// Where the parabola through the logarithms of three losses, the middle one the lowest, has its
/// vertex, in steps of the grid from the middle: −½ to ½.
fn vertex(losses: [f64; 3]) -> f64 {
    let [below, lowest, above] = losses.map(<Libm as Elementary<f64>>::ln);
    let (fall, rise) = (below - lowest, above - lowest);
    let offset = 0.5 * (fall - rise) / (fall + rise);
    // Three equal losses have none, nor does a loss of zero.
    if (-0.5..=0.5).contains(&offset) { offset } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_vertex_of_a_parabola_is_found_between_points_of_the_grid() {
        let optimum = 0.3;
        let loss = |value: f64| {
            let distance = libm::log(value / optimum);
            libm::exp(0.7 * distance * distance - 3.0)
        };
        let points: Vec<_> =
            (0..8).map(|j| 0.01 * f64::from(1 << j)).map(|x| (x, loss(x))).collect();
        let wide: Vec<_> = points.iter().map(|&(x, loss)| (x, Some(loss))).collect();
        let found = tuned(&wide, 2.0).unwrap();
        assert!((found.value / optimum - 1.0).abs() < 1e-12, "{found:?}");
        assert_eq!((found.grid_value, found.at_edge, found.slack), (0.32, false, 1.0));
    }

    #[test]
    fn without_two_neighbours_it_is_the_point_of_the_grid() {
        let points = [(1.0, Some(3.0)), (2.0, Some(1.0)), (4.0, None), (8.0, Some(0.5))];
        let found = tuned(&points, 2.0).unwrap();
        assert_eq!((found.value, found.at_edge), (8.0, true));
        let found = tuned(&points[..3], 2.0).unwrap();
        assert_eq!((found.value, found.at_edge), (2.0, false));
        assert_eq!(tuned(&points[2..3], 2.0), None);
        let flat = [(1.0, Some(0.0)), (2.0, Some(0.0)), (4.0, Some(0.0))];
        assert_eq!(tuned(&flat, 2.0).unwrap().value, 1.0);
        let flat = [(1.0, Some(1.02)), (2.0, Some(1.0)), (4.0, None), (8.0, Some(1.009))];
        assert_eq!(tuned(&flat, 2.0).unwrap().slack, 4.0);
    }
}
