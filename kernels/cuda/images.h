// Weights as the kernels want them, made on the host.
#pragma once
#include <cstdint>
#include <vector>

#include "core/weights.h"

namespace millrace::cuda {

// A matrix, and what the pointers of its view will point to.
struct Image {
  WeightView view{};
  std::vector<uint8_t> values, scales, offsets;
  std::vector<float> levels;
  // The value of the input that belongs to each column; empty: its own.
  std::vector<int32_t> order;

  int64_t bytes() const;
};

// Bytes of the parts of an image, without making it.
std::vector<int64_t> image_bytes(const mr_stored& stored, int64_t rows, int64_t columns);

// A stored weight [rows, columns], GGUF's types among them.
Image image_of(int type, int64_t rows, int64_t columns, const uint8_t* stored);

// A weight in groups of columns.
Image image_of(const mr_groups& groups, int64_t rows, int64_t columns);

}  // namespace millrace::cuda
