// The bits of products, whatever the way that they take.
#include <algorithm>
#include <memory>
#include <random>

#include "device.h"
#include "images.h"
#include "kernels/rows.h"
#include "kernels/tiling.h"
#include "products.h"

namespace millrace::test {
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
    const cuda::Input in{device.room(int64_t{row_count} * stride), stride, f32, nullptr};
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

}  // namespace millrace::test
