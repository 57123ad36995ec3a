//! What only a machine with a GPU can say: `check` holds the device against the definition and the CPU, `bench` measures it beside its
//! bound. Without a GPU both say so and fail.

mod bench;
mod check;
#[path = "../../tests/it/company.rs"]
mod company;
mod fast;
#[path = "../../tests/it/floats.rs"]
mod floats;
#[path = "../../tests/it/model.rs"]
mod model;

use std::{path::PathBuf, process::ExitCode};
use tributary_cuda::{CudaDevice, DeviceError, Tier};

/// What both end with.
type Outcome = Result<(), Box<dyn std::error::Error>>;

/// The device named by `TRIBUTARY_GPU`, or the first.
fn open(tier: Tier) -> Result<CudaDevice, DeviceError> {
    let ordinal = std::env::var("TRIBUTARY_GPU").ok().and_then(|text| text.parse().ok()).unwrap_or(0);
    let nvrtc = std::env::var_os("TRIBUTARY_NVRTC").map(PathBuf::from);
    CudaDevice::open(ordinal, nvrtc.as_deref(), None, tier)
}

fn main() -> ExitCode {
    let what = std::env::args().nth(1).unwrap_or_default();
    let run = match what.as_str() {
        "check" => || check::run().and_then(|()| fast::run()),
        "bench" => bench::run,
        _ => {
            eprintln!("usage: gpu check | bench");
            return ExitCode::from(2);
        }
    };
    if let Err(error) = open(Tier::Deterministic) {
        eprintln!("no GPU to {what}, so nothing was done: {error}");
        return ExitCode::FAILURE;
    }
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{what} failed: {error}");
            ExitCode::FAILURE
        }
    }
}
