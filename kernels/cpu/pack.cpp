#include "pack.h"

#include <cstring>

#include "scalar.h"
#include "stored.h"

namespace millrace {
namespace {

constexpr int kSteps = 8;

// Where byte j of a step of a lane lies among the codes of 32 values.
struct Place {
  int lanes;
  int step;
  int lane;
  int j;

  int byte(int vector) const { return (vector * lanes + lane) * 4 + j; }
  int bit() const { return 4 * lane + j; }
  int mask(int start) const { return start * lanes + step * lanes / 2 + bit() / 8; }
};

void set_bits(uint8_t& byte, int value) { byte = static_cast<uint8_t>(byte | value); }

// Puts a code where it belongs; bytes are zero before.
void put(Codes codes, uint8_t* group, Place at, int code) {
  switch (codes) {
    case Codes::k8: group[at.byte(at.step)] = static_cast<uint8_t>(code); break;
    case Codes::k5: set_bits(group[at.mask(16)], (code >> 4) << at.bit() % 8); [[fallthrough]];
    case Codes::k4:
    case Codes::kTable: set_bits(group[at.byte(at.step & 3)], (code & 15) << 4 * (at.step >> 2)); break;
    case Codes::k6:
      set_bits(group[at.byte(at.step & 3)], (code & 15) << 4 * (at.step >> 2));
      set_bits(group[at.byte(4 + (at.step >> 2))], (code >> 4) << 2 * (at.step & 3));
      break;
    case Codes::k3: set_bits(group[at.mask(8)], (code >> 2) << at.bit() % 8); [[fallthrough]];
    case Codes::k2: set_bits(group[at.byte(at.step >> 2)], (code & 3) << 2 * (at.step & 3)); break;
    case Codes::kFloat: break;
  }
}

int get(Codes codes, const uint8_t* group, Place at) {
  int nibble = group[at.byte(at.step & 3)] >> 4 * (at.step >> 2) & 15;
  int pair = group[at.byte(at.step >> 2)] >> 2 * (at.step & 3) & 3;
  switch (codes) {
    case Codes::k8: return group[at.byte(at.step)];
    case Codes::k5: return nibble | (group[at.mask(16)] >> at.bit() % 8 & 1) << 4;
    case Codes::k4: return nibble;
    case Codes::kTable: return kLevels[nibble];
    case Codes::k6: return nibble | (group[at.byte(4 + (at.step >> 2))] >> 2 * (at.step & 3) & 3) << 4;
    case Codes::k3: return pair | (group[at.mask(8)] >> at.bit() % 8 & 1) << 2;
    case Codes::k2: return pair;
    case Codes::kFloat: break;
  }
  return 0;
}

void put_half(uint8_t* at, int lane, uint16_t value) { std::memcpy(at + 2 * lane, &value, 2); }

float get_half(const uint8_t* at, int lane) {
  uint16_t value;
  std::memcpy(&value, at + 2 * lane, 2);
  return half_to_float(value);
}

// Bytes of halves before the byte-sized factors.
int halves(Scales scales) { return scales == Scales::kSuper32Min || scales == Scales::kSuper16Min || scales == Scales::kHalfMin ? 4 : 2; }

void put_scales(Scales scales, uint8_t* out, int lanes, int lane, const StoredRow& row) {
  for (size_t b = 0; b < row.d.size(); b++, out += scale_bytes(scales) * lanes) {
    put_half(out, lane, row.d[b]);
    if (halves(scales) == 4) put_half(out + 2 * lanes, lane, row.m[b]);
    uint8_t* bytes = out + halves(scales) * lanes + lane;
    for (size_t s = 0; s < 16; s++) {
      size_t sub = b * (scales == Scales::kSuper16 || scales == Scales::kSuper16Min ? 16 : 8) + s;
      if (scales == Scales::kSuper16) bytes[s * static_cast<size_t>(lanes)] = row.scale[sub];
      if (scales == Scales::kSuper16Min) {
        bytes[s * static_cast<size_t>(lanes)] = static_cast<uint8_t>(row.scale[sub] | row.minimum[sub] << 4);
      }
      if (scales == Scales::kSuper32 && s < 8) bytes[s * static_cast<size_t>(lanes)] = row.scale[sub];
      if (scales == Scales::kSuper32Min && s < 8) {
        bytes[2 * s * static_cast<size_t>(lanes)] = row.scale[sub];
        bytes[(2 * s + 1) * static_cast<size_t>(lanes)] = row.minimum[sub];
      }
    }
  }
}

// Factor and minimum of 16 values: a value is factor · code + minimum.
struct Factors {
  float scale;
  float minimum;
};

Factors get_scales(Scales scales, const uint8_t* in, int lanes, int lane, int sixteenth) {
  int per = scale_values(scales) / 16;
  const uint8_t* set = in + static_cast<int64_t>(sixteenth / per) * scale_bytes(scales) * lanes;
  int s = sixteenth % per;
  float d = get_half(set, lane);
  const uint8_t* bytes = set + halves(scales) * lanes + lane;
  switch (scales) {
    case Scales::kHalf: return {d, 0};
    case Scales::kHalfMin: return {d, get_half(set + 2 * lanes, lane)};
    case Scales::kSuper32: return {d * static_cast<float>(static_cast<int8_t>(bytes[s / 2 * lanes])), 0};
    case Scales::kSuper16: return {d * static_cast<float>(static_cast<int8_t>(bytes[s * lanes])), 0};
    case Scales::kSuper32Min: {
      float m = get_half(set + 2 * lanes, lane);
      return {d * static_cast<float>(bytes[s / 2 * 2 * lanes]), -(m * static_cast<float>(bytes[(s / 2 * 2 + 1) * lanes]))};
    }
    case Scales::kSuper16Min: {
      float m = get_half(set + 2 * lanes, lane);
      uint8_t both = bytes[s * lanes];
      return {d * static_cast<float>(both & 15), -(m * static_cast<float>(both >> 4))};
    }
    case Scales::kNone: break;
  }
  return {0, 0};
}

void pack_floats(const Packed& w, const uint8_t* stored, int panel, uint8_t* out) {
  int size = kTypes[w.type].block_bytes;
  int64_t row_size = static_cast<int64_t>(w.columns) * size;
  for (int lane = 0; lane < w.lanes; lane++) {
    if (panel * w.lanes + lane >= w.rows) break;
    const uint8_t* in = stored + lane * row_size;
    for (int64_t k = 0; k < w.columns; k++) {
      int64_t at = w.type == MR_BF16 ? (k / 2 * w.lanes + lane) * 2 + k % 2 : k * w.lanes + lane;
      std::memcpy(out + at * size, in + k * size, static_cast<size_t>(size));
    }
  }
}

}  // namespace

int64_t row_bytes(int type, int64_t columns) { return columns / kTypes[type].block_values * kTypes[type].block_bytes; }

Packed layout(int type, int64_t rows, int64_t columns, int lanes, int group) {
  const TypeInfo& info = kTypes[type];
  Packed w;
  w.type = type;
  w.rows = static_cast<int>(rows);
  w.columns = static_cast<int>(columns);
  w.lanes = lanes;
  int64_t wide = static_cast<int64_t>(lanes) * group;
  w.panels = static_cast<int>((rows + wide - 1) / wide) * group;
  int64_t bytes = is_quantised(type) ? columns / 32 * code_bytes(info.codes) : (columns + 1) / 2 * 2 * info.block_bytes;
  w.scale_offset = (bytes * lanes + 63) / 64 * 64;
  bytes = is_quantised(type) ? columns / scale_values(info.scales) * scale_bytes(info.scales) * lanes : 0;
  w.panel_bytes = w.scale_offset + (bytes + 63) / 64 * 64;
  return w;
}

int64_t packed_bytes(const Packed& packed) { return packed.panels * packed.panel_bytes; }

void pack_panel(const Packed& w, const uint8_t* stored, int panel, bool offset, uint8_t* out) {
  const TypeInfo& info = kTypes[w.type];
  std::memset(out, 0, static_cast<size_t>(w.panel_bytes));
  if (!is_quantised(w.type)) {
    pack_floats(w, stored, panel, out);
    return;
  }
  bool add = offset && info.codes == Codes::k8;
  int group_bytes = code_bytes(info.codes) * w.lanes;
  StoredRow row;
  for (int lane = 0; lane < w.lanes && panel * w.lanes + lane < w.rows; lane++) {
    take_apart(w.type, stored + lane * row_bytes(w.type, w.columns), w.columns, row);
    for (int g = 0; g < w.columns / 32; g++) {
      const uint8_t* codes = &row.codes[static_cast<size_t>(32 * g)];
      uint8_t* group = out + static_cast<int64_t>(g) * group_bytes;
      for (int k = 0; k < 4 * kSteps; k++) {
        put(info.codes, group, {w.lanes, k / 4, lane, k % 4}, add ? codes[k] ^ 128 : codes[k]);
      }
    }
    put_scales(info.scales, out + w.scale_offset, w.lanes, lane, row);
  }
}

void unpack_row(const Packed& w, int row, bool offset, float* out) {
  const TypeInfo& info = kTypes[w.type];
  const uint8_t* panel = w.panel(row / w.lanes);
  int lane = row % w.lanes;
  if (!is_quantised(w.type)) {
    for (int64_t k = 0; k < w.columns; k++) {
      int64_t at = w.type == MR_BF16 ? (k / 2 * w.lanes + lane) * 2 + k % 2 : k * w.lanes + lane;
      widen_row(w.type, panel + at * info.block_bytes, 1, out + k);
    }
    return;
  }
  bool eight = info.codes == Codes::k8;
  for (int k = 0; k < w.columns; k += 16) {
    Factors f = get_scales(info.scales, panel + w.scale_offset, w.lanes, lane, k / 16);
    const uint8_t* group = panel + static_cast<int64_t>(k / 32) * code_bytes(info.codes) * w.lanes;
    for (int j = 0; j < 16; j++) {
      int code = get(info.codes, group, {w.lanes, (k % 32 + j) / 4, lane, j % 4});
      if (eight) code = offset ? code - 128 : static_cast<int8_t>(code);
      float product = f.scale * static_cast<float>(code - info.zero);
      out[k + j] = product + f.minimum;
    }
  }
}

void widen_row(int type, const uint8_t* stored, int64_t columns, float* out) {
  if (type == MR_F32) {
    std::memcpy(out, stored, static_cast<size_t>(columns) * 4);
    return;
  }
  if (!is_quantised(type)) {
    for (int64_t k = 0; k < columns; k++) {
      uint16_t x;
      std::memcpy(&x, stored + 2 * k, 2);
      out[k] = type == MR_F16 ? half_to_float(x) : bf16_to_float(x);
    }
    return;
  }
  Packed w = layout(type, 1, columns, 1, 1);
  StoredRow row;
  take_apart(type, stored, columns, row);
  std::vector<uint8_t> factors(static_cast<size_t>(w.panel_bytes - w.scale_offset));
  put_scales(kTypes[type].scales, factors.data(), 1, 0, row);
  for (int64_t k = 0; k < columns; k++) {
    Factors f = get_scales(kTypes[type].scales, factors.data(), 1, 0, static_cast<int>(k / 16));
    int code = row.codes[static_cast<size_t>(k)];
    if (kTypes[type].codes == Codes::kTable) code = kLevels[code];
    if (kTypes[type].codes == Codes::k8) code = static_cast<int8_t>(code);
    float product = f.scale * static_cast<float>(code - kTypes[type].zero);
    out[k] = product + f.minimum;
  }
}

}  // namespace millrace
