// Memory of the emulated device, and, with TRIBUTARY_SHADOW, a record of who touched each byte of it.
//
// The kernels are compiled as for the thread sanitizer, whose hooks are defined here instead: each load and store is
// checked against the regions that were handed out, and against earlier accesses of the launch. Two accesses to a byte, one of
// them a write, are in order only if they are one thread's, or a barrier of the block, or of the warp, lies between them. Blocks
// are never in order. So a race is found whatever order the fibers happened to run in.
#include "runtime.h"
#include <algorithm>
#include <cstdlib>
#include <string>
#include <sys/mman.h>
#include <vector>
#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#endif

namespace emulator {

struct Region {
    const char* start;
    const char* end;
    bool constant;  // to kernels
    std::string name;
};

// An access packed in eight bytes; 0 is none.
typedef unsigned long long Access;

struct Cell {
    Access write, reads[2];
    unsigned long long launch;
};

struct Arena {
    char* base;
    size_t bytes;
    std::vector<Region> regions;
    Cell* cells;
};

static std::vector<Arena>& arenas() {
    static std::vector<Arena> all;
    return all;
}
static unsigned long long launches = 0;

void begin_launch() { launches++; }

#ifdef TRIBUTARY_SHADOW
static Access pack() {
    return 1ull << 63 | (Access)(now.block & 0xffffff) << 39 | (Access)(now.thread & 0x3ff) << 29 |
           (Access)(now.barriers & 0x3fff) << 15 | (now.warps[now.thread / 32] & 0x7fff);
}
static unsigned block_of(Access a) { return a >> 39 & 0xffffff; }
static unsigned thread_of(Access a) { return a >> 29 & 0x3ff; }

// Whether `before` is ordered before what the running thread does now.
static bool ordered(Access before, Access after) {
    if (block_of(before) != block_of(after)) return false;
    if (thread_of(before) == thread_of(after)) return true;
    if ((before >> 15 & 0x3fff) < (after >> 15 & 0x3fff)) return true;
    return thread_of(before) / 32 == thread_of(after) / 32 && (before & 0x7fff) < (after & 0x7fff);
}

static void race(const char* what, Access other, const std::string& name, size_t offset) {
    fail("%s %s at byte %zu, which block %u, thread %u touched with no barrier between", what, name.c_str(), offset, block_of(other),
         thread_of(other));
    give_up();
}

static void note(Cell& cell, bool write, bool shared, const std::string& name, size_t offset) {
    Access me = pack();
    if (cell.launch != launches || (shared && cell.write && block_of(cell.write) != now.block) ||
        (shared && cell.reads[0] && block_of(cell.reads[0]) != now.block)) {
        cell = {0, {0, 0}, launches};
    }
    if (shared && !write && !cell.write) {
        fail("reads shared memory at byte %zu that nobody wrote", offset);
        give_up();
    }
    if (cell.write && !ordered(cell.write, me)) race(write ? "writes" : "reads", cell.write, name, offset);
    if (write) {
        for (Access read : cell.reads) {
            if (read && !ordered(read, me)) race("writes", read, name, offset);
        }
        cell.write = me;
        cell.reads[0] = cell.reads[1] = 0;
        return;
    }
    for (Access& read : cell.reads) {
        if (!read || ordered(read, me)) {
            read = me;
            return;
        }
    }
    // Two readers are kept, of different blocks if there were such: a write has to be in order with both.
    if (block_of(cell.reads[0]) == block_of(cell.reads[1]) && block_of(me) != block_of(cell.reads[0])) cell.reads[1] = me;
}

extern "C" char __start_tributary_shared[] __attribute__((weak));
extern "C" char __stop_tributary_shared[] __attribute__((weak));

static void check(const void* address, size_t size, bool write) {
    if (on_stack(address)) return;
    const char* at = static_cast<const char*>(address);
    static const std::string shared = "shared memory";
    if (at >= __start_tributary_shared && at + size <= __stop_tributary_shared) {
        static std::vector<Cell> cells(__stop_tributary_shared - __start_tributary_shared, Cell{});
        for (size_t i = 0; i < size; i++) {
            size_t offset = at + i - __start_tributary_shared;
            note(cells[offset], write, true, shared, offset);
        }
        return;
    }
    if (reinterpret_cast<uintptr_t>(at) % size != 0) {
        fail("%zu bytes at %p are not aligned", size, address);
        give_up();
    }
    for (Arena& arena : arenas()) {
        if (at < arena.base || at >= arena.base + arena.bytes) continue;
        auto after = std::upper_bound(arena.regions.begin(), arena.regions.end(), at,
                                      [](const char* at, const Region& region) { return at < region.start; });
        if (after == arena.regions.begin() || at + size > (after - 1)->end) {
            fail("%s %zu bytes between regions, after %s", write ? "writes" : "reads", size,
                 after == arena.regions.begin() ? "the arena's start" : (after - 1)->name.c_str());
            give_up();
        }
        const Region& region = *(after - 1);
        if (write && region.constant) {
            fail("writes to %s", region.name.c_str());
            give_up();
        }
        if (region.constant) return;
        for (size_t i = 0; i < size; i++) {
            note(arena.cells[at + i - arena.base], write, false, region.name, at + i - region.start);
        }
        return;
    }
    if (!write && is_own(address)) return;
    fail("%s %zu bytes at %p, which nobody handed out", write ? "writes" : "reads", size, address);
    give_up();
}

// Atomics are in order among themselves.
void check_atomic(const void* address) {
    for (Arena& arena : arenas()) {
        const char* at = static_cast<const char*>(address);
        for (const Region& region : arena.regions) {
            if (at >= region.start && at + 4 <= region.end && !region.constant) return;
        }
    }
    fail("an atomic at %p, which nobody handed out", address);
    give_up();
}
#else
void check_atomic(const void*) {}
#endif

}  // namespace emulator

using namespace emulator;

// Memory in regions, the rest of it out of bounds. Filled with what no kernel may take for a number.
extern "C" void* emulator_alloc(unsigned long long bytes, unsigned count, const unsigned long long* starts,
                                const unsigned long long* sizes, const unsigned char* constant, const char* const* names) {
    Arena arena = {};
    arena.bytes = bytes;
    arena.base = static_cast<char*>(aligned_alloc(256, (bytes + 255) / 256 * 256));
    if (!arena.base) return nullptr;
    memset(arena.base, 0xff, bytes);
    for (unsigned i = 0; i < count; i++) {
        arena.regions.push_back({arena.base + starts[i], arena.base + starts[i] + sizes[i], constant[i] != 0, names[i]});
    }
#ifdef TRIBUTARY_SHADOW
    void* cells = mmap(nullptr, bytes * sizeof(Cell), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (cells == MAP_FAILED) return nullptr;
    arena.cells = static_cast<Cell*>(cells);
#endif
#if defined(__SANITIZE_ADDRESS__)
    __asan_poison_memory_region(arena.base, bytes);
    for (const Region& region : arena.regions) __asan_unpoison_memory_region(region.start, region.end - region.start);
#endif
    arenas().push_back(arena);
    return arena.base;
}

extern "C" void emulator_free(void* base) {
    auto& all = arenas();
    for (size_t i = 0; i < all.size(); i++) {
        if (all[i].base != base) continue;
#if defined(__SANITIZE_ADDRESS__)
        __asan_unpoison_memory_region(all[i].base, all[i].bytes);
#endif
        if (all[i].cells) munmap(all[i].cells, all[i].bytes * sizeof(Cell));
        free(all[i].base);
        all.erase(all.begin() + i);
        return;
    }
}

#ifdef TRIBUTARY_SHADOW
#define HOOK(size)                                                                                                     \
    extern "C" void __tsan_read##size(void* address) { check(address, size, false); }                                  \
    extern "C" void __tsan_write##size(void* address) { check(address, size, true); }                                  \
    extern "C" void __tsan_unaligned_read##size(void* address) { check(address, size, false); }                        \
    extern "C" void __tsan_unaligned_write##size(void* address) { check(address, size, true); }
HOOK(1)
HOOK(2)
HOOK(4)
HOOK(8)
HOOK(16)
extern "C" void __tsan_read_range(void* address, size_t size) {
    for (size_t i = 0; i < size; i++) check(static_cast<char*>(address) + i, 1, false);
}
extern "C" void __tsan_write_range(void* address, size_t size) {
    for (size_t i = 0; i < size; i++) check(static_cast<char*>(address) + i, 1, true);
}
extern "C" void __tsan_func_entry(void*) {}
extern "C" void __tsan_func_exit() {}
extern "C" void __tsan_init() {}
#endif
