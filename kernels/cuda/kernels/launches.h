// The kernels, as the host launches them. Everything that changes from step to step is read from device memory, so that a launch can be
// captured in a graph and repeated: grids are for the most rows there may be, and blocks beyond the actual number end at once.
#pragma once
#include "core/weights.h"

namespace millrace::cuda {

// Integers of a cache line of the device.
inline constexpr int kLineInts = 32;

// What is counted in a step, in device memory: by the host, and by launches, which have a line of their own, as the host's counts may be read beside them.
enum Count { kRowCount, kLogitRowCount, kExpertRowCount = kLineInts, kExpertTileCount, kCounts = 2 * kLineInts };

// Where rows of floats are.
struct RowView {
  float* data;
  int64_t stride;
};

// Rows of an op: at most `most`; as many as *count. `given`: the host says so before the step, no launch does; it may be read before await_launches.
struct RowCount {
  int most = 0;
  const int32_t* count = nullptr;
  bool given = false;
};

// Keys and values of a layer: [block][head][token][stride], keys and values apart. MR_INT8 and MR_FP8 have factors [block][head][token]. Latents have one
// row a token, of which the first value_dim values are the value too.
struct CacheView {
  uint8_t* keys;
  uint8_t* values;
  float* key_scales;
  float* value_scales;
  int32_t type, block_tokens, heads, key_dim, value_dim, key_stride, value_stride;
  // Columns of values that are computed: value_dim filled up.
  int32_t value_width;
  // Of latents: how many of a key's last values are the turned part, which cache and queries get apart; 0: no latents.
  int32_t turned_dim;
};

// A stretch of a cache with the same number of bytes for every block, a multiple of 4; `held` has room for the `count` blocks.
void copy_blocks(cudaStream_t stream, uint8_t* base, int64_t block_bytes, const int32_t* from, const int32_t* to, int count, uint8_t* held);

// Rows in the form that products read: rounded, in order of fragments, filled up with zeros to `stride` values; or in e4m3 and a factor of
// each row.
struct Input {
  void* values;
  int stride;
  bool f32;
  // Of e4m3; null: the values are no such.
  float* factors;
};
// Rows of experts: a list of tiles, each of rows that one expert has; tiles of an expert lie one after the other.
struct ExpertTile {
  int32_t expert, first, rows;
};
// Rows of a tile at least.
inline constexpr int kLeastExpertRows = 8;
struct Experts {
  const ExpertTile* tiles;
  const int32_t* tile_count;
  const WeightView* weights;
  // The row of the input that belongs to each row; null: its own.
  const int32_t* source;
  // Experts, (row, expert) pairs at most, rows that a tile has at most.
  int count, pairs, tile_rows;

  // Tiles that so many pairs make at most.
  int most_tiles() const { return pairs / tile_rows + (pairs < count ? pairs : count); }
};

// A product for each head: weights that lie one after the other, input rows of heads as prepared, and an output row's heads side by side.
struct Heads {
  int count = 0;
  int64_t weight_bytes = 0;
  int out_step = 0;
};

// A weight that is multiplied with the same input in the same launch, stored as the product's own is.
struct Part {
  WeightView w;
  RowView out;
  const float* bias;
};
inline constexpr int kMostParts = 2;
struct Parts {
  int count;
  Part part[kMostParts];
};

// out = cap((x · wᵀ) · factor + bias).
struct Product {
  WeightView w;
  Input x;
  RowView out;
  const float* bias;
  float factor, cap;
  Heads heads{};
  // Further weights.
  Parts parts{};
};
// How blocks take rows and outputs: so many rows at once, with one tile of 16 outputs a warp or (wide, and 64 rows) two, whose warps share the
// chunks of 256 columns; or panels of 64 rows and more. The bits are the same.
enum class Tiling { kAuto, kRows8, kRows16, kWide8, kWide16, kWide32, kRows64, kPanels };
struct Way {
  Tiling tiling = Tiling::kAuto;
  // Warps of a block that share the chunks of their outputs: 1, 2, 4 or 8; and blocks of a cluster that do, 1, 2 or 4.
  int sharing = 8, cluster = 1;
};
// What counts of a chip: multiprocessors, bytes of shared memory that a block may have, and whether blocks make clusters.
struct ChipShape {
  int multiprocessors;
  int shared_bytes;
  bool clusters;
};
// What a way needs, by counting: blocks and the shared memory of each, bytes that cross from L2 to multiprocessors, bytes that a multiprocessor has under way, and
// microseconds on an H200.
struct WayCount {
  int64_t blocks;
  int shared_bytes;
  double memory_bytes, crossing_bytes, flight_bytes, us;
};
// Whether the product can be multiplied so on the chip; blocks of experts have as many rows as their tiles, heads no panels, float32 no wide tiles.
bool is_possible(const Product& p, const Experts* experts, Way way, const ChipShape& chip);
WayCount count_way(const Product& p, const Experts* experts, int rows, Way way, const ChipShape& chip);
// The one with the least count, of those that are possible.
Way choose_way(const Product& p, const Experts* experts, int rows, const ChipShape& chip);
// The same of one tiling; with sharing 0: it is not possible.
Way choose_way(const Product& p, const Experts* experts, int rows, Tiling tiling, const ChipShape& chip);
// How many rows the tiles of experts have, for products with the same tiles: those with the least count of all together. Each product's `w` says how all
// experts are stored.
int choose_tile_rows(const Product* products, int count, Experts experts, const ChipShape& chip);
// `chips`: multiprocessors. With experts, w says how all of them are stored, and blocks have the rows of a tile.
void multiply(cudaStream_t stream, RowCount rows, const Product& p, const Experts* experts, int chips, Way way = {});

// Rows of `tiles` tiles of a weight that is not float32 from `first_tile` on, in bf16: [tiles * 16, steps * 32], columns in the order of inputs.
void expand(cudaStream_t stream, const WeightView& w, int first_tile, int tiles, uint16_t* out, int chips);
// The same of a weight in e4m3, as it is.
void expand_codes(cudaStream_t stream, const WeightView& w, int first_tile, int tiles, uint8_t* out, int chips);

// Of a layer, so that what is chosen from fits the shared memory of any chip.
inline constexpr int kMostExperts = 8192;

struct RouteArguments {
  RowView x;
  const float* weight;
  int experts, columns, active, groups, kept;
  bool renormalise;
  float scale;
  // [rows, active], ids as integers.
  RowView ids, weights;
  // [rows][experts], to work in.
  float* logits;
};
void route(cudaStream_t stream, RowCount rows, const RouteArguments& p);

// Sorts the chosen (row, choice) pairs by expert: where each is, which row each place has, and the tiles of at most `tile_rows`.
struct SortArguments {
  RowView ids;
  int experts, active, tile_rows;
  int32_t* place;
  int32_t* source;
  ExpertTile* tiles;
  int32_t* counts;
};
void sort_by_expert(cudaStream_t stream, RowCount rows, const SortArguments& p);
// out[row] = sum of weights[row][k] * x[place[row][k]], from k = 0 on.
void combine(cudaStream_t stream, RowCount rows, RowView x, const int32_t* place, RowView weights, int active, RowView out, int width);

// Query rows of a sequence that are worked on together, over some chunks of its context.
struct AttentionTask {
  int32_t sequence, row0, rows, chunk0, chunk1;
  // Place of its partial result, in pieces of kQueryTile query rows; -1: it has the whole.
  int32_t partial;
};
// Partial results of the chunks lie one after the other from `partial` on.
struct MergeTask {
  int32_t row0, rows, chunks, partial;
};
struct AttentionArguments {
  CacheView cache;
  RowView q, out;
  // Of latents: the turned parts of queries.
  RowView turned;
  const int32_t* positions;
  // [sequence][table_width[0]]
  const int32_t* block_table;
  const int32_t* table_width;
  const AttentionTask* tasks;
  const MergeTask* merges;
  // Tasks, merges, and how many of the tasks are for whole blocks (kBlockTile), which come first.
  const int32_t* counts;
  float* partials;
  int heads, kv_heads, window;
  // Query rows of a task, tokens times heads, at most: kBlockTile, kQueryTile (of latents), or kWarpgroupTile.
  int tile;
  float scale, cap;
  // Everything in float32.
  bool exact;
};
void attend(cudaStream_t stream, const AttentionArguments& p, int blocks);
// Tasks of one head tile that a device of so many multiprocessors has at work at the same time, each by a block for each part of the values; a block has four
// of warps.
int attention_places(const CacheView& cache, bool exact, int tile, int chips);
// Shared memory that a block of attention has at least, over a cache of such rows.
size_t least_shared(const CacheView& cache, bool exact);
void merge_attention(cudaStream_t stream, const AttentionArguments& p, int blocks);

// Tokens of a chunk; query rows of a task, of a warp, of a block's warps and of warpgroups; how many heads of a group go together; floats of a partial
// result of kQueryTile rows, and how many such a task has.
inline constexpr int kAttentionChunk = 256;
inline constexpr int kQueryTile = 16;
inline constexpr int kBlockTile = 64;
inline constexpr int kWarpgroupTile = 128;
MR_HOST_DEVICE inline int heads_together(int heads, int kv_heads, int tile) { return heads / kv_heads < tile ? heads / kv_heads : tile; }
MR_HOST_DEVICE inline int head_tiles(int heads, int kv_heads, int tile) {
  return kv_heads * ((heads / kv_heads + heads_together(heads, kv_heads, tile) - 1) / heads_together(heads, kv_heads, tile));
}
MR_HOST_DEVICE inline int partial_pieces(int rows) { return (rows + kQueryTile - 1) / kQueryTile; }
MR_HOST_DEVICE inline int64_t partial_floats(int value_width) { return static_cast<int64_t>(kQueryTile) * (value_width + 2); }

// The rows of a task that attention has over this cache where warpgroups multiply (wgmma of sm_90a); they do not in float32, and over bf16 and f16
// with rows of 64 or 128 values alone.
inline int attention_tile(bool warpgroups, bool exact, int32_t type, int key_stride, int value_stride, bool latent) {
  const bool fits = (type == MR_BF16 || type == MR_F16) && key_stride == value_stride && (key_stride == 64 || key_stride == 128);
  return latent ? kQueryTile : warpgroups && !exact && fits ? kWarpgroupTile : kBlockTile;
}

// Strides of the cache.
inline int cache_key_stride(int key_dim) { return rounded_up(key_dim, 32); }
inline int cache_value_stride(int value_dim) { return rounded_up(value_dim, value_dim > 16 ? 32 : 16); }

}  // namespace millrace::cuda
