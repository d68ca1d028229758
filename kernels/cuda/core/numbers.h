// Rounding to narrow types, two values at a time, and elementary functions: the same bits on the device and on the host.
#pragma once
#include "cuda_api.h"
#include "scalar.h"

namespace millrace::cuda {

// Two values in a register, `low` in its low half. To nearest, ties to even.
MR_HOST_DEVICE inline uint32_t pack_bf16(float low, float high) {
#if defined(__CUDA_ARCH__)
  uint32_t both;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(both) : "f"(high), "f"(low));
  return both;
#else
  return float_to_bf16(low) | static_cast<uint32_t>(float_to_bf16(high)) << 16;
#endif
}

MR_HOST_DEVICE inline uint32_t pack_f16(float low, float high) {
#if defined(__CUDA_ARCH__)
  uint32_t both;
  asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(both) : "f"(high), "f"(low));
  return both;
#else
  return float_to_half(low) | static_cast<uint32_t>(float_to_half(high)) << 16;
#endif
}

MR_HOST_DEVICE inline float low_bf16(uint32_t both) { return bits_to_float(both << 16); }
MR_HOST_DEVICE inline float high_bf16(uint32_t both) { return bits_to_float(both & 0xffff0000u); }

// Four bytes of two words; `which`: a hexadecimal digit for each, the lowest byte's last.
MR_HOST_DEVICE inline uint32_t take_bytes(uint32_t x, uint32_t y, uint32_t which) {
#if defined(__CUDA_ARCH__)
  return __byte_perm(x, y, which);
#else
  const uint64_t both = x | static_cast<uint64_t>(y) << 32;
  uint32_t bytes = 0;
  for (int i = 0; i < 4; i++) bytes |= static_cast<uint32_t>(both >> (which >> 4 * i & 7u) * 8 & 255u) << 8 * i;
  return bytes;
#endif
}

// Byte i of four, plus 2^23 + `less`, which is a small whole number: 2^23 + byte is a float with the byte for its last bits.
MR_HOST_DEVICE inline float byte_to_float(uint32_t bytes, int i, float less) {
  return bits_to_float(take_bytes(bytes, 0x4b000000u, 0x7440u + static_cast<uint32_t>(i))) + less;
}

// What stands before a code of 4 bits in a float that has it for whole bits: one instruction makes such a float of a byte. With a zero and times a factor of up to 16 bits
// it is exact, so that taken away again it leaves nothing; of other factors less than 1e-5.
inline constexpr float kExcess = 128;

// Eight codes of 4 bits, plus kExcess.
MR_HOST_DEVICE inline void excess_of_codes(uint32_t codes, float* v) {
  const uint32_t even = codes & 0x0f0f0f0fu, odd = codes >> 4 & 0x0f0f0f0fu;
#pragma unroll
  for (int i = 0; i < 8; i++) v[i] = bits_to_float(take_bytes(i % 2 == 0 ? even : odd, 0x43000000u, 0x7044u + 0x100u * static_cast<uint32_t>(i / 2)));
}

// As stored: one value.
MR_HOST_DEVICE inline float f16_to_float(uint16_t half) {
#if defined(__CUDA_ARCH__)
  float x;
  asm("{.reg .b16 h; mov.b16 h, %1; cvt.f32.f16 %0, h;}" : "=f"(x) : "h"(half));
  return x;
#else
  return half_to_float(half);
#endif
}

// To e4m3, to nearest, ties to even; what is larger becomes the largest.
MR_HOST_DEVICE inline uint8_t float_to_e4m3(float x) {
  const uint32_t bits = float_to_bits(x), sign = bits >> 24 & 128u, size = bits & 0x7fffffffu;
  if (size > 0x7f800000u) return 127;
  if (size >= 0x43e00000u) return static_cast<uint8_t>(sign | 126u);
  // Below 2^-6 they are multiples of 2^-9.
  if (size < 0x3c800000u) return static_cast<uint8_t>(sign | static_cast<uint32_t>(rintf(bits_to_float(size) * 512.0f)));
  const uint32_t rounded = size + 0x7ffffu + (size >> 20 & 1u);
  return static_cast<uint8_t>(sign | (rounded - 0x3c000000u) >> 20);
}

// Two of them, the first in the low half: the chip's own instruction where it has one, with the same bits.
MR_HOST_DEVICE inline uint16_t pack_e4m3(float low, float high) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 890
  uint16_t both;
  asm("cvt.rn.satfinite.e4m3x2.f32 %0, %1, %2;" : "=h"(both) : "f"(high), "f"(low));
  return both;
#else
  return static_cast<uint16_t>(float_to_e4m3(low) | float_to_e4m3(high) << 8);
#endif
}

MR_HOST_DEVICE inline void widen_e4m3(uint16_t both, float& low, float& high) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 890
  uint32_t halves;
  asm("cvt.rn.f16x2.e4m3x2 %0, %1;" : "=r"(halves) : "h"(both));
  low = f16_to_float(static_cast<uint16_t>(halves));
  high = f16_to_float(static_cast<uint16_t>(halves >> 16));
#else
  low = e4m3_to_float(static_cast<uint8_t>(both));
  high = e4m3_to_float(static_cast<uint8_t>(both >> 8));
#endif
}

// The upper 19 bits: 11 bits of precision, ties away from zero. What is no finite number stays as it is.
MR_HOST_DEVICE inline float round_tf32(float x) {
  uint32_t bits = float_to_bits(x);
  if ((bits & 0x7f800000u) == 0x7f800000u) return x;
  return bits_to_float((bits + 0x1000u) & ~0x1fffu);
}

MR_HOST_DEVICE inline float infinity() { return bits_to_float(0x7f800000u); }

// e^x to 2 ulp; 0 below -87.3, the largest power above 88; NaN stays NaN; exactly 1 of 0. Without branches, and without conversions, which the chip has few units for.
MR_HOST_DEVICE inline float exp_of(float x) {
  constexpr float kShift = 12582912.0f;
  const float y = x > 88.3f ? 88.3f : x, shifted = y * 1.44269504088896341f + kShift, n = shifted - kShift;
  float r = fmaf(n, -0.693359375f, y);
  r = fmaf(n, 2.12194440e-4f, r);
  float p = 1.9875691500e-4f;
  p = fmaf(p, r, 1.3981999507e-3f);
  p = fmaf(p, r, 8.3334519073e-3f);
  p = fmaf(p, r, 4.1665795894e-2f);
  p = fmaf(p, r, 1.6666665459e-1f);
  p = fmaf(p, r, 5.0000001201e-1f);
  p = fmaf(p, r * r, r + 1.0f);
  p *= bits_to_float((float_to_bits(shifted) << 23) + 0x3f800000u);
  return x < -87.3f ? 0.0f : p;
}

// 2^x for x that is not positive, to 2 ulp; 0 below -126; NaN stays NaN; exactly 1 of 0.
MR_HOST_DEVICE inline float power_of_two(float x) {
  constexpr float kShift = 12582912.0f;
  const float shifted = x + kShift, f = x - (shifted - kShift);
  float y = 1.3264724984765053e-3f;
  y = fmaf(y, f, 9.671513922512531e-3f);
  y = fmaf(y, f, 5.5507335811853409e-2f);
  y = fmaf(y, f, 2.4022242426872253e-1f);
  y = fmaf(y, f, 6.9314700365066528e-1f);
  y = fmaf(y, f, 1.0f);
  y *= bits_to_float((float_to_bits(shifted) << 23) + 0x3f800000u);
  return x < -126.0f ? 0.0f : y;
}

// cap * tanh(x / cap) with x times 2 log2(e) / cap for its argument, without a division.
MR_HOST_DEVICE inline float soft_cap_of_two(float x, float cap) {
  const float e = power_of_two(0.0f - fabsf(x)), d = 1.0f + e;
  // 1 / d, of d between 1 and 2, by Newton's method.
  float r = fmaf(d, -0.47140452f, 1.45710678f);
  for (int i = 0; i < 3; i++) r = fmaf(r, fmaf(-d, r, 1.0f), r);
  return copysignf((1.0f - e) * r * cap, x);
}

MR_HOST_DEVICE inline float tanh_of(float x) { return 1.0f - 2.0f / (exp_of(x + x) + 1.0f); }

MR_HOST_DEVICE inline float soft_cap(float x, float cap) { return cap > 0.0f ? tanh_of(x / cap) * cap : x; }

MR_HOST_DEVICE inline float sigmoid(float x) { return 1.0f / (1.0f + exp_of(0.0f - x)); }

MR_HOST_DEVICE inline float gate_function(float gate, int function) {
  if (function == 0) return gate / (1.0f + exp_of(0.0f - gate));
  float cubic = fmaf(gate * gate * gate, 0.044715f, gate);
  return 0.5f * gate * (1.0f + tanh_of(0.797884561f * cubic));
}

}  // namespace millrace::cuda
