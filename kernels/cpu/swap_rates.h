// How fast blocks are swapped.
#pragma once
#include <algorithm>
#include <chrono>
#include <cstdint>

namespace millrace {

// Bytes a second to the pool on the host and back; 0: there is none, or nobody has measured.
struct SwapRates {
  double out = 0, in = 0;
};

// Bytes that are copied to find out: enough that beginning a copy does not count.
inline constexpr int64_t kMeasuredSwapBytes = 8 << 20;

// The fastest of a few times that `copy` takes for its bytes, as a rate; the first touches what was never touched, and wakes up a link.
template <class Copy>
double measured_rate(int64_t bytes, const Copy& copy) {
  constexpr int kTimes = 3;
  double best = 0;
  for (int i = 0; i < kTimes; i++) {
    const auto began = std::chrono::steady_clock::now();
    copy();
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - began;
    best = std::max(best, static_cast<double>(bytes) / std::max(seconds.count(), 1e-9));
  }
  return best;
}

// Of pools that hold so many bytes of a block each: what the whole block takes.
class SwapRateSum {
 public:
  void add(int64_t block_bytes, const SwapRates& rates) {
    bytes_ += static_cast<double>(block_bytes);
    out_s_ += static_cast<double>(block_bytes) / rates.out;
    in_s_ += static_cast<double>(block_bytes) / rates.in;
  }
  SwapRates rates() const { return bytes_ > 0 ? SwapRates{bytes_ / out_s_, bytes_ / in_s_} : SwapRates{}; }

 private:
  double bytes_ = 0, out_s_ = 0, in_s_ = 0;
};

}  // namespace millrace
