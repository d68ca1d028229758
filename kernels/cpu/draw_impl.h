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

MR_INLINE Doubles multiply_add(Doubles a, Doubles b, Doubles c) {
#if defined(__AVX512F__)
  return _mm512_fmadd_pd(a, b, c);
#elif defined(__FMA__)
  return _mm256_fmadd_pd(a, b, c);
#else
  return a * b + c;
#endif
}

MR_INLINE bool any_larger(Doubles x, double limit) {
#if defined(__AVX512F__)
  return _mm512_cmp_pd_mask(x, _mm512_set1_pd(limit), _CMP_GT_OQ) != 0;
#elif defined(__AVX__)
  return _mm256_movemask_pd(_mm256_cmp_pd(x, _mm256_set1_pd(limit), _CMP_GT_OQ)) != 0;
#else
  bool any = false;
  for (int i = 0; i < kDoubles; i++) any |= x[i] > limit;
  return any;
#endif
}

// Leaves multiples of 2^-34 of what is from 0 to 1, whose sums are exact.
constexpr double kRounder = 0x1.8p18;

// Weights of a block as `exponentials` and kRounder give them, in half the time: 2^t from its fraction's polynomial, to a relative 2^-34, fused or
// not. Where the error, four times the difference of both ways, could change the multiple of 2^-34, it says false: so no bit depends on it.
MR_INLINE bool quick_weights(const float* x, double max, double scale, Singles (&w)[kSide]) {
  using Words = int64_t __attribute__((vector_size(8 * kDoubles)));
  constexpr double kPowers[] = {1.5303700711365693e-05, 0.00015469729214118296, 0.0013333478473685416, 0.009618025613318034,
                                 0.055504109063258665, 0.24022651213498092, 0.6931471805568324, 0.9999999999595618};
  constexpr double kError = 0x1p-33, kHalf = 0x1p-35 * (1 - 0x1p-30);
  const Doubles integers = Doubles{} + 0x1.8p52, lowest = Doubles{} - 40.0, error = Doubles{} + kError;
  Doubles doubt = {};
#pragma GCC unroll 4
  for (int v = 0; v < kSide; v++) {
    Singles part;
    __builtin_memcpy(&part, x + v * kDoubles, sizeof part);
    Doubles t = (__builtin_convertvector(part, Doubles) - max) * (scale * 1.4426950408889634);
    t = t > lowest ? t : lowest;
    const Doubles shifted = t + integers;
    const Doubles fraction = t - (shifted - integers);
    Doubles p = Doubles{} + kPowers[0];
#pragma GCC unroll 8
    for (int i = 1; i < 8; i++) p = multiply_add(p, fraction, Doubles{} + kPowers[i]);
    const Doubles weight = reinterpret_cast<Doubles>(reinterpret_cast<Words>(p) + (reinterpret_cast<Words>(shifted) << 52));
    const Doubles rounded = weight + kRounder - kRounder;
    const Doubles apart = reinterpret_cast<Doubles>(reinterpret_cast<Words>(weight - rounded) & INT64_MAX);
    const Doubles most = multiply_add(weight, error, apart);
    doubt = most > doubt ? most : doubt;
    w[v] = __builtin_convertvector(rounded, Singles);
  }
  return !any_larger(doubt, kHalf);
}

// Vectors of floats that are worked on side by side.
constexpr int kLight = 4;
constexpr int kLightBlock = kLight * kLanes;
static_assert(kLightBlock % kBlock == 0 && kDrawChunk % kLightBlock == 0);

// Weights of less than 2^-13 in floats, with the same promise for each: 2^(x·scale) by way of its whole part and its fraction, which a fused product leaves
// exact, times the constant 2^(34 - max·scale), to a relative 2^-22.
class LightWeights {
 public:
  LightWeights(double max, double scale) {
    const double powers = scale * 1.4426950408889634, most = max * powers;
#if defined(__FMA__)
    // So that powers of two and products stay within the normal numbers.
    usable_ = most > -80 && most < 120;
#endif
    if (!usable_) return;
    powers_ = static_cast<float>(powers);
    rest_ = static_cast<float>(powers - static_cast<double>(powers_));
    factor_ = static_cast<float>(__builtin_exp2(34 - most));
    lowest_ = static_cast<float>(max - 40 / powers);
  }

  bool usable() const { return usable_; }

  // Of a block that begins at `from`; appends to `doubtful` where a weight is larger, or could be the next multiple of 2^-34, and leaves that out.
  MR_INLINE int block(const float* x, int from, float* out, Doubles& sum, int* doubtful, int count) const {
    using Ints = int32_t __attribute__((vector_size(4 * kLanes)));
    constexpr float kPowers[] = {0.000154614447f, 0.00134004282f, 0.00961805668f, 0.0555032723f, 0.240226509f, 0.693147207f, 1.0f};
    constexpr float kError = 0x1p-21f, kHalf = 0.5f - 0x1p-20f;
    const F integers = splat(0x1.8p23f), powers = splat(powers_), rest = splat(rest_), factor = splat(factor_), lowest = splat(lowest_);
    F units = splat(0.0f), each[kLight], doubt[kLight];
#pragma GCC unroll 4
    for (int v = 0; v < kLight; v++) {
      const F logit = vmax(load(x + from + v * kLanes), lowest);
      const F shifted = fma(logit, powers, integers);
      F fraction = fma(logit, powers, integers - shifted);
      fraction = fma(logit, rest, fraction);
      F p = splat(kPowers[0]);
#pragma GCC unroll 7
      for (int i = 1; i < 7; i++) p = fma(p, fraction, splat(kPowers[i]));
      const F weight = reinterpret_cast<F>(reinterpret_cast<Ints>(p) + (reinterpret_cast<Ints>(shifted) << 23)) * factor;
      const F whole = weight + integers - integers;
      doubt[v] = fma(weight, splat(kError), vabs(weight - whole));
      each[v] = zero_below(splat(kHalf), doubt[v], whole);
      units = units + each[v];
    }
#pragma GCC unroll 4
    for (int v = 0; v < kLight; v++) {
      store(out + from + v * kLanes, each[v] * splat(0x1p-34f));
      for (unsigned lanes = lanes_above(doubt[v], splat(kHalf)); lanes != 0; lanes &= lanes - 1) {
        doubtful[count++] = from + v * kLanes + __builtin_ctz(lanes);
      }
    }
    float lanes[kLanes];
    store(lanes, units);
    for (int v = 0; v < kLanes / kDoubles; v++) {
      Singles part;
      __builtin_memcpy(&part, lanes + v * kDoubles, sizeof part);
      sum += __builtin_convertvector(part, Doubles);
    }
    return count;
  }

 private:
  bool usable_ = false;
  float powers_ = 0, rest_ = 0, factor_ = 0, lowest_ = 0;
};

// out[i] = exp((x[i] - max) · scale), 0 below exp(-80); sums of each chunk, and their sum.
[[maybe_unused]] double weigh(const float* x, int n, double max, double scale, float* out, double* sums) {
  const Doubles lowest = Doubles{} - 80.0;
  Doubles floor[kSide] = {lowest, lowest, lowest, lowest};
  exponentials(floor);
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
      w[v] = __builtin_convertvector(y[v] - floor[0] + kRounder - kRounder, Singles);
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
  const LightWeights lights(max, scale);
  int doubtful[kDrawChunk];
  double total = 0;
  for (int from = 0; from < n; from += kDrawChunk) {
    const int end = from + kDrawChunk < n ? from + kDrawChunk : n;
    Doubles running[kSumVectors] = {};
    Singles w[kSide];
    int i = from;
    Doubles light = {};
    auto block = [&](int at) __attribute__((always_inline)) {
      if (nothing(x + at)) {
        for (int k = 0; k < kBlock; k += kLanes) store(out + at + k, splat(0.0f));
        return;
      }
      if (quick_weights(x + at, max, scale, w)) {
#pragma GCC unroll 4
        for (int v = 0; v < kSide; v++) __builtin_memcpy(out + at + v * kDoubles, &w[v], sizeof w[v]);
      } else {
        weights(x + at, out + at, w);
      }
#pragma GCC unroll 4
      for (int v = 0; v < kSide; v++) running[v % kSumVectors] += __builtin_convertvector(w[v], Doubles);
    };
    int count = 0;
    for (; lights.usable() && i + kLightBlock <= end; i += kLightBlock) {
      count = lights.block(x, i, out, light, doubtful, count);
    }
    double heavy = 0;
    for (int k = 0; k < count; k += kBlock) {
      const int some = count - k < kBlock ? count - k : kBlock;
      float rest[kBlock] = {};
      for (int j = 0; j < some; j++) rest[j] = x[doubtful[k + j]];
      if (!quick_weights(rest, max, scale, w)) {
        weights(rest, rest, w);
      } else {
        __builtin_memcpy(rest, w, sizeof rest);
      }
      for (int j = 0; j < some; j++) {
        out[doubtful[k + j]] = rest[j];
        heavy += static_cast<double>(rest[j]);
      }
    }
    for (; i + kBlock <= end; i += kBlock) block(i);
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
    // All sums are exact, so their order is no matter.
    s[0] += heavy;
    for (int k = 0; k < kDoubles; k++) s[k % kSums] += light[k] * 0x1p-34;
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
    int i = from;
    for (; i + kLanes <= end; i += kLanes) {
      for (unsigned lanes = lanes_above(load(p + i), limit); lanes != 0; lanes &= lanes - 1) {
        const int at = i + __builtin_ctz(lanes);
        keys[found++] = draw_key(p[at], at);
      }
    }
    for (; i < end; i++) {
      keys[found] = draw_key(p[i], i);
      found += p[i] > floor;
    }
  }
  return found;
}

}  // namespace
}  // namespace millrace::MR_ISA
