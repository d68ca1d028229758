// What the ways to tile a product need of a block, for kernels and for the choice between them.
#pragma once
#include "kernels/launches.h"

namespace millrace::cuda {

// Threads of a block, as warps.
inline constexpr int kProductWarps = 8;
// Panels: tiles of 16 outputs of a block, stages, and warps side by side in rows.
inline constexpr int kPanelTiles = 8, kPanelStages = 4, kPanelRowWarps = 2;
// Tiles of 16 outputs of a warp.
inline constexpr int kPanelWarpTiles = kPanelTiles / (kProductWarps / kPanelRowWarps);
// Panels of rows whose blocks stand side by side in a grid: all of them, or groups of 16 and fewer, whose rows stay in L2 while outputs go by.
constexpr int panel_groups(int panels) { return (panels + 15) / 16; }
// Blocks of a grid in y, which has those of the outputs.
inline constexpr int kMostOutputBlocks = 65535;
// Stages of blocks of few rows, at least; those that are asked for first are of one chunk.
inline constexpr int kLeastStages = 3;
// Factors of a tile and a group in shared memory.
inline constexpr int kFactorBytes = kTileRows * 4;

constexpr bool is_code(Store store) { return store == Store::kCode8 || store == Store::kCode4 || store == Store::kE4m3; }
// Float32 takes twice the registers.
constexpr int panel_tokens(int value_bytes) { return value_bytes == 2 ? 8 : 4; }
// What a tile has in a stage of shared memory: weights of a step, and of codes their factors, [half][scales, offsets][16].
constexpr int tile_bytes(Store store) { return kWarp * lane_bytes(store) + (is_code(store) ? 4 * kFactorBytes : 0); }
constexpr int panel_stage_bytes(Store store, int value_bytes) {
  return kPanelTiles * tile_bytes(store) + kPanelRowWarps * panel_tokens(value_bytes) * 8 * kStepColumns * value_bytes;
}

// What a block of few rows has in shared memory: stages of each warp, stages of the warps with the same chunk, and sums on their way between warps.
struct TileRoom {
  // Steps of a stage. A warp's own of a step: weights of its tiles, then their factors. In common: rows.
  int steps, own_bytes, common_bytes;
  // Sums of a thread, and how many of them go to other warps at a time.
  int floats, piece;
  // A thread that adds up all of its sums itself has as many again.
  int least_sharing;

  // Shared memory with which two blocks fit into a multiprocessor, and whether that is what is aimed at.
  static constexpr int kHalf = 113 << 10;
  bool two_blocks;

  constexpr int stage_bytes(int sharing) const { return steps * (kProductWarps * own_bytes + sharing * common_bytes); }
  constexpr int sum_bytes(int sharing, int cluster) const { return sharing * cluster > 1 ? 2 * kProductWarps * piece * kWarp * 4 : 0; }
  // Those under way, and the one that is worked on, where a block may have so much: 3 to as many as are a chunk, or 0.
  constexpr int stages(int sharing, int cluster, int most_bytes) const {
    const int half = (kHalf - sum_bytes(sharing, cluster)) / stage_bytes(sharing), fitting = (most_bytes - sum_bytes(sharing, cluster)) / stage_bytes(sharing);
    const int wanted = two_blocks && half >= kLeastStages && half < fitting ? half : fitting;
    const int most = kChunkSteps / steps;
    return wanted < kLeastStages ? 0 : wanted > most ? most : wanted;
  }
  constexpr int shared_bytes(int sharing, int cluster, int most_bytes) const {
    return stages(sharing, cluster, most_bytes) * stage_bytes(sharing) + sum_bytes(sharing, cluster);
  }
};

// A warp has `tiles` tiles of 16 outputs and 8 * `tokens` rows of values of `value_bytes`.
constexpr TileRoom tile_room(Store store, int value_bytes, int tokens, int tiles) {
  TileRoom room{};
  // Of few rows codes have little to copy, and waits and counts take long beside them.
  room.steps = is_code(store) && value_bytes == 2 && tokens <= 2 ? 2 : 1;
  room.own_bytes = tiles * tile_bytes(store);
  room.common_bytes = tokens * 8 * kStepColumns * value_bytes;
  room.floats = tiles * tokens * 4;
  room.piece = room.floats <= 16 ? (room.floats < 8 ? room.floats : 8) : room.floats / 2;
  room.two_blocks = tokens <= 2;
  room.least_sharing = room.floats > 32 ? 2 : 1;
  return room;
}

// Tiles of all weights.
inline int all_tiles(const Product& p) {
  int tiles = p.w.tiles;
  for (int i = 0; i < p.parts.count; i++) tiles += p.parts.part[i].w.tiles;
  return tiles;
}

// Blocks that take `tiles` tiles each, those of a weight after those of the one before.
inline int tile_blocks(const Product& p, int tiles) {
  int blocks = (p.w.tiles + tiles - 1) / tiles;
  for (int i = 0; i < p.parts.count; i++) blocks += (p.parts.part[i].w.tiles + tiles - 1) / tiles;
  return blocks;
}

}  // namespace millrace::cuda
