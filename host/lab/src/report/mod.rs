//! One page about an output folder: its figures, its tables, its settings, and what they show.
//!
//! The page needs no network and no other file: figures, tables and pictures are inside it. Its
//! reading is computed from the tables; nothing in it is known beforehand.

/// The file name of the page.
pub const PAGE: &str = "report.html";

mod folder;
mod page;
mod reading;
mod table;

pub use folder::{Contents, Settings};
pub use page::page;
pub use table::Table;
