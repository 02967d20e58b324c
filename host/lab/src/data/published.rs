//! The four published MNIST files: their names, and the SHA-256 of what they hold.

use std::io;
use std::path::{Path, PathBuf};

use super::idx::Kind;
use crate::failure::Failure;

/// A file as it was published.
#[derive(Debug, Clone, Copy)]
pub struct Published {
    /// The name without its ending: `train-images`.
    pub stem: &'static str,
    /// What it holds.
    pub kind: Kind,
    /// Its size in bytes, decompressed.
    pub bytes: u64,
    /// SHA-256 of its decompressed contents, in lower-case hexadecimal.
    pub sha256: &'static str,
}

/// The images to train on.
pub const TRAIN_IMAGES: Published = Published {
    stem: "train-images",
    kind: Kind::Images,
    bytes: 47_040_016,
    sha256: "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
};

/// Their labels.
pub const TRAIN_LABELS: Published = Published {
    stem: "train-labels",
    kind: Kind::Labels,
    bytes: 60_008,
    sha256: "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
};

/// The images to test on.
pub const TEST_IMAGES: Published = Published {
    stem: "t10k-images",
    kind: Kind::Images,
    bytes: 7_840_016,
    sha256: "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
};

/// Their labels.
pub const TEST_LABELS: Published = Published {
    stem: "t10k-labels",
    kind: Kind::Labels,
    bytes: 10_008,
    sha256: "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
};

/// All four.
pub const FILES: [Published; 4] = [TRAIN_IMAGES, TRAIN_LABELS, TEST_IMAGES, TEST_LABELS];

/// Where the files lie below a folder that people name: in itself, as torchvision keeps them below
/// its root and below `MNIST`, and as other programs do.
pub const LAYOUTS: [&str; 5] = ["", "MNIST/raw", "raw", "mnist", "MNIST"];

/// What Kaggle calls MNIST's files, in small letters.
const KAGGLE: [&str; 4] = ["mnist_train.csv", "mnist_test.csv", "train.csv", "test.csv"];

/// What somebody who named `folder` for MNIST may have meant instead: what else is in it.
pub fn hint(folder: &Path) -> Option<&'static str> {
    let names: Vec<String> = std::fs::read_dir(folder)
        .ok()?
        .filter_map(|entry| Some(entry.ok()?.file_name().to_string_lossy().to_lowercase()))
        .collect();
    let any = |holds: &dyn Fn(&str) -> bool| names.iter().any(|name| holds(name));
    if any(&|name| name.starts_with("emnist") || name == "gzip") {
        Some("there are EMNIST's files, whose images lie on their sides: it is other data")
    } else if any(&|name| KAGGLE.contains(&name)) {
        Some("there are CSV files, as Kaggle gives MNIST out; what is read is the four IDX files")
    } else if any(&|name| {
        [".npz", ".pkl.gz", ".pkl", ".parquet", ".mat"].iter().any(|e| name.ends_with(e))
    }) {
        Some("there is another program's form of the data; what is read is the four IDX files")
    } else if any(&|name| {
        name.ends_with(".zip") || name.ends_with(".tar.gz") || name.ends_with(".tar")
    }) {
        Some("there is an archive; unpack it first")
    } else {
        None
    }
}

/// Refuses a link to nothing where `folder`, or a folder of `layout` below it, is looked for.
///
/// # Errors
/// One sentence that names the link.
pub fn reachable(folder: &Path, layout: &str) -> Result<(), Failure> {
    let mut place = folder.to_path_buf();
    let mut below = Path::new(layout).components();
    loop {
        if let (true, Err(e)) = (place.is_symlink(), place.metadata()) {
            return Err(Failure::io("read the folder", &place, &e));
        }
        let Some(part) = below.next() else { return Ok(()) };
        place.push(part);
    }
}

impl Published {
    /// The name under which the file is published: `train-images-idx3-ubyte.gz`.
    pub fn archive(&self) -> String {
        format!("{}-{}.gz", self.stem, self.ending())
    }

    /// The file in `folder`, under the first of its usual names that is there (the published one,
    /// then with a dot for the second hyphen, then both decompressed), or in one of the [`LAYOUTS`]
    /// below it, or in a folder of the file's own name, which some unpackers make; none when none
    /// is.
    ///
    /// # Errors
    /// When a folder cannot be searched, and when the file is a link to nothing.
    pub fn find(&self, folder: &Path) -> Result<Option<PathBuf>, Failure> {
        let mut unreachable = None;
        for layout in LAYOUTS {
            // A link to nothing in place of a folder is no folder without the file.
            if let Err(failure) = reachable(folder, layout) {
                unreachable.get_or_insert(failure);
            } else if let Some(path) = self.find_in(&folder.join(layout), layout.is_empty())? {
                return Ok(Some(path));
            }
        }
        unreachable.map_or(Ok(None), Err)
    }

    /// The file in `folder` itself; what cannot be searched counts only when it was `named`.
    fn find_in(&self, folder: &Path, named: bool) -> Result<Option<PathBuf>, Failure> {
        for name in self.names() {
            let path = folder.join(&name);
            match path.metadata() {
                Ok(metadata) if metadata.is_dir() => {
                    let inner = self.names().into_iter().map(|inner| path.join(inner));
                    if let Some(inner) = inner.into_iter().find(|inner| inner.is_file()) {
                        return Ok(Some(inner));
                    }
                }
                Ok(_) => return Ok(Some(path)),
                Err(e) if e.kind() == io::ErrorKind::NotFound && !path.is_symlink() => {}
                Err(e) if named || path.is_symlink() => return Err(Failure::io("read", &path, &e)),
                Err(_) => {}
            }
        }
        Ok(None)
    }

    /// Its usual names.
    fn names(&self) -> [String; 4] {
        let (stem, ending) = (self.stem, self.ending());
        [
            self.archive(),
            format!("{stem}.{ending}.gz"),
            format!("{stem}-{ending}"),
            format!("{stem}.{ending}"),
        ]
    }

    fn ending(&self) -> &'static str {
        match self.kind {
            Kind::Images | Kind::AnyExamples => "idx3-ubyte",
            Kind::Labels | Kind::AnyLabels => "idx1-ubyte",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_usual_name_is_found_and_the_published_one_first() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(TRAIN_IMAGES.find(folder.path()).unwrap(), None);
        std::fs::create_dir(folder.path().join("train-images-idx3-ubyte.gz")).unwrap();
        assert_eq!(TRAIN_IMAGES.find(folder.path()).unwrap(), None);
        std::fs::remove_dir(folder.path().join("train-images-idx3-ubyte.gz")).unwrap();
        for name in [
            "train-images.idx3-ubyte",
            "train-images-idx3-ubyte",
            "train-images.idx3-ubyte.gz",
            "train-images-idx3-ubyte.gz",
        ] {
            let path = folder.path().join(name);
            std::fs::write(&path, "").unwrap();
            assert_eq!(TRAIN_IMAGES.find(folder.path()).unwrap(), Some(path));
        }
        assert_eq!(TEST_LABELS.find(folder.path()).unwrap(), None);
        assert_eq!(TEST_LABELS.archive(), "t10k-labels-idx1-ubyte.gz");
    }

    #[test]
    fn the_layouts_of_other_programs_are_found() {
        for place in [
            "MNIST/raw/train-images-idx3-ubyte",
            "raw/train-images-idx3-ubyte.gz",
            "train-images-idx3-ubyte/train-images-idx3-ubyte",
            "MNIST/raw/train-images.idx3-ubyte/train-images-idx3-ubyte",
        ] {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join(place);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, "").unwrap();
            assert_eq!(TRAIN_IMAGES.find(folder.path()).unwrap(), Some(path));
            assert_eq!(TRAIN_LABELS.find(folder.path()).unwrap(), None);
        }
    }

    #[test]
    fn what_else_is_there_is_hinted_at() {
        for (name, words) in [
            ("emnist-digits-train-images-idx3-ubyte.gz", "EMNIST"),
            ("gzip", "EMNIST"),
            ("mnist_train.csv", "Kaggle"),
            ("mnist.npz", "another program's"),
            ("archive.zip", "unpack it"),
        ] {
            let folder = tempfile::tempdir().unwrap();
            assert_eq!(hint(folder.path()), None);
            std::fs::write(folder.path().join(name), "").unwrap();
            assert!(hint(folder.path()).unwrap().contains(words), "{name}");
        }
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("surface.csv"), "").unwrap();
        assert_eq!(hint(folder.path()), None, "anybody's table");
        assert_eq!(hint(Path::new("no/such/folder")), None);
    }

    #[cfg(unix)]
    #[test]
    fn a_folder_that_is_a_link_to_nothing_is_named_as_one() {
        let folder = tempfile::tempdir().unwrap();
        let link = |name: &str| {
            let link = folder.path().join(name);
            std::os::unix::fs::symlink("gone", &link).unwrap();
            link
        };
        let refused = |named: &Path| TEST_LABELS.find(named).unwrap_err().to_string();
        let sentence = refused(&link("itself"));
        assert!(sentence.contains("itself is a link to gone, which does not exist"), "{sentence}");
        let _ = link("raw");
        let sentence = refused(folder.path());
        assert!(sentence.contains("raw is a link to gone, which does not exist"), "{sentence}");
        // Where the file is elsewhere, such a link is nobody's business.
        let place = folder.path().join("mnist");
        std::fs::create_dir(&place).unwrap();
        std::fs::write(place.join("t10k-labels-idx1-ubyte"), "").unwrap();
        assert!(TEST_LABELS.find(folder.path()).unwrap().is_some());
    }

    #[cfg(unix)]
    #[test]
    fn a_link_to_nothing_is_named_as_one() {
        let folder = tempfile::tempdir().unwrap();
        let link = folder.path().join("train-images-idx3-ubyte.gz");
        std::os::unix::fs::symlink("gone", &link).unwrap();
        let sentence = TRAIN_IMAGES.find(folder.path()).unwrap_err().to_string();
        assert!(
            sentence.contains("idx3-ubyte.gz is a link to gone, which does not exist"),
            "{sentence}"
        );
    }
}
