//! `myopia report`: one page about an output folder.

use std::path::PathBuf;

use clap::{Args, CommandFactory};
use serde_json::Value;

use super::Program;
use super::options::Common;
use myopia::failure::Failure;
use myopia::output::{atomic, json, standard};
use myopia::report::{Contents, Settings, page};
use myopia::tensorboard;

/// Options of `myopia report`.
#[derive(Args, Debug)]
pub struct Options {
    /// Folder that a command wrote with --out
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    /// Write its curves as TensorBoard event files, to DIR/tensorboard
    #[arg(long)]
    tensorboard: bool,
}

/// The page's file, in the folder it is about.
const PAGE: &str = "report.html";

impl Options {
    pub fn run(self, common: &Common) -> Result<(), Failure> {
        if common.out.is_some() {
            return Err(Failure::usage(
                "report writes into the folder it is about; leave out --out",
            ));
        }
        let contents = Contents::read(&self.folder)?;
        let commands: Vec<String> = contents.settings.iter().filter_map(command_line).collect();
        let mut names = contents.settings.iter().filter_map(Settings::command);
        let title = match names.next() {
            Some(name) => format!("myopia {name}"),
            None => "Results of myopia".to_owned(),
        };
        let text = page(&title, &contents, &commands);
        let path = self.folder.join(PAGE);
        atomic::write(&path, |w| w.write_all(text.as_bytes()))
            .map_err(|e| Failure::io("write", &path, &e))?;
        let runs = match self.tensorboard {
            true => Some(tensorboard::write(&self.folder)?),
            false => None,
        };
        if common.json {
            let report = serde_json::json!({ "page": path, "tensorboard_runs": runs });
            return json::print(&report);
        }
        standard::print(|out| {
            writeln!(out, "{}", path.display())?;
            match runs {
                None => Ok(()),
                Some(runs) => writeln!(
                    out,
                    "{runs} runs in {}; watch them with tensorboard --logdir",
                    self.folder.join(tensorboard::FOLDER).display()
                ),
            }
        })
    }
}

/// The command line that leads to `settings`, with every option that its command has.
fn command_line(settings: &Settings) -> Option<String> {
    let name = settings.command()?;
    let program = Program::command();
    let command = program.find_subcommand(name)?;
    let known = |field: &str| {
        let option = field.replace('_', "-");
        let own = command.get_arguments().chain(program.get_arguments());
        own.filter_map(|argument| argument.get_long()).any(|long| long == option).then_some(option)
    };
    let mut line = format!("myopia {name}");
    for (field, value) in &settings.fields {
        let Some(option) = known(field) else { continue };
        match value {
            Value::Array(values) => {
                let texts: Vec<String> = values.iter().filter_map(text).collect();
                if texts.iter().any(|text| text.contains(',')) {
                    texts.iter().for_each(|text| line += &format!(" --{option} {text}"));
                } else if !texts.is_empty() {
                    line += &format!(" --{option} {}", texts.join(","));
                }
            }
            Value::Bool(true) => line += &format!(" --{option}"),
            _ => line.extend(text(value).map(|text| format!(" --{option} {text}"))),
        }
    }
    Some(line)
}

fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}
