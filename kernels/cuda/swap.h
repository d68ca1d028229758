// The pool on the host for blocks of one KV group, and how they get there while steps run.
#pragma once
#include <vector>

#include "device.h"
#include "kernels/swap.h"
#include "swap_rates.h"

namespace millrace::cuda {

// Bytes of the device that a pool takes: for so many parts, and blocks on their way.
int64_t swap_bytes(int64_t block_bytes, int host_blocks, int parts);

// Blocks are packed, and unpacked, in the stream of the steps, which fixes their order with steps. Between the device and the host a stream of its own
// copies them: a step waits for a copy only where it needs what it brings, or room for more on their way.
class SwapPool {
 public:
  SwapPool(Stream& steps, const std::vector<BlockPart>& parts, int64_t block_bytes, int host_blocks);
  SwapPool(const SwapPool&) = delete;
  SwapPool& operator=(const SwapPool&) = delete;
  ~SwapPool();

  void out(Stream& steps, const int32_t* from, const int32_t* host_to, int count);
  void in(Stream& steps, const int32_t* host_from, const int32_t* to, int count);
  int64_t host_bytes() const { return host_blocks_ * block_bytes_; }
  int64_t block_bytes() const { return block_bytes_; }
  const SwapRates& rates() const { return rates_; }

 private:
  // Packed blocks on their way.
  struct Way {
    Memory memory;
    // They are there to be taken on; they are taken, and there is room.
    Event filled, emptied;
  };

  void measure();
  PackArguments arguments(const Way& way, const int32_t* blocks, int count) const;
  Way& next() { return ways_[turn_++ % 2]; }

  int64_t block_bytes_;
  int host_blocks_;
  // That are on one way.
  int most_;
  int part_count_;
  Memory parts_;
  PinnedMemory host_;
  Way ways_[2];
  unsigned turn_ = 0;
  Stream copies_;
  SwapRates rates_;
};

}  // namespace millrace::cuda
