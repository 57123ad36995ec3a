// Between the scheduler and the checker.
#pragma once
#include "cuda_types.h"


namespace emulator {

// When: what is ordered before what.
struct Now {
    unsigned block, thread, barriers, warps[32];
};
extern Now now;

void fail(const char* format, ...) __attribute__((format(printf, 1, 2)));
// Leaves the running thread for good.
void give_up();
bool on_stack(const void* address);
// Parameters and indices, which anybody may read.
bool is_own(const void* address);

void begin_launch();
void check_atomic(const void* address);

}  // namespace emulator
