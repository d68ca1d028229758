// Ops on one row each, in chains: a block has a row and takes it through all of a chain, so one launch does what stands between two products.
// Reductions depend on the width only, and each op's bits are those it has by itself.
#include "kernels/rows.h"

#include "millrace.h"

namespace millrace::cuda {
namespace {

constexpr int kThreads = 256;
// Runs up to this width are summed by one warp.
constexpr int kWarpWidth = 256;

__device__ inline float* row_of(const RowView& view, int64_t row) { return view.data + row * view.stride; }

__device__ void run(const EmbedArguments& p, int row, float*) {
  float* to = row_of(p.out, row);
  for (int i = threadIdx.x; i < p.table.columns; i += blockDim.x) {
    float x = value_at(p.table, p.tokens[row], i);
    to[i] = p.factor == 1.0f ? x : x * p.factor;
  }
}

__device__ void run(const GatherArguments& p, int row, float*) {
  const float* source = row_of(p.x, p.from[row]);
  float* to = row_of(p.out, row);
  for (int i = threadIdx.x; i < p.width; i += blockDim.x) to[i] = source[i];
}

// A run of up to 256 values is summed by one warp, a longer one by the block.
__device__ void run(const NormArguments& p, int row, float* sums) {
  const bool wide = p.width > kWarpWidth;
  const int first = wide ? threadIdx.x : threadIdx.x % kWarp, step = wide ? blockDim.x : kWarp;
  for (int r = wide ? 0 : threadIdx.x / kWarp; r < p.values / p.width; r += wide ? 1 : blockDim.x / kWarp) {
    const float* from = row_of(p.x, row) + static_cast<int64_t>(r) * p.width;
    float* to = row_of(p.out, row) + static_cast<int64_t>(r) * p.width;
    float sum = 0;
    for (int i = first; i < p.width; i += step) sum = fmaf(from[i], from[i], sum);
    for (int bits = 16; bits > 0; bits /= 2) sum += __shfl_xor_sync(kWholeWarp, sum, bits);
    if (wide) {
      __syncthreads();
      if (threadIdx.x % kWarp == 0) sums[threadIdx.x / kWarp] = sum;
      __syncthreads();
      sum = 0;
      for (unsigned w = 0; w < blockDim.x / kWarp; w++) sum += sums[w];
    }
    const float inverse = 1.0f / sqrtf(sum / static_cast<float>(p.width) + p.eps);
    for (int i = first; i < p.width; i += step) to[i] = from[i] * inverse * (p.weight[i] + p.offset);
  }
}

__device__ void run(const RopeArguments& p, int row, float*) {
  const Rope& how = p.how;
  const int half = how.dims / 2;
  const float* cos = how.table + static_cast<int64_t>(p.positions[row]) * how.dims;
  const float* sin = cos + half;
  const float* from = row_of(p.x, row);
  float* to = row_of(p.out, row);
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

__device__ void run(const MapArguments& p, int row, float*) {
  const float* a = row_of(p.a, row);
  const float* b = p.b.data ? row_of(p.b, row) : nullptr;
  float* out = row_of(p.out, row);
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

// The block's warps take the heads in turn, keys first.
__device__ void run(const KvArguments& p, int row, float*) {
  const CacheView& c = p.cache;
  const int slot = p.slots[row], sides = c.turned_dim > 0 ? 1 : 2;
  for (int i = threadIdx.x / kWarp; i < sides * c.heads; i += blockDim.x / kWarp) {
    const int head = i / sides;
    const int64_t token = (static_cast<int64_t>(slot / c.block_tokens) * c.heads + head) * c.block_tokens + slot % c.block_tokens;
    const float* key = row_of(p.k, row) + head * c.key_dim;
    const float* value = row_of(p.v, row) + head * c.value_dim;
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

template <class Math>
__device__ void prepare_as(const PrepareArguments& p, int row) {
  const int runs = p.out.stride / 16;
  for (int i = threadIdx.x; i < p.heads * runs; i += blockDim.x) {
    const int head = i / runs, run = i % runs;
    const float* from = row_of(p.x, row) + static_cast<int64_t>(head) * p.columns;
    const int64_t place = static_cast<int64_t>(row) * p.heads + head;
    auto* to = static_cast<typename Math::Value*>(p.out.values) + place * p.out.stride;
    float sum = 0;
    for (int j = 0; j < 16; j++) {
      const int c = run * 16 + j;
      const float value = c < p.columns ? from[p.order ? p.order[c] : c] : 0.0f;
      const auto narrow = Math::narrow(value);
      to[c / kStepColumns * kStepColumns + column_place(c % kStepColumns)] = narrow;
      sum += sizeof narrow == 4 ? value : bf16_to_float(float_to_bf16(value));
    }
    p.out.sums[place * runs + run] = sum;
  }
}

__device__ void run(const PrepareArguments& p, int row, float*) {
  if (p.out.f32) {
    prepare_as<F32>(p, row);
  } else {
    prepare_as<Bf16>(p, row);
  }
}

// Two columns at a time, which stay side by side. The largest value of a row is at 448; a row with what is no finite number gets NaN as its factor.
__device__ void run(const QuantiseArguments& p, int row, float* most_of_warps) {
  const float* from = row_of(p.x, row);
  float most = 0;
  for (int i = threadIdx.x; i < p.columns; i += blockDim.x) {
    const float size = fabsf(from[i]);
    most = fmaxf(most, size <= 3.4e38f ? size : infinity());
  }
  for (int bits = 16; bits > 0; bits /= 2) most = fmaxf(most, __shfl_xor_sync(kWholeWarp, most, bits));
  if (threadIdx.x % kWarp == 0) most_of_warps[threadIdx.x / kWarp] = most;
  __syncthreads();
  for (unsigned w = 0; w < blockDim.x / kWarp; w++) most = fmaxf(most, most_of_warps[w]);
  const bool finite = most <= 3.4e38f, some = finite && most > 1e-30f;
  const float inverse = some ? 448.0f / most : 0.0f;
  if (threadIdx.x == 0) p.factors[row] = finite ? (some ? most / 448.0f : 0.0f) : bits_to_float(0x7fc00000u);
  uint8_t* to = p.values + static_cast<int64_t>(row) * p.stride;
  for (int i = 2 * threadIdx.x; i < p.stride; i += 2 * blockDim.x) {
    const float low = some && i < p.columns ? from[i] * inverse : 0.0f, high = some && i + 1 < p.columns ? from[i + 1] * inverse : 0.0f;
    *reinterpret_cast<uint16_t*>(to + i / kStepColumns * kStepColumns + column_place(i % kStepColumns)) = pack_e4m3(low, high);
  }
}

// Block: a row.
__global__ void __launch_bounds__(kThreads) chain_kernel(RowCount rows, const __grid_constant__ RowChain chain) {
  MR_SHARED_MEMORY(float, sums);
  allow_next_launch();
  await_launches();
  const int row = blockIdx.x;
  if (row >= *rows.count) return;
  for (int i = 0; i < chain.count; i++) {
    // Nobody reads what others have yet to write.
    if (i > 0) __syncthreads();
    const RowOp& op = chain.ops[i];
    switch (op.kind) {
      case RowKind::kEmbed: run(op.embed, row, sums); break;
      case RowKind::kGather: run(op.gather, row, sums); break;
      case RowKind::kNorm: run(op.norm, row, sums); break;
      case RowKind::kRope: run(op.rope, row, sums); break;
      case RowKind::kMap: run(op.map, row, sums); break;
      case RowKind::kKvWrite: run(op.kv, row, sums); break;
      case RowKind::kPrepare: run(op.prepare, row, sums); break;
      case RowKind::kQuantise: run(op.quantise, row, sums); break;
    }
  }
}

}  // namespace

void run_rows(cudaStream_t stream, RowCount rows, const RowChain& chain) {
  if (chain.count > 0) launch_early(chain_kernel, rows.most, kThreads, kThreads / kWarp * sizeof(float), stream, rows, chain);
}

void copy_blocks(cudaStream_t stream, uint8_t* base, int64_t block_bytes, const int32_t* from, const int32_t* to, int count, uint8_t* held) {
  const int64_t words = block_bytes / 4;
  const dim3 grid{static_cast<unsigned>(count), static_cast<unsigned>(words < kThreads * 16 ? 1 : 16), 1};
  auto* cache = reinterpret_cast<uint32_t*>(base);
  auto* copies = reinterpret_cast<uint32_t*>(held);
  launch(copy_kernel, grid, kThreads, 0, stream, static_cast<const uint32_t*>(cache), copies, words, from, static_cast<const int32_t*>(nullptr));
  launch(copy_kernel, grid, kThreads, 0, stream, static_cast<const uint32_t*>(copies), cache, words, static_cast<const int32_t*>(nullptr), to);
}

}  // namespace millrace::cuda
