// Memory of the device for the steps of a model.
#include <algorithm>

#include "error.h"
#include "model.h"
#include "needs.h"

namespace millrace::cuda {

// Makes room for a step. When memory could not be had, everything is asked for anew by the next.
void Model::make_room(const mr_step& step) {
  last_rows_ = step.rows;
  last_logit_rows_ = step.logit_rows;
  tasks_.clear();
  int tasks = 0, merges = 0;
  int64_t partials = 0;
  for (size_t k = 0; k < attention_kinds_.size(); k++) {
    const AttentionKind& kind = attention_kinds_[k];
    tasks_.push_back(plan_attention(kind, step, int64_t{attention_places_[k]} * attention_workers(kind.tile), reserved_pieces_.empty() ? kNoBound : reserved_pieces_[k]));
    const TaskList& list = tasks_.back();
    tasks = std::max(tasks, static_cast<int>(list.tasks.size()));
    merges = std::max(merges, static_cast<int>(list.merges.size()));
    partials = std::max(partials, list.partials * piece_floats(kind, groups_[static_cast<size_t>(kind.group)].layers[0].value_width));
  }
  // Where nothing was reserved it grows in few steps.
  if (partials > room_.partial_floats) partials = std::max(partials, 2 * room_.partial_floats);
  const int last = *std::max_element(step.positions, step.positions + step.rows);
  try {
    allocate_inputs(step, tasks, merges, partials);
    for (DeviceRope& rope : ropes_) {
      if (rope.table.is_set() && last >= rope.positions) extend(rope, last + 1);
    }
  } catch (...) {
    room_.shape = StepShape{};
    room_.partial_floats = 0;
    throw;
  }
}

void Model::allocate_inputs(const mr_step& step, int tasks, int merges, int64_t partials) {
  const StepShape before = room_.shape;
  StepShape& shape = room_.shape;
  shape.groups = static_cast<int>(groups_.size());
  shape.kinds = static_cast<int>(attention_kinds_.size());
  shape.rows = grown(shape.rows, step.rows);
  shape.logit_rows = grown(shape.logit_rows, std::max(1, step.logit_rows));
  shape.sequences = grown(shape.sequences, step.sequences);
  shape.table_width = grown(shape.table_width, std::max(1, step.table_width));
  shape.tasks = grown(shape.tasks, std::max(1, tasks));
  shape.merges = grown(shape.merges, std::max(1, merges));
  const bool moved = shape.ints() != before.ints(), more_rows = shape.rows != before.rows || shape.logit_rows != before.logit_rows, more_partials = partials > room_.partial_floats;
  // A step under way uses the room that is given back.
  if (moved || more_rows || more_partials) stream_.synchronize();
  if (moved) {
    graphs_.clear();
    room_.inputs.renew(shape.ints() * 4, "a step's inputs");
  }
  if (more_rows) allocate_rows();
  if (uses_library(shape.rows)) allocate_library();
  if (more_partials) {
    graphs_.clear();
    room_.partial_floats = 0;
    room_.partials.renew(partials * 4, "partial results of attention");
    room_.partial_floats = partials;
  }
}

void Model::extend(DeviceRope& rope, int needed) {
  // A step under way uses the table that is given back.
  stream_.synchronize();
  graphs_.clear();
  const int positions = grown(std::max(rope.positions, 64), needed);
  const size_t width = 2 * static_cast<size_t>(rope.table.half());
  std::vector<float> values(static_cast<size_t>(positions) * width);
  rope.table.need(positions - 1);
  for (int p = 0; p < positions; p++) std::copy_n(rope.table.cos(p), width, &values[static_cast<size_t>(p) * width]);
  rope.positions = 0;
  rope.memory.renew(static_cast<int64_t>(values.size()) * 4, "a rotary table");
  staging_.upload(stream_, rope.memory.data(), values.data(), rope.memory.size());
  stream_.synchronize();
  rope.positions = positions;
}

void Model::allocate_rows() {
  graphs_.clear();
  Room& room = room_;
  const RowBytes bytes = bytes_of_rows(program_, plan_, room.shape.rows, room.shape.logit_rows);
  for (size_t i = 0; i < room.slots.size(); i++) room.slots[i].renew(bytes.slots[i], "activations");
  if (plan_.logits >= 0) room.logits.renew(bytes.logits, "logits");
  room.input_values.renew(bytes.input_values, "inputs of products");
  room.input_factors.renew(bytes.input_factors, "inputs of products");
  room.router_logits.renew(bytes.router_logits, "experts");
  room.place.renew(bytes.pairs, "experts");
  room.source.renew(bytes.pairs, "experts");
  room.tiles.renew(bytes.tiles, "experts");
  room.gate.renew(bytes.wide, "experts");
  room.up.renew(bytes.wide, "experts");
  room.down.renew(bytes.hidden, "experts");
  room.latent_queries.renew(bytes.latents, "latent attention");
  room.latent_mixed.renew(bytes.latents, "latent attention");
}

void Model::reserve(const mr_limits& limits) {
  if (limits.rows < 1 || limits.logit_rows < 1 || limits.positions < 1) {
    fail(MR_INVALID, "limits of %d rows, %d logit rows, %d positions", limits.rows, limits.logit_rows, limits.positions);
  }
  if (!prepared_) prepare();
  const int blocks = (limits.positions + block_tokens_ - 1) / block_tokens_;
  mr_step largest{};
  largest.rows = limits.rows;
  largest.logit_rows = limits.logit_rows;
  largest.sequences = limits.logit_rows;
  largest.table_width = blocks;
  std::vector<int64_t> pieces;
  int64_t partials = 0;
  int most = 0;
  for (const AttentionKind& kind : attention_kinds_) {
    const Group& group = groups_[static_cast<size_t>(kind.group)];
    pieces.push_back(most_pieces(kind, group.blocks, block_tokens_, limits, device_.chips));
    partials = std::max(partials, pieces.back() * piece_floats(kind, group.layers[0].value_width));
    most = static_cast<int>(std::max(int64_t{most}, pieces.back()));
  }
  try {
    // Tiles that are left whole, and a part for each piece; what is split has two at least.
    allocate_inputs(largest, limits.rows + most, std::min(limits.rows, most / 2), partials);
    reserved_pieces_ = pieces;
    if (samples() && choices_.need(stream_, room_.shape.logit_rows, limits.logit_rows, kReservedWords, width_of(plan_.logits))) graphs_.clear();
    for (DeviceRope& rope : ropes_) {
      if (rope.table.is_set() && limits.positions > rope.positions) extend(rope, limits.positions);
    }
  } catch (...) {
    room_.shape = StepShape{};
    room_.partial_floats = 0;
    throw;
  }
  stream_.synchronize();
}

}  // namespace millrace::cuda
