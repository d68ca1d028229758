// Attention over the paged cache by products of warpgroups (wgmma of sm_90a). A block has one KV head and up to 128 query rows, tokens times the heads
// that share it. A warpgroup copies keys and values of 128 tokens at a time from the pages to shared memory, two tiles ahead; two others, with 64 rows
// each, multiply: scores from shared memory, then weights from registers times values, while the other takes exponentials. Chunks of 256 tokens are
// summed and merged as in attention.cu, in tiles of 128 tokens instead of 32 and with powers of two, so its bits are others; those of a row depend
// on nothing but its sequence. Pages are gathered by cp.async: it swizzles as it writes, takes pages of any size, and wants no tensor map of a cache.
#include "core/copies.h"
#include "core/warpgroup.h"
#include "kernels/attention.h"
#include "millrace.h"

namespace millrace::cuda {
namespace {

// Tokens of a tile; tiles on their way; rows of a warpgroup, and warpgroups that multiply.
constexpr int kTokens = 128;
constexpr int kStages = 2;
constexpr int kRows = 64;
constexpr int kConsumers = 2;
constexpr int kThreads = (1 + kConsumers) * kWarpgroup;
static_assert(kConsumers * kRows == kWarpgroupTile && kAttentionChunk % kTokens == 0);
// Registers of a thread that copies, and of one that multiplies; together at most 64 Ki a block.
constexpr int kFewRegisters = 40, kManyRegisters = 232;
static_assert(kWarpgroup * (kFewRegisters + kConsumers * kManyRegisters) <= 64 << 10);
// Named barriers: the first of those that a warpgroup has alone, and of those that let it multiply.
constexpr int kOwnBarrier = 1, kTurnBarrier = kOwnBarrier + kConsumers;

// What a block has in shared memory, one after the other from a multiple of kSwizzleBytes on; values of a row lie in blocks of 64 columns.
template <int kDim>
struct Shared {
  static constexpr int kQueryBytes = kRows * kDim * 2, kTileBytes = kTokens * kDim * 2, kResultBytes = kRows * kDim * 4;
  static constexpr int kKeys = kConsumers * kQueryBytes, kValues = kKeys + kStages * kTileBytes, kResults = kValues + kStages * kTileBytes,
                       kGates = kResults + kConsumers * kResultBytes, kBytes = kGates + 4 * kStages * 8;

  uint8_t* base;

  __device__ uint8_t* queries(int group) const { return base + group * kQueryBytes; }
  __device__ uint8_t* keys(int stage) const { return base + kKeys + stage * kTileBytes; }
  __device__ uint8_t* values(int stage) const { return base + kValues + stage * kTileBytes; }
  // A thread's own sums of the chunks so far.
  __device__ float* results(int group) const { return reinterpret_cast<float*>(base + kResults + group * kResultBytes); }
  __device__ uint64_t* keys_full(int stage) const { return reinterpret_cast<uint64_t*>(base + kGates) + stage; }
  __device__ uint64_t* keys_free(int stage) const { return keys_full(kStages + stage); }
  __device__ uint64_t* values_full(int stage) const { return keys_full(2 * kStages + stage); }
  __device__ uint64_t* values_free(int stage) const { return keys_full(3 * kStages + stage); }
  // Of 8 values from column 8 * piece on.
  __device__ static int place(int rows, int row, int piece) { return piece / 8 * rows * kSwizzleRow + row * kSwizzleRow + ((piece % 8) ^ (row % 8)) * 16; }
};

#if MR_WARPGROUPS

// What all threads of a warp have alike, so that the compiler knows it too.
__device__ __forceinline__ int of_warp(int x) { return __shfl_sync(kWholeWarp, x, 0); }

// Tasks of a block: blocks take them in turn, one way and then the other, as the longest come first.
template <class Body>
__device__ __forceinline__ void for_tasks(int tasks, const Body& body) {
  const int block = static_cast<int>(blockIdx.x), blocks = static_cast<int>(gridDim.x);
  for (int first = 0, round = 0; first < tasks; first += blocks, round++) {
    const int t = first + (round % 2 == 0 ? block : blocks - 1 - block);
    if (t < tasks) body(t);
  }
}

// A task of a head tile, and the tiles of tokens that it goes through.
struct Work {
  AttentionTask task;
  int kv_head, head0, heads, first, last, stop;

  __device__ Work(const AttentionArguments& p, int t) : task(p.tasks[t]) {
    const int group = p.heads / p.kv_heads, together = heads_together(p.heads, p.kv_heads, p.tile), tiles = (group + together - 1) / together;
    const int first_head = static_cast<int>(blockIdx.y) % tiles * together;
    kv_head = static_cast<int>(blockIdx.y) / tiles;
    head0 = kv_head * group + first_head;
    heads = min(together, group - first_head);
    last = of_warp(p.positions[task.row0 + task.rows - 1]);
    stop = of_warp(min(task.chunk1 * kAttentionChunk, last + 1));
    first = task.chunk0 * kAttentionChunk;
    // Nobody sees what lies before the window of the first row.
    if (p.window > 0) first = max(first, max(0, p.positions[task.row0] - p.window + 1) / kTokens * kTokens);
    first = of_warp(first);
  }
  __device__ bool begins_chunk(int start) const { return start == first || start % kAttentionChunk == 0; }
  __device__ bool ends_chunk(int start) const { return start + kTokens >= stop || (start + kTokens) % kAttentionChunk == 0; }
};

// The warpgroup that copies.
template <int kDim>
struct Producer {
  static constexpr int kPieces = kDim / 8;

  const AttentionArguments& p;
  Shared<kDim> shared;
  int page_bits, thread;

  // A thread has one piece of some rows. Rows that there are not become zeros.
  __device__ __forceinline__ void ask(uint8_t* to, const uint8_t* cache, const Work& work, const int32_t* pages, int start) const {
    const int piece = thread % kPieces, row0 = thread / kPieces;
    // Several pages are looked up before the first copy. There is no memory for rows beyond 32 bits.
    constexpr int kAtOnce = 4, kRowStep = kWarpgroup / kPieces;
#pragma unroll 1
    for (int first = 0; first < kPieces; first += kAtOnce) {
      int page[kAtOnce];
#pragma unroll
      for (int i = 0; i < kAtOnce; i++) {
        const int position = start + row0 + (first + i) * kRowStep;
        page[i] = position <= work.last ? pages[position >> page_bits] : -1;
      }
#pragma unroll
      for (int i = 0; i < kAtOnce; i++) {
        const int row = row0 + (first + i) * kRowStep;
        const uint32_t token = (static_cast<uint32_t>(page[i] * p.cache.heads + work.kv_head) << page_bits) + ((start + row) & ((1 << page_bits) - 1));
        copy_async<16>(to + Shared<kDim>::place(kTokens, row, piece), cache + (page[i] < 0 ? 0 : static_cast<uint64_t>(token) * (kDim * 2)) + piece * 16, page[i] >= 0);
      }
    }
    close_copies();
  }

  // What the thread has copied but for the last so many groups is there.
  template <int kGroups>
  __device__ __forceinline__ void tell(uint64_t* gate) const {
    wait_for_copies<kGroups>();
    fence_shared();
    arrive(gate);
  }

  __device__ __forceinline__ void run() const {
    int n = 0;
    for_tasks(p.counts[0], [&](int t) {
      const Work work(p, t);
      const int32_t* pages = p.block_table + static_cast<int64_t>(work.task.sequence) * *p.table_width;
      for (int start = work.first; start < work.stop; start += kTokens, n++) {
        const int stage = n % kStages, before = (n / kStages % 2) ^ 1;
        wait_for(shared.keys_free(stage), before);
        ask(shared.keys(stage), p.cache.keys, work, pages, start);
        if (n > 0) tell<1>(shared.values_full((n - 1) % kStages));
        // While there is no room for values nobody waits for keys in vain.
        const bool room = passed(shared.values_free(stage), before);
        if (!room) {
          tell<0>(shared.keys_full(stage));
          wait_for(shared.values_free(stage), before);
        }
        ask(shared.values(stage), p.cache.values, work, pages, start);
        if (room) tell<1>(shared.keys_full(stage));
      }
    });
    if (n > 0) tell<0>(shared.values_full((n - 1) % kStages));
  }
};

// A warpgroup that multiplies. A thread has two rows, as in fragments.h.
template <class Math, int kDim>
struct Consumer {
  static constexpr int kScores = kTokens / 2, kValues = kDim / 2;

  const AttentionArguments& p;
  Shared<kDim> shared;
  int group, thread;
  // Of the chunk: maxima and scores in powers of two, the thread's part of the sums.
  float most[2], sum[2], values[kValues], scores[kScores];
  uint32_t weights[kTokens / 16][4];
  float all_most[2], all_sum[2];
  // Of rows g and g + 8, -1: there is no such row; of the first and the last row of the warpgroup.
  int positions[2], lowest, highest;

  __device__ __forceinline__ Consumer(const AttentionArguments& arguments, Shared<kDim> all_shared, int own_group, int own_thread)
      : p(arguments), shared(all_shared), group(own_group), thread(own_thread) {}

  __device__ __forceinline__ int row_of(int half) const { return thread / kWarp * 16 + thread % kWarp / 4 + 8 * half; }
  __device__ __forceinline__ static int column_of(int i) { return i / 4 * 8 + static_cast<int>(threadIdx.x) % 4 * 2 + i % 2; }

  // Rows r of the task: token r / heads, head r % heads. Queries are multiplied with what turns scores into powers of two.
  __device__ __forceinline__ void load_queries(const Work& work) {
    const float factor = p.cap > 0 ? p.scale : p.scale * kLog2E;
    meet<kWarpgroup>(kOwnBarrier + group);
    // Several pieces are read before the first is rounded.
    constexpr int kPieces = kDim / 8, kAtOnce = 4, kRounds = kRows * kPieces / kWarpgroup;
    static_assert(kRounds % kAtOnce == 0);
#pragma unroll 1
    for (int first = 0; first < kRounds; first += kAtOnce) {
      float x[kAtOnce][8];
#pragma unroll
      for (int i = 0; i < kAtOnce; i++) {
        const int at = thread + (first + i) * kWarpgroup, r = group * kRows + at / kPieces, token = r / work.heads, column = at % kPieces * 8;
        const int room = token < work.task.rows ? p.cache.key_dim - column : 0;
        load_run(x[i], p.q.data + (work.task.row0 + token) * p.q.stride + (work.head0 + r % work.heads) * p.cache.key_dim + column, room);
      }
#pragma unroll
      for (int i = 0; i < kAtOnce; i++) {
        const int at = thread + (first + i) * kWarpgroup;
        auto two = [&](int j) { return pack(x[i][j] * factor, x[i][j + 1] * factor); };
        store_shared(shared.queries(group) + Shared<kDim>::place(kRows, at / kPieces, at % kPieces), {two(0), two(2), two(4), two(6)});
      }
    }
    fence_shared();
    meet<kWarpgroup>(kOwnBarrier + group);
    for (int half = 0; half < 2; half++) {
      const int token = (group * kRows + row_of(half)) / work.heads;
      positions[half] = token < work.task.rows ? p.positions[work.task.row0 + token] : -1;
    }
    lowest = p.positions[work.task.row0 + group * kRows / work.heads];
    highest = p.positions[work.task.row0 + min(work.task.rows - 1, (group * kRows + kRows - 1) / work.heads)];
    all_most[0] = all_most[1] = -infinity();
    all_sum[0] = all_sum[1] = 0;
  }

  // Eight values, of which `room` are there; zeros for the others.
  __device__ __forceinline__ static void load_run(float (&x)[8], const float* from, int room) {
    if (room >= 8 && reinterpret_cast<uintptr_t>(from) % 16 == 0) {
      const float4 low = *reinterpret_cast<const float4*>(from), high = *reinterpret_cast<const float4*>(from + 4);
      x[0] = low.x, x[1] = low.y, x[2] = low.z, x[3] = low.w, x[4] = high.x, x[5] = high.y, x[6] = high.z, x[7] = high.w;
      return;
    }
#pragma unroll
    for (int j = 0; j < 8; j++) x[j] = j < room ? from[j] : 0.0f;
  }

  __device__ __forceinline__ static uint32_t pack(float low, float high) {
    if constexpr (Math::kType == MR_BF16) return pack_bf16(low, high);
    return pack_f16(low, high);
  }

  __device__ __forceinline__ void begin_scores(int stage) {
    const uint32_t a = shared_place(shared.queries(group)), b = shared_place(shared.keys(stage));
#pragma unroll
    for (int k = 0; k < kDim; k += 16) {
      multiply_shared<Math>(scores, describe(a + k / 64 * kRows * kSwizzleRow + k % 64 * 2, kSwizzleBytes),
                            describe(b + k / 64 * kTokens * kSwizzleRow + k % 64 * 2, kSwizzleBytes), k > 0);
    }
    commit_products();
  }

  __device__ __forceinline__ void begin_values(int stage, bool add) {
    const uint32_t b = shared_place(shared.values(stage));
#pragma unroll
    for (int k = 0; k < kTokens / 16; k++) {
      multiply_registers<Math>(values, weights[k], describe(b + k * 16 * kSwizzleRow, kSwizzleBytes, kTokens * kSwizzleRow), add || k > 0);
    }
    commit_products();
  }

  // Scores become weights relative to the chunk's new maximum, which its sums and values are brought to.
  __device__ __forceinline__ void soften(int start, bool begins) {
    if (p.cap > 0) {
      const float twice = 2 * kLog2E / p.cap, highest_score = p.cap * kLog2E;
#pragma unroll
      for (int i = 0; i < kScores; i++) scores[i] = soft_cap_of_two(scores[i] * twice, highest_score);
    }
    // Where all rows see all tokens nothing is to be asked.
    if (start + kTokens - 1 > lowest || (p.window > 0 && start <= highest - p.window)) {
#pragma unroll
      for (int i = 0; i < kScores; i++) {
        const int position = start + column_of(i), query = positions[i / 2 % 2];
        if (position > query || (p.window > 0 && position <= query - p.window)) scores[i] = -infinity();
      }
    }
#pragma unroll
    for (int half = 0; half < 2; half++) {
      float now = -infinity();
#pragma unroll
      for (int i = 2 * half; i < kScores; i += 4) now = fmaxf(now, fmaxf(scores[i], scores[i + 1]));
      for (int bits = 1; bits < 4; bits *= 2) now = fmaxf(now, __shfl_xor_sync(kWholeWarp, now, bits));
      const float before = begins ? -infinity() : most[half];
      now = fmaxf(now, before);
      most[half] = now;
      const float zero = now == -infinity() ? 0.0f : now, old = begins ? 0.0f : power_of_two(before - zero);
      float added = 0;
#pragma unroll
      for (int i = 2 * half; i < kScores; i += 4) {
#pragma unroll
        for (int j = i; j < i + 2; j++) {
          scores[j] = power_of_two(scores[j] - zero);
          added += scores[j];
        }
        weights[i / 8][i % 8 / 2] = pack(scores[i], scores[i + 1]);
      }
      sum[half] = begins ? added : fmaf(sum[half], old, added);
      if (!begins) {
#pragma unroll
        for (int i = 2 * half; i < kValues; i += 4) {
          values[i] *= old;
          values[i + 1] *= old;
        }
      }
    }
  }

  // The chunk is done: into a partial result, or merged into what the chunks before gave, which the last divides and writes.
  __device__ __forceinline__ void end_chunk(const Work& work, int start) {
    const bool ends = start + kTokens >= work.stop, first = start / kAttentionChunk == work.first / kAttentionChunk;
    float* results = shared.results(group) + thread;
#pragma unroll
    for (int half = 0; half < 2; half++) {
      for (int bits = 1; bits < 4; bits *= 2) sum[half] += __shfl_xor_sync(kWholeWarp, sum[half], bits);
      const int r = group * kRows + row_of(half), token = r / work.heads;
      const bool there = token < work.task.rows;
      if (work.task.partial >= 0) {
        if (!there) continue;
        float* part = p.partials + (static_cast<int64_t>(work.task.partial + r / kQueryTile) * gridDim.y + blockIdx.y) * partial_floats(kDim);
        if (thread % 4 == 0) {
          part[r % kQueryTile] = most[half];
          part[kQueryTile + r % kQueryTile] = sum[half];
        }
#pragma unroll
        for (int i = 2 * half; i < kValues; i += 4) {
          for (int j = i; j < i + 2; j++) part[2 * kQueryTile + r % kQueryTile * kDim + column_of(j)] = values[j];
        }
        continue;
      }
      const Weights w = weigh(all_most[half], most[half]);
      all_most[half] = w.most;
      all_sum[half] = fmaf(all_sum[half], w.a, sum[half] * w.b);
      const float whole = 1.0f / all_sum[half];
      float* out = p.out.data + (work.task.row0 + token) * p.out.stride + (work.head0 + r % work.heads) * p.cache.value_dim;
#pragma unroll
      for (int i = 2 * half; i < kValues; i += 4) {
        for (int j = i; j < i + 2; j++) {
          const float value = fmaf(first ? 0.0f : results[j * kWarpgroup], w.a, values[j] * w.b);
          if (!ends) {
            results[j * kWarpgroup] = value;
          } else if (there && column_of(j) < p.cache.value_dim) {
            out[column_of(j)] = value * whole;
          }
        }
      }
    }
  }

  // Every warp has read what is in a place of a tile, and all its threads.
  __device__ __forceinline__ void leave(uint64_t* gate) const {
    __syncwarp();
    if (thread % kWarp == 0) arrive(gate);
  }

  __device__ __forceinline__ void begin_first(const Work& work, int n) {
    load_queries(work);
    wait_for(shared.keys_full(n % kStages), n / kStages % 2);
    fence_products();
    begin_scores(n % kStages);
    wait_for_products<0>();
    hold(scores);
    leave(shared.keys_free(n % kStages));
  }

  // Tile n: its weights and values, while the scores of the next are begun. With both warpgroups at work, one begins products when the other has begun
  // its own.
  template <bool kMore>
  __device__ __forceinline__ void step(const Work& work, int start, int n, bool both) {
    const bool begins = work.begins_chunk(start);
    const int stage = n % kStages, next = (n + 1) % kStages;
    soften(start, begins);
    if (both) meet<kConsumers * kWarpgroup>(kTurnBarrier + group);
    wait_for(shared.values_full(stage), n / kStages % 2);
    if constexpr (kMore) wait_for(shared.keys_full(next), (n + 1) / kStages % 2);
    fence_products();
    begin_values(stage, !begins);
    if constexpr (kMore) begin_scores(next);
    if (both && (kMore || group == 0)) announce<kConsumers * kWarpgroup>(kTurnBarrier + 1 - group);
    wait_for_products<kMore ? 1 : 0>();
    hold(values);
    leave(shared.values_free(stage));
    if (work.ends_chunk(start)) end_chunk(work, start);
    if constexpr (kMore) {
      wait_for_products<0>();
      hold(scores);
      leave(shared.keys_free(next));
    }
  }

  // A warpgroup without rows only lets tiles pass.
  __device__ __forceinline__ void run() {
    int n = 0;
    for_tasks(p.counts[0], [&](int t) {
      const Work work(p, t);
      const int rows = work.task.rows * work.heads;
      if (group * kRows >= rows) {
        for (int start = work.first; start < work.stop; start += kTokens, n++) {
          wait_for(shared.keys_full(n % kStages), n / kStages % 2);
          leave(shared.keys_free(n % kStages));
          wait_for(shared.values_full(n % kStages), n / kStages % 2);
          leave(shared.values_free(n % kStages));
        }
        return;
      }
      const bool both = rows > kRows;
      if (both && group == 1) announce<kConsumers * kWarpgroup>(kTurnBarrier);
      begin_first(work, n);
      int start = work.first;
      for (; start + kTokens < work.stop; start += kTokens) step<true>(work, start, n++, both);
      step<false>(work, start, n++, both);
    });
  }
};

#endif

// Blocks (some, head tiles).
template <class Math, int kDim>
__global__ void __launch_bounds__(kThreads, 1) warpgroup_attention_kernel([[maybe_unused]] const __grid_constant__ AttentionArguments p, [[maybe_unused]] int page_bits) {
#if MR_WARPGROUPS
  MR_SHARED_MEMORY(uint8_t, memory);
  allow_next_launch();
  const Shared<kDim> shared{memory + (kSwizzleBytes - shared_place(memory) % kSwizzleBytes) % kSwizzleBytes};
  if (threadIdx.x == 0) {
    for (int i = 0; i < kStages; i++) {
      init_gate(shared.keys_full(i), kWarpgroup);
      init_gate(shared.values_full(i), kWarpgroup);
      init_gate(shared.keys_free(i), kConsumers * kWarpgroup / kWarp);
      init_gate(shared.values_free(i), kConsumers * kWarpgroup / kWarp);
    }
    fence_gates();
  }
  __syncthreads();
  await_launches();
  const int thread = static_cast<int>(threadIdx.x) % kWarpgroup, warpgroup = of_warp(static_cast<int>(threadIdx.x) / kWarpgroup);
  if (warpgroup == 0) {
    give_registers<kFewRegisters>();
    Producer<kDim>{p, shared, page_bits, thread}.run();
  } else {
    take_registers<kManyRegisters>();
    Consumer<Math, kDim> consumer(p, shared, warpgroup - 1, thread);
    consumer.run();
  }
#endif
}

template <class Math, int kDim>
void start(cudaStream_t stream, const AttentionArguments& p, int blocks) {
  constexpr size_t kBytes = Shared<kDim>::kBytes + kSwizzleBytes - 16;
  static_assert(kBytes <= 227 << 10);
  int page_bits = 0;
  while (1 << page_bits < p.cache.block_tokens) page_bits++;
  const dim3 grid{static_cast<unsigned>(blocks), static_cast<unsigned>(head_tiles(p.heads, p.kv_heads, p.tile)), 1};
  allow_shared(warpgroup_attention_kernel<Math, kDim>, kBytes);
  launch_early(warpgroup_attention_kernel<Math, kDim>, grid, kThreads, kBytes, stream, p, page_bits);
}

}  // namespace

void attend_by_warpgroups(cudaStream_t stream, const AttentionArguments& p, int blocks) {
  if (p.cache.key_stride == 128) {
    return p.cache.type == MR_BF16 ? start<Bf16, 128>(stream, p, blocks) : start<F16, 128>(stream, p, blocks);
  }
  return p.cache.type == MR_BF16 ? start<Bf16, 64>(stream, p, blocks) : start<F16, 64>(stream, p, blocks);
}

}  // namespace millrace::cuda
