// Products with weights, all by one rule: an output is summed in chunks of 256 columns, each from zero in ascending order, and the chunks are
// added in ascending order. So the few rows of a decode, whose chunks are shared by the warps of a block, and the many of a prefill, where a
// warp takes all chunks of its outputs, get the same bits, whoever else is in the batch.
#include "kernels/launches.h"

namespace millrace::cuda {
namespace {

constexpr int kWarps = 8;

struct Arguments {
  Product p;
  Experts experts;
  RowCount rows;
  // Warps that share the chunks of a tile: 1, 2, 4 or 8.
  int sharing;
};

// What a thread has of a weight's step: the halves of 16 columns.
template <class Math, Store kStore>
struct Step {
  typename Math::A half[2];

  __device__ __forceinline__ void load(const WeightView& w, int tile, int step, int lane) {
    const uint8_t* p = w.values + ((static_cast<int64_t>(tile) * w.steps + step) * kWarp + lane) * lane_bytes(kStore);
    if constexpr ((kStore == Store::kBf16 && Math::kBytes == 2) || (kStore == Store::kF32 && Math::kBytes == 4)) {
      auto* values = reinterpret_cast<const typename Math::Value*>(p);
      half[0] = Math::a_stored(values, values + 8);
      half[1] = Math::a_stored(values + 4, values + 12);
    } else {
      float v[kLaneValues];
      widen(w, p, v);
#pragma unroll
      for (int h = 0; h < 2; h++) {
        const float eight[8] = {v[4 * h], v[4 * h + 1], v[4 * h + 2], v[4 * h + 3], v[8 + 4 * h], v[9 + 4 * h], v[10 + 4 * h], v[11 + 4 * h]};
        half[h] = Math::a(eight);
      }
    }
  }

 private:
  __device__ __forceinline__ static void widen(const WeightView& w, const uint8_t* p, float* v) {
    if constexpr (kStore == Store::kBf16 || kStore == Store::kF16) {
      const uint4 words[2] = {*reinterpret_cast<const uint4*>(p), *reinterpret_cast<const uint4*>(p + 16)};
#pragma unroll
      for (int i = 0; i < 2; i++) {
        const uint32_t r[4] = {words[i].x, words[i].y, words[i].z, words[i].w};
#pragma unroll
        for (int j = 0; j < 4; j++) {
          const bool bf16 = kStore == Store::kBf16;
          v[8 * i + 2 * j] = bf16 ? low_bf16(r[j]) : f16_to_float(static_cast<uint16_t>(r[j]));
          v[8 * i + 2 * j + 1] = bf16 ? high_bf16(r[j]) : f16_to_float(static_cast<uint16_t>(r[j] >> 16));
        }
      }
    } else if constexpr (kStore == Store::kCode8) {
      const uint4 words = *reinterpret_cast<const uint4*>(p);
      const uint32_t r[4] = {words.x, words.y, words.z, words.w};
#pragma unroll
      for (int i = 0; i < kLaneValues; i++) v[i] = static_cast<float>(r[i / 4] >> i % 4 * 8 & 255u) - w.zero;
    } else if constexpr (kStore == Store::kCode4) {
      const uint2 words = *reinterpret_cast<const uint2*>(p);
#pragma unroll
      for (int i = 0; i < kLaneValues; i++) v[i] = code_value(w, (i < 8 ? words.x : words.y) >> i % 8 * 4 & 15u);
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

// The rows of the input that a thread reads, one of each 8.
template <class Math, int kTokens>
struct Rows {
  const typename Math::Value* values[kTokens];
};

// Adds the columns [first, last) of 16 that share factors: out += scale * part - offset * (sum of x).
template <int kTokens>
__device__ __forceinline__ void add_scaled(const WeightView& w, const Input& x, const int32_t* token_rows, int tile, int group, int first, int last, int lane, const Tile<kTokens>& part,
                           Tile<kTokens>& out) {
  const int64_t f = (static_cast<int64_t>(tile) * w.groups + group) * kTileRows + lane / 4;
  const float upper = factor_at(w, w.scales, f), lower = factor_at(w, w.scales, f + 8);
#pragma unroll
  for (int j = 0; j < kTokens; j++) {
#pragma unroll
    for (int i = 0; i < 4; i++) out.sum[j].v[i] = fmaf(i < 2 ? upper : lower, part.sum[j].v[i], out.sum[j].v[i]);
  }
  if (!w.offsets) return;
  const float upper_offset = factor_at(w, w.offsets, f), lower_offset = factor_at(w, w.offsets, f + 8);
#pragma unroll
  for (int j = 0; j < kTokens; j++) {
#pragma unroll
    for (int i = 0; i < 2; i++) {
      const float* sums = x.sums + static_cast<int64_t>(token_rows[2 * j + i]) * (x.stride / 16);
      float all = 0;
      for (int c = first; c < last; c++) all += sums[c];
      out.sum[j].v[i] = fmaf(-upper_offset, all, out.sum[j].v[i]);
      out.sum[j].v[2 + i] = fmaf(-lower_offset, all, out.sum[j].v[2 + i]);
    }
  }
}

// One chunk of one tile, from zero.
template <class Math, Store kStore, int kTokens>
__device__ __forceinline__ void multiply_chunk(const WeightView& w, const Input& x, const Rows<Math, kTokens>& rows, const int32_t* token_rows, int tile, int chunk, int lane,
                               Tile<kTokens>& out) {
  constexpr bool kCodes = kStore == Store::kCode8 || kStore == Store::kCode4;
  Tile<kTokens> part;
  out.clear();
  if (kCodes) part.clear();
  const int end = min(w.steps, (chunk + 1) * kChunkSteps);
  int first = chunk * kChunkSteps * 2;
  for (int step = chunk * kChunkSteps; step < end; step++) {
    Step<Math, kStore> a;
    a.load(w, tile, step, lane);
#pragma unroll
    for (int h = 0; h < 2; h++) {
#pragma unroll
      for (int j = 0; j < kTokens; j++) {
        Math::multiply(kCodes ? part.sum[j] : out.sum[j], a.half[h], Math::b_stored(rows.values[j] + step * kStepColumns + 4 * h));
      }
      if (kCodes) {
        const int done = 2 * step + h + 1;
        if (done * 16 % w.group_columns == 0 || done == 2 * end) {
          add_scaled(w, x, token_rows, tile, min((done * 16 - 1) / w.group_columns, w.groups - 1), first, done, lane, part, out);
          part.clear();
          first = done;
        }
      }
    }
  }
}

template <int kTokens>
__device__ __forceinline__ void write(const Product& p, const Tile<kTokens>& total, int tile, int row0, int row1, int lane) {
#pragma unroll
  for (int j = 0; j < kTokens; j++) {
#pragma unroll
    for (int i = 0; i < 4; i++) {
      const int output = tile * kTileRows + lane / 4 + i / 2 * 8;
      const int row = row0 + 8 * j + lane % 4 * 2 + i % 2;
      if (output >= p.w.rows || row >= row1) continue;
      float value = total.sum[j].v[i] * p.factor;
      if (p.bias) value += p.bias[output];
      p.out.data[row * p.out.stride + output] = soft_cap(value, p.cap);
    }
  }
}

// Block (tiles, rows, head): kWarps / sharing tiles of 16 outputs, 8 * kTokens rows.
template <class Math, Store kStore, int kTokens>
__global__ void __launch_bounds__(kWarps* kWarp, 1) linear_kernel(const __grid_constant__ Arguments arguments) {
  MR_SHARED_MEMORY(float, partials);
  Product p = arguments.p;
  int row0 = blockIdx.y * 8 * kTokens, row1;
  const int32_t* source = nullptr;
  if (arguments.experts.tiles) {
    if (static_cast<int>(blockIdx.y) >= *arguments.experts.tile_count) return;
    const ExpertTile expert = arguments.experts.tiles[blockIdx.y];
    p.w = arguments.experts.weights[expert.expert];
    source = arguments.experts.source;
    row0 = expert.first;
    row1 = expert.first + expert.rows;
  } else {
    row1 = min(*arguments.rows.count, row0 + 8 * kTokens);
    if (row0 >= row1) return;
  }
  if (p.heads.count > 0) {
    const int head = blockIdx.z;
    p.w.values += head * p.heads.weight_bytes;
    p.x.values = static_cast<typename Math::Value*>(p.x.values) + static_cast<int64_t>(head) * p.x.stride;
    p.x.stride *= p.heads.count;
    p.out.data += static_cast<int64_t>(head) * p.heads.out_step;
  }
  const int warp = threadIdx.x / kWarp, lane = threadIdx.x % kWarp;
  const int sharing = arguments.sharing, share = warp % sharing;
  const int tile = blockIdx.x * (kWarps / sharing) + warp / sharing;
  const bool there = tile < p.w.tiles;

  // Rows beyond the last are read as the last, and not written.
  Rows<Math, kTokens> rows;
  int32_t token_rows[2 * kTokens];
#pragma unroll
  for (int j = 0; j < kTokens; j++) {
    auto input_row = [&](int at) {
      const int row = min(row0 + 8 * j + at, row1 - 1);
      return source ? source[row] : row;
    };
    rows.values[j] = static_cast<const typename Math::Value*>(p.x.values) + static_cast<int64_t>(input_row(lane / 4)) * p.x.stride + lane % 4 * 8;
#pragma unroll
    for (int i = 0; i < 2; i++) token_rows[2 * j + i] = input_row(lane % 4 * 2 + i);
  }

  Tile<kTokens> total;
  total.clear();
  const int chunks = (p.w.steps + kChunkSteps - 1) / kChunkSteps;
  constexpr int kFloats = kTokens * 4 * kWarp;
  for (int chunk = 0; chunk < chunks; chunk += sharing) {
    Tile<kTokens> one;
    const bool mine = there && chunk + share < chunks;
    if (mine) multiply_chunk<Math, kStore>(p.w, p.x, rows, token_rows, tile, chunk + share, lane, one);
    if (sharing == 1) {
      if (mine) total.add(one);
      continue;
    }
    float* own = partials + warp * kFloats + lane;
    if (mine) {
#pragma unroll
      for (int i = 0; i < kTokens * 4; i++) own[i * kWarp] = one.sum[i / 4].v[i % 4];
    }
    __syncthreads();
    if (share == 0 && there) {
      const int count = min(sharing, chunks - chunk);
      for (int s = 0; s < count; s++) {
#pragma unroll
        for (int i = 0; i < kTokens * 4; i++) total.sum[i / 4].v[i % 4] += own[s * kFloats + i * kWarp];
      }
    }
    __syncthreads();
  }
  if (share == 0 && there) write(p, total, tile, row0, row1, lane);
}

template <class Math, Store kStore, int kTokens>
void start(cudaStream_t stream, const Arguments& a, int chips) {
  const int heads = a.p.heads.count > 0 ? a.p.heads.count : 1;
  const int row_tiles = a.experts.tiles ? a.experts.most_tiles : (a.rows.most + 8 * kTokens - 1) / (8 * kTokens);
  const int chunks = (a.p.w.steps + kChunkSteps - 1) / kChunkSteps;
  Arguments arguments = a;
  // Enough warps to keep memory busy, 16 for each multiprocessor.
  arguments.sharing = 1;
  while (arguments.sharing < kWarps && arguments.sharing < chunks && a.p.w.tiles * row_tiles * heads * arguments.sharing < chips * 16) arguments.sharing *= 2;
  const int tiles = kWarps / arguments.sharing;
  const dim3 grid{static_cast<unsigned>((a.p.w.tiles + tiles - 1) / tiles), static_cast<unsigned>(row_tiles), static_cast<unsigned>(heads)};
  const size_t shared = arguments.sharing == 1 ? 0 : size_t{kWarps} * kTokens * 4 * kWarp * sizeof(float);
  launch(linear_kernel<Math, kStore, kTokens>, grid, kWarps * kWarp, shared, stream, arguments);
}

template <class Math, Store kStore>
void start(cudaStream_t stream, const Arguments& a, int chips) {
  if (a.experts.tiles || a.rows.most <= 8) return start<Math, kStore, 1>(stream, a, chips);
  if (a.rows.most <= 16) return start<Math, kStore, 2>(stream, a, chips);
  return start<Math, kStore, 4>(stream, a, chips);
}

}  // namespace

void multiply(cudaStream_t stream, RowCount rows, const Product& p, const Experts* experts, int chips) {
  const Arguments a{p, experts ? *experts : Experts{}, rows, 1};
  if (p.x.f32) {
    switch (p.w.store) {
      case Store::kF32: return start<F32, Store::kF32>(stream, a, chips);
      case Store::kBf16: return start<F32, Store::kBf16>(stream, a, chips);
      case Store::kF16: return start<F32, Store::kF16>(stream, a, chips);
      case Store::kCode8: return start<F32, Store::kCode8>(stream, a, chips);
      case Store::kCode4: return start<F32, Store::kCode4>(stream, a, chips);
    }
  }
  switch (p.w.store) {
    case Store::kF32: return;
    case Store::kBf16: return start<Bf16, Store::kBf16>(stream, a, chips);
    case Store::kF16: return start<SplitBf16, Store::kF16>(stream, a, chips);
    case Store::kCode8: return start<Bf16, Store::kCode8>(stream, a, chips);
    case Store::kCode4: return start<Bf16, Store::kCode4>(stream, a, chips);
  }
}

}  // namespace millrace::cuda
