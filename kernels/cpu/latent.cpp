// Multi-head latent attention: queries go into the space of the latents, where all heads share one key and one value.
#include <algorithm>
#include <cstring>

#include "model.h"

namespace millrace {

void Model::run_latent(const Op& op, const mr_step& step) {
  const int rank = op.key_dim - op.dims;
  const int nope = op.width;
  Op shared = op;
  shared.kv_heads = 1;
  shared.value_dim = rank;
  auto buffer = [&](Memory& memory, int width) {
    memory.need(int64_t{step.rows} * width * 4);
    return Rows{memory.floats(), width};
  };
  Rows queries = buffer(expert_in_, op.heads * op.key_dim);
  Rows mixed = buffer(expert_out_, op.heads * rank);
  Rows plain = rows_of(op.a), turned = rows_of(op.b), out = rows_of(op.out());
  const float* key_up = vector_of(op.weights[0]);
  const float* value_up = vector_of(op.weights[1]);
  share_rows(step.rows, [&](int t) {
    for (int h = 0; h < op.heads; h++) {
      float* to = queries.row(t) + h * op.key_dim;
      std::fill(to, to + rank, 0.0f);
      for (int i = 0; i < nope; i++) {
        kernels_.add(to, key_up + (int64_t{h} * nope + i) * rank, to, rank, plain.row(t)[h * nope + i]);
      }
      std::memcpy(to + rank, turned.row(t) + h * op.dims, static_cast<size_t>(op.dims) * 4);
    }
  });
  run_attention(shared, queries, mixed, step);
  share_rows(step.rows, [&](int t) {
    for (int h = 0; h < op.heads; h++) {
      for (int i = 0; i < op.value_dim; i++) {
        int at = h * op.value_dim + i;
        out.row(t)[at] = kernels_.dot(value_up + int64_t{at} * rank, mixed.row(t) + h * rank, rank);
      }
    }
  });
}

void Model::write_latent(const KvLayer& kv, int slot, const float* latent, const float* turned) const {
  float key[kMaxKeyDim];
  int rank = kv.value_dim;
  std::memcpy(key, latent, static_cast<size_t>(rank) * 4);
  std::memcpy(key + rank, turned, static_cast<size_t>(kv.key_dim - rank) * 4);
  kernels_.kv_write(kv, slot, key, nullptr);
}

}  // namespace millrace
