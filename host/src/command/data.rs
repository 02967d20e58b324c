//! `myopia data`: the files that training reads.

use std::path::PathBuf;

use clap::Subcommand;

use super::options::Common;
use crate::data::fetch::{Fetch, Outcome};
use crate::data::mnist;
use crate::failure::Failure;

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

impl Action {
    pub fn run(self, common: &Common) -> Result<(), Failure> {
        let Self::Fetch { mnist_dir, mirror } = self;
        let folder = mnist::folder(mnist_dir.as_deref())?;
        let fetch = Fetch {
            folder: &folder,
            mirror: mirror.as_deref(),
            force: common.force,
            progress: !common.quiet,
        };
        for outcome in fetch.run(&mut |note| common.remark(note))? {
            match outcome {
                Outcome::Kept(path) => println!("{} is already there", path.display()),
                Outcome::Installed(path) => println!("installed {}", path.display()),
            }
        }
        Ok(())
    }
}
