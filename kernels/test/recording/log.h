// What the library keeps for the tests: the log, and what is to fail.
#pragma once
#include <cstdio>
#include <deque>
#include <mutex>
#include <string>

#include "millrace.h"

namespace millrace::recording {

struct Failure {
  std::string function;
  int32_t before;
  int32_t status;
  std::string message;
};

struct Pretended {
  int32_t version = MR_ABI_VERSION;
  int32_t device_status = MR_OK;
  int64_t free_bytes = int64_t{1} << 40;
  int64_t weights = 1 << 20;
  int64_t workspace = 1 << 20;
};

struct State {
  std::mutex mutex;
  std::string log;
  std::deque<Failure> failures;
  Pretended pretended;
  int64_t models = 0, made = 0;
};

inline State& state() {
  static State all;
  return all;
}

// A call, written down when it is over with.
class Line {
 public:
  explicit Line(const char* function) : function_(function), text_(function) {}
  ~Line() {
    std::lock_guard<std::mutex> lock(state().mutex);
    state().log += text_ + "\n";
  }
  Line(const Line&) = delete;
  Line& operator=(const Line&) = delete;

  template <class T>
  Line& operator()(const char* name, T value) {
    text_ += std::string(" ") + name + "=" + std::to_string(value);
    return *this;
  }
  template <class T>
  Line& operator()(const char* name, const T* values, int64_t count) {
    text_ += std::string(" ") + name + "=";
    for (int64_t i = 0; i < count; i++) text_ += (i > 0 ? "," : "") + std::to_string(values[i]);
    return *this;
  }

  // Whether this call is to fail: its status, and the message in `error`.
  int32_t outcome(char* error, int64_t error_size) {
    std::lock_guard<std::mutex> lock(state().mutex);
    std::deque<Failure>& failures = state().failures;
    for (auto f = failures.begin(); f != failures.end(); ++f) {
      if (f->function != function_ || f->before-- > 0) continue;
      const int32_t status = f->status;
      if (error && error_size > 0) std::snprintf(error, static_cast<size_t>(error_size), "%s", f->message.c_str());
      failures.erase(f);
      text_ += " status=" + std::to_string(status);
      return status;
    }
    return MR_OK;
  }

 private:
  const char* function_;
  std::string text_;
};

}  // namespace millrace::recording
