// What fails in the middle, and what is not done twice. The emulator alone can tell.
#include <functional>

#include "device.h"
#include "machine.h"
#include "models.h"
#include "op_program.h"

namespace millrace::test {
namespace {

// A step of which all rows choose the likeliest id; rows of logits: the last of each sequence.
class Choosing {
 public:
  Choosing& sequence(const std::vector<int32_t>& tokens, int from, const std::vector<int32_t>& blocks) {
    for (size_t i = 0; i < tokens.size(); i++) {
      const int position = from + static_cast<int>(i);
      tokens_.push_back(tokens[i]);
      positions_.push_back(position);
      slots_.push_back(blocks[static_cast<size_t>(position / 16)] * 16 + position % 16);
    }
    starts_.push_back(static_cast<int32_t>(tokens_.size()));
    lengths_.push_back(from + static_cast<int32_t>(tokens.size()));
    rows_.push_back(starts_.back() - 1);
    for (int i = 0; i < kWidth; i++) table_.push_back(i < static_cast<int>(blocks.size()) ? blocks[static_cast<size_t>(i)] : 0);
    return *this;
  }

  int32_t submit(mr_model* model, std::string& message) const {
    const auto n = [](const std::vector<int32_t>& all) { return static_cast<int32_t>(all.size()); };
    mr_step step{n(tokens_), n(lengths_), n(rows_), kWidth, tokens_.data(), positions_.data(), slots_.data(), starts_.data(), lengths_.data(), table_.data(), rows_.data(), nullptr};
    std::vector<mr_sampling> how(rows_.size());
    for (mr_sampling& h : how) {
      h = {};
      h.chooses = 1;
      h.logprobs = h.last = h.mask_at = h.draft = -1;
    }
    char text[512] = "";
    const int32_t status = mr_submit(model, &step, how.data(), nullptr, 0, text, sizeof text);
    message = text;
    return status;
  }

 private:
  // Blocks of a sequence.
  static constexpr int kWidth = 24;

  std::vector<int32_t> tokens_, positions_, slots_, starts_ = {0}, lengths_, rows_, table_;
};

std::vector<int32_t> collect(mr_model* model, int rows) {
  std::vector<mr_sampled> out(static_cast<size_t>(rows));
  char text[512] = "";
  CHECK(mr_collect(model, out.data(), nullptr, text, sizeof text) == MR_OK, "%s", text);
  std::vector<int32_t> ids;
  for (const mr_sampled& s : out) ids.push_back(s.status == MR_ROW_CHOSEN ? s.id : -1);
  return ids;
}

}  // namespace

// The first step has all it needs; the second takes up a longer sequence beside it, and so more of the device and of pinned memory.
TEST(memory_that_fails_while_a_step_is_submitted_takes_along_the_one_under_way_and_the_next_are_right) {
  Llama llama;
  Random random(42);
  const std::vector<int32_t> a = sequence(5, random).ids, b = sequence(20, random).ids;
  const Choosing first = Choosing().sequence(a, 0, {0}), second = Choosing().sequence({-1}, 5, {0}).sequence(b, 0, {1, 2});
  std::string message;
  auto both = [&](mr_model* model) {
    CHECK(first.submit(model, message) == MR_OK, "%s", message.c_str());
    CHECK(second.submit(model, message) == MR_OK, "%s", message.c_str());
    std::vector<int32_t> ids = collect(model, 1);
    for (int32_t id : collect(model, 2)) ids.push_back(id);
    return ids;
  };
  const std::vector<int32_t> expected = both(llama.runner(cuda_options(0), MR_BF16, 1)->model());
  Machine kept;
  for (bool late : {false, true}) {
    emulator::machine().late = late;
    int failed = 0;
    bool of_host = false;
    for (int32_t status = MR_MEMORY; status == MR_MEMORY; failed++) {
      auto runner = llama.runner(cuda_options(0), MR_BF16, 1);
      CHECK(first.submit(runner->model(), message) == MR_OK, "%s", message.c_str());
      emulator::machine().allocations = failed;
      status = second.submit(runner->model(), message);
      emulator::machine().allocations = -1;
      if (status != MR_MEMORY) {
        CHECK(status == MR_OK, "%s", message.c_str());
        continue;
      }
      of_host = of_host || has(message, "pinned memory of the host");
      char text[512] = "";
      mr_sampled none;
      CHECK(mr_collect(runner->model(), &none, nullptr, text, sizeof text) == MR_INVALID, "after %d: %s", failed, text);
      CHECK(both(runner->model()) == expected, "after %d", failed);
    }
    CHECK(failed > 12 && of_host, "%d allocations", failed - 1);
  }
}

// Each allocation of a load in its turn: the weight or what else wanted it is named, what was taken is given back, and a second try succeeds.
TEST(memory_that_fails_while_a_model_is_loaded_names_what_wanted_it_and_nothing_is_left) {
  Llama llama;
  Random random(44);
  const std::vector<int32_t> a = sequence(5, random).ids;
  const Choosing step = Choosing().sequence(a, 0, {0});
  const mr_limits limits{48, 20, 600};
  std::string message;
  Machine kept;
  const int64_t live = emulator::machine().live;
  std::vector<int32_t> expected;
  bool weight = false, workspace = false, of_host = false;
  int failed = -1;
  for (bool whole = false; !whole && failed < 500; failed++) {
    mr_options o = cuda_options(0);
    mr_kv_group group{64, 1, Llama::kKv, Llama::kDim, Llama::kDim, MR_F32, 0};
    o.groups = 1;
    o.group = &group;
    char text[512] = "";
    mr_model* model = nullptr;
    CHECK(mr_create(&o, llama.program.data(), static_cast<int64_t>(llama.program.size()), &model, text, sizeof text) == MR_OK, "%s", text);
    // Without failures at first, which gives what is expected.
    emulator::machine().allocations = failed;
    whole = failed >= 0;
    auto call = [&](const char* what, const std::function<int32_t()>& body) {
      int32_t status = body();
      if (status == MR_OK) return;
      whole = false;
      CHECK(status == MR_MEMORY, "after %d, %s: %d %s", failed, what, status, text);
      weight = weight || (has(text, "MiB of the device") && has(text, what) && what != std::string("reserve"));
      workspace = workspace || (has(text, "activations takes") && what == std::string("reserve"));
      of_host = of_host || has(text, "pinned memory of the host");
      emulator::machine().allocations = -1;
      status = body();
      CHECK(status == MR_OK, "after %d, %s again: %d %s", failed, what, status, text);
    };
    Random values(12);
    const std::vector<std::string> names = {"embed", "norm1", "q", "k", "v", "qb", "vb", "o", "norm2", "gate", "up", "down", "norm3"};
    for (size_t i = 0; i < llama.weights.size(); i++) {
      const Llama::Weight& w = llama.weights[i];
      const int type = w.matrix ? MR_BF16 : MR_F32;
      const std::vector<uint8_t> stored = random_stored(type, w.rows, w.columns, values);
      call(names[i].c_str(), [&] { return mr_bind(model, w.handle, type, w.rows, w.columns, stored.data(), static_cast<int64_t>(stored.size()), text, sizeof text); });
    }
    std::vector<float> frequencies(Llama::kDim / 2, 0.1f);
    CHECK(mr_rope(model, 0, frequencies.data(), static_cast<int32_t>(frequencies.size()), 1, text, sizeof text) == MR_OK, "%s", text);
    call("reserve", [&] { return mr_reserve(model, &limits, text, sizeof text); });
    emulator::machine().allocations = -1;
    CHECK(step.submit(model, message) == MR_OK, "%s", message.c_str());
    const std::vector<int32_t> ids = collect(model, 1);
    if (expected.empty()) expected = ids;
    CHECK(ids == expected, "after %d", failed);
    mr_free(model);
    CHECK(emulator::machine().live == live, "after %d: %lld allocations were left", failed, static_cast<long long>(emulator::machine().live - live));
  }
  CHECK(failed > 25 && failed < 500 && weight && workspace && of_host, "%d allocations: %d %d %d", failed, weight, workspace, of_host);
}

// More rows, a wider table, a longer context, each beside a step that nobody has waited for: on a device that works late, memory that is given back too
// early ends everything.
TEST(room_that_grows_waits_for_the_step_that_uses_it) {
  Llama llama;
  Random random(46);
  const std::vector<int32_t> a = sequence(5, random).ids, b = sequence(40, random).ids, c = sequence(300, random).ids;
  std::vector<int32_t> many;
  for (int i = 0; i < 20; i++) many.push_back(4 + i);
  const Choosing first = Choosing().sequence(a, 0, {0}), rows = Choosing().sequence({-1}, 5, {0}).sequence(b, 0, {1, 2, 3}), context = Choosing().sequence(c, 0, many);
  Machine kept;
  std::vector<int32_t> expected;
  for (bool late : {false, true}) {
    emulator::machine().late = late;
    std::vector<int32_t> ids;
    for (const auto& [second, chosen] : {std::pair{&rows, 2}, {&context, 1}}) {
      auto runner = llama.runner(cuda_options(0), MR_BF16, 1);
      std::string message;
      CHECK(first.submit(runner->model(), message) == MR_OK, "%s", message.c_str());
      CHECK(second->submit(runner->model(), message) == MR_OK, "%s", message.c_str());
      for (int n : {1, chosen}) {
        for (int32_t id : collect(runner->model(), n)) ids.push_back(id);
      }
    }
    CHECK(!emulator::machine().broken, "memory was given back too early");
    if (!late) expected = ids;
    CHECK(ids == expected);
  }
}

TEST(a_graph_of_a_bucket_is_captured_once) {
  Llama llama;
  Random random(43);
  auto runner = llama.runner(cuda_options(0), MR_BF16, 1);
  const int64_t before = emulator::machine().captured;
  auto captured = [&] { return static_cast<int>(emulator::machine().captured - before); };
  auto steps = [&](int times, int rows) {
    for (int i = 0; i < times; i++) {
      Sequence s = sequence(rows, random);
      s.blocks = {0};
      runner->step({&s}, {rows}, kVocabulary);
    }
  };
  steps(9, 1);
  CHECK(captured() == 1 && mr_graph_steps(runner->model()) == 8, "%d", captured());
  // What is larger moves the room, and with it the graphs.
  steps(3, 4);
  CHECK(captured() == 2, "%d", captured());
  steps(4, 1);
  steps(5, 3);
  steps(2, 4);
  CHECK(captured() == 3 && mr_graph_steps(runner->model()) == 8 + 2 + 3 + 5 + 2, "%d, %lld steps", captured(), static_cast<long long>(mr_graph_steps(runner->model())));
}

// What was captured has the places of memory that is gone.
TEST(memory_that_is_reserved_anew_ends_the_graphs) {
  Llama llama;
  Random random(45);
  const std::vector<int32_t> ids = sequence(310, random).ids;
  std::vector<int32_t> blocks;
  for (int i = 0; i < 20; i++) blocks.push_back(i);
  std::vector<int32_t> expected;
  for (bool reserves : {false, true}) {
    auto runner = llama.runner(cuda_options(0), MR_BF16, 1);
    std::string message;
    std::vector<int32_t> chosen;
    auto step = [&](int from, int to) {
      const std::vector<int32_t> own(ids.begin() + from, ids.begin() + to);
      CHECK(Choosing().sequence(own, from, blocks).submit(runner->model(), message) == MR_OK, "%s", message.c_str());
      chosen.push_back(collect(runner->model(), 1)[0]);
    };
    step(0, 300);
    for (int at = 300; at < 303; at++) step(at, at + 1);
    const int64_t captured = emulator::machine().captured;
    const mr_limits limits{1, 1, 16};
    char text[512] = "";
    if (reserves) CHECK(mr_reserve(runner->model(), &limits, text, sizeof text) == MR_OK, "%s", text);
    for (int at = 303; at < 306; at++) step(at, at + 1);
    CHECK(emulator::machine().captured - captured == (reserves ? 1 : 0), "%lld", static_cast<long long>(emulator::machine().captured - captured));
    if (!reserves) expected = chosen;
    CHECK(chosen == expected);
  }
}

TEST(errors_that_end_everything_are_told_from_those_after_which_work_goes_on) {
  for (int status : {214, 220, 226, 700, 702, 709, 710, 714, 715, 716, 717, 718, 719, 721, 810, 911, 999}) CHECK(cuda::ends_all(status), "%d", status);
  // Malformed, no memory, too many registers, peers, host memory, a grid that is too large for all its blocks to meet, a failed capture.
  for (int status : {0, 1, 2, 35, 46, 98, 100, 701, 704, 705, 711, 712, 713, 720, 900, 901}) CHECK(!cuda::ends_all(status), "%d", status);
}

}  // namespace millrace::test
