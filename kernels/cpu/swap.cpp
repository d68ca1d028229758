// Blocks of the cache that go to the host's pool and come back. Here both lie in the same memory: the pool adds nothing but room.
#include <algorithm>
#include <cstring>
#include <numeric>

#include "checks.h"
#include "model.h"

namespace millrace {

void Model::swap_out(int group, const int32_t* from, const int32_t* host_to, int count) {
  check_swap(group, from, host_to, count, blocks_, host_blocks_, false);
  const Group& g = groups_[static_cast<size_t>(group)];
  for (int i = 0; i < count; i++) {
    uint8_t* to = g.host.data() + host_to[i] * g.host_block_bytes;
    for (const Part& part : g.parts) {
      std::memcpy(to, part.base + from[i] * part.block_bytes, static_cast<size_t>(part.block_bytes));
      to += part.block_bytes;
    }
  }
}

void Model::swap_in(int group, const int32_t* host_from, const int32_t* to, int count) {
  check_swap(group, to, host_from, count, blocks_, host_blocks_, true);
  const Group& g = groups_[static_cast<size_t>(group)];
  for (int i = 0; i < count; i++) {
    const uint8_t* from = g.host.data() + host_from[i] * g.host_block_bytes;
    for (const Part& part : g.parts) {
      std::memcpy(part.base + to[i] * part.block_bytes, from, static_cast<size_t>(part.block_bytes));
      from += part.block_bytes;
    }
  }
}

// With blocks that nobody has written yet.
void Model::measure_swaps() {
  SwapRateSum sum;
  for (size_t i = 0; i < groups_.size(); i++) {
    const int group = static_cast<int>(i);
    const int64_t bytes = groups_[i].host_block_bytes;
    if (host_blocks_[i] == 0 || bytes == 0) continue;
    const int count = static_cast<int>(std::clamp<int64_t>(kMeasuredSwapBytes / bytes, 1, std::min(host_blocks_[i], blocks_[i])));
    std::vector<int32_t> all(static_cast<size_t>(count));
    std::iota(all.begin(), all.end(), 0);
    const double out = measured_rate(bytes * count, [&] { swap_out(group, all.data(), all.data(), count); });
    const double in = measured_rate(bytes * count, [&] { swap_in(group, all.data(), all.data(), count); });
    sum.add(bytes, {out, in});
  }
  swap_rates_ = sum.rates();
}

int64_t Model::host_bytes() const {
  int64_t bytes = 0;
  for (size_t g = 0; g < groups_.size(); g++) bytes += groups_[g].host_block_bytes * host_blocks_[g];
  return bytes;
}

}  // namespace millrace
