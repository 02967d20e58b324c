//! What a run must print, and where a log departs from it.

use myopia_backend::{Isa, RunExperiment};
use myopia_core::experiments::{Experiment, Record, Report};

use super::target::Set;
use crate::bench::diagnostics;
use crate::published::Manifest;

/// The lines that a run must print of its results, in order.
#[derive(Debug, Clone)]
pub struct Expected {
    lines: Vec<String>,
    /// Each experiment, or file of the tour, with its digest.
    digests: Vec<(String, String)>,
}

/// A log held against what it should say.
#[derive(Debug, Clone)]
pub struct Judged {
    /// Of each experiment that the target runs.
    pub experiments: Vec<JudgedExperiment>,
    /// Where the log first departs from what it should say; `None` when every line is as it should
    /// be.
    pub difference: Option<Difference>,
    /// What the run used of its memory, where it says so.
    pub memory: Option<Memory>,
}

/// What a log says of one experiment.
#[derive(Debug, Clone)]
pub struct JudgedExperiment {
    /// Its name, or that of a file of the tour.
    pub name: String,
    /// The digest of its report, as logged; none where the log has no report.
    pub digest: Option<String>,
    /// The digest of its golden report, or of the published file.
    pub expected: String,
    /// Whether every one of its records and its report are as they should be.
    pub equal: bool,
}

/// Bytes of memory that a run used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Memory {
    /// Of flash: code, constants and initial values.
    pub flash: u32,
    /// Of RAM, by statics.
    pub statics: u32,
    /// Of the stack, at its deepest.
    pub stack: u32,
    /// The stack's size.
    pub stack_size: u32,
}

/// Where a log first departs from what it should say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The line that should be there; none where the log should have ended.
    pub expected: Option<String>,
    /// The line that is; none where the log ends early.
    pub found: Option<String>,
}

impl Judged {
    /// Takes in an experiment that is not in the log.
    pub fn add(&mut self, experiment: JudgedExperiment) {
        if !experiment.equal && self.difference.is_none() {
            let line = |digest: &str| format!("report {} digest={digest}", experiment.name);
            self.difference = Some(Difference {
                expected: Some(line(&experiment.expected)),
                found: experiment.digest.as_deref().map(line),
            });
        }
        self.experiments.push(experiment);
    }
}

impl std::fmt::Display for Difference {
    /// Kind, experiment, step and the first quantity that differs, as far as the two lines go
    /// together.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (expected, found) = match (&self.expected, &self.found) {
            (Some(expected), Some(found)) => (expected, found),
            (Some(expected), None) => return write!(f, "the log ends before '{expected}'"),
            (None, found) => {
                return write!(f, "'{}' after the end", found.as_deref().unwrap_or_default());
            }
        };
        if let Some(("broken" | "stopped", _)) = found.split_once(' ') {
            return write!(f, "{found}, before '{}'", place(expected));
        }
        let mut words = expected.split(' ').zip(found.split(' '));
        match words.find(|(a, b)| a != b) {
            Some((a, b)) if a.contains('=') && b.contains('=') => {
                write!(f, "{}: {b} instead of {a}", place(expected))
            }
            _ => write!(f, "'{found}' instead of '{expected}'"),
        }
    }
}

/// A line without its quantities: what it is about.
fn place(line: &str) -> String {
    line.split(' ').filter(|word| !word.contains('=')).collect::<Vec<_>>().join(" ")
}

impl Expected {
    /// What a run of `set` must print: the records as this machine computes them with plain loops,
    /// and the golden reports.
    pub fn of(set: Set) -> Self {
        let run = diagnostics(Isa::Baseline).experiment;
        let (mut lines, mut digests) = (Vec::new(), Vec::new());
        for experiment in set.experiments() {
            digests.push((experiment.name.into(), format!("{:016x}", experiment.golden.digest())));
            // A report other than the golden one shows where it is compared, on this machine's own
            // lines as on others'.
            let _ = run(experiment, &mut |record| lines.push(record_line(experiment, record)));
            for kind in ["report", "golden"] {
                lines.push(report_line(kind, experiment, &experiment.golden));
            }
        }
        lines.extend(["end 0".into(), "exit status 0".into()]);
        Self { lines, digests }
    }

    /// What the log of a run of the whole program must say: the files of the published result with
    /// their digests.
    pub fn of_files(manifest: &Manifest) -> Self {
        let digests: Vec<(String, String)> = manifest.files.clone().into_iter().collect();
        let mut lines: Vec<String> = digests.iter().map(|(name, d)| file_line(name, d)).collect();
        lines.push("exit status 0".into());
        Self { lines, digests }
    }

    /// Judges the log of a run of an image that calls itself `label`.
    pub fn judge(&self, label: &str, log: &[String]) -> Judged {
        let (memory, said): (Vec<&String>, Vec<&String>) =
            log.iter().partition(|line| line.starts_with("memory "));
        let target = format!("target {label}");
        let mut expected = std::iter::once(&target).chain(&self.lines);
        let mut found = said.iter().copied();
        let difference = loop {
            match (expected.next(), found.next()) {
                (None, None) => break None,
                (expected, found) if expected == found => {}
                (expected, found) => {
                    let (expected, found) = (expected.cloned(), found.cloned());
                    break Some(Difference { expected, found });
                }
            }
        };
        Judged {
            experiments: self.judge_each(&said).collect(),
            difference,
            memory: memory.first().and_then(|line| Memory::parse(line)),
        }
    }

    fn judge_each(&self, log: &[&String]) -> impl Iterator<Item = JudgedExperiment> {
        self.digests.iter().map(|(name, expected)| {
            let about = |line: &&String| {
                let mut words = line.split(' ');
                matches!(words.next(), Some("record" | "report" | "golden"))
                    && words.next() == Some(name)
            };
            let report = format!("report {name} digest=");
            let digest = log.iter().find_map(|line| line.strip_prefix(&report));
            JudgedExperiment {
                name: name.clone(),
                digest: digest.and_then(|rest| rest.split(' ').next()).map(str::to_owned),
                expected: expected.clone(),
                equal: self.lines.iter().filter(about).eq(log.iter().copied().filter(about)),
            }
        })
    }

    /// The experiments, with nothing known of how they went.
    pub fn not_run(&self) -> Vec<JudgedExperiment> {
        self.judge_each(&[]).collect()
    }
}

impl Memory {
    fn parse(line: &str) -> Option<Self> {
        let value = |name: &str| {
            line.split(' ')
                .find_map(|word| word.strip_prefix(name)?.strip_prefix('=')?.parse().ok())
        };
        Some(Self {
            flash: value("flash")?,
            statics: value("statics")?,
            stack: value("stack")?,
            stack_size: value("stack_size")?,
        })
    }
}

/// The log of the experiments of `set` as `run` runs them, on this machine: the lines that the
/// firmware prints.
pub fn experiments_log(label: &str, set: Set, run: RunExperiment) -> Vec<String> {
    let mut lines = vec![format!("target {label}")];
    let mut status = 0;
    for experiment in set.experiments() {
        let report = run(experiment, &mut |record| lines.push(record_line(experiment, record)));
        match report {
            Ok(report) => {
                lines.push(report_line("report", experiment, &report));
                lines.push(report_line("golden", experiment, &experiment.golden));
                status |= i32::from(report != experiment.golden);
            }
            Err(failed) => {
                lines.push(format!("broken {}: {failed}", experiment.name));
                return lines;
            }
        }
    }
    lines.extend([format!("end {status}"), format!("exit status {status}")]);
    lines
}

/// What a log says of a file that the whole program wrote.
pub fn file_line(name: &str, digest: &str) -> String {
    format!("report {name} digest={digest}")
}

fn record_line(experiment: &Experiment, record: &Record) -> String {
    let Record { step, schedule: [alpha0, time_constant, beta], loss, digest } = record;
    format!(
        "record {} {step} alpha0={alpha0:x} K={time_constant:x} beta={beta:x} loss={loss:x} digest={digest:016x}",
        experiment.name
    )
}

fn report_line(kind: &str, experiment: &Experiment, report: &Report) -> String {
    let Report { values, tangents, loss, derivatives: [alpha0, time_constant, beta] } = report;
    format!(
        "{kind} {} digest={:016x} values={values:016x} tangents={tangents:016x} loss={loss:x} d_alpha0={alpha0:x} d_K={time_constant:x} d_beta={beta:x}",
        experiment.name,
        report.digest()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log() -> Vec<String> {
        experiments_log("here", Set::Reduced, diagnostics(Isa::widest()).experiment)
    }

    #[test]
    fn a_whole_log_is_equal_and_its_memory_is_read() {
        let expected = Expected::of(Set::Reduced);
        let mut log = log();
        log.insert(5, "memory flash=9 statics=8 stack=7 stack_size=6".into());
        let judged = expected.judge("here", &log);
        assert_eq!(judged.difference, None);
        assert!(judged.experiments.iter().all(|e| e.equal));
        assert!(judged.experiments.iter().all(|e| e.digest.as_ref() == Some(&e.expected)));
        let memory = Memory { flash: 9, statics: 8, stack: 7, stack_size: 6 };
        assert_eq!(judged.memory, Some(memory));
    }

    #[test]
    fn an_experiment_beside_the_log_counts() {
        let mut judged = Expected::of(Set::Reduced).judge("here", &log());
        let beside = |digest: &str| JudgedExperiment {
            name: "beside".into(),
            digest: Some(digest.into()),
            expected: "1".into(),
            equal: digest == "1",
        };
        judged.add(beside("1"));
        assert_eq!(judged.difference, None);
        judged.add(beside("2"));
        let difference = judged.difference.unwrap().to_string();
        assert_eq!(difference, "report beside: digest=2 instead of digest=1");
        assert_eq!(judged.experiments.len(), 6);
    }

    #[test]
    fn the_first_quantity_that_differs_is_named() {
        let mut log = log();
        log[4] = log[4].replace("loss=", "loss=f");
        let judged = Expected::of(Set::Reduced).judge("here", &log);
        let difference = judged.difference.unwrap().to_string();
        assert!(difference.starts_with("record nqm-moments-f32 3: loss=f"), "{difference}");
        let equal: Vec<bool> = judged.experiments.iter().map(|e| e.equal).collect();
        assert_eq!(equal, [false, true, true, true]);
    }

    #[test]
    fn a_log_that_is_cut_off_broken_or_someone_elses_is_no_success() {
        let expected = Expected::of(Set::Reduced);
        let said = |log: &[String]| expected.judge("here", log).difference.unwrap().to_string();
        let whole = log();
        for length in 0..whole.len() {
            assert!(said(&whole[..length]).starts_with("the log ends before"), "{length}");
        }
        assert_eq!(said(&[]), "the log ends before 'target here'");
        let broken = [&whole[..3], &["broken stack overflow".into()]].concat();
        assert_eq!(said(&broken), "broken stack overflow, before 'record nqm-moments-f32 2'");
        let more = [&whole[..], &["end 0".into()]].concat();
        assert_eq!(said(&more), "'end 0' after the end");
        let other = expected.judge("there", &whole).difference.unwrap().to_string();
        assert_eq!(other, "'target here' instead of 'target there'");
    }
}
