// Which way to tile a product takes, by counting what it moves and computes; nothing of it was measured yet.
#include "kernels/tiling.h"

#include <algorithm>
#include <cmath>

namespace millrace::cuda {
namespace {

// Of an H200, a microsecond: bytes from memory and from L2 to all multiprocessors, and to one of 132; multiplications and additions of mma.sync in one.
constexpr double kMemory = 4.3e6, kCrossing = 5.5e6, kChips = 132, kMostOfOne = 1.5 * kCrossing / kChips, kWork = 2.3e6;
// Instructions of a multiprocessor's warps in one: four a cycle.
constexpr double kIssue = 4 * 1.755e3;
// Microseconds from asking to having, and of a barrier of all warps with what stands around it.
constexpr double kLatency = 1, kMeeting = 0.06, kClusterMeeting = 0.3;
// Beyond these blocks of few rows would read weights too often.
constexpr int kMostRows = 256;
// Rows of a panel at most.
constexpr int kMostExpertRows = kPanelRowWarps * 8 * panel_tokens(2);
// Warps that share the chunks of their outputs, in a cluster.
constexpr int kMostTogether = 8;
// Clusters have to wait until enough multiprocessors are free side by side, which is not counted: they are taken where they bring a tenth.
constexpr double kClusterGain = 0.9;

// What a block of a way has.
struct Shape {
  // Tiles of 16 outputs, rows.
  int tiles = 0, rows = 0;
  int shared_bytes = 0, stages = 0;
  // Of a stage.
  int steps = 1;
  // Blocks that fit into a multiprocessor.
  int resident = 1;
  // Barriers of all warps in each round of chunks, and bytes of sums that each block reads of others of its cluster.
  int meetings = 0;
  double peer_bytes = 0;
};

int value_bytes(const Product& p) { return p.x.f32 ? 4 : 2; }

int tokens_of(Tiling tiling) {
  switch (tiling) {
    case Tiling::kRows8:
    case Tiling::kWide8: return 1;
    case Tiling::kRows16:
    case Tiling::kWide16: return 2;
    case Tiling::kWide32: return 4;
    case Tiling::kRows64: return 8;
    case Tiling::kAuto:
    case Tiling::kPanels: return 0;
  }
  return 0;
}

// Rows of a block.
int rows_of(const Product& p, Tiling tiling) {
  return tiling == Tiling::kPanels ? kPanelRowWarps * 8 * panel_tokens(value_bytes(p)) : 8 * tokens_of(tiling);
}

bool is_narrow(Tiling tiling) { return tiling == Tiling::kRows8 || tiling == Tiling::kRows16; }
int warp_tiles(Tiling tiling) { return is_narrow(tiling) ? 1 : 2; }

// Instructions of a warp in a step, as they are compiled for sm_90a: waits, copies and counts; for each tile of 16 outputs its weights, converted; for each 8 rows
// what is read of them; for each tile and 8 rows the products.
struct StepCount {
  double fixed, tile, rows, sums;
};
StepCount step_count(const Product& p, int stage_steps) {
  if (p.x.f32) return {60, is_code(p.w.store) ? 200.0 : 170.0, 85, 20};
  const double of_codes = stage_steps > 1 ? 68 : 107;
  switch (p.w.store) {
    case Store::kF32:
    case Store::kBf16: return {56, 6, 3, 2};
    case Store::kF16: return {56, 65, 3, 4};
    case Store::kCode8: return {of_codes, 62, 3, 2};
    case Store::kE4m3: return {of_codes, 54, 3, 2};
    case Store::kCode4: return {of_codes, 56, 3, 2};
  }
  return {};
}
// Of a tile's factors, when a run of columns that share them begins.
constexpr double kFactorCount = 18;
// Runs that begin in a step: halves have their own, and every chunk begins one.
double runs_of(const WeightView& w) {
  if (!is_code(w.store)) return 0;
  return w.group_columns == 16 ? 2 : std::max(1.0 / kChunkSteps, 1.0 / std::max(1, w.group_columns / kStepColumns));
}

// Factors of a tile.
double factor_bytes(const WeightView& w) { return static_cast<double>(w.groups) * kTileRows * (w.half_factors ? 2 : 4) * (w.offsets ? 2 : 1); }

// No stages: the chip has not so much shared memory.
Shape shape_of(const Product& p, Way way, const ChipShape& chip) {
  Shape s;
  if (way.tiling == Tiling::kPanels) {
    s.tiles = kPanelTiles;
    s.rows = rows_of(p, way.tiling);
    s.shared_bytes = kPanelStages * panel_stage_bytes(p.w.store, value_bytes(p));
    s.stages = s.shared_bytes <= chip.shared_bytes ? kPanelStages : 0;
    return s;
  }
  const int tokens = tokens_of(way.tiling);
  const TileRoom room = tile_room(p.w.store, value_bytes(p), tokens, warp_tiles(way.tiling));
  s.tiles = kProductWarps / way.sharing * warp_tiles(way.tiling);
  s.rows = rows_of(p, way.tiling);
  s.steps = room.steps;
  s.stages = room.stages(way.sharing, way.cluster, chip.shared_bytes);
  s.shared_bytes = room.shared_bytes(way.sharing, way.cluster, chip.shared_bytes);
  s.resident = room.two_blocks && s.shared_bytes <= TileRoom::kHalf ? 2 : 1;
  s.meetings = way.sharing * way.cluster > 1 ? room.floats / room.piece : 0;
  s.peer_bytes = kProductWarps * room.floats * kWarp * 4.0 * (way.cluster - 1) / way.cluster;
  return s;
}

// Experts that some of the pairs are of, as if each were any expert's.
double expected_experts(const Experts& e) { return e.count * (1 - std::pow(1 - 1.0 / e.count, e.pairs)); }
// Tiles of theirs: an expert's last is half full.
double expected_tiles(const Experts& e, double experts) {
  return std::max(experts, static_cast<double>(e.pairs) / e.tile_rows + experts / 2);
}

int chunks_of(const Product& p) { return (p.w.steps + kChunkSteps - 1) / kChunkSteps; }

}  // namespace

bool is_possible(const Product& p, const Experts* experts, Way way, const ChipShape& chip) {
  // Clusters of few blocks with many outputs each: named barriers of all are few enough to be one block's.
  if (way.cluster > 1 && (!chip.clusters || experts || p.heads.count > 0 || is_narrow(way.tiling) || way.tiling == Tiling::kPanels || way.sharing * way.cluster > kMostTogether)) return false;
  if (experts && rows_of(p, way.tiling) != experts->tile_rows) return false;
  switch (way.tiling) {
    case Tiling::kAuto: return false;
    case Tiling::kPanels: return p.heads.count == 0 && tile_blocks(p, kPanelTiles) <= kMostOutputBlocks && shape_of(p, way, chip).stages > 0;
    case Tiling::kRows8:
    case Tiling::kRows16: break;
    case Tiling::kWide8:
    case Tiling::kWide16:
    case Tiling::kWide32:
    case Tiling::kRows64:
      if (p.x.f32) return false;
      break;
  }
  if (tile_blocks(p, kProductWarps / way.sharing * warp_tiles(way.tiling)) > kMostOutputBlocks) return false;
  if (way.sharing < tile_room(p.w.store, value_bytes(p), tokens_of(way.tiling), warp_tiles(way.tiling)).least_sharing) return false;
  return shape_of(p, way, chip).stages > 0;
}

WayCount count_way(const Product& p, const Experts* experts, int rows, Way way, const ChipShape& chip) {
  const Shape s = shape_of(p, way, chip);
  const double columns = static_cast<double>(p.w.steps) * kStepColumns, step_bytes = kWarp * lane_bytes(p.w.store);
  const double tile_bytes = p.w.steps * step_bytes + factor_bytes(p.w);
  // Experts have a weight each.
  const double matrices = experts ? expected_experts(*experts) : std::max(1, p.heads.count);
  const double tiles = experts ? std::ceil(expected_tiles(*experts, matrices)) : (rows + s.rows - 1) / s.rows * matrices;
  WayCount c{};
  c.blocks = static_cast<int64_t>(tile_blocks(p, s.tiles)) * static_cast<int64_t>(tiles) * way.cluster;
  c.shared_bytes = s.shared_bytes;
  const int sharing = way.tiling == Tiling::kPanels ? 1 : way.sharing * way.cluster, chunks = (p.w.steps + kChunkSteps - 1) / kChunkSteps;
  const int rounds = (chunks + sharing - 1) / sharing;
  const double taken = experts ? experts->pairs / tiles : std::min(rows, s.rows), row_bytes = taken * columns * value_bytes(p), weight_bytes = s.tiles * tile_bytes;
  const double block_bytes = (row_bytes + weight_bytes) / way.cluster + s.peer_bytes * rounds;
  // Blocks of panels that are apart in the grid read weights again; those of few rows stand side by side, and those of experts.
  const double reads = way.tiling == Tiling::kPanels && !experts ? panel_groups(static_cast<int>(tiles)) : 1, all_rows = experts ? experts->pairs : rows * matrices;
  c.memory_bytes = reads * all_tiles(p) * tile_bytes * matrices + all_rows * (columns * value_bytes(p) + all_tiles(p) * kTileRows * 4.0);
  c.crossing_bytes = static_cast<double>(c.blocks) * block_bytes;
  // Clusters of four are of the 16 or 18 multiprocessors that stand together.
  const int chips = way.cluster < 4 ? chip.multiprocessors : chip.multiprocessors * 32 / 33;
  const double of_one = std::ceil(static_cast<double>(c.blocks) / std::max(1, chips)), at_once = std::min<double>(s.resident, of_one);
  // What a block's warps have under way; rows by those with the same chunk.
  c.flight_bytes = at_once * (s.stages - 1) * s.steps * sharing / way.cluster * (s.tiles * step_bytes + taken * kStepColumns * value_bytes(p));
  // Warps without a chunk in the last round wait for those that have one.
  const double idle = static_cast<double>(rounds) * sharing / chunks;
  const double work = of_one * s.tiles * kTileRows * s.rows * columns / way.cluster / kWork;
  // Each of a block's warps takes its part of all steps.
  const int warp_outputs = way.tiling == Tiling::kPanels ? kPanelWarpTiles : warp_tiles(way.tiling), warp_rows = s.rows / 8 / (way.tiling == Tiling::kPanels ? kPanelRowWarps : 1);
  const StepCount n = step_count(p, s.steps);
  const double instructions = n.fixed + (n.tile + kFactorCount * runs_of(p.w)) * warp_outputs + (n.rows + n.sums * warp_outputs) * warp_rows;
  const double warp_steps = static_cast<double>(s.tiles) / warp_outputs * (s.rows / 8 / warp_rows) * p.w.steps / way.cluster;
  const double issue = of_one * warp_steps * instructions / kIssue;
  c.us = std::max({c.memory_bytes / kMemory, c.crossing_bytes / kCrossing, of_one * block_bytes / std::min(kMostOfOne, c.flight_bytes / kLatency) * idle, work * idle, issue * idle}) +
         of_one / at_once * rounds * s.meetings * (way.cluster > 1 ? kClusterMeeting : kMeeting);
  return c;
}

Way choose_way(const Product& p, const Experts* experts, int rows, Tiling tiling, const ChipShape& chip) {
  Way best{tiling, 0, 1};
  double least = 0;
  for (int cluster : {1, 2, 4}) {
    for (int sharing = tiling == Tiling::kPanels ? 1 : kProductWarps; sharing >= 1; sharing /= 2) {
      const Way way{tiling, sharing, cluster};
      // Warps beyond the chunks have nothing to do.
      const bool too_many = sharing * cluster > 2 && sharing * cluster >= 2 * chunks_of(p);
      if (!is_possible(p, experts, way, chip) || too_many) continue;
      const double us = count_way(p, experts, rows, way, chip).us;
      if (best.sharing > 0 && us >= least * (cluster > best.cluster ? kClusterGain : 1)) continue;
      best = way;
      least = us;
    }
  }
  return best;
}

Way choose_way(const Product& p, const Experts* experts, int rows, const ChipShape& chip) {
  constexpr Way kInPanels{Tiling::kPanels, 1, 1};
  if (!experts && rows > kMostRows && is_possible(p, experts, kInPanels, chip)) return kInPanels;
  Way best{Tiling::kRows8, kProductWarps, 1};
  double least = -1;
  for (Tiling tiling : {Tiling::kPanels, Tiling::kRows8, Tiling::kRows16, Tiling::kWide8, Tiling::kWide16, Tiling::kWide32, Tiling::kRows64}) {
    const Way way = choose_way(p, experts, rows, tiling, chip);
    if (way.sharing == 0) continue;
    const double us = count_way(p, experts, rows, way, chip).us;
    if (least >= 0 && us >= least * (way.cluster > best.cluster ? kClusterGain : 1)) continue;
    best = way;
    least = us;
  }
  return best;
}

int choose_tile_rows(const Product* products, int count, Experts experts, const ChipShape& chip) {
  int best = kLeastExpertRows;
  double least = -1;
  for (int rows = kLeastExpertRows; rows <= kMostExpertRows; rows *= 2) {
    experts.tile_rows = rows;
    double us = 0;
    bool possible = true;
    for (int i = 0; i < count && possible; i++) {
      const Way way = choose_way(products[i], &experts, experts.pairs, chip);
      possible = is_possible(products[i], &experts, way, chip);
      if (possible) us += count_way(products[i], &experts, experts.pairs, way, chip).us;
    }
    if (!possible || (least >= 0 && us >= least)) continue;
    best = rows;
    least = us;
  }
  return best;
}

}  // namespace millrace::cuda
