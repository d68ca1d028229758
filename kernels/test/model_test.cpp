#include <algorithm>

#include "runner.h"
#include "pack.h"

namespace millrace::test {
namespace {

constexpr int kVocabulary = 61;

std::vector<int> available() {
  std::vector<int> all;
  for (int isa = MR_ISA_PORTABLE; isa <= MR_ISA_AVX512; isa++) {
    if (isa_available(isa)) all.push_back(isa);
  }
  return all;
}

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
    auto r = std::make_unique<Runner>(program, o,
                                      std::vector<mr_kv_group>{{tokens / block_tokens, 1, shape.kv_heads, shape.key_dim, shape.value_dim, type}}, seed);
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

Sequence sequence(int length, Random& random) {
  Sequence s;
  for (int i = 0; i < length; i++) s.ids.push_back(random.below(kVocabulary));
  return s;
}

const int kCacheTypes[] = {MR_F32, MR_BF16, MR_F16, MR_INT8};

const Shape kShapes[] = {{4, 4, 32, 32, 0, 0}, {9, 3, 64, 64, 0, 0}, {14, 2, 64, 64, 0, 0}, {4, 2, 20, 24, 50, 6}, {32, 1, 16, 8, 300, 0}};

}  // namespace

TEST(attention_agrees_with_double_precision) {
  Random random(10);
  for (const Shape& shape : kShapes) {
    AttentionModel model(shape, random);
    Sequence a = sequence(530, random), b = sequence(17, random), c = sequence(300, random);
    for (int isa : available()) {
      for (int type : kCacheTypes) {
        if (type != MR_F32 && isa == MR_ISA_PORTABLE && &shape != &kShapes[3]) continue;
        auto runner = model.runner(isa, 2, type, 16, 1);
        Sequence x = a, y = b, z = c;
        runner->step({&x, &z}, {529, 288}, 0);
        runner->step({&z, &y, &x}, {12, 17, 1}, 0);
        int width = shape.heads * shape.value_dim;
        std::vector<float> out = runner->read(model.out, 30, width);
        std::vector<double> expected;
        for (int i = 288; i < 300; i++) {
          for (double e : model.expected(c.ids, i)) expected.push_back(e);
        }
        for (int i = 0; i < 17; i++) {
          for (double e : model.expected(b.ids, i)) expected.push_back(e);
        }
        for (double e : model.expected(a.ids, 529)) expected.push_back(e);
        double error = difference(out.data(), expected.data(), out.size());
        CHECK(error < (type == MR_F32 ? 2e-6 : 1e-2), "isa %d type %d heads %d: %g", isa, type, shape.heads, error);
      }
    }
  }
}

namespace {

void check_attention_bits(const Shape& shape, int type, Random& random) {
  AttentionModel model(shape, random);
  Sequence a = sequence(600, random), b = sequence(41, random);
  int width = shape.heads * shape.value_dim;
  for (int isa : available()) {
    if (isa == MR_ISA_PORTABLE && (shape.heads > 4 || type != MR_F32)) continue;
    auto whole = model.runner(isa, 1, type, 32, 1);
    Sequence x = a;
    whole->step({&x}, {600}, 0);
    std::vector<float> expected = whole->read(model.out, 600, width);
    for (int threads : {1, 2, 3}) {
      auto runner = model.runner(isa, threads, type, 16, static_cast<uint32_t>(threads));
      Sequence y = a, z = b;
      while (y.computed < 600) {
        int rows = std::min(600 - y.computed, random.below(3) == 0 ? 1 + random.below(200) : 1 + random.below(4));
        bool company = z.computed < 41;
        if (company) {
          runner->step({&z, &y}, {1, rows}, 0);
        } else {
          runner->step({&y}, {rows}, 0);
        }
        std::vector<float> out = runner->read(model.out, rows + company, width);
        CHECK(same_bits(&out[static_cast<size_t>(company * width)], &expected[static_cast<size_t>((y.computed - rows) * width)],
                        static_cast<size_t>(rows * width)),
              "isa %d, type %d, %d threads, heads %d, up to %d", isa, type, threads, shape.heads, y.computed);
      }
    }
  }
}

}  // namespace

TEST(bits_of_attention_do_not_depend_on_chunks_pages_threads_or_company) {
  Random random(11);
  for (const Shape& shape : kShapes) check_attention_bits(shape, MR_F32, random);
  for (int type : {MR_F16, MR_BF16, MR_INT8}) {
    check_attention_bits(kShapes[1], type, random);
    check_attention_bits(kShapes[3], type, random);
  }
}

// The cache of the long sequence is filled by short ones: what lies in a slot does not depend on who wrote it.
TEST(contexts_of_one_token_and_of_32k_agree_with_double_precision) {
  constexpr int kLong = 32768, kPart = 256, kBlock = 64;
  Random random(15);
  const Shape shape{4, 2, 16, 16, 0, 0};
  AttentionModel model(shape, random);
  size_t width = static_cast<size_t>(shape.heads * shape.value_dim);
  for (int isa : available()) {
    for (int type : {MR_F32, MR_INT8}) {
      auto runner = model.runner(isa, 2, type, kBlock, 1, kLong + kBlock);
      Sequence all = sequence(kLong, random), one = sequence(1, random);
      for (int at = 0; at < kLong; at += kPart) {
        int last = std::min(at + kPart, kLong - 1);
        Sequence part;
        part.ids.assign(all.ids.begin() + at, all.ids.begin() + last);
        runner->step({&part}, {last - at}, 0);
        all.blocks.insert(all.blocks.end(), part.blocks.begin(), part.blocks.end());
      }
      all.computed = kLong - 1;
      runner->step({&all, &one}, {1, 1}, 0);
      std::vector<float> out = runner->read(model.out, 2, static_cast<int>(width));
      std::vector<double> expected = model.expected(all.ids, kLong - 1);
      for (double e : model.expected(one.ids, 0)) expected.push_back(e);
      double bound = type == MR_F32 ? 1e-5 : 2e-2;
      double error = difference(out.data(), expected.data(), width);
      CHECK(error < bound, "isa %d type %d, 32k tokens: %g", isa, type, error);
      error = difference(&out[width], &expected[width], width);
      CHECK(error < bound, "isa %d type %d, one token: %g", isa, type, error);
    }
  }
}

TEST(a_cache_takes_what_its_type_says) {
  Random random(12);
  for (int type : kCacheTypes) {
    const Shape& shape = kShapes[1];
    AttentionModel model(shape, random);
    auto runner = model.runner(MR_ISA_AUTO, 1, type, 16, 1);
    int64_t values = 2048 * int64_t{shape.kv_heads} * (shape.key_dim + shape.value_dim);
    int64_t expected = type == MR_F32 ? values * 4 : type == MR_INT8 ? values + 2048 * shape.kv_heads * 8 : values * 2;
    int64_t bytes = mr_cache_bytes(runner->model());
    CHECK(bytes >= expected && bytes <= expected + (4 << 20), "type %d: %lld of %lld", type, static_cast<long long>(bytes),
          static_cast<long long>(expected));
  }
}

TEST(a_key_that_is_no_number_shows_in_an_int8_cache) {
  Random random(14);
  for (float fault : {NAN, INFINITY}) {
    AttentionModel model(kShapes[0], random);
    Sequence x = sequence(20, random), y = sequence(20, random);
    for (int i = 0; i < 20; i++) y.ids[static_cast<size_t>(i)] = i % (kVocabulary - 1);
    x.ids[3] = kVocabulary - 1;
    model.k[model.k.size() - 1] = fault;
    auto runner = model.runner(MR_ISA_AUTO, 1, MR_INT8, 16, 1);
    runner->step({&x, &y}, {20, 20}, 0);
    size_t width = 128;
    std::vector<float> out = runner->read(model.out, 40, static_cast<int>(width));
    CHECK(std::isnan(out[20 * width - 1]), "hidden");
    for (size_t i = 20 * width; i < out.size(); i++) CHECK(std::isfinite(out[i]), "in the other sequence, at %zu", i);
  }
}

namespace {

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
    auto r = std::make_unique<Runner>(program, o, std::vector<mr_kv_group>{{64, 1, kKv, kDim, kDim, MR_F32}}, seed);
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

}  // namespace

TEST(a_whole_program_gives_the_same_bits_in_every_batch) {
  Llama llama;
  Random random(13);
  Sequence a = sequence(300, random), b = sequence(90, random);
  for (int isa : available()) {
    for (int type = 0; type < MR_TYPES; type++) {
      if (isa == MR_ISA_PORTABLE && type != MR_Q4_1 && type != MR_F32) continue;
      auto whole = llama.runner(isa, 1, type, MR_PRECISION_NATIVE, 0, 1);
      Sequence x = a;
      std::vector<float> expected = whole->step({&x}, {300}, kVocabulary);
      for (float v : expected) CHECK(std::isfinite(v), "isa %d %s", isa, kTypes[type].name);
      auto runner = llama.runner(isa, 2 + type % 2, type, MR_PRECISION_NATIVE, type % 2, 7);
      Sequence y = a, z = b;
      while (y.computed < 300) {
        int rows = std::min(300 - y.computed, random.below(4) == 0 ? 1 + random.below(100) : 1 + random.below(7));
        int others = std::min(90 - z.computed, random.below(3));
        std::vector<float> logits = others > 0 ? runner->step({&z, &y}, {others, rows}, kVocabulary) : runner->step({&y}, {rows}, kVocabulary);
        CHECK(same_bits(&logits[static_cast<size_t>(others * kVocabulary)], &expected[static_cast<size_t>((y.computed - rows) * kVocabulary)],
                        static_cast<size_t>(rows * kVocabulary)),
              "isa %d %s up to %d", isa, kTypes[type].name, y.computed);
      }
    }
  }
}

TEST(int8_activations_stay_near_float32) {
  Llama llama;
  Random random(14);
  Sequence a = sequence(40, random);
  for (int isa : available()) {
    for (int type = 0; type < MR_TYPES; type++) {
      Sequence x = a, y = a;
      std::vector<float> exact = llama.runner(isa, 2, type, MR_PRECISION_F32, 0, 1)->step({&x}, {40}, kVocabulary);
      std::vector<float> native = llama.runner(isa, 2, type, MR_PRECISION_NATIVE, 0, 1)->step({&y}, {40}, kVocabulary);
      std::vector<double> expected(exact.begin(), exact.end());
      double error = difference(native.data(), expected.data(), native.size());
      CHECK(error < 0.05, "isa %d %s: %g", isa, kTypes[type].name, error);
      bool rounds = is_quantised(type) || (type == MR_BF16 && kernels_of(isa).bf16_rows);
      CHECK(rounds == (error > 0), "isa %d %s: %g", isa, kTypes[type].name, error);
    }
  }
}

TEST(blocks_are_copied_before_any_is_overwritten) {
  Random random(15);
  AttentionModel model(kShapes[0], random);
  auto runner = model.runner(MR_ISA_AUTO, 1, MR_F32, 16, 1);
  Sequence a = sequence(33, random);
  runner->step({&a}, {32}, 0);
  Sequence swapped = a;
  int32_t from[2] = {a.blocks[0], a.blocks[1]};
  int32_t to[2] = {a.blocks[1], a.blocks[0]};
  CHECK(mr_copy_blocks(runner->model(), 0, from, to, 2, nullptr, 0) == MR_OK);
  std::swap(swapped.blocks[0], swapped.blocks[1]);
  runner->step({&swapped}, {1}, 0);
  int width = kShapes[0].heads * kShapes[0].value_dim;
  std::vector<float> out = runner->read(model.out, 1, width);
  std::vector<double> expected = model.expected(a.ids, 32);
  CHECK(difference(out.data(), expected.data(), out.size()) < 2e-6);
}

TEST(what_is_wrong_with_a_step_is_said) {
  Llama llama;
  Random random(16);
  auto runner = llama.runner(MR_ISA_AUTO, 1, MR_F32, MR_PRECISION_NATIVE, 0, 1);
  int32_t token = kVocabulary, position = 0, slot = 0, starts[2] = {0, 1}, length = 1, block = 0, row = 0;
  float logits[kVocabulary];
  mr_step step{1, 1, 1, 1, &token, &position, &slot, starts, &length, &block, &row, logits};
  char message[256];
  auto refuses = [&](const char* word) {
    message[0] = 0;
    CHECK(mr_run(runner->model(), &step, message, sizeof message) == MR_INVALID, "%s", word);
    CHECK(std::strstr(message, word) != nullptr, "%s", message);
  };
  refuses("token 0");
  token = 3;
  slot = 64 * 16;
  refuses("slot");
  slot = 0;
  block = 64;
  refuses("block");
  block = 0;
  position = 1;
  refuses("position");
  position = 0;
  row = 1;
  refuses("logit row");
  row = 0;
  CHECK(mr_run(runner->model(), &step, message, sizeof message) == MR_OK, "%s", message);
}

}  // namespace millrace::test
