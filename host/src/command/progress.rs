//! Progress on standard error.

use indicatif::{ProgressBar, ProgressStyle};

use super::options::Common;

/// A bar over `steps` steps of training with their rate and the time left; nothing when it is to be quiet.
pub fn bar(common: &Common, steps: u64, what: &'static str) -> ProgressBar {
    bar_from(common, 0, steps, what)
}

/// The same, of which `done` steps were done before.
pub fn bar_from(common: &Common, done: u64, steps: u64, what: &'static str) -> ProgressBar {
    if common.quiet {
        return ProgressBar::hidden();
    }
    let template = "{prefix} [{bar:30}] {percent:>3} %  {per_sec}  {eta} left  {msg}";
    let style = ProgressStyle::with_template(template).expect("the template is a literal");
    let bar = ProgressBar::new(steps)
        .with_position(done)
        .with_style(style.progress_chars("=> ").with_key(
            "per_sec",
            |state: &indicatif::ProgressState, w: &mut dyn std::fmt::Write| {
                // A closed pipe on standard error is no reason to stop.
                let _ = write!(w, "{:.0} steps/s", state.per_sec());
            },
        ))
        .with_prefix(what);
    // Steps of an earlier process say nothing about this one's rate.
    bar.reset_eta();
    bar
}
