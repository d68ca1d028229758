#include "rope_table.h"

#include <cmath>

namespace millrace {

void RopeTable::set(const float* frequencies, int half, float factor) {
  frequencies_.assign(frequencies, frequencies + half);
  factor_ = factor;
  pages_.clear();
}

void RopeTable::need(int position) {
  while (static_cast<int>(pages_.size()) <= position / kPage) {
    int n = half();
    auto page = std::make_unique<float[]>(static_cast<size_t>(kPage) * 2 * static_cast<size_t>(n));
    for (int i = 0; i < kPage; i++) {
      float at = static_cast<float>(static_cast<int>(pages_.size()) * kPage + i);
      for (int j = 0; j < n; j++) {
        double angle = at * frequencies_[static_cast<size_t>(j)];
        page[static_cast<size_t>(i * 2 * n + j)] = static_cast<float>(std::cos(angle)) * factor_;
        page[static_cast<size_t>(i * 2 * n + n + j)] = static_cast<float>(std::sin(angle)) * factor_;
      }
    }
    pages_.push_back(std::move(page));
  }
}

}  // namespace millrace
