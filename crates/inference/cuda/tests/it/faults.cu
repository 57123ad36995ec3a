// Kernels with one fault each, for the test that the emulator's checker sees it; and two without any.
#include "intrinsics.cuh"

struct FaultParams {
    u64 words, constant;
    u32 count, pad;
};

KERNEL(fault_none, FaultParams, 128) {
    SHARED(u32, shared, 128);
    shared[threadIdx.x] = threadIdx.x;
    sync_block();
    at_mut<u32>(p.words)[blockIdx.x * 128 + threadIdx.x] = shared[127 - threadIdx.x];
}

// Lanes of a warp in turn, and marks that everybody sets.
KERNEL(fault_none_in_warps, FaultParams, 128) {
    SHARED(u32, shared, 128);
    shared[threadIdx.x] = threadIdx.x;
    sync_warp();
    u32 other = shared[threadIdx.x ^ 1];
    if (other != (threadIdx.x ^ 1)) at_mut<u32>(p.words)[blockIdx.x * 128 + threadIdx.x] = other;
    set_bits(at_mut<u32>(p.words), 1);
}

KERNEL(fault_no_barrier, FaultParams, 128) {
    SHARED(u32, shared, 128);
    shared[threadIdx.x] = threadIdx.x;
    at_mut<u32>(p.words)[blockIdx.x * 128 + threadIdx.x] = shared[127 - threadIdx.x];
}

// In order among a warp's lanes only.
KERNEL(fault_warp_barrier, FaultParams, 128) {
    SHARED(u32, shared, 128);
    shared[threadIdx.x] = threadIdx.x;
    sync_warp();
    at_mut<u32>(p.words)[blockIdx.x * 128 + threadIdx.x] = shared[threadIdx.x ^ 64];
}

KERNEL(fault_write_after_read, FaultParams, 128) {
    SHARED(u32, shared, 128);
    shared[threadIdx.x] = threadIdx.x;
    sync_block();
    if (threadIdx.x < 64) {
        u32 value = shared[threadIdx.x + 64];
        if (value == 200) set_bits(at_mut<u32>(p.words), 1);
    } else {
        shared[threadIdx.x] = 1;
    }
}

KERNEL(fault_blocks, FaultParams, 128) {
    if (threadIdx.x == 0) at_mut<u32>(p.words)[0] = blockIdx.x;
}

KERNEL(fault_one_byte, FaultParams, 128) {
    at_mut<i8>(p.words)[threadIdx.x / 2] = 1;
}

KERNEL(fault_outside, FaultParams, 128) {
    u32 value = at<u32>(p.words)[p.count + threadIdx.x];
    if (value == 7) at_mut<u32>(p.words)[0] = value;
}

KERNEL(fault_constant, FaultParams, 128) {
    at_mut<u32>(p.constant)[threadIdx.x] = 0;
}

KERNEL(fault_unaligned, FaultParams, 128) {
    at_mut<u32>(p.words + 2)[threadIdx.x] = 0;
}

KERNEL(fault_nowhere, FaultParams, 128) {
    at_mut<u32>(64)[threadIdx.x] = 0;
}

KERNEL(fault_unwritten, FaultParams, 128) {
    SHARED(u32, shared, 128);
    at_mut<u32>(p.words)[blockIdx.x * 128 + threadIdx.x] = shared[threadIdx.x];
}

KERNEL(fault_part_ways, FaultParams, 128) {
    if (threadIdx.x % 32 < 31) exchange_xor(threadIdx.x, 1);
}

KERNEL(fault_missed_barrier, FaultParams, 128) {
    if (threadIdx.x < 96) sync_block();
}
