//! Progress on standard error: a bar on a terminal, and a line now and then where it is a file.

use std::io::{self, IsTerminal, Write};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle, TermLike};

use super::options::Common;

/// A bar over `steps` steps of training with their rate and the time left; nothing when it is to be
/// quiet.
pub fn bar(common: &Common, steps: u64, what: &'static str) -> ProgressBar {
    bar_from(common, 0, steps, what)
}

/// The same, of which `done` steps were done before.
pub fn bar_from(common: &Common, done: u64, steps: u64, what: &'static str) -> ProgressBar {
    if common.quiet {
        return ProgressBar::hidden();
    }
    let (target, template) = match io::stderr().is_terminal() {
        true => (
            ProgressDrawTarget::stderr(),
            "{prefix} [{bar:30}] {percent:>3} %  {per_sec}  {eta} left  {msg}",
        ),
        false => (
            ProgressDrawTarget::term_like_with_hz(Box::new(Log::new(io::stderr())), 1),
            "{prefix}: {percent} %, {per_sec}, {eta} left  {msg}",
        ),
    };
    let style = ProgressStyle::with_template(template).expect("the template is a literal");
    let bar = ProgressBar::with_draw_target(Some(steps), target)
        .with_position(done)
        .with_style(style.progress_chars("=> ").with_key(
            "per_sec",
            |state: &ProgressState, w: &mut dyn std::fmt::Write| {
                // A closed pipe on standard error is no reason to stop.
                let _ = write!(w, "{:.0} steps/s", state.per_sec());
            },
        ))
        .with_prefix(what);
    // Steps of an earlier process say nothing about this one's rate.
    bar.reset_eta();
    bar
}

/// How soon a first line comes, and the longest time between two.
const LINES: [Duration; 2] = [Duration::from_secs(30), Duration::from_secs(600)];

/// A file that progress is written to, line by line: the longer a run has lasted, the less often.
#[derive(Debug)]
struct Log<W> {
    state: Mutex<State<W>>,
}

#[derive(Debug)]
struct State<W> {
    to: W,
    began: Instant,
    last: Instant,
    line: String,
}

impl<W: Write> Log<W> {
    fn new(to: W) -> Self {
        let now = Instant::now();
        Self { state: Mutex::new(State { to, began: now, last: now, line: String::new() }) }
    }

    /// What is drawn is written at `now` when it is time to.
    fn draw(&self, now: Instant) -> io::Result<()> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let line = std::mem::take(&mut state.line);
        let line = line.trim();
        let [first, longest] = LINES;
        let pause = ((now - state.began) / 10).clamp(first, longest);
        if line.is_empty() || now - state.last < pause {
            return Ok(());
        }
        state.last = now;
        writeln!(state.to, "{line}")
    }
}

impl<W: Write + std::fmt::Debug + Send> TermLike for Log<W> {
    fn width(&self) -> u16 {
        100
    }

    fn move_cursor_up(&self, _: usize) -> io::Result<()> {
        Ok(())
    }

    fn move_cursor_down(&self, _: usize) -> io::Result<()> {
        Ok(())
    }

    fn move_cursor_right(&self, _: usize) -> io::Result<()> {
        Ok(())
    }

    fn move_cursor_left(&self, _: usize) -> io::Result<()> {
        Ok(())
    }

    fn write_line(&self, line: &str) -> io::Result<()> {
        self.write_str(line)
    }

    fn write_str(&self, text: &str) -> io::Result<()> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).line.push_str(text);
        Ok(())
    }

    fn clear_line(&self) -> io::Result<()> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).line.clear();
        Ok(())
    }

    fn flush(&self) -> io::Result<()> {
        self.draw(Instant::now())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_gets_a_line_after_half_a_minute_and_then_ever_less_often() {
        let log = Log::new(Vec::new());
        let began = log.state.lock().unwrap().began;
        let mut seconds = Vec::new();
        let mut length = 0;
        for second in 0..36_000 {
            log.write_str("\rtraining: 5 %  ").unwrap();
            log.draw(began + Duration::from_secs(second)).unwrap();
            let written = log.state.lock().unwrap().to.len();
            if written > length {
                (length, _) = (written, seconds.push(second));
            }
        }
        assert_eq!(&seconds[..3], [30, 60, 90]);
        assert!((60..160).contains(&seconds.len()), "{}", seconds.len());
        let longest = seconds.windows(2).map(|pair| pair[1] - pair[0]).max();
        assert!(longest.is_some_and(|longest| longest <= 600), "{longest:?}");
        let text = String::from_utf8(log.state.into_inner().unwrap().to).unwrap();
        assert!(text.starts_with("training: 5 %\ntraining: 5 %\n"), "{text:?}");
    }
}
