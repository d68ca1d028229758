// Measures whole models of random weights against what the machine gives: decode of one and several streams against the read bandwidth,
// prefill against the int8 peak. One line of JSON per sample.
//   kernel_bench [--shape 135M|0.5B|1B] [--type Q4_1] [--threads 2] [--rounds 5] [--prefill 512] [--batch 1,16] [--context 128] [--isa avx512]
//                [--stages 1]                                    and where the time goes, by kind of stage
//   kernel_bench --products Q4_1 [--rounds 5] [--isa avx512] [--batch 1,16,512]    one product instead, with so many rows
//   kernel_bench --probe 3                                       what the machine gives, three times
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <map>
#include <memory>
#include <string>

#include "draws.h"
#include "error.h"
#include "isa.h"
#include "model.h"
#include "pack.h"
#include "probes.h"
#include "products.h"
#include "program_builder.h"
#include "stages.h"
#include "weights.h"

namespace millrace::bench {
namespace {

struct Shape {
  int hidden, layers, heads, kv_heads, dim, wide, vocabulary;
  bool tied;
};

const std::map<std::string, Shape> kShapes = {
    {"135M", {576, 30, 9, 3, 64, 1536, 49152, true}},
    {"0.5B", {896, 24, 14, 2, 64, 4864, 151936, true}},
    {"1B", {2048, 16, 32, 8, 64, 8192, 128256, true}},
};

struct Setting {
  std::string shape = "135M", type = "Q4_1";
  std::string products;
  int threads = 2, rounds = 5, prefill = 512, context = 128, isa = MR_ISA_AUTO, probes = 0, draws = 0, stages = 0;
  std::vector<int> batches = {1, 16};
  bool rows_given = false;
};

struct Built {
  std::unique_ptr<Model> model;
  std::vector<int32_t> words;
  double weight_bytes = 0;
  double parameters = 0;
};

Built build(const Setting& s, int tokens) {
  const Shape& m = kShapes.at(s.shape);
  int type = type_of(s.type);
  test::Builder b;
  std::vector<std::pair<int, std::pair<int, int>>> matrices;
  std::vector<std::pair<int, int>> vectors;
  auto matrix = [&](int rows, int columns) {
    matrices.push_back({b.weight("w", rows, columns), {rows, columns}});
    return matrices.back().first;
  };
  auto vector = [&](int n) {
    vectors.push_back({b.vector("v", n), n});
    return vectors.back().first;
  };
  auto norm = [&](int x, int out) { b.op(2, {x, vector(m.hidden), out, m.hidden, test::Builder::bits(1e-5f), 0}); };
  int embedding = matrix(m.vocabulary, m.hidden);
  int x = b.rows(m.hidden);
  b.op(1, {embedding, x, test::Builder::bits(1)});
  int queries = m.heads * m.dim, keys = m.kv_heads * m.dim;
  for (int layer = 0; layer < m.layers; layer++) {
    int n1 = b.rows(m.hidden), q = b.rows(queries), k = b.rows(keys), v = b.rows(keys), qr = b.rows(queries), kr = b.rows(keys);
    norm(x, n1);
    b.op(3, {n1, 3, matrix(queries, m.hidden), matrix(keys, m.hidden), matrix(keys, m.hidden), 3, -1, -1, -1, 3, q, k, v});
    b.op(4, {q, qr, m.heads, m.dim, m.dim, 0, 0});
    b.op(4, {k, kr, m.kv_heads, m.dim, m.dim, 0, 0});
    b.op(5, {kr, v, 0, layer});
    int mixed = b.rows(queries), o = b.rows(m.hidden), y = b.rows(m.hidden), n2 = b.rows(m.hidden);
    b.op(6, {qr, mixed, 0, layer, m.heads, m.kv_heads, m.dim, m.dim, 0, test::Builder::bits(0.125f), 0});
    b.op(3, {mixed, 1, matrix(m.hidden, queries), 1, -1, 1, o});
    b.op(8, {x, o, y, test::Builder::bits(1)});
    norm(y, n2);
    int gate = b.rows(m.wide), up = b.rows(m.wide), both = b.rows(m.wide), down = b.rows(m.hidden);
    b.op(3, {n2, 2, matrix(m.wide, m.hidden), matrix(m.wide, m.hidden), 2, -1, -1, 2, gate, up});
    b.op(7, {gate, up, both, 0});
    b.op(3, {both, 1, matrix(m.hidden, m.wide), 1, -1, 1, down});
    x = b.rows(m.hidden);
    b.op(8, {y, down, x, test::Builder::bits(1)});
  }
  int rows = b.logit_rows(m.hidden), last = b.logit_rows(m.hidden), logits = b.logit_rows(m.vocabulary);
  b.op(11, {x, rows});
  norm(rows, last);
  b.op(12, {last, embedding, logits, test::Builder::bits(1), 0});
  b.op(13, {logits});
  std::vector<int32_t> words = b.encode();
  mr_kv_group group{(tokens + 15) / 16, m.layers, m.kv_heads, m.dim, m.dim, MR_F32, 0};
  mr_options o{};
  o.abi_version = MR_ABI_VERSION;
  o.isa = s.isa;
  o.precision = MR_PRECISION_NATIVE;
  o.threads = s.threads;
  o.block_tokens = 16;
  o.groups = 1;
  o.group = &group;
  Built built;
  built.model = std::make_unique<Model>(o, words.data(), static_cast<int64_t>(words.size()));
  built.words = words;
  int64_t most = 0;
  for (auto& w : matrices) most = std::max(most, int64_t{w.second.first} * w.second.second);
  std::vector<uint8_t> bytes = stored(type, most);
  for (auto& w : matrices) {
    auto [r, c] = w.second;
    int64_t size = r * row_bytes(type, c);
    built.model->bind(w.first, type, r, c, bytes.data(), size);
    built.weight_bytes += static_cast<double>(size);
    built.parameters += static_cast<double>(r) * c;
  }
  for (auto& v : vectors) {
    std::vector<float> ones(static_cast<size_t>(v.second), 1);
    built.model->bind(v.first, MR_F32, 1, v.second, ones.data(), v.second * 4);
  }
  std::vector<float> frequencies;
  for (int i = 0; i < m.dim / 2; i++) frequencies.push_back(std::pow(10000.0f, -2.0f * static_cast<float>(i) / static_cast<float>(m.dim)));
  built.model->rope(0, frequencies.data(), m.dim / 2, 1);
  return built;
}

// Seconds of a step of `batch` sequences with `rows` rows each, that come after `before` tokens.
double step(Model& model, int vocabulary, int batch, int rows, int before, int blocks_each, bool logits_wanted) {
  int t = batch * rows;
  std::vector<int32_t> tokens, positions, slots, starts = {0}, lengths, table, logit_rows;
  for (int s = 0; s < batch; s++) {
    for (int i = 0; i < rows; i++) {
      int position = before + i;
      tokens.push_back((s * 131 + position * 17) % vocabulary);
      positions.push_back(position);
      slots.push_back((s * blocks_each + position / 16) * 16 + position % 16);
    }
    starts.push_back(static_cast<int32_t>(tokens.size()));
    lengths.push_back(before + rows);
    for (int b = 0; b < blocks_each; b++) table.push_back(s * blocks_each + b);
    if (logits_wanted) logit_rows.push_back(starts.back() - 1);
  }
  static std::vector<float> logits;
  logits.resize(std::max<size_t>(logits.size(), logit_rows.size() * static_cast<size_t>(vocabulary)));
  mr_step in{t, batch, static_cast<int32_t>(logit_rows.size()), blocks_each, tokens.data(), positions.data(), slots.data(), starts.data(),
             lengths.data(), table.data(), logit_rows.data(), logits.data()};
  double start = now();
  model.run(in);
  return now() - start;
}

void probe(const Setting& s) {
  for (int i = 0; i < s.probes; i++) {
    std::printf("{\"what\":\"probe\",\"read_gb_s\":%.1f,\"scaling\":%.2f}\n", read_bandwidth(s.threads), scaling());
  }
}

void measure(const Setting& s) {
  const Shape& shape = kShapes.at(s.shape);
  int most = *std::max_element(s.batches.begin(), s.batches.end());
  int length = std::max(s.context + 72, s.prefill);
  int blocks = (length + 15) / 16;
  double began = now();
  Built built = build(s, blocks * 16 * most);
  std::printf("{\"what\":\"load\",\"shape\":\"%s\",\"type\":\"%s\",\"seconds\":%.2f,\"weight_mib\":%.0f,\"packed_mib\":%.0f,\"numerics\":\"%s\"}\n",
              s.shape.c_str(), s.type.c_str(), now() - began, built.weight_bytes / 1048576, static_cast<double>(built.model->weight_bytes()) / 1048576,
              built.model->numerics().c_str());
  std::unique_ptr<Stages> stages;
  if (s.stages != 0) stages = std::make_unique<Stages>(*built.model, built.words);
  auto timed = [&](int batch, int rows, int before) {
    double time = step(*built.model, shape.vocabulary, batch, rows, before, blocks, true);
    if (stages) stages->add();
    return time;
  };
  for (int batch : s.batches) {
    step(*built.model, shape.vocabulary, batch, s.context, 0, blocks, false);
    std::vector<double> rates, shares;
    for (int round = 0; round < s.rounds; round++) {
      double bandwidth = read_bandwidth(s.threads);
      std::vector<double> times;
      for (int i = 0; i < 32; i++) times.push_back(timed(batch, 1, s.context + i));
      double time = median(times);
      double cache = 2.0 * 4 * shape.layers * shape.kv_heads * shape.dim * (s.context + 16) * batch;
      double floor = (built.weight_bytes + cache) / (bandwidth * 1e9);
      rates.push_back(batch / time);
      shares.push_back(floor / time);
      std::printf(
          "{\"what\":\"decode\",\"shape\":\"%s\",\"type\":\"%s\",\"batch\":%d,\"tokens_per_s\":%.1f,\"ms\":%.3f,\"read_gb_s\":%.1f,\"share_of_read\":%.2f,"
          "\"scaling\":%.2f}\n",
          s.shape.c_str(), s.type.c_str(), batch, batch / time, time * 1e3, bandwidth, floor / time, scaling());
    }
    std::printf("{\"what\":\"decode median\",\"shape\":\"%s\",\"type\":\"%s\",\"batch\":%d,\"tokens_per_s\":%.1f,\"share_of_read\":%.2f}\n", s.shape.c_str(),
                s.type.c_str(), batch, median(rates), median(shares));
    if (stages) stages->print(s.shape, s.type, batch);
  }
  if (s.prefill > 0) {
    bool bf16 = s.type == "BF16";
    std::vector<double> rates, shares;
    for (int round = 0; round < s.rounds; round++) {
      double peak = bf16 ? bf16_peak() : is_quantised(type_of(s.type)) ? int8_peak() : f32_peak();
      double time = timed(1, s.prefill, 0);
      double work = 2 * (built.parameters - static_cast<double>(shape.vocabulary) * shape.hidden) * s.prefill;
      rates.push_back(s.prefill / time);
      shares.push_back(peak > 0 ? work / time / (peak * s.threads) : 0);
      std::printf("{\"what\":\"prefill\",\"shape\":\"%s\",\"type\":\"%s\",\"tokens\":%d,\"tokens_per_s\":%.1f,\"peak_gops\":%.0f,\"share_of_peak\":%.2f,\"scaling\":%.2f}\n",
                  s.shape.c_str(), s.type.c_str(), s.prefill, s.prefill / time, peak / 1e9, shares.back(), scaling());
    }
    std::printf("{\"what\":\"prefill median\",\"shape\":\"%s\",\"type\":\"%s\",\"tokens\":%d,\"tokens_per_s\":%.1f,\"share_of_peak\":%.2f}\n", s.shape.c_str(),
                s.type.c_str(), s.prefill, median(rates), median(shares));
    if (stages) stages->print(s.shape, s.type, s.prefill);
  }
}

Setting parse(int argc, char** argv) {
  Setting s;
  for (int i = 1; i + 1 < argc; i += 2) {
    std::string name = argv[i];
    std::string value = argv[i + 1];
    if (name == "--shape" && kShapes.count(value)) {
      s.shape = value;
    } else if (name == "--type") {
      s.type = value;
    } else if (name == "--threads") {
      s.threads = std::stoi(value);
    } else if (name == "--rounds") {
      s.rounds = std::stoi(value);
    } else if (name == "--prefill") {
      s.prefill = std::stoi(value);
    } else if (name == "--products") {
      s.products = value;
    } else if (name == "--draws") {
      s.draws = std::stoi(value);
    } else if (name == "--probe") {
      s.probes = std::stoi(value);
    } else if (name == "--stages") {
      s.stages = std::stoi(value);
    } else if (name == "--context") {
      s.context = std::stoi(value);
    } else if (name == "--isa") {
      for (int isa = 0; isa <= MR_ISA_AVX512; isa++) s.isa = value == isa_name(isa) ? isa : s.isa;
    } else if (name == "--batch") {
      s.rows_given = true;
      s.batches.clear();
      for (size_t at = 0; at < value.size(); at = value.find(',', at) == std::string::npos ? value.size() : value.find(',', at) + 1) {
        s.batches.push_back(std::stoi(value.substr(at)));
      }
    } else {
      fail(MR_INVALID, "%s %s is no option of this benchmark", name.c_str(), value.c_str());
    }
  }
  return s;
}

}  // namespace
}  // namespace millrace::bench

int main(int argc, char** argv) {
  try {
    millrace::bench::Setting setting = millrace::bench::parse(argc, argv);
    if (setting.probes > 0) {
      millrace::bench::probe(setting);
    } else if (setting.draws > 0) {
      millrace::bench::measure_draws(setting.isa, setting.draws);
    } else if (!setting.products.empty()) {
      millrace::bench::measure_products(millrace::bench::type_of(setting.products), setting.isa, setting.threads, setting.rounds,
                                         setting.rows_given ? setting.batches : std::vector<int>{1, 2, 4, 8, 16, 512});
    } else {
      millrace::bench::measure(setting);
    }
    return 0;
  } catch (const millrace::Error& e) {
    std::fprintf(stderr, "%s\n", e.message.c_str());
    return 1;
  }
}
