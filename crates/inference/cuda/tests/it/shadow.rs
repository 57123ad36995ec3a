//! The emulator's checker sees what it is there for, and the parameters are laid out as the compiler has them.

use crate::emulator::{Watch, allocate, compiled, launch, library, params_size};
use libloading::Library;
use std::path::Path;
use tributary_cuda::{
    launch::{Kernel, Launch, params::STRUCTS},
    plan::Region,
};

/// Words of the region that faulty kernels may write.
const COUNT: u32 = 256;

pub(crate) fn faults(watch: Watch) -> Library {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/faults.cu");
    compiled(watch, &[source])
}

pub(crate) fn run(library: &Library, kernel: &str, blocks: u32) -> Result<(), String> {
    let bytes = u64::from(COUNT) * 4;
    let region = |name, offset, constant| Region { name, offset, bytes, constant };
    let base = allocate(library, &[region("words", 0, false), region("constant", 4096, true)], 8192);
    let mut params = Vec::new();
    params.extend(base.to_le_bytes());
    params.extend((base + 4096).to_le_bytes());
    params.extend(COUNT.to_le_bytes());
    params.extend(0u32.to_le_bytes());
    // The kernel is named beside; the launch only carries sizes.
    let sizes = Launch { kernel: Kernel::Expand, grid: [blocks, 1, 1], threads: 128, params };
    launch(library, kernel, &sizes, false)
}

#[test]
fn every_fault_is_seen_and_nothing_else() {
    let library = faults(Watch::Shadow);
    assert_eq!(run(&library, "fault_none", 2), Ok(()));
    assert_eq!(run(&library, "fault_none_in_warps", 2), Ok(()));
    let cases = [
        ("fault_no_barrier", 1, "reads shared memory"),
        ("fault_warp_barrier", 1, "reads shared memory"),
        ("fault_write_after_read", 1, "writes shared memory"),
        ("fault_blocks", 2, "writes words at byte 0, which block 0, thread 0 touched"),
        ("fault_one_byte", 1, "writes words at byte 0"),
        ("fault_outside", 1, "between regions, after words"),
        ("fault_constant", 1, "writes to constant"),
        ("fault_unaligned", 1, "not aligned"),
        ("fault_nowhere", 1, "nobody handed out"),
        ("fault_unwritten", 1, "that nobody wrote"),
        ("fault_part_ways", 1, "part ways"),
        ("fault_missed_barrier", 1, "96 of 128 threads"),
        ("fault_that_is_not_there", 1, "no kernel"),
    ];
    for (kernel, blocks, what) in cases {
        let found = run(&library, kernel, blocks).unwrap_err();
        assert!(found.contains(what), "{kernel}: {found}");
    }
    assert_eq!(run(&library, "fault_blocks", 1), Ok(()), "one block alone races with nobody");
    assert_eq!(run(&library, "fault_none", 2), Ok(()), "a fault leaves nothing behind");
}

#[test]
fn parameters_have_the_compilers_sizes() {
    let library = library(Watch::Shadow);
    for kernel in Kernel::ALL {
        let name = match kernel {
            Kernel::EmbedTokens | Kernel::FastEmbed => "EmbedParams",
            Kernel::RmsNorm | Kernel::FastNorm => "NormParams",
            Kernel::Linear1
            | Kernel::Linear2
            | Kernel::Linear4
            | Kernel::LinearWide
            | Kernel::FastLinear1
            | Kernel::FastLinear2
            | Kernel::FastLinear4
            | Kernel::FastLinearWide
            | Kernel::Fast8Linear1
            | Kernel::Fast8Linear2
            | Kernel::Fast8Linear4
            | Kernel::Fast8LinearWide => "LinearParams",
            Kernel::Expand | Kernel::FastExpand => "ExpandParams",
            Kernel::Rotate | Kernel::FastRotate => "RotateParams",
            Kernel::AttendScores
            | Kernel::AttendValues
            | Kernel::AttendCombine
            | Kernel::AttendTile
            | Kernel::FastAttendSplit
            | Kernel::FastAttendCombine
            | Kernel::FastAttendTile => "AttendParams",
            Kernel::Activate | Kernel::FastActivate | Kernel::Fast8Quantize => "ActivateParams",
            Kernel::ChooseTokens => "ChooseParams",
            Kernel::Exponentials | Kernel::QuantizeBlocks => "VectorParams",
        };
        let fields = STRUCTS.iter().find(|(other, _)| *other == name).unwrap().1;
        let bytes: usize = fields.iter().map(|field| field.1).sum();
        assert_eq!(params_size(library, kernel.name()) as usize, bytes, "{}", kernel.name());
    }
}
