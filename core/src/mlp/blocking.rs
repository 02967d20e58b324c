//! Tile sizes MR and K, in rows, and the L1 budget, in bytes; NR follows from the registers of the
//! [`Backend`](crate::backend::Backend) (`gemm.rs`). None of them enters a bit.
//!
//! A register tile is MR rows by NR column panels of C. NR panels of B should stay in L1 while all
//! rows of A pass over them; where they do not, k is divided into blocks that do, and partial sums
//! are stored in C between two blocks.

use core::ops::Range;

use super::mask::BITS;
use crate::dual::Dual;

/// Rows of a register tile of a dense product. A sparse product has one: its rows have different k.
pub const MR: usize = 4;
/// Most column panels NR of a register tile. On bare metal flash is short: wider ones are not
/// compiled there.
pub const WIDEST: usize = if cfg!(target_os = "none") { 4 } else { 8 };
/// Size of the L1 data cache, in bytes.
pub const L1_BYTES: usize = 48 << 10;
/// Outputs from which on the gradient with respect to the inputs is blocked over k: so many rows of
/// the transposed weights with three tangents overflow L1. Never on 32-bit targets, where flash is
/// short: the code is not compiled there.
pub const BLOCKED_OUTPUTS: usize = if BITS > 32 { 2 * BITS } else { usize::MAX };
/// Longest row of a left operand that is copied into a list: its product is not divided into
/// blocks of k. None on 32-bit targets, where flash is short: the code is not compiled there.
pub const LONGEST_LIST: usize = if BITS > 32 { BLOCKED_OUTPUTS } else { 0 };

/// Bytes of one panel of B that a product with `k` rows of B uses again and again.
///
/// About 3/4 of the rows are: the others belong to units that are not active. A block of k also
/// brings the elements of A through L1, 1/4 more. Both were measured (`benches/README.md`).
pub const fn resident_bytes<V, const P: usize>(k: usize, is_blocked: bool) -> usize {
    let rows = if is_blocked && k > BITS { BITS / 4 * 5 } else { k / 4 * 3 };
    rows * size_of::<Dual<V, P>>()
}

/// Most panels of B with `resident_bytes` each that stay in L1.
pub const fn panels_in_l1(resident_bytes: usize) -> usize {
    match L1_BYTES.checked_div(resident_bytes) {
        Some(panels) => panels,
        None => usize::MAX,
    }
}

/// Ranges of `k_blocks` blocks, each of `k_block` rows, for which NR panels of a B of `k` rows stay
/// in L1.
#[inline(always)]
pub fn k_ranges<V, const P: usize, const NR: usize>(
    k: usize,
    k_block: usize,
    k_blocks: usize,
) -> impl Iterator<Item = Range<usize>> {
    let rows = L1_BYTES / const { NR * size_of::<Dual<V, P>>() };
    let fit = if k <= rows { k_blocks } else { rows.checked_div(k_block).unwrap_or(1) };
    let step = if fit > 0 { fit } else { 1 };
    (0..k_blocks).step_by(step).map(move |first| {
        let left = k_blocks - first;
        first..if left <= step { k_blocks } else { first + step }
    })
}
