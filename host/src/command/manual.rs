//! `myopia completions` and `myopia man`: what shells and manuals know of the commands.

use std::path::Path;

use clap::{Args, CommandFactory};
use clap_complete::Shell;
use clap_mangen::Man;

use super::Program;
use super::options::Common;
use myopia::failure::Failure;
use myopia::output::{OutputFolder, standard};

/// Options of `myopia completions`.
#[derive(Args, Debug)]
pub struct Completions {
    /// The shell that the script is for
    #[arg(value_enum)]
    shell: Shell,
}

impl Completions {
    pub fn run(self, _common: &Common) -> Result<(), Failure> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Program::command(), "myopia", &mut script);
        standard::print(|out| out.write_all(&script))
    }
}

/// Options of `myopia man`.
#[derive(Args, Debug)]
pub struct Manual {
    /// The command that the page is about, such as `nqm meta` [default: the program]
    #[arg(value_name = "COMMAND", conflicts_with = "out")]
    path: Vec<String>,
}

impl Manual {
    pub fn run(self, common: &Common) -> Result<(), Failure> {
        let mut program = Program::command().disable_help_subcommand(true);
        program.build();
        match &common.out {
            Some(folder) => write(folder, common.force, &program),
            None => {
                let page = page(found(&program, &self.path)?)?;
                standard::print(|out| out.write_all(&page))
            }
        }
    }
}

/// The command at this path below `program`.
fn found<'a>(program: &'a clap::Command, path: &[String]) -> Result<&'a clap::Command, Failure> {
    path.iter().try_fold(program, |command, name| {
        command.find_subcommand(name).ok_or_else(|| {
            let names: Vec<&str> = command.get_subcommands().map(|c| c.get_name()).collect();
            Failure::usage(format!("there is no command {name}; give one of {}", names.join(", ")))
        })
    })
}

fn page(command: &clap::Command) -> Result<Vec<u8>, Failure> {
    let mut page = Vec::new();
    let rendered = Man::new(command.clone()).render(&mut page);
    rendered.map_err(|e| Failure::run(format!("the page cannot be written: {e}")))?;
    Ok(breakable(&String::from_utf8_lossy(&page)).into_bytes())
}

/// The page set flush left, its lists of default values breakable at their commas: to groff such a
/// list is one word however long, and a line of one word cannot be adjusted.
fn breakable(page: &str) -> String {
    let lines = page.split_inclusive('\n').map(|line| match line.split_once("[default: ") {
        Some((before, list)) => format!("{before}[default: {}", list.replace(',', ",\\:")),
        None => line.to_owned(),
    });
    lines.collect::<String>().replacen(".SH NAME\n", ".ad l\n.SH NAME\n", 1)
}

/// Writes the pages of all commands into `folder`: myopia.1, myopia-train.1 and so on.
fn write(folder: &Path, force: bool, program: &clap::Command) -> Result<(), Failure> {
    let folder = OutputFolder::create_at_once(folder, force)?;
    let mut left = vec![program];
    while let Some(command) = left.pop() {
        let name = command.get_display_name().unwrap_or(command.get_name());
        let page = page(command)?;
        folder.write(&format!("{name}.1"), |w| w.write_all(&page))?;
        left.extend(command.get_subcommands());
    }
    folder.finish()
}
