//! Counts the instructions of training on a Cortex-M, for `myopia verify --cost`: one line for each
//! number of tangents and source of elementary functions. In QEMU with `-icount shift=0` an
//! instruction takes a fixed time, which the system timer measures; how many ticks an instruction
//! takes is found out by a loop of known length.
#![no_std]
#![no_main]

use core::arch::asm;
use core::hint::black_box;

use cortex_m::peripheral::syst::SystClkSource;
use cortex_m::peripheral::{Peripherals, SYST};
use myopia_core::backend::Portable;
use myopia_core::elementary::{Elementary, Libm, Micromath};
use myopia_core::experiments::MetaDescentNet;
use myopia_core::experiments::cost::{INPUTS, Plainly, evaluate, prepare, train};
use myopia_core::mlp::{Batch, Network};
use myopia_core::schedule::{PARAMETERS, Parameter};
use myopia_core::vector::F32x4;
use semihosting::println;

/// Instructions of the loop of known length.
const KNOWN: u64 = 2_000_000;
/// What the system timer starts from: its largest value.
const START: u32 = 0xff_ffff;

#[panic_handler]
fn panic(info: &core::panic::PanicInfo) -> ! {
    println!("broken {}", info);
    semihosting::process::exit(2)
}

struct Clock {
    timer: SYST,
    /// Ticks that the loop of known length takes.
    known: u64,
}

impl Clock {
    fn new(mut timer: SYST) -> Self {
        timer.set_clock_source(SystClkSource::Core);
        timer.set_reload(START);
        timer.enable_counter();
        let mut clock = Self { timer, known: 1 };
        clock.known = u64::from(clock.ticks(|| {
            // SAFETY: touches one register.
            unsafe {
                asm!(
                    "2: subs {count}, {count}, #1",
                    "bne 2b",
                    count = inout(reg) KNOWN as u32 / 2 => _,
                );
            }
        }));
        clock
    }

    /// Ticks of the system timer that `work` takes; it must end before the timer has gone round.
    fn ticks(&mut self, work: impl FnOnce()) -> u32 {
        self.timer.clear_current();
        let before = SYST::get_current();
        work();
        let after = SYST::get_current();
        before.wrapping_sub(after) & START
    }

    fn instructions(&mut self, work: impl FnOnce()) -> u64 {
        u64::from(self.ticks(work)) * KNOWN / self.known
    }
}

type Parts<'a, E, const P: usize> = (Network<'a, Portable<F32x4>, P, E>, Batch<'a, f32>);

fn count<E: Elementary<f32>, const P: usize>(
    clock: &mut Clock,
    (mut network, mut batch): Parts<'_, E, P>,
    directions: [Parameter; P],
) {
    let mut counted = [[0; 2]; 2];
    for ([training, evaluation], inputs) in counted.iter_mut().zip(INPUTS) {
        prepare(&mut network, &mut batch, inputs);
        *evaluation = clock.instructions(|| {
            black_box(evaluate(&mut network, &batch));
        });
        *training = clock.instructions(|| {
            black_box(train(&mut network, &batch, directions)).ok();
        });
    }
    let [[train_all, evaluate_all], [train_half, evaluate_half]] = counted;
    println!(
        "cost tangents={} functions={} train={} train_half={} evaluate={} evaluate_half={}",
        P,
        E::NAME,
        train_all,
        train_half,
        evaluate_all,
        evaluate_half
    );
}

#[cortex_m_rt::entry]
fn start() -> ! {
    static mut PLAIN: Plainly = Plainly::new();
    static mut DUAL: MetaDescentNet = MetaDescentNet::new();
    let Some(peripherals) = Peripherals::take() else { semihosting::process::exit(2) };
    let clock = &mut Clock::new(peripherals.SYST);
    let fits = "the storage has the network's lengths";
    count::<Libm, 0>(clock, PLAIN.network(Portable::new()).expect(fits), []);
    count::<Micromath, 0>(clock, PLAIN.network_with(Portable::new()).expect(fits), []);
    count::<Libm, 3>(clock, DUAL.network(Portable::new()).expect(fits), PARAMETERS);
    count::<Micromath, 3>(clock, DUAL.network_with(Portable::new()).expect(fits), PARAMETERS);
    println!("end 0");
    semihosting::process::exit(0)
}
