// Products of many rows: a block of 128 outputs and 128 or 64 rows, whose warps share what they read through shared memory. Sums are those of
// tiles.h, bit for bit: each warp takes all chunks of its outputs.
#include "kernels/product.h"

namespace millrace::cuda {
namespace {

constexpr int kStages = kPanelStages;
constexpr int kRowWarps = kPanelRowWarps, kOutputWarps = kProductWarps / kRowWarps;
constexpr int kBlockTiles = kPanelTiles;
// Tiles of 16 outputs of a warp.
constexpr int kTiles = kBlockTiles / kOutputWarps;

// What a block has of a stage in shared memory: the weights of its tiles, then 8 rows after 8 rows.
template <class Math, Store kStore, int kTokens>
constexpr int kStageBytes = kBlockTiles * WeightPieces<kStore>::kWarpBytes + kRowWarps * kTokens * RowPieces<Math>::kWarpBytes;

// Groups of 8 rows that a warp copies.
template <int kTokens>
constexpr int kGroups = kRowWarps * kTokens / kProductWarps;

// Block (rows of a group, outputs, groups): blocks that run at the same time have few outputs and many rows, so weights come from memory once for a group.
template <class Math, Store kStore, int kTokens>
__global__ void __launch_bounds__(kProductWarps* kWarp, 1) panel_kernel(const __grid_constant__ ProductArguments arguments) {
  MR_SHARED_MEMORY(uint8_t, memory);
  Product p = arguments.p;
  const WeightView& w = p.w;
  allow_next_launch();
  await_launches();
  const int panel = blockIdx.z * gridDim.x + blockIdx.x, block_tile = take_part(p, arguments.p.parts, kBlockTiles, blockIdx.y) * kBlockTiles;
  TileRows block{panel * kRowWarps * 8 * kTokens, 0, nullptr};
  if (arguments.experts.tiles) {
    if (panel >= *arguments.experts.tile_count) return;
    const ExpertTile expert = arguments.experts.tiles[panel];
    p.w = arguments.experts.weights[expert.expert];
    block = {expert.first, expert.first + expert.rows, arguments.experts.source};
  } else {
    block.end = *arguments.rows.count;
    if (block.first >= block.end) return;
  }
  const int warp = threadIdx.x / kWarp, lane = threadIdx.x % kWarp, tile0 = block_tile + warp % kOutputWarps * kTiles;
  const TileRows rows{block.first + warp / kOutputWarps * 8 * kTokens, block.end, block.source};
  int row[kGroups<kTokens>];
#pragma unroll
  for (int i = 0; i < kGroups<kTokens>; i++) row[i] = block.input(8 * (warp + i * kProductWarps) + lane / 4);

  // Each warp copies tiles and groups of 8 rows in turn.
  auto ask = [&](int step) {
    if (step < w.steps) {
      uint8_t* to = memory + step % kStages * kStageBytes<Math, kStore, kTokens>;
      for (int t = warp; t < kBlockTiles && block_tile + t < w.tiles; t += kProductWarps) {
        WeightPieces<kStore>::copy(to + t * WeightPieces<kStore>::kWarpBytes, weights_at(w, kStore, block_tile + t, step, lane), lane);
      }
      to += kBlockTiles * WeightPieces<kStore>::kWarpBytes;
#pragma unroll
      for (int i = 0; i < kGroups<kTokens>; i++) {
        const auto* from = static_cast<const typename Math::Value*>(p.x.values) + static_cast<int64_t>(row[i]) * p.x.stride + step * kStepColumns + lane % 4 * 8;
        RowPieces<Math>::copy(to + (warp + i * kProductWarps) * RowPieces<Math>::kWarpBytes, reinterpret_cast<const uint8_t*>(from), lane);
      }
    }
    close_copies();
  };
#pragma unroll
  for (int i = 0; i < kStages - 1; i++) ask(i);

  const float level = lane_level(w, lane);
  // Factors of 16 columns stand between the halves of a step.
  const bool apart = kIsCode<kStore> && w.group_columns == 16;
  Runs runs(w);
  runs.begin(0);
  Tile<kTokens> total[kTiles];
  ChunkSums<Math, kStore, kTokens> sums[kTiles];
#pragma unroll
  for (int t = 0; t < kTiles; t++) total[t].clear();
  for (int step = 0; step < w.steps; step++) {
    wait_for_copies<kStages - 2>();
    // Everybody's copies are there, and nobody reads the stage before this one any more.
    __syncthreads();
    ask(step + kStages - 1);
    const int chunk = step / kChunkSteps, end = min(w.steps, (chunk + 1) * kChunkSteps);
    if (step % kChunkSteps == 0) {
#pragma unroll
      for (int t = 0; t < kTiles; t++) sums[t].clear(chunk);
    }
    const uint8_t* from = memory + step % kStages * kStageBytes<Math, kStore, kTokens>;
    Step<Math, kStore> a[kTiles];
#pragma unroll
    for (int t = 0; t < kTiles; t++) {
      uint32_t words[lane_bytes(kStore) / 4];
      WeightPieces<kStore>::read(from + (tile0 - block_tile + t) * WeightPieces<kStore>::kWarpBytes, lane, words);
      a[t].set(w, level, words);
    }
    from += kBlockTiles * WeightPieces<kStore>::kWarpBytes + warp / kOutputWarps * kTokens * RowPieces<Math>::kWarpBytes;
    uint32_t values[kTokens][2 * Math::kBytes];
#pragma unroll
    for (int j = 0; j < kTokens; j++) RowPieces<Math>::read(from + j * RowPieces<Math>::kWarpBytes, lane, values[j]);
#pragma unroll
    for (int h = 0; h < 2; h++) {
#pragma unroll
      for (int j = 0; j < kTokens; j++) {
        const typename Math::B b = Math::b_words(values[j], h);
#pragma unroll
        for (int t = 0; t < kTiles; t++) sums[t].multiply(j, a[t].half[h], b);
      }
      if (!kIsCode<kStore> || !(apart || (h == 1 && (runs.ends() || step + 1 == end)))) continue;
#pragma unroll
      for (int t = 0; t < kTiles; t++) {
        if (tile0 + t < w.tiles) sums[t].end_group(w, p.x, rows, tile0 + t, apart ? 2 * step + h : runs.run, 2 * step + h + 1, lane);
      }
    }
    if constexpr (kIsCode<kStore>) runs.next();
    if (step + 1 == end) {
#pragma unroll
      for (int t = 0; t < kTiles; t++) total[t].add(sums[t].out);
    }
  }
#pragma unroll
  for (int t = 0; t < kTiles; t++) {
#pragma unroll
    for (int i = 0; i < 4 * kTokens; i++) write_value(p, total[t].sum[i / 4].v[i % 4], tile0 + t, i / 4, i % 4, rows, lane);
  }
}

}  // namespace

template <class Math, Store kStore>
void multiply_panels(cudaStream_t stream, const ProductArguments& a) {
  constexpr int kTokens = panel_tokens(kStore, Math::kBytes);
  const int rows = kRowWarps * 8 * kTokens, panels = a.experts.tiles ? a.experts.most_tiles() : (a.rows.most + rows - 1) / rows;
  const int groups = a.experts.tiles ? 1 : panel_groups(panels);
  const dim3 grid{static_cast<unsigned>((panels + groups - 1) / groups), static_cast<unsigned>(tile_blocks(a.p, kBlockTiles)), static_cast<unsigned>(groups)};
  const size_t shared = size_t{kStages} * kStageBytes<Math, kStore, kTokens>;
  allow_shared(panel_kernel<Math, kStore, kTokens>, shared);
  launch_early(panel_kernel<Math, kStore, kTokens>, grid, kProductWarps * kWarp, shared, stream, a);
}

template void multiply_panels<F32, Store::kF32>(cudaStream_t, const ProductArguments&);
template void multiply_panels<F32, Store::kBf16>(cudaStream_t, const ProductArguments&);
template void multiply_panels<F32, Store::kF16>(cudaStream_t, const ProductArguments&);
template void multiply_panels<F32, Store::kCode8>(cudaStream_t, const ProductArguments&);
template void multiply_panels<F32, Store::kCode4>(cudaStream_t, const ProductArguments&);
template void multiply_panels<F32, Store::kE4m3>(cudaStream_t, const ProductArguments&);
template void multiply_panels<Bf16, Store::kBf16>(cudaStream_t, const ProductArguments&);
template void multiply_panels<SplitBf16, Store::kF16>(cudaStream_t, const ProductArguments&);
template void multiply_panels<Bf16, Store::kCode8>(cudaStream_t, const ProductArguments&);
template void multiply_panels<Bf16, Store::kCode4>(cudaStream_t, const ProductArguments&);
template void multiply_panels<Bf16, Store::kE4m3>(cudaStream_t, const ProductArguments&);

}  // namespace millrace::cuda
