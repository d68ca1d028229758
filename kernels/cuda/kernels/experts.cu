// Mixtures of experts: who is chosen, in which order their rows stand, and the sum of what they give.
#include "core/route.h"
#include "kernels/launches.h"

namespace millrace::cuda {
namespace {

constexpr int kThreads = 256;

// Block: a row. Logits by a warp each, its lanes' sums added in a fixed order.
__global__ void route_kernel(RowCount rows, RouteArguments p) {
  MR_SHARED_MEMORY(float, memory);
  allow_next_launch();
  await_launches();
  const int row = blockIdx.x;
  if (row >= *rows.count) return;
  const float* x = p.x.data + row * p.x.stride;
  const int lane = threadIdx.x % kWarp;
  for (int e = threadIdx.x / kWarp; e < p.experts; e += blockDim.x / kWarp) {
    const float* w = p.weight + static_cast<int64_t>(e) * p.columns;
    float sum = 0;
    for (int i = lane; i < p.columns; i += kWarp) sum = fmaf(x[i], w[i], sum);
    for (int bits = 16; bits > 0; bits /= 2) sum += __shfl_xor_sync(kWholeWarp, sum, bits);
    if (lane == 0) memory[e] = sum;
  }
  __syncthreads();
  if (threadIdx.x > 0) return;
  auto* open = reinterpret_cast<uint8_t*>(memory + p.experts);
  const Chosen how{p.experts, p.active, p.groups, p.kept, p.renormalise, p.scale};
  choose(how, memory, open, reinterpret_cast<int32_t*>(p.ids.data + row * p.ids.stride), p.weights.data + row * p.weights.stride);
}

// One block. Places of an expert are in the order of rows; each thread has every blockDim-th expert.
__global__ void sort_kernel(RowCount rows, SortArguments p) {
  MR_SHARED_MEMORY(int32_t, starts);
  allow_next_launch();
  await_launches();
  const int count = *rows.count;
  auto id = [&](int row, int k) { return reinterpret_cast<const int32_t*>(p.ids.data + row * p.ids.stride)[k]; };
  for (int e = threadIdx.x; e < p.experts; e += blockDim.x) {
    int n = 0;
    for (int row = 0; row < count; row++) {
      for (int k = 0; k < p.active; k++) n += id(row, k) == e;
    }
    starts[e] = n;
  }
  __syncthreads();
  if (threadIdx.x == 0) {
    int at = 0, tiles = 0;
    for (int e = 0; e < p.experts; e++) {
      const int n = starts[e];
      starts[e] = at;
      for (int first = 0; first < n; first += p.tile_rows) p.tiles[tiles++] = {e, at + first, min(p.tile_rows, n - first)};
      at += n;
    }
    p.counts[kExpertRowCount] = at;
    p.counts[kExpertTileCount] = tiles;
  }
  __syncthreads();
  for (int e = threadIdx.x; e < p.experts; e += blockDim.x) {
    int at = starts[e];
    for (int row = 0; row < count; row++) {
      for (int k = 0; k < p.active; k++) {
        if (id(row, k) != e) continue;
        p.place[row * p.active + k] = at;
        p.source[at++] = row;
      }
    }
  }
}

__global__ void combine_kernel(RowCount rows, RowView x, const int32_t* place, RowView weights, int active, RowView out, int width) {
  allow_next_launch();
  await_launches();
  const int row = blockIdx.x;
  if (row >= *rows.count) return;
  for (int i = threadIdx.x; i < width; i += blockDim.x) {
    float sum = 0;
    for (int k = 0; k < active; k++) {
      sum = fmaf(weights.data[row * weights.stride + k], x.data[place[row * active + k] * x.stride + i], sum);
    }
    out.data[row * out.stride + i] = sum;
  }
}

}  // namespace

void route(cudaStream_t stream, RowCount rows, const RouteArguments& p) {
  launch_early(route_kernel, rows.most, kThreads, static_cast<size_t>(p.experts) * (sizeof(float) + 1), stream, rows, p);
}

void sort_by_expert(cudaStream_t stream, RowCount rows, const SortArguments& p) {
  launch_early(sort_kernel, 1, kThreads, static_cast<size_t>(p.experts) * sizeof(int32_t), stream, rows, p);
}

void combine(cudaStream_t stream, RowCount rows, RowView x, const int32_t* place, RowView weights, int active, RowView out, int width) {
  launch_early(combine_kernel, rows.most, kThreads, 0, stream, rows, x, place, weights, active, out, width);
}

}  // namespace millrace::cuda
