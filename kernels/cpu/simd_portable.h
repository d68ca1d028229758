// Vectors of 8 lanes in the compiler's own vector types: any processor.
#pragma once
#include <cmath>
#include <cstdint>

#include "scalar.h"

#define MR_INLINE inline __attribute__((always_inline))

namespace millrace::portable {

inline constexpr int kLanes = 8;
inline constexpr int kPanels = 1;
inline constexpr int kMaxRows = 4;
inline constexpr bool kOffsetCodes = false;

typedef float F __attribute__((vector_size(32)));
typedef int32_t I __attribute__((vector_size(32)));
typedef uint8_t B __attribute__((vector_size(32)));

// Asks for a line of memory.
MR_INLINE void prefetch(const uint8_t* p) { __builtin_prefetch(p, 0, 2); }

MR_INLINE F splat(float x) { return F{x, x, x, x, x, x, x, x}; }
MR_INLINE F load(const float* p) {
  F x;
  __builtin_memcpy(&x, p, sizeof x);
  return x;
}
MR_INLINE void store(float* p, F x) { __builtin_memcpy(p, &x, sizeof x); }
MR_INLINE F load_part(const float* p, int n) {
  F x = {};
  for (int i = 0; i < n; i++) x[i] = p[i];
  return x;
}
MR_INLINE void store_part(float* p, F x, int n) {
  for (int i = 0; i < n; i++) p[i] = x[i];
}
MR_INLINE F fma(F a, F b, F c) { return a * b + c; }
// b where either is NaN.
MR_INLINE F vmax(F a, F b) { return a > b ? a : b; }
MR_INLINE F vmin(F a, F b) { return a < b ? a : b; }
MR_INLINE F vabs(F a) { return reinterpret_cast<F>(reinterpret_cast<I>(a) & 0x7fffffff); }
MR_INLINE F round_even(F a) {
  F r;
  for (int i = 0; i < kLanes; i++) r[i] = std::nearbyintf(a[i]);
  return r;
}
MR_INLINE F zero_below(F x, F limit, F value) { return x < limit ? F{} : value; }
// 2^n for whole n within the range of normal numbers.
MR_INLINE F power_of_two(F n) { return reinterpret_cast<F>((__builtin_convertvector(n, I) + 127) << 23); }
MR_INLINE float lane_sum(F x) { return ((x[0] + x[4]) + (x[2] + x[6])) + ((x[1] + x[5]) + (x[3] + x[7])); }
// A bit for each lane.
MR_INLINE unsigned lanes_above(F x, F limit) {
  unsigned lanes = 0;
  for (int i = 0; i < kLanes; i++) lanes |= static_cast<unsigned>(x[i] > limit[i]) << i;
  return lanes;
}
MR_INLINE bool any_above(F x, F limit) { return lanes_above(x, limit) != 0; }
MR_INLINE bool any_not_below(F x, F limit) {
  bool any = false;
  for (int i = 0; i < kLanes; i++) any |= !(x[i] < limit[i]);
  return any;
}
MR_INLINE float lane_max(F x) {
  float m = x[0];
  for (int i = 1; i < kLanes; i++) m = m > x[i] ? m : x[i];
  return m;
}
MR_INLINE float first(F x) { return x[0]; }

MR_INLINE F load_half(const uint16_t* p) {
  F x;
  for (int i = 0; i < kLanes; i++) x[i] = half_to_float(p[i]);
  return x;
}
MR_INLINE void store_half(uint16_t* p, F x) {
  for (int i = 0; i < kLanes; i++) p[i] = float_to_half(x[i]);
}
MR_INLINE F load_bf16(const uint16_t* p) {
  F x;
  for (int i = 0; i < kLanes; i++) x[i] = bf16_to_float(p[i]);
  return x;
}
// Even and odd ones of pairs of bf16.
MR_INLINE F bf16_even(B pairs) { return reinterpret_cast<F>(reinterpret_cast<I>(pairs) << 16); }
MR_INLINE F bf16_odd(B pairs) { return reinterpret_cast<F>(reinterpret_cast<I>(pairs) & static_cast<int32_t>(0xffff0000)); }
MR_INLINE F load_u8(const uint8_t* p) {
  F x;
  for (int i = 0; i < kLanes; i++) x[i] = p[i];
  return x;
}
MR_INLINE F load_s8(const int8_t* p) {
  F x;
  for (int i = 0; i < kLanes; i++) x[i] = p[i];
  return x;
}
MR_INLINE F load_u4(const uint8_t* p, int shift) {
  F x;
  for (int i = 0; i < kLanes; i++) x[i] = static_cast<float>(p[i] >> shift & 15);
  return x;
}

MR_INLINE I splat_int(int32_t x) { return I{x, x, x, x, x, x, x, x}; }
MR_INLINE F to_float(I x) { return __builtin_convertvector(x, F); }
MR_INLINE I to_int(F x) {
  I r;
  for (int i = 0; i < kLanes; i++) r[i] = x[i] == x[i] ? static_cast<int32_t>(std::nearbyintf(x[i])) : 0;
  return r;
}
// 32 signed bytes, and the sums of the first and the last 16.
MR_INLINE void store_codes(int8_t* p, const I (&x)[32 / kLanes], int32_t sums[2]) {
  sums[0] = sums[1] = 0;
  for (int i = 0; i < 32; i++) {
    p[i] = static_cast<int8_t>(x[i / kLanes][i % kLanes]);
    sums[i / 16] += p[i];
  }
}

// Adds to each lane the four products of its unsigned codes with four signed bytes.
MR_INLINE I dot4(I sum, B codes, int32_t bytes) {
  for (int i = 0; i < kLanes; i++) {
    for (int j = 0; j < 4; j++) sum[i] += codes[4 * i + j] * static_cast<int8_t>(bytes >> 8 * j);
  }
  return sum;
}
// The same for signed codes.
MR_INLINE I dot4_signed(I sum, B codes, int32_t bytes) {
  for (int i = 0; i < kLanes; i++) {
    for (int j = 0; j < 4; j++) sum[i] += static_cast<int8_t>(codes[4 * i + j]) * static_cast<int8_t>(bytes >> 8 * j);
  }
  return sum;
}

MR_INLINE B load_bytes(const uint8_t* p) {
  B x;
  __builtin_memcpy(&x, p, sizeof x);
  return x;
}
MR_INLINE B low_nibbles(B x) { return x & 15; }
MR_INLINE B high_nibbles(B x) { return x >> 4; }
MR_INLINE B two_bits(B x, int shift) { return x >> static_cast<uint8_t>(shift) & 3; }
// Field `pair` of two bits of each byte, moved to bits 4 and 5; other bits are anything.
MR_INLINE B at_bit_4(B x, int pair) { return pair == 3 ? x >> 2 : x << (4 - 2 * pair); }
// a with the bits of b that the mask has.
MR_INLINE B with_bits(B a, B b, int mask) { return a | (b & static_cast<uint8_t>(mask)); }
MR_INLINE B either(B a, B b) { return a | b; }
// `value` in each byte whose bit is set.
MR_INLINE B from_bits(const uint8_t* p, int value) {
  B x;
  for (int i = 0; i < 4 * kLanes; i++) x[i] = p[i / 8] >> i % 8 & 1 ? static_cast<uint8_t>(value) : 0;
  return x;
}
MR_INLINE B look_up(const uint8_t table[16], B index) {
  B x;
  for (int i = 0; i < 4 * kLanes; i++) x[i] = table[index[i]];
  return x;
}
// Byte j of each lane, unsigned.
MR_INLINE F byte_of(B x, int j) {
  F r;
  for (int i = 0; i < kLanes; i++) r[i] = x[4 * i + j];
  return r;
}
// The level that the nibble in byte j of each lane names.
MR_INLINE F level_of(const float* levels, B x, int j) {
  F r;
  for (int i = 0; i < kLanes; i++) r[i] = levels[x[4 * i + j] & 15];
  return r;
}

}  // namespace millrace::portable
