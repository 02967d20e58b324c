//! Hypergradients of networks against differences of runs that carry no derivatives.

use myopia::precision::Precision::{F32, F64};
use myopia::problem::{InitialParams, Problem, Tangents};
use myopia_core::schedule::InverseTime;
use myopia_tests::{clusters, derivative, glyphs, loss, problem, relative, with_parameter};
use proptest::prelude::*;

/// ∂loss/∂α₀, ∂loss/∂K and ∂loss/∂β by an unroll with tangents, and the problem's initial weights.
fn hypergradient(
    problem: &Problem<'_>,
    schedule: InverseTime<f64>,
    horizon: u32,
) -> (InitialParams, [f64; 3]) {
    let start = problem.start(0, 0.0).unwrap();
    let found =
        problem.hypergradient(Tangents::Schedule, &start, &schedule, horizon, &mut || {}).unwrap();
    (start, found.objective.loss.tangents)
}

/// The loss of a network without a hidden layer has no kink: differences may be taken wide and
/// extrapolated.
fn assert_linear(problem: &Problem<'_>, schedule: InverseTime<f64>, horizon: u32) {
    let (start, exact) = hypergradient(problem, schedule, horizon);
    for (which, (exact, at)) in exact.into_iter().zip(schedule.parameters()).enumerate() {
        let along = |x| loss(problem, &start, with_parameter(schedule, which, x), horizon);
        let (found, error) = derivative(at, 0.02 * at, along);
        // The rounding of the loss, for derivatives that happen to lie near zero.
        let blur = 1e-12 * along(at) / at;
        assert!(
            (found - exact).abs() < 1e-6 * exact.abs() + blur,
            "parameter {which}: {exact} by tangents, {found} ± {error}"
        );
    }
}

#[test]
fn a_linear_classifier_of_glyphs_has_the_hypergradient_that_differences_find() {
    let data = glyphs(F64);
    let problem = Problem { objective_size: Some(200), ..problem(&data, &[], 20, 1) };
    let schedule = InverseTime { alpha0: 0.05, time_constant: 10.0, beta: 1.2 };
    assert_linear(&problem, schedule, 30);
}

#[test]
fn a_network_of_two_hidden_layers_has_the_hypergradient_that_close_differences_find() {
    let data = glyphs(F64);
    let problem = Problem { objective_size: Some(100), ..problem(&data, &[8, 6], 10, 5) };
    let schedule = InverseTime { alpha0: 0.02, time_constant: 10.0, beta: 1.5 };
    let horizon = 10;
    let (start, exact) = hypergradient(&problem, schedule, horizon);
    for (which, (exact, at)) in exact.into_iter().zip(schedule.parameters()).enumerate() {
        let along = |x| loss(&problem, &start, with_parameter(schedule, which, x), horizon);
        let step = 1e-6 * at;
        let found = (along(at + step) - along(at - step)) / (2.0 * step);
        let off = relative(found, exact);
        assert!(off < 1e-6, "parameter {which}: {exact} by tangents, {found}: {off:e}");
    }
}

#[test]
fn single_precision_agrees_with_double_after_a_hundred_steps() {
    let schedule = InverseTime { alpha0: 0.01, time_constant: 50.0, beta: 1.0 };
    let [found, exact] = [F32, F64].map(|precision| {
        let data = glyphs(precision);
        let problem = problem(&data, &[32], 100, 1);
        let start = problem.start(0, 0.0).unwrap();
        problem
            .hypergradient(Tangents::Schedule, &start, &schedule, 100, &mut || {})
            .unwrap()
            .objective
            .loss
    });
    assert!(relative(found.value, exact.value) < 1e-5, "{found:?} {exact:?}");
    for (found, exact) in found.tangents.into_iter().zip(exact.tangents) {
        let off = relative(found, exact);
        assert!(off < 1e-3, "{found} in single, {exact} in double precision: {off:e}");
    }
}

#[test]
fn nothing_depends_on_the_decay_before_the_second_step() {
    let data = clusters(3, 40, 5, 3);
    let problem = problem(&data, &[4], 4, 3);
    let schedule = InverseTime { alpha0: 0.1, time_constant: 2.0, beta: 1.0 };
    let (_, none) = hypergradient(&problem, schedule, 0);
    assert_eq!(none, [0.0; 3]);
    let (_, [alpha0, time_constant, beta]) = hypergradient(&problem, schedule, 1);
    assert_ne!(alpha0, 0.0);
    assert_eq!([time_constant, beta], [0.0; 2]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn linear_classifiers_of_any_size_have_the_hypergradients_that_differences_find(
        inputs in 1usize..20,
        classes in 2usize..12,
        batch in 1usize..12,
        horizon in 2u32..25,
        alpha0 in 0.001f64..0.3,
        time_constant in 1.0f64..100.0,
        beta in 0.1f64..3.0,
        momentum in 0.0f64..0.95,
        seed: u64,
    ) {
        let data = clusters(seed, 40, inputs, classes);
        let problem = Problem { momentum, ..problem(&data, &[], batch, seed) };
        assert_linear(&problem, InverseTime { alpha0, time_constant, beta }, horizon);
    }

    #[test]
    fn networks_of_any_shape_have_the_hypergradients_that_close_differences_find(
        inputs in 1usize..12,
        hidden in prop::collection::vec(1usize..12, 1..4),
        batch in 1usize..12,
        horizon in 2u32..12,
        alpha0 in 0.001f64..0.1,
        time_constant in 1.0f64..20.0,
        beta in 0.5f64..3.0,
        seed: u64,
    ) {
        let data = clusters(seed, 40, inputs, 4);
        let problem = problem(&data, &hidden, batch, seed);
        let schedule = InverseTime { alpha0, time_constant, beta };
        let (start, exact) = hypergradient(&problem, schedule, horizon);
        for (which, (exact, at)) in exact.into_iter().zip(schedule.parameters()).enumerate() {
            let along = |x| loss(&problem, &start, with_parameter(schedule, which, x), horizon);
            let difference = |step: f64| (along(at + step) - along(at - step)) / (2.0 * step);
            // A difference whose ends lie on two sides of a kink changes with its step; rounding
            // blurs it besides.
            let (wide, narrow) = (difference(2e-5 * at), difference(1e-5 * at));
            let blur = 1e-15 / (1e-5 * at);
            prop_assume!((wide - narrow).abs() < 1e-7 * narrow.abs() + blur);
            let off = (narrow - exact).abs();
            prop_assert!(off < 1e-6 * exact.abs() + blur, "{which}: {exact} by tangents, {narrow}");
        }
    }
}
