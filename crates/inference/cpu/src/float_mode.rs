//! The floating-point mode the profile needs: rounding to nearest, subnormals kept.

use crate::CpuError;

/// Sticky exception flags, which say nothing about the mode.
#[cfg(target_arch = "x86_64")]
const FLAGS: u32 = 0x3f;
/// MXCSR of a fresh thread.
#[cfg(target_arch = "x86_64")]
const DEFAULT: u32 = 0x1f80;

/// Checks the calling thread's mode.
#[cfg(target_arch = "x86_64")]
pub(crate) fn check() -> Result<(), CpuError> {
    let mut register = 0u32;
    // SAFETY: stores the control register to four bytes that this function owns.
    unsafe {
        std::arch::asm!("stmxcsr [{}]", in(reg) &raw mut register, options(nostack, preserves_flags));
    }
    if register & !FLAGS == DEFAULT { Ok(()) } else { Err(CpuError::FloatMode(register)) }
}

/// Checks the calling thread's mode. Other architectures start threads in the default mode, which Rust requires.
#[cfg(not(target_arch = "x86_64"))]
pub(crate) fn check() -> Result<(), CpuError> {
    Ok(())
}
