// Rows as files have them, taken apart.
#pragma once
#include <cstddef>
#include <cstdint>
#include <vector>

#include "types.h"

namespace millrace {

// A row of a quantised type: codes, and the factors that Scales describes.
struct StoredRow {
  std::vector<uint8_t> codes;
  // Per set of factors.
  std::vector<uint16_t> d;
  std::vector<uint16_t> m;
  // Per 16 or 32 values.
  std::vector<uint8_t> scale;
  std::vector<uint8_t> minimum;
};

// Takes apart a row of `columns` values.
void take_apart(int type, const uint8_t* stored, int64_t columns, StoredRow& row);

}  // namespace millrace
