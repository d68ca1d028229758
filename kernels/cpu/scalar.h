// Conversions of single values. Every translation unit has its own copy, so that none runs another's instructions.
#pragma once
#include <cstdint>

// Of functions that CUDA kernels call too.
#if defined(__CUDACC__)
#define MR_HOST_DEVICE __host__ __device__
#else
#define MR_HOST_DEVICE
#endif

namespace millrace {
namespace {

[[maybe_unused]] MR_HOST_DEVICE inline float bits_to_float(uint32_t bits) {
  float x;
  __builtin_memcpy(&x, &bits, 4);
  return x;
}

[[maybe_unused]] MR_HOST_DEVICE inline uint32_t float_to_bits(float x) {
  uint32_t bits;
  __builtin_memcpy(&bits, &x, 4);
  return bits;
}

[[maybe_unused]] MR_HOST_DEVICE inline float half_to_float(uint16_t h) {
  uint32_t sign = static_cast<uint32_t>(h & 0x8000) << 16;
  uint32_t exponent = h >> 10 & 31;
  uint32_t mantissa = h & 1023;
  if (exponent == 31) return bits_to_float(sign | 0x7f800000 | mantissa << 13);
  if (exponent != 0) return bits_to_float(sign | (exponent + 112) << 23 | mantissa << 13);
  float x = static_cast<float>(mantissa) * 0x1p-24f;
  return sign != 0 ? -x : x;
}

// Rounds to nearest, ties to even.
[[maybe_unused]] MR_HOST_DEVICE inline uint16_t float_to_half(float x) {
  uint32_t bits = float_to_bits(x);
  uint32_t sign = bits >> 16 & 0x8000;
  uint32_t rest = bits & 0x7fffffff;
  if (rest > 0x7f800000) return static_cast<uint16_t>(sign | 0x7e00 | (rest >> 13 & 0x3ff));
  if (rest >= 0x477ff000) return static_cast<uint16_t>(sign | 0x7c00);
  if (rest < 0x38800000) {
    if (rest < 0x33000000) return static_cast<uint16_t>(sign);
    uint32_t shift = 126 - (rest >> 23);
    uint32_t mantissa = (rest & 0x7fffff) | 0x800000;
    uint32_t half = mantissa >> shift;
    uint32_t left = mantissa & ((1u << shift) - 1);
    uint32_t tie = 1u << (shift - 1);
    return static_cast<uint16_t>(sign | (half + (left > tie || (left == tie && (half & 1)))));
  }
  uint32_t rounded = rest + 0xfff + (rest >> 13 & 1);
  return static_cast<uint16_t>(sign | (rounded - 0x38000000) >> 13);
}

[[maybe_unused]] MR_HOST_DEVICE inline float bf16_to_float(uint16_t b) { return bits_to_float(static_cast<uint32_t>(b) << 16); }

// Floats of 8 bits, e4m3: 448 is the largest, there is no infinity, and all ones are no number.
[[maybe_unused]] MR_HOST_DEVICE inline float e4m3_to_float(uint8_t code) {
  const uint32_t size = code & 127u;
  if (size == 127) return bits_to_float(0x7fc00000u);
  // An exponent as float32 has it is 120 more; so do numbers below the smallest exponent come out right.
  return bits_to_float(static_cast<uint32_t>(code & 128u) << 24 | size << 20) * 0x1p120f;
}

// Rounds to nearest, ties to even; NaN stays NaN.
[[maybe_unused]] MR_HOST_DEVICE inline uint16_t float_to_bf16(float x) {
  uint32_t bits = float_to_bits(x);
  if ((bits & 0x7fffffff) > 0x7f800000) return static_cast<uint16_t>(bits >> 16 | 0x40);
  return static_cast<uint16_t>((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

}  // namespace
}  // namespace millrace
