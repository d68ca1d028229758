// A weight matrix on the device, and one value of it.
#pragma once
#include "fragments.h"

namespace millrace::cuda {

// How values are stored. Codes are unsigned: value = (code - zero) * scale - offset, or level[code] * scale; or they are floats of 8 bits.
enum class Store : int32_t { kF32, kBf16, kF16, kCode8, kCode4, kE4m3 };

MR_HOST_DEVICE constexpr int lane_bytes(Store store) {
  switch (store) {
    case Store::kF32: return 64;
    case Store::kBf16:
    case Store::kF16: return 32;
    case Store::kCode8:
    case Store::kE4m3: return 16;
    case Store::kCode4: return 8;
  }
  return 0;
}

struct WeightView {
  Store store;
  int32_t rows, columns;
  // Of 16 rows, of 32 columns; what is beyond the matrix is zero.
  int32_t tiles, steps;
  const uint8_t* values;
  // Of codes: columns that share factors (16, or a multiple of 32), factors [tile][group][16], and whether they are halves or floats.
  int32_t group_columns, groups;
  int32_t half_factors;
  float zero;
  const void* scales;
  // Null: none is subtracted.
  const void* offsets;
  // 16 values that codes name; null: codes are numbers.
  const float* levels;
};

MR_HOST_DEVICE inline int64_t factor_index(const WeightView& w, int row, int group) {
  return (static_cast<int64_t>(row / kTileRows) * w.groups + group) * kTileRows + row % kTileRows;
}

MR_HOST_DEVICE inline float factor_at(const WeightView& w, const void* factors, int64_t index) {
  return w.half_factors ? f16_to_float(static_cast<const uint16_t*>(factors)[index]) : static_cast<const float*>(factors)[index];
}

// A code as the number that is multiplied, before its factors: of one value, products have lane_level.
MR_HOST_DEVICE inline float code_value(const WeightView& w, uint32_t code) { return w.levels ? w.levels[code] : static_cast<float>(code) - w.zero; }

MR_HOST_DEVICE inline float value_at(const WeightView& w, int row, int column) {
  const int64_t i = value_index(row, column, w.steps);
  switch (w.store) {
    case Store::kF32: return reinterpret_cast<const float*>(w.values)[i];
    case Store::kBf16: return bf16_to_float(reinterpret_cast<const uint16_t*>(w.values)[i]);
    case Store::kF16: return f16_to_float(reinterpret_cast<const uint16_t*>(w.values)[i]);
    case Store::kCode8:
    case Store::kCode4:
    case Store::kE4m3: break;
  }
  uint32_t code = w.store != Store::kCode4 ? w.values[i] : w.values[i / 2] >> (i % 2 * 4) & 15u;
  const int64_t f = factor_index(w, row, column / w.group_columns);
  float x = (w.store == Store::kE4m3 ? e4m3_to_float(static_cast<uint8_t>(code)) : code_value(w, code)) * factor_at(w, w.scales, f);
  return w.offsets ? x - factor_at(w, w.offsets, f) : x;
}

}  // namespace millrace::cuda
