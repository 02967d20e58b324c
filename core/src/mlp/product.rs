//! The one kernel: sums of coefficient × matrix row, in registers, for whatever matrix product the network needs.

use super::batch::Entry;
use super::sparse::Rows;
use crate::dual::Dual;
use crate::engine::{Engine, Task};
use crate::real::Real;
use crate::vector::Vector;

/// A factor of a whole block: a constant, or a number with tangents.
pub trait Coefficient<V: Vector, const P: usize>: Copy {
    /// `block` times this factor.
    fn times(self, block: Dual<V, P>) -> Dual<V, P>;
}

/// A constant factor, for example a pixel.
#[derive(Clone, Copy)]
pub struct Constant<T>(pub T);

impl<V: Vector, const P: usize> Coefficient<V, P> for Constant<V::Scalar> {
    #[inline(always)]
    fn times(self, block: Dual<V, P>) -> Dual<V, P> {
        block.scaled(V::splat(self.0))
    }
}

impl<V: Vector, const P: usize> Coefficient<V, P> for Dual<V::Scalar, P> {
    #[inline(always)]
    fn times(self, block: Dual<V, P>) -> Dual<V, P> {
        block * Dual::splat(self)
    }
}

/// The terms of each row's sum, in the order of summation: which matrix row, times what.
pub trait Terms {
    /// The factor.
    type Coefficient;
    /// The terms of row `row`.
    fn terms(&self, row: usize) -> impl Iterator<Item = (usize, Self::Coefficient)>;
}

/// The non-zero inputs of each row of a batch.
pub struct Inputs<'a, T>(pub &'a Rows<'a, Entry<T>>);

impl<T: Real> Terms for Inputs<'_, T> {
    type Coefficient = Constant<T>;
    #[inline(always)]
    fn terms(&self, row: usize) -> impl Iterator<Item = (usize, Constant<T>)> {
        self.0.row(row).iter().map(|e| (e.position as usize, Constant(e.value)))
    }
}

/// A matrix of numbers, `blocks` blocks to a row.
#[derive(Clone, Copy)]
pub struct Matrix<'a, V, const P: usize> {
    pub elements: &'a [Dual<V, P>],
    pub blocks: usize,
}

impl<V: Vector, const P: usize> Matrix<'_, V, P> {
    /// The number in `row` and `column`; zero when there is none.
    #[inline(always)]
    fn at(&self, row: usize, column: usize) -> Dual<V::Scalar, P> {
        match self.elements.get(row * self.blocks + column / V::LANES) {
            Some(block) => block.lane(column),
            None => Dual::constant(V::Scalar::ZERO),
        }
    }

    /// `U` blocks of `row` from block `column` on.
    #[inline(always)]
    fn blocks<const U: usize>(&self, row: usize, column: usize) -> Option<&[Dual<V, P>; U]> {
        self.elements.get(row * self.blocks + column..)?.first_chunk()
    }
}

/// The active units of each example: sums over units.
pub struct Units<'a, V, const P: usize> {
    pub active: &'a Rows<'a, u16>,
    pub values: Matrix<'a, V, P>,
}

impl<V: Vector, const P: usize> Terms for Units<'_, V, P> {
    type Coefficient = Dual<V::Scalar, P>;
    #[inline(always)]
    fn terms(&self, row: usize) -> impl Iterator<Item = (usize, Self::Coefficient)> {
        self.active
            .row(row)
            .iter()
            .map(move |&unit| (unit as usize, self.values.at(row, unit as usize)))
    }
}

/// The examples in which each unit is active: sums over examples.
pub struct UnitExamples<'a, V, const P: usize> {
    pub active: &'a Rows<'a, u16>,
    pub values: Matrix<'a, V, P>,
}

impl<V: Vector, const P: usize> Terms for UnitExamples<'_, V, P> {
    type Coefficient = Dual<V::Scalar, P>;
    #[inline(always)]
    fn terms(&self, unit: usize) -> impl Iterator<Item = (usize, Self::Coefficient)> {
        self.active
            .row(unit)
            .iter()
            .map(move |&example| (example as usize, self.values.at(example as usize, unit)))
    }
}

/// Every one of `count` columns, active or not.
pub struct All<'a, V, const P: usize> {
    pub count: usize,
    pub values: Matrix<'a, V, P>,
}

impl<V: Vector, const P: usize> Terms for All<'_, V, P> {
    type Coefficient = Dual<V::Scalar, P>;
    #[inline(always)]
    fn terms(&self, row: usize) -> impl Iterator<Item = (usize, Self::Coefficient)> {
        (0..self.count).map(move |column| (column, self.values.at(row, column)))
    }
}

/// Every one of `count` matrix rows, once: the gradient of a bias.
pub struct Ones<T> {
    pub count: usize,
    pub one: T,
}

impl<T: Real> Terms for Ones<T> {
    type Coefficient = Constant<T>;
    #[inline(always)]
    fn terms(&self, _: usize) -> impl Iterator<Item = (usize, Constant<T>)> {
        (0..self.count).map(|row| (row, Constant(self.one)))
    }
}

/// Where sums start and where they go.
pub trait Target<V, const P: usize> {
    /// What the `U` blocks of `row` from block `column` on start from.
    fn start<const U: usize>(&self, row: usize, column: usize) -> [Dual<V, P>; U];
    /// Takes the finished sums.
    fn finish<const U: usize>(&mut self, row: usize, column: usize, sums: [Dual<V, P>; U]);
}

/// Pre-activations: from the bias into the activations.
pub struct Forward<'a, V, const P: usize> {
    pub bias: &'a [Dual<V, P>],
    pub out: &'a mut [Dual<V, P>],
}

impl<V: Vector, const P: usize> Target<V, P> for Forward<'_, V, P> {
    #[inline(always)]
    fn start<const U: usize>(&self, _: usize, column: usize) -> [Dual<V, P>; U] {
        match self.bias.get(column..).and_then(|b| b.first_chunk()) {
            Some(bias) => *bias,
            None => zeros(),
        }
    }
    #[inline(always)]
    fn finish<const U: usize>(&mut self, row: usize, column: usize, sums: [Dual<V, P>; U]) {
        if let Some(out) = chunk_mut(self.out, row * self.bias.len() + column) {
            *out = sums;
        }
    }
}

/// Errors of the layer below: kept where its pre-activation, which they replace, is above zero.
pub struct Backward<'a, V, const P: usize> {
    pub blocks: usize,
    pub activations: &'a mut [Dual<V, P>],
}

impl<V: Vector, const P: usize> Target<V, P> for Backward<'_, V, P> {
    #[inline(always)]
    fn start<const U: usize>(&self, _: usize, _: usize) -> [Dual<V, P>; U] {
        zeros()
    }
    #[inline(always)]
    fn finish<const U: usize>(&mut self, row: usize, column: usize, sums: [Dual<V, P>; U]) {
        if let Some(z) = chunk_mut::<V, P, U>(self.activations, row * self.blocks + column) {
            for (z, sum) in z.iter_mut().zip(sums) {
                let gate = z.value;
                *z = sum.map(|plane| plane.gated(gate));
            }
        }
    }
}

/// SGD with momentum on the gradient while it is in registers: v ← μ v − α g, θ ← θ + v.
pub struct Descent<'a, V, const P: usize> {
    pub learning_rate: Dual<V, P>,
    pub momentum: V,
    pub blocks: usize,
    pub parameters: &'a mut [Dual<V, P>],
    pub velocity: &'a mut [Dual<V, P>],
    /// 0·θ summed over everything updated: zero as long as all of it is finite, NaN from then on.
    pub poison: Dual<V, P>,
}

impl<V: Vector, const P: usize> Target<V, P> for Descent<'_, V, P> {
    #[inline(always)]
    fn start<const U: usize>(&self, _: usize, _: usize) -> [Dual<V, P>; U] {
        zeros()
    }
    #[inline(always)]
    fn finish<const U: usize>(&mut self, row: usize, column: usize, gradient: [Dual<V, P>; U]) {
        let at = row * self.blocks + column;
        let (Some(parameters), Some(velocity)) =
            (chunk_mut::<V, P, U>(self.parameters, at), chunk_mut::<V, P, U>(self.velocity, at))
        else {
            return;
        };
        let zero = V::splat(V::Scalar::ZERO);
        for ((theta, v), g) in parameters.iter_mut().zip(velocity).zip(gradient) {
            *v = v.scaled(self.momentum) - g * self.learning_rate;
            *theta = *theta + *v;
            self.poison = self.poison + theta.scaled(zero);
        }
    }
}

#[inline(always)]
fn zeros<V: Vector, const P: usize, const U: usize>() -> [Dual<V, P>; U] {
    [Dual::constant(V::splat(V::Scalar::ZERO)); U]
}

#[inline(always)]
fn chunk_mut<V, const P: usize, const U: usize>(
    elements: &mut [Dual<V, P>],
    at: usize,
) -> Option<&mut [Dual<V, P>; U]> {
    elements.get_mut(at..)?.first_chunk_mut()
}

/// For each of `rows` rows: `target` = start + Σ coefficient × row of `matrix`, in the order of `terms`.
///
/// Columns are taken a panel at a time, so that a panel of the matrix stays in the nearest cache while every row passes
/// over it, and its running sums stay in registers. Neither changes the order of any sum.
pub struct Product<'a, 'm, V, T, G, const P: usize> {
    pub rows: usize,
    pub matrix: Matrix<'m, V, P>,
    pub terms: T,
    pub target: &'a mut G,
}

impl<V, T, G, const P: usize> Product<'_, '_, V, T, G, P>
where
    V: Vector,
    T: Terms<Coefficient: Coefficient<V, P>>,
    G: Target<V, P>,
{
    /// Does it on `engine`.
    pub fn on<E: Engine<Vector = V>>(self, engine: E) {
        let sums = E::SUMS / (P + 1);
        engine.run(Panels { product: self, sums });
    }

    #[inline(always)]
    fn panel<const U: usize>(&mut self, column: usize) {
        for row in 0..self.rows {
            let mut sums = self.target.start::<U>(row, column);
            for (at, coefficient) in self.terms.terms(row) {
                if let Some(blocks) = self.matrix.blocks::<U>(at, column) {
                    for (sum, &block) in sums.iter_mut().zip(blocks) {
                        *sum = *sum + coefficient.times(block);
                    }
                }
            }
            self.target.finish(row, column, sums);
        }
    }
}

struct Panels<'a, 'm, V, T, G, const P: usize> {
    product: Product<'a, 'm, V, T, G, P>,
    sums: usize,
}

impl<V, T, G, const P: usize> Task for Panels<'_, '_, V, T, G, P>
where
    V: Vector,
    T: Terms<Coefficient: Coefficient<V, P>>,
    G: Target<V, P>,
{
    type Output = ();

    #[inline(always)]
    fn run(mut self) {
        let blocks = self.product.matrix.blocks;
        let mut column = 0;
        while column < blocks {
            let left = blocks - column;
            column += if self.sums >= 8 && left >= 8 {
                self.product.panel::<8>(column);
                8
            } else if self.sums >= 4 && left >= 4 {
                self.product.panel::<4>(column);
                4
            } else if self.sums >= 2 && left >= 2 {
                self.product.panel::<2>(column);
                2
            } else {
                self.product.panel::<1>(column);
                1
            };
        }
    }
}

/// Lists the active units of each example, and for each unit the examples in which it is active.
pub struct Activity<'a, 'r, V, const P: usize> {
    pub examples: usize,
    pub values: Matrix<'a, V, P>,
    pub by_example: &'a mut Rows<'r, u16>,
    pub by_unit: &'a mut Rows<'r, u16>,
}

impl<V: Vector, const P: usize> Task for Activity<'_, '_, V, P> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let mut length = 0;
        for example in 0..self.examples {
            let row = self.values.elements.get(example * self.values.blocks..).unwrap_or(&[]);
            let mut unit = 0;
            for block in row.iter().take(self.values.blocks) {
                for lane in 0..V::LANES {
                    // Written always, kept when active: a branch here would be mispredicted every other time.
                    if let Some(room) = self.by_example.room().get_mut(length) {
                        *room = unit as u16;
                    }
                    length += (block.value.lane(lane) > V::Scalar::ZERO) as usize;
                    unit += 1;
                }
            }
            self.by_example.end_row(example, length);
        }
        self.by_unit.transpose(self.by_example, self.examples, |example, unit| {
            (unit as usize, example as u16)
        });
    }
}

/// The transpose of the first `inputs` rows of a weight matrix of `outputs` columns.
pub struct Transpose<'a, V, const P: usize> {
    pub inputs: usize,
    pub outputs: usize,
    pub weights: Matrix<'a, V, P>,
    pub out: &'a mut [Dual<V, P>],
}

impl<V: Vector, const P: usize> Task for Transpose<'_, V, P> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let blocks = self.inputs.div_ceil(V::LANES);
        for output in 0..self.outputs {
            let row = self.out.get_mut(output * blocks..).unwrap_or(&mut []);
            for (first, block) in (0..self.inputs).step_by(V::LANES).zip(row) {
                *block = Dual::default();
                for lane in 0..V::LANES.min(self.inputs - first) {
                    block.set_lane(lane, self.weights.at(first + lane, output));
                }
            }
        }
    }
}
