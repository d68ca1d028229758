#include "model.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstring>

#include "checks.h"
#include "error.h"
#include "isa.h"
#include "pack.h"

namespace millrace {
namespace {

// Raised when a kernel's bits change.
constexpr int kNumericsVersion = 2;
constexpr int kMaxThreads = 1024;

int checked_threads(const mr_options& options) {
  check_options(options);
  if (options.threads < 1 || options.threads > kMaxThreads) fail(MR_INVALID, "%d threads; use 1 to %d", options.threads, kMaxThreads);
  return options.threads;
}

int64_t value_bytes(int type) { return type == MR_F32 ? 4 : type == MR_INT8 ? 1 : 2; }

}  // namespace

Model::Model(const mr_options& options, const int32_t* program, int64_t words)
    : kernels_(kernels_of(options.isa, options.precision == MR_PRECISION_F32)),
      pool_(checked_threads(options), options.pin != 0),
      program_(decode(program, words)),
      plan_(make_plan(program_, options.keep_activations != 0)),
      precision_(options.precision),
      block_tokens_(options.block_tokens),
      keep_(options.keep_activations != 0),
      weights_(program_.tensors.size()),
      ropes_(kRopeTables),
      slots_(plan_.slot_width.size()) {
  make_cache(options);
  mark_uses();
  measure_swaps();
  numerics_ = "cpu-" + std::to_string(kNumericsVersion) + "-" + kernels_.name + (precision_ == MR_PRECISION_F32 ? "-f32" : "-native");
  for (const Group& g : groups_) numerics_ += cache_suffix(g.layers[0].type);
}

void Model::make_cache(const mr_options& options) {
  for (int g = 0; g < options.groups; g++) {
    mr_kv_group in = options.group[g];
    Group group;
    for (const Op& op : program_.ops) group.latent |= op.code == OpCode::kLatentAttention && op.group == g;
    if (group.latent) {
      int rank = in.key_dim;
      in.key_dim += in.value_dim;
      in.value_dim = rank;
    }
    KvLayer layer;
    layer.type = in.type;
    layer.block_tokens = block_tokens_;
    layer.heads = in.heads;
    layer.key_dim = in.key_dim;
    layer.value_dim = in.value_dim;
    layer.key_stride = (in.key_dim + 15) / 16 * 16;
    layer.value_stride = (in.value_dim + 15) / 16 * 16;
    layer.latent = group.latent;
    layer.value_step = group.latent ? layer.key_stride : in.value_dim;
    group.blocks = in.blocks;
    place_cache(group, layer, in.layers);
    for (const Part& part : group.parts) group.host_block_bytes += part.block_bytes;
    if (in.host_blocks > 0) group.host = Memory(group.host_block_bytes * in.host_blocks);
    host_blocks_.push_back(in.host_blocks);
    groups_.push_back(std::move(group));
  }
}

// A layer's keys, values and factors one after the other, then the next layer's.
void Model::place_cache(Group& group, const KvLayer& shape, int layers) {
  int64_t tokens = int64_t{shape.heads} * block_tokens_;
  int64_t scales = shape.type == MR_INT8 ? tokens * 4 : 0;
  int64_t keys = tokens * (group.latent ? shape.value_step : shape.key_dim) * value_bytes(shape.type);
  int64_t values = tokens * shape.value_step * value_bytes(shape.type);
  std::vector<int64_t> parts = group.latent ? std::vector<int64_t>{keys, scales} : std::vector<int64_t>{keys, scales, values, scales};
  auto whole = [&](int64_t block) { return (block * group.blocks + 63) / 64 * 64; };
  int64_t size = 64;
  for (int64_t block : parts) size += whole(block) * layers;
  group.memory = Memory(size);
  cache_bytes_ += size;
  uint8_t* next = group.memory.data();
  auto take = [&](int64_t block) {
    uint8_t* base = next;
    next += whole(block);
    if (block > 0) group.parts.push_back({base, block});
    return base;
  };
  for (int i = 0; i < layers; i++) {
    KvLayer layer = shape;
    layer.keys = take(keys);
    layer.key_scales = reinterpret_cast<float*>(take(scales));
    layer.values = group.latent ? layer.keys : take(values);
    layer.value_scales = group.latent ? layer.key_scales : reinterpret_cast<float*>(take(scales));
    group.layers.push_back(layer);
  }
}

void Model::mark_uses() {
  for (const Op& op : program_.ops) {
    bool matrix = op.code == OpCode::kLinear || op.code == OpCode::kLogits || op.code == OpCode::kEmbed ||
                  op.code == OpCode::kMoeExperts;
    for (int w : op.weights) (matrix ? weights_[static_cast<size_t>(w)].is_matrix : weights_[static_cast<size_t>(w)].is_vector) = true;
    for (int b : op.biases) {
      if (b >= 0) weights_[static_cast<size_t>(b)].is_vector = true;
    }
    if (op.code == OpCode::kEmbed) vocabulary_ = program_.tensors[static_cast<size_t>(op.weights[0])].rows();
  }
  std::vector<CacheShape> shapes;
  for (const Group& g : groups_) {
    const KvLayer& kv = g.layers[0];
    shapes.push_back({static_cast<int>(g.layers.size()), kv.heads, kv.key_dim, kv.value_dim, g.latent});
    blocks_.push_back(g.blocks);
  }
  check_cache(program_, shapes);
}

void Model::bind_groups(int tensor, int64_t rows, int64_t columns, const mr_groups& groups) {
  check_grouped(check_weight(program_, tensor, rows, columns), columns, groups);
  Weight& w = weights_[static_cast<size_t>(tensor)];
  bool codebook = groups.type == MR_CODEBOOK;
  if (groups.order) w.order.assign(groups.order, groups.order + columns);
  if (codebook) w.levels.assign(groups.levels, groups.levels + 16);
  if (w.is_vector) {
    w.vector.resize(static_cast<size_t>(rows * columns));
    for (int64_t r = 0; r < rows; r++) widen_grouped(groups, r, columns, &w.vector[static_cast<size_t>(r * columns)]);
  }
  if (w.is_matrix) {
    w.packed = Packed{};
    w.packed.group_columns = groups.group_columns;
    w.packed.order = groups.order ? w.order.data() : nullptr;
    w.packed.levels = codebook ? w.levels.data() : nullptr;
    w.packed.float_rows = precision_ == MR_PRECISION_F32;
    layout_groups(w.packed, groups.type, rows, columns, kernels_.lanes, kernels_.panels);
    if (!w.memory) w.memory = slabs_.take(packed_bytes(w.packed));
    w.packed.data = w.memory;
    pool_.run(w.packed.groups,
              [&](int group, int) { pack_grouped(w.packed, groups, group, kernels_.offset_codes, w.memory + group * w.packed.group_bytes); });
  }
  w.bound = true;
}

void Model::bind(int tensor, int type, int64_t rows, int64_t columns, const void* data, int64_t bytes) {
  check_stored(check_weight(program_, tensor, rows, columns), type, rows, columns, bytes);
  Weight& w = weights_[static_cast<size_t>(tensor)];
  int64_t row = row_bytes(type, columns);
  auto* stored = static_cast<const uint8_t*>(data);
  if (w.is_vector) {
    w.vector.resize(static_cast<size_t>(rows * columns));
    for (int64_t r = 0; r < rows; r++) widen_row(type, stored + r * row, columns, &w.vector[static_cast<size_t>(r * columns)]);
  }
  if (w.is_matrix) {
    bool widen = precision_ == MR_PRECISION_F32 && is_quantised(type);
    w.packed = layout(widen ? MR_F32 : type, rows, columns, kernels_.lanes, kernels_.panels);
    if (!w.memory) w.memory = slabs_.take(packed_bytes(w.packed));
    w.packed.data = w.memory;
    int64_t wide = int64_t{kernels_.lanes} * kernels_.panels;
    pool_.run(w.packed.groups, [&](int group, int) {
      uint8_t* out = w.memory + group * w.packed.group_bytes;
      const uint8_t* from = stored + group * wide * row;
      if (!widen) return pack_group(w.packed, from, group, kernels_.offset_codes, out);
      std::vector<float> values(static_cast<size_t>(wide * columns));
      for (int64_t i = 0; i < wide && group * wide + i < rows; i++) widen_row(type, from + i * row, columns, &values[static_cast<size_t>(i * columns)]);
      pack_group(w.packed, reinterpret_cast<const uint8_t*>(values.data()), group, false, out);
    });
  }
  w.bound = true;
}

void Model::rope(int table, const float* frequencies, int half, float factor) {
  check_rope(table, half);
  ropes_[static_cast<size_t>(table)].set(frequencies, half, factor);
}

void Model::copy_blocks(int group, const int32_t* from, const int32_t* to, int count) {
  check_copy(group, from, to, count, blocks_);
  Group& g = groups_[static_cast<size_t>(group)];
  for (const Part& part : g.parts) {
    int64_t size = part.block_bytes;
    uint8_t* base = part.base;
    std::vector<uint8_t> held(static_cast<size_t>(size * count));
    for (int i = 0; i < count; i++) std::memcpy(&held[static_cast<size_t>(i * size)], base + from[i] * size, static_cast<size_t>(size));
    for (int i = 0; i < count; i++) std::memcpy(base + to[i] * size, &held[static_cast<size_t>(i * size)], static_cast<size_t>(size));
  }
}

void Model::read(int tensor, float* out, int64_t floats) const {
  if (!keep_) fail(MR_INVALID, "the model does not keep its activations");
  if (tensor < 0 || tensor >= static_cast<int>(program_.tensors.size()) || plan_.slot[static_cast<size_t>(tensor)] < 0) {
    fail(MR_INVALID, "%d is no activation that is kept", tensor);
  }
  const Tensor& t = program_.tensors[static_cast<size_t>(tensor)];
  int rows = t.sizes.front() == kLogitRows ? last_logit_rows_ : last_rows_;
  if (floats != int64_t{rows} * t.width()) fail(MR_INVALID, "tensor %d has %d rows of %d values", tensor, rows, t.width());
  Rows from = rows_of(tensor);
  for (int r = 0; r < rows; r++) std::memcpy(out + int64_t{r} * t.width(), from.row(r), static_cast<size_t>(t.width()) * 4);
}

}  // namespace millrace
