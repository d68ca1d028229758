#include "swap.h"

#include <algorithm>

#include "arena.h"
#include "nvtx.h"

namespace millrace::cuda {
namespace {

// On each of the two ways: enough for the full rate of a link.
constexpr int64_t kWayBytes = 16 << 20;

int blocks_of_way(int64_t block_bytes, int host_blocks) {
  const int64_t most = std::min<int64_t>(kMostPackedBlocks, host_blocks);
  return static_cast<int>(std::clamp<int64_t>(kWayBytes / block_bytes, 1, most));
}

// Calls body(at, host block, count) for runs of blocks that lie side by side on the host.
template <class Body>
void for_runs(const int32_t* host, int count, const Body& body) {
  for (int at = 0; at < count;) {
    int end = at + 1;
    while (end < count && host[end] == host[end - 1] + 1) end++;
    body(at, host[at], end - at);
    at = end;
  }
}

}  // namespace

int64_t swap_bytes(int64_t block_bytes, int host_blocks, int parts) {
  return 2 * allocated(block_bytes * blocks_of_way(block_bytes, host_blocks)) + allocated(parts * static_cast<int64_t>(sizeof(BlockPart)));
}

SwapPool::SwapPool(Stream& steps, const std::vector<BlockPart>& parts, int64_t block_bytes, int host_blocks)
    : block_bytes_(block_bytes),
      host_blocks_(host_blocks),
      most_(blocks_of_way(block_bytes, host_blocks)),
      part_count_(static_cast<int>(parts.size())),
      parts_(static_cast<int64_t>(parts.size() * sizeof(BlockPart)), "swapping KV blocks"),
      host_(host_blocks * block_bytes) {
  for (Way& way : ways_) way.memory = Memory(most_ * block_bytes, "swapping KV blocks");
  steps.upload(parts_.data(), parts.data(), parts_.size());
  steps.synchronize();
  measure();
}

// The copies alone: packing takes what a copy within the device takes.
void SwapPool::measure() {
  const int64_t bytes = block_bytes_ * std::clamp<int64_t>(kMeasuredSwapBytes / block_bytes_, 1, most_);
  uint8_t* packed = ways_[0].memory.data();
  rates_.out = measured_rate(bytes, [&] {
    copies_.download(host_.data(), packed, bytes);
    copies_.synchronize();
  });
  rates_.in = measured_rate(bytes, [&] {
    copies_.upload(packed, host_.data(), bytes);
    copies_.synchronize();
  });
}

SwapPool::~SwapPool() { cudaStreamSynchronize(copies_); }

PackArguments SwapPool::arguments(const Way& way, const int32_t* blocks, int count) const {
  PackArguments a{parts_.as<BlockPart>(), part_count_, way.memory.data(), block_bytes_, count, {}};
  std::copy_n(blocks, count, a.blocks);
  return a;
}

void SwapPool::out(Stream& steps, const int32_t* from, const int32_t* host_to, int count) {
  const Range range("swap out", count);
  for (int at = 0; at < count; at += most_) {
    const int part = std::min(most_, count - at);
    Way& way = next();
    way.emptied.hold(steps);
    pack_blocks(steps, arguments(way, from + at, part));
    way.filled.record(steps);
    way.filled.hold(copies_);
    for_runs(host_to + at, part, [&](int i, int64_t block, int blocks) {
      copies_.download(host_.data() + block * block_bytes_, way.memory.data() + i * block_bytes_, blocks * block_bytes_);
    });
    way.emptied.record(copies_);
  }
}

void SwapPool::in(Stream& steps, const int32_t* host_from, const int32_t* to, int count) {
  const Range range("swap in", count);
  for (int at = 0; at < count; at += most_) {
    const int part = std::min(most_, count - at);
    Way& way = next();
    way.emptied.hold(copies_);
    for_runs(host_from + at, part, [&](int i, int64_t block, int blocks) {
      copies_.upload(way.memory.data() + i * block_bytes_, host_.data() + block * block_bytes_, blocks * block_bytes_);
    });
    way.filled.record(copies_);
    way.filled.hold(steps);
    unpack_blocks(steps, arguments(way, to + at, part));
    way.emptied.record(steps);
  }
}

}  // namespace millrace::cuda
