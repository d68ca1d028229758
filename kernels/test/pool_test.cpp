#include "pool.h"

#include <chrono>

#include "check.h"

namespace millrace::test {

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
