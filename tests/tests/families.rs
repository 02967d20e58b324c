//! Hypergradients by every number of every family of schedules, forward and in reverse, against
//! differences of runs that carry no derivatives.

use myopia::precision::Precision::{F32, F64};
use myopia::problem::{Problem, Rates, Tangents, Wanted};
use myopia_core::family::Family;
use myopia_core::schedule::{InverseTime, PARAMETERS, Parameter};
use myopia_tests::{derivative, glyphs, loss, problem, relative, with_parameter};

const NUMBERS: InverseTime<f64> = InverseTime { alpha0: 0.05, time_constant: 12.0, beta: 0.7 };
const HORIZON: u32 = 15;

const FAMILIES: [Family<f64>; 5] = [
    Family::InverseTime,
    Family::Exponential,
    Family::Step { factor: 0.4, every: 4 },
    Family::Cosine { final_share: 0.2, steps: 13 },
    Family::Linear { final_share: 0.1, steps: 15 },
];

/// The loss of a network without a hidden layer has no kink, so differences may be taken wide and
/// extrapolated.
#[test]
fn every_number_of_a_schedule_has_the_derivative_that_differences_find() {
    let data = glyphs(F64);
    let mut checked = 0;
    for (family, warmup) in FAMILIES.into_iter().flat_map(|family| [(family, 0), (family, 6)]) {
        let base = Problem { objective_size: Some(100), ..problem(&data, &[], 20, 1) };
        let problem = Problem { family, warmup, ..base };
        let start = problem.start(0, 0.0).unwrap();
        let mut run = problem.reverse(&start);
        let plan = run.plan(HORIZON, 1 << 30, Wanted::All).unwrap();
        let back = run.run(Rates::Schedule(&NUMBERS), &plan, &mut || true).unwrap().unwrap();
        for &parameter in family.parameters() {
            let tangents = Tangents::By([parameter; 3]);
            let exact = problem
                .hypergradient(tangents, &start, &NUMBERS, HORIZON, &mut || {})
                .unwrap()
                .objective
                .loss
                .tangents[0];
            let which = PARAMETERS.iter().position(|of| *of == parameter);
            let at = match which {
                Some(which) => NUMBERS.parameters()[which],
                None => problem.value(parameter).unwrap(),
            };
            let trained = |x| match which {
                Some(which) => loss(&problem, &start, with_parameter(NUMBERS, which, x), HORIZON),
                None => loss(&problem.clone().with_value(parameter, x), &start, NUMBERS, HORIZON),
            };
            let (found, error) = derivative(at, 0.02 * at, trained);
            assert!(
                (found - exact).abs() < 1e-6 * exact.abs(),
                "{family:?}, {warmup}, {parameter:?}: {exact} by tangents, {found} ± {error}"
            );
            let reverse = back.derivative(&problem.schedule(&NUMBERS), parameter);
            assert!(
                relative(reverse, exact) < 1e-9,
                "{family:?}, {parameter:?}: {reverse}, {exact}"
            );
            checked += 1;
        }
    }
    assert_eq!(checked, 2 * (3 + 4 * 2));
}

#[test]
fn values_are_the_same_with_and_without_tangents_on_every_instruction_set() {
    let data = glyphs(F32);
    for family in FAMILIES {
        let mut digests = Vec::new();
        for isa in myopia_backend::Isa::ALL.iter().copied().filter(|isa| isa.available()) {
            let problem = Problem { family, warmup: 3, isa, ..problem(&data, &[20], 10, 3) };
            let start = problem.start(0, 0.0).unwrap();
            let by = [Parameter::Alpha0, Parameter::Factor, Parameter::FinalShare];
            for tangents in [Tangents::None, Tangents::Schedule, Tangents::By(by)] {
                let mut run = problem.run(tangents, &start);
                run.train(&NUMBERS, 0..HORIZON, &mut |_, _, _| {}).unwrap();
                digests.push(run.digests()[0].to_string());
            }
            let mut run = problem.reverse(&start);
            let plan = run.plan(HORIZON, 1 << 30, Wanted::Rates).unwrap();
            let back = run.run(Rates::Schedule(&NUMBERS), &plan, &mut || true).unwrap().unwrap();
            digests.push(back.digests[0].to_string());
        }
        assert!(digests.iter().all(|digest| *digest == digests[0]), "{family:?}");
    }
}

/// Pretraining is at a constant rate whatever comes after it.
#[test]
fn pretraining_has_no_family() {
    let data = glyphs(F64);
    let plain = problem(&data, &[], 20, 1);
    let family = Family::Step { factor: 0.0, every: 1 };
    let other = Problem { family, warmup: 100, ..plain.clone() };
    assert_eq!(plain.start(20, 0.1).unwrap().0, other.start(20, 0.1).unwrap().0);
}
