#include "model.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstring>

#include "error.h"
#include "isa.h"
#include "pack.h"

namespace millrace {
namespace {

// Raised when a kernel's bits change.
constexpr int kNumericsVersion = 2;
constexpr int kMaxThreads = 1024;
constexpr int kTables = 64;

int checked_threads(const mr_options& options) {
  if (options.abi_version != MR_ABI_VERSION) fail(MR_INVALID, "ABI version %d, the library has %d", options.abi_version, MR_ABI_VERSION);
  if (options.threads < 1 || options.threads > kMaxThreads) fail(MR_INVALID, "%d threads; use 1 to %d", options.threads, kMaxThreads);
  return options.threads;
}

int64_t value_bytes(int type) { return type == MR_F32 ? 4 : type == MR_INT8 ? 1 : 2; }

const char* cache_suffix(int type) { return type == MR_F16 ? "-kv-f16" : type == MR_BF16 ? "-kv-bf16" : type == MR_INT8 ? "-kv-int8" : ""; }

}  // namespace

void RopeTable::set(const float* frequencies, int half, float factor) {
  frequencies_.assign(frequencies, frequencies + half);
  factor_ = factor;
  pages_.clear();
}

void RopeTable::need(int position) {
  while (static_cast<int>(pages_.size()) <= position / kPage) {
    int n = half();
    auto page = std::make_unique<float[]>(static_cast<size_t>(kPage) * 2 * static_cast<size_t>(n));
    for (int i = 0; i < kPage; i++) {
      float at = static_cast<float>(static_cast<int>(pages_.size()) * kPage + i);
      for (int j = 0; j < n; j++) {
        double angle = at * frequencies_[static_cast<size_t>(j)];
        page[static_cast<size_t>(i * 2 * n + j)] = static_cast<float>(std::cos(angle)) * factor_;
        page[static_cast<size_t>(i * 2 * n + n + j)] = static_cast<float>(std::sin(angle)) * factor_;
      }
    }
    pages_.push_back(std::move(page));
  }
}

Model::Model(const mr_options& options, const int32_t* program, int64_t words)
    : kernels_(kernels_of(options.isa, options.precision == MR_PRECISION_F32)),
      pool_(checked_threads(options), options.pin != 0),
      program_(decode(program, words)),
      plan_(make_plan(program_, options.keep_activations != 0)),
      precision_(options.precision),
      block_tokens_(options.block_tokens),
      keep_(options.keep_activations != 0),
      weights_(program_.tensors.size()),
      ropes_(kTables),
      slots_(plan_.slot_width.size()) {
  if (precision_ != MR_PRECISION_NATIVE && precision_ != MR_PRECISION_F32) fail(MR_INVALID, "precision %d is unknown", precision_);
  if (block_tokens_ < kKeyTokens || block_tokens_ > kChunkTokens || (block_tokens_ & (block_tokens_ - 1)) != 0) {
    fail(MR_INVALID, "blocks of %d tokens; use a power of two from %d to %d", block_tokens_, kKeyTokens, kChunkTokens);
  }
  make_cache(options);
  mark_uses();
  numerics_ = "cpu-" + std::to_string(kNumericsVersion) + "-" + kernels_.name + (precision_ == MR_PRECISION_F32 ? "-f32" : "-native");
  for (const Group& g : groups_) numerics_ += cache_suffix(g.layers[0].type);
}

void Model::make_cache(const mr_options& options) {
  if (options.groups < 0 || options.groups > 64) fail(MR_INVALID, "%d KV groups", options.groups);
  for (int g = 0; g < options.groups; g++) {
    mr_kv_group in = options.group[g];
    bool known = in.type == MR_F32 || in.type == MR_F16 || in.type == MR_BF16 || in.type == MR_INT8;
    if (!known) fail(MR_UNSUPPORTED, "a KV cache of type %d; use F32, F16, BF16 or INT8", in.type);
    if (in.blocks < 1 || in.layers < 1 || in.heads < 1 || in.key_dim < 1 || in.value_dim < 1 || in.value_dim > kMaxKeyDim / 2 ||
        in.key_dim > kMaxKeyDim / 2) {
      fail(MR_INVALID, "KV group %d has %d blocks, %d layers, %d heads of %d and %d values", g, in.blocks, in.layers, in.heads, in.key_dim,
           in.value_dim);
    }
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
    bool latent = op.code == OpCode::kLatentAttention;
    if (op.code != OpCode::kKvWrite && op.code != OpCode::kAttention && !latent) continue;
    if (op.group >= static_cast<int>(groups_.size())) fail(MR_INVALID, "the program uses KV group %d, there are %zu", op.group, groups_.size());
    const Group& group = groups_[static_cast<size_t>(op.group)];
    if (op.layer >= static_cast<int>(group.layers.size())) {
      fail(MR_INVALID, "the program uses layer %d of KV group %d, which has %zu", op.layer, op.group, group.layers.size());
    }
    const KvLayer& kv = group.layers[0];
    auto width = [&](int handle) { return program_.tensors[static_cast<size_t>(handle)].width(); };
    bool fits = op.kv_heads == kv.heads && op.key_dim == kv.key_dim;
    if (op.code == OpCode::kAttention) fits = fits && op.value_dim == kv.value_dim;
    if (op.code == OpCode::kKvWrite) {
      int values = group.latent ? kv.key_dim - kv.value_dim : kv.value_dim;
      fits = width(op.a) == kv.heads * (kv.key_dim - (group.latent ? values : 0)) && width(op.b) == kv.heads * values;
    }
    fits = fits && (op.code == OpCode::kKvWrite || latent == group.latent) && (!group.latent || kv.heads == 1);
    if (!fits) fail(MR_INVALID, "the program's heads are not those of KV group %d", op.group);
  }
}

Model::Weight& Model::checked(int tensor, int64_t rows, int64_t columns) {
  if (tensor < 0 || tensor >= static_cast<int>(program_.tensors.size()) || !program_.tensors[static_cast<size_t>(tensor)].weight) {
    fail(MR_INVALID, "%d is no weight of the program", tensor);
  }
  const Tensor& info = program_.tensors[static_cast<size_t>(tensor)];
  if (rows != info.rows() || columns != info.width()) {
    fail(MR_INVALID, "weight %s is [%lld, %lld], the program has [%d, %d]", info.name.c_str(), static_cast<long long>(rows),
         static_cast<long long>(columns), info.rows(), info.width());
  }
  return weights_[static_cast<size_t>(tensor)];
}

void Model::bind_groups(int tensor, int64_t rows, int64_t columns, const mr_groups& groups) {
  Weight& w = checked(tensor, rows, columns);
  const char* name = program_.tensors[static_cast<size_t>(tensor)].name.c_str();
  if (groups.type < MR_INT8 || groups.type > MR_CODEBOOK) fail(MR_UNSUPPORTED, "weight %s in groups has type %d", name, groups.type);
  if (groups.group_columns < 32 || groups.group_columns % 32 != 0 || columns % groups.group_columns != 0) {
    fail(MR_INVALID, "weight %s has %lld columns in groups of %d", name, static_cast<long long>(columns), groups.group_columns);
  }
  bool codebook = groups.type == MR_CODEBOOK;
  if (codebook ? !groups.levels : !groups.zeros) fail(MR_INVALID, "weight %s has no %s", name, codebook ? "levels" : "zeros");
  if (groups.order) {
    std::vector<bool> seen(static_cast<size_t>(columns));
    for (int64_t k = 0; k < columns; k++) {
      int at = groups.order[k];
      if (at < 0 || at >= columns || seen[static_cast<size_t>(at)]) fail(MR_INVALID, "the order of weight %s is none at %d", name, at);
      seen[static_cast<size_t>(at)] = true;
    }
    w.order.assign(groups.order, groups.order + columns);
  }
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
  Weight& w = checked(tensor, rows, columns);
  const char* name = program_.tensors[static_cast<size_t>(tensor)].name.c_str();
  if (type < 0 || type >= MR_TYPES) fail(MR_UNSUPPORTED, "weight %s has type %d, which these kernels do not know", name, type);
  if (columns % kTypes[type].block_values != 0) {
    fail(MR_INVALID, "weight %s of type %s has rows of %lld values, no multiple of %d", name, kTypes[type].name,
         static_cast<long long>(columns), kTypes[type].block_values);
  }
  int64_t row = row_bytes(type, columns);
  if (bytes != rows * row) {
    fail(MR_INVALID, "weight %s has %lld bytes, its shape needs %lld", name, static_cast<long long>(bytes), static_cast<long long>(rows * row));
  }
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
  if (table < 0 || table >= kTables || half < 1 || half > 4096) fail(MR_INVALID, "rotary table %d of %d frequencies", table, half);
  ropes_[static_cast<size_t>(table)].set(frequencies, half, factor);
}

void Model::copy_blocks(int group, const int32_t* from, const int32_t* to, int count) {
  if (group < 0 || group >= static_cast<int>(groups_.size())) fail(MR_INVALID, "there is no KV group %d", group);
  Group& g = groups_[static_cast<size_t>(group)];
  for (int i = 0; i < count; i++) {
    if (from[i] < 0 || from[i] >= g.blocks || to[i] < 0 || to[i] >= g.blocks) {
      fail(MR_INVALID, "block %d is to be copied to %d, the group has %d", from[i], to[i], g.blocks);
    }
  }
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
