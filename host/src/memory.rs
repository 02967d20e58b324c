//! How much memory there is, before too much is asked for.

use crate::failure::Failure;

/// Refuses what the system could only answer by ending the process: `what` takes so many bytes; `advice` says what to
/// do about it. Where the system does not say what is free nothing is refused.
pub fn afford(what: &str, bytes: u128, advice: &str) -> Result<(), Failure> {
    let mut system = sysinfo::System::new();
    system.refresh_memory();
    let free = system.available_memory();
    let free = system.cgroup_limits().map_or(free, |limits| limits.free_memory.min(free));
    if free > 0 && bytes > u128::from(free) {
        let gibibytes = |bytes: u128| bytes as f64 / f64::from(1 << 30);
        return Err(Failure::usage(format!(
            "{what} takes about {:.1} GiB of memory and {:.1} GiB are free; {advice}",
            gibibytes(bytes),
            gibibytes(u128::from(free))
        )));
    }
    Ok(())
}
