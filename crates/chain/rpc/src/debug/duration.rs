//! Durations as Go writes them: `5s`, `1m30s`, `250ms`, `1.5h`.

use std::time::Duration;

/// Units and their nanoseconds; those that begin like a shorter one come first.
const UNITS: [(&str, f64); 8] =
    [("ns", 1.0), ("us", 1e3), ("µs", 1e3), ("μs", 1e3), ("ms", 1e6), ("s", 1e9), ("m", 6e10), ("h", 3.6e12)];

/// A duration; a negative one is zero, one without end the longest there is.
pub(super) fn parse_duration(text: &str) -> Option<Duration> {
    let (negative, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Some(Duration::ZERO);
    }
    let mut nanos = 0.0;
    while {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, unit) = rest.split_at(digits);
        let number: f64 = number.parse().ok()?;
        let (name, scale) = UNITS.into_iter().find(|(name, _)| unit.starts_with(name))?;
        nanos += number * scale;
        rest = &unit[name.len()..];
        !rest.is_empty()
    } {}
    let seconds = if negative { 0.0 } else { nanos / 1e9 };
    Some(Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_go_writes_is_read() {
        let known = [
            ("5s", 5_000),
            ("1m30s", 90_000),
            ("250ms", 250),
            ("1.5h", 5_400_000),
            ("2000us", 2),
            ("3000µs", 3),
            ("4000000ns", 4),
            ("0", 0),
            ("-5s", 0),
            ("+1s", 1_000),
        ];
        for (text, millis) in known {
            assert_eq!(parse_duration(text), Some(Duration::from_millis(millis)), "{text}");
        }
        assert_eq!(parse_duration(&format!("{}h", "9".repeat(400))), Some(Duration::MAX));
        for text in ["", "5", "s", ".s", "5 s", "5x", "1s2", "1..5s", "--1s", "é"] {
            assert_eq!(parse_duration(text), None, "{text}");
        }
    }
}
