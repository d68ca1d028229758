#include <algorithm>
#include <cstdlib>
#include <thread>

#include "runner.h"

namespace millrace::test {
namespace {

constexpr int kVocabulary = 33;
constexpr int kWidth = 256;

// out = norm(embedding) · matrixᵀ, and what it needs to run.
struct Product {
  std::vector<int32_t> program;
  int table = 0, norm = 0, matrix = 0, out = 0;

  explicit Product(int outs) {
    Builder b;
    table = b.weight("table", kVocabulary, kWidth);
    norm = b.vector("norm", kWidth);
    matrix = b.weight("matrix", outs, kWidth);
    int x = b.rows(kWidth), y = b.rows(kWidth);
    b.op(1, {table, x, Builder::bits(1)});
    b.op(2, {x, norm, y, kWidth, Builder::bits(1e-5f), Builder::bits(0)});
    out = b.rows(outs);
    b.op(3, {y, 1, matrix, 1, -1, 1, out});
    program = b.encode();
  }

  std::unique_ptr<Runner> runner(int isa, int threads, const std::vector<float>& table_values) const {
    mr_options o = options(isa, threads);
    o.keep_activations = 1;
    auto r = std::make_unique<Runner>(program, o, std::vector<mr_kv_group>{{4, 1, 1, 16, 16, MR_F32, 0}}, 1);
    r->bind(table, kVocabulary, kWidth, table_values);
    r->bind(norm, 1, kWidth, std::vector<float>(kWidth, 1.0f));
    return r;
  }
};

std::vector<int> sets() {
  std::vector<int> all;
  for (int isa = MR_ISA_PORTABLE; isa <= MR_ISA_AVX512; isa++) {
    if (isa_available(isa)) all.push_back(isa);
  }
  return all;
}

bool finite(const std::vector<float>& values) {
  return std::all_of(values.begin(), values.end(), [](float x) { return std::isfinite(x); });
}

}  // namespace

TEST(what_only_a_cuda_device_has_is_refused_by_name) {
  Product product(24);
  mr_model* model = nullptr;
  char error[256] = "";
  mr_options o = options(MR_ISA_AUTO, 1);
  auto status = [&] { return mr_create(&o, product.program.data(), static_cast<int64_t>(product.program.size()), &model, error, sizeof error); };
  o.library_rows = 256;
  CHECK(status() == MR_UNSUPPORTED && std::strstr(error, "cuBLASLt"), "%s", error);
  o.library_rows = 0;
  o.precision = MR_PRECISION_FP8;
  CHECK(status() == MR_UNSUPPORTED && std::strstr(error, "FP8"), "%s", error);
}

TEST(rows_that_are_no_whole_blocks_are_refused_with_the_weight_and_the_numbers) {
  Product product(24);
  auto runner = product.runner(MR_ISA_AUTO, 1, std::vector<float>(kVocabulary * kWidth));
  char error[256];
  std::vector<uint8_t> bytes(1 << 16);
  auto status = [&](int type, int rows, int columns, int64_t size) {
    error[0] = 0;
    return mr_bind(runner->model(), product.matrix, type, rows, columns, bytes.data(), size, error, sizeof error);
  };
  CHECK(status(MR_Q4_0, 24, kWidth, 24 * kWidth / 32 * 18 - 1) == MR_INVALID && std::strstr(error, "matrix"), "%s", error);
  CHECK(status(MR_F32, 24, kWidth - 1, 24 * (kWidth - 1) * 4) == MR_INVALID && std::strstr(error, "255"), "%s", error);
  CHECK(status(MR_F32, 0, kWidth, 0) == MR_INVALID, "%s", error);
  CHECK(status(99, 24, kWidth, 0) == MR_UNSUPPORTED && std::strstr(error, "99"), "%s", error);
  Builder b;
  int odd = b.weight("odd", 8, 48), x = b.rows(48);
  b.op(1, {odd, x, Builder::bits(1)});
  Runner other(b.encode(), options(MR_ISA_AUTO, 1), {}, 1);
  CHECK(mr_bind(other.model(), odd, MR_Q4_K, 8, 48, bytes.data(), 8 * 144, error, sizeof error) == MR_INVALID &&
            std::strstr(error, "48 values, no multiple of 256"),
        "%s", error);
}

TEST(a_step_of_no_rows_is_refused) {
  Product product(24);
  Random random(41);
  auto runner = product.runner(MR_ISA_AUTO, 1, random.normals(kVocabulary * kWidth));
  runner->bind(product.matrix, 24, kWidth, random.normals(24 * kWidth));
  int32_t starts[2] = {0, 0};
  mr_step step{};
  step.query_start = starts;
  step.sequences = 1;
  char error[256];
  CHECK(mr_run(runner->model(), &step, error, sizeof error) == MR_INVALID && std::strstr(error, "0 rows"), "%s", error);
}

TEST(zeros_and_denormals_give_finite_rows_in_every_type) {
  Random random(42);
  for (int isa : sets()) {
    for (int type = 0; type < MR_TYPES; type++) {
      std::vector<float> table(kVocabulary * kWidth, 0.0f);
      for (int i = 0; i < kWidth; i++) {
        table[static_cast<size_t>(kWidth + i)] = 1e-41f;
        table[static_cast<size_t>(2 * kWidth + i)] = i % 2 == 0 ? 1e-39f : 3.0f;
      }
      Product product(40);
      auto runner = product.runner(isa, 2, table);
      std::vector<uint8_t> stored = random_stored(type, 40, kWidth, random);
      auto row = stored.size() / 40;
      std::fill(stored.begin(), stored.begin() + static_cast<std::ptrdiff_t>(row), uint8_t{0});
      runner->bind(product.matrix, type, 40, kWidth, stored);
      Sequence s;
      s.ids = {0, 1, 2};
      runner->step({&s}, {3}, 0);
      std::vector<float> out = runner->read(product.out, 3, 40);
      CHECK(finite(out), "isa %d type %d", isa, type);
      for (size_t i = 0; i < 40; i++) CHECK(out[i] == 0, "isa %d type %d: a row of zeros gives %g", isa, type, static_cast<double>(out[i]));
    }
  }
}

TEST(weights_that_are_no_numbers_show_in_their_own_outputs_alone) {
  Random random(43);
  for (int isa : sets()) {
    for (int type : {MR_F32, MR_F16, MR_BF16, MR_Q4_0, MR_Q4_1, MR_Q8_0, MR_Q6_K}) {
      for (uint16_t fault : {0x7e00, 0x7c00, 0xfc00}) {
        Product product(20);
        auto runner = product.runner(isa, 1, random.normals(kVocabulary * kWidth));
        std::vector<uint8_t> stored = random_stored(type, 20, kWidth, random);
        auto row = stored.size() / 20;
        size_t at = 7 * row + (type == MR_Q6_K ? 208 : 0);
        uint32_t single = fault == 0x7e00 ? 0x7fc00000u : fault == 0x7c00 ? 0x7f800000u : 0xff800000u;
        uint16_t brain = static_cast<uint16_t>(single >> 16);
        if (type == MR_F32) {
          std::memcpy(&stored[at], &single, 4);
        } else {
          std::memcpy(&stored[at], type == MR_BF16 ? &brain : &fault, 2);
        }
        runner->bind(product.matrix, type, 20, kWidth, stored);
        Sequence s;
        s.ids = {5, 6};
        runner->step({&s}, {2}, 0);
        std::vector<float> out = runner->read(product.out, 2, 20);
        for (size_t i = 0; i < 40; i++) CHECK(std::isfinite(out[i]) == (i % 20 != 7), "isa %d type %d output %zu", isa, type, i);
      }
    }
  }
}

TEST(more_threads_than_processors_give_the_same_bits) {
  Random random(44);
  Product product(600);
  std::vector<float> table = random.normals(kVocabulary * kWidth);
  std::vector<uint8_t> stored = random_stored(MR_Q4_0, 600, kWidth, random);
  std::vector<float> expected;
  for (int threads : {1, 2 * static_cast<int>(std::thread::hardware_concurrency()) + 3}) {
    auto runner = product.runner(MR_ISA_AUTO, threads, table);
    runner->bind(product.matrix, MR_Q4_0, 600, kWidth, stored);
    Sequence s;
    for (int i = 0; i < 30; i++) s.ids.push_back(i);
    runner->step({&s}, {30}, 0);
    std::vector<float> out = runner->read(product.out, 30, 600);
    if (expected.empty()) expected = out;
    CHECK(same_bits(out.data(), expected.data(), out.size()), "%d threads", threads);
  }
}

TEST(threads_and_instruction_sets_that_cannot_be_are_refused) {
  Product product(8);
  char error[256];
  auto status = [&](mr_options o) {
    mr_model* model = nullptr;
    int result = mr_create(&o, product.program.data(), static_cast<int64_t>(product.program.size()), &model, error, sizeof error);
    if (result == MR_OK) mr_free(model);
    return result;
  };
  CHECK(status(options(MR_ISA_AUTO, 0)) == MR_INVALID && std::strstr(error, "0 threads"), "%s", error);
  CHECK(status(options(MR_ISA_AUTO, 100000)) == MR_INVALID, "%s", error);
  CHECK(status(options(17, 1)) == MR_UNSUPPORTED && std::strstr(error, "17"), "%s", error);
}

TEST(a_setting_that_names_no_instruction_set_of_this_processor_is_said) {
  Product product(8);
  char error[256];
  auto create = [&](const char* named) {
    setenv("MILLRACE_ISA", named, 1);
    mr_options o = options(MR_ISA_AUTO, 1);
    mr_model* model = nullptr;
    error[0] = 0;
    int status = mr_create(&o, product.program.data(), static_cast<int64_t>(product.program.size()), &model, error, sizeof error);
    if (status == MR_OK) mr_free(model);
    return status;
  };
  CHECK(create("AVX-512") == MR_UNSUPPORTED && std::strstr(error, "'AVX-512'") && std::strstr(error, "avx512"), "%s", error);
  char text[256];
  CHECK(mr_device(nullptr, nullptr, text, sizeof text) == MR_UNSUPPORTED && std::strcmp(text, error) == 0, "%s", text);
  for (int isa = MR_ISA_PORTABLE; isa <= MR_ISA_AVX512; isa++) {
    bool there = isa_available(isa);
    CHECK(create(isa_name(isa)) == (there ? MR_OK : MR_UNSUPPORTED), "%s: %s", isa_name(isa), error);
    CHECK(there == (error[0] == 0), "%s: %s", isa_name(isa), error);
  }
  CHECK(create("auto") == MR_OK && create("") == MR_OK, "%s", error);
  unsetenv("MILLRACE_ISA");
}

}  // namespace millrace::test
