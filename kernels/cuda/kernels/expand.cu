// Weights as rows in bf16, for products by a library. Columns stay in the order of prepared inputs, so that a thread's values go side by side.
#include "kernels/product.h"

namespace millrace::cuda {
namespace {

constexpr int kThreads = 256;

// A thread's weights of a step: 8 of row g, then 8 of row g + 8, with their factors; of each 8 the first four are of the step's first 16 columns.
template <Store kStore>
__device__ __forceinline__ void scaled(const WeightView& w, int tile, int step, int lane, float level, const uint32_t* words, float* v) {
  widen_lane<kStore>(w, level, words, v);
  if constexpr (kIsCode<kStore>) {
#pragma unroll
    for (int half = 0; half < 2; half++) {
      const int group = min((step * kStepColumns + half * 16) / w.group_columns, w.groups - 1);
      const int64_t f = (static_cast<int64_t>(tile) * w.groups + group) * kTileRows + lane / 4;
#pragma unroll
      for (int row = 0; row < 2; row++) {
        const float scale = factor_at(w, w.scales, f + 8 * row), offset = w.offsets ? factor_at(w, w.offsets, f + 8 * row) : 0.0f;
#pragma unroll
        for (int i = 0; i < 4; i++) {
          float& x = v[8 * row + 4 * half + i];
          x = fmaf(x, scale, -offset);
        }
      }
    }
  }
}

// Warps take the steps of tiles in turn.
template <Store kStore>
__global__ void __launch_bounds__(kThreads) expand_kernel(const __grid_constant__ WeightView w, int first_tile, int tiles, uint16_t* out) {
  allow_next_launch();
  await_launches();
  const int lane = threadIdx.x % kWarp, warps = gridDim.x * (kThreads / kWarp);
  const int64_t steps = static_cast<int64_t>(tiles) * w.steps, stride = static_cast<int64_t>(w.steps) * kStepColumns;
  const float level = lane_level(w, lane);
  for (int64_t at = blockIdx.x * (kThreads / kWarp) + threadIdx.x / kWarp; at < steps; at += warps) {
    const int tile = static_cast<int>(at / w.steps), step = static_cast<int>(at % w.steps);
    constexpr int kWords = lane_bytes(kStore) / 4;
    const auto* from = reinterpret_cast<const uint2*>(weights_at(w, kStore, first_tile + tile, step, lane));
    uint32_t words[kWords];
#pragma unroll
    for (int i = 0; i < kWords / 2; i++) {
      const uint2 two = from[i];
      words[2 * i] = two.x;
      words[2 * i + 1] = two.y;
    }
    float v[kLaneValues];
    scaled<kStore>(w, first_tile + tile, step, lane, level, words, v);
    uint16_t* to = out + (static_cast<int64_t>(tile) * kTileRows + lane / 4) * stride + step * kStepColumns + lane % 4 * 8;
#pragma unroll
    for (int row = 0; row < 2; row++) {
      const float* x = v + 8 * row;
      *reinterpret_cast<uint4*>(to + 8 * row * stride) = {pack_bf16(x[0], x[1]), pack_bf16(x[2], x[3]), pack_bf16(x[4], x[5]), pack_bf16(x[6], x[7])};
    }
  }
}

// The same of bytes.
__global__ void __launch_bounds__(kThreads) expand_codes_kernel(const __grid_constant__ WeightView w, int first_tile, int tiles, uint8_t* out) {
  allow_next_launch();
  await_launches();
  const int lane = threadIdx.x % kWarp, warps = gridDim.x * (kThreads / kWarp);
  const int64_t steps = static_cast<int64_t>(tiles) * w.steps, stride = static_cast<int64_t>(w.steps) * kStepColumns;
  for (int64_t at = blockIdx.x * (kThreads / kWarp) + threadIdx.x / kWarp; at < steps; at += warps) {
    const int tile = static_cast<int>(at / w.steps), step = static_cast<int>(at % w.steps);
    const uint4 both = *reinterpret_cast<const uint4*>(weights_at(w, Store::kE4m3, first_tile + tile, step, lane));
    uint8_t* to = out + (static_cast<int64_t>(tile) * kTileRows + lane / 4) * stride + step * kStepColumns + lane % 4 * 8;
    *reinterpret_cast<uint2*>(to) = {both.x, both.y};
    *reinterpret_cast<uint2*>(to + 8 * stride) = {both.z, both.w};
  }
}

unsigned grid_of(const WeightView& w, int tiles, int chips) {
  const int64_t blocks = (static_cast<int64_t>(tiles) * w.steps + kThreads / kWarp - 1) / (kThreads / kWarp);
  return static_cast<unsigned>(blocks < chips * 8 ? blocks : chips * 8);
}

template <Store kStore>
void start(cudaStream_t stream, const WeightView& w, int first_tile, int tiles, uint16_t* out, int chips) {
  launch_early(expand_kernel<kStore>, grid_of(w, tiles, chips), kThreads, 0, stream, w, first_tile, tiles, out);
}

}  // namespace

void expand(cudaStream_t stream, const WeightView& w, int first_tile, int tiles, uint16_t* out, int chips) {
  switch (w.store) {
    case Store::kF32: return;
    case Store::kBf16: return start<Store::kBf16>(stream, w, first_tile, tiles, out, chips);
    case Store::kF16: return start<Store::kF16>(stream, w, first_tile, tiles, out, chips);
    case Store::kCode8: return start<Store::kCode8>(stream, w, first_tile, tiles, out, chips);
    case Store::kCode4: return start<Store::kCode4>(stream, w, first_tile, tiles, out, chips);
    case Store::kE4m3: return start<Store::kE4m3>(stream, w, first_tile, tiles, out, chips);
  }
}

void expand_codes(cudaStream_t stream, const WeightView& w, int first_tile, int tiles, uint8_t* out, int chips) {
  launch_early(expand_codes_kernel, grid_of(w, tiles, chips), kThreads, 0, stream, w, first_tile, tiles, out);
}

}  // namespace millrace::cuda
