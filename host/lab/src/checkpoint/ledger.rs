//! The states of a run's units, and when they are saved.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::experiment::{Comparison, Experiment};
use super::file;
use crate::failure::Failure;
use crate::interrupt;
use crate::output::OutputFolder;
use crate::output::folder::{CHECKPOINT, Found};
use crate::output::record::Record;
use crate::provenance;
use crate::report::PAGE;
use crate::tensorboard::FOLDER;

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// How a ledger is opened.
#[derive(Clone, Copy, Debug)]
pub struct Opening {
    /// Whether to go on from what the folder holds: to begin when it holds nothing, to go on from
    /// its checkpoint, and to do nothing when the run is finished.
    pub resume: bool,
    /// How much time may pass between two checkpoints; with zero, every pause makes one.
    pub every: Duration,
}

/// Where a long unit of work leaves its state between two steps.
pub trait Keeper<S> {
    /// Leaves `state()` when it is time to.
    ///
    /// # Errors
    /// [`Failure::Interrupted`] when the program was asked to stop, and whatever writing a
    /// checkpoint meets.
    fn pause(&self, state: impl FnOnce() -> S) -> Result<(), Failure>;
}

/// Keeps nothing and is never interrupted.
impl<S> Keeper<S> for () {
    fn pause(&self, _: impl FnOnce() -> S) -> Result<(), Failure> {
        Ok(())
    }
}

/// The states of a run's units. Without a folder it keeps nothing, and still hears when the program
/// is asked to stop.
///
/// Threads share it. A checkpoint may hold a state that is older than [`Opening::every`], by that
/// time again at most.
#[derive(Debug)]
pub struct Ledger<'a, S> {
    folder: Option<&'a OutputFolder>,
    experiment: Experiment,
    every: Duration,
    stop: &'static AtomicBool,
    from: From,
    units: Mutex<Units<S>>,
}

/// What a run goes on from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum From {
    /// Nothing, or the same run.
    Same,
    /// The checkpoint of a run with less of what may grow.
    Less,
    /// The results of one.
    Results,
}

/// What a finished run says of itself.
#[derive(Serialize, Deserialize)]
struct Finished {
    version: String,
    experiment: Experiment,
}

/// Notes in the folder that it holds the finished results of `experiment`.
///
/// # Errors
/// When the note cannot be written.
pub fn conclude(folder: &OutputFolder, experiment: &Experiment) -> Result<(), Failure> {
    let run = Finished { version: VERSION.to_owned(), experiment: experiment.clone() };
    folder.conclude(&serde_json::to_string(&run).expect("an experiment is plain data"))
}

/// The version that made the finished results in the folder at `path`, and their experiment, where
/// it says so.
pub fn finished(path: &Path) -> Option<(String, Experiment)> {
    let run = Record::read(path).run?;
    let finished = serde_json::from_str::<Finished>(&run).ok()?;
    Some((finished.version, finished.experiment))
}

/// Whether nothing is finished in `folder`, so that a run without a checkpoint may begin.
///
/// # Errors
/// [`Failure::Done`] when the experiment's results are there; one sentence when another's are.
pub fn refuse_finished(folder: &OutputFolder, experiment: &Experiment) -> Result<(), Failure> {
    match folder.found()? {
        Found::Finished(run) => further(folder, &run, experiment),
        Found::Nothing | Found::Unfinished => Ok(()),
    }
}

/// Whether the folder at `path` does not hold the results of this process's command, which keeps no
/// checkpoint.
///
/// # Errors
/// [`Failure::Done`] when they are there; one sentence when they are and a file is no longer as it
/// was written.
pub fn refuse_done_at_once(path: &Path) -> Result<(), Failure> {
    let command = Record::read(path).command;
    if command.is_none() || command != provenance::command() {
        return Ok(());
    }
    Err(done(&OutputFolder::resume_at_once(path)?))
}

/// That the folder's results are those of the very command, or what they lack. The page about them
/// and its events are nobody's loss.
fn done(folder: &OutputFolder) -> Failure {
    match folder.check_earlier(|name| name == PAGE || name.starts_with(FOLDER)) {
        Err(failure) => failure,
        Ok(()) => Failure::Done(format!(
            "{} holds the finished results of this very command; there is nothing left to do",
            folder.path().display()
        )),
    }
}

/// Whether the experiment goes further than the finished `run` in `folder`.
///
/// # Errors
/// [`Failure::Done`] when it is that run's; one sentence when it is another, or when its files are
/// no longer as they were written.
fn further(folder: &OutputFolder, run: &str, experiment: &Experiment) -> Result<(), Failure> {
    let results = folder;
    let folder = folder.path().display();
    let advice = "repeat the command that made them, or choose another --out";
    let Ok(Finished { version, experiment: finished }) = serde_json::from_str(run) else {
        return Err(Failure::run(format!(
            "{folder} holds results of which it cannot be told what made them; choose another --out"
        )));
    };
    if version != VERSION {
        return Err(Failure::run(format!(
            "{folder} holds results of myopia {version}, and this is {VERSION}; choose another --out"
        )));
    }
    match finished.compare(experiment, ["there", "here"]) {
        Comparison::Other(difference) => Err(Failure::run(format!(
            "{folder} holds the results of another experiment: {difference}; {advice}"
        ))),
        Comparison::Same => Err(done(results)),
        Comparison::Further => Ok(()),
    }
}

#[derive(Debug)]
struct Units<S> {
    states: Vec<Option<S>>,
    left: Vec<Instant>,
    saved: Instant,
}

/// One unit of a [`Ledger`].
#[derive(Debug)]
pub struct Unit<'a, S> {
    ledger: &'a Ledger<'a, S>,
    number: usize,
}

impl<'a, S: Serialize + DeserializeOwned> Ledger<'a, S> {
    /// A ledger of `units` units in `folder`; with [`Opening::resume`], as the folder's checkpoint
    /// left them. From now on Ctrl-C and SIGTERM ask the program to stop, which it does at its next
    /// pause.
    ///
    /// # Errors
    /// [`Failure::Done`] when the run is finished; one sentence when the checkpoint is damaged, of
    /// another version, or of another experiment.
    pub fn open(
        folder: Option<&'a OutputFolder>,
        experiment: Experiment,
        units: usize,
        opening: Opening,
    ) -> Result<Self, Failure> {
        let fresh = |from| ((0..units).map(|_| None).collect(), from);
        let (states, from) = match folder.filter(|_| opening.resume) {
            None => fresh(From::Same),
            Some(folder) => match folder.found()? {
                Found::Nothing => fresh(From::Same),
                Found::Unfinished => {
                    let path = folder.path().join(CHECKPOINT);
                    let bytes = folder.read(CHECKPOINT)?;
                    let found = file::decode(&bytes, &experiment, units).map_err(|e| {
                        Failure::run(format!("the checkpoint {} {e}", path.display()))
                    })?;
                    (found.states, if found.further { From::Less } else { From::Same })
                }
                Found::Finished(run) => {
                    further(folder, &run, &experiment)?;
                    fresh(From::Results)
                }
            },
        };
        interrupt::listen()?;
        let now = Instant::now();
        let units = Units { states, left: vec![now; units], saved: now };
        Ok(Self {
            folder,
            experiment,
            every: opening.every,
            stop: interrupt::asked(),
            from,
            units: Mutex::new(units),
        })
    }

    /// Whether the run that this one goes on with had less of what may grow, such as meta-steps.
    pub fn goes_further(&self) -> bool {
        self.from != From::Same
    }

    /// The finished run's result `name`, when this run goes further than one that is finished; then
    /// the units have no states.
    ///
    /// # Errors
    /// When the file cannot be read, or was changed since that run wrote it.
    pub fn results(&self, name: &str) -> Result<Option<Vec<u8>>, Failure> {
        match self.folder {
            Some(folder) if self.from == From::Results => folder.read_earlier(name),
            _ => Ok(None),
        }
    }

    /// The folder, if there is one.
    pub(super) fn folder(&self) -> Option<&OutputFolder> {
        self.folder
    }

    /// What is run.
    pub(super) fn experiment(&self) -> &Experiment {
        &self.experiment
    }

    /// How many units there are.
    pub(super) fn units(&self) -> usize {
        self.lock().states.len()
    }

    /// The states of the units that `held` names, as a checkpoint has them.
    pub(super) fn encoded(&self, held: impl Fn(u32) -> bool) -> Vec<u8> {
        let units = self.lock();
        let states = (0..).zip(&units.states);
        let states: Vec<Option<&S>> =
            states.map(|(unit, state)| state.as_ref().filter(|_| held(unit))).collect();
        file::encode(&self.experiment, &states)
    }

    /// The unit numbered `number`, from 0.
    pub fn unit(&self, number: usize) -> Unit<'_, S> {
        Unit { ledger: self, number }
    }

    /// Saves all states now. Called before results are written, so that a folder in which only some
    /// of them are complete holds a checkpoint and counts as unfinished.
    ///
    /// # Errors
    /// When the checkpoint cannot be written; the last one is then intact.
    pub fn save(&self) -> Result<(), Failure> {
        self.save_locked(&mut self.lock())
    }

    /// Removes the checkpoint: the results are written, and the folder says of what, or there will
    /// be none.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn finish(&self) -> Result<(), Failure> {
        let Some(folder) = self.folder else { return Ok(()) };
        conclude(folder, &self.experiment)?;
        folder.remove(CHECKPOINT)
    }

    /// Saves and refuses to go on when the program was asked to stop: for work whose units are too
    /// short to have a state half-way.
    ///
    /// # Errors
    /// [`Failure::Interrupted`] then, and whatever writing the checkpoint meets.
    pub fn check(&self) -> Result<(), Failure> {
        if !self.stop.load(Ordering::Relaxed) {
            return Ok(());
        }
        self.save()?;
        Err(self.interrupted())
    }

    /// What was `made` on the way, an interruption told as [`check`](Self::check) tells it: what is
    /// there by then can be resumed.
    ///
    /// # Errors
    /// That of `check`, or else why it could not be made.
    pub fn resumable<T>(&self, made: Result<T, Failure>) -> Result<T, Failure> {
        made.map_err(|failure| self.told(failure))
    }

    /// `failure`, an interruption told as [`check`](Self::check) tells it.
    pub fn told(&self, failure: Failure) -> Failure {
        self.check().err().unwrap_or(failure)
    }

    fn save_locked(&self, units: &mut Units<S>) -> Result<(), Failure> {
        if let Some(folder) = self.folder {
            let bytes = file::encode(&self.experiment, &units.states);
            folder.write(CHECKPOINT, |w| w.write_all(&bytes))?;
        }
        units.saved = Instant::now();
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Units<S>> {
        // A thread that panicked left whole states behind: each is put in place by one move.
        self.units.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn interrupted(&self) -> Failure {
        Failure::Interrupted(match self.folder {
            Some(folder) => format!(
                "stopped before the end; what is done so far is kept in {}: repeat the command with --resume to go on",
                folder.path().display()
            ),
            None => "stopped before the end; only a run with --out can go on later".to_owned(),
        })
    }
}

impl<S: Serialize + DeserializeOwned> Unit<'_, S> {
    /// Its state, if it has one.
    pub fn state(&self) -> Option<S>
    where
        S: Clone,
    {
        self.ledger.lock().states[self.number].clone()
    }

    /// Makes `state` the unit's, without saving it.
    pub fn set(&self, state: Option<S>) {
        self.ledger.lock().states[self.number] = state;
    }

    /// Leaves `state`, the unit's last or one worth keeping, and saves all states when it is time
    /// to.
    ///
    /// # Errors
    /// When the checkpoint cannot be written; the last one is then intact.
    pub fn leave(&self, state: S) -> Result<(), Failure> {
        let mut units = self.ledger.lock();
        units.states[self.number] = Some(state);
        units.left[self.number] = Instant::now();
        if units.saved.elapsed() >= self.ledger.every {
            self.ledger.save_locked(&mut units)?;
        }
        Ok(())
    }
}

impl<S: Serialize + DeserializeOwned> Keeper<S> for Unit<'_, S> {
    fn pause(&self, state: impl FnOnce() -> S) -> Result<(), Failure> {
        let ledger = self.ledger;
        let due = || ledger.lock().left[self.number].elapsed() >= ledger.every;
        if ledger.folder.is_some() && (ledger.stop.load(Ordering::Relaxed) || due()) {
            self.leave(state())?;
        }
        ledger.check()
    }
}
