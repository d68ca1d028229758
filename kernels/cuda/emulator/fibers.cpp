#include "fibers.h"

#include "races.h"

// gcc says it by a macro, clang by a feature.
#if defined(__has_feature)
#if __has_feature(address_sanitizer) && !defined(__SANITIZE_ADDRESS__)
#define __SANITIZE_ADDRESS__ 1
#endif
#endif

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

#if defined(__x86_64__)
// Keeps what a called function must keep on the stack, and changes it.
asm(R"(
.text
.p2align 4
.type millrace_change_stack, @function
millrace_change_stack:
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
.size millrace_change_stack, .-millrace_change_stack
)");
extern "C" void millrace_change_stack(void** from, void* to);
#endif

namespace millrace::emulator {
namespace {

#if defined(__SANITIZE_ADDRESS__)
// Frames are larger then.
constexpr size_t kStackBytes = 512 << 10;
constexpr size_t kEntryBytes = 8 << 10;
#elif MR_RACES
// What is said of a race is put together there.
constexpr size_t kStackBytes = 256 << 10;
#else
constexpr size_t kStackBytes = 128 << 10;
#endif

}  // namespace

void Fiber::start(void (*entry)()) {
  if (!stack_) stack_ = std::make_unique_for_overwrite<uint8_t[]>(kStackBytes);
  bottom_ = stack_.get();
  bytes_ = kStackBytes;
#if defined(__SANITIZE_ADDRESS__)
  // The frames that were left for good, those of the entry, have marked what lies around their variables.
  __asan_unpoison_memory_region(stack_.get() + kStackBytes - kEntryBytes, kEntryBytes);
  fake_ = nullptr;
#endif
#if defined(__x86_64__)
  auto end = reinterpret_cast<uintptr_t>(stack_.get() + kStackBytes) & ~uintptr_t{15};
  auto* words = reinterpret_cast<void**>(end) - 8;
  for (int i = 0; i < 6; i++) words[i] = nullptr;
  words[6] = reinterpret_cast<void*>(entry);
  words[7] = nullptr;
  top_ = words;
#else
  getcontext(&context_);
  context_.uc_stack.ss_sp = stack_.get();
  context_.uc_stack.ss_size = kStackBytes;
  context_.uc_link = nullptr;
  makecontext(&context_, entry, 0);
#endif
}

size_t Fiber::stack_bytes() { return kStackBytes; }

void Fiber::change(Fiber& from, Fiber& to) {
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_start_switch_fiber(&from.fake_, to.bottom_, to.bytes_);
#endif
#if defined(__x86_64__)
  millrace_change_stack(&from.top_, to.top_);
#else
  swapcontext(&from.context_, &to.context_);
#endif
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(from.fake_, nullptr, nullptr);
#endif
}

void Fiber::leave([[maybe_unused]] Fiber& from, Fiber& to) {
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_start_switch_fiber(nullptr, to.bottom_, to.bytes_);
#endif
#if defined(__x86_64__)
  millrace_change_stack(&from.top_, to.top_);
#else
  setcontext(&to.context_);
#endif
  __builtin_unreachable();
}

void Fiber::entered([[maybe_unused]] Fiber& self, [[maybe_unused]] Fiber& from) {
#if defined(__SANITIZE_ADDRESS__)
  const void* bottom = nullptr;
  size_t bytes = 0;
  __sanitizer_finish_switch_fiber(self.fake_, &bottom, &bytes);
  if (!from.bottom_) {
    from.bottom_ = bottom;
    from.bytes_ = bytes;
  }
#endif
}

}  // namespace millrace::emulator
