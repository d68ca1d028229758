#include "model.h"

#include <algorithm>

#include "checks.h"
#include "error.h"
#include "needs.h"
#include "nvtx.h"
#include "pack.h"

namespace millrace::cuda {
namespace {

// Raised when a kernel's bits change.
constexpr int kNumericsVersion = 3;

// The oldest chip that multiplies FP8.
constexpr int kOldestFp8 = 89;

DeviceInfo checked_device(const mr_options& options) {
  check_options(options);
  if (options.isa != MR_ISA_AUTO && options.isa != MR_ISA_WGMMA) fail(MR_UNSUPPORTED, "instruction set %d; the CUDA kernels have wgmma alone to choose", options.isa);
  DeviceInfo device = device_info();
  if (!device.usable) fail(MR_UNSUPPORTED, "%s", device.text.c_str());
  if (options.precision == MR_PRECISION_FP8 && device.major * 10 + device.minor < kOldestFp8) {
    fail(MR_UNSUPPORTED, "activations in FP8 on sm_%d%d, which multiplies no such; sm_%d is the oldest that does", device.major, device.minor, kOldestFp8);
  }
  if (wants_wgmma(options) && (device.major != 9 || device.minor != 0)) {
    fail(MR_UNSUPPORTED, "attention by wgmma on sm_%d%d; only sm_90 has the instructions", device.major, device.minor);
  }
  start_nvtx();
  return device;
}

}  // namespace

Model::Model(const mr_options& options, const int32_t* program, int64_t words)
    : device_(checked_device(options)),
      program_(decode(program, words)),
      plan_(make_plan(program_, options.keep_activations != 0)),
      exact_(options.precision == MR_PRECISION_F32),
      fp8_(options.precision == MR_PRECISION_FP8),
      keep_(options.keep_activations != 0),
      warpgroups_(wants_wgmma(options) && !exact_),
      block_tokens_(options.block_tokens),
      library_(options.library_rows > 0 && !exact_ ? std::make_unique<Library>() : nullptr),
      library_rows_(options.library_rows),
      weights_(program_.tensors.size()),
      ropes_(kRopeTables) {
  make_cache(options);
  mark_uses();
  room_.slots.resize(plan_.slot_width.size());
  numerics_ = "cuda-" + std::to_string(kNumericsVersion) + (MR_EMULATED ? "-emulated" : "-sm" + std::to_string(device_.major) + std::to_string(device_.minor)) +
              (exact_ ? "-f32" : fp8_ ? "-fp8" : "-native");
  if (library_) numerics_ += "-library" + std::to_string(library_rows_) + "-" + std::to_string(library_->version());
  if (warpgroups_) numerics_ += "-wgmma";
  for (const Group& g : groups_) numerics_ += cache_suffix(g.layers[0].type);
}

// A layer's keys, values and factors one after the other, then the next layer's.
void Model::make_cache(const mr_options& options) {
  for (int g = 0; g < options.groups; g++) {
    const mr_kv_group& in = options.group[g];
    CacheView layer{};
    layer.type = in.type;
    layer.block_tokens = block_tokens_;
    layer.heads = in.heads;
    const bool latent = is_latent(program_, g);
    layer.turned_dim = latent ? in.value_dim : 0;
    layer.key_dim = in.key_dim + layer.turned_dim;
    layer.value_dim = latent ? in.key_dim : in.value_dim;
    layer.key_stride = cache_key_stride(layer.key_dim);
    layer.value_stride = latent ? layer.key_stride : cache_value_stride(layer.value_dim);
    layer.value_width = result_width(in, latent);
    const std::array<int64_t, 4> parts = cache_parts(in, block_tokens_, latent);
    int64_t size = 0;
    auto whole = [&](int64_t block) { return (block * in.blocks + 255) / 256 * 256; };
    for (int64_t block : parts) size += whole(block) * in.layers;
    Group group;
    group.blocks = in.blocks;
    group.memory = Memory(size, "the KV cache");
    stream_.clear(group.memory.data(), size);
    cache_bytes_ += size;
    uint8_t* next = group.memory.data();
    int64_t packed = 0;
    auto take = [&](int64_t block) {
      uint8_t* base = next;
      next += whole(block);
      if (block > 0) group.parts.push_back({base, block, packed});
      packed += block;
      return base;
    };
    for (int i = 0; i < in.layers; i++) {
      layer.keys = take(parts[0]);
      layer.key_scales = reinterpret_cast<float*>(take(parts[1]));
      layer.values = take(parts[2]);
      layer.value_scales = reinterpret_cast<float*>(take(parts[3]));
      if (latent) {
        layer.values = layer.keys;
        layer.value_scales = layer.key_scales;
      }
      group.layers.push_back(layer);
    }
    if (in.host_blocks > 0) group.swap = std::make_unique<SwapPool>(stream_, group.parts, packed, in.host_blocks);
    host_blocks_.push_back(in.host_blocks);
    blocks_.push_back(group.blocks);
    groups_.push_back(std::move(group));
  }
}

// What has no room in the shared memory of a block on this chip is refused before anything is loaded.
void Model::check_shared() const {
  for (const Op& op : program_.ops) {
    if (op.code == OpCode::kMoeRoute && program_.tensors[static_cast<size_t>(op.weights[0])].rows() > kMostExperts) {
      fail(MR_UNSUPPORTED, "a layer of %d experts; the CUDA kernels choose from at most %d. Use --engine cpu", program_.tensors[static_cast<size_t>(op.weights[0])].rows(), kMostExperts);
    }
  }
  for (const Group& g : groups_) {
    const CacheView& cache = g.layers[0];
    const auto bytes = static_cast<int64_t>(least_shared(cache, exact_));
    if (bytes <= device_.shared_bytes) continue;
    fail(MR_UNSUPPORTED, "attention over keys of %d values takes %lld KiB of shared memory a block, sm_%d%d has %lld. Use %s--engine cpu", cache.key_dim,
         static_cast<long long>((bytes + 1023) >> 10), device_.major, device_.minor, static_cast<long long>(device_.shared_bytes >> 10),
         exact_ ? "--activations auto, or " : "");
  }
}

AttentionKind Model::kind_of(const Op& op) const {
  const CacheView& cache = groups_[static_cast<size_t>(op.group)].layers[0];
  return {op.group, op.heads, op.kv_heads, op.window, attention_tile(warpgroups_, exact_, cache.type, cache.key_stride, cache.value_stride, cache.turned_dim > 0)};
}

size_t Model::kind_index(const Op& op) const {
  return static_cast<size_t>(std::find(attention_kinds_.begin(), attention_kinds_.end(), kind_of(op)) - attention_kinds_.begin());
}

void Model::mark_uses() {
  const std::vector<Use> uses = uses_of(program_);
  for (size_t i = 0; i < uses.size(); i++) {
    weights_[i].is_matrix = uses[i].is_matrix;
    weights_[i].is_vector = uses[i].is_vector;
    weights_[i].is_of_heads = uses[i].heads > 0;
    weights_[i].heads = uses[i].heads;
    weights_[i].turned_over = uses[i].turned_over;
  }
  for (const Op& op : program_.ops) {
    const bool latent = op.code == OpCode::kLatentAttention;
    if (op.code == OpCode::kEmbed) vocabulary_ = program_.tensors[static_cast<size_t>(op.weights[0])].rows();
    if (op.code == OpCode::kAttention || latent) {
      const AttentionKind kind = kind_of(op);
      if (std::find(attention_kinds_.begin(), attention_kinds_.end(), kind) == attention_kinds_.end()) attention_kinds_.push_back(kind);
    }
  }
  check_shared();
  for (const AttentionKind& kind : attention_kinds_) attention_places_.push_back(attention_places(groups_[static_cast<size_t>(kind.group)].layers[0], exact_, kind.tile, device_.chips));
  std::vector<CacheShape> shapes;
  for (const Group& g : groups_) {
    const CacheView& kv = g.layers[0];
    shapes.push_back({static_cast<int>(g.layers.size()), kv.heads, kv.key_dim, kv.value_dim, kv.turned_dim > 0});
  }
  check_cache(program_, shapes);
}

// A weight that is bound again keeps its place, but for one of another size.
void Model::upload(Piece& piece, const void* from, int64_t bytes, const char* what) {
  if (piece.size() != bytes) piece = arena_.take(bytes, what);
  if (bytes > 0) staging_.upload(stream_, piece.data(), from, bytes);
}

void Model::place(Weight& w, const Image& image, const char* name) {
  w.view = image.view;
  upload(w.values, image.values.data(), static_cast<int64_t>(image.values.size()), name);
  upload(w.scales, image.scales.data(), static_cast<int64_t>(image.scales.size()), name);
  upload(w.offsets, image.offsets.data(), static_cast<int64_t>(image.offsets.size()), name);
  upload(w.levels, image.levels.data(), static_cast<int64_t>(image.levels.size()) * 4, name);
  upload(w.order, image.order.data(), static_cast<int64_t>(image.order.size()) * 4, name);
  w.view.values = w.values.data();
  w.view.scales = w.scales.data();
  w.view.offsets = w.offsets.data();
  w.view.levels = w.levels.as<float>();
  weight_bytes_ += image.bytes();
}

void Model::bind(int tensor, int type, int64_t rows, int64_t columns, const void* data, int64_t bytes) {
  const Tensor& info = check_weight(program_, tensor, rows, columns);
  check_stored(info, type, rows, columns, bytes);
  Weight& w = weights_[static_cast<size_t>(tensor)];
  auto* stored = static_cast<const uint8_t*>(data);
  std::vector<float> values;
  if (w.is_vector) {
    values.resize(static_cast<size_t>(rows * columns));
    for (int64_t r = 0; r < rows; r++) widen_row(type, stored + r * row_bytes(type, columns), columns, &values[static_cast<size_t>(r * columns)]);
    upload(w.vector, values.data(), rows * columns * 4, info.name.c_str());
  }
  Image image;
  if (w.is_matrix) {
    image = image_of(type, rows, columns, stored);
    place(w, image, info.name.c_str());
  }
  std::vector<uint8_t> of_heads;
  if (w.is_of_heads) of_heads = place_heads(w, type, rows, columns, stored, info.name.c_str());
  w.bound = true;
}

void Model::bind_groups(int tensor, int64_t rows, int64_t columns, const mr_groups& groups) {
  const Tensor& info = check_weight(program_, tensor, rows, columns);
  check_grouped(info, columns, groups);
  Weight& w = weights_[static_cast<size_t>(tensor)];
  std::vector<float> values;
  if (w.is_vector || w.is_of_heads) {
    values.resize(static_cast<size_t>(rows * columns));
    for (int64_t r = 0; r < rows; r++) widen_grouped(groups, r, columns, &values[static_cast<size_t>(r * columns)]);
  }
  if (w.is_vector) upload(w.vector, values.data(), rows * columns * 4, info.name.c_str());
  Image image;
  if (w.is_matrix) {
    image = image_of(groups, rows, columns);
    place(w, image, info.name.c_str());
  }
  std::vector<uint8_t> of_heads;
  if (w.is_of_heads) of_heads = place_heads(w, MR_F32, rows, columns, reinterpret_cast<const uint8_t*>(values.data()), info.name.c_str());
  w.bound = true;
}

void Model::save(int tensor, uint8_t*, int64_t) { fail(MR_UNSUPPORTED, "weight %d: the CUDA kernels keep no packed weights", tensor); }

void Model::restore(int tensor, const uint8_t*, int64_t) { fail(MR_UNSUPPORTED, "weight %d: the CUDA kernels keep no packed weights", tensor); }

void Model::rope(int table, const float* frequencies, int half, float factor) {
  check_rope(table, half);
  DeviceRope& rope = ropes_[static_cast<size_t>(table)];
  rope.table.set(frequencies, half, factor);
  rope.positions = 0;
}

void Model::copy_blocks(int group, const int32_t* from, const int32_t* to, int count) {
  or_forget([&] { copy_within(group, from, to, count); });
}

void Model::copy_within(int group, const int32_t* from, const int32_t* to, int count) {
  check_copy(group, from, to, count, blocks_);
  if (count == 0) return;
  const Group& g = groups_[static_cast<size_t>(group)];
  int64_t largest = 0;
  for (const BlockPart& part : g.parts) largest = std::max(largest, part.block_bytes);
  const int64_t lists = int64_t{count} * 4;
  if (copies_.size() < 2 * lists + largest * count) copies_.renew(2 * lists + largest * count, "copies of KV blocks");
  // The copies first, which want the alignment.
  auto* sources = reinterpret_cast<int32_t*>(copies_.data() + largest * count);
  stream_.upload(sources, from, lists);
  stream_.upload(sources + count, to, lists);
  for (const BlockPart& part : g.parts) cuda::copy_blocks(stream_, part.base, part.block_bytes, sources, sources + count, count, copies_.data());
  stream_.synchronize();
}

void Model::swap_out(int group, const int32_t* from, const int32_t* host_to, int count) {
  or_forget([&] {
    check_swap(group, from, host_to, count, blocks_, host_blocks_, false);
    if (count > 0) groups_[static_cast<size_t>(group)].swap->out(stream_, from, host_to, count);
  });
}

void Model::swap_in(int group, const int32_t* host_from, const int32_t* to, int count) {
  or_forget([&] {
    check_swap(group, to, host_from, count, blocks_, host_blocks_, true);
    if (count > 0) groups_[static_cast<size_t>(group)].swap->in(stream_, host_from, to, count);
  });
}

int64_t Model::host_bytes() const {
  int64_t bytes = 0;
  for (const Group& g : groups_) bytes += g.swap ? g.swap->host_bytes() : 0;
  return bytes;
}

SwapRates Model::swap_rates() const {
  SwapRateSum sum;
  for (const Group& g : groups_) {
    if (g.swap) sum.add(g.swap->block_bytes(), g.swap->rates());
  }
  return sum.rates();
}

void Model::read(int tensor, float* out, int64_t floats) {
  if (!keep_) fail(MR_INVALID, "the model does not keep its activations");
  if (tensor < 0 || tensor >= static_cast<int>(program_.tensors.size()) || plan_.slot[static_cast<size_t>(tensor)] < 0) {
    fail(MR_INVALID, "%d is no activation that is kept", tensor);
  }
  const Tensor& t = program_.tensors[static_cast<size_t>(tensor)];
  int rows = t.sizes.front() == kLogitRows ? last_logit_rows_ : last_rows_;
  if (floats != int64_t{rows} * t.width()) fail(MR_INVALID, "tensor %d has %d rows of %d values", tensor, rows, t.width());
  RowView from = rows_of(tensor);
  for (int r = 0; r < rows; r++) stream_.download(out + int64_t{r} * t.width(), from.data + r * from.stride, int64_t{t.width()} * 4);
  stream_.synchronize();
}

void Model::prepare() {
  for (size_t i = 0; i < weights_.size(); i++) {
    const Weight& w = weights_[i];
    if ((w.is_matrix || w.is_vector || w.is_of_heads) && !w.bound) fail(MR_INVALID, "weight %s was not bound", program_.tensors[i].name.c_str());
  }
  for (const Op& op : program_.ops) {
    if (op.code == OpCode::kRope) {
      int half = ropes_[static_cast<size_t>(op.table)].table.half();
      if (half != op.dims / 2) fail(MR_INVALID, "rotary table %d has %d frequencies, %d are needed", op.table, half, op.dims / 2);
    }
    if (op.code == OpCode::kEmbed && weights_[static_cast<size_t>(op.weights[0])].order.size() > 0) {
      fail(MR_UNSUPPORTED, "weight %s: an embedding whose columns are in another order", program_.tensors[static_cast<size_t>(op.weights[0])].name.c_str());
    }
    if (op.code != OpCode::kMoeExperts) continue;
    std::vector<WeightView> views;
    const size_t experts = op.weights.size() / 3;
    for (size_t i = 0; i < op.weights.size(); i++) {
      const Weight& w = weights_[static_cast<size_t>(op.weights[i])];
      const Weight& first = weights_[static_cast<size_t>(op.weights[i / experts * experts])];
      if (w.view.store != first.view.store || w.order.size() > 0) {
        fail(MR_UNSUPPORTED, "weight %s is not stored as the other experts are, or its columns are in another order",
             program_.tensors[static_cast<size_t>(op.weights[i])].name.c_str());
      }
      views.push_back(w.view);
    }
    upload(expert_views_[&op], views.data(), expert_list_bytes(op), "the list of experts");
  }
  staging_.finish(stream_);
  prepared_ = true;
}

}  // namespace millrace::cuda
