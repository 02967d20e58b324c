//! A step whose numbers leave the finite range says so at once (contract 7), whichever parameter
//! they belong to.

mod support;

use std::sync::atomic::AtomicUsize;

use myopia_core::backend::{Backend, Portable};
use myopia_core::dual::Dual;
use myopia_core::mlp::{HeapBatch, HeapNetwork, NonFinite, Quantity, Shape, he_normal};
use myopia_core::optimizer::Sgd;
use myopia_core::rng::Pcg32;
use myopia_core::vector::{F32x4, F32x16, Vector};
use support::{Clusters, Divided};

/// An odd number of inputs, a last panel with lanes to spare, two hidden layers.
const SIZES: [usize; 4] = [5, 6, 3, 2];
/// A velocity that this momentum doubles overflows in the update, and in nothing that is computed
/// before.
const MOMENTUM: f32 = 2.0;

/// One step of a network whose parameters and velocity `change` has changed.
fn step<G, const P: usize>(
    backend: G,
    change: impl Fn(&mut [Dual<f32, P>], &mut [Dual<f32, P>]),
) -> Result<Dual<f32, P>, NonFinite>
where
    G: Backend<Vector: Vector<Scalar = f32>>,
{
    let data = Clusters::new(1, 8, SIZES[0], SIZES[3], None);
    let shape = Shape::new(&SIZES).unwrap();
    let mut rng = Pcg32::new(2, 0);
    let mut parameters: Vec<Dual<f32, P>> =
        he_normal(shape, &mut rng).map(Dual::constant).collect();
    let mut velocity = vec![Dual::default(); parameters.len()];
    change(&mut parameters, &mut velocity);
    let mut storage = HeapNetwork::<G::Vector, P>::new(&SIZES, 8).unwrap();
    let mut examples = HeapBatch::new(&SIZES, 8);
    let (mut network, mut batch) = (storage.network(backend), examples.batch());
    network.load(parameters, velocity);
    batch.fill(&data, &[0, 1, 2, 3, 4, 5, 6, 7]);
    network.step(&batch, Sgd { learning_rate: Dual::constant(0.1), momentum: MOMENTUM })
}

fn parameters() -> usize {
    Shape::new(&SIZES).unwrap().parameters()
}

fn an_overflowing_value_is_found<G>(backend: G)
where
    G: Backend<Vector: Vector<Scalar = f32>>,
{
    let quiet = step::<_, 0>(backend, |_, _| {});
    assert!(quiet.unwrap().value.is_finite());
    for place in 0..parameters() {
        for huge in [f32::MAX, -f32::MAX] {
            let found = step::<_, 0>(backend, |_, velocity| velocity[place].value = huge);
            assert_eq!(found, Err(NonFinite(Quantity::Value)), "parameter {place}");
            let found = step::<_, 3>(backend, |_, velocity| velocity[place].value = huge);
            assert_eq!(found, Err(NonFinite(Quantity::Value)), "parameter {place} with tangents");
        }
    }
}

fn an_overflowing_tangent_is_found_and_numbered<G>(backend: G)
where
    G: Backend<Vector: Vector<Scalar = f32>>,
{
    assert!(step::<_, 3>(backend, |_, _| {}).unwrap().finite());
    for place in 0..parameters() {
        for p in 0..3u8 {
            let found = step::<_, 3>(backend, |_, velocity| {
                velocity[place].tangents[usize::from(p)] = f32::MAX;
            });
            assert_eq!(found, Err(NonFinite(Quantity::Tangent(p))), "parameter {place}");
        }
    }
}

#[test]
fn an_update_that_overflows_is_an_error_of_that_step_whichever_parameter_it_is() {
    let joins = &AtomicUsize::new(0);
    an_overflowing_value_is_found(Portable::<f32>::new());
    an_overflowing_value_is_found(Portable::<F32x4>::new());
    an_overflowing_value_is_found(Divided::<F32x4, true>::new(1, joins));
    an_overflowing_value_is_found(Divided::<F32x16, true>::new(1, joins));
}

#[test]
fn a_tangent_that_overflows_alone_is_an_error_of_that_step_and_is_named() {
    an_overflowing_tangent_is_found_and_numbered(Portable::<f32>::new());
    an_overflowing_tangent_is_found_and_numbered(Portable::<F32x4>::new());
    an_overflowing_tangent_is_found_and_numbered(Portable::<F32x16>::new());
}

#[test]
fn an_overflow_in_another_threads_part_is_found_too() {
    let joins = &AtomicUsize::new(0);
    for threads in [2, 3] {
        an_overflowing_value_is_found(Divided::<f32, true>::new(threads, joins));
        an_overflowing_value_is_found(Divided::<F32x4, false>::new(threads, joins));
        an_overflowing_tangent_is_found_and_numbered(Divided::<F32x4, true>::new(threads, joins));
    }
    assert!(joins.load(std::sync::atomic::Ordering::Relaxed) > 0);
}

/// The last bias is added to a logit: the loss and its tangents overflow before any update.
#[test]
fn a_loss_that_is_not_finite_is_an_error_too() {
    let backend = Portable::<F32x4>::new();
    let last = parameters() - 1;
    let found = step::<_, 3>(backend, |parameters, _| {
        parameters[last].value = f32::MAX;
        parameters[last - 1].value = -f32::MAX;
    });
    assert_eq!(found, Err(NonFinite(Quantity::Value)));
    for p in 0..3u8 {
        let found = step::<_, 3>(backend, |parameters, _| {
            parameters[last].tangents[usize::from(p)] = f32::MAX;
            parameters[last - 1].tangents[usize::from(p)] = -f32::MAX;
        });
        assert_eq!(found, Err(NonFinite(Quantity::Tangent(p))));
    }
}
