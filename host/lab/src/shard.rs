//! A part of a run for one of several machines, and why parts do not make a whole.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::failure::Failure;

/// Every `count`-th unit of a run (a cell of a surface, a descent, a trial), from the one numbered
/// `number − 1`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Shard {
    number: u32,
    count: u32,
}

impl Shard {
    /// How many shards there are.
    pub fn count(self) -> u32 {
        self.count
    }

    /// Whether the unit is in this shard. Neighbours are in different shards, so that all take
    /// about as long.
    pub fn holds(self, unit: u32) -> bool {
        unit % self.count == self.number - 1
    }

    /// Its units among `count`.
    pub fn units(self, count: u32) -> impl Iterator<Item = u32> {
        (self.number - 1..count).step_by(self.count as usize)
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.number, self.count)
    }
}

impl FromStr for Shard {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parsed = text.split_once('/').and_then(|(number, count)| {
            Some(Self { number: number.parse().ok()?, count: count.parse().ok()? })
        });
        let sound = |shard: &Self| (1..=shard.count).contains(&shard.number);
        parsed
            .filter(sound)
            .ok_or("give the shard's number from 1 and how many there are, such as 1/4")
    }
}

impl Serialize for Shard {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Shard {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Why shards do not make a whole.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MergeError {
    /// The folder holds an unfinished run.
    #[error("{} holds an unfinished run", .0.display())]
    Unfinished(PathBuf),
    /// The folder holds no shard.
    #[error("{} holds no shard", .0.display())]
    NoShard(PathBuf),
    /// A file is not what was written, or cannot have been written by this program.
    #[error("{} is damaged: {reason}", .path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Another version made it.
    #[error("{} was made by myopia {version}, and this is {}", .path.display(), VERSION)]
    Version {
        /// The folder.
        path: PathBuf,
        /// What made it.
        version: String,
    },
    /// There are no shards at all.
    #[error("there is nothing to merge")]
    Nothing,
    /// Two shards are of different runs.
    #[error("{one} and {other} are shards of different runs: {difference}")]
    Different {
        /// A shard.
        one: String,
        /// Another.
        other: String,
        /// The first setting that differs.
        difference: String,
    },
    /// Two shards hold the same units.
    #[error("{one} and {other} hold the same {units}")]
    Twice {
        /// A shard.
        one: String,
        /// Another.
        other: String,
        /// What they are called.
        units: &'static str,
    },
    /// Some units are in no shard.
    #[error("{missing} of {count} {units} are in none of the shards {shards}")]
    Missing {
        /// So many.
        missing: usize,
        /// Of so many.
        count: u32,
        /// What they are called.
        units: &'static str,
        /// The shards there are.
        shards: String,
    },
    /// The system does not give what is needed.
    #[error("{0}")]
    System(Failure),
}

/// Whether each of `count` units, which are called `units`, is in one of `shards`, each with its
/// name in messages.
///
/// # Errors
/// When a unit is in two of them or in none.
pub fn complete(
    shards: &[(Shard, String)],
    count: u32,
    units: &'static str,
) -> Result<(), MergeError> {
    let mut holders: Vec<Option<&str>> = vec![None; count as usize];
    for (shard, name) in shards {
        for unit in shard.units(count) {
            if let Some(other) = holders[unit as usize].replace(name) {
                return Err(MergeError::Twice { one: other.into(), other: name.clone(), units });
            }
        }
    }
    let missing = holders.iter().filter(|holder| holder.is_none()).count();
    if missing > 0 {
        let shards: Vec<String> = shards.iter().map(|(shard, _)| shard.to_string()).collect();
        return Err(MergeError::Missing { missing, count, units, shards: shards.join(", ") });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shards_of_any_count_hold_each_cell_once() {
        for count in 1..9 {
            let shards: Vec<Shard> =
                (1..=count).map(|number| format!("{number}/{count}").parse().unwrap()).collect();
            for cell in 0..30 {
                assert_eq!(shards.iter().filter(|shard| shard.holds(cell)).count(), 1);
            }
            for shard in &shards {
                let held = (0..30).filter(|&cell| shard.holds(cell));
                assert!(shard.units(30).eq(held), "{shard}");
            }
        }
        for text in ["0/3", "4/3", "1", "1/0", "a/b", "1/2/3", "-1/2"] {
            assert!(text.parse::<Shard>().is_err(), "{text}");
        }
    }
}
