// Rows as products read them.
#pragma once
#include "kernels/ahead.h"
#include "kernels/rows.h"

namespace millrace::cuda {

// Columns that a thread takes at a time.
inline constexpr int kRun = 16;

// A row's columns that a block works on.
struct Columns {
  int from, to;
};

// The columns of a head from c on, zeros beyond the last.
__device__ __forceinline__ void read_run(const PrepareArguments& p, const float* from, int c, float* x) {
  if (!p.order && c + kRun <= p.columns && reinterpret_cast<uintptr_t>(from + c) % sizeof(float4) == 0) {
#pragma unroll
    for (int i = 0; i < kRun; i += 4) {
      const float4 four = *reinterpret_cast<const float4*>(from + c + i);
      x[i] = four.x;
      x[i + 1] = four.y;
      x[i + 2] = four.z;
      x[i + 3] = four.w;
    }
    return;
  }
  int at[kRun];
#pragma unroll
  for (int i = 0; i < kRun; i++) at[i] = p.order && c + i < p.columns ? p.order[c + i] : c + i;
#pragma unroll
  for (int i = 0; i < kRun; i++) x[i] = c + i < p.columns ? from[at[i]] : 0.0f;
}

// A thread has runs of 16 columns: four at a time lie side by side.
template <class Math>
__device__ __forceinline__ void prepare_as(const PrepareArguments& p, int row, const Columns& part) {
  const int runs = p.out.stride / kRun, end = part.to < p.out.stride ? part.to / kRun : p.heads * runs;
  for (int i = part.from / kRun + threadIdx.x; i < end; i += blockDim.x) {
    const int head = i / runs, run = i % runs;
    float x[kRun];
    read_run(p, p.x.data + row * p.x.stride + static_cast<int64_t>(head) * p.columns, run * kRun, x);
    const int64_t place = static_cast<int64_t>(row) * p.heads + head;
    auto* to = static_cast<typename Math::Value*>(p.out.values) + place * p.out.stride + run / 2 * kStepColumns + column_place(run % 2 * kRun);
#pragma unroll
    for (int j = 0; j < kRun; j += 4) {
      if constexpr (Math::kBytes == 4) {
        *reinterpret_cast<float4*>(to + column_place(j)) = {x[j], x[j + 1], x[j + 2], x[j + 3]};
      } else {
        *reinterpret_cast<uint2*>(to + column_place(j)) = {pack_bf16(x[j], x[j + 1]), pack_bf16(x[j + 2], x[j + 3])};
      }
    }
  }
}

__device__ inline void prepare_row(const PrepareArguments& p, int row, const Columns& part) {
  if (p.out.f32) {
    prepare_as<F32>(p, row, part);
  } else {
    prepare_as<Bf16>(p, row, part);
  }
}

// Two columns at a time, which stay side by side. The largest value of a row is at 448; a row with what is no finite number gets NaN as its factor.
__device__ inline void quantise_row(const QuantiseArguments& p, int row, float* most_of_warps) {
  const float* from = p.x.data + row * p.x.stride;
  float most = 0;
  ahead<8>(threadIdx.x, p.columns, blockDim.x, [&](int i) { return fabsf(from[i]); }, [&](int, float size) { most = fmaxf(most, size <= 3.4e38f ? size : infinity()); });
  for (int bits = 16; bits > 0; bits /= 2) most = fmaxf(most, __shfl_xor_sync(kWholeWarp, most, bits));
  if (threadIdx.x % kWarp == 0) most_of_warps[threadIdx.x / kWarp] = most;
  __syncthreads();
  for (unsigned w = 0; w < blockDim.x / kWarp; w++) most = fmaxf(most, most_of_warps[w]);
  const bool finite = most <= 3.4e38f, some = finite && most > 1e-30f;
  const float inverse = some ? 448.0f / most : 0.0f;
  if (threadIdx.x == 0) p.factors[row] = finite ? (some ? most / 448.0f : 0.0f) : bits_to_float(0x7fc00000u);
  uint8_t* to = p.values + static_cast<int64_t>(row) * p.stride;
  auto at = [&](int i) { return some && i < p.columns ? from[i] * inverse : 0.0f; };
  ahead<4>(2 * threadIdx.x, p.stride, 2 * blockDim.x, [&](int i) { return Two{at(i), at(i + 1)}; }, [&](int i, const Two& v) {
    *reinterpret_cast<uint16_t*>(to + i / kStepColumns * kStepColumns + column_place(i % kStepColumns)) = pack_e4m3(v.a, v.b);
  });
}

}  // namespace millrace::cuda
