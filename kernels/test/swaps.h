// What a swap has to keep, on both devices.
#pragma once
#include <algorithm>
#include <numeric>
#include <string>

#include "models.h"

namespace millrace::test {

// Swaps blocks; the lists are worthless when it is done.
inline void swap(Runner& runner, bool in, std::vector<int32_t> blocks, std::vector<int32_t> host) {
  char message[512] = "";
  const int count = static_cast<int>(blocks.size());
  const int32_t status = in ? mr_swap_in(runner.model(), 0, host.data(), blocks.data(), count, message, sizeof message)
                            : mr_swap_out(runner.model(), 0, blocks.data(), host.data(), count, message, sizeof message);
  CHECK(status == MR_OK, "%s", message);
  std::fill(blocks.begin(), blocks.end(), -1);
  std::fill(host.begin(), host.end(), -1);
}

// Models are made by `make(host_blocks)` here, with blocks of 16 tokens and 64 of them at least.

// A sequence goes to the host, others write to its blocks, and it comes back to others: the outputs that follow have the bits of a calm life.
template <class Make>
void check_swaps_keep_bits(const Make& make, int out, int width, Random& random, const std::string& what) {
  const Sequence ids = sequence(75, random);
  Sequence calm = ids, moved = ids;
  auto still = make(0);
  auto runner = make(24);
  CHECK(mr_host_bytes(still->model()) == 0 && mr_host_bytes(runner->model()) > 0, "%s", what.c_str());
  still->step({&calm}, {65}, 0);
  runner->step({&moved}, {65}, 0);
  std::vector<int32_t> host = {17, 3, 4, 0, 23};
  for (int round = 0; round < 2; round++) {
    Sequence thief = sequence(80, random), other = sequence(80, random);
    swap(*runner, false, moved.blocks, host);
    thief.blocks = moved.blocks;
    runner->step({&thief}, {80}, 0);
    runner->step({&other}, {80}, 0);
    moved.blocks = other.blocks;
    std::reverse(moved.blocks.begin(), moved.blocks.end());
    swap(*runner, true, moved.blocks, host);
    runner->step({&moved}, {5}, 0);
    still->step({&calm}, {5}, 0);
    const std::vector<float> expected = still->read(out, 5, width), found = runner->read(out, 5, width);
    CHECK(same_bits(found.data(), expected.data(), expected.size()), "%s, round %d", what.c_str(), round);
    host = {5, 6, 7, 22, 1};
  }
}

// All blocks go out and come back in another order, more than fit on the way at once.
template <class Make>
void check_swap_of_all_blocks(const Make& make, int blocks, int out, int width, Random& random, const std::string& what) {
  const Sequence ids = sequence(80, random);
  Sequence calm = ids, moved = ids;
  auto still = make(0);
  auto runner = make(blocks);
  still->step({&calm}, {76}, 0);
  runner->step({&moved}, {76}, 0);
  std::mt19937 shuffler(5);
  std::vector<int32_t> from(static_cast<size_t>(blocks)), host, to;
  std::iota(from.begin(), from.end(), 0);
  host = to = from;
  std::shuffle(from.begin(), from.end(), shuffler);
  std::shuffle(host.begin(), host.begin() + blocks / 2, shuffler);
  std::shuffle(to.begin(), to.end(), shuffler);
  swap(*runner, false, from, host);
  swap(*runner, true, to, host);
  for (int32_t& block : moved.blocks) block = to[static_cast<size_t>(std::find(from.begin(), from.end(), block) - from.begin())];
  runner->step({&moved}, {4}, 0);
  still->step({&calm}, {4}, 0);
  const std::vector<float> expected = still->read(out, 4, width), found = runner->read(out, 4, width);
  CHECK(same_bits(found.data(), expected.data(), expected.size()), "%s", what.c_str());
}

// Numbers that are not there are named; nothing was copied then.
template <class Make>
void check_bad_swaps_are_refused(const Make& make, int blocks) {
  auto runner = make(3);
  auto without = make(0);
  char message[512] = "";
  auto refuses = [&](Runner& r, bool in, int group, std::vector<int32_t> cached, std::vector<int32_t> host, const char* part) {
    const int count = static_cast<int>(cached.size());
    const int32_t status = in ? mr_swap_in(r.model(), group, host.data(), cached.data(), count, message, sizeof message)
                              : mr_swap_out(r.model(), group, cached.data(), host.data(), count, message, sizeof message);
    CHECK(status == MR_INVALID && std::strstr(message, part), "%d: %s", status, message);
  };
  for (bool in : {false, true}) {
    refuses(*runner, in, 1, {0}, {0}, "no KV group 1");
    refuses(*runner, in, -1, {0}, {0}, "no KV group -1");
    refuses(*runner, in, 0, {blocks}, {0}, "block ");
    refuses(*runner, in, 0, {0, -1}, {0, 1}, "block -1");
    refuses(*runner, in, 0, {0}, {3}, "host block 3");
    refuses(*runner, in, 0, {0}, {-1}, "host block -1");
    refuses(*without, in, 0, {0}, {0}, "has none on the host");
  }
  refuses(*runner, false, 0, {1, 2}, {2, 2}, "host block 2 is to be written twice");
  refuses(*runner, true, 0, {1, 1}, {0, 2}, "block 1 is to be written twice");
  CHECK(mr_swap_out(runner->model(), 0, nullptr, nullptr, 1, message, sizeof message) == MR_INVALID && std::strstr(message, "null"), "%s", message);
  CHECK(mr_swap_out(runner->model(), 0, nullptr, nullptr, 0, message, sizeof message) == MR_OK, "%s", message);
  CHECK(mr_swap_in(without->model(), 0, nullptr, nullptr, 0, message, sizeof message) == MR_OK, "%s", message);
}

// A model whose blocks are swapped: how it is made, with blocks of 16 tokens, and what is checked of it.
class Swapping {
 public:
  Swapping(const mr_options& options, uint32_t seed) : random_(seed), model_(kShape, random_), options_(options) { options_.keep_activations = 1; }

  std::unique_ptr<Runner> make(int type, int blocks, int host_blocks) const { return model_.runner(options_, type, 3, 16 * blocks, host_blocks); }
  const AttentionModel& model() const { return model_; }

  void check_bits(int type, int blocks) {
    check_swaps_keep_bits([&](int host_blocks) { return make(type, blocks, host_blocks); }, model_.out, kWidth, random_, "type " + std::to_string(type));
  }
  // Keys and values, and latents.
  void check_types(std::initializer_list<int> types, int blocks) {
    LatentModel latent(LatentShape{}, random_);
    for (int type : types) {
      check_bits(type, blocks);
      auto latents = [&](int host_blocks) { return latent.runner(options_, type, 4, host_blocks); };
      check_swaps_keep_bits(latents, latent.out, latent.width(), random_, "latents of type " + std::to_string(type));
    }
  }
  void check_all_blocks(int type, int blocks) {
    check_swap_of_all_blocks([&](int host_blocks) { return make(type, blocks, host_blocks); }, blocks, model_.out, kWidth, random_, "type " + std::to_string(type));
  }
  void check_bad_ones(int type, int blocks) const {
    check_bad_swaps_are_refused([&](int host_blocks) { return make(type, blocks, host_blocks); }, blocks);
  }
  void check_rates(int type, int blocks) const {
    double rates[2] = {-1, -1};
    mr_swap_rates(make(type, blocks, 0)->model(), &rates[0], &rates[1]);
    CHECK(rates[0] == 0 && rates[1] == 0, "%g and %g", rates[0], rates[1]);
    for (int host_blocks : {1, 300}) {
      mr_swap_rates(make(type, blocks, host_blocks)->model(), &rates[0], &rates[1]);
      // Between what a network carries and what no memory does.
      for (double rate : rates) CHECK(rate > 1e5 && rate < 1e15, "%d blocks: %g", host_blocks, rate);
    }
  }

 private:
  static constexpr Shape kShape{4, 2, 20, 24, 0, 0};
  static constexpr int kWidth = 4 * 24;

  Random random_;
  AttentionModel model_;
  mr_options options_;
};

}  // namespace millrace::test
