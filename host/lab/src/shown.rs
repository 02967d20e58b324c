//! Names and values as messages show them: on one line, nothing that a terminal obeys, and not at
//! length.

use std::borrow::Cow;
use std::path::Path;

use myopia_core::schedule::Parameter;

/// The most characters of a name or a value that a message shows.
const NAME: usize = 160;

/// The most characters of one word of a sentence: a long path still shows in full.
const WORD: usize = 400;

/// The most characters of a sentence.
const SENTENCE: usize = 2_000;

/// `text` on one line, with every control character, line end and mark that turns the direction of
/// writing as an escape.
pub fn escaped(text: &str) -> Cow<'_, str> {
    if !text.contains(obeyed) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        if obeyed(c) { shown.extend(c.escape_default()) } else { shown.push(c) }
    }
    Cow::Owned(shown)
}

/// Whether a terminal would act on the character instead of showing it.
fn obeyed(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}')
        || matches!(c, '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}')
}

/// A name or a value: escaped, and its middle left out where it is long.
pub fn name(text: &str) -> String {
    shortened(&escaped(text), NAME)
}

/// A path, which is never cut: escaped only.
pub fn path(path: &Path) -> String {
    escaped(&path.to_string_lossy()).into_owned()
}

/// A whole sentence: escaped, and the middle of long words left out, as of the whole.
pub fn sentence(text: &str) -> String {
    // What is left out need not be looked at: a value may have millions of characters.
    let text = shortened(text, 8 * SENTENCE);
    let text = escaped(&text);
    let short = |word: &str| word.chars().nth(WORD).is_none();
    if text.split(' ').all(short) {
        return shortened(&text, SENTENCE);
    }
    let words: Vec<String> = text.split(' ').map(|word| shortened(word, WORD)).collect();
    shortened(&words.join(" "), SENTENCE)
}

/// A number with so many decimals; in scientific notation where these would leave less than two of
/// its digits, or where it is long.
pub fn number(x: f64, decimals: usize) -> String {
    let size = x.abs();
    let fixed = format!("{x:.decimals$}");
    let digits = fixed.bytes().filter(u8::is_ascii_digit).skip_while(|&digit| digit == b'0');
    if x == 0.0 || !size.is_finite() || (digits.count() > 1 && size < 1e7) {
        fixed
    } else {
        format!("{x:.2e}")
    }
}

/// The symbol of a hyperparameter, as the equations have it.
pub fn symbol(parameter: Parameter) -> &'static str {
    match parameter {
        Parameter::Alpha0 => "α₀",
        Parameter::TimeConstant => "K",
        Parameter::Beta => "β",
        Parameter::Momentum => "μ",
        Parameter::Epsilon => "ε",
        Parameter::Rho => "ρ",
        Parameter::Beta1 => "β₁",
        Parameter::Beta2 => "β₂",
        Parameter::WeightDecay => "ξ",
        Parameter::Factor => "γ",
        Parameter::FinalShare => "r",
        Parameter::Damping => "λ",
    }
}

/// `text`, or its beginning and its end about "…" when it has more than `most` characters.
fn shortened(text: &str, most: usize) -> String {
    if text.len() <= most || text.chars().nth(most).is_none() {
        return text.to_owned();
    }
    let end = most / 3;
    let begin = most - end - 1;
    let begin = text.char_indices().nth(begin).map_or(text.len(), |(at, _)| at);
    let end = text.char_indices().rev().nth(end - 1).map_or(0, |(at, _)| at);
    format!("{}…{}", &text[..begin], &text[end..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_a_terminal_obeys_is_left_and_all_else_is_kept() {
        for (text, shown) in [
            ("plain", "plain"),
            ("αβ 漢字 é", "αβ 漢字 é"),
            ("two\nlines\r\tand\u{1b}[2Jmore", r"two\nlines\r\tand\u{1b}[2Jmore"),
            ("\u{9b}31m\u{7f}", r"\u{9b}31m\u{7f}"),
            ("gpj.\u{202e}exe", r"gpj.\u{202e}exe"),
            ("a\u{2028}b\u{200b}\u{2066}\u{feff}", r"a\u{2028}b\u{200b}\u{2066}\u{feff}"),
        ] {
            assert_eq!(escaped(text), shown);
            assert_eq!(path(Path::new(text)), shown);
            assert_eq!(sentence(text), shown);
        }
    }

    #[test]
    fn what_is_long_keeps_its_ends() {
        let long = "1".repeat(99) + &"2".repeat(1_000_000) + "345";
        let shown = name(&long);
        assert_eq!(shown.chars().count(), NAME);
        assert!(shown.starts_with("111") && shown.contains('…') && shown.ends_with("345"));
        let told = sentence(&format!("{long} is no number; give one"));
        assert!(told.chars().count() < 500, "{told}");
        assert!(told.ends_with("345 is no number; give one"), "{told}");
        let many = sentence(&"word ".repeat(1_000_000));
        assert!(many.chars().count() <= SENTENCE, "{}", many.len());
        // A character of several bytes is never cut in two.
        assert_eq!(shortened(&"漢".repeat(500), 10).chars().count(), 10);
        assert_eq!(shortened("0123456789", 10), "0123456789");
        assert_eq!(shortened("0123456789a", 10), "012345…89a");
    }

    #[test]
    fn a_small_number_never_becomes_nought_nor_a_large_one_a_line() {
        for (x, text) in [
            (0.02, "0.02000"),
            (1.0, "1.00000"),
            (0.0, "0.00000"),
            (1.26e-3, "0.00126"),
            (1.26e-5, "1.26e-5"),
            (-3e-300, "-3.00e-300"),
            (5e-324, "4.94e-324"),
            (1e30, "1.00e30"),
            (f64::NAN, "NaN"),
            (f64::INFINITY, "inf"),
        ] {
            assert_eq!(number(x, 5), text);
        }
        assert_eq!(
            [number(5000.0, 1), number(4.0, 0), number(1e-9, 0)],
            ["5000.0", "4.00e0", "1.00e-9"]
        );
    }
}
