//! `myopia report`: one page about an output folder.

use std::path::{Path, PathBuf};

use clap::{Args, CommandFactory};
use serde_json::Value;

use super::Program;
use super::options::Common;
use myopia::failure::Failure;
use myopia::output::{OutputFolder, atomic, json, record, standard};
use myopia::provenance::quoted;
use myopia::report::{Contents, PAGE, Settings, page};
use myopia::{remark, shown, tensorboard};

/// Options of `myopia report`.
#[derive(Args, Debug)]
pub struct Options {
    /// Folder that a command wrote with --out
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    /// Write its curves as TensorBoard event files, to the folder tensorboard beside the page
    #[arg(long)]
    tensorboard: bool,
}

impl Options {
    pub fn run(self, common: &Common) -> Result<(), Failure> {
        let contents = Contents::read(&self.folder)?;
        contents.remarks.iter().for_each(remark::say);
        let commands: Vec<String> = match &contents.command {
            Some(command) => vec![command.clone()],
            None => contents.settings.iter().filter_map(command_line).collect(),
        };
        let mut names = contents.settings.iter().filter_map(Settings::command);
        let title = match names.next() {
            Some(name) => format!("myopia {name}"),
            None => "Results of myopia".to_owned(),
        };
        let text = page(&title, &contents, &commands);
        let place = self.place(common)?;
        let to = place.as_ref().map_or(&*self.folder, OutputFolder::path);
        let path = to.join(PAGE);
        match &place {
            Some(place) => place.write(PAGE, |w| w.write_all(text.as_bytes()))?,
            None => {
                atomic::write(&path, |w| w.write_all(text.as_bytes()))
                    .map_err(|e| self.unwritable(&path, &e))?;
                // It goes with the results that it is about.
                record::add(to, PAGE, &record::sha256(text.as_bytes()))
                    .map_err(|e| self.unwritable(&to.join(record::RECORD), &e))?;
            }
        }
        let runs = match self.tensorboard {
            true => Some(tensorboard::write(&contents, to)?),
            false => None,
        };
        let name = path.to_string_lossy();
        if common.json {
            let report = serde_json::json!({ "page": name, "tensorboard_runs": runs });
            return json::print(&report);
        }
        standard::print(|out| {
            writeln!(out, "{}", shown::escaped(&name))?;
            match runs {
                None => Ok(()),
                Some(runs) => writeln!(
                    out,
                    "{runs} runs in {}; watch them with tensorboard --logdir",
                    shown::path(&to.join(tensorboard::FOLDER))
                ),
            }
        })
    }

    /// The folder that the page goes to, if not the one that it is about.
    fn place(&self, common: &Common) -> Result<Option<OutputFolder>, Failure> {
        let Some(out) = &common.out else { return Ok(None) };
        let same = out.canonicalize().ok().zip(self.folder.canonicalize().ok());
        if same.is_some_and(|(out, folder)| out == folder) {
            return Ok(None);
        }
        OutputFolder::create(out, common.force).map(Some)
    }

    /// The refusal when the page cannot be written where the results are.
    fn unwritable(&self, path: &Path, error: &std::io::Error) -> Failure {
        use std::io::ErrorKind::{PermissionDenied, ReadOnlyFilesystem};
        match error.kind() {
            PermissionDenied | ReadOnlyFilesystem => Failure::run(format!(
                "{} may not be written to; name another folder for the page with --out",
                self.folder.display()
            )),
            _ => Failure::io("write", path, error),
        }
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
        Value::String(text) => Some(quoted(text.as_ref())),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}
