// What kernels of products share: a thread's part of a step of weights and of rows, in registers and on its way through shared memory, the sums of
// a tile, and their factors.
#pragma once
#include "core/copies.h"
#include "kernels/tiling.h"

namespace millrace::cuda {

struct ProductArguments {
  Product p;
  Experts experts;
  RowCount rows;
  // Warps of a block that share the chunks of a tile: 1, 2, 4 or 8; blocks that do; steps in a block's shared memory, and all bytes of it.
  int sharing, cluster, stages, shared_bytes;
};

// The block's number among those of its weight, which becomes the product's.
__device__ __forceinline__ int take_part(Product& p, const Parts& parts, int tiles, int block) {
  bool found = false;
#pragma unroll
  for (int i = 0; i < kMostParts; i++) {
    const int before = (p.w.tiles + tiles - 1) / tiles;
    found = found || i >= parts.count || block < before;
    if (found) continue;
    block -= before;
    p.w = parts.part[i].w;
    p.out = parts.part[i].out;
    p.bias = parts.part[i].bias;
  }
  return block;
}

// A thread's 16 weights of a step.
template <Store kStore>
using WeightPieces = Pieces<lane_bytes(kStore)>;
// Its 8 values of a row.
template <class Math>
using RowPieces = Pieces<8 * Math::kBytes>;

template <Store kStore>
inline constexpr bool kIsCode = is_code(kStore);

__device__ __forceinline__ const uint8_t* weights_at(const WeightView& w, Store store, int tile, int step, int lane) {
  return w.values + ((static_cast<int64_t>(tile) * w.steps + step) * kWarp + lane) * lane_bytes(store);
}

// The level that a lane keeps for its warp, of codes that name levels: code c is lane c's, and lane c + 16's.
__device__ __forceinline__ float lane_level(const WeightView& w, int lane) { return w.levels ? w.levels[lane % 16] : 0.0f; }

// The same as floats, codes as the numbers that they are. By whole warps.
template <Store kStore>
__device__ __forceinline__ void widen_lane(const WeightView& w, [[maybe_unused]] float level, const uint32_t* r, float* v) {
#pragma unroll
  for (int i = 0; i < kLaneValues; i++) {
    if constexpr (kStore == Store::kBf16) {
      v[i] = i % 2 == 0 ? low_bf16(r[i / 2]) : high_bf16(r[i / 2]);
    } else if constexpr (kStore == Store::kF16) {
      v[i] = f16_to_float(static_cast<uint16_t>(r[i / 2] >> i % 2 * 16));
    } else if constexpr (kStore == Store::kCode8) {
      v[i] = byte_to_float(r[i / 4], i % 4, -8388608.0f - w.zero);
    } else if constexpr (kStore == Store::kCode4) {
      const uint32_t code = r[i / 8] >> i % 8 * 4;
      v[i] = w.levels ? __shfl_sync(kWholeWarp, level, static_cast<int>(code)) : static_cast<float>(code & 15u) - w.zero;
    } else if constexpr (kStore == Store::kE4m3) {
      if (i % 2 == 0) widen_e4m3(static_cast<uint16_t>(r[i / 4] >> i % 4 * 8), v[i], v[i + 1]);
    }
  }
}

// The same as operands: two halves of 16 columns.
template <class Math, Store kStore>
struct Step {
  typename Math::A half[2];

  __device__ __forceinline__ void set(const WeightView& w, float level, const uint32_t* r) {
    if constexpr ((kStore == Store::kBf16 && Math::kBytes == 2) || (kStore == Store::kF32 && Math::kBytes == 4)) {
      constexpr int kRow = lane_bytes(kStore) / 8;
      half[0] = Math::a_words(r, r + kRow, 0);
      half[1] = Math::a_words(r, r + kRow, 1);
    } else {
      if constexpr (kStore == Store::kCode4 && Math::kBytes == 2) {
        if (!w.levels) return set_numbers(w, r);
      }
      float v[kLaneValues];
      widen_lane<kStore>(w, level, r, v);
#pragma unroll
      for (int h = 0; h < 2; h++) {
        const float eight[8] = {v[4 * h], v[4 * h + 1], v[4 * h + 2], v[4 * h + 3], v[8 + 4 * h], v[9 + 4 * h], v[10 + 4 * h], v[11 + 4 * h]};
        half[h] = Math::a(eight);
      }
    }
  }

 private:
  // Codes of 4 bits that are numbers, with fewer instructions.
  __device__ __forceinline__ void set_numbers(const WeightView& w, const uint32_t* r) {
    uint32_t upper[4], lower[4];
    const uint32_t less = pack_bf16(-128.0f - w.zero, -128.0f - w.zero);
    codes_to_bf16(r[0], less, upper);
    codes_to_bf16(r[1], less, lower);
#pragma unroll
    for (int h = 0; h < 2; h++) half[h] = Math::a_words(upper, lower, h);
  }
};

// Of 16 outputs and 8 * kTokens rows, a thread's part.
template <int kTokens>
struct Tile {
  Sum sum[kTokens];

  __device__ __forceinline__ void clear() {
#pragma unroll
    for (int j = 0; j < kTokens; j++) {
#pragma unroll
      for (int i = 0; i < 4; i++) sum[j].v[i] = 0.0f;
    }
  }
  __device__ __forceinline__ void add(const Tile& other) {
#pragma unroll
    for (int j = 0; j < kTokens; j++) {
#pragma unroll
      for (int i = 0; i < 4; i++) sum[j].v[i] += other.sum[j].v[i];
    }
  }
};

// The rows of a tile: `first` on, those before `end`; the row of the input is `source`'s where there is one. Beyond the last it is read again.
struct TileRows {
  int first, end;
  const int32_t* source;

  // Without a source.
  __device__ __forceinline__ int own(int at) const { return min(first + at, end - 1); }
  __device__ __forceinline__ int input(int at) const { return source ? source[own(at)] : own(at); }
};

// out += scale * part, of the upper and the lower 8 outputs.
template <int kTokens>
__device__ __forceinline__ void add_scaled(const Tile<kTokens>& part, float upper, float lower, Tile<kTokens>& out) {
#pragma unroll
  for (int j = 0; j < kTokens; j++) {
#pragma unroll
    for (int i = 0; i < 4; i++) out.sum[j].v[i] = fmaf(i < 2 ? upper : lower, part.sum[j].v[i], out.sum[j].v[i]);
  }
}
// out -= offset * x, of the thread's row i and that row's sum.
__device__ __forceinline__ void subtract_offset(float upper, float lower, float x, int i, Sum& out) {
  out.v[i] = fmaf(-upper, x, out.v[i]);
  out.v[2 + i] = fmaf(-lower, x, out.v[2 + i]);
}

// Adds the runs [first, last) of 16 columns that share factors: out += scale * part - offset * (sum of x).
template <int kTokens>
__device__ __forceinline__ void add_group(const WeightView& w, const Input& x, const TileRows& rows, int tile, int group, int first, int last, int lane, const Tile<kTokens>& part,
                                          Tile<kTokens>& out) {
  const int64_t f = (static_cast<int64_t>(tile) * w.groups + group) * kTileRows + lane / 4;
  add_scaled(part, factor_at(w, w.scales, f), factor_at(w, w.scales, f + 8), out);
  if (!w.offsets) return;
  const float upper_offset = factor_at(w, w.offsets, f), lower_offset = factor_at(w, w.offsets, f + 8);
#pragma unroll
  for (int j = 0; j < kTokens; j++) {
#pragma unroll
    for (int i = 0; i < 2; i++) {
      const float* sums = x.sums + static_cast<int64_t>(rows.input(8 * j + lane % 4 * 2 + i)) * (x.stride / 16);
      float all = 0;
      for (int c = first; c < last; c++) all += sums[c];
      subtract_offset(upper_offset, lower_offset, all, i, out.sum[j]);
    }
  }
}

// Runs of steps that share factors, counted along with a chunk's steps, as dividing takes many instructions. Where runs are halves of a step each step has two.
struct Runs {
  int steps;
  // Of the step that is next: its run, and the steps that are left of it.
  int run = 0, left = 0;

  __device__ __forceinline__ explicit Runs(const WeightView& w) : steps(max(1, w.group_columns / kStepColumns)) {}
  __device__ __forceinline__ void begin(int step) {
    run = static_cast<int>(static_cast<unsigned>(step) / static_cast<unsigned>(steps));
    left = steps - (step - run * steps);
  }
  __device__ __forceinline__ bool ends() const { return left == 1; }
  __device__ __forceinline__ void next() {
    if (--left > 0) return;
    left = steps;
    run++;
  }
};

// One tile's sums of one chunk.
template <class Math, Store kStore, int kTokens>
struct ChunkSums {
  Tile<kTokens> out, part;
  // Runs of 16 columns that `part` has.
  int first;

  __device__ __forceinline__ void clear(int chunk) {
    out.clear();
    if (kIsCode<kStore>) part.clear();
    first = chunk * kChunkSteps * 2;
  }
  __device__ __forceinline__ void multiply(int j, const typename Math::A& a, const typename Math::B& b) { Math::multiply(kIsCode<kStore> ? part.sum[j] : out.sum[j], a, b); }
  // A run that shares factors has ended; `done`: all runs of 16 columns up to there.
  __device__ __forceinline__ void end_group(const WeightView& w, const Input& x, const TileRows& rows, int tile, int group, int done, int lane) {
    add_group(w, x, rows, tile, group, first, done, lane, part, out);
    part.clear();
    first = done;
  }
};

// Value i of the thread's, of 8 rows from 8 * j on.
__device__ __forceinline__ void write_value(const Product& p, float sum, int tile, int j, int i, const TileRows& rows, int lane) {
  const int output = tile * kTileRows + lane / 4 + i / 2 * 8;
  const int row = rows.first + 8 * j + lane % 4 * 2 + i % 2;
  if (output >= p.w.rows || row >= rows.end) return;
  float value = sum * p.factor;
  if (p.bias) value += p.bias[output];
  p.out.data[row * p.out.stride + output] = soft_cap(value, p.cap);
}

// Products of few rows: 8 * kTokens, and two tiles a warp, but for 64 rows of codes.
template <class Math, Store kStore, int kTokens>
void multiply_wide(cudaStream_t stream, const ProductArguments& a);

// Products of many rows, by blocks of 128 outputs.
template <class Math, Store kStore>
void multiply_panels(cudaStream_t stream, const ProductArguments& a);

}  // namespace millrace::cuda
