// Kernels with a race each, which is found, beside the same without it. Only where the emulator looks for races (MILLRACE_RACES).
#include "emulator/races.h"
#if MR_RACES

#include <functional>

#include "check.h"
#include "core/copies.h"
#include "core/warpgroup.h"
#include "emulator/cuda.h"
#include "emulator/order.h"
#include "error.h"

namespace millrace::test {

// What kernels write to, so that no compiler leaves it out.
extern int word, words[4], made[2], used[2], other;
int word, words[4], made[2], used[2], other;

namespace {

using emulator::run_grid;

// What is said of a kernel of 64 threads a block; empty: nothing.
std::string race_of(unsigned blocks, const std::function<void(float*)>& body) {
  try {
    run_grid(blocks, 64, 1024, [&] { body(reinterpret_cast<float*>(emulator::shared_memory())); });
  } catch (const Error& e) {
    return e.message;
  }
  return "";
}

void expect_race(const std::string& said, bool race, const char* who = "thread", int line = __builtin_LINE()) {
  if (race) {
    CHECK(has(said, "a race") && has(said, who) && has(said, "races_test.cpp:"), "line %d: %s", line, said.c_str());
  } else {
    CHECK(said.empty(), "line %d: %s", line, said.c_str());
  }
}

// Two launches in a row, the second early. Which of them the emulator runs first changes from round to round: each is to say the same.
void expect_race_of_launches(bool race, const std::function<void()>& first, const std::function<void()>& second) {
  for (int round = 0; round < 3; round++) {
    std::string said;
    try {
      emulator::in_order([&] { run_grid(2, 32, 0, first); }, false);
      emulator::in_order([&] { run_grid(2, 32, 0, second); }, true);
      emulator::finish_launches();
    } catch (const Error& e) {
      said = e.message;
    }
    expect_race(said, race, "a launch beside it");
  }
}

}  // namespace

TEST(a_missing_barrier_of_the_block_is_a_race) {
  for (bool missing : {true, false}) {
    std::string said = race_of(2, [&](float* shared) {
      const unsigned i = threadIdx.x;
      shared[i] = 1;
      if (!missing) __syncthreads();
      float* mine = shared + 64 + i;
      *mine = shared[(i + 32) % 64];
    });
    expect_race(said, missing);
    // A place that is filled again while others may still read it.
    said = race_of(1, [&](float* shared) {
      const unsigned i = threadIdx.x;
      float sum = 0;
      for (int round = 0; round < 3; round++) {
        shared[i] = static_cast<float>(round);
        __syncthreads();
        sum += shared[63 - i];
        if (!missing) __syncthreads();
      }
      shared[64 + i] = sum;
    });
    expect_race(said, missing);
  }
  // The same value is a race too.
  expect_race(race_of(1, [](float* shared) { shared[0] = 1; }), true);
}

TEST(a_missing_barrier_of_the_warp_is_a_race_and_a_shuffle_is_none) {
  for (int how = 0; how < 3; how++) {
    std::string said = race_of(1, [&](float* shared) {
      const unsigned i = threadIdx.x;
      shared[i] = 1;
      if (how == 1) __shfl_sync(emulator::kWholeWarp, 1, 0);
      if (how == 2) __syncwarp();
      shared[64 + i] = shared[i ^ 5];
    });
    expect_race(said, how < 2);
  }
  // Beyond its warp it orders nothing.
  expect_race(race_of(1, [](float* shared) {
    shared[threadIdx.x] = 1;
    __syncwarp();
    shared[64 + threadIdx.x] = shared[threadIdx.x ^ 32];
  }), true);
}

TEST(a_copy_that_another_reads_or_whose_place_is_used_too_early_is_a_race) {
  alignas(16) static float from[64] = {};
  for (int missing = 0; missing < 3; missing++) {
    std::string said = race_of(1, [&](float* shared) {
      const unsigned i = threadIdx.x;
      for (unsigned round = 0; round < 4; round++) {
        float* stage = shared + round % 2 * 64;
        cuda::copy_async<4>(stage + i, from + i);
        cuda::close_copies();
        cuda::wait_for_copies<0>();
        if (missing != 1) __syncthreads();
        shared[128 + i] = stage[63 - i];
        if (missing != 2) __syncthreads();
      }
    });
    // Of two stages the barrier of the other keeps one from being filled too early.
    expect_race(said, missing == 1);
  }
  for (bool missing : {true, false}) {
    std::string said = race_of(1, [&](float* shared) {
      const unsigned i = threadIdx.x;
      for (unsigned round = 0; round < 2; round++) {
        cuda::copy_async<4>(shared + i, from + i);
        cuda::close_copies();
        cuda::wait_for_copies<0>();
        __syncthreads();
        shared[128 + i] = shared[63 - i];
        if (!missing) __syncthreads();
      }
    });
    expect_race(said, missing);
  }
}

TEST(blocks_of_a_launch_that_touch_the_same_bytes_race) {
  expect_race(race_of(2, [](float*) { if (threadIdx.x == 0) word = 1; }), true, "block 0");
  expect_race(race_of(4, [](float*) { if (threadIdx.x == 0) words[blockIdx.x] = 1; }), false);
  expect_race(race_of(3, [](float* shared) {
    shared[threadIdx.x] = static_cast<float>(word);
    if (threadIdx.x == 0 && blockIdx.x == 2) word = 1;
  }), true, "other blocks");
  expect_race(race_of(3, [](float* shared) { shared[threadIdx.x] = static_cast<float>(word); }), false);
  expect_race(race_of(3, [](float*) { atomicAdd(&word, 1); }), false);
  expect_race(race_of(2, [](float*) {
    if (blockIdx.x == 0) atomicAdd(&word, 1);
    if (blockIdx.x == 1 && threadIdx.x == 40) word = 0;
  }), true, "block 0");
  // An atomic orders nothing.
  word = 0;
  expect_race(race_of(1, [](float* shared) {
    if (threadIdx.x == 0) shared[0] = 1;
    if (threadIdx.x == 0) atomicExch(&word, 1);
    if (threadIdx.x == 40 && atomicAdd(&word, 0) == 1) shared[1] = shared[0];
  }), true);
}

TEST(barriers_in_shared_memory_and_named_ones_order_who_waits_for_them) {
  for (int wrong = 0; wrong < 4; wrong++) {
    std::string said = race_of(1, [&](float* shared) {
      auto* gates = reinterpret_cast<uint64_t*>(shared + 128);
      if (threadIdx.x == 0) {
        cuda::init_gate(gates, 32);
        cuda::init_gate(gates + 1, 32);
      }
      if (wrong != 1) __syncthreads();
      if (wrong == 1) cuda::meet<32>(1 + static_cast<int>(threadIdx.x / 32));
      const unsigned lane = threadIdx.x % 32;
      for (int round = 0; round < 3; round++) {
        if (threadIdx.x < 32) {
          cuda::wait_for(gates + 1, round % 2 ^ 1);
          if (wrong == 2) cuda::arrive(gates);
          shared[lane] = 1;
          if (wrong != 2) cuda::arrive(gates);
        } else {
          cuda::wait_for(gates, round % 2);
          if (wrong == 3) cuda::arrive(gates + 1);
          shared[64 + lane] = shared[31 - lane];
          if (wrong != 3) cuda::arrive(gates + 1);
        }
      }
    });
    expect_race(said, wrong != 0);
  }
  for (bool wrong : {true, false}) {
    std::string said = race_of(1, [&](float* shared) {
      if (threadIdx.x >= 32) {
        if (wrong) cuda::announce<64>(3);
        shared[threadIdx.x] = 1;
        if (!wrong) cuda::announce<64>(3);
      } else {
        cuda::meet<64>(3);
        shared[threadIdx.x] = shared[threadIdx.x + 32];
      }
    });
    expect_race(said, wrong);
  }
}

TEST(a_product_of_a_warpgroup_reads_until_it_is_waited_for) {
  for (int wrong = 0; wrong < 3; wrong++) {
    std::string said;
    try {
      run_grid(1, 256, 48 << 10, [&] {
        uint8_t* shared = emulator::shared_memory();
        const unsigned i = threadIdx.x;
        if (i >= 128) {
          for (unsigned at = i - 128; at < 2048; at += 128) cuda::store_shared(shared + at * 16, {});
          cuda::fence_shared();
        }
        if (wrong != 1) __syncthreads();
        if (i < 128) {
          if (wrong == 1) cuda::meet<128>(2);
          float d[64] = {};
          cuda::fence_products();
          cuda::multiply_shared<cuda::Bf16>(d, cuda::describe(0, 1024), cuda::describe(16 << 10, 1024), 0);
          cuda::commit_products();
          if (wrong == 2) cuda::announce<256>(1);
          cuda::wait_for_products<0>();
          if (wrong != 2) cuda::announce<256>(1);
        } else {
          if (wrong == 1) cuda::meet<128>(3);
          cuda::meet<256>(1);
          // What was there.
          cuda::store_shared(shared + (i - 128) * 16, {});
        }
      });
    } catch (const Error& e) {
      said = e.message;
    }
    CHECK(wrong == 0 ? said.empty() : has(said, "a race"), "%d: %s", wrong, said.c_str());
  }
}

TEST(what_an_early_launch_touches_before_it_has_waited_races_with_those_before) {
  auto make = [] { if (threadIdx.x == 0) made[blockIdx.x] = 1; };
  for (bool wrong : {true, false}) {
    expect_race_of_launches(wrong, make, [=] {
      if (!wrong) cuda::await_launches();
      if (threadIdx.x == 3) used[blockIdx.x] = made[blockIdx.x];
      if (wrong) cuda::await_launches();
    });
    // What it writes, too.
    expect_race_of_launches(wrong, [] { if (threadIdx.x == 0) used[blockIdx.x] = made[blockIdx.x]; }, [=] {
      if (!wrong) cuda::await_launches();
      if (threadIdx.x == 3) made[blockIdx.x] = 2;
      if (wrong) cuda::await_launches();
    });
  }
  // What no launch writes may be read ahead.
  expect_race_of_launches(false, make, [] {
    if (threadIdx.x == 3) used[blockIdx.x] = other;
    cuda::await_launches();
  });
}

TEST(an_early_launch_runs_beside_all_that_the_one_before_runs_beside) {
  for (bool copied : {false, true}) {
    for (int round = 0; round < 3; round++) {
      std::string said;
      try {
        emulator::in_order([] { run_grid(1, 32, 0, [] { if (threadIdx.x == 0) made[0] = 1; }); }, false);
        emulator::in_order([] { run_grid(1, 32, 0, [] { cuda::await_launches(); }); }, true);
        // A copy, say, for which all before has ended.
        if (copied) emulator::finish_launches();
        emulator::in_order([] { run_grid(1, 32, 0, [] {
          if (threadIdx.x == 1) used[0] = made[0];
          cuda::await_launches();
        }); }, true);
        emulator::finish_launches();
      } catch (const Error& e) {
        said = e.message;
      }
      expect_race(said, !copied, "a launch beside it");
    }
  }
}

}  // namespace millrace::test

#endif
