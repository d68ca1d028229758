// A warp's work on attention over the paged cache. It has up to 16 query rows, tokens times the heads that share a KV head, and goes through their context
// 32 tokens at a time. A chunk of 256 tokens, counted from position 0, is summed by itself with a running maximum; chunks are merged in
// ascending order by one formula, in registers or from memory. So bits depend neither on who computes a chunk nor on the other rows.
// Keys and values of the next 32 tokens are on their way to shared memory meanwhile; a thread reads only what it has copied itself. Latents,
// whose rows are long, are worked on by the warps of a block together: each has the scores of 8 tokens and a part of the values.
#pragma once
#include "core/copies.h"
#include "kernels/attention.h"
#include "millrace.h"

namespace millrace::cuda {

inline constexpr int kWarps = 4;
inline constexpr int kKeys = 32;
// Tiles of 8 keys.
inline constexpr int kKeyTiles = kKeys / 8;
// Rows of the cache as products read them.
template <int kType>
struct Cached {
  using Value = uint16_t;
  __device__ static float widen(Value v) { return kType == MR_F16 ? f16_to_float(v) : bf16_to_float(v); }
};
template <>
struct Cached<MR_F32> {
  using Value = float;
  __device__ static float widen(Value v) { return v; }
};
template <>
struct Cached<MR_INT8> {
  using Value = int8_t;
  __device__ static float widen(Value v) { return static_cast<float>(v); }
};
template <>
struct Cached<MR_FP8> {
  using Value = uint8_t;
};

// kCount values of a row, aligned to their size; zeros when there is none.
template <int kType, int kCount>
__device__ void load_values(const void* row, int64_t at, bool there, typename Cached<kType>::Value* out) {
  using Value = typename Cached<kType>::Value;
  constexpr int kBytes = kCount * static_cast<int>(sizeof(Value));
  const auto* from = static_cast<const uint8_t*>(row) + at * static_cast<int64_t>(sizeof(Value));
  if constexpr (kBytes % 16 == 0) {
#pragma unroll
    for (int i = 0; i < kBytes / 16; i++) {
      uint4 words = there ? reinterpret_cast<const uint4*>(from)[i] : uint4{0, 0, 0, 0};
      memcpy(reinterpret_cast<uint8_t*>(out) + 16 * i, &words, 16);
    }
  } else if constexpr (kBytes % 8 == 0) {
#pragma unroll
    for (int i = 0; i < kBytes / 8; i++) {
      uint2 words = there ? reinterpret_cast<const uint2*>(from)[i] : uint2{0, 0};
      memcpy(reinterpret_cast<uint8_t*>(out) + 8 * i, &words, 8);
    }
  } else {
#pragma unroll
    for (int i = 0; i < kCount; i++) out[i] = there ? reinterpret_cast<const Value*>(from)[i] : Value{};
  }
}

// Of two rows, g and g + 8: maximum, sum, and values of the chunk or of all chunks so far.
template <int kValueTiles>
struct State {
  float most[2], sum[2];
  Sum values[kValueTiles];

  __device__ __forceinline__ void clear() {
    most[0] = most[1] = -infinity();
    sum[0] = sum[1] = 0;
#pragma unroll
    for (int j = 0; j < kValueTiles; j++) {
#pragma unroll
      for (int i = 0; i < 4; i++) values[j].v[i] = 0;
    }
  }
};

template <int kValueTiles>
__device__ __forceinline__ void merge_into(State<kValueTiles>& all, const State<kValueTiles>& chunk) {
#pragma unroll
  for (int half = 0; half < 2; half++) {
    const Weights w = weigh(all.most[half], chunk.most[half]);
    all.most[half] = w.most;
    all.sum[half] = fmaf(all.sum[half], w.a, chunk.sum[half] * w.b);
#pragma unroll
    for (int j = 0; j < kValueTiles; j++) {
#pragma unroll
      for (int i = 0; i < 2; i++) {
        float& value = all.values[j].v[2 * half + i];
        value = fmaf(value, w.a, chunk.values[j].v[2 * half + i] * w.b);
      }
    }
  }
}

// One warp's work on one KV head, or its share of what the block does.
template <class Math, int kType, int kValueTiles, bool kTogether>
struct Worker {
  using Value = typename Cached<kType>::Value;
  // Whether the cache has operands as they are multiplied.
  static constexpr bool kRaw = kType == Math::kType;
  // Whether a token's row has a factor.
  static constexpr bool kScaled = kType == MR_INT8 || kType == MR_FP8;
  // Values side by side that a thread reads of a row at once: one for each of so many tiles of results.
  static constexpr int kSide = kValueTiles < 8 ? kValueTiles : 8;

  const AttentionArguments& p;
  const AttentionTask& task;
  typename Math::Value* queries;  // [16][key_stride], shared
  Sum* exchange;                  // [2][kKeyTiles][32] scores of warps that work together, shared
  // Where the warp's keys and values of 32 tokens come, shared; null: they are read where they lie, as they do not fit.
  uint8_t* staged_keys;
  int lane = 0, kv_head = 0, head0 = 0, heads = 0, first_value = 0;
  const int32_t* blocks = nullptr;
  // Of the last row, and where the context of the task ends.
  int last = 0, stop = 0;
  // Of rows g and g + 8; -1: there is no such row.
  int positions[2] = {};

  __device__ __forceinline__ int64_t token_of(int position) const {
    const int size = p.cache.block_tokens;
    return (static_cast<int64_t>(blocks[position / size]) * p.cache.heads + kv_head) * size + position % size;
  }

  __device__ __forceinline__ static typename Math::B operand(const Value* v) {
    if constexpr (kRaw) {
      return Math::b_raw(v);
    } else if constexpr (kType == MR_FP8) {
      float wide[4];
      widen_e4m3(static_cast<uint16_t>(v[0] | v[1] << 8), wide[0], wide[1]);
      widen_e4m3(static_cast<uint16_t>(v[2] | v[3] << 8), wide[2], wide[3]);
      return Math::b(wide);
    } else {
      const float wide[4] = {Cached<kType>::widen(v[0]), Cached<kType>::widen(v[1]), Cached<kType>::widen(v[2]), Cached<kType>::widen(v[3])};
      return Math::b(wide);
    }
  }

  // Rows r of the tile: token r / heads, head r % heads.
  __device__ __forceinline__ void load_queries() {
    const int stride = p.cache.key_stride, turned = p.cache.turned_dim, plain = p.cache.key_dim - turned;
    for (int i = kTogether ? static_cast<int>(threadIdx.x) : lane; i < kQueryTile * stride; i += kTogether ? kWarps * kWarp : kWarp) {
      const int r = i / stride, d = i % stride;
      const int64_t row = task.row0 + r / heads;
      const int head = head0 + r % heads;
      float x = 0;
      if (r / heads < task.rows && d < plain) x = p.q.data[row * p.q.stride + head * plain + d];
      if (kTogether && r / heads < task.rows && d >= plain && d < p.cache.key_dim) x = p.turned.data[row * p.turned.stride + head * turned + d - plain];
      queries[i] = Math::narrow(x);
    }
    for (int half = 0; half < 2; half++) {
      const int token = (lane / 4 + 8 * half) / heads;
      positions[half] = token < task.rows ? p.positions[task.row0 + token] : -1;
    }
    last = p.positions[task.row0 + task.rows - 1];
    stop = min(task.chunk1 * kAttentionChunk, last + 1);
    if constexpr (kTogether) {
      __syncthreads();
    } else {
      __syncwarp();
    }
  }

  // Tiles of 8 tokens whose keys a warp has: all, or its own.
  static constexpr int kOwnTiles = kTogether ? 1 : kKeyTiles;
  using KeyPieces = Pieces<8 * sizeof(Value)>;
  using ValuePieces = Pieces<kSide * sizeof(Value)>;
  // Copies have at least 4 bytes.
  static constexpr bool kStagesValues = kSide * sizeof(Value) >= 4;

  // Of a warp.
  MR_HOST_DEVICE static constexpr int stage_bytes(int key_stride) {
    return kOwnTiles * key_stride / 32 * KeyPieces::kWarpBytes + (kStagesValues ? kKeys / 4 * (kValueTiles / kSide) * ValuePieces::kWarpBytes : 0);
  }

  __device__ __forceinline__ static int own_tile(int n) { return kTogether ? static_cast<int>(threadIdx.x) / kWarp : n; }

  // Asks for the keys of 32 tokens, when there are any.
  __device__ __forceinline__ void ask_keys(int start) const {
    if (staged_keys && start < stop) {
      uint8_t* to = staged_keys;
      for (int n = 0; n < kOwnTiles; n++) {
        const int position = start + 8 * own_tile(n) + lane / 4;
        const bool there = position <= last;
        const auto* row = reinterpret_cast<const Value*>(p.cache.keys) + (there ? token_of(position) * p.cache.key_stride : 0) + lane % 4 * 8;
        for (int d = 0; d < p.cache.key_stride; d += 32, to += KeyPieces::kWarpBytes) KeyPieces::copy(to, reinterpret_cast<const uint8_t*>(row + d), lane, there);
      }
    }
    close_copies();
  }

  __device__ __forceinline__ uint8_t* staged_values() const { return staged_keys + kOwnTiles * p.cache.key_stride / 32 * KeyPieces::kWarpBytes; }

  __device__ __forceinline__ void ask_values(int start) const {
    if constexpr (kStagesValues) {
      if (staged_keys && start < stop) {
        uint8_t* to = staged_values();
#pragma unroll
        for (int i = 0; i < kKeys / 4; i++) {
          const int position = position_of(start, i / 2, i % 2);
          const bool there = position <= last;
          const auto* row = reinterpret_cast<const Value*>(p.cache.values) + (there ? token_of(position) * p.cache.value_stride : 0) + first_value + lane / 4 * kSide;
#pragma unroll
          for (int j = 0; j < kValueTiles; j += kSide, to += ValuePieces::kWarpBytes) {
            ValuePieces::copy(to, reinterpret_cast<const uint8_t*>(row + 8 * j), lane, there);
          }
        }
      }
    }
    close_copies();
  }

  // Of the 8 tokens of a tile; the warp's number `own`.
  __device__ __forceinline__ Sum score_of(int start, int n, int own) const {
    const int position = start + 8 * n + lane / 4;
    const bool there = position <= last;
    const int64_t row = there && !staged_keys ? token_of(position) * p.cache.key_stride : 0;
    const uint8_t* from = staged_keys + own * p.cache.key_stride / 32 * KeyPieces::kWarpBytes;
    Sum sum = {{0, 0, 0, 0}};
    for (int d = 0; d < p.cache.key_stride; d += 32) {
      Value stored[8];
      if (staged_keys) {
        uint32_t words[sizeof stored / 4];
        KeyPieces::read(from + d / 32 * KeyPieces::kWarpBytes, lane, words);
        memcpy(stored, words, sizeof stored);
      } else {
        load_values<kType, 8>(p.cache.keys, row + d + lane % 4 * 8, there, stored);
      }
      const auto* upper = queries + lane / 4 * p.cache.key_stride + d + lane % 4 * 8;
      const auto* lower = upper + 8 * p.cache.key_stride;
      Math::multiply(sum, Math::a_stored(upper, lower), operand(stored));
      Math::multiply(sum, Math::a_stored(upper + 4, lower + 4), operand(stored + 4));
    }
    return sum;
  }

  __device__ __forceinline__ void score(int start, Sum* scores) const {
    if constexpr (kTogether) {
      static_assert(kKeyTiles == kWarps);
      // Of two buffers one is read from while the next is written: nobody is further ahead.
      Sum* all = exchange + start / kKeys % 2 * kKeyTiles * kWarp;
      all[threadIdx.x] = score_of(start, threadIdx.x / kWarp, 0);
      __syncthreads();
#pragma unroll
      for (int n = 0; n < kKeyTiles; n++) scores[n] = all[n * kWarp + lane];
    } else {
#pragma unroll
      for (int n = 0; n < kKeyTiles; n++) scores[n] = score_of(start, n, n);
    }
  }

  // Value i of a thread's scores of tile n: row g + 8 * (i / 2), this position.
  __device__ int position_of(int start, int n, int i) const { return start + 8 * n + lane % 4 * 2 + i % 2; }

  // Scores become exponentials relative to the chunk's new maximum, which its sum and values are brought to.
  __device__ __forceinline__ void soften(int start, Sum* scores, State<kValueTiles>& chunk) const {
    float most[2] = {-infinity(), -infinity()};
#pragma unroll
    for (int n = 0; n < kKeyTiles; n++) {
#pragma unroll
      for (int i = 0; i < 4; i++) {
        const int position = position_of(start, n, i), query = positions[i / 2];
        const bool seen = position <= query && (p.window == 0 || position > query - p.window);
        float x = -infinity();
        if (seen) {
          x = scores[n].v[i] * p.scale;
          if (kScaled) x *= p.cache.key_scales[token_of(position)];
          x = soft_cap(x, p.cap);
        }
        scores[n].v[i] = x;
        most[i / 2] = fmaxf(most[i / 2], x);
      }
    }
#pragma unroll
    for (int half = 0; half < 2; half++) {
      for (int bits = 1; bits < 4; bits *= 2) most[half] = fmaxf(most[half], __shfl_xor_sync(kWholeWarp, most[half], bits));
      const Weights w = weigh(chunk.most[half], most[half]);
      float sum = 0;
#pragma unroll
      for (int n = 0; n < kKeyTiles; n++) {
#pragma unroll
        for (int i = 2 * half; i < 2 * half + 2; i++) {
          float& x = scores[n].v[i];
          x = x == -infinity() ? 0.0f : exp_of(x - w.most);
          sum += x;
        }
      }
      for (int bits = 1; bits < 4; bits *= 2) sum += __shfl_xor_sync(kWholeWarp, sum, bits);
      chunk.sum[half] = fmaf(chunk.sum[half], w.a, sum);
      chunk.most[half] = w.most;
#pragma unroll
      for (int j = 0; j < kValueTiles; j++) {
        chunk.values[j].v[2 * half] *= w.a;
        chunk.values[j].v[2 * half + 1] *= w.a;
      }
    }
  }

  __device__ __forceinline__ void add_values(int start, const Sum* scores, State<kValueTiles>& chunk) const {
#pragma unroll
    for (int k = 0; k < kKeys / 16; k++) {
      float weights[8];
      const void* rows = p.cache.values;
      int64_t token[4];
      bool there[4];
#pragma unroll
      for (int i = 0; i < 4; i++) {
        const int n = 2 * k + i / 2;
        const int position = position_of(start, n, i % 2);
        there[i] = position <= last;
        token[i] = there[i] ? token_of(position) : 0;
        const float factor = kScaled && there[i] ? p.cache.value_scales[token[i]] : 1.0f;
        // A factor that is no number must not touch rows that do not see the token.
        const float upper = scores[n].v[i % 2], lower = scores[n].v[2 + i % 2];
        weights[i] = kScaled && upper != 0.0f ? upper * factor : upper;
        weights[4 + i] = kScaled && lower != 0.0f ? lower * factor : lower;
      }
      const typename Math::A a = Math::a(weights);
#pragma unroll
      for (int j = 0; j < kValueTiles; j += kSide) {
        Value stored[4][kSide];
#pragma unroll
        for (int i = 0; i < 4; i++) {
          if (kStagesValues && staged_keys) {
            uint32_t words[kStagesValues ? sizeof stored[i] / 4 : 1];
            ValuePieces::read(staged_values() + ((4 * k + i) * (kValueTiles / kSide) + j / kSide) * ValuePieces::kWarpBytes, lane, words);
            memcpy(stored[i], words, sizeof stored[i]);
          } else {
            load_values<kType, kSide>(rows, token[i] * p.cache.value_stride + first_value + 8 * j + lane / 4 * kSide, there[i], stored[i]);
          }
        }
#pragma unroll
        for (int s = 0; s < kSide; s++) {
          const Value b[4] = {stored[0][s], stored[1][s], stored[2][s], stored[3][s]};
          Math::multiply(chunk.values[j + s], a, operand(b));
        }
      }
    }
  }

  // Where a chunk's tokens begin. Nobody sees what lies before the window of the first row.
  __device__ __forceinline__ int first_of(int chunk) const {
    const int start = chunk * kAttentionChunk;
    return p.window > 0 ? max(start, max(0, p.positions[task.row0] - p.window + 1) / kKeys * kKeys) : start;
  }

  __device__ __forceinline__ void begin() const {
    ask_keys(first_of(task.chunk0));
    ask_values(first_of(task.chunk0));
  }

  // Chunks are in order, and each begins where the one before ends. Of the copies asked for last those of keys come first.
  __device__ __forceinline__ void add_chunk(int index, State<kValueTiles>& chunk) const {
    chunk.clear();
    const int end = min((index + 1) * kAttentionChunk, stop);
    for (int start = first_of(index); start < end; start += kKeys) {
      Sum scores[kKeyTiles];
      wait_for_copies<1>();
      score(start, scores);
      ask_keys(start + kKeys);
      soften(start, scores, chunk);
      wait_for_copies<1>();
      add_values(start, scores, chunk);
      ask_values(start + kKeys);
    }
  }

  // The column of a result that value i of tile j is.
  __device__ int column_of(int j, int i) const { return first_value + j / kSide * 8 * kSide + (lane % 4 * 2 + i % 2) * kSide + j % kSide; }

  __device__ __forceinline__ void write(const State<kValueTiles>& all) {
#pragma unroll
    for (int half = 0; half < 2; half++) {
      const int r = lane / 4 + 8 * half;
      if (r / heads >= task.rows) continue;
      float* out = p.out.data + (task.row0 + r / heads) * p.out.stride + (head0 + r % heads) * p.cache.value_dim;
#pragma unroll
      for (int j = 0; j < kValueTiles; j++) {
#pragma unroll
        for (int i = 0; i < 2; i++) {
          const int column = column_of(j, i);
          if (column < p.cache.value_dim) out[column] = all.values[j].v[2 * half + i] / all.sum[half];
        }
      }
    }
  }

  // Partial results: [16] maxima, [16] sums, [16][value_stride] values.
  __device__ __forceinline__ void write_partial(const State<kValueTiles>& chunk, float* out) {
#pragma unroll
    for (int half = 0; half < 2; half++) {
      const int r = lane / 4 + 8 * half;
      if (lane % 4 == 0 && first_value == 0) {
        out[r] = chunk.most[half];
        out[kQueryTile + r] = chunk.sum[half];
      }
      float* values = out + 2 * kQueryTile + r * p.cache.value_width;
#pragma unroll
      for (int j = 0; j < kValueTiles; j++) {
#pragma unroll
        for (int i = 0; i < 2; i++) values[column_of(j, i)] = chunk.values[j].v[2 * half + i];
      }
    }
  }
};

}  // namespace millrace::cuda
