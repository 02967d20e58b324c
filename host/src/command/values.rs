//! Numbers as people write them on a command line.

use std::any::type_name;

/// A whole number: in digits, or as a power of ten such as `2e4`; blanks around it do not count.
///
/// # Errors
/// What should be given instead.
pub fn whole<T: TryFrom<u64>>(text: &str) -> Result<T, String> {
    let number = text.trim();
    let found = number.parse().ok().or_else(|| scientific(number));
    found.and_then(|found| T::try_from(found).ok()).ok_or_else(|| {
        let several = match number.contains(char::is_whitespace) {
            true => "; commas go between several",
            false => "",
        };
        let most = match type_name::<T>() {
            "u32" => format!(" from 0 to {}", u32::MAX),
            _ => String::new(),
        };
        format!("give a whole number{most}, such as 1000 or 1e3{several}")
    })
}

/// The whole number that a mantissa with an exponent stands for exactly.
fn scientific(text: &str) -> Option<u64> {
    let (mantissa, exponent) = text.split_once(['e', 'E'])?;
    let exponent = exponent.strip_prefix('+').unwrap_or(exponent);
    let (before, after) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if before.is_empty() || !digits(before) || !digits(after) || !digits(exponent) {
        return None;
    }
    let exponent: usize = exponent.parse().ok()?;
    let after = after.trim_end_matches('0');
    // Twenty digits are more than any such number has.
    if after.len() > exponent || exponent > 20 {
        return None;
    }
    format!("{before}{after:0<exponent$}").parse().ok()
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
            "nqm|meta|--horizons|1e1, 1e2",
        ] {
            let arguments = ["myopia"].into_iter().chain(line.split('|'));
            Program::try_parse_from(arguments).unwrap_or_else(|e| panic!("{line}: {e}"));
        }
        let refused = Program::try_parse_from(["myopia", "train", "--steps", "1.5"]).unwrap_err();
        let refused = refused.to_string();
        assert!(refused.contains("'1.5' for '--steps <N>': give a whole number"), "{refused}");
    }
}
