use myopia_core::elementary::{Elementary, Libm};

use super::*;
use crate::matrix::Matrix;
use crate::problem::Quadratic;

/// ((k·(i + 3)²) mod 17 − 8)/8, as in the tests of methods.
fn numbers(count: usize, k: usize) -> Vec<f64> {
    (0..count).map(|i| ((k * (i + 3) * (i + 3)) % 17) as f64 / 8.0 - 1.0).collect()
}

fn positive(d: usize, k: usize) -> Matrix {
    let b = numbers(d * d, k);
    let mut entries = vec![0.0; d * d];
    for i in 0..d {
        for j in 0..d {
            let terms = (0..d).map(|m| b[i * d + m] * b[j * d + m]);
            entries[i * d + j] = terms.fold(0.0, |sum, term| sum + term) / 4.0;
        }
        entries[i * d + i] += 0.5;
    }
    Matrix::Dense { rows: d, columns: d, entries }
}

fn game() -> Game {
    let a = Matrix::Dense { rows: 4, columns: 2, entries: numbers(8, 5) };
    let target = numbers(4, 11);
    let problem =
        Quadratic::new(positive(4, 3), a, positive(4, 7), target, None, vec![0.5, -0.25], None);
    Game::new(problem.unwrap())
}

/// One weight and one hyperparameter.
fn pair(h: f64, a: f64, g: f64) -> Game {
    let one = |x: f64| Matrix::Diagonal(vec![x]);
    let problem = Quadratic::new(one(h), one(a), one(g), vec![1.0], None, vec![0.0], None);
    Game::new(problem.unwrap())
}

const RATES: (f64, f64) = (0.25, 0.375);

/// By NumPy 2, sorted by modulus and then real part, descending:
///
/// ```python
/// import numpy as np
/// f = lambda n, k: np.array([(k*(i+3)**2) % 17 / 8 - 1 for i in range(n)])
/// pos = lambda d, k: (lambda b: b @ b.T/4 + np.eye(d)/2)(f(d*d, k).reshape(d, d))
/// H, A, G, I, a, b = pos(4, 3), f(8, 5).reshape(4, 2), pos(4, 7), np.eye(4), .25, .375
/// M = np.block([[I - a*H, a*H @ A], [np.zeros((2, 4)), np.eye(2)]])
/// L = np.block([[I, np.zeros((4, 2))], [-b*A.T @ G, np.eye(2)]])
/// sim = M.copy(); sim[4:, :4] = -b*A.T @ G
/// alt = L @ M
/// for J in (sim, alt, np.eye(2) - b*A.T @ G @ A):
///     for z in sorted(np.linalg.eigvals(J), key=lambda z: (-round(abs(z), 12), -z.real, -z.imag)):
///         print([z.real, z.imag])
/// from scipy.linalg import solve_discrete_lyapunov as lyap
/// C, V = .5*H, A.T @ G @ A
/// cov = lambda B, J: lyap(J, B)
/// S = cov(np.block([[a*a*C, np.zeros((4, 2))], [np.zeros((2, 4)), b*b*.2*np.eye(2)]]), sim)
/// print(.5*np.trace(V @ S[4:, 4:]))
/// B = np.vstack([-a*I, a*b*A.T @ G])
/// N = B @ C @ B.T; N[4:, 4:] += b*b*.2*np.eye(2)
/// print(.5*np.trace(V @ cov(N, alt)[4:, 4:]))
/// print(.5*np.trace(V @ cov(b*b*.2*np.eye(2), np.eye(2) - b*V)))
/// ```
const NUMPY: [[f64; 2]; 14] = [
    [0.9309659925624267, 0.1745802338255743],
    [0.9309659925624267, -0.1745802338255743],
    [0.8744303407139908, 0.19182056067438563],
    [0.8744303407139908, -0.19182056067438563],
    [0.8414458143143705, 0.0],
    [0.7977615191327961, 0.0],
    [0.9135822335453029, 0.1663747429929632],
    [0.9135822335453029, -0.1663747429929632],
    [0.8482183115066075, 0.1681571428686499],
    [0.8482183115066075, -0.1681571428686499],
    [0.8406707093265838, 0.0],
    [0.7932899795918115, 0.0],
    [0.782233081481411, 0.0],
    [0.7261973994756202, 0.0],
];
const SCIPY: [f64; 3] = [0.22392737069567215, 0.16882324874352614, 0.042765069728842656];

#[test]
fn eigenvalues_are_those_of_numpy() {
    let mut numpy = NUMPY.iter();
    for dynamics in Dynamics::ALL {
        let found = game().eigenvalues(dynamics, RATES.0, RATES.1).unwrap();
        for (found, told) in found.iter().zip(numpy.by_ref().take(game().size(dynamics))) {
            let near = (found[0] - told[0]).abs() < 1e-12 && (found[1] - told[1]).abs() < 1e-12;
            assert!(near, "{dynamics:?}: {found:?} {told:?}");
        }
    }
    assert!(numpy.next().is_none());
}

#[test]
fn stationary_variances_are_those_of_scipy_and_of_simulation() {
    let noise = Noise { shape: InnerNoise::Curvature, inner: 0.5, outer: 0.2 };
    for (dynamics, told) in Dynamics::ALL.into_iter().zip(SCIPY) {
        let found = game().stationary(dynamics, RATES.0, RATES.1, noise, 40_000, 200, 1).unwrap();
        assert!((found.regret / told - 1.0).abs() < 1e-10, "{found:?} {told}");
        let apart = (found.simulated_regret - found.regret).abs();
        assert!(apart < 4.0 * found.standard_error, "{found:?}");
        assert!(found.standard_error < 0.05 * found.regret, "{found:?}");
        // The parts end where the Lyapunov equation says.
        let (left, made) = *found.parts.last().unwrap();
        assert!(left < 1e-12 && (made / told - 1.0).abs() < 1e-9, "{left} {made}");
        assert!(found.noise_dominated_from.is_some());
    }
}

/// Of one weight and one hyperparameter the flow turns at h/4A²g, simultaneous steps diverge at b =
/// 1/A²g, alternating ones at b = (4 − 2ah)/ahA²g, Stackelberg ones, which never turn, at 2/A²g.
#[test]
fn a_game_of_two_numbers_turns_and_diverges_where_its_formula_says() {
    let (h, a_matrix, g, a) = (0.5, 2.0, 3.0, 0.02);
    let game = pair(h, a_matrix, g);
    let pull = a_matrix * a_matrix * g;
    let near = |found: Option<f64>, told: f64| {
        let found = found.unwrap();
        assert!((found / told - 1.0).abs() < 1e-6, "{found} {told}");
    };
    let simultaneous = game.turning(Dynamics::Simultaneous, a).unwrap();
    // The discriminant of the simultaneous Jacobian is a²h² − 4abhA²g: the flow's.
    near(simultaneous.turns_at, h / (4.0 * pull));
    near(simultaneous.diverges_at, 1.0 / pull / a);
    let alternating = game.turning(Dynamics::Alternating, a).unwrap();
    // (2 − ah − abhA²g)² = 4(1 − ah) at b = (2 − ah − 2√(1 − ah))/(ahA²g).
    let kept = Libm::sqrt(1.0 - a * h);
    near(alternating.turns_at, (2.0 - a * h - 2.0 * kept) / (a * h * pull) / a);
    near(alternating.diverges_at, (4.0 - 2.0 * a * h) / (a * h * pull) / a);
    let stackelberg = game.turning(Dynamics::Stackelberg, a).unwrap();
    assert_eq!(stackelberg.turns_at, None);
    near(stackelberg.diverges_at, 2.0 / pull / a);
    for (ratio, turns) in [(0.24, false), (0.26, true)] {
        let flow = game.flow(ratio * h / pull).unwrap();
        assert_eq!(flow.iter().any(|v| v[1] != 0.0), turns, "{flow:?}");
        assert!(flow.iter().all(|v| v[0] < 0.0));
    }
}

#[test]
fn trajectories_shrink_by_the_spectral_radius() {
    let game = game();
    for dynamics in Dynamics::ALL {
        let verdict = game.verdict(dynamics, RATES.0, RATES.1).unwrap();
        assert!(verdict.spectral_radius < 1.0, "{verdict:?}");
        let points = game.trajectory(dynamics, RATES.0, RATES.1, 400).unwrap();
        assert_eq!(points.len(), 401);
        let from = points.iter().rposition(|point| point.regret > 1e-20).unwrap();
        let (early, late) = (&points[from / 4], &points[from]);
        let steps = f64::from(late.step - early.step);
        // Over many steps the rotation averages out but for its phase.
        let rate = Libm::pow(late.regret / early.regret, 0.5 / steps);
        assert!((rate / verdict.spectral_radius - 1.0).abs() < 0.03, "{rate} {verdict:?}");
    }
}

#[test]
fn unstable_and_endless_games_are_said_to_be() {
    let game = game();
    let noise = Noise { shape: InnerNoise::Constant, inner: 1.0, outer: 1.0 };
    let verdict = game.verdict(Dynamics::Stackelberg, 0.1, 50.0).unwrap();
    assert_eq!(verdict.behaviour, Behaviour::Diverging);
    let said = game
        .stationary(Dynamics::Stackelberg, 0.1, 50.0, noise, 100, 10, 1)
        .unwrap_err()
        .to_string();
    assert!(
        said.contains("the stackelberg game at rates 0.1 and 50.0 has no stationary"),
        "{said}"
    );
    // Two hyperparameters that move one weight.
    let wide = Matrix::Dense { rows: 1, columns: 2, entries: vec![1.0, 1.0] };
    let one = || Matrix::Diagonal(vec![1.0]);
    let problem = Quadratic::new(one(), wide, one(), vec![1.0], None, vec![0.0; 2], None);
    let game = Game::new(problem.unwrap());
    let verdict = game.verdict(Dynamics::Simultaneous, 0.1, 0.01).unwrap();
    assert_eq!(verdict.behaviour, Behaviour::Neutral);
    let said = game.equilibrium().unwrap_err().to_string();
    assert!(said.contains("AᵀGA, the curvature of the outer problem, is singular"), "{said}");
    // A player that ignores the response has p eigenvalues of one.
    let ones = game.partial(0.1).unwrap().iter().filter(|v| **v == [1.0, 0.0]).count();
    assert_eq!(ones, 2);
}
