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

// Vectors that are worked on side by side, since one's operations wait for each other.
constexpr int kSide = 4;
constexpr int kBlock = kSide * kDoubles;
static_assert(kBlock % kSums == 0 && kBlock % kLanes == 0 && kDrawChunk % kBlock == 0);

// exp of less than this is below half of 2^-34, so that a weight is rounded to nothing.
constexpr double kNothing = -24.5;

// exp(y / 256) by its series, then eight squarings.
MR_INLINE void exponentials(Doubles (&y)[kSide]) {
  constexpr double kSeries[] = {1.0 / 40320, 1.0 / 5040, 1.0 / 720, 1.0 / 120, 1.0 / 24, 1.0 / 6, 0.5, 1.0, 1.0};
  Doubles p[kSide];
#pragma GCC unroll 4
  for (int v = 0; v < kSide; v++) {
    y[v] = y[v] * (1.0 / 256);
    p[v] = Doubles{} + 1.0 / 362880;
  }
#pragma GCC unroll 9
  for (int i = 0; i < 9; i++) {
#pragma GCC unroll 4
    for (int v = 0; v < kSide; v++) p[v] = p[v] * y[v] + kSeries[i];
  }
#pragma GCC unroll 8
  for (int i = 0; i < 8; i++) {
#pragma GCC unroll 4
    for (int v = 0; v < kSide; v++) p[v] *= p[v];
  }
#pragma GCC unroll 4
  for (int v = 0; v < kSide; v++) y[v] = p[v];
}

// out[i] = exp((x[i] - max) · scale), 0 below exp(-80); sums of each chunk, and their sum.
[[maybe_unused]] double weigh(const float* x, int n, double max, double scale, float* out, double* sums) {
  const Doubles lowest = Doubles{} - 80.0;
  Doubles floor[kSide] = {lowest, lowest, lowest, lowest};
  exponentials(floor);
  // Leaves multiples of 2^-34, whose sums are exact.
  const Doubles rounder = Doubles{} + 0x1.8p18;
  auto weights = [&](const float* in, float* to, Singles (&w)[kSide]) __attribute__((always_inline)) {
    Doubles y[kSide];
#pragma GCC unroll 4
    for (int v = 0; v < kSide; v++) {
      Singles part;
      __builtin_memcpy(&part, in + v * kDoubles, sizeof part);
      y[v] = (__builtin_convertvector(part, Doubles) - max) * scale;
      y[v] = y[v] > lowest ? y[v] : lowest;
    }
    exponentials(y);
#pragma GCC unroll 4
    for (int v = 0; v < kSide; v++) {
      w[v] = __builtin_convertvector(y[v] - floor[0] + rounder - rounder, Singles);
      __builtin_memcpy(to + v * kDoubles, &w[v], sizeof w[v]);
    }
  };
  // What is not above it is nothing.
  const double least = max + kNothing / scale;
  const F limit = splat(least > -3e38 ? __builtin_nextafterf(static_cast<float>(least), -__builtin_inff()) : -__builtin_inff());
  auto nothing = [&](const float* in) __attribute__((always_inline)) {
    F most = load(in);
    for (int k = kLanes; k < kBlock; k += kLanes) most = vmax(most, load(in + k));
    return !any_above(most, limit);
  };
  double total = 0;
  for (int from = 0; from < n; from += kDrawChunk) {
    const int end = from + kDrawChunk < n ? from + kDrawChunk : n;
    Doubles running[kSumVectors] = {};
    Singles w[kSide];
    int i = from;
    for (; i + kBlock <= end; i += kBlock) {
      if (nothing(x + i)) {
        for (int k = 0; k < kBlock; k += kLanes) store(out + i + k, splat(0.0f));
        continue;
      }
      weights(x + i, out + i, w);
#pragma GCC unroll 4
      for (int v = 0; v < kSide; v++) running[v % kSumVectors] += __builtin_convertvector(w[v], Doubles);
    }
    double s[kSums];
    __builtin_memcpy(s, running, sizeof s);
    if (i < end) {
      float rest[kBlock] = {};
      __builtin_memcpy(rest, x + i, static_cast<size_t>(end - i) * 4);
      weights(rest, rest, w);
      __builtin_memcpy(out + i, rest, static_cast<size_t>(end - i) * 4);
      // Whole eights go to the eight sums, what is left to the first.
      const int whole = (end - i) / kSums * kSums;
      for (int k = 0; k < end - i; k++) s[k < whole ? k % kSums : 0] += static_cast<double>(rest[k]);
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
