//! `myopia verify`: the same bits on this machine, in emulators and on boards.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use myopia_backend::Isa;
use myopia_core::digest::Digest;
use serde::Serialize;

use super::options::Common;
use super::values::{trimmed, whole_up_to};
use myopia::failure::Failure;
use myopia::output::{OutputFolder, json, standard};
use myopia::provenance;
use myopia::verify::{
    Board, Expected, Firmware, Judged, JudgedExperiment, NotRun, Runner, Set, Subject, THREADS,
    Target, chip,
};

/// Options of `myopia verify`.
#[derive(Args, Debug)]
#[command(after_help = "Exit status: 0 every target gave the same bits; 1 one differed or broke; \
                        2 the request was not understood; 3 none differed, but one was not run.")]
pub struct Options {
    /// What to verify: host, qemu (emulated boards), emulated (those, WebAssembly and Linux), probe
    /// (the board with --chip), all (all of these), program (the whole program on other machines:
    /// the published tour again), or a target by its name in firmware/targets.toml
    #[arg(long, value_name = "NAME,…", value_delimiter = ',', default_value = "host",
          value_parser = trimmed::<String>)]
    target: Vec<String>,
    /// The chip of the board on the probe, as probe-rs names it
    #[arg(long, value_name = "NAME")]
    chip: Option<String>,
    /// Run this image instead of building one; for a single target
    #[arg(long, value_name = "FILE")]
    image: Option<PathBuf>,
    /// The folder firmware of a checkout [default: of the one this program was built from]
    #[arg(long, value_name = "DIR")]
    firmware: Option<PathBuf>,
    /// Count what training costs on emulated devices instead, as Markdown or JSON
    #[arg(long, conflicts_with_all = ["target", "chip", "image"])]
    cost: bool,
    /// Print the table as Markdown, with the commit and the flash to spare: what firmware/MATRIX.md
    /// and firmware/PROGRAM.md hold
    #[arg(long, conflicts_with_all = ["cost", "json"])]
    markdown: bool,
    /// Seconds that one run may take before it counts as hanging [default: 25, and 3600 for the
    /// whole program]
    #[arg(long, value_name = "SECONDS", allow_negative_numbers = true,
          value_parser = whole_up_to::<u64>(86_400))]
    timeout: Option<u64>,
}

/// The groups of targets that have a name.
const GROUPS: &str = "host, qemu, emulated, probe, all, program";

/// One target and how it went.
struct Row {
    target: String,
    core: String,
    float: String,
    /// Which experiments it runs.
    set: Set,
    /// Bytes of flash that it has.
    flash: Option<u32>,
    experiments: Vec<JudgedExperiment>,
    outcome: Result<Judged, NotRun>,
}

/// One target and experiment, as JSON.
#[derive(Serialize)]
struct Entry<'a> {
    target: &'a str,
    experiment: &'a str,
    /// Of the report; null where there is none.
    digest: Option<&'a str>,
    expected: &'a str,
    equal: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    difference: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    not_run: Option<String>,
}

impl Options {
    pub fn run(self, common: &Common) -> Result<(), Failure> {
        if self.cost {
            return self.count(common);
        }
        let host_alone = self.chip.is_none() && self.target.iter().all(|name| name == "host");
        let firmware = match host_alone {
            true => Firmware::default(),
            false => Firmware::open(self.firmware.as_deref())?,
        };
        let board = self.board(&firmware)?;
        let subjects = self.subjects(common, &firmware, board.as_ref().map(|(row, _)| *row))?;
        if self.image.is_some() && !matches!(subjects.as_slice(), [Subject::Target(_)]) {
            return Err(Failure::usage("--image is for a single target; name it with --target"));
        }
        if let Some(image) = self.image.as_deref().filter(|image| !image.is_file()) {
            return Err(Failure::usage(format!(
                "--image {} is no file; name the image that was built",
                image.display()
            )));
        }
        let folder = match &common.out {
            Some(path) => Some(OutputFolder::create_at_once(path, common.force)?),
            None => None,
        };
        let mut rows = Vec::new();
        let line_by_line = !common.json && !self.markdown;
        if line_by_line {
            standard::print(|out| writeln!(out, "{}", Row::header()))?;
        }
        let [full, reduced] = [Set::Full, Set::Reduced].map(Expected::of);
        let is_tour = |subject: &Subject<'_>| subject.set() == Set::Tour;
        let tour =
            subjects.iter().any(is_tour).then(|| Expected::of_tour(&firmware)).transpose()?;
        for subject in &subjects {
            common.remark(format!("running {} …", subject.name()));
            let expected = match (subject.set(), &tour) {
                (Set::Tour, Some(tour)) => tour,
                (Set::Reduced, _) => &reduced,
                _ => &full,
            };
            let row = self.row(&firmware, subject, expected, board.as_ref());
            if line_by_line {
                standard::print(|out| row.print(out))?;
            }
            rows.push(row);
        }
        let entries: Vec<Entry> = rows.iter().flat_map(Row::entries).collect();
        if let Some(folder) = &folder {
            folder.write("verify.json", |w| json::write(w, &entries))?;
            folder.finish()?;
        }
        if common.json {
            json::print(&entries)?;
        }
        if self.markdown {
            let commit = provenance::commit(Path::new(env!("CARGO_MANIFEST_DIR")));
            standard::print(|out| markdown(out, commit.as_deref(), &self.target, &rows))?;
        }
        verdict(&rows)
    }
}

impl Options {
    #[cfg(not(feature = "boards"))]
    fn count(&self, _: &Common) -> Result<(), Failure> {
        Err(Failure::NotRun(myopia::verify::WITHOUT_BOARDS.into()))
    }

    #[cfg(feature = "boards")]
    fn count(&self, common: &Common) -> Result<(), Failure> {
        use myopia::verify::cost;

        let firmware = Firmware::open(self.firmware.as_deref())?;
        let targets: Vec<_> = cost::TARGETS.iter().filter_map(|n| firmware.target(n)).collect();
        let found = cost::count(&firmware, &targets, self.patience(Set::Full));
        let report = found.map_err(|not_run| Failure::NotRun(not_run.to_string()))?;
        if common.json {
            return json::print(&report);
        }
        standard::print(|out| write!(out, "{report}"))
    }

    /// How long a run of `set` may take.
    fn patience(&self, set: Set) -> Duration {
        let usual = if set == Set::Tour { 3600 } else { 25 };
        Duration::from_secs(self.timeout.unwrap_or(usual))
    }

    /// What the names stand for, in the order in which they are run.
    fn subjects<'a>(
        &self,
        common: &Common,
        firmware: &'a Firmware,
        board: Option<&'a Target>,
    ) -> Result<Vec<Subject<'a>>, Failure> {
        let host = || {
            let wanted = common.isa.map(Isa::from);
            let isas =
                Isa::ALL.iter().copied().filter(move |isa| wanted.is_none_or(|only| *isa == only));
            let threads = common.threads.map_or(THREADS.to_vec(), |threads| vec![threads]);
            isas.flat_map(move |isa| {
                threads.clone().into_iter().map(move |t| Subject::Host(isa, t))
            })
        };
        let rows = |wanted: fn(&Target) -> bool| {
            firmware.targets.iter().filter(move |row| wanted(row)).map(Subject::Target)
        };
        let mut subjects: Vec<Subject<'a>> = Vec::new();
        for name in &self.target {
            let named: Vec<Subject<'a>> = match name.as_str() {
                "host" => host().collect(),
                "qemu" => rows(|row| row.is_board() && row.run.is_some()).collect(),
                "emulated" => rows(|row| row.run.is_some() && !row.is_program()).collect(),
                "all" => host().chain(rows(|row| !row.is_program())).collect(),
                "program" => rows(Target::is_program).collect(),
                "probe" => vec![Subject::Target(board.ok_or_else(|| {
                    Failure::usage(
                        "--target probe needs the chip's name: --chip, for example STM32F411RETx",
                    )
                })?)],
                name => vec![Subject::Target(firmware.target(name).ok_or_else(|| {
                    let names: Vec<_> = firmware.targets.iter().map(|t| t.name.as_str()).collect();
                    Failure::usage(format!(
                        "--target {name} is none of {GROUPS}, {}",
                        names.join(", ")
                    ))
                })?)],
            };
            for subject in named {
                if subjects.iter().all(|other| other.name() != subject.name()) {
                    subjects.push(subject);
                }
            }
        }
        Ok(subjects)
    }

    /// The row of the board to flash, and how to reach it: that with --chip, or the one board that
    /// is named.
    fn board<'a>(&self, firmware: &'a Firmware) -> Result<Option<(&'a Target, Board)>, Failure> {
        let named = self.target.iter().filter_map(|name| firmware.target(name)?.chip.as_deref());
        let mut chips: Vec<&str> = self.chip.as_deref().into_iter().chain(named).collect();
        chips.dedup();
        match chips.as_slice() {
            [] => Ok(None),
            [name] => chip(name, &firmware.targets).map(Some),
            _ => Err(Failure::usage(
                "only one board can be on the probe; name one --target and its --chip",
            )),
        }
    }

    fn row(
        &self,
        firmware: &Firmware,
        subject: &Subject<'_>,
        expected: &Expected,
        board: Option<&(&Target, Board)>,
    ) -> Row {
        let board = board.filter(|(row, _)| row.name == subject.name()).map(|(_, board)| board);
        let patience = self.patience(subject.set());
        let runner = Runner { image: self.image.as_deref(), patience, board };
        let outcome = runner.run(firmware, subject, expected);
        let experiments = match &outcome {
            Ok(judged) => judged.experiments.clone(),
            Err(_) => expected.not_run(),
        };
        Row {
            target: subject.name(),
            core: subject.core().to_owned(),
            float: subject.float().to_owned(),
            set: subject.set(),
            flash: match subject {
                Subject::Target(target) => target.flash.map(|region| region.size),
                Subject::Host(..) => None,
            },
            experiments,
            outcome,
        }
    }
}

impl Row {
    /// One digest over those of the reports, when all of them are there.
    fn digest(&self) -> String {
        let mut digest = Digest::default();
        for experiment in &self.experiments {
            let Some(report) = &experiment.digest else { return "-".into() };
            report.bytes().for_each(|byte| digest.byte(byte));
        }
        digest.to_string()
    }

    fn header() -> String {
        Self::line("target", "core", "float", "digest", "verdict")
    }

    fn line(target: &str, core: &str, float: &str, digest: &str, verdict: &str) -> String {
        format!("{target:<23}  {core:<29}  {float:<8}  {digest:<16}  {verdict}")
    }

    fn verdict(&self) -> String {
        match &self.outcome {
            Err(not_run) => format!("not run: {not_run}"),
            Ok(Judged { difference: Some(difference), .. }) => format!("DIFFERENT: {difference}"),
            Ok(_) => "equal".into(),
        }
    }

    fn print(&self, out: &mut dyn Write) -> io::Result<()> {
        let mut verdict = self.verdict();
        if let Ok(Judged { memory: Some(used), .. }) = &self.outcome {
            verdict += &format!(
                "; bytes: flash {}, RAM {}, stack {} of {}",
                used.flash, used.statics, used.stack, used.stack_size
            );
        }
        writeln!(
            out,
            "{}",
            Self::line(&self.target, &self.core, &self.float, &self.digest(), &verdict)
        )
    }

    fn entries(&self) -> impl Iterator<Item = Entry<'_>> {
        let not_run = self.outcome.as_ref().err().map(NotRun::to_string);
        let difference = self.outcome.as_ref().ok().and_then(|judged| judged.difference.as_ref());
        let difference = difference.map(ToString::to_string);
        self.experiments.iter().map(move |experiment| Entry {
            target: &self.target,
            experiment: &experiment.name,
            digest: experiment.digest.as_deref(),
            expected: &experiment.expected,
            equal: experiment.equal,
            difference: difference.clone().filter(|_| !experiment.equal),
            not_run: not_run.clone(),
        })
    }
}

/// The whole of `firmware/MATRIX.md` or `firmware/PROGRAM.md`.
fn markdown(
    out: &mut dyn Write,
    commit: Option<&str>,
    targets: &[String],
    rows: &[Row],
) -> io::Result<()> {
    let commit = commit.unwrap_or("unknown");
    let equal = rows.iter().filter(|row| row.verdict() == "equal").count();
    let (file, bits) = match rows.iter().all(|row| row.set == Set::Tour) {
        true => ("PROGRAM.md", "bytes of the published tour, file by file"),
        false => ("MATRIX.md", "bits of the host, experiment by experiment. Flash is in bytes"),
    };
    writeln!(out, "# The matrix as it was last run\n")?;
    writeln!(
        out,
        "Written by `myopia verify --target {} --markdown > firmware/{file}` at commit {commit}: \
         {equal} of {} gave the {bits}.\n",
        targets.join(","),
        rows.len()
    )?;
    writeln!(out, "| target | core | float hardware | experiments | flash | to spare | verdict |")?;
    writeln!(out, "|---|---|---|---|---|---|---|")?;
    for row in rows {
        let used =
            row.outcome.as_ref().ok().and_then(|judged| judged.memory).map(|used| used.flash);
        let spare = used.zip(row.flash).map(|(used, all)| i64::from(all) - i64::from(used));
        let [used, spare] = [used.map(i64::from), spare]
            .map(|bytes| bytes.map_or_else(String::new, |bytes| bytes.to_string()));
        let set = row.set.name();
        writeln!(
            out,
            "| {} | {} | {} | {set} | {used} | {spare} | {} |",
            row.target,
            row.core,
            row.float,
            row.verdict()
        )?;
    }
    Ok(())
}

/// Success when every target gave the same bits; otherwise the sentence, and the exit status, that
/// tell.
fn verdict(rows: &[Row]) -> Result<(), Failure> {
    let names = |wanted: fn(&Row) -> bool| -> Vec<&str> {
        rows.iter().filter(|row| wanted(row)).map(|row| row.target.as_str()).collect()
    };
    let different = names(|row| matches!(&row.outcome, Ok(Judged { difference: Some(_), .. })));
    let not_run = names(|row| row.outcome.is_err());
    let count = rows.len();
    match (different.as_slice(), not_run.as_slice()) {
        ([], []) => Ok(()),
        ([], not_run) => {
            let others = if not_run.len() < count { "; the others gave the same bits" } else { "" };
            Err(Failure::NotRun(format!(
                "{} of {count} targets were not run: {}{others}",
                not_run.len(),
                not_run.join(", ")
            )))
        }
        (different, not_run) => {
            let mut sentence = format!(
                "{} of {count} targets differed or broke: {}",
                different.len(),
                different.join(", ")
            );
            if !not_run.is_empty() {
                sentence += &format!("; {} were not run: {}", not_run.len(), not_run.join(", "));
            }
            Err(Failure::run(sentence))
        }
    }
}
