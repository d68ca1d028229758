// Which experts a row goes to, found by a warp: what core/route.h finds, bit for bit.
#pragma once
#include "core/route.h"
#include "cuda_api.h"

namespace millrace::cuda {

// A candidate; -1: none.
struct Candidate {
  float value;
  int id;
};

__device__ inline bool beats(const Candidate& a, const Candidate& b) {
  if (a.id < 0) return false;
  return b.id < 0 || a.value > b.value || (a.value == b.value && a.id < b.id);
}

// The best of a warp, of equals the lowest.
__device__ inline int best_of_warp(Candidate mine) {
  for (int bits = 16; bits > 0; bits /= 2) {
    const Candidate other{__shfl_xor_sync(kWholeWarp, mine.value, bits), __shfl_xor_sync(kWholeWarp, mine.id, bits)};
    if (beats(other, mine)) mine = other;
  }
  // Of what is no number lanes may find different ones.
  return __shfl_sync(kWholeWarp, mine.id, 0);
}

// `p`, `open` and `tops` (of groups) are in shared memory. At most 32 experts are active.
__device__ inline void choose_by_warp(const Chosen& how, float* p, float* tops, uint8_t* open, int32_t* ids, float* weights) {
  const int lane = threadIdx.x % kWarp;
  float most = p[0];
  for (int e = lane; e < how.experts; e += kWarp) most = p[e] > most ? p[e] : most;
  for (int bits = 16; bits > 0; bits /= 2) {
    const float other = __shfl_xor_sync(kWholeWarp, most, bits);
    most = other > most ? other : most;
  }
  __syncwarp();
  for (int e = lane; e < how.experts; e += kWarp) p[e] = exp_of(p[e] - most);
  __syncwarp();
  float sum = 0;
  for (int e = 0; e < how.experts; e++) sum += p[e];
  __syncwarp();
  for (int e = lane; e < how.experts; e += kWarp) {
    p[e] /= sum;
    open[e] = how.groups <= 1;
  }
  __syncwarp();
  const int each = how.experts / how.groups;
  for (int g = lane; how.groups > 1 && g < how.groups; g += kWarp) {
    float top = p[g * each];
    for (int e = 1; e < each; e++) top = p[g * each + e] > top ? p[g * each + e] : top;
    tops[g] = top;
  }
  __syncwarp();
  for (int i = 0; how.groups > 1 && i < how.kept; i++) {
    Candidate mine{0, -1};
    for (int g = lane; g < how.groups; g += kWarp) {
      const Candidate here{tops[g], g};
      if (!open[g * each] && beats(here, mine)) mine = here;
    }
    const int best = best_of_warp(mine);
    __syncwarp();
    for (int e = lane; e < each; e += kWarp) open[best * each + e] = 1;
    __syncwarp();
  }
  // Each lane keeps the one that was chosen when its turn came.
  int own = 0;
  for (int k = 0; k < how.active; k++) {
    Candidate mine{0, -1};
    for (int e = lane; e < how.experts; e += kWarp) {
      const Candidate here{p[e], e};
      if (open[e] && beats(here, mine)) mine = here;
    }
    const int best = best_of_warp(mine);
    if (lane == k) own = best;
    __syncwarp();
    if (lane == 0) open[best] = 0;
    __syncwarp();
  }
  // Ascending, and their sum in that order.
  int place = 0, id = 0;
  for (int k = 0; k < how.active; k++) place += __shfl_sync(kWholeWarp, own, k) < own;
  for (int k = 0; k < how.active; k++) {
    const int other = __shfl_sync(kWholeWarp, own, k);
    if (__shfl_sync(kWholeWarp, place, k) == lane) id = other;
  }
  const float weight = p[id];
  float chosen = 0;
  for (int k = 0; k < how.active; k++) chosen += __shfl_sync(kWholeWarp, weight, k);
  if (lane >= how.active) return;
  ids[lane] = id;
  weights[lane] = (how.renormalise ? weight / chosen : weight) * how.scale;
}

}  // namespace millrace::cuda
