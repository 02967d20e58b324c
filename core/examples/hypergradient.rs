//! The derivative of a loss after 100 steps of training with respect to the learning-rate schedule,
//! exact, in one forward pass: `cargo run --release -p myopia-core --example hypergradient`.

use myopia_core::backend::Portable;
use myopia_core::elementary::Libm;
use myopia_core::glyphs::Glyphs;
use myopia_core::mlp::{HeapBatch, HeapNetwork};
use myopia_core::optimizer::Momentum;
use myopia_core::rng::Pcg32;
use myopia_core::sampler::Sampler;
use myopia_core::schedule::{InverseTime, PARAMETERS};
use myopia_core::unroll::{InnerLoop, objective};
use myopia_core::vector::F32x4;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (sizes, batch_size, examples) = ([64, 32, 10], 20, Glyphs { seed: 1 });
    let mut storage = HeapNetwork::<F32x4, 3>::new(&sizes, batch_size)?;
    let mut network = storage.network(Portable::new());
    network.initialise(&mut Pcg32::new(1, 0));
    let mut room = HeapBatch::new(&sizes, batch_size);
    let mut batch = room.batch();
    let mut sampler = Sampler::new(vec![0; 200], Pcg32::new(1, 1));

    // Rate of step k: 0.1 / (1 + k/50)^0.5; one tangent for each of its three numbers.
    let schedule = InverseTime::new(0.1, 50.0, 0.5)?.with_tangents(PARAMETERS);
    let inner = InnerLoop { schedule, optimizer: Momentum(0.9), batch: batch_size };
    let steps = 0..100;
    inner.run::<Libm, _, _, _>(
        &mut network,
        &mut batch,
        &mut sampler,
        &examples,
        steps,
        |_, _, _| (),
    )?;

    let all: Vec<u32> = (0..200).collect();
    let loss = objective(&mut network, &mut batch, &examples, &all)?.loss;
    println!("loss after 100 steps {:.4} nats", loss.value);
    for (parameter, derivative) in PARAMETERS.iter().zip(loss.tangents) {
        println!("its derivative with respect to {parameter:?}: {derivative:.6}");
    }
    Ok(())
}
