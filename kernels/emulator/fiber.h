// Switching stacks: a few instructions where we know them, ucontext elsewhere.
#pragma once
#include <cstddef>
#include <cstdint>
#include <sys/mman.h>
#if !defined(__x86_64__)
#include <ucontext.h>
#endif
#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/common_interface_defs.h>
#endif

namespace emulator {

struct Fiber {
    char* stack = nullptr;
    size_t size = 0;
#if defined(__x86_64__)
    void* sp = nullptr;
#else
    ucontext_t context;
#endif
    void* fake = nullptr;  // the address sanitizer's
    const void* bottom = nullptr;
};

#if defined(__x86_64__)
extern "C" void emulator_switch(void** from, void* to);
asm(R"(
.text
.globl emulator_switch
.hidden emulator_switch
.type emulator_switch, @function
emulator_switch:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret
.size emulator_switch, .-emulator_switch
)");
#endif

inline void prepare(Fiber& fiber, size_t size, void (*entry)()) {
    if (!fiber.stack) {
        void* memory = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        fiber.stack = memory == MAP_FAILED ? nullptr : static_cast<char*>(memory);
        fiber.size = size;
    }
    fiber.fake = nullptr;
    fiber.bottom = fiber.stack;
#if defined(__x86_64__)
    // As if `entry` had been called: the stack is 16-byte aligned before the return address.
    uintptr_t top = reinterpret_cast<uintptr_t>(fiber.stack + fiber.size) & ~static_cast<uintptr_t>(15);
    void** sp = reinterpret_cast<void**>(top - 8);
    *sp-- = nullptr;
    *sp = reinterpret_cast<void*>(entry);
    for (int i = 0; i < 6; i++) *--sp = nullptr;
    fiber.sp = sp;
#else
    getcontext(&fiber.context);
    fiber.context.uc_stack.ss_sp = fiber.stack;
    fiber.context.uc_stack.ss_size = fiber.size;
    fiber.context.uc_link = nullptr;
    makecontext(&fiber.context, entry, 0);
#endif
}

// Goes on with `to`; comes back when somebody goes on with `from`.
inline void resume(Fiber& from, Fiber& to) {
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_start_switch_fiber(&from.fake, to.bottom, to.size);
#endif
#if defined(__x86_64__)
    emulator_switch(&from.sp, to.sp);
#else
    swapcontext(&from.context, &to.context);
#endif
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_finish_switch_fiber(from.fake, nullptr, nullptr);
#endif
}

}  // namespace emulator
