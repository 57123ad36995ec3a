//! Which backend a node starts with, and what it goes on with when that one breaks.

use crate::{CudaBackend, CudaError, Device, DeviceError, Options};
use std::{fmt, str::FromStr};
use tributary_weights::{Config, Hashes, Weights};

/// What an operator asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DeviceChoice {
    /// A CUDA device if there is one that works, else the CPU.
    #[default]
    Auto,
    /// The CPU.
    Cpu,
    /// This CUDA device; the CPU, with an error in the log, if it does not work.
    Cuda(i32),
}

impl FromStr for DeviceChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let unknown = || format!("{text:?} is none of auto, cpu, cuda and cuda:NUMBER");
        match text {
            "auto" => Ok(Self::Auto),
            "cpu" => Ok(Self::Cpu),
            "cuda" => Ok(Self::Cuda(0)),
            other => {
                let number = other.strip_prefix("cuda:").and_then(|number| number.parse::<u16>().ok());
                number.map(|number| Self::Cuda(i32::from(number))).ok_or_else(unknown)
            }
        }
    }
}

impl fmt::Display for DeviceChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Cpu => f.write_str("cpu"),
            Self::Cuda(ordinal) => write!(f, "cuda:{ordinal}"),
        }
    }
}

/// Opens a device by its number.
pub type OpenDevice = Box<dyn FnMut(i32) -> Result<Box<dyn Device>, DeviceError> + Send>;

/// Starts a device's backend once. When it is asked again, that backend broke: a context that failed stays broken as long as the
/// process lives, so the CPU goes on.
pub struct Starter {
    choice: DeviceChoice,
    options: Options,
    open: OpenDevice,
    started: bool,
}

impl fmt::Debug for Starter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Starter")
            .field("choice", &self.choice)
            .field("started", &self.started)
            .finish_non_exhaustive()
    }
}

impl Starter {
    /// Nothing is opened yet.
    pub fn new(choice: DeviceChoice, options: Options, open: OpenDevice) -> Self {
        Self { choice, options, open, started: false }
    }

    /// The device's backend, which takes the weights' layers; or nothing: then it is the CPU's turn with all of the weights, and the log
    /// says why. In a fast tier the CPU never has a turn: it answers otherwise, under another profile than the one that the node has told
    /// everybody; so what would be its turn is an error.
    pub fn start(
        &mut self,
        config: &Config,
        weights: &mut Weights,
        hashes: &Hashes,
    ) -> Result<Option<CudaBackend>, CudaError> {
        let tier = self.options.tier;
        let alone = |reason: &dyn fmt::Display| CudaError::Alone { tier, reason: reason.to_string() };
        let ordinal = match self.choice {
            DeviceChoice::Cpu if tier.is_fast() => return Err(alone(&"the CPU was chosen")),
            DeviceChoice::Cpu => return Ok(None),
            DeviceChoice::Auto => 0,
            DeviceChoice::Cuda(ordinal) => ordinal,
        };
        if std::mem::replace(&mut self.started, true) {
            if tier.is_fast() {
                return Err(alone(&"the CUDA backend broke; the node has to be started again"));
            }
            tracing::error!(
                "The CUDA backend broke; the CPU goes on serving until the node is started again"
            );
            return Ok(None);
        }
        let backend = (self.open)(ordinal)
            .map_err(CudaError::from)
            .and_then(|device| CudaBackend::taking(device, config, weights, hashes, &self.options));
        match backend {
            Ok(backend) => Ok(Some(backend)),
            Err(error) if tier.is_fast() => Err(alone(&error)),
            Err(CudaError::Device(DeviceError::Absent(reason))) if self.choice == DeviceChoice::Auto => {
                tracing::info!(%reason, "No CUDA device, serving on the CPU");
                Ok(None)
            }
            Err(error) => {
                tracing::error!(%error, "The CUDA device cannot be used, serving on the CPU");
                Ok(None)
            }
        }
    }
}
