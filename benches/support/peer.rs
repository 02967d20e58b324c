//! A peer's script that is timed beside ours, in turn.

use std::process::{Command, ExitCode};

use rayon::{ThreadPool, ThreadPoolBuilder};
use serde_json::Value;

/// The script, and as many threads for us as its `--threads` gives it.
pub struct Peer {
    program: String,
    arguments: Vec<String>,
    pool: ThreadPool,
}

impl Peer {
    /// The peer that these words of the command line start, those after `--`.
    ///
    /// # Errors
    /// One sentence when there are none, or when there cannot be so many threads.
    pub fn new(mut command: impl Iterator<Item = String>) -> Result<Self, String> {
        let Some(program) = command.next() else {
            return Err(
                "name the peer's command after --, for example: -- python3 jax_nqm.py --threads 1"
                    .into(),
            );
        };
        let arguments: Vec<String> = command.collect();
        let given = arguments.iter().position(|argument| argument == "--threads");
        let threads = given.and_then(|i| arguments.get(i + 1)?.parse().ok()).unwrap_or(1);
        let pool = ThreadPoolBuilder::new().num_threads(threads).build();
        let pool = pool.map_err(|e| format!("could not start {threads} threads: {e}"))?;
        Ok(Self { program, arguments, pool })
    }

    /// How many threads either side has.
    pub fn threads(&self) -> usize {
        self.pool.current_num_threads()
    }

    /// Runs the script `rounds` times, and `ours` five times before and after each; what the script
    /// printed, one JSON value a line.
    ///
    /// # Errors
    /// One sentence when the script cannot be run or fails.
    pub fn beside(&self, rounds: u32, mut ours: impl FnMut() + Send) -> Result<Vec<Value>, String> {
        let Self { program, arguments, .. } = self;
        let mut five = || self.pool.install(|| (0..5).for_each(|_| ours()));
        let mut printed = Vec::new();
        for _ in 0..rounds {
            five();
            let output = Command::new(program)
                .args(arguments)
                .output()
                .map_err(|e| format!("could not run {program}: {e}; check the command after --"))?;
            if !output.status.success() {
                let said = String::from_utf8_lossy(&output.stderr);
                return Err(format!("{program} failed: {said}"));
            }
            let lines = String::from_utf8_lossy(&output.stdout);
            printed.extend(lines.lines().filter_map(|line| serde_json::from_str(line).ok()));
        }
        five();
        Ok(printed)
    }
}

/// The median; not a number when there are no times.
pub fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times.get(times.len() / 2).copied().unwrap_or(f64::NAN)
}

/// How a program ends: with the sentence of its failure, if there was one.
pub fn told(ended: Result<(), String>) -> ExitCode {
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(sentence) => {
            eprintln!("{sentence}");
            ExitCode::FAILURE
        }
    }
}
