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

void set_bits(uint8_t& byte, uint32_t value) { byte = static_cast<uint8_t>(byte | value); }

// Puts the codes of 32 values of a lane where they belong, four at a time; bytes are zero before.
template <Codes C>
void put(uint8_t* set, int lanes, int lane, const uint8_t* codes, uint32_t flip) {
  uint32_t c[kSteps];
  std::memcpy(c, codes, sizeof c);
  auto store = [=](int vector, uint32_t word) { std::memcpy(set + (vector * lanes + lane) * 4, &word, 4); };
  auto nibbles = [&] {
    for (int v = 0; v < 4; v++) store(v, (c[v] & 0x0f0f0f0f) | (c[v + 4] & 0x0f0f0f0f) << 4);
  };
  auto pairs = [&](int first, int shift) {
    for (int h = 0; h < 2; h++) {
      uint32_t word = 0;
      for (int i = 0; i < 4; i++) word |= (c[4 * h + i] >> shift & 0x03030303) << 2 * i;
      store(first + h, word);
    }
  };
  auto bits = [&](int first, int bit) {
    for (int s = 0; s < kSteps; s++) {
      uint32_t x = c[s] >> bit & 0x01010101;
      uint32_t four = (x | x >> 7 | x >> 14 | x >> 21) & 15;
      set_bits(set[first * lanes + s * lanes / 2 + lane / 2], four << 4 * (lane & 1));
    }
  };
  switch (C) {
    case Codes::k8:
      for (int s = 0; s < kSteps; s++) store(s, c[s] ^ flip * 0x01010101u);
      break;
    case Codes::k5: bits(16, 4); [[fallthrough]];
    case Codes::k4:
    case Codes::kTable: nibbles(); break;
    case Codes::k6:
      nibbles();
      pairs(4, 4);
      break;
    case Codes::k3: bits(8, 2); [[fallthrough]];
    case Codes::k2: pairs(0, 0); break;
    case Codes::kFloat: break;
  }
}

int get(Codes codes, const uint8_t* group, Place at) {
  auto nibble = [&] { return group[at.byte(at.step & 3)] >> 4 * (at.step >> 2) & 15; };
  auto pair = [&] { return group[at.byte(at.step >> 2)] >> 2 * (at.step & 3) & 3; };
  switch (codes) {
    case Codes::k8: return group[at.byte(at.step)];
    case Codes::k5: return nibble() | (group[at.mask(16)] >> at.bit() % 8 & 1) << 4;
    case Codes::k4: return nibble();
    case Codes::kTable: return kLevels[nibble()];
    case Codes::k6: return nibble() | (group[at.byte(4 + (at.step >> 2))] >> 2 * (at.step & 3) & 3) << 4;
    case Codes::k3: return pair() | (group[at.mask(8)] >> at.bit() % 8 & 1) << 2;
    case Codes::k2: return pair();
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

// Factors of set b of a row, into a run of one entry a lane.
void put_scales(Scales scales, uint8_t* out, int lanes, int lane, const StoredRow& row, size_t b) {
  auto step = static_cast<size_t>(lanes);
  put_half(out, lane, row.d[b]);
  if (halves(scales) == 4) put_half(out + 2 * lanes, lane, row.m[b]);
  uint8_t* bytes = out + halves(scales) * lanes + lane;
  const uint8_t* scale = row.scale.data();
  const uint8_t* minimum = row.minimum.data();
  switch (scales) {
    case Scales::kSuper16:
      for (size_t s = 0; s < 16; s++) bytes[s * step] = scale[16 * b + s];
      break;
    case Scales::kSuper16Min:
      for (size_t s = 0; s < 16; s++) bytes[s * step] = static_cast<uint8_t>(scale[16 * b + s] | minimum[16 * b + s] << 4);
      break;
    case Scales::kSuper32:
      for (size_t s = 0; s < 8; s++) bytes[s * step] = scale[8 * b + s];
      break;
    case Scales::kSuper32Min:
      for (size_t s = 0; s < 8; s++) {
        bytes[2 * s * step] = scale[8 * b + s];
        bytes[(2 * s + 1) * step] = minimum[8 * b + s];
      }
      break;
    default: break;
  }
}

// Factor and minimum of 16 values: a value is factor · code + minimum.
struct Factors {
  float scale;
  float minimum;
};

// Of the s-th 16 values of a set.
Factors get_scales(Scales scales, const uint8_t* set, int lanes, int lane, int s) {
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
    case Scales::kGroup:
    case Scales::kNone: break;
  }
  return {0, 0};
}

// Index of a value of a plain type within its group.
int64_t float_at(const Packed& w, int panel, int lane, int64_t k) {
  if (w.type == MR_BF16) return ((k / 2 * w.width + panel) * w.lanes + lane) * 2 + k % 2;
  return (k * w.width + panel) * w.lanes + lane;
}

template <class Word>
void pack_floats(const Packed& w, const Word* in, int panel, int lane, Word* out) {
  for (int64_t k = 0; k < w.columns; k++) std::memcpy(out + float_at(w, panel, lane, k), in + k, sizeof(Word));
}

// Codes of one row.
template <Codes C>
void pack_codes(const Packed& w, const StoredRow& row, int panel, int lane, uint32_t flip, uint8_t* out) {
  const TypeInfo& info = kTypes[w.type];
  const int per = scale_values(info.scales) / 32;
  const int64_t set = static_cast<int64_t>(set_bytes(info)) * w.width * w.lanes;
  for (int g = 0; g < w.columns / 32; g++) {
    const uint8_t* codes = &row.codes[static_cast<size_t>(32 * g)];
    uint8_t* group = out + g / per * set + static_cast<int64_t>(scale_bytes(info.scales)) * w.width * w.lanes +
                     (static_cast<int64_t>(g % per) * w.width + panel) * code_bytes(C) * w.lanes;
    put<C>(group, w.lanes, lane, codes, flip);
  }
}

void pack_codes(const Packed& w, const StoredRow& row, int panel, int lane, bool offset, uint8_t* out) {
  switch (kTypes[w.type].codes) {
    case Codes::k8: return pack_codes<Codes::k8>(w, row, panel, lane, offset ? 128 : 0, out);
    case Codes::k4: return pack_codes<Codes::k4>(w, row, panel, lane, 0, out);
    case Codes::kTable: return pack_codes<Codes::kTable>(w, row, panel, lane, 0, out);
    case Codes::k5: return pack_codes<Codes::k5>(w, row, panel, lane, 0, out);
    case Codes::k6: return pack_codes<Codes::k6>(w, row, panel, lane, 0, out);
    case Codes::k2: return pack_codes<Codes::k2>(w, row, panel, lane, 0, out);
    case Codes::k3: return pack_codes<Codes::k3>(w, row, panel, lane, 0, out);
    case Codes::kFloat: break;
  }
}

// Bytes of the codes, and of all, of a group of columns of one panel.
int64_t group_codes(const Packed& w) { return int64_t{w.group_columns} / 32 * code_bytes(kTypes[w.type].codes) * w.lanes; }
int64_t group_run(const Packed& w) { return int64_t{group_factor_bytes(w.type)} * w.lanes + group_codes(w); }

void unpack_grouped(const Packed& w, int row, bool offset, float* out) {
  const int wide = w.width * w.lanes;
  const int panel = row % wide / w.lanes;
  const int lane = row % w.lanes;
  const int flip = w.type == MR_INT8 && !offset && !w.float_rows ? 128 : 0;
  for (int k = 0; k < w.columns; k++) {
    const uint8_t* run = w.group(row / wide) + k / w.group_columns * group_run(w) * w.width;
    const uint8_t* factors = run + static_cast<int64_t>(group_factor_bytes(w.type)) * w.lanes * panel;
    float scale;
    std::memcpy(&scale, factors + 4 * lane, 4);
    int in = k % w.group_columns;
    const uint8_t* set = run + static_cast<int64_t>(group_factor_bytes(w.type)) * w.lanes * w.width +
                         (static_cast<int64_t>(in / 32) * w.width + panel) * code_bytes(kTypes[w.type].codes) * w.lanes;
    int code = get(kTypes[w.type].codes, set, {w.lanes, in % 32 / 4, lane, in % 4}) ^ flip;
    float value = w.type == MR_CODEBOOK ? w.levels[code] : static_cast<float>(code - factors[4 * w.lanes + lane]);
    out[w.order ? w.order[k] : k] = value * scale;
  }
}

}  // namespace

int64_t row_bytes(int type, int64_t columns) { return columns / kTypes[type].block_values * kTypes[type].block_bytes; }

Packed layout(int type, int64_t rows, int64_t columns, int lanes, int width) {
  const TypeInfo& info = kTypes[type];
  Packed w;
  w.type = type;
  w.rows = static_cast<int>(rows);
  w.columns = static_cast<int>(columns);
  w.lanes = lanes;
  w.width = width;
  int64_t wide = static_cast<int64_t>(lanes) * width;
  w.groups = static_cast<int>((rows + wide - 1) / wide);
  int64_t bytes = is_quantised(type) ? columns / scale_values(info.scales) * set_bytes(info) : (columns + 1) / 2 * 2 * info.block_bytes;
  w.group_bytes = (bytes * wide + 63) / 64 * 64;
  return w;
}

void layout_groups(Packed& w, int type, int64_t rows, int64_t columns, int lanes, int width) {
  w.type = type;
  w.rows = static_cast<int>(rows);
  w.columns = static_cast<int>(columns);
  w.lanes = lanes;
  w.width = width;
  int64_t wide = static_cast<int64_t>(lanes) * width;
  w.groups = static_cast<int>((rows + wide - 1) / wide);
  w.group_bytes = (columns / w.group_columns * group_run(w) * width + 63) / 64 * 64;
}

void pack_grouped(const Packed& w, const mr_groups& stored, int group, bool offset, uint8_t* out) {
  std::memset(out, 0, static_cast<size_t>(w.group_bytes));
  const int64_t runs = w.columns / w.group_columns;
  const uint32_t flip = w.type == MR_INT8 && !offset && !w.float_rows ? 128 : 0;
  const int wide = w.width * w.lanes;
  for (int r = 0; r < wide && group * wide + r < w.rows; r++) {
    int64_t row = int64_t{group} * wide + r;
    int panel = r / w.lanes;
    int lane = r % w.lanes;
    const uint8_t* codes = stored.codes + row * w.columns;
    for (int64_t g = 0; g < runs; g++) {
      uint8_t* run = out + g * group_run(w) * w.width;
      uint8_t* factors = run + static_cast<int64_t>(group_factor_bytes(w.type)) * w.lanes * panel;
      std::memcpy(factors + 4 * lane, &stored.scales[row * runs + g], 4);
      if (w.type != MR_CODEBOOK) factors[4 * w.lanes + lane] = stored.zeros[row * runs + g];
      uint8_t* to = run + static_cast<int64_t>(group_factor_bytes(w.type)) * w.lanes * w.width;
      for (int k = 0; k < w.group_columns; k += 32) {
        uint8_t* set = to + (static_cast<int64_t>(k / 32) * w.width + panel) * code_bytes(kTypes[w.type].codes) * w.lanes;
        const uint8_t* from = codes + g * w.group_columns + k;
        if (w.type == MR_INT8) {
          put<Codes::k8>(set, w.lanes, lane, from, flip);
        } else {
          put<Codes::k4>(set, w.lanes, lane, from, 0);
        }
      }
    }
  }
}

void widen_grouped(const mr_groups& stored, int64_t row, int64_t columns, float* out) {
  const int64_t runs = columns / stored.group_columns;
  for (int64_t k = 0; k < columns; k++) {
    int64_t at = row * runs + k / stored.group_columns;
    int code = stored.codes[row * columns + k];
    float value = stored.type == MR_CODEBOOK ? stored.levels[code & 15]
                  : stored.type == MR_FP8    ? e4m3_to_float(static_cast<uint8_t>(code))
                                             : static_cast<float>(code - stored.zeros[at]);
    out[stored.order ? stored.order[k] : k] = value * stored.scales[at];
  }
}

int64_t packed_bytes(const Packed& packed) { return packed.groups * packed.group_bytes; }

void pack_group(const Packed& w, const uint8_t* stored, int group, bool offset, uint8_t* out) {
  const TypeInfo& info = kTypes[w.type];
  std::memset(out, 0, static_cast<size_t>(w.group_bytes));
  int64_t row_size = row_bytes(w.type, w.columns);
  StoredRow row;
  for (int r = 0; r < w.width * w.lanes && group * w.width * w.lanes + r < w.rows; r++) {
    const uint8_t* in = stored + r * row_size;
    int panel = r / w.lanes;
    int lane = r % w.lanes;
    if (w.type == MR_F32) {
      pack_floats(w, reinterpret_cast<const uint32_t*>(in), panel, lane, reinterpret_cast<uint32_t*>(out));
    } else if (!is_quantised(w.type)) {
      pack_floats(w, reinterpret_cast<const uint16_t*>(in), panel, lane, reinterpret_cast<uint16_t*>(out));
    } else {
      take_apart(w.type, in, w.columns, row);
      pack_codes(w, row, panel, lane, offset, out);
      int64_t run = static_cast<int64_t>(scale_bytes(info.scales)) * w.lanes;
      int64_t set = static_cast<int64_t>(set_bytes(info)) * w.width * w.lanes;
      for (size_t b = 0; b < row.d.size(); b++) put_scales(info.scales, out + static_cast<int64_t>(b) * set + panel * run, w.lanes, lane, row, b);
    }
  }
}

void unpack_row(const Packed& w, int row, bool offset, float* out) {
  if (is_grouped(w.type)) return unpack_grouped(w, row, offset, out);
  const TypeInfo& info = kTypes[w.type];
  int wide = w.width * w.lanes;
  const uint8_t* in = w.group(row / wide);
  int panel = row % wide / w.lanes;
  int lane = row % w.lanes;
  if (!is_quantised(w.type)) {
    for (int64_t k = 0; k < w.columns; k++) widen_row(w.type, in + float_at(w, panel, lane, k) * info.block_bytes, 1, out + k);
    return;
  }
  bool eight = info.codes == Codes::k8;
  int values = scale_values(info.scales);
  int64_t factors = static_cast<int64_t>(scale_bytes(info.scales)) * w.lanes;
  int64_t codes = static_cast<int64_t>(set_codes(info)) * w.lanes;
  for (int start = 0; start < w.columns; start += values, in += (factors + codes) * w.width) {
    for (int k = 0; k < values; k += 16) {
      Factors f = get_scales(info.scales, in + panel * factors, w.lanes, lane, k / 16);
      const uint8_t* group = in + factors * w.width + (static_cast<int64_t>(k / 32) * w.width + panel) * code_bytes(info.codes) * w.lanes;
      for (int j = 0; j < 16; j++) {
        int code = get(info.codes, group, {w.lanes, (k % 32 + j) / 4, lane, j % 4});
        if (eight) code = offset ? code - 128 : static_cast<int8_t>(code);
        float product = f.scale * static_cast<float>(code - info.zero);
        out[start + k + j] = product + f.minimum;
      }
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
  StoredRow row;
  take_apart(type, stored, columns, row);
  uint8_t factors[32] = {};
  int values = scale_values(kTypes[type].scales);
  for (int64_t k = 0; k < columns; k++) {
    if (k % values == 0) put_scales(kTypes[type].scales, factors, 1, 0, row, static_cast<size_t>(k / values));
    Factors f = get_scales(kTypes[type].scales, factors, 1, 0, static_cast<int>(k % values / 16));
    int code = row.codes[static_cast<size_t>(k)];
    if (kTypes[type].codes == Codes::kTable) code = kLevels[code];
    if (kTypes[type].codes == Codes::k8) code = static_cast<int8_t>(code);
    float product = f.scale * static_cast<float>(code - kTypes[type].zero);
    out[k] = product + f.minimum;
  }
}

}  // namespace millrace
