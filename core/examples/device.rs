//! Training of a network whose storage is an array of fixed size, as on a microcontroller: no heap,
//! no files. `cargo run --release -p myopia-core --example device`.

use myopia_core::backend::Portable;
use myopia_core::elementary::Libm;
use myopia_core::glyphs::Glyphs;
use myopia_core::optimizer::Momentum;
use myopia_core::rng::Pcg32;
use myopia_core::sampler::Sampler;
use myopia_core::schedule::InverseTime;
use myopia_core::unroll::{InnerLoop, objective};
use myopia_core::vector::F32x4;

myopia_core::fixed_network! {
    /// 8 × 8 pixels, sixteen hidden units, ten classes; batches of ten; no tangents.
    struct Digits { sizes: [64, 16, 10], batch: 10, vector: F32x4, tangents: 0 }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut storage = Digits::new();
    println!("{} bytes for layers of {:?} units", size_of::<Digits>(), Digits::SIZES);
    let (mut network, mut batch) = storage.network(Portable::<F32x4>::new())?;
    network.initialise(&mut Pcg32::new(1, 0));

    // Examples 0 to 199 to train on, others to be judged by.
    let examples = Glyphs { seed: 1 };
    let mut sampler = Sampler::new([0; 200], Pcg32::new(1, 1));
    let others: [u32; 200] = core::array::from_fn(|i| 1_000 + i as u32);

    let schedule = InverseTime::new(0.1, 100.0, 0.5)?.with_tangents([]);
    let inner = InnerLoop { schedule, optimizer: Momentum(0.9), batch: 10 };
    for epoch in 0..5 {
        let steps = epoch * 20..(epoch + 1) * 20;
        inner.run::<Libm, _, _, _>(
            &mut network,
            &mut batch,
            &mut sampler,
            &examples,
            steps,
            |_, _, _| (),
        )?;
        let found = objective(&mut network, &mut batch, &examples, &others)?;
        let accuracy = 100.0 * found.accuracy;
        println!("epoch {epoch}: loss {:.3} nats, {accuracy:.0} % correct", found.loss.value);
    }
    println!("digest of the parameters {}", network.digest_values()?);
    Ok(())
}
