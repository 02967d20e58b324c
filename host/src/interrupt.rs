//! Ctrl-C and SIGTERM: the first asks the program to stop at the next place where that loses nothing, the second ends it.

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, OnceLock};

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

use crate::failure::Failure;

/// The exit status that shells give to a program ended by Ctrl-C.
const ENDED: i32 = 130;

/// Whether the program was asked to stop.
pub fn asked() -> &'static Arc<AtomicBool> {
    static ASKED: OnceLock<Arc<AtomicBool>> = OnceLock::new();
    ASKED.get_or_init(Arc::default)
}

/// Begins to listen; until then both end the program at once.
///
/// # Errors
/// When the system refuses.
pub fn listen() -> Result<(), Failure> {
    static LISTENING: OnceLock<Result<(), Failure>> = OnceLock::new();
    let listen = || {
        for signal in [SIGINT, SIGTERM] {
            // In this order: the second time, the flag is found set.
            flag::register_conditional_shutdown(signal, ENDED, asked().clone())
                .and_then(|_| flag::register(signal, asked().clone()))
                .map_err(|e| Failure::run(format!("could not listen for signal {signal}: {e}")))?;
        }
        Ok(())
    };
    LISTENING.get_or_init(listen).clone()
}
