// Weights as rows in bf16, for products by a library. Columns stay in the order of prepared inputs, so that a thread's values go side by side.
#include "kernels/product.h"

namespace millrace::cuda {
namespace {

constexpr int kThreads = 256;

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
    // As own products have them: of each half step four of row g, then four of row g + 8.
    Step<Bf16, kStore> a;
    LaneFactors factors;
#pragma unroll
    for (int h = 0; h < 2; h++) {
      if constexpr (kIsCode<kStore>) {
        const int group = min((step * kStepColumns + h * 16) / w.group_columns, w.groups - 1);
        factors = read_factors<Bf16, kStore>(w, w.scales, w.offsets, (static_cast<int64_t>(first_tile + tile) * w.groups + group) * kTileRows + lane / 4);
      }
      a.set(h, w, level, words, factors);
    }
    uint16_t* to = out + (static_cast<int64_t>(tile) * kTileRows + lane / 4) * stride + step * kStepColumns + lane % 4 * 8;
#pragma unroll
    for (int row = 0; row < 2; row++) *reinterpret_cast<uint4*>(to + 8 * row * stride) = {a.half[0].r[row], a.half[0].r[2 + row], a.half[1].r[row], a.half[1].r[2 + row]};
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
    // Two of row g and two of row g + 8 are in each word.
    *reinterpret_cast<uint2*>(to) = {take_bytes(both.x, both.y, 0x5410), take_bytes(both.z, both.w, 0x5410)};
    *reinterpret_cast<uint2*>(to + 8 * stride) = {take_bytes(both.x, both.y, 0x7632), take_bytes(both.z, both.w, 0x7632)};
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
