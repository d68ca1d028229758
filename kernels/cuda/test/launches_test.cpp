// Kernels that are launched by themselves, against what they are to compute, bit for bit.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "check.h"
#include "core/route.h"
#include "core/sample.h"
#include "device.h"
#include "kernels/launches.h"
#include "kernels/rows.h"
#include "kernels/sampling.h"

namespace millrace::test {
namespace {

using cuda::Memory;
using cuda::RowCount;
using cuda::RowView;

// Values on the device.
template <class T>
class Placed {
 public:
  Placed(cuda::Stream& stream, const std::vector<T>& values) : stream_(stream), memory_(bytes(values.size()), "a test"), size_(values.size()) {
    stream.upload(memory_.data(), values.data(), bytes(size_));
  }
  T* data() const { return memory_.as<T>(); }
  std::vector<T> read() const {
    std::vector<T> values(size_);
    stream_.download(values.data(), memory_.data(), bytes(size_));
    stream_.synchronize();
    return values;
  }

 private:
  static int64_t bytes(size_t count) { return static_cast<int64_t>(count * sizeof(T)); }

  cuda::Stream& stream_;
  Memory memory_;
  size_t size_;
};

template <class T>
bool same(const std::vector<T>& a, const std::vector<T>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0;
}

// A gate's values, prepared for a product: as they are for so many rows, of which the first are read.
struct Gated {
  std::vector<float> values;
  std::vector<uint16_t> inputs;
};

Gated gated(cuda::Stream& stream, int width, int rows, int read, const std::vector<float>& a, const std::vector<float>& b) {
  const int stride = cuda::rounded_up(width, cuda::kStepColumns);
  const auto n = static_cast<size_t>(rows), w = static_cast<size_t>(width), s = static_cast<size_t>(stride);
  const Placed<int32_t> count(stream, {rows});
  const Placed<float> gate(stream, a), up(stream, b), out(stream, std::vector<float>(n * w, NAN));
  const Placed<uint16_t> inputs(stream, std::vector<uint16_t>(n * s, 0x7fff));
  const RowView from{out.data(), width};
  cuda::RowChain chain{};
  chain.ops[chain.count++] = cuda::MapArguments{cuda::Map::kGated, {gate.data(), width}, {up.data(), width}, from, width, 1, 0};
  chain.ops[chain.count++] = cuda::PrepareArguments{from, width, nullptr, {inputs.data(), stride, false, nullptr}, 1};
  cuda::run_rows(stream, {rows, count.data()}, chain);
  const auto r = static_cast<size_t>(read);
  Gated result{out.read(), inputs.read()};
  result.values.resize(r * w);
  result.inputs.resize(r * s);
  return result;
}

}  // namespace

TEST(rows_that_blocks_share_have_the_bits_of_rows_that_they_do_not) {
  Random random(80);
  cuda::Stream stream;
  constexpr int kMany = 130;
  for (int width : {2048, 3001, 4112}) {
    const auto n = static_cast<size_t>(kMany * width);
    const std::vector<float> a = random.normals(n), b = random.normals(n);
    const Gated alone = gated(stream, width, kMany, 2, a, b), shared = gated(stream, width, 2, 2, {a.begin(), a.begin() + 2 * width}, {b.begin(), b.begin() + 2 * width});
    CHECK(same(alone.values, shared.values) && same(alone.inputs, shared.inputs), "width %d", width);
    const int stride = cuda::rounded_up(width, cuda::kStepColumns);
    for (int c = 0; c < stride; c++) {
      const auto at = static_cast<size_t>(stride + c / cuda::kStepColumns * cuda::kStepColumns + cuda::column_place(c % cuda::kStepColumns));
      const uint16_t expected = c < width ? float_to_bf16(alone.values[static_cast<size_t>(width + c)]) : uint16_t{0};
      CHECK(alone.inputs[at] == expected, "width %d, column %d", width, c);
    }
  }
}

TEST(a_residual_and_its_norm_together_have_the_bits_of_each_by_itself) {
  Random random(84);
  cuda::Stream stream;
  constexpr int kRows = 2;
  for (int width : {2048, 2304, 3072, 4096, 5120}) {
    const auto n = static_cast<size_t>(kRows * width);
    const Placed<int32_t> count(stream, {kRows});
    const Placed<float> a(stream, random.normals(n)), b(stream, random.normals(n)), weight(stream, random.normals(static_cast<size_t>(width)));
    for (float factor : {1.0f, 0.7f}) {
      auto run = [&](bool together) {
        const Placed<float> sum(stream, std::vector<float>(n, NAN)), out(stream, std::vector<float>(n, NAN));
        cuda::RowChain chain{};
        chain.ops[chain.count++] = cuda::MapArguments{cuda::Map::kAdd, {a.data(), width}, {b.data(), width}, {sum.data(), width}, width, factor, 0};
        if (!together) {
          cuda::run_rows(stream, {kRows, count.data()}, chain);
          chain.count = 0;
        }
        chain.ops[chain.count++] = cuda::NormArguments{{sum.data(), width}, weight.data(), {out.data(), width}, width, width, 1e-5f, 1};
        cuda::run_rows(stream, {kRows, count.data()}, chain);
        std::vector<float> both = sum.read(), norm = out.read();
        both.insert(both.end(), norm.begin(), norm.end());
        return both;
      };
      const std::vector<float> together = run(true);
      CHECK(std::isfinite(together.back()) && same(together, run(false)), "width %d, factor %g", width, factor);
    }
  }
}

TEST(a_warp_chooses_the_experts_that_one_thread_would) {
  Random random(81);
  cuda::Stream stream;
  constexpr int kRows = 9;
  for (const cuda::Chosen& how : {cuda::Chosen{6, 3, 1, 1, true, 2}, {8, 2, 1, 1, false, 1}, {64, 8, 1, 1, true, 1}, {72, 6, 12, 4, false, 1.5f}, {160, 32, 40, 34, true, 1}, {70, 40, 1, 1, true, 1}}) {
    const int n = how.experts;
    std::vector<float> logits, identity(static_cast<size_t>(n * n));
    // Many are alike.
    for (int i = 0; i < kRows * n; i++) logits.push_back(static_cast<float>(random.below(21) - 10) / 4);
    for (int i = 0; i < n; i++) identity[static_cast<size_t>(i * n + i)] = 1;
    const auto pairs = static_cast<size_t>(kRows * how.active);
    const Placed<int32_t> count(stream, {kRows});
    const Placed<float> x(stream, logits), weight(stream, identity), ids(stream, std::vector<float>(pairs)), weights(stream, std::vector<float>(pairs));
    const Placed<float> room(stream, std::vector<float>(static_cast<size_t>(kRows * n)));
    const cuda::RouteArguments p{{x.data(), n}, weight.data(), n, n, how.active, how.groups, how.kept, how.renormalise, how.scale, {ids.data(), how.active}, {weights.data(), how.active}, room.data()};
    cuda::route(stream, {kRows, count.data()}, p);
    std::vector<int32_t> expected_ids(pairs), actual_ids(pairs);
    std::vector<float> expected(pairs);
    std::vector<uint8_t> open(static_cast<size_t>(n));
    for (int r = 0; r < kRows; r++) cuda::choose(how, &logits[static_cast<size_t>(r * n)], open.data(), &expected_ids[static_cast<size_t>(r * how.active)], &expected[static_cast<size_t>(r * how.active)]);
    const std::vector<float> raw = ids.read();
    std::memcpy(actual_ids.data(), raw.data(), pairs * sizeof(int32_t));
    CHECK(actual_ids == expected_ids, "%d of %d experts", how.active, n);
    CHECK(same(weights.read(), expected), "%d of %d experts", how.active, n);
  }
}

TEST(logits_of_experts_are_sums_of_lanes_however_many_rows_there_are) {
  Random random(83);
  cuda::Stream stream;
  for (auto [experts, columns] : {std::pair<int, int>{6, 70}, {33, 256}, {16, 1031}, {5, 20}}) {
    for (int rows : {1, 3, 8, 9, 30, 128, 129, 150}) {
      const auto n = static_cast<size_t>(rows), e = static_cast<size_t>(experts), c = static_cast<size_t>(columns);
      // The launch is for more rows than there are; rows are not side by side.
      const int most = rows + 2, stride = columns + 3;
      const std::vector<float> inputs = random.normals((n + 2) * static_cast<size_t>(stride)), router = random.normals(e * c);
      const Placed<int32_t> count(stream, {rows});
      const Placed<float> x(stream, inputs), weight(stream, router), ids(stream, std::vector<float>(2 * (n + 2))), weights(stream, std::vector<float>(2 * (n + 2)));
      const Placed<float> logits(stream, std::vector<float>((n + 2) * e, -5));
      cuda::route(stream, {most, count.data()}, {{x.data(), stride}, weight.data(), experts, columns, 2, 1, 1, true, 1, {ids.data(), 2}, {weights.data(), 2}, logits.data()});
      std::vector<float> expected((n + 2) * e, -5);
      for (size_t i = 0; i < n * e; i++) {
        float sums[2][cuda::kWarp] = {};
        const float *own = &inputs[i / e * static_cast<size_t>(stride)], *w = &router[i % e * c];
        for (size_t k = 0; k < c; k++) sums[0][k % cuda::kWarp] = std::fma(own[k], w[k], sums[0][k % cuda::kWarp]);
        int now = 0;
        for (int bits = cuda::kWarp / 2; bits > 0; bits /= 2, now ^= 1) {
          for (int lane = 0; lane < cuda::kWarp; lane++) sums[now ^ 1][lane] = sums[now][lane] + sums[now][lane ^ bits];
        }
        expected[i] = sums[now][0];
      }
      CHECK(same(logits.read(), expected), "%d rows, %d experts of %d columns", rows, experts, columns);
    }
  }
}

TEST(rows_are_sorted_by_expert_in_their_order) {
  Random random(82);
  cuda::Stream stream;
  for (auto [rows, experts, active, tile_rows] : {std::tuple{1, 8, 2, 8}, {300, 40, 3, 8}, {300, 6, 3, 64}, {77, 5, 5, 16}, {513, 130, 1, 8}, {513, 3, 1, 128}}) {
    std::vector<std::vector<int>> of(static_cast<size_t>(experts));
    std::vector<int32_t> ids;
    for (int r = 0; r < rows; r++) {
      std::vector<int32_t> all;
      for (int e = 0; e < experts; e++) all.push_back(e);
      std::shuffle(all.begin(), all.end(), std::mt19937(static_cast<unsigned>(random.below(1 << 20))));
      // Some experts have no row.
      all.resize(static_cast<size_t>(active));
      for (int32_t& e : all) e = active == 1 ? e / 4 * 4 : e;
      std::sort(all.begin(), all.end());
      for (int32_t e : all) {
        of[static_cast<size_t>(e)].push_back(static_cast<int>(ids.size()));
        ids.push_back(e);
      }
    }
    std::vector<int32_t> place(ids.size()), source, tiles;
    for (int e = 0; e < experts; e++) {
      const auto& pairs = of[static_cast<size_t>(e)];
      for (size_t i = 0; i < pairs.size(); i++) {
        if (i % static_cast<size_t>(tile_rows) == 0) tiles.insert(tiles.end(), {e, static_cast<int32_t>(source.size()), static_cast<int32_t>(std::min(static_cast<size_t>(tile_rows), pairs.size() - i))});
        place[static_cast<size_t>(pairs[i])] = static_cast<int32_t>(source.size());
        source.push_back(pairs[i] / active);
      }
    }
    const Placed<int32_t> count(stream, {rows}), given(stream, ids), places(stream, std::vector<int32_t>(ids.size())), sources(stream, std::vector<int32_t>(ids.size()));
    const Placed<int32_t> counts(stream, std::vector<int32_t>(cuda::kCounts)), made(stream, std::vector<int32_t>(tiles.size()));
    cuda::sort_by_expert(stream, {rows, count.data()},
                         {{reinterpret_cast<float*>(given.data()), active}, experts, active, tile_rows, places.data(), sources.data(), reinterpret_cast<cuda::ExpertTile*>(made.data()), counts.data()});
    CHECK(places.read() == place && sources.read() == source && made.read() == tiles, "%d rows, %d experts", rows, experts);
    CHECK(counts.read()[cuda::kExpertRowCount] == static_cast<int>(ids.size()) && counts.read()[cuda::kExpertTileCount] * 3 == static_cast<int>(tiles.size()), "%d rows, %d experts", rows, experts);
  }
}

TEST(what_experts_give_is_added_in_their_order) {
  Random random(83);
  cuda::Stream stream;
  constexpr int kWidth = 600, kActive = 11;
  for (int rows : {2, 70}) {
    const auto pairs = static_cast<size_t>(rows * kActive);
    const std::vector<float> x = random.normals(pairs * kWidth), weights = random.normals(pairs);
    std::vector<int32_t> place;
    for (size_t i = 0; i < pairs; i++) place.push_back(static_cast<int32_t>(i));
    std::shuffle(place.begin(), place.end(), std::mt19937(5));
    std::vector<float> expected;
    for (int r = 0; r < rows; r++) {
      for (int i = 0; i < kWidth; i++) {
        float sum = 0;
        for (int k = 0; k < kActive; k++) {
          const auto pair = static_cast<size_t>(r * kActive + k);
          sum = std::fma(weights[pair], x[static_cast<size_t>(place[pair] * kWidth + i)], sum);
        }
        expected.push_back(sum);
      }
    }
    const Placed<int32_t> count(stream, {rows}), places(stream, place);
    const Placed<float> from(stream, x), by(stream, weights), out(stream, std::vector<float>(expected.size(), NAN));
    cuda::combine(stream, {rows, count.data()}, {from.data(), kWidth}, places.data(), {by.data(), kActive}, kActive, {out.data(), kWidth}, kWidth);
    CHECK(same(out.read(), expected), "%d rows", rows);
  }
}

TEST(weights_that_round_to_nothing_are_nothing) {
  int none = 0;
  for (int i = 0; i <= 60000; i++) {
    const float x = -static_cast<float>(i) / 1500;
    const auto expected = static_cast<float>(cuda::relative(x, 0, 1) + 0x1.8p18 - 0x1.8p18);
    CHECK(cuda::weight_of(x, 0, 1) == expected, "of %g", x);
    none += expected == 0 ? 1 : 0;
  }
  CHECK(none > 20000 && none < 25000, "%d", none);
  CHECK(cuda::weight_of(-INFINITY, 0, 1) == 0 && std::isnan(cuda::weight_of(NAN, 0, 1)));
}

// All logits are the same, so what is kept are the lowest ids, and every one of them weighs as much as may be.
TEST(thresholds_are_found_among_very_many_of_the_largest_weight) {
  cuda::Stream stream;
  constexpr int kIds = 1 << 17;
  const int64_t stride = cuda::sample_stride(kIds);
  auto how = [](float top_p, int top_k, uint32_t seed, int place) {
    mr_sampling row{};
    row.chooses = place;
    row.temperature = 1;
    row.top_p = top_p;
    row.top_k = top_k;
    row.typical_p = 1;
    row.repetition = 1;
    row.seed_low = seed;
    row.logprobs = row.last = row.mask_at = row.draft = -1;
    return row;
  };
  const std::vector<mr_sampling> rows = {how(0.5f, 0, 3, 1), how(1, 999, 4, 2), how(0.25f, 1 << 16, 5, 3)};
  const std::vector<double> kept = {kIds / 2, 999, kIds / 8};
  const auto n = static_cast<size_t>(rows.size());
  const Placed<int32_t> count(stream, {static_cast<int32_t>(n)}), words(stream, {0}), ids(stream, std::vector<int32_t>(n)), counts(stream, std::vector<int32_t>(n * static_cast<size_t>(stride)));
  const Placed<float> logits(stream, std::vector<float>(n * kIds, 1.5f)), work(stream, std::vector<float>(n * static_cast<size_t>(stride)));
  const Placed<mr_sampling> given(stream, rows);
  const Placed<mr_sampled> out(stream, std::vector<mr_sampled>(n));
  cuda::sample(stream, {static_cast<int>(n), count.data()}, {{logits.data(), kIds}, kIds, given.data(), words.data(), ids.data(), out.data(), work.data(), counts.data(), stride});
  const std::vector<mr_sampled> chosen = out.read();
  for (size_t r = 0; r < n; r++) {
    const double u = cuda::philox_uniform(rows[r].seed_low, rows[r].seed_high, rows[r].choice, rows[r].position);
    CHECK(chosen[r].status == MR_ROW_CHOSEN && chosen[r].id == static_cast<int>(u * kept[r]), "row %zu: %d of %g", r, chosen[r].id, u * kept[r]);
  }
}

}  // namespace millrace::test
