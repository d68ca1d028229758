// A warp's work on attention over the paged cache. It has up to 16 query rows, tokens times the heads that share a KV head, and goes through their context
// 32 tokens at a time. A chunk of 256 tokens, counted from position 0, is summed by itself with a running maximum; chunks are merged in
// ascending order by one formula, in registers or from memory. So bits depend neither on who computes a chunk nor on the other rows. A warp of few rows
// works by itself, and a thread reads only what it has copied itself. Where there are more, the four warps of a block have 16 each of the same
// sequence and share keys and values, of which each copies a fourth. Latents, whose rows are long, are worked on by the warps of a block together: each
// has the scores of 8 tokens and a part of the values.
#pragma once
#include "kernels/attention_state.h"

namespace millrace::cuda {

// Warps of a block; tokens that are worked on at a time, and their tiles of 8.
inline constexpr int kWarps = 4;
inline constexpr int kKeys = 32;
inline constexpr int kKeyTiles = kKeys / 8;

// Who works on a task: a warp; the block's warps on 16 rows each; the block's warps on the same rows.
enum class Team { kWarp, kTile, kTogether };

// Sums of a head or a chunk are short, and a warp's leave no registers for others beside them.
template <class Math>
__device__ __forceinline__ void add_product(Sum& c, const typename Math::A& a, const typename Math::B& b) {
  if constexpr (std::is_same_v<Math, F32>) {
    Math::accumulate(c, a, b);
  } else {
    Math::multiply(c, a, b);
  }
}

template <class Math, int kType, int kValueTiles, Team kTeam>
struct Worker {
  using Value = typename Cached<kType>::Value;
  static constexpr bool kTile = kTeam == Team::kTile, kTogether = kTeam == Team::kTogether;
  // Whether a token's row has a factor.
  static constexpr bool kScaled = kType == MR_INT8 || kType == MR_FP8;
  static constexpr int kSide = State<kValueTiles>::kSide;
  // Tiles of 8 tokens whose scores a warp has; those of which it copies keys; runs of 4 tokens of which it copies values.
  static constexpr int kOwnTiles = kTogether ? 1 : kKeyTiles, kAskedTiles = kTeam == Team::kWarp ? kKeyTiles : 1, kAskedRuns = kTile ? 2 : kKeys / 4;
  // Places of 32 tokens' keys and values that a team goes round.
  static constexpr int kStages = kTile ? kWarps : 1;
  using Key = KeyPiece<Math, kType>;
  using KeyPieces = Pieces<8 * sizeof(Value)>;
  using ValuePieces = Pieces<kSide * sizeof(Value)>;
  // Copies have at least 4 bytes.
  static constexpr bool kStagesValues = kSide * sizeof(Value) >= 4;
  static constexpr int kValueBytes = kStagesValues ? kKeys / 4 * (kValueTiles / kSide) * ValuePieces::kWarpBytes : 0;
  static constexpr uint32_t kNone = 0xffffffffu;

  const AttentionArguments& p;
  const AttentionTask& task;
  typename Math::Value* queries;  // the warp's 16 rows, as Queries has them, shared
  Sum* exchange;                  // [2][kKeyTiles][32] scores of warps that work together, shared
  uint8_t* stages;                // kStages times values, then keys [key_stride / 32][kOwnTiles], shared
  bool staged;                    // not: keys and values are read where they lie, as they do not fit
  int warp, lane, page_bits, kv_head = 0, head0 = 0, heads = 0;
  // Of the task's sequence in the table of blocks; where its context ends.
  uint32_t blocks_at = 0;
  int stop = 0;
  // Of rows g and g + 8, -1: there is no such row; of the first and the last row of the warp.
  int positions[2] = {}, lowest = 0, highest = -1;
  // Whether the warp has no more than 8 rows.
  bool few = false;
  int turn = 0;

  // Bytes of a stage.
  MR_HOST_DEVICE static constexpr int stage_bytes(int key_stride) { return kValueBytes + kOwnTiles * key_stride / 32 * KeyPieces::kWarpBytes; }

  // The warp's part of the values, as far as it has one.
  __device__ __forceinline__ int first_value() const {
    const int first = (kTogether ? static_cast<int>(blockIdx.z) * kWarps + warp : static_cast<int>(blockIdx.z)) * 8 * kValueTiles;
    return !kTogether || first < p.cache.value_width ? first : 0;
  }
  __device__ __forceinline__ bool has_values() const { return !kTogether || (static_cast<int>(blockIdx.z) * kWarps + warp) * 8 * kValueTiles < p.cache.value_width; }

  // Of the task's rows, the first of the warp.
  __device__ __forceinline__ int row0() const { return kTile ? kQueryTile * warp : 0; }

  // For each 32 columns of keys; where keys are as wide as values, as nearly all are, without a loop.
  template <class Body>
  __device__ __forceinline__ void for_steps(const Body& body) const {
    const int steps = p.cache.key_stride / 32;
    if constexpr (!kTogether && kValueTiles >= 4) {
      if (steps == kValueTiles / 4) {
#pragma unroll
        for (int s = 0; s < kValueTiles / 4; s++) body(s);
        return;
      }
    }
#pragma unroll 1
    for (int s = 0; s < steps; s++) body(s);
  }

  __device__ __forceinline__ void meet_all() const {
    if constexpr (kTeam == Team::kWarp) {
      __syncwarp();
    } else {
      __syncthreads();
    }
  }

  // Row r of the task: token r / heads, head r % heads.
  __device__ __forceinline__ void load_queries() {
    const int turned = p.cache.turned_dim, plain = p.cache.key_dim - turned, steps = p.cache.key_stride / 32;
#pragma unroll
    for (int half = 0; half < 2; half++) {
      const int r = row0() + lane / 4 + 8 * half, token = r / heads, head = head0 + r % heads;
      const bool there = token < task.rows;
      positions[half] = there ? p.positions[task.row0 + token] : -1;
      const float* from = p.q.data + (there ? (task.row0 + token) * p.q.stride + head * plain : 0);
      const float* turned_from = kTogether && there ? p.turned.data + (task.row0 + token) * p.turned.stride + head * turned - plain : nullptr;
      for (int s = kTogether ? warp : 0; s < steps; s += kTogether ? kWarps : 1) {
        const int d = 32 * s + lane % 4 * 8;
        float x[8] = {};
        if (there && d + 8 <= plain && reinterpret_cast<uintptr_t>(from + d) % 16 == 0) {
          const float4 low = *reinterpret_cast<const float4*>(from + d), high = *reinterpret_cast<const float4*>(from + d + 4);
          x[0] = low.x, x[1] = low.y, x[2] = low.z, x[3] = low.w, x[4] = high.x, x[5] = high.y, x[6] = high.z, x[7] = high.w;
        } else if (there) {
#pragma unroll
          for (int i = 0; i < 8; i++) {
            if (d + i < plain) x[i] = from[d + i];
            if (kTogether && d + i >= plain && d + i < p.cache.key_dim) x[i] = turned_from[d + i];
          }
        }
        Queries<Math>::store(queries, s, lane, half, x);
      }
    }
    stop = min(task.chunk1 * kAttentionChunk, p.positions[task.row0 + task.rows - 1] + 1);
    const int rows = min(task.rows * heads - row0(), kQueryTile);
    few = rows <= 8;
    if (rows > 0) {
      lowest = p.positions[task.row0 + row0() / heads];
      highest = p.positions[task.row0 + (row0() + rows - 1) / heads];
    }
    meet_all();
  }

  // The row of the cache that token start + lane has, if the task goes so far.
  __device__ __forceinline__ uint32_t row_at(int start) const {
    const int position = start + lane;
    if (position >= stop) return kNone;
    return (static_cast<uint32_t>(p.block_table[blocks_at + static_cast<uint32_t>(position >> page_bits)] * p.cache.heads + kv_head) << page_bits) + static_cast<uint32_t>(position & ((1 << page_bits) - 1));
  }

  // Of 32 tokens from `start` on what lane l has to know of the l-th.
  struct Tokens {
    uint32_t row;
    float key_scale, value_scale;
  };
  __device__ __forceinline__ Tokens tokens_at(int start) const {
    Tokens now{kNone, 1, 1};
    if (kScaled || !staged) now.row = row_at(start);
    if (kScaled && now.row != kNone) {
      now.key_scale = p.cache.key_scales[now.row];
      now.value_scale = p.cache.value_scales[now.row];
    }
    return now;
  }

  // The token that value i of a thread's scores of tile n is of: row g + 8 * (i / 2).
  __device__ __forceinline__ int token_of(int n, int i) const { return 8 * n + lane % 4 * 2 + i % 2; }

  __device__ __forceinline__ const uint8_t* place_of(const uint8_t* cache, uint32_t row, int stride, int column) const {
    return cache + static_cast<uint64_t>(row == kNone ? 0 : row) * static_cast<uint32_t>(stride * static_cast<int>(sizeof(Value))) + column * static_cast<int>(sizeof(Value));
  }

  // There is no memory for rows beyond 32 bits.
  __device__ __forceinline__ void ask_keys(uint32_t rows, uint8_t* stage) const {
#pragma unroll
    for (int n = 0; n < kAskedTiles; n++) {
      const int tile = kTeam == Team::kWarp ? n : warp;
      const uint32_t row = __shfl_sync(kWholeWarp, rows, 8 * tile + lane / 4);
      const uint8_t* from = place_of(p.cache.keys, row, p.cache.key_stride, lane % 4 * 8);
      uint8_t* to = stage + kValueBytes + (kTile ? warp : n) * KeyPieces::kWarpBytes;
      for_steps([&](int s) { KeyPieces::copy(to + s * kOwnTiles * KeyPieces::kWarpBytes, from + s * 32 * static_cast<int>(sizeof(Value)), lane, row != kNone); });
    }
  }

  __device__ __forceinline__ void ask_values(uint32_t rows, uint8_t* stage) const {
    if constexpr (kStagesValues) {
      const int first = kTile ? kAskedRuns * warp : 0;
      uint8_t* to = stage + first * (kValueTiles / kSide) * ValuePieces::kWarpBytes;
#pragma unroll
      for (int i = 0; i < kAskedRuns; i++) {
        const uint32_t row = __shfl_sync(kWholeWarp, rows, token_of((first + i) / 2, first + i));
        const uint8_t* from = place_of(p.cache.values, row, p.cache.value_stride, first_value() + lane / 4 * kSide);
#pragma unroll
        for (int j = 0; j < kValueTiles; j += kSide, to += ValuePieces::kWarpBytes) {
          ValuePieces::copy(to, from + 8 * j * static_cast<int>(sizeof(Value)), lane, row != kNone);
        }
      }
    }
  }

  // Of 8 tokens for each of the warp's tiles.
  __device__ __forceinline__ void score_own(const Tokens& now, const uint8_t* stage, Sum (&sums)[kOwnTiles]) const {
#pragma unroll
    for (int n = 0; n < kOwnTiles; n++) sums[n] = {{0, 0, 0, 0}};
    if (!staged) {
#pragma unroll
      for (int n = 0; n < kOwnTiles; n++) {
        const uint32_t row = __shfl_sync(kWholeWarp, now.row, 8 * (kTogether ? warp : n) + lane / 4);
#pragma unroll 1
        for (int s = 0; s < p.cache.key_stride / 32; s++) {
          Key key;
          load_bytes<sizeof key>(place_of(p.cache.keys, row, p.cache.key_stride, 32 * s + lane % 4 * 8), row != kNone, &key);
          for (int part = 0; part < 2; part++) add_product<Math>(sums[n], Queries<Math>::operand(queries, s, part, lane), key.operand(part));
        }
      }
      return;
    }
    for_steps([&](int s) {
      Key keys[kOwnTiles];
#pragma unroll
      for (int n = 0; n < kOwnTiles; n++) KeyPieces::read(stage + kValueBytes + (s * kOwnTiles + n) * KeyPieces::kWarpBytes, lane, keys[n].words);
#pragma unroll
      for (int part = 0; part < 2; part++) {
        const typename Math::A a = Queries<Math>::operand(queries, s, part, lane);
#pragma unroll
        for (int n = 0; n < kOwnTiles; n++) add_product<Math>(sums[n], a, keys[n].operand(part));
      }
    });
  }

  __device__ __forceinline__ void score(int start, const Tokens& now, const uint8_t* stage, Sum (&scores)[kKeyTiles]) const {
    if constexpr (kTogether) {
      static_assert(kKeyTiles == kWarps);
      // Of two buffers one is read from while the next is written: nobody is further ahead.
      Sum* all = exchange + start / kKeys % 2 * kKeyTiles * kWarp;
      Sum own[1];
      score_own(now, stage, own);
      all[warp * kWarp + lane] = own[0];
      __syncthreads();
#pragma unroll
      for (int n = 0; n < kKeyTiles; n++) scores[n] = all[n * kWarp + lane];
    } else {
      score_own(now, stage, scores);
    }
  }

  // Scores of row g + 8 * kHalf become weights relative to the chunk's new maximum, both in powers of two, and its sum is brought to it. What its values
  // are to be multiplied with.
  template <int kHalf>
  __device__ __forceinline__ float soften_half(int start, bool all_seen, const float (&factors)[2 * kKeyTiles], Sum (&scores)[kKeyTiles], State<kValueTiles>& chunk) const {
    auto each = [&](auto body) {
#pragma unroll
      for (int n = 0; n < kKeyTiles; n++) {
#pragma unroll
        for (int i = 0; i < 2; i++) body(scores[n].v[2 * kHalf + i], n, i);
      }
    };
    const float scale = p.cap > 0 ? p.scale : p.scale * kLog2E;
    each([&](float& x, int n, int i) {
      x *= scale;
      if (kScaled) x *= factors[2 * n + i];
    });
    if (p.cap > 0) {
      const float twice = 2 * kLog2E / p.cap, most = p.cap * kLog2E;
      each([&](float& x, int, int) { x = soft_cap_of_two(x * twice, most); });
    }
    if (!all_seen) {
      each([&](float& x, int n, int i) {
        const int position = start + token_of(n, i), query = positions[kHalf];
        if (position > query || (p.window > 0 && position <= query - p.window)) x = -infinity();
      });
    }
    float most = -infinity(), sum = 0;
    each([&](const float& x, int, int) { most = fmaxf(most, x); });
#pragma unroll
    for (int bits = 1; bits < 4; bits *= 2) most = fmaxf(most, __shfl_xor_sync(kWholeWarp, most, bits));
    const Weights w = weigh(chunk.most[kHalf], most);
    const float zero = w.most == -infinity() ? 0.0f : w.most;
    each([&](float& x, int, int) {
      x = power_of_two(x - zero);
      sum += x;
    });
#pragma unroll
    for (int bits = 1; bits < 4; bits *= 2) sum += __shfl_xor_sync(kWholeWarp, sum, bits);
    chunk.sum[kHalf] = fmaf(chunk.sum[kHalf], w.a, sum);
    chunk.most[kHalf] = w.most;
    return w.a;
  }

  __device__ __forceinline__ void soften(int start, const Tokens& now, Sum (&scores)[kKeyTiles], State<kValueTiles>& chunk) const {
    float factors[2 * kKeyTiles] = {};
    if constexpr (kScaled) {
#pragma unroll
      for (int i = 0; i < 2 * kKeyTiles; i++) factors[i] = __shfl_sync(kWholeWarp, now.key_scale, token_of(i / 2, i));
    }
    // Where all rows see all tokens nothing is to be asked.
    const bool all_seen = start + kKeys - 1 <= lowest && (p.window == 0 || start > highest - p.window);
    const float a = soften_half<0>(start, all_seen, factors, scores, chunk), b = few ? 1.0f : soften_half<1>(start, all_seen, factors, scores, chunk);
    if (!__any_sync(kWholeWarp, a != 1.0f || b != 1.0f)) return;
#pragma unroll
    for (int j = 0; j < kValueTiles; j++) {
      chunk.values[j].v[0] *= a;
      chunk.values[j].v[1] *= a;
      chunk.values[j].v[2] *= b;
      chunk.values[j].v[3] *= b;
    }
  }

  __device__ __forceinline__ void add_values(const Tokens& now, const uint8_t* stage, const Sum (&scores)[kKeyTiles], State<kValueTiles>& chunk) const {
#pragma unroll
    for (int k = 0; k < kKeys / 16; k++) {
      float weights[8];
      uint32_t rows[4];
#pragma unroll
      for (int i = 0; i < 4; i++) {
        const int n = 2 * k + i / 2, token = token_of(n, i);
        rows[i] = kStagesValues && staged ? kNone : __shfl_sync(kWholeWarp, kScaled || !staged ? now.row : kNone, token);
        // A factor that is no number must not touch rows that do not see the token.
        const float factor = kScaled ? __shfl_sync(kWholeWarp, now.value_scale, token) : 1.0f, upper = scores[n].v[i % 2], lower = scores[n].v[2 + i % 2];
        weights[i] = kScaled && upper != 0.0f ? upper * factor : upper;
        weights[4 + i] = kScaled && lower != 0.0f ? lower * factor : lower;
      }
      const typename Math::A a = Math::a(weights);
#pragma unroll
      for (int j = 0; j < kValueTiles; j += kSide) {
        Value stored[4][kSide];
#pragma unroll
        for (int i = 0; i < 4; i++) {
          if (kStagesValues && staged) {
            uint32_t words[kStagesValues ? sizeof stored[i] / 4 : 1];
            ValuePieces::read(stage + ((4 * k + i) * (kValueTiles / kSide) + j / kSide) * ValuePieces::kWarpBytes, lane, words);
            memcpy(stored[i], words, sizeof stored[i]);
          } else {
            load_bytes<sizeof stored[i]>(place_of(p.cache.values, rows[i], p.cache.value_stride, first_value() + 8 * j + lane / 4 * kSide), rows[i] != kNone, stored[i]);
          }
        }
#pragma unroll
        for (int s = 0; s < kSide; s++) {
          const Value b[4] = {stored[0][s], stored[1][s], stored[2][s], stored[3][s]};
          add_product<Math>(chunk.values[j + s], a, operand_of<Math, kType>(b));
        }
      }
    }
  }

  // Where a chunk's tokens begin. Nobody sees what lies before the window of the first row.
  __device__ __forceinline__ int first_of(int chunk) const {
    const int start = chunk * kAttentionChunk;
    return p.window > 0 ? max(start, max(0, p.positions[task.row0] - p.window + 1) / kKeys * kKeys) : start;
  }

  // Asks for the keys and values of 32 tokens, as far as there are any. Of a tile they are one group of copies, else two.
  __device__ __forceinline__ void ask(int start, uint32_t rows, uint8_t* stage) const {
    if (staged && start < stop) ask_keys(rows, stage);
    if constexpr (!kTile) close_copies();
    if (staged && start < stop) ask_values(rows, stage);
    close_copies();
  }

  __device__ __forceinline__ void begin() {
    const int start = first_of(task.chunk0);
    turn = 0;
#pragma unroll
    for (int i = 0; i < (kTile ? kStages - 1 : 1); i++) ask(start + i * kKeys, row_at(start + i * kKeys), stages + i * stage_bytes(p.cache.key_stride));
  }

  // Chunks are in order, and each begins where the one before ends.
  __device__ __forceinline__ void add_chunk(int index, State<kValueTiles>& chunk) {
    chunk.clear();
    const int end = min((index + 1) * kAttentionChunk, stop);
    for (int start = first_of(index); start < end; start += kKeys) {
      if constexpr (kTile) {
        add_of_tile(start, chunk);
      } else {
        add_alone(start, chunk);
      }
    }
  }

  // Of the copies asked for last those of keys come first.
  __device__ __forceinline__ void add_alone(int start, State<kValueTiles>& chunk) const {
    const int next = start + kKeys;
    const uint32_t rows = row_at(next);
    const Tokens now = tokens_at(start);
    Sum scores[kKeyTiles];
    wait_for_copies<1>();
    score(start, now, stages, scores);
    if (staged && next < stop) ask_keys(rows, stages);
    close_copies();
    soften(start, now, scores, chunk);
    wait_for_copies<1>();
    add_values(now, stages, scores, chunk);
    if (staged && next < stop) ask_values(rows, stages);
    close_copies();
  }

  // After the barrier everybody's copies are there, and nobody reads the stage before any more, which is filled next. What none of the warp's rows sees
  // would change nothing.
  __device__ __forceinline__ void add_of_tile(int start, State<kValueTiles>& chunk) {
    const int ahead = start + (kStages - 1) * kKeys, bytes = stage_bytes(p.cache.key_stride);
    const uint32_t rows = row_at(ahead);
    const uint8_t* stage = stages + turn * bytes;
    const bool sees = start <= highest && (p.window == 0 || start + kKeys - 1 > lowest - p.window);
    const Tokens now = tokens_at(start);
    wait_for_copies<kStages - 2>();
    __syncthreads();
    Sum scores[kKeyTiles];
    if (sees) score(start, now, stage, scores);
    ask(ahead, rows, stages + (turn + kStages - 1) % kStages * bytes);
    if (sees) {
      soften(start, now, scores, chunk);
      add_values(now, stage, scores, chunk);
    }
    turn = (turn + 1) % kStages;
  }

  __device__ __forceinline__ void write(const State<kValueTiles>& all) const {
#pragma unroll
    for (int half = 0; half < 2; half++) {
      const int r = row0() + lane / 4 + 8 * half;
      if (r / heads >= task.rows) continue;
      float* out = p.out.data + (task.row0 + r / heads) * p.out.stride + (head0 + r % heads) * p.cache.value_dim;
      all.for_runs(half, lane, [&](float(&run)[kSide], int of_part) {
        const int column = first_value() + of_part;
#pragma unroll
        for (int s = 0; s < kSide; s++) run[s] /= all.sum[half];
        store_run<kSide>(out + column, run, p.cache.value_dim - column);
      });
    }
  }

  // Partial results of 16 rows: [16] maxima, [16] sums, [16][value_width] values. Rows that there are not are not written.
  __device__ __forceinline__ void write_partial(const State<kValueTiles>& chunk, float* out) const {
#pragma unroll
    for (int half = 0; half < 2; half++) {
      const int r = lane / 4 + 8 * half;
      if ((row0() + r) / heads >= task.rows) continue;
      if (lane % 4 == 0 && first_value() == 0) {
        out[r] = chunk.most[half];
        out[kQueryTile + r] = chunk.sum[half];
      }
      float* values = out + 2 * kQueryTile + r * p.cache.value_width + first_value();
      chunk.for_runs(half, lane, [&](const float(&run)[kSide], int column) { store_run<kSide>(values + column, run, kSide); });
    }
  }
};

}  // namespace millrace::cuda
