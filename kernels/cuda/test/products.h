// Products that tests compare with double precision.
#pragma once
#include <algorithm>

#include "op_program.h"
#include "pack.h"
#include "scalar.h"

namespace millrace::test {

// How far products of float32 by tensor cores may be off, which cut their sums; as the emulator cuts them (Machine::truncates) they are off by 2e-7.
inline constexpr double kFloat32Bound = 2e-6;

// A weight in groups of columns, and its values in the order of the input.
struct Grouped {
  int rows, columns;
  std::vector<uint8_t> codes, zeros;
  std::vector<float> scales, levels, values;
  std::vector<int32_t> order;
  mr_groups view{};

  Grouped(int type, int rows, int columns, int group, bool ordered, Random& random) : rows(rows), columns(columns) {
    const bool fp8 = type == MR_FP8, codebook = type == MR_CODEBOOK;
    const int most = type == MR_INT8 || fp8 ? 256 : 16;
    codes.resize(static_cast<size_t>(rows * columns));
    zeros.resize(static_cast<size_t>(rows * (columns / group)));
    scales = random.normals(zeros.size(), 0.02f);
    for (uint8_t& c : codes) c = static_cast<uint8_t>(random.below(most));
    // All ones are no number.
    for (uint8_t& c : codes) c = fp8 && (c & 127) == 127 ? 126 : c;
    for (uint8_t& z : zeros) z = static_cast<uint8_t>(random.below(most));
    for (int i = 0; i < 16; i++) levels.push_back(bf16_to_float(float_to_bf16(static_cast<float>(i - 7) / 8)));
    for (int k = 0; k < columns; k++) order.push_back(k);
    if (ordered) std::shuffle(order.begin(), order.end(), std::mt19937(4));
    view = {type, group, codes.data(), scales.data(), codebook || fp8 ? nullptr : zeros.data(), ordered ? order.data() : nullptr, codebook ? levels.data() : nullptr};
    values.resize(codes.size());
    for (int r = 0; r < rows; r++) widen_grouped(view, r, columns, &values[static_cast<size_t>(r * columns)]);
  }
  Grouped(const Grouped&) = delete;

  void bind(Runner& runner, int weight) const {
    char error[256] = "";
    CHECK(mr_bind_groups(runner.model(), weight, rows, columns, &view, error, sizeof error) == MR_OK, "%s", error);
  }
};

// Two products of one input: a stored weight with a bias, and another.
struct Products {
  OpProgram p;
  int columns, outs, weight, other, out, second;
  std::vector<float> x, bias, plain;

  Products(int outs, int columns, Random& random) : columns(columns), outs(outs) {
    x = random.normals(static_cast<size_t>(OpProgram::kIds * columns));
    bias = random.normals(static_cast<size_t>(outs));
    plain = random.normals(static_cast<size_t>(11 * columns));
    int in = p.input(x, columns);
    weight = p.b.weight("weight", outs, columns);
    other = p.b.weight("other", 11, columns);
    out = p.b.rows(outs);
    second = p.b.rows(11);
    p.b.op(3, {in, 2, weight, other, 2, p.vector(bias), -1, 2, out, second});
  }

  // `values`: the weight's, as its type defines them. Its products.
  std::vector<float> check(Runner& runner, const std::vector<float>& values, bool exact, const char* what, int rows = 11) {
    std::vector<int32_t> ids;
    for (int i = 0; i < rows; i++) ids.push_back(i * 5 % OpProgram::kIds);
    OpProgram::run(runner, ids);
    std::vector<float> actual = runner.read(out, rows, outs);
    compare(actual, ids, values, outs, true, exact ? kFloat32Bound : 6e-3, what);
    // Float32 weights are multiplied in float32 whatever the precision.
    compare(runner.read(second, rows, 11), ids, plain, 11, false, kFloat32Bound, "a float32 weight beside it");
    return actual;
  }

  // Of some rows of the input with a weight's values.
  void compare(const std::vector<float>& actual, const std::vector<int32_t>& ids, const std::vector<float>& values, int rows, bool with_bias, double bound,
               const char* what) const {
    const double error = error_of(actual, ids, values, rows, with_bias);
    CHECK(error < bound, "%s: %g", what, error);
  }

  double error_of(const std::vector<float>& actual, const std::vector<int32_t>& ids, const std::vector<float>& values, int rows, bool with_bias) const {
    std::vector<double> expected;
    for (int32_t id : ids) {
      for (int n = 0; n < rows; n++) {
        double sum = with_bias ? bias[static_cast<size_t>(n)] : 0;
        for (int k = 0; k < columns; k++) sum += static_cast<double>(x[static_cast<size_t>(id * columns + k)]) * values[static_cast<size_t>(n * columns + k)];
        expected.push_back(sum);
      }
    }
    return difference(actual.data(), expected.data(), actual.size());
  }
};

// Reads a weight as products have it: each row of the input is a one among zeros.
struct SingleOnes {
  OpProgram p;
  int columns, outs, weight, out;

  SingleOnes(int outs, int columns) : columns(columns), outs(outs) {
    std::vector<float> x(static_cast<size_t>(OpProgram::kIds * columns));
    for (int id = 0; id < OpProgram::kIds; id++) x[static_cast<size_t>(id * columns + column(id))] = 1;
    const int in = p.input(x, columns);
    weight = p.b.weight("weight", outs, columns);
    out = p.b.rows(outs);
    p.b.op(3, {in, 1, weight, 1, -1, 1, out});
  }

  int column(int id) const { return id * 53 % columns; }
  // Of values [outs, columns] those that read gives: of each id its column.
  std::vector<float> picked(const std::vector<float>& values) const {
    std::vector<float> some;
    for (int id = 0; id < OpProgram::kIds; id++) {
      for (int n = 0; n < outs; n++) some.push_back(values[static_cast<size_t>(n * columns + column(id))]);
    }
    return some;
  }
  std::vector<float> read(Runner& runner) const {
    std::vector<int32_t> ids;
    for (int id = 0; id < OpProgram::kIds; id++) ids.push_back(id);
    OpProgram::run(runner, ids);
    return runner.read(out, OpProgram::kIds, outs);
  }
};

}  // namespace millrace::test
