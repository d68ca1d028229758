// Passes over a row of logits, for the draw of an id. Doubles are the compiler's own vectors: every operation is exact by IEEE rules and nothing
// is fused, so that the bits are those of io.millrace.worker.sampling on every instruction set.
#pragma once
#include "kernels.h"

namespace millrace::MR_ISA {
namespace {

#if defined(__AVX512F__)
constexpr int kDoubles = 8;
#elif defined(__AVX__)
constexpr int kDoubles = 4;
#else
constexpr int kDoubles = 2;
#endif
using Doubles = double __attribute__((vector_size(8 * kDoubles)));
using Singles = float __attribute__((vector_size(4 * kDoubles)));
// Running sums of a chunk.
constexpr int kSums = 8;
constexpr int kSumVectors = kSums / kDoubles;

// The lowest index of the largest value; -1 when one is NaN or +infinity.
[[maybe_unused]] int largest(const float* x, int n) {
  const F infinity = splat(__builtin_inff());
  float best = -__builtin_inff();
  int chunk = 0;
  for (int from = 0; from < n; from += kDrawChunk) {
    const int end = from + kDrawChunk < n ? from + kDrawChunk : n;
    F most = splat(-__builtin_inff());
    bool bad = false;
    int i = from;
    for (; i + kLanes <= end; i += kLanes) {
      F v = load(x + i);
      bad |= any_not_below(v, infinity);
      most = vmax(v, most);
    }
    float top = lane_max(most);
    for (; i < end; i++) {
      bad |= !(x[i] < __builtin_inff());
      top = x[i] > top ? x[i] : top;
    }
    if (bad) return -1;
    if (top > best) {
      best = top;
      chunk = from;
    }
  }
  int i = chunk;
  while (x[i] != best) i++;
  return i;
}

// exp(y / 256) by its series, then eight squarings.
MR_INLINE Doubles exponential(Doubles y) {
  Doubles z = y * (1.0 / 256);
  Doubles p = Doubles{} + 1.0 / 362880;
  p = p * z + 1.0 / 40320;
  p = p * z + 1.0 / 5040;
  p = p * z + 1.0 / 720;
  p = p * z + 1.0 / 120;
  p = p * z + 1.0 / 24;
  p = p * z + 1.0 / 6;
  p = p * z + 0.5;
  p = p * z + 1.0;
  p = p * z + 1.0;
#pragma GCC unroll 8
  for (int i = 0; i < 8; i++) p *= p;
  return p;
}

// out[i] = exp((x[i] - max) · scale), 0 below exp(-80); sums of each chunk, and their sum.
[[maybe_unused]] double weigh(const float* x, int n, double max, double scale, float* out, double* sums) {
  const Doubles lowest = Doubles{} - 80.0;
  const Doubles floor = exponential(lowest);
  // Leaves multiples of 2^-34, whose sums are exact.
  const Doubles rounder = Doubles{} + 0x1.8p18;
  auto weight = [&](const float* in, int count) __attribute__((always_inline)) {
    Singles v{};
    __builtin_memcpy(&v, in, static_cast<size_t>(count) * 4);
    Doubles y = (__builtin_convertvector(v, Doubles) - max) * scale;
    y = y > lowest ? y : lowest;
    return __builtin_convertvector(exponential(y) - floor + rounder - rounder, Singles);
  };
  double total = 0;
  for (int from = 0; from < n; from += kDrawChunk) {
    const int end = from + kDrawChunk < n ? from + kDrawChunk : n;
    Doubles running[kSumVectors] = {};
    int i = from;
    for (; i + kSums <= end; i += kSums) {
#pragma GCC unroll 4
      for (int v = 0; v < kSumVectors; v++) {
        Singles w = weight(x + i + v * kDoubles, kDoubles);
        __builtin_memcpy(out + i + v * kDoubles, &w, sizeof w);
        running[v] += __builtin_convertvector(w, Doubles);
      }
    }
    double s[kSums];
    __builtin_memcpy(s, running, sizeof s);
    for (; i < end; i++) {
      out[i] = weight(x + i, 1)[0];
      s[0] += static_cast<double>(out[i]);
    }
    double sum = ((s[0] + s[1]) + (s[2] + s[3])) + ((s[4] + s[5]) + (s[6] + s[7]));
    *sums++ = sum;
    total += sum;
  }
  return total;
}

// Keys of the weights above a floor, in the order of ids; their number.
[[maybe_unused]] int above(const float* p, int n, float floor, uint64_t* keys) {
  constexpr int kRun = 4 * kLanes;
  const F limit = splat(floor);
  int found = 0;
  for (int from = 0; from < n; from += kRun) {
    int end = from + kRun < n ? from + kRun : n;
    if (from + kRun <= n) {
      F most = vmax(vmax(load(p + from), load(p + from + kLanes)), vmax(load(p + from + 2 * kLanes), load(p + from + 3 * kLanes)));
      if (!any_above(most, limit)) continue;
    }
    for (int i = from; i < end; i++) {
      keys[found] = draw_key(p[i], i);
      found += p[i] > floor;
    }
  }
  return found;
}

}  // namespace
}  // namespace millrace::MR_ISA
