// Products with weights in groups of columns: int8, int4 and codebooks of 4 bits, with int8 activations or with floats. Sums as in
// linear_impl.h: by one lane, over the columns in ascending order.
#pragma once
#include "kernels.h"

namespace millrace::MR_ISA {
namespace {

// Factors of one panel for one group.
template <int Type>
struct GroupFactors {
  F scale, zero;

  MR_INLINE void read(const uint8_t* p) {
    scale = load(reinterpret_cast<const float*>(p));
    if constexpr (Type != MR_CODEBOOK) zero = load_u8(p + 4 * kLanes);
  }
};

// Bytes of a group of one panel.
template <int Type>
MR_INLINE int64_t group_codes(const Packed& w) {
  return int64_t{w.group_columns} / 32 * code_bytes(kTypes[Type].codes) * kLanes;
}

// Products of M rows in int8 with kPanels panels.
template <int Type, int M>
__attribute__((noinline)) void group_tile(const LinearTask& t, int row, int group, Ahead ahead) {
  constexpr Codes C = Type == MR_CODEBOOK ? Codes::kTable : kTypes[Type].codes;
  constexpr bool kSigned = kTypes[Type].is_signed;
  constexpr int kZero = kSigned && kOffsetCodes ? 128 : 0;
  constexpr float kMiddle = Type == MR_INT8 ? 128.0f : 0.0f;
  constexpr int kFactorBytes = group_factor_bytes(Type) * kLanes;
  constexpr int kCodeBytes = code_bytes(C) * kLanes;
  const int64_t values = t.w->columns;
  const int sets = t.w->group_columns / 32;
  uint8_t table[16] = {};
  for (int i = 0; Type == MR_CODEBOOK && i < 16; i++) table[i] = static_cast<uint8_t>(level_code(t.w->levels[i]) + (kOffsetCodes ? 128 : 0));
  const uint8_t* x[M];
  for (int m = 0; m < M; m++) x[m] = static_cast<const uint8_t*>(t.x) + (row + m) * t.x_stride;
  const uint8_t* w = t.w->group(group);
  F sums[kPanels][M];
  for (int n = 0; n < kPanels; n++) {
    for (int m = 0; m < M; m++) sums[n][m] = splat(0.0f);
  }
  for (int64_t at = 0; at < values;) {
    GroupFactors<Type> factors[kPanels];
    F minimum[kPanels];
    for (int n = 0; n < kPanels; n++) {
      factors[n].read(w + n * kFactorBytes);
      if constexpr (Type == MR_CODEBOOK) factors[n].scale = factors[n].scale * splat(1.0f / 127.0f);
      if constexpr (Type != MR_CODEBOOK) minimum[n] = factors[n].scale * (splat(kMiddle) - factors[n].zero);
    }
    w += kPanels * kFactorBytes;
    for (int set = 0; set < sets; set++, at += 32) {
      const uint8_t* codes = w + set * kPanels * kCodeBytes;
      ahead.turn();
      I dots[kPanels][M];
#pragma GCC unroll 8
      for (int m = 0; m < M; m++) {
        I start = splat_int(kZero == 0 ? 0 : -kZero * four_bytes(x[m] + QuantRow::sums32(values) + at / 8));
#pragma GCC unroll 2
        for (int n = 0; n < kPanels; n++) dots[n][m] = start;
      }
#pragma GCC unroll 8
      for (int s = 0; s < 8; s++) {
        B code[kPanels];
#pragma GCC unroll 2
        for (int n = 0; n < kPanels; n++) code[n] = step<C>(codes + n * kCodeBytes, s, table);
#pragma GCC unroll 8
        for (int m = 0; m < M; m++) {
          const int32_t bytes = four_bytes(x[m] + at + 4 * s);
#pragma GCC unroll 2
          for (int n = 0; n < kPanels; n++) {
            dots[n][m] = kSigned && !kOffsetCodes ? dot4_signed(dots[n][m], code[n], bytes) : dot4(dots[n][m], code[n], bytes);
          }
        }
      }
#pragma GCC unroll 8
      for (int m = 0; m < M; m++) {
        F d = splat(bits_to_float(static_cast<uint32_t>(four_bytes(x[m] + QuantRow::scales(values) + at / 8))));
        F p = splat(bits_to_float(static_cast<uint32_t>(four_bytes(x[m] + QuantRow::products32(values) + at / 8))));
#pragma GCC unroll 2
        for (int n = 0; n < kPanels; n++) {
          sums[n][m] = fma(to_float(dots[n][m]) * factors[n].scale, d, sums[n][m]);
          if constexpr (Type != MR_CODEBOOK) sums[n][m] = fma(minimum[n], p, sums[n][m]);
        }
      }
    }
    w += kPanels * group_codes<Type>(*t.w);
  }
  for (int n = 0; n < kPanels; n++) finish<M>(t, row, group * kPanels + n, sums[n]);
}

// The same with floats; codes of int8 are unsigned.
template <int Type, int M>
__attribute__((noinline)) void group_float_tile(const LinearTask& t, int row, int group, Ahead ahead) {
  constexpr Codes C = kTypes[Type].codes;
  constexpr int kFactorBytes = group_factor_bytes(Type) * kLanes;
  constexpr int kCodeBytes = code_bytes(C) * kLanes;
  const int64_t values = t.w->columns;
  const int sets = t.w->group_columns / 32;
  const float* x[M];
  for (int m = 0; m < M; m++) x[m] = reinterpret_cast<const float*>(static_cast<const uint8_t*>(t.x) + (row + m) * t.x_stride);
  const uint8_t* w = t.w->group(group);
  F sums[kPanels][M];
  for (int n = 0; n < kPanels; n++) {
    for (int m = 0; m < M; m++) sums[n][m] = splat(0.0f);
  }
  for (int64_t at = 0; at < values;) {
    GroupFactors<Type> factors[kPanels];
    for (int n = 0; n < kPanels; n++) factors[n].read(w + n * kFactorBytes);
    w += kPanels * kFactorBytes;
    for (int set = 0; set < sets; set++) {
      const uint8_t* codes = w + set * kPanels * kCodeBytes;
      ahead.turn();
      for (int s = 0; s < 8; s++) {
        B code[kPanels];
#pragma GCC unroll 2
        for (int n = 0; n < kPanels; n++) {
          code[n] = step<C>(codes + n * kCodeBytes, s, nullptr);
        }
#pragma GCC unroll 4
        for (int j = 0; j < 4; j++, at++) {
          F weight[kPanels];
#pragma GCC unroll 2
          for (int n = 0; n < kPanels; n++) {
            if constexpr (Type == MR_CODEBOOK) {
              weight[n] = level_of(t.w->levels, code[n], j) * factors[n].scale;
            } else {
              weight[n] = (byte_of(code[n], j) - factors[n].zero) * factors[n].scale;
            }
          }
#pragma GCC unroll 8
          for (int m = 0; m < M; m++) {
            F value = splat(x[m][at]);
#pragma GCC unroll 2
            for (int n = 0; n < kPanels; n++) sums[n][m] = fma(weight[n], value, sums[n][m]);
          }
        }
      }
    }
    w += kPanels * group_codes<Type>(*t.w);
  }
  for (int n = 0; n < kPanels; n++) finish<M>(t, row, group * kPanels + n, sums[n]);
}

template <int Type, bool Floats>
struct Grouped {
  template <int M>
  struct Of {
    static MR_INLINE void run(const LinearTask& t, int row, int group, Ahead ahead) {
      if constexpr (Floats) {
        group_float_tile<Type, M>(t, row, group, ahead);
      } else {
        group_tile<Type, M>(t, row, group, ahead);
      }
    }
  };
};

template <int Type>
void grouped(const LinearTask& t) {
  if (t.w->float_rows) return by_rows<Grouped<Type, true>::template Of>(t);
  by_rows<Grouped<Type, false>::template Of>(t);
}

// Products with weights of any type.
[[maybe_unused]] void any_linear(const LinearTask& t) {
  switch (t.w->type) {
    case MR_INT8: return grouped<MR_INT8>(t);
    case MR_INT4: return grouped<MR_INT4>(t);
    case MR_CODEBOOK: return grouped<MR_CODEBOOK>(t);
    default: return linear(t);
  }
}

}  // namespace
}  // namespace millrace::MR_ISA
