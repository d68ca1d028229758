// One step of a model on the device.
#include <algorithm>
#include <array>
#include <bit>
#include <chrono>

#include "checks.h"
#include "core/sample.h"
#include "core/verify.h"
#include "error.h"
#include "model.h"
#include "needs.h"
#include "nvtx.h"

namespace millrace::cuda {
namespace {

// Steps of more rows are launched op by op: their launches cost little beside their work.
constexpr int kMostGraphRows = 256;

int64_t now_ns() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// Rows that a graph is captured for: powers of two and what lies in the middle, so at most a third is in vain.
int bucket_of(int rows) {
  const int whole = static_cast<int>(std::bit_ceil(static_cast<unsigned>(rows)));
  const int middle = whole / 4 * 3;
  return whole >= 8 && rows <= middle ? middle : whole;
}

}  // namespace

RowView Model::rows_of(int tensor) const {
  if (tensor == plan_.logits) return {room_.logits.as<float>(), width_of(tensor)};
  auto slot = static_cast<size_t>(plan_.slot[static_cast<size_t>(tensor)]);
  return {room_.slots[slot].as<float>(), plan_.slot_width[slot]};
}

void Model::run(const mr_step& step) {
  if (flying_ > 0) fail(MR_INVALID, "%d submitted steps are not collected", flying_);
  const Range range("step", step.rows);
  if (!prepared_) prepare();
  check_step(step, vocabulary_, block_tokens_, blocks_);
  make_room(step);
  send_inputs(step, flights_[0]);
  chosen_rows_ = 0;
  launch_step(step, Choosing::kNone);
  if (step.logit_rows > 0 && plan_.logits >= 0) {
    stream_.download(step.logits, room_.logits.data(), int64_t{step.logit_rows} * width_of(plan_.logits) * 4);
  }
  stream_.synchronize();
}

bool Model::samples() const {
  // Ids go up to the rows of the embedding, which sampled ones name.
  return plan_.logits >= 0 && width_of(plan_.logits) <= kMostSampledIds;
}

void Model::submit(const mr_step& step, const mr_sampling* sampling, const int32_t* words, int64_t word_count) {
  if (!samples()) fail(MR_UNSUPPORTED, "ids are chosen on the device from at most %d", kMostSampledIds);
  if (flying_ == MR_STEPS) fail(MR_INVALID, "%d steps are submitted and not collected, the most there may be", flying_);
  try {
    launch_submitted(step, sampling, words, word_count);
  } catch (...) {
    forget_steps();
    throw;
  }
  flying_++;
  chosen_rows_ = step.logit_rows;
}

void Model::launch_submitted(const mr_step& step, const mr_sampling* sampling, const int32_t* words, int64_t word_count) {
  const Range range("step", step.rows);
  if (!prepared_) prepare();
  check_step(step, vocabulary_, block_tokens_, blocks_, chosen_rows_);
  if (step.logit_rows > 0 && (!sampling || (word_count > 0 && !words))) fail(MR_INVALID, "sampling is null");
  const int width = width_of(plan_.logits), rows = step.logit_rows;
  check_sampling(step, sampling, width, word_count, chosen_rows_);
  make_room(step);
  Flight& flight = flights_[(first_ + flying_) % MR_STEPS];
  flight.logit_rows = rows;
  flight.copied.clear();
  int choosing = 0;
  bool drafts = false;
  for (int r = 0; r < rows; r++) {
    drafts = drafts || draft_after(sampling[r]) >= 0;
    choosing += sampling[r].chooses != 0 ? 1 : 0;
    if (sampling[r].chooses == 0 || sampling[r].wants_logits != 0) flight.copied.push_back(r);
  }
  if (choices_.need(stream_, room_.shape.logit_rows, std::max(1, choosing), std::max<int64_t>(1, word_count), width)) graphs_.clear();
  flight.results.need(int64_t{room_.shape.logit_rows} * static_cast<int64_t>(sizeof(mr_sampled)));
  flight.logits.need(static_cast<int64_t>(flight.copied.size()) * width * 4);
  send_inputs(step, flight);
  if (rows > 0) choices_.send(stream_, flight, sampling, rows, words, word_count);
  launch_step(step, drafts ? Choosing::kDrafts : Choosing::kIds);
  if (rows > 0) stream_.download(flight.results.data(), choices_.results(), int64_t{rows} * static_cast<int64_t>(sizeof(mr_sampled)));
  auto* to = flight.logits.as<float>();
  for (int row : flight.copied) {
    stream_.download(to, room_.logits.as<float>() + int64_t{row} * width, int64_t{width} * 4);
    to += width;
  }
  flight.done.record(stream_);
}

void Model::collect(mr_sampled* sampled, float* logits) {
  if (flying_ == 0) fail(MR_INVALID, "no step is submitted");
  Flight& flight = flights_[first_];
  try {
    flight.done.synchronize();
  } catch (...) {
    forget_steps();
    throw;
  }
  std::copy_n(flight.results.as<mr_sampled>(), flight.logit_rows, sampled);
  const int64_t copied = static_cast<int64_t>(flight.copied.size());
  std::copy_n(flight.logits.as<float>(), copied * width_of(plan_.logits), logits);
  copied_rows_ += copied;
  first_ = (first_ + 1) % MR_STEPS;
  flying_--;
}

void Model::forget_steps() {
  cudaStreamSynchronize(stream_);
  flying_ = 0;
  chosen_rows_ = 0;
}

void Model::count_ops(const mr_step& step) {
  ops_ = 0;
  for (const Op& op : program_.ops) {
    bool runs = op.code != OpCode::kSample && (step.logit_rows > 0 || op.out() < 0 || program_.tensors[static_cast<size_t>(op.out())].sizes.front() != kLogitRows);
    ops_ += runs ? 1 : 0;
  }
}

void Model::launch_step(const mr_step& step, Choosing how) {
  count_ops(step);
  if (profile_.times) *profile_.count = 0;
  const int bucket = bucket_of(step.rows);
  // A graph has the products of its bucket's rows: from the library's number of rows on there is none, also where the step has fewer.
  const bool graph = !profile_.times && !nvtx_wants_ops() && !uses_library(bucket) && step.rows <= kMostGraphRows && bucket <= room_.shape.rows && step.logit_rows > 0 &&
                     step.logit_rows <= std::min(bucket, room_.shape.logit_rows);
  if (graph) {
    auto [entry, first] = graphs_.try_emplace({bucket, how});
    if (!first && !entry->second.there()) {
      const int logit_rows = std::min(bucket, room_.shape.logit_rows);
      entry->second = Graph::capture(stream_, [&] { launch_all(bucket, logit_rows, how); });
    }
    if (entry->second.there()) {
      entry->second.launch(stream_);
      graph_steps_++;
      graph_launches_ = entry->second.nodes();
      return;
    }
  }
  launch_all(step.rows, step.logit_rows, how);
}

void Model::send_inputs(const mr_step& step, Flight& flight) {
  room_.places = room_.shape.of_rows(bucket_of(step.rows), step.logit_rows);
  flight.inputs.need(room_.shape.ints() * 4);
  auto* ints = flight.inputs.as<int32_t>();
  for (const Stretch& part : write_step(step, room_.places, tasks_, ints)) {
    stream_.upload(room_.inputs.as<int32_t>() + part.from, ints + part.from, (part.to - part.from) * 4);
  }
}

void Model::launch_all(int most_rows, int most_logit_rows, Choosing how) {
  const StepShape& shape = room_.places;
  const RowCount rows{most_rows, input(shape.counts() + kRowCount), true};
  const RowCount logit_rows{most_logit_rows, input(shape.counts() + kLogitRowCount), true};
  if (how != Choosing::kNone) {
    int32_t* tokens = room_.inputs.as<int32_t>() + shape.tokens();
    resolve(stream_, rows, logit_rows, tokens, most_logit_rows > 0 ? choices_.rows() : nullptr, choices_.ids(), vocabulary_);
  }
  chain_.count = 0;
  for (size_t i = 0; i < program_.ops.size(); i++) {
    const Op& op = program_.ops[i];
    if (op.code == OpCode::kSample) continue;
    const int h = op.out() >= 0 ? op.out() : op.a;
    const RowCount count = program_.tensors[static_cast<size_t>(h)].sizes.front() == kLogitRows ? logit_rows : rows;
    if (count.most == 0) continue;
    const int64_t began = profile_.times ? now_ns() : 0;
    launch_op(op, count);
    if (!profile_.times) continue;
    launch_chain();
    stream_.synchronize();
    if (*profile_.count >= profile_.room) continue;
    mr_stage_time& time = profile_.times[(*profile_.count)++];
    time = {began, now_ns() - began, count.most, 1, {static_cast<int32_t>(i)}};
  }
  launch_chain();
  if (how == Choosing::kNone || most_logit_rows == 0) return;
  const SampleArguments p = choices_.arguments({room_.logits.as<float>(), width_of(plan_.logits)});
  sample(stream_, logit_rows, p);
  if (how == Choosing::kDrafts) verify(stream_, logit_rows, p);
}

void Model::add(const RowOp& op, RowCount rows) {
  if (chain_.count == kMostRowOps || (chain_.count > 0 && (chain_rows_.count != rows.count || chain_rows_.most != rows.most))) launch_chain();
  chain_rows_ = rows;
  chain_.ops[chain_.count++] = op;
}

void Model::launch_chain() {
  run_rows(stream_, chain_rows_, chain_);
  chain_.count = 0;
}

void Model::launch_op(const Op& op, RowCount rows) {
  const Range range(op.code, rows.most);
  const StepShape& shape = room_.places;
  const RowView a = op.a >= 0 ? rows_of(op.a) : RowView{};
  const RowView b = op.b >= 0 ? rows_of(op.b) : RowView{};
  const RowView out = op.out() >= 0 ? rows_of(op.out()) : RowView{};
  const int n = op.out() >= 0 ? width_of(op.out()) : 0;
  auto map = [&](Map what, float factor, int function) { add(MapArguments{what, a, b, out, n, factor, function}, rows); };
  switch (op.code) {
    case OpCode::kEmbed: add(EmbedArguments{weights_[static_cast<size_t>(op.weights[0])].view, input(shape.tokens()), out, op.factor}, rows); break;
    case OpCode::kRmsNorm: add(NormArguments{a, vector_of(op.weights[0]), out, n, op.width, op.eps, op.offset}, rows); break;
    case OpCode::kLinear: launch_linear(op, rows); break;
    case OpCode::kRope: {
      const Rope how{ropes_[static_cast<size_t>(op.table)].memory.as<float>(), op.heads, op.key_dim, op.dims, op.pairs != 0};
      add(RopeArguments{a, input(shape.positions()), out, how}, rows);
      break;
    }
    case OpCode::kKvWrite:
      add(KvArguments{groups_[static_cast<size_t>(op.group)].layers[static_cast<size_t>(op.layer)], input(shape.slots(op.group)), a, b}, rows);
      break;
    case OpCode::kAttention: launch_attention(op, attention_of(op)); break;
    case OpCode::kGated: map(Map::kGated, 1, op.function); break;
    case OpCode::kAdd: map(Map::kAdd, op.factor, 0); break;
    case OpCode::kScale: map(Map::kScale, op.factor, 0); break;
    case OpCode::kSoftCap: map(Map::kSoftCap, op.cap, 0); break;
    case OpCode::kGatherRows:
      launch_chain();
      add(GatherArguments{a, input(shape.logit_row()), out, n}, rows);
      break;
    case OpCode::kLogits:
      launch_product(rows, op.weights[0], a, width_of(op.a), out, nullptr, op.factor, op.cap, nullptr, nullptr);
      break;
    case OpCode::kSigmoidScale: map(Map::kSigmoidScale, 1, width_of(op.b)); break;
    case OpCode::kMoeRoute: {
      const RouteArguments how{a, vector_of(op.weights[0]), program_.tensors[static_cast<size_t>(op.weights[0])].rows(), width_of(op.a), op.active,
                               op.expert_groups, op.kept_groups, op.renormalise != 0, op.scale, rows_of(op.outs[0]), rows_of(op.outs[1]), room_.router_logits.as<float>()};
      launch_chain();
      route(stream_, rows, how);
      break;
    }
    case OpCode::kMoeExperts: launch_experts(op, rows); break;
    case OpCode::kLatentAttention: launch_latent(op, rows); break;
    case OpCode::kSample: break;
  }
}

// Weights side by side that are stored alike and want the same input are one launch.
void Model::launch_linear(const Op& op, RowCount rows) {
  auto weight = [&](size_t i) -> const Weight& { return weights_[static_cast<size_t>(op.weights[i])]; };
  auto bias = [&](size_t i) { return op.biases[i] >= 0 ? vector_of(op.biases[i]) : nullptr; };
  auto form = [&](size_t i) { return form_of(weight(i).view, rows, rows_of(op.outs[i])); };
  auto same_input = [&](size_t i, size_t j) { return weight(i).order.size() == 0 && weight(j).order.size() == 0 && form(i) == form(j); };
  for (size_t i = 0; i < op.weights.size();) {
    const RowView x = i > 0 && same_input(i - 1, i) ? RowView{} : rows_of(op.a);
    Parts parts{};
    size_t next = i + 1;
    for (; next < op.weights.size() && parts.count < kMostParts && same_input(i, next) && weight(next).view.store == weight(i).view.store; next++) {
      parts.part[parts.count++] = {weight(next).view, rows_of(op.outs[next]), bias(next)};
    }
    launch_product(rows, op.weights[i], x, width_of(op.a), rows_of(op.outs[i]), bias(i), 1, 0, nullptr, nullptr, parts);
    i = next;
  }
}

// Of a weight, or of experts stored as `like`. Without x the input is that of the product before.
void Model::launch_product(RowCount rows, int weight, RowView x, int columns, RowView out, const float* bias, float factor, float cap,
                           const Experts* experts, const WeightView* like, const Parts& parts) {
  const WeightView& view = like ? *like : weights_[static_cast<size_t>(weight)].view;
  const Form form = experts ? needs_f32(view) ? Form::kF32 : Form::kBf16 : form_of(view, rows, out);
  const Input in{room_.input_values.data(), rounded_up(columns, kStepColumns), form == Form::kF32, form == Form::kFp8 ? room_.input_factors.as<float>() : nullptr};
  const int32_t* order = like ? nullptr : weights_[static_cast<size_t>(weight)].order.as<int32_t>();
  if (x.data && in.factors) {
    add(QuantiseArguments{x, columns, room_.input_values.data(), in.factors, in.stride}, rows);
  } else if (x.data) {
    add(PrepareArguments{x, columns, order, in, 1}, rows);
  }
  launch_chain();
  const Product product{view, in, out, bias, factor, cap, {}, parts};
  if (!experts && !in.f32 && uses_library(rows.most)) {
    launch_by_library(rows, product);
  } else {
    multiply(stream_, rows, product, experts, device_.chips);
  }
}

void Model::launch_experts(const Op& op, RowCount rows) {
  const StepShape& shape = room_.places;
  const int experts = op.group, inner = program_.tensors[static_cast<size_t>(op.weights[0])].rows(), width = width_of(op.out());
  // The device counts them.
  int32_t* counts = room_.inputs.as<int32_t>() + shape.counts();
  const RowCount pairs{rows.most * op.active, counts + kExpertRowCount};
  const auto* views = expert_views_.at(&op).as<WeightView>();
  auto like = [&](int part) { return &weights_[static_cast<size_t>(op.weights[static_cast<size_t>(part * experts)])].view; };
  std::array<Product, 3> products{};
  for (int part = 0; part < 3; part++) {
    products[static_cast<size_t>(part)].w = *like(part);
    products[static_cast<size_t>(part)].x.f32 = needs_f32(*like(part));
  }
  Experts tiled{room_.tiles.as<ExpertTile>(), counts + kExpertTileCount, nullptr, nullptr, experts, pairs.most, kLeastExpertRows};
  tiled.tile_rows = choose_tile_rows(products.data(), 3, tiled, {device_.chips, static_cast<int>(most_shared()), has_clusters()});
  auto tiles = [&](int part, const int32_t* source) {
    Experts of = tiled;
    of.weights = views + part * experts;
    of.source = source;
    return of;
  };
  launch_chain();
  sort_by_expert(stream_, rows, {rows_of(op.b), experts, op.active, tiled.tile_rows, room_.place.as<int32_t>(), room_.source.as<int32_t>(),
                                 room_.tiles.as<ExpertTile>(), counts});
  const RowView gate{room_.gate.as<float>(), inner}, up{room_.up.as<float>(), inner}, down{room_.down.as<float>(), width};
  const Experts gates = tiles(0, room_.source.as<int32_t>()), ups = tiles(1, room_.source.as<int32_t>()), downs = tiles(2, nullptr);
  launch_product(rows, -1, rows_of(op.a), width_of(op.a), gate, nullptr, 1, 0, &gates, like(0));
  launch_product(rows, -1, needs_f32(*like(0)) == needs_f32(*like(1)) ? RowView{} : rows_of(op.a), width_of(op.a), up, nullptr, 1, 0, &ups, like(1));
  add(MapArguments{Map::kGated, gate, up, gate, inner, 1, op.function}, pairs);
  launch_product(pairs, -1, gate, inner, down, nullptr, 1, 0, &downs, like(2));
  combine(stream_, rows, down, room_.place.as<int32_t>(), rows_of(op.c), op.active, rows_of(op.out()), width);
}

AttentionArguments Model::attention_of(const Op& op) const {
  const StepShape& shape = room_.places;
  const int kind = static_cast<int>(kind_index(op));
  AttentionArguments p{};
  p.cache = groups_[static_cast<size_t>(op.group)].layers[static_cast<size_t>(op.layer)];
  p.q = rows_of(op.a);
  p.out = rows_of(op.out());
  p.positions = input(shape.positions());
  p.block_table = input(shape.block_table(op.group));
  p.table_width = input(shape.table_width_at());
  p.tasks = reinterpret_cast<const AttentionTask*>(input(shape.task_list(kind)));
  p.merges = reinterpret_cast<const MergeTask*>(input(shape.merge_list(kind)));
  p.counts = input(shape.task_counts(kind));
  p.partials = room_.partials.as<float>();
  p.heads = op.heads;
  p.kv_heads = op.kv_heads;
  p.window = op.window;
  p.tile = attention_kinds_[static_cast<size_t>(kind)].tile;
  p.scale = op.scale;
  p.cap = op.cap;
  p.exact = exact_;
  return p;
}

void Model::launch_attention(const Op& op, const AttentionArguments& p) {
  launch_chain();
  const int tiles = head_tiles(p.heads, p.kv_heads, p.tile);
  attend(stream_, p, attention_blocks(attention_places_[kind_index(op)], room_.shape.tasks, tiles));
  merge_attention(stream_, p, std::max(1, std::min((4 * device_.chips + tiles - 1) / tiles, room_.shape.merges)));
}

}  // namespace millrace::cuda
