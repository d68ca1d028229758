// Ops on one row each, in chains: a block has a row and takes it through all of a chain, so one launch does what stands between two products.
// Reductions depend on the width only, and each op's bits are those it has by itself. Of few rows a chain waits for memory and nothing else, so each
// thread has loads under way; and a long row of what goes value by value is several blocks'.
#include "kernels/rows.h"

#include <algorithm>

#include "kernels/rows_cache.h"
#include "kernels/rows_inputs.h"
#include "millrace.h"

namespace millrace::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kWarps = kThreads / kWarp;
// Runs up to this width are summed by one warp.
constexpr int kWarpWidth = 256;
// Loads that a thread has under way.
constexpr int kAhead = 8;
// Columns that a block has at least where several share a row, and blocks of a launch up to which they do.
constexpr int kPartColumns = 1024, kPartBlocks = 128;

__device__ inline float* row_of(const RowView& view, int64_t row) { return view.data + row * view.stride; }

__device__ void run(const EmbedArguments& p, int row) {
  float* to = row_of(p.out, row);
  const int token = p.tokens[row], steps = p.table.steps;
  auto all = [&](const auto& load, const auto& value) {
    ahead<kAhead>(threadIdx.x, p.table.columns, kThreads, load, [&](int i, auto loaded) {
      const float x = value(loaded);
      to[i] = p.factor == 1.0f ? x : x * p.factor;
    });
  };
  auto halves = [&](int i) { return reinterpret_cast<const uint16_t*>(p.table.values)[value_index(token, i, steps)]; };
  switch (p.table.store) {
    case Store::kBf16: return all(halves, [](uint16_t x) { return bf16_to_float(x); });
    case Store::kF16: return all(halves, [](uint16_t x) { return f16_to_float(x); });
    default: break;
  }
  for (int i = threadIdx.x; i < p.table.columns; i += kThreads) {
    const float x = value_at(p.table, token, i);
    to[i] = p.factor == 1.0f ? x : x * p.factor;
  }
}

__device__ void run(const GatherArguments& p, int row) {
  const float* source = row_of(p.x, p.from[row]);
  float* to = row_of(p.out, row);
  ahead<kAhead>(threadIdx.x, p.width, kThreads, [&](int i) { return source[i]; }, [&](int i, float x) { to[i] = x; });
}

// What all threads of the block have.
__device__ inline float sum_of_block(float sum, float* sums) {
  for (int bits = 16; bits > 0; bits /= 2) sum += __shfl_xor_sync(kWholeWarp, sum, bits);
  __syncthreads();
  if (threadIdx.x % kWarp == 0) sums[threadIdx.x / kWarp] = sum;
  __syncthreads();
  sum = 0;
  for (int w = 0; w < kWarps; w++) sum += sums[w];
  return sum;
}

__device__ inline float inverse_of(const NormArguments& p, float sum) { return 1.0f / sqrtf(sum / static_cast<float>(p.width) + p.eps); }

// A run of up to 256 values is summed by one warp, a longer one by the block.
__device__ void run(const NormArguments& p, int row, float* sums) {
  const bool wide = p.width > kWarpWidth;
  const int first = wide ? threadIdx.x : threadIdx.x % kWarp, step = wide ? kThreads : kWarp;
  for (int r = wide ? 0 : threadIdx.x / kWarp; r < p.values / p.width; r += wide ? 1 : kWarps) {
    const float* from = row_of(p.x, row) + static_cast<int64_t>(r) * p.width;
    float* to = row_of(p.out, row) + static_cast<int64_t>(r) * p.width;
    float sum = 0;
    ahead<kAhead>(first, p.width, step, [&](int i) { return from[i]; }, [&](int, float x) { sum = fmaf(x, x, sum); });
    if (wide) {
      sum = sum_of_block(sum, sums);
    } else {
      for (int bits = 16; bits > 0; bits /= 2) sum += __shfl_xor_sync(kWholeWarp, sum, bits);
    }
    const float inverse = inverse_of(p, sum);
    ahead<kAhead>(first, p.width, step, [&](int i) { return Two{from[i], p.weight[i]}; }, [&](int i, const Two& v) { to[i] = v.a * inverse * (v.b + p.offset); });
  }
}

// A residual and the norm of it, whose values stay in registers: kEach of a thread.
template <int kEach>
__device__ void run_sum_and_norm(const MapArguments& added, const NormArguments& p, int row, float* sums) {
  const float* a = row_of(added.a, row);
  const float* b = row_of(added.b, row);
  float* out = row_of(added.out, row);
  float* to = row_of(p.out, row);
  float x[kEach], y[kEach], weight[kEach], sum = 0;
#pragma unroll
  for (int j = 0; j < kEach; j++) {
    const int i = threadIdx.x + j * kThreads;
    x[j] = a[i];
    y[j] = b[i];
    weight[j] = p.weight[i];
  }
#pragma unroll
  for (int j = 0; j < kEach; j++) {
    x[j] = added.factor == 1.0f ? x[j] + y[j] : fmaf(y[j], added.factor, x[j]);
    out[threadIdx.x + j * kThreads] = x[j];
    sum = fmaf(x[j], x[j], sum);
  }
  const float inverse = inverse_of(p, sum_of_block(sum, sums));
#pragma unroll
  for (int j = 0; j < kEach; j++) to[threadIdx.x + j * kThreads] = x[j] * inverse * (weight[j] + p.offset);
}

// Both ops where the second takes the first's whole row and the row is of a common width. Whether it is so.
__device__ bool run_both(const RowOp& op, const RowOp& next, int row, float* sums) {
  if (op.kind != RowKind::kMap || op.map.map != Map::kAdd || next.kind != RowKind::kNorm) return false;
  const int width = op.map.values;
  if (next.norm.x.data != op.map.out.data || next.norm.width != width || next.norm.values != width) return false;
  switch (width) {
    case 8 * kThreads: run_sum_and_norm<8>(op.map, next.norm, row, sums); return true;
    case 12 * kThreads: run_sum_and_norm<12>(op.map, next.norm, row, sums); return true;
    case 16 * kThreads: run_sum_and_norm<16>(op.map, next.norm, row, sums); return true;
    case 20 * kThreads: run_sum_and_norm<20>(op.map, next.norm, row, sums); return true;
    default: return false;
  }
}

// Two values of a row, their angle, and where the first is.
struct Turn {
  float a, b, cos, sin;
  int first;
};

__device__ void run(const RopeArguments& p, int row) {
  const Rope& how = p.how;
  const int half = how.dims / 2, apart = how.pairs ? 1 : half;
  const float* cos = how.table + static_cast<int64_t>(p.positions[row]) * how.dims;
  const float* sin = cos + half;
  const float* from = row_of(p.x, row);
  float* to = row_of(p.out, row);
  auto load = [&](int i) {
    const int k = i % half, first = i / half * how.head_dim + (how.pairs ? 2 * k : k);
    return Turn{from[first], from[first + apart], cos[k], sin[k], first};
  };
  ahead<kAhead>(threadIdx.x, how.heads * half, kThreads, load, [&](int, const Turn& v) {
    const float left = v.a * v.cos, right = v.b * v.cos;
    to[v.first] = left - v.b * v.sin;
    to[v.first + apart] = right + v.a * v.sin;
  });
  const int rest = how.head_dim - how.dims;
  auto at = [&](int i) { return i / rest * how.head_dim + how.dims + i % rest; };
  ahead<kAhead>(threadIdx.x, how.heads * rest, kThreads, [&](int i) { return from[at(i)]; }, [&](int i, float x) { to[at(i)] = x; });
}

__device__ void run(const MapArguments& p, int row, const Columns& part) {
  const float* a = row_of(p.a, row);
  const float* b = p.b.data ? row_of(p.b, row) : nullptr;
  float* out = row_of(p.out, row);
  const int first = part.from + threadIdx.x, end = min(p.values, part.to);
  auto one = [&](const auto& f) { ahead<kAhead>(first, end, kThreads, [&](int i) { return a[i]; }, [&](int i, float x) { out[i] = f(x); }); };
  auto two = [&](const auto& f) {
    ahead<kAhead>(first, end, kThreads, [&](int i) { return Two{a[i], b[i]}; }, [&](int i, const Two& v) { out[i] = f(v.a, v.b); });
  };
  switch (p.map) {
    case Map::kAdd:
      if (p.factor == 1.0f) return two([](float x, float y) { return x + y; });
      return two([&](float x, float y) { return fmaf(y, p.factor, x); });
    case Map::kScale: return one([&](float x) { return x * p.factor; });
    case Map::kSoftCap: return one([&](float x) { return soft_cap(x, p.factor); });
    case Map::kGated:
      if (p.function == 0) return two([](float x, float y) { return gate_function(x, 0) * y; });
      return two([](float x, float y) { return gate_function(x, 1) * y; });
    case Map::kSigmoidScale: {
      const int each = p.values / p.function;
      for (int i = first; i < end; i += kThreads) out[i] = a[i] * sigmoid(b[i / each]);
    }
  }
}

// Block (copy, part of it).
__global__ void copy_kernel(const uint32_t* from, uint32_t* to, int64_t words, const int32_t* from_block, const int32_t* to_block) {
  const int64_t source = (from_block ? from_block[blockIdx.x] : blockIdx.x) * words;
  const int64_t target = (to_block ? to_block[blockIdx.x] : blockIdx.x) * words;
  for (int64_t i = blockIdx.y * blockDim.x + threadIdx.x; i < words; i += gridDim.y * blockDim.x) to[target + i] = from[source + i];
}

// What the chain reads that no launch writes may be on its way before others have ended: weights of norms, and angles of positions that the host gave.
__device__ void bring(const RowOp& op, int row, bool given) {
  constexpr int kEach = kPrefetchedBytes / sizeof(float);
  const float* from = nullptr;
  int values = 0;
  if (op.kind == RowKind::kNorm) {
    from = op.norm.weight;
    values = op.norm.width;
  } else if (op.kind == RowKind::kRope && given) {
    values = op.rope.how.dims;
    from = op.rope.how.table + static_cast<int64_t>(op.rope.positions[row]) * values;
  }
  for (int i = threadIdx.x * kEach; i < values; i += kThreads * kEach) prefetch(from + i);
}

// Block (row, part of its columns).
__global__ void __launch_bounds__(kThreads, 2) chain_kernel(RowCount rows, const __grid_constant__ RowChain chain, int part_columns) {
  MR_SHARED_MEMORY(float, sums);
  allow_next_launch();
  const int row = blockIdx.x;
  int count = rows.given ? *rows.count : 0;
  for (int i = 0; i < chain.count; i++) bring(chain.ops[i], row, row < count);
  await_launches();
  if (!rows.given) count = *rows.count;
  if (row >= count) return;
  const int from = static_cast<int>(blockIdx.y) * part_columns;
  const Columns part{from, blockIdx.y + 1 == gridDim.y ? INT32_MAX : from + part_columns};
  for (int i = 0; i < chain.count; i++) {
    // Nobody reads what others have yet to write.
    if (i > 0) __syncthreads();
    const RowOp& op = chain.ops[i];
    if (i + 1 < chain.count && run_both(op, chain.ops[i + 1], row, sums)) {
      i++;
      continue;
    }
    switch (op.kind) {
      case RowKind::kEmbed: run(op.embed, row); break;
      case RowKind::kGather: run(op.gather, row); break;
      case RowKind::kNorm: run(op.norm, row, sums); break;
      case RowKind::kRope: run(op.rope, row); break;
      case RowKind::kMap: run(op.map, row, part); break;
      case RowKind::kKvWrite: write_cache(op.kv, row); break;
      case RowKind::kPrepare: prepare_row(op.prepare, row, part); break;
      case RowKind::kQuantise: quantise_row(op.quantise, row, sums); break;
    }
  }
}

// Columns of an op that takes each of them alone, and others only where it stands in a chain; 0: it does not.
int own_columns(const RowOp& op) {
  if (op.kind == RowKind::kMap && op.map.map != Map::kSigmoidScale) return op.map.values;
  if (op.kind == RowKind::kPrepare && op.prepare.heads == 1 && !op.prepare.order) return op.prepare.columns;
  return 0;
}

// Columns of a row that a block has: all, or, where there are few rows and no op needs what another block has, whole steps of products.
int part_columns(const RowChain& chain, int rows) {
  const int columns = own_columns(chain.ops[0]);
  for (int i = 1; i < chain.count; i++) {
    if (own_columns(chain.ops[i]) != columns) return INT32_MAX;
  }
  const int parts = std::min(kPartBlocks / rows, columns / kPartColumns);
  return parts > 1 ? rounded_up((columns + parts - 1) / parts, kStepColumns) : INT32_MAX;
}

}  // namespace

void run_rows(cudaStream_t stream, RowCount rows, const RowChain& chain) {
  if (chain.count == 0) return;
  const int own = part_columns(chain, rows.most);
  const int parts = own == INT32_MAX ? 1 : (own_columns(chain.ops[0]) + own - 1) / own;
  launch_early(chain_kernel, {static_cast<unsigned>(rows.most), static_cast<unsigned>(parts)}, kThreads, kWarps * sizeof(float), stream, rows, chain, own);
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
