#include <algorithm>
#include <string>

#include "device.h"
#include "models.h"
#include "op_program.h"

namespace millrace::test {
namespace {

// Groups; one head for each query head, a wide one; groups wider than a tile of warps; sizes that are filled up, with a window and a cap; a window over
// chunks; more heads than rows of a task.
const Shape kShapes[] = {{6, 2, 64, 64, 0, 0}, {2, 2, 128, 128, 0, 0}, {20, 1, 64, 64, 0, 0}, {4, 2, 120, 100, 50, 6}, {4, 1, 64, 64, 270, 0}, {130, 1, 64, 40, 0, 0}};

// The instructions are those of sm_90 alone.
bool there() {
  const cuda::DeviceInfo device = cuda::device_info();
  return device.major == 9 && device.minor == 0;
}

mr_options wgmma_options(int block_tokens) {
  mr_options o = cuda_options(MR_PRECISION_NATIVE);
  o.isa = MR_ISA_WGMMA;
  o.keep_activations = 1;
  o.block_tokens = block_tokens;
  return o;
}

double bound(int type) { return type == MR_BF16 ? 1e-2 : 2e-3; }

// The last rows of a step against the reference.
double error_of(const AttentionModel& model, Runner& runner, const std::vector<int32_t>& ids, int from, int to, int row0, int rows) {
  const int width = model.shape.heads * model.shape.value_dim;
  const std::vector<float> out = runner.read(model.out, rows, width);
  std::vector<double> expected;
  for (int i = from; i < to; i++) {
    for (double e : model.expected(ids, i)) expected.push_back(e);
  }
  return difference(&out[static_cast<size_t>(row0 * width)], expected.data(), expected.size());
}

}  // namespace

TEST(attention_by_wgmma_agrees_with_double_precision) {
  if (!there()) return;
  Random random(40);
  for (const Shape& shape : kShapes) {
    const AttentionModel model(shape, random);
    const bool wide = shape.heads > 100;
    const Sequence a = sequence(wide ? 40 : 300, random), b = sequence(17, random), c = sequence(1, random);
    for (int type : {MR_BF16, MR_F16}) {
      if (type == MR_F16 && wide) continue;
      for (int block : {16, 256}) {
        auto runner = model.runner(wgmma_options(block), type, 1, 2048);
        Sequence x = a, y = b, z = c;
        const int length = static_cast<int>(a.ids.size());
        runner->step({&x}, {length - 9}, 0);
        double error = error_of(model, *runner, a.ids, length - 12, length - 9, length - 12, length - 9);
        CHECK(error < bound(type), "prefill, type %d heads %d of %d, blocks of %d: %g", type, shape.heads, shape.key_dim, block, error);
        runner->step({&y, &x, &z}, {17, 9, 1}, 0);
        error = error_of(model, *runner, b.ids, 0, 17, 0, 27);
        CHECK(error < bound(type), "short, type %d heads %d of %d: %g", type, shape.heads, shape.key_dim, error);
        error = error_of(model, *runner, a.ids, length - 9, length, 17, 27);
        CHECK(error < bound(type), "chunk, type %d heads %d of %d: %g", type, shape.heads, shape.key_dim, error);
        error = error_of(model, *runner, c.ids, 0, 1, 26, 27);
        CHECK(error < bound(type), "one token, type %d heads %d of %d: %g", type, shape.heads, shape.key_dim, error);
      }
    }
  }
}

TEST(bits_of_attention_by_wgmma_do_not_depend_on_chunks_pages_splits_or_company) {
  if (!there()) return;
  Random random(41);
  for (const Shape& shape : {kShapes[0], kShapes[1], kShapes[3], kShapes[4]}) {
    const AttentionModel model(shape, random);
    const Sequence a = sequence(600, random), b = sequence(41, random);
    const int width = shape.heads * shape.value_dim, type = shape.key_dim == 128 ? MR_F16 : MR_BF16;
    auto whole = model.runner(wgmma_options(32), type, 1, 2048);
    Sequence x = a;
    whole->step({&x}, {600}, 0);
    const std::vector<float> expected = whole->read(model.out, 600, width);
    auto runner = model.runner(wgmma_options(16), type, 2, 2048);
    Sequence y = a, z = b;
    runner->step({&y}, {200}, 0);
    while (y.computed < 600) {
      const int rows = std::min(600 - y.computed, random.below(2) == 0 ? 60 + random.below(100) : 1 + random.below(4));
      const bool company = z.computed < 41;
      if (company) {
        runner->step({&z, &y}, {1, rows}, 0);
      } else {
        runner->step({&y}, {rows}, 0);
      }
      const std::vector<float> out = runner->read(model.out, rows + company, width);
      CHECK(same_bits(&out[static_cast<size_t>(company * width)], &expected[static_cast<size_t>((y.computed - rows) * width)], static_cast<size_t>(rows * width)),
            "heads %d of %d, up to %d", shape.heads, shape.key_dim, y.computed);
    }
  }
}

TEST(a_key_that_is_no_number_shows_in_its_own_sequence_alone_by_wgmma) {
  if (!there()) return;
  Random random(42);
  AttentionModel model({4, 4, 64, 64, 0, 0}, random);
  Sequence x = sequence(20, random), y = sequence(20, random);
  for (int i = 0; i < 20; i++) x.ids[static_cast<size_t>(i)] = y.ids[static_cast<size_t>(i)] = i;
  x.ids[3] = kVocabulary - 1;
  model.k[model.k.size() - 1] = NAN;
  auto runner = model.runner(wgmma_options(16), MR_BF16, 1, 1024);
  runner->step({&x, &y}, {20, 20}, 0);
  const std::vector<float> out = runner->read(model.out, 40, 256);
  CHECK(std::isnan(out[20 * 256 - 1]));
  for (size_t i = 20 * 256; i < out.size(); i++) CHECK(std::isfinite(out[i]), "in the other sequence, at %zu", i);
  for (size_t i = 0; i < 3 * 256; i++) CHECK(std::isfinite(out[i]), "before it, at %zu", i);
}

TEST(a_whole_program_by_wgmma_gives_the_same_bits_in_every_batch_and_as_a_graph) {
  if (!there()) return;
  Llama llama;
  Random random(43);
  const Sequence a = sequence(40, random), b = sequence(20, random);
  mr_options o = cuda_options(MR_PRECISION_NATIVE);
  auto by_warps = llama.runner(o, MR_BF16, 1, 0, MR_BF16);
  o.isa = MR_ISA_WGMMA;
  auto whole = llama.runner(o, MR_BF16, 1, 0, MR_BF16);
  CHECK(std::string(mr_numerics(whole->model())).find("-wgmma-kv-bf16") != std::string::npos, "%s", mr_numerics(whole->model()));
  Sequence x = a, w = a;
  const std::vector<float> expected = whole->step({&x}, {40}, kVocabulary), other = by_warps->step({&w}, {40}, kVocabulary);
  const double error = difference(expected.data(), std::vector<double>(other.begin(), other.end()).data(), expected.size());
  CHECK(error < 2e-2 && error > 0, "beside mma.sync: %g", error);
  auto runner = llama.runner(o, MR_BF16, 7, 0, MR_BF16);
  Sequence y = a, z = b;
  while (y.computed < 40) {
    const int rows = std::min(40 - y.computed, y.computed < 20 ? 1 + random.below(9) : 1), others = std::min(20 - z.computed, random.below(2));
    const std::vector<float> logits = others > 0 ? runner->step({&z, &y}, {others, rows}, kVocabulary) : runner->step({&y}, {rows}, kVocabulary);
    CHECK(same_bits(&logits[static_cast<size_t>(others * kVocabulary)], &expected[static_cast<size_t>((y.computed - rows) * kVocabulary)], static_cast<size_t>(rows * kVocabulary)),
          "up to %d", y.computed);
  }
  CHECK(mr_graph_steps(runner->model()) > 10, "%lld steps ran as graphs", static_cast<long long>(mr_graph_steps(runner->model())));
}

}  // namespace millrace::test
