// Ops on one row each. A block has a row, or a run of one; reductions depend on the width only.
#include "kernels/launches.h"
#include "millrace.h"

namespace millrace::cuda {
namespace {

constexpr int kThreads = 256;
// Runs up to this width are summed by one warp.
constexpr int kWarpWidth = 256;

__device__ inline bool beyond(const RowCount& rows) { return static_cast<int>(blockIdx.x) >= *rows.count; }

__device__ inline float* row_of(const RowView& view, int64_t row) { return view.data + row * view.stride; }

__global__ void embed_kernel(RowCount rows, WeightView table, const int32_t* tokens, RowView out, float factor) {
  if (beyond(rows)) return;
  const int row = blockIdx.x;
  float* to = row_of(out, row);
  for (int i = threadIdx.x; i < table.columns; i += blockDim.x) {
    float x = value_at(table, tokens[row], i);
    to[i] = factor == 1.0f ? x : x * factor;
  }
}

__global__ void gather_kernel(RowCount rows, RowView x, const int32_t* from, RowView out, int width) {
  if (beyond(rows)) return;
  const float* source = row_of(x, from[blockIdx.x]);
  float* to = row_of(out, blockIdx.x);
  for (int i = threadIdx.x; i < width; i += blockDim.x) to[i] = source[i];
}

// Block (row, run).
__global__ void rms_norm_kernel(RowCount rows, RowView x, const float* weight, RowView out, int width, float eps, float offset) {
  MR_SHARED_MEMORY(float, sums);
  if (beyond(rows)) return;
  const float* from = row_of(x, blockIdx.x) + static_cast<int64_t>(blockIdx.y) * width;
  float* to = row_of(out, blockIdx.x) + static_cast<int64_t>(blockIdx.y) * width;
  float sum = 0;
  for (int i = threadIdx.x; i < width; i += blockDim.x) sum = fmaf(from[i], from[i], sum);
  for (int bits = 16; bits > 0; bits /= 2) sum += __shfl_xor_sync(kWholeWarp, sum, bits);
  if (blockDim.x > kWarp) {
    if (threadIdx.x % kWarp == 0) sums[threadIdx.x / kWarp] = sum;
    __syncthreads();
    sum = 0;
    for (unsigned w = 0; w < blockDim.x / kWarp; w++) sum += sums[w];
  }
  const float inverse = 1.0f / sqrtf(sum / static_cast<float>(width) + eps);
  for (int i = threadIdx.x; i < width; i += blockDim.x) to[i] = from[i] * inverse * (weight[i] + offset);
}

__global__ void rope_kernel(RowCount rows, RowView x, const int32_t* positions, RowView out, Rope how) {
  if (beyond(rows)) return;
  const int half = how.dims / 2;
  const float* cos = how.table + static_cast<int64_t>(positions[blockIdx.x]) * how.dims;
  const float* sin = cos + half;
  const float* from = row_of(x, blockIdx.x);
  float* to = row_of(out, blockIdx.x);
  for (int i = threadIdx.x; i < how.heads * half; i += blockDim.x) {
    const int head = i / half * how.head_dim;
    const int k = i % half;
    const int first = head + (how.pairs ? 2 * k : k);
    const int second = how.pairs ? first + 1 : first + half;
    const float a = from[first], b = from[second];
    const float left = a * cos[k], right = b * cos[k];
    to[first] = left - b * sin[k];
    to[second] = right + a * sin[k];
  }
  const int rest = how.head_dim - how.dims;
  for (int i = threadIdx.x; i < how.heads * rest; i += blockDim.x) {
    const int at = i / rest * how.head_dim + how.dims + i % rest;
    to[at] = from[at];
  }
}

__device__ inline float mapped(const MapArguments& p, float a, const float* b, int i) {
  switch (p.map) {
    case Map::kAdd: return p.factor == 1.0f ? a + b[i] : fmaf(b[i], p.factor, a);
    case Map::kScale: return a * p.factor;
    case Map::kSoftCap: return soft_cap(a, p.factor);
    case Map::kGated: return gate_function(a, p.function) * b[i];
    case Map::kSigmoidScale: return a * sigmoid(b[i / (p.values / p.function)]);
  }
  return a;
}

__global__ void map_kernel(RowCount rows, MapArguments p) {
  if (beyond(rows)) return;
  const float* a = row_of(p.a, blockIdx.x);
  const float* b = p.b.data ? row_of(p.b, blockIdx.x) : nullptr;
  float* out = row_of(p.out, blockIdx.x);
  for (int i = threadIdx.x; i < p.values; i += blockDim.x) out[i] = mapped(p, a[i], b, i);
}

// The `n` values of a row: those of `a` up to number `first`, then those of `b`.
struct Joined {
  const float* a;
  const float* b;
  int first, n;

  __device__ float operator[](int i) const { return i < first ? a[i] : b[i - first]; }
};

// One head's key or value of a token, by a warp. A row with what is no finite number gets NaN as its factor.
__device__ void put(int type, uint8_t* base, float* scales, int64_t token, int stride, const Joined& x) {
  const int n = x.n;
  const int lane = threadIdx.x % kWarp;
  const int64_t at = token * stride;
  if (type == MR_F32) {
    for (int i = lane; i < n; i += kWarp) reinterpret_cast<float*>(base)[at + i] = x[i];
  } else if (type == MR_F16) {
    for (int i = lane; i < n; i += kWarp) reinterpret_cast<uint16_t*>(base)[at + i] = float_to_half(x[i]);
  } else if (type == MR_BF16) {
    for (int i = lane; i < n; i += kWarp) reinterpret_cast<uint16_t*>(base)[at + i] = float_to_bf16(x[i]);
  } else {
    float most = 0;
    bool finite = true;
    for (int i = lane; i < n; i += kWarp) {
      finite = finite && fabsf(x[i]) <= 3.4e38f;
      most = fmaxf(most, fabsf(x[i]));
    }
    finite = !__any_sync(kWholeWarp, !finite);
    for (int bits = 16; bits > 0; bits /= 2) most = fmaxf(most, __shfl_xor_sync(kWholeWarp, most, bits));
    const bool some = finite && most > 1e-30f;
    const float largest = type == MR_FP8 ? 448.0f : 127.0f;
    const float inverse = some ? largest / most : 0.0f;
    if (lane == 0) scales[token] = finite ? (some ? most / largest : 0.0f) : bits_to_float(0x7fc00000u);
    if (type == MR_FP8) {
      for (int i = 2 * lane; i < n; i += 2 * kWarp) {
        const uint16_t both = finite ? pack_e4m3(x[i] * inverse, i + 1 < n ? x[i + 1] * inverse : 0.0f) : uint16_t{0};
        base[at + i] = static_cast<uint8_t>(both);
        if (i + 1 < n) base[at + i + 1] = static_cast<uint8_t>(both >> 8);
      }
      return;
    }
    for (int i = lane; i < n; i += kWarp) {
      reinterpret_cast<int8_t*>(base)[at + i] = finite ? static_cast<int8_t>(rintf(x[i] * inverse)) : int8_t{0};
    }
  }
}

// Block (row); its warps take the heads in turn, keys first.
__global__ void kv_write_kernel(RowCount rows, CacheView c, const int32_t* slots, RowView k, RowView v) {
  if (beyond(rows)) return;
  const int slot = slots[blockIdx.x];
  const int sides = c.turned_dim > 0 ? 1 : 2;
  for (int i = threadIdx.x / kWarp; i < sides * c.heads; i += blockDim.x / kWarp) {
    const int head = i / sides;
    const int64_t token = (static_cast<int64_t>(slot / c.block_tokens) * c.heads + head) * c.block_tokens + slot % c.block_tokens;
    const float* key = row_of(k, blockIdx.x) + head * c.key_dim;
    const float* value = row_of(v, blockIdx.x) + head * c.value_dim;
    if (i % sides == 0) {
      put(c.type, c.keys, c.key_scales, token, c.key_stride, {key, value, c.key_dim - c.turned_dim, c.key_dim});
    } else {
      put(c.type, c.values, c.value_scales, token, c.value_stride, {value, nullptr, c.value_dim, c.value_dim});
    }
  }
}

// Block (copy, part of it).
__global__ void copy_kernel(const uint32_t* from, uint32_t* to, int64_t words, const int32_t* from_block, const int32_t* to_block) {
  const int64_t source = (from_block ? from_block[blockIdx.x] : blockIdx.x) * words;
  const int64_t target = (to_block ? to_block[blockIdx.x] : blockIdx.x) * words;
  for (int64_t i = blockIdx.y * blockDim.x + threadIdx.x; i < words; i += gridDim.y * blockDim.x) to[target + i] = from[source + i];
}

// Block (row, head).
template <class Math>
__global__ void prepare_kernel(RowCount rows, RowView x, int columns, const int32_t* order, Input out) {
  if (beyond(rows)) return;
  const float* from = row_of(x, blockIdx.x) + static_cast<int64_t>(blockIdx.y) * columns;
  const int64_t place = static_cast<int64_t>(blockIdx.x) * gridDim.y + blockIdx.y;
  auto* to = static_cast<typename Math::Value*>(out.values) + place * out.stride;
  float* sums = out.sums + place * (out.stride / 16);
  for (int run = threadIdx.x; run < out.stride / 16; run += blockDim.x) {
    float sum = 0;
    for (int i = 0; i < 16; i++) {
      const int c = run * 16 + i;
      const float value = c < columns ? from[order ? order[c] : c] : 0.0f;
      const auto narrow = Math::narrow(value);
      to[c / kStepColumns * kStepColumns + column_place(c % kStepColumns)] = narrow;
      sum += sizeof narrow == 4 ? value : bf16_to_float(float_to_bf16(value));
    }
    sums[run] = sum;
  }
}

}  // namespace

void embed(cudaStream_t stream, RowCount rows, const WeightView& table, const int32_t* tokens, RowView out, float factor) {
  launch(embed_kernel, rows.most, kThreads, 0, stream, rows, table, tokens, out, factor);
}

void gather_rows(cudaStream_t stream, RowCount rows, RowView x, const int32_t* from, RowView out, int width) {
  launch(gather_kernel, rows.most, kThreads, 0, stream, rows, x, from, out, width);
}

void rms_norm(cudaStream_t stream, RowCount rows, RowView x, const float* weight, RowView out, int values, int width, float eps, float offset) {
  const unsigned threads = width <= kWarpWidth ? kWarp : kThreads;
  dim3 grid{static_cast<unsigned>(rows.most), static_cast<unsigned>(values / width), 1};
  launch(rms_norm_kernel, grid, threads, kThreads / kWarp * sizeof(float), stream, rows, x, weight, out, width, eps, offset);
}

void rope(cudaStream_t stream, RowCount rows, RowView x, const int32_t* positions, RowView out, const Rope& how) {
  launch(rope_kernel, rows.most, kThreads, 0, stream, rows, x, positions, out, how);
}

void map_rows(cudaStream_t stream, RowCount rows, const MapArguments& p) { launch(map_kernel, rows.most, kThreads, 0, stream, rows, p); }

void kv_write(cudaStream_t stream, RowCount rows, const CacheView& cache, const int32_t* slots, RowView k, RowView v) {
  launch(kv_write_kernel, rows.most, kThreads, 0, stream, rows, cache, slots, k, v);
}

void copy_blocks(cudaStream_t stream, uint8_t* base, int64_t block_bytes, const int32_t* from, const int32_t* to, int count, uint8_t* held) {
  const int64_t words = block_bytes / 4;
  const dim3 grid{static_cast<unsigned>(count), static_cast<unsigned>(words < kThreads * 16 ? 1 : 16), 1};
  auto* cache = reinterpret_cast<uint32_t*>(base);
  auto* copies = reinterpret_cast<uint32_t*>(held);
  launch(copy_kernel, grid, kThreads, 0, stream, static_cast<const uint32_t*>(cache), copies, words, from, static_cast<const int32_t*>(nullptr));
  launch(copy_kernel, grid, kThreads, 0, stream, static_cast<const uint32_t*>(copies), cache, words, static_cast<const int32_t*>(nullptr), to);
}

void prepare(cudaStream_t stream, RowCount rows, RowView x, int columns, const int32_t* order, const Input& out, int heads) {
  const dim3 grid{static_cast<unsigned>(rows.most), static_cast<unsigned>(heads), 1};
  launch(out.f32 ? prepare_kernel<F32> : prepare_kernel<Bf16>, grid, kThreads, 0, stream, rows, x, columns, order, out);
}

}  // namespace millrace::cuda
