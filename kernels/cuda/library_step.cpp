// A model's products by cuBLASLt.
#include <algorithm>

#include "model.h"
#include "needs.h"

namespace millrace::cuda {

void Model::allocate_library() {
  if (room_.library_workspace.size() > 0) return;
  std::vector<bool> float32;
  for (const Weight& w : weights_) float32.push_back(needs_f32(w.view));
  const int64_t most = most_library_rows(program_, float32);
  if (most == 0) return;
  room_.library_rows.renew(most, "weights for cuBLASLt");
  room_.library_workspace.renew(Library::kWorkspace, "cuBLASLt's workspace");
}

int Model::library_rows(RowCount rows) const {
  const StepShape& shape = room_.shape;
  const int room = rows.count == input(shape.counts() + kLogitRowCount) ? shape.logit_rows : shape.rows;
  return std::min(room, rounded_up(rows.most, kLibraryRowStep));
}

Model::Form Model::form_of(const WeightView& w, RowCount rows, RowView out) {
  if (needs_f32(w)) return Form::kF32;
  return fp8_ && uses_library(rows.most) && multiplies_fp8(*library_, library_rows(rows), w, out) ? Form::kFp8 : Form::kBf16;
}

// Rows that are filled up are computed too, and read by nobody. What the library has no way for is ours.
void Model::launch_by_library(RowCount rows, const Product& p) {
  Product one = p;
  one.parts = {};
  for (int i = 0; i <= p.parts.count; i++) {
    if (i > 0) {
      const auto& part = p.parts.part[i - 1];
      one.w = part.w;
      one.out = part.out;
      one.bias = part.bias;
    }
    const float* later = one.x.factors ? one.bias : nullptr;
    if (later) one.bias = nullptr;
    if (!multiply_by_library(*library_, stream_, library_rows(rows), one, {room_.library_rows.as<uint16_t>(), room_.library_workspace.data()}, device_.chips)) {
      multiply(stream_, rows, one, nullptr, device_.chips);
      continue;
    }
    if (later) add(MapArguments{Map::kAdd, one.out, {const_cast<float*>(later), 0}, one.out, one.w.rows, 1, 0}, rows);
    if (p.cap > 0) add(MapArguments{Map::kSoftCap, one.out, {}, one.out, one.w.rows, p.cap, 0}, rows);
  }
}

}  // namespace millrace::cuda
