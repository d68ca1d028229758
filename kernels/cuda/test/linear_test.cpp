#include <algorithm>
#include <memory>

#include "device.h"
#include "images.h"
#include "kernels/rows.h"
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
    for (auto [columns, group, ordered] : {std::tuple{256, 32, false}, {384, 128, true}, {640, 640, false}, {1920, 96, false}}) {
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

namespace {

// A weight on the device, and rows of an input as products read them.
struct OnDevice {
  cuda::Image image;
  std::vector<cuda::Memory> memory;
  cuda::Stream stream;

  template <class T>
  T* put(const std::vector<T>& values) {
    memory.emplace_back(static_cast<int64_t>(values.size() * sizeof(T)), "a test");
    if (!values.empty()) stream.upload(memory.back().data(), values.data(), memory.back().size());
    stream.synchronize();
    return values.empty() ? nullptr : memory.back().as<T>();
  }
  float* room(int64_t floats) {
    memory.emplace_back(floats * 4, "a test");
    return memory.back().as<float>();
  }
  cuda::WeightView place(cuda::Image made) {
    image = std::move(made);
    cuda::WeightView w = image.view;
    w.values = put(image.values);
    w.scales = put(image.scales);
    w.offsets = put(image.offsets);
    w.levels = put(image.levels);
    return w;
  }
};

// A product of a stored weight with rows of noise, on the device.
struct TiledProduct {
  OnDevice device;
  cuda::Product product{};
  cuda::RowCount rows;

  TiledProduct(int type, bool f32, int row_count, int outs, int columns, Random& random) {
    const bool grouped = type == MR_FP8 || type == MR_INT4;
    const int group = columns % 128 == 0 ? 128 : columns % 96 == 0 ? 96 : 32;
    const cuda::WeightView w = device.place(grouped ? cuda::image_of(Grouped(type, outs, columns, group, false, random).view, outs, columns)
                                                    : cuda::image_of(type, outs, columns, random_stored(type, outs, columns, random).data()));
    float* x = device.put(random.normals(static_cast<size_t>(row_count * columns)));
    const int stride = cuda::rounded_up(columns, cuda::kStepColumns);
    const cuda::Input in{device.room(int64_t{row_count} * stride), device.room(int64_t{row_count} * stride / 16), stride, f32, false};
    rows = {row_count, device.put(std::vector<int32_t>{row_count})};
    cuda::RowChain chain{};
    chain.ops[chain.count++] = cuda::PrepareArguments{{x, columns}, columns, nullptr, in, 1};
    cuda::run_rows(device.stream, rows, chain);
    product = {w, in, {device.room(int64_t{row_count} * outs), outs}, nullptr, 0.7f, 0};
  }

  std::vector<float> multiply(cuda::Way way) {
    const auto size = static_cast<size_t>(rows.most) * static_cast<size_t>(product.out.stride);
    std::vector<float> out(size, NAN);
    device.stream.upload(product.out.data, out.data(), static_cast<int64_t>(size) * 4);
    cuda::multiply(device.stream, rows, product, nullptr, 132, way);
    device.stream.synchronize();
    device.stream.download(out.data(), product.out.data, static_cast<int64_t>(size) * 4);
    device.stream.synchronize();
    for (float v : out) CHECK(std::isfinite(v), "tiling %d", static_cast<int>(way.tiling));
    return out;
  }

  // Compares ways with the first that is possible; of `one_in` of them one.
  void check(const char* what, int one_in) {
    const cuda::ChipShape chip{132, 227 << 10, true};
    std::vector<float> first;
    int number = 0;
    for (cuda::Tiling tiling : kTilings) {
      for (auto [sharing, cluster] : {std::pair{8, 1}, {4, 1}, {2, 1}, {1, 1}, {4, 2}, {2, 2}, {1, 2}, {2, 4}, {1, 4}}) {
        const cuda::Way way{tiling, sharing, cluster};
        if (!cuda::is_possible(product, nullptr, way, chip)) continue;
        if (tiling == cuda::Tiling::kPanels ? sharing > 1 : !first.empty() && ++number % one_in > 0) continue;
        const std::vector<float> actual = multiply(way);
        if (first.empty()) first = actual;
        CHECK(same_bits(actual.data(), first.data(), actual.size()), "%s, float32 %d, tiling %d, chunks of an output by %d warps of %d blocks", what, product.x.f32,
              static_cast<int>(tiling), sharing, cluster);
      }
    }
  }

  static constexpr cuda::Tiling kTilings[] = {cuda::Tiling::kRows8,  cuda::Tiling::kRows16, cuda::Tiling::kWide8, cuda::Tiling::kWide16,
                                              cuda::Tiling::kWide32, cuda::Tiling::kRows64, cuda::Tiling::kPanels};
};

}  // namespace

namespace {

// Of each thread 8 values, in two parts.
__global__ void split_kernel(const float* values, uint32_t* high, uint32_t* low, int count) {
  const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (8 * i >= count) return;
  const cuda::SplitBf16::A a = cuda::SplitBf16::a(values + 8 * i);
  for (int k = 0; k < 4; k++) {
    high[4 * i + k] = a.high.r[k];
    low[4 * i + k] = a.low.r[k];
  }
}

}  // namespace

TEST(values_in_two_parts_are_rounded_and_what_rounding_took) {
  // Every bf16, with nothing, with halves of its last bit, and around them.
  std::vector<float> values;
  for (uint32_t upper = 0; upper < 65536; upper++) {
    for (uint32_t lower : {0u, 1u, 0x1234u, 0x7fffu, 0x8000u, 0x8001u, 0xabcdu, 0xffffu}) values.push_back(bits_to_float(upper << 16 | lower));
  }
  const int count = static_cast<int>(values.size());
  OnDevice device;
  const float* from = device.put(values);
  float *high = device.room(count / 2), *low = device.room(count / 2);
  cuda::launch(split_kernel, dim3(static_cast<unsigned>(count / 8 / 256)), dim3(256), 0, device.stream, from, reinterpret_cast<uint32_t*>(high), reinterpret_cast<uint32_t*>(low), count);
  std::vector<uint16_t> upper(values.size()), lower(values.size());
  device.stream.download(upper.data(), high, int64_t{count} * 2);
  device.stream.download(lower.data(), low, int64_t{count} * 2);
  device.stream.synchronize();
  // Where the pairs of registers come from.
  constexpr size_t kFrom[8] = {0, 1, 4, 5, 2, 3, 6, 7};
  auto same = [](uint16_t actual, float wanted) {
    return std::isnan(wanted) ? std::isnan(bf16_to_float(actual)) : actual == float_to_bf16(wanted);
  };
  for (size_t i = 0; i < values.size(); i++) {
    const float v = values[i / 8 * 8 + kFrom[i % 8]];
    CHECK(same(upper[i], v) && same(lower[i], v - bf16_to_float(float_to_bf16(v))), "%g is %g + %g", v, bf16_to_float(upper[i]), bf16_to_float(lower[i]));
  }
}

TEST(products_have_the_same_bits_however_rows_are_tiled) {
  Random random(27);
  int which = 0;
  for (int type : {MR_F32, MR_BF16, MR_F16, MR_Q8_0, MR_Q4_K, MR_Q6_K, MR_IQ4_NL, MR_FP8}) {
    for (bool f32 : {false, true}) {
      if (type == MR_F32 && !f32) continue;
      const int columns = type == MR_FP8 ? 352 : kTypes[type].block_values == 1 ? 300 : kTypes[type].block_values == 32 ? 352 : 512;
      TiledProduct(type, f32, 141, 150, columns, random).check(type == MR_FP8 ? "fp8" : kTypes[type].name, f32 ? 3 : 5 + which++ % 3);
    }
  }
}

TEST(products_of_many_chunks_have_the_same_bits_however_warps_share_them) {
  Random random(28);
  // More rounds of chunks than two for those that share them least, a last chunk that is no whole one, and outputs that fill no block.
  for (int type : {MR_BF16, MR_INT4, MR_Q4_K, MR_Q6_K}) {
    TiledProduct(type, false, 21, 54, kTypes[type].block_values == 1 ? 2400 : 2560, random).check(kTypes[type].name, 1);
  }
  // Groups that end in the middle of a chunk, and not in each at the same place.
  TiledProduct(MR_INT4, false, 21, 54, 2400, random).check("groups of 96", 1);
}

TEST(products_of_so_many_rows_that_panels_come_in_groups_have_the_same_bits) {
  Random random(29);
  TiledProduct product(MR_Q8_0, false, 1100, 20, 64, random);
  const std::vector<float> panels = product.multiply({cuda::Tiling::kPanels, 1, 1}), tiles = product.multiply({cuda::Tiling::kWide32, 8, 1});
  CHECK(same_bits(panels.data(), tiles.data(), panels.size()));
}

TEST(weights_come_from_memory_once_for_2048_rows_and_outputs_fill_the_grid) {
  const cuda::ChipShape chip{132, 227 << 10, true};
  cuda::Product p{};
  p.w.store = cuda::Store::kBf16;
  p.w.tiles = p.w.steps = 256;
  auto bytes = [&](int rows) { return cuda::count_way(p, nullptr, rows, {cuda::Tiling::kPanels, 1, 1}, chip).memory_bytes; };
  CHECK(bytes(2048) == 4096.0 * 8192 * 2 + 2048.0 * (8192 * 2 + 4096 * 4), "%g", bytes(2048));
  CHECK(bytes(2049) - bytes(2048) == 4096.0 * 8192 * 2 + 8192 * 2 + 4096 * 4, "%g", bytes(2049) - bytes(2048));
  // A grid has 65,535 blocks of outputs.
  p.w.tiles = 65536;
  CHECK(!cuda::is_possible(p, nullptr, {cuda::Tiling::kRows8, 8, 1}, chip) && cuda::is_possible(p, nullptr, {cuda::Tiling::kRows8, 4, 1}, chip));
  p.w.tiles = 65536 * cuda::kPanelTiles;
  CHECK(!cuda::is_possible(p, nullptr, {cuda::Tiling::kPanels, 1, 1}, chip));
}

TEST(counts_have_the_factors_of_codes_and_what_it_takes_to_convert_them) {
  const cuda::ChipShape chip{132, 227 << 10, true};
  cuda::Product p{};
  p.w.tiles = 256;
  p.w.steps = p.w.groups = 128;
  auto count = [&](cuda::Store store) {
    p.w.store = store;
    if (store != cuda::Store::kCode4) p.w.groups = 0;
    return cuda::count_way(p, nullptr, 8, cuda::choose_way(p, nullptr, 8, chip), chip);
  };
  const float offset = 0;
  p.w.offsets = &offset;
  // A scale and an offset in float32 for each 32 columns.
  const cuda::WayCount codes = count(cuda::Store::kCode4), wide = count(cuda::Store::kBf16);
  CHECK(codes.memory_bytes == 4096.0 * 4096 / 2 + 4096.0 * 128 * 8 + 8.0 * (4096 * 2 + 4096 * 4), "%g", codes.memory_bytes);
  // Three eighths of the bytes of bf16, but more than half of its time.
  CHECK(codes.us < wide.us && codes.us > 0.5 * wide.us, "%g and %g us", codes.us, wide.us);
}

namespace {

// Products of experts that have so many rows each, on the device. Each row of the input goes to one.
struct ExpertProducts {
  // The first expert's product has the input, which all share.
  std::vector<std::unique_ptr<TiledProduct>> dense;
  OnDevice device;
  std::vector<int> expert_of;
  int outs;
  cuda::WeightView* weights;
  float* ids;
  int32_t *place, *source, *counts, *rows;
  cuda::ExpertTile* tiles;
  float* out;

  ExpertProducts(int type, bool f32, const std::vector<int>& rows_of, int width, int columns, Random& random) : outs(width) {
    std::vector<cuda::WeightView> views;
    for (size_t e = 0; e < rows_of.size(); e++) expert_of.insert(expert_of.end(), static_cast<size_t>(rows_of[e]), static_cast<int>(e));
    std::shuffle(expert_of.begin(), expert_of.end(), std::mt19937(7));
    for (size_t e = 0; e < rows_of.size(); e++) {
      dense.push_back(std::make_unique<TiledProduct>(type, f32, pairs(), outs, columns, random));
      if (e > 0) dense[e]->product.x = dense[0]->product.x;
      views.push_back(dense[e]->product.w);
    }
    weights = device.put(views);
    ids = reinterpret_cast<float*>(device.put(std::vector<int32_t>(expert_of.begin(), expert_of.end())));
    place = device.put(std::vector<int32_t>(expert_of.size()));
    source = device.put(std::vector<int32_t>(expert_of.size()));
    counts = device.put(std::vector<int32_t>(cuda::kCounts));
    rows = device.put(std::vector<int32_t>{pairs()});
    tiles = device.put(std::vector<cuda::ExpertTile>(expert_of.size() / cuda::kLeastExpertRows + rows_of.size()));
    out = device.room(int64_t{pairs()} * outs);
  }
  int pairs() const { return static_cast<int>(expert_of.size()); }
  int experts() const { return static_cast<int>(dense.size()); }

  // Each row's product with its expert, in the order of rows.
  std::vector<float> expected() {
    std::vector<float> all(static_cast<size_t>(pairs()) * static_cast<size_t>(outs));
    for (int e = 0; e < experts(); e++) {
      const std::vector<float> own = dense[static_cast<size_t>(e)]->multiply({cuda::Tiling::kRows8, 8, 1});
      for (int r = 0; r < pairs(); r++) {
        if (expert_of[static_cast<size_t>(r)] == e) std::copy_n(&own[static_cast<size_t>(r * outs)], outs, &all[static_cast<size_t>(r * outs)]);
      }
    }
    return all;
  }

  // The same by tiles of experts.
  std::vector<float> multiply(int tile_rows, cuda::Way way) {
    cuda::Stream& stream = device.stream;
    std::vector<float> by_place(static_cast<size_t>(pairs()) * static_cast<size_t>(outs), NAN), all(by_place.size());
    stream.upload(out, by_place.data(), static_cast<int64_t>(by_place.size()) * 4);
    cuda::sort_by_expert(stream, {pairs(), rows}, {{ids, 1}, experts(), 1, tile_rows, place, source, tiles, counts});
    cuda::Product p = dense[0]->product;
    p.out = {out, outs};
    const cuda::Experts of{tiles, counts + cuda::kExpertTileCount, weights, source, experts(), pairs(), tile_rows};
    cuda::multiply(stream, {pairs(), rows}, p, &of, 132, way);
    std::vector<int32_t> places(expert_of.size());
    stream.download(by_place.data(), out, static_cast<int64_t>(by_place.size()) * 4);
    stream.download(places.data(), place, pairs() * 4);
    stream.synchronize();
    for (int r = 0; r < pairs(); r++) std::copy_n(&by_place[static_cast<size_t>(places[static_cast<size_t>(r)] * outs)], outs, &all[static_cast<size_t>(r * outs)]);
    return all;
  }

  // Returns how many ways there were.
  int check(const char* what, int one_in) {
    const cuda::ChipShape chip{132, 227 << 10, true};
    const std::vector<float> wanted = expected();
    int number = 0, compared = 0;
    for (int tile_rows = cuda::kLeastExpertRows; tile_rows <= 128; tile_rows *= 2) {
      const cuda::Experts of{tiles, nullptr, weights, source, experts(), pairs(), tile_rows};
      for (cuda::Tiling tiling : TiledProduct::kTilings) {
        for (int sharing : {8, 4, 2, 1}) {
          const cuda::Way way{tiling, sharing, 1};
          if (!cuda::is_possible(dense[0]->product, &of, way, chip) || (tiling == cuda::Tiling::kPanels ? sharing > 1 : ++number % one_in > 0)) continue;
          const std::vector<float> actual = multiply(tile_rows, way);
          compared++;
          CHECK(same_bits(actual.data(), wanted.data(), wanted.size()), "%s, float32 %d, tiles of %d rows, tiling %d, chunks of an output by %d warps", what, dense[0]->product.x.f32, tile_rows,
                static_cast<int>(tiling), sharing);
        }
      }
    }
    return compared;
  }
};

}  // namespace

TEST(products_of_experts_have_the_same_bits_however_many_rows_their_tiles_have) {
  Random random(30);
  for (int type : {MR_F32, MR_BF16, MR_F16, MR_Q8_0, MR_Q4_K, MR_FP8}) {
    for (bool f32 : {false, true}) {
      if (type == MR_F32 && !f32) continue;
      const int columns = type == MR_FP8 ? 288 : kTypes[type].block_values == 1 ? 300 : kTypes[type].block_values == 32 ? 288 : 512;
      // One row, none, one more than a panel has; and one expert with all.
      for (const std::vector<int>& rows_of : {std::vector<int>{1, 0, 129, 11, 0}, {0, 0, 70}}) {
        const int compared = ExpertProducts(type, f32, rows_of, 150, columns, random).check(type == MR_FP8 ? "fp8" : kTypes[type].name, 3);
        CHECK(compared >= (f32 ? 3 : 6), "%d ways", compared);
      }
    }
  }
}

TEST(tiles_of_experts_have_more_rows_when_experts_do) {
  const cuda::ChipShape chip{132, 227 << 10, true};
  auto products = [](cuda::Store store, int inner, int width) {
    std::vector<cuda::Product> all(3);
    for (size_t i = 0; i < 3; i++) {
      all[i].w.store = store;
      all[i].w.tiles = (i < 2 ? inner : width) / cuda::kTileRows;
      all[i].w.steps = (i < 2 ? width : inner) / cuda::kStepColumns;
    }
    return all;
  };
  struct Layer {
    int experts, active, inner, width;
  };
  for (const Layer& layer : {Layer{8, 2, 14336, 4096}, {128, 8, 768, 2048}}) {
    for (cuda::Store store : {cuda::Store::kBf16, cuda::Store::kCode8, cuda::Store::kCode4}) {
      const std::vector<cuda::Product> all = products(store, layer.inner, layer.width);
      auto tile_rows = [&](int rows) { return cuda::choose_tile_rows(all.data(), 3, {nullptr, nullptr, nullptr, nullptr, layer.experts, rows * layer.active, cuda::kLeastExpertRows}, chip); };
      CHECK(tile_rows(1) == 8 && tile_rows(2048) >= 32, "%d experts: %d rows, %d of 2048", layer.experts, tile_rows(1), tile_rows(2048));
      for (const cuda::Product& p : all) {
        cuda::Experts of{nullptr, nullptr, nullptr, nullptr, layer.experts, 2048 * layer.active, 8};
        const cuda::WayCount before = cuda::count_way(p, &of, of.pairs, cuda::choose_way(p, &of, of.pairs, chip), chip);
        of.tile_rows = tile_rows(2048);
        const cuda::WayCount after = cuda::count_way(p, &of, of.pairs, cuda::choose_way(p, &of, of.pairs, chip), chip);
        CHECK(after.us < 0.6 * before.us && after.crossing_bytes < before.crossing_bytes, "%d experts: %g us, %g bytes, were %g and %g", layer.experts, after.us, after.crossing_bytes, before.us, before.crossing_bytes);
      }
      // Weights that are multiplied in float32 have no wide tiles.
      std::vector<cuda::Product> mixed = all;
      mixed[2].x.f32 = true;
      const int of_both = cuda::choose_tile_rows(mixed.data(), 3, {nullptr, nullptr, nullptr, nullptr, layer.experts, 2048 * layer.active, cuda::kLeastExpertRows}, chip);
      for (const cuda::Product& p : mixed) {
        const cuda::Experts of{nullptr, nullptr, nullptr, nullptr, layer.experts, 2048 * layer.active, of_both};
        CHECK(cuda::is_possible(p, &of, cuda::choose_way(p, &of, of.pairs, chip), chip), "%d rows", of_both);
      }
    }
  }
}

TEST(every_product_has_a_way_that_the_chip_can_launch) {
  for (const cuda::ChipShape chip : {cuda::ChipShape{132, 227 << 10, true}, cuda::ChipShape{108, 163 << 10, false}, cuda::ChipShape{1, 99 << 10, false}}) {
    for (cuda::Store store : {cuda::Store::kF32, cuda::Store::kBf16, cuda::Store::kF16, cuda::Store::kCode8, cuda::Store::kCode4, cuda::Store::kE4m3}) {
      for (bool f32 : {false, true}) {
        if (store == cuda::Store::kF32 && !f32) continue;
        for (int outs : {1, 64, 1000, 4096, 28672, 128256}) {
          for (int columns : {20, 768, 4096, 14336}) {
            for (int rows : {1, 7, 8, 9, 17, 33, 64, 65, 128, 300, 4096}) {
              cuda::Product p{};
              p.w.store = store;
              p.w.rows = outs;
              p.w.tiles = (outs + cuda::kTileRows - 1) / cuda::kTileRows;
              p.w.steps = (columns + cuda::kStepColumns - 1) / cuda::kStepColumns;
              p.x.f32 = f32;
              cuda::Experts experts{nullptr, nullptr, nullptr, nullptr, 8, 2 * rows, cuda::kLeastExpertRows};
              experts.tile_rows = cuda::choose_tile_rows(&p, 1, experts, chip);
              for (const cuda::Experts* of : {static_cast<const cuda::Experts*>(nullptr), static_cast<const cuda::Experts*>(&experts)}) {
                for (int heads : {0, 16}) {
                  if (of && heads > 0) continue;
                  p.heads.count = heads;
                  const cuda::Way way = cuda::choose_way(p, of, rows, chip);
                  const cuda::WayCount count = cuda::count_way(p, of, rows, way, chip);
                  CHECK(cuda::is_possible(p, of, way, chip) && count.shared_bytes <= chip.shared_bytes, "store %d, %d rows: %d bytes", static_cast<int>(store), rows, count.shared_bytes);
                  CHECK(way.sharing == 1 || way.sharing == 2 || way.sharing == 4 || way.sharing == 8);
                  CHECK(count.blocks > 0 && count.blocks < int64_t{1} << 31 && std::isfinite(count.us) && count.us > 0);
                }
              }
            }
          }
        }
      }
    }
  }
}

TEST(products_of_up_to_64_rows_read_weights_once_and_keep_memory_busy) {
  const cuda::ChipShape chip{132, 227 << 10, true};
  for (auto [outs, columns] : {std::pair{4096, 4096}, {6144, 4096}, {28672, 4096}, {4096, 14336}}) {
    for (cuda::Store store : {cuda::Store::kBf16, cuda::Store::kCode4}) {
      for (int rows : {1, 8, 16, 32, 64}) {
        cuda::Product p{};
        p.w.store = store;
        p.w.tiles = outs / cuda::kTileRows;
        p.w.steps = columns / cuda::kStepColumns;
        const cuda::Way way = cuda::choose_way(p, nullptr, rows, chip);
        const cuda::WayCount count = cuda::count_way(p, nullptr, rows, way, chip);
        const double weights = double{1} * outs * columns * (store == cuda::Store::kBf16 ? 2 : 0.5);
        const double row_bytes = static_cast<double>(count.blocks) / way.cluster * rows * columns * 2;
        CHECK(way.cluster > 1 || count.crossing_bytes < 1.1 * (weights + row_bytes), "[%d, %d], %d rows: weights cross more than once", outs, columns, rows);
        // As much as comes in a microsecond: converting codes takes longer than their bytes do.
        CHECK(count.flight_bytes >= std::min(32.0 * 1024, count.memory_bytes / count.us / chip.multiprocessors), "[%d, %d], %d rows: %g bytes under way", outs, columns, rows, count.flight_bytes);
        CHECK(count.blocks >= 96, "[%d, %d], %d rows: %lld blocks", outs, columns, rows, static_cast<long long>(count.blocks));
      }
    }
  }
}

}  // namespace millrace::test
