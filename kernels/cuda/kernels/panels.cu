// Products of many rows: a block of 128 outputs and 128 rows (64 in float32), whose warps share what they read through shared memory. Sums are those of
// tiles.h, bit for bit: each warp takes all chunks of its outputs.
#include "kernels/product.h"

namespace millrace::cuda {
namespace {

constexpr int kStages = kPanelStages;
constexpr int kRowWarps = kPanelRowWarps, kOutputWarps = kProductWarps / kRowWarps;
constexpr int kBlockTiles = kPanelTiles;
// Tiles of 16 outputs of a warp.
constexpr int kTiles = kBlockTiles / kOutputWarps;

template <class Math>
constexpr int kPanelTokens = panel_tokens(Math::kBytes);

// What a block has of a stage in shared memory: the weights of its tiles, 8 rows after 8 rows, and factors of codes.
template <class Math, Store kStore>
constexpr int kStageBytes = panel_stage_bytes(kStore, Math::kBytes);
template <Store kStore>
constexpr int kPanelRowsAt = kBlockTiles * WeightPieces<kStore>::kWarpBytes;
template <class Math, Store kStore>
constexpr int kPanelFactorsAt = kPanelRowsAt<kStore> + kRowWarps * kPanelTokens<Math> * RowPieces<Math>::kWarpBytes;

// Groups of 8 rows that a warp copies.
template <int kTokens>
constexpr int kGroups = kRowWarps * kTokens / kProductWarps;

// Block (rows of a group, outputs, groups): blocks that run at the same time have few outputs and many rows, so weights come from memory once for a group.
template <class Math, Store kStore>
__global__ void __launch_bounds__(kProductWarps* kWarp, 1) panel_kernel(const __grid_constant__ ProductArguments arguments) {
  MR_SHARED_MEMORY(uint8_t, memory);
  constexpr int kTokens = kPanelTokens<Math>, kRowsAt = kPanelRowsAt<kStore>, kFactorsAt = kPanelFactorsAt<Math, kStore>;
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
  const uint8_t* row[kGroups<kTokens>];
#pragma unroll
  for (int i = 0; i < kGroups<kTokens>; i++) {
    const int64_t at = static_cast<int64_t>(block.input(8 * (warp + i * kProductWarps) + lane / 4)) * p.x.stride + lane % 4 * 8;
    row[i] = kept(static_cast<const uint8_t*>(p.x.values) + at * Math::kBytes);
  }

  // Each warp copies a tile, and groups of 8 rows in turn.
  static_assert(kBlockTiles == kProductWarps);
  const bool copies = block_tile + warp < w.tiles;
  const uint8_t* weights = kept(weights_at(w, kStore, block_tile + warp, 0, lane));
  FactorCopy factor_copy;
  if constexpr (kIsCode<kStore>) {
    if (copies) factor_copy.begin(w, block_tile + warp, 0, 1, lane);
  }
  Runs asked(w);
  asked.begin(0);
  auto ask = [&](int step) {
    if (step < w.steps) {
      uint8_t* to = memory + step % kStages * kStageBytes<Math, kStore>;
      if (copies) WeightPieces<kStore>::copy(to + warp * WeightPieces<kStore>::kWarpBytes, weights + static_cast<int64_t>(step) * WeightPieces<kStore>::kWarpBytes, lane);
      if constexpr (kIsCode<kStore>) {
        if (asked.begins()) factor_copy.copy(to + kFactorsAt + warp * 4 * kFactorBytes, asked.run, lane);
        asked.next();
      }
#pragma unroll
      for (int i = 0; i < kGroups<kTokens>; i++) {
        const uint8_t* from = row[i] + static_cast<int64_t>(step) * kStepColumns * Math::kBytes;
        RowPieces<Math>::copy(to + kRowsAt + (warp + i * kProductWarps) * RowPieces<Math>::kWarpBytes, from, lane);
      }
    }
    close_copies();
  };
#pragma unroll
  for (int i = 0; i < kStages - 1; i++) ask(i);

  const float level = lane_level(w, lane);
  // Halves of a step have factors of their own.
  const bool apart = kIsCode<kStore> && w.group_columns < kStepColumns;
  Runs runs(w);
  runs.begin(0);
  LaneFactors factors[kTiles];
  Tile<kTokens> total[kTiles], sums[kTiles];
#pragma unroll
  for (int t = 0; t < kTiles; t++) total[t].clear();
  for (int step = 0; step < w.steps; step++) {
    wait_for_copies<kStages - 2>();
    // Everybody's copies are there, and nobody reads the stage before this one any more.
    __syncthreads();
    ask(step + kStages - 1);
    if (step % kChunkSteps == 0) {
#pragma unroll
      for (int t = 0; t < kTiles; t++) sums[t].clear();
    }
    const uint8_t* from = memory + step % kStages * kStageBytes<Math, kStore>;
    Step<Math, kStore> a[kTiles];
#pragma unroll
    for (int t = 0; t < kTiles; t++) {
      const int tile = warp % kOutputWarps * kTiles + t;
      a[t].read(w, level, from + tile * WeightPieces<kStore>::kWarpBytes, from + kFactorsAt + tile * 4 * kFactorBytes, runs.begins(), apart, lane, factors[t]);
    }
    if constexpr (kIsCode<kStore>) runs.next();
    uint32_t values[kTokens][2 * Math::kBytes];
#pragma unroll
    for (int j = 0; j < kTokens; j++) RowPieces<Math>::read(from + kRowsAt + (warp / kOutputWarps * kTokens + j) * RowPieces<Math>::kWarpBytes, lane, values[j]);
#pragma unroll
    for (int h = 0; h < 2; h++) {
#pragma unroll
      for (int j = 0; j < kTokens; j++) {
        const typename Math::B b = Math::b_words(values[j], h);
#pragma unroll
        for (int t = 0; t < kTiles; t++) Math::multiply(sums[t].sum[j], a[t].half[h], b);
      }
    }
    if (step % kChunkSteps == kChunkSteps - 1 || step + 1 == w.steps) {
#pragma unroll
      for (int t = 0; t < kTiles; t++) total[t].add(sums[t]);
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
  constexpr int kTokens = kPanelTokens<Math>;
  const int rows = kRowWarps * 8 * kTokens, panels = a.experts.tiles ? a.experts.most_tiles() : (a.rows.most + rows - 1) / rows;
  const int groups = a.experts.tiles ? 1 : panel_groups(panels);
  const dim3 grid{static_cast<unsigned>((panels + groups - 1) / groups), static_cast<unsigned>(tile_blocks(a.p, kBlockTiles)), static_cast<unsigned>(groups)};
  const size_t shared = size_t{kStages} * kStageBytes<Math, kStore>;
  allow_shared(panel_kernel<Math, kStore>, shared);
  launch_early(panel_kernel<Math, kStore>, grid, kProductWarps * kWarp, shared, stream, a);
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
