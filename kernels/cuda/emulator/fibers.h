// Fibres: stacks of their own between which a thread switches by itself.
#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>

#if !defined(__x86_64__)
#include <ucontext.h>
#endif

namespace millrace::emulator {

// Where a fibre or the thread that runs fibres left off. Not to be moved while it runs.
class Fiber {
 public:
  Fiber() = default;
  Fiber(const Fiber&) = delete;
  Fiber& operator=(const Fiber&) = delete;

  // Makes it begin with `entry`, which must not return, at the next switch to it. The stack is used again.
  void start(void (*entry)());

  // Leaves `from`, which is running, for `to`; returns when somebody switches back.
  static void change(Fiber& from, Fiber& to);

  // Leaves `from`, which has ended, for `to`.
  [[noreturn]] static void leave(Fiber& from, Fiber& to);

  // Where its stack lies is to be learnt anew: it is another's than before.
  void forget() { bottom_ = nullptr; }

  const uint8_t* stack() const { return stack_.get(); }
  static size_t stack_bytes();

  // To be called first by an entry: tells the address sanitizer that the switch is over.
  static void entered(Fiber& self, Fiber& from);

 private:
  std::unique_ptr<uint8_t[]> stack_;
#if defined(__x86_64__)
  void* top_ = nullptr;
#else
  ucontext_t context_;
#endif
  const void* bottom_ = nullptr;
  size_t bytes_ = 0;
  void* fake_ = nullptr;
};

}  // namespace millrace::emulator
