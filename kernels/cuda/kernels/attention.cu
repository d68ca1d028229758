// Attention over the paged cache by mma.sync: the kernels and their launches. What a warp does of it is in attention_worker.h.
#include "kernels/attention_worker.h"

namespace millrace::cuda {
namespace {

// Shared memory that a block takes at most for what it stages.
constexpr size_t kMostStaged = 160 << 10;

// Of a block: its queries, and the scores that its warps exchange.
template <class Math, bool kTogether>
constexpr size_t own_shared(int key_stride) {
  const size_t queries = static_cast<size_t>(kQueryTile) * static_cast<size_t>(key_stride) * sizeof(typename Math::Value);
  return kTogether ? queries + 2 * kKeyTiles * kWarp * sizeof(Sum) : kWarps * queries;
}

// Blocks (some, head tiles, parts of the values): the warps of all blocks of a head tile take the tasks in turn; together, the blocks do, and
// their warps are as many parts of the values.
template <class Math, int kType, int kValueTiles, bool kTogether>
__global__ void __launch_bounds__(kWarps* kWarp, 1) attention_kernel(const __grid_constant__ AttentionArguments p, bool staged) {
  MR_SHARED_MEMORY(typename Math::Value, memory);
  const int warp = threadIdx.x / kWarp;
  const int group = p.heads / p.kv_heads;
  const int together = heads_together(p.heads, p.kv_heads, kQueryTile);
  const int tiles_of_group = (group + together - 1) / together;
  const int first_head = static_cast<int>(blockIdx.y) % tiles_of_group * together;
  constexpr int kAtOnce = kTogether ? 1 : kWarps;
  const int part = static_cast<int>(blockIdx.z) * (kTogether ? kWarps : 1) + (kTogether ? warp : 0);
  const bool has_values = !kTogether || part * 8 * kValueTiles < p.cache.value_width;
  for (int t = static_cast<int>(blockIdx.x) * kAtOnce + (kTogether ? 0 : warp); t < p.counts[0]; t += static_cast<int>(gridDim.x) * kAtOnce) {
    const AttentionTask task = p.tasks[t];
    using Own = Worker<Math, kType, kValueTiles, kTogether>;
    const int tile = kQueryTile * p.cache.key_stride;
    // Queries, exchanged scores, then what each warp stages.
    auto* exchange = reinterpret_cast<Sum*>(memory + tile);
    auto* stages = kTogether ? reinterpret_cast<uint8_t*>(exchange + 2 * kKeyTiles * kWarp) : reinterpret_cast<uint8_t*>(memory + kWarps * tile);
    Own worker{p, task, memory + (kTogether ? 0 : warp * tile), exchange, staged ? stages + warp * Own::stage_bytes(p.cache.key_stride) : nullptr};
    worker.lane = threadIdx.x % kWarp;
    worker.kv_head = static_cast<int>(blockIdx.y) / tiles_of_group;
    worker.head0 = worker.kv_head * group + first_head;
    worker.heads = min(together, group - first_head);
    worker.first_value = has_values ? part * 8 * kValueTiles : 0;
    worker.blocks = p.block_table + static_cast<int64_t>(task.sequence) * *p.table_width;
    worker.load_queries();
    worker.begin();
    // Of a task with a partial result there is one chunk.
    State<kValueTiles> all, chunk;
    all.clear();
    for (int c = task.chunk0; c < task.chunk1; c++) {
      worker.add_chunk(c, chunk);
      if (task.partial < 0) {
        merge_into(all, chunk);
      } else if (has_values) {
        worker.write_partial(chunk, p.partials + (static_cast<int64_t>(task.partial) * gridDim.y + blockIdx.y) * partial_floats(p.cache.value_width));
      }
    }
    if (task.partial < 0 && has_values) worker.write(all);
    if constexpr (kTogether) {
      __syncthreads();
    } else {
      __syncwarp();
    }
  }
}

// Blocks (some, head tiles): threads are columns of results.
__global__ void merge_kernel(const __grid_constant__ AttentionArguments p) {
  const int group = p.heads / p.kv_heads;
  const int together = heads_together(p.heads, p.kv_heads, p.tile);
  const int tiles_of_group = (group + together - 1) / together;
  const int first_head = static_cast<int>(blockIdx.y) % tiles_of_group * together;
  const int head0 = static_cast<int>(blockIdx.y) / tiles_of_group * group + first_head;
  const int heads = min(together, group - first_head);
  const int64_t size = partial_floats(p.cache.value_width);
  for (int m = blockIdx.x; m < p.counts[1]; m += gridDim.x) {
    const MergeTask task = p.merges[m];
    const int pieces = partial_pieces(task.rows * together);
    for (int i = threadIdx.x; i < task.rows * heads * p.cache.value_dim; i += blockDim.x) {
      const int r = i / p.cache.value_dim, column = i % p.cache.value_dim, own = r % kQueryTile;
      float most = -infinity(), sum = 0, value = 0;
      for (int c = 0; c < task.chunks; c++) {
        const float* part = p.partials + (static_cast<int64_t>(task.partial + c * pieces + r / kQueryTile) * gridDim.y + blockIdx.y) * size;
        const Weights w = weigh(most, part[own]);
        most = w.most;
        sum = fmaf(sum, w.a, part[kQueryTile + own] * w.b);
        value = fmaf(value, w.a, part[2 * kQueryTile + own * p.cache.value_width + column] * w.b);
      }
      p.out.data[(task.row0 + r / heads) * p.out.stride + (head0 + r % heads) * p.cache.value_dim + column] = p.tile == kQueryTile ? value / sum : value * (1.0f / sum);
    }
  }
}

template <class Math, int kType, int kValueTiles, bool kTogether>
void start(cudaStream_t stream, const AttentionArguments& p, int blocks) {
  const int parts = p.cache.value_width / (8 * kValueTiles);
  const dim3 grid{static_cast<unsigned>(blocks), static_cast<unsigned>(head_tiles(p.heads, p.kv_heads, kQueryTile)),
                  static_cast<unsigned>(kTogether ? (parts + kWarps - 1) / kWarps : parts)};
  size_t shared = own_shared<Math, kTogether>(p.cache.key_stride);
  const size_t stages = size_t{kWarps} * static_cast<size_t>(Worker<Math, kType, kValueTiles, kTogether>::stage_bytes(p.cache.key_stride));
  const bool staged = shared + stages <= (most_shared() < kMostStaged ? most_shared() : kMostStaged);
  if (staged) shared += stages;
  allow_shared(attention_kernel<Math, kType, kValueTiles, kTogether>, shared);
  launch(attention_kernel<Math, kType, kValueTiles, kTogether>, grid, kWarps * kWarp, shared, stream, p, staged);
}

template <class Math, int kType>
void start(cudaStream_t stream, const AttentionArguments& p, int blocks) {
  // In float32 twice as many results do not fit the registers.
  constexpr int kMost = Math::kType == MR_F32 ? 8 : 16;
  const int width = p.cache.value_width;
  if (p.cache.turned_dim > 0) {
    return width % (8 * kMost) == 0 ? start<Math, kType, kMost, true>(stream, p, blocks) : start<Math, kType, 4, true>(stream, p, blocks);
  }
  if constexpr (kMost == 16) {
    if (width % 128 == 0) return start<Math, kType, 16, false>(stream, p, blocks);
  }
  if (width % 64 == 0) return start<Math, kType, 8, false>(stream, p, blocks);
  if (width % 32 == 0) return start<Math, kType, 4, false>(stream, p, blocks);
  return start<Math, kType, 2, false>(stream, p, blocks);
}

}  // namespace

void attend(cudaStream_t stream, const AttentionArguments& p, int blocks) {
  if (p.tile != kQueryTile) return attend_by_warpgroups(stream, p, blocks);
  switch (p.cache.type) {
    case MR_F32: return start<F32, MR_F32>(stream, p, blocks);
    case MR_F16: return p.exact ? start<F32, MR_F16>(stream, p, blocks) : start<F16, MR_F16>(stream, p, blocks);
    case MR_BF16: return p.exact ? start<F32, MR_BF16>(stream, p, blocks) : start<Bf16, MR_BF16>(stream, p, blocks);
    case MR_FP8: return p.exact ? start<F32, MR_FP8>(stream, p, blocks) : start<Bf16, MR_FP8>(stream, p, blocks);
    default: return p.exact ? start<F32, MR_INT8>(stream, p, blocks) : start<Bf16, MR_INT8>(stream, p, blocks);
  }
}

size_t least_shared(const CacheView& cache, bool exact) {
  if (cache.turned_dim > 0) return exact || cache.type == MR_F32 ? own_shared<F32, true>(cache.key_stride) : own_shared<Bf16, true>(cache.key_stride);
  return exact || cache.type == MR_F32 ? own_shared<F32, false>(cache.key_stride) : own_shared<Bf16, false>(cache.key_stride);
}

void merge_attention(cudaStream_t stream, const AttentionArguments& p, int blocks) {
  const dim3 grid{static_cast<unsigned>(blocks), static_cast<unsigned>(head_tiles(p.heads, p.kv_heads, p.tile)), 1};
  launch(merge_kernel, grid, 256, 0, stream, p);
}

}  // namespace millrace::cuda
