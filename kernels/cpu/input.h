// Activation rows in the forms that weights want: int8, bf16, or floats, in the order of the weight's columns.
#pragma once
#include <cstddef>
#include <vector>

#include "kernels.h"
#include "memory.h"

namespace millrace {

// One product's input, made row by row by several threads. Memory is used again from product to product.
class Input {
 public:
  // Begins an input of `rows` rows of n values.
  void start(const Kernels& kernels, int n, int64_t rows);
  // Says that a weight will be multiplied with it.
  void want(const Packed& w);
  // To be called when all weights are known, before rows are made.
  void allocate();
  void make(int64_t row, const float* x) const;
  // Sets a task's input; `floats` are the rows themselves.
  void give(const Rows& floats, LinearTask& task) const;

 private:
  enum class Kind { kFloat, kBf16, kInt8 };

  // Rows of one kind in one order of columns.
  struct Form {
    Kind kind = Kind::kFloat;
    const int32_t* order = nullptr;
    int64_t stride = 0;
    Memory memory;
    // Rows in that order before they are rounded.
    Memory ordered;
  };

  Kind kind_of(const Packed& w) const;
  // Of the forms wanted; null when the rows will do as they are.
  const Form* find(const Packed& w) const;
  bool same_order(const int32_t* a, const int32_t* b) const;

  const Kernels* kernels_ = nullptr;
  int n_ = 0;
  int64_t rows_ = 0;
  size_t used_ = 0;
  std::vector<Form> forms_;
};

}  // namespace millrace
