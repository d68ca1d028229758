// Drawing an id by its weight: which ids are left by top-k, top-p, min-p and typical, and the one that a random number falls on.
#pragma once
#include "kernels/sampling.h"
#include "kernels/sampling_block.h"

namespace millrace::cuda {

// The units that `share` of a sum takes; at least one, so that something is kept.
__device__ inline unsigned long long share_of(double share, unsigned long long units) {
  const double target = share * (static_cast<double>(units) * kWeightUnit) / kWeightUnit;
  auto whole = static_cast<unsigned long long>(target);
  if (static_cast<double>(whole) < target) whole++;
  return whole > 0 ? whole : 1;
}

// Which ids may still be drawn.
struct Kept {
  const float* weights;
  // Least key of a weight.
  uint64_t least;
  // Of typical: least key of how near ids are to the entropy; not asked about when typical is off.
  bool typical;
  uint64_t nearest;
  double total, entropy;

  __device__ bool weighs(int i, float weight) const { return rank_key(float_to_bits(weight), i) >= least; }
  __device__ uint64_t nearness(int i, float weight) const {
    const float distance = static_cast<float>(fabs(-natural_log(weight / total) - entropy));
    return rank_key(~float_to_bits(distance), i);
  }
  __device__ unsigned long long units(int i, float weight) const {
    if (!weighs(i, weight) || (typical && nearness(i, weight) < nearest)) return 0;
    return units_of(weight);
  }
};

// Calls body(i, weight of i) for a thread's share of ids.
template <class Body>
__device__ inline void each_weight(const Row& row, const Kept& kept, const Body& body) {
  ahead<kWeightsAhead>(threadIdx.x, row.vocabulary, blockDim.x, [&](int i) { return kept.weights[i]; }, body);
}

__device__ inline unsigned long long mass(const Row& row, const Kept& kept) {
  unsigned long long mine = 0;
  each_weight(row, kept, [&](int i, float weight) { mine += kept.units(i, weight); });
  return sum_of_block(row.shared, mine);
}

__device__ inline void keep_typical(const Row& row, Kept& kept, float share) {
  const unsigned long long all = mass(row, kept);
  kept.total = static_cast<double>(all) * kWeightUnit;
  unsigned long long mine = 0;
  each_weight(row, kept, [&](int i, float weight) {
    if (kept.weighs(i, weight)) mine += units_of(surprise(weight / kept.total));
  });
  kept.entropy = static_cast<double>(sum_of_block(row.shared, mine)) * kWeightUnit;
  kept.nearest = select(row, kept.weights, share_of(share, all), [&](int i, float weight, uint64_t& key, unsigned long long& amount) {
    if (!kept.weighs(i, weight)) return false;
    key = kept.nearness(i, weight);
    amount = units_of(weight);
    return true;
  });
  kept.typical = true;
}

// The id at which the running sum, in the order of ids, first exceeds u times the whole.
__device__ inline int draw(const Row& row, const Kept& kept, double u) {
  Shared* s = row.shared;
  const int lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp;
  const int chunks = (row.vocabulary + kDrawChunk - 1) / kDrawChunk;
  __syncthreads();
  unsigned long long mine = 0;
  int last = -1;
  for (int chunk = warp; chunk < chunks; chunk += warps()) {
    const int to = min(row.vocabulary, (chunk + 1) * kDrawChunk);
    unsigned long long sum = 0;
    ahead<kWeightsAhead>(chunk * kDrawChunk + lane, to, kWarp, [&](int i) { return kept.weights[i]; }, [&](int i, float weight) {
      const unsigned long long units = kept.units(i, weight);
      sum += units;
      if (units > 0) last = i;
    });
    for (int bits = 16; bits > 0; bits /= 2) sum += __shfl_xor_sync(kWholeWarp, sum, bits);
    if (lane == 0) {
      s->chunks[chunk] = sum;
      mine += sum;
    }
  }
  for (int bits = 16; bits > 0; bits /= 2) last = max(last, __shfl_xor_sync(kWholeWarp, last, bits));
  if (lane == 0) s->least[warp] = last;
  const unsigned long long all = sum_of_block(s, mine);
  if (warp != 0) return 0;
  const auto target = static_cast<unsigned long long>(u * (static_cast<double>(all) * kWeightUnit) / kWeightUnit);
  unsigned long long sum = 0;
  int chunk = 0;
  while (chunk < chunks && sum + s->chunks[chunk] <= target) sum += s->chunks[chunk++];
  for (int from = chunk * kDrawChunk; chunk < chunks && from < (chunk + 1) * kDrawChunk; from += kWarp) {
    const int i = from + lane;
    const unsigned long long up_to = sum_up_to(i < row.vocabulary ? kept.units(i, kept.weights[i]) : 0);
    const unsigned reached = __ballot_sync(kWholeWarp, sum + up_to > target);
    if (reached != 0) return from + first_of(reached);
    sum += __shfl_sync(kWholeWarp, up_to, kWarp - 1);
  }
  // u times the whole was rounded up to the whole.
  for (int w = 0; w < warps(); w++) last = max(last, s->least[w]);
  return last;
}

// Turns x into weights, thins them out and draws.
__device__ inline int draw_from(const Row& row, const float* x, float most, const mr_sampling& how) {
  const double scale = 1.0 / static_cast<double>(how.temperature);
  const int n = row.vocabulary;
  unsigned long long mine = 0;
  ahead<kWeightsAhead>(threadIdx.x, n, blockDim.x, [&](int i) { return x[i]; }, [&](int i, float logit) {
    const float weight = weight_of(logit, most, scale);
    row.work[i] = weight;
    mine += units_of(weight);
  });
  unsigned long long all = sum_of_block(row.shared, mine);
  // Any weight but 0.
  Kept kept{row.work, rank_key(1, (1 << kIdBits) - 1), false, 0, 1, 0};
  const bool top_k = how.top_k > 0 && how.top_k < n;
  if (top_k) {
    const uint64_t least = select(row, kept.weights, static_cast<unsigned long long>(how.top_k), [&](int i, float weight, uint64_t& key, unsigned long long& amount) {
      if (!kept.weighs(i, weight)) return false;
      key = rank_key(float_to_bits(weight), i);
      amount = 1;
      return true;
    });
    kept.least = least > kept.least ? least : kept.least;
  }
  if (how.top_p < 1) {
    if (top_k) all = mass(row, kept);
    const uint64_t least = select(row, kept.weights, share_of(how.top_p, all), [&](int i, float weight, uint64_t& key, unsigned long long& amount) {
      if (!kept.weighs(i, weight)) return false;
      key = rank_key(float_to_bits(weight), i);
      amount = units_of(weight);
      return true;
    });
    kept.least = least > kept.least ? least : kept.least;
  }
  if (how.min_p > 0) {
    const uint64_t least = rank_key(float_to_bits(how.min_p), (1 << kIdBits) - 1);
    kept.least = least > kept.least ? least : kept.least;
  }
  if (how.typical_p < 1) keep_typical(row, kept, how.typical_p);
  return draw(row, kept, philox_uniform(how.seed_low, how.seed_high, how.choice, how.position));
}

}  // namespace millrace::cuda
