// Runs kernels on the CPU: one block after the other, a fiber for each thread, warps in turn between barriers.
//
// What hardware would leave undefined is an error here: lanes of a warp that part ways before they exchange something, threads
// that miss a barrier. With TRIBUTARY_SHADOW, every access goes through shadow.cpp as well.
#include "runtime.h"
#include "fiber.h"
#include <cmath>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <new>

emulator::Index threadIdx, blockIdx, blockDim;

namespace emulator {

static Kernel* kernels = nullptr;

Kernel::Kernel(const char* name, size_t params, unsigned threads, void (*body)(const void*))
    : name(name), params(params), threads(threads), body(body), next(kernels) {
    kernels = this;
}

enum class State { ready, collective, barrier, done };

struct Lane {
    Fiber fiber;
    State state;
    Collective which;
    unsigned a[4], b[2], d[4];
    float c[4];
    int mask;
};

static const unsigned MOST_THREADS = 1024;
static const size_t STACK = 256 << 10;
static Lane lanes[MOST_THREADS];
static Fiber scheduler;
static unsigned current;
static const Kernel* kernel;
alignas(16) static char params[4096];
Now now;
static char failure[512];
static bool failed;

void fail(const char* format, ...) {
    if (failed) return;
    failed = true;
    char what[384];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(what, sizeof what, format, arguments);
    va_end(arguments);
    snprintf(failure, sizeof failure, "%s, block (%u, %u, %u), thread %u: %s", kernel ? kernel->name : "?", blockIdx.x, blockIdx.y,
             blockIdx.z, current, what);
}

// Back to the scheduler, until it goes on with this lane.
static void pause(State state) {
    Lane& lane = lanes[current];
    lane.state = state;
    resume(lane.fiber, scheduler);
}

void give_up() {
    for (;;) pause(State::done);
}

static void lane_main() {
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_finish_switch_fiber(nullptr, &scheduler.bottom, &scheduler.size);
#endif
    kernel->body(params);
    for (;;) pause(State::done);
}

bool on_stack(const void* address) {
    const char* at = static_cast<const char*>(address);
    const Fiber& fiber = lanes[current].fiber;
    return at >= fiber.stack && at < fiber.stack + fiber.size;
}

bool is_own(const void* address) {
    const char* at = static_cast<const char*>(address);
    auto within = [at](const void* start, size_t size) {
        return at >= static_cast<const char*>(start) && at < static_cast<const char*>(start) + size;
    };
    return within(params, sizeof params) || within(&threadIdx, sizeof(Index)) || within(&blockIdx, sizeof(Index)) ||
           within(&blockDim, sizeof(Index));
}

static void run(unsigned index) {
    current = index;
    threadIdx = {index, 0, 0};
    now.thread = index;
    resume(scheduler, lanes[index].fiber);
}

unsigned exchange_xor(unsigned value, int mask) {
    unsigned me = current;
    lanes[me].which = Collective::exchange;
    lanes[me].a[0] = value;
    lanes[me].mask = mask;
    pause(State::collective);
    return lanes[me].d[0];
}

void sync_warp() {
    lanes[current].which = Collective::sync;
    pause(State::collective);
}

void sync_block() { pause(State::barrier); }

void set_bits(unsigned* word, unsigned bits) {
    check_atomic(word);
    *word |= bits;
}

void mma(Collective which, unsigned* d, const unsigned* a, int a_words, const unsigned* b, int b_words) {
    unsigned me = current;
    lanes[me].which = which;
    memcpy(lanes[me].a, a, a_words * 4);
    memcpy(lanes[me].b, b, b_words * 4);
    pause(State::collective);
    memcpy(d, lanes[me].d, 16);
}

void mma_add(Collective which, float* d, const unsigned* a, const unsigned* b) {
    Lane& lane = lanes[current];
    lane.which = which;
    memcpy(lane.a, a, sizeof lane.a);
    memcpy(lane.b, b, sizeof lane.b);
    memcpy(lane.c, d, sizeof lane.c);
    pause(State::collective);
    memcpy(d, lanes[current].d, sizeof lane.d);
}

static signed char byte_of(const unsigned* words, int index) {
    return static_cast<signed char>(words[index / 4] >> (index % 4 * 8));
}

// The shares of the lanes, from the tables of PTX's "matrix fragments for mma": lane = group · 4 + place.
static void multiply(Lane* warp, Collective which) {
    const int depth = which == Collective::mma_s8_32 ? 32 : 16;
    static signed char a[16][32], b[32][8];
    for (int lane = 0; lane < 32; lane++) {
        int group = lane / 4, place = lane % 4;
        for (int i = 0; i < depth / 2; i++) {
            a[group + (i / 4 % 2) * 8][place * 4 + i % 4 + i / 8 * 16] = byte_of(warp[lane].a, i);
        }
        for (int i = 0; i < depth / 4; i++) b[place * 4 + i % 4 + i / 4 * 16][group] = byte_of(warp[lane].b, i);
    }
    int product[16][8] = {};
    for (int row = 0; row < 16; row++) {
        for (int k = 0; k < depth; k++) {
            for (int column = 0; column < 8; column++) product[row][column] += a[row][k] * b[k][column];
        }
    }
    for (int lane = 0; lane < 32; lane++) {
        for (int i = 0; i < 4; i++) {
            memcpy(&warp[lane].d[i], &product[lane / 4 + i / 2 * 8][lane % 4 * 2 + i % 2], 4);
        }
    }
}

static double brain(unsigned half) {
    unsigned bits = half << 16;
    float value;
    memcpy(&value, &bits, 4);
    return value;
}

static double eight(unsigned byte) {
    unsigned exponent = byte >> 3 & 15, fraction = byte & 7;
    if ((byte & 0x7f) == 0x7f) return NAN;
    double value = exponent == 0 ? ldexp(fraction, -9) : ldexp(8 + fraction, static_cast<int>(exponent) - 10);
    return byte & 0x80 ? -value : value;
}

// Value `index` of a lane's words: two to a word of bf16, four of e4m3.
static double value_of(const unsigned* words, int index, Collective which) {
    return which == Collective::mma_brain ? brain(words[index / 2] >> (index % 2 * 16) & 0xffff)
                                          : eight(words[index / 4] >> (index % 4 * 8) & 0xff);
}

// The same tables for floats: a word of a lane is `each` values along k. Sums are double, rounded once: no hardware's, and the
// same for each column whatever the others hold, which is all that the kernels rest on.
static void multiply_floats(Lane* warp, Collective which) {
    const int each = which == Collective::mma_brain ? 2 : 4, depth = each * 8;
    static double a[16][32], b[32][8];
    for (int lane = 0; lane < 32; lane++) {
        int group = lane / 4, place = lane % 4;
        for (int i = 0; i < 4 * each; i++) {
            int word = i / each, k = place * each + i % each + word / 2 * 4 * each;
            a[group + word % 2 * 8][k] = value_of(warp[lane].a, i, which);
        }
        for (int i = 0; i < 2 * each; i++) {
            b[place * each + i % each + i / each * 4 * each][group] = value_of(warp[lane].b, i, which);
        }
    }
    for (int lane = 0; lane < 32; lane++) {
        for (int i = 0; i < 4; i++) {
            double sum = warp[lane].c[i];
            for (int k = 0; k < depth; k++) sum += a[lane / 4 + i / 2 * 8][k] * b[k][lane % 4 * 2 + i % 2];
            float result = static_cast<float>(sum);
            memcpy(&warp[lane].d[i], &result, 4);
        }
    }
}

// All 32 lanes have come to a collective.
static void together(Lane* warp, unsigned first) {
    for (unsigned lane = 0; lane < 32; lane++) {
        if (warp[lane].state != State::collective || warp[lane].which != warp[0].which) {
            current = first + lane;
            return fail("the warp's lanes part ways at an exchange");
        }
    }
    switch (warp[0].which) {
        case Collective::sync: now.warps[first / 32]++; break;
        case Collective::exchange:
            for (unsigned lane = 0; lane < 32; lane++) warp[lane].d[0] = warp[(lane ^ warp[lane].mask) % 32].a[0];
            break;
        case Collective::mma_brain:
        case Collective::mma_eight: multiply_floats(warp, warp[0].which); break;
        default: multiply(warp, warp[0].which);
    }
    for (unsigned lane = 0; lane < 32; lane++) warp[lane].state = State::ready;
}

// Runs a warp until each of its lanes is at a barrier or at its end.
static void run_warp(unsigned first, bool backwards) {
    for (;;) {
        bool any = false;
        for (unsigned i = 0; i < 32; i++) {
            unsigned index = first + (backwards ? 31 - i : i);
            if (lanes[index].state == State::ready) run(index);
            if (failed) return;
            any |= lanes[index].state == State::collective;
        }
        if (!any) return;
        together(lanes + first, first);
        if (failed) return;
    }
}

static void run_block(unsigned threads, bool backwards) {
    for (unsigned i = 0; i < threads; i++) {
        prepare(lanes[i].fiber, STACK, lane_main);
        lanes[i].state = State::ready;
    }
    for (;;) {
        unsigned warps = threads / 32;
        for (unsigned w = 0; w < warps && !failed; w++) run_warp((backwards ? warps - 1 - w : w) * 32, backwards);
        if (failed) return;
        unsigned waiting = 0;
        for (unsigned i = 0; i < threads; i++) waiting += lanes[i].state == State::barrier;
        if (waiting == 0) return;
        if (waiting < threads) return fail("only %u of %u threads come to a barrier", waiting, threads);
        now.barriers++;
        for (unsigned i = 0; i < threads; i++) lanes[i].state = State::ready;
    }
}

}  // namespace emulator

using namespace emulator;

// Bytes of a kernel's parameters, or 0 if there is no such kernel.
extern "C" unsigned emulator_params(const char* name) {
    for (Kernel* k = kernels; k; k = k->next) {
        if (strcmp(k->name, name) == 0) return static_cast<unsigned>(k->params);
    }
    return 0;
}

// 0, or 1 and what went wrong.
extern "C" int emulator_launch(const char* name, const unsigned* grid, unsigned threads, const void* given, unsigned size,
                               int backwards, char* error, unsigned room) {
    kernel = nullptr;
    failed = false;
    for (Kernel* k = kernels; k; k = k->next) {
        if (strcmp(k->name, name) == 0) kernel = k;
    }
    if (!kernel || kernel->params != size || size > sizeof params) {
        fail("no kernel %s of %u bytes of parameters", name, size);
    } else if (threads == 0 || threads % 32 != 0 || threads > kernel->threads) {
        fail("%u threads, of at most %u", threads, kernel->threads);
    } else {
        memcpy(params, given, size);
        blockDim = {threads, 1, 1};
        begin_launch();
        unsigned long long blocks = (unsigned long long)grid[0] * grid[1] * grid[2];
        for (unsigned long long i = 0; i < blocks && !failed; i++) {
            unsigned long long index = backwards ? blocks - 1 - i : i;
            blockIdx = {static_cast<unsigned>(index % grid[0]), static_cast<unsigned>(index / grid[0] % grid[1]),
                        static_cast<unsigned>(index / grid[0] / grid[1])};
            now.block = static_cast<unsigned>(index);
            now.barriers = 0;
            memset(now.warps, 0, sizeof now.warps);
            run_block(threads, backwards != 0);
        }
    }
    if (failed) snprintf(error, room, "%s", failure);
    return failed;
}
