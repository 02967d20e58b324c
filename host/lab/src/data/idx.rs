//! Reader of IDX files of unsigned bytes, raw or compressed with gzip.
//!
//! An IDX file begins with `00 00 08 R` (08: unsigned bytes; R: the number of dimensions), then R
//! sizes as big-endian u32, then the bytes in row-major order. Nothing is allocated on the word of
//! a header: memory grows with the bytes that are really there.

use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use flate2::bufread::MultiGzDecoder;
use sha2::{Digest, Sha256};

use super::images::{CLASSES, COLUMNS, ROWS};
use crate::failure::Failure;
use crate::input::open_regular;
use crate::memory::afford;

/// The most items a file may hold, so that a tiny compressed file cannot unfold into terabytes.
pub const MAX_COUNT: u32 = 1 << 20;

/// The most bytes of an example: a network's layer has no more units.
const WIDEST: u64 = u16::MAX as u64;

const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];

/// What a file is supposed to hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Images of 28×28 pixels: rank 3.
    Images,
    /// Labels 0–9: rank 1.
    Labels,
    /// Examples of any size, each a row, a picture or more: rank 2 or above.
    AnyExamples,
    /// Labels of any number of classes: rank 1.
    AnyLabels,
}

impl Kind {
    /// Whether it has so many dimensions, counting the one that runs over the items.
    fn has_rank(self, rank: u8) -> bool {
        match self {
            Self::Images => rank == 3,
            Self::Labels | Self::AnyLabels => rank == 1,
            Self::AnyExamples => rank >= 2,
        }
    }

    /// What it is and the rank it has, for messages.
    fn told(self) -> &'static str {
        match self {
            Self::Images => "images have rank 3",
            Self::Labels | Self::AnyLabels => "labels have rank 1",
            Self::AnyExamples => "examples have rank 2 or more",
        }
    }

    /// What to do about a file that is not as it should be.
    fn remedy(self) -> &'static str {
        match self {
            Self::Images | Self::Labels => "replace it, or delete it and run `myopia data fetch`",
            Self::AnyExamples | Self::AnyLabels => "replace it",
        }
    }
}

/// A checked file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contents {
    /// The bytes behind the header: those of each example, row by row, or one per label.
    pub bytes: Vec<u8>,
    /// Bytes of an item: 784 of an image, 1 of a label.
    pub width: usize,
    /// SHA-256 of the whole decompressed file, header included, in lower-case hexadecimal.
    pub sha256: String,
}

/// What is wrong with a file. `Display` is a predicate that follows the file's name.
#[derive(Debug, thiserror::Error)]
pub enum Defect {
    /// Fewer bytes than a header needs or announces.
    #[error("is cut short: it holds {found} of the {expected} bytes it should")]
    Truncated {
        /// Bytes there are, decompressed.
        found: u64,
        /// Bytes there should be, decompressed.
        expected: u64,
    },
    /// Not an IDX file of unsigned bytes.
    #[error(
        "is not an IDX file of bytes: it begins with {:02x} {:02x} {:02x} instead of 00 00 08",
        .0[0], .0[1], .0[2]
    )]
    Magic([u8; 3]),
    /// An IDX file with another number of dimensions.
    #[error("has rank {found} where {}", .kind.told())]
    Rank {
        /// The rank in the file.
        found: u8,
        /// What the file should hold.
        kind: Kind,
    },
    /// Images of another size.
    #[error("holds images of {rows}x{columns} pixels where 28x28 are expected")]
    Size {
        /// Rows in the file.
        rows: u32,
        /// Columns in the file.
        columns: u32,
    },
    /// Examples of no inputs, or of more than a layer can have.
    #[error("holds examples of {0} bytes where 1 to {WIDEST} are possible")]
    Width(u64),
    /// More than there is memory for.
    #[error("{0}")]
    Memory(Failure),
    /// No items, or more than [`MAX_COUNT`].
    #[error("announces {0} items where 1 to {MAX_COUNT} are possible")]
    Count(u32),
    /// More bytes than there can be.
    #[error("announces {expected} bytes where the published file has {most}")]
    Larger {
        /// Bytes there should be, decompressed.
        expected: u64,
        /// The most there can be.
        most: u64,
    },
    /// Bytes behind the announced end.
    #[error("goes on behind the {expected} bytes its header announces")]
    Trailing {
        /// Bytes there should be, decompressed.
        expected: u64,
    },
    /// A label that is no digit.
    #[error("gives item {index} the label {label} where labels run from 0 to 9")]
    Label {
        /// The item, counted from 0.
        index: usize,
        /// Its label.
        label: u8,
    },
    /// A gzip stream that does not decompress to what its checksum says.
    #[error("is damaged: its gzip stream cannot be decompressed ({0})")]
    Gzip(String),
    /// The system could not read.
    #[error("cannot be read ({0})")]
    Io(io::Error),
}

/// The checked contents of the file at `path`.
///
/// # Errors
/// One sentence naming the file, for every [`Defect`] and for a file that cannot be opened.
pub fn read(path: &Path, kind: Kind) -> Result<Contents, Failure> {
    let file = open_regular(path).map_err(|e| Failure::io("read", path, &e))?;
    decode(file, kind).map_err(|defect| match defect {
        Defect::Io(error) => Failure::io("read", path, &error),
        Defect::Memory(failure) => Failure::run(format!("{}: {failure}", path.display())),
        defect => Failure::run(format!("{} {defect}; {}", path.display(), kind.remedy())),
    })
}

/// The checked contents of an IDX stream, raw or compressed with gzip (told apart by the first two
/// bytes).
///
/// # Errors
/// The first [`Defect`] met.
pub fn decode(source: impl Read, kind: Kind) -> Result<Contents, Defect> {
    decode_up_to(source, kind, u64::MAX)
}

/// The same of a stream that holds `most` bytes at most, decompressed: what announces more is not
/// read on.
///
/// # Errors
/// The first [`Defect`] met.
pub fn decode_up_to(source: impl Read, kind: Kind, most: u64) -> Result<Contents, Defect> {
    let mut source = BufReader::with_capacity(1 << 16, source);
    let start = source.fill_buf().map_err(Defect::Io)?;
    if start.starts_with(&GZIP_MAGIC) {
        parse(MultiGzDecoder::new(source), kind, most)
    } else {
        parse(source, kind, most)
    }
}

/// Whether these bytes begin a gzip stream.
pub fn is_gzip(bytes: &[u8]) -> bool {
    bytes.starts_with(&GZIP_MAGIC)
}

fn parse(mut source: impl Read, kind: Kind, most: u64) -> Result<Contents, Defect> {
    let mut header = Vec::new();
    let short = |found: &[u8], expected: usize| {
        Err(Defect::Truncated { found: found.len() as u64, expected: expected as u64 })
    };
    append(&mut source, 4, &mut header)?;
    let [a, b, c, rank] = header[..] else {
        // The header that it would have at least.
        let ranks = (1..=3).find(|&rank| kind.has_rank(rank)).unwrap_or(1);
        return short(&header, 4 + 4 * usize::from(ranks));
    };
    if [a, b, c] != [0, 0, 8] {
        return Err(Defect::Magic([a, b, c]));
    }
    if !kind.has_rank(rank) {
        return Err(Defect::Rank { found: rank, kind });
    }
    let header_len = 4 + 4 * usize::from(rank);
    append(&mut source, header_len - 4, &mut header)?;
    if header.len() < header_len {
        return short(&header, header_len);
    }
    let sizes: Vec<u32> = header[4..]
        .chunks_exact(4)
        .map(|size| u32::from_be_bytes([size[0], size[1], size[2], size[3]]))
        .collect();
    let count = sizes[0];
    if count == 0 || count > MAX_COUNT {
        return Err(Defect::Count(count));
    }
    if let (Kind::Images, &[rows, columns]) = (kind, &sizes[1..])
        && (rows, columns) != (ROWS as u32, COLUMNS as u32)
    {
        return Err(Defect::Size { rows, columns });
    }
    let width = sizes[1..].iter().fold(1_u64, |width, &size| width.saturating_mul(size.into()));
    if !(1..=WIDEST).contains(&width) {
        return Err(Defect::Width(width));
    }
    let item = width as usize;

    let body_len = count as usize * item;
    let expected = (header_len + body_len) as u64;
    if expected > most {
        return Err(Defect::Larger { expected, most });
    }
    if kind == Kind::AnyExamples {
        // Memory grows by doubling while it is read.
        let needed = 3 * body_len as u128;
        afford("it", needed, "give fewer examples or free some memory").map_err(Defect::Memory)?;
    }
    let mut bytes = Vec::new();
    append(&mut source, body_len, &mut bytes)?;
    if bytes.len() < body_len {
        let found = (header_len + bytes.len()) as u64;
        return Err(Defect::Truncated { found, expected });
    }
    // Reading on also makes the gzip decoder compare its checksum.
    let mut rest = Vec::new();
    append(&mut source, 1, &mut rest)?;
    if !rest.is_empty() {
        return Err(Defect::Trailing { expected });
    }
    if kind == Kind::Labels
        && let Some(index) = bytes.iter().position(|&label| label >= CLASSES)
    {
        return Err(Defect::Label { index, label: bytes[index] });
    }
    let digest = Sha256::new().chain_update(&header).chain_update(&bytes);
    let sha256 = digest.finalize().into_iter().map(|b| format!("{b:02x}"));
    Ok(Contents { sha256: sha256.collect(), bytes, width: item })
}

/// Appends up to `len` bytes of `source` to `to`; fewer when the source ends, also in the middle of
/// a gzip stream's body.
fn append(source: &mut impl Read, len: usize, to: &mut Vec<u8>) -> Result<(), Defect> {
    let before = to.len();
    match source.take(len as u64).read_to_end(to) {
        Ok(_) => Ok(()),
        Err(e) if e.kind() == io::ErrorKind::UnexpectedEof && to.len() > before => Ok(()),
        Err(e) => Err(match e.kind() {
            // What the gzip decoder reports; the system's own errors have other kinds.
            io::ErrorKind::InvalidInput
            | io::ErrorKind::InvalidData
            | io::ErrorKind::UnexpectedEof => Defect::Gzip(e.to_string()),
            _ => Defect::Io(e),
        }),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    /// An IDX file with this rank byte, these sizes and this body.
    pub fn file(rank: u8, sizes: &[u32], body: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0, 0, 8, rank];
        bytes.extend(sizes.iter().flat_map(|size| size.to_be_bytes()));
        bytes.extend(body);
        bytes
    }

    pub fn labels(labels: &[u8]) -> Vec<u8> {
        file(1, &[labels.len() as u32], labels)
    }

    /// `count` images with a recognisable pattern of zero and non-zero pixels.
    pub fn images(count: u32) -> Vec<u8> {
        file(3, &[count, 28, 28], &pattern(count as usize * 784))
    }

    pub fn pattern(len: usize) -> Vec<u8> {
        (0..len).map(|i| if i % 5 == 0 { (i * 31 % 256) as u8 } else { 0 }).collect()
    }

    pub fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn defect(bytes: &[u8], kind: Kind) -> String {
        decode(bytes, kind).unwrap_err().to_string()
    }

    #[test]
    fn raw_and_gzip_give_the_same_contents() {
        let raw = images(3);
        let plain = decode(&raw[..], Kind::Images).unwrap();
        assert_eq!(plain.bytes, raw[16..]);
        assert_eq!(decode(&gzip(&raw)[..], Kind::Images).unwrap(), plain);
        // Tools that compress in blocks write several gzip members one after the other.
        let members = [gzip(&raw[..1000]), gzip(&raw[1000..])].concat();
        assert_eq!(decode(&members[..], Kind::Images).unwrap(), plain);
    }

    #[test]
    fn the_digest_is_sha256_of_the_whole_decompressed_file() {
        // `printf '\0\0\10\1\0\0\0\3\7\0\11' | sha256sum`
        let expected = "f56856a625e570f4360ac2c5fa7df922347bd0f5294464e12ccb68d82c63b1f5";
        let contents = decode(&gzip(&labels(&[7, 0, 9]))[..], Kind::Labels).unwrap();
        assert_eq!(contents.sha256, expected);
    }

    #[test]
    fn a_file_cut_anywhere_is_refused() {
        for whole in [labels(&[1, 2, 3]), gzip(&labels(&[1, 2, 3]))] {
            for len in 0..whole.len() {
                assert!(decode(&whole[..len], Kind::Labels).is_err(), "{len} bytes");
            }
        }
        assert_eq!(
            defect(&images(2)[..1000], Kind::Images),
            "is cut short: it holds 1000 of the 1584 bytes it should"
        );
        assert_eq!(defect(&[], Kind::Images), "is cut short: it holds 0 of the 16 bytes it should");
    }

    #[test]
    fn a_gzip_file_with_any_flipped_bit_never_gives_other_contents() {
        let raw = labels(&[1, 2, 3, 4, 5, 6, 7, 8, 9, 0]);
        let whole = gzip(&raw);
        let good = decode(&whole[..], Kind::Labels).unwrap();
        let mut refused = 0;
        for bit in 0..whole.len() * 8 {
            let mut flipped = whole.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            match decode(&flipped[..], Kind::Labels) {
                // A few bits of a gzip header (its time stamp, the system's name) say nothing of
                // the contents.
                Ok(contents) => assert_eq!(contents, good, "bit {bit}"),
                Err(_) => refused += 1,
            }
        }
        assert!(refused > whole.len() * 8 / 2, "only {refused} were refused");
    }

    #[test]
    fn a_flipped_bit_in_a_raw_file_changes_the_digest() {
        let mut raw = images(1);
        let good = decode(&raw[..], Kind::Images).unwrap().sha256;
        raw[400] ^= 1;
        assert_ne!(decode(&raw[..], Kind::Images).unwrap().sha256, good);
    }

    #[test]
    fn bytes_after_the_end_are_refused() {
        let raw = [labels(&[1, 2]), vec![0]].concat();
        let sentence = "goes on behind the 10 bytes its header announces";
        assert_eq!(defect(&raw, Kind::Labels), sentence);
        assert_eq!(defect(&gzip(&raw), Kind::Labels), sentence);
        let garbage = [gzip(&labels(&[1, 2])), b"garbage after it".to_vec()].concat();
        assert!(defect(&garbage, Kind::Labels).starts_with("is damaged"));
    }

    #[test]
    fn a_wrong_magic_or_rank_is_named() {
        assert_eq!(
            defect(b"<!DOCTYPE html>", Kind::Images),
            "is not an IDX file of bytes: it begins with 3c 21 44 instead of 00 00 08"
        );
        assert_eq!(defect(&labels(&[1, 2]), Kind::Images), "has rank 1 where images have rank 3");
        assert_eq!(defect(&images(1), Kind::Labels), "has rank 3 where labels have rank 1");
    }

    #[test]
    fn wrong_sizes_counts_and_labels_are_named() {
        assert_eq!(
            defect(&file(3, &[1, 32, 24], &[0; 768]), Kind::Images),
            "holds images of 32x24 pixels where 28x28 are expected"
        );
        assert_eq!(
            defect(&labels(&[]), Kind::Labels),
            "announces 0 items where 1 to 1048576 are possible"
        );
        assert_eq!(
            defect(&labels(&[0, 9, 10]), Kind::Labels),
            "gives item 2 the label 10 where labels run from 0 to 9"
        );
    }

    #[test]
    fn examples_of_any_size_and_labels_of_any_number_of_classes_are_read_where_asked_for() {
        let bytes: Vec<u8> = (0..24).collect();
        for (sizes, width) in [(&[4, 2, 3][..], 6), (&[4, 6], 6), (&[2, 3, 2, 2], 12)] {
            let file = file(sizes.len() as u8, sizes, &bytes);
            let contents = decode(&file[..], Kind::AnyExamples).unwrap();
            assert_eq!((contents.bytes, contents.width), (bytes.clone(), width));
            assert!(decode(&file[..], Kind::Images).is_err());
            assert!(decode(&file[..file.len() - 1], Kind::AnyExamples).is_err());
        }
        let contents = decode(&labels(&[0, 46, 255])[..], Kind::AnyLabels).unwrap();
        assert_eq!((contents.bytes, contents.width), (vec![0, 46, 255], 1));
        assert_eq!(
            defect(&labels(&[1, 2]), Kind::AnyExamples),
            "has rank 1 where examples have rank 2 or more"
        );
        assert_eq!(
            defect(&file(3, &[1, 300, 300], &[]), Kind::AnyExamples),
            "holds examples of 90000 bytes where 1 to 65535 are possible"
        );
        assert!(defect(&file(3, &[1, 0, 5], &[]), Kind::AnyExamples).contains("of 0 bytes"));
        let overflowing = file(255, &[u32::MAX; 255].map(|_| 1 << 20), &[]);
        assert!(defect(&overflowing, Kind::AnyExamples).starts_with("holds examples of"));
    }

    #[test]
    fn examples_for_which_memory_has_no_room_are_refused_before_they_are_read() {
        let Some(free) = crate::memory::free() else { return };
        if free.bytes / 3 > u64::from(MAX_COUNT) * WIDEST {
            return;
        }
        let said = defect(&file(2, &[MAX_COUNT, u16::MAX.into()], &[0; 9]), Kind::AnyExamples);
        assert!(said.starts_with("it takes about 192.0 GiB of memory and"), "{said}");
    }

    #[test]
    fn a_huge_count_in_a_tiny_file_allocates_nothing() {
        assert_eq!(
            defect(&file(3, &[u32::MAX, 28, 28], &[]), Kind::Images),
            "announces 4294967295 items where 1 to 1048576 are possible"
        );
        // The largest possible count is 784 MiB of images: no capacity may be reserved for it.
        let mut bytes = Vec::new();
        let tiny = [0; 10];
        append(&mut &tiny[..], MAX_COUNT as usize * 784, &mut bytes).unwrap();
        assert_eq!(bytes.len(), 10);
        assert!(bytes.capacity() < 1 << 16, "capacity {}", bytes.capacity());
    }

    #[test]
    fn the_sentence_names_the_file_and_says_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        let missing = folder.path().join("missing");
        assert_eq!(
            read(&missing, Kind::Labels).unwrap_err().to_string(),
            format!("could not read {}: it does not exist; check the path", missing.display())
        );
        let path = folder.path().join("labels");
        std::fs::write(&path, labels(&[11])).unwrap();
        assert_eq!(
            read(&path, Kind::Labels).unwrap_err().to_string(),
            format!(
                "{} gives item 0 the label 11 where labels run from 0 to 9; \
                 replace it, or delete it and run `myopia data fetch`",
                path.display()
            )
        );
        assert!(read(folder.path(), Kind::Labels).is_err(), "a folder");
    }
}
