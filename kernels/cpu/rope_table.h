// Rotary tables.
#pragma once
#include <memory>
#include <vector>

namespace millrace {

// Cosines and sines of a rotary table, computed for as many positions as were asked for.
class RopeTable {
 public:
  void set(const float* frequencies, int half, float factor);
  bool is_set() const { return !frequencies_.empty(); }
  int half() const { return static_cast<int>(frequencies_.size()); }
  // Makes positions up to and with this one.
  void need(int position);
  const float* cos(int position) const { return pages_[static_cast<size_t>(position / kPage)].get() + position % kPage * 2 * half(); }
  const float* sin(int position) const { return cos(position) + half(); }

 private:
  static constexpr int kPage = 64;
  std::vector<float> frequencies_;
  float factor_ = 1;
  std::vector<std::unique_ptr<float[]>> pages_;
};

}  // namespace millrace
