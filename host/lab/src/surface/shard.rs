//! A part of a surface for one of several machines.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Every `count`-th cell, from the one numbered `number − 1`.
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

    /// Whether the cell is in this shard. Neighbours are in different shards, so that all take
    /// about as long.
    pub fn holds(self, cell: u32) -> bool {
        cell % self.count == self.number - 1
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
        }
        for text in ["0/3", "4/3", "1", "1/0", "a/b", "1/2/3", "-1/2"] {
            assert!(text.parse::<Shard>().is_err(), "{text}");
        }
    }
}
