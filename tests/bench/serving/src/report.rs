//! The table.

use comfy_table::{Table, presets::ASCII_MARKDOWN};

/// Something a row must reach.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    /// What, and what it came to: `2.5 × same: 2.83`.
    pub(crate) text: String,
    pub(crate) met: bool,
}

/// A case: the figure, its bound, what llama.cpp did in the same run, and what it must reach.
#[derive(Debug, Clone, Default)]
pub(crate) struct Row {
    pub(crate) case: String,
    pub(crate) figure: String,
    pub(crate) peer: String,
    pub(crate) bound: String,
    pub(crate) targets: Vec<Target>,
    /// Where the rest of the time goes.
    pub(crate) rest: String,
}

impl Row {
    pub(crate) fn new(case: &str, figure: String) -> Self {
        Self { case: case.to_owned(), figure, ..Self::default() }
    }

    /// What must be at least so much.
    pub(crate) fn least(mut self, what: &str, value: f64, wanted: f64) -> Self {
        let text = format!("{what} {value:.2} ≥ {wanted}");
        self.targets.push(Target { text, met: value >= wanted });
        self
    }

    /// What must be at most so much.
    pub(crate) fn most(mut self, what: &str, value: f64, wanted: f64) -> Self {
        let text = format!("{what} {value:.2} ≤ {wanted:.2}");
        self.targets.push(Target { text, met: value <= wanted });
        self
    }

    /// What must hold.
    pub(crate) fn holds(mut self, what: &str, met: bool) -> Self {
        self.targets.push(Target { text: what.to_owned(), met });
        self
    }
}

/// Prints the rows as Markdown.
pub(crate) fn print(rows: &[Row]) {
    let mut table = Table::new();
    table.load_preset(ASCII_MARKDOWN);
    table.set_header(["case", "tributary", "llama.cpp", "bound", "must reach", "", "where the rest goes"]);
    for row in rows {
        let join = |parts: Vec<String>| parts.join("; ");
        table.add_row([
            row.case.clone(),
            row.figure.clone(),
            row.peer.clone(),
            row.bound.clone(),
            join(row.targets.iter().map(|target| target.text.clone()).collect()),
            join(row.targets.iter().map(|target| if target.met { "met" } else { "missed" }.into()).collect()),
            row.rest.clone(),
        ]);
    }
    println!("{table}");
}

/// The middle one.
pub(crate) fn median(values: &[f64]) -> f64 {
    quantile(values, 0.5)
}

/// The value below which this part of all lies; not a number of none.
pub(crate) fn quantile(values: &[f64], part: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let at = (sorted.len().saturating_sub(1) as f64 * part).round() as usize;
    sorted.get(at).copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_met_from_its_bound_on() {
        let row = Row::new("", String::new()).least("a", 2.5, 2.5).most("b", 1.3, 1.2).holds("c", true);
        assert_eq!(row.targets.iter().map(|target| target.met).collect::<Vec<_>>(), [true, false, true]);
    }

    #[test]
    fn quantiles_are_of_the_sorted_values() {
        let values: Vec<f64> = (0..=100).rev().map(f64::from).collect();
        assert_eq!((quantile(&values, 0.99), median(&values)), (99.0, 50.0));
        assert!(median(&[]).is_nan());
    }
}
