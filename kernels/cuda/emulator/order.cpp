#include "order.h"

#include <utility>

#include "cuda.h"

namespace millrace::emulator {
namespace {

// The launch that is still to run, and the one that the running kernel has begun before.
thread_local std::function<void()> last, before;
thread_local unsigned turns = 0;

void run_out(std::function<void()>& launch) {
  if (!launch) return;
  const std::function<void()> run = std::exchange(launch, nullptr);
  run();
}

}  // namespace

void in_order(std::function<void()> run, bool early) {
  // So that every launch of a long row is early at times.
  if (!early || !last || ++turns % 3 == 0) {
    finish_launches();
    last = std::move(run);
    return;
  }
  before = std::exchange(last, nullptr);
  try {
    run();
    // Nobody has waited for it.
    await_launches();
  } catch (...) {
    before = nullptr;
    throw;
  }
}

void finish_launches() { run_out(last); }

void drop_launches() { last = before = nullptr; }

void await_launches() { run_out(before); }

}  // namespace millrace::emulator
