//! Hypergradients of the noisy quadratic against differences of runs that carry no derivatives.

use myopia::nqm::{Losses, Quadratic, Schedule};
use myopia_core::dual::Dual;
use myopia_core::elementary::Libm;
use myopia_core::nqm::{Direction, Step};
use myopia_core::schedule::{InverseTime, PARAMETERS};
use myopia_tests::{derivative, with_parameter};
use proptest::prelude::*;

/// Excess loss after the last step, its tangents those of the schedule with respect to
/// `directions`.
fn loss<const P: usize>(
    quadratic: &Quadratic,
    schedule: InverseTime<Dual<f64, P>>,
    steps: u32,
    momentum: f64,
) -> Dual<f64, P>
where
    Quadratic: Losses<P>,
{
    let schedule: Vec<_> = (0..steps)
        .map(|k| Step {
            learning_rate: schedule.learning_rate::<Libm>(k),
            momentum: Dual::constant(momentum),
        })
        .collect();
    *quadratic.losses(&schedule).unwrap().last().unwrap()
}

fn assert_agreement(
    quadratic: &Quadratic,
    schedule: InverseTime<f64>,
    steps: u32,
    momentum: f64,
) -> Result<(), TestCaseError> {
    let exact = loss(quadratic, schedule.with_tangents(PARAMETERS), steps, momentum);
    let plain = |schedule: InverseTime<f64>| {
        loss(quadratic, schedule.with_tangents([]), steps, momentum).value
    };
    prop_assert_eq!(plain(schedule).to_bits(), exact.value.to_bits());
    for (which, (tangent, at)) in exact.tangents.into_iter().zip(schedule.parameters()).enumerate()
    {
        let along = |x| plain(with_parameter(schedule, which, x));
        let (found, error) = derivative(at, 0.02 * at, along);
        // The rounding of the loss, for derivatives that happen to lie near zero.
        let blur = 1e-13 * exact.value / at;
        prop_assert!(
            (found - tangent).abs() < 1e-9 * tangent.abs() + blur,
            "parameter {which}: {tangent} by tangents, {found} ± {error}"
        );
    }
    Ok(())
}

fn inverse(dim: usize) -> Quadratic {
    let direction = |i| Direction {
        curvature: 1.0 / f64::from(i),
        noise_variance: f64::from(i),
        initial_mean: 0.0,
        initial_variance: 1.0,
    };
    Quadratic::new((1..=dim as u32).map(direction).collect()).unwrap()
}

#[test]
fn the_papers_quadratic_has_the_hypergradient_that_differences_find() {
    let schedule = InverseTime { alpha0: 1.0, time_constant: 50.0, beta: 1.5 };
    assert_agreement(&inverse(1000), schedule, 250, 0.9).unwrap();
}

/// One direction without noise or momentum: ½h(m² + s)·Π(1 − α_k h)², by hand.
#[test]
fn one_direction_has_the_loss_that_a_line_of_arithmetic_gives() {
    let direction =
        Direction { curvature: 2.0, noise_variance: 0.0, initial_mean: 3.0, initial_variance: 0.5 };
    let quadratic = Quadratic::new(vec![direction]).unwrap();
    let schedule: Schedule =
        [0.25, 0.125].map(|learning_rate| Step { learning_rate, momentum: 0.0 }).to_vec();
    let schedule: Vec<_> = schedule.iter().map(|step| step.constant::<0>()).collect();
    let losses = quadratic.losses(&schedule).unwrap();
    let losses: Vec<f64> = losses.iter().map(|loss| loss.value).collect();
    assert_eq!(losses, [9.5, 9.5 * 0.25, 9.5 * 0.25 * 0.5625]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_quadratic_has_the_hypergradient_that_differences_find(
        directions in prop::collection::vec((0.01f64..1.0, 0.0f64..2.0, -1.0f64..1.0, 0.1f64..2.0), 1..40),
        steps in 2u32..60,
        alpha0 in 0.05f64..0.8,
        time_constant in 2.0f64..100.0,
        beta in 0.2f64..2.0,
        momentum in 0.0f64..0.9,
    ) {
        let directions = directions.into_iter().map(
            |(curvature, noise_variance, initial_mean, initial_variance)| {
                Direction { curvature, noise_variance, initial_mean, initial_variance }
            },
        );
        let quadratic = Quadratic::new(directions.collect()).unwrap();
        assert_agreement(&quadratic, InverseTime { alpha0, time_constant, beta }, steps, momentum)?;
    }
}
