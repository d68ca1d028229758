// Threads that share the tasks of one caller.
#pragma once
#include <atomic>
#include <cstdint>
#include <exception>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace millrace {

// Fork and join: tasks are taken one by one by the caller and its helpers. A helper that the system keeps waiting delays nobody but by the
// task it has taken. Helpers spin for a moment between jobs, then sleep. They flush denormals; the caller does so between enter() and leave().
class Pool {
 public:
  // `threads` with the caller's; `pin`: helper i stays on the i-th of the processors that the process may use.
  Pool(int threads, bool pin);
  ~Pool();
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;

  int threads() const { return static_cast<int>(helpers_.size()) + 1; }

  // Calls f(task, thread) for tasks 0 to count - 1; returns when all are done, and then throws what one of them threw. One caller at a time; not from
  // within a task.
  template <class Function>
  void run(int count, const Function& f) {
    if (count <= 1 || helpers_.empty()) {
      for (int i = 0; i < count; i++) f(i, 0);
      return;
    }
    share(
        count, [](const void* context, int task, int thread) { (*static_cast<const Function*>(context))(task, thread); }, &f);
  }

 private:
  using Call = void (*)(const void* context, int task, int thread);

  // One word that a helper reads and counts up at once: number of the job, its tasks, the next of them.
  static constexpr int kTaskBits = 20;
  static constexpr uint64_t kTaskMask = (uint64_t{1} << kTaskBits) - 1;

  void share(int count, Call call, const void* context);
  bool work(int thread);
  void keep_failure();
  void close();
  void help(int thread);

  std::vector<std::thread> helpers_;
  alignas(64) std::atomic<uint64_t> ticket_{0};
  alignas(64) std::atomic<int> done_{0};
  alignas(64) std::atomic<int> sleepers_{0};
  std::atomic<uint32_t> wake_{0};
  std::atomic<bool> closed_{false};
  uint64_t jobs_ = 0;
  Call call_ = nullptr;
  const void* context_ = nullptr;
  // What a task of the job threw.
  std::mutex failure_lock_;
  std::exception_ptr failure_;
};

// Flushes denormals on this thread while it lives.
class FlushDenormals {
 public:
  FlushDenormals();
  ~FlushDenormals();

 private:
  unsigned before_ = 0;
};

// Computes with denormals on this thread while it lives.
class KeepDenormals {
 public:
  KeepDenormals();
  ~KeepDenormals();

 private:
  unsigned before_ = 0;
};

}  // namespace millrace
