// Activation rows in the forms that weights want: int8, bf16, or floats as they are.
#pragma once
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
  bool takes_bf16(const Packed& w) const { return w.type == MR_BF16 && kernels_->bf16_rows; }

  const Kernels* kernels_ = nullptr;
  int n_ = 0;
  int64_t rows_ = 0;
  bool int8_wanted_ = false, bf16_wanted_ = false;
  int64_t int8_stride_ = 0, bf16_stride_ = 0;
  Memory int8_, bf16_;
};

}  // namespace millrace
