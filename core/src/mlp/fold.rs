//! The rest of a row that does not fill a block, with its tangents in the lanes that are left.

use crate::dual::Dual;
use crate::vector::Vector;

/// How the last block of a row is folded: its value and each tangent take an equal share of one vector's lanes.
///
/// 100 units are six vectors of sixteen lanes and a rest of four, which with three tangents would take four vectors of
/// which twelve lanes are empty. What multiplies all of a row by a constant can take them as one: lanes are independent.
#[derive(Clone, Copy)]
pub struct Fold(());

impl Fold {
    /// The fold of the last block in rows of `units` numbers with P tangents, where there is a rest and room for it.
    pub fn of<V: Vector, const P: usize>(units: usize) -> Option<Self> {
        let rest = units % V::LANES;
        (P > 0 && rest > 0 && rest <= V::LANES / (P + 1)).then_some(Self(()))
    }

    /// The planes of `block` side by side.
    #[inline(always)]
    pub fn fold<V: Vector, const P: usize>(self, block: &Dual<V, P>) -> V {
        let share = const { V::LANES / (P + 1) };
        let mut folded = V::default();
        for lane in 0..share {
            folded.set_lane(lane, block.value.lane(lane));
        }
        for (p, tangent) in (1..).zip(&block.tangents) {
            for lane in 0..share {
                folded.set_lane(p * share + lane, tangent.lane(lane));
            }
        }
        folded
    }

    /// The block that was folded; its other lanes are zero, as they are in every last block.
    #[inline(always)]
    pub fn unfold<V: Vector, const P: usize>(self, folded: V) -> Dual<V, P> {
        let share = const { V::LANES / (P + 1) };
        let mut block: Dual<V, P> = Dual::default();
        for lane in 0..share {
            block.value.set_lane(lane, folded.lane(lane));
        }
        for (p, tangent) in (1..).zip(&mut block.tangents) {
            for lane in 0..share {
                tangent.set_lane(lane, folded.lane(p * share + lane));
            }
        }
        block
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vector::{F32x8, F32x16};

    #[test]
    fn a_rest_with_its_tangents_is_folded_where_it_fits() {
        let fold = Fold::of::<F32x16, 3>(100).unwrap();
        let mut block = Dual::<F32x16, 3>::default();
        for lane in 0..4u8 {
            let value = f32::from(lane) + 1.0;
            block.set_lane(
                lane.into(),
                Dual { value, tangents: [1.0, 2.0, 3.0].map(|p| 10.0 * p + value) },
            );
        }
        let folded = fold.fold(&block);
        let lanes = [
            1.0, 2.0, 3.0, 4.0, 11.0, 12.0, 13.0, 14.0, 21.0, 22.0, 23.0, 24.0, 31.0, 32.0, 33.0,
            34.0,
        ];
        assert_eq!(folded.0, lanes);
        assert_eq!(fold.unfold::<_, 3>(folded), block);
        assert!(Fold::of::<F32x8, 3>(100).is_none(), "sixteen numbers do not fit into eight lanes");
        assert!(Fold::of::<F32x16, 3>(96).is_none(), "there is no rest");
        assert!(Fold::of::<F32x16, 0>(100).is_none(), "there are no tangents");
    }
}
