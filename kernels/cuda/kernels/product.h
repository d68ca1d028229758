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

// What a number has more than the code less its zero: codes of 4 bits leave it to what their factors add, but in float32 products.
template <class Math, Store kStore>
__device__ __forceinline__ float code_excess(const WeightView& w) {
  return kStore != Store::kCode4 || Math::kBytes == 4 || w.levels ? 0.0f : kExcess + w.zero;
}

// Of a thread's rows g and g + 8: value = number * scale + base.
struct LaneFactors {
  float scale[2], base[2];
};

__device__ __forceinline__ float widened(float factor) { return factor; }
__device__ __forceinline__ float widened(uint16_t factor) { return f16_to_float(factor); }

// Row g's are the first of scales and offsets, null: there are none.
template <class Math, Store kStore, class Factor>
__device__ __forceinline__ LaneFactors read_factors(const WeightView& w, const Factor* scales, const Factor* offsets) {
  const float excess = code_excess<Math, kStore>(w);
  LaneFactors f;
#pragma unroll
  for (int row = 0; row < 2; row++) {
    f.scale[row] = widened(scales[8 * row]);
    f.base[row] = -excess * f.scale[row];
  }
  if (w.offsets) {
#pragma unroll
    for (int row = 0; row < 2; row++) f.base[row] = fmaf(-excess, f.scale[row], -widened(offsets[8 * row]));
  }
  return f;
}
// Row g's are number `at`.
template <class Math, Store kStore>
__device__ __forceinline__ LaneFactors read_factors(const WeightView& w, const void* scales, const void* offsets, int64_t at) {
  if (w.half_factors) return read_factors<Math, kStore>(w, static_cast<const uint16_t*>(scales) + at, static_cast<const uint16_t*>(offsets) + at);
  return read_factors<Math, kStore>(w, static_cast<const float*>(scales) + at, static_cast<const float*>(offsets) + at);
}

// From a tile's factors in shared memory, [half][scales, offsets][16] of kFactorBytes each.
template <class Math, Store kStore>
__device__ __forceinline__ LaneFactors factors_of(const WeightView& w, const uint8_t* tile, int half, int lane) {
  const uint8_t* scales = tile + half * 2 * kFactorBytes;
  return read_factors<Math, kStore>(w, scales, scales + kFactorBytes, lane / 4);
}

// Copies the factors of up to two tiles to shared memory, four threads those of one kind. Runs of a step and more have those of the first half alone.
struct FactorCopy {
  // The thread's part of run 0, null: it copies none; how far the next run's is.
  const uint8_t* from = nullptr;
  int run_bytes = 0;

  __device__ __forceinline__ void begin(const WeightView& w, int first, int second, int tiles, int lane) {
    const int item = lane / 4, t = item / 4, half = item / 2 % 2, size = w.half_factors ? 2 : 4;
    const bool halves = w.group_columns < kStepColumns;
    const auto* all = static_cast<const uint8_t*>(item % 2 == 0 ? w.scales : w.offsets);
    run_bytes = (halves ? 2 : 1) * kTileRows * size;
    from = nullptr;
    if (t < tiles && all && half <= (halves ? 1 : 0) && lane % 4 < size) {
      from = all + (static_cast<int64_t>(t == 0 ? first : second) * w.groups + half) * kTileRows * size + lane % 4 * 16;
    }
  }
  __device__ __forceinline__ void copy(uint8_t* to, int run, int lane) const {
    if (from) copy_async<16>(to + lane / 4 * kFactorBytes + lane % 4 * 16, from + static_cast<int64_t>(run) * run_bytes);
  }
};

// Of the 16 columns of half a step: four numbers of row g, then four of row g + 8. By whole warps.
template <class Math, Store kStore>
__device__ __forceinline__ void half_numbers(const WeightView& w, [[maybe_unused]] float level, const uint32_t* r, int half, float* v) {
#pragma unroll
  for (int k = 0; k < 8; k++) {
    const int i = lane_index(k / 4, 4 * half + k % 4);
    if constexpr (kStore == Store::kF32) {
      v[k] = bits_to_float(r[i]);
    } else if constexpr (kStore == Store::kBf16) {
      v[k] = i % 2 == 0 ? low_bf16(r[i / 2]) : high_bf16(r[i / 2]);
    } else if constexpr (kStore == Store::kF16) {
      v[k] = f16_to_float(static_cast<uint16_t>(r[i / 2] >> i % 2 * 16));
    } else if constexpr (kStore == Store::kCode8) {
      v[k] = byte_to_float(r[i / 4], i % 4, -8388608.0f - w.zero);
    } else if constexpr (kStore == Store::kE4m3) {
      if (k % 2 == 0) widen_e4m3(static_cast<uint16_t>(r[i / 4] >> i % 4 * 8), v[k], v[k + 1]);
    }
  }
  if constexpr (kStore == Store::kCode4) {
    auto code = [&](int k) { return r[half] >> lane_index(k / 4, k % 4) * 4; };
    if (w.levels) {
#pragma unroll
      for (int k = 0; k < 8; k++) v[k] = __shfl_sync(kWholeWarp, level, static_cast<int>(code(k)));
    } else if constexpr (Math::kBytes == 4) {
#pragma unroll
      for (int k = 0; k < 8; k++) v[k] = static_cast<float>(code(k) & 15u) - w.zero;
    } else {
      float all[8];
      excess_of_codes(r[half], all);
#pragma unroll
      for (int k = 0; k < 8; k++) v[k] = all[lane_index(k / 4, k % 4)];
    }
  }
}

// A step's weights as operands: two halves of 16 columns. Codes are widened with their factors in float32, and rounded once.
template <class Math, Store kStore>
struct Step {
  typename Math::A half[2];

  // `factors`: of codes.
  __device__ __forceinline__ void set(int h, const WeightView& w, float level, const uint32_t* r, [[maybe_unused]] const LaneFactors& factors) {
    if constexpr ((kStore == Store::kBf16 && Math::kBytes == 2) || (kStore == Store::kF32 && Math::kBytes == 4)) {
      half[h] = Math::a_words(r, h);
    } else {
      float v[8];
      half_numbers<Math, kStore>(w, level, r, h, v);
      if constexpr (kIsCode<kStore>) {
#pragma unroll
        for (int k = 0; k < 8; k++) v[k] = fmaf(v[k], factors.scale[k / 4], factors.base[k / 4]);
      }
      half[h] = Math::a(v);
    }
  }
  // From what a block has copied of a tile; factors of codes are read where a run begins with the step, and of each half where those have their own (`apart`).
  __device__ __forceinline__ void read(const WeightView& w, float level, const uint8_t* weights, const uint8_t* factors, bool begins, bool apart, int lane, LaneFactors& current) {
    uint32_t words[lane_bytes(kStore) / 4];
    WeightPieces<kStore>::read(weights, lane, words);
#pragma unroll
    for (int h = 0; h < 2; h++) {
      if constexpr (kIsCode<kStore>) {
        if (h == 0 ? begins : apart) current = factors_of<Math, kStore>(w, factors, h, lane);
      }
      set(h, w, level, words, current);
    }
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
  __device__ __forceinline__ bool begins() const { return left == steps; }
  __device__ __forceinline__ void next() {
    if (--left > 0) return;
    left = steps;
    run++;
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

// Products of few rows: 8 * kTokens, and two tiles a warp.
template <class Math, Store kStore, int kTokens>
void multiply_wide(cudaStream_t stream, const ProductArguments& a);

// Products of many rows, by blocks of 128 outputs.
template <class Math, Store kStore>
void multiply_panels(cudaStream_t stream, const ProductArguments& a);

}  // namespace millrace::cuda
