//! Durations as Go writes them: `25m0s`, `1.5s`, `-100ms`.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// A signed duration in nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct GoDuration(pub i64);

const UNITS: [(&str, i64); 8] = [
    ("ns", 1),
    ("us", 1_000),
    ("µs", 1_000),
    ("μs", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
];

impl GoDuration {
    /// Whole seconds.
    #[must_use]
    pub const fn from_secs(seconds: i64) -> Self {
        Self(seconds.saturating_mul(1_000_000_000))
    }

    /// How long to wait: not at all when negative.
    #[must_use]
    pub fn wait(self) -> Duration {
        Duration::from_nanos(u64::try_from(self.0).unwrap_or(0))
    }
}

impl FromStr for GoDuration {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let invalid = || format!("time: invalid duration {text:?}");
        let (sign, mut rest) = match text.as_bytes().first() {
            Some(b'-') => (-1, &text[1..]),
            Some(b'+') => (1, &text[1..]),
            _ => (1, text),
        };
        if rest == "0" {
            return Ok(Self(0));
        }
        if rest.is_empty() {
            return Err(invalid());
        }
        let mut total = 0i128;
        while !rest.is_empty() {
            let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
            let (number, after) = rest.split_at(digits);
            let letters = after.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(after.len());
            let (unit, after) = after.split_at(letters);
            let nanos = UNITS.iter().find(|(name, _)| *name == unit).map(|(_, nanos)| *nanos);
            total += scaled(number, nanos.ok_or_else(invalid)?).ok_or_else(invalid)?;
            rest = after;
        }
        i64::try_from(sign * total).map(Self).map_err(|_| invalid())
    }
}

/// `number` (digits with at most one point) times `unit`.
fn scaled(number: &str, unit: i64) -> Option<i128> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() || fraction.contains('.') || number.len() > 40 {
        return None;
    }
    let whole: i128 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let mut total = whole.checked_mul(i128::from(unit))?;
    let mut scale = i128::from(unit);
    for digit in fraction.bytes() {
        total = total.checked_add(i128::from(digit - b'0') * scale / 10)?;
        scale /= 10;
    }
    Some(total)
}

impl fmt::Display for GoDuration {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nanos = self.0.unsigned_abs();
        if self.0 < 0 {
            to.write_str("-")?;
        }
        let (unit, name) = match nanos {
            0 => return to.write_str("0s"),
            1..1_000 => (1, "ns"),
            1_000..1_000_000 => (1_000, "µs"),
            1_000_000..1_000_000_000 => (1_000_000, "ms"),
            _ => return long(nanos, to),
        };
        write!(to, "{}{name}", decimal(nanos, unit))
    }
}

/// Hours, minutes and seconds, leading zeros left out.
fn long(nanos: u64, to: &mut fmt::Formatter<'_>) -> fmt::Result {
    let second = 1_000_000_000;
    let (minutes, rest) = (nanos / (60 * second), nanos % (60 * second));
    let (hours, minutes) = (minutes / 60, minutes % 60);
    if hours > 0 {
        write!(to, "{hours}h")?;
    }
    if hours > 0 || minutes > 0 {
        write!(to, "{minutes}m")?;
    }
    write!(to, "{}s", decimal(rest, second))
}

/// `value / unit` without trailing zeros; `unit` is a power of ten.
fn decimal(value: u64, unit: u64) -> String {
    let (whole, fraction) = (value / unit, value % unit);
    if fraction == 0 {
        return whole.to_string();
    }
    let width = unit.ilog10() as usize;
    let digits = format!("{fraction:0width$}");
    format!("{whole}.{}", digits.trim_end_matches('0'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn go_writes_and_reads_the_same() {
        for text in ["25m0s", "0s", "1.5s", "100ms", "-3s", "2h0m0.000000001s", "1.5µs", "7ns", "336h0m0s"] {
            assert_eq!(text.parse::<GoDuration>().expect(text).to_string(), text);
        }
        assert_eq!("1h2m3.5s".parse(), Ok(GoDuration(3_723_500_000_000)));
        assert_eq!("0".parse(), Ok(GoDuration(0)));
        assert_eq!(".5s".parse(), Ok(GoDuration(500_000_000)));
        for wrong in ["", "5", "s", "1x", "1s2", "--1s", "1..2s", ".s", "9999999999h"] {
            assert!(wrong.parse::<GoDuration>().is_err(), "{wrong}");
        }
        assert_eq!(GoDuration(-5).wait(), Duration::ZERO);
    }
}
