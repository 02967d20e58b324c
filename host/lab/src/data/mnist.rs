//! MNIST, read from the four published files.

use std::fmt;
use std::path::{Path, PathBuf};

use etcetera::base_strategy::{BaseStrategy, choose_native_strategy};

use super::idx;
use super::images::{Images, PIXELS};
use super::published::{Published, TEST_IMAGES, TEST_LABELS, TRAIN_IMAGES, TRAIN_LABELS, hint};
use crate::failure::Failure;
use crate::memory::afford;

/// The environment variable that names the folder of the four files.
pub const FOLDER_VARIABLE: &str = "MYOPIA_MNIST";

/// The two parts of MNIST: 60,000 images to train on and 10,000 to test on, when the files are the
/// published ones.
#[derive(Debug, Clone)]
pub struct Mnist {
    /// The images to train on.
    pub train: Images,
    /// The images to test on.
    pub test: Images,
    /// The files that are well-formed but not the published ones; the caller shows them to the
    /// user.
    pub warnings: Vec<Mismatch>,
}

/// A well-formed file that does not hold what was published. `Display` is the warning, one
/// sentence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mismatch {
    /// The file.
    pub path: PathBuf,
    /// SHA-256 of the published contents.
    pub expected: &'static str,
    /// SHA-256 of the contents found.
    pub found: String,
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} is not the published MNIST file (SHA-256 of its contents {}, published {}); \
             results will not be those of MNIST unless `myopia data fetch` replaces it",
            self.path.display(),
            self.found,
            self.expected
        )
    }
}

/// The folder of the four files: `named` if given, else the environment's [`FOLDER_VARIABLE`] if
/// set, else `myopia/mnist` in the user's cache folder. It need not exist.
///
/// # Errors
/// When neither is given and the user has no home folder.
pub fn folder(named: Option<&Path>) -> Result<PathBuf, Failure> {
    folder_from(named, std::env::var_os(FOLDER_VARIABLE).map(PathBuf::from))
}

fn folder_from(named: Option<&Path>, variable: Option<PathBuf>) -> Result<PathBuf, Failure> {
    if let Some(named) = named {
        return Ok(named.to_path_buf());
    }
    if let Some(variable) = variable.filter(|v| !v.as_os_str().is_empty()) {
        return Ok(variable);
    }
    let strategy = choose_native_strategy().map_err(|_| {
        Failure::run(format!(
            "no home folder was found to keep MNIST in; name a folder with --mnist-dir or {FOLDER_VARIABLE}"
        ))
    })?;
    Ok(strategy.cache_dir().join("myopia").join("mnist"))
}

impl Mnist {
    /// MNIST from the four files in `folder`, compressed or not, under any of their usual names.
    ///
    /// # Errors
    /// One sentence naming the file when one is missing, malformed, or does not match its partner.
    /// Contents other than the published ones are no error: see [`Mnist::warnings`].
    pub fn load(folder: &Path) -> Result<Self, Failure> {
        let mut warnings = Vec::new();
        let train = part(folder, &TRAIN_IMAGES, &TRAIN_LABELS, &mut warnings)?;
        let test = part(folder, &TEST_IMAGES, &TEST_LABELS, &mut warnings)?;
        Ok(Self { train, test, warnings })
    }
}

fn part(
    folder: &Path,
    images: &Published,
    labels: &Published,
    warnings: &mut Vec<Mismatch>,
) -> Result<Images, Failure> {
    let images_path = locate(folder, images)?;
    let labels_path = locate(folder, labels)?;
    let digits = contents(&labels_path, labels, warnings)?;
    let pixels = contents(&images_path, images, warnings)?;
    let count = pixels.len() / PIXELS;
    if count != digits.len() {
        return Err(Failure::run(format!(
            "{} holds {count} images but {} holds {} labels; use two files that belong together",
            images_path.display(),
            labels_path.display(),
            digits.len()
        )));
    }
    // A place and a value for each pixel that is not zero.
    afford(&images_path.display().to_string(), 3 * pixels.len() as u128, "free some memory")?;
    Ok(Images::from_dense(&pixels, digits))
}

fn locate(folder: &Path, file: &Published) -> Result<PathBuf, Failure> {
    file.find(folder)?.ok_or_else(|| {
        let hint = hint(folder).map(|hint| format!(" ({hint})")).unwrap_or_default();
        Failure::run(format!(
            "{} is not in {}{hint}; run `myopia data fetch`, or name the folder of the MNIST files with --mnist-dir or \
             {FOLDER_VARIABLE}",
            file.archive(),
            folder.display()
        ))
    })
}

fn contents(
    path: &Path,
    file: &Published,
    warnings: &mut Vec<Mismatch>,
) -> Result<Vec<u8>, Failure> {
    let contents = idx::read(path, file.kind)?;
    if contents.sha256 != file.sha256 {
        warnings.push(Mismatch {
            path: path.to_path_buf(),
            expected: file.sha256,
            found: contents.sha256,
        });
    }
    Ok(contents.bytes)
}

#[cfg(test)]
pub(super) mod tests {
    use std::fs;
    use std::io::Write;

    use super::*;
    use crate::data::idx::tests::{gzip, images, labels, pattern};

    /// The folder of the real files, when the environment names one; otherwise says that a test is
    /// skipped.
    pub fn real_folder() -> Option<PathBuf> {
        let folder = std::env::var_os(FOLDER_VARIABLE).map(PathBuf::from);
        if folder.is_none() {
            // Not `eprintln!`: the test harness would keep it to itself.
            let sentence = "skipped: set MYOPIA_MNIST to the folder of the MNIST files";
            writeln!(std::io::stderr(), "{sentence}").unwrap();
        }
        folder
    }

    #[test]
    fn the_real_files_hold_what_other_readers_find_in_them() {
        let Some(folder) = real_folder() else { return };
        let mnist = Mnist::load(&folder).unwrap();
        assert_eq!(mnist.warnings, []);
        // Counts and sums found with NumPy.
        for (part, len, nonzero, sum, labels) in [
            (&mnist.train, 60_000, 8_994_156, 1_567_298_545, [5, 0, 4, 1, 9]),
            (&mnist.test, 10_000, 1_511_219, 264_923_200, [7, 2, 1, 0, 4]),
        ] {
            assert_eq!(part.len(), len);
            assert_eq!([0, 1, 2, 3, 4].map(|i| part.label(i)), labels);
            let (mut count, mut total) = (0, 0_u64);
            for i in 0..len {
                let (_, values) = part.nonzero(i);
                count += values.len();
                total += values.iter().fold(0, |sum, &v| sum + u64::from(v));
            }
            assert_eq!((count, total), (nonzero, sum));
        }
        let (indices, values) = mnist.train.nonzero(0);
        assert_eq!((&indices[..3], &values[..3]), (&[152, 153, 154][..], &[3, 18, 18][..]));
    }

    /// A folder with 3 images to train on and 2 to test on, under four different spellings.
    fn small() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let put = |name: &str, bytes: Vec<u8>| fs::write(folder.path().join(name), bytes).unwrap();
        put("train-images-idx3-ubyte.gz", gzip(&images(3)));
        put("train-labels.idx1-ubyte.gz", gzip(&labels(&[3, 1, 4])));
        put("t10k-images.idx3-ubyte", images(2));
        put("t10k-labels-idx1-ubyte", labels(&[1, 5]));
        folder
    }

    fn refusal(folder: &tempfile::TempDir) -> String {
        let sentence = Mnist::load(folder.path()).unwrap_err().to_string();
        sentence.replace(&folder.path().display().to_string(), "DIR")
    }

    #[test]
    fn well_formed_files_load_and_what_is_not_published_is_said() {
        let mnist = Mnist::load(small().path()).unwrap();
        assert_eq!((mnist.train.len(), mnist.test.len()), (3, 2));
        assert_eq!(mnist.train, Images::from_dense(&pattern(3 * PIXELS), vec![3, 1, 4]));
        assert_eq!(mnist.warnings.len(), 4);
        let warning = mnist.warnings[3].to_string();
        assert!(warning.contains("t10k-images.idx3-ubyte is not"), "{warning}");
        assert!(warning.contains(TEST_IMAGES.sha256), "{warning}");
        assert!(warning.contains(&mnist.warnings[3].found), "{warning}");
    }

    #[test]
    fn a_missing_file_or_folder_is_named() {
        let folder = small();
        fs::remove_file(folder.path().join("t10k-labels-idx1-ubyte")).unwrap();
        assert_eq!(
            refusal(&folder),
            "t10k-labels-idx1-ubyte.gz is not in DIR; run `myopia data fetch`, or name the folder of the MNIST files \
             with --mnist-dir or MYOPIA_MNIST"
        );
        let missing = folder.path().join("nowhere");
        let sentence = Mnist::load(&missing).unwrap_err().to_string();
        assert!(sentence.starts_with("train-images-idx3-ubyte.gz is not in"));
    }

    #[test]
    fn images_and_labels_must_match_in_number() {
        let folder = small();
        let path = folder.path().join("t10k-labels-idx1-ubyte");
        fs::write(path, labels(&[1, 5, 9])).unwrap();
        assert_eq!(
            refusal(&folder),
            "DIR/t10k-images.idx3-ubyte holds 2 images but DIR/t10k-labels-idx1-ubyte holds 3 labels; use two files \
             that belong together"
        );
    }

    #[test]
    fn a_malformed_file_is_named() {
        let folder = small();
        let path = folder.path().join("train-images-idx3-ubyte.gz");
        let mut bytes = fs::read(&path).unwrap();
        let crc = bytes.len() - 8;
        bytes[crc] ^= 1;
        fs::write(&path, &bytes).unwrap();
        let sentence = refusal(&folder);
        assert!(sentence.starts_with("DIR/train-images-idx3-ubyte.gz is damaged"), "{sentence}");
        fs::write(&path, images(3).split_off(4)).unwrap();
        let sentence = refusal(&folder);
        assert!(
            sentence.starts_with("DIR/train-images-idx3-ubyte.gz is not an IDX file"),
            "{sentence}"
        );
    }

    #[test]
    fn the_named_folder_comes_first_then_the_variable_then_the_cache() {
        let named = Path::new("named");
        let variable = || Some(PathBuf::from("variable"));
        assert_eq!(folder_from(Some(named), variable()).unwrap(), named);
        assert_eq!(folder_from(None, variable()).unwrap(), Path::new("variable"));
        for unset in [None, Some(PathBuf::new())] {
            // Without a home folder there is no cache either, and the sentence says so.
            match folder_from(None, unset) {
                Ok(cache) => assert!(cache.ends_with("myopia/mnist"), "{}", cache.display()),
                Err(failure) => assert!(failure.to_string().contains("--mnist-dir")),
            }
        }
    }
}
