#include <algorithm>

#include "kernels/tiling.h"
#include "pack.h"
#include "products.h"
#include "scalar.h"

namespace millrace::test {
namespace {

constexpr int kIds = OpProgram::kIds;

}  // namespace

TEST(products_of_every_stored_type_agree_with_double_precision) {
  Random random(20);
  for (int type = 0; type < MR_TYPES; type++) {
    // Rows that fill no tile, columns that fill no step and no chunk where the type allows it.
    int columns = kTypes[type].block_values == 1 ? 300 : kTypes[type].block_values == 32 ? 352 : 512;
    std::vector<uint8_t> stored = random_stored(type, 37, columns, random);
    std::vector<float> values(static_cast<size_t>(37 * columns));
    for (int r = 0; r < 37; r++) {
      widen_row(type, &stored[static_cast<size_t>(r * row_bytes(type, columns))], columns, &values[static_cast<size_t>(r * columns)]);
    }
    for (int precision : {MR_PRECISION_NATIVE, MR_PRECISION_F32}) {
      Products products(37, columns, random);
      auto runner = products.p.runner(cuda_options(precision));
      runner->bind(products.weight, type, 37, columns, stored);
      runner->bind(products.other, 11, columns, products.plain);
      products.check(*runner, values, precision == MR_PRECISION_F32 || type == MR_F32, kTypes[type].name);
    }
  }
}

TEST(products_of_weights_in_groups_agree_with_double_precision) {
  Random random(21);
  for (int type : {MR_INT8, MR_INT4, MR_CODEBOOK, MR_FP8}) {
    for (auto [columns, group, ordered] : {std::tuple{256, 32, false}, {384, 128, true}, {1280, 640, false}, {1920, 96, false}}) {
      const int rows = 19;
      Grouped grouped(type, rows, columns, group, ordered, random);
      for (int precision : {MR_PRECISION_NATIVE, MR_PRECISION_F32}) {
        Products products(rows, columns, random);
        auto runner = products.p.runner(cuda_options(precision));
        grouped.bind(*runner, products.weight);
        runner->bind(products.other, 11, columns, products.plain);
        products.check(*runner, grouped.values, precision == MR_PRECISION_F32, "groups");
      }
    }
  }
}

TEST(weights_of_codes_are_rounded_once_with_their_factors) {
  Random random(29);
  constexpr int kOuts = 37, kColumns = 512;
  auto check = [&](const std::vector<float>& actual, const std::vector<float>& exact, bool rounded, const char* what) {
    double square = 0;
    for (float w : exact) square += static_cast<double>(w) * w;
    const double size = std::sqrt(square / static_cast<double>(exact.size()));
    int different = 0;
    for (size_t i = 0; i < exact.size(); i++) {
      // Half of the last of 8 bits, where it counts most; and what the 128 before a code leaves of a factor of many bits.
      const double bound = std::abs(exact[i]) / 256 + 1e-5 * size;
      CHECK(std::abs(static_cast<double>(actual[i]) - exact[i]) <= (rounded ? bound : 1e-6 * size), "%s: %g is %g", what, exact[i], actual[i]);
      CHECK(!rounded || bf16_to_float(float_to_bf16(actual[i])) == actual[i], "%s: %g is not of 8 bits", what, actual[i]);
      different += actual[i] != exact[i];
    }
    CHECK(!rounded || different > 0, "%s", what);
  };
  SingleOnes ones(kOuts, kColumns);
  for (int precision : {MR_PRECISION_NATIVE, MR_PRECISION_F32}) {
    for (int type = 0; type < MR_TYPES; type++) {
      if (!is_quantised(type)) continue;
      const std::vector<uint8_t> stored = random_stored(type, kOuts, kColumns, random);
      std::vector<float> values(kOuts * kColumns);
      for (int r = 0; r < kOuts; r++) widen_row(type, &stored[static_cast<size_t>(r * row_bytes(type, kColumns))], kColumns, &values[static_cast<size_t>(r * kColumns)]);
      auto runner = ones.p.runner(cuda_options(precision));
      runner->bind(ones.weight, type, kOuts, kColumns, stored);
      const std::vector<float> actual = ones.read(*runner), exact = ones.picked(values);
      check(actual, exact, precision == MR_PRECISION_NATIVE, kTypes[type].name);
      // Where nothing is subtracted a zero is one.
      if (kTypes[type].scales == Scales::kHalfMin || kTypes[type].scales == Scales::kSuper32Min || kTypes[type].scales == Scales::kSuper16Min) continue;
      for (size_t i = 0; i < exact.size(); i++) CHECK(exact[i] != 0 || actual[i] == 0, "%s: 0 is %g", kTypes[type].name, actual[i]);
    }
    for (int type : {MR_INT8, MR_INT4, MR_CODEBOOK, MR_FP8}) {
      Grouped grouped(type, kOuts, kColumns, 128, false, random);
      auto runner = ones.p.runner(cuda_options(precision));
      grouped.bind(*runner, ones.weight);
      check(ones.read(*runner), ones.picked(grouped.values), precision == MR_PRECISION_NATIVE, "groups");
    }
  }
}

TEST(embeddings_of_every_type_are_its_values) {
  Random random(22);
  for (int type = 0; type < MR_TYPES; type++) {
    std::vector<uint8_t> stored = random_stored(type, 21, 256, random);
    Builder b;
    int table = b.weight("table", 21, 256), out = b.rows(256);
    b.op(1, {table, out, Builder::bits(1)});
    mr_options o = cuda_options(0);
    o.keep_activations = 1;
    Runner runner(b.encode(), o, {}, 1);
    runner.bind(table, type, 21, 256, stored);
    OpProgram::run(runner, {20, 3});
    std::vector<float> actual = runner.read(out, 2, 256), expected(512);
    for (int i = 0; i < 2; i++) widen_row(type, &stored[static_cast<size_t>((i == 0 ? 20 : 3) * row_bytes(type, 256))], 256, &expected[static_cast<size_t>(i * 256)]);
    // Zeros may differ in sign.
    CHECK(actual == expected, "%s", kTypes[type].name);
  }
}

TEST(embeddings_in_groups_are_their_values) {
  Random random(26);
  for (int type : {MR_INT8, MR_INT4, MR_CODEBOOK, MR_FP8}) {
    Grouped grouped(type, 21, 256, 64, false, random);
    Builder b;
    int table = b.weight("table", 21, 256), out = b.rows(256);
    b.op(1, {table, out, Builder::bits(1)});
    mr_options o = cuda_options(0);
    o.keep_activations = 1;
    Runner runner(b.encode(), o, {}, 1);
    grouped.bind(runner, table);
    OpProgram::run(runner, {20, 3});
    const std::vector<float> actual = runner.read(out, 2, 256);
    for (size_t i = 0; i < 512; i++) {
      const float wanted = grouped.values[(i < 256 ? 20 * 256 : 3 * 256) + i % 256];
      CHECK(std::abs(actual[i] - wanted) <= 1e-4f * std::abs(wanted) + 1e-5f, "type %d: %g is %g", type, actual[i], wanted);
    }
  }
}

TEST(bits_of_a_row_do_not_depend_on_the_rows_beside_it) {
  Random random(23);
  // The chunks of one tile are shared by warps where there are few tiles, and not where there are many.
  for (int type : {MR_BF16, MR_F32, MR_Q6_K, MR_Q4_K}) {
    constexpr int kColumns = 768, kOuts = 48;
    Products products(kOuts, kColumns, random);
    auto runner = products.p.runner(cuda_options(MR_PRECISION_NATIVE));
    runner->bind(products.weight, type, kOuts, kColumns, random_stored(type, kOuts, kColumns, random));
    runner->bind(products.other, 11, kColumns, products.plain);
    OpProgram::run(*runner, {5});
    std::vector<float> alone = runner->read(products.out, 1, kOuts);
    for (int rows : {7, 13, 20, 130}) {
      std::vector<int32_t> ids;
      for (int i = 0; i < rows; i++) ids.push_back(random.below(kIds));
      int at = random.below(rows);
      ids[static_cast<size_t>(at)] = 5;
      OpProgram::run(*runner, ids);
      std::vector<float> all = runner->read(products.out, rows, kOuts);
      CHECK(same_bits(&all[static_cast<size_t>(at * kOuts)], alone.data(), kOuts), "%s, row %d of %d", kTypes[type].name, at, rows);
    }
  }
}

TEST(a_row_that_is_no_number_leaves_the_others_alone) {
  Random random(24);
  Products products(20, 64, random);
  products.x[static_cast<size_t>(4 * 64 + 9)] = NAN;
  OpProgram p;
  int in = p.input(products.x, 64), weight = p.b.weight("w", 20, 64), out = p.b.rows(20);
  p.b.op(3, {in, 1, weight, 1, -1, 1, out});
  auto runner = p.runner(cuda_options(0));
  runner->bind(weight, MR_Q4_0, 20, 64, random_stored(MR_Q4_0, 20, 64, random));
  OpProgram::run(*runner, {3, 4, 5});
  std::vector<float> all = runner->read(out, 3, 20);
  for (size_t i = 0; i < 60; i++) CHECK(std::isnan(all[i]) == (i / 20 == 1), "%zu is %g", i, all[i]);
}

TEST(experts_agree_with_double_precision_and_with_themselves_in_every_batch) {
  Random random(25);
  constexpr int kWidth = 48, kInner = 40, kExperts = 6, kActive = 2;
  for (int precision : {MR_PRECISION_NATIVE, MR_PRECISION_F32}) {
    std::vector<float> x = random.normals(kIds * kWidth), router = random.normals(kExperts * kWidth);
    OpProgram p;
    int in = p.input(x, kWidth);
    int route = p.b.weight("router", kExperts, kWidth), ids = p.b.rows(kActive), weights = p.b.rows(kActive), out = p.b.rows(kWidth);
    p.b.op(34, {in, route, ids, weights, kActive, 1, Builder::bits(1.5f), 1, 1});
    std::vector<int> matrices;
    std::vector<std::vector<float>> values;
    for (int part = 0; part < 3; part++) {
      for (int e = 0; e < kExperts; e++) {
        int rows = part < 2 ? kInner : kWidth, columns = part < 2 ? kWidth : kInner;
        matrices.push_back(p.b.weight("m" + std::to_string(matrices.size()), rows, columns));
        std::vector<float> v = random.normals(static_cast<size_t>(rows * columns), 0.2f);
        for (float& f : v) f = bf16_to_float(float_to_bf16(f));
        values.push_back(v);
      }
    }
    std::vector<int32_t> words = {in, ids, weights};
    for (int part = 0; part < 3; part++) {
      words.push_back(kExperts);
      for (int e = 0; e < kExperts; e++) words.push_back(matrices[static_cast<size_t>(part * kExperts + e)]);
    }
    words.push_back(out);
    words.push_back(0);
    p.b.op(35, words);
    auto runner = p.runner(cuda_options(precision));
    runner->bind(route, kExperts, kWidth, router);
    for (size_t i = 0; i < matrices.size(); i++) {
      std::vector<uint8_t> stored;
      for (float v : values[i]) {
        uint16_t b = float_to_bf16(v);
        stored.push_back(static_cast<uint8_t>(b));
        stored.push_back(static_cast<uint8_t>(b >> 8));
      }
      bool wide = i / kExperts < 2;
      runner->bind(matrices[i], MR_BF16, wide ? kInner : kWidth, wide ? kWidth : kInner, stored);
    }
    auto expected = [&](int id, std::vector<double>& to) {
      auto row = [&](const std::vector<float>& m, int columns, int r, auto at) {
        double sum = 0;
        for (int k = 0; k < columns; k++) sum += static_cast<double>(m[static_cast<size_t>(r * columns + k)]) * at(k);
        return sum;
      };
      auto own = [&](int k) { return static_cast<double>(x[static_cast<size_t>(id * kWidth + k)]); };
      std::vector<std::pair<double, int>> order;
      for (int e = 0; e < kExperts; e++) order.push_back({-row(router, kWidth, e, own), e});
      std::sort(order.begin(), order.end());
      double all = 0;
      for (int k = 0; k < kActive; k++) all += std::exp(-order[static_cast<size_t>(k)].first);
      std::vector<double> sum(kWidth);
      for (int k = 0; k < kActive; k++) {
        auto e = static_cast<size_t>(order[static_cast<size_t>(k)].second);
        double weight = std::exp(-order[static_cast<size_t>(k)].first) / all * 1.5;
        std::vector<double> inner;
        for (int i = 0; i < kInner; i++) {
          double gate = row(values[e], kWidth, i, own);
          inner.push_back(gate / (1 + std::exp(-gate)) * row(values[kExperts + e], kWidth, i, own));
        }
        for (int i = 0; i < kWidth; i++) sum[static_cast<size_t>(i)] += weight * row(values[2 * kExperts + e], kInner, i, [&](int j) { return inner[static_cast<size_t>(j)]; });
      }
      to.insert(to.end(), sum.begin(), sum.end());
    };
    std::vector<int32_t> many;
    std::vector<double> wanted;
    for (int i = 0; i < 37; i++) {
      many.push_back(random.below(kIds));
      expected(many.back(), wanted);
    }
    OpProgram::run(*runner, many);
    std::vector<float> together = runner->read(out, 37, kWidth);
    double error = difference(together.data(), wanted.data(), together.size());
    CHECK(error < (precision == MR_PRECISION_F32 ? kFloat32Bound : 1e-2), "experts: %g", error);
    for (int i : {0, 17, 36}) {
      OpProgram::run(*runner, {many[static_cast<size_t>(i)]});
      std::vector<float> alone = runner->read(out, 1, kWidth);
      CHECK(same_bits(alone.data(), &together[static_cast<size_t>(i * kWidth)], kWidth), "row %d", i);
    }
    // So many rows that their experts have larger tiles.
    std::vector<int32_t> more;
    for (size_t i = 0; i < 10 * many.size(); i++) more.push_back(many[i % many.size()]);
    std::vector<cuda::Product> products(3);
    for (cuda::Product& product : products) {
      product.w.store = cuda::Store::kBf16;
      product.w.tiles = 3;
      product.w.steps = 2;
      product.x.f32 = precision == MR_PRECISION_F32;
    }
    auto tile_rows = [&](int rows) {
      return cuda::choose_tile_rows(products.data(), 3, {nullptr, nullptr, nullptr, nullptr, kExperts, rows * kActive, cuda::kLeastExpertRows}, {132, 227 << 10, true});
    };
    CHECK(precision == MR_PRECISION_F32 || tile_rows(370) > tile_rows(1), "tiles of %d rows", tile_rows(370));
    OpProgram::run(*runner, more);
    const std::vector<float> all = runner->read(out, 370, kWidth);
    for (size_t i = 0; i < more.size(); i++) CHECK(same_bits(&all[i * kWidth], &together[i % many.size() * kWidth], kWidth), "row %zu of %zu", i, more.size());
  }
}

}  // namespace millrace::test
