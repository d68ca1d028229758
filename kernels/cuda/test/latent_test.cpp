#include "models.h"
#include "op_program.h"

namespace millrace::test {
namespace {

mr_options latent_options(int precision, int block_tokens) {
  mr_options o = cuda_options(precision);
  o.block_tokens = block_tokens;
  return o;
}

// Two parts of values of 32 columns; more heads than a tile has rows; one part of 128; four of 128.
const LatentShape kSmall = {}, kManyHeads = {19, 16, 8, 32, 16}, kWide = {3, 40, 24, 128, 36}, kDeepSeek = {2, 128, 64, 512, 128};

double bound(int type, int precision) {
  if (type == MR_FP8) return 5e-2;
  if (type == MR_INT8) return 2.5e-2;
  return precision == MR_PRECISION_F32 ? type == MR_F32 ? 3e-6 : 1.5e-2 : 1.5e-2;
}

}  // namespace

TEST(latent_attention_agrees_with_double_precision) {
  Random random(40);
  for (const LatentShape& shape : {kSmall, kManyHeads, kWide, kDeepSeek}) {
    LatentModel model(shape, random);
    const bool small = shape.rank < 128;
    Sequence a = sequence(small ? 270 : 34, random), b = sequence(9, random);
    for (int type : {MR_F32, MR_BF16, MR_F16, MR_INT8, MR_FP8}) {
      for (int precision : {MR_PRECISION_NATIVE, MR_PRECISION_F32}) {
        if (precision == MR_PRECISION_F32 && (shape.heads != kSmall.heads || type == MR_F16)) continue;
        auto runner = model.runner(latent_options(precision, 16), type, 1);
        Sequence x = a, y = b;
        const int before = static_cast<int>(a.ids.size()) - 4;
        runner->step({&x}, {before}, 0);
        runner->step({&y, &x}, {9, 4}, 0);
        std::vector<float> out = runner->read(model.out, 13, model.width());
        std::vector<double> expected;
        for (int i = 0; i < 9; i++) {
          for (double e : model.expected(b.ids, i)) expected.push_back(e);
        }
        for (int i = before; i < before + 4; i++) {
          for (double e : model.expected(a.ids, i)) expected.push_back(e);
        }
        double error = difference(out.data(), expected.data(), out.size());
        CHECK(error < bound(type, precision), "type %d, rank %d, precision %d: %g", type, shape.rank, precision, error);
      }
    }
  }
}

TEST(bits_of_latent_attention_do_not_depend_on_chunks_pages_splits_or_company) {
  Random random(41);
  for (const LatentShape& shape : {kSmall, kManyHeads}) {
    LatentModel model(shape, random);
    Sequence a = sequence(540, random), b = sequence(41, random);
    const int width = model.width();
    for (int type : {MR_BF16, MR_INT8}) {
      auto whole = model.runner(latent_options(MR_PRECISION_NATIVE, 32), type, 1);
      Sequence x = a;
      whole->step({&x}, {540}, 0);
      std::vector<float> expected = whole->read(model.out, 540, width);
      auto runner = model.runner(latent_options(MR_PRECISION_NATIVE, 16), type, 2);
      Sequence y = a, z = b;
      runner->step({&y}, {230}, 0);
      while (y.computed < 540) {
        int rows = std::min(540 - y.computed, random.below(2) == 0 ? 60 + random.below(100) : 1 + random.below(4));
        int company = z.computed < 41 ? 1 : 0;
        if (company == 1) {
          runner->step({&z, &y}, {1, rows}, 0);
        } else {
          runner->step({&y}, {rows}, 0);
        }
        std::vector<float> out = runner->read(model.out, rows + company, width);
        CHECK(same_bits(&out[static_cast<size_t>(company * width)], &expected[static_cast<size_t>((y.computed - rows) * width)], static_cast<size_t>(rows * width)),
              "type %d, heads %d, up to %d", type, shape.heads, y.computed);
      }
    }
  }
}

TEST(latents_are_kept_once_and_copied_with_their_factors) {
  Random random(42);
  LatentModel model(kSmall, random);
  for (int type : {MR_BF16, MR_FP8}) {
    auto runner = model.runner(latent_options(MR_PRECISION_NATIVE, 16), type, 1);
    const int64_t plan = 1024 * (type == MR_FP8 ? 64 + 4 : 64 * 2);
    CHECK(mr_cache_bytes(runner->model()) <= plan + 512, "%lld", static_cast<long long>(mr_cache_bytes(runner->model())));
    Sequence a = sequence(33, random);
    runner->step({&a}, {32}, 0);
    int32_t from[2] = {a.blocks[0], a.blocks[1]}, to[2] = {a.blocks[1], a.blocks[0]};
    CHECK(mr_copy_blocks(runner->model(), 0, from, to, 2, nullptr, 0) == MR_OK);
    std::swap(a.blocks[0], a.blocks[1]);
    runner->step({&a}, {1}, 0);
    std::vector<float> out = runner->read(model.out, 1, model.width());
    std::vector<double> expected = model.expected(a.ids, 32);
    double error = difference(out.data(), expected.data(), out.size());
    CHECK(error < bound(type, 0), "type %d: %g", type, error);
  }
}

}  // namespace millrace::test
