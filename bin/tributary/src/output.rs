//! Answers for people as tables, for programs as JSON.

use std::fmt::Display;

use comfy_table::{ContentArrangement, Table, presets::UTF8_FULL_CONDENSED};
use eyre::Result;
use serde::Serialize;

/// Prints `value` as JSON when asked to, else the table or line that `text` makes of it.
pub(crate) fn print<T: Serialize, D: Display>(
    json: bool,
    value: &T,
    text: impl FnOnce(&T) -> D,
) -> Result<()> {
    // The answer is the last thing that is done; its reader may have gone.
    sigpipe::reset();
    if json {
        println!("{}", serde_json::to_string_pretty(value)?);
    } else {
        println!("{}", text(value));
    }
    Ok(())
}

/// An empty table in the house style.
pub(crate) fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table
        .load_preset(UTF8_FULL_CONDENSED)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_header(header);
    table
}

/// A table of names and values.
pub(crate) fn pairs<const N: usize>(rows: [(&str, String); N]) -> Table {
    let mut table = Table::new();
    table.load_preset(UTF8_FULL_CONDENSED).set_content_arrangement(ContentArrangement::Dynamic);
    for (name, value) in rows {
        table.add_row([name.to_owned(), value]);
    }
    table
}

/// Wei as OPEN, with as many digits as are not zero.
pub(crate) fn open(wei: impl TryInto<u128>) -> String {
    const ONE: u128 = 1_000_000_000_000_000_000;
    let Ok(wei) = wei.try_into() else {
        return "more than 2^128 wei".to_owned();
    };
    let (whole, fraction) = (wei / ONE, wei % ONE);
    if fraction == 0 {
        return format!("{whole} OPEN");
    }
    let digits = format!("{fraction:018}");
    format!("{whole}.{} OPEN", digits.trim_end_matches('0'))
}

/// Parses an amount: `1.5` is OPEN, `100wei` and `3gwei` say their unit.
pub(crate) fn parse_open(text: &str) -> Result<u128, String> {
    let (number, unit) = [("wei", 0), ("open", 18), ("ether", 18)]
        .iter()
        .find_map(|(suffix, decimals)| {
            let lower = text.to_ascii_lowercase();
            (*suffix == "wei" && lower.ends_with("gwei"))
                .then(|| (text[..text.len() - 4].to_owned(), 9))
                .or_else(|| {
                    lower.ends_with(suffix).then(|| (text[..text.len() - suffix.len()].to_owned(), *decimals))
                })
        })
        .unwrap_or_else(|| (text.to_owned(), 18));
    let number = number.trim();
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let bad = || format!("{text:?} is no amount: write 1.5, 20gwei or 7wei");
    if fraction.len() > unit || whole.is_empty() && fraction.is_empty() {
        return Err(bad());
    }
    let digits = format!("{whole}{fraction}{}", "0".repeat(unit - fraction.len()));
    if !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(bad());
    }
    digits.parse().map_err(|_| bad())
}

/// A progress bar on a terminal; nothing elsewhere.
pub(crate) fn progress(length: usize, what: &str, json: bool) -> indicatif::ProgressBar {
    if json {
        return indicatif::ProgressBar::hidden();
    }
    let style = indicatif::ProgressStyle::with_template("{msg:28} [{bar:30}] {pos}/{len}")
        .unwrap_or_else(|_| indicatif::ProgressStyle::default_bar());
    indicatif::ProgressBar::new(length as u64)
        .with_style(style.progress_chars("=> "))
        .with_message(what.to_owned())
}

#[cfg(test)]
mod tests {
    use super::{open, parse_open};

    #[test]
    fn amounts_are_written_and_read_back() {
        for (text, wei) in [
            ("1", 10u128.pow(18)),
            ("1.5", 15 * 10u128.pow(17)),
            ("3gwei", 3_000_000_000),
            ("7wei", 7),
            ("2 OPEN", 2 * 10u128.pow(18)),
            (".5", 5 * 10u128.pow(17)),
        ] {
            assert_eq!(parse_open(text), Ok(wei), "{text}");
        }
        for text in ["", ".", "1.5wei", "-1", "x", "1e18", "340282366920938463464"] {
            assert!(parse_open(text).is_err(), "{text}");
        }
        assert_eq!(open(15 * 10u128.pow(17)), "1.5 OPEN");
        assert_eq!(open(7u128), "0.000000000000000007 OPEN");
    }
}
