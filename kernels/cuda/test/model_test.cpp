#include <algorithm>

#include "models.h"
#include "op_program.h"

namespace millrace::test {
namespace {

const int kCacheTypes[] = {MR_F32, MR_BF16, MR_F16, MR_INT8, MR_FP8};

// One head for each query head; groups; groups wider than a tile; odd sizes with a window and a cap; a wide head; a window over chunks.
const Shape kShapes[] = {{4, 4, 32, 32, 0, 0}, {6, 2, 64, 64, 0, 0}, {20, 1, 16, 16, 0, 0}, {4, 2, 20, 24, 50, 6}, {2, 1, 128, 128, 0, 0}, {4, 1, 16, 8, 270, 0}};

std::unique_ptr<Runner> attention(const AttentionModel& model, int type, int precision, int block_tokens, uint32_t seed, int tokens = 1024) {
  mr_options o = cuda_options(precision);
  o.keep_activations = 1;
  o.block_tokens = block_tokens;
  return model.runner(o, type, seed, tokens);
}

double bound(int type, int precision) {
  if (type == MR_FP8) return 4e-2;
  if (type == MR_INT8) return 2e-2;
  if (type == MR_BF16) return 1e-2;
  return type == MR_F16 ? 2e-3 : precision == MR_PRECISION_F32 || type == MR_F32 ? 3e-6 : 1e-2;
}

}  // namespace

TEST(attention_agrees_with_double_precision) {
  Random random(30);
  for (const Shape& shape : kShapes) {
    AttentionModel model(shape, random);
    Sequence a = sequence(290, random), b = sequence(17, random);
    for (int type : kCacheTypes) {
      for (int precision : {MR_PRECISION_NATIVE, MR_PRECISION_F32}) {
        if (precision == MR_PRECISION_F32 && type == MR_F32) continue;
        if (precision == MR_PRECISION_F32 && &shape != &kShapes[3]) continue;
        auto runner = attention(model, type, precision, 16, 1);
        Sequence x = a, y = b;
        runner->step({&x}, {280}, 0);
        runner->step({&y, &x}, {17, 10}, 0);
        int width = shape.heads * shape.value_dim;
        std::vector<float> out = runner->read(model.out, 27, width);
        std::vector<double> expected;
        for (int i = 0; i < 17; i++) {
          for (double e : model.expected(b.ids, i)) expected.push_back(e);
        }
        for (int i = 280; i < 290; i++) {
          for (double e : model.expected(a.ids, i)) expected.push_back(e);
        }
        double error = difference(out.data(), expected.data(), out.size());
        CHECK(error < bound(type, precision), "type %d heads %d of %d: %g", type, shape.heads, shape.key_dim, error);
      }
    }
  }
}

TEST(bits_of_attention_do_not_depend_on_chunks_pages_splits_or_company) {
  Random random(31);
  for (const Shape& shape : {kShapes[1], kShapes[3], kShapes[5]}) {
    AttentionModel model(shape, random);
    Sequence a = sequence(600, random), b = sequence(41, random);
    int width = shape.heads * shape.value_dim;
    for (int type : {MR_BF16, MR_INT8, MR_FP8}) {
      if (type == MR_FP8 && shape.heads != kShapes[3].heads) continue;
      auto whole = attention(model, type, MR_PRECISION_NATIVE, 32, 1);
      Sequence x = a;
      whole->step({&x}, {600}, 0);
      std::vector<float> expected = whole->read(model.out, 600, width);
      auto runner = attention(model, type, MR_PRECISION_NATIVE, 16, 2);
      Sequence y = a, z = b;
      runner->step({&y}, {200}, 0);
      while (y.computed < 600) {
        int rows = std::min(600 - y.computed, random.below(2) == 0 ? 60 + random.below(100) : 1 + random.below(4));
        bool company = z.computed < 41;
        if (company) {
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

TEST(a_key_that_is_no_number_shows_in_its_own_sequence_alone) {
  Random random(32);
  for (int type : kCacheTypes) {
    AttentionModel model(kShapes[0], random);
    Sequence x = sequence(20, random), y = sequence(20, random);
    for (int i = 0; i < 20; i++) {
      y.ids[static_cast<size_t>(i)] = i % (kVocabulary - 1);
      x.ids[static_cast<size_t>(i)] = i % (kVocabulary - 1);
    }
    x.ids[3] = kVocabulary - 1;
    model.k[model.k.size() - 1] = NAN;
    auto runner = attention(model, type, MR_PRECISION_NATIVE, 16, 1);
    runner->step({&x, &y}, {20, 20}, 0);
    std::vector<float> out = runner->read(model.out, 40, 128);
    CHECK(std::isnan(out[20 * 128 - 1]), "hidden, type %d", type);
    for (size_t i = 20 * 128; i < out.size(); i++) CHECK(std::isfinite(out[i]), "type %d, in the other sequence, at %zu", type, i);
    for (size_t i = 0; i < 3 * 128; i++) CHECK(std::isfinite(out[i]), "type %d, before it, at %zu", type, i);
  }
}

TEST(blocks_are_copied_before_any_is_overwritten) {
  Random random(33);
  for (int type : {MR_BF16, MR_INT8}) {
    AttentionModel model(kShapes[0], random);
    auto runner = attention(model, type, MR_PRECISION_NATIVE, 16, 1);
    Sequence a = sequence(33, random);
    runner->step({&a}, {32}, 0);
    int32_t from[2] = {a.blocks[0], a.blocks[1]}, to[2] = {a.blocks[1], a.blocks[0]};
    CHECK(mr_copy_blocks(runner->model(), 0, from, to, 2, nullptr, 0) == MR_OK);
    std::swap(a.blocks[0], a.blocks[1]);
    runner->step({&a}, {1}, 0);
    std::vector<float> out = runner->read(model.out, 1, 128);
    std::vector<double> expected = model.expected(a.ids, 32);
    CHECK(difference(out.data(), expected.data(), out.size()) < bound(type, 0), "type %d", type);
  }
}

TEST(a_whole_program_gives_the_same_bits_in_every_batch_and_as_a_graph) {
  Llama llama;
  Random random(34);
  Sequence a = sequence(60, random), b = sequence(30, random);
  for (int type : {MR_BF16, MR_F16, MR_Q4_K}) {
    auto whole = llama.runner(cuda_options(MR_PRECISION_NATIVE), type, 1);
    Sequence x = a;
    std::vector<float> expected = whole->step({&x}, {60}, kVocabulary);
    for (float v : expected) CHECK(std::isfinite(v), "type %d", type);
    auto runner = llama.runner(cuda_options(MR_PRECISION_NATIVE), type, 7);
    Sequence y = a, z = b;
    while (y.computed < 60) {
      int rows = std::min(60 - y.computed, y.computed < 20 ? 1 + random.below(9) : 1);
      int others = std::min(30 - z.computed, random.below(2));
      std::vector<float> logits = others > 0 ? runner->step({&z, &y}, {others, rows}, kVocabulary) : runner->step({&y}, {rows}, kVocabulary);
      CHECK(same_bits(&logits[static_cast<size_t>(others * kVocabulary)], &expected[static_cast<size_t>((y.computed - rows) * kVocabulary)],
                      static_cast<size_t>(rows * kVocabulary)),
            "type %d up to %d", type, y.computed);
    }
    CHECK(mr_graph_steps(runner->model()) > 20, "%lld steps ran as graphs", static_cast<long long>(mr_graph_steps(runner->model())));
  }
}

TEST(bf16_stays_near_float32) {
  Llama llama;
  Random random(35);
  Sequence a = sequence(24, random);
  for (int type : {MR_F32, MR_BF16, MR_Q4_0, MR_Q6_K}) {
    Sequence x = a, y = a;
    std::vector<float> exact = llama.runner(cuda_options(MR_PRECISION_F32), type, 1)->step({&x}, {24}, kVocabulary);
    std::vector<float> native = llama.runner(cuda_options(MR_PRECISION_NATIVE), type, 1)->step({&y}, {24}, kVocabulary);
    std::vector<double> expected(exact.begin(), exact.end());
    double error = difference(native.data(), expected.data(), native.size());
    CHECK(error < 0.03, "type %d: %g", type, error);
    CHECK((error > 0) == (type != MR_F32), "type %d: %g", type, error);
  }
}

TEST(what_these_kernels_have_not_got_is_refused_by_name) {
  Builder b;
  int table = b.weight("table", 10, 32), rows = b.rows(32), out = b.rows(32);
  b.op(1, {table, rows, Builder::bits(1)});
  std::vector<int32_t> program = b.encode();
  mr_options o = cuda_options(0);
  o.isa = MR_ISA_AVX2;
  char text[512] = "";
  mr_model* model = nullptr;
  CHECK(mr_create(&o, program.data(), static_cast<int64_t>(program.size()), &model, text, sizeof text) == MR_UNSUPPORTED && has(text, "instruction set 2"), "%s", text);
  b.op(43, {rows, out, 0});
  program = b.encode();
  o.isa = MR_ISA_AUTO;
  CHECK(mr_create(&o, program.data(), static_cast<int64_t>(program.size()), &model, text, sizeof text) == MR_UNSUPPORTED && has(text, "number 43"), "%s", text);
  CHECK(std::string(mr_isa_name(mr_isa_best())) == "auto");
}

}  // namespace millrace::test
