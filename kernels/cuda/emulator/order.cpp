#include "order.h"

#include <utility>

#include "cuda.h"
#include "races.h"

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

void in_order(std::function<void()> launch, bool early) {
  std::function<void()> run = races::in_order(std::move(launch), early);
  // So that every launch of a long row is early at times.
  if (!early || !last || ++turns % 3 == 0) {
    run_out(last);
    last = std::move(run);
    return;
  }
  before = std::exchange(last, nullptr);
  try {
    run();
    // Nobody has waited for it.
    run_out(before);
  } catch (...) {
    before = nullptr;
    throw;
  }
}

void finish_launches() {
  run_out(last);
  races::ended();
}

void drop_launches() {
  last = before = nullptr;
  races::ended();
}

void await_launches() {
  run_out(before);
  races::waited();
}

}  // namespace millrace::emulator
