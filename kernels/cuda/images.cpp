#include "images.h"

#include <algorithm>
#include <cstring>
#include <thread>

#include "pack.h"
#include "parts.h"
#include "stored.h"

namespace millrace::cuda {
namespace {

Store store_of(int type) {
  switch (type) {
    case MR_F32: return Store::kF32;
    case MR_BF16: return Store::kBf16;
    case MR_F16: return Store::kF16;
    default: break;
  }
  switch (kTypes[type].codes) {
    case Codes::k4:
    case Codes::k2:
    case Codes::k3:
    case Codes::kTable: return Store::kCode4;
    default: return Store::kCode8;
  }
}

Store store_of_groups(int type) { return type == MR_INT8 ? Store::kCode8 : type == MR_FP8 ? Store::kE4m3 : Store::kCode4; }

bool has_zeros(int type) { return type == MR_INT8 || type == MR_INT4; }

WeightView view_of(Store store, int64_t rows, int64_t columns) {
  WeightView w{};
  w.store = store;
  w.rows = static_cast<int32_t>(rows);
  w.columns = static_cast<int32_t>(columns);
  w.tiles = rounded_up(w.rows, kTileRows) / kTileRows;
  w.steps = rounded_up(w.columns, kStepColumns) / kStepColumns;
  return w;
}

int64_t value_bytes(const WeightView& w) { return int64_t{w.tiles} * w.steps * kWarp * lane_bytes(w.store); }

// Of the factors of a weight in groups, the scales or the offsets.
struct FactorForm {
  int group_columns;
  bool halves, offsets;
};

FactorForm form_of(int type) {
  const Scales s = kTypes[type].scales;
  const bool of16 = s == Scales::kSuper16 || s == Scales::kSuper16Min;
  return {of16 ? 16 : 32, s == Scales::kHalf || s == Scales::kHalfMin, s == Scales::kHalfMin || s == Scales::kSuper32Min || s == Scales::kSuper16Min};
}

void put_form(WeightView& w, const FactorForm& form) {
  w.group_columns = form.group_columns;
  w.groups = (w.columns + form.group_columns - 1) / form.group_columns;
  w.half_factors = form.halves ? 1 : 0;
}

int64_t factor_bytes(const WeightView& w) { return int64_t{w.tiles} * kTileRows * w.groups * (w.half_factors ? 2 : 4); }

// Room for a matrix's values; what is beyond it stays zero.
Image blank(Store store, int64_t rows, int64_t columns) {
  Image image;
  image.view = view_of(store, rows, columns);
  image.values.resize(static_cast<size_t>(value_bytes(image.view)));
  return image;
}

void blank_factors(Image& image, const FactorForm& form) {
  put_form(image.view, form);
  image.scales.resize(static_cast<size_t>(factor_bytes(image.view)));
  if (form.offsets) image.offsets.resize(image.scales.size());
}

void put_code(Image& image, int row, int column, unsigned code) {
  const int64_t i = value_index(row, column, image.view.steps);
  if (image.view.store != Store::kCode4) {
    image.values[static_cast<size_t>(i)] = static_cast<uint8_t>(code);
  } else {
    uint8_t& both = image.values[static_cast<size_t>(i / 2)];
    both = static_cast<uint8_t>(both | code << i % 2 * 4);
  }
}

template <class T>
void put_factor(const Image& image, std::vector<uint8_t>& factors, int row, int group, T factor) {
  std::memcpy(&factors[static_cast<size_t>(factor_index(image.view, row, group)) * sizeof factor], &factor, sizeof factor);
}

// Calls f(row) for all rows, by several threads when there is much to do. Tiles, whose bytes rows share, are not divided.
template <class Function>
void for_rows(const WeightView& w, const Function& f) {
  constexpr int64_t kAlone = 1 << 20;
  const int most = int64_t{w.rows} * w.columns < kAlone ? 1 : static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
  const int threads = std::min(most, w.tiles);
  in_parts(threads, [&](int i) {
    const int begin = static_cast<int>(int64_t{w.tiles} * i / threads) * kTileRows, end = static_cast<int>(int64_t{w.tiles} * (i + 1) / threads) * kTileRows;
    for (int row = begin; row < std::min(end, w.rows); row++) f(row);
  });
}

template <class T>
void put_values(Image& image, const uint8_t* stored) {
  const WeightView& w = image.view;
  for_rows(w, [&](int row) {
    const uint8_t* from = stored + int64_t{row} * w.columns * static_cast<int64_t>(sizeof(T));
    for (int c = 0; c < w.columns; c++) {
      std::memcpy(&image.values[static_cast<size_t>(value_index(row, c, w.steps)) * sizeof(T)], from + c * static_cast<int64_t>(sizeof(T)), sizeof(T));
    }
  });
}

// Factors of the values from 16 * i on, as floats: what codes are multiplied with, and what is then subtracted.
struct Factors {
  float scale, offset;
};
Factors factors_of(Scales scales, const StoredRow& row, size_t i) {
  const size_t super = i / 16;
  const float d = half_to_float(row.d[super]), m = half_to_float(row.m[super]);
  switch (scales) {
    case Scales::kSuper32: return {d * static_cast<float>(static_cast<int8_t>(row.scale[i / 2])), 0};
    case Scales::kSuper32Min: return {d * static_cast<float>(row.scale[i / 2]), m * static_cast<float>(row.minimum[i / 2])};
    case Scales::kSuper16: return {d * static_cast<float>(static_cast<int8_t>(row.scale[i])), 0};
    default: return {d * static_cast<float>(row.scale[i]), m * static_cast<float>(row.minimum[i])};
  }
}

void put_blocks(Image& image, int type, const uint8_t* stored) {
  const TypeInfo& info = kTypes[type];
  const WeightView& w = image.view;
  for_rows(w, [&](int r) {
    StoredRow row;
    take_apart(type, stored + r * row_bytes(type, w.columns), w.columns, row);
    for (int c = 0; c < w.columns; c++) put_code(image, r, c, info.codes == Codes::k8 ? row.codes[static_cast<size_t>(c)] ^ 128u : row.codes[static_cast<size_t>(c)]);
    for (int g = 0; g < w.groups; g++) {
      auto at = static_cast<size_t>(g);
      if (w.half_factors) {
        put_factor(image, image.scales, r, g, row.d[at]);
        // What is added there is subtracted here.
        if (!image.offsets.empty()) put_factor(image, image.offsets, r, g, static_cast<uint16_t>(row.m[at] ^ 0x8000));
      } else {
        const Factors f = factors_of(info.scales, row, at * static_cast<size_t>(w.group_columns) / 16);
        put_factor(image, image.scales, r, g, f.scale);
        if (!image.offsets.empty()) put_factor(image, image.offsets, r, g, f.offset);
      }
    }
  });
}

}  // namespace

int64_t Image::bytes() const {
  return static_cast<int64_t>(values.size() + scales.size() + offsets.size() + levels.size() * 4 + order.size() * 4);
}

std::vector<int64_t> image_bytes(const mr_stored& stored, int64_t rows, int64_t columns) {
  const bool grouped = stored.group_columns > 0;
  WeightView w = view_of(grouped ? store_of_groups(stored.type) : store_of(stored.type), rows, columns);
  std::vector<int64_t> parts = {value_bytes(w)};
  if (!grouped && !is_quantised(stored.type)) return parts;
  const FactorForm form = grouped ? FactorForm{stored.group_columns, false, has_zeros(stored.type)} : form_of(stored.type);
  put_form(w, form);
  parts.push_back(factor_bytes(w));
  if (form.offsets) parts.push_back(factor_bytes(w));
  const bool levels = grouped ? stored.type == MR_CODEBOOK : kTypes[stored.type].codes == Codes::kTable;
  if (levels) parts.push_back(16 * 4);
  if (stored.ordered != 0) parts.push_back(columns * 4);
  return parts;
}

Image image_of(int type, int64_t rows, int64_t columns, const uint8_t* stored) {
  const TypeInfo& info = kTypes[type];
  Image image = blank(store_of(type), rows, columns);
  if (!is_quantised(type)) {
    if (type == MR_F32) {
      put_values<uint32_t>(image, stored);
    } else {
      put_values<uint16_t>(image, stored);
    }
    return image;
  }
  blank_factors(image, form_of(type));
  image.view.zero = info.codes == Codes::k8 ? 128.0f : static_cast<float>(info.zero);
  if (info.codes == Codes::kTable) image.levels.assign(kLevels, kLevels + 16);
  put_blocks(image, type, stored);
  return image;
}

Image image_of(const mr_groups& in, int64_t rows, int64_t columns) {
  Image image = blank(store_of_groups(in.type), rows, columns);
  const bool zeros = has_zeros(in.type);
  blank_factors(image, {in.group_columns, false, zeros});
  if (in.type == MR_CODEBOOK) image.levels.assign(in.levels, in.levels + 16);
  if (in.order) image.order.assign(in.order, in.order + columns);
  const WeightView& w = image.view;
  for_rows(w, [&](int r) {
    for (int c = 0; c < w.columns; c++) put_code(image, r, c, in.codes[r * columns + c] & (w.store == Store::kCode4 ? 15u : 255u));
    for (int g = 0; g < w.groups; g++) {
      const int64_t at = int64_t{r} * w.groups + g;
      put_factor(image, image.scales, r, g, in.scales[at]);
      if (zeros) put_factor(image, image.offsets, r, g, in.scales[at] * static_cast<float>(in.zeros[at]));
    }
  });
  return image;
}

}  // namespace millrace::cuda
