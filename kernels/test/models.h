// Small models that the tests of both devices run.
#pragma once
#include <algorithm>
#include <cmath>

#include "pack.h"
#include "runner.h"

namespace millrace::test {

inline constexpr int kVocabulary = 61;

struct Shape {
  int heads, kv_heads, key_dim, value_dim, window;
  float cap;
};

// Attention alone: ids name rows of tables with q, k and v.
struct AttentionModel {
  Shape shape;
  std::vector<float> q, k, v;
  int out = 0;
  std::vector<int32_t> program;
  int tables[3];

  AttentionModel(Shape s, Random& random) : shape(s) {
    q = random.normals(static_cast<size_t>(kVocabulary * s.heads * s.key_dim), 0.5f);
    k = random.normals(static_cast<size_t>(kVocabulary * s.kv_heads * s.key_dim), 0.5f);
    v = random.normals(static_cast<size_t>(kVocabulary * s.kv_heads * s.value_dim));
    Builder b;
    int widths[3] = {s.heads * s.key_dim, s.kv_heads * s.key_dim, s.kv_heads * s.value_dim};
    int rows[3];
    for (int i = 0; i < 3; i++) {
      tables[i] = b.weight("table" + std::to_string(i), kVocabulary, widths[i]);
      rows[i] = b.rows(widths[i]);
      b.op(1, {tables[i], rows[i], Builder::bits(1)});
    }
    b.op(5, {rows[1], rows[2], 0, 0});
    out = b.rows(s.heads * s.value_dim);
    b.op(6, {rows[0], out, 0, 0, s.heads, s.kv_heads, s.key_dim, s.value_dim, s.window, Builder::bits(0.2f), Builder::bits(s.cap)});
    program = b.encode();
  }

  std::unique_ptr<Runner> runner(int isa, int threads, int type, int block_tokens, uint32_t seed, int tokens = 2048) const {
    mr_options o = options(isa, threads);
    o.keep_activations = 1;
    o.block_tokens = block_tokens;
    return runner(o, type, seed, tokens);
  }

  std::unique_ptr<Runner> runner(const mr_options& o, int type, uint32_t seed, int tokens, int host_blocks = 0) const {
    auto r = std::make_unique<Runner>(program, o,
                                      std::vector<mr_kv_group>{{tokens / o.block_tokens, 1, shape.kv_heads, shape.key_dim, shape.value_dim, type, host_blocks}}, seed);
    r->bind(tables[0], kVocabulary, shape.heads * shape.key_dim, q);
    r->bind(tables[1], kVocabulary, shape.kv_heads * shape.key_dim, k);
    r->bind(tables[2], kVocabulary, shape.kv_heads * shape.value_dim, v);
    return r;
  }

  std::vector<double> expected(const std::vector<int32_t>& ids, int position) const {
    const Shape& s = shape;
    std::vector<double> out(static_cast<size_t>(s.heads * s.value_dim));
    int first = s.window > 0 ? std::max(0, position - s.window + 1) : 0;
    for (int h = 0; h < s.heads; h++) {
      int kv = h / (s.heads / s.kv_heads);
      std::vector<double> scores;
      double most = -INFINITY;
      for (int j = first; j <= position; j++) {
        double score = 0;
        for (int d = 0; d < s.key_dim; d++) {
          score += static_cast<double>(q[static_cast<size_t>((ids[static_cast<size_t>(position)] * s.heads + h) * s.key_dim + d)]) *
                   k[static_cast<size_t>((ids[static_cast<size_t>(j)] * s.kv_heads + kv) * s.key_dim + d)];
        }
        score *= static_cast<double>(0.2f);
        if (s.cap > 0) score = std::tanh(score / s.cap) * s.cap;
        scores.push_back(score);
        most = std::max(most, score);
      }
      double sum = 0;
      for (double& p : scores) sum += p = std::exp(p - most);
      for (int j = first; j <= position; j++) {
        for (int d = 0; d < s.value_dim; d++) {
          out[static_cast<size_t>(h * s.value_dim + d)] += scores[static_cast<size_t>(j - first)] / sum *
                                                           v[static_cast<size_t>((ids[static_cast<size_t>(j)] * s.kv_heads + kv) * s.value_dim + d)];
        }
      }
    }
    return out;
  }
};

// Heads, the parts of a query, the latent, and a head's values.
struct LatentShape {
  int heads = 5, nope = 24, rope = 16, rank = 48, values = 20;
};

// Latent attention alone: ids name rows of tables with queries, latents and turned keys.
struct LatentModel {
  LatentShape shape;
  std::vector<float> plain, turned, latent, key, key_up, value_up;
  std::vector<int32_t> program;
  int tables[4];
  int ups[2];
  int out = 0;

  LatentModel(LatentShape s, Random& random) : shape(s) {
    auto values = [&](int rows, int columns) { return random.normals(static_cast<size_t>(rows * columns), 0.5f); };
    plain = values(kVocabulary, shape.heads * shape.nope);
    turned = values(kVocabulary, shape.heads * shape.rope);
    latent = values(kVocabulary, shape.rank);
    key = values(kVocabulary, shape.rope);
    key_up = values(shape.heads * shape.nope, shape.rank);
    value_up = values(shape.heads * shape.values, shape.rank);
    Builder b;
    int widths[4] = {shape.heads * shape.nope, shape.heads * shape.rope, shape.rank, shape.rope};
    int rows[4];
    for (int i = 0; i < 4; i++) {
      tables[i] = b.weight("table" + std::to_string(i), kVocabulary, widths[i]);
      rows[i] = b.rows(widths[i]);
      b.op(1, {tables[i], rows[i], Builder::bits(1)});
    }
    b.op(5, {rows[2], rows[3], 0, 0});
    ups[0] = b.weight("key_up", shape.heads * shape.nope, shape.rank);
    ups[1] = b.weight("value_up", shape.heads * shape.values, shape.rank);
    out = b.rows(shape.heads * shape.values);
    b.op(36, {rows[0], rows[1], ups[0], ups[1], out, 0, 0, shape.heads, shape.nope, shape.rope, shape.rank, shape.values, Builder::bits(0.1f)});
    program = b.encode();
  }

  int width() const { return shape.heads * shape.values; }

  std::unique_ptr<Runner> runner(mr_options o, int type, uint32_t seed, int host_blocks = 0) const {
    o.keep_activations = 1;
    auto r = std::make_unique<Runner>(program, o, std::vector<mr_kv_group>{{1024 / o.block_tokens, 1, 1, shape.rank, shape.rope, type, host_blocks}}, seed);
    r->bind(tables[0], kVocabulary, shape.heads * shape.nope, plain);
    r->bind(tables[1], kVocabulary, shape.heads * shape.rope, turned);
    r->bind(tables[2], kVocabulary, shape.rank, latent);
    r->bind(tables[3], kVocabulary, shape.rope, key);
    r->bind(ups[0], shape.heads * shape.nope, shape.rank, key_up);
    r->bind(ups[1], shape.heads * shape.values, shape.rank, value_up);
    return r;
  }

  // Keys and values of each head made from the latents, as the contract says.
  std::vector<double> expected(const std::vector<int32_t>& ids, int position) const {
    auto at = [](const std::vector<float>& table, int width, int row, int i) { return static_cast<double>(table[static_cast<size_t>(row * width + i)]); };
    auto up = [&](const std::vector<float>& w, int row, int id) {
      double sum = 0;
      for (int r = 0; r < shape.rank; r++) sum += at(w, shape.rank, row, r) * at(latent, shape.rank, id, r);
      return sum;
    };
    std::vector<double> result;
    int own = ids[static_cast<size_t>(position)];
    for (int h = 0; h < shape.heads; h++) {
      std::vector<double> scores;
      for (int j = 0; j <= position; j++) {
        int id = ids[static_cast<size_t>(j)];
        double score = 0;
        for (int i = 0; i < shape.nope; i++) score += at(plain, shape.heads * shape.nope, own, h * shape.nope + i) * up(key_up, h * shape.nope + i, id);
        for (int i = 0; i < shape.rope; i++) score += at(turned, shape.heads * shape.rope, own, h * shape.rope + i) * at(key, shape.rope, id, i);
        scores.push_back(score * static_cast<double>(0.1f));
      }
      double most = *std::max_element(scores.begin(), scores.end());
      double sum = 0;
      for (double& p : scores) sum += p = std::exp(p - most);
      for (int v = 0; v < shape.values; v++) {
        double value = 0;
        for (int j = 0; j <= position; j++) value += scores[static_cast<size_t>(j)] / sum * up(value_up, h * shape.values + v, ids[static_cast<size_t>(j)]);
        result.push_back(value);
      }
    }
    return result;
  }
};

inline Sequence sequence(int length, Random& random) {
  Sequence s;
  for (int i = 0; i < length; i++) s.ids.push_back(random.below(kVocabulary));
  return s;
}

// One layer of a llama, with every op of the contract.
struct Llama {
  std::vector<int32_t> program;
  struct Weight {
    int handle, rows, columns;
    bool matrix;
  };
  std::vector<Weight> weights;
  static constexpr int kHidden = 256, kHeads = 4, kKv = 2, kDim = 64, kWide = 512;

  Llama() {
    Builder b;
    auto matrix = [&](const char* name, int rows, int columns) {
      weights.push_back({b.weight(name, rows, columns), rows, columns, true});
      return weights.back().handle;
    };
    auto vector = [&](const char* name, int n) {
      weights.push_back({b.vector(name, n), 1, n, false});
      return weights.back().handle;
    };
    int embedding = matrix("embed", kVocabulary, kHidden);
    int x = b.rows(kHidden);
    b.op(1, {embedding, x, Builder::bits(1.5f)});
    int norm = b.rows(kHidden);
    b.op(2, {x, vector("norm1", kHidden), norm, kHidden, Builder::bits(1e-5f), Builder::bits(0)});
    int q = b.rows(kHeads * kDim), k = b.rows(kKv * kDim), v = b.rows(kKv * kDim);
    b.op(3, {norm, 3, matrix("q", kHeads * kDim, kHidden), matrix("k", kKv * kDim, kHidden), matrix("v", kKv * kDim, kHidden), 3,
             vector("qb", kHeads * kDim), -1, vector("vb", kKv * kDim), 3, q, k, v});
    int qr = b.rows(kHeads * kDim), kr = b.rows(kKv * kDim);
    b.op(4, {q, qr, kHeads, kDim, kDim, 0, 0});
    b.op(4, {k, kr, kKv, kDim, kDim, 0, 0});
    b.op(5, {kr, v, 0, 0});
    int mixed = b.rows(kHeads * kDim);
    b.op(6, {qr, mixed, 0, 0, kHeads, kKv, kDim, kDim, 0, Builder::bits(0.125f), Builder::bits(0)});
    int o = b.rows(kHidden), y = b.rows(kHidden), norm2 = b.rows(kHidden);
    b.op(3, {mixed, 1, matrix("o", kHidden, kHeads * kDim), 1, -1, 1, o});
    b.op(8, {x, o, y, Builder::bits(1)});
    b.op(2, {y, vector("norm2", kHidden), norm2, kHidden, Builder::bits(1e-5f), Builder::bits(1)});
    int gate = b.rows(kWide), up = b.rows(kWide), both = b.rows(kWide), down = b.rows(kHidden), scaled = b.rows(kHidden), z = b.rows(kHidden);
    b.op(3, {norm2, 2, matrix("gate", kWide, kHidden), matrix("up", kWide, kHidden), 2, -1, -1, 2, gate, up});
    b.op(7, {gate, up, both, 0});
    b.op(3, {both, 1, matrix("down", kHidden, kWide), 1, -1, 1, down});
    b.op(9, {down, scaled, Builder::bits(0.7f)});
    b.op(8, {y, scaled, z, Builder::bits(0.5f)});
    int capped = b.rows(kHidden);
    b.op(10, {z, capped, Builder::bits(30)});
    int rows = b.logit_rows(kHidden), last = b.logit_rows(kHidden), logits = b.logit_rows(kVocabulary);
    b.op(11, {capped, rows});
    b.op(2, {rows, vector("norm3", kHidden), last, kHidden, Builder::bits(1e-5f), Builder::bits(0)});
    b.op(12, {last, embedding, logits, Builder::bits(0.9f), Builder::bits(20)});
    b.op(13, {logits});
    program = b.encode();
  }

  std::unique_ptr<Runner> runner(int isa, int threads, int type, int precision, int keep, uint32_t seed) const {
    mr_options o = options(isa, threads);
    o.precision = precision;
    o.keep_activations = keep;
    return runner(o, type, seed);
  }

  std::unique_ptr<Runner> runner(const mr_options& o, int type, uint32_t seed, int host_blocks = 0, int cache = MR_F32) const {
    auto r = std::make_unique<Runner>(program, o, std::vector<mr_kv_group>{{64, 1, kKv, kDim, kDim, cache, host_blocks}}, seed);
    Random random(12);
    for (const Weight& w : weights) {
      if (w.matrix) {
        r->bind(w.handle, type, w.rows, w.columns, random_stored(type, w.rows, w.columns, random));
      } else {
        r->bind(w.handle, w.rows, w.columns, random.normals(static_cast<size_t>(w.columns)));
      }
    }
    std::vector<float> frequencies;
    for (int i = 0; i < kDim / 2; i++) frequencies.push_back(std::pow(10000.0f, -2.0f * static_cast<float>(i) / kDim));
    r->rope(frequencies);
    return r;
  }
};

}  // namespace millrace::test
