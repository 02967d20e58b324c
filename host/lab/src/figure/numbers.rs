//! Numbers as people read them: exact decimals, thousands separated, powers of ten raised.

/// `mantissa` × 10^`exponent` written out exactly: `20,000`, `0.25`, `−3`.
pub(super) fn plain(mantissa: i64, exponent: i32) -> String {
    let digits = mantissa.unsigned_abs().to_string();
    let (whole, fraction) = if exponent >= 0 {
        (digits + &"0".repeat(exponent as usize), String::new())
    } else {
        let places = exponent.unsigned_abs() as usize;
        let padded = format!("{digits:0>width$}", width = places + 1);
        let (whole, fraction) = padded.split_at(padded.len() - places);
        (whole.to_owned(), fraction.to_owned())
    };
    let mut text = String::new();
    if mantissa < 0 {
        text.push('−');
    }
    let whole = if mantissa == 0 { "0" } else { &whole };
    for (i, digit) in whole.chars().enumerate() {
        if i > 0 && (whole.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    if !fraction.is_empty() {
        text.push('.');
        text.push_str(&fraction);
    }
    text
}

/// 10 to the `exponent`, raised: `10⁻³`.
pub(super) fn power_of_ten(exponent: i32) -> String {
    let mut text = String::from("10");
    for c in exponent.to_string().chars() {
        text.push(match c {
            '-' => '⁻',
            '1' => '¹',
            '2' => '²',
            '3' => '³',
            // The other raised digits stand in a row of their own.
            digit => char::from_u32('⁰' as u32 + digit as u32 - '0' as u32).unwrap_or(digit),
        });
    }
    text
}

/// A number to three significant digits: `0.0893`, `1,230`, `4.57×10⁻⁷`.
pub(super) fn brief(value: f64) -> String {
    if !value.is_finite() {
        return value.to_string();
    }
    // The standard library rounds exactly; what follows only moves the point.
    let text = format!("{value:.2e}");
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let mantissa: i64 = mantissa.replace('.', "").parse().unwrap_or(0);
    let exponent: i32 = exponent.parse().unwrap_or(0);
    match exponent {
        -4..=5 => plain(mantissa, exponent - 2),
        _ => format!("{}×{}", plain(mantissa, -2), power_of_ten(exponent)),
    }
}

/// So many of a thing: `1 value`, `3 values`.
pub(super) fn counted(count: usize, noun: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {noun}{plural}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_are_exact_and_grouped() {
        for (mantissa, exponent, text) in [
            (2, 4, "20,000"),
            (1, 6, "1,000,000"),
            (25, -2, "0.25"),
            (-5, -1, "−0.5"),
            (0, -2, "0.00"),
            (0, 3, "0"),
            (1, -3, "0.001"),
            (123_456, -1, "12,345.6"),
        ] {
            assert_eq!(plain(mantissa, exponent), text);
        }
    }

    #[test]
    fn powers_are_raised() {
        assert_eq!(power_of_ten(-3), "10⁻³");
        assert_eq!(power_of_ten(12), "10¹²");
        assert_eq!(power_of_ten(-40), "10⁻⁴⁰");
        assert_eq!(power_of_ten(56_789), "10⁵⁶⁷⁸⁹");
    }

    #[test]
    fn three_digits_say_enough() {
        for (value, text) in [
            (0.089_31, "0.0893"),
            (1.0, "1.00"),
            (1234.0, "1,230"),
            (4.567e-7, "4.57×10⁻⁷"),
            (-0.5, "−0.500"),
            (0.0, "0.00"),
            (9.999e5, "1.00×10⁶"),
        ] {
            assert_eq!(brief(value), text);
        }
    }
}
