//! Where in the chain a transaction may be.

/// Bounds of number and time of the block that may include a transaction, each inclusive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Window {
    /// The first block's number.
    pub number_min: Option<u64>,
    /// The last block's number.
    pub number_max: Option<u64>,
    /// The earliest block's time.
    pub time_min: Option<u64>,
    /// The latest block's time.
    pub time_max: Option<u64>,
}

impl Window {
    /// Whether any block will do.
    pub fn is_open(&self) -> bool {
        *self == Self::default()
    }

    /// Whether some block could do at all.
    pub fn is_possible(&self) -> bool {
        let ordered = |min: Option<u64>, max: Option<u64>| min.zip(max).is_none_or(|(min, max)| min <= max);
        ordered(self.number_min, self.number_max) && ordered(self.time_min, self.time_max)
    }

    /// Whether this block will do.
    pub fn admits(&self, number: u64, time: u64) -> bool {
        let begun =
            self.number_min.is_none_or(|min| number >= min) && self.time_min.is_none_or(|min| time >= min);
        begun && !self.is_over(number, time)
    }

    /// Whether neither this block nor any later one will do.
    pub fn is_over(&self, number: u64, time: u64) -> bool {
        self.number_max.is_some_and(|max| number > max) || self.time_max.is_some_and(|max| time > max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_inclusive_and_the_past_does_not_come_back() {
        let window = Window { number_min: Some(5), number_max: Some(7), time_min: Some(50), time_max: None };
        assert!(window.is_possible() && !window.is_open());
        assert!(window.admits(5, 50) && window.admits(7, 99));
        assert!(!window.admits(4, 50) && !window.admits(5, 49) && !window.admits(8, 50));
        assert!(window.is_over(8, 0) && !window.is_over(4, 0));
        assert!(!Window { number_min: Some(2), number_max: Some(1), ..Window::default() }.is_possible());
        assert!(Window::default().is_open() && Window::default().admits(0, 0));
    }
}
