//! The golden reports, written by the command that `mod.rs` names. Why they last changed:
//! Adam's network has batch normalisation, and SGD has an experiment with it; the others stay.

use super::report::Report;

pub const NQM_MOMENTS_F32: Report = Report {
    values: 0x3245712aeab61109,
    tangents: 0x8f50141463b84900,
    loss: 0x000000003fb190ae,
    derivatives: [0x00000000c08650ee, 0x00000000bca5d1aa, 0x000000003f1c23ef],
};

pub const NQM_MOMENTS_F64: Report = Report {
    values: 0xab43bbcd9a0ec67e,
    tangents: 0xe43fdb1c3f189afe,
    loss: 0x3ff63215907f0514,
    derivatives: [0xc010ca1cfc23d5ef, 0xbf94ba34b2dab809, 0x3fe3847d1ede84e4],
};

pub const NQM_META_DESCENT: Report = Report {
    values: 0xf5d68f57f26481c4,
    tangents: 0x57143676295c565b,
    loss: 0x3ff8ff1fbb10fe0d,
    derivatives: [0xc00b240505f1ef26, 0xbf82b246a586c4d7, 0x3fdc77a789016375],
};

pub const MLP_TRAINING: Report = Report {
    values: 0x2abc9211e4b1feb0,
    tangents: 0xb236a8d652bf8625,
    loss: 0x00000000400e17e9,
    derivatives: [0x0000000000000000, 0x0000000000000000, 0x0000000000000000],
};

pub const MLP_META_DESCENT: Report = Report {
    values: 0xcb16f3bb1c094b46,
    tangents: 0x424893f54209e0d4,
    loss: 0x0000000040064de6,
    derivatives: [0x00000000c03baa36, 0x00000000b94cc330, 0x000000003c4ac507],
};

pub const MLP_META_DESCENT_MICROMATH: Report = Report {
    values: 0xaa333e0f26e33c7a,
    tangents: 0x07eba3900cedd6ae,
    loss: 0x0000000040065ddc,
    derivatives: [0x00000000c0368bf2, 0x00000000b948721c, 0x000000003c4284dd],
};

pub const MLP_ADAM: Report = Report {
    values: 0x28eb500a719c7edb,
    tangents: 0xecf8f170ad0ec31e,
    loss: 0x00000000400a08f6,
    derivatives: [0x00000000bf5691a8, 0x000000004005d3a4, 0x000000003def1f60],
};

pub const MLP_NORM: Report = Report {
    values: 0xd63c6b0f6f373eb3,
    tangents: 0x12550ea2132e09d9,
    loss: 0x000000004002730a,
    derivatives: [0x00000000c00bc114, 0x00000000bef3af25, 0x000000003e8f6b5d],
};

pub const BILEVEL_DESCENT: Report = Report {
    values: 0xfe573bbed80eec8e,
    tangents: 0x6cf3254aee0f25c4,
    loss: 0x000000003eb9bf77,
    derivatives: [0x00000000bc9ac8e8, 0x000000003bee1db0, 0x00000000bcc35e50],
};
