#include "pool.h"

#include <pthread.h>
#include <sched.h>

#include <algorithm>
#include <chrono>
#include <utility>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace millrace {
namespace {

using Clock = std::chrono::steady_clock;
constexpr auto kSpin = std::chrono::microseconds(100);
// Looks at the clock once in so many turns.
constexpr int kTurns = 64;

void pause() {
#if defined(__x86_64__)
  _mm_pause();
#else
  std::this_thread::yield();
#endif
}

void pin_to(int index) {
#if defined(__linux__)
  cpu_set_t allowed;
  if (sched_getaffinity(0, sizeof allowed, &allowed) != 0) return;
  int left = index % std::max(1, CPU_COUNT(&allowed));
  for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
    if (CPU_ISSET(cpu, &allowed) && left-- == 0) {
      cpu_set_t one;
      CPU_ZERO(&one);
      CPU_SET(cpu, &one);
      pthread_setaffinity_np(pthread_self(), sizeof one, &one);
      return;
    }
  }
#else
  (void)index;
#endif
}

}  // namespace

FlushDenormals::FlushDenormals() {
#if defined(__x86_64__)
  before_ = _mm_getcsr();
  _mm_setcsr(before_ | 0x8040);
#endif
}

FlushDenormals::~FlushDenormals() {
#if defined(__x86_64__)
  _mm_setcsr(before_);
#endif
}

KeepDenormals::KeepDenormals() {
#if defined(__x86_64__)
  before_ = _mm_getcsr();
  _mm_setcsr(before_ & ~0x8040u);
#endif
}

KeepDenormals::~KeepDenormals() {
#if defined(__x86_64__)
  _mm_setcsr(before_);
#endif
}

Pool::Pool(int threads, bool pin) {
  try {
    for (int i = 1; i < threads; i++) {
      helpers_.emplace_back([this, i, pin] {
        if (pin) pin_to(i);
        FlushDenormals flush;
        help(i);
      });
#if defined(__linux__)
      pthread_setname_np(helpers_.back().native_handle(), ("kernels-" + std::to_string(i)).c_str());
#endif
    }
  } catch (...) {
    // A thread that the system refuses.
    close();
    throw;
  }
}

Pool::~Pool() { close(); }

void Pool::close() {
  closed_.store(true);
  wake_.fetch_add(1);
  wake_.notify_all();
  for (std::thread& helper : helpers_) helper.join();
}

// Does tasks of the job that is on until none is left. The ticket alone says whether a task was got, so a helper that comes late does no harm.
bool Pool::work(int thread) {
  bool any = false;
  for (;;) {
    uint64_t now = ticket_.load(std::memory_order_acquire);
    if ((now & kTaskMask) >= (now >> kTaskBits & kTaskMask)) return any;
    now = ticket_.fetch_add(1, std::memory_order_acq_rel);
    uint64_t task = now & kTaskMask;
    if (task >= (now >> kTaskBits & kTaskMask)) return any;
    try {
      call_(context_, static_cast<int>(task), thread);
    } catch (...) {
      keep_failure();
    }
    done_.fetch_add(1, std::memory_order_release);
    any = true;
  }
}

void Pool::keep_failure() {
  const std::lock_guard held(failure_lock_);
  failure_ = std::current_exception();
}

void Pool::share(int count, Call call, const void* context) {
  call_ = call;
  context_ = context;
  done_.store(0, std::memory_order_relaxed);
  jobs_++;
  ticket_.store(jobs_ << 2 * kTaskBits | static_cast<uint64_t>(count) << kTaskBits, std::memory_order_seq_cst);
  if (sleepers_.load(std::memory_order_seq_cst) > 0) {
    wake_.fetch_add(1);
    wake_.notify_all();
  }
  work(0);
  for (int turn = 0; done_.load(std::memory_order_acquire) < count; turn++) {
    if (turn > 20000) {
      sched_yield();
    } else {
      pause();
    }
  }
  if (failure_) std::rethrow_exception(std::exchange(failure_, nullptr));
}

void Pool::help(int thread) {
  while (!closed_.load(std::memory_order_relaxed)) {
    if (work(thread)) continue;
    Clock::time_point end = Clock::now() + kSpin;
    bool found = false;
    while (!found && Clock::now() < end) {
      for (int turn = 0; turn < kTurns && !found; turn++) {
        uint64_t now = ticket_.load(std::memory_order_acquire);
        found = (now & kTaskMask) < (now >> kTaskBits & kTaskMask);
        if (!found) pause();
      }
    }
    if (found) continue;
    uint32_t seen = wake_.load();
    sleepers_.fetch_add(1, std::memory_order_seq_cst);
    uint64_t now = ticket_.load(std::memory_order_seq_cst);
    if ((now & kTaskMask) >= (now >> kTaskBits & kTaskMask) && !closed_.load()) wake_.wait(seen);
    sleepers_.fetch_sub(1, std::memory_order_seq_cst);
  }
}

}  // namespace millrace
