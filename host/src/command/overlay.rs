//! The surface on which `myopia horizons` draws its descents: of the same problem and plane, and
//! whole.

use std::fs;
use std::iter;
use std::path::{Path, PathBuf};

use clap::Parser;

use super::options::comma;
use super::outer::ParameterName;
use super::{Command, Program};
use myopia::checkpoint::{self, Experiment};
use myopia::failure::Failure;
use myopia::horizons::Overlay;
use myopia::input::read_regular;
use myopia::memory::afford;
use myopia::output::record::{Record, sha256};
use myopia::published::Manifest;
use myopia::surface::{Row, panel};

/// The table of a surface.
const TABLE: &str = "surface.csv";

/// The settings of a surface that are none of its problem. Whatever else it was made with must be
/// that of the descents.
const OWN: [&str; 11] = [
    "alpha0",
    "alpha0_range",
    "axes",
    "beta",
    "beta_range",
    "grid",
    "horizon",
    "random",
    "range",
    "time_constant",
    "time_constant_range",
];

/// A surface as it lies in a folder.
pub struct Drawn {
    folder: PathBuf,
    experiment: Experiment,
    rows: Vec<Row>,
}

/// What a folder says of the surface in it.
struct Made {
    version: String,
    experiment: Experiment,
    /// The digests that its table may have.
    digests: Vec<String>,
}

/// One parameter of a row.
type Read = fn(&Row) -> f64;

const PARAMETERS: [(ParameterName, Read); 3] = [
    (ParameterName::Alpha0, |row| row.alpha0),
    (ParameterName::TimeConstant, |row| row.time_constant),
    (ParameterName::Beta, |row| row.beta),
];

impl Drawn {
    /// The surface in `folder`.
    ///
    /// # Errors
    /// One sentence when there is none, or when it is not what this version of the program wrote.
    pub fn read(folder: &Path) -> Result<Self, Failure> {
        let name = folder.display();
        // A folder that cannot be read is told as such, whatever is missing in it.
        fs::read_dir(folder).map_err(|e| Failure::io("read the folder", folder, &e))?;
        let path = folder.join(TABLE);
        match path.symlink_metadata() {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                return Err(Failure::run(format!(
                    "{name} holds no finished surface, it has no {TABLE}; name a folder that `myopia surface --out` or \
                     `myopia merge` wrote"
                )));
            }
            found => found.map_err(|e| Failure::io("read", &path, &e))?,
        };
        let Some(Made { version, experiment, digests }) = made(folder) else {
            return Err(Failure::run(format!(
                "{name} does not say with which settings it was made, so that its losses cannot be compared with these; \
                 make it again with `myopia surface --out`"
            )));
        };
        if experiment.command() != "surface" {
            return Err(Failure::run(format!(
                "{name} was made by `myopia {}` and is no surface; name a folder that `myopia surface --out` wrote",
                experiment.command()
            )));
        }
        if version != env!("CARGO_PKG_VERSION") {
            return Err(Failure::run(format!(
                "--surface {name} was made by myopia {version}, and this is {}; make it again with this version",
                env!("CARGO_PKG_VERSION")
            )));
        }
        let bytes =
            read_regular(&path, Row::LARGEST).map_err(|e| Failure::io("read", &path, &e))?;
        if !digests.contains(&sha256(&bytes)) {
            return Err(Failure::run(format!(
                "{} is not what the run in its folder wrote; put that file back, or make the surface again",
                path.display()
            )));
        }
        let needed = Row::EXPANSION * bytes.len() as u128;
        afford(&path.display().to_string(), needed, "free some memory")?;
        let rows = Row::read(&bytes).map_err(|e| damaged(&path, &e))?;
        Ok(Self { folder: folder.to_path_buf(), experiment, rows })
    }

    /// Refuses it when its losses cannot be compared with those of descents on the problem `part`
    /// at these horizons.
    pub fn is_of(
        &self,
        part: &Experiment,
        with_defaults: &dyn Fn(Experiment) -> Experiment,
        horizons: &[u32],
    ) -> Result<(), Failure> {
        let name = self.folder.display();
        let surface = with_defaults(self.experiment.clone());
        if let Some(difference) = surface.departure(part, &OWN, ["there", "here"]) {
            return Err(Failure::usage(format!(
                "--surface {name} is of another problem: {difference}; make a surface with the same settings"
            )));
        }
        if let Some((parameter, _)) = self.rows.first().and_then(|row| row.others.first()) {
            return Err(Failure::usage(format!(
                "--surface {name} varies {}, and descents are drawn over alpha0, time-constant and beta; make a surface \
                 over two of these",
                parameter.name().replace('_', "-")
            )));
        }
        let there = surface.numbers("horizon");
        match horizons.iter().find(|&&horizon| !there.contains(&horizon.into())) {
            Some(missing) => Err(Failure::usage(format!(
                "--surface {name} has no losses at --horizon {missing}, only at {}; make a surface with that horizon",
                comma(&there)
            ))),
            None => Ok(()),
        }
    }

    /// Refuses descents that stay in another plane: from these starts, with the parameters `fixed`
    /// kept.
    pub fn holds(&self, fixed: &[ParameterName], starts: &[[f64; 3]]) -> Result<(), Failure> {
        for (place, (parameter, read)) in PARAMETERS.into_iter().enumerate() {
            let Some(there) = self.rows.first().map(read) else { continue };
            if self.varies(read) || !fixed.contains(&parameter) {
                continue;
            }
            if let Some(start) = starts.iter().find(|start| start[place] != there) {
                return Err(Failure::usage(format!(
                    "--surface {} has --{} {there:?} everywhere, and --fix keeps it at {:?}; make a surface with \
                     that value",
                    self.folder.display(),
                    parameter.name(),
                    start[place]
                )));
            }
        }
        Ok(())
    }

    fn varies(&self, read: Read) -> bool {
        self.rows.windows(2).any(|pair| read(&pair[0]) != read(&pair[1]))
    }

    /// Its panels, those of each horizon: over the two parameters that vary in it.
    pub fn overlays(&self, loss: &str) -> Result<Vec<Overlay>, Failure> {
        let varying = PARAMETERS.into_iter().filter(|(_, read)| self.varies(*read));
        let axes: Vec<ParameterName> = varying.map(|(parameter, _)| parameter).collect();
        let axes = <[ParameterName; 2]>::try_from(axes).map_err(|axes| {
            let why = format!("{} parameters vary in it, not two", axes.len());
            damaged(&self.folder.join(TABLE), &why)
        })?;
        let mut horizons: Vec<u32> = self.rows.iter().map(|row| row.horizon).collect();
        horizons.sort_unstable();
        horizons.dedup();
        let overlay = |horizon| {
            let axes = axes.map(ParameterName::parameter);
            Overlay { horizon, axes, panel: panel(&self.rows, axes, horizon, loss) }
        };
        Ok(horizons.into_iter().map(overlay).collect())
    }
}

fn damaged(path: &Path, why: &dyn std::fmt::Display) -> Failure {
    Failure::run(format!("{} is not a surface: {why}; make it again", path.display()))
}

/// What made the surface in `folder`, by what its run noted there, or by the manifest of a
/// published one.
fn made(folder: &Path) -> Option<Made> {
    if let Some((version, experiment)) = checkpoint::finished(folder) {
        let files = Record::read(folder).files.into_iter();
        let digests = files.filter(|(name, _)| name == TABLE).map(|(_, digest)| digest).collect();
        return Some(Made { version, experiment, digests });
    }
    let folder = folder.canonicalize().ok()?;
    let manifest = Manifest::read(folder.parent()?, folder.file_name()?.to_str()?).ok()?;
    let arguments = iter::once("myopia".to_owned()).chain(manifest.command);
    let Program { common, command: Command::Surface(options) } =
        Program::try_parse_from(arguments).ok()?
    else {
        return None;
    };
    let experiment = Experiment::new("surface", &options).with("seed", common.seed);
    Some(Made {
        version: manifest.version,
        experiment: experiment.with("data_digest", manifest.data_digest?),
        digests: manifest.files.get(TABLE).cloned().into_iter().collect(),
    })
}
