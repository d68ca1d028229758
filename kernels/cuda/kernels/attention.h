// What kernels of attention share: how results of chunks are merged.
#pragma once
#include "kernels/launches.h"

namespace millrace::cuda {

// Scores and their maxima are in powers of two.
inline constexpr float kLog2E = 1.4426950408889634f;

// What two results that were summed relative to their own maxima are multiplied with. An empty one gives 0, and leaves the other as it is.
struct Weights {
  float most, a, b;
};
__device__ inline Weights weigh(float a, float b) {
  const float most = fmaxf(a, b);
  return {most, a == -infinity() ? 0.0f : power_of_two(a - most), b == -infinity() ? 0.0f : power_of_two(b - most)};
}

// Tasks of kWarpgroupTile rows, on sm_90.
void attend_by_warpgroups(cudaStream_t stream, const AttentionArguments& p, int blocks);

}  // namespace millrace::cuda
