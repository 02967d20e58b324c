//! One digest for each kind of pass, whatever the vector width, the threads and the left operand:
//! small enough to be run against every mutation of a kernel.

mod support;

use myopia_core::backend::Portable;
use myopia_core::dual::Dual;
use myopia_core::optimizer::{Decay, Hyperparameters, Method, Momentum};
use myopia_core::real::Real;
use myopia_core::schedule::{InverseTime, PARAMETERS, Parameter};
use myopia_core::vector::{F32x4, F32x8, F32x16, F64x4};
use support::{Clusters, Divided, Task, Trace, divided};

/// A layer wider than 64 units, which a mask of one word does not hold; one wider than 128, where
/// the way back is divided into blocks of k, whose sums with three tangents exceed L1; one that
/// fills no vector.
const HIDDEN: [usize; 3] = [70, 193, 5];

/// Batches of 11: two register tiles of a dense product, and a rest.
fn task<'a, T: Real>(data: &'a Clusters<T>, hidden: &'a [usize], steps: u32) -> Task<'a, T> {
    let [alpha0, time_constant, beta] = [0.02, 20.0, 1.0].map(T::from_f64);
    let schedule = InverseTime { alpha0, time_constant, beta };
    Task { data, hidden, batch: 11, steps, seed: 5, schedule }
}

/// FNV-1a over the words of a trace.
fn digest(trace: &Trace) -> String {
    let words = trace.losses.iter().chain(&trace.objective).chain(trace.planes.iter().flatten());
    let digest = words
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, word| (hash ^ word).wrapping_mul(0x0100_0000_01b3));
    format!("{digest:016x}")
}

#[test]
fn steps_with_tangents_have_one_digest() {
    let data = Clusters::new(4, 22, 27, 21, Some(3));
    let task = task(&data, &HIDDEN, 2);
    let traces = [
        ("four lanes", task.trace(Portable::<F32x4>::new(), PARAMETERS)),
        (
            "eight lanes, five threads",
            divided(5, |joins| task.trace(Divided::<F32x8, false>::new(5, joins), PARAMETERS)),
        ),
        ("sixteen lanes", task.trace(Portable::<F32x16>::new(), PARAMETERS)),
    ];
    for (set_up, trace) in traces {
        assert_eq!(digest(&trace), "8c937a1ad0c6bbfb", "{set_up}");
    }
}

#[test]
fn plain_steps_have_one_digest() {
    for (zeros, expected) in [(Some(3), "282d26794978e56e"), (None, "ed9dd00faaa625cd")] {
        let data = Clusters::new(4, 22, 27, 21, zeros);
        let task = task(&data, &HIDDEN, 2);
        let traces = [
            ("without zeros", task.trace(Portable::<F32x8>::new(), [])),
            (
                "with zeros, three threads",
                divided(3, |joins| task.trace(Divided::<F32x16, true>::new(3, joins), [])),
            ),
        ];
        for (set_up, trace) in traces {
            assert_eq!(digest(&trace), expected, "{set_up}, {zeros:?}");
        }
    }
}

/// More examples than a word of a mask has bits.
#[test]
fn steps_on_many_examples_have_one_digest() {
    let data = Clusters::new(4, 150, 7, 4, Some(3));
    let task = Task { batch: 75, ..task(&data, &[70, 5], 2) };
    let sparse = task.trace(Portable::<F32x8>::new(), PARAMETERS);
    assert_eq!(digest(&sparse), "3fe00a128d9a08a5");
    let plain = divided(3, |joins| task.trace(Divided::<F32x16, true>::new(3, joins), []));
    assert_eq!(digest(&plain), "d79be8d3701dda16");
    assert_eq!(plain, sparse.values());
}

#[test]
fn normalised_steps_have_one_digest() {
    let data = Clusters::new(4, 22, 27, 21, Some(3));
    let task = task(&data, &HIDDEN, 2);
    let cuts = &[0, 2][..];
    let momentum = Momentum(0.9);
    let plain = divided(3, |joins| {
        let backend = Divided::<F32x16, true>::new(3, joins);
        task.trace_of::<_, _, 0, 1, true>(backend, [], cuts, momentum)
    });
    assert_eq!(digest(&plain), "abafea64dad27752");
    let with_tangents = divided(2, |joins| {
        let backend = Divided::<F32x8, false>::new(2, joins);
        task.trace_of::<_, _, 3, 1, true>(backend, PARAMETERS, cuts, momentum)
    });
    assert_eq!(digest(&with_tangents), "5c4ddd301fd0578e");
    assert_eq!(plain, with_tangents.values());
}

#[test]
fn every_rule_has_its_digest() {
    let data = Clusters::new(4, 22, 27, 21, Some(3));
    let task = task(&data, &[9, 5], 3);
    let rmsprop = |is_inside| Method::Rmsprop { rho: 0.9, momentum: 0.5, epsilon: 1e-3, is_inside };
    let rules = [
        (
            Method::Sgd { momentum: 0.9, is_nesterov: false },
            Decay::Decoupled(0.1),
            "21c83c66fc1916c7",
        ),
        (
            Method::Sgd { momentum: 0.9, is_nesterov: true },
            Decay::Coupled(0.01),
            "ee48261812a4e46d",
        ),
        (rmsprop(false), Decay::None, "2fff4a3bd15d215e"),
        (rmsprop(true), Decay::Coupled(0.01), "dd7d87f61cdb104f"),
        (
            Method::Adam { beta1: 0.9, beta2: 0.99, epsilon: 1e-3, epsilon_root: 1e-6 },
            Decay::Decoupled(0.1),
            "4f3a29d89da8ccd4",
        ),
    ];
    let along = [Parameter::Alpha0];
    for (method, decay, expected) in rules {
        let rule = Hyperparameters { method, decay }.with_tangents(along);
        let trace = task.trace_by::<_, _, 1, 2>(Portable::<F64x4>::new(), along, &[0, 3], rule);
        assert_eq!(digest(&trace), expected, "{method:?}");
    }
    let momentum = Momentum(Dual { value: 0.9, tangents: [1.0] });
    let along = [Parameter::Momentum];
    let trace = task.trace_by::<_, _, 1, 1>(Portable::<F64x4>::new(), along, &[0, 3], momentum);
    assert_eq!(digest(&trace), "5284ee65f22937c3");
}
