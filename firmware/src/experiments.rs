//! A stand-in until core's table of experiments exists.

pub struct Experiment {
    pub name: &'static str,
    pub expected: u64,
}

pub const EXPERIMENTS: &[Experiment] =
    &[Experiment { name: "sum", expected: 0xa309_0545_3fa9_0f81 }];

impl Experiment {
    pub fn run(&self, mut record: impl FnMut(u32, u32)) -> u64 {
        let mut hash = 0xcbf2_9ce4_8422_2325u64;
        let mut x = core::hint::black_box(1.0f32);
        for step in 0..5 {
            x = x / 3.0 + 0.1;
            record(step, x.to_bits());
            hash = (hash ^ u64::from(x.to_bits())).wrapping_mul(0x0000_0100_0000_01b3);
        }
        hash
    }
}
