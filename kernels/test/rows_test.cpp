#include "check.h"
#include "route.h"
#include "scalar.h"

namespace millrace::test {

TEST(norms_agree_with_double_precision) {
  Random random(6);
  for (const Kernels* k : all_kernels()) {
    for (int width : {1, 7, 16, 64, 100, 576}) {
      int n = width * 3;
      std::vector<float> x = random.normals(static_cast<size_t>(n), 2);
      std::vector<float> w = random.normals(static_cast<size_t>(width));
      std::vector<float> out(static_cast<size_t>(n), NAN);
      k->rms_norm(x.data(), w.data(), out.data(), n, width, 1e-5f, 1);
      std::vector<double> expected;
      for (int i = 0; i < n; i++) {
        double squares = 0;
        for (int j = 0; j < width; j++) squares += std::pow(x[static_cast<size_t>(i / width * width + j)], 2);
        expected.push_back(x[static_cast<size_t>(i)] / std::sqrt(squares / width + 1e-5) * (w[static_cast<size_t>(i % width)] + 1.0));
      }
      double error = difference(out.data(), expected.data(), out.size());
      CHECK(error < 1e-6, "%s width %d: %g", k->name, width, error);
    }
  }
}

TEST(rotations_turn_both_layouts) {
  Random random(7);
  for (const Kernels* k : all_kernels()) {
    for (bool pairs : {false, true}) {
      for (int dims : {2, 12, 32, 64}) {
        int heads = 3;
        int head_dim = 64;
        std::vector<float> x = random.normals(static_cast<size_t>(heads * head_dim));
        std::vector<float> cos(static_cast<size_t>(dims / 2)), sin(cos.size());
        for (size_t i = 0; i < cos.size(); i++) {
          cos[i] = std::cos(static_cast<float>(i) * 0.7f);
          sin[i] = std::sin(static_cast<float>(i) * 0.7f);
        }
        std::vector<float> out(x.size(), NAN);
        k->rope(x.data(), out.data(), heads, head_dim, dims, pairs, cos.data(), sin.data());
        std::vector<double> expected(x.begin(), x.end());
        for (int h = 0; h < heads; h++) {
          for (int i = 0; i < dims / 2; i++) {
            size_t a = static_cast<size_t>(h * head_dim + (pairs ? 2 * i : i));
            size_t b = static_cast<size_t>(h * head_dim + (pairs ? 2 * i + 1 : i + dims / 2));
            double c = cos[static_cast<size_t>(i)], s = sin[static_cast<size_t>(i)];
            expected[a] = x[a] * c - x[b] * s;
            expected[b] = x[b] * c + x[a] * s;
          }
        }
        CHECK(difference(out.data(), expected.data(), out.size()) < 1e-6, "%s dims %d", k->name, dims);
      }
    }
  }
}

TEST(elementwise_ops_agree_with_double_precision) {
  Random random(8);
  for (const Kernels* k : all_kernels()) {
    int n = 83;
    std::vector<float> a = random.normals(static_cast<size_t>(n), 4);
    std::vector<float> b = random.normals(static_cast<size_t>(n), 4);
    a[0] = -1000;
    a[1] = 1000;
    a[2] = 0;
    std::vector<float> out(static_cast<size_t>(n), NAN);
    auto check = [&](const char* what, auto expected) {
      std::vector<double> wanted;
      for (int i = 0; i < n; i++) wanted.push_back(expected(static_cast<double>(a[static_cast<size_t>(i)]), static_cast<double>(b[static_cast<size_t>(i)])));
      double error = difference(out.data(), wanted.data(), out.size());
      CHECK(error < 1e-6, "%s %s: %g", k->name, what, error);
      out.assign(out.size(), NAN);
    };
    k->gated(a.data(), b.data(), out.data(), n, 0);
    check("silu", [](double x, double y) { return x / (1 + std::exp(-x)) * y; });
    k->gated(a.data(), b.data(), out.data(), n, 1);
    check("gelu", [](double x, double y) { return x / 2 * (1 + std::tanh(std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x))) * y; });
    k->add(a.data(), b.data(), out.data(), n, 1);
    check("add", [](double x, double y) { return x + y; });
    k->add(a.data(), b.data(), out.data(), n, 0.3f);
    check("add scaled", [](double x, double y) { return x + y * static_cast<double>(0.3f); });
    k->scale(a.data(), out.data(), n, 0.3f);
    check("scale", [](double x, double) { return x * static_cast<double>(0.3f); });
    k->soft_cap(a.data(), out.data(), n, 5);
    check("soft cap", [](double x, double) { return std::tanh(x / 5) * 5; });
    for (int gates : {1, 83}) {
      k->sigmoid_scale(a.data(), b.data(), out.data(), n, gates);
      std::vector<double> wanted;
      for (size_t i = 0; i < a.size(); i++) wanted.push_back(a[i] / (1 + std::exp(-static_cast<double>(b[gates == 1 ? 0 : i]))));
      CHECK(difference(out.data(), wanted.data(), out.size()) < 1e-6, "%s %d gates", k->name, gates);
    }
    double product = 0;
    for (size_t i = 0; i < a.size(); i++) product += static_cast<double>(a[i]) * b[i];
    CHECK(std::fabs(k->dot(a.data(), b.data(), n) - product) < 1e-5 * (1 + std::fabs(product)) + 2e-3, "%s", k->name);
    a[5] = NAN;
    k->gated(a.data(), b.data(), out.data(), n, 0);
    CHECK(std::isnan(out[5]) && !std::isnan(out[4]));
    k->soft_cap(a.data(), out.data(), n, 5);
    CHECK(std::isnan(out[5]) && !std::isnan(out[4]));
  }
}

TEST(bf16_rows_round_as_single_values_do) {
  Random random(10);
  for (const Kernels* k : all_kernels()) {
    for (int n : {1, 16, 45}) {
      std::vector<float> x = random.normals(static_cast<size_t>(n), 100);
      x[0] = NAN;
      if (n > 20) {
        x[1] = INFINITY;
        x[2] = -3.4e38f;
        x[3] = bits_to_float(0x3f808000);
        x[4] = bits_to_float(0x3f818000);
        x[5] = 1e-40f;
        x[20] = -NAN;
      }
      int padded = (n + 1) / 2 * 2;
      std::vector<uint16_t> out(static_cast<size_t>(padded + 1), 0xeeee);
      k->to_bf16(x.data(), n, padded, out.data());
      for (int i = 0; i < padded; i++) {
        auto at = static_cast<size_t>(i);
        CHECK(out[at] == (i < n ? float_to_bf16(x[at]) : 0), "%s value %d of %d", k->name, i, n);
      }
      CHECK(out[static_cast<size_t>(padded)] == 0xeeee, "%s written beyond the row", k->name);
    }
  }
}

TEST(int8_rows_hold_values_and_sums) {
  Random random(9);
  for (const Kernels* k : all_kernels()) {
    int n = 83;
    int padded = 96;
    std::vector<float> x = random.normals(static_cast<size_t>(n), 10);
    std::vector<uint8_t> row(static_cast<size_t>(QuantRow::bytes(padded)), 0xee);
    k->quantise(x.data(), n, padded, row.data());
    for (int block = 0; block < padded / 32; block++) {
      float scale, product;
      int32_t sum;
      std::memcpy(&scale, &row[static_cast<size_t>(QuantRow::scales(padded) + 4 * block)], 4);
      std::memcpy(&sum, &row[static_cast<size_t>(QuantRow::sums32(padded) + 4 * block)], 4);
      std::memcpy(&product, &row[static_cast<size_t>(QuantRow::products32(padded) + 4 * block)], 4);
      int32_t total = 0;
      for (int i = 32 * block; i < 32 * block + 32; i++) {
        auto q = static_cast<int8_t>(row[static_cast<size_t>(i)]);
        total += q;
        float value = i < n ? x[static_cast<size_t>(i)] : 0;
        CHECK(std::fabs(scale * q - value) <= scale * 0.501f, "%s value %d", k->name, i);
      }
      CHECK(total == sum && product == scale * static_cast<float>(sum), "%s block %d", k->name, block);
    }
  }
}

TEST(experts_are_chosen_by_probability_then_number) {
  float logits[8] = {1, 3, 3, 0, 2, 2, 2, -1};
  int32_t ids[3];
  float weights[3];
  choose_experts({8, 3, 1, 1, true, 2}, logits, ids, weights);
  CHECK(ids[0] == 1 && ids[1] == 2 && ids[2] == 4);
  CHECK(std::fabs(weights[0] + weights[1] + weights[2] - 2) < 1e-6f && weights[0] == weights[1] && weights[2] < weights[0]);
  float grouped[8] = {1, 0, 5, -9, 2, 2, 3, 3};
  choose_experts({8, 3, 4, 2, false, 1}, grouped, ids, weights);
  CHECK(ids[0] == 2 && ids[1] == 6 && ids[2] == 7, "%d %d %d", ids[0], ids[1], ids[2]);
  CHECK(std::fabs(weights[0] - std::exp(5.0) / (std::exp(1.0) + 1 + std::exp(5.0) + std::exp(-9.0) + 2 * std::exp(2.0) + 2 * std::exp(3.0))) < 1e-6);
}

}  // namespace millrace::test
