//! Durations as Go writes them: `25m0s`, `1.5h`, `300ms`.

use std::time::Duration;

/// Parses a Go duration string; negative ones are read as zero.
pub(super) fn parse(text: &str) -> Option<Duration> {
    let (negative, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Some(Duration::ZERO);
    }
    if rest.is_empty() {
        return None;
    }
    let mut total = Duration::ZERO;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number: f64 =
            rest[..digits].parse().ok().filter(|_| rest[..digits].bytes().any(|b| b.is_ascii_digit()))?;
        rest = &rest[digits..];
        let unit_end = rest.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(rest.len());
        let seconds = match &rest[..unit_end] {
            "ns" => 1e-9,
            "us" | "µs" | "μs" => 1e-6,
            "ms" => 1e-3,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            _ => return None,
        };
        total = total.checked_add(Duration::try_from_secs_f64(number * seconds).ok()?)?;
        rest = &rest[unit_end..];
    }
    Some(if negative { Duration::ZERO } else { total })
}

/// Writes a duration as Go does.
pub(super) fn format(duration: Duration) -> String {
    let nanos = duration.as_nanos();
    if nanos == 0 {
        return "0s".to_owned();
    }
    if nanos < 1_000_000_000 {
        let (unit, scale) = match nanos {
            ..1_000 => ("ns", 1),
            ..1_000_000 => ("µs", 1_000),
            _ => ("ms", 1_000_000),
        };
        return format!("{}{unit}", decimal(nanos / scale, nanos % scale, scale));
    }
    let seconds = nanos / 1_000_000_000;
    let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
    let tail = decimal(seconds % 60, nanos % 1_000_000_000, 1_000_000_000);
    match (hours, minutes) {
        (0, 0) => format!("{tail}s"),
        (0, _) => format!("{minutes}m{tail}s"),
        _ => format!("{hours}h{minutes}m{tail}s"),
    }
}

fn decimal(whole: u128, part: u128, scale: u128) -> String {
    if part == 0 {
        return whole.to_string();
    }
    let width = scale.ilog10() as usize;
    let digits = format!("{part:0width$}");
    format!("{whole}.{}", digits.trim_end_matches('0'))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{format, parse};

    #[test]
    fn durations_are_go_s() {
        for (text, nanos) in [
            ("25m0s", 1_500_000_000_000u64),
            ("0s", 0),
            ("1h0m0s", 3_600_000_000_000),
            ("1.5s", 1_500_000_000),
            ("300ms", 300_000_000),
            ("1.5ms", 1_500_000),
        ] {
            assert_eq!(parse(text), Some(Duration::from_nanos(nanos)), "{text}");
            assert_eq!(format(Duration::from_nanos(nanos)), text);
        }
        assert_eq!(parse("1h30m"), Some(Duration::from_secs(5400)));
        assert_eq!(parse("-5s"), Some(Duration::ZERO));
        for bad in ["", "5", "s", ".s", "5x", "1e3s"] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }
}
