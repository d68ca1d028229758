// Work in parts, each by a thread of its own.
#pragma once
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

namespace millrace {

// Calls f(part) for parts 0 to count - 1, the first on the caller's thread; returns when all have ended. What a part throws is thrown then, once.
template <class Function>
void in_parts(int count, const Function& f) {
  std::mutex lock;
  std::exception_ptr failure;
  auto part = [&](int i) {
    try {
      f(i);
    } catch (...) {
      const std::lock_guard held(lock);
      failure = std::current_exception();
    }
  };
  {
    std::vector<std::jthread> helpers;
    for (int i = 1; i < count; i++) helpers.emplace_back(part, i);
    part(0);
  }
  if (failure) std::rethrow_exception(failure);
}

}  // namespace millrace
