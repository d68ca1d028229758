// What blocks of few rows copy ahead: the steps of each warp's chunks.
#pragma once
#include "kernels/product.h"

namespace millrace::cuda {

// TileRoom of a kernel, in constants.
template <class Math, Store kStore, int kTokens, int kTiles>
struct TileShape {
  static constexpr TileRoom kRoom = tile_room(kStore, Math::kBytes, kTokens, kTiles);
  static constexpr int kWeightBytes = kTiles * WeightPieces<kStore>::kWarpBytes;
  static constexpr int kSteps = kRoom.steps, kOwnBytes = kRoom.own_bytes, kCommonBytes = kRoom.common_bytes, kOwnStage = kSteps * kOwnBytes, kCommonStage = kSteps * kCommonBytes;
  static constexpr int kFloats = kRoom.floats, kPiece = kRoom.piece, kPieces = kFloats / kPiece, kPieceFloats = kProductWarps * kPiece * kWarp;
  static constexpr int kLeastSharing = kRoom.least_sharing, kTotals = kFloats / kLeastSharing;
};

static_assert(kLeastStages == 3 && kChunkSteps == 8);
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
  static constexpr int kStepBytes = kStepColumns * Math::kBytes;

  const WeightView& w;
  const Input& x;
  uint8_t *own, *common;
  // Stages; of the warp: its first tile, which of the chunks, and its number among those with the same chunk.
  int stages, tile, lane, share, sharing, member, members;
  // The thread's part of step 0: of weights, and how far the second tile is; of factors; and of rows, of 8 from 8 * j on, where bit j says that it copies them.
  const uint8_t* weights = nullptr;
  int second = 0;
  FactorCopy factors{};
  const uint8_t* values[kTokens] = {};
  unsigned own_rows = 0;
  // The step that is asked for next (the first of a stage), with its run, and the stage that it goes to.
  int step = 0, place = 0;
  Runs runs{w};

  // Tiles beyond the last are the last again.
  __device__ __forceinline__ int tile_at(int t) const { return min(tile + t, w.tiles - 1); }

  __device__ __forceinline__ void begin_weights() {
    weights = weights_at(w, kStore, tile_at(0), 0, lane);
    if constexpr (kTiles == 2) second = (tile_at(1) - tile_at(0)) * w.steps * WeightPieces<kStore>::kWarpBytes;
    step = share * kChunkSteps;
    if constexpr (kIsCode<kStore>) {
      factors.begin(w, tile_at(0), tile_at(1), kTiles, lane);
      runs = Runs(w);
      runs.begin(step);
    }
  }
  __device__ __forceinline__ void begin_rows(const TileRows& rows) {
#pragma unroll
    for (int j = 0; j < kTokens; j++) {
      const int64_t at = static_cast<int64_t>(rows.input(8 * j + lane / 4)) * x.stride + lane % 4 * 8;
      values[j] = kept(static_cast<const uint8_t*>(x.values) + at * Math::kBytes);
      if ((j & (members - 1)) == member) own_rows |= 1u << j;
    }
  }

  // Of the steps of a stage from `at` on that there are; `of` goes along.
  __device__ __forceinline__ void copy_weights(int stage, int at, Runs& of) const {
    uint8_t* to = own + stage * Shape::kOwnStage;
    const uint8_t* from = weights + static_cast<int64_t>(at) * WeightPieces<kStore>::kWarpBytes;
#pragma unroll
    for (int u = 0; u < Shape::kSteps; u++) {
      if (u == 0 || at + u < w.steps) {
        const uint8_t* first = from + u * WeightPieces<kStore>::kWarpBytes;
#pragma unroll
        for (int t = 0; t < kTiles; t++) WeightPieces<kStore>::copy(to + u * Shape::kOwnBytes + t * WeightPieces<kStore>::kWarpBytes, t == 0 ? first : first + second, lane);
        if constexpr (kIsCode<kStore>) {
          if (of.begins() || (u == 0 && at % kChunkSteps == 0)) factors.copy(to + u * Shape::kOwnBytes + Shape::kWeightBytes, of.run, lane);
        }
      }
      if constexpr (kIsCode<kStore>) of.next();
    }
  }
  __device__ __forceinline__ void copy_rows(int stage) const {
    const CopyPlace to = kept(RowPieces<Math>::thread_place(copy_place(common + stage * Shape::kCommonStage), lane));
    const auto ahead = static_cast<uint64_t>(static_cast<unsigned>(step));
#pragma unroll
    for (int j = 0; j < kTokens; j++) {
      if (!(own_rows >> j & 1u)) continue;
      const uint8_t* from = values[j] + ahead * kStepBytes;
#pragma unroll
      for (int u = 0; u < Shape::kSteps; u++) {
        if (u == 0 || step + u < w.steps) RowPieces<Math>::copy_to(to + u * Shape::kCommonBytes + j * RowPieces<Math>::kWarpBytes, from + u * kStepBytes);
      }
    }
  }

  // Copies a stage's steps when there are any, and closes its group in any case.
  __device__ __forceinline__ void ask(bool weights_too = true) {
    if (step < w.steps) {
      if (weights_too) {
        copy_weights(place, step, runs);
      } else if constexpr (kIsCode<kStore>) {
        for (int u = 0; u < Shape::kSteps; u++) runs.next();
      }
      copy_rows(place);
    }
    close_copies();
    place = place + 1 == stages ? 0 : place + 1;
    step += Shape::kSteps;
    if (step % kChunkSteps != 0 || sharing == 1) return;
    step += (sharing - 1) * kChunkSteps;
    if constexpr (kIsCode<kStore>) runs.begin(step);
  }
  // Weights of the first steps, which no launch before this one writes: they are of one chunk.
  __device__ __forceinline__ void ask_weights() const {
    Runs of = runs;
    for (int i = 0; i < stages - 1 && step + i * Shape::kSteps < w.steps; i++) copy_weights(i, step + i * Shape::kSteps, of);
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
