//! Any data set in MNIST's form: four IDX files, images and labels to train and to test on.
//!
//! EMNIST's files have a prefix, such as `emnist-balanced-`, and `test` in place of `t10k`;
//! Fashion-MNIST's are called as MNIST's are.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::idx::{self, Kind};
use super::labelled::{Inputs, Labelled, Own};
use super::published::reachable;
use crate::failure::Failure;

/// The four files, in the order in which they are read.
const FILES: [(Part, Kind, &str); 4] = [
    (Part::Training, Kind::AnyExamples, "train-images-idx3-ubyte"),
    (Part::Training, Kind::AnyLabels, "train-labels-idx1-ubyte"),
    (Part::Test, Kind::AnyExamples, "t10k-images-idx3-ubyte"),
    (Part::Test, Kind::AnyLabels, "t10k-labels-idx1-ubyte"),
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Training,
    Test,
}

/// The examples of the four files in the folder `place`, or of those there that begin with a
/// prefix: `FOLDER/emnist-balanced`.
///
/// # Errors
/// One sentence that names the file and what is wrong.
pub fn load(place: &Path) -> Result<Own<'static>, Failure> {
    // A prefix names no file: what is there and is no folder was taken for one.
    if place.exists() && !place.is_dir() {
        return Err(Failure::run(format!(
            "{} is no folder; name the folder of the four files, or what the names of the files in it begin with",
            place.display()
        )));
    }
    let (folder, prefix) = match (place.parent(), place.file_name()) {
        (Some(parent), Some(name)) if !place.is_dir() => {
            let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
            (parent, Some(name.to_string_lossy().into_owned()))
        }
        _ => (place, None),
    };
    // A folder that is not there is named as it was given.
    let is_folder = folder.is_dir();
    let named = if is_folder { folder } else { place };
    let mut sets = sets(named)?;
    if let Some(prefix) = prefix {
        if let Some(files) = sets.remove(prefix.trim_end_matches('-')) {
            return read(folder, &prefix, &files);
        }
        let missing = std::io::ErrorKind::NotFound.into();
        return Err(Failure::io("read", place, &missing));
    }
    if sets.is_empty()
        && let Some(below) = below(folder)?
    {
        return load(&below);
    }
    let prefixes: Vec<&str> = sets.keys().map(String::as_str).collect();
    if prefixes.len() > 1 {
        let names: Vec<String> = prefixes.iter().take(8).map(|name| shown(name)).collect();
        let example = prefixes.iter().find(|name| !name.is_empty()).unwrap_or(&"");
        return Err(Failure::run(format!(
            "{} holds the files of several data sets ({}); add to its name what the files of one of them begin with, \
             as {}",
            folder.display(),
            names.join(", "),
            folder.join(example).display()
        )));
    }
    let (prefix, files) = sets.pop_first().unwrap_or_default();
    read(folder, &prefix, &files)
}

/// Where other programs keep the files below the folder that people name: torchvision's data sets,
/// and what EMNIST's archive unpacks to.
const LAYOUTS: [&str; 6] =
    ["raw", "MNIST/raw", "FashionMNIST/raw", "KMNIST/raw", "EMNIST/raw", "gzip"];

/// The one of [`LAYOUTS`] below `folder` that holds such files; none when none does.
///
/// # Errors
/// When there are several, when one is a link to nothing, and when one cannot be read.
fn below(folder: &Path) -> Result<Option<PathBuf>, Failure> {
    let mut found = Vec::new();
    let mut unreachable = None;
    for layout in LAYOUTS {
        let place = folder.join(layout);
        if let Err(failure) = reachable(folder, layout) {
            unreachable.get_or_insert(failure);
        } else if place.is_dir() && !sets(&place)?.is_empty() {
            found.push(place);
        }
    }
    if let [one, other, ..] = &found[..] {
        return Err(Failure::run(format!(
            "{} holds several data sets, {} and {} among them; name the folder of one",
            folder.display(),
            one.display(),
            other.display()
        )));
    }
    match (found.pop(), unreachable) {
        (None, Some(failure)) => Err(failure),
        (found, _) => Ok(found),
    }
}

fn shown(prefix: &str) -> String {
    if prefix.is_empty() { "those without a prefix".to_owned() } else { prefix.to_owned() }
}

/// Files of one set: of each of [`FILES`] where it lies.
type Files = [Option<PathBuf>; 4];

/// The files in `folder` that are called as such files are, by what their names begin with.
fn sets(folder: &Path) -> Result<BTreeMap<String, Files>, Failure> {
    let unreadable = |e| Failure::io("read", folder, &e);
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(unreadable)? {
        paths.push(entry.map_err(unreadable)?.path());
    }
    // Of a file and its compressed copy the first counts, in this order the file.
    paths.sort();
    let mut sets = BTreeMap::<String, Files>::new();
    for path in paths {
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
        let Some((prefix, which)) = role(name) else { continue };
        let files = sets.entry(prefix.to_owned()).or_default();
        // Some unpackers make a folder of the file's own name.
        let file = if path.is_dir() { inside(&path, (prefix, which)) } else { None };
        files[which].get_or_insert(file.unwrap_or(path));
    }
    Ok(sets)
}

/// The file in `folder` that is called as a file with this role is.
fn inside(folder: &Path, wanted: (&str, usize)) -> Option<PathBuf> {
    let paths = std::fs::read_dir(folder).ok()?.filter_map(|entry| Some(entry.ok()?.path()));
    let fits = |path: &Path| {
        path.is_file() && path.file_name().and_then(|name| role(name.to_str()?)) == Some(wanted)
    };
    paths.filter(|path| fits(path)).min()
}

/// What a file's name begins with, and which of [`FILES`] it is; none when it is no such file.
fn role(name: &str) -> Option<(&str, usize)> {
    let name = name.strip_suffix(".gz").unwrap_or(name);
    let name = name.strip_suffix("-ubyte")?;
    let name = name.trim_end_matches(|c: char| c.is_ascii_digit());
    let stem = name.strip_suffix("-idx").or_else(|| name.strip_suffix(".idx"))?;
    let (stem, kind) = match (stem.strip_suffix("-images"), stem.strip_suffix("-labels")) {
        (Some(stem), _) => (stem, Kind::AnyExamples),
        (_, Some(stem)) => (stem, Kind::AnyLabels),
        _ => return None,
    };
    let (prefix, part) = [("train", Part::Training), ("t10k", Part::Test), ("test", Part::Test)]
        .into_iter()
        .find_map(|(word, part)| Some((stem.strip_suffix(word)?, part)))?;
    let which = FILES.iter().position(|file| (file.0, file.1) == (part, kind))?;
    match prefix.strip_suffix('-') {
        Some(prefix) => Some((prefix, which)),
        None => prefix.is_empty().then_some(("", which)),
    }
}

fn read(folder: &Path, prefix: &str, files: &Files) -> Result<Own<'static>, Failure> {
    let mut contents = Vec::new();
    for (path, (_, kind, name)) in files.iter().zip(FILES) {
        let path = path.as_ref().ok_or_else(|| {
            let prefix = prefix.trim_end_matches('-');
            let dash = if prefix.is_empty() { "" } else { "-" };
            Failure::run(format!(
                "{} has no file {prefix}{dash}{name}, compressed with gzip or not; four such files are needed, images and \
                 labels to train and to test on",
                folder.display()
            ))
        })?;
        contents.push((path.display().to_string(), idx::read(path, kind)?));
    }
    Ok(own(contents.try_into().expect("there are four")))
}

/// The examples in the contents of four files, each with its name: inputs and labels to train on,
/// then to test on.
pub fn own(files: [(String, idx::Contents); 4]) -> Own<'static> {
    let part = |(inputs, images): (String, idx::Contents),
                (labels, classes): (_, idx::Contents)| {
        Labelled {
            names: [inputs, labels],
            width: images.width,
            inputs: Inputs::Bytes(images.bytes.into()),
            labels: classes.bytes.into_iter().map(i64::from).collect(),
        }
    };
    let [inputs, labels, test_inputs, test_labels] = files;
    let test = Some(part(test_inputs, test_labels));
    Own { training: part(inputs, labels), test, held_out: None }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::data::idx::tests::{file, gzip, labels};
    use crate::precision::Precision;
    use crate::problem::Set;

    /// Six pictures of 2×3 bytes to train on, of three classes, and two to test on.
    fn put(folder: &Path, prefix: &str, test: &str) {
        let put = |name: &str, bytes: &[u8]| {
            fs::write(folder.join(format!("{prefix}{name}")), bytes).unwrap();
        };
        let bytes: Vec<u8> = (0..36).collect();
        put("train-images-idx3-ubyte", &file(3, &[6, 2, 3], &bytes));
        put("train-labels-idx1-ubyte.gz", &gzip(&labels(&[0, 1, 2, 0, 1, 2])));
        put(&format!("{test}-images.idx3-ubyte"), &file(3, &[2, 2, 3], &bytes[..12]));
        put(&format!("{test}-labels-idx1-ubyte"), &labels(&[2, 0]));
    }

    fn refusal(place: &Path, folder: &Path) -> String {
        let said = load(place).and_then(|own| own.load(Precision::F32).map(drop)).unwrap_err();
        said.to_string().replace(&folder.display().to_string(), "DIR")
    }

    #[test]
    fn classes_and_inputs_are_those_of_the_files() {
        let folder = tempfile::tempdir().unwrap();
        put(folder.path(), "", "t10k");
        let own = load(folder.path()).unwrap();
        let data = own.load(Precision::F32).unwrap();
        assert_eq!((data.inputs, data.classes, data.held_out), (6, 3, 1));
        assert_eq!((data.len(Set::Training), data.len(Set::Test)), (6, 2));
        assert_eq!(own.training.labels, [0, 1, 2, 0, 1, 2]);
    }

    #[test]
    fn one_of_several_sets_is_named_by_what_its_files_begin_with() {
        let folder = tempfile::tempdir().unwrap();
        put(folder.path(), "emnist-digits-", "test");
        let alone = load(folder.path()).unwrap();
        assert_eq!(load(&folder.path().join("emnist-digits")).unwrap(), alone);
        assert_eq!(load(&folder.path().join("emnist-digits-")).unwrap(), alone);
        put(folder.path(), "emnist-mnist-", "test");
        assert_eq!(
            refusal(folder.path(), folder.path()),
            "DIR holds the files of several data sets (emnist-digits, emnist-mnist); add to its name what the files of \
             one of them begin with, as DIR/emnist-digits"
        );
        let other = refusal(&folder.path().join("emnist-letters"), folder.path());
        assert_eq!(other, "could not read DIR/emnist-letters: it does not exist; check the path");
        let file = folder.path().join("emnist-mnist-test-labels-idx1-ubyte");
        let said = refusal(&file, folder.path());
        assert!(said.starts_with("DIR/emnist-mnist-test-labels-idx1-ubyte is no folder"), "{said}");
        let nowhere = refusal(Path::new("no/such/folder"), folder.path());
        assert!(nowhere.starts_with("could not read no/such/folder: it does not"), "{nowhere}");
    }

    #[test]
    fn the_layouts_of_other_programs_are_found_where_they_are_unambiguous() {
        let folder = tempfile::tempdir().unwrap();
        let place = |name: &str| {
            let place = folder.path().join(name);
            fs::create_dir_all(&place).unwrap();
            place
        };
        put(&place("root/FashionMNIST/raw"), "", "t10k");
        let alone = load(&place("root/FashionMNIST/raw")).unwrap();
        // Names are where the files lie; what they hold is the same.
        let holds = |named: &str| {
            let found = load(&folder.path().join(named)).unwrap();
            assert_eq!(found.training.inputs, alone.training.inputs, "{named}");
            assert_eq!(found.test.unwrap().labels, alone.test.as_ref().unwrap().labels);
        };
        holds("root");
        holds("root/FashionMNIST");
        for name in [
            "train-images-idx3-ubyte",
            "train-labels-idx1-ubyte.gz",
            "t10k-images.idx3-ubyte",
            "t10k-labels-idx1-ubyte",
        ] {
            let from = folder.path().join("root/FashionMNIST/raw").join(name);
            fs::copy(from, place(&format!("unpacked/{name}")).join(name)).unwrap();
        }
        holds("unpacked");
        put(&place("emnist/gzip"), "emnist-letters-", "test");
        holds("emnist");
        put(&place("root/KMNIST/raw"), "", "t10k");
        let said = refusal(&folder.path().join("root"), folder.path());
        assert_eq!(
            said,
            "DIR/root holds several data sets, DIR/root/FashionMNIST/raw and DIR/root/KMNIST/raw among them; name the \
             folder of one"
        );
        #[cfg(unix)]
        {
            std::os::unix::fs::symlink("gone", place("linked").join("raw")).unwrap();
            let said = refusal(&folder.path().join("linked"), folder.path());
            assert!(said.contains("linked/raw is a link to gone, which does not exist"), "{said}");
        }
    }

    #[test]
    fn a_missing_or_damaged_file_is_named() {
        let folder = tempfile::tempdir().unwrap();
        assert!(refusal(folder.path(), folder.path()).starts_with("DIR has no file train-images"));
        put(folder.path(), "", "t10k");
        let labels = folder.path().join("t10k-labels-idx1-ubyte");
        let bytes = fs::read(&labels).unwrap();
        fs::remove_file(&labels).unwrap();
        assert_eq!(
            refusal(folder.path(), folder.path()),
            "DIR has no file t10k-labels-idx1-ubyte, compressed with gzip or not; four such files are needed, images \
             and labels to train and to test on"
        );
        fs::write(&labels, &bytes[..9]).unwrap();
        assert_eq!(
            refusal(folder.path(), folder.path()),
            "DIR/t10k-labels-idx1-ubyte is cut short: it holds 9 of the 10 bytes it should; replace it"
        );
        fs::write(&labels, [&bytes[..8], &[2, 7]].concat()).unwrap();
        assert!(refusal(folder.path(), folder.path()).contains("has the label 7, which none has"));
    }

    #[test]
    fn names_that_are_no_such_files_are_passed_over() {
        for (name, found) in [
            ("train-images-idx3-ubyte", Some(("", 0))),
            ("emnist-byclass-train-labels-idx1-ubyte.gz", Some(("emnist-byclass", 1))),
            ("t10k-images.idx3-ubyte", Some(("", 2))),
            ("a-test-labels-idx1-ubyte", Some(("a", 3))),
            ("mytrain-images-idx3-ubyte", None),
            ("train-images", None),
            ("train-masks-idx3-ubyte", None),
            ("README.md", None),
        ] {
            assert_eq!(role(name), found, "{name}");
        }
    }
}
