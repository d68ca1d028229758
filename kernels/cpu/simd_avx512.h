// Vectors of 16 lanes: AVX-512 with VNNI.
#pragma once
#include <immintrin.h>

#include <cstdint>

#define MR_INLINE inline __attribute__((always_inline))

namespace millrace::avx512 {

inline constexpr int kLanes = 16;
// Panels and rows of a tile: its accumulators fit the registers.
inline constexpr int kPanels = 2;
inline constexpr int kMaxRows = 6;
// Codes that may be negative are stored with 128 added, because dot4 takes unsigned ones.
inline constexpr bool kOffsetCodes = true;

using F = __m512;
using I = __m512i;
using B = __m512i;

// Asks for a line of memory, into the second cache.
MR_INLINE void prefetch(const uint8_t* p) { _mm_prefetch(reinterpret_cast<const char*>(p), _MM_HINT_T1); }

MR_INLINE F splat(float x) { return _mm512_set1_ps(x); }
MR_INLINE F load(const float* p) { return _mm512_loadu_ps(p); }
MR_INLINE void store(float* p, F x) { _mm512_storeu_ps(p, x); }
MR_INLINE F load_part(const float* p, int n) { return _mm512_maskz_loadu_ps(static_cast<__mmask16>((1u << n) - 1), p); }
MR_INLINE void store_part(float* p, F x, int n) { _mm512_mask_storeu_ps(p, static_cast<__mmask16>((1u << n) - 1), x); }
MR_INLINE F fma(F a, F b, F c) { return _mm512_fmadd_ps(a, b, c); }
// b where either is NaN.
MR_INLINE F vmax(F a, F b) { return _mm512_max_ps(a, b); }
MR_INLINE F vmin(F a, F b) { return _mm512_min_ps(a, b); }
MR_INLINE F vabs(F a) { return _mm512_abs_ps(a); }
MR_INLINE F round_even(F a) { return _mm512_roundscale_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
MR_INLINE F zero_below(F x, F limit, F value) { return _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(x, limit, _CMP_NLT_UQ), value); }
// 2^n for whole n within the range of normal numbers.
MR_INLINE F power_of_two(F n) {
  return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_add_epi32(_mm512_cvtps_epi32(n), _mm512_set1_epi32(127)), 23));
}
MR_INLINE float lane_sum(F x) { return _mm512_reduce_add_ps(x); }
// A bit for each lane.
MR_INLINE unsigned lanes_above(F x, F limit) { return _mm512_cmp_ps_mask(x, limit, _CMP_GT_OQ); }
MR_INLINE bool any_above(F x, F limit) { return lanes_above(x, limit) != 0; }
MR_INLINE bool any_not_below(F x, F limit) { return _mm512_cmp_ps_mask(x, limit, _CMP_NLT_UQ) != 0; }
MR_INLINE float lane_max(F x) { return _mm512_reduce_max_ps(x); }
MR_INLINE float first(F x) { return _mm512_cvtss_f32(x); }

MR_INLINE F load_half(const uint16_t* p) { return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p))); }
MR_INLINE void store_half(uint16_t* p, F x) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm512_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT));
}
MR_INLINE F load_bf16(const uint16_t* p) {
  return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p))), 16));
}
// Even and odd ones of pairs of bf16.
MR_INLINE F bf16_even(B pairs) { return _mm512_castsi512_ps(_mm512_slli_epi32(pairs, 16)); }
MR_INLINE F bf16_odd(B pairs) { return _mm512_castsi512_ps(_mm512_and_si512(pairs, _mm512_set1_epi32(static_cast<int>(0xffff0000)))); }
MR_INLINE F load_u8(const uint8_t* p) {
  return _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))));
}
MR_INLINE F load_s8(const int8_t* p) {
  return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))));
}
MR_INLINE F load_u4(const uint8_t* p, int shift) {
  __m512i x = _mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
  return _mm512_cvtepi32_ps(_mm512_and_si512(_mm512_srli_epi32(x, static_cast<unsigned>(shift)), _mm512_set1_epi32(15)));
}

MR_INLINE I splat_int(int32_t x) { return _mm512_set1_epi32(x); }
MR_INLINE F to_float(I x) { return _mm512_cvtepi32_ps(x); }
MR_INLINE I to_int(F x) { return _mm512_cvtps_epi32(x); }
// 32 signed bytes, and the sums of the first and the last 16.
MR_INLINE void store_codes(int8_t* p, const I (&x)[2], int32_t sums[2]) {
  __m256i bytes = _mm256_inserti128_si256(_mm256_castsi128_si256(_mm512_cvtsepi32_epi8(x[0])), _mm512_cvtsepi32_epi8(x[1]), 1);
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), bytes);
  __m256i fours = _mm256_dpbusd_epi32(_mm256_setzero_si256(), _mm256_set1_epi8(1), bytes);
  fours = _mm256_hadd_epi32(fours, fours);
  fours = _mm256_hadd_epi32(fours, fours);
  sums[0] = _mm256_cvtsi256_si32(fours);
  sums[1] = _mm_cvtsi128_si32(_mm256_extracti128_si256(fours, 1));
}

// Adds to each lane the four products of its unsigned codes with four signed bytes.
MR_INLINE I dot4(I sum, B codes, int32_t bytes) { return _mm512_dpbusd_epi32(sum, codes, _mm512_set1_epi32(bytes)); }
MR_INLINE I dot4_signed(I sum, B codes, int32_t bytes) { return dot4(sum, codes, bytes); }

MR_INLINE B load_bytes(const uint8_t* p) { return _mm512_loadu_si512(p); }
MR_INLINE B low_nibbles(B x) { return _mm512_and_si512(x, _mm512_set1_epi8(15)); }
MR_INLINE B high_nibbles(B x) { return _mm512_and_si512(_mm512_srli_epi16(x, 4), _mm512_set1_epi8(15)); }
MR_INLINE B two_bits(B x, int shift) {
  return _mm512_and_si512(_mm512_srli_epi16(x, static_cast<unsigned>(shift)), _mm512_set1_epi8(3));
}
// Field `pair` of two bits of each byte, moved to bits 4 and 5; other bits are anything.
MR_INLINE B at_bit_4(B x, int pair) {
  if (pair == 3) return _mm512_srli_epi16(x, 2);
  return pair == 2 ? x : _mm512_slli_epi16(x, static_cast<unsigned>(4 - 2 * pair));
}
// a with the bits of b that the mask has.
MR_INLINE B with_bits(B a, B b, int mask) { return _mm512_ternarylogic_epi32(a, b, _mm512_set1_epi8(static_cast<char>(mask)), 0xf8); }
MR_INLINE B either(B a, B b) { return _mm512_or_si512(a, b); }
// `value` in each byte whose bit is set.
MR_INLINE B from_bits(const uint8_t* p, int value) {
  uint64_t mask;
  __builtin_memcpy(&mask, p, 8);
  return _mm512_maskz_set1_epi8(mask, static_cast<char>(value));
}
MR_INLINE B look_up(const uint8_t table[16], B index) {
  return _mm512_shuffle_epi8(_mm512_broadcast_i32x4(_mm_loadu_si128(reinterpret_cast<const __m128i*>(table))), index);
}
// Byte j of each lane, unsigned.
MR_INLINE F byte_of(B x, int j) {
  return _mm512_cvtepi32_ps(_mm512_and_si512(_mm512_srli_epi32(x, static_cast<unsigned>(8 * j)), _mm512_set1_epi32(255)));
}
// The level that the nibble in byte j of each lane names.
MR_INLINE F level_of(const float* levels, B x, int j) {
  return _mm512_permutexvar_ps(_mm512_srli_epi32(x, static_cast<unsigned>(8 * j)), _mm512_loadu_ps(levels));
}

}  // namespace millrace::avx512
