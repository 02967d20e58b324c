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

impl Published {
    /// The name under which the file is published: `train-images-idx3-ubyte.gz`.
    pub fn archive(&self) -> String {
        format!("{}-{}.gz", self.stem, self.ending())
    }

    /// The file in `folder`, under the first of its usual names that is there (the published one, then with a dot for
    /// the second hyphen, then both decompressed); none when none is.
    ///
    /// # Errors
    /// When the folder cannot be searched.
    pub fn find(&self, folder: &Path) -> Result<Option<PathBuf>, Failure> {
        let (stem, ending) = (self.stem, self.ending());
        for name in [
            self.archive(),
            format!("{stem}.{ending}.gz"),
            format!("{stem}-{ending}"),
            format!("{stem}.{ending}"),
        ] {
            let path = folder.join(name);
            match path.metadata() {
                // Some unpackers leave a folder of the file's name around it.
                Ok(metadata) if metadata.is_dir() => {}
                Ok(_) => return Ok(Some(path)),
                Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                Err(e) => return Err(Failure::io("read", &path, &e)),
            }
        }
        Ok(None)
    }

    fn ending(&self) -> &'static str {
        match self.kind {
            Kind::Images => "idx3-ubyte",
            Kind::Labels => "idx1-ubyte",
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
}
