// Models whose logits are rows of a table, and steps that choose from them, for tests.
#pragma once
#include <map>
#include <memory>
#include <numeric>
#include <vector>

#include "models.h"
#include "op_program.h"

namespace millrace::test {

// Rows of a table are the logits; a step's ids name them.
struct LogitModel {
  int rows, vocabulary;
  std::unique_ptr<Runner> runner;

  LogitModel(int rows, int vocabulary, const std::vector<float>& table) : rows(rows), vocabulary(vocabulary) {
    Builder b;
    int weight = b.weight("logits", rows, vocabulary), x = b.rows(vocabulary), logits = b.logit_rows(vocabulary);
    b.op(1, {weight, x, Builder::bits(1)});
    b.op(11, {x, logits});
    b.op(13, {logits});
    runner = std::make_unique<Runner>(b.encode(), cuda_options(0), std::vector<mr_kv_group>{}, 1);
    runner->bind(weight, rows, vocabulary, table);
  }
};

// What one row wants, and the words that it refers to.
struct Wanted {
  mr_sampling how{};
  std::vector<int32_t> history, suppressed, mask;
  std::map<int32_t, float> bias;
  int prompt = 0;

  Wanted() {
    how.chooses = 1;
    how.logprobs = -1;
    how.top_p = how.typical_p = how.repetition = 1;
    how.last = how.mask_at = how.draft = -1;
    how.seed_low = 42;
  }
};

struct Step {
  std::vector<mr_sampling> rows;
  std::vector<int32_t> words;

  void add(const Wanted& w) {
    mr_sampling how = w.how;
    auto put = [&](const std::vector<int32_t>& values) {
      auto at = static_cast<int32_t>(words.size());
      words.insert(words.end(), values.begin(), values.end());
      return at;
    };
    how.history_at = put(w.history);
    how.history_count = static_cast<int32_t>(w.history.size());
    how.prompt = w.prompt;
    how.bias_at = static_cast<int32_t>(words.size());
    how.bias_count = static_cast<int32_t>(w.bias.size());
    for (auto [id, value] : w.bias) words.push_back(id);
    for (auto [id, value] : w.bias) words.push_back(Builder::bits(value));
    how.suppressed_at = put(w.suppressed);
    how.suppressed_count = static_cast<int32_t>(w.suppressed.size());
    if (!w.mask.empty()) how.mask_at = put(w.mask);
    how.changes = !w.history.empty() || how.last >= 0 || !w.bias.empty() || !w.suppressed.empty() || !w.mask.empty() ? 1 : 0;
    rows.push_back(how);
  }
};

// Each id is a sequence of one token; all are sampled.
struct Submitted {
  std::vector<int32_t> tokens, positions, starts, lengths, rows;
  mr_step step{};

  explicit Submitted(std::vector<int32_t> ids) : tokens(std::move(ids)), positions(tokens.size(), 0), starts(tokens.size() + 1), lengths(tokens.size(), 1), rows(tokens.size()) {
    std::iota(starts.begin(), starts.end(), 0);
    std::iota(rows.begin(), rows.end(), 0);
    auto n = static_cast<int32_t>(tokens.size());
    step = {n, n, n, 1, tokens.data(), positions.data(), nullptr, starts.data(), lengths.data(), nullptr, rows.data(), nullptr};
  }
};

inline void submit(mr_model* model, const Submitted& s, const Step& how) {
  char message[512] = "";
  CHECK(mr_submit(model, &s.step, how.rows.data(), how.words.data(), static_cast<int64_t>(how.words.size()), message, sizeof message) == MR_OK, "%s", message);
}

inline std::vector<mr_sampled> collect(mr_model* model, size_t rows, float* logits = nullptr) {
  std::vector<mr_sampled> out(rows);
  char message[512] = "";
  CHECK(mr_collect(model, out.data(), logits, message, sizeof message) == MR_OK, "%s", message);
  return out;
}

}  // namespace millrace::test
