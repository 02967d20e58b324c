//! Whole numbers as people write them.

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
