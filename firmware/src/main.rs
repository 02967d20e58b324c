//! Runs every experiment on the device, prints one record per meta-step, judges the results against the golden
//! reports and ends with an exit status.
#![no_std]
#![no_main]

mod drill;
mod experiments;
mod port;

use port::{exit, say};

/// How a run ended; the number is the exit status.
#[derive(Clone, Copy)]
#[repr(u8)]
enum Outcome {
    /// Every experiment gave its golden report.
    Equal = 0,
    /// At least one experiment gave other bits.
    Different = 1,
    /// The program broke: a panic, a fault or a stack overflow.
    Broken = 2,
}

fn run() -> Outcome {
    drill::drill();
    let mut outcome = Outcome::Equal;
    for experiment in experiments::EXPERIMENTS {
        let digest = drill::bent(experiment.run(|step, value| {
            say!("record {} {} value={:08x}", experiment.name, step, value);
        }));
        if digest != experiment.expected {
            outcome = Outcome::Different;
        }
        say!(
            "result {} digest={:016x} expected={:016x}",
            experiment.name,
            digest,
            experiment.expected
        );
    }
    outcome
}

#[panic_handler]
fn panic(info: &core::panic::PanicInfo) -> ! {
    port::say_panic(info);
    exit(Outcome::Broken)
}
