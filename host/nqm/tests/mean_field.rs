//! Optimisers in mean field: derivatives at any horizon, schedules that go forward, and refusals.

use myopia_core::dual::Dual;
use myopia_core::kfac::Kfac;
use myopia_core::nqm::{Direction, MeanField, Step};
use myopia_core::optimizer::{Decay, Hyperparameters, Method};
use myopia_core::schedule::Parameter;
use myopia_nqm::judge::Judge;
use myopia_nqm::policy::Policy;
use myopia_nqm::run::{Settings, run};
use myopia_nqm::tolerances::Control;
use myopia_nqm::tuning::{ALL, Tuning, look_ahead, tune};
use myopia_nqm::{Losses, Quadratic};

fn inverse(dim: u32) -> Quadratic {
    let direction = |i| Direction {
        curvature: 1.0 / f64::from(i),
        noise_variance: f64::from(i),
        initial_mean: 0.5,
        initial_variance: 1.0,
    };
    Quadratic::new((1..=dim).map(direction).collect()).unwrap()
}

fn kfac(is_sampled: bool) -> MeanField<f64> {
    let all = Kfac {
        momentum: 0.0,
        damping: 0.2,
        decay: Decay::None,
        kept: 0.9,
        clip: None,
        refactor_every: 1,
        labels: None,
    };
    MeanField::kfac(all, is_sampled).unwrap()
}

fn optimizers() -> [MeanField<f64>; 4] {
    let of = |method| MeanField::new(Hyperparameters { method, decay: Decay::None }).unwrap();
    let rmsprop = Method::Rmsprop { rho: 0.8, momentum: 0.0, epsilon: 0.1, is_inside: false };
    let adam = Method::Adam { beta1: 0.6, beta2: 0.9, epsilon: 0.1, epsilon_root: 0.0 };
    [of(rmsprop), of(adam), kfac(false), kfac(true)]
}

#[test]
fn hypergradients_agree_with_differences() {
    use Parameter::{Alpha0, Beta, Beta1, Beta2, Damping, Epsilon, Momentum, Rho, TimeConstant};
    let own = [&[Epsilon, Rho, Momentum][..], &[Epsilon, Beta1, Beta2], &[Damping, Momentum]];
    for (optimizer, own) in optimizers().into_iter().zip([own[0], own[1], own[2], own[2]]) {
        let quadratic = inverse(30).in_mean_field(optimizer);
        let learned = [&[Alpha0, TimeConstant, Beta], own].concat();
        let usual = Tuning::new(&quadratic);
        let mut tuning = Tuning { horizon: 25, learned, meta_steps: 3, ..usual };
        tuning.momentum = if optimizer.has_own_momentum() { 0.0 } else { 0.5 };
        tuning.schedule.alpha0 = 0.04;
        tuning.schedule.time_constant = 9.0;
        let values = tuning.values(&quadratic).map(Option::unwrap_or_default);
        let found = look_ahead(&quadratic, &tuning, values).unwrap();
        for learned in &tuning.learned {
            let place = ALL.iter().position(|parameter| parameter == learned).unwrap();
            let shifted = |by: f64| {
                let mut values = values;
                values[place] *= 1.0 + by;
                look_ahead(&quadratic, &tuning, values).unwrap().value
            };
            let difference = (shifted(1e-5) - shifted(-1e-5)) / (2e-5 * values[place]);
            let ratio = found.tangents[place] / difference;
            assert!((ratio - 1.0).abs() < 1e-6, "{optimizer:?}, {learned:?}: {ratio}");
        }
        // Every one of them moves, and the loss falls.
        let records = tune(&quadratic, tuning, &|| false, |_| ()).unwrap().records;
        assert!(records[3].excess_loss < records[0].excess_loss);
        let moved = records[0].values.iter().zip(&records[3].values).filter(|(a, b)| a != b);
        assert_eq!(moved.count(), 3 + own.len());
    }
}

fn settings(steps: usize, momentum: f64) -> Settings {
    Settings { steps, momentum, cooling: 3, judge: Judge::Plain }
}

/// The losses of a run are those of its states, which go on step by step; a greedy run's are those
/// of its rates, each the best for the next loss.
#[test]
fn runs_go_on_step_by_step() {
    for optimizer in optimizers() {
        let quadratic = inverse(30).in_mean_field(optimizer);
        let momentum = if optimizer.has_own_momentum() { 0.0 } else { 0.5 };
        let rate = Policy::Constant(0.05);
        let found = run(&quadratic, &rate, settings(12, momentum), &Control::default()).unwrap();
        let mut state = quadratic.start();
        for (k, loss) in found.excess.losses.iter().enumerate() {
            let step = Step { learning_rate: 0.05, momentum };
            let next = quadratic.advance(&mut state, (k > 0).then_some(step));
            assert!((next.excess / loss - 1.0).abs() < 1e-13, "{k}: {} {loss}", next.excess);
        }
        assert!(found.excess.cooled[12] < found.excess.losses[12]);
        if optimizer.has_own_momentum() {
            continue;
        }
        let greedy =
            run(&quadratic, &Policy::Greedy, settings(5, momentum), &Control::default()).unwrap();
        for k in 0..5 {
            let mut near: Vec<f64> = greedy.learning_rates[..=k].to_vec();
            let mut loss = |factor: f64| {
                near[k] = greedy.learning_rates[k] * factor;
                let steps = near.iter().map(|&learning_rate| Step { learning_rate, momentum });
                let steps: Vec<_> = steps.map(Step::constant::<0>).collect();
                quadratic.losses(&steps).unwrap()[k + 1].value
            };
            let best = loss(1.0);
            assert!(best < loss(1.001) && best < loss(0.999), "step {k}");
        }
    }
}

/// K-FAC that measures h itself is the fixed preconditioner 1/(h + λ), to rounding.
#[test]
fn sampled_k_fac_is_the_fixed_preconditioner() {
    use myopia_core::nqm::Preconditioner;
    let schedule: Vec<Step<Dual<f64, 0>>> = (0..40)
        .map(|k| Step { learning_rate: 0.3 / (1.0 + f64::from(k)), momentum: 0.4 }.constant())
        .collect();
    let fixed = Preconditioner { power: 1.0, damping: 0.2 };
    let fixed = inverse(30).preconditioned(fixed).unwrap().losses(&schedule).unwrap();
    let measured = inverse(30).in_mean_field(kfac(true)).losses(&schedule).unwrap();
    assert!((measured[40].value / fixed[40].value - 1.0).abs() < 1e-12);
    let empirical = inverse(30).in_mean_field(kfac(false)).losses(&schedule).unwrap();
    assert!((empirical[40].value / fixed[40].value - 1.0).abs() > 1e-3);
}

#[test]
fn what_goes_backwards_is_refused_in_a_sentence() {
    let [rmsprop, adam, ..] = optimizers();
    let refusal = |optimizer: MeanField<f64>, policy: &str, momentum, judge| {
        let quadratic = inverse(5).in_mean_field(optimizer);
        let settings = Settings { judge, ..settings(4, momentum) };
        let policy: Policy = policy.parse().unwrap();
        run(&quadratic, &policy, settings, &Control::default()).unwrap_err().to_string()
    };
    for (said, words) in [
        (refusal(rmsprop, "optimal", 0.0, Judge::Plain), "second moment of rmsprop"),
        (refusal(adam, "replan:2", 0.0, Judge::Plain), "name tuned:H"),
        (refusal(adam, "greedy", 0.0, Judge::Plain), "no greedy step of adam"),
        (refusal(adam, "constant:0.1", 0.9, Judge::Plain), "adam has its own momentum"),
        (refusal(rmsprop, "tuned:2", 0.0, Judge::Cooldown(2)), "judged by the plain loss"),
    ] {
        assert!(said.contains(words), "{said}");
    }
    let given = vec![Step { learning_rate: 0.0, momentum: 0.0 }];
    let quadratic = inverse(5).in_mean_field(adam);
    let refused =
        run(&quadratic, &Policy::Given(given), settings(1, 0.0), &Control::default()).unwrap_err();
    assert!(refused.to_string().contains("learning rate of zero"), "{refused}");
    let learned = vec![Parameter::Damping];
    let tuning = Tuning { learned, ..Tuning::new(&quadratic) };
    let refused = tune(&quadratic, tuning, &|| false, |_| ()).unwrap_err();
    assert!(refused.to_string().contains("has no damping"), "{refused}");
}

/// Threads spread chunks of directions, and change no bit.
#[test]
fn threads_do_not_change_a_bit() {
    let quadratic = inverse(9_001).in_mean_field(optimizers()[1]);
    let schedule = vec![Step { learning_rate: 0.05, momentum: 0.0 }.constant::<0>(); 7];
    let bits = |threads: usize| -> Vec<u64> {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let losses = pool.install(|| quadratic.losses(&schedule).unwrap());
        losses.iter().map(|loss| loss.value.to_bits()).collect()
    };
    assert_eq!(bits(1), bits(3));
}

/// What a horizon chooses has no derivative, and neighbours on a fine grid are no better.
#[test]
fn the_best_value_of_each_horizon_is_stationary() {
    use myopia_nqm::expressed::{Family, Search};
    let quadratic = inverse(40);
    let [rmsprop, adam, kfac, _] = optimizers();
    let family = |optimizer, parameter, rate, bounds| Family { optimizer, parameter, rate, bounds };
    for family in [
        family(None, Parameter::Alpha0, 1.0, [1e-4, 1.5]),
        family(Some(rmsprop), Parameter::Epsilon, 0.5, [1e-2, 1e3]),
        family(Some(adam), Parameter::Epsilon, 0.5, [1e-2, 1e3]),
        family(Some(kfac), Parameter::Damping, 1.0, [1e-3, 1e4]),
    ] {
        for decayed in [false, true] {
            let start = &quadratic.start();
            let search = Search { quadratic: &quadratic, start, family, grid: 17, decayed };
            let horizons: &[usize] = if decayed { &[60] } else { &[30, 60] };
            let best = search.best(horizons, &|| false).unwrap();
            for (best, horizon) in best.iter().zip(horizons) {
                let at = |value: f64| {
                    let run = (*horizon, decayed);
                    let losses = family.losses(&quadratic, start, value, run, &|| false).unwrap();
                    losses.unwrap()[*horizon]
                };
                let here = at(best.value);
                assert_eq!(here.value.to_bits(), best.excess.to_bits());
                let slope = here.tangents[0] / here.value;
                assert!(slope.abs() < 1e-6, "{family:?}, {horizon}: {slope:e}");
                for factor in [0.25, 0.7, 0.99, 1.01, 1.4, 4.0] {
                    assert!(at(best.value * factor).value > here.value, "{family:?}, {factor}");
                }
            }
        }
    }
}
