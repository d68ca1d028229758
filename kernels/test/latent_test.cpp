#include <algorithm>

#include "runner.h"

namespace millrace::test {
namespace {

constexpr int kVocabulary = 41;
constexpr int kHeads = 5, kNope = 24, kRope = 16, kRank = 48, kValues = 20;

// Latent attention alone: ids name rows of tables with queries, latents and turned keys.
struct LatentModel {
  std::vector<float> plain, turned, latent, key, key_up, value_up;
  std::vector<int32_t> program;
  int tables[4];
  int ups[2];
  int out = 0;

  explicit LatentModel(Random& random) {
    auto values = [&](int rows, int columns) { return random.normals(static_cast<size_t>(rows * columns), 0.5f); };
    plain = values(kVocabulary, kHeads * kNope);
    turned = values(kVocabulary, kHeads * kRope);
    latent = values(kVocabulary, kRank);
    key = values(kVocabulary, kRope);
    key_up = values(kHeads * kNope, kRank);
    value_up = values(kHeads * kValues, kRank);
    Builder b;
    int widths[4] = {kHeads * kNope, kHeads * kRope, kRank, kRope};
    int rows[4];
    for (int i = 0; i < 4; i++) {
      tables[i] = b.weight("table" + std::to_string(i), kVocabulary, widths[i]);
      rows[i] = b.rows(widths[i]);
      b.op(1, {tables[i], rows[i], Builder::bits(1)});
    }
    b.op(5, {rows[2], rows[3], 0, 0});
    ups[0] = b.weight("key_up", kHeads * kNope, kRank);
    ups[1] = b.weight("value_up", kHeads * kValues, kRank);
    out = b.rows(kHeads * kValues);
    b.op(36, {rows[0], rows[1], ups[0], ups[1], out, 0, 0, kHeads, kNope, kRope, kRank, kValues, Builder::bits(0.1f)});
    program = b.encode();
  }

  std::unique_ptr<Runner> runner(int isa, int threads, int type, uint32_t seed) const {
    mr_options o = options(isa, threads);
    o.keep_activations = 1;
    o.block_tokens = 16;
    auto r = std::make_unique<Runner>(program, o, std::vector<mr_kv_group>{{64, 1, 1, kRank, kRope, type}}, seed);
    r->bind(tables[0], kVocabulary, kHeads * kNope, plain);
    r->bind(tables[1], kVocabulary, kHeads * kRope, turned);
    r->bind(tables[2], kVocabulary, kRank, latent);
    r->bind(tables[3], kVocabulary, kRope, key);
    r->bind(ups[0], kHeads * kNope, kRank, key_up);
    r->bind(ups[1], kHeads * kValues, kRank, value_up);
    return r;
  }

  // Keys and values of each head made from the latents, as the contract says.
  std::vector<double> expected(const std::vector<int32_t>& ids, int position) const {
    auto at = [](const std::vector<float>& table, int width, int row, int i) { return static_cast<double>(table[static_cast<size_t>(row * width + i)]); };
    auto up = [&](const std::vector<float>& w, int row, int id) {
      double sum = 0;
      for (int r = 0; r < kRank; r++) sum += at(w, kRank, row, r) * at(latent, kRank, id, r);
      return sum;
    };
    std::vector<double> result;
    int own = ids[static_cast<size_t>(position)];
    for (int h = 0; h < kHeads; h++) {
      std::vector<double> scores;
      for (int j = 0; j <= position; j++) {
        int id = ids[static_cast<size_t>(j)];
        double score = 0;
        for (int i = 0; i < kNope; i++) score += at(plain, kHeads * kNope, own, h * kNope + i) * up(key_up, h * kNope + i, id);
        for (int i = 0; i < kRope; i++) score += at(turned, kHeads * kRope, own, h * kRope + i) * at(key, kRope, id, i);
        scores.push_back(score * static_cast<double>(0.1f));
      }
      double most = *std::max_element(scores.begin(), scores.end());
      double sum = 0;
      for (double& p : scores) sum += p = std::exp(p - most);
      for (int v = 0; v < kValues; v++) {
        double value = 0;
        for (int j = 0; j <= position; j++) value += scores[static_cast<size_t>(j)] / sum * up(value_up, h * kValues + v, ids[static_cast<size_t>(j)]);
        result.push_back(value);
      }
    }
    return result;
  }
};

}  // namespace

TEST(latent_attention_agrees_with_double_precision_in_every_cache_type) {
  Random random(20);
  LatentModel model(random);
  Sequence a;
  for (int i = 0; i < 300; i++) a.ids.push_back(random.below(kVocabulary));
  std::vector<double> expected;
  for (int i = 296; i < 300; i++) {
    for (double e : model.expected(a.ids, i)) expected.push_back(e);
  }
  for (int isa = MR_ISA_PORTABLE; isa <= MR_ISA_AVX512; isa++) {
    if (!isa_available(isa)) continue;
    for (int type : {MR_F32, MR_F16, MR_BF16, MR_INT8}) {
      auto runner = model.runner(isa, 2, type, 3);
      Sequence x = a;
      runner->step({&x}, {296}, 0);
      runner->step({&x}, {4}, 0);
      std::vector<float> out = runner->read(model.out, 4, kHeads * kValues);
      double error = difference(out.data(), expected.data(), out.size());
      CHECK(error < (type == MR_F32 ? 3e-6 : 1.5e-2), "isa %d type %d: %g", isa, type, error);
    }
  }
}

TEST(bits_of_latent_attention_do_not_depend_on_chunks_threads_or_company) {
  Random random(21);
  LatentModel model(random);
  Sequence a, b;
  for (int i = 0; i < 280; i++) a.ids.push_back(random.below(kVocabulary));
  for (int i = 0; i < 30; i++) b.ids.push_back(random.below(kVocabulary));
  constexpr int kWidth = kHeads * kValues;
  for (int isa = MR_ISA_PORTABLE; isa <= MR_ISA_AVX512; isa++) {
    if (!isa_available(isa)) continue;
    for (int type : {MR_F32, MR_INT8}) {
      auto whole = model.runner(isa, 1, type, 1);
      Sequence x = a;
      whole->step({&x}, {280}, 0);
      std::vector<float> expected = whole->read(model.out, 280, kWidth);
      auto runner = model.runner(isa, 3, type, 9);
      Sequence y = a, z = b;
      while (y.computed < 280) {
        int rows = std::min(280 - y.computed, 1 + random.below(60));
        int company = z.computed < 30 ? 1 : 0;
        if (company == 1) {
          runner->step({&z, &y}, {1, rows}, 0);
        } else {
          runner->step({&y}, {rows}, 0);
        }
        std::vector<float> out = runner->read(model.out, rows + company, kWidth);
        CHECK(same_bits(&out[static_cast<size_t>(company * kWidth)], &expected[static_cast<size_t>((y.computed - rows) * kWidth)],
                        static_cast<size_t>(rows * kWidth)),
              "isa %d type %d up to %d", isa, type, y.computed);
      }
    }
  }
}

TEST(latents_are_kept_once) {
  Random random(22);
  LatentModel model(random);
  auto runner = model.runner(MR_ISA_AUTO, 1, MR_F32, 1);
  int64_t plan = 64 * 16 * (kRank + kRope) * 4;
  CHECK(mr_cache_bytes(runner->model()) <= plan + 4096, "%lld", static_cast<long long>(mr_cache_bytes(runner->model())));
}

}  // namespace millrace::test
