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
// The number is an instruction's constant; the first is that of most launches.
__device__ __forceinline__ void wait_for_all_but(int groups) {
  if (groups == 6) return wait_for_copies<6>();
  if (groups > 3) return groups == 5 ? wait_for_copies<5>() : wait_for_copies<4>();
  if (groups == 3) return wait_for_copies<3>();
  return groups == 2 ? wait_for_copies<2>() : wait_for_copies<1>();
}

// The steps of a warp's chunks one after the other, copied ahead.
template <class Math, Store kStore, int kTokens, int kTiles>
struct Stream {
  using Shape = TileShape<Math, kStore, kTokens, kTiles>;
  // Rows whose sums a thread copies and adds up.
  static constexpr int kSumRows = (kTokens + 3) / 4;
  static constexpr int kStepBytes = kStepColumns * Math::kBytes;

  const WeightView& w;
  const Input& x;
  uint8_t *own, *common;
  // Stages; of the warp: its first tile, which of the chunks, and its number among those with the same chunk.
  int stages, tile, lane, share, sharing, member, members;
  // The input's rows of the thread, of 8 from 8 * j on; and those whose sums it copies.
  int row[kTokens] = {}, sum_row[kSumRows] = {};
  // The thread's part of step 0: of weights, and how far the second tile is; of factors, and how far the next run's are; of rows (of 8 rows, its row's),
  // and of sums. Null: it copies none.
  const uint8_t *weights = nullptr, *factors = nullptr, *values = nullptr;
  const float* sums = nullptr;
  int second = 0, run_bytes = 0;
  // The step that is asked for next, with its run, and the stage that it goes to.
  int step = 0, place = 0;
  Runs runs{w};

  // Tiles beyond the last are the last again.
  __device__ __forceinline__ int tile_at(int t) const { return min(tile + t, w.tiles - 1); }

  __device__ __forceinline__ void begin_weights() {
    weights = weights_at(w, kStore, tile_at(0), 0, lane);
    if constexpr (kTiles == 2) second = (tile_at(1) - tile_at(0)) * w.steps * WeightPieces<kStore>::kWarpBytes;
    step = share * kChunkSteps;
    if constexpr (kIsCode<kStore>) {
      // Four threads have 16 factors.
      const int item = lane / 4, t = item / 4, half = item / 2 % 2, size = w.half_factors ? 2 : 4;
      const bool halves = w.group_columns < kStepColumns;
      const auto* from = static_cast<const uint8_t*>(item % 2 == 0 ? w.scales : w.offsets);
      run_bytes = (halves ? 2 : 1) * kTileRows * size;
      if (t < kTiles && from && (halves || half == 1) && lane % 4 < size) {
        factors = from + (static_cast<int64_t>(tile_at(t)) * w.groups + (halves ? half : 0)) * kTileRows * size + lane % 4 * 16;
      }
      runs = Runs(w);
      runs.begin(step);
    }
  }
  __device__ __forceinline__ void begin_rows(const TileRows& rows) {
#pragma unroll
    for (int j = 0; j < kTokens; j++) row[j] = rows.input(8 * j + lane / 4);
#pragma unroll
    for (int r = 0; r < kSumRows; r++) sum_row[r] = rows.input(kWarp * r + lane);
    values = static_cast<const uint8_t*>(x.values) + lane % 4 * 8 * Math::kBytes;
    if constexpr (kTokens == 1) values = member == 0 ? row_from(0) : nullptr;
    if (!kIsCode<kStore> || !w.offsets || member != members - 1 || lane >= 8 * kTokens) return;
    sums = x.sums;
    if constexpr (kTokens == 1) sums = sums_from(0);
  }
  __device__ __forceinline__ const uint8_t* row_from(int j) const { return values + static_cast<int64_t>(row[j]) * x.stride * Math::kBytes; }
  __device__ __forceinline__ const float* sums_from(int r) const { return sums + static_cast<int64_t>(sum_row[r]) * (x.stride / 16); }

  __device__ __forceinline__ void copy_weights(int stage, int at, const Runs& of) const {
    uint8_t* to = own + stage * Shape::kOwnBytes;
    const uint8_t* from = weights + static_cast<int64_t>(at) * WeightPieces<kStore>::kWarpBytes;
#pragma unroll
    for (int t = 0; t < kTiles; t++) WeightPieces<kStore>::copy(to + t * WeightPieces<kStore>::kWarpBytes, t == 0 ? from : from + second, lane);
    if constexpr (kIsCode<kStore>) {
      // Of runs that end with the step, or have sums of their own as a chunk does.
      if (factors && (of.ends() || at % kChunkSteps == kChunkSteps - 1 || at + 1 == w.steps)) {
        copy_async<16>(to + Shape::kWeightBytes + lane / 4 * kFactorBytes + lane % 4 * 16, factors + static_cast<int64_t>(of.run) * run_bytes);
      }
    }
  }
  __device__ __forceinline__ void copy_rows(int stage) const {
    uint8_t* to = common + stage * Shape::kCommonBytes;
    if constexpr (kTokens == 1) {
      if (values) RowPieces<Math>::copy(to, values + static_cast<int64_t>(step) * kStepBytes, lane);
    } else {
#pragma unroll
      for (int j = 0; j < kTokens; j++) {
        if ((j & (members - 1)) != member) continue;
        RowPieces<Math>::copy(to + j * RowPieces<Math>::kWarpBytes, row_from(j) + static_cast<int64_t>(step) * kStepBytes, lane);
      }
    }
    if (!kIsCode<kStore> || !sums) return;
#pragma unroll
    for (int r = 0; r < kSumRows; r++) {
      const float* from = kTokens == 1 ? sums : sums_from(r);
      copy_async<8>(to + Shape::kRowBytes + (kWarp * r + lane) * 8, from + static_cast<int64_t>(step) * 2);
    }
  }

  // Copies a step when there is one, and closes its group in any case.
  __device__ __forceinline__ void ask(bool weights_too = true) {
    if (step < w.steps) {
      if (weights_too) copy_weights(place, step, runs);
      copy_rows(place);
    }
    close_copies();
    place = place + 1 == stages ? 0 : place + 1;
    if constexpr (kIsCode<kStore>) runs.next();
    if (++step % kChunkSteps != 0 || sharing == 1) return;
    step += (sharing - 1) * kChunkSteps;
    if constexpr (kIsCode<kStore>) runs.begin(step);
  }
  // Weights of the first steps, which no launch before this one writes: they are of one chunk.
  __device__ __forceinline__ void ask_weights() const {
    Runs of = runs;
    for (int i = 0; i < stages - 1 && step + i < w.steps; i++) {
      copy_weights(i, step + i, of);
      of.next();
    }
  }
  // The first steps; the first group has weights that were asked for before it.
  __device__ __forceinline__ void begin(bool weights_too) {
    for (int i = 0; i < stages - 1; i++) ask(weights_too);
  }
  // The next step's stage. Everybody's part of it is there, and nobody reads the one before, whose place the next that is asked for takes.
  __device__ __forceinline__ int next() {
    wait_for_all_but(stages - 2);
    if (members == 1) {
      __syncwarp();
    } else {
      meet(1 + share, members * kWarp);
    }
    return place + 1 == stages ? 0 : place + 1;
  }
};

}  // namespace millrace::cuda
