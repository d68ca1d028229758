#include "draw.h"

#include <algorithm>

#include "check.h"
#include "pool.h"
#include "runner.h"

namespace millrace::test {
namespace {

std::vector<float> logits(int n, float deviation, Random& random) {
  std::vector<float> x = random.normals(static_cast<size_t>(n), deviation);
  // Some out of sight, some that weigh less than a normal number, some equal.
  for (int i = 0; i < n; i += 7) x[static_cast<size_t>(i)] = i % 3 == 0 ? -INFINITY : -79.99999f + 4 * deviation;
  for (int i = 1; i < n; i += 11) x[static_cast<size_t>(i)] = x[1];
  // Whole stretches that weigh nothing, or just something, of lengths that blocks of no instruction set divide.
  const float largest = *std::max_element(x.begin(), x.end());
  for (int from = n / 3; from + 75 < n; from += 300) {
    for (int i = from; i < from + 75; i++) x[static_cast<size_t>(i)] = largest - (19.3f + 0.004f * static_cast<float>(i - from));
  }
  return x;
}

// As io.millrace.worker.sampling.Exponential defines it.
double exponential(double y) {
  const double series[] = {1.0 / 40320, 1.0 / 5040, 1.0 / 720, 1.0 / 120, 1.0 / 24, 1.0 / 6, 0.5, 1, 1};
  const double z = y * (1.0 / 256);
  double p = 1.0 / 362880;
  for (double term : series) p = p * z + term;
  for (int i = 0; i < 8; i++) p *= p;
  return p;
}

float weight(float x, double most, double scale) {
  const double y = std::max((static_cast<double>(x) - most) * scale, -80.0);
  return static_cast<float>(exponential(y) - exponential(-80) + 0x1.8p18 - 0x1.8p18);
}

}  // namespace

TEST(weights_are_those_of_their_definition_whichever_way_is_taken) {
  Random random(74);
  for (float deviation : {0.5f, 1.5f, 2.5f, 6.0f, 1e6f}) {
    for (double scale : {0.1, 0.8, 1.0, 1.25, 30.0, 1e6}) {
      const int n = 40 * 1024 + 40;
      std::vector<float> x = random.normals(static_cast<size_t>(n), deviation);
      x[17] = *std::max_element(x.begin(), x.end()) + 5 * deviation;
      x[40] = -INFINITY;
      const auto most = static_cast<double>(x[17]);
      std::vector<float> actual(x.size()), expected(x.size());
      for (size_t i = 0; i < x.size(); i++) expected[i] = weight(x[i], most, scale);
      double total = 0;
      for (float each : expected) total += static_cast<double>(each);
      std::vector<double> sums(41);
      for (const Kernels* k : all_kernels()) {
        CHECK(k->weigh(x.data(), n, most, scale, actual.data(), sums.data()) == total, "%s: deviation %g, scale %g", k->name, static_cast<double>(deviation), scale);
        CHECK(same_bits(actual.data(), expected.data(), actual.size()), "%s: deviation %g, scale %g", k->name, static_cast<double>(deviation), scale);
      }
    }
  }
}

TEST(the_largest_logit_is_the_lowest_of_a_tie_and_a_broken_one_is_found_anywhere) {
  Random random(71);
  for (const Kernels* k : all_kernels()) {
    for (int n : {1, 5, 16, 17, 1024, 1027, 5000}) {
      std::vector<float> x = random.normals(static_cast<size_t>(n));
      int best = 0;
      for (int i = 1; i < n; i++) best = x[static_cast<size_t>(i)] > x[static_cast<size_t>(best)] ? i : best;
      CHECK(k->largest(x.data(), n) == best, "%s %d", k->name, n);
      x.back() = x[static_cast<size_t>(best)];
      CHECK(k->largest(x.data(), n) == best, "%s %d: a tie", k->name, n);
      for (int at : {0, n / 2, n - 1}) {
        for (float fault : {NAN, INFINITY}) {
          std::vector<float> broken = x;
          broken[static_cast<size_t>(at)] = fault;
          CHECK(k->largest(broken.data(), n) == -1, "%s %d at %d", k->name, n, at);
        }
      }
      std::vector<float> none(static_cast<size_t>(n), -INFINITY);
      CHECK(k->largest(none.data(), n) == 0, "%s %d", k->name, n);
    }
  }
}

TEST(weights_have_the_same_bits_on_every_instruction_set) {
  Random random(72);
  const std::vector<const Kernels*> all = all_kernels();
  for (int n : {1, 7, 8, 1023, 1024, 1033, 9000}) {
    std::vector<float> x = logits(n, 3, random);
    auto most = static_cast<double>(x[static_cast<size_t>(all[0]->largest(x.data(), n))]);
    if (most < -1e30) continue;
    size_t chunks = static_cast<size_t>((n + kDrawChunk - 1) / kDrawChunk);
    std::vector<float> expected(static_cast<size_t>(n)), actual(static_cast<size_t>(n));
    std::vector<double> sums(chunks), others(chunks);
    double total = all[0]->weigh(x.data(), n, most, 1.25, expected.data(), sums.data());
    for (size_t i = 0; i < x.size(); i++) {
      double exact = std::max(0.0, std::exp((static_cast<double>(x[i]) - most) * 1.25) - std::exp(-80.0));
      CHECK(std::fabs(static_cast<double>(expected[i]) - exact) <= 1e-7 * exact + 0x1p-35, "%d of %d: %g, not %g", static_cast<int>(i), n,
            static_cast<double>(expected[i]), exact);
    }
    for (const Kernels* k : all) {
      CHECK(k->weigh(x.data(), n, most, 1.25, actual.data(), others.data()) == total, "%s %d", k->name, n);
      CHECK(same_bits(actual.data(), expected.data(), actual.size()) && others == sums, "%s %d", k->name, n);
      std::vector<uint64_t> keys(static_cast<size_t>(n)), wanted(static_cast<size_t>(n));
      for (float floor : {0.0f, 0x1p-30f, 0x1p-8f}) {
        int count = k->above(actual.data(), n, floor, keys.data());
        CHECK(count == all[0]->above(actual.data(), n, floor, wanted.data()), "%s %d", k->name, n);
        for (int i = 0; i < count; i++) CHECK(keys[static_cast<size_t>(i)] == wanted[static_cast<size_t>(i)], "%s %d", k->name, n);
      }
    }
  }
}

TEST(a_draw_keeps_denormals_and_takes_what_the_filters_leave) {
  FlushDenormals flush;
  volatile float tiny = 1e-39f;
  {
    KeepDenormals keep;
    CHECK(tiny * 0.5f != 0);
  }
  std::vector<float> x = {0, 3, 1, 3, 2, -INFINITY};
  Drawer drawer;
  for (const Kernels* k : all_kernels()) {
    auto draw = [&](mr_draw how) { return drawer.draw(*k, x.data(), 6, how); };
    CHECK(draw({0, 0.99, 0, 0, 1, 0, -1}) == 1, "the largest");
    CHECK(draw({1, 0.999, 0, 1, 1, 0, -1}) == 1, "top-k of one");
    CHECK(draw({1, 0.999, 0, 2, 1, 0, -1}) == 3 && draw({1, 0, 0, 2, 1, 0, -1}) == 1, "top-k of two");
    CHECK(draw({1, 0.9999, 0, 0, 0.5f, 0, -1}) == 3 && draw({1, 0.9999, 0, 0, 0.3f, 0, -1}) == 1, "top-p");
    CHECK(draw({1, 0.9999, 0, 0, 1, 0.3f, -1}) == 4 && draw({1, 0, 0, 0, 1, 0.3f, -1}) == 1, "min-p");
    CHECK(draw({1, 0, 0, 0, 1, 0, -1}) == 0 && draw({1, 0.99999, 0, 0, 1, 0, -1}) == 4, "all");
  }
}

TEST(a_draw_that_leaves_no_id_is_refused) {
  Builder b;
  int weight = b.weight("logits", 4, 4), x = b.rows(4), logits = b.logit_rows(4);
  b.op(1, {weight, x, Builder::bits(1)});
  b.op(11, {x, logits});
  b.op(13, {logits});
  Runner runner(b.encode(), options(mr_isa_best(), 1), {}, 1);
  const std::vector<float> row = {0, 1, 2, 3};
  auto status = [&](float min_p) {
    const mr_draw draw = {1, 0.5, 0, 0, 1, min_p, -1};
    int32_t id = -7;
    char message[512] = "";
    return mr_draw_ids(runner.model(), row.data(), &draw, 1, &id, message, sizeof message);
  };
  CHECK(status(1) == MR_OK);
  CHECK(status(1.25f) == MR_INVALID && status(NAN) == MR_INVALID && status(-0.5f) == MR_INVALID);
}

TEST(draws_that_verify_drafts_are_those_of_one_by_one_up_to_the_first_that_is_refused) {
  const int n = 60, length = 7;
  Random random(73);
  // Row number i are the logits after id i.
  std::vector<float> table = random.normals(static_cast<size_t>(n * n), 2);
  Builder b;
  int weight = b.weight("logits", n, n), x = b.rows(n), logits = b.logit_rows(n);
  b.op(1, {weight, x, Builder::bits(1)});
  b.op(11, {x, logits});
  b.op(13, {logits});
  char message[512] = "";
  for (int threads : {1, 3}) {
    Runner runner(b.encode(), options(mr_isa_best(), threads), {}, 1);
    auto drawn = [&](const std::vector<mr_draw>& draws) {
      std::vector<int32_t> ids(draws.size(), -7);
      CHECK(mr_draw_ids(runner.model(), table.data(), draws.data(), static_cast<int32_t>(draws.size()), ids.data(), message, sizeof message) == MR_OK, "%s", message);
      return ids;
    };
    for (int round = 0; round < 40; round++) {
      const mr_draw how = {round % 4 == 0 ? 0 : 1.1, 0, 0, round % 3 == 0 ? 9 : 0, round % 5 == 0 ? 0.7f : 1, 0, -1};
      auto at = [&](int32_t id, int i, int32_t draft) {
        mr_draw d = how;
        d.row = id;
        d.uniform = std::fmod(0.37 * (round + 1) + 0.61 * i, 1);
        d.draft = draft;
        return d;
      };
      std::vector<int32_t> one = {random.below(n)};
      for (int i = 0; i <= length; i++) one.push_back(drawn({at(one.back(), i, -1)})[0]);
      // Three sequences in one call: wrong at some place, without drafts, wrong nowhere.
      const int wrong = round % length;
      std::vector<int32_t> drafts(one.begin() + 1, one.begin() + 1 + length);
      drafts[static_cast<size_t>(wrong)] = (drafts[static_cast<size_t>(wrong)] + 1) % n;
      std::vector<mr_draw> draws;
      for (int i = 0; i <= length; i++) draws.push_back(at(i == 0 ? one[0] : drafts[static_cast<size_t>(i - 1)], i, i < length ? drafts[static_cast<size_t>(i)] : -1));
      draws.push_back(at(one[2], 2, -1));
      for (int i = 0; i <= length; i++) draws.push_back(at(one[static_cast<size_t>(i)], i, i < length ? one[static_cast<size_t>(i + 1)] : -1));
      std::vector<int32_t> ids = drawn(draws);
      for (int i = 0; i <= length; i++) {
        const int32_t expected = i <= wrong ? one[static_cast<size_t>(i + 1)] : MR_DRAW_REFUSED;
        CHECK(ids[static_cast<size_t>(i)] == expected, "%d threads, round %d, row %d: %d, expected %d", threads, round, i, ids[static_cast<size_t>(i)], expected);
        CHECK(ids[static_cast<size_t>(length + 2 + i)] == one[static_cast<size_t>(i + 1)], "%d threads, round %d, row %d of what is accepted", threads, round, i);
      }
      CHECK(ids[length + 1] == one[3], "%d threads, round %d: alone", threads, round);
    }
    mr_draw last = {0, 0, 0, 0, 1, 0, 3};
    int32_t id = 0;
    CHECK(mr_draw_ids(runner.model(), table.data(), &last, 1, &id, message, sizeof message) == MR_INVALID && std::strstr(message, "draw 0 has draft 3"), "%s", message);
  }
}

}  // namespace millrace::test
