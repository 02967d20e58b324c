//! Golden digests of a small training run on fixed storage.
//!
//! The same numbers are asserted in debug and in release, at every optimisation level and on every
//! target: that is the promise of the numeric contract. Whoever changes one of them says why in one
//! sentence of the commit message.

use myopia_core::backend::{Backend, Portable};
use myopia_core::elementary::Libm;
use myopia_core::fixed_network;
use myopia_core::glyphs::{CLASSES, Glyphs, PIXELS};
use myopia_core::mlp::{Batch, Network};
use myopia_core::optimizer::Momentum;
use myopia_core::rng::Pcg32;
use myopia_core::sampler::Sampler;
use myopia_core::schedule::{InverseTime, PARAMETERS};
use myopia_core::unroll::{InnerLoop, objective};
use myopia_core::vector::{F32x4, F32x8, Vector};

fixed_network! {
    struct OfFour { sizes: [PIXELS, 16, 12, CLASSES], batch: 10, vector: F32x4, tangents: 3 }
}

fixed_network! {
    struct OfEight { sizes: [PIXELS, 16, 12, CLASSES], batch: 10, vector: F32x8, tangents: 3 }
}

/// Fifty steps on 200 glyphs, then the loss on 100 others: digests of values and tangents, bits of
/// loss and derivatives.
fn train<G>(
    mut network: Network<'_, G, 3>,
    mut batch: Batch<'_, f32>,
) -> (String, String, [String; 4])
where
    G: Backend<Vector: Vector<Scalar = f32>>,
{
    network.initialise(&mut Pcg32::new(1, 0));
    let mut order = [0; 200];
    let mut sampler = Sampler::new(&mut order[..], Pcg32::new(1, 2));
    let schedule = InverseTime::new(0.1, 20.0, 1.0).unwrap().with_tangents(PARAMETERS);
    let training = InnerLoop { schedule, optimizer: Momentum(0.9), batch: 10 };
    let glyphs = Glyphs { seed: 1 };
    training
        .run::<Libm, _, _, _>(&mut network, &mut batch, &mut sampler, &glyphs, 0..50, |_, _, _| {})
        .unwrap();
    let judged: Vec<u32> = (200..300).collect();
    let loss = objective(&mut network, &mut batch, &glyphs, &judged).unwrap().loss;
    let [alpha0, time_constant, beta] = loss.tangents;
    (
        network.digest_values().unwrap().to_string(),
        network.digest_tangents().unwrap().to_string(),
        [loss.value, alpha0, time_constant, beta].map(|x| format!("{:08x}", x.to_bits())),
    )
}

#[test]
fn fifty_steps_on_glyphs_have_their_golden_digests() {
    let mut storage = OfFour::new();
    let (network, batch) = storage.network(Portable::<F32x4>::new()).unwrap();
    let of_four = train(network, batch);
    let golden = (
        "6ffd2205959099ae".into(),
        "694e778e8f04e14a".into(),
        ["40077c4f", "beaf4586", "3991e685", "bcb06fad"].map(String::from),
    );
    assert_eq!(of_four, golden);
    let mut storage = OfEight::new();
    let (network, batch) = storage.network(Portable::<F32x8>::new()).unwrap();
    assert_eq!(train(network, batch), of_four, "eight lanes instead of four");
}
