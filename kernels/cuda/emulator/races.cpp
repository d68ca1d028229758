#include "races.h"

#if MR_RACES

#include <algorithm>
#include <cstdio>
#include <utility>
#include <vector>

#include "block.h"
#include "clocks.h"
#include "error.h"
#include "fibers.h"
#include "shadow.h"

namespace millrace::emulator::races {
namespace {

// A launch by its number. All up to `start` have ended before it begins.
struct Launch {
  uint32_t number = 0, start = 0;
  bool early = false;
  // Whether a thread has waited for the one before, and whether all before had ended then and not that one alone.
  bool waited = false, whole = true;
  std::shared_ptr<Launch> before;
};

// Of the host's thread. The last launch that others may begin beside, and the one that runs.
struct Host {
  uint32_t launches = 0;
  std::shared_ptr<Launch> last, current;
  Shadow shadow;
};
Host& host() {
  thread_local Host of_thread;
  return of_thread;
}

std::shared_ptr<Launch> next_launch(bool early) {
  auto launch = std::make_shared<Launch>();
  launch->number = ++host().launches;
  launch->early = early && host().last;
  launch->start = launch->early ? host().last->start : launch->number - 1;
  if (launch->early) {
    launch->whole = false;
    launch->before = host().last;
  }
  return launch;
}

// Whoever runs.
struct Running {
  Watch* watch = nullptr;
  const Thread* thread = nullptr;
  const uint8_t* stack = nullptr;
  bool quiet = false;
};
thread_local Running running;

}  // namespace

class Watch {
 public:
  void begin(uint32_t block, int threads, const uint8_t* shared, size_t shared_bytes) {
    launch_ = host().current;
    if (!launch_) {
      // A grid that the host runs by itself, and waits for.
      if (block == 0 || !own_) own_ = next_launch(false);
      launch_ = own_;
      host().last = nullptr;
    }
    if (!launch_->early && block == 0 && !running.watch) shadow_.forget();
    block_ = block;
    number_ = launch_->number;
    clocks_.begin(threads);
    shared_ = shared;
    if (cells_.size() < shared_bytes / 8 + 1) cells_.resize(shared_bytes / 8 + 1);
    shared_bytes_ = shared_bytes;
    faulted_ = false;
  }

  Clocks& clocks() { return clocks_; }

  void wait(int thread) {
    clocks_.wait(thread);
    if (launch_->waited) return;
    launch_->waited = true;
    if (!launch_->before) return;
    const Launch& before = *launch_->before;
    launch_->whole = (!before.early || before.waited) && before.whole;
    launch_->before = nullptr;
  }

  void touch(uintptr_t at, size_t bytes, Kind kind, const void* where) {
    const bool shared = at - reinterpret_cast<uintptr_t>(shared_) < shared_bytes_;
    while (bytes > 0) {
      const size_t skipped = at % 8, count = bytes < 8 - skipped ? bytes : 8 - skipped;
      Cell& cell = shared ? cells_[(at - reinterpret_cast<uintptr_t>(shared_)) / 8] : shadow_.at(at);
      touch_cell(cell, static_cast<uint8_t>(((1u << count) - 1) << skipped), kind, shared, at, where);
      at += count;
      bytes -= count;
    }
  }

 private:
  void touch_cell(Cell& cell, uint8_t bytes, Kind kind, bool shared, uintptr_t at, const void* where) {
    const Thread& thread = *running.thread;
    const Mark mine{where, number_, block_, clocks_.epoch(), clocks_.time(thread.number), 1u << thread.lane, static_cast<uint16_t>(thread.number / kWarpThreads), bytes, kind};
    if (cell.count() == 1 && says(cell[0], mine)) return;
    for (uint32_t i = 0; i < cell.count();) {
      const Mark& m = cell[i];
      if (shared ? m.launch != mine.launch || m.block != mine.block : m.launch <= launch_->start) {
        cell.remove(i);
        continue;
      }
      if ((m.bytes & bytes) != 0 && (m.kind != kind || kind == Kind::kWrite)) {
        if (!comes_before(m, thread)) {
          report(m, mine, shared, at);
        } else if (kind == Kind::kWrite && (m.bytes & ~bytes) == 0) {
          // Who is beside it is beside this one too.
          cell.remove(i);
          continue;
        }
      }
      i++;
    }
    if (!join(cell, mine)) cell.add(mine);
  }

  // The most frequent: the only mark is of the same warp's threads, or of many blocks.
  static bool says(Mark& m, const Mark& mine) {
    if (m.kind != mine.kind || m.bytes != mine.bytes || m.launch != mine.launch) return false;
    if (m.block == kManyBlocks) return true;
    if (m.block != mine.block || m.epoch != mine.epoch || m.warp != mine.warp || m.clock != mine.clock) return false;
    if (mine.kind == Kind::kWrite) return m.lanes == mine.lanes;
    m.lanes |= mine.lanes;
    return true;
  }

  // Whether a mark says all that `mine` says, or can.
  bool join(Cell& cell, const Mark& mine) {
    for (uint32_t i = 0; i < cell.count(); i++) {
      Mark& m = cell[i];
      if (m.kind != mine.kind || m.bytes != mine.bytes || m.launch != mine.launch) continue;
      if (m.block != mine.block) {
        if (mine.kind == Kind::kWrite) continue;
        m.block = kManyBlocks;
        return true;
      }
      if (m.epoch < mine.epoch) {
        m = mine;
        return true;
      }
      if (m.warp != mine.warp) continue;
      if (m.clock == mine.clock) {
        m.lanes |= mine.lanes;
        return true;
      }
      if (m.lanes == mine.lanes) {
        m = mine;
        return true;
      }
    }
    return false;
  }

  bool comes_before(const Mark& m, const Thread& thread) {
    if (m.launch != launch_->number) {
      return m.launch <= launch_->start || (clocks_.waited(thread.number) && (launch_->whole ? m.launch < launch_->number : m.launch + 1 == launch_->number));
    }
    if (m.block != block_) return false;
    if (m.epoch < clocks_.epoch()) return true;
    for (int lane = 0; lane < kWarpThreads; lane++) {
      const int other = m.warp * kWarpThreads + lane;
      if ((m.lanes >> lane & 1) != 0 && other != thread.number && !clocks_.knows(thread.number, other, m.clock)) return false;
    }
    return true;
  }

  void report(const Mark& m, const Mark& mine, bool shared, uintptr_t at) {
    // The first ends the kernel; else each is told once.
    const auto pair = std::make_pair(m.where, mine.where);
    if (faulted_ || std::find(reported_.begin(), reported_.end(), pair) != reported_.end()) return;
    constexpr const char* kVerbs[3][2] = {{"reads", "read"}, {"writes", "wrote"}, {"changes", "changed"}};
    std::string who = m.launch != mine.launch ? "a launch beside it" : m.block == kManyBlocks ? "other blocks" : m.block != mine.block ? "block " + std::to_string(m.block) : "";
    if (who.empty()) {
      int lane = 0;
      while (lane < kWarpThreads - 1 && ((m.lanes >> lane & 1) == 0 || m.warp * kWarpThreads + lane == running.thread->number || clocks_.knows(running.thread->number, m.warp * kWarpThreads + lane, m.clock))) lane++;
      who = "thread " + std::to_string(m.warp * kWarpThreads + lane);
    }
    char place[40];
    std::snprintf(place, sizeof place, shared ? "%zu of shared memory" : "%#zx", static_cast<size_t>(shared ? at - reinterpret_cast<uintptr_t>(shared_) : at));
    const bool goes_on = race("a race: thread " + std::to_string(running.thread->number) + " of block " + std::to_string(mine.block) + " " + kVerbs[static_cast<int>(mine.kind)][0] + " byte " + place + " at " + place_of(mine.where) +
         "; " + who + " " + kVerbs[static_cast<int>(m.kind)][1] + " it at " + place_of(m.where) + ", and nothing orders the two");
    if (goes_on) reported_.push_back(pair);
    faulted_ = !goes_on;
  }

  std::shared_ptr<Launch> launch_, own_;
  Clocks clocks_;
  std::vector<Cell> cells_;
  std::vector<std::pair<const void*, const void*>> reported_;
  const uint8_t* shared_ = nullptr;
  size_t shared_bytes_ = 0;
  Shadow& shadow_ = host().shadow;
  uint32_t block_ = 0, number_ = 0;
  bool faulted_ = false;
};

void Drop::operator()(Watch* watch) const { delete watch; }
WatchPointer watch() { return WatchPointer(new Watch); }

void begin(Watch* watch, uint32_t block, int threads, const uint8_t* shared, size_t shared_bytes) { watch->begin(block, threads, shared, shared_bytes); }

void runs(Watch* watch, const Thread* thread, const Fiber* fiber) { running = {watch, thread, fiber ? fiber->stack() : nullptr, false}; }

void touch(const void* at, size_t bytes, Kind kind, const void* where) {
  const Running& now = running;
  if (!now.watch || static_cast<size_t>(static_cast<const uint8_t*>(at) - now.stack) < Fiber::stack_bytes()) return;
  now.watch->touch(reinterpret_cast<uintptr_t>(at), bytes, kind, where);
}

void reported(const void* at, size_t bytes, Kind kind, const void* where) {
  if (running.quiet) return;
  running.quiet = true;
  touch(at, bytes, kind, where);
  running.quiet = false;
}

Quiet::Quiet() : before_(std::exchange(running.quiet, true)) {}
Quiet::~Quiet() { running.quiet = before_; }

// Containers are the emulator's, wherever the compiler has made their functions.
void block_met() {
  const Quiet quiet;
  running.watch->clocks().block_met();
}
void warp_met() {
  const Quiet quiet;
  running.watch->clocks().warp_met(running.thread->number);
}
void release(const void* barrier) {
  const Quiet quiet;
  running.watch->clocks().release(running.thread->number, barrier);
}
void complete(const void* barrier, bool keeps) {
  const Quiet quiet;
  running.watch->clocks().complete(barrier, keeps);
}
void acquire(const void* barrier) {
  const Quiet quiet;
  running.watch->clocks().acquire(running.thread->number, barrier);
}

std::function<void()> in_order(std::function<void()> run, bool early) {
  std::shared_ptr<Launch> launch = next_launch(early);
  host().last = launch;
  return [launch = std::move(launch), run = std::move(run)] {
    struct Current {
      std::shared_ptr<Launch> outer;
      ~Current() {
        host().current->before = nullptr;
        host().current = std::move(outer);
      }
    } current{std::exchange(host().current, launch)};
    run();
  };
}

void ended() { host().last = nullptr; }

void waited() { running.watch->wait(running.thread->number); }

}  // namespace millrace::emulator::races

#endif
