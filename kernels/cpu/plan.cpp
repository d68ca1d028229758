#include "plan.h"

#include <algorithm>

#include "error.h"

namespace millrace {
namespace {

constexpr int kAlign = 16;

bool on_logit_rows(const Program& program, const Op& op) {
  int h = op.out() >= 0 ? op.out() : op.a;
  return h >= 0 && program.tensors[static_cast<size_t>(h)].sizes.front() == kLogitRows;
}

Stage::Kind kind_of(const Op& op) {
  if (op.code == OpCode::kLinear || op.code == OpCode::kLogits) return Stage::Kind::kProduct;
  if (op.code == OpCode::kMoeExperts) return Stage::Kind::kExperts;
  if (op.code == OpCode::kLatentAttention) return Stage::Kind::kLatent;
  return op.code == OpCode::kAttention ? Stage::Kind::kAttention : Stage::Kind::kRows;
}

std::vector<Stage> stages_of(const Program& program) {
  std::vector<Stage> stages;
  for (size_t i = 0; i < program.ops.size(); i++) {
    const Op& op = program.ops[i];
    if (op.code == OpCode::kSample) continue;
    Stage::Kind kind = kind_of(op);
    bool logits = on_logit_rows(program, op);
    bool open = !stages.empty() && stages.back().kind == Stage::Kind::kRows && stages.back().prepares == -1 &&
                stages.back().logit_rows == logits;
    if (kind == Stage::Kind::kProduct) {
      if (!open) stages.push_back({Stage::Kind::kRows, logits, {}, -1});
      stages.back().prepares = static_cast<int>(i);
    }
    if (kind == Stage::Kind::kRows && open) {
      stages.back().ops.push_back(static_cast<int>(i));
    } else {
      stages.push_back({kind, logits, {static_cast<int>(i)}, -1});
    }
  }
  return stages;
}

// Gives slots out, the best fitting free one first.
class Slots {
 public:
  explicit Slots(Plan& plan) : plan_(plan) {}

  int take(int width, bool logit_rows) {
    width = (width + kAlign - 1) / kAlign * kAlign;
    int best = -1;
    for (size_t s = 0; s < free_.size(); s++) {
      if (!free_[s] || plan_.slot_logit_rows[s] != logit_rows) continue;
      if (best < 0 || better(plan_.slot_width[s], plan_.slot_width[static_cast<size_t>(best)], width)) best = static_cast<int>(s);
    }
    if (best < 0) {
      plan_.slot_width.push_back(width);
      plan_.slot_logit_rows.push_back(logit_rows);
      free_.push_back(false);
      return static_cast<int>(free_.size()) - 1;
    }
    auto b = static_cast<size_t>(best);
    plan_.slot_width[b] = std::max(plan_.slot_width[b], width);
    free_[b] = false;
    return best;
  }

  void give_back(int slot) { free_[static_cast<size_t>(slot)] = true; }

 private:
  static bool better(int a, int b, int width) {
    if ((a >= width) != (b >= width)) return a >= width;
    return a >= width ? a < b : a > b;
  }

  Plan& plan_;
  std::vector<bool> free_;
};

}  // namespace

Plan make_plan(const Program& program, bool keep) {
  Plan plan;
  plan.stages = stages_of(program);
  plan.slot.assign(program.tensors.size(), -1);
  std::vector<size_t> last(program.tensors.size(), 0);
  for (size_t i = 0; i < program.ops.size(); i++) {
    const Op& op = program.ops[i];
    for (int h : {op.a, op.b, op.c}) {
      if (h >= 0) last[static_cast<size_t>(h)] = i;
    }
    for (int h : op.outs) last[static_cast<size_t>(h)] = i;
    if (op.code == OpCode::kSample) plan.logits = op.a;
  }
  if (plan.logits >= 0 && program.tensors[static_cast<size_t>(plan.logits)].sizes.front() != kLogitRows) {
    fail(MR_INVALID, "the step program samples from something other than logit rows");
  }
  Slots slots(plan);
  for (size_t i = 0; i < program.ops.size(); i++) {
    const Op& op = program.ops[i];
    for (int h : op.outs) {
      const Tensor& t = program.tensors[static_cast<size_t>(h)];
      if (h != plan.logits) plan.slot[static_cast<size_t>(h)] = slots.take(t.width(), t.sizes.front() == kLogitRows);
    }
    if (keep) continue;
    std::vector<int> ended = op.outs;
    if (op.a >= 0) ended.push_back(op.a);
    if (op.b >= 0 && op.b != op.a) ended.push_back(op.b);
    if (op.c >= 0 && op.c != op.a && op.c != op.b) ended.push_back(op.c);
    for (int h : ended) {
      int slot = plan.slot[static_cast<size_t>(h)];
      if (slot >= 0 && last[static_cast<size_t>(h)] == i) slots.give_back(slot);
    }
  }
  return plan;
}

}  // namespace millrace
