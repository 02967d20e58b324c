//! Several seeds of one study.

use std::ops::RangeInclusive;
use std::str::FromStr;

use serde::{Serialize, Serializer};

use super::options::Common;
use super::values::whole;
use myopia::failure::Failure;

/// The most seeds of one study.
const MOST: u64 = 1000;

/// The largest seed where there are several: tables hold numbers that are exact up to here.
const LARGEST: u64 = 1 << 53;

/// Seeds as given on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seeds {
    /// So many, from --seed on.
    Count(u64),
    /// From one to another, both among them.
    Range(u64, u64),
}

impl FromStr for Seeds {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let seeds = match text.split_once("..") {
            None => whole(text).map(Self::Count),
            Some((first, last)) => {
                let last = last.strip_prefix('=').unwrap_or(last);
                whole(first).and_then(|first| Ok(Self::Range(first, whole(last)?)))
            }
        };
        let seeds = seeds.map_err(|_| "give how many, such as 5, or a range, such as 1..5")?;
        match seeds {
            Self::Count(1..=MOST) => Ok(seeds),
            Self::Range(first, last) if last <= LARGEST && last.wrapping_sub(first) < MOST => {
                Ok(seeds)
            }
            _ => Err(format!(
                "give 1 to {MOST} seeds up to {LARGEST}, the least first, such as 1..5"
            )),
        }
    }
}

impl Serialize for Seeds {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Count(count) => serializer.serialize_u64(*count),
            Self::Range(first, last) => serializer.collect_str(&format_args!("{first}..{last}")),
        }
    }
}

impl Seeds {
    /// The seeds of a study, and its options with the first of them as --seed; that of `common`
    /// alone where none are given. However they are given, `seeds` says from now on which they are.
    pub fn resolve(
        seeds: &mut Option<Self>,
        common: &Common,
    ) -> Result<(RangeInclusive<u64>, Common), Failure> {
        let (first, count) = seeds.unwrap_or(Self::Count(1)).first_and_count(common);
        let last = first.saturating_add(count - 1);
        if seeds.is_some() && last > LARGEST {
            return Err(Failure::usage(format!(
                "--seed {first}: several seeds go up to {LARGEST}; give a smaller one"
            )));
        }
        *seeds = (first < last).then_some(Self::Range(first, last));
        Ok((first..=last, Common { seed: first, ..common.clone() }))
    }

    /// How many seeds a study has whose files name the first and the number of them, and its
    /// options with the first as --seed. However they are given, `self` is their number from now
    /// on.
    pub fn counted(&mut self, common: &Common) -> (u64, Common) {
        let (seed, count) = self.first_and_count(common);
        *self = Self::Count(count);
        (count, Common { seed, ..common.clone() })
    }

    fn first_and_count(self, common: &Common) -> (u64, u64) {
        match self {
            Self::Count(count) => (common.seed, count),
            Self::Range(first, last) => (first, last - first + 1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_are_a_number_of_them_or_a_range() {
        assert_eq!("5".parse(), Ok(Seeds::Count(5)));
        assert_eq!("1..5".parse(), Ok(Seeds::Range(1, 5)));
        assert_eq!(" 3 ..= 4".parse(), Ok(Seeds::Range(3, 4)));
        assert_eq!("7..7".parse(), Ok(Seeds::Range(7, 7)));
        for text in ["", "..", "1..", "..5", "1.5", "-1..2", "a..b"] {
            let said = text.parse::<Seeds>().unwrap_err();
            assert!(said.starts_with("give how many"), "{text}: {said}");
        }
        for text in ["0", "1001", "5..1", "1..1001", "9007199254740992..9007199254740993"] {
            let said = text.parse::<Seeds>().unwrap_err();
            assert!(said.starts_with("give 1 to 1000 seeds"), "{text}: {said}");
        }
    }
}
