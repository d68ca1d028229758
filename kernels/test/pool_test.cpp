#include "pool.h"

#if defined(__linux__)
#include <sched.h>
#endif

#include <chrono>
#include <new>

#include "check.h"
#include "parts.h"

namespace millrace::test {
namespace {

#if defined(__linux__)

std::vector<int> processors_of(const cpu_set_t& set) {
  std::vector<int> all;
  for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
    if (CPU_ISSET(cpu, &set)) all.push_back(cpu);
  }
  return all;
}

// Those that the calling thread may use.
std::vector<int> processors() {
  cpu_set_t set;
  CHECK(sched_getaffinity(0, sizeof set, &set) == 0);
  return processors_of(set);
}

// The processors of each thread of a pool, the caller's first: every thread takes one task and waits for the others.
std::vector<std::vector<int>> processors_of_threads(int threads, bool pin) {
  Pool pool(threads, pin);
  std::vector<std::vector<int>> all(static_cast<size_t>(threads));
  std::atomic<int> here{0};
  pool.run(threads, [&](int, int thread) {
    all[static_cast<size_t>(thread)] = processors();
    here++;
    while (here < threads) std::this_thread::yield();
  });
  return all;
}

#endif

}  // namespace

TEST(every_task_runs_once_whatever_the_threads) {
  for (int threads : {1, 2, 3, 8}) {
    Pool pool(threads, threads == 3);
    for (int round = 0; round < 300; round++) {
      int count = round % 37;
      std::vector<std::atomic<int>> runs(static_cast<size_t>(count));
      pool.run(count, [&](int task, int thread) {
        CHECK(thread >= 0 && thread < threads);
        runs[static_cast<size_t>(task)]++;
      });
      for (auto& r : runs) CHECK(r == 1, "%d threads, round %d", threads, round);
    }
  }
}

TEST(helpers_that_slept_wake_up) {
  Pool pool(2, false);
  for (int round = 0; round < 5; round++) {
    std::this_thread::sleep_for(std::chrono::milliseconds(3));
    std::atomic<int> done{0};
    pool.run(64, [&](int, int) { done++; });
    CHECK(done == 64);
  }
}

// Thrown in a helper it would end the process.
TEST(what_a_task_throws_reaches_the_caller_when_all_tasks_have_ended) {
  for (int threads : {1, 2, 8}) {
    Pool pool(threads, false);
    for (int round = 0; round < 50; round++) {
      std::atomic<int> ended{0};
      bool thrown = false;
      try {
        pool.run(64, [&](int task, int) {
          if (threads > 1) ended++;
          if (task % 3 == 1) throw std::bad_alloc();
        });
      } catch (const std::bad_alloc&) {
        thrown = true;
      }
      CHECK(thrown && (threads == 1 || ended == 64), "%d threads, round %d: %d tasks", threads, round, ended.load());
      // The next job is none the worse.
      std::atomic<int> done{0};
      pool.run(64, [&](int, int) { done++; });
      CHECK(done == 64);
    }
  }
}

TEST(what_a_part_throws_reaches_the_caller_when_all_parts_have_ended) {
  for (int count : {1, 2, 5}) {
    for (int failing = 0; failing < count; failing++) {
      std::atomic<int> ended{0};
      bool thrown = false;
      try {
        in_parts(count, [&](int i) {
          ended++;
          if (i == failing) throw std::bad_alloc();
        });
      } catch (const std::bad_alloc&) {
        thrown = true;
      }
      CHECK(thrown && ended == count, "part %d of %d: %d ended", failing, count, ended.load());
    }
  }
}

#if defined(__linux__)
TEST(a_pinned_helper_stays_on_one_of_the_processors_that_the_process_may_use) {
  const std::vector<int> allowed = processors();
  const int many = 2 * static_cast<int>(allowed.size()) + 1;
  for (int threads : {2, many}) {
    std::vector<std::vector<int>> pinned = processors_of_threads(threads, true);
    CHECK(pinned[0] == allowed, "the caller's thread is not ours to pin");
    for (size_t t = 1; t < pinned.size(); t++) {
      CHECK(pinned[t] == std::vector<int>{allowed[t % allowed.size()]}, "helper %zu of %d", t, threads);
    }
    for (const std::vector<int>& free : processors_of_threads(threads, false)) CHECK(free == allowed);
  }
}

// As a container's cpuset does.
TEST(pinning_keeps_to_the_processors_that_are_left_to_the_process) {
  cpu_set_t before, one;
  CHECK(sched_getaffinity(0, sizeof before, &before) == 0);
  const int last = processors_of(before).back();
  CPU_ZERO(&one);
  CPU_SET(last, &one);
  CHECK(sched_setaffinity(0, sizeof one, &one) == 0);
  for (const std::vector<int>& pinned : processors_of_threads(4, true)) CHECK(pinned == std::vector<int>{last});
  CHECK(sched_setaffinity(0, sizeof before, &before) == 0);
}
#endif

TEST(denormals_are_flushed_only_within_the_scope) {
  volatile float tiny = 1e-39f;
  CHECK(tiny * 0.5f != 0);
#if defined(__x86_64__)
  {
    FlushDenormals flush;
    CHECK(tiny * 0.5f == 0);
  }
#endif
  CHECK(tiny * 0.5f != 0);
}

}  // namespace millrace::test
