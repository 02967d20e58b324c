//! A partial last panel of n ≤ LANES/(P + 1) columns: value and P tangents in one vector.

use crate::dual::Dual;
use crate::vector::Vector;

/// Packing of the last panel's P + 1 planes into one vector, an equal share of the lanes for each.
///
/// 100 units are six vectors of 16 lanes and 4 units more, which with three tangents would take
/// four vectors with 12 empty lanes each. Products with a constant factor can take them as one
/// vector: lanes are independent.
#[derive(Clone, Copy)]
pub struct LanePacking(());

impl LanePacking {
    /// Packing of the last panel of `units` columns, if it is not full and its planes fit into one
    /// vector.
    pub fn of<V: Vector, const P: usize>(units: usize) -> Option<Self> {
        let rest = units % V::LANES;
        (P > 0 && rest > 0 && rest <= V::LANES / (P + 1)).then_some(Self(()))
    }

    /// The planes of `block`, side by side.
    #[inline(always)]
    pub fn pack<V: Vector, const P: usize>(self, block: &Dual<V, P>) -> V {
        let share = const { V::LANES / (P + 1) };
        let mut packed = V::default();
        for lane in 0..share {
            packed.set_lane(lane, block.value.lane(lane));
        }
        for (p, tangent) in (1..).zip(&block.tangents) {
            for lane in 0..share {
                packed.set_lane(p * share + lane, tangent.lane(lane));
            }
        }
        packed
    }

    /// Inverse of [`pack`](Self::pack); the other lanes are zero, as in every last panel.
    #[inline(always)]
    pub fn unpack<V: Vector, const P: usize>(self, packed: V) -> Dual<V, P> {
        let share = const { V::LANES / (P + 1) };
        let mut block: Dual<V, P> = Dual::default();
        for lane in 0..share {
            block.value.set_lane(lane, packed.lane(lane));
        }
        for (p, tangent) in (1..).zip(&mut block.tangents) {
            for lane in 0..share {
                tangent.set_lane(lane, packed.lane(p * share + lane));
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
    fn a_last_panel_is_packed_with_its_tangents_where_they_fit() {
        let packing = LanePacking::of::<F32x16, 3>(100).unwrap();
        let mut block = Dual::<F32x16, 3>::default();
        for lane in 0..4u8 {
            let value = f32::from(lane) + 1.0;
            block.set_lane(
                lane.into(),
                Dual { value, tangents: [1.0, 2.0, 3.0].map(|p| 10.0 * p + value) },
            );
        }
        let packed = packing.pack(&block);
        let lanes = [
            1.0, 2.0, 3.0, 4.0, 11.0, 12.0, 13.0, 14.0, 21.0, 22.0, 23.0, 24.0, 31.0, 32.0, 33.0,
            34.0,
        ];
        assert_eq!(packed.0, lanes);
        assert_eq!(packing.unpack::<_, 3>(packed), block);
        assert!(
            LanePacking::of::<F32x8, 3>(100).is_none(),
            "sixteen numbers do not fit into eight lanes"
        );
        assert!(LanePacking::of::<F32x16, 3>(96).is_none(), "there is no rest");
        assert!(LanePacking::of::<F32x16, 0>(100).is_none(), "there are no tangents");
    }
}
