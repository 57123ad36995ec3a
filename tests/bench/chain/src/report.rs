//! The table.

use comfy_table::{Table, presets::ASCII_MARKDOWN};

/// A case: both figures, and what it must reach.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) case: String,
    pub(crate) ours: f64,
    pub(crate) theirs: f64,
    pub(crate) unit: &'static str,
    /// More is better; else less.
    pub(crate) more: bool,
    /// The ratio that must be reached.
    pub(crate) target: f64,
    pub(crate) note: String,
}

impl Row {
    /// How many times better than op-geth.
    pub(crate) fn ratio(&self) -> f64 {
        if self.more { self.ours / self.theirs } else { self.theirs / self.ours }
    }
}

/// Prints the rows.
pub(crate) fn print(rows: &[Row]) {
    let mut table = Table::new();
    table.load_preset(ASCII_MARKDOWN);
    table.set_header(["case", "unit", "tributary", "op-geth", "ratio", "target", "", "of it"]);
    for row in rows {
        let ratio = row.ratio();
        let reached = if ratio >= row.target { "reached" } else { "missed" };
        table.add_row([
            row.case.clone(),
            row.unit.to_owned(),
            figure(row.ours),
            figure(row.theirs),
            format!("{ratio:.2}"),
            format!("{:.1}", row.target),
            reached.to_owned(),
            row.note.clone(),
        ]);
    }
    println!("{table}");
}

fn figure(value: f64) -> String {
    if value >= 100.0 { format!("{value:.0}") } else { format!("{value:.1}") }
}

/// The middle one; of an even number the better of the two, which is the lower if `low`.
pub(crate) fn median(mut values: Vec<f64>, low: bool) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    if values.is_empty() {
        return f64::NAN;
    }
    let at = if low { (values.len() - 1) / 2 } else { values.len() / 2 };
    values[at]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ratio_says_how_much_better() {
        let row = |more| Row {
            case: String::new(),
            ours: 2.0,
            theirs: 1.0,
            unit: "",
            more,
            target: 1.0,
            note: String::new(),
        };
        assert_eq!((row(true).ratio(), row(false).ratio()), (2.0, 0.5));
        assert_eq!(median(vec![3.0, 1.0, 2.0], true), 2.0);
        assert_eq!((median(vec![1.0, 2.0], true), median(vec![1.0, 2.0], false)), (1.0, 2.0));
    }
}
