// Products of activations and packed weights. An output is summed over the columns in ascending order by one lane, whatever the rows,
// panels or threads beside it.
#pragma once
#include "kernels.h"

namespace millrace::MR_ISA {
namespace {

// Columns of a turn of a tile.
constexpr int kTurnColumns = 32;

// Writes a tile's sums: factor, bias, cap, and only the columns that the matrix has.
template <int M>
MR_INLINE void finish(const LinearTask& t, int row, int panel, F sums[M]) {
  int column = panel * kLanes;
  int n = t.w->rows - column;
  if (n <= 0) return;
  if (n >= kLanes && t.factor == 1.0f && !t.bias && t.cap == 0.0f) {
#pragma GCC unroll 8
    for (int m = 0; m < M; m++) store(t.out.row(row + m) + column, sums[m]);
    return;
  }
  bool whole = n >= kLanes;
  F bias = splat(0.0f);
  if (t.bias) bias = whole ? load(t.bias + column) : load_part(t.bias + column, n);
  for (int m = 0; m < M; m++) {
    F v = t.factor == 1.0f ? sums[m] : sums[m] * splat(t.factor);
    if (t.bias) v = v + bias;
    if (t.cap != 0.0f) v = soft_cap(v, t.cap);
    float* out = t.out.row(row + m) + column;
    if (whole) {
      store(out, v);
    } else {
      store_part(out, v, n);
    }
  }
}

// Step s (values 4s to 4s + 3) of 32 codes of each lane.
template <Codes C>
MR_INLINE B step(const uint8_t* group, int s, const uint8_t* table) {
  constexpr int kVector = 4 * kLanes;
  if constexpr (C == Codes::k8) return load_bytes(group + s * kVector);
  if constexpr (C == Codes::k2 || C == Codes::k3) {
    B low = two_bits(load_bytes(group + (s >> 2) * kVector), 2 * (s & 3));
    if constexpr (C == Codes::k2) return low;
    return either(low, from_bits(group + 2 * kVector + s * kLanes / 2, 4));
  }
  B packed = load_bytes(group + (s & 3) * kVector);
  B nibble = s < 4 ? low_nibbles(packed) : high_nibbles(packed);
  if constexpr (C == Codes::kTable) return look_up(table, nibble);
  if constexpr (C == Codes::k5) return either(nibble, from_bits(group + 4 * kVector + s * kLanes / 2, 16));
  if constexpr (C == Codes::k6) {
    return with_bits(nibble, at_bit_4(load_bytes(group + (4 + (s >> 2)) * kVector), s & 3), 0x30);
  }
  return nibble;
}

// Factors of one panel for one set of values: read once, then asked for by sub-block.
template <Scales S>
struct Factors {
  static constexpr bool kHasMinimum = S == Scales::kHalfMin || S == Scales::kSuper32Min || S == Scales::kSuper16Min;
  static constexpr bool k16 = S == Scales::kSuper16 || S == Scales::kSuper16Min;
  static constexpr int kHalves = kHasMinimum ? 4 : 2;
  F d, m;
  const uint8_t* bytes;

  MR_INLINE void read(const uint8_t* p) {
    d = load_half(reinterpret_cast<const uint16_t*>(p));
    if constexpr (kHasMinimum) m = load_half(reinterpret_cast<const uint16_t*>(p + 2 * kLanes));
    bytes = p + kHalves * kLanes;
  }

  MR_INLINE F scale(int sub) const {
    if constexpr (S == Scales::kSuper32 || S == Scales::kSuper16) {
      return d * load_s8(reinterpret_cast<const int8_t*>(bytes + sub * kLanes));
    }
    if constexpr (S == Scales::kSuper32Min) return d * load_u8(bytes + 2 * sub * kLanes);
    if constexpr (S == Scales::kSuper16Min) return d * load_u4(bytes + sub * kLanes, 0);
    return d;
  }

  MR_INLINE F minimum(int sub) const {
    if constexpr (S == Scales::kSuper32Min) return splat(0.0f) - m * load_u8(bytes + (2 * sub + 1) * kLanes);
    if constexpr (S == Scales::kSuper16Min) return splat(0.0f) - m * load_u4(bytes + sub * kLanes, 4);
    return m;
  }
};

MR_INLINE int32_t four_bytes(const uint8_t* p) {
  int32_t x;
  __builtin_memcpy(&x, p, 4);
  return x;
}

// Weights that a tile asks for while it works on others: its share of the next group, so that memory keeps up with arithmetic.
struct Ahead {
  const uint8_t* at;
  const uint8_t* goal;
  int64_t step;

  // Share `part` of `parts` of the `bytes` at p, when a tile has `turns` turns.
  static MR_INLINE Ahead share(const uint8_t* p, int64_t bytes, int part, int parts, int64_t turns) {
    const uint8_t* from = p + bytes * part / parts;
    return {from, from, (bytes / parts + turns - 1) / turns};
  }

  MR_INLINE void turn() {
    goal += step;
    for (; at < goal; at += 64) prefetch(at);
  }
};

// Products of M rows with kPanels panels.
template <Codes C, Scales S, int Zero, bool Signed, int M>
__attribute__((noinline)) void quant_tile(const LinearTask& t, int row, int group, Ahead ahead) {
  constexpr int kZero = Signed ? (kOffsetCodes ? 128 : 0) : Zero;
  constexpr bool kDotSigned = Signed && !kOffsetCodes;
  constexpr int kSets = scale_values(S) / 32;
  constexpr int kSubs = Factors<S>::k16 ? 2 : 1;
  constexpr int kStepsOfSub = 8 / kSubs;
  const int64_t values = t.w->columns;
  uint8_t table[16];
  for (int i = 0; i < 16; i++) table[i] = static_cast<uint8_t>(kLevels[i] + (kOffsetCodes ? 128 : 0));
  const uint8_t* x[M];
  for (int m = 0; m < M; m++) x[m] = static_cast<const uint8_t*>(t.x) + (row + m) * t.x_stride;
  constexpr int kFactorBytes = scale_bytes(S) * kLanes;
  constexpr int kCodeBytes = code_bytes(C) * kLanes;
  const uint8_t* w = t.w->group(group);
  F sums[kPanels][M];
  for (int n = 0; n < kPanels; n++) {
    for (int m = 0; m < M; m++) sums[n][m] = splat(0.0f);
  }
  for (int64_t k = 0; k < values; k += 32 * kSets) {
    Factors<S> factors[kPanels];
#pragma GCC unroll 2
    for (int n = 0; n < kPanels; n++) {
      factors[n].read(w + n * kFactorBytes);
    }
    w += kPanels * kFactorBytes;
    for (int set = 0; set < kSets; set++) {
      const int64_t at = k + 32 * set;
      const uint8_t* codes = w + set * kPanels * kCodeBytes;
      ahead.turn();
#pragma GCC unroll 2
      for (int sub = 0; sub < kSubs; sub++) {
        I dots[kPanels][M];
#pragma GCC unroll 8
        for (int m = 0; m < M; m++) {
          I start = splat_int(0);
          if constexpr (kZero != 0) {
            const uint8_t* sum = kSubs == 1 ? x[m] + QuantRow::sums32(values) + at / 8 : x[m] + QuantRow::sums16(values) + at / 4 + 4 * sub;
            start = splat_int(-kZero * four_bytes(sum));
          }
#pragma GCC unroll 2
          for (int n = 0; n < kPanels; n++) dots[n][m] = start;
        }
#pragma GCC unroll 8
        for (int i = 0; i < kStepsOfSub; i++) {
          const int s = sub * kStepsOfSub + i;
          B code[kPanels];
#pragma GCC unroll 2
          for (int n = 0; n < kPanels; n++) code[n] = step<C>(codes + n * kCodeBytes, s, table);
#pragma GCC unroll 8
          for (int m = 0; m < M; m++) {
            const int32_t bytes = four_bytes(x[m] + at + 4 * s);
#pragma GCC unroll 2
            for (int n = 0; n < kPanels; n++) {
              dots[n][m] = kDotSigned ? dot4_signed(dots[n][m], code[n], bytes) : dot4(dots[n][m], code[n], bytes);
            }
          }
        }
        const int part = set * kSubs + sub;
        F scale[kPanels];
        F minimum[kPanels];
#pragma GCC unroll 2
        for (int n = 0; n < kPanels; n++) {
          scale[n] = factors[n].scale(part);
          if constexpr (Factors<S>::kHasMinimum) minimum[n] = factors[n].minimum(part);
        }
#pragma GCC unroll 8
        for (int m = 0; m < M; m++) {
          F d = splat(bits_to_float(static_cast<uint32_t>(four_bytes(x[m] + QuantRow::scales(values) + at / 8))));
#pragma GCC unroll 2
          for (int n = 0; n < kPanels; n++) sums[n][m] = fma(to_float(dots[n][m]) * scale[n], d, sums[n][m]);
          if constexpr (Factors<S>::kHasMinimum) {
            const uint8_t* product =
                kSubs == 1 ? x[m] + QuantRow::products32(values) + at / 8 : x[m] + QuantRow::products(values) + at / 4 + 4 * sub;
            F p = splat(bits_to_float(static_cast<uint32_t>(four_bytes(product))));
#pragma GCC unroll 2
            for (int n = 0; n < kPanels; n++) sums[n][m] = fma(minimum[n], p, sums[n][m]);
          }
        }
      }
    }
    w += kPanels * kSets * kCodeBytes;
  }
  for (int n = 0; n < kPanels; n++) finish<M>(t, row, group * kPanels + n, sums[n]);
}

// The same with float rows: F32, F16 column by column, BF16 in pairs.
template <int Type, int M>
__attribute__((noinline)) void float_tile(const LinearTask& t, int row, int group, Ahead ahead) {
  const float* x[M];
  for (int m = 0; m < M; m++) x[m] = reinterpret_cast<const float*>(static_cast<const uint8_t*>(t.x) + (row + m) * t.x_stride);
  const uint8_t* w = t.w->group(group);
  F sums[kPanels][M];
  for (int n = 0; n < kPanels; n++) {
    for (int m = 0; m < M; m++) sums[n][m] = splat(0.0f);
  }
  const int64_t columns = t.w->columns;
  for (int64_t k = 0; k < columns; k++) {
    if (k % kTurnColumns == 0) ahead.turn();
    F weight[kPanels];
#pragma GCC unroll 2
    for (int n = 0; n < kPanels; n++) {
      if constexpr (Type == MR_F32) weight[n] = load(reinterpret_cast<const float*>(w) + (k * kPanels + n) * kLanes);
      if constexpr (Type == MR_F16) weight[n] = load_half(reinterpret_cast<const uint16_t*>(w) + (k * kPanels + n) * kLanes);
      if constexpr (Type == MR_BF16) {
        B pair = load_bytes(w + (k / 2 * kPanels + n) * 4 * kLanes);
        weight[n] = k % 2 == 0 ? bf16_even(pair) : bf16_odd(pair);
      }
    }
#pragma GCC unroll 8
    for (int m = 0; m < M; m++) {
      F value = splat(x[m][k]);
#pragma GCC unroll 2
      for (int n = 0; n < kPanels; n++) sums[n][m] = fma(weight[n], value, sums[n][m]);
    }
  }
  for (int n = 0; n < kPanels; n++) finish<M>(t, row, group * kPanels + n, sums[n]);
}

// Rows whose activations stay in the second cache while all groups pass by.
MR_INLINE int rows_at_once(const LinearTask& t) {
  constexpr int64_t kCached = 384 << 10;
  int64_t rows = kCached / t.x_stride / kMaxRows * kMaxRows;
  return static_cast<int>(rows < 4 * kMaxRows ? 4 * kMaxRows : rows);
}

// Cuts rows into tiles of at most kMaxRows, none of which is needlessly small.
template <class Tile>
MR_INLINE void tiles(const LinearTask& t, Tile tile) {
  constexpr int kAheadBytes = 6144;
  const int most = rows_at_once(t);
  const int64_t turns = (t.w->columns + kTurnColumns - 1) / kTurnColumns;
  for (int first = t.row0; first < t.row1; first += most) {
    const int last = first + most < t.row1 ? first + most : t.row1;
    const int parts = (last - first + kMaxRows - 1) / kMaxRows;
    for (int group = t.group0; group < t.group1; group++) {
      const uint8_t* next = t.w->group(group + 1 < t.group1 ? group + 1 : t.group0);
      int row = first;
      for (int part = 0; part < parts; part++) {
        int left = last - row;
        int rows = (left + parts - part - 1) / (parts - part);
        // Weights that are read once are asked for shortly before, so that the stream never stops.
        Ahead ahead = parts == 1 ? Ahead::share(t.w->group(group) + kAheadBytes, t.w->group_bytes, 0, 1, turns)
                                 : Ahead::share(next, t.w->group_bytes, part, parts, turns);
        tile(rows, row, group, ahead);
        row += rows;
      }
    }
  }
}

template <template <int> class Of>
MR_INLINE void by_rows(const LinearTask& t) {
  tiles(t, [&](int rows, int row, int group, Ahead ahead) {
    switch (rows) {
      case 1: Of<1>::run(t, row, group, ahead); break;
      case 2: Of<2>::run(t, row, group, ahead); break;
      case 3: Of<3>::run(t, row, group, ahead); break;
      case 4: Of<4>::run(t, row, group, ahead); break;
      case 5:
        if constexpr (kMaxRows >= 6) Of<5>::run(t, row, group, ahead);
        break;
      default:
        if constexpr (kMaxRows >= 6) Of<6>::run(t, row, group, ahead);
    }
  });
}

template <int Type>
struct Quant {
  template <int M>
  struct Of {
    static MR_INLINE void run(const LinearTask& t, int row, int group, Ahead ahead) {
      constexpr TypeInfo info = kTypes[Type];
      quant_tile<info.codes, info.scales, info.zero, info.is_signed, M>(t, row, group, ahead);
    }
  };
};

template <int Type>
struct Float {
  template <int M>
  struct Of {
    static MR_INLINE void run(const LinearTask& t, int row, int group, Ahead ahead) { float_tile<Type, M>(t, row, group, ahead); }
  };
};

[[maybe_unused]] void linear(const LinearTask& t) {
  switch (t.w->type) {
    case MR_F32: return by_rows<Float<MR_F32>::Of>(t);
    case MR_F16: return by_rows<Float<MR_F16>::Of>(t);
    case MR_BF16: return by_rows<Float<MR_BF16>::Of>(t);
    case MR_Q4_0: return by_rows<Quant<MR_Q4_0>::Of>(t);
    case MR_Q4_1: return by_rows<Quant<MR_Q4_1>::Of>(t);
    case MR_Q5_0: return by_rows<Quant<MR_Q5_0>::Of>(t);
    case MR_Q5_1: return by_rows<Quant<MR_Q5_1>::Of>(t);
    case MR_Q8_0: return by_rows<Quant<MR_Q8_0>::Of>(t);
    case MR_Q2_K: return by_rows<Quant<MR_Q2_K>::Of>(t);
    case MR_Q3_K: return by_rows<Quant<MR_Q3_K>::Of>(t);
    case MR_Q4_K: return by_rows<Quant<MR_Q4_K>::Of>(t);
    case MR_Q5_K: return by_rows<Quant<MR_Q5_K>::Of>(t);
    case MR_Q6_K: return by_rows<Quant<MR_Q6_K>::Of>(t);
    case MR_IQ4_NL: return by_rows<Quant<MR_IQ4_NL>::Of>(t);
    case MR_IQ4_XS: return by_rows<Quant<MR_IQ4_XS>::Of>(t);
    default: break;
  }
}

}  // namespace
}  // namespace millrace::MR_ISA
