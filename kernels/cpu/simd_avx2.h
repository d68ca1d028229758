// Vectors of 8 lanes: AVX2, FMA, F16C.
#pragma once
#include <immintrin.h>

#include <cstdint>

#define MR_INLINE inline __attribute__((always_inline))

namespace millrace::avx2 {

inline constexpr int kLanes = 8;
inline constexpr int kPanels = 1;
inline constexpr int kMaxRows = 4;
inline constexpr bool kOffsetCodes = false;

using F = __m256;
using I = __m256i;
using B = __m256i;

// Asks for a line of memory, into the second cache.
MR_INLINE void prefetch(const uint8_t* p) { _mm_prefetch(reinterpret_cast<const char*>(p), _MM_HINT_T1); }

MR_INLINE F splat(float x) { return _mm256_set1_ps(x); }
MR_INLINE F load(const float* p) { return _mm256_loadu_ps(p); }
MR_INLINE void store(float* p, F x) { _mm256_storeu_ps(p, x); }
MR_INLINE __m256i part_mask(int n) {
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}
MR_INLINE F load_part(const float* p, int n) { return _mm256_maskload_ps(p, part_mask(n)); }
MR_INLINE void store_part(float* p, F x, int n) { _mm256_maskstore_ps(p, part_mask(n), x); }
MR_INLINE F fma(F a, F b, F c) { return _mm256_fmadd_ps(a, b, c); }
// b where either is NaN.
MR_INLINE F vmax(F a, F b) { return _mm256_max_ps(a, b); }
MR_INLINE F vmin(F a, F b) { return _mm256_min_ps(a, b); }
MR_INLINE F vabs(F a) { return _mm256_andnot_ps(_mm256_set1_ps(-0.0f), a); }
MR_INLINE F round_even(F a) { return _mm256_round_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
MR_INLINE F zero_below(F x, F limit, F value) { return _mm256_and_ps(_mm256_cmp_ps(x, limit, _CMP_NLT_UQ), value); }
// 2^n for whole n within the range of normal numbers.
MR_INLINE F power_of_two(F n) {
  return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127)), 23));
}
MR_INLINE float lane_sum(F x) {
  __m128 s = _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
  s = _mm_add_ps(s, _mm_movehl_ps(s, s));
  return _mm_cvtss_f32(_mm_add_ss(s, _mm_movehdup_ps(s)));
}
// A bit for each lane.
MR_INLINE unsigned lanes_above(F x, F limit) { return static_cast<unsigned>(_mm256_movemask_ps(_mm256_cmp_ps(x, limit, _CMP_GT_OQ))); }
MR_INLINE bool any_above(F x, F limit) { return lanes_above(x, limit) != 0; }
MR_INLINE bool any_not_below(F x, F limit) { return _mm256_movemask_ps(_mm256_cmp_ps(x, limit, _CMP_NLT_UQ)) != 0; }
MR_INLINE float lane_max(F x) {
  __m128 s = _mm_max_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
  s = _mm_max_ps(s, _mm_movehl_ps(s, s));
  return _mm_cvtss_f32(_mm_max_ss(s, _mm_movehdup_ps(s)));
}
MR_INLINE float first(F x) { return _mm256_cvtss_f32(x); }

MR_INLINE F load_half(const uint16_t* p) { return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))); }
MR_INLINE void store_half(uint16_t* p, F x) {
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm256_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT));
}
MR_INLINE F load_bf16(const uint16_t* p) {
  return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))), 16));
}
// Even and odd ones of pairs of bf16.
MR_INLINE F bf16_even(B pairs) { return _mm256_castsi256_ps(_mm256_slli_epi32(pairs, 16)); }
MR_INLINE F bf16_odd(B pairs) { return _mm256_castsi256_ps(_mm256_and_si256(pairs, _mm256_set1_epi32(static_cast<int>(0xffff0000)))); }
MR_INLINE F load_u8(const uint8_t* p) {
  return _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p))));
}
MR_INLINE F load_s8(const int8_t* p) {
  return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p))));
}
MR_INLINE F load_u4(const uint8_t* p, int shift) {
  __m256i x = _mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p)));
  return _mm256_cvtepi32_ps(_mm256_and_si256(_mm256_srli_epi32(x, shift), _mm256_set1_epi32(15)));
}

MR_INLINE I splat_int(int32_t x) { return _mm256_set1_epi32(x); }
MR_INLINE F to_float(I x) { return _mm256_cvtepi32_ps(x); }
MR_INLINE I to_int(F x) { return _mm256_cvtps_epi32(x); }
// 32 signed bytes, and the sums of the first and the last 16.
MR_INLINE void store_codes(int8_t* p, const I (&x)[4], int32_t sums[2]) {
  __m256i mixed = _mm256_packs_epi16(_mm256_packs_epi32(x[0], x[1]), _mm256_packs_epi32(x[2], x[3]));
  __m256i bytes = _mm256_permutevar8x32_epi32(mixed, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), bytes);
  __m256i fours = _mm256_madd_epi16(_mm256_maddubs_epi16(_mm256_set1_epi8(1), bytes), _mm256_set1_epi16(1));
  fours = _mm256_hadd_epi32(fours, fours);
  fours = _mm256_hadd_epi32(fours, fours);
  sums[0] = _mm256_cvtsi256_si32(fours);
  sums[1] = _mm_cvtsi128_si32(_mm256_extracti128_si256(fours, 1));
}

// Adds to each lane the four products of its unsigned codes, below 128, with four signed bytes: pairs fit 16 bits.
MR_INLINE I dot4(I sum, B codes, int32_t bytes) {
  __m256i pairs = _mm256_maddubs_epi16(codes, _mm256_set1_epi32(bytes));
  return _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
}
// The same for signed codes, and bytes above -128.
MR_INLINE I dot4_signed(I sum, B codes, int32_t bytes) {
  __m256i pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(codes), _mm256_sign_epi8(_mm256_set1_epi32(bytes), codes));
  return _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
}

MR_INLINE B load_bytes(const uint8_t* p) { return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)); }
MR_INLINE B low_nibbles(B x) { return _mm256_and_si256(x, _mm256_set1_epi8(15)); }
MR_INLINE B high_nibbles(B x) { return _mm256_and_si256(_mm256_srli_epi16(x, 4), _mm256_set1_epi8(15)); }
MR_INLINE B two_bits(B x, int shift) { return _mm256_and_si256(_mm256_srli_epi16(x, shift), _mm256_set1_epi8(3)); }
// Field `pair` of two bits of each byte, moved to bits 4 and 5; other bits are anything.
MR_INLINE B at_bit_4(B x, int pair) {
  if (pair == 3) return _mm256_srli_epi16(x, 2);
  return pair == 2 ? x : _mm256_slli_epi16(x, 4 - 2 * pair);
}
// a with the bits of b that the mask has.
MR_INLINE B with_bits(B a, B b, int mask) { return _mm256_or_si256(a, _mm256_and_si256(b, _mm256_set1_epi8(static_cast<char>(mask)))); }
MR_INLINE B either(B a, B b) { return _mm256_or_si256(a, b); }
// `value` in each byte whose bit is set.
MR_INLINE B from_bits(const uint8_t* p, int value) {
  int32_t mask;
  __builtin_memcpy(&mask, p, 4);
  const __m256i which = _mm256_setr_epi64x(0, 0x0101010101010101, 0x0202020202020202, 0x0303030303030303);
  const __m256i bit = _mm256_set1_epi64x(static_cast<int64_t>(0x8040201008040201ull));
  __m256i bytes = _mm256_shuffle_epi8(_mm256_set1_epi32(mask), which);
  __m256i set = _mm256_cmpeq_epi8(_mm256_and_si256(bytes, bit), bit);
  return _mm256_and_si256(set, _mm256_set1_epi8(static_cast<char>(value)));
}
MR_INLINE B look_up(const uint8_t table[16], B index) {
  return _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(_mm_loadu_si128(reinterpret_cast<const __m128i*>(table))), index);
}
// Byte j of each lane, unsigned.
MR_INLINE F byte_of(B x, int j) { return _mm256_cvtepi32_ps(_mm256_and_si256(_mm256_srli_epi32(x, 8 * j), _mm256_set1_epi32(255))); }
// The level that the nibble in byte j of each lane names.
MR_INLINE F level_of(const float* levels, B x, int j) {
  __m256i index = _mm256_srli_epi32(x, 8 * j);
  __m256 low = _mm256_permutevar8x32_ps(_mm256_loadu_ps(levels), index);
  __m256 high = _mm256_permutevar8x32_ps(_mm256_loadu_ps(levels + 8), index);
  return _mm256_blendv_ps(low, high, _mm256_castsi256_ps(_mm256_slli_epi32(index, 28)));
}

}  // namespace millrace::avx2
