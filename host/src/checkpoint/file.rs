//! The file of a checkpoint: a line that names the program's version, the experiment and the states by `postcard`, and the
//! SHA-256 of all that.

use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest as _, Sha256};

use super::experiment::Experiment;

/// How the first line begins; the number is that of the format.
const MAGIC: &str = "myopia checkpoint, format 1, version ";
const VERSION: &str = env!("CARGO_PKG_VERSION");
const CHECKSUM: usize = 32;

/// Why a checkpoint cannot be gone on from.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Trouble {
    /// Not the bytes that were written.
    #[error("is damaged; start again with --force, or in another --out")]
    Damaged,
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
    let mut bytes = format!("{MAGIC}{VERSION}\n").into_bytes();
    bytes = postcard::to_extend(&(experiment, states), bytes).expect("a state is plain data");
    let checksum = Sha256::digest(&bytes);
    bytes.extend_from_slice(&checksum);
    bytes
}

/// The states in `bytes`, if they are a checkpoint of this version and of the experiment `wanted`.
pub fn decode<S: DeserializeOwned>(
    bytes: &[u8],
    wanted: &Experiment,
) -> Result<Vec<Option<S>>, Trouble> {
    let contents = bytes.split_last_chunk::<CHECKSUM>();
    let (contents, _) = contents
        .filter(|(contents, checksum)| Sha256::digest(contents).as_slice() == *checksum)
        .ok_or(Trouble::Damaged)?;
    let rest = contents.strip_prefix(MAGIC.as_bytes()).ok_or(Trouble::Damaged)?;
    let end = rest.iter().position(|&byte| byte == b'\n').ok_or(Trouble::Damaged)?;
    let (version, body) = (&rest[..end], &rest[end + 1..]);
    if version != VERSION.as_bytes() {
        return Err(Trouble::Version(String::from_utf8_lossy(version).into_owned()));
    }
    let (found, body): (Experiment, _) =
        postcard::take_from_bytes(body).map_err(|_| Trouble::Damaged)?;
    if let Some(difference) = found.difference(wanted, ["there", "here"]) {
        return Err(Trouble::Experiment(difference));
    }
    postcard::from_bytes(body).map_err(|_| Trouble::Damaged)
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
        let read: Vec<Option<State>> =
            decode(&encode(&experiment(), &states()), &experiment()).unwrap();
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
            assert_eq!(decode::<State>(&flipped, &experiment()), Err(Trouble::Damaged), "{at}");
            assert_eq!(decode::<State>(&whole[..at], &experiment()), Err(Trouble::Damaged), "{at}");
        }
    }

    #[test]
    fn another_version_and_another_experiment_are_told_apart() {
        let mut other = b"myopia checkpoint, format 1, version 99.0.1\nand so on".to_vec();
        let checksum = Sha256::digest(&other);
        other.extend_from_slice(&checksum);
        let version = decode::<State>(&other, &experiment()).unwrap_err();
        assert_eq!(version, Trouble::Version("99.0.1".into()));
        assert!(version.to_string().contains("written by myopia 99.0.1"), "{version}");
        let wanted = Experiment::new("train", &json!({ "alpha0": 0.2 }));
        let sentence = decode::<State>(&encode(&experiment(), &states()), &wanted).unwrap_err();
        assert!(sentence.to_string().contains("--alpha0 is 0.1 there and 0.2 here"), "{sentence}");
    }
}
