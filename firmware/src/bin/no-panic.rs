//! Links only if no panic can be reached from the experiments: the panic handler calls a function
//! that does not exist. Never run; a build of it is the check. It has no `defmt`, whose own code
//! refers to a panic.
#![no_std]
#![no_main]

#[path = "../room.rs"]
mod room;

use core::hint::black_box;

use myopia_core::experiments::{EXPERIMENTS, experiments};

unsafe extern "C" {
    safe fn a_panic_can_be_reached() -> !;
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    a_panic_can_be_reached()
}

#[cfg_attr(target_arch = "arm", cortex_m_rt::entry)]
#[cfg_attr(target_arch = "riscv32", riscv_rt::entry)]
fn start() -> ! {
    let room = room::room();
    for experiment in experiments::<room::Room>() {
        let report = experiment.run(room, |record| {
            black_box(record);
        });
        black_box(report == Ok(experiment.golden));
        black_box(report.map(|report| report.digest()).map_err(|failed| failed.message())).ok();
    }
    // With this the link must fail: it shows that the check can.
    if option_env!("MYOPIA_DRILL").is_some() {
        black_box(EXPERIMENTS[black_box(7)].golden);
    }
    loop {
        core::hint::spin_loop();
    }
}
