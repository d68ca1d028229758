#include "decode.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "model.h"
#include "program_builder.h"

namespace millrace::cuda {
namespace {

constexpr int kBlock = 16;
// Before they count: a bucket's graph is captured in the second.
constexpr int kUnmeasured = 4;

struct Weight {
  int handle, rows, columns;
  bool matrix;
};

struct Program {
  std::vector<int32_t> words;
  std::vector<Weight> weights;
};

Program program_of(const DecodeShape& s) {
  test::Builder b;
  std::vector<Weight> weights;
  auto matrix = [&](const std::string& name, int rows, int columns) {
    weights.push_back({b.weight(name, rows, columns), rows, columns, true});
    return weights.back().handle;
  };
  auto norm = [&](int x, const std::string& name, bool of_logits) {
    weights.push_back({b.vector(name, s.hidden), 1, s.hidden, false});
    const int weight = weights.back().handle, out = of_logits ? b.logit_rows(s.hidden) : b.rows(s.hidden);
    b.op(2, {x, weight, out, s.hidden, test::Builder::bits(1e-5f), 0});
    return out;
  };
  const int q_width = s.heads * s.dim, kv_width = s.kv_heads * s.dim;
  const int table = matrix("table", s.vocabulary, s.hidden);
  int x = b.rows(s.hidden);
  b.op(1, {table, x, test::Builder::bits(1)});
  for (int i = 0; i < s.layers; i++) {
    const std::string layer = std::to_string(i) + ".";
    const int n = norm(x, layer + "norm1", false);
    const int q = b.rows(q_width), k = b.rows(kv_width), v = b.rows(kv_width), qr = b.rows(q_width), kr = b.rows(kv_width), mixed = b.rows(q_width);
    b.op(3, {n, 3, matrix(layer + "q", q_width, s.hidden), matrix(layer + "k", kv_width, s.hidden), matrix(layer + "v", kv_width, s.hidden), 3, -1, -1, -1, 3, q, k, v});
    b.op(4, {q, qr, s.heads, s.dim, s.dim, 0, 0});
    b.op(4, {k, kr, s.kv_heads, s.dim, s.dim, 0, 0});
    b.op(5, {kr, v, 0, i});
    b.op(6, {qr, mixed, 0, i, s.heads, s.kv_heads, s.dim, s.dim, 0, test::Builder::bits(1 / std::sqrt(static_cast<float>(s.dim))), 0});
    const int o = b.rows(s.hidden), y = b.rows(s.hidden);
    b.op(3, {mixed, 1, matrix(layer + "o", s.hidden, q_width), 1, -1, 1, o});
    b.op(8, {x, o, y, test::Builder::bits(1)});
    const int n2 = norm(y, layer + "norm2", false);
    const int gate = b.rows(s.wide), up = b.rows(s.wide), both = b.rows(s.wide), down = b.rows(s.hidden);
    b.op(3, {n2, 2, matrix(layer + "gate", s.wide, s.hidden), matrix(layer + "up", s.wide, s.hidden), 2, -1, -1, 2, gate, up});
    b.op(7, {gate, up, both, 0});
    b.op(3, {both, 1, matrix(layer + "down", s.hidden, s.wide), 1, -1, 1, down});
    x = b.rows(s.hidden);
    b.op(8, {y, down, x, test::Builder::bits(1)});
  }
  const int rows = b.logit_rows(s.hidden), logits = b.logit_rows(s.vocabulary);
  b.op(11, {x, rows});
  const int last = norm(rows, "norm", true);
  b.op(12, {last, s.tied ? table : matrix("head", s.vocabulary, s.hidden), logits, test::Builder::bits(1), 0});
  b.op(13, {logits});
  return {b.encode(), weights};
}

void bind_noise(Model& model, const std::vector<Weight>& weights) {
  size_t most = 0;
  for (const Weight& w : weights) most = std::max(most, static_cast<size_t>(w.rows) * static_cast<size_t>(w.columns));
  // Small numbers, repeated: what is read counts, not what it is.
  std::mt19937 random(1);
  std::vector<uint16_t> noise(most);
  const size_t own = std::min<size_t>(most, 1 << 20);
  for (size_t i = 0; i < own; i++) noise[i] = static_cast<uint16_t>((random() & 0x807f) | 0x3c00 | (random() & 1) << 7);
  for (size_t at = own; at < most; at += own) std::memcpy(&noise[at], noise.data(), std::min(own, most - at) * 2);
  const std::vector<float> ones(static_cast<size_t>(weights.back().columns), 1.0f);
  for (const Weight& w : weights) {
    if (w.matrix) {
      model.bind(w.handle, MR_BF16, w.rows, w.columns, noise.data(), int64_t{w.rows} * w.columns * 2);
    } else {
      model.bind(w.handle, MR_F32, 1, w.columns, ones.data(), int64_t{w.columns} * 4);
    }
  }
}

// Each sequence's next row; its token is the one that it chose in the step before.
class Steps {
 public:
  Steps(int sequences, int context, int blocks) : sequences_(sequences), context_(context), blocks_(blocks) {
    for (int s = 0; s <= sequences; s++) starts_.push_back(s);
    for (int32_t block = 0; block < sequences * blocks; block++) table_.push_back(block);
    mr_sampling how{};
    how.chooses = 1;
    how.logprobs = how.last = how.mask_at = how.draft = -1;
    how_.assign(static_cast<size_t>(sequences), how);
  }

  void submit(Model& model, int number) {
    const auto n = static_cast<size_t>(sequences_);
    const int position = context_ + number;
    std::vector<int32_t> tokens(n, 1), positions(n, position), slots(n), lengths(n, position + 1);
    for (int s = 0; s < sequences_; s++) {
      if (number > 0) tokens[static_cast<size_t>(s)] = -1 - s;
      slots[static_cast<size_t>(s)] = (s * blocks_ + position / kBlock) * kBlock + position % kBlock;
    }
    const mr_step step{sequences_, sequences_, sequences_, blocks_, tokens.data(), positions.data(), slots.data(), starts_.data(), lengths.data(), table_.data(), starts_.data(), nullptr};
    model.submit(step, how_.data(), nullptr, 0);
  }

 private:
  int sequences_, context_, blocks_;
  std::vector<int32_t> starts_, table_;
  std::vector<mr_sampling> how_;
};

}  // namespace

DecodeTime decode_time(const DecodeShape& shape, int sequences, int context, int steps) {
  const Program program = program_of(shape);
  const int blocks = (context + kUnmeasured + steps + kBlock - 1) / kBlock;
  const mr_kv_group group{sequences * blocks, shape.layers, shape.kv_heads, shape.dim, shape.dim, MR_BF16, 0};
  mr_options o{};
  o.abi_version = MR_ABI_VERSION;
  o.threads = 1;
  o.block_tokens = kBlock;
  o.groups = 1;
  o.group = &group;
  Model model(o, program.words.data(), static_cast<int64_t>(program.words.size()));
  bind_noise(model, program.weights);
  std::vector<float> frequencies;
  for (int i = 0; i < shape.dim / 2; i++) frequencies.push_back(std::pow(500000.0f, -2.0f * static_cast<float>(i) / static_cast<float>(shape.dim)));
  model.rope(0, frequencies.data(), static_cast<int>(frequencies.size()), 1);
  model.reserve({sequences, sequences, blocks * kBlock});

  Steps all(sequences, context, blocks);
  std::vector<mr_sampled> out(static_cast<size_t>(sequences));
  auto began = std::chrono::steady_clock::now();
  int64_t graphs = 0;
  std::vector<double> submits;
  for (int i = 0; i < kUnmeasured + steps; i++) {
    const auto submitting = std::chrono::steady_clock::now();
    all.submit(model, i);
    if (i >= kUnmeasured) submits.push_back(std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - submitting).count());
    if (i > 0) model.collect(out.data(), nullptr);
    if (i == kUnmeasured - 1) {
      began = std::chrono::steady_clock::now();
      graphs = model.graph_steps();
    }
  }
  model.collect(out.data(), nullptr);
  const double ms = std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - began).count() / (steps + 1);
  std::sort(submits.begin(), submits.end());
  const double embedding = shape.tied ? 0 : 2.0 * shape.vocabulary * shape.hidden;
  // A step reads all tokens up to its own; the mean of those that are in the time, of which the first had begun.
  const double tokens = context + kUnmeasured + steps / 2.0;
  const double cache = 2.0 * 2 * shape.layers * shape.kv_heads * shape.dim * tokens * sequences;
  return {ms, static_cast<double>(model.weight_bytes()) - embedding + cache, submits[submits.size() / 2], model.graph_steps() - graphs, model.graph_launches()};
}

}  // namespace millrace::cuda
