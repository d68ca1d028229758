// What an instruction set provides: one table of functions. All of them work on rows [row0, row1) of the step.
#pragma once
#include <cstdint>

#include "types.h"

namespace millrace {

// Tokens whose scores and values are combined before they are merged with those before: the unit of attention's arithmetic.
inline constexpr int kChunkTokens = 256;
// Tokens whose keys lie side by side in the cache.
inline constexpr int kKeyTokens = 16;
// Query rows that attention works on at once.
inline constexpr int kQueryRows = 24;
// Logits whose weights are summed by themselves.
inline constexpr int kDrawChunk = 1024;

// A weight that is not negative, and an id: keys are ordered by weight, then by falling id.
inline uint64_t draw_key(float weight, int id) {
  uint32_t bits;
  __builtin_memcpy(&bits, &weight, 4);
  return uint64_t{bits} << 32 | ~static_cast<uint32_t>(id);
}

// Floats in rows.
struct Rows {
  float* data = nullptr;
  int64_t stride = 0;

  float* row(int64_t r) const { return data + r * stride; }
};

// Groups [group0, group1) of w, rows [row0, row1): out = cap(factor · x · wᵀ + bias). The form of x is that of the weight: float rows,
// QuantRow, or pairs of bf16.
struct LinearTask {
  const Packed* w;
  const void* x;
  int64_t x_stride;  // bytes
  Rows out;
  const float* bias;
  float factor;
  float cap;
  int row0, row1;
  int group0, group1;
};

// K and V of a layer. Keys: [block][head][block_tokens / 16][key_dim][16]; values: [block][head][block_tokens][value_step]. Of latents keys
// are [block][block_tokens][value_step], and the values are their beginnings. Rows of values are read in whole vectors, beyond their end.
struct KvLayer {
  uint8_t* keys = nullptr;
  uint8_t* values = nullptr;
  // Of MR_INT8: what the codes of a token are multiplied with, [block][head][block_tokens].
  float* key_scales = nullptr;
  float* value_scales = nullptr;
  int type = 0;
  int block_tokens = 0;
  int heads = 0;
  int key_dim = 0;
  int value_dim = 0;
  // Both in whole 16s: floats of a query's, and of a result's row.
  int key_stride = 0;
  int value_stride = 0;
  // Values from one token to the next.
  int value_step = 0;
  bool latent = false;

  // Tokens before those of a head in a block.
  int64_t page(int64_t block, int head) const { return (block * heads + head) * block_tokens; }
};

// Attention of token rows of one sequence for one KV head, over chunks [chunk0, chunk1) of its context.
struct AttentionTask {
  const KvLayer* kv;
  const int32_t* blocks;
  Rows q, out;
  int head;        // KV head
  int query_head;  // the first of `group` query heads that share it
  int group;
  int row0, row1;
  const int32_t* positions;  // of all rows of the step
  int window;
  float scale, cap;
  int chunk0, chunk1;
  // When not null, the running state of each query row is stored here instead of `out`: maximum, sum, values [value_stride], per chunk.
  float* partial;
};

// Floats of a partial result of one query row.
inline int64_t partial_floats(const KvLayer& kv) { return kv.value_stride + 16; }

struct Kernels {
  const char* name;
  int lanes;
  int panels;
  bool offset_codes;
  // bf16 weights take rows of bf16 instead of float.
  bool bf16_rows;

  void (*linear)(const LinearTask&);
  void (*attention)(const AttentionTask&, float* scratch);
  // Merges partial results of chunks, [chunk][query row][partial_floats], in ascending order.
  void (*merge)(const AttentionTask&, const float* partials, int chunks);
  // float values to a QuantRow of `padded` values.
  void (*quantise)(const float* x, int n, int padded, uint8_t* out);
  // float values to bf16, `padded` of them.
  void (*to_bf16)(const float* x, int n, int padded, uint16_t* out);
  void (*rms_norm)(const float* x, const float* weight, float* out, int n, int width, float eps, float offset);
  void (*rope)(const float* x, float* out, int heads, int head_dim, int dims, bool pairs, const float* cos, const float* sin);
  void (*gated)(const float* gate, const float* up, float* out, int n, int function);
  void (*add)(const float* a, const float* b, float* out, int n, float factor);
  // out[i] = x[i] · σ(gate[i · gates / n])
  void (*sigmoid_scale)(const float* x, const float* gate, float* out, int n, int gates);
  float (*dot)(const float* a, const float* b, int n);
  void (*scale)(const float* x, float* out, int n, float factor);
  void (*soft_cap)(const float* x, float* out, int n, float cap);
  // k and v of one row into a slot.
  void (*kv_write)(const KvLayer&, int slot, const float* k, const float* v);
  // The lowest index of the largest value; -1 when one is NaN or +infinity.
  int (*largest)(const float* x, int n);
  // out[i] = exp((x[i] - max) · scale) and the sums of its chunks; their sum.
  double (*weigh)(const float* x, int n, double max, double scale, float* out, double* sums);
  // Keys of the weights above a floor, in the order of ids, and their number; `keys` has room for all.
  int (*above)(const float* weights, int n, float floor, uint64_t* keys);
};

// Null when this build has none.
const Kernels* portable_kernels();
const Kernels* avx2_kernels();
const Kernels* avx512_kernels();
// With vdpbf16ps.
const Kernels* avx512_bf16_kernels();

// Floats of scratch that attention needs.
inline int64_t attention_scratch(const KvLayer& kv) {
  return static_cast<int64_t>(kQueryRows) * (kv.key_stride + 2 * kv.value_stride + kChunkTokens + 32);
}

}  // namespace millrace
