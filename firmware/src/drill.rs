//! Runs that go wrong on purpose, to see that each ends with a message and a failure status:
//! `MYOPIA_DRILL=panic|fault|overflow|hang|difference` at build time.

use core::hint::black_box;

use myopia_core::experiments::Report;

const DRILL: Option<&str> = option_env!("MYOPIA_DRILL");

/// Goes wrong, where this image was built to; for `difference` see [`bent`].
pub fn drill() {
    match DRILL {
        None | Some("difference") => {}
        Some("panic") => panic!("drill"),
        Some("fault") => crate::port::fault(),
        Some("overflow") => {
            overflow(0);
        }
        Some("hang") => loop {
            core::hint::spin_loop();
        },
        Some(_) => unreachable!("a drill that does not exist"),
    }
}

/// The report, with one bit bent where this image was built to report a difference.
pub fn bent(mut report: Report) -> Report {
    report.loss ^= u64::from(DRILL == Some("difference"));
    report
}

#[expect(unconditional_recursion, reason = "the stack is to overflow")]
fn overflow(depth: u32) -> u32 {
    let frame = black_box([depth; 16]);
    overflow(depth + 1) + frame[0]
}
