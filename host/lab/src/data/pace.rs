//! How slowly a download may come before it is given up.

use std::io::{self, Read};
use std::time::{Duration, Instant};

/// The least rate and the longest time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    /// How long nothing may come, and over what time the rate is taken.
    pub window: Duration,
    /// The least that must come in each window, in bytes.
    pub least: u64,
    /// How long all of it may take.
    pub overall: Duration,
}

/// For slow lines: a kibibyte a second, an hour for each file.
pub(super) const PACE: Pace =
    Pace { window: Duration::from_secs(30), least: 30 << 10, overall: Duration::from_secs(3600) };

/// A reader that gives up when its source is slower than a pace.
pub(super) struct Paced<R> {
    source: R,
    pace: Pace,
    began: Instant,
    window: Instant,
    came: u64,
}

impl<R> Paced<R> {
    pub fn new(source: R, pace: Pace) -> Self {
        let now = Instant::now();
        Self { source, pace, began: now, window: now, came: 0 }
    }
}

impl<R: Read> Read for Paced<R> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        let count = self.source.read(to)?;
        self.came += count as u64;
        let late = |sentence: String| Err(io::Error::new(io::ErrorKind::TimedOut, sentence));
        let Pace { window, least, overall } = self.pace;
        if count > 0 && self.began.elapsed() > overall {
            return late(format!("it was not done after {} s", overall.as_secs_f64()));
        }
        let elapsed = self.window.elapsed();
        if elapsed >= window {
            // The end of a file may be short.
            if count > 0 && self.came < least {
                return late(format!("{} bytes came in {:.0} s", self.came, elapsed.as_secs_f64()));
            }
            (self.window, self.came) = (Instant::now(), 0);
        }
        Ok(count)
    }
}
