#include <algorithm>
#include <array>
#include <limits>
#include <map>
#include <numeric>

#include "core/sample.h"
#include "sampling_model.h"

namespace millrace::test {
namespace {

using cuda::natural_log;
using cuda::weight_of;

char message[512];

mr_sampled one(LogitModel& model, const Wanted& w, int id = 0) {
  Step step;
  step.add(w);
  submit(model.runner->model(), Submitted({id}), step);
  return collect(model.runner->model(), 1)[0];
}

// The definition, by sorting, in the order of the sampler of the worker.
int expected_id(const float* logits, int n, const Wanted& w) {
  std::vector<float> x(logits, logits + n);
  for (auto [id, value] : w.bias) {
    if (id >= 0 && id < n) x[static_cast<size_t>(id)] += value;
  }
  std::map<int, int> counts;
  for (size_t i = 0; i < w.history.size(); i++) counts[w.history[i]] += static_cast<int>(i) >= w.prompt ? 1 : 0;
  for (auto [id, outputs] : counts) {
    if (id >= 0 && id < n) x[static_cast<size_t>(id)] = cuda::penalised(x[static_cast<size_t>(id)], outputs, w.how.repetition, w.how.frequency, w.how.presence);
  }
  for (int id : w.suppressed) {
    if (id >= 0 && id < n) x[static_cast<size_t>(id)] = -INFINITY;
  }
  for (int i = 0; !w.mask.empty() && i < n; i++) {
    if ((static_cast<uint32_t>(w.mask[static_cast<size_t>(i / 32)]) >> i % 32 & 1) == 0) x[static_cast<size_t>(i)] = -INFINITY;
  }
  auto best = static_cast<int>(std::max_element(x.begin(), x.end()) - x.begin());
  if (w.how.temperature == 0 || w.how.top_k == 1) return best;
  const float most = x[static_cast<size_t>(best)];
  std::vector<float> weight(static_cast<size_t>(n));
  std::vector<int> kept;
  for (int i = 0; i < n; i++) {
    weight[static_cast<size_t>(i)] = weight_of(x[static_cast<size_t>(i)], most, 1.0 / static_cast<double>(w.how.temperature));
    if (weight[static_cast<size_t>(i)] > 0) kept.push_back(i);
  }
  auto of = [&](int i) { return static_cast<double>(weight[static_cast<size_t>(i)]); };
  auto mass = [&] { return std::accumulate(kept.begin(), kept.end(), 0.0, [&](double sum, int i) { return sum + of(i); }); };
  auto keep = [&](double target) {
    double sum = 0;
    size_t count = 0;
    while (count < kept.size() && (count == 0 || sum < target)) sum += of(kept[count++]);
    kept.resize(count);
  };
  std::stable_sort(kept.begin(), kept.end(), [&](int a, int b) { return of(a) > of(b); });
  if (w.how.top_k > 0 && w.how.top_k < static_cast<int>(kept.size())) kept.resize(static_cast<size_t>(w.how.top_k));
  if (w.how.top_p < 1) keep(static_cast<double>(w.how.top_p) * mass());
  std::erase_if(kept, [&](int i) { return weight[static_cast<size_t>(i)] < w.how.min_p; });
  std::sort(kept.begin(), kept.end());
  if (w.how.typical_p < 1) {
    const double total = mass();
    double entropy = 0;
    for (int i : kept) entropy += cuda::surprise(of(i) / total);
    auto distance = [&](int i) { return static_cast<float>(std::fabs(-natural_log(of(i) / total) - entropy)); };
    std::stable_sort(kept.begin(), kept.end(), [&](int a, int b) { return distance(a) < distance(b); });
    keep(static_cast<double>(w.how.typical_p) * total);
    std::sort(kept.begin(), kept.end());
  }
  const double target = cuda::philox_uniform(w.how.seed_low, w.how.seed_high, w.how.choice, w.how.position) * mass();
  double sum = 0;
  for (int i : kept) {
    sum += of(i);
    if (sum > target) return i;
  }
  return kept.back();
}

float random_share(Random& random) { return static_cast<float>(1 + random.below(999)) / 1000; }

Wanted random_row(Random& random, int n, int round) {
  Wanted w;
  w.how.position = round;
  w.how.choice = random.below(3);
  w.how.seed_high = static_cast<uint32_t>(random.below(1 << 30));
  const float temperatures[] = {0, 1e-30f, 0.3f, 1, 1.7f, 40};
  w.how.temperature = temperatures[random.below(6)];
  if (random.below(2) == 0) w.how.top_k = 1 + random.below(random.below(3) == 0 ? 2 * n : std::min(n, 40));
  if (random.below(2) == 0) w.how.top_p = random.below(20) == 0 ? 0 : random_share(random);
  if (random.below(3) == 0) w.how.min_p = random_share(random) * random_share(random) * 0.3f;
  if (random.below(4) == 0) w.how.typical_p = random_share(random);
  if (random.below(3) == 0) {
    for (int i = random.below(60); i >= 0; i--) w.history.push_back(random.below(n + 2) - 1);
    w.prompt = random.below(static_cast<int>(w.history.size()) + 1);
    w.how.repetition = 0.8f + random_share(random);
    w.how.frequency = random_share(random) - 0.3f;
    w.how.presence = random_share(random) - 0.3f;
  }
  if (random.below(4) == 0) w.bias = {{random.below(n), 3.5f}, {-2, 1}, {n + 3, 1}};
  // One id stays possible.
  const int always = random.below(n);
  if (random.below(4) == 0) {
    for (int id : {random.below(n), random.below(n), n + 1}) {
      if (id != always) w.suppressed.push_back(id);
    }
  }
  if (random.below(4) == 0) {
    w.mask.resize(static_cast<size_t>((n + 31) / 32));
    for (int32_t& word : w.mask) word = static_cast<int32_t>(random.below(1 << 30)) & (random.below(4) == 0 ? 0 : -1);
    w.mask[static_cast<size_t>(always / 32)] |= static_cast<int32_t>(1u << always % 32);
  }
  return w;
}

}  // namespace

TEST(chosen_ids_agree_with_sorting_on_random_rows) {
  Random random(50);
  for (int n : {1, 2, 31, 64, 1000, 1025, 5003}) {
    const int tables = 4;
    std::vector<float> table;
    for (float scale : {3.0f, 0.0f, 1.0f, 9.0f}) {
      std::vector<float> row = random.normals(static_cast<size_t>(n), scale);
      for (float& v : row) {
        // Ties, and what may not be chosen.
        if (scale == 1.0f) v = std::round(v);
        if (scale == 9.0f && random.below(3) == 0) v = -INFINITY;
      }
      if (scale == 9.0f) row[0] = 1;
      table.insert(table.end(), row.begin(), row.end());
    }
    LogitModel model(tables, n, table);
    const int rounds = n > 2000 ? 30 : n > 500 ? 60 : 160;
    for (int round = 0; round < rounds; round += 4) {
      Step step;
      std::vector<Wanted> wanted;
      std::vector<int32_t> ids;
      for (int r = 0; r < 4; r++) {
        ids.push_back(random.below(tables));
        wanted.push_back(random_row(random, n, round + r));
        if (ids.back() == 3) wanted.back().mask.clear();
        if (ids.back() == 3) std::erase(wanted.back().suppressed, 0);
        step.add(wanted.back());
      }
      submit(model.runner->model(), Submitted(ids), step);
      std::vector<mr_sampled> out = collect(model.runner->model(), 4);
      for (size_t r = 0; r < 4; r++) {
        int expected = expected_id(&table[static_cast<size_t>(ids[r] * n)], n, wanted[r]);
        CHECK(out[r].status == MR_ROW_CHOSEN && out[r].id == expected, "%d ids, round %d: status %d, id %d, expected %d (k %d, p %g, min %g, typical %g, t %g)", n, round, out[r].status,
              out[r].id, expected, wanted[r].how.top_k, static_cast<double>(wanted[r].how.top_p), static_cast<double>(wanted[r].how.min_p),
              static_cast<double>(wanted[r].how.typical_p), static_cast<double>(wanted[r].how.temperature));
      }
    }
  }
}

TEST(broken_and_empty_rows_are_named_and_harm_no_other) {
  const int n = 70;
  std::vector<float> table(4 * n, 1);
  table[3 * n + 5] = 2;
  table[41] = NAN;
  table[60] = INFINITY;
  table[n + 69] = INFINITY;
  for (int i = 0; i < n; i++) table[static_cast<size_t>(2 * n + i)] = -INFINITY;
  LogitModel model(4, n, table);
  Step step;
  for (int i = 0; i < 5; i++) {
    Wanted w;
    w.how.temperature = i % 2 == 0 ? 1 : 0;
    if (i == 3) w.how.top_k = 1;
    if (i == 4) w.suppressed = {0};
    if (i == 4) w.mask = {1, 0, 0};
    step.add(w);
  }
  submit(model.runner->model(), Submitted({0, 1, 2, 3, 3}), step);
  std::vector<mr_sampled> out = collect(model.runner->model(), 5);
  CHECK(out[0].status == MR_ROW_BROKEN && out[0].bad == 41 && std::isnan(out[0].bad_logit), "%d %d", out[0].status, out[0].bad);
  CHECK(out[1].status == MR_ROW_BROKEN && out[1].bad == 69 && std::isinf(out[1].bad_logit), "%d %d", out[1].status, out[1].bad);
  CHECK(out[2].status == MR_ROW_EMPTY, "%d", out[2].status);
  CHECK(out[3].status == MR_ROW_CHOSEN && out[3].id == 5, "%d %d", out[3].status, out[3].id);
  CHECK(out[4].status == MR_ROW_EMPTY, "%d", out[4].status);
  // Penalties that make a logit infinite.
  Wanted w;
  w.bias = {{3, INFINITY}};
  mr_sampled bad = one(model, w, 3);
  CHECK(bad.status == MR_ROW_BROKEN && bad.bad == 3, "%d %d", bad.status, bad.bad);
}

TEST(log_probabilities_are_of_the_raw_row) {
  Random random(51);
  for (int n : {1, 30, 1500, 3001}) {
    std::vector<float> logits = random.normals(static_cast<size_t>(n), 3);
    if (n > 8) logits[7] = logits[3];
    LogitModel model(1, n, logits);
    Wanted w;
    w.how.logprobs = 20;
    w.bias = {{0, 100}};
    mr_sampled out = one(model, w);
    double sum = 0;
    const float most = *std::max_element(logits.begin(), logits.end());
    for (float x : logits) sum += std::exp(static_cast<double>(x) - most);
    CHECK(out.id == 0 && out.logit == logits[0] && out.most == most && std::fabs(out.sum / sum - 1) < 1e-7, "%d: %g, expected %g", n, out.sum, sum);
    std::vector<int> order(static_cast<size_t>(n));
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(), [&](int a, int b) { return logits[static_cast<size_t>(a)] > logits[static_cast<size_t>(b)]; });
    for (int k = 0; k < std::min(20, n); k++) {
      CHECK(out.top_ids[k] == order[static_cast<size_t>(k)] && out.top_logits[k] == logits[static_cast<size_t>(order[static_cast<size_t>(k)])], "%d: best %d is %d", n, k, out.top_ids[k]);
    }
  }
}

TEST(rows_that_the_host_wants_come_back_and_are_counted) {
  Random random(52);
  const int n = 100;
  std::vector<float> table = random.normals(3 * n);
  LogitModel model(3, n, table);
  Step step;
  Wanted left, both, plain;
  left.how.chooses = 0;
  both.how.wants_logits = 1;
  step.add(plain);
  step.add(both);
  step.add(left);
  std::vector<float> logits(2 * n);
  submit(model.runner->model(), Submitted({0, 1, 2}), step);
  std::vector<mr_sampled> out = collect(model.runner->model(), 3, logits.data());
  CHECK(out[0].status == MR_ROW_CHOSEN && out[1].status == MR_ROW_CHOSEN && out[2].status == MR_ROW_LEFT);
  CHECK(same_bits(logits.data(), &table[n], 2 * n));
  CHECK(mr_copied_rows(model.runner->model()) == 2);
}

TEST(ids_feed_the_next_step_while_it_is_planned_on_a_device_that_works_late) {
  Random random(53);
  const int n = 40;
  std::vector<float> table = random.normals(static_cast<size_t>(n * n), 2);
#if MR_EMULATED
  emulator::machine().late = true;
#endif
  {
    LogitModel model(n, n, table);
    mr_model* m = model.runner->model();
    // Chains of ids: each is drawn from the row of the one before, penalised by all before it.
    auto wanted = [&](int chain, const std::vector<int32_t>& history, int known, int position) {
      Wanted w;
      w.how.temperature = 1;
      w.how.choice = chain;
      w.how.position = position;
      w.how.repetition = 1.4f;
      w.how.presence = 0.5f;
      w.history.assign(history.begin(), history.begin() + known);
      w.prompt = 1;
      return w;
    };
    const int chains = 3, length = 12;
    std::vector<std::vector<int32_t>> expected, actual;
    for (int c = 0; c < chains; c++) {
      std::vector<int32_t> ids = {c};
      for (int i = 0; i < length; i++) ids.push_back(expected_id(&table[static_cast<size_t>(ids.back() * n)], n, wanted(c, ids, static_cast<int>(ids.size()), i)));
      expected.push_back(ids);
      actual.push_back({c});
    }
    for (int i = 0; i <= length; i++) {
      if (i < length) {
        Step step;
        std::vector<int32_t> tokens;
        // Rows change their places from step to step.
        for (int r = 0; r < chains; r++) {
          const int c = (r + i) % chains, row_before = (c - (i - 1) % chains + chains) % chains;
          Wanted w = wanted(c, actual[static_cast<size_t>(c)], static_cast<int>(actual[static_cast<size_t>(c)].size()), i);
          if (i > 0) w.how.last = row_before;
          tokens.push_back(i == 0 ? c : -1 - row_before);
          step.add(w);
        }
        submit(m, Submitted(tokens), step);
      }
      if (i == 0) continue;
      std::vector<mr_sampled> out = collect(m, chains);
      for (int r = 0; r < chains; r++) actual[static_cast<size_t>((r + i - 1) % chains)].push_back(out[static_cast<size_t>(r)].id);
    }
    for (size_t c = 0; c < chains; c++) {
      CHECK(actual[c] == expected[c], "chain %zu", c);
    }
    CHECK(mr_graph_steps(m) > 5, "%lld", static_cast<long long>(mr_graph_steps(m)));
  }
#if MR_EMULATED
  emulator::machine().late = false;
#endif
}

TEST(what_a_row_that_chooses_nothing_says_of_the_row_before_is_not_looked_up) {
  LogitModel model(2, 8, std::vector<float>(16, 1));
  Step step;
  step.add({});
  step.add({});
  step.rows[1].chooses = 0;
  step.rows[1].last = std::numeric_limits<int32_t>::max();
  submit(model.runner->model(), Submitted({0, 1}), step);
  std::vector<float> logits(8);
  std::vector<mr_sampled> out = collect(model.runner->model(), 2, logits.data());
  CHECK(out[0].status == MR_ROW_CHOSEN && out[1].status == MR_ROW_LEFT);
}

TEST(submitted_steps_are_checked) {
  LogitModel model(2, 8, std::vector<float>(16, 1));
  mr_model* m = model.runner->model();
  auto refuses = [&](const Submitted& s, const Step& step, const char* part) {
    int32_t status = mr_submit(m, &s.step, step.rows.data(), step.words.data(), static_cast<int64_t>(step.words.size()), message, sizeof message);
    CHECK(status == MR_INVALID && std::string(message).find(part) != std::string::npos, "%d %.200s", status, message);
  };
  Step plain;
  plain.add({});
  refuses(Submitted({-1}), plain, "token 0 of the step is -1");
  CHECK(mr_collect(m, nullptr, nullptr, message, sizeof message) == MR_INVALID);
  Step words = plain;
  words.rows[0].suppressed_count = 3;
  refuses(Submitted({0}), words, "not within 0 words");
  words = plain;
  words.rows[0].last = 0;
  refuses(Submitted({0}), words, "logit row 0");
  const std::pair<float mr_sampling::*, const char*> fields[] = {{&mr_sampling::temperature, "temperature is"}, {&mr_sampling::top_p, "top_p is"}, {&mr_sampling::min_p, "min_p is"}, {&mr_sampling::typical_p, "typical_p is"}};
  for (auto [field, named] : fields) {
    // More than 1 is refused of shares alone.
    for (float value : {-0.5f, NAN, field == &mr_sampling::temperature ? INFINITY : 1.5f}) {
      words = plain;
      words.rows[0].*field = value;
      refuses(Submitted({0}), words, named);
    }
  }
  for (int i = 0; i < MR_STEPS; i++) submit(m, Submitted({1}), plain);
  refuses(Submitted({0}), plain, "2 steps are submitted");
  for (int i = 0; i < MR_STEPS; i++) CHECK(collect(m, 1)[0].status == MR_ROW_CHOSEN);
}

}  // namespace millrace::test
