// Types of stored values: how many make a block, and what their packed form consists of.
#pragma once
#include <cstdint>

#include "millrace.h"

namespace millrace {

// How the codes of 32 values of each lane are packed, in vectors of four bytes a lane: a vector holds step s (values 4s to 4s + 3).
enum class Codes : uint8_t {
  kFloat,  // no codes: plain floating point values
  k8,      // 8 vectors
  k4,      // 4 vectors: vector i has step i in the low nibbles, step i + 4 in the high ones
  k5,      // as k4, then 8 masks with the fifth bits
  k6,      // as k4, then 2 vectors of 2 bits: vector i has steps 4i to 4i + 3
  k2,      // 2 vectors of 2 bits
  k3,      // as k2, then 8 masks with the third bits
  kTable   // as k4; nibbles are indices of kLevels
};

// How the factors of the codes are packed, in runs of one entry a lane.
enum class Scales : uint8_t {
  kNone,
  kHalf,        // per 32 values: a half
  kHalfMin,     // per 32 values: a half, then a half that is added
  kSuper32,     // per 256: a half; per 32 of them: a signed byte
  kSuper32Min,  // per 256: two halves; per 32: a byte, then a byte whose product with the second half is subtracted
  kSuper16,     // per 256: a half; per 16: a signed byte
  kSuper16Min,  // per 256: two halves; per 16: a byte, low nibble as the scale, high nibble as the minimum
  kGroup        // per group: a float, then (not of a codebook) a byte that is subtracted from each code
};

struct TypeInfo {
  const char* name;
  int block_values;
  int block_bytes;
  Codes codes;
  Scales scales;
  // Subtracted from each code.
  int zero;
  // Codes are signed bytes.
  bool is_signed;
};

// Of blocks, and of groups.
inline constexpr int kAllTypes = MR_CODEBOOK + 1;

inline constexpr TypeInfo kTypes[kAllTypes] = {
    {"F32", 1, 4, Codes::kFloat, Scales::kNone, 0, false},
    {"F16", 1, 2, Codes::kFloat, Scales::kNone, 0, false},
    {"BF16", 1, 2, Codes::kFloat, Scales::kNone, 0, false},
    {"Q4_0", 32, 18, Codes::k4, Scales::kHalf, 8, false},
    {"Q4_1", 32, 20, Codes::k4, Scales::kHalfMin, 0, false},
    {"Q5_0", 32, 22, Codes::k5, Scales::kHalf, 16, false},
    {"Q5_1", 32, 24, Codes::k5, Scales::kHalfMin, 0, false},
    {"Q8_0", 32, 34, Codes::k8, Scales::kHalf, 0, true},
    {"Q2_K", 256, 84, Codes::k2, Scales::kSuper16Min, 0, false},
    {"Q3_K", 256, 110, Codes::k3, Scales::kSuper16, 4, false},
    {"Q4_K", 256, 144, Codes::k4, Scales::kSuper32Min, 0, false},
    {"Q5_K", 256, 176, Codes::k5, Scales::kSuper32Min, 0, false},
    {"Q6_K", 256, 210, Codes::k6, Scales::kSuper16, 32, false},
    {"IQ4_NL", 32, 18, Codes::kTable, Scales::kHalf, 0, true},
    {"IQ4_XS", 256, 136, Codes::kTable, Scales::kSuper32, 0, true},
    {"INT8", 32, 32, Codes::k8, Scales::kGroup, 0, true},
    {"INT4", 32, 16, Codes::k4, Scales::kGroup, 0, false},
    {"CODEBOOK", 32, 16, Codes::k4, Scales::kGroup, 0, true},
};

inline constexpr int8_t kLevels[16] = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};

constexpr bool is_quantised(int type) { return kTypes[type].codes != Codes::kFloat; }
constexpr bool is_grouped(int type) { return kTypes[type].scales == Scales::kGroup; }

// Bytes that the codes of 32 values take, per lane.
constexpr int code_bytes(Codes codes) {
  switch (codes) {
    case Codes::k8: return 32;
    case Codes::k4:
    case Codes::kTable: return 16;
    case Codes::k5: return 20;
    case Codes::k6: return 24;
    case Codes::k2: return 8;
    case Codes::k3: return 12;
    case Codes::kFloat: break;
  }
  return 0;
}

// Values that share one set of factors: 32 or 256.
constexpr int scale_values(Scales scales) { return scales == Scales::kHalf || scales == Scales::kHalfMin ? 32 : 256; }

// Bytes of such a set, per lane.
constexpr int scale_bytes(Scales scales) {
  switch (scales) {
    case Scales::kHalf: return 2;
    case Scales::kHalfMin: return 4;
    case Scales::kSuper32: return 2 + 8;
    case Scales::kSuper32Min: return 4 + 16;
    case Scales::kSuper16: return 2 + 16;
    case Scales::kSuper16Min: return 4 + 16;
    case Scales::kGroup:
    case Scales::kNone: break;
  }
  return 0;
}

// A weight matrix [rows, columns] in panels of `lanes` rows, one lane each, and groups of panels that a tile takes together. What a tile
// reads lies in the order in which it reads: for each set of values the factors of all panels of the group, then, 32 values at a time, their codes. BF16 keeps
// pairs of columns together, F32 and F16 have column after column, panel beside panel. Rows are filled up with zeros.
struct Packed {
  int type = 0;
  int rows = 0;
  int columns = 0;
  int lanes = 0;
  // Panels of a group.
  int width = 0;
  int groups = 0;
  int64_t group_bytes = 0;
  const uint8_t* data = nullptr;
  // Of types in groups: columns that share factors, the value of the input that belongs to each column (null: its own), and the levels
  // of a codebook. With float_rows it is multiplied with floats instead of QuantRows.
  int group_columns = 0;
  const int32_t* order = nullptr;
  const float* levels = nullptr;
  bool float_rows = false;

  const uint8_t* group(int i) const { return data + i * group_bytes; }
};

// Bytes of a group's factors, per lane.
constexpr int group_factor_bytes(int type) { return type == MR_CODEBOOK ? 4 : 5; }

// A level of a codebook in int8, of which 127 are the scale.
inline int8_t level_code(float level) { return static_cast<int8_t>(level * 127.0f + (level < 0 ? -0.5f : 0.5f)); }

// Bytes of a set of values of one panel: factors and codes; of a group without the padding at its end.
constexpr int set_codes(const TypeInfo& info) { return scale_values(info.scales) / 32 * code_bytes(info.codes); }
constexpr int set_bytes(const TypeInfo& info) { return scale_bytes(info.scales) + set_codes(info); }

// Rows of activations in int8: `values` bytes each, of which blocks of 32 share a factor; then the factors and sums, at the offsets below.
struct QuantRow {
  static constexpr int64_t scales(int64_t values) { return values; }                       // float [values / 32]
  static constexpr int64_t sums32(int64_t values) { return values + values / 8; }          // int32 [values / 32]
  static constexpr int64_t sums16(int64_t values) { return values + values / 4; }          // int32 [values / 16]
  static constexpr int64_t products(int64_t values) { return values + values / 2; }        // float [values / 16]: factor times sum of 16
  static constexpr int64_t products32(int64_t values) { return values + values / 4 * 3; }  // float [values / 32]
  static constexpr int64_t bytes(int64_t values) { return (values + values / 8 * 7 + 63) / 64 * 64; }
};

}  // namespace millrace
