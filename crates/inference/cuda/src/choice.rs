//! What an operator says of the devices to compute with.

use crate::DeviceError;
use std::{collections::BTreeSet, fmt, str::FromStr};

/// What computes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DeviceChoice {
    /// CUDA devices if there are some that work, else the CPU.
    #[default]
    Auto,
    /// The CPU.
    Cpu,
    /// CUDA devices, this one alone if it is said; the CPU, with an error in the log, if none works.
    Cuda(Option<i32>),
}

impl FromStr for DeviceChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let unknown = || format!("{text:?} is none of auto, cpu, cuda and cuda:NUMBER");
        match text {
            "auto" => Ok(Self::Auto),
            "cpu" => Ok(Self::Cpu),
            "cuda" => Ok(Self::Cuda(None)),
            other => {
                let number = other.strip_prefix("cuda:").and_then(ordinal);
                number.map(|number| Self::Cuda(Some(number))).ok_or_else(unknown)
            }
        }
    }
}

impl fmt::Display for DeviceChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Cpu => f.write_str("cpu"),
            Self::Cuda(None) => f.write_str("cuda"),
            Self::Cuda(Some(ordinal)) => write!(f, "cuda:{ordinal}"),
        }
    }
}

impl DeviceChoice {
    /// The devices to open; none for the CPU. Without a driver the first, which then says what is missing.
    pub fn devices(self, gpus: &Gpus, count: impl FnOnce() -> Result<i32, DeviceError>) -> Vec<i32> {
        match (self, gpus) {
            (Self::Cpu, _) => Vec::new(),
            (Self::Cuda(Some(one)), _) => vec![one],
            (_, Gpus::These(these)) => these.clone(),
            (_, Gpus::All) => (0..count().unwrap_or(1).max(1)).collect(),
        }
    }
}

/// Which of several GPUs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Gpus {
    /// Every one that the driver shows.
    #[default]
    All,
    /// These, by the driver's numbers, each once.
    These(Vec<i32>),
}

impl FromStr for Gpus {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "all" {
            return Ok(Self::All);
        }
        let unknown = || format!("{text:?} is neither all nor numbers like 0,1");
        let these: Vec<i32> = text.split(',').map(ordinal).collect::<Option<_>>().ok_or_else(unknown)?;
        let once = these.iter().collect::<BTreeSet<_>>().len() == these.len();
        if once { Ok(Self::These(these)) } else { Err(format!("{text:?} names a GPU twice")) }
    }
}

impl fmt::Display for Gpus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("all"),
            Self::These(these) => {
                f.write_str(&these.iter().map(i32::to_string).collect::<Vec<_>>().join(","))
            }
        }
    }
}

/// A device's number.
fn ordinal(text: &str) -> Option<i32> {
    text.parse::<u16>().ok().map(i32::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_by_name() {
        for (text, choice) in [
            ("auto", DeviceChoice::Auto),
            ("cpu", DeviceChoice::Cpu),
            ("cuda", DeviceChoice::Cuda(None)),
            ("cuda:1", DeviceChoice::Cuda(Some(1))),
        ] {
            assert_eq!(text.parse(), Ok(choice));
            assert_eq!(choice.to_string(), text);
        }
        for bad in ["", "gpu", "cuda:", "cuda:-1", "cuda:x", "CPU", "cuda:99999999999"] {
            assert!(bad.parse::<DeviceChoice>().is_err(), "{bad}");
        }
    }

    #[test]
    fn gpus_by_number() {
        for (text, gpus) in
            [("all", Gpus::All), ("0", Gpus::These(vec![0])), ("3,1", Gpus::These(vec![3, 1]))]
        {
            assert_eq!(text.parse(), Ok(gpus.clone()));
            assert_eq!(gpus.to_string(), text);
        }
        for bad in ["", "0,", "0,0", "-1", "1;2", "a", "99999999"] {
            assert!(bad.parse::<Gpus>().is_err(), "{bad}");
        }
    }

    #[test]
    fn who_is_opened() {
        let these = Gpus::These(vec![2, 0]);
        let four = || Ok(4);
        assert!(DeviceChoice::Cpu.devices(&Gpus::All, four).is_empty());
        assert_eq!(DeviceChoice::Auto.devices(&Gpus::All, four), [0, 1, 2, 3]);
        assert_eq!(DeviceChoice::Cuda(None).devices(&these, four), [2, 0]);
        assert_eq!(DeviceChoice::Cuda(Some(3)).devices(&Gpus::All, four), [3]);
        let none = || Err(DeviceError::Absent("no driver".into()));
        assert_eq!(DeviceChoice::Auto.devices(&Gpus::All, none), [0]);
    }
}
