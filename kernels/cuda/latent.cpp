// Multi-head latent attention: queries go into the space of the latents, where all heads share one row of the cache; what they mix comes back.
#include <algorithm>
#include <cstring>

#include "model.h"
#include "pack.h"

namespace millrace::cuda {

// Plain types are kept as they are; all others are widened, as a matrix that is turned over has no groups.
std::vector<uint8_t> Model::place_heads(Weight& w, int type, int64_t rows, int64_t columns, const uint8_t* stored, const char* name) {
  std::vector<float> wide;
  if (type != MR_F32 && type != MR_F16 && type != MR_BF16) {
    wide.resize(static_cast<size_t>(rows * columns));
    for (int64_t r = 0; r < rows; r++) widen_row(type, stored + r * row_bytes(type, columns), columns, &wide[static_cast<size_t>(r * columns)]);
    stored = reinterpret_cast<const uint8_t*>(wide.data());
    type = MR_F32;
  }
  const int64_t own = rows / w.heads, size = type == MR_F32 ? 4 : 2;
  std::vector<uint8_t> head(static_cast<size_t>(own * columns * size)), all;
  for (int h = 0; h < w.heads; h++) {
    const uint8_t* from = stored + h * own * columns * size;
    if (w.turned_over) {
      for (int64_t r = 0; r < own; r++) {
        for (int64_t c = 0; c < columns; c++) std::memcpy(&head[static_cast<size_t>((c * own + r) * size)], from + (r * columns + c) * size, static_cast<size_t>(size));
      }
      from = head.data();
    }
    const Image image = w.turned_over ? image_of(type, columns, own, from) : image_of(type, own, columns, from);
    w.head_view = image.view;
    all.insert(all.end(), image.values.begin(), image.values.end());
  }
  upload(w.head_values, all.data(), static_cast<int64_t>(all.size()), name);
  w.head_view.values = w.head_values.data();
  weight_bytes_ += static_cast<int64_t>(all.size());
  return all;
}

// A product for each head.
void Model::launch_heads(RowCount rows, const Weight& w, RowView x, int columns, RowView out, int out_columns) {
  const Input in{room_.input_values.data(), rounded_up(columns, kStepColumns), needs_f32(w.head_view), nullptr};
  add(PrepareArguments{x, columns, nullptr, in, w.heads}, rows);
  launch_chain();
  multiply(stream_, rows, {w.head_view, in, out, nullptr, 1, 0, {w.heads, w.head_values.size() / w.heads, out_columns}}, nullptr, device_.chips);
}

void Model::launch_latent(const Op& op, RowCount rows) {
  const int rank = op.key_dim - op.dims;
  const RowView queries{room_.latent_queries.as<float>(), int64_t{op.heads} * rank}, mixed{room_.latent_mixed.as<float>(), int64_t{op.heads} * rank};
  launch_heads(rows, weights_[static_cast<size_t>(op.weights[0])], rows_of(op.a), op.width, queries, rank);
  AttentionArguments p = attention_of(op);
  p.q = queries;
  p.turned = rows_of(op.b);
  p.out = mixed;
  launch_attention(op, p);
  launch_heads(rows, weights_[static_cast<size_t>(op.weights[1])], mixed, rank, rows_of(op.out()), op.value_dim);
}

}  // namespace millrace::cuda
