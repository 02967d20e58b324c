//! `myopia data`: the files that training reads.

use std::path::PathBuf;

use clap::Subcommand;

use super::options::Common;
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
