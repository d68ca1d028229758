// AVX-512 with vdpbf16ps: bf16 weights times bf16 activations, in pairs of columns.
#include "kernels.h"
#include "simd_avx512.h"
#define MR_ISA avx512

// clang-format off
#include "scalar.h"
#include "math_impl.h"
#include "linear_impl.h"
// clang-format on

namespace millrace {
namespace avx512 {
namespace {

template <int M>
__attribute__((noinline)) void bf16_tile(const LinearTask& t, int row, int group, Ahead ahead) {
  const uint8_t* x[M];
  for (int m = 0; m < M; m++) x[m] = static_cast<const uint8_t*>(t.x) + (row + m) * t.x_stride;
  const uint8_t* w = t.w->group(group);
  F sums[kPanels][M];
  for (int n = 0; n < kPanels; n++) {
    for (int m = 0; m < M; m++) sums[n][m] = splat(0.0f);
  }
  const int64_t pairs = (t.w->columns + 1) / 2;
  for (int64_t k = 0; k < pairs; k++) {
    if (k % (kTurnColumns / 2) == 0) ahead.turn();
    B weight[kPanels];
#pragma GCC unroll 2
    for (int n = 0; n < kPanels; n++) weight[n] = load_bytes(w + (k * kPanels + n) * 4 * kLanes);
#pragma GCC unroll 8
    for (int m = 0; m < M; m++) {
      B value = splat_int(four_bytes(x[m] + 4 * k));
#pragma GCC unroll 2
      for (int n = 0; n < kPanels; n++) {
        sums[n][m] = _mm512_dpbf16_ps(sums[n][m], reinterpret_cast<__m512bh>(weight[n]), reinterpret_cast<__m512bh>(value));
      }
    }
  }
  for (int n = 0; n < kPanels; n++) finish<M>(t, row, group * kPanels + n, sums[n]);
}

template <int M>
struct Bf16 {
  static MR_INLINE void run(const LinearTask& t, int row, int group, Ahead ahead) { bf16_tile<M>(t, row, group, ahead); }
};

void bf16_linear(const LinearTask& t) {
  if (t.w->type == MR_BF16) return by_rows<Bf16>(t);
  avx512_kernels()->linear(t);
}

// Rounds as float_to_bf16 does.
void bf16_row(const float* x, int n, int padded, uint16_t* out) {
  auto halves = [](F v) {
    __m512i bits = _mm512_castps_si512(v);
    __m512i high = _mm512_srli_epi32(bits, 16);
    __m512i bump = _mm512_add_epi32(_mm512_and_si512(high, _mm512_set1_epi32(1)), _mm512_set1_epi32(0x7fff));
    __m512i rounded = _mm512_srli_epi32(_mm512_add_epi32(bits, bump), 16);
    rounded = _mm512_mask_or_epi32(rounded, _mm512_cmp_ps_mask(v, v, _CMP_UNORD_Q), high, _mm512_set1_epi32(0x40));
    return _mm512_cvtepi32_epi16(rounded);
  };
  each(
      n, [&](int i) { _mm256_storeu_si256(reinterpret_cast<__m256i*>(out + i), halves(load(x + i))); },
      [&](int i, int rest) {
        _mm256_mask_storeu_epi16(out + i, static_cast<__mmask16>((1u << rest) - 1), halves(load_part(x + i, rest)));
      });
  for (int i = n; i < padded; i++) out[i] = 0;
}

}  // namespace
}  // namespace avx512

const Kernels* avx512_bf16_kernels() {
  static const Kernels kernels = [] {
    Kernels k = *avx512_kernels();
    k.name = "avx512-bf16";
    k.bf16_rows = true;
    k.linear = avx512::bf16_linear;
    k.to_bf16 = avx512::bf16_row;
    return k;
  }();
  return &kernels;
}

}  // namespace millrace
