// How products read their operands. A matrix of weights lies in tiles of 16 rows and steps of 32 columns; within a step each of the 32
// threads of a warp finds its 16 values side by side, 8 of row g and 8 of row g + 8, where g = lane / 4: two of the one and two of the other in turn, which is
// the order of mma.sync's registers. Of a run of 32 columns, thread
// t = lane % 4 has columns 4t to 4t + 3, then 16 + 4t to 16 + 4t + 3. Rows of activations are kept in that order of columns too, so a thread
// reads 16 bytes of bf16 at a time. A product of 16 columns adds up, for thread t, its four values of that half; which column stands
// at which place of mma.sync does not matter as long as both operands agree.
#pragma once
#include "millrace.h"
#include "numbers.h"

namespace millrace::cuda {

inline constexpr int kTileRows = 16;
inline constexpr int kStepColumns = 32;
// Values of a thread in a step.
inline constexpr int kLaneValues = 16;

// Columns that are summed by themselves before they are added to those before: the unit of a product's order.
inline constexpr int kChunkSteps = 8;

MR_HOST_DEVICE inline int rounded_up(int n, int to) { return (n + to - 1) / to * to; }

// Where column c of a run of 32 lies in the order above.
MR_HOST_DEVICE inline int column_place(int c) { return c % 16 / 4 * 8 + c / 16 * 4 + c % 4; }

// Where a thread's value i of its 8 of row g, or (`lower`) of row g + 8, lies among its 16 of a step.
MR_HOST_DEVICE constexpr int lane_index(int lower, int i) { return i / 4 * 8 + i % 4 / 2 * 4 + 2 * lower + i % 2; }

// Index of a value among all of a matrix with `steps` steps.
MR_HOST_DEVICE inline int64_t value_index(int row, int column, int steps) {
  int place = column_place(column % kStepColumns);
  int lane = row % 8 * 4 + place / 8;
  int64_t step = static_cast<int64_t>(row / kTileRows) * steps + column / kStepColumns;
  return (step * kWarp + lane) * kLaneValues + lane_index(row / 8 % 2, place % 8);
}

// C and D of a 16 x 8 tile: values 0 and 1 are of row g, columns 2t and 2t + 1; 2 and 3 of row g + 8.
struct Sum {
  float v[4];
};

// bf16 operands, sums in f32.
struct Bf16 {
  static constexpr int kType = MR_BF16;
  using Value = uint16_t;
  static constexpr int kBytes = 2;
  struct A {
    uint32_t r[4];
  };
  struct B {
    uint32_t r[2];
  };

  MR_HOST_DEVICE static Value narrow(float x) { return float_to_bf16(x); }
  // Four values of row g, then four of row g + 8.
  __device__ static A a(const float* v) {
    return {{pack_bf16(v[0], v[1]), pack_bf16(v[4], v[5]), pack_bf16(v[2], v[3]), pack_bf16(v[6], v[7])}};
  }
  __device__ static B b(const float* v) { return {{pack_bf16(v[0], v[1]), pack_bf16(v[2], v[3])}}; }
  // From registers: what a thread has of a step of weights or of a row, and which half of it.
  __device__ static A a_words(const uint32_t* r, int half) { return {{r[4 * half], r[4 * half + 1], r[4 * half + 2], r[4 * half + 3]}}; }
  __device__ static B b_words(const uint32_t* r, int half) { return {{r[2 * half], r[2 * half + 1]}}; }
  __device__ static B b_raw(const Value* v) { return {{v[0] | static_cast<uint32_t>(v[1]) << 16, v[2] | static_cast<uint32_t>(v[3]) << 16}}; }
  __device__ static void multiply(Sum& c, const A& a, const B& b) {
#if MR_EMULATED
    emulator::product_bf16(c.v, a.r, b.r);
#else
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
        : "+f"(c.v[0]), "+f"(c.v[1]), "+f"(c.v[2]), "+f"(c.v[3])
        : "r"(a.r[0]), "r"(a.r[1]), "r"(a.r[2]), "r"(a.r[3]), "r"(b.r[0]), "r"(b.r[1]));
#endif
  }
};

// f16 operands.
struct F16 {
  static constexpr int kType = MR_F16;
  using Value = uint16_t;
  static constexpr int kBytes = 2;
  using A = Bf16::A;
  using B = Bf16::B;

  MR_HOST_DEVICE static Value narrow(float x) { return float_to_half(x); }
  __device__ static A a(const float* v) {
    return {{pack_f16(v[0], v[1]), pack_f16(v[4], v[5]), pack_f16(v[2], v[3]), pack_f16(v[6], v[7])}};
  }
  __device__ static B b(const float* v) { return {{pack_f16(v[0], v[1]), pack_f16(v[2], v[3])}}; }
  __device__ static B b_words(const uint32_t* r, int half) { return Bf16::b_words(r, half); }
  __device__ static B b_raw(const Value* v) { return Bf16::b_raw(v); }
  __device__ static void multiply(Sum& c, const A& a, const B& b) {
#if MR_EMULATED
    emulator::product_f16(c.v, a.r, b.r);
#else
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
        : "+f"(c.v[0]), "+f"(c.v[1]), "+f"(c.v[2]), "+f"(c.v[3])
        : "r"(a.r[0]), "r"(a.r[1]), "r"(a.r[2]), "r"(a.r[3]), "r"(b.r[0]), "r"(b.r[1]));
#endif
  }
};

// A in two bf16 parts, so that f16 weights lose nothing.
struct SplitBf16 {
  using Value = uint16_t;
  static constexpr int kBytes = 2;
  struct A {
    Bf16::A high, low;
  };
  using B = Bf16::B;

  __device__ static A a(const float* v) {
    A out;
    const int from[4] = {0, 4, 2, 6};
#pragma unroll
    for (int i = 0; i < 4; i++) {
      const float x = v[from[i]], y = v[from[i] + 1];
      const uint32_t high = pack_bf16(x, y);
      out.high.r[i] = high;
      out.low.r[i] = pack_bf16(x - low_bf16(high), y - high_bf16(high));
    }
    return out;
  }
  __device__ static B b_words(const uint32_t* r, int half) { return Bf16::b_words(r, half); }
  __device__ static void multiply(Sum& c, const A& a, const B& b) {
    Bf16::multiply(c, a.low, b);
    Bf16::multiply(c, a.high, b);
  }
};

// float32 operands in two tf32 parts, and of the four products the three that count: as exact as float32 but for the last bits. Tensor cores truncate
// a sum at each product, so those of 16 columns begin from zero, and their sum is added by the ordinary adder, which rounds to nearest.
struct F32 {
  static constexpr int kType = MR_F32;
  using Value = float;
  static constexpr int kBytes = 4;
  struct A {
    float v[8];
  };
  struct B {
    float v[4];
  };

  MR_HOST_DEVICE static Value narrow(float x) { return x; }
  __device__ static A a(const float* v) {
    A out;
#pragma unroll
    for (int i = 0; i < 8; i++) out.v[i] = v[i];
    return out;
  }
  __device__ static B b(const float* v) { return {{v[0], v[1], v[2], v[3]}}; }
  __device__ static B b_raw(const Value* v) { return b(v); }
  __device__ static A a_words(const uint32_t* r, int half) {
    A out;
#pragma unroll
    for (int i = 0; i < 8; i++) out.v[i] = bits_to_float(r[lane_index(i / 4, 4 * half + i % 4)]);
    return out;
  }
  __device__ static B b_words(const uint32_t* r, int half) {
    B out;
#pragma unroll
    for (int i = 0; i < 4; i++) out.v[i] = bits_to_float(r[4 * half + i]);
    return out;
  }
  __device__ static void multiply(Sum& c, const A& a, const B& b) {
    Sum sum{};
    accumulate(sum, a, b);
#pragma unroll
    for (int i = 0; i < 4; i++) c.v[i] += sum.v[i];
  }
  // The same in c itself, whose rounding the products then share: for sums of few columns where registers are short.
  __device__ static void accumulate(Sum& c, const A& a, const B& b) {
#pragma unroll
    for (int half = 0; half < 2; half++) {
      const int i = 2 * half;
      const float rows[4] = {a.v[i], a.v[4 + i], a.v[i + 1], a.v[5 + i]};
      const float columns[2] = {b.v[i], b.v[i + 1]};
      uint32_t high_a[4], low_a[4], high_b[2], low_b[2];
#pragma unroll
      for (int j = 0; j < 4; j++) split(rows[j], high_a[j], low_a[j]);
#pragma unroll
      for (int j = 0; j < 2; j++) split(columns[j], high_b[j], low_b[j]);
      part(c, low_a, high_b);
      part(c, high_a, low_b);
      part(c, high_a, high_b);
    }
  }

 private:
  __device__ static void split(float x, uint32_t& high, uint32_t& low) {
    float upper = round_tf32(x);
    high = float_to_bits(upper);
    low = float_to_bits(round_tf32(x - upper));
  }
  __device__ static void part(Sum& c, const uint32_t* a, const uint32_t* b) {
#if MR_EMULATED
    emulator::product_tf32(c.v, a, b);
#else
    asm volatile("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
        : "+f"(c.v[0]), "+f"(c.v[1]), "+f"(c.v[2]), "+f"(c.v[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#endif
  }
};

}  // namespace millrace::cuda
