// The C ABI without arithmetic: each call is written down with all that it was given, and any can be told to fail. The id that a row chooses is a
// function of its token and position, so that a test knows it: (7 * token + 3 * position + 1) % vocabulary.
#include "recording.h"

#include <algorithm>
#include <deque>
#include <memory>
#include <numeric>
#include <string>
#include <vector>

#include "core/verify.h"
#include "error.h"
#include "log.h"
#include "program.h"

#define MR_EXPORT extern "C" __attribute__((visibility("default")))

using millrace::recording::Line;
using millrace::recording::Pretended;
using millrace::recording::state;

namespace {

// A step that was submitted.
struct Flying {
  std::vector<mr_sampled> sampled;
  size_t copied = 0;
};

}  // namespace

struct mr_model {
  int64_t number = 0;
  int vocabulary = 0, groups = 0;
  std::deque<Flying> flying;
  // Of the step before, by logit row.
  std::vector<int32_t> chosen;
  int64_t copied_rows = 0, host_bytes = 0;
  std::string numerics = "recording";
};

namespace {

void write_step(Line& line, const mr_model& model, const mr_step& s) {
  const int64_t tables = int64_t{model.groups} * s.sequences * s.table_width;
  line("rows", s.rows)("sequences", s.sequences)("width", s.table_width);
  line("tokens", s.tokens, s.rows)("positions", s.positions, s.rows)("slots", s.slots, int64_t{model.groups} * s.rows);
  line("start", s.query_start, s.sequences + 1)("context", s.context_len, s.sequences)("table", s.block_table, tables);
  line("logit_row", s.logit_row, s.logit_rows);
}

void write_options(Line& line, const mr_options& o) {
  line("abi_version", o.abi_version)("isa", o.isa)("precision", o.precision)("threads", o.threads)("pin", o.pin);
  line("keep_activations", o.keep_activations)("block_tokens", o.block_tokens)("groups", o.groups)("library_rows", o.library_rows);
  line("group", &o.group->blocks, static_cast<int64_t>(sizeof(mr_kv_group) / 4) * o.groups);
}

// As if a block had a byte.
int64_t host_bytes(const mr_options& options) {
  int64_t bytes = 0;
  for (int g = 0; g < options.groups; g++) bytes += options.group[g].host_blocks;
  return bytes;
}

[[maybe_unused]] void write_row(Line& line, int r, const mr_sampling& h, const int32_t* words, int vocabulary) {
  const std::string at = "row" + std::to_string(r) + ".";
  auto one = [&](const char* name, auto value) { line((at + name).c_str(), value); };
  auto list = [&](const char* name, int32_t from, int64_t count) { line((at + name).c_str(), words + from, count); };
  one("chooses", h.chooses), one("wants_logits", h.wants_logits), one("changes", h.changes), one("logprobs", h.logprobs);
  const float floats[] = {h.temperature, h.top_p, h.min_p, h.typical_p, h.presence, h.frequency, h.repetition};
  line((at + "floats").c_str(), floats, 7);
  one("top_k", h.top_k), one("seed", static_cast<int64_t>(static_cast<uint64_t>(h.seed_high) << 32 | h.seed_low));
  one("choice", h.choice), one("position", h.position), one("prompt", h.prompt), one("last", h.last), one("draft", h.draft);
  list("history", h.history_at, h.history_count);
  list("bias", h.bias_at, int64_t{2} * h.bias_count);
  list("suppressed", h.suppressed_at, h.suppressed_count);
  if (h.mask_at >= 0) list("mask", h.mask_at, (vocabulary + 31) / 32);
}

int32_t next_id(const mr_model& model, int32_t token, int32_t position) { return static_cast<int32_t>((7 * int64_t{token} + 3 * position + 1) % model.vocabulary); }

// The ids of a step's logit rows; references to the step before are looked up.
std::vector<int32_t> choose(const mr_model& model, const mr_step& s) {
  std::vector<int32_t> ids;
  for (int r = 0; r < s.logit_rows; r++) {
    int32_t token = s.tokens[s.logit_row[r]];
    if (token < 0) token = -1 - token < static_cast<int32_t>(model.chosen.size()) ? model.chosen[static_cast<size_t>(-1 - token)] : 0;
    ids.push_back(next_id(model, token, s.positions[s.logit_row[r]]));
  }
  return ids;
}

[[maybe_unused]] mr_sampled sampled(const mr_sampling& how, int32_t id) {
  mr_sampled out{};
  out.status = how.chooses ? MR_ROW_CHOSEN : MR_ROW_LEFT;
  out.id = id;
  out.sum = 1;
  for (int i = 0; i < MR_TOP; i++) {
    out.top_ids[i] = i;
    out.top_logits[i] = static_cast<float>(-i);
  }
  return out;
}

// Of a device; where less is free, others use it too.
constexpr int64_t kTotalBytes = int64_t{1} << 30;

// Blocks that are copied, by one of the functions that do.
int32_t move(const char* function, mr_model* model, int32_t group, const int32_t* from, const int32_t* to, int32_t count, char* error, int64_t error_size) {
  Line line(function);
  line("model", model->number)("flying", model->flying.size())("group", group)("from", from, count)("to", to, count);
  const int32_t status = line.outcome(error, error_size);
  if (status != MR_OK) model->flying.clear();
  return status;
}

// Logits whose largest is that of `id`.
void put_logits(float* to, int vocabulary, int32_t id) {
  std::fill_n(to, vocabulary, 0.0f);
  to[id] = 1;
}

}  // namespace

MR_EXPORT void recording_reset(void) {
  std::lock_guard<std::mutex> lock(state().mutex);
  state().log.clear();
  state().failures.clear();
  state().pretended = {};
}

MR_EXPORT void recording_fail(const char* function, int32_t before, int32_t status, const char* message) {
  std::lock_guard<std::mutex> lock(state().mutex);
  state().failures.push_back({function, before, status, message});
}

MR_EXPORT void recording_pretend(int32_t version, int32_t device_status, int64_t free_bytes, int64_t weights, int64_t workspace) {
  std::lock_guard<std::mutex> lock(state().mutex);
  state().pretended = {version, device_status, free_bytes, weights, workspace};
}

MR_EXPORT int64_t recording_read(char* out, int64_t size) {
  std::lock_guard<std::mutex> lock(state().mutex);
  if (size > 0) std::snprintf(out, static_cast<size_t>(size), "%s", state().log.c_str());
  return static_cast<int64_t>(state().log.size()) + 1;
}

MR_EXPORT int64_t recording_models(void) {
  std::lock_guard<std::mutex> lock(state().mutex);
  return state().models;
}

MR_EXPORT int32_t mr_abi_version(void) {
  Line line("mr_abi_version");
  return state().pretended.version;
}

MR_EXPORT int32_t mr_isa_best(void) { return MR_ISA_AUTO; }

MR_EXPORT int32_t mr_isa_available(int32_t isa) { return isa == MR_ISA_AUTO ? 1 : 0; }

MR_EXPORT const char* mr_isa_name(int32_t isa) { return isa == MR_ISA_AUTO ? "auto" : "?"; }

MR_EXPORT int32_t mr_device(int64_t* free_bytes, int64_t* total_bytes, char* text, int64_t text_size) {
  Line line("mr_device");
  const Pretended& p = state().pretended;
  if (free_bytes) *free_bytes = p.free_bytes;
  if (total_bytes) *total_bytes = std::max(p.free_bytes, kTotalBytes);
  if (text && text_size > 0) std::snprintf(text, static_cast<size_t>(text_size), "%s", p.device_status == MR_OK ? "a recorder" : "a recorder that is not usable");
  return p.device_status;
}

MR_EXPORT int32_t mr_memory(const mr_options* options, const int32_t*, int64_t words, const mr_stored* stored, int32_t count, const mr_limits* limits,
                            mr_need* need, char* error, int64_t error_size) {
  Line line("mr_memory");
  write_options(line, *options);
  line("words", words)("stored", &stored->tensor, int64_t{4} * count);
  line("limits", &limits->rows, 3);
  *need = {state().pretended.weights, state().pretended.workspace, host_bytes(*options)};
  return line.outcome(error, error_size);
}

MR_EXPORT int32_t mr_create(const mr_options* options, const int32_t* program, int64_t words, mr_model** model, char* error, int64_t error_size) {
  Line line("mr_create");
  write_options(line, *options);
  if (const int32_t status = line.outcome(error, error_size)) return status;
  try {
    auto made = std::make_unique<mr_model>();
    made->groups = options->groups;
    made->host_bytes = host_bytes(*options);
    const millrace::Program decoded = millrace::decode(program, words);
    for (const millrace::Op& op : decoded.ops) {
      if (op.code == millrace::OpCode::kSample) made->vocabulary = decoded.tensors[static_cast<size_t>(op.a)].width();
    }
    std::lock_guard<std::mutex> lock(state().mutex);
    made->number = ++state().made;
    state().models++;
    *model = made.release();
  } catch (const millrace::Error& e) {
    if (error && error_size > 0) std::snprintf(error, static_cast<size_t>(error_size), "%s", e.message.c_str());
    return e.status;
  }
  line("model", (*model)->number);
  return MR_OK;
}

MR_EXPORT int32_t mr_bind(mr_model* model, int32_t tensor, int32_t type, int64_t rows, int64_t columns, const void*, int64_t bytes, char* error,
                          int64_t error_size) {
  Line line("mr_bind");
  line("model", model->number)("tensor", tensor)("type", type)("rows", rows)("columns", columns)("bytes", bytes);
  return line.outcome(error, error_size);
}

MR_EXPORT int32_t mr_bind_groups(mr_model* model, int32_t tensor, int64_t rows, int64_t columns, const mr_groups* groups, char* error,
                                 int64_t error_size) {
  Line line("mr_bind_groups");
  line("model", model->number)("tensor", tensor)("type", groups->type)("rows", rows)("columns", columns)("group_columns", groups->group_columns);
  const int64_t factors = rows * (columns / groups->group_columns);
  line("codes", std::accumulate(groups->codes, groups->codes + rows * columns, int64_t{0}));
  line("scales", std::accumulate(groups->scales, groups->scales + factors, 0.0));
  if (groups->zeros) line("zeros", std::accumulate(groups->zeros, groups->zeros + factors, int64_t{0}));
  if (groups->order) line("order", groups->order, columns);
  if (groups->levels) line("levels", groups->levels, 16);
  return line.outcome(error, error_size);
}

MR_EXPORT int64_t mr_packed_bytes(const mr_model*, int32_t) { return 0; }

MR_EXPORT int32_t mr_read_packed(mr_model* model, int32_t tensor, void*, int64_t, char* error, int64_t error_size) {
  Line line("mr_read_packed");
  line("model", model->number)("tensor", tensor);
  return line.outcome(error, error_size);
}

MR_EXPORT int32_t mr_bind_packed(mr_model* model, int32_t tensor, const void*, int64_t bytes, char* error, int64_t error_size) {
  Line line("mr_bind_packed");
  line("model", model->number)("tensor", tensor)("bytes", bytes);
  return line.outcome(error, error_size);
}

MR_EXPORT int32_t mr_rope(mr_model* model, int32_t table, const float* frequencies, int32_t half, float factor, char* error, int64_t error_size) {
  Line line("mr_rope");
  line("model", model->number)("table", table)("frequencies", frequencies, half)("factor", factor);
  return line.outcome(error, error_size);
}

MR_EXPORT int32_t mr_reserve(mr_model* model, const mr_limits* limits, char* error, int64_t error_size) {
  Line line("mr_reserve");
  line("model", model->number)("limits", &limits->rows, 3);
  return line.outcome(error, error_size);
}

MR_EXPORT int32_t mr_run(mr_model* model, const mr_step* step, char* error, int64_t error_size) {
  Line line("mr_run");
  line("model", model->number);
  write_step(line, *model, *step);
  if (const int32_t status = line.outcome(error, error_size)) return status;
  model->chosen = choose(*model, *step);
  for (size_t r = 0; r < model->chosen.size(); r++) put_logits(step->logits + static_cast<int64_t>(r) * model->vocabulary, model->vocabulary, model->chosen[r]);
  return MR_OK;
}

MR_EXPORT int32_t mr_draw_ids(mr_model* model, const float*, const mr_draw*, int32_t count, int32_t*, char* error, int64_t error_size) {
  Line line("mr_draw_ids");
  line("model", model->number)("count", count);
  if (error && error_size > 0) std::snprintf(error, static_cast<size_t>(error_size), "ids are not drawn here");
  return MR_UNSUPPORTED;
}

MR_EXPORT int32_t mr_samples(const mr_model* model) { return model->vocabulary > 0 ? 1 : 0; }

#if !RECORDING_PARTIAL
MR_EXPORT int32_t mr_submit(mr_model* model, const mr_step* step, const mr_sampling* sampling, const int32_t* words, int64_t word_count, char* error,
                            int64_t error_size) {
  Line line("mr_submit");
  line("model", model->number)("flying", model->flying.size());
  write_step(line, *model, *step);
  for (int r = 0; r < step->logit_rows; r++) write_row(line, r, sampling[r], words, model->vocabulary);
  line("words", word_count);
  int32_t status = line.outcome(error, error_size);
  if (status == MR_OK && model->flying.size() == MR_STEPS) {
    status = MR_INVALID;
    if (error && error_size > 0) std::snprintf(error, static_cast<size_t>(error_size), "a third step is submitted");
  }
  if (status != MR_OK) {
    model->flying.clear();
    return status;
  }
  model->chosen = choose(*model, *step);
  Flying flying;
  for (int r = 0; r < step->logit_rows; r++) {
    flying.sampled.push_back(sampled(sampling[r], model->chosen[static_cast<size_t>(r)]));
    flying.copied += sampling[r].chooses == 0 || sampling[r].wants_logits != 0 ? 1 : 0;
  }
  for (int r = 0; r < step->logit_rows; r++) {
    if (millrace::cuda::begins_drafts(sampling, r)) millrace::cuda::verify_drafts(sampling, r, flying.sampled.data(), model->chosen.data());
  }
  model->flying.push_back(std::move(flying));
  return MR_OK;
}
#endif

MR_EXPORT int32_t mr_collect(mr_model* model, mr_sampled* out, float* logits, char* error, int64_t error_size) {
  Line line("mr_collect");
  line("model", model->number)("flying", model->flying.size());
  int32_t status = line.outcome(error, error_size);
  if (status == MR_OK && model->flying.empty()) {
    status = MR_INVALID;
    if (error && error_size > 0) std::snprintf(error, static_cast<size_t>(error_size), "no step is submitted");
  }
  if (status != MR_OK) {
    model->flying.clear();
    return status;
  }
  const Flying flying = std::move(model->flying.front());
  model->flying.pop_front();
  std::copy(flying.sampled.begin(), flying.sampled.end(), out);
  for (size_t i = 0; i < flying.copied; i++) put_logits(logits + static_cast<int64_t>(i) * model->vocabulary, model->vocabulary, 0);
  model->copied_rows += static_cast<int64_t>(flying.copied);
  return MR_OK;
}

MR_EXPORT int64_t mr_copied_rows(const mr_model* model) { return model->copied_rows; }

MR_EXPORT int32_t mr_profile(mr_model* model, mr_stage_time* times, int32_t room, int32_t* count) {
  Line line("mr_profile");
  line("model", model->number)("begins", times ? 1 : 0)("room", room);
  if (count) *count = 0;
  return line.outcome(nullptr, 0);
}

MR_EXPORT int32_t mr_copy_blocks(mr_model* model, int32_t group, const int32_t* from, const int32_t* to, int32_t count, char* error,
                                 int64_t error_size) {
  return move("mr_copy_blocks", model, group, from, to, count, error, error_size);
}

MR_EXPORT int32_t mr_swap_out(mr_model* model, int32_t group, const int32_t* from, const int32_t* host_to, int32_t count, char* error, int64_t error_size) {
  return move("mr_swap_out", model, group, from, host_to, count, error, error_size);
}

MR_EXPORT int32_t mr_swap_in(mr_model* model, int32_t group, const int32_t* host_from, const int32_t* to, int32_t count, char* error, int64_t error_size) {
  return move("mr_swap_in", model, group, host_from, to, count, error, error_size);
}

MR_EXPORT int32_t mr_read(mr_model* model, int32_t tensor, float*, int64_t, char* error, int64_t error_size) {
  Line line("mr_read");
  line("model", model->number)("tensor", tensor);
  if (error && error_size > 0) std::snprintf(error, static_cast<size_t>(error_size), "nothing is kept");
  return MR_INVALID;
}

MR_EXPORT int64_t mr_weight_bytes(const mr_model*) { return state().pretended.weights; }

MR_EXPORT int64_t mr_cache_bytes(const mr_model*) { return 0; }

MR_EXPORT int64_t mr_host_bytes(const mr_model* model) { return model->host_bytes; }

MR_EXPORT int64_t mr_ops(const mr_model*) { return 0; }

// Two that are easily told apart.
MR_EXPORT void mr_swap_rates(const mr_model* model, double* out, double* in) {
  *out = model->host_bytes > 0 ? 8e9 : 0;
  *in = model->host_bytes > 0 ? 4e9 : 0;
}

MR_EXPORT int64_t mr_graph_steps(const mr_model*) { return 0; }

MR_EXPORT const char* mr_numerics(const mr_model* model) { return model->numerics.c_str(); }

MR_EXPORT void mr_free(mr_model* model) {
  Line line("mr_free");
  line("model", model ? model->number : 0)("flying", model ? model->flying.size() : 0);
  if (!model) return;
  std::lock_guard<std::mutex> lock(state().mutex);
  state().models--;
  delete model;
}
