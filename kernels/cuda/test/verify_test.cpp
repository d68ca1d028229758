#include <algorithm>

#include "sampling_model.h"

namespace millrace::test {
namespace {

// A model in which the id before is all that counts: rows of the table are the logits after each id.
struct Chain {
  LogitModel model;
  int n;

  Chain(int n, Random& random) : model(n, n, table(n, random)), n(n) {}

  static std::vector<float> table(int n, Random& random) {
    std::vector<float> x = random.normals(static_cast<size_t>(n) * static_cast<size_t>(n), 2);
    for (float& v : x) v = random.below(9) == 0 ? -INFINITY : std::round(v * 4) / 4;
    for (int i = 0; i < n; i++) x[static_cast<size_t>(i * n + i)] = 0;
    return x;
  }
};

// A sequence that goes on: its ids, and how the next is chosen.
struct Choice {
  std::vector<int32_t> ids;
  Wanted how;
  // A mask for each position, by turns; none when empty.
  std::vector<std::vector<int32_t>> masks;

  // Of the id after the first `known`.
  Wanted row(size_t known) const {
    Wanted w = how;
    const bool penalties = how.how.repetition != 1 || how.how.presence != 0 || how.how.frequency != 0;
    if (penalties) w.history.assign(ids.begin(), ids.begin() + static_cast<std::ptrdiff_t>(known));
    w.prompt = penalties ? 1 : 0;
    if (!masks.empty()) w.mask = masks[known % masks.size()];
    w.how.position = static_cast<int32_t>(known);
    return w;
  }
};

Choice random_choice(Random& random, int n, int number) {
  Choice c;
  c.ids = {random.below(n)};
  const float temperatures[] = {0, 0.7f, 1, 1.3f};
  c.how.how.temperature = temperatures[random.below(4)];
  c.how.how.choice = number;
  c.how.how.seed_high = static_cast<uint32_t>(random.below(1 << 30));
  if (random.below(3) == 0) c.how.how.top_k = 1 + random.below(n);
  if (random.below(3) == 0) c.how.how.top_p = 0.8f;
  if (random.below(4) == 0) c.how.how.min_p = 0.02f;
  if (random.below(4) == 0) c.how.how.typical_p = 0.9f;
  if (random.below(3) == 0) c.how.how.logprobs = random.below(6);
  if (random.below(2) == 0) {
    c.how.how.repetition = 1.3f;
    c.how.how.presence = 0.4f;
    c.how.how.frequency = 0.3f;
  }
  if (random.below(3) == 0) c.how.bias = {{random.below(n), 2.5f}};
  if (random.below(3) == 0) c.how.suppressed = {random.below(n)};
  for (int m = random.below(2) * 3; m > 0; m--) {
    std::vector<int32_t> mask(static_cast<size_t>((n + 31) / 32));
    for (int i = 0; i < n; i++) mask[static_cast<size_t>(i / 32)] |= static_cast<int32_t>(static_cast<uint32_t>(random.below(4) != 0) << i % 32);
    c.masks.push_back(mask);
  }
  return c;
}

// A step in which sequences have rows of their own, with drafts after the first.
struct DraftStep {
  Step how;
  std::vector<int32_t> tokens, positions, starts = {0}, lengths, rows;

  void add(const Choice& c, const std::vector<int32_t>& drafts) {
    Choice with = c;
    with.ids.insert(with.ids.end(), drafts.begin(), drafts.end());
    for (size_t i = 0; i <= drafts.size(); i++) {
      const size_t known = c.ids.size() + i;
      how.add(with.row(known));
      how.rows.back().draft = i < drafts.size() ? drafts[i] : -1;
      tokens.push_back(with.ids[known - 1]);
      positions.push_back(static_cast<int32_t>(known) - 1);
      rows.push_back(static_cast<int32_t>(rows.size()));
    }
    starts.push_back(static_cast<int32_t>(tokens.size()));
    lengths.push_back(static_cast<int32_t>(with.ids.size()));
  }

  mr_step step() const {
    auto n = static_cast<int32_t>(tokens.size());
    return {n, static_cast<int32_t>(lengths.size()), n, 1, tokens.data(), positions.data(), nullptr, starts.data(), lengths.data(), nullptr, rows.data(), nullptr};
  }
};

char message[512];

std::vector<mr_sampled> run(mr_model* m, const DraftStep& s) {
  const mr_step step = s.step();
  CHECK(mr_submit(m, &step, s.how.rows.data(), s.how.words.data(), static_cast<int64_t>(s.how.words.size()), message, sizeof message) == MR_OK, "%s", message);
  return collect(m, s.tokens.size());
}

// Row by row; also what was said of each id.
std::vector<mr_sampled> row_by_row(mr_model* m, Choice& c, int count) {
  std::vector<mr_sampled> all;
  for (int i = 0; i < count; i++) {
    DraftStep s;
    s.add(c, {});
    all.push_back(run(m, s)[0]);
    if (all.back().status != MR_ROW_CHOSEN) break;
    c.ids.push_back(all.back().id);
  }
  return all;
}

bool same(const mr_sampled& a, const mr_sampled& b, const Wanted& how) {
  if (a.status != b.status || a.id != b.id || a.logit != b.logit) return false;
  const int best = how.how.logprobs;
  if (best < 0) return true;
  return a.sum == b.sum && a.most == b.most && std::equal(a.top_ids, a.top_ids + best, b.top_ids) && std::equal(a.top_logits, a.top_logits + best, b.top_logits);
}

}  // namespace

TEST(drafts_give_the_ids_of_rows_one_by_one_whichever_are_refused) {
  Random random(80);
  int accepted_all = 0, refused_first = 0, refused_middle = 0, none = 0;
  for (int n : {33, 130}) {
    Chain chain(n, random);
    mr_model* m = chain.model.runner->model();
    const int length = 14;
    for (int round = 0; round < 6; round++) {
      std::vector<Choice> choices, drafted;
      std::vector<std::vector<mr_sampled>> expected;
      for (int i = 0; i < 5; i++) {
        choices.push_back(random_choice(random, n, i));
        drafted.push_back(choices.back());
        expected.push_back(row_by_row(m, choices.back(), length));
      }
      for (bool more = true; more;) {
        more = false;
        DraftStep s;
        std::vector<std::vector<int32_t>> drafts(choices.size());
        std::vector<size_t> members, first_rows;
        for (size_t i = 0; i < choices.size(); i++) {
          const size_t done = drafted[i].ids.size() - 1;
          if (done >= expected[i].size() || expected[i][done].status != MR_ROW_CHOSEN) continue;
          // What will be chosen, with an error anywhere or nowhere.
          const size_t most = std::min<size_t>(expected[i].size() - done, static_cast<size_t>(random.below(5)));
          for (size_t k = 0; k < most && expected[i][done + k].status == MR_ROW_CHOSEN; k++) drafts[i].push_back(expected[i][done + k].id);
          if (!drafts[i].empty() && random.below(3) > 0) {
            int32_t& wrong = drafts[i][static_cast<size_t>(random.below(static_cast<int>(drafts[i].size())))];
            wrong = (wrong + 1 + random.below(n - 1)) % n;
          }
          members.push_back(i);
          first_rows.push_back(s.tokens.size());
          s.add(drafted[i], drafts[i]);
          more = true;
        }
        if (!more) break;
        std::vector<mr_sampled> out = run(m, s);
        for (size_t j = 0; j < members.size(); j++) {
          const size_t i = members[j], first = first_rows[j], k = drafts[i].size(), done = drafted[i].ids.size() - 1;
          size_t right = 0;
          while (right < k && done + right < expected[i].size() && expected[i][done + right].status == MR_ROW_CHOSEN && drafts[i][right] == expected[i][done + right].id) right++;
          CHECK(out[first].accepted == static_cast<int32_t>(right), "%d ids, round %d: %d of %zu accepted, expected %zu", n, round, out[first].accepted, k, right);
          for (size_t r = 0; r <= k; r++) {
            const mr_sampled& row = out[first + r];
            if (r > 0) CHECK(row.accepted == 0, "row %zu says %d", r, row.accepted);
            if (r > right) {
              CHECK(row.status == MR_ROW_REFUSED, "row %zu of %zu: %d", r, k, row.status);
            } else if (done + r < expected[i].size()) {
              CHECK(same(row, expected[i][done + r], drafted[i].how), "%d ids, round %d, row %zu of %zu: %d, expected %d", n, round, r, k, row.id, expected[i][done + r].id);
              if (row.status == MR_ROW_CHOSEN) drafted[i].ids.push_back(row.id);
            }
          }
          none += k == 0;
          accepted_all += k > 0 && right == k;
          refused_first += k > 0 && right == 0;
          refused_middle += right > 0 && right < k;
        }
      }
      for (size_t i = 0; i < choices.size(); i++) CHECK(drafted[i].ids == choices[i].ids, "%d ids, round %d, sequence %zu", n, round, i);
    }
    CHECK(mr_graph_steps(m) > 0, "no step ran as a graph");
  }
  CHECK(none > 5 && accepted_all > 5 && refused_first > 5 && refused_middle > 5, "%d without, %d whole, %d refused at once, %d in the middle", none, accepted_all, refused_first, refused_middle);
}

TEST(drafts_of_a_model_give_the_ids_of_decoding_and_what_refused_rows_left_in_the_cache_is_written_again) {
  Llama llama;
  Random random(82);
  for (int type : {MR_BF16, MR_Q4_K}) {
    auto runner = llama.runner(cuda_options(0), type, 1);
    // The rest of the ids and then drafts; what the last id and each draft choose. Sequences lie one after the other, a slot for each position.
    auto run_rows = [&](const std::vector<int32_t>& ids, size_t computed, const std::vector<int32_t>& drafts, int base) {
      std::vector<int32_t> tokens(ids.begin() + static_cast<std::ptrdiff_t>(computed), ids.end()), positions, slots, table, rows;
      const auto known = static_cast<int32_t>(tokens.size());
      tokens.insert(tokens.end(), drafts.begin(), drafts.end());
      const auto n = static_cast<int32_t>(tokens.size()), length = static_cast<int32_t>(computed) + n;
      for (int32_t p = static_cast<int32_t>(computed); p < length; p++) {
        positions.push_back(p);
        slots.push_back(base * 16 + p);
      }
      for (int32_t b = 0; b * 16 < length; b++) table.push_back(base + b);
      Step how;
      for (size_t i = 0; i <= drafts.size(); i++) {
        Wanted w;
        w.how.temperature = 1.2f;
        w.how.position = static_cast<int32_t>(ids.size() + i);
        w.how.draft = i < drafts.size() ? drafts[i] : -1;
        how.add(w);
        rows.push_back(known - 1 + static_cast<int32_t>(i));
      }
      const int32_t starts[] = {0, n};
      const mr_step step{n, 1, static_cast<int32_t>(rows.size()), static_cast<int32_t>(table.size()), tokens.data(), positions.data(), slots.data(), starts, &length, table.data(), rows.data(), nullptr};
      CHECK(mr_submit(runner->model(), &step, how.rows.data(), nullptr, 0, message, sizeof message) == MR_OK, "%s", message);
      return collect(runner->model(), rows.size());
    };
    const size_t length = 36;
    std::vector<int32_t> one = {1, 5, 9, 2}, drafted = one;
    for (size_t computed = 0; one.size() < length; computed = one.size() - 1) one.push_back(run_rows(one, computed, {}, 0)[0].id);
    int steps = 0;
    for (size_t computed = 0; drafted.size() < length; steps++) {
      std::vector<int32_t> drafts;
      for (size_t i = drafted.size(); i < length && i < drafted.size() + 4; i++) drafts.push_back(random.below(4) == 0 ? random.below(kVocabulary) : one[i]);
      std::vector<mr_sampled> out = run_rows(drafted, computed, drafts, 8);
      computed = drafted.size() + static_cast<size_t>(out[0].accepted);
      for (int i = 0; i <= out[0].accepted; i++) drafted.push_back(out[static_cast<size_t>(i)].id);
    }
    drafted.resize(length);
    CHECK(drafted == one, "type %d", type);
    CHECK(steps < 24 && steps > 8, "%d steps", steps);
  }
}

TEST(a_row_that_chooses_nothing_refuses_what_follows_and_leaves_0_to_the_next_step) {
  const int n = 8;
  std::vector<float> table(n * n, 0);
  for (int i = 0; i < n; i++) table[static_cast<size_t>(i * n + (i + 1) % n)] = 5;
  table[3 * n + 2] = NAN;
  LogitModel model(n, n, table);
  mr_model* m = model.runner->model();
  Choice c;
  c.ids = {1};
  DraftStep s;
  s.add(c, {2, 3, 4, 5});
  const mr_step step = s.step();
  auto submit_drafts = [&] {
    CHECK(mr_submit(m, &step, s.how.rows.data(), s.how.words.data(), static_cast<int64_t>(s.how.words.size()), message, sizeof message) == MR_OK, "%s", message);
  };
  submit_drafts();
  // Rows of the step before: one that is accepted, one that is broken, one that is refused.
  Step plain;
  for (int i = 0; i < 3; i++) plain.add({});
  submit(m, Submitted({-2, -3, -4}), plain);
  std::vector<mr_sampled> out = collect(m, 5);
  CHECK(out[0].id == 2 && out[0].accepted == 2 && out[1].id == 3, "%d %d %d", out[0].id, out[0].accepted, out[1].id);
  CHECK(out[2].status == MR_ROW_BROKEN && out[2].bad == 2 && out[3].status == MR_ROW_REFUSED && out[4].status == MR_ROW_REFUSED, "%d %d %d", out[2].status, out[3].status, out[4].status);
  out = collect(m, 3);
  CHECK(out[0].status == MR_ROW_BROKEN && out[1].id == 1 && out[2].id == 1, "%d %d %d", out[0].status, out[1].id, out[2].id);
}

TEST(drafts_that_no_row_verifies_are_refused_by_name) {
  Random random(81);
  Chain chain(16, random);
  mr_model* m = chain.model.runner->model();
  Choice c;
  c.ids = {1};
  auto refuses = [&](const DraftStep& s, const char* part) {
    const mr_step step = s.step();
    int32_t status = mr_submit(m, &step, s.how.rows.data(), s.how.words.data(), static_cast<int64_t>(s.how.words.size()), message, sizeof message);
    CHECK(status == MR_INVALID && std::string(message).find(part) != std::string::npos, "%d %.200s", status, message);
  };
  DraftStep last, other, token, sequence, position, left;
  last.add(c, {3});
  last.how.rows[1].draft = 4;
  refuses(last, "logit row 1 has draft 4, which no logit row after it in its sequence verifies");
  token.add(c, {3});
  token.how.rows[0].draft = 5;
  refuses(token, "logit row 0 has draft 5 for position 1, the row after it token 3, and chooses for 2");
  sequence.add(c, {});
  sequence.add(c, {});
  sequence.how.rows[0].draft = 1;
  refuses(sequence, "logit row 0 has draft 1, which no logit row");
  position.add(c, {3});
  position.how.rows[1].position = 1;
  refuses(position, "and chooses for 1");
  left.add(c, {3});
  left.how.rows[1].chooses = 0;
  refuses(left, "logit row 0 has draft 3, which no logit row");
}

}  // namespace millrace::test
