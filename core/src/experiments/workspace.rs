//! The storage of the experiments.

use super::quadratic::Quadratic;
use crate::glyphs::{CLASSES, PIXELS};
use crate::vector::{F32x4, F32x8, F64x8};

/// Blocks of eight directions in a quadratic.
const BLOCKS: usize = 1;
/// Directions of a quadratic.
pub const DIRECTIONS: usize = BLOCKS * crate::nqm::BLOCK;
/// Training examples of a network.
const EXAMPLES: usize = 32;

crate::fixed_network! {
    /// The network that is trained.
    #[derive(Debug)]
    pub struct Training { sizes: [PIXELS, 4, CLASSES], batch: 2, vector: F32x4, tangents: 0 }
}

crate::fixed_network! {
    /// The network whose training is differentiated with respect to α₀, K and β.
    #[derive(Debug)]
    pub struct Descent { sizes: [PIXELS, 8, CLASSES], batch: 4, vector: F32x4, tangents: 3 }
}

/// What the experiments run in.
pub trait Workspace {
    /// Whether it has room for every experiment.
    const IS_FULL: bool;
    /// The part that every workspace has.
    fn reduced(&mut self) -> &mut Reduced;
    /// The network with tangents and the order of its examples, where there is room.
    fn descent(&mut self) -> Option<(&mut Descent, &mut [u32])>;
}

/// Room for the experiments of a target with 16 KiB of RAM.
#[derive(Debug)]
pub struct Reduced {
    pub(super) quadratic_f32: Quadratic<F32x8, BLOCKS>,
    pub(super) quadratic_f64: Quadratic<F64x8, BLOCKS>,
    pub(super) training: Training,
    pub(super) order: [u32; EXAMPLES],
}

impl Reduced {
    /// The storage; what it holds does not matter.
    #[expect(clippy::new_without_default, reason = "a default would be built on the stack")]
    pub const fn new() -> Self {
        Self {
            quadratic_f32: Quadratic::<F32x8, BLOCKS>::new(),
            quadratic_f64: Quadratic::<F64x8, BLOCKS>::new(),
            training: Training::new(),
            order: [0; EXAMPLES],
        }
    }
}

impl Workspace for Reduced {
    const IS_FULL: bool = false;

    fn reduced(&mut self) -> &mut Reduced {
        self
    }

    fn descent(&mut self) -> Option<(&mut Descent, &mut [u32])> {
        None
    }
}

/// Room for all experiments.
#[derive(Debug)]
pub struct Full {
    reduced: Reduced,
    descent: Descent,
}

impl Full {
    /// The storage; what it holds does not matter.
    #[expect(clippy::new_without_default, reason = "a default would be built on the stack")]
    pub const fn new() -> Self {
        Self { reduced: Reduced::new(), descent: Descent::new() }
    }
}

impl Workspace for Full {
    const IS_FULL: bool = true;

    fn reduced(&mut self) -> &mut Reduced {
        &mut self.reduced
    }

    fn descent(&mut self) -> Option<(&mut Descent, &mut [u32])> {
        Some((&mut self.descent, &mut self.reduced.order))
    }
}
