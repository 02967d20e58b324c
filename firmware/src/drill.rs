//! Runs that go wrong on purpose, to see that each ends with a message and a failure status.
//!
//! The command line asks for one: `drill=panic`, `drill=fault`, `drill=overflow`, `drill=hang` or
//! `drill=difference` as the program's argument (an emulator's: `-semihosting-config
//! …,arg=myopia,arg=drill=panic`). Boards and WebAssembly have no command line; an image for them
//! is built to drill by `MYOPIA_DRILL=panic`.

use core::hint::black_box;

use myopia_core::experiments::Report;

/// What is to go wrong.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Drill {
    /// A panic.
    Panic,
    /// A fault of the processor.
    Fault,
    /// A stack overflow.
    Overflow,
    /// A run without an end.
    Hang,
    /// One bent bit.
    Difference,
}

impl Drill {
    /// The drill that the last word of `command_line` asks for.
    pub fn asked_for(command_line: &[u8]) -> Option<Self> {
        let word = command_line.rsplit(|&byte| byte == b' ').next()?;
        Self::named(word.strip_prefix(b"drill=")?)
    }

    /// The drill that this image was built for.
    pub fn built_in() -> Option<Self> {
        Self::named(option_env!("MYOPIA_DRILL")?.as_bytes())
    }

    fn named(name: &[u8]) -> Option<Self> {
        Some(match name {
            b"panic" => Self::Panic,
            b"fault" => Self::Fault,
            b"overflow" => Self::Overflow,
            b"hang" => Self::Hang,
            b"difference" => Self::Difference,
            _ => return None,
        })
    }

    /// Goes wrong; for `Difference` see [`bent`](Self::bent).
    pub fn start(self) {
        match self {
            Self::Difference => {}
            Self::Panic => panic!("drill"),
            Self::Fault => crate::port::fault(),
            Self::Overflow => {
                overflow(0);
            }
            Self::Hang => loop {
                core::hint::spin_loop();
            },
        }
    }

    /// The report, with one bit bent if that is the drill.
    pub fn bent(self, mut report: Report) -> Report {
        report.loss ^= u64::from(self == Self::Difference);
        report
    }
}

#[expect(unconditional_recursion, reason = "the stack is to overflow")]
fn overflow(depth: u32) -> u32 {
    let frame = black_box([depth; 16]);
    overflow(depth + 1) + frame[0]
}
