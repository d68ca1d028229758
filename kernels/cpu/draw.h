// Draws ids from rows of logits, as io.millrace.worker.sampling.Sampler does, bit for bit.
#pragma once
#include <cstdint>
#include <vector>

#include "kernels.h"
#include "millrace.h"

namespace millrace {

// One thread's memory for it: a few times the vocabulary.
class Drawer {
 public:
  // The id; -1 when a logit is NaN or +infinity, or none is above -infinity.
  int32_t draw(const Kernels& kernels, const float* logits, int vocabulary, const mr_draw& how);

 private:
  void gather(const Kernels& kernels, int n, int count, double mass, float needed);
  void keep_from(uint64_t least);
  uint64_t threshold(double target, bool count);
  double mass() const;
  int32_t from_all(double u, double total, int n) const;
  int32_t from_kept(double u) const;

  std::vector<float> weights_;
  std::vector<double> sums_;
  // A weight's bits above, the complement of its id below; in the order of ids.
  std::vector<uint64_t> keys_;
  std::vector<uint64_t> scratch_;
  int size_ = 0;
};

}  // namespace millrace
