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

// A task of one of the block's head tiles and one of its parts of the values, or the warp's.
template <class Math, int kType, int kValueTiles, Team kTeam>
__device__ __forceinline__ void work_on(const AttentionArguments& p, int t, typename Math::Value* memory, bool staged, int page_bits) {
  using Own = Worker<Math, kType, kValueTiles, kTeam>;
  constexpr bool kTogether = kTeam == Team::kTogether;
  const int group = p.heads / p.kv_heads, together = heads_together(p.heads, p.kv_heads, p.tile), tiles_of_group = (group + together - 1) / together;
  const int first_head = static_cast<int>(blockIdx.y) % tiles_of_group * together, warp = __shfl_sync(kWholeWarp, static_cast<int>(threadIdx.x) / kWarp, 0);
  const AttentionTask& task = p.tasks[t];
  // Queries, exchanged scores, then what is staged.
  const int tile = kQueryTile * p.cache.key_stride;
  auto* exchange = reinterpret_cast<Sum*>(memory + tile);
  auto* stages = kTogether ? reinterpret_cast<uint8_t*>(exchange + 2 * kKeyTiles * kWarp) : reinterpret_cast<uint8_t*>(memory + kWarps * tile);
  if (kTeam != Team::kTile) stages += warp * Own::stage_bytes(p.cache.key_stride);
  Own worker{p, task, memory + (kTogether ? 0 : warp * tile), exchange, stages, staged, warp, static_cast<int>(threadIdx.x) % kWarp, page_bits};
  worker.kv_head = static_cast<int>(blockIdx.y) / tiles_of_group;
  worker.head0 = worker.kv_head * group + first_head;
  worker.heads = min(together, group - first_head);
  worker.blocks_at = static_cast<uint32_t>(task.sequence) * static_cast<uint32_t>(*p.table_width);
  worker.load_queries();
  worker.begin();
  // Of a task with a partial result there is one chunk.
  State<kValueTiles> all, chunk;
  all.clear();
  for (int c = task.chunk0; c < task.chunk1; c++) {
    worker.add_chunk(c, chunk);
    if (task.partial < 0) {
      merge_into(all, chunk);
    } else if (worker.has_values()) {
      const int64_t piece = task.partial + worker.row0() / kQueryTile;
      worker.write_partial(chunk, p.partials + (piece * gridDim.y + blockIdx.y) * partial_floats(p.cache.value_width));
    }
  }
  if (task.partial < 0 && worker.has_values()) worker.write(all);
  worker.meet_all();
}

// Blocks (some, head tiles, parts of the values). Tasks of more rows than a warp has are the first; blocks take them in turn, one way and then the other as
// the longest come first, and then the warps of all blocks the rest. Together, blocks take all, and their warps are as many parts of the values.
template <class Math, int kType, int kValueTiles, bool kTogether>
__global__ void __launch_bounds__(kWarps* kWarp, 1) attention_kernel(const __grid_constant__ AttentionArguments p, bool staged, int page_bits) {
  MR_SHARED_MEMORY(typename Math::Value, memory);
  allow_next_launch();
  await_launches();
  const int block = static_cast<int>(blockIdx.x), blocks = static_cast<int>(gridDim.x);
  if constexpr (kTogether) {
    for (int t = block; t < p.counts[0]; t += blocks) work_on<Math, kType, kValueTiles, Team::kTogether>(p, t, memory, staged, page_bits);
  } else {
    for (int first = 0, round = 0; first < p.counts[2]; first += blocks, round++) {
      const int t = first + (round % 2 == 0 ? block : blocks - 1 - block);
      if (t < p.counts[2]) work_on<Math, kType, kValueTiles, Team::kTile>(p, t, memory, staged, page_bits);
    }
    const int warp = __shfl_sync(kWholeWarp, static_cast<int>(threadIdx.x) / kWarp, 0);
    for (int t = p.counts[2] + block + blocks * warp; t < p.counts[0]; t += blocks * kWarps) work_on<Math, kType, kValueTiles, Team::kWarp>(p, t, memory, staged, page_bits);
  }
}

// Blocks (some, head tiles): a thread has four columns of a row of results.
__global__ void merge_kernel(const __grid_constant__ AttentionArguments p) {
  allow_next_launch();
  await_launches();
  const int group = p.heads / p.kv_heads;
  const int together = heads_together(p.heads, p.kv_heads, p.tile);
  const int tiles_of_group = (group + together - 1) / together;
  const int first_head = static_cast<int>(blockIdx.y) % tiles_of_group * together;
  const int head0 = static_cast<int>(blockIdx.y) / tiles_of_group * group + first_head;
  const int heads = min(together, group - first_head);
  const int64_t size = partial_floats(p.cache.value_width);
  const int runs = (p.cache.value_dim + 3) / 4, merges = p.counts[1];
  for (int m = blockIdx.x; m < merges; m += gridDim.x) {
    const MergeTask task = p.merges[m];
    const int pieces = partial_pieces(task.rows * together);
    for (int i = threadIdx.x; i < task.rows * heads * runs; i += blockDim.x) {
      const int r = i / runs, column = i % runs * 4, own = r % kQueryTile;
      const float* part = p.partials + (static_cast<int64_t>(task.partial + r / kQueryTile) * gridDim.y + blockIdx.y) * size;
      float most = -infinity(), sum = 0, value[4] = {};
#pragma unroll 4
      for (int c = 0; c < task.chunks; c++, part += static_cast<int64_t>(pieces) * gridDim.y * size) {
        const float4 next = *reinterpret_cast<const float4*>(part + 2 * kQueryTile + own * p.cache.value_width + column);
        const Weights w = weigh(most, part[own]);
        most = w.most;
        sum = fmaf(sum, w.a, part[kQueryTile + own] * w.b);
        value[0] = fmaf(value[0], w.a, next.x * w.b);
        value[1] = fmaf(value[1], w.a, next.y * w.b);
        value[2] = fmaf(value[2], w.a, next.z * w.b);
        value[3] = fmaf(value[3], w.a, next.w * w.b);
      }
      const float whole = 1.0f / sum;
#pragma unroll
      for (int j = 0; j < 4; j++) value[j] = p.tile == kWarpgroupTile ? value[j] * whole : value[j] / sum;
      store_run<4>(p.out.data + (task.row0 + r / heads) * p.out.stride + (head0 + r % heads) * p.cache.value_dim + column, value, p.cache.value_dim - column);
    }
  }
}

// What a launch of the kernel has beside its arguments.
struct Launch {
  // Head tiles, and parts of the values.
  unsigned tiles, parts;
  size_t shared;
  bool staged;
  int page_bits;
};

template <class Math, int kType, int kValueTiles, bool kTogether, class Act>
void choose(const AttentionArguments& p, const Act& act) {
  using Own = Worker<Math, kType, kValueTiles, kTogether ? Team::kTogether : Team::kWarp>;
  const int parts = p.cache.value_width / (8 * kValueTiles);
  Launch launch{static_cast<unsigned>(head_tiles(p.heads, p.kv_heads, p.tile)), static_cast<unsigned>(kTogether ? (parts + kWarps - 1) / kWarps : parts),
                own_shared<Math, kTogether>(p.cache.key_stride), false, 0};
  const size_t stages = size_t{kWarps} * static_cast<size_t>(Own::stage_bytes(p.cache.key_stride));
  launch.staged = launch.shared + stages <= (most_shared() < kMostStaged ? most_shared() : kMostStaged);
  if (launch.staged) launch.shared += stages;
  while (1 << launch.page_bits < p.cache.block_tokens) launch.page_bits++;
  allow_shared(attention_kernel<Math, kType, kValueTiles, kTogether>, launch.shared);
  act(attention_kernel<Math, kType, kValueTiles, kTogether>, launch);
}

template <class Math, int kType, class Act>
void choose(const AttentionArguments& p, const Act& act) {
  // In float32 twice as many results do not fit the registers.
  constexpr int kMost = Math::kType == MR_F32 ? 8 : 16;
  const int width = p.cache.value_width;
  if (p.cache.turned_dim > 0) {
    return width % (8 * kMost) == 0 ? choose<Math, kType, kMost, true>(p, act) : choose<Math, kType, 4, true>(p, act);
  }
  if constexpr (kMost == 16) {
    if (width % 128 == 0) return choose<Math, kType, 16, false>(p, act);
  }
  if (width % 64 == 0) return choose<Math, kType, 8, false>(p, act);
  if (width % 32 == 0) return choose<Math, kType, 4, false>(p, act);
  return choose<Math, kType, 2, false>(p, act);
}

// Does something with the kernel that these arguments want.
template <class Act>
void with_kernel(const AttentionArguments& p, const Act& act) {
  switch (p.cache.type) {
    case MR_F32: return choose<F32, MR_F32>(p, act);
    case MR_F16: return p.exact ? choose<F32, MR_F16>(p, act) : choose<F16, MR_F16>(p, act);
    case MR_BF16: return p.exact ? choose<F32, MR_BF16>(p, act) : choose<Bf16, MR_BF16>(p, act);
    case MR_FP8: return p.exact ? choose<F32, MR_FP8>(p, act) : choose<Bf16, MR_FP8>(p, act);
    default: return p.exact ? choose<F32, MR_INT8>(p, act) : choose<Bf16, MR_INT8>(p, act);
  }
}

}  // namespace

void attend(cudaStream_t stream, const AttentionArguments& p, int blocks) {
  if (p.tile == kWarpgroupTile) return attend_by_warpgroups(stream, p, blocks);
  with_kernel(p, [&](auto* kernel, const Launch& launch) {
    const dim3 grid{static_cast<unsigned>(blocks), launch.tiles, launch.parts};
    launch_early(kernel, grid, kWarps * kWarp, launch.shared, stream, p, launch.staged, launch.page_bits);
  });
}

int attention_places(const CacheView& cache, bool exact, int tile, int chips) {
  // A block of warpgroups takes more than half of a multiprocessor.
  if (tile == kWarpgroupTile) return chips;
  AttentionArguments p{};
  p.cache = cache;
  p.exact = exact;
  p.tile = tile;
  p.heads = p.kv_heads = 1;
  int places = chips;
  with_kernel(p, [&](auto* kernel, const Launch& launch) { places = chips * blocks_at_once(kernel, kWarps * kWarp, launch.shared) / static_cast<int>(launch.parts); });
  return places > 0 ? places : 1;
}

size_t least_shared(const CacheView& cache, bool exact) {
  if (cache.turned_dim > 0) return exact || cache.type == MR_F32 ? own_shared<F32, true>(cache.key_stride) : own_shared<Bf16, true>(cache.key_stride);
  return exact || cache.type == MR_F32 ? own_shared<F32, false>(cache.key_stride) : own_shared<Bf16, false>(cache.key_stride);
}

void merge_attention(cudaStream_t stream, const AttentionArguments& p, int blocks) {
  const dim3 grid{static_cast<unsigned>(blocks), static_cast<unsigned>(head_tiles(p.heads, p.kv_heads, p.tile)), 1};
  launch_early(merge_kernel, grid, 128, 0, stream, p);
}

}  // namespace millrace::cuda
