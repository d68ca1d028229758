#include <algorithm>

#include "models.h"

namespace millrace::test {
namespace {

mr_options latent_options(int isa, int threads) {
  mr_options o = options(isa, threads);
  o.block_tokens = 16;
  return o;
}

}  // namespace
TEST(latent_attention_agrees_with_double_precision_in_every_cache_type) {
  Random random(20);
  LatentModel model(LatentShape{}, random);
  Sequence a;
  for (int i = 0; i < 300; i++) a.ids.push_back(random.below(kVocabulary));
  std::vector<double> expected;
  for (int i = 296; i < 300; i++) {
    for (double e : model.expected(a.ids, i)) expected.push_back(e);
  }
  for (int isa = MR_ISA_PORTABLE; isa <= MR_ISA_AVX512; isa++) {
    if (!isa_available(isa)) continue;
    for (int type : {MR_F32, MR_F16, MR_BF16, MR_INT8}) {
      auto runner = model.runner(latent_options(isa, 2), type, 3);
      Sequence x = a;
      runner->step({&x}, {296}, 0);
      runner->step({&x}, {4}, 0);
      std::vector<float> out = runner->read(model.out, 4, model.width());
      double error = difference(out.data(), expected.data(), out.size());
      CHECK(error < (type == MR_F32 ? 3e-6 : 1.5e-2), "isa %d type %d: %g", isa, type, error);
    }
  }
}

TEST(bits_of_latent_attention_do_not_depend_on_chunks_threads_or_company) {
  Random random(21);
  LatentModel model(LatentShape{}, random);
  Sequence a, b;
  for (int i = 0; i < 280; i++) a.ids.push_back(random.below(kVocabulary));
  for (int i = 0; i < 30; i++) b.ids.push_back(random.below(kVocabulary));
  const int width = model.width();
  for (int isa = MR_ISA_PORTABLE; isa <= MR_ISA_AVX512; isa++) {
    if (!isa_available(isa)) continue;
    for (int type : {MR_F32, MR_INT8}) {
      auto whole = model.runner(latent_options(isa, 1), type, 1);
      Sequence x = a;
      whole->step({&x}, {280}, 0);
      std::vector<float> expected = whole->read(model.out, 280, width);
      auto runner = model.runner(latent_options(isa, 3), type, 9);
      Sequence y = a, z = b;
      while (y.computed < 280) {
        int rows = std::min(280 - y.computed, 1 + random.below(60));
        int company = z.computed < 30 ? 1 : 0;
        if (company == 1) {
          runner->step({&z, &y}, {1, rows}, 0);
        } else {
          runner->step({&y}, {rows}, 0);
        }
        std::vector<float> out = runner->read(model.out, rows + company, width);
        CHECK(same_bits(&out[static_cast<size_t>(company * width)], &expected[static_cast<size_t>((y.computed - rows) * width)],
                        static_cast<size_t>(rows * width)),
              "isa %d type %d up to %d", isa, type, y.computed);
      }
    }
  }
}

TEST(latents_are_kept_once) {
  Random random(22);
  LatentModel model(LatentShape{}, random);
  auto runner = model.runner(latent_options(MR_ISA_AUTO, 1), MR_F32, 1);
  int64_t plan = 64 * 16 * (model.shape.rank + model.shape.rope) * 4;
  CHECK(mr_cache_bytes(runner->model()) <= plan + 4096, "%lld", static_cast<long long>(mr_cache_bytes(runner->model())));
}

}  // namespace millrace::test
