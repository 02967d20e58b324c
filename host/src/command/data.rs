//! `myopia data`: the files that training reads.

use std::path::PathBuf;

use clap::Subcommand;
#[cfg(feature = "fetch")]
use serde::Serialize;

use super::options::Common;
#[cfg(feature = "fetch")]
use myopia::data::fetch::{Fetch, Outcome};
#[cfg(feature = "fetch")]
use myopia::data::mnist;
use myopia::failure::Failure;
#[cfg(feature = "fetch")]
use myopia::output::{json, standard};
#[cfg(feature = "fetch")]
use myopia::shown;

/// What to do about data.
#[derive(Subcommand, Debug)]
pub enum Action {
    /// Download the four MNIST files, check them, and install them where the other commands look
    Fetch {
        /// Where to put them [default: MYOPIA_MNIST, else the user's cache folder]
        #[arg(long, value_name = "DIR")]
        mnist_dir: Option<PathBuf>,
        /// Fetch from this address instead of the usual mirrors
        #[arg(long, value_name = "URL")]
        mirror: Option<String>,
    },
}

/// One file, as JSON.
#[cfg(feature = "fetch")]
#[derive(Serialize)]
struct File {
    path: String,
    /// Whether it was fetched now; otherwise it was already there.
    installed: bool,
}

#[cfg(feature = "fetch")]
impl From<&Outcome> for File {
    fn from(outcome: &Outcome) -> Self {
        let (Outcome::Kept(path) | Outcome::Installed(path)) = outcome;
        let installed = matches!(outcome, Outcome::Installed(_));
        Self { path: path.display().to_string(), installed }
    }
}

impl Action {
    /// Built without a way to download.
    #[cfg(not(feature = "fetch"))]
    pub fn run(self, _common: &Common) -> Result<(), Failure> {
        Err(Failure::usage(
            "this program was built without its feature `fetch`; download the four MNIST files by other means and name their \
             folder with --mnist-dir or MYOPIA_MNIST",
        ))
    }

    #[cfg(feature = "fetch")]
    pub fn run(self, common: &Common) -> Result<(), Failure> {
        let Self::Fetch { mnist_dir, mirror } = self;
        let folder = mnist::folder(mnist_dir.as_deref())?;
        let fetch = Fetch {
            folder: &folder,
            mirror: mirror.as_deref(),
            force: common.force,
            progress: !common.quiet,
        };
        let outcomes = fetch.run(&mut |note| common.remark(note))?;
        if common.json {
            let files: Vec<File> = outcomes.iter().map(File::from).collect();
            return json::print(&files);
        }
        standard::print(|out| {
            for outcome in &outcomes {
                match outcome {
                    Outcome::Kept(path) => writeln!(out, "{} is already there", shown::path(path)),
                    Outcome::Installed(path) => writeln!(out, "installed {}", shown::path(path)),
                }?;
            }
            Ok(())
        })
    }
}
