// Matrix products of a warp, in the register layouts that the PTX manual gives for mma.sync. A result is rounded once, or cut as the hardware does it
// (Machine::truncates) as far as that is known: it sums in an order and a width of its own, so its last bits may differ.
#include <algorithm>
#include <cmath>
#include <type_traits>

#include "cuda.h"
#include "scalar.h"

namespace millrace::emulator {
namespace {

// Rows of A, columns of B.
constexpr int kRows = 16, kColumns = 8;

// Of one product after the other.
double unsteadiness() {
  thread_local int products = 0;
  return products++ % 2 ? 1 + 1e-6 : 1;
}

// Bits that addends keep behind those of float32, which have been found on Hopper; on Ampere one less, which is as far off.
constexpr int kBitsBehind = 2;

// x, cut below 2^last.
double cut(double x, int last) { return std::ldexp(std::trunc(std::ldexp(x, -last)), last); }

// The float32 that is no further from zero.
float cut_to_float(double x) {
  const auto f = static_cast<float>(x);
  return std::fabs(static_cast<double>(f)) > std::fabs(x) ? std::nextafterf(f, 0.0f) : f;
}

// c and products of a row and a column, as many at once as the chip adds.
template <int kDepth, class Column>
float cut_sum(const double* row, const Column& column, float c, int at_once) {
  for (int first = 0; first < kDepth; first += at_once) {
    double all = c;
    for (int k = first; k < first + at_once; k++) all += row[k] * column(k);
    // What is no number has no exponent.
    if (std::isfinite(all)) {
      constexpr int kNone = -10000;
      int most = c == 0 ? kNone : std::ilogb(c);
      for (int k = first; k < first + at_once; k++) {
        const double b = column(k);
        if (row[k] != 0 && b != 0) most = std::max(most, std::ilogb(row[k]) + std::ilogb(b));
      }
      if (most > kNone) {
        const int last = most - 23 - kBitsBehind;
        all = cut(c, last);
        for (int k = first; k < first + at_once; k++) all += cut(row[k] * column(k), last);
      }
    }
    c = cut_to_float(all);
  }
  return c;
}

// The tile of all threads' registers, with what is stored in `depth` columns; `a_value(lane, row half, k)` and `b_value(lane, k)` read one value.
template <class Sum, int kDepth, class C, int kA, int kB, class A, class B>
void multiply(const ProductIn<C, kA, kB>* in, ProductOut<C>* out, const A& a_values, const B& b_values) {
  Sum a[kRows][kDepth], b[kDepth][kColumns];
  const int swap = machine().swapped_columns;
  const double off = machine().unsteady ? unsteadiness() : 1;
  for (int lane = 0; lane < kWarpThreads; lane++) {
    a_values(in[lane].a, lane, a);
    b_values(in[lane].b, lane, b);
  }
  // Before Hopper half of them at a time.
  const int at_once = machine().major >= 9 ? kDepth : kDepth / 2;
  for (int row = 0; row < kRows; row++) {
    if constexpr (std::is_same_v<Sum, double>) {
      for (int n = 0; n < kColumns && machine().truncates; n++) {
        const int lane = row % 8 * 4 + n / 2, at = row / 8 * 2 + (n ^ swap) % 2;
        out[lane].d[at] = cut_sum<kDepth>(a[row], [&](int k) { return b[k][n]; }, in[lane].c[at], at_once);
      }
      if (machine().truncates) continue;
    }
    Sum sums[kColumns] = {};
    for (int k = 0; k < kDepth; k++) {
      for (int n = 0; n < kColumns; n++) sums[n] += a[row][k] * b[k][n];
    }
    for (int n = 0; n < kColumns; n++) {
      int lane = row % 8 * 4 + n / 2;
      int at = row / 8 * 2 + (n ^ swap) % 2;
      out[lane].d[at] = static_cast<C>(static_cast<Sum>(static_cast<double>(sums[n]) * off) + static_cast<Sum>(in[lane].c[at]));
    }
  }
}

// Two values of 16 bits in a register, k 2t and 2t + 1; registers alternate between rows g and g + 8, then 8 columns further.
template <float (*widen)(uint16_t)>
void product_of_halves(float* d, const uint32_t* a, const uint32_t* b, int operation) {
  using In = ProductIn<float, 4, 2>;
  using Out = ProductOut<float>;
  In in;
  std::memcpy(in.c, d, sizeof in.c);
  std::memcpy(in.a, a, sizeof in.a);
  std::memcpy(in.b, b, sizeof in.b);
  Out result = warp_operation<Out>(operation, in, [](const In* ins, Out* outs) {
    multiply<double, 16>(
        ins, outs,
        [](const uint32_t* r, int lane, double (*to)[16]) {
          for (int i = 0; i < 8; i++) {
            to[lane / 4 + i / 2 % 2 * 8][lane % 4 * 2 + i % 2 + i / 4 * 8] = widen(static_cast<uint16_t>(r[i / 2] >> i % 2 * 16));
          }
        },
        [](const uint32_t* r, int lane, double (*to)[8]) {
          for (int i = 0; i < 4; i++) to[lane % 4 * 2 + i % 2 + i / 2 * 8][lane / 4] = widen(static_cast<uint16_t>(r[i / 2] >> i % 2 * 16));
        });
  });
  std::memcpy(d, result.d, sizeof result.d);
}

}  // namespace

void product_bf16(float* d, const uint32_t* a, const uint32_t* b) { product_of_halves<bf16_to_float>(d, a, b, kProductBf16); }

void product_f16(float* d, const uint32_t* a, const uint32_t* b) { product_of_halves<half_to_float>(d, a, b, kProductF16); }

void product_tf32(float* d, const uint32_t* a, const uint32_t* b) {
  using In = ProductIn<float, 4, 2>;
  using Out = ProductOut<float>;
  In in;
  std::memcpy(in.c, d, sizeof in.c);
  std::memcpy(in.a, a, sizeof in.a);
  std::memcpy(in.b, b, sizeof in.b);
  // The hardware ignores the 13 bits that tf32 has not got.
  auto value = [](uint32_t bits) { return static_cast<double>(bits_to_float(bits & ~0x1fffu)); };
  Out result = warp_operation<Out>(kProductTf32, in, [&](const In* ins, Out* outs) {
    multiply<double, 8>(
        ins, outs,
        [&](const uint32_t* r, int lane, double (*to)[8]) {
          for (int i = 0; i < 4; i++) to[lane / 4 + i % 2 * 8][lane % 4 + i / 2 * 4] = value(r[i]);
        },
        [&](const uint32_t* r, int lane, double (*to)[8]) {
          for (int i = 0; i < 2; i++) to[lane % 4 + i * 4][lane / 4] = value(r[i]);
        });
  });
  std::memcpy(d, result.d, sizeof result.d);
}

void product_int8(int32_t* d, const uint32_t* a, const uint32_t* b) {
  using In = ProductIn<int32_t, 4, 2>;
  using Out = ProductOut<int32_t>;
  In in;
  std::memcpy(in.c, d, sizeof in.c);
  std::memcpy(in.a, a, sizeof in.a);
  std::memcpy(in.b, b, sizeof in.b);
  auto value = [](uint32_t word, int byte) { return static_cast<int32_t>(static_cast<int8_t>(word >> byte * 8)); };
  Out result = warp_operation<Out>(kProductInt8, in, [&](const In* ins, Out* outs) {
    multiply<int32_t, 32>(
        ins, outs,
        [&](const uint32_t* r, int lane, int32_t (*to)[32]) {
          for (int i = 0; i < 16; i++) to[lane / 4 + i / 4 % 2 * 8][lane % 4 * 4 + i % 4 + i / 8 * 16] = value(r[i / 4], i % 4);
        },
        [&](const uint32_t* r, int lane, int32_t (*to)[8]) {
          for (int i = 0; i < 8; i++) to[lane % 4 * 4 + i % 4 + i / 4 * 16][lane / 4] = value(r[i / 4], i % 4);
        });
  });
  std::memcpy(d, result.d, sizeof result.d);
}

}  // namespace millrace::emulator
