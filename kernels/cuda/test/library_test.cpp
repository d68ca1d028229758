// Products by cuBLASLt: under the emulator by one that multiplies by a plain loop, on a GPU by the real one where there is such.
#include <dlfcn.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>

#include "error.h"
#include "library.h"
#include "models.h"
#include "pack.h"
#include "products.h"
#include "scalar.h"

namespace millrace::test {
namespace {

constexpr int kFrom = 16;

// The plain one for as long as a test runs, and what it was asked for.
struct Plain {
#if MR_EMULATED
  void* library = dlopen(PLAIN_CUBLASLT, RTLD_NOW | RTLD_LOCAL);
  int64_t before = products();

  Plain() { setenv("MILLRACE_CUBLASLT", PLAIN_CUBLASLT, 1); }
  ~Plain() { unsetenv("MILLRACE_CUBLASLT"); }
  int64_t products() const { return count("plain_cublaslt_products"); }
  int64_t in_fp8() const { return count("plain_cublaslt_products_fp8"); }
  int64_t chosen() const { return count("plain_cublaslt_chosen"); }
  int64_t multiplied() const { return products() - before; }

 private:
  int64_t count(const char* name) const {
    auto* function = reinterpret_cast<int64_t (*)()>(dlsym(library, name));
    CHECK(function != nullptr, "%s", name);
    return function ? function() : -1;
  }
#endif
};

// Whether there is one; says so where there is none.
bool there() {
  try {
    cuda::Library library;
    return true;
  } catch (const Error& e) {
    std::printf("SKIPPED, %s\n", e.message.c_str());
    return false;
  }
}

mr_options library_options(int rows = kFrom) {
  mr_options o = cuda_options(MR_PRECISION_NATIVE);
  o.library_rows = rows;
  return o;
}

std::vector<float> widened(int type, int rows, int columns, const std::vector<uint8_t>& stored) {
  std::vector<float> values(static_cast<size_t>(rows * columns));
  for (int r = 0; r < rows; r++) widen_row(type, &stored[static_cast<size_t>(r * row_bytes(type, columns))], columns, &values[static_cast<size_t>(r * columns)]);
  return values;
}

}  // namespace

TEST(products_by_cublaslt_agree_with_double_precision_for_every_stored_type) {
  Plain plain;
  if (!there()) return;
  Random random(50);
  for (int type = 0; type < MR_TYPES; type++) {
    const int columns = kTypes[type].block_values == 1 ? 300 : kTypes[type].block_values == 32 ? 352 : 512;
    const std::vector<uint8_t> stored = random_stored(type, 37, columns, random);
    const std::vector<float> values = widened(type, 37, columns, stored);
    Products products(37, columns, random);
    auto runner = products.p.runner(library_options());
    auto own = products.p.runner(cuda_options(MR_PRECISION_NATIVE));
    for (Runner* r : {runner.get(), own.get()}) {
      r->bind(products.weight, type, 37, columns, stored);
      r->bind(products.other, 11, columns, products.plain);
    }
    CHECK(std::string(mr_numerics(runner->model())).find("-library16-") != std::string::npos, "%s", mr_numerics(runner->model()));
#if MR_EMULATED
    const int64_t before = plain.products();
#endif
    products.check(*runner, values, type == MR_F32, kTypes[type].name, 70);
    products.check(*runner, values, type == MR_F32, kTypes[type].name, kFrom);
#if MR_EMULATED
    CHECK((plain.products() > before) == (type != MR_F32), "%s: %lld products", kTypes[type].name, static_cast<long long>(plain.products() - before));
#endif
    // Fewer rows are ours, bit for bit.
    const std::vector<float> few = products.check(*runner, values, type == MR_F32, kTypes[type].name, kFrom - 1);
    const std::vector<float> wanted = products.check(*own, values, type == MR_F32, kTypes[type].name, kFrom - 1);
    CHECK(same_bits(few.data(), wanted.data(), few.size()), "%s", kTypes[type].name);
  }
}

TEST(products_by_cublaslt_of_weights_in_groups_agree_with_double_precision) {
  Plain plain;
  if (!there()) return;
  Random random(51);
  for (int type : {MR_INT8, MR_INT4, MR_CODEBOOK, MR_FP8}) {
    for (auto [columns, group, ordered] : {std::tuple{256, 32, false}, {384, 128, true}, {640, 640, false}}) {
      const int rows = 50;
      Grouped grouped(type, rows, columns, group, ordered, random);
      Products products(rows, columns, random);
      auto runner = products.p.runner(library_options());
      grouped.bind(*runner, products.weight);
      runner->bind(products.other, 11, columns, products.plain);
      products.check(*runner, grouped.values, false, "groups", 33);
    }
  }
}

TEST(cublaslt_gets_the_weights_that_our_products_have) {
  Plain plain;
  if (!there()) return;
  Random random(55);
  constexpr int kOuts = 37, kColumns = 512;
  SingleOnes ones(kOuts, kColumns);
  for (int type : {MR_BF16, MR_Q8_0, MR_Q4_0, MR_Q4_K, MR_Q5_K, MR_Q6_K, MR_IQ4_NL}) {
    const std::vector<uint8_t> stored = random_stored(type, kOuts, kColumns, random);
    auto own = ones.p.runner(cuda_options(MR_PRECISION_NATIVE)), library = ones.p.runner(library_options());
    for (Runner* r : {own.get(), library.get()}) r->bind(ones.weight, type, kOuts, kColumns, stored);
    const std::vector<float> ours = ones.read(*own), theirs = ones.read(*library);
    for (size_t i = 0; i < ours.size(); i++) CHECK(ours[i] == theirs[i], "%s: %g and %g", kTypes[type].name, ours[i], theirs[i]);
  }
}

TEST(weights_of_one_input_and_caps_go_to_cublaslt_too) {
  Plain plain;
  if (!there()) return;
  Llama llama;
  Random random(52);
  for (int type : {MR_BF16, MR_Q4_K}) {
    Sequence a = sequence(60, random), x = a, y = a;
    const std::vector<float> own = llama.runner(cuda_options(MR_PRECISION_F32), type, 1)->step({&x}, {60}, kVocabulary);
    const std::vector<double> expected(own.begin(), own.end());
#if MR_EMULATED
    const int64_t before = plain.products();
#endif
    auto runner = llama.runner(library_options(), type, 1);
    const std::vector<float> all = runner->step({&y}, {60}, kVocabulary);
    const double error = difference(all.data(), expected.data(), all.size());
    CHECK(error < 0.03 && error > 0, "type %d: %g", type, error);
#if MR_EMULATED
    // Queries, keys, values, what comes of them, gate, up, down and logits, some of them in slices.
    CHECK(plain.products() >= before + 8, "%lld", static_cast<long long>(plain.products() - before));
#endif
    CHECK(mr_graph_steps(runner->model()) == 0);
  }
}

// Its bucket has as many rows as the library is asked from, itself it has fewer.
TEST(a_step_that_is_repeated_just_below_the_rows_of_cublaslt_keeps_its_bits) {
  Plain plain;
  if (!there()) return;
  Llama llama;
  Random random(57);
  auto runner = llama.runner(library_options(), MR_BF16, 1);
  for (int rows : {kFrom - 4, kFrom - 1, kFrom}) {
    const Sequence a = sequence(rows, random);
    std::vector<float> first;
#if MR_EMULATED
    const int64_t before = plain.products();
#endif
    for (int i = 0; i < 3; i++) {
      Sequence same = a;
      same.blocks = {0};
      const std::vector<float> all = runner->step({&same}, {rows}, kVocabulary);
      if (i == 0) first = all;
      CHECK(same_bits(all.data(), first.data(), first.size()), "%d rows, time %d", rows, i);
    }
#if MR_EMULATED
    CHECK((plain.products() > before) == (rows >= kFrom), "%d rows: %lld products", rows, static_cast<long long>(plain.products() - before));
#endif
    // The bucket of 12 rows is a graph.
    CHECK(mr_graph_steps(runner->model()) == 2, "%d rows: %lld", rows, static_cast<long long>(mr_graph_steps(runner->model())));
  }
}

TEST(a_way_to_multiply_is_chosen_once_for_each_shape) {
  Plain plain;
  if (!there()) return;
  Random random(53);
  Products products(37, 96, random);
  auto runner = products.p.runner(library_options());
  const std::vector<uint8_t> stored = random_stored(MR_BF16, 37, 96, random);
  const std::vector<float> values = widened(MR_BF16, 37, 96, stored);
  runner->bind(products.weight, MR_BF16, 37, 96, stored);
  runner->bind(products.other, 11, 96, products.plain);
  const std::vector<float> first = products.check(*runner, values, false, "first", 33);
#if MR_EMULATED
  const int64_t chosen = plain.chosen();
#endif
  const std::vector<float> again = products.check(*runner, values, false, "again", 33);
  products.check(*runner, values, false, "rows that are filled up to as many", 40);
#if MR_EMULATED
  CHECK(plain.chosen() == chosen, "%lld more", static_cast<long long>(plain.chosen() - chosen));
#endif
  CHECK(same_bits(first.data(), again.data(), first.size()));
}

#if MR_EMULATED
namespace {

// Rows in e4m3 with a factor each, as floats.
std::vector<float> quantised(const std::vector<float>& x, int columns) {
  std::vector<float> all = x;
  for (size_t at = 0; at < all.size(); at += static_cast<size_t>(columns)) {
    float most = 0;
    for (int i = 0; i < columns; i++) most = std::max(most, std::abs(x[at + static_cast<size_t>(i)]));
    for (int i = 0; i < columns; i++) all[at + static_cast<size_t>(i)] = e4m3_to_float(cuda::float_to_e4m3(x[at + static_cast<size_t>(i)] * (448.0f / most))) * (most / 448.0f);
  }
  return all;
}

}  // namespace

// The second weight has blocks of columns, and so takes the input in bf16.
TEST(cublaslt_multiplies_fp8_weights_of_rows_with_fp8_inputs) {
  Plain plain;
  Random random(55);
  const int outs = 50, columns = 288;
  for (int rows : {40, kFrom - 1}) {
    Products products(outs, columns, random);
    Grouped of_rows(MR_FP8, outs, columns, columns, false, random), of_blocks(MR_FP8, 11, columns, 32, false, random);
    mr_options o = library_options();
    o.precision = MR_PRECISION_FP8;
    auto runner = products.p.runner(o);
    CHECK(std::string(mr_numerics(runner->model())).find("-fp8-library16-") != std::string::npos, "%s", mr_numerics(runner->model()));
    of_rows.bind(*runner, products.weight);
    of_blocks.bind(*runner, products.other);
    std::vector<int32_t> ids;
    for (int i = 0; i < rows; i++) ids.push_back(i * 7 % OpProgram::kIds);
    const int64_t before = plain.products(), before_fp8 = plain.in_fp8();
    OpProgram::run(*runner, ids);
    products.compare(runner->read(products.second, rows, 11), ids, of_blocks.values, 11, false, 6e-3, "blocks of columns");
    const bool many = rows >= kFrom;
    if (many) products.x = quantised(products.x, columns);
    products.compare(runner->read(products.out, rows, outs), ids, of_rows.values, outs, true, many ? 1e-5 : 6e-3, "a scale a row");
    CHECK((plain.in_fp8() > before_fp8) == many && (plain.products() - before > plain.in_fp8() - before_fp8) == many);
  }
}

TEST(a_row_that_is_no_number_stays_one_in_fp8) {
  Plain plain;
  Random random(56);
  Products products(20, 96, random);
  products.x[static_cast<size_t>(4 * 96 + 9)] = NAN;
  products.x[static_cast<size_t>(6 * 96 + 1)] = INFINITY;
  for (int i = 0; i < 96; i++) products.x[static_cast<size_t>(7 * 96 + i)] = 0;
  OpProgram p;
  const int in = p.input(products.x, 96), weight = p.b.weight("w", 20, 96), out = p.b.rows(20);
  p.b.op(3, {in, 1, weight, 1, -1, 1, out});
  mr_options o = library_options(1);
  o.precision = MR_PRECISION_FP8;
  auto runner = p.runner(o);
  Grouped(MR_FP8, 20, 96, 96, false, random).bind(*runner, weight);
  OpProgram::run(*runner, {3, 4, 5, 6, 7});
  const std::vector<float> all = runner->read(out, 5, 20);
  for (size_t i = 0; i < 100; i++) {
    CHECK(std::isnan(all[i]) == (i / 20 == 1 || i / 20 == 3), "%zu is %g", i, all[i]);
    CHECK(i / 20 != 4 || all[i] == 0, "%zu is %g", i, all[i]);
  }
}

TEST(fp8_activations_want_a_chip_that_multiplies_them_and_cublaslt) {
  Plain plain;
  OpProgram p;
  p.input(std::vector<float>(OpProgram::kIds * 32), 32);
  const std::vector<int32_t> program = p.b.encode();
  mr_options o = library_options();
  o.precision = MR_PRECISION_FP8;
  mr_model* model = nullptr;
  char text[512] = "";
  const int major = emulator::machine().major;
  emulator::machine().major = 8;
  CHECK(mr_create(&o, program.data(), static_cast<int64_t>(program.size()), &model, text, sizeof text) == MR_UNSUPPORTED && std::string(text).find("sm_89") != std::string::npos, "%s", text);
  emulator::machine().major = major;
  o.library_rows = 0;
  CHECK(mr_create(&o, program.data(), static_cast<int64_t>(program.size()), &model, text, sizeof text) == MR_UNSUPPORTED && std::string(text).find("cuBLASLt") != std::string::npos, "%s", text);
}

TEST(what_cublaslt_has_no_way_for_is_ours) {
  Plain plain;
  Random random(54);
  // The plain one has none for 160 columns.
  Products products(37, 160, random);
  auto runner = products.p.runner(library_options());
  const std::vector<uint8_t> stored = random_stored(MR_Q8_0, 37, 160, random);
  runner->bind(products.weight, MR_Q8_0, 37, 160, stored);
  runner->bind(products.other, 11, 160, products.plain);
  products.check(*runner, widened(MR_Q8_0, 37, 160, stored), false, "ours", 40);
  CHECK(plain.multiplied() == 0);
}

TEST(cublaslt_that_is_not_there_is_said_with_what_to_do) {
  OpProgram p;
  p.input(std::vector<float>(OpProgram::kIds * 32), 32);
  const std::vector<int32_t> program = p.b.encode();
  auto refuses = [&](const char* part) {
    mr_options o = library_options();
    mr_model* model = nullptr;
    char text[512] = "";
    CHECK(mr_create(&o, program.data(), static_cast<int64_t>(program.size()), &model, text, sizeof text) == MR_UNSUPPORTED, "%s", text);
    CHECK(std::string(text).find(part) != std::string::npos && std::string(text).find("MILLRACE_CUBLASLT") != std::string::npos, "%s", text);
  };
  setenv("MILLRACE_CUBLASLT", "/nowhere/libcublasLt.so", 1);
  refuses("/nowhere/libcublasLt.so");
  // A library without its functions.
  setenv("MILLRACE_CUBLASLT", NVTX_RECORDER, 1);
  refuses("no cublasLtCreate");
  unsetenv("MILLRACE_CUBLASLT");
  mr_options o = library_options(-1);
  mr_model* model = nullptr;
  char text[512] = "";
  CHECK(mr_create(&o, program.data(), static_cast<int64_t>(program.size()), &model, text, sizeof text) == MR_INVALID, "%s", text);
  // Float32 throughout needs none.
  o = library_options();
  o.precision = MR_PRECISION_F32;
  CHECK(mr_create(&o, program.data(), static_cast<int64_t>(program.size()), &model, text, sizeof text) == MR_OK, "%s", text);
  CHECK(std::string(mr_numerics(model)).find("library") == std::string::npos);
  mr_free(model);
}
#endif

}  // namespace millrace::test
