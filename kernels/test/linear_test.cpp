#include "check.h"
#include "input.h"
#include "memory.h"
#include "pack.h"

namespace millrace::test {
namespace {

struct Matrix {
  Packed packed;
  Memory memory;
  std::vector<float> values;  // [rows, columns]
};

Matrix matrix(const Kernels& k, int type, int rows, int columns, Random& random) {
  Matrix m;
  std::vector<uint8_t> stored = random_stored(type, rows, columns, random);
  int64_t row = row_bytes(type, columns);
  m.packed = layout(type, rows, columns, k.lanes, k.panels);
  m.memory = Memory(packed_bytes(m.packed));
  m.packed.data = m.memory.data();
  for (int g = 0; g < m.packed.groups; g++) {
    pack_group(m.packed, stored.data() + g * k.lanes * k.panels * row, g, k.offset_codes, m.memory.data() + g * m.packed.group_bytes);
  }
  m.values.resize(static_cast<size_t>(rows * columns));
  for (int r = 0; r < rows; r++) widen_row(type, stored.data() + r * row, columns, &m.values[static_cast<size_t>(r * columns)]);
  return m;
}

bool narrow(const Kernels& k, int type) { return type == MR_BF16 && k.bf16_rows; }

// Rows of activations in the form that a type wants.
struct Activations {
  Input forms;
  std::vector<float> values;
  LinearTask task{};
};

Activations activations(const Kernels& k, const Matrix& w, const std::vector<float>& x, int rows) {
  int n = w.packed.columns;
  Activations a;
  a.values = x;
  a.forms.start(k, n, rows);
  a.forms.want(w.packed);
  a.forms.allocate();
  for (int r = 0; r < rows; r++) a.forms.make(r, &x[static_cast<size_t>(r * n)]);
  a.task.w = &w.packed;
  a.forms.give({a.values.data(), n}, a.task);
  return a;
}

// What the int8 form stands for.
double quantised_value(const Activations& in, int row, int n, int i) {
  const uint8_t* p = static_cast<const uint8_t*>(in.task.x) + row * in.task.x_stride;
  float scale;
  std::memcpy(&scale, p + QuantRow::scales(n) + i / 32 * 4, 4);
  return static_cast<double>(scale) * static_cast<int8_t>(p[i]);
}

void multiply(const Kernels& k, const Matrix& w, const Activations& in, int rows, std::vector<float>& out, const float* bias, float factor) {
  out.assign(static_cast<size_t>(rows * (w.packed.rows + 3)), NAN);
  LinearTask t = in.task;
  t.out = {out.data(), w.packed.rows + 3};
  t.bias = bias;
  t.factor = factor;
  t.row1 = rows;
  t.group1 = w.packed.groups;
  k.linear(t);
}

}  // namespace

TEST(products_agree_with_double_precision) {
  Random random(2);
  for (const Kernels* k : all_kernels()) {
    for (int type = 0; type < MR_TYPES; type++) {
      int n = is_quantised(type) ? 768 : 531;
      int outs = 83;
      int rows = 7;
      Matrix w = matrix(*k, type, outs, n, random);
      std::vector<float> x = random.normals(static_cast<size_t>(rows * n), 3);
      std::vector<float> bias = random.normals(static_cast<size_t>(outs));
      Activations in = activations(*k, w, x, rows);
      std::vector<float> out;
      multiply(*k, w, in, rows, out, bias.data(), 0.5f);
      std::vector<float> actual;
      std::vector<double> exact, rounded;
      for (int r = 0; r < rows; r++) {
        for (int o = 0; o < outs; o++) {
          double a = 0, b = 0;
          for (int i = 0; i < n; i++) {
            double value = w.values[static_cast<size_t>(o * n + i)];
            a += value * x[static_cast<size_t>(r * n + i)];
            b += value * (is_quantised(type) ? quantised_value(in, r, n, i) : x[static_cast<size_t>(r * n + i)]);
          }
          exact.push_back(a * 0.5 + bias[static_cast<size_t>(o)]);
          rounded.push_back(b * 0.5 + bias[static_cast<size_t>(o)]);
          actual.push_back(out[static_cast<size_t>(r * (outs + 3) + o)]);
        }
        for (int o = outs; o < outs + 3; o++) CHECK(std::isnan(out[static_cast<size_t>(r * (outs + 3) + o)]), "written beyond the row");
      }
      double error = difference(actual.data(), exact.data(), actual.size());
      double bound = is_quantised(type) || narrow(*k, type) ? 1e-2 : 1e-5;
      CHECK(error < bound, "%s %s: %g", k->name, kTypes[type].name, error);
      if (is_quantised(type)) {
        error = difference(actual.data(), rounded.data(), actual.size());
        CHECK(error < 1e-5, "%s %s of the rounded activations: %g", k->name, kTypes[type].name, error);
      }
    }
  }
}

TEST(bits_of_a_row_do_not_depend_on_the_rows_beside_it) {
  Random random(3);
  for (const Kernels* k : all_kernels()) {
    for (int type = 0; type < MR_TYPES; type++) {
      int n = 256;
      int outs = 41;
      int most = 14;
      Matrix w = matrix(*k, type, outs, n, random);
      std::vector<float> x = random.normals(static_cast<size_t>(most * n));
      std::vector<float> all, some;
      multiply(*k, w, activations(*k, w, x, most), most, all, nullptr, 1);
      for (int rows = 1; rows < most; rows++) {
        multiply(*k, w, activations(*k, w, x, rows), rows, some, nullptr, 1);
        for (int r = 0; r < rows; r++) {
          auto at = static_cast<size_t>(r * (outs + 3));
          CHECK(same_bits(&all[at], &some[at], static_cast<size_t>(outs)), "%s %s row %d of %d", k->name, kTypes[type].name, r, rows);
        }
      }
    }
  }
}

TEST(a_fault_in_an_activation_shows_in_every_output_of_its_row) {
  Random random(4);
  for (const Kernels* k : all_kernels()) {
    for (int type : {MR_F32, MR_BF16, MR_Q4_0, MR_Q4_1, MR_Q8_0, MR_Q6_K}) {
      for (float fault : {NAN, INFINITY}) {
        Matrix w = matrix(*k, type, 16, 256, random);
        std::vector<float> x = random.normals(512);
        x[100] = fault;
        std::vector<float> out;
        multiply(*k, w, activations(*k, w, x, 2), 2, out, nullptr, 1);
        for (size_t o = 0; o < 16; o++) {
          CHECK(!std::isfinite(out[o]) || w.values[o * 256 + 100] == 0, "%s %s", k->name, kTypes[type].name);
          CHECK(std::isfinite(out[19 + o]), "%s %s", k->name, kTypes[type].name);
        }
      }
    }
  }
}

TEST(zeros_and_extremes_are_exact) {
  for (const Kernels* k : all_kernels()) {
    Random random(5);
    Matrix w = matrix(*k, MR_Q8_0, 16, 64, random);
    std::vector<float> x(64, 0.0f);
    std::vector<float> out;
    multiply(*k, w, activations(*k, w, x, 1), 1, out, nullptr, 1);
    for (size_t o = 0; o < 16; o++) CHECK(out[o] == 0);
    for (float& v : x) v = 1e-38f;
    multiply(*k, w, activations(*k, w, x, 1), 1, out, nullptr, 1);
    for (size_t o = 0; o < 16; o++) CHECK(std::fabs(out[o]) < 1e-36f);
    for (float& v : x) v = 1e30f;
    multiply(*k, w, activations(*k, w, x, 1), 1, out, nullptr, 1);
    for (size_t o = 0; o < 16; o++) CHECK(std::isfinite(out[o]));
  }
}

}  // namespace millrace::test
