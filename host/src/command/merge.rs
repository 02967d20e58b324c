//! `myopia merge`: the shards of a surface joined.

use std::path::PathBuf;

use clap::Args;

use super::options::Common;
use myopia::failure::Failure;
use myopia::output::{OutputFolder, json, standard};
use myopia::surface::{self, Piece, merge};

/// Options of `myopia merge`.
#[derive(Args, Debug)]
pub struct Options {
    /// The folders that `myopia surface --shard` wrote, in any order
    #[arg(value_name = "DIR", required = true)]
    folders: Vec<PathBuf>,
}

impl Options {
    pub fn run(self, common: &Common) -> Result<(), Failure> {
        let Some(out) = &common.out else {
            return Err(Failure::usage(
                "merge needs a folder for the whole surface; name it with --out",
            ));
        };
        let pieces: Result<Vec<Piece>, Failure> =
            self.folders.iter().map(|folder| Piece::read(folder)).collect();
        let (about, rows) = merge(pieces?)?;
        let folder = OutputFolder::create_at_once(out, common.force)?;
        let report = surface::write(Some(&folder), &about, &rows, false)?;
        folder.finish()?;
        if common.json {
            return json::print(&report);
        }
        standard::print(|out| report.print(out))
    }
}
