// Vector clocks of a block's threads. After a barrier of the whole block all know everything, and clocks begin anew: an epoch.
#pragma once
#include <algorithm>
#include <cstdint>
#include <unordered_map>
#include <vector>

#include "block.h"

namespace millrace::emulator::races {

class Clocks {
 public:
  void begin(int threads) {
    if (threads_ != index(threads)) {
      threads_ = index(threads);
      times_.assign(threads_ * threads_, 0);
      wide_ = false;
    }
    begin_epoch();
    waited_.assign(threads_, 0);
    epoch_ = 1;
  }

  uint32_t epoch() const { return epoch_; }
  uint32_t time(int thread) { return of(index(thread))[thread]; }
  bool knows(int thread, int other, uint32_t time) { return of(index(thread))[other] >= time; }
  // Whether it, or somebody whom it comes after, has waited for the launches before.
  bool waited(int thread) const { return waited_[index(thread)] != 0; }
  void wait(int thread) { waited_[index(thread)] = 1; }

  void block_met() {
    epoch_++;
    begin_epoch();
    if (std::find(waited_.begin(), waited_.end(), 1) != waited_.end()) std::fill(waited_.begin(), waited_.end(), 1);
  }

  // Others than those of its warp are known only since a barrier that is not the block's.
  void warp_met(int thread) {
    const size_t first = index(thread) / kWarpThreads * kWarpThreads;
    const size_t from = wide_ ? 0 : first, to = wide_ ? threads_ : first + kWarpThreads;
    uint32_t* all = of(first);
    for (size_t t = first + 1; t < first + kWarpThreads; t++) {
      for (size_t i = from; i < to; i++) all[i] = std::max(all[i], of(t)[i]);
      waited_[first] = waited_[first] | waited_[t];
    }
    for (size_t t = first + 1; t < first + kWarpThreads; t++) {
      std::copy(all + from, all + to, of(t) + from);
      waited_[t] = waited_[first];
    }
    for (size_t t = first; t < first + kWarpThreads; t++) of(t)[t]++;
  }

  void release(int thread, const void* at) {
    wide_ = true;
    Barrier& barrier = barriers_[at];
    barrier.given.resize(threads_);
    const uint32_t* mine = of(index(thread));
    for (size_t i = 0; i < threads_; i++) barrier.given[i] = std::max(barrier.given[i], mine[i]);
    barrier.given_waited = barrier.given_waited | waited_[index(thread)];
    of(index(thread))[thread]++;
  }
  void complete(const void* at, bool keeps) {
    Barrier& barrier = barriers_[at];
    barrier.complete = barrier.given;
    barrier.waited = barrier.given_waited;
    if (keeps) return;
    std::fill(barrier.given.begin(), barrier.given.end(), 0);
    barrier.given_waited = 0;
  }
  void acquire(int thread, const void* at) {
    const auto found = barriers_.find(at);
    if (found == barriers_.end()) return;
    const std::vector<uint32_t>& all = found->second.complete;
    uint32_t* mine = of(index(thread));
    for (size_t i = 0; i < all.size(); i++) mine[i] = std::max(mine[i], all[i]);
    waited_[index(thread)] = waited_[index(thread)] | found->second.waited;
  }

 private:
  struct Barrier {
    std::vector<uint32_t> given, complete;
    uint8_t given_waited = 0, waited = 0;
  };

  void begin_epoch() {
    for (size_t t = 0; t < threads_; t++) {
      const size_t first = wide_ ? 0 : t / kWarpThreads * kWarpThreads, count = wide_ ? threads_ : kWarpThreads;
      std::fill_n(of(t) + first, count, 0);
      of(t)[t] = 1;
    }
    wide_ = false;
    barriers_.clear();
  }

  static size_t index(int thread) { return static_cast<size_t>(thread); }
  uint32_t* of(size_t thread) { return &times_[thread * threads_]; }

  // [thread][of whom it knows]
  std::vector<uint32_t> times_;
  std::vector<uint8_t> waited_;
  std::unordered_map<const void*, Barrier> barriers_;
  size_t threads_ = 0;
  uint32_t epoch_ = 0;
  bool wide_ = false;
};

}  // namespace millrace::emulator::races
