// One step of a model.
#include <algorithm>
#include <chrono>
#include <cstring>

#include "checks.h"
#include "error.h"
#include "model.h"
#include "pack.h"
#include "route.h"

namespace millrace {
namespace {

// Tasks that each thread gets of a stage, so that they end together.
constexpr int kTasksOfThread = 4;

int64_t now_ns() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

}  // namespace

void Profile::add(const Stage& stage, int rows, int64_t begin_ns, int64_t nanos) const {
  if (*count >= room) return;
  mr_stage_time& time = times[(*count)++];
  time.begin_ns = begin_ns;
  time.nanos = nanos;
  time.rows = rows;
  time.ops = static_cast<int32_t>(stage.ops.size());
  for (size_t i = 0; i < stage.ops.size() && i < MR_STAGE_OPS; i++) time.op[i] = stage.ops[i];
}

Rows Model::rows_of(int tensor) const {
  if (tensor == plan_.logits) return {logits_, program_.tensors[static_cast<size_t>(tensor)].width()};
  auto slot = static_cast<size_t>(plan_.slot[static_cast<size_t>(tensor)]);
  return {slots_[slot].floats(), plan_.slot_width[slot]};
}

void Model::run(const mr_step& step) {
  if (!prepared_) prepare();
  check_step(step, vocabulary_, block_tokens_, blocks_);
  FlushDenormals flush;
  make_room(step);
  attention_plans_.clear();
  ops_ = 0;
  if (profile_.times) *profile_.count = 0;
  for (const Stage& stage : plan_.stages) {
    int rows = stage.logit_rows ? step.logit_rows : step.rows;
    if (rows == 0) continue;
    ops_ += static_cast<int64_t>(stage.ops.size());
    const int64_t began = profile_.times ? now_ns() : 0;
    const Op* op = stage.ops.empty() ? nullptr : &program_.ops[static_cast<size_t>(stage.ops.front())];
    switch (stage.kind) {
      case Stage::Kind::kRows: run_rows(stage, step, rows); break;
      case Stage::Kind::kProduct: run_product(*op, rows); break;
      case Stage::Kind::kExperts: run_experts(*op, rows); break;
      case Stage::Kind::kLatent: run_latent(*op, step); break;
      case Stage::Kind::kAttention: run_attention(*op, rows_of(op->a), rows_of(op->out()), step); break;
    }
    if (profile_.times) profile_.add(stage, rows, began, now_ns() - began);
  }
}

void Model::prepare() {
  for (size_t i = 0; i < weights_.size(); i++) {
    const Weight& w = weights_[i];
    if ((w.is_matrix || w.is_vector) && !w.bound) fail(MR_INVALID, "weight %s was not bound", program_.tensors[i].name.c_str());
  }
  int64_t scratch = 0;
  for (const Op& op : program_.ops) {
    if (op.code == OpCode::kRope) {
      const RopeTable& table = ropes_[static_cast<size_t>(op.table)];
      if (table.half() != op.dims / 2) fail(MR_INVALID, "rotary table %d has %d frequencies, %d are needed", op.table, table.half(), op.dims / 2);
    }
    if (op.code == OpCode::kAttention || op.code == OpCode::kLatentAttention) {
      scratch = std::max(scratch, attention_scratch(groups_[static_cast<size_t>(op.group)].layers[0]));
    }
  }
  for (int i = 0; i < pool_.threads(); i++) scratch_.emplace_back(scratch * 4);
  prepared_ = true;
}

void Model::make_room(const mr_step& step) {
  last_rows_ = step.rows;
  last_logit_rows_ = step.logit_rows;
  logits_ = step.logits;
  for (size_t i = 0; i < slots_.size(); i++) {
    int64_t rows = plan_.slot_logit_rows[i] ? step.logit_rows : step.rows;
    slots_[i].need(rows * plan_.slot_width[i] * 4);
  }
  int last = *std::max_element(step.positions, step.positions + step.rows);
  for (RopeTable& table : ropes_) {
    if (table.is_set()) table.need(last);
  }
}

void Model::run_rows(const Stage& stage, const mr_step& step, int rows) {
  if (stage.prepares >= 0) {
    const Op& op = program_.ops[static_cast<size_t>(stage.prepares)];
    input_.start(kernels_, program_.tensors[static_cast<size_t>(op.a)].width(), rows);
    for (int w : op.weights) input_.want(weight(w).packed);
    input_.allocate();
  }
  share_rows(rows, [&](int row) { run_row(stage, step, row); });
}

void Model::run_row(const Stage& stage, const mr_step& step, int row) {
  for (int i : stage.ops) run_op(program_.ops[static_cast<size_t>(i)], step, row);
  if (stage.prepares >= 0) input_.make(row, rows_of(program_.ops[static_cast<size_t>(stage.prepares)].a).row(row));
}

void Model::run_op(const Op& op, const mr_step& step, int row) {
  float* out = op.out() >= 0 ? rows_of(op.out()).row(row) : nullptr;
  int n = op.out() >= 0 ? program_.tensors[static_cast<size_t>(op.out())].width() : 0;
  const float* a = op.a >= 0 && op.code != OpCode::kGatherRows ? rows_of(op.a).row(row) : nullptr;
  const float* b = op.b >= 0 ? rows_of(op.b).row(row) : nullptr;
  switch (op.code) {
    case OpCode::kEmbed:
      unpack_row(weight(op.weights[0]).packed, step.tokens[row], kernels_.offset_codes, out);
      if (op.factor != 1.0f) kernels_.scale(out, out, n, op.factor);
      break;
    case OpCode::kRmsNorm: kernels_.rms_norm(a, vector_of(op.weights[0]), out, n, op.width, op.eps, op.offset); break;
    case OpCode::kRope: {
      const RopeTable& table = ropes_[static_cast<size_t>(op.table)];
      int position = step.positions[row];
      kernels_.rope(a, out, op.heads, op.key_dim, op.dims, op.pairs != 0, table.cos(position), table.sin(position));
      break;
    }
    case OpCode::kKvWrite: {
      const Group& group = groups_[static_cast<size_t>(op.group)];
      const KvLayer& kv = group.layers[static_cast<size_t>(op.layer)];
      int slot = step.slots[int64_t{op.group} * step.rows + row];
      if (group.latent) {
        write_latent(kv, slot, a, b);
      } else {
        kernels_.kv_write(kv, slot, a, b);
      }
      break;
    }
    case OpCode::kGated: kernels_.gated(a, b, out, n, op.function); break;
    case OpCode::kAdd: kernels_.add(a, b, out, n, op.factor); break;
    case OpCode::kSigmoidScale:
      kernels_.sigmoid_scale(a, b, out, n, program_.tensors[static_cast<size_t>(op.b)].width());
      break;
    case OpCode::kMoeRoute: route(op, a, row); break;
    case OpCode::kScale: kernels_.scale(a, out, n, op.factor); break;
    case OpCode::kSoftCap: kernels_.soft_cap(a, out, n, op.cap); break;
    case OpCode::kGatherRows: std::memcpy(out, rows_of(op.a).row(step.logit_row[row]), static_cast<size_t>(n) * 4); break;
    case OpCode::kLinear:
    case OpCode::kLogits:
    case OpCode::kMoeExperts:
    case OpCode::kLatentAttention:
    case OpCode::kAttention:
    case OpCode::kSample: break;
  }
}

void Model::route(const Op& op, const float* x, int row) {
  int experts = program_.tensors[static_cast<size_t>(op.weights[0])].rows();
  int n = program_.tensors[static_cast<size_t>(op.a)].width();
  const float* w = vector_of(op.weights[0]);
  std::vector<float> logits(static_cast<size_t>(experts));
  for (int e = 0; e < experts; e++) logits[static_cast<size_t>(e)] = kernels_.dot(x, w + int64_t{e} * n, n);
  Route how{experts, op.active, op.expert_groups, op.kept_groups, op.renormalise != 0, op.scale};
  std::vector<int32_t> ids(static_cast<size_t>(op.active));
  choose_experts(how, logits.data(), ids.data(), rows_of(op.outs[1]).row(row));
  std::memcpy(rows_of(op.outs[0]).row(row), ids.data(), ids.size() * 4);
}

// Tasks of one sequence: tiles of its rows for each KV head, the longest first; split over chunks when there are too few of them.
void Model::plan_sequence(AttentionPlan& plan, const Op& op, const mr_step& step, int sequence, bool split) {
  const KvLayer& kv = groups_[static_cast<size_t>(op.group)].layers[0];
  int heads = op.heads / op.kv_heads;
  int group = std::min(heads, kQueryRows);
  int tokens = std::max(1, kQueryRows / group);
  int from = step.query_start[sequence];
  for (int end = step.query_start[sequence + 1]; end > from; end -= tokens) {
    AttentionTask task{};
    task.blocks = step.block_table + (int64_t{op.group} * step.sequences + sequence) * step.table_width;
    task.row0 = std::max(from, end - tokens);
    task.row1 = end;
    task.positions = step.positions;
    task.window = op.window;
    task.chunk1 = step.positions[end - 1] / kChunkTokens + 1;
    int first = op.window > 0 ? std::max(0, step.positions[task.row0] - op.window + 1) : 0;
    task.chunk0 = first / kChunkTokens;
    for (int h = 0; h < op.kv_heads; h++) {
      for (int q = 0; q < heads; q += group) {
        task.head = h;
        task.query_head = h * heads + q;
        task.group = std::min(group, heads - q);
        if (!split || task.chunk1 - task.chunk0 < 2) {
          plan.tasks.push_back(task);
          plan.partial_at.push_back(-1);
          continue;
        }
        int64_t size = int64_t{task.row1 - task.row0} * task.group * partial_floats(kv);
        plan.merges.push_back(task);
        plan.merge_at.push_back(plan.partial_floats);
        for (int c = task.chunk0; c < task.chunk1; c++) {
          AttentionTask part = task;
          part.chunk0 = c;
          part.chunk1 = c + 1;
          plan.tasks.push_back(part);
          plan.partial_at.push_back(plan.partial_floats);
          plan.partial_floats += size;
        }
      }
    }
  }
}

const Model::AttentionPlan& Model::attention_plan(const Op& op, const mr_step& step) {
  for (const AttentionPlan& plan : attention_plans_) {
    if (plan.group == op.group && plan.heads == op.heads && plan.kv_heads == op.kv_heads && plan.window == op.window) return plan;
  }
  AttentionPlan plan;
  plan.group = op.group;
  plan.heads = op.heads;
  plan.kv_heads = op.kv_heads;
  plan.window = op.window;
  bool split = pool_.threads() > 1 && int64_t{step.rows} * op.kv_heads < int64_t{pool_.threads()} * 2 * kTasksOfThread;
  for (int s = 0; s < step.sequences; s++) plan_sequence(plan, op, step, s, split);
  attention_plans_.push_back(std::move(plan));
  return attention_plans_.back();
}

void Model::run_attention(const Op& op, Rows q, Rows out, const mr_step& step) {
  const AttentionPlan& plan = attention_plan(op, step);
  const KvLayer& kv = groups_[static_cast<size_t>(op.group)].layers[static_cast<size_t>(op.layer)];
  partials_.need(plan.partial_floats * 4);
  auto complete = [&](AttentionTask task) {
    task.kv = &kv;
    task.q = q;
    task.out = out;
    task.scale = op.scale;
    task.cap = op.cap;
    return task;
  };
  pool_.run(static_cast<int>(plan.tasks.size()), [&](int i, int thread) {
    AttentionTask task = complete(plan.tasks[static_cast<size_t>(i)]);
    int64_t at = plan.partial_at[static_cast<size_t>(i)];
    task.partial = at < 0 ? nullptr : partials_.floats() + at;
    kernels_.attention(task, scratch_[static_cast<size_t>(thread)].floats());
  });
  for (size_t i = 0; i < plan.merges.size(); i++) {
    AttentionTask task = complete(plan.merges[i]);
    kernels_.merge(task, partials_.floats() + plan.merge_at[i], task.chunk1 - task.chunk0);
  }
}

}  // namespace millrace
