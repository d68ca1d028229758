#include "input.h"

#include <cstring>

namespace millrace {

void Input::start(const Kernels& kernels, int n, int64_t rows) {
  kernels_ = &kernels;
  n_ = n;
  rows_ = rows;
  used_ = 0;
}

Input::Kind Input::kind_of(const Packed& w) const {
  if (is_quantised(w.type)) return w.float_rows ? Kind::kFloat : Kind::kInt8;
  return w.type == MR_BF16 && kernels_->bf16_rows ? Kind::kBf16 : Kind::kFloat;
}

bool Input::same_order(const int32_t* a, const int32_t* b) const {
  if (!a || !b) return a == b;
  return a == b || std::memcmp(a, b, static_cast<size_t>(n_) * sizeof *a) == 0;
}

const Input::Form* Input::find(const Packed& w) const {
  Kind kind = kind_of(w);
  for (size_t i = 0; i < used_; i++) {
    if (forms_[i].kind == kind && same_order(forms_[i].order, w.order)) return &forms_[i];
  }
  return nullptr;
}

void Input::want(const Packed& w) {
  Kind kind = kind_of(w);
  if ((kind == Kind::kFloat && !w.order) || find(w)) return;
  if (used_ == forms_.size()) forms_.emplace_back();
  Form& form = forms_[used_++];
  form.kind = kind;
  form.order = w.order;
  switch (kind) {
    case Kind::kFloat: form.stride = (int64_t{n_} * 4 + 63) / 64 * 64; break;
    case Kind::kBf16: form.stride = (int64_t{n_} * 2 + 63) / 64 * 64; break;
    case Kind::kInt8: form.stride = QuantRow::bytes((n_ + 31) / 32 * 32); break;
  }
}

void Input::allocate() {
  for (size_t i = 0; i < used_; i++) {
    forms_[i].memory.need(rows_ * forms_[i].stride);
    if (forms_[i].order && forms_[i].kind != Kind::kFloat) forms_[i].ordered.need(rows_ * n_ * 4);
  }
}

void Input::make(int64_t row, const float* x) const {
  for (size_t i = 0; i < used_; i++) {
    const Form& form = forms_[i];
    uint8_t* out = form.memory.data() + row * form.stride;
    const float* from = x;
    if (form.order) {
      float* ordered = form.kind == Kind::kFloat ? reinterpret_cast<float*>(out) : form.ordered.floats() + row * n_;
      for (int k = 0; k < n_; k++) ordered[k] = x[form.order[k]];
      from = ordered;
    }
    if (form.kind == Kind::kInt8) kernels_->quantise(from, n_, (n_ + 31) / 32 * 32, out);
    if (form.kind == Kind::kBf16) kernels_->to_bf16(from, n_, (n_ + 1) / 2 * 2, reinterpret_cast<uint16_t*>(out));
  }
}

void Input::give(const Rows& floats, LinearTask& task) const {
  const Form* form = find(*task.w);
  task.x = form ? static_cast<const void*>(form->memory.data()) : floats.data;
  task.x_stride = form ? form->stride : floats.stride * 4;
}

}  // namespace millrace
