// What a model takes of a device's memory, known before any is asked for.
#pragma once
#include <array>
#include <cstdint>
#include <vector>

#include "core/weights.h"
#include "millrace.h"
#include "plan.h"
#include "program.h"
#include "step_tasks.h"

namespace millrace::cuda {

// How weights are used: as matrices that are multiplied or looked up, as vectors of floats, as a matrix for each head.
struct Use {
  bool is_matrix = false, is_vector = false;
  // 0: not as matrices of heads; turned over: with rows and columns changed.
  int heads = 0;
  bool turned_over = false;
};
std::vector<Use> uses_of(const Program& program);

// Bytes of what grows with the rows of a step.
struct RowBytes {
  // Of each slot of the plan.
  std::vector<int64_t> slots;
  int64_t logits = 0, input_values = 0, input_factors = 0;
  // Of experts: logits, places, tiles, values between products.
  int64_t router_logits = 0, pairs = 0, tiles = 0, wide = 0, hidden = 0;
  // Of latent attention.
  int64_t latents = 0;

  int64_t all() const;
};
RowBytes bytes_of_rows(const Program& program, const Plan& plan, int64_t rows, int64_t logit_rows);

// Bytes of a block of a layer: keys, their factors, values, theirs; 0 what there is not. Latents have no values.
std::array<int64_t, 4> cache_parts(const mr_kv_group& group, int block_tokens, bool latent);
bool is_latent(const Program& program, int group);

// Bytes of the rows that a weight wants which goes to cuBLASLt, the most of all; `float32`: weights that do not.
int64_t most_library_rows(const Program& program, const std::vector<bool>& float32);

// A power of two, as all that grows.
int grown(int now, int needed);

// Whether attention by wgmma is asked for: by the options, or by the variable MILLRACE_CUDA_ATTENTION (mma or wgmma); an Error when that names another.
bool wants_wgmma(const mr_options& options);
// Workers of a place of attention (attention_places): warps, or the block.
int attention_workers(int tile);
// Blocks of each head tile for so many tasks: no more than are at work at the same time, in which all tasks find their turn.
int attention_blocks(int places, int tasks, int tiles_of_heads);
// Columns of results that attention computes over a group's cache.
int result_width(const mr_kv_group& group, bool latent);
// Pieces of partial results that steps have room for, of each head tile of a kind of attention over so many blocks: a piece for each chunk of the cache, or
// those of a block's rows; more than a device has at work are never split (plan_attention).
int64_t most_pieces(const AttentionKind& kind, int64_t blocks, int block_tokens, const mr_limits& limits, int chips);

// Bytes of the list of an op's experts on the device.
inline int64_t expert_list_bytes(const Op& op) { return static_cast<int64_t>(op.weights.size() * sizeof(WeightView)); }

// Weights take slabs in the order in which they are stored; then lists of experts do, in the order of the ops.
mr_need memory_of(const mr_options& options, const int32_t* words, int64_t count, const mr_stored* stored, int32_t stored_count, const mr_limits& limits);

}  // namespace millrace::cuda
