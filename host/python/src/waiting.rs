//! Computations on a thread of their own, while this one waits for them without the interpreter's
//! lock and hears signals.

use std::panic::resume_unwind;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};
use std::thread;
use std::time::Duration;

use myopia::failure::Failure;
use myopia::interrupt;
use pyo3::exceptions::{PyKeyboardInterrupt, PyRuntimeError, PyValueError};
use pyo3::prelude::*;

/// Time between two looks at whether there was a signal.
const LOOK: Duration = Duration::from_millis(50);
/// Bytes of the stack of a computation, as of the program's.
const STACK: usize = 8 << 20;

/// What `work` finds. When Python's handler of a signal raises, as that of Ctrl-C does, the
/// computation is asked to stop, and what was raised is raised here once it has.
pub fn computed<T: Send>(
    py: Python<'_>,
    work: impl FnOnce() -> Result<T, Failure> + Send,
) -> PyResult<T> {
    let (sender, mut receiver) = sync_channel(1);
    thread::scope(|scope| {
        let body = move || {
            // Whoever waits is there until this has ended.
            let _ = sender.send(work());
        };
        let worker = thread::Builder::new().stack_size(STACK).spawn_scoped(scope, body)?;
        loop {
            let (found, back) = py.detach(move || (receiver.recv_timeout(LOOK), receiver));
            receiver = back;
            match found {
                Ok(found) => return found.map_err(exception),
                Err(RecvTimeoutError::Timeout) => {
                    let Err(raised) = py.check_signals() else { continue };
                    interrupt::asked().store(true, Ordering::Relaxed);
                    let _ = py.detach(move || receiver.recv());
                    interrupt::asked().store(false, Ordering::Relaxed);
                    return Err(raised);
                }
                Err(RecvTimeoutError::Disconnected) => match worker.join() {
                    Err(panic) => resume_unwind(panic),
                    Ok(()) => return Err(PyRuntimeError::new_err("the computation has vanished")),
                },
            }
        }
    })
}

/// What only one computation at a time may use.
pub fn locked<T>(shared: &Mutex<T>) -> Result<MutexGuard<'_, T>, Failure> {
    match shared.try_lock() {
        Ok(guard) => Ok(guard),
        Err(TryLockError::Poisoned(poisoned)) => Ok(PoisonError::into_inner(poisoned)),
        Err(TryLockError::WouldBlock) => Err(Failure::usage(
            "another thread takes the next meta-step of this descent; take them one after the other",
        )),
    }
}

/// A failure as an exception, its options named as the module's keywords are.
fn exception(failure: Failure) -> PyErr {
    let sentence = keywords(&failure.to_string());
    match failure {
        Failure::Usage(_) => PyValueError::new_err(sentence),
        Failure::Interrupted(_) => PyKeyboardInterrupt::new_err(sentence),
        Failure::Run(_) | Failure::NotRun(_) | Failure::Done(_) => {
            PyRuntimeError::new_err(sentence)
        }
    }
}

/// `--time-constant` becomes `time_constant`.
fn keywords(sentence: &str) -> String {
    let mut words = sentence.split("--");
    let mut text = words.next().unwrap_or_default().to_owned();
    for word in words {
        let end = word.find(|c: char| !(c.is_ascii_alphanumeric() || c == '-'));
        let (option, rest) = word.split_at(end.unwrap_or(word.len()));
        text += &option.replace('-', "_");
        text += rest;
    }
    text
}
