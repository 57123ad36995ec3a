//! The kernels' sources, part of the binary.

use sha2::{Digest, Sha256};

/// A file: its name and text.
pub type Source = (&'static str, &'static str);

macro_rules! source {
    ($name:literal) => {
        ($name, include_str!(concat!("../../../../kernels/", $name)))
    };
}

/// What is compiled, each a module of its own.
pub const SOURCES: [Source; 7] = [
    source!("elementwise.cu"),
    source!("linear.cu"),
    source!("attention.cu"),
    source!("fast.cu"),
    source!("fast_attention.cu"),
    source!("fast8.cu"),
    source!("choose.cu"),
];

/// What they include.
pub const HEADERS: [Source; 6] = [
    source!("intrinsics.cuh"),
    source!("params.cuh"),
    source!("profile.cuh"),
    source!("jobs.cuh"),
    source!("linear.cuh"),
    source!("fast.cuh"),
];

/// Flags of the profile: no contraction, subnormals kept, division and roots correctly rounded.
pub const OPTIONS: [&str; 5] =
    ["--std=c++17", "--fmad=false", "--ftz=false", "--prec-div=true", "--prec-sqrt=true"];

/// For compilers that know it, which is from NVRTC 13 on. It changes no code.
pub const NO_WARNINGS: &str = "-Werror=all-warnings";

/// SHA-256 of everything that a compiled source depends on, but architecture and compiler.
pub fn digest(source: &Source) -> [u8; 32] {
    let mut hash = Sha256::new();
    let files = std::iter::once(source).chain(&HEADERS).flat_map(|(name, text)| [*name, *text]);
    for part in files.chain(OPTIONS) {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    hash.finalize().into()
}
