// Tensor cores that cut their sums, as the emulator imitates them.
#include <cmath>

#include "machine.h"
#include "models.h"
#include "products.h"

namespace millrace::test {
namespace {

constexpr int kOuts = 37;

double product_error(int columns, uint32_t seed) {
  Random random(seed);
  Products products(kOuts, columns, random);
  auto runner = products.p.runner(cuda_options(MR_PRECISION_F32));
  const std::vector<float> values = random.normals(static_cast<size_t>(kOuts * columns));
  runner->bind(products.weight, kOuts, columns, values);
  runner->bind(products.other, 11, columns, products.plain);
  const std::vector<int32_t> ids = {3, 1, 4, 15, 9, 2, 6, 5};
  OpProgram::run(*runner, ids);
  return products.error_of(runner->read(products.out, static_cast<int>(ids.size()), kOuts), ids, values, kOuts, true);
}

}  // namespace

// One sum of all columns is off by 1.6e-6 (Hopper) to 3.7e-6 (Ampere).
TEST(products_of_float32_stay_as_exact_where_a_chip_cuts_their_sums) {
  Machine kept;
  for (int columns : {64, 300, 640}) {
    emulator::machine().truncates = false;
    const double rounded = product_error(columns, 1);
    for (int major : {8, 9}) {
      emulator::machine().major = major;
      emulator::machine().truncates = true;
      const double cut = product_error(columns, 1);
      CHECK(cut < 5e-7 && cut > rounded, "%d columns, sm_%d0: %g, rounded %g", columns, major, cut, rounded);
    }
  }
}

TEST(a_sum_that_is_cut_is_no_number_where_an_addend_is_none) {
  Machine kept;
  emulator::machine().truncates = true;
  Random random(2);
  OpProgram p;
  std::vector<float> x = random.normals(static_cast<size_t>(OpProgram::kIds * 32));
  x[32 + 7] = NAN;
  x[2 * 32 + 7] = INFINITY;
  for (int i = 0; i < 32; i++) x[static_cast<size_t>(3 * 32 + i)] = 0;
  const int in = p.input(x, 32), weight = p.b.weight("w", 20, 32), out = p.b.rows(20);
  p.b.op(3, {in, 1, weight, 1, -1, 1, out});
  auto runner = p.runner(cuda_options(0));
  runner->bind(weight, 20, 32, random.normals(20 * 32));
  OpProgram::run(*runner, {0, 1, 2, 3});
  const std::vector<float> all = runner->read(out, 4, 20);
  for (size_t i = 0; i < 80; i++) CHECK(std::isfinite(all[i]) == (i / 20 == 0 || i / 20 == 3) && (i / 20 != 3 || all[i] == 0), "%zu is %g", i, all[i]);
}

}  // namespace millrace::test
