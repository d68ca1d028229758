#include <algorithm>

#include "core/route.h"
#include "op_program.h"
#include "scalar.h"

namespace millrace::test {
namespace {

constexpr int kIds = OpProgram::kIds;

std::vector<float> table(Random& random, int width, float scale = 1) { return random.normals(static_cast<size_t>(kIds * width), scale); }

// Rows of an op's output against f(id, value).
template <class Expected>
void compare(Runner& runner, const std::vector<int32_t>& ids, int out, int width, double bound, const char* what, const Expected& f) {
  std::vector<float> actual = runner.read(out, static_cast<int>(ids.size()), width);
  std::vector<double> expected;
  for (int32_t id : ids) {
    for (int i = 0; i < width; i++) expected.push_back(f(id, i));
  }
  double error = difference(actual.data(), expected.data(), actual.size());
  CHECK(error < bound, "%s of %d: %g", what, width, error);
}

const std::vector<int32_t> kRows = {3, 28, 0, 7, 7};

}  // namespace

TEST(norms_agree_with_double_precision) {
  Random random(1);
  for (auto [values, width] : {std::pair{40, 40}, {96, 24}, {600, 600}, {512, 256}}) {
    OpProgram p;
    std::vector<float> x = table(random, values, 3), w = random.normals(static_cast<size_t>(width));
    int in = p.input(x, values), out = p.b.rows(values);
    p.b.op(2, {in, p.vector(w), out, width, Builder::bits(1e-5f), Builder::bits(1)});
    auto runner = p.runner(cuda_options(0));
    OpProgram::run(*runner, kRows);
    compare(*runner, kRows, out, values, 1e-6, "norm", [&, values = values, width = width](int id, int i) {
      double sum = 0;
      const float* row = &x[static_cast<size_t>(id * values)];
      for (int j = i / width * width; j < i / width * width + width; j++) sum += static_cast<double>(row[j]) * row[j];
      return row[i] / std::sqrt(sum / width + 1e-5) * (w[static_cast<size_t>(i % width)] + 1.0);
    });
  }
}

TEST(elementwise_ops_agree_with_double_precision) {
  Random random(2);
  constexpr int kWidth = 72;
  std::vector<float> x = table(random, kWidth, 3), y = table(random, kWidth, 3), z = table(random, 3);
  OpProgram p;
  int a = p.input(x, kWidth), b = p.input(y, kWidth), gates = p.input(z, 3);
  int silu = p.b.rows(kWidth), gelu = p.b.rows(kWidth), sum = p.b.rows(kWidth), scaled = p.b.rows(kWidth), capped = p.b.rows(kWidth), gated = p.b.rows(kWidth);
  p.b.op(7, {a, b, silu, 0});
  p.b.op(7, {a, b, gelu, 1});
  p.b.op(8, {a, b, sum, Builder::bits(0.3f)});
  p.b.op(9, {a, scaled, Builder::bits(1.7f)});
  p.b.op(10, {a, capped, Builder::bits(2.5f)});
  p.b.op(14, {a, gates, gated});
  auto runner = p.runner(cuda_options(0));
  OpProgram::run(*runner, kRows);
  auto of = [&](const std::vector<float>& t, int id, int i, int width = 72) { return static_cast<double>(t[static_cast<size_t>(id * width + i)]); };
  compare(*runner, kRows, silu, kWidth, 1e-6, "silu", [&](int id, int i) { return of(x, id, i) / (1 + std::exp(-of(x, id, i))) * of(y, id, i); });
  compare(*runner, kRows, gelu, kWidth, 1e-5, "gelu", [&](int id, int i) {
    double v = of(x, id, i);
    return v / 2 * (1 + std::tanh(std::sqrt(2 / M_PI) * (v + 0.044715 * v * v * v))) * of(y, id, i);
  });
  compare(*runner, kRows, sum, kWidth, 1e-6, "add", [&](int id, int i) { return of(x, id, i) + of(y, id, i) * 0.3f; });
  compare(*runner, kRows, scaled, kWidth, 1e-6, "scale", [&](int id, int i) { return of(x, id, i) * 1.7f; });
  compare(*runner, kRows, capped, kWidth, 1e-6, "cap", [&](int id, int i) { return std::tanh(of(x, id, i) / 2.5) * 2.5; });
  compare(*runner, kRows, gated, kWidth, 1e-6, "sigmoid", [&](int id, int i) { return of(x, id, i) / (1 + std::exp(-of(z, id, i / 24, 3))); });
}

TEST(rotations_turn_both_layouts_at_every_position) {
  Random random(3);
  constexpr int kHeads = 3, kDim = 20, kDims = 12, kWidth = kHeads * kDim;
  for (int pairs : {0, 1}) {
    OpProgram p;
    std::vector<float> x = table(random, kWidth);
    int in = p.input(x, kWidth), out = p.b.rows(kWidth);
    p.b.op(4, {in, out, kHeads, kDim, kDims, pairs, 0});
    auto runner = p.runner(cuda_options(0));
    std::vector<float> frequencies;
    for (int i = 0; i < kDims / 2; i++) frequencies.push_back(std::pow(10000.0f, -2.0f * static_cast<float>(i) / kDims));
    CHECK(mr_rope(runner->model(), 0, frequencies.data(), kDims / 2, 1.2f, nullptr, 0) == MR_OK);
    Sequence s;
    for (int i = 0; i < 150; i++) s.ids.push_back(random.below(kIds));
    s.blocks.assign(10, 0);
    runner->step({&s}, {3}, 0);
    runner->step({&s}, {147}, 0);
    std::vector<float> actual = runner->read(out, 147, kWidth);
    std::vector<double> expected;
    for (int t = 3; t < 150; t++) {
      for (int i = 0; i < kWidth; i++) {
        int head = i / kDim * kDim, d = i % kDim;
        auto at = [&](int j) { return static_cast<double>(x[static_cast<size_t>(s.ids[static_cast<size_t>(t)] * kWidth + head + j)]); };
        if (d >= kDims) {
          expected.push_back(at(d));
          continue;
        }
        int k = pairs ? d / 2 : d % (kDims / 2);
        bool first = pairs ? d % 2 == 0 : d < kDims / 2;
        int partner = pairs ? d ^ 1 : (first ? d + kDims / 2 : d - kDims / 2);
        double angle = static_cast<float>(t) * frequencies[static_cast<size_t>(k)];
        expected.push_back((at(d) * std::cos(angle) + (first ? -1 : 1) * at(partner) * std::sin(angle)) * 1.2f);
      }
    }
    double error = difference(actual.data(), expected.data(), actual.size());
    CHECK(error < 1e-6, "pairs %d: %g", pairs, error);
  }
}

TEST(exponentials_and_roundings_are_those_of_the_host) {
  Random random(5);
  for (int i = 0; i < 4000; i++) {
    float x = random.normal() * (i % 2 ? 1 : 30);
    double e = std::exp(static_cast<double>(x));
    if (x > -87 && x < 88) CHECK(std::abs(cuda::exp_of(x) - e) <= e * 3e-7, "e^%g is %g", x, cuda::exp_of(x));
    CHECK(std::abs(cuda::tanh_of(x) - std::tanh(static_cast<double>(x))) < 3e-7, "tanh %g", x);
    CHECK(cuda::low_bf16(cuda::pack_bf16(x, 1)) == bf16_to_float(float_to_bf16(x)));
    CHECK(cuda::high_bf16(cuda::pack_bf16(1, x)) == bf16_to_float(float_to_bf16(x)));
    CHECK(std::abs(cuda::round_tf32(x) - x) <= std::abs(x) * 0x1p-11f);
  }
  CHECK(cuda::exp_of(0) == 1 && cuda::exp_of(-200) == 0 && cuda::exp_of(-INFINITY) == 0 && std::isnan(cuda::exp_of(NAN)));
}

TEST(floats_of_8_bits_are_rounded_to_the_nearest_and_to_even) {
  std::vector<double> values;
  for (int code = 0; code < 127; code++) {
    const int exponent = code >> 3, mantissa = code & 7;
    values.push_back(exponent == 0 ? std::ldexp(mantissa, -9) : std::ldexp(8 + mantissa, exponent - 10));
    for (int sign : {0, 128}) {
      const auto c = static_cast<uint8_t>(code | sign);
      CHECK(e4m3_to_float(c) == (sign ? -values.back() : values.back()), "code %d", c);
      CHECK(cuda::float_to_e4m3(e4m3_to_float(c)) == c, "code %d", c);
    }
  }
  CHECK(values.back() == 448 && std::isnan(e4m3_to_float(127)) && std::isnan(e4m3_to_float(255)));
  // What lies between two, and the middle, which goes to the even one.
  for (size_t i = 0; i + 1 < values.size(); i++) {
    const double middle = (values[i] + values[i + 1]) / 2;
    const auto even = static_cast<uint8_t>(i % 2 == 0 ? i : i + 1);
    CHECK(cuda::float_to_e4m3(static_cast<float>(middle)) == even, "the middle after %zu", i);
    CHECK(cuda::float_to_e4m3(std::nextafter(static_cast<float>(middle), 0.0f)) == i, "below the middle after %zu", i);
    CHECK(cuda::float_to_e4m3(std::nextafter(static_cast<float>(middle), 1e9f)) == i + 1, "above the middle after %zu", i);
  }
  CHECK(cuda::float_to_e4m3(460) == 126 && cuda::float_to_e4m3(-INFINITY) == 254 && cuda::float_to_e4m3(1e-9f) == 0 && cuda::float_to_e4m3(-0.0f) == 128);
  CHECK(cuda::float_to_e4m3(NAN) == 127);
  CHECK(cuda::pack_e4m3(1, -2) == (0x38 | 0xc0 << 8));
  float low, high;
  cuda::widen_e4m3(0xc038, low, high);
  CHECK(low == 1 && high == -2);
}

TEST(experts_are_chosen_by_probability_then_number) {
  auto chosen = [](cuda::Chosen how, std::vector<float> logits, std::vector<float>& weights) {
    std::vector<uint8_t> open(logits.size());
    std::vector<int32_t> ids(static_cast<size_t>(how.active));
    weights.resize(ids.size());
    cuda::choose(how, logits.data(), open.data(), ids.data(), weights.data());
    return ids;
  };
  std::vector<float> w;
  CHECK((chosen({6, 3, 1, 1, true, 2}, {1, 5, 5, 0, 9, 5}, w) == std::vector<int32_t>{1, 2, 4}));
  CHECK(std::abs(w[0] + w[1] + w[2] - 2) < 1e-6f && w[0] == w[1] && w[2] > w[0]);
  // The two groups with the best of all; a group's second best does not count.
  CHECK((chosen({8, 2, 4, 2, false, 1}, {0, 0, 7, 6, 8, 1, 5, 5}, w) == std::vector<int32_t>{2, 4}));
  CHECK((chosen({8, 3, 4, 2, false, 1}, {0, 0, 7, 6, 8, 1, 6.5f, 5}, w) == std::vector<int32_t>{2, 3, 4}));
}

}  // namespace millrace::test
