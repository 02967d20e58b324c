//! Numbers as people write them on a command line.

use std::ffi::OsStr;
use std::fmt::Display;
use std::marker::PhantomData;
use std::str::FromStr;

use clap::builder::{EnumValueParser, PossibleValue, TypedValueParser};
use clap::{Arg, Command, ValueEnum};

use myopia::failure::Failure;
pub use myopia::nqm::number::whole;

/// The parser of a whole number from 1 to `most`, written as [`whole`] takes it.
pub fn whole_up_to<T: TryFrom<u64>>(
    most: u64,
) -> impl Fn(&str) -> Result<T, String> + Clone + Send + Sync + 'static {
    move |text| {
        let found = whole(text).ok().filter(|number| (1..=most).contains(number));
        found
            .and_then(|number| T::try_from(number).ok())
            .ok_or_else(|| format!("give a whole number from 1 to {most}, such as 1 or 1e1"))
    }
}

/// What a type's own form says; blanks around it do not count.
///
/// # Errors
/// The type's own.
pub fn trimmed<T: FromStr>(text: &str) -> Result<T, T::Err> {
    text.trim().parse()
}

/// The parser of one of several names; blanks around it do not count.
pub fn named<T>() -> Named<T> {
    Named(PhantomData)
}

/// Refuses a list of `option` in which something is there twice.
///
/// # Errors
/// One sentence that names it.
pub fn once<T: PartialEq + Display>(option: &str, list: &[T]) -> Result<(), Failure> {
    match (1..list.len()).find(|&place| list[..place].contains(&list[place])) {
        None => Ok(()),
        Some(place) => {
            Err(Failure::usage(format!("--{option} names {} twice; name it once", list[place])))
        }
    }
}

/// The parser that [`named`] returns.
pub struct Named<T>(PhantomData<fn() -> T>);

impl<T> Clone for Named<T> {
    fn clone(&self) -> Self {
        named()
    }
}

impl<T: ValueEnum + Clone + Send + Sync + 'static> TypedValueParser for Named<T> {
    type Value = T;

    fn parse_ref(
        &self,
        command: &Command,
        option: Option<&Arg>,
        value: &OsStr,
    ) -> Result<T, clap::Error> {
        let value = value.to_str().map_or(value, |text| OsStr::new(text.trim()));
        EnumValueParser::<T>::new().parse_ref(command, option, value)
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        Some(Box::new(T::value_variants().iter().filter_map(ValueEnum::to_possible_value)))
    }
}

/// A number; blanks around it do not count.
///
/// # Errors
/// What should be given instead.
pub fn real(text: &str) -> Result<f64, &'static str> {
    text.trim().parse().map_err(|_| "give a number, such as 0.1 or 1e-3")
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::super::Program;
    use super::*;

    #[test]
    fn a_whole_number_is_taken_as_people_write_it() {
        for (text, number) in [
            ("1000", 1000),
            (" 32", 32),
            ("1e3", 1000),
            ("2.5E2", 250),
            ("1e+0", 1),
            ("0e9", 0),
            ("4294967295", u32::MAX),
            ("1.20e1", 12),
        ] {
            assert_eq!(whole::<u32>(text), Ok(number), "{text}");
        }
        assert_eq!(whole::<u64>("18446744073709551615"), Ok(u64::MAX));
        for text in ["", "1.5", "1.5e0", "-3", "1e-3", "4294967296", "1e10", "e3", "64 32", "0x10"]
        {
            assert!(whole::<u32>(text).unwrap_err().starts_with("give a whole number from 0"));
        }
        for text in ["1e20", "1e99999999999999999999", "1e4000000000", "1.e", "1ee3", "１"] {
            assert!(whole::<u64>(text).is_err(), "{text}");
        }
        assert!(whole::<usize>("64 32 10").unwrap_err().ends_with("commas go between several"));
        assert_eq!((real(" 1e-3"), real("x").is_err()), (Ok(1e-3), true));
    }

    #[test]
    fn every_command_takes_them() {
        for line in [
            "meta|--horizon|1e2|--meta-steps|2e1|--layers|64, 32, 10|--seed|1e3",
            "horizons|--horizon|1e1, 2e1|--meta-steps|1, 2",
            "surface|--horizon|10, 1e2|--batch| 10",
            "online|--steps|1e3|--from|0.1, 0.2|--fixed| 0.3",
            "nqm|--dim|1e2|--steps|1e1|--schedule|greedy",
            "nqm|meta|--horizons|1e1, 1e2|--learn|alpha0, beta",
            "nqm|--schedule|replan:1e1|--judge|cooldown:2e1",
            "nqm|compare|greedy|tuned: 1e1",
            "nqm|judges|--averages|0, 0.5|--cooldowns|0, 1e1|--after|0, 2",
            "edge|--ladder|0.1, 0.01|--horizon|5, 1e1|--threads|1e0",
            "compare|decay:0.1, 5, 1|--seeds|2e0",
            "plan|--beside|0.1, 5, 1|--train",
            "meta|--tune|alpha0, beta",
            "horizons|--fix|alpha0, beta|--seeds|1 .. 3",
            "surface|--axes|alpha0, beta|--random|1e2|--alpha0-range|0.1, 0.2",
            "online|--batches|fresh, same|--fix|momentum ",
            "hypergrad|--tune|alpha0, momentum",
            "bilevel|hypergradient|--method|exact, cg:5|--spectrum|uniform: 0.1, 1",
            "slurm|--tasks|1e1|--cpus-per-task|2e0|--|surface",
            "verify|--target|host, host-avx2|--timeout|1e1",
            "explore|--port|8e3",
        ] {
            let arguments = ["myopia"].into_iter().chain(line.split('|'));
            Program::try_parse_from(arguments).unwrap_or_else(|e| panic!("{line}: {e}"));
        }
        for (option, value) in [("--threads", "0"), ("--threads", "1025"), ("--threads", "1e4")] {
            let line = ["myopia", "train", option, value];
            let refused = Program::try_parse_from(line).unwrap_err().to_string();
            assert!(refused.contains("give a whole number from 1 to 1024"), "{refused}");
        }
        let wrong = Program::try_parse_from(["myopia", "meta", "--tune", "alpha0, gamma"]);
        let wrong = wrong.unwrap_err().to_string();
        assert!(wrong.contains("possible values: alpha0, time-constant"), "{wrong}");
        let refused = Program::try_parse_from(["myopia", "train", "--steps", "1.5"]).unwrap_err();
        let refused = refused.to_string();
        assert!(refused.contains("'1.5' for '--steps <N>': give a whole number"), "{refused}");
    }
}
