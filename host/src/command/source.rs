//! Which data is trained on: built in, MNIST, or files that somebody brought.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use clap::builder::{OsStringValueParser, TypedValueParser};
use clap::{Arg, Args, Command};
use serde::{Serialize, Serializer};

use myopia::data::csv::Reading;
use myopia::failure::Failure;
use myopia::problem::{Data, OwnFile, Source};

/// Which data is trained on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DataName {
    /// Synthetic digits.
    Glyphs,
    /// MNIST.
    Mnist,
    /// x_train, y_train, x_test and y_test of a NumPy archive.
    Npz(PathBuf),
    /// A CSV file with a column of labels.
    Csv(PathBuf),
    /// Four IDX files in a folder.
    Idx(PathBuf),
}

impl DataName {
    fn parse(text: &OsStr) -> Result<Self, &'static str> {
        match text.to_str() {
            Some("glyphs") => return Ok(Self::Glyphs),
            Some("mnist") => return Ok(Self::Mnist),
            _ => {}
        }
        let bytes = text.as_encoded_bytes();
        let after = |form: &str| bytes.strip_prefix(form.as_bytes());
        let npz = after("npz:").map(|path| (path, Self::Npz as fn(PathBuf) -> Self));
        let csv = || after("csv:").map(|path| (path, Self::Csv as _));
        let idx = || after("idx:").map(|path| (path, Self::Idx as _));
        match npz.or_else(csv).or_else(idx) {
            Some((path, own)) if !path.is_empty() => {
                // SAFETY: what follows an ASCII prefix of an OsStr's bytes is an OsStr's.
                let path = unsafe { OsStr::from_encoded_bytes_unchecked(path) };
                Ok(own(path.into()))
            }
            _ => Err("give glyphs, mnist, npz:FILE, csv:FILE or idx:DIR"),
        }
    }

    /// Its form, and the file or folder if there is one.
    fn parts(&self) -> (&'static str, Option<&Path>) {
        match self {
            Self::Glyphs => ("glyphs", None),
            Self::Mnist => ("mnist", None),
            Self::Npz(path) => ("npz", Some(path)),
            Self::Csv(path) => ("csv", Some(path)),
            Self::Idx(path) => ("idx", Some(path)),
        }
    }
}

/// Form and name of the file, without its folder: on another machine that is another.
impl Serialize for DataName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (form, path) = self.parts();
        match path.map(|path| path.file_name().unwrap_or(path.as_os_str()).to_string_lossy()) {
            None => serializer.serialize_str(form),
            Some(name) => serializer.collect_str(&format_args!("{form}:{name}")),
        }
    }
}

/// Parses a [`DataName`], whose path need not be text.
#[derive(Clone)]
struct DataNameParser;

impl TypedValueParser for DataNameParser {
    type Value = DataName;

    fn parse_ref(
        &self,
        command: &Command,
        argument: Option<&Arg>,
        value: &OsStr,
    ) -> Result<DataName, clap::Error> {
        let parser = OsStringValueParser::new().try_map(|text: OsString| DataName::parse(&text));
        parser.parse_ref(command, argument, value)
    }
}

/// What to train on.
#[derive(Args, Clone, Debug, Serialize)]
pub struct DataOptions {
    /// What to train on: glyphs (synthetic 8x8 digits, built in), mnist (from --mnist-dir,
    /// MYOPIA_MNIST or the cache that `myopia data fetch` fills), npz:FILE (x_train, y_train,
    /// x_test and y_test as numpy.savez writes them), csv:FILE (a row for each example, with a
    /// column of labels) or idx:DIR (four files in MNIST's form)
    #[arg(long, value_name = "DATA", default_value = "glyphs", value_parser = DataNameParser)]
    pub data: DataName,
    /// Folder with the four MNIST files, gzipped or not
    #[arg(long, value_name = "DIR")]
    #[serde(skip)]
    pub mnist_dir: Option<PathBuf>,
    /// Column of a CSV file that holds the class, 0, 1, 2 and so on [default: label]
    #[arg(long, value_name = "NAME")]
    #[serde(skip)] // The data's digest tells them apart.
    pub label_column: Option<String>,
    /// Leave the columns of a CSV file as they are, instead of giving each mean 0 and variance 1 on
    /// the rows trained on
    #[arg(long)]
    #[serde(skip)]
    pub raw_columns: bool,
}

impl DataOptions {
    /// Where the data comes from.
    ///
    /// # Errors
    /// An option of other data.
    pub fn source(&self) -> Result<Source, Failure> {
        let is_csv = matches!(self.data, DataName::Csv(_));
        for (option, given) in
            [("label-column", self.label_column.is_some()), ("raw-columns", self.raw_columns)]
        {
            if given && !is_csv {
                return Err(Failure::usage(format!(
                    "--{option} is an option of --data csv:FILE; leave it out"
                )));
            }
        }
        Ok(match &self.data {
            DataName::Glyphs => Source::Glyphs,
            DataName::Mnist => Source::Mnist(self.mnist_dir.clone()),
            DataName::Npz(path) => Source::Own(OwnFile::Npz(path.clone())),
            DataName::Idx(path) => Source::Own(OwnFile::Idx(path.clone())),
            DataName::Csv(path) => {
                let label = self.label_column.clone().unwrap_or_else(|| "label".to_owned());
                let reading = Reading { label, raw: self.raw_columns };
                Source::Own(OwnFile::Csv(path.clone(), reading))
            }
        })
    }

    /// The layers where none are given.
    pub fn default_layers(&self, data: &Data) -> Vec<usize> {
        match self.data {
            DataName::Glyphs => vec![data.inputs, 32, data.classes],
            _ => vec![data.inputs, 100, 100, data.classes],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_is_named_by_its_form_and_its_path() {
        let parse = |text: &str| DataName::parse(OsStr::new(text));
        assert_eq!(parse("glyphs"), Ok(DataName::Glyphs));
        assert_eq!(parse("npz:a:b.npz"), Ok(DataName::Npz("a:b.npz".into())));
        assert_eq!(parse("csv:d/e.csv"), Ok(DataName::Csv("d/e.csv".into())));
        assert_eq!(parse("idx:."), Ok(DataName::Idx(".".into())));
        for text in ["", "npz", "npz:", "csv:", "MNIST", "data.npz", "hdf5:x"] {
            assert!(parse(text).is_err(), "{text}");
        }
        #[cfg(unix)]
        {
            use std::os::unix::ffi::OsStrExt;
            let name = DataName::parse(OsStr::from_bytes(b"idx:\xff")).unwrap();
            assert_eq!(name, DataName::Idx(OsStr::from_bytes(b"\xff").into()));
        }
    }

    #[test]
    fn results_name_the_file_without_its_folder() {
        let saved = |name: DataName| serde_json::to_value(name).unwrap();
        assert_eq!(saved(DataName::Glyphs), "glyphs");
        assert_eq!(saved(DataName::Npz("/data/on/one/iris.npz".into())), "npz:iris.npz");
        assert_eq!(saved(DataName::Idx("fashion/".into())), "idx:fashion");
        assert_eq!(saved(DataName::Idx("..".into())), "idx:..");
    }
}
