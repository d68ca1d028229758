// Products of a step: linear layers, logits, experts.
#include <algorithm>
#include <cstring>

#include "model.h"

namespace millrace {
namespace {

// Tasks that each thread gets of a product, so that they end together.
constexpr int kTasksOfThread = 4;
// Work below which a task takes less time than it costs to hand it out several times.
constexpr int64_t kLeastCost = 20000;
// Rows of a product that are worth a task of their own.
constexpr int kLeastRows = 48;

// A few rows cost as much as one, because the weights are read.
int64_t cost(const LinearTask& t) { return int64_t{t.w->groups} * t.w->columns * std::max(4, t.row1 - t.row0); }

}  // namespace

void Model::multiply(const std::vector<LinearTask>& products) {
  int64_t total = 0;
  for (const LinearTask& p : products) total += cost(p);
  const int64_t threads = pool_.threads();
  int64_t wanted = threads == 1 ? 1 : threads * std::clamp<int64_t>(total / (threads * kLeastCost), 1, kTasksOfThread);
  pieces_.clear();
  for (const LinearTask& p : products) {
    auto share = static_cast<int>((cost(p) * wanted + total - 1) / total);
    int columns = std::clamp(share, 1, p.w->groups);
    int rows = p.row1 - p.row0;
    int cuts = std::clamp((share + columns - 1) / columns, 1, std::max(1, rows / kLeastRows));
    for (int c = 0; c < cuts; c++) {
      for (int i = 0; i < columns; i++) {
        LinearTask piece = p;
        piece.row0 = p.row0 + static_cast<int>(int64_t{rows} * c / cuts);
        piece.row1 = p.row0 + static_cast<int>(int64_t{rows} * (c + 1) / cuts);
        piece.group0 = static_cast<int>(int64_t{p.w->groups} * i / columns);
        piece.group1 = static_cast<int>(int64_t{p.w->groups} * (i + 1) / columns);
        pieces_.push_back(piece);
      }
    }
  }
  pool_.run(static_cast<int>(pieces_.size()), [&](int i, int) { kernels_.linear(pieces_[static_cast<size_t>(i)]); });
}

void Model::run_product(const Op& op, int rows) {
  std::vector<LinearTask> products;
  for (size_t i = 0; i < op.weights.size(); i++) {
    LinearTask task{};
    task.w = &weight(op.weights[i]).packed;
    input_.give(rows_of(op.a), task);
    task.out = rows_of(op.outs[i]);
    bool biased = !op.biases.empty() && op.biases[i] >= 0;
    task.bias = biased ? vector_of(op.biases[i]) : nullptr;
    task.factor = op.code == OpCode::kLogits ? op.factor : 1.0f;
    task.cap = op.code == OpCode::kLogits ? op.cap : 0.0f;
    task.row1 = rows;
    products.push_back(task);
  }
  multiply(products);
}

// Rows are sorted by expert, so that each expert's weights are read once; what an expert gives for a row does not depend on the others.
void Model::run_experts(const Op& op, int rows) {
  const size_t experts = op.weights.size() / 3;
  const int active = op.active;
  const int hidden = program_.tensors[static_cast<size_t>(op.a)].width();
  const int wide = program_.tensors[static_cast<size_t>(op.weights[0])].rows();
  const int pairs = rows * active;
  Rows x = rows_of(op.a), ids = rows_of(op.b), weights = rows_of(op.c), out = rows_of(op.out());
  auto expert_of = [&](int t, int k) {
    int32_t id;
    std::memcpy(&id, ids.row(t) + k, 4);
    return static_cast<size_t>(id);
  };
  std::vector<int> start(experts + 1);
  for (int t = 0; t < rows; t++) {
    for (int k = 0; k < active; k++) start[expert_of(t, k) + 1]++;
  }
  for (size_t e = 0; e < experts; e++) start[e + 1] += start[e];
  std::vector<int> place(static_cast<size_t>(pairs)), row(static_cast<size_t>(pairs)), next(start.begin(), start.end() - 1);
  for (int t = 0; t < rows; t++) {
    for (int k = 0; k < active; k++) {
      int p = next[expert_of(t, k)]++;
      place[static_cast<size_t>(t * active + k)] = p;
      row[static_cast<size_t>(p)] = t;
    }
  }
  auto buffer = [&](Memory& memory, int width) {
    int64_t stride = (width + 15) / 16 * 16;
    memory.need(pairs * stride * 4);
    return Rows{memory.floats(), stride};
  };
  Rows in = buffer(expert_in_, hidden), gate = buffer(expert_gate_, wide), up = buffer(expert_up_, wide), down = buffer(expert_out_, hidden);
  auto products = [&](size_t first, Rows from, Rows to, std::vector<LinearTask>& all) {
    for (size_t e = 0; e < experts; e++) {
      if (start[e] == start[e + 1]) continue;
      LinearTask task{};
      task.w = &weight(op.weights[first * experts + e]).packed;
      input_.give(from, task);
      task.out = to;
      task.factor = 1;
      task.row0 = start[e];
      task.row1 = start[e + 1];
      all.push_back(task);
    }
  };
  auto begin = [&](size_t first, size_t last, int n) {
    input_.start(kernels_, n, pairs);
    for (size_t i = first * experts; i < last * experts; i++) input_.want(weight(op.weights[i]).packed);
    input_.allocate();
  };
  begin(0, 2, hidden);
  share_rows(pairs, [&](int p) {
    std::memcpy(in.row(p), x.row(row[static_cast<size_t>(p)]), static_cast<size_t>(hidden) * 4);
    input_.make(p, in.row(p));
  });
  std::vector<LinearTask> both;
  products(0, in, gate, both);
  products(1, in, up, both);
  multiply(both);
  begin(2, 3, wide);
  share_rows(pairs, [&](int p) {
    kernels_.gated(gate.row(p), up.row(p), gate.row(p), wide, op.function);
    input_.make(p, gate.row(p));
  });
  std::vector<LinearTask> last;
  products(2, gate, down, last);
  multiply(last);
  share_rows(rows, [&](int t) {
    const int* at = &place[static_cast<size_t>(t * active)];
    kernels_.scale(down.row(at[0]), out.row(t), hidden, weights.row(t)[0]);
    for (int k = 1; k < active; k++) kernels_.add(out.row(t), down.row(at[k]), out.row(t), hidden, weights.row(t)[k]);
  });
}

}  // namespace millrace
