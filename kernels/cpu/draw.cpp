#include "draw.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "error.h"
#include "model.h"

namespace millrace {
namespace {

constexpr float kGatherFloors[] = {0x1p-8f, 0x1p-12f, 0x1p-16f, 0x1p-20f, 0x1p-25f, 0x1p-30f, 0.0f};

float weight_of(uint64_t key) {
  auto bits = static_cast<uint32_t>(key >> 32);
  float weight;
  std::memcpy(&weight, &bits, 4);
  return weight;
}

int32_t id_of(uint64_t key) { return ~static_cast<int32_t>(static_cast<uint32_t>(key)); }

uint64_t median(uint64_t a, uint64_t b, uint64_t c) { return std::max(std::min(a, b), std::min(std::max(a, b), c)); }

}  // namespace

// The most probable ids until there are `count` that weigh `mass`, or all that are as probable as `needed`.
void Drawer::gather(const Kernels& kernels, int n, int count, double mass, float needed) {
  for (float floor : kGatherFloors) {
    size_ = kernels.above(weights_.data(), n, floor, keys_.data());
    double weight = this->mass();
    if ((size_ >= count && weight >= mass) || floor < needed) return;
  }
}

double Drawer::mass() const {
  double sum = 0;
  for (int i = 0; i < size_; i++) sum += static_cast<double>(weight_of(keys_[static_cast<size_t>(i)]));
  return sum;
}

void Drawer::keep_from(uint64_t least) {
  auto end = std::remove_if(keys_.begin(), keys_.begin() + size_, [=](uint64_t key) { return key < least; });
  size_ = static_cast<int>(end - keys_.begin());
}

// The largest key such that those not below it weigh at least `target`, each 1 when they are counted: a quick-select whose sums depend on the
// keys and their order alone.
uint64_t Drawer::threshold(double target, bool count) {
  std::copy_n(keys_.begin(), size_, scratch_.begin());
  uint64_t* const x = scratch_.data();
  auto worth = [=](uint64_t key) { return count ? 1.0 : static_cast<double>(weight_of(key)); };
  int lo = 0, hi = size_;
  double above = 0;
  uint64_t last = 0;
  while (lo < hi) {
    const uint64_t pivot = median(x[lo], x[(lo + hi) / 2], x[hi - 1]);
    int split = lo, pivot_at = lo;
    double larger = 0;
    for (int i = lo; i < hi; i++) {
      const uint64_t key = x[i];
      if (key < pivot) continue;
      x[i] = x[split];
      x[split] = key;
      if (key == pivot) {
        pivot_at = split;
      } else {
        larger += worth(key);
      }
      split++;
    }
    x[pivot_at] = x[split - 1];
    x[split - 1] = pivot;
    if (above + larger >= target && split - 1 > lo) {
      hi = split - 1;
      continue;
    }
    above += larger + worth(pivot);
    last = pivot;
    if (above >= target) return pivot;
    lo = split;
  }
  return last;
}

int32_t Drawer::from_all(double u, double total, int n) const {
  const double target = u * total;
  double sum = 0;
  for (int chunk = 0, from = 0; from < n; chunk++, from += kDrawChunk) {
    if (sum + sums_[static_cast<size_t>(chunk)] <= target) {
      sum += sums_[static_cast<size_t>(chunk)];
      continue;
    }
    const int end = std::min(n, from + kDrawChunk);
    for (int i = from; i < end; i++) {
      sum += static_cast<double>(weights_[static_cast<size_t>(i)]);
      if (sum > target) return i;
    }
  }
  // u times the whole was rounded up to the whole.
  int32_t last = n - 1;
  while (weights_[static_cast<size_t>(last)] == 0) last--;
  return last;
}

int32_t Drawer::from_kept(double u) const {
  const double target = u * mass();
  double sum = 0;
  for (int i = 0; i < size_; i++) {
    const uint64_t key = keys_[static_cast<size_t>(i)];
    sum += static_cast<double>(weight_of(key));
    if (sum > target) return id_of(key);
  }
  return id_of(keys_[static_cast<size_t>(size_ - 1)]);
}

int32_t Drawer::draw(const Kernels& kernels, const float* logits, int vocabulary, const mr_draw& how) {
  const int best = kernels.largest(logits, vocabulary);
  if (best < 0 || logits[best] == -INFINITY) return -1;
  if (how.scale == 0) return best;
  const auto n = static_cast<size_t>(vocabulary);
  weights_.resize(n);
  sums_.resize((n + kDrawChunk - 1) / kDrawChunk);
  const double total = kernels.weigh(logits, vocabulary, static_cast<double>(logits[best]), how.scale, weights_.data(), sums_.data());
  const bool top_k = how.top_k > 0 && how.top_k < vocabulary;
  const bool top_p = how.top_p < 1;
  const double share = static_cast<double>(how.top_p);
  if (!top_k && !top_p && how.min_p <= 0) return from_all(how.uniform, total, vocabulary);
  keys_.resize(n);
  scratch_.resize(n);
  if (top_k) {
    gather(kernels, vocabulary, how.top_k, 0, top_p ? 0 : how.min_p);
    if (how.top_k < size_) keep_from(threshold(how.top_k, true));
  } else {
    gather(kernels, vocabulary, 1, top_p ? share * total : total, how.min_p);
  }
  if (top_p) keep_from(threshold(share * (top_k ? mass() : total), false));
  if (how.min_p > 0) keep_from(draw_key(how.min_p, INT32_MAX));
  return from_kept(how.uniform);
}

void Model::draw(const float* logits, const mr_draw* draws, int count, int32_t* ids) {
  for (int i = 0; i < count; i++) {
    const mr_draw& d = draws[i];
    bool fits = d.row >= 0 && d.scale >= 0 && d.scale < INFINITY && d.uniform >= 0 && d.uniform < 1 && d.top_k >= 0 && d.top_p >= 0 && d.min_p >= 0 && d.min_p <= 1;
    if (!fits) fail(MR_INVALID, "draw %d: row %d, scale %g, uniform %g, top-k %d, top-p %g, min-p %g", i, d.row, d.scale, d.uniform, d.top_k,
                    static_cast<double>(d.top_p), static_cast<double>(d.min_p));
  }
  // Draws that verify drafts are made one after the other, by one thread.
  chains_.clear();
  for (int i = 0; i < count; i++) {
    if (i == 0 || draws[i - 1].draft < 0) chains_.push_back(i);
  }
  if (count > 0 && draws[count - 1].draft >= 0) fail(MR_INVALID, "draw %d has draft %d, which no draw after it verifies", count - 1, draws[count - 1].draft);
  drawers_.resize(static_cast<size_t>(pool_.threads()));
  pool_.run(static_cast<int>(chains_.size()), [&](int chain, int thread) {
    KeepDenormals keep;
    Drawer& drawer = drawers_[static_cast<size_t>(thread)];
    int i = chains_[static_cast<size_t>(chain)];
    for (bool accepted = true;; i++) {
      ids[i] = accepted ? drawer.draw(kernels_, logits + int64_t{draws[i].row} * vocabulary_, vocabulary_, draws[i]) : MR_DRAW_REFUSED;
      if (draws[i].draft < 0) break;
      accepted = accepted && ids[i] == draws[i].draft;
    }
  });
}

}  // namespace millrace
