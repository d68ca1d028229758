// What blocks of few rows copy ahead: the steps of each warp's chunks.
#pragma once
#include "kernels/product.h"

namespace millrace::cuda {

// TileRoom of a kernel, in constants.
template <class Math, Store kStore, int kTokens, int kTiles>
struct TileShape {
  static constexpr TileRoom kRoom = tile_room(kStore, Math::kBytes, kTokens, kTiles);
  static constexpr int kWeightBytes = kTiles * WeightPieces<kStore>::kWarpBytes, kRowBytes = kTokens * RowPieces<Math>::kWarpBytes;
  static constexpr int kOwnBytes = kRoom.own_bytes, kCommonBytes = kRoom.common_bytes;
  static constexpr int kFloats = kRoom.floats, kPiece = kRoom.piece, kPieces = kFloats / kPiece, kPieceFloats = kProductWarps * kPiece * kWarp;
  static constexpr int kLeastSharing = kRoom.least_sharing, kTotals = kFloats / kLeastSharing;
};

static_assert(kLeastStages == 3 && kMostStages == 8);
__device__ __forceinline__ void wait_for_all_but(int groups) {
  switch (groups) {
    case 1: return wait_for_copies<1>();
    case 2: return wait_for_copies<2>();
    case 3: return wait_for_copies<3>();
    case 4: return wait_for_copies<4>();
    case 5: return wait_for_copies<5>();
    default: return wait_for_copies<6>();
  }
}

// The steps of a warp's chunks one after the other, copied ahead.
template <class Math, Store kStore, int kTokens, int kTiles>
struct Stream {
  using Shape = TileShape<Math, kStore, kTokens, kTiles>;
  // Rows whose sums a thread copies and adds up.
  static constexpr int kSumRows = (kTokens + 3) / 4;

  const WeightView& w;
  const Input& x;
  uint8_t *own, *common;
  // Stages; of the warp: its first tile, which of the chunks, and its number among those with the same chunk.
  int stages, tile, lane, share, sharing, member, members;
  TileRows rows{0, 0, nullptr};
  // Of experts, who have 8 rows and no more: the thread's row, and that whose sums it copies.
  int row = 0, sum_row = 0;
  // How many steps were asked for, where the next goes, and where the next to be used is.
  int asked = 0, place = 0, used = 0;

  __device__ __forceinline__ void begin_rows(const TileRows& of) {
    rows = of;
    if constexpr (kTokens == 1) {
      row = of.input(lane / 4);
      sum_row = of.input(lane);
    }
  }
  // The input's row of the thread, of 8 from 8 * j on; and that of all.
  __device__ __forceinline__ int row_at(int j) const { return kTokens == 1 ? row : rows.own(8 * j + lane / 4); }
  __device__ __forceinline__ int sum_row_at(int r) const { return kTokens == 1 ? sum_row : rows.own(kWarp * r + lane); }
  // Tiles beyond the last are the last again.
  __device__ __forceinline__ int tile_at(int t) const { return min(tile + t, w.tiles - 1); }

  __device__ __forceinline__ void copy_weights(int stage, int step) const {
    uint8_t* to = own + stage * Shape::kOwnBytes;
#pragma unroll
    for (int t = 0; t < kTiles; t++) WeightPieces<kStore>::copy(to + t * WeightPieces<kStore>::kWarpBytes, weights_at(w, kStore, tile_at(t), step, lane), lane);
    if constexpr (kIsCode<kStore>) copy_factors(to + Shape::kWeightBytes, step);
  }
  // Of groups that end with the step or within it: four threads have 16 factors.
  __device__ __forceinline__ void copy_factors(uint8_t* to, int step) const {
    const int item = lane / 4, t = item / 4, half = item / 2 % 2;
    const auto* from = static_cast<const uint8_t*>(item % 2 == 0 ? w.scales : w.offsets);
    const int size = w.half_factors ? 2 : 4, done = 2 * step + half + 1;
    const bool ends = done * 16 % w.group_columns == 0 || done % (2 * kChunkSteps) == 0 || done == 2 * w.steps;
    if (t >= kTiles || !from || !ends || lane % 4 >= size) return;
    const int64_t first = (static_cast<int64_t>(tile_at(t)) * w.groups + min((done * 16 - 1) / w.group_columns, w.groups - 1)) * kTileRows;
    copy_async<16>(to + item * kFactorBytes + lane % 4 * 16, from + first * size + lane % 4 * 16);
  }
  __device__ __forceinline__ void copy_rows(int stage, int step) const {
    uint8_t* to = common + stage * Shape::kCommonBytes;
#pragma unroll
    for (int j = 0; j < kTokens; j++) {
      if (j % members != member) continue;
      const auto* from = static_cast<const typename Math::Value*>(x.values) + static_cast<int64_t>(row_at(j)) * x.stride + step * kStepColumns + lane % 4 * 8;
      RowPieces<Math>::copy(to + j * RowPieces<Math>::kWarpBytes, reinterpret_cast<const uint8_t*>(from), lane);
    }
    if (!kIsCode<kStore> || !w.offsets || member != members - 1) return;
#pragma unroll
    for (int r = 0; r < kSumRows; r++) {
      const int at = kWarp * r + lane;
      if (at < 8 * kTokens) copy_async<8>(to + Shape::kRowBytes + at * 8, x.sums + static_cast<int64_t>(sum_row_at(r)) * (x.stride / 16) + step * 2);
    }
  }

  // Copies a step when there is one, and closes its group in any case.
  __device__ __forceinline__ void ask(bool weights = true) {
    const int step = (asked / kChunkSteps * sharing + share) * kChunkSteps + asked % kChunkSteps;
    if (step < w.steps) {
      if (weights) copy_weights(place, step);
      copy_rows(place, step);
    }
    close_copies();
    asked++;
    place = place + 1 == stages ? 0 : place + 1;
  }
  // Weights of the first steps, which no launch before this one writes.
  __device__ __forceinline__ void ask_weights() const {
    for (int i = 0; i < stages - 1; i++) {
      if (share * kChunkSteps + i < w.steps) copy_weights(i, share * kChunkSteps + i);
    }
  }
  // The first steps; the first group has weights that were asked for before it.
  __device__ __forceinline__ void begin(bool weights) {
    for (int i = 0; i < stages - 1; i++) ask(weights);
  }
  // The next step's stage. Everybody's part of it is there, and nobody reads the one before, whose place the next that is asked for takes.
  __device__ __forceinline__ int next() {
    wait_for_all_but(stages - 2);
    if (members == 1) {
      __syncwarp();
    } else {
      meet(1 + share, members * kWarp);
    }
    const int stage = used;
    used = used + 1 == stages ? 0 : used + 1;
    return stage;
  }
};

}  // namespace millrace::cuda
