//! Links only if no panic can be reached from the experiments: the panic handler calls a function that does not exist.
//! Never run; a build of it is the check. It has no `defmt`, whose own code refers to a panic.
#![no_std]
#![no_main]

#[path = "../experiments.rs"]
mod experiments;

use core::hint::black_box;

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
    for experiment in experiments::EXPERIMENTS {
        black_box(experiment.run(|step, value| {
            black_box((step, value));
        }));
    }
    // With this the link must fail: it shows that the check can.
    if option_env!("MYOPIA_DRILL").is_some() {
        black_box(experiments::EXPERIMENTS[black_box(7)].expected);
    }
    loop {
        core::hint::spin_loop();
    }
}
