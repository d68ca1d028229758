#include "checks.h"

#include <algorithm>
#include <limits>

#include "error.h"
#include "pack.h"
#include "types.h"

namespace millrace {
namespace {

constexpr int kMinBlockTokens = 16, kMaxBlockTokens = 256;
// Most values of a key or a value of one head.
constexpr int kMaxHeadDim = 512;

void check_group(int g, const mr_kv_group& in) {
#if defined(MILLRACE_CUDA)
  const bool fp8 = true;
#else
  const bool fp8 = false;
#endif
  bool known = in.type == MR_F32 || in.type == MR_F16 || in.type == MR_BF16 || in.type == MR_INT8 || (in.type == MR_FP8 && fp8);
  if (!known && in.type == MR_FP8) fail(MR_UNSUPPORTED, "a KV cache of FP8, which only the CUDA kernels have; use F32, F16, BF16 or INT8");
  if (!known) fail(MR_UNSUPPORTED, "a KV cache of type %d; use F32, F16, BF16, INT8%s", in.type, fp8 ? " or FP8" : "");
  if (in.host_blocks < 0) fail(MR_INVALID, "KV group %d has %d blocks on the host; use 0 for none", g, in.host_blocks);
  if (in.blocks < 1 || in.layers < 1 || in.heads < 1 || in.key_dim < 1 || in.value_dim < 1 || in.value_dim > kMaxHeadDim || in.key_dim > kMaxHeadDim) {
    fail(MR_INVALID, "KV group %d has %d blocks, %d layers, %d heads of %d and %d values", g, in.blocks, in.layers, in.heads, in.key_dim,
         in.value_dim);
  }
}

}  // namespace

void check_options(const mr_options& options) {
  if (options.abi_version != MR_ABI_VERSION) fail(MR_INVALID, "ABI version %d, the library has %d", options.abi_version, MR_ABI_VERSION);
  if (options.precision < MR_PRECISION_NATIVE || options.precision > MR_PRECISION_FP8) fail(MR_INVALID, "precision %d is unknown", options.precision);
  int tokens = options.block_tokens;
  if (tokens < kMinBlockTokens || tokens > kMaxBlockTokens || (tokens & (tokens - 1)) != 0) {
    fail(MR_INVALID, "blocks of %d tokens; use a power of two from %d to %d", tokens, kMinBlockTokens, kMaxBlockTokens);
  }
#if defined(MILLRACE_CUDA)
  if (options.library_rows < 0) fail(MR_INVALID, "products of %d rows and more by cuBLASLt", options.library_rows);
#else
  if (options.library_rows != 0) fail(MR_UNSUPPORTED, "products by cuBLASLt, which only the CUDA kernels have");
#endif
  if (options.precision == MR_PRECISION_FP8 && options.library_rows <= 0) fail(MR_UNSUPPORTED, "activations in FP8 without products by cuBLASLt");
  if (options.groups < 0 || options.groups > kMaxGroups) fail(MR_INVALID, "%d KV groups", options.groups);
  for (int g = 0; g < options.groups; g++) check_group(g, options.group[g]);
}

void check_cache(const Program& program, const std::vector<CacheShape>& groups) {
  for (const Op& op : program.ops) {
    bool latent = op.code == OpCode::kLatentAttention;
    if (op.code != OpCode::kKvWrite && op.code != OpCode::kAttention && !latent) continue;
    if (op.group >= static_cast<int>(groups.size())) fail(MR_INVALID, "the program uses KV group %d, there are %zu", op.group, groups.size());
    const CacheShape& kv = groups[static_cast<size_t>(op.group)];
    if (op.layer >= kv.layers) fail(MR_INVALID, "the program uses layer %d of KV group %d, which has %d", op.layer, op.group, kv.layers);
    auto width = [&](int handle) { return program.tensors[static_cast<size_t>(handle)].width(); };
    bool fits = op.kv_heads == kv.heads && op.key_dim == kv.key_dim;
    if (op.code == OpCode::kAttention) fits = fits && op.value_dim == kv.value_dim;
    if (op.code == OpCode::kKvWrite) {
      int values = kv.latent ? kv.key_dim - kv.value_dim : kv.value_dim;
      fits = width(op.a) == kv.heads * (kv.key_dim - (kv.latent ? values : 0)) && width(op.b) == kv.heads * values;
    }
    fits = fits && (op.code == OpCode::kKvWrite || latent == kv.latent) && (!kv.latent || kv.heads == 1);
    if (!fits) fail(MR_INVALID, "the program's heads are not those of KV group %d", op.group);
  }
}

const Tensor& check_weight(const Program& program, int tensor, int64_t rows, int64_t columns) {
  if (tensor < 0 || tensor >= static_cast<int>(program.tensors.size()) || !program.tensors[static_cast<size_t>(tensor)].weight) {
    fail(MR_INVALID, "%d is no weight of the program", tensor);
  }
  const Tensor& info = program.tensors[static_cast<size_t>(tensor)];
  if (rows != info.rows() || columns != info.width()) {
    fail(MR_INVALID, "weight %s is [%lld, %lld], the program has [%d, %d]", info.name.c_str(), static_cast<long long>(rows),
         static_cast<long long>(columns), info.rows(), info.width());
  }
  return info;
}

void check_stored(const Tensor& weight, int type, int64_t rows, int64_t columns, int64_t bytes) {
  const char* name = weight.name.c_str();
  if (type < 0 || type >= MR_TYPES) fail(MR_UNSUPPORTED, "weight %s has type %d, which these kernels do not know", name, type);
  if (columns % kTypes[type].block_values != 0) {
    fail(MR_INVALID, "weight %s of type %s has rows of %lld values, no multiple of %d", name, kTypes[type].name, static_cast<long long>(columns),
         kTypes[type].block_values);
  }
  int64_t wanted = rows * row_bytes(type, columns);
  if (bytes != wanted) {
    fail(MR_INVALID, "weight %s has %lld bytes, its shape needs %lld", name, static_cast<long long>(bytes), static_cast<long long>(wanted));
  }
}

void check_grouped(const Tensor& weight, int64_t columns, const mr_groups& groups) {
  const char* name = weight.name.c_str();
  const bool fp8 = groups.type == MR_FP8;
#if !defined(MILLRACE_CUDA)
  if (fp8) fail(MR_UNSUPPORTED, "weight %s in FP8, which only the CUDA kernels have; widen it", name);
#endif
  if (groups.type < MR_INT8 || groups.type > MR_FP8) fail(MR_UNSUPPORTED, "weight %s in groups has type %d", name, groups.type);
  if (groups.group_columns < 32 || groups.group_columns % 32 != 0 || columns % groups.group_columns != 0) {
    fail(MR_INVALID, "weight %s has %lld columns in groups of %d", name, static_cast<long long>(columns), groups.group_columns);
  }
  bool codebook = groups.type == MR_CODEBOOK;
  if (codebook ? !groups.levels : !groups.zeros && !fp8) fail(MR_INVALID, "weight %s has no %s", name, codebook ? "levels" : "zeros");
  if (!groups.order) return;
  std::vector<bool> seen(static_cast<size_t>(columns));
  for (int64_t k = 0; k < columns; k++) {
    int at = groups.order[k];
    if (at < 0 || at >= columns || seen[static_cast<size_t>(at)]) fail(MR_INVALID, "the order of weight %s is none at %d", name, at);
    seen[static_cast<size_t>(at)] = true;
  }
}

void check_rope(int table, int half) {
  if (table < 0 || table >= kRopeTables || half < 1 || half > 4096) fail(MR_INVALID, "rotary table %d of %d frequencies", table, half);
}

void check_step(const mr_step& s, int vocabulary, int block_tokens, const std::vector<int>& blocks, int before) {
  if (s.rows < 1 || s.sequences < 1 || s.logit_rows < 0 || s.table_width < 0) {
    fail(MR_INVALID, "a step of %d rows, %d sequences, %d logit rows", s.rows, s.sequences, s.logit_rows);
  }
  if (s.query_start[0] != 0 || s.query_start[s.sequences] != s.rows) fail(MR_INVALID, "query_start does not cover the %d rows", s.rows);
  for (int t = 0; t < s.rows; t++) {
    if (s.tokens[t] < -before || s.tokens[t] >= vocabulary) fail(MR_INVALID, "token %d of the step is %d of %d", t, s.tokens[t], vocabulary);
  }
  for (int q = 0; q < s.sequences; q++) {
    int from = s.query_start[q];
    int to = s.query_start[q + 1];
    if (from >= to || to > s.rows) fail(MR_INVALID, "sequence %d has rows %d to %d", q, from, to);
    for (int t = from; t < to; t++) {
      if (s.positions[t] != s.context_len[q] - (to - t) || s.positions[t] < 0) {
        fail(MR_INVALID, "row %d has position %d, its sequence %d tokens", t, s.positions[t], s.context_len[q]);
      }
    }
    int needed = (s.context_len[q] + block_tokens - 1) / block_tokens;
    if (!blocks.empty() && needed > s.table_width) fail(MR_INVALID, "sequence %d needs %d blocks, the table has %d", q, needed, s.table_width);
    for (size_t g = 0; g < blocks.size(); g++) {
      const int32_t* row = s.block_table + (static_cast<int64_t>(g) * s.sequences + q) * s.table_width;
      for (int b = 0; b < needed; b++) {
        if (row[b] < 0 || row[b] >= blocks[g]) fail(MR_INVALID, "block %d of sequence %d is %d of %d", b, q, row[b], blocks[g]);
      }
    }
  }
  for (size_t g = 0; g < blocks.size(); g++) {
    for (int t = 0; t < s.rows; t++) {
      int slot = s.slots[static_cast<int64_t>(g) * s.rows + t];
      if (slot < 0 || slot / block_tokens >= blocks[g]) fail(MR_INVALID, "row %d goes to slot %d of group %zu", t, slot, g);
    }
  }
  for (int r = 0; r < s.logit_rows; r++) {
    if (s.logit_row[r] < 0 || s.logit_row[r] >= s.rows) fail(MR_INVALID, "logit row %d is row %d of %d", r, s.logit_row[r], s.rows);
  }
}

// That a draft is the token of the next logit row, which stands after this one in its sequence.
static void check_draft(const mr_step& step, const mr_sampling* sampling, int r) {
  const int row = step.logit_row[r], draft = sampling[r].draft;
  const bool follows = r + 1 < step.logit_rows && sampling[r + 1].chooses != 0 && step.logit_row[r + 1] == row + 1 &&
                       !std::binary_search(step.query_start, step.query_start + step.sequences + 1, row + 1);
  if (!follows) fail(MR_INVALID, "logit row %d has draft %d, which no logit row after it in its sequence verifies", r, draft);
  if (step.tokens[row + 1] != draft || sampling[r + 1].position != sampling[r].position + 1) {
    fail(MR_INVALID, "logit row %d has draft %d for position %d, the row after it token %d, and chooses for %d", r, draft, sampling[r].position,
         step.tokens[row + 1], sampling[r + 1].position);
  }
}

void check_sampling(const mr_step& step, const mr_sampling* sampling, int vocabulary, int64_t words, int before) {
  auto within = [&](int at, int64_t count) { return count == 0 || (at >= 0 && count > 0 && at + count <= words); };
  for (int r = 0; r < step.logit_rows; r++) {
    const mr_sampling& s = sampling[r];
    if (s.chooses == 0) continue;
    if (s.logprobs > MR_TOP || s.last >= before || s.prompt < 0 || s.prompt > s.history_count) {
      fail(MR_INVALID, "logit row %d: %d log probabilities, %d of %d ids are the prompt's, the last of row %d of %d", r, s.logprobs, s.prompt, s.history_count, s.last,
           before);
    }
    // What is no number is within no bounds.
    auto check_within = [&](const char* field, float value, float most) {
      if (!(value >= 0 && value <= most)) fail(MR_INVALID, "logit row %d: %s is %g, not from 0 to %g", r, field, static_cast<double>(value), static_cast<double>(most));
    };
    check_within("temperature", s.temperature, std::numeric_limits<float>::max());
    check_within("top_p", s.top_p, 1);
    check_within("min_p", s.min_p, 1);
    check_within("typical_p", s.typical_p, 1);
    if (!within(s.history_at, s.history_count) || !within(s.bias_at, int64_t{2} * s.bias_count) || !within(s.suppressed_at, s.suppressed_count) ||
        (s.mask_at != -1 && !within(s.mask_at, (vocabulary + 31) / 32))) {
      fail(MR_INVALID, "what logit row %d refers to is not within %lld words", r, static_cast<long long>(words));
    }
    if (s.draft >= 0) check_draft(step, sampling, r);
  }
}

void check_copy(int group, const int32_t* from, const int32_t* to, int count, const std::vector<int>& blocks) {
  if (group < 0 || group >= static_cast<int>(blocks.size())) fail(MR_INVALID, "there is no KV group %d", group);
  int there = blocks[static_cast<size_t>(group)];
  for (int i = 0; i < count; i++) {
    if (from[i] < 0 || from[i] >= there || to[i] < 0 || to[i] >= there) {
      fail(MR_INVALID, "block %d is to be copied to %d, the group has %d", from[i], to[i], there);
    }
  }
}

void check_swap(int group, const int32_t* blocks_at, const int32_t* host_at, int count, const std::vector<int>& blocks, const std::vector<int>& host_blocks, bool in) {
  if (group < 0 || group >= static_cast<int>(blocks.size())) fail(MR_INVALID, "there is no KV group %d", group);
  if (count < 0 || (count > 0 && (!blocks_at || !host_at))) fail(MR_INVALID, "%d blocks are to be swapped, and lists are null", count);
  const int there = blocks[static_cast<size_t>(group)], on_host = host_blocks[static_cast<size_t>(group)];
  const char* way = in ? "in" : "out";
  if (count > 0 && on_host == 0) fail(MR_INVALID, "%d blocks are to be swapped %s, and KV group %d has none on the host", count, way, group);
  std::vector<bool> written(static_cast<size_t>(in ? there : on_host));
  for (int i = 0; i < count; i++) {
    if (blocks_at[i] < 0 || blocks_at[i] >= there) fail(MR_INVALID, "block %d is to be swapped %s, the group has %d", blocks_at[i], way, there);
    if (host_at[i] < 0 || host_at[i] >= on_host) fail(MR_INVALID, "host block %d is to be swapped %s, the group has %d there", host_at[i], in ? "in" : "to", on_host);
    const int target = in ? blocks_at[i] : host_at[i];
    if (written[static_cast<size_t>(target)]) fail(MR_INVALID, "%s %d is to be written twice by one swap", in ? "block" : "host block", target);
    written[static_cast<size_t>(target)] = true;
  }
}

const char* cache_suffix(int type) {
  switch (type) {
    case MR_F16: return "-kv-f16";
    case MR_BF16: return "-kv-bf16";
    case MR_INT8: return "-kv-int8";
    case MR_FP8: return "-kv-fp8";
    default: return "";
  }
}

}  // namespace millrace
