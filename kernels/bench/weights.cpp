#include "weights.h"

#include <algorithm>
#include <cstring>
#include <random>

#include "error.h"
#include "pack.h"
#include "scalar.h"

namespace millrace::bench {

int type_of(const std::string& name) {
  for (int t = 0; t < MR_TYPES; t++) {
    if (name == kTypes[t].name) return t;
  }
  fail(MR_INVALID, "there is no type %s", name.c_str());
}

std::vector<uint8_t> stored(int type, int64_t values) {
  std::mt19937_64 random(1);
  std::vector<uint8_t> bytes(static_cast<size_t>(row_bytes(type, values)));
  for (size_t i = 0; i + 8 <= bytes.size(); i += 8) {
    uint64_t x = random();
    std::memcpy(&bytes[i], &x, 8);
  }
  auto size = static_cast<size_t>(kTypes[type].block_bytes);
  for (size_t at = 0; at < bytes.size(); at += size) {
    if (type == MR_F32) {
      float x = static_cast<float>(static_cast<int>(random() % 200) - 100) * 5e-4f;
      std::memcpy(&bytes[at], &x, 4);
      continue;
    }
    if (!is_quantised(type)) {
      float x = static_cast<float>(static_cast<int>(random() % 200) - 100) * 5e-4f;
      uint16_t h = type == MR_F16 ? float_to_half(x) : float_to_bf16(x);
      std::memcpy(&bytes[at], &h, 2);
      continue;
    }
    uint16_t small = float_to_half(size > 100 ? 1e-4f : type == MR_Q8_0 ? 5e-4f : 5e-3f);
    size_t d = type == MR_Q2_K ? 80 : type == MR_Q3_K ? 108 : type == MR_Q6_K ? 208 : 0;
    std::memcpy(&bytes[at + d], &small, 2);
    bool has_minimum = type == MR_Q4_1 || type == MR_Q5_1 || type == MR_Q4_K || type == MR_Q5_K || type == MR_Q2_K;
    if (has_minimum) std::memcpy(&bytes[at + d + 2], &small, 2);
  }
  return bytes;
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

}  // namespace millrace::bench
