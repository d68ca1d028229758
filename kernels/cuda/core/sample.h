// Choosing an id from logits, as the sampler of the worker does (package io.millrace.worker.sampling): the same bits on the device and on the host.
// Weights are multiples of 2^-34 and at most 1, so sums of up to 2^19 of them are exact, in whatever order they are added.
#pragma once
#include "cuda_api.h"
#include "scalar.h"

namespace millrace::cuda {

inline constexpr double kWeightUnit = 0x1p-34;
inline constexpr int kMostSampledIds = 1 << 19;
// Logits are summed in chunks, each with eight running sums.
inline constexpr int kSumChunk = 1024;
inline constexpr int kSumLanes = 8;

// e^y to 1e-9 by a polynomial and eight squarings.
MR_HOST_DEVICE inline double sampling_exp(double y) {
  const double z = y * (1.0 / 256);
  double p = 1.0 / 362880;
  p = p * z + 1.0 / 40320;
  p = p * z + 1.0 / 5040;
  p = p * z + 1.0 / 720;
  p = p * z + 1.0 / 120;
  p = p * z + 1.0 / 24;
  p = p * z + 1.0 / 6;
  p = p * z + 0.5;
  p = p * z + 1;
  p = p * z + 1;
  for (int i = 0; i < 8; i++) p *= p;
  return p;
}

// e^((x - most) * scale), exactly 0 below e^-80.
MR_HOST_DEVICE inline double relative(float x, float most, double scale) {
  constexpr double kLowest = -80;
  double y = (static_cast<double>(x) - most) * scale;
  if (y < kLowest) y = kLowest;
  return sampling_exp(y) - sampling_exp(kLowest);
}

// The same in whole units, of which there is none from e^-24.5 down.
MR_HOST_DEVICE inline float weight_of(float x, float most, double scale) {
  constexpr double kRounder = 0x1.8p18, kNone = -24.5;
  if ((static_cast<double>(x) - most) * scale < kNone) return 0.0f;
  return static_cast<float>(relative(x, most, scale) + kRounder - kRounder);
}

// A weight, or what is computed from weights, as a number of units.
MR_HOST_DEVICE inline uint64_t units_of(double weight) { return static_cast<uint64_t>(weight / kWeightUnit); }

// ln x of a positive normal number.
MR_HOST_DEVICE inline double natural_log(double x) {
  uint64_t bits;
  __builtin_memcpy(&bits, &x, 8);
  int exponent = static_cast<int>(bits >> 52) - 1023;
  bits = (bits & 0xfffffffffffffull) | 0x3ff0000000000000ull;
  double m;
  __builtin_memcpy(&m, &bits, 8);
  if (m > 1.4142135623730951) {
    m *= 0.5;
    exponent++;
  }
  const double s = (m - 1) / (m + 1);
  const double z = s * s;
  double p = 1.0 / 23;
  for (int k = 21; k >= 1; k -= 2) p = p * z + 1.0 / k;
  return exponent * 0.6931471805599453 + 2 * s * p;
}

// What a probability adds to the entropy, in whole units.
MR_HOST_DEVICE inline double surprise(double p) {
  constexpr double kRounder = 0x1.8p18;
  return -p * natural_log(p) + kRounder - kRounder;
}

// Philox 4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011): uniform in [0, 1), for choosing an id.
MR_HOST_DEVICE inline double philox_uniform(uint32_t seed_low, uint32_t seed_high, int choice, int position) {
  constexpr uint32_t kSample = 0;
  uint32_t c[4] = {static_cast<uint32_t>(position), kSample, static_cast<uint32_t>(choice), 0};
  for (int round = 0; round < 10; round++) {
    const uint64_t p0 = 0xD2511F53ull * c[0], p1 = 0xCD9E8D57ull * c[2];
    const uint32_t first = static_cast<uint32_t>(p1 >> 32) ^ c[1] ^ seed_low;
    const uint32_t third = static_cast<uint32_t>(p0 >> 32) ^ c[3] ^ seed_high;
    c[1] = static_cast<uint32_t>(p1);
    c[3] = static_cast<uint32_t>(p0);
    c[0] = first;
    c[2] = third;
    seed_low += 0x9E3779B9u;
    seed_high += 0xBB67AE85u;
  }
  const uint64_t bits = static_cast<uint64_t>(c[0]) << 32 | c[1];
  return static_cast<double>(bits >> 11) * 0x1p-53;
}

// A logit of an id that occurred, `outputs` times in the output.
MR_HOST_DEVICE inline float penalised(float logit, int outputs, float repetition, float frequency, float presence) {
  float v = logit > 0 ? logit / repetition : logit * repetition;
  if (outputs > 0) v -= frequency * static_cast<float>(outputs) + presence;
  return v;
}

// Order of ids: the larger value first, of equals the lower id.
struct Ranked {
  float value;
  int id;
};
MR_HOST_DEVICE inline bool before(const Ranked& a, const Ranked& b) { return a.value > b.value || (a.value == b.value && a.id < b.id); }

// The same as a number, for values that are not negative: a larger key comes first; keys are all different.
inline constexpr int kIdBits = 22;
MR_HOST_DEVICE inline uint64_t rank_key(uint32_t bits, int id) { return static_cast<uint64_t>(bits) << kIdBits | static_cast<uint64_t>((1 << kIdBits) - 1 - id); }

}  // namespace millrace::cuda
