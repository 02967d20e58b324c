//! Runs every experiment on the device, prints one record per meta-step, judges the results against
//! the golden reports and ends with an exit status.
#![no_std]
#![no_main]

mod drill;
mod port;
mod room;

use drill::Drill;
use myopia_core::experiments::{Report, experiments};
use port::{exit, say};
use room::{Room, room};

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
    // Which image this is: a board's name, otherwise the target's triple.
    say!("target {}", env!("MYOPIA_TARGET"));
    let drill = port::drill().or(Drill::built_in());
    if let Some(drill) = drill {
        drill.start();
    }
    let room = room();
    let mut outcome = Outcome::Equal;
    for experiment in experiments::<Room>() {
        let name = experiment.name;
        let report = experiment.run(room, |record| {
            let [alpha0, time_constant, beta] = record.schedule;
            say!(
                "record {} {} alpha0={:x} K={:x} beta={:x} loss={:x} digest={:016x}",
                name,
                record.step,
                alpha0,
                time_constant,
                beta,
                record.loss,
                record.digest
            );
        });
        match report {
            Ok(report) => {
                let report = drill.map_or(report, |drill| drill.bent(report));
                if report != experiment.golden {
                    outcome = Outcome::Different;
                }
                say_report("report", name, &report);
                say_report("golden", name, &experiment.golden);
            }
            Err(failed) => {
                say!("broken {}: {}", name, failed.message());
                return Outcome::Broken;
            }
        }
    }
    outcome
}

fn say_report(kind: &str, name: &str, report: &Report) {
    let [d_alpha0, d_time_constant, d_beta] = report.derivatives;
    say!(
        "{} {} digest={:016x} values={:016x} tangents={:016x} loss={:x} d_alpha0={:x} d_K={:x} d_beta={:x}",
        kind,
        name,
        report.digest(),
        report.values,
        report.tangents,
        report.loss,
        d_alpha0,
        d_time_constant,
        d_beta
    );
}

#[panic_handler]
fn panic(info: &core::panic::PanicInfo) -> ! {
    port::say_panic(info);
    exit(Outcome::Broken)
}
