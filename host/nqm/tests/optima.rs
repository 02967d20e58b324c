//! Optimal schedules of rugged problems, against the losses that are known.

use myopia_core::nqm::Preconditioner;
use myopia_nqm::Quadratic;
use myopia_nqm::judge::Judge;
use myopia_nqm::optimum::{Ending, Optimum, optimal};
use myopia_nqm::reparametrization::Variables;
use myopia_nqm::spectrum::{Noise, Setting, Spectrum, quadratic};
use myopia_nqm::tolerances::{Control, Tolerances};

const RATES: Variables = Variables::LearningRates { momentum: 0.0 };
const GEOMETRIC: Spectrum = Spectrum::Geometric(1e-3, 1.0);

/// Initial mean 0 and variance 1.
fn problem(directions: usize, spectrum: Spectrum, noise: Noise) -> Quadratic {
    let setting = Setting { spectrum, directions, noise, mean: 0.0, variance: 1.0 };
    quadratic(setting.directions(), Preconditioner::identity()).unwrap()
}

fn search(quadratic: &Quadratic, steps: usize, variables: Variables) -> Optimum {
    optimal(quadratic, &quadratic.start(), steps, variables, Judge::Plain, &Control::default())
        .unwrap()
}

fn assert_at_most(found: &Optimum, known: f64, what: &str) {
    assert!(found.excess <= known, "{what}: {:e}, known is {known:e}", found.excess);
}

/// The lowest losses of an earlier search with hundreds of factorised Hessians, to a
/// ten-thousandth.
#[test]
fn ten_directions_with_noise_have_losses_at_most_those_known() {
    for (variance, known) in [(1.0, 6.2565352e-3), (1e-3, 6.37407e-6)] {
        let quadratic = problem(10, GEOMETRIC, Noise::Constant(variance));
        let rates = search(&quadratic, 250, RATES);
        assert_at_most(&rates, known * (1.0 + 1e-4), "rates");
        let both = search(&quadratic, 250, Variables::LearningRatesAndMomenta);
        assert_at_most(&both, rates.excess, "momenta");
        assert!(both.evaluations < 15_000, "{}", both.evaluations);
    }
}

#[test]
fn a_thousand_directions_with_noise_have_losses_at_most_those_known() {
    let setting = Setting {
        spectrum: GEOMETRIC,
        directions: 1000,
        noise: Noise::Constant(1.0),
        mean: 1.0,
        variance: 0.0,
    };
    let quadratic = quadratic(setting.directions(), Preconditioner::identity()).unwrap();
    let rates = search(&quadratic, 250, RATES);
    assert_at_most(&rates, 0.49244, "rates");
    let both = search(&quadratic, 250, Variables::LearningRatesAndMomenta);
    assert_at_most(&both, 0.4911, "momenta");
    assert!(both.evaluations < 3_500, "{}", both.evaluations);
}

/// One step has momentum: 0.53 in the tenth leads lower than 0.08 in the ninth, from where the
/// lowest ends of the first descents are.
#[test]
fn a_search_with_momenta_goes_on_after_the_first_stationary_schedule() {
    let setting = Setting {
        spectrum: GEOMETRIC,
        directions: 50,
        noise: Noise::Constant(1.0),
        mean: 1.0,
        variance: 1.0,
    };
    let quadratic = quadratic(setting.directions(), Preconditioner::identity()).unwrap();
    let both = search(&quadratic, 20, Variables::LearningRatesAndMomenta);
    assert_at_most(&both, 0.3548463703320 * (1.0 + 1e-9), "momenta");
    assert_eq!(both.ending, Ending::Stationary);
}

/// Without noise no method gets below conjugate gradient; 8.2569e-8 after twenty steps.
#[test]
fn without_noise_learning_rates_come_near_conjugate_gradient() {
    let inverse = |directions| problem(directions, Spectrum::Inverse, Noise::None);
    assert_at_most(&search(&inverse(100), 20, RATES), 8.2569e-8 * 1.002, "100 directions");
    assert_at_most(&search(&inverse(1000), 250, RATES), 2.64e-12, "1,000 directions");
}

/// Larger rates first leave less noise, so every optimum of rates alone is a descending schedule.
#[test]
fn with_noise_optimal_rates_descend() {
    let quadratic = problem(1000, Spectrum::Inverse, Noise::Inverse);
    for found in [search(&quadratic, 250, RATES), search(&quadratic, 9, RATES)] {
        assert_eq!(found.ending, Ending::Stationary);
        let rates: Vec<f64> = found.schedule.iter().map(|step| step.learning_rate).collect();
        assert!(rates.windows(2).all(|pair| pair[0] >= pair[1]), "{rates:?}");
    }
}

#[test]
fn a_search_says_whether_it_was_stationary_or_stalled_or_had_spent_its_budget() {
    let within = |quadratic: &Quadratic, steps, evaluations| {
        let tolerances = Tolerances { evaluations, ..Tolerances::default() };
        let control = Control { tolerances, ..Control::default() };
        optimal(quadratic, &quadratic.start(), steps, RATES, Judge::Plain, &control).unwrap()
    };
    let smooth = problem(30, Spectrum::Inverse, Noise::Inverse);
    assert_eq!(within(&smooth, 12, 2000).ending, Ending::Stationary);
    let short = within(&smooth, 12, 60);
    assert_eq!(short.ending, Ending::BudgetSpent, "{short:?}");
    // Nothing is left to find by more evaluations from where it stalled.
    let canyon = problem(100, Spectrum::Inverse, Noise::None);
    let [once, twice] = [7_000, 14_000].map(|budget| within(&canyon, 20, budget));
    assert_eq!([once.ending, twice.ending], [Ending::Stalled; 2]);
    assert_eq!(once.schedule, twice.schedule);
}
