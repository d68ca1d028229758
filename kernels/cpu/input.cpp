#include "input.h"

namespace millrace {

void Input::start(const Kernels& kernels, int n, int64_t rows) {
  kernels_ = &kernels;
  n_ = n;
  rows_ = rows;
  int8_wanted_ = bf16_wanted_ = false;
  int8_stride_ = QuantRow::bytes((n + 31) / 32 * 32);
  bf16_stride_ = (int64_t{n} * 2 + 63) / 64 * 64;
}

void Input::want(const Packed& w) {
  int8_wanted_ |= is_quantised(w.type);
  bf16_wanted_ |= takes_bf16(w);
}

void Input::allocate() {
  if (int8_wanted_) int8_.need(rows_ * int8_stride_);
  if (bf16_wanted_) bf16_.need(rows_ * bf16_stride_);
}

void Input::make(int64_t row, const float* x) const {
  if (int8_wanted_) kernels_->quantise(x, n_, (n_ + 31) / 32 * 32, int8_.data() + row * int8_stride_);
  if (bf16_wanted_) kernels_->to_bf16(x, n_, (n_ + 1) / 2 * 2, reinterpret_cast<uint16_t*>(bf16_.data() + row * bf16_stride_));
}

void Input::give(const Rows& floats, LinearTask& task) const {
  if (is_quantised(task.w->type)) {
    task.x = int8_.data();
    task.x_stride = int8_stride_;
  } else if (takes_bf16(*task.w)) {
    task.x = bf16_.data();
    task.x_stride = bf16_stride_;
  } else {
    task.x = floats.data;
    task.x_stride = floats.stride * 4;
  }
}

}  // namespace millrace
