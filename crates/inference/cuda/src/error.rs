//! Why a device cannot be used, or can be used no more.

use crate::Tier;
use tributary_engine::BackendError;

/// A fault of the device, its driver or its compiler.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DeviceError {
    /// No driver is installed, or it offers no device.
    #[error("no CUDA device: {0}")]
    Absent(String),
    /// The driver is older than what is called here.
    #[error("the CUDA driver speaks version {found}, {needed} or later is needed")]
    Driver {
        /// Its version, 1000 · major + 10 · minor.
        found: i32,
        /// The oldest that will do.
        needed: i32,
    },
    /// The device lacks instructions that the kernels use.
    #[error("the device has compute capability {major}.{minor}, 8.0 or later is needed")]
    Capability {
        /// Major number.
        major: i32,
        /// Minor number.
        minor: i32,
    },
    /// NVRTC is not installed.
    #[error("NVRTC was not found: {0}")]
    Nvrtc(String),
    /// A kernel does not compile.
    #[error("{source_file} does not compile for {arch}: {log}")]
    Compile {
        /// The file.
        source_file: &'static str,
        /// For which architecture.
        arch: String,
        /// What the compiler says.
        log: String,
    },
    /// The device lacks instructions that a tier's kernels use.
    #[error("the device has compute capability {}.{}, the {tier} tier needs {}.{} or later", found.0, found.1, tier.capability().0, tier.capability().1)]
    Tier {
        /// The tier.
        tier: Tier,
        /// The device's.
        found: (i32, i32),
    },
    /// There is no memory left on the device.
    #[error("out of device memory: {wanted} bytes wanted, {free} free")]
    OutOfMemory {
        /// Bytes asked for.
        wanted: u64,
        /// Bytes there were.
        free: u64,
    },
    /// The device is gone, or its context is broken: nothing more can be done with it by this process.
    #[error("the device is lost: {0}")]
    Lost(String),
    /// A call failed.
    #[error("{call}: {reason}")]
    Call {
        /// Which.
        call: &'static str,
        /// Why.
        reason: String,
    },
}

/// Why the backend cannot start, or go on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CudaError {
    /// The device.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// A size does not fit the kernels.
    #[error("model does not fit the kernels: {0}")]
    Model(String),
    /// The model is larger than the device.
    #[error(
        "the model's weights are {weights} bytes on a GPU, which has {free} free: a larger GPU or a smaller format is needed, for one model is not divided over several GPUs"
    )]
    TooLarge {
        /// Bytes of the packed weights.
        weights: u64,
        /// Bytes of device memory there were.
        free: u64,
    },
    /// This device cannot be used any more, and another one, or the CPU for all, goes on elsewhere.
    #[error("GPU {0} cannot be used until the node is started again")]
    Gone(i32),
    /// A fast tier has no device, and nothing else computes it.
    #[error("the {tier} tier needs a CUDA device that works: {reason}")]
    Alone {
        /// The tier.
        tier: Tier,
        /// What is wrong with the device.
        reason: String,
    },
    /// The device computes other bits than the committed vectors: serving would be a lie.
    #[error("self-test of the device failed at {0}")]
    SelfTest(String),
}

impl From<DeviceError> for BackendError {
    fn from(error: DeviceError) -> Self {
        Self::Failed(error.to_string())
    }
}

impl From<CudaError> for BackendError {
    fn from(error: CudaError) -> Self {
        match error {
            CudaError::Device(error) => error.into(),
            other => Self::Start(other.to_string()),
        }
    }
}
