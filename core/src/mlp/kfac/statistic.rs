//! The statistics A and S: exponential averages of second moments over a batch.
//!
//! A second moment Σ_b x x'ᵀ is a weight gradient whose errors are the inputs themselves, so it is
//! found by the same products; the "biases", Σ_b x', are the row of A that belongs to its 1.

use crate::backend::{Backend, Kernel, Scalar};
use crate::dual::Dual;
use crate::mlp::batch::Batch;
use crate::mlp::csr::Csr;
use crate::mlp::gemm::run_panels;
use crate::mlp::input_layer::SparseWeightGradient;
use crate::mlp::layout::Slots;
use crate::mlp::lhs::Transposed;
use crate::mlp::matrix::Matrix;
use crate::mlp::products::WeightGradient;
use crate::mlp::update::{LayerUpdate, UpdateRule};
use crate::real::Real;
use crate::vector::Vector;

/// The rule M ← d M + (1 − d) (g · times / over), applied to a sum g over a batch.
#[derive(Clone, Copy)]
pub struct MovingAverage<V> {
    /// d.
    kept: V,
    /// 1 − d.
    new: V,
    times: V,
    over: V,
}

impl<V: Vector> MovingAverage<V> {
    /// Of A: the sum over `examples` examples is divided by their number.
    pub fn of_inputs(kept: V::Scalar, examples: usize) -> Self {
        let one = V::Scalar::ONE;
        let count = V::Scalar::from_u32(examples as u32);
        let (kept, new) = (V::splat(kept), V::splat(one - kept));
        Self { kept, new, times: V::splat(one), over: V::splat(count) }
    }

    /// Of S: each error was divided by the number of examples, so that the mean of squares is their
    /// sum times it.
    pub fn of_errors(kept: V::Scalar, examples: usize) -> Self {
        let all = Self::of_inputs(kept, examples);
        Self { times: all.over, over: all.times, ..all }
    }
}

impl<V: Vector, const P: usize> UpdateRule<V, P, 0> for MovingAverage<V> {
    const FLOPS: u64 = 5 * (P as u64 + 1);

    #[inline(always)]
    fn apply(
        &self,
        theta: &mut Dual<V, P>,
        gradient: Dual<V, P>,
        _: &mut [Dual<V, P>; 0],
    ) -> Dual<V, P> {
        let moment = gradient.scaled(self.times).divided(self.over);
        *theta = theta.scaled(self.kept) + moment.scaled(self.new);
        *theta
    }
}

/// Moves an average of the second moments of `columns` columns of `x`, of `examples` examples; with
/// a last row of sums.
pub fn average_of<G: Backend, const P: usize>(
    backend: G,
    threads: usize,
    examples: usize,
    x: Matrix<'_, G::Vector, P>,
    columns: usize,
    average: &mut [Dual<G::Vector, P>],
    rule: MovingAverage<G::Vector>,
) -> Dual<G::Vector, P> {
    let rows = columns + 1;
    let panels = average.len().checked_div(rows).unwrap_or(0);
    let mut none = no_state();
    let state = none.get_mut(..average.len()).unwrap_or_default();
    let update = LayerUpdate { backend, rule, rows, parameters: average, state };
    let a = Transposed { examples, values: x };
    let pass =
        WeightGradient::<_, _, _, P, 0, 1> { inputs: columns, examples, a, errors: x, update };
    run_panels(backend, threads, panels, pass)
}

/// The same of the examples of a batch, of which `x` holds the `inputs` inputs with their 1.
pub fn average_of_examples<G: Backend>(
    backend: G,
    threads: usize,
    batch: &Batch<'_, Scalar<G>>,
    x: Matrix<'_, G::Vector, 0>,
    inputs: usize,
    average: &mut [Dual<G::Vector, 0>],
    rule: MovingAverage<G::Vector>,
) -> Dual<G::Vector, 0> {
    let rows = inputs + 1;
    let panels = average.len().checked_div(rows).unwrap_or(0);
    let mut none = no_state();
    let state = none.get_mut(..average.len()).unwrap_or_default();
    let update = LayerUpdate { backend, rule, rows, parameters: average, state };
    let (by_pair, examples) = (batch.by_pair(), batch.len().min(x.rows));
    let pass = SparseWeightGradient { by_pair, inputs, examples, errors: x, update };
    run_panels(backend, threads, panels, pass)
}

/// The state of a rule that has none: it takes no memory, however long it is.
fn no_state<N: Copy>() -> [Slots<N, 0>; LONGEST] {
    [Slots([]); LONGEST]
}

/// More blocks than a buffer can have.
const LONGEST: usize = usize::MAX >> 1;

/// Copies activations, zeros in place of negative ones, and puts a 1 behind the last of `units`.
pub struct WithOne<'a, V: Vector, const P: usize> {
    pub units: usize,
    pub values: Matrix<'a, V, P>,
    pub to: &'a mut [Dual<V, P>],
}

impl<V: Vector, const P: usize> Kernel for WithOne<'_, V, P> {
    type Output = ();

    fn label(&self) -> &'static str {
        "activations with ones"
    }

    #[inline(always)]
    fn run(self) {
        let rows = self.values.rows.max(1);
        let places = (0..=self.units / V::LANES).flat_map(|panel| (0..rows).map(move |_| panel));
        for (at, (to, panel)) in self.to.iter_mut().zip(places).enumerate() {
            let z = self.values.elements.get(at).copied().unwrap_or_default();
            *to = z.map(|plane| plane.select_positive(z.value));
            if panel == self.units / V::LANES {
                to.set_lane(self.units, Dual::constant(V::Scalar::ONE));
            }
        }
    }
}

/// Writes the inputs of a batch's examples, zeros included, and a 1 behind the last of `inputs`.
pub struct ExamplesWithOne<'a, V: Vector> {
    pub inputs: usize,
    pub examples: usize,
    pub by_example: &'a Csr<'a, [V::Scalar; 2]>,
    /// Rows of `to`.
    pub rows: usize,
    pub to: &'a mut [Dual<V, 0>],
}

impl<V: Vector> Kernel for ExamplesWithOne<'_, V> {
    type Output = ();

    fn label(&self) -> &'static str {
        "examples with ones"
    }

    #[inline(always)]
    fn run(self) {
        self.to.fill(Dual::default());
        for example in 0..self.examples {
            let mut put = |input: usize, x| {
                if let Some(to) = self.to.get_mut(input / V::LANES * self.rows + example) {
                    to.value.set_lane(input, x);
                }
            };
            for entry in self.by_example.row(example) {
                let [first, second] = entry.factor;
                put(2 * usize::from(entry.position), first);
                put(2 * usize::from(entry.position) + 1, second);
            }
            put(self.inputs, V::Scalar::ONE);
        }
    }
}
