// A block that works on a row of logits together: what its threads share, sums and the best of all of them, and the search for a threshold without
// sorting. Every sum is of whole units, or in a fixed order, so results depend on the row alone.
#pragma once
#include "core/numbers.h"
#include "core/sample.h"
#include "kernels/ahead.h"

namespace millrace::cuda {

inline constexpr int kDigitBits = 11;
inline constexpr int kBins = 1 << kDigitBits;
// Digits of a key, the highest first: three of the value, two of the id.
inline constexpr int kDigits = 5;
inline constexpr int kKeyBits = 32 + kIdBits;
inline constexpr int kDrawChunk = 1024;
inline constexpr int kMostWarps = 16;
// Loads of a thread that are under way.
inline constexpr int kRowAhead = 16, kWeightsAhead = 8;

// Bins are counted in three parts of 12 bits, since shared memory adds 32 bits by itself and 64 by a loop of all who want the same bin. What is counted
// is at most 2^34, so that parts of as many as there may be ids fit.
inline constexpr int kParts = 3, kPartBits = 12;
static_assert(int64_t{kMostSampledIds} << kPartBits <= int64_t{1} << 31);
inline constexpr int kGroups = kBins / kWarp;
static_assert(kGroups == 2 * kWarp);

// What the threads of a block share.
struct Shared {
  int bins[kParts][kBins];
  // Of a warp's bins.
  unsigned long long groups[kGroups];
  // Of those who draw.
  unsigned long long chunks[kMostSampledIds / kDrawChunk];
  unsigned long long sums[kMostWarps];
  Ranked best[kMostWarps];
  // Of a selection: the digits found, and what lies above them.
  unsigned long long found, above;
  int least[kMostWarps];
  int reached;
};

// What the threads know alike while they work on a row.
struct Row {
  Shared* shared;
  const float* logits;
  float* work;
  int vocabulary;
};

template <class Body>
__device__ inline void each(int n, const Body& body) {
  for (int i = threadIdx.x; i < n; i += blockDim.x) body(i);
}

__device__ inline int warps() { return static_cast<int>(blockDim.x / kWarp); }

__device__ inline unsigned long long sum_of_block(Shared* s, unsigned long long mine) {
  for (int bits = 16; bits > 0; bits /= 2) mine += __shfl_xor_sync(kWholeWarp, mine, bits);
  __syncthreads();
  if (threadIdx.x % kWarp == 0) s->sums[threadIdx.x / kWarp] = mine;
  __syncthreads();
  unsigned long long sum = 0;
  for (int w = 0; w < warps(); w++) sum += s->sums[w];
  return sum;
}

// The best of all threads, and the least of `bad`.
__device__ inline Ranked best_of_block(Shared* s, Ranked mine, int& bad) {
  for (int bits = 16; bits > 0; bits /= 2) {
    const Ranked other{__shfl_xor_sync(kWholeWarp, mine.value, bits), __shfl_xor_sync(kWholeWarp, mine.id, bits)};
    if (before(other, mine)) mine = other;
    bad = min(bad, __shfl_xor_sync(kWholeWarp, bad, bits));
  }
  __syncthreads();
  if (threadIdx.x % kWarp == 0) {
    s->best[threadIdx.x / kWarp] = mine;
    s->least[threadIdx.x / kWarp] = bad;
  }
  __syncthreads();
  for (int w = 0; w < warps(); w++) {
    if (before(s->best[w], mine)) mine = s->best[w];
    bad = min(bad, s->least[w]);
  }
  return mine;
}

// The sum of what this lane has and those before it have.
__device__ inline unsigned long long sum_up_to(unsigned long long mine) {
  const int lane = threadIdx.x % kWarp;
  for (int distance = 1; distance < kWarp; distance *= 2) {
    const unsigned long long other = __shfl_sync(kWholeWarp, mine, lane - distance);
    if (lane >= distance) mine += other;
  }
  return mine;
}

// The first lane of which it is so; there is one.
__device__ inline int first_of(unsigned votes) {
  int lane = 0;
  while ((votes >> lane & 1) == 0) lane++;
  return lane;
}

__device__ inline void add_to_bin(Shared* s, int bin, unsigned long long amount) {
#pragma unroll
  for (int part = 0; part < kParts; part++) {
    const int some = static_cast<int>(amount >> part * kPartBits & ((1 << kPartBits) - 1));
    if (some > 0) atomicAdd(&s->bins[part][bin], some);
  }
}

__device__ inline unsigned long long bin_of(const Shared* s, int bin) {
  unsigned long long sum = 0;
#pragma unroll
  for (int part = 0; part < kParts; part++) sum += static_cast<unsigned long long>(s->bins[part][bin]) << part * kPartBits;
  return sum;
}

// The bin, from the top, in which the sum reaches `target`; leaves what lies above it. False when all together do not.
__device__ inline bool find_bin(Shared* s, unsigned long long target, int& bin) {
  const int lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp;
  __syncthreads();
  for (int group = warp; group < kGroups; group += warps()) {
    unsigned long long sum = bin_of(s, group * kWarp + lane);
    for (int bits = 16; bits > 0; bits /= 2) sum += __shfl_xor_sync(kWholeWarp, sum, bits);
    if (lane == 0) s->groups[group] = sum;
  }
  __syncthreads();
  if (warp == 0) {
    // Two groups of a lane, then one bin of the group that is found.
    const unsigned long long upper = s->groups[kGroups - 1 - 2 * lane], both = upper + s->groups[kGroups - 2 - 2 * lane];
    const unsigned long long before = s->above + sum_up_to(both) - both;
    const unsigned groups = __ballot_sync(kWholeWarp, before + both >= target);
    int reached = -1;
    if (groups != 0) {
      const int first = first_of(groups);
      unsigned long long above = __shfl_sync(kWholeWarp, before, first);
      const unsigned long long first_upper = __shfl_sync(kWholeWarp, upper, first);
      int group = kGroups - 1 - 2 * first;
      if (above + first_upper < target) {
        above += first_upper;
        group--;
      }
      const unsigned long long mine = bin_of(s, group * kWarp + kWarp - 1 - lane), up_to = sum_up_to(mine);
      const int one = first_of(__ballot_sync(kWholeWarp, above + up_to >= target));
      reached = group * kWarp + kWarp - 1 - one;
      above += __shfl_sync(kWholeWarp, up_to - mine, one);
      if (lane == 0) s->found = above;
    }
    if (lane == 0) s->reached = reached;
  }
  __syncthreads();
  bin = s->reached;
  if (threadIdx.x == 0 && bin >= 0) s->above = s->found;
  __syncthreads();
  return bin >= 0;
}

// The largest key such that all that are not below it add up to `target`; 0 when all together do not. item(i, weight, key, amount): whether i counts.
template <class Item>
__device__ uint64_t select(const Row& row, const float* weights, unsigned long long target, const Item& item) {
  Shared* s = row.shared;
  uint64_t prefix = 0;
  int below = kKeyBits;
  if (threadIdx.x == 0) s->above = 0;
  for (int digit = 0; digit < kDigits; digit++) {
    const int bits = min(kDigitBits, below - (digit < 3 ? kIdBits : 0));
    const int shift = below - bits;
    each(kParts * kBins, [&](int i) { s->bins[i / kBins][i % kBins] = 0; });
    __syncthreads();
    ahead<kWeightsAhead>(threadIdx.x, row.vocabulary, blockDim.x, [&](int i) { return weights[i]; }, [&](int i, float weight) {
      uint64_t key = 0;
      unsigned long long amount = 0;
      if (item(i, weight, key, amount) && key >> below == prefix) add_to_bin(s, static_cast<int>(key >> shift) & ((1 << bits) - 1), amount);
    });
    int bin;
    if (!find_bin(s, target, bin)) return 0;
    prefix = prefix << bits | static_cast<unsigned>(bin);
    below = shift;
  }
  return prefix;
}

}  // namespace millrace::cuda
