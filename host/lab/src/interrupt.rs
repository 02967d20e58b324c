//! Signals that ask the program to stop: it does so at the next place where that loses nothing.
//!
//! Ctrl-C and SIGTERM ask once, and end it at once when they come again. SIGHUP (the terminal is
//! gone), SIGXCPU (a limit of processor time), SIGUSR1 and SIGUSR2 (what batch systems send before
//! they end a job) only ask: some of them come again and again. What whoever started the program
//! had told it to ignore (`nohup`, a job in the background of a script) stays ignored.

#[cfg(unix)]
use std::ffi::{CStr, CString, c_char};
#[cfg(unix)]
use std::os::unix::ffi::OsStrExt;
#[cfg(unix)]
use std::path::Path;
#[cfg(unix)]
use std::ptr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
#[cfg(unix)]
use std::sync::{Once, atomic::AtomicPtr};

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;
#[cfg(unix)]
use signal_hook::low_level;

use crate::failure::Failure;

/// The exit status that shells give to a program ended by Ctrl-C.
const ENDED: i32 = 130;

/// Signals that only ask.
#[cfg(unix)]
const BATCH: [i32; 4] = {
    use signal_hook::consts::{SIGHUP, SIGUSR1, SIGUSR2};
    [SIGHUP, SIGUSR1, SIGUSR2, rustix::process::Signal::XCPU.as_raw()]
};
#[cfg(not(unix))]
const BATCH: [i32; 0] = [];

/// Whether the program was asked to stop.
pub fn asked() -> &'static Arc<AtomicBool> {
    static ASKED: OnceLock<Arc<AtomicBool>> = OnceLock::new();
    ASKED.get_or_init(Arc::default)
}

/// The same, now.
pub fn is_asked() -> bool {
    asked().load(Ordering::Relaxed)
}

/// Begins to listen; until then each of them ends the program at once.
///
/// # Errors
/// When the system refuses.
pub fn listen() -> Result<(), Failure> {
    static LISTENING: OnceLock<Result<(), Failure>> = OnceLock::new();
    let listen = || {
        let ignored = ignored();
        let heard = |signal: &i32| ignored & bit(*signal) == 0;
        // Set by those of them alone that end the program when they come again: a batch system's
        // warning is not the first.
        let insisted = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM].into_iter().filter(heard) {
            // In this order: the second time, the flag is found set.
            flag::register_conditional_shutdown(signal, ENDED, insisted.clone())
                .and_then(|_| flag::register(signal, insisted.clone()))
                .and_then(|_| flag::register(signal, asked().clone()))
                .map_err(|e| refused(signal, &e))?;
        }
        for signal in BATCH.into_iter().filter(heard) {
            flag::register(signal, asked().clone()).map_err(|e| refused(signal, &e))?;
        }
        LISTENS.store(true, Ordering::SeqCst);
        Ok(())
    };
    LISTENING.get_or_init(listen).clone()
}

/// Whether signals are listened to, and whoever hears them tidies up.
static LISTENS: AtomicBool = AtomicBool::new(false);

/// The name of the file that goes with the process when a signal ends it; null when there is none.
#[cfg(unix)]
static REMOVED: AtomicPtr<c_char> = AtomicPtr::new(ptr::null_mut());

/// From now on a signal that ends the program while it does not listen removes the file at `path`
/// first, or none: a lock that nobody holds would be litter. The last such file counts.
#[cfg(unix)]
pub fn remove_when_ended(path: Option<&Path>) {
    static HANDLERS: Once = Once::new();
    let name = path.and_then(|path| CString::new(path.as_os_str().as_bytes()).ok());
    let is_named = name.is_some();
    // Whatever name was there before stays allocated: a handler may be reading it.
    REMOVED.store(name.map_or(ptr::null_mut(), CString::into_raw), Ordering::SeqCst);
    if !is_named {
        return;
    }
    HANDLERS.call_once(|| {
        let ignored = ignored();
        for signal in [SIGINT, SIGTERM].into_iter().chain(BATCH) {
            if ignored & bit(signal) != 0 {
                continue;
            }
            let end = move || {
                if LISTENS.load(Ordering::SeqCst) {
                    return;
                }
                let name = REMOVED.load(Ordering::SeqCst);
                if !name.is_null() {
                    // SAFETY: it came from `CString::into_raw` and is never freed.
                    let name = unsafe { CStr::from_ptr(name) };
                    let _ = rustix::fs::unlink(name);
                }
                let _ = low_level::emulate_default_handler(signal);
            };
            // SAFETY: atomics, two system calls and what `signal-hook` provides for handlers. Where
            // the system refuses, the lock is left behind, and a later run takes it.
            let _ = unsafe { low_level::register(signal, end) };
        }
    });
}

/// From now on a file that may not grow (`ulimit -f`) is a failure of writing it, as a full disk
/// is, and does not end the program.
///
/// # Errors
/// When the system refuses.
pub fn outlive_file_limits() -> Result<(), Failure> {
    #[cfg(unix)]
    {
        let signal = rustix::process::Signal::XFSZ.as_raw();
        // Nobody looks at the flag: that the signal is caught at all makes the write fail instead.
        flag::register(signal, Arc::default()).map_err(|e| refused(signal, &e))?;
    }
    Ok(())
}

fn refused(signal: i32, error: &std::io::Error) -> Failure {
    Failure::run(format!("could not listen for signal {signal}: {error}"))
}

/// The signals that the program was started to ignore, as a mask; none where the system does not
/// say.
fn ignored() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    mask(&status)
}

fn mask(status: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    line.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0)
}

fn bit(signal: i32) -> u64 {
    1u64.checked_shl((signal - 1).unsigned_abs()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_ignored_is_read_from_the_system_s_mask() {
        let status = "Name:\tmyopia\nSigBlk:\t0000000000000000\nSigIgn:\t0000000000000003\n";
        assert_ne!(mask(status) & bit(SIGINT), 0);
        assert_eq!(mask(status) & bit(SIGTERM), 0);
        for strange in ["", "SigIgn:", "SigIgn: x"] {
            assert_eq!(mask(strange), 0);
        }
    }
}
