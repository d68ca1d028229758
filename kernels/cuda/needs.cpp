#include "needs.h"

#include <algorithm>
#include <bit>
#include <cstdlib>
#include <string>

#include "arena.h"
#include "checks.h"
#include "choices.h"
#include "core/sample.h"
#include "device.h"
#include "error.h"
#include "images.h"
#include "library.h"
#include "swap.h"

namespace millrace::cuda {
namespace {

int width_of(const Program& program, int tensor) { return program.tensors[static_cast<size_t>(tensor)].width(); }

// As Model::bind takes them.
void put_weight(Slabs& slabs, const Program& program, const std::vector<Use>& uses, const mr_stored& stored) {
  if (stored.tensor < 0 || stored.tensor >= static_cast<int>(program.tensors.size())) fail(MR_INVALID, "%d is no weight", stored.tensor);
  const Tensor& t = program.tensors[static_cast<size_t>(stored.tensor)];
  const Use use = uses[static_cast<size_t>(stored.tensor)];
  if (use.is_vector) slabs.put(int64_t{t.rows()} * t.width() * 4);
  if (use.is_matrix) {
    for (int64_t part : image_bytes(stored, t.rows(), t.width())) slabs.put(part);
  }
  if (use.heads > 0) {
    // Widened, but for types of floats.
    const bool kept = stored.group_columns == 0 && (stored.type == MR_F16 || stored.type == MR_BF16);
    const int own = t.rows() / use.heads;
    const mr_stored head{stored.tensor, kept ? stored.type : MR_F32, 0, 0};
    slabs.put(use.heads * image_bytes(head, use.turned_over ? t.width() : own, use.turned_over ? own : t.width())[0]);
  }
}

}  // namespace

std::vector<Use> uses_of(const Program& program) {
  std::vector<Use> uses(program.tensors.size());
  for (const Op& op : program.ops) {
    bool matrix = op.code == OpCode::kLinear || op.code == OpCode::kLogits || op.code == OpCode::kEmbed || op.code == OpCode::kMoeExperts;
    for (int w : op.weights) {
      Use& use = uses[static_cast<size_t>(w)];
      if (op.code == OpCode::kLatentAttention) {
        use.heads = op.heads;
        use.turned_over = w == op.weights[0];
      } else {
        (matrix ? use.is_matrix : use.is_vector) = true;
      }
    }
    for (int b : op.biases) {
      if (b >= 0) uses[static_cast<size_t>(b)].is_vector = true;
    }
  }
  return uses;
}

bool is_latent(const Program& program, int group) {
  return std::any_of(program.ops.begin(), program.ops.end(), [&](const Op& op) { return op.code == OpCode::kLatentAttention && op.group == group; });
}

std::array<int64_t, 4> cache_parts(const mr_kv_group& group, int block_tokens, bool latent) {
  const bool factors = group.type == MR_INT8 || group.type == MR_FP8;
  const int64_t tokens = int64_t{group.heads} * block_tokens, value = group.type == MR_F32 ? 4 : factors ? 1 : 2;
  const int64_t keys = tokens * cache_key_stride(group.key_dim + (latent ? group.value_dim : 0)) * value;
  const int64_t scales = factors ? tokens * 4 : 0;
  return {keys, scales, latent ? 0 : tokens * cache_value_stride(group.value_dim) * value, latent ? 0 : scales};
}

int64_t most_library_rows(const Program& program, const std::vector<bool>& float32) {
  int64_t most = 0;
  for (const Op& op : program.ops) {
    if (op.code != OpCode::kLinear && op.code != OpCode::kLogits) continue;
    for (int w : op.weights) {
      const Tensor& t = program.tensors[static_cast<size_t>(w)];
      if (!float32[static_cast<size_t>(w)]) most = std::max(most, library_row_bytes(t.rows(), t.width()));
    }
  }
  return most;
}

int grown(int now, int needed) { return needed <= now ? now : static_cast<int>(std::bit_ceil(static_cast<unsigned>(needed))); }

int64_t RowBytes::all() const {
  int64_t sum = allocated(logits) + allocated(input_values) + allocated(input_factors) + allocated(router_logits) + 2 * allocated(pairs) + allocated(tiles) + 2 * allocated(wide) +
                allocated(hidden) + 2 * allocated(latents);
  for (int64_t slot : slots) sum += allocated(slot);
  return sum;
}

RowBytes bytes_of_rows(const Program& program, const Plan& plan, int64_t rows, int64_t logit_rows) {
  RowBytes bytes;
  for (size_t i = 0; i < plan.slot_width.size(); i++) bytes.slots.push_back((plan.slot_logit_rows[i] ? logit_rows : rows) * plan.slot_width[i] * 4);
  if (plan.logits >= 0) bytes.logits = logit_rows * width_of(program, plan.logits) * 4;
  const int64_t most = std::max(rows, logit_rows);
  int64_t values = 0, pairs = 0, experts = 0;
  for (const Op& op : program.ops) {
    if (op.code == OpCode::kLinear || op.code == OpCode::kLogits) values = std::max(values, most * rounded_up(width_of(program, op.a), kStepColumns));
    if (op.code == OpCode::kLatentAttention) {
      const int rank = op.key_dim - op.dims;
      values = std::max(values, most * op.heads * rounded_up(std::max(op.width, rank), kStepColumns));
      bytes.latents = std::max(bytes.latents, most * op.heads * rank * 4);
    }
    if (op.code == OpCode::kMoeRoute) bytes.router_logits = std::max(bytes.router_logits, most * program.tensors[static_cast<size_t>(op.weights[0])].rows() * 4);
    if (op.code != OpCode::kMoeExperts) continue;
    const int inner = program.tensors[static_cast<size_t>(op.weights[0])].rows();
    pairs = std::max(pairs, most * op.active);
    bytes.wide = std::max(bytes.wide, most * op.active * inner * 4);
    bytes.hidden = std::max(bytes.hidden, most * op.active * width_of(program, op.out()) * 4);
    experts = std::max<int64_t>(experts, op.group);
    values = std::max({values, most * rounded_up(width_of(program, op.a), kStepColumns), most * op.active * rounded_up(inner, kStepColumns)});
  }
  bytes.input_values = values * 4;
  bytes.input_factors = values > 0 ? most * 4 : 0;
  bytes.pairs = pairs * 4;
  bytes.tiles = (pairs / kLeastExpertRows + experts + 1) * static_cast<int64_t>(sizeof(ExpertTile));
  return bytes;
}

bool wants_wgmma(const mr_options& options) {
  const char* named = std::getenv("MILLRACE_CUDA_ATTENTION");
  const std::string wanted = named ? named : "";
  if (!wanted.empty() && wanted != "mma" && wanted != "wgmma") fail(MR_UNSUPPORTED, "MILLRACE_CUDA_ATTENTION is '%s'; use mma or wgmma", named);
  return options.isa == MR_ISA_WGMMA || wanted == "wgmma";
}

int attention_workers(int tile) { return tile == kBlockTile ? kBlockTile / kQueryTile : 1; }

int attention_blocks(int places, int tasks, int tiles_of_heads) { return std::max(1, std::min(places / tiles_of_heads, tasks)); }

int result_width(const mr_kv_group& group, bool latent) { return latent ? rounded_up(group.key_dim, 32) : cache_value_stride(group.value_dim); }

int64_t most_pieces(const AttentionKind& kind, int64_t blocks, int block_tokens, const mr_limits& limits, int chips) {
  const int tiles = head_tiles(kind.heads, kind.kv_heads, kind.tile), pieces = partial_pieces(heads_together(kind.heads, kind.kv_heads, kind.tile));
  const int64_t chunks = (int64_t{limits.positions} + kAttentionChunk - 1) / kAttentionChunk;
  // But for the smallest heads there are two blocks a multiprocessor at most.
  const int64_t places = int64_t{chips} * (kind.tile == kWarpgroupTile ? 1 : 2);
  const int64_t at_work = (places * attention_workers(kind.tile) + tiles - 1) / tiles * (kind.tile == kWarpgroupTile ? partial_pieces(kind.tile) : 1);
  const int64_t of_cache = blocks * block_tokens / kAttentionChunk + limits.logit_rows;
  return std::min(at_work * chunks, of_cache * (kind.tile == kQueryTile ? pieces : std::max(pieces, kBlockTile / kQueryTile)));
}

mr_need memory_of(const mr_options& options, const int32_t* words, int64_t count, const mr_stored* stored, int32_t stored_count, const mr_limits& limits) {
  const Program program = decode(words, count);
  const Plan plan = make_plan(program, options.keep_activations != 0);
  const std::vector<Use> uses = uses_of(program);
  mr_need need{};
  Slabs slabs;
  for (int i = 0; i < stored_count; i++) put_weight(slabs, program, uses, stored[i]);
  for (const Op& op : program.ops) {
    if (op.code == OpCode::kMoeExperts) slabs.put(expert_list_bytes(op));
  }
  need.weights = slabs.bytes();
  const int rows = grown(0, limits.rows), logit_rows = grown(0, limits.logit_rows);
  need.workspace = bytes_of_rows(program, plan, rows, logit_rows).all();
  if (plan.logits >= 0 && width_of(program, plan.logits) <= kMostSampledIds) need.workspace += choice_bytes(logit_rows, width_of(program, plan.logits));
  std::vector<bool> seen(kRopeTables);
  for (const Op& op : program.ops) {
    if (op.code != OpCode::kRope || seen[static_cast<size_t>(op.table)]) continue;
    seen[static_cast<size_t>(op.table)] = true;
    need.workspace += allocated(int64_t{grown(64, limits.positions)} * op.dims * 4);
  }
  int64_t partials = 0;
  const int chips = device_info().chips;
  for (const Op& op : program.ops) {
    if ((op.code != OpCode::kAttention && op.code != OpCode::kLatentAttention) || op.group >= options.groups) continue;
    const mr_kv_group& group = options.group[op.group];
    const bool latent = is_latent(program, op.group);
    const int tile = attention_tile(wants_wgmma(options), options.precision == MR_PRECISION_F32, group.type, cache_key_stride(group.key_dim),
                                    cache_value_stride(group.value_dim), latent);
    const AttentionKind kind{op.group, op.heads, op.kv_heads, op.window, tile};
    partials = std::max(partials, most_pieces(kind, group.blocks, options.block_tokens, limits, chips) * piece_floats(kind, result_width(group, latent)));
  }
  need.workspace += allocated(partials * 4);
  for (int g = 0; g < options.groups; g++) {
    const mr_kv_group& group = options.group[g];
    if (group.host_blocks == 0) continue;
    int64_t block = 0;
    for (int64_t part : cache_parts(group, options.block_tokens, is_latent(program, g))) block += part * group.layers;
    need.host += block * group.host_blocks;
    need.workspace += swap_bytes(block, group.host_blocks, 4 * group.layers);
  }
  if (options.library_rows > 0 && options.precision != MR_PRECISION_F32 && rows >= options.library_rows) {
    std::vector<bool> float32(program.tensors.size());
    for (int i = 0; i < stored_count; i++) float32[static_cast<size_t>(stored[i].tensor)] = stored[i].type == MR_F32;
    const int64_t most = most_library_rows(program, float32);
    if (most > 0) need.workspace += allocated(most) + allocated(Library::kWorkspace);
  }
  return need;
}

}  // namespace millrace::cuda
