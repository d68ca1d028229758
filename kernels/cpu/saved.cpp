// Packed weights outside of a model: a header, what belongs to the codes, and the codes.
#include <cstring>

#include "checks.h"
#include "error.h"
#include "model.h"
#include "pack.h"

namespace millrace {
namespace {

constexpr int32_t kMagic = 0x4B50524D;
constexpr int64_t kAlign = 64;

struct Header {
  int32_t magic, type, rows, columns, lanes, width, group_columns, float_rows;
  // Numbers of entries; 0: there is none.
  int32_t order, levels;
  int64_t vector, packed;
};

int64_t side_bytes(const Header& h) {
  int64_t bytes = static_cast<int64_t>(sizeof h) + h.order * 4 + h.levels * 4 + h.vector * 4;
  return (bytes + kAlign - 1) / kAlign * kAlign;
}

template <class Value>
void put(uint8_t*& to, const std::vector<Value>& values) {
  if (!values.empty()) std::memcpy(to, values.data(), values.size() * sizeof(Value));
  to += values.size() * sizeof(Value);
}

template <class Value>
void get(const uint8_t*& from, int64_t count, std::vector<Value>& values) {
  values.resize(static_cast<size_t>(count));
  if (!values.empty()) std::memcpy(values.data(), from, values.size() * sizeof(Value));
  from += values.size() * sizeof(Value);
}

// Of a vector alone `p` is empty, and its type F32.
Header header_of(const Tensor& tensor, const Kernels& kernels, const Packed& p, size_t order, size_t levels, size_t vector) {
  Header h{};
  h.magic = kMagic;
  h.type = p.type;
  h.rows = tensor.rows();
  h.columns = tensor.width();
  h.lanes = kernels.lanes;
  h.width = kernels.panels;
  h.group_columns = p.group_columns;
  h.float_rows = p.float_rows ? 1 : 0;
  h.order = static_cast<int32_t>(order);
  h.levels = static_cast<int32_t>(levels);
  h.vector = static_cast<int64_t>(vector);
  h.packed = packed_bytes(p);
  return h;
}

}  // namespace

int64_t Model::saved_bytes(int tensor) const {
  if (tensor < 0 || tensor >= static_cast<int>(weights_.size()) || !weights_[static_cast<size_t>(tensor)].bound) return 0;
  const Weight& w = weights_[static_cast<size_t>(tensor)];
  Header h = header_of(program_.tensors[static_cast<size_t>(tensor)], kernels_, w.packed, w.order.size(), w.levels.size(), w.vector.size());
  return side_bytes(h) + h.packed;
}

void Model::save(int tensor, uint8_t* out, int64_t bytes) {
  if (bytes == 0 || bytes != saved_bytes(tensor)) fail(MR_INVALID, "weight %d is not bound, or takes other than %lld bytes", tensor, static_cast<long long>(bytes));
  const Weight& w = weights_[static_cast<size_t>(tensor)];
  Header h = header_of(program_.tensors[static_cast<size_t>(tensor)], kernels_, w.packed, w.order.size(), w.levels.size(), w.vector.size());
  std::memset(out, 0, static_cast<size_t>(side_bytes(h)));
  std::memcpy(out, &h, sizeof h);
  uint8_t* to = out + sizeof h;
  put(to, w.order);
  put(to, w.levels);
  put(to, w.vector);
  if (w.is_matrix) copy_groups(w.packed, w.packed.data, out + side_bytes(h));
}

void Model::restore(int tensor, const uint8_t* data, int64_t bytes) {
  Header h{};
  if (bytes < static_cast<int64_t>(sizeof h)) fail(MR_INVALID, "a packed weight of %lld bytes", static_cast<long long>(bytes));
  std::memcpy(&h, data, sizeof h);
  const char* name = check_weight(program_, tensor, h.rows, h.columns).name.c_str();
  Weight& w = weights_[static_cast<size_t>(tensor)];
  Packed p;
  bool sound = h.magic == kMagic && h.type >= 0 && h.type < kAllTypes && h.lanes == kernels_.lanes && h.width == kernels_.panels &&
               (h.order == 0 || h.order == h.columns) && (h.levels == 0 || h.levels == 16) && w.is_matrix == (h.packed > 0) &&
               h.vector == (w.is_vector ? int64_t{h.rows} * h.columns : 0) && h.float_rows == (is_grouped(h.type) && precision_ == MR_PRECISION_F32 ? 1 : 0);
  if (sound && is_grouped(h.type)) {
    sound = h.group_columns > 0 && h.group_columns % 32 == 0 && h.columns % h.group_columns == 0 && (h.levels == 16) == (h.type == MR_CODEBOOK);
    p.group_columns = sound ? h.group_columns : 32;
    p.float_rows = h.float_rows != 0;
    layout_groups(p, h.type, h.rows, h.columns, h.lanes, h.width);
  } else if (sound) {
    sound = h.order == 0 && h.levels == 0 && h.columns % kTypes[h.type].block_values == 0;
    p = layout(h.type, h.rows, h.columns, h.lanes, h.width);
  }
  sound = sound && (!w.is_matrix || h.packed == packed_bytes(p)) && bytes == side_bytes(h) + h.packed;
  if (!sound) fail(MR_INVALID, "what was kept of weight %s is not its packed form", name);
  const uint8_t* from = data + sizeof h;
  get(from, h.order, w.order);
  get(from, h.levels, w.levels);
  get(from, h.vector, w.vector);
  for (int32_t at : w.order) {
    if (at < 0 || at >= h.columns) fail(MR_INVALID, "what was kept of weight %s names column %d", name, at);
  }
  if (w.is_matrix) {
    p.order = h.order > 0 ? w.order.data() : nullptr;
    p.levels = h.levels > 0 ? w.levels.data() : nullptr;
    if (!w.memory) w.memory = slabs_.take(packed_bytes(p));
    copy_groups(p, data + side_bytes(h), w.memory);
    p.data = w.memory;
    w.packed = p;
  }
  w.bound = true;
}

void Model::copy_groups(const Packed& packed, const uint8_t* from, uint8_t* to) {
  pool_.run(packed.groups, [&](int group, int) {
    std::memcpy(to + group * packed.group_bytes, from + group * packed.group_bytes, static_cast<size_t>(packed.group_bytes));
  });
}

}  // namespace millrace
