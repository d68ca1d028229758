// Attention over the paged cache: scores, softmax and values of one chunk of tokens at a time; chunks are merged in ascending order
// (online softmax: Milakov and Gimelshein, 2018; Dao et al., FlashAttention, 2022). What a row may not see weighs exactly 0, so its bits do
// not depend on the rows computed with it.
#pragma once
#include "kernels.h"

namespace millrace::MR_ISA {
namespace {

constexpr int kKeyVectors = 2;
constexpr int kKeyStep = kKeyVectors * kLanes;
constexpr int kValueVectors = kLanes == 16 ? 4 : 2;
constexpr int kScoreStride = kChunkTokens + 32;

template <int Type>
MR_INLINE F load_cached(const uint8_t* base, int64_t at) {
  if constexpr (Type == MR_F32) return load(reinterpret_cast<const float*>(base) + at);
  if constexpr (Type == MR_F16) return load_half(reinterpret_cast<const uint16_t*>(base) + at);
  if constexpr (Type == MR_INT8) return load_s8(reinterpret_cast<const int8_t*>(base) + at);
  return load_bf16(reinterpret_cast<const uint16_t*>(base) + at);
}

// The tokens [low, high) of a chunk that some row of the task sees.
struct Span {
  int base, low, high;
};

MR_INLINE Span visible(const AttentionTask& t, int chunk, int first_position, int last_position) {
  int base = chunk * kChunkTokens;
  int high = last_position + 1 - base;
  int low = t.window > 0 ? first_position - t.window + 1 - base : 0;
  return {base, low > 0 ? low : 0, high < kChunkTokens ? high : kChunkTokens};
}

constexpr int cached_bytes(int type) { return type == MR_F32 ? 4 : type == MR_INT8 ? 1 : 2; }

// Memory that is asked for while the scores of some tokens are computed: the keys of the next tokens, and the values of these.
template <int Type>
struct CacheAhead {
  static constexpr int kStreams = 2 * kKeyVectors;
  const uint8_t* at[kStreams];
  int64_t step[kStreams];

  // `j`: the first of the tokens, relative to the span's base.
  MR_INLINE void start(const AttentionTask& t, Span span, int j) {
    const KvLayer& kv = *t.kv;
    for (int v = 0; v < kKeyVectors; v++) {
      int ahead = j + kKeyStep + v * kLanes < span.high ? j + kKeyStep + v * kLanes : j;
      int token = span.base + ahead;
      int64_t place = kv.page(t.blocks[token / kv.block_tokens], t.head) + token % kv.block_tokens / kKeyTokens * kKeyTokens;
      at[v] = kv.keys + place * kv.key_dim * cached_bytes(Type);
      step[v] = kKeyTokens * cached_bytes(Type);
      token = span.base + (j + v * kLanes < span.high ? j + v * kLanes : j);
      place = kv.page(t.blocks[token / kv.block_tokens], t.head) + token % kv.block_tokens;
      at[kKeyVectors + v] = kv.values + place * kv.value_step * cached_bytes(Type);
      step[kKeyVectors + v] = (int64_t{kLanes} * kv.value_step * cached_bytes(Type) + kv.key_dim - 1) / kv.key_dim;
    }
  }

  MR_INLINE void turn() {
#pragma GCC unroll 4
    for (int i = 0; i < kStreams; i++) {
      prefetch(at[i]);
      at[i] += step[i];
    }
  }
};

// Scores of M query rows with the tokens of the span, rounded outwards to whole vectors. `ask`: nobody has read the span yet.
template <int Type, int M>
__attribute__((noinline)) void scores(const AttentionTask& t, Span span, const float* q, float* out, bool ask) {
  const KvLayer& kv = *t.kv;
  for (int j = span.low / kKeyStep * kKeyStep; j < span.high; j += kKeyStep) {
    int64_t key[kKeyVectors];
    int64_t place[kKeyVectors];
    for (int v = 0; v < kKeyVectors; v++) {
      int token = j + v * kLanes < span.high ? span.base + j + v * kLanes : span.base + j;
      int64_t page = kv.page(t.blocks[token / kv.block_tokens], t.head);
      int offset = token % kv.block_tokens;
      place[v] = page + offset;
      key[v] = (page + offset / kKeyTokens * kKeyTokens) * kv.key_dim + offset % kKeyTokens;
    }
    F sums[M][kKeyVectors];
    for (int m = 0; m < M; m++) {
      for (int v = 0; v < kKeyVectors; v++) sums[m][v] = splat(0.0f);
    }
    CacheAhead<Type> ahead;
    if (ask) ahead.start(t, span, j);
    for (int d = 0; d < kv.key_dim; d++) {
      if (ask) ahead.turn();
      F k[kKeyVectors];
#pragma GCC unroll 2
      for (int v = 0; v < kKeyVectors; v++) k[v] = load_cached<Type>(kv.keys, key[v] + static_cast<int64_t>(d) * kKeyTokens);
#pragma GCC unroll 8
      for (int m = 0; m < M; m++) {
        F value = splat(q[m * kv.key_stride + d]);
#pragma GCC unroll 2
        for (int v = 0; v < kKeyVectors; v++) sums[m][v] = fma(value, k[v], sums[m][v]);
      }
    }
    for (int v = 0; v < kKeyVectors; v++) {
      F scale = splat(1.0f);
      if constexpr (Type == MR_INT8) scale = load(kv.key_scales + place[v]);
      for (int m = 0; m < M; m++) store(out + m * kScoreStride + j + v * kLanes, Type == MR_INT8 ? sums[m][v] * scale : sums[m][v]);
    }
  }
}

// The same for latents, whose keys lie token by token.
template <int Type, int M>
__attribute__((noinline)) void latent_scores(const AttentionTask& t, Span span, const float* q, float* out, bool) {
  const KvLayer& kv = *t.kv;
  for (int j = span.low; j < span.high; j++) {
    const int token = span.base + j;
    const int64_t place = kv.page(t.blocks[token / kv.block_tokens], t.head) + token % kv.block_tokens;
    F sums[M];
    for (int m = 0; m < M; m++) sums[m] = splat(0.0f);
    for (int d = 0; d < kv.key_stride; d += kLanes) {
      F k = load_cached<Type>(kv.keys, place * kv.value_step + d);
#pragma GCC unroll 8
      for (int m = 0; m < M; m++) sums[m] = fma(load(q + m * kv.key_stride + d), k, sums[m]);
    }
    for (int m = 0; m < M; m++) {
      float score = lane_sum(sums[m]);
      out[m * kScoreStride + j] = Type == MR_INT8 ? score * kv.key_scales[place] : score;
    }
  }
}

// out [M][value_stride] = weights · values over the span, token after token; V vectors from vector `first` on.
template <int Type, int M, int V>
MR_INLINE void value_strip(const AttentionTask& t, Span span, const float* weights, float* out, int first) {
  const KvLayer& kv = *t.kv;
  F sums[M][V];
#pragma GCC unroll 8
  for (int m = 0; m < M; m++) {
#pragma GCC unroll 4
    for (int v = 0; v < V; v++) sums[m][v] = splat(0.0f);
  }
  for (int j = span.low; j < span.high;) {
    int token = span.base + j;
    int offset = token % kv.block_tokens;
    int run = kv.block_tokens - offset < span.high - j ? kv.block_tokens - offset : span.high - j;
    int64_t place = kv.page(t.blocks[token / kv.block_tokens], t.head) + offset;
    int64_t at = place * kv.value_step + first * kLanes;
    for (int i = 0; i < run; i++, j++, at += kv.value_step) {
      F values[V];
#pragma GCC unroll 4
      for (int v = 0; v < V; v++) values[v] = load_cached<Type>(kv.values, at + v * kLanes);
#pragma GCC unroll 8
      for (int m = 0; m < M; m++) {
        float factor = weights[m * kScoreStride + j];
        if constexpr (Type == MR_INT8) factor *= kv.value_scales[place + i];
        F weight = splat(factor);
#pragma GCC unroll 4
        for (int v = 0; v < V; v++) sums[m][v] = fma(weight, values[v], sums[m][v]);
      }
    }
  }
#pragma GCC unroll 8
  for (int m = 0; m < M; m++) {
#pragma GCC unroll 4
    for (int v = 0; v < V; v++) store(out + m * kv.value_stride + (first + v) * kLanes, sums[m][v]);
  }
}

template <int Type, int M>
__attribute__((noinline)) void mix(const AttentionTask& t, Span span, const float* weights, float* out) {
  int vectors = t.kv->value_stride / kLanes;
  int v = 0;
  for (; v + kValueVectors <= vectors; v += kValueVectors) value_strip<Type, M, kValueVectors>(t, span, weights, out, v);
  for (; v < vectors; v++) value_strip<Type, M, 1>(t, span, weights, out, v);
}

// Calls f<M>(first row) for tiles of query rows.
template <class Function>
MR_INLINE void query_tiles(int rows, Function f) {
  int r = 0;
  if constexpr (kMaxRows >= 6) {
    for (; rows - r >= 6; r += 6) f.template operator()<6>(r);
  }
  for (; rows - r >= 4; r += 4) f.template operator()<4>(r);
  if (rows - r == 3) return f.template operator()<3>(r);
  if (rows - r == 2) return f.template operator()<2>(r);
  if (rows - r == 1) f.template operator()<1>(r);
}

MR_INLINE float exp_of(float x) { return first(vexp(splat(x))); }

// What softmax has seen of a query row so far.
struct State {
  float most = -__builtin_inff();
  float sum = 0;
};

// Scores become weights, relative to the row's maximum in the chunk.
MR_INLINE State soften(float* s, Span span, int low, int high, float cap) {
  int from = span.low / kKeyStep * kKeyStep;
  int to = (span.high + kKeyStep - 1) / kKeyStep * kKeyStep;
  for (int j = from; cap != 0.0f && j < to; j += kLanes) store(s + j, soft_cap(load(s + j), cap));
  const float hidden = -__builtin_inff();
  for (int j = from; j < low; j++) s[j] = hidden;
  for (int j = high; j < to; j++) s[j] = hidden;
  F largest = splat(hidden);
  for (int j = from; j < to; j += kLanes) largest = vmax(largest, load(s + j));
  State state;
  state.most = lane_max(largest);
  F most = splat(state.most);
  F sum = splat(0.0f);
  for (int j = from; j < to; j += kLanes) {
    F p = vexp(load(s + j) - most);
    sum = sum + p;
    store(s + j, p);
  }
  state.sum = lane_sum(sum);
  return state;
}

// Adds a chunk to what was seen before it.
MR_INLINE void merge_state(State& state, float* values, State chunk, const float* chunk_values, int n) {
  float most = chunk.most > state.most ? chunk.most : state.most;
  float old_factor = exp_of(state.most - most);
  float new_factor = exp_of(chunk.most - most);
  state.most = most;
  state.sum = state.sum * old_factor + chunk.sum * new_factor;
  F a = splat(old_factor);
  F b = splat(new_factor);
  for (int i = 0; i < n; i += kLanes) store(values + i, load(values + i) * a + load(chunk_values + i) * b);
}

MR_INLINE void write_out(const AttentionTask& t, int query, const State& state, const float* values) {
  float* out = t.out.row(t.row0 + query / t.group) + static_cast<int64_t>(t.query_head + query % t.group) * t.kv->value_dim;
  F inverse = splat(1.0f / state.sum);
  each(
      t.kv->value_dim, [&](int i) { store(out + i, load(values + i) * inverse); },
      [&](int i, int rest) { store_part(out + i, load_part(values + i, rest) * inverse, rest); });
}

template <int Type>
void attend(const AttentionTask& t, float* scratch) {
  const KvLayer& kv = *t.kv;
  const int queries = (t.row1 - t.row0) * t.group;
  float* q = scratch;
  float* s = q + kQueryRows * kv.key_stride;
  float* part = s + kQueryRows * kScoreStride;
  float* values = part + kQueryRows * kv.value_stride;
  State states[kQueryRows];
  for (int r = 0; r < queries; r++) {
    const float* from = t.q.row(t.row0 + r / t.group) + static_cast<int64_t>(t.query_head + r % t.group) * kv.key_dim;
    float* to = q + r * kv.key_stride;
    F scale = splat(t.scale);
    each(
        kv.key_dim, [&](int d) { store(to + d, load(from + d) * scale); },
        [&](int d, int rest) { store_part(to + d, load_part(from + d, rest) * scale, rest); });
    for (int d = kv.key_dim; d < kv.key_stride; d++) to[d] = 0;
  }
  for (int i = 0; i < queries * kv.value_stride; i++) values[i] = 0;
  for (int chunk = t.chunk0; chunk < t.chunk1; chunk++) {
    Span span = visible(t, chunk, t.positions[t.row0], t.positions[t.row1 - 1]);
    float* partial = t.partial ? t.partial + static_cast<int64_t>(chunk - t.chunk0) * queries * partial_floats(kv) : nullptr;
    if (span.low < span.high) {
      query_tiles(queries, [&]<int M>(int r) {
        auto of = kv.latent ? latent_scores<Type, M> : scores<Type, M>;
        of(t, span, q + r * kv.key_stride, s + r * kScoreStride, r == 0);
      });
    }
    State seen[kQueryRows];
    bool sees[kQueryRows];
    for (int r = 0; r < queries; r++) {
      int position = t.positions[t.row0 + r / t.group];
      Span own = visible(t, chunk, position, position);
      sees[r] = own.low < own.high;
      if (sees[r]) {
        seen[r] = soften(s + r * kScoreStride, span, own.low, own.high, t.cap);
      } else {
        for (int j = span.low; j < span.high; j++) s[r * kScoreStride + j] = 0;
      }
    }
    if (span.low < span.high) {
      query_tiles(queries, [&]<int M>(int r) { mix<Type, M>(t, span, s + r * kScoreStride, part + r * kv.value_stride); });
    }
    for (int r = 0; r < queries; r++) {
      const float* row = part + r * kv.value_stride;
      if (partial) {
        float* out = partial + r * partial_floats(kv);
        out[0] = seen[r].most;
        out[1] = seen[r].sum;
        out[2] = sees[r] ? 1 : 0;
        if (sees[r]) __builtin_memcpy(out + 16, row, static_cast<size_t>(kv.value_stride) * 4);
      } else if (sees[r]) {
        merge_state(states[r], values + r * kv.value_stride, seen[r], row, kv.value_stride);
      }
    }
  }
  for (int r = 0; !t.partial && r < queries; r++) write_out(t, r, states[r], values + r * kv.value_stride);
}

void attention(const AttentionTask& t, float* scratch) {
  switch (t.kv->type) {
    case MR_F16: return attend<MR_F16>(t, scratch);
    case MR_BF16: return attend<MR_BF16>(t, scratch);
    case MR_INT8: return attend<MR_INT8>(t, scratch);
    default: return attend<MR_F32>(t, scratch);
  }
}

void merge(const AttentionTask& t, const float* partials, int chunks) {
  const int stride = t.kv->value_stride;
  const int queries = (t.row1 - t.row0) * t.group;
  float values[1024];
  for (int r = 0; r < queries; r++) {
    State state;
    for (int i = 0; i < stride; i++) values[i] = 0;
    for (int c = 0; c < chunks; c++) {
      const float* partial = partials + (static_cast<int64_t>(c) * queries + r) * partial_floats(*t.kv);
      if (partial[2] == 0.0f) continue;
      State chunk;
      chunk.most = partial[0];
      chunk.sum = partial[1];
      merge_state(state, values, chunk, partial + 16, stride);
    }
    write_out(t, r, state, values);
  }
}

}  // namespace
}  // namespace millrace::MR_ISA
