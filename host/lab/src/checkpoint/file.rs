//! The file of a checkpoint: a line that names the format's and the program's version, the
//! experiment and the states by `postcard`, and the SHA-256 of all that.

use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest as _, Sha256};

use super::experiment::{Comparison, Experiment};

/// How the first line begins; the format's version follows.
const MAGIC: &str = "myopia checkpoint, format ";
/// The version of the format: another number for another arrangement of bytes, whatever the
/// program's version.
const FORMAT: &str = "2";
/// What stands between the two versions.
const OF_PROGRAM: &str = ", version ";
const VERSION: &str = env!("CARGO_PKG_VERSION");
const CHECKSUM: usize = 32;

/// Why a checkpoint cannot be gone on from.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Trouble {
    /// Not the bytes that were written.
    #[error("is damaged; start again with --force, or in another --out")]
    Damaged,
    /// In another format.
    #[error(
        "is in format {0}, and this is myopia {VERSION}, which reads format {FORMAT}; go on with the version that wrote it"
    )]
    Format(String),
    /// Of a run with another number of units.
    #[error(
        "holds {found} parts of a run that has {expected}; start again with --force, or in another --out"
    )]
    Units {
        /// In the file.
        found: usize,
        /// Of the experiment.
        expected: usize,
    },
    /// Written by another version, whose states may mean something else.
    #[error(
        "was written by myopia {0}, and this is {VERSION}; go on with that version, or start again with --force"
    )]
    Version(String),
    /// Something else was asked of that run.
    #[error(
        "is of another experiment: {0}; repeat the command that began it, or choose another --out"
    )]
    Experiment(String),
}

/// The bytes of a checkpoint.
///
/// # Panics
/// When a state cannot be written as `postcard`, by its type and not by its value.
pub fn encode<S: Serialize>(experiment: &Experiment, states: &[Option<S>]) -> Vec<u8> {
    let mut bytes = format!("{MAGIC}{FORMAT}{OF_PROGRAM}{VERSION}\n").into_bytes();
    bytes = postcard::to_extend(&(experiment, states), bytes).expect("a state is plain data");
    let checksum = Sha256::digest(&bytes);
    bytes.extend_from_slice(&checksum);
    bytes
}

/// What a checkpoint holds.
#[derive(Debug, PartialEq, Eq)]
pub struct Contents<S> {
    /// The units' states.
    pub states: Vec<Option<S>>,
    /// Whether the experiment that goes on has more of what may grow.
    pub further: bool,
}

/// The contents of `bytes`, if they are a checkpoint of this version and of the experiment
/// `wanted`, which has so many `units`.
pub fn decode<S: DeserializeOwned>(
    bytes: &[u8],
    wanted: &Experiment,
    units: usize,
) -> Result<Contents<S>, Trouble> {
    let contents = bytes.split_last_chunk::<CHECKSUM>();
    let (contents, _) = contents
        .filter(|(contents, checksum)| Sha256::digest(contents).as_slice() == *checksum)
        .ok_or(Trouble::Damaged)?;
    let rest = contents.strip_prefix(MAGIC.as_bytes()).ok_or(Trouble::Damaged)?;
    let end = rest.iter().position(|&byte| byte == b'\n').ok_or(Trouble::Damaged)?;
    let (versions, body) = (&rest[..end], &rest[end + 1..]);
    let versions = std::str::from_utf8(versions).map_err(|_| Trouble::Damaged)?;
    let (format, version) = versions.split_once(OF_PROGRAM).ok_or(Trouble::Damaged)?;
    if format != FORMAT {
        return Err(Trouble::Format(format.to_owned()));
    }
    if version != VERSION {
        return Err(Trouble::Version(version.to_owned()));
    }
    let (found, body): (Experiment, _) =
        postcard::take_from_bytes(body).map_err(|_| Trouble::Damaged)?;
    let further = match found.compare(wanted, ["there", "here"]) {
        Comparison::Same => false,
        Comparison::Further => true,
        Comparison::Other(difference) => return Err(Trouble::Experiment(difference)),
    };
    let (states, rest): (Vec<Option<S>>, _) =
        postcard::take_from_bytes(body).map_err(|_| Trouble::Damaged)?;
    if !rest.is_empty() {
        return Err(Trouble::Damaged);
    }
    if states.len() != units {
        return Err(Trouble::Units { found: states.len(), expected: units });
    }
    Ok(Contents { states, further })
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use serde_json::json;

    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct State {
        step: u32,
        weights: Vec<f32>,
        loss: f64,
    }

    fn experiment() -> Experiment {
        Experiment::new("train", &json!({ "alpha0": 0.1 }))
    }

    fn states() -> Vec<Option<State>> {
        let weights = vec![0.1, -0.0, f32::MIN_POSITIVE / 2.0, f32::MAX];
        vec![None, Some(State { step: 7, weights, loss: 5e-324 })]
    }

    #[test]
    fn every_float_comes_back_to_its_bits() {
        let bytes = encode(&experiment(), &states());
        let Contents { states: read, further } = decode::<State>(&bytes, &experiment(), 2).unwrap();
        assert!(!further);
        assert_eq!(read, states());
        let zero = read[1].as_ref().unwrap().weights[1];
        assert_eq!(zero.to_bits(), (-0.0f32).to_bits());
    }

    #[test]
    fn one_flipped_bit_or_a_missing_end_is_noticed_wherever_it_is() {
        let whole = encode(&experiment(), &states());
        for at in 0..whole.len() {
            let mut flipped = whole.clone();
            flipped[at] ^= 1 << (at % 8);
            assert_eq!(decode::<State>(&flipped, &experiment(), 2), Err(Trouble::Damaged), "{at}");
            assert_eq!(
                decode::<State>(&whole[..at], &experiment(), 2),
                Err(Trouble::Damaged),
                "{at}"
            );
        }
    }

    #[test]
    fn another_version_and_another_experiment_are_told_apart() {
        let mut other =
            format!("myopia checkpoint, format {FORMAT}, version 99.0.1\nand so on").into_bytes();
        let checksum = Sha256::digest(&other);
        other.extend_from_slice(&checksum);
        let version = decode::<State>(&other, &experiment(), 2).unwrap_err();
        assert_eq!(version, Trouble::Version("99.0.1".into()));
        assert!(version.to_string().contains("written by myopia 99.0.1"), "{version}");
        let wanted = Experiment::new("train", &json!({ "alpha0": 0.2 }));
        let sentence = decode::<State>(&encode(&experiment(), &states()), &wanted, 2).unwrap_err();
        assert!(sentence.to_string().contains("--alpha0 is 0.1 there and 0.2 here"), "{sentence}");
    }

    /// A checkpoint whose checksum is right, whatever it holds.
    fn sealed(contents: &[u8]) -> Vec<u8> {
        [contents, Sha256::digest(contents).as_slice()].concat()
    }

    #[test]
    fn another_format_and_another_number_of_units_are_named() {
        let later = sealed(b"myopia checkpoint, format 99, version 0.1.0\nsomething else");
        let format = decode::<State>(&later, &experiment(), 2).unwrap_err();
        assert_eq!(format, Trouble::Format("99".into()));
        assert!(format.to_string().contains("is in format 99"), "{format}");
        for units in [0, 1, 3, usize::MAX] {
            let units = decode::<State>(&encode(&experiment(), &states()), &experiment(), units);
            assert!(matches!(units, Err(Trouble::Units { found: 2, .. })), "{units:?}");
        }
    }

    #[test]
    fn what_is_sealed_and_makes_no_sense_is_damaged() {
        let whole = encode(&experiment(), &states());
        let contents = &whole[..whole.len() - CHECKSUM];
        let begin = contents.iter().position(|&byte| byte == b'\n').unwrap() + 1;
        for at in begin..contents.len() {
            let cut = decode::<State>(&sealed(&contents[..at]), &experiment(), 2);
            assert!(cut.is_err(), "{at}");
        }
        let longer = decode::<State>(&sealed(&[contents, &[0]].concat()), &experiment(), 2);
        assert_eq!(longer, Err(Trouble::Damaged));
        // A length of 2^63 with nothing behind it.
        let huge = [&contents[..begin], &[0xff; 9], &[0x7f]].concat();
        assert_eq!(decode::<State>(&sealed(&huge), &experiment(), 2), Err(Trouble::Damaged));
    }
}
