#include <algorithm>

#include "models.h"
#include "pack.h"

namespace millrace::test {
namespace {

std::vector<int> available() {
  std::vector<int> all;
  for (int isa = MR_ISA_PORTABLE; isa <= MR_ISA_AVX512; isa++) {
    if (isa_available(isa)) all.push_back(isa);
  }
  return all;
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
