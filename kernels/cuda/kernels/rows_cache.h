// Keys and values of a token, as the cache keeps them.
#pragma once
#include "kernels/ahead.h"
#include "kernels/rows.h"

namespace millrace::cuda {

// The `n` values of a row: those of `a` up to number `first`, then those of `b`.
struct Joined {
  const float* a;
  const float* b;
  int first, n;

  __device__ float operator[](int i) const { return *(i < first ? a + i : b + (i - first)); }
};

// Loads of a lane that are under way.
inline constexpr int kPutAhead = 4;

// In a type of 8 bits, with a factor; a row with what is no finite number gets NaN as its factor.
__device__ __forceinline__ void put_scaled(bool fp8, uint8_t* to, float* scale, const Joined& x, int lane) {
  float most = 0;
  bool finite = true;
  ahead<kPutAhead>(lane, x.n, kWarp, [&](int i) { return x[i]; }, [&](int, float value) {
    finite = finite && fabsf(value) <= 3.4e38f;
    most = fmaxf(most, fabsf(value));
  });
  finite = !__any_sync(kWholeWarp, !finite);
  for (int bits = 16; bits > 0; bits /= 2) most = fmaxf(most, __shfl_xor_sync(kWholeWarp, most, bits));
  const bool some = finite && most > 1e-30f;
  const float largest = fp8 ? 448.0f : 127.0f;
  const float inverse = some ? largest / most : 0.0f;
  if (lane == 0) *scale = finite ? (some ? most / largest : 0.0f) : bits_to_float(0x7fc00000u);
  if (fp8) {
    ahead<kPutAhead>(2 * lane, x.n, 2 * kWarp, [&](int i) { return Two{x[i], i + 1 < x.n ? x[i + 1] : 0.0f}; }, [&](int i, const Two& v) {
      const uint16_t both = finite ? pack_e4m3(v.a * inverse, v.b * inverse) : uint16_t{0};
      to[i] = static_cast<uint8_t>(both);
      if (i + 1 < x.n) to[i + 1] = static_cast<uint8_t>(both >> 8);
    });
    return;
  }
  ahead<kPutAhead>(lane, x.n, kWarp, [&](int i) { return x[i]; }, [&](int i, float value) {
    reinterpret_cast<int8_t*>(to)[i] = finite ? static_cast<int8_t>(rintf(value * inverse)) : int8_t{0};
  });
}

// One head's key or value of a token, by a warp.
__device__ __forceinline__ void put(int type, uint8_t* base, float* scales, int64_t token, int stride, const Joined& x) {
  const int lane = threadIdx.x % kWarp;
  const int64_t at = token * stride;
  auto each = [&](auto* to, const auto& narrow) {
    ahead<kPutAhead>(lane, x.n, kWarp, [&](int i) { return x[i]; }, [&](int i, float value) { to[at + i] = narrow(value); });
  };
  switch (type) {
    case MR_F32: return each(reinterpret_cast<float*>(base), [](float value) { return value; });
    case MR_F16: return each(reinterpret_cast<uint16_t*>(base), [](float value) { return float_to_half(value); });
    case MR_BF16: return each(reinterpret_cast<uint16_t*>(base), [](float value) { return float_to_bf16(value); });
    default: return put_scaled(type == MR_FP8, base + at, scales + token, x, lane);
  }
}

// The block's warps take the heads in turn, keys first.
__device__ inline void write_cache(const KvArguments& p, int row) {
  const CacheView& c = p.cache;
  const int slot = p.slots[row], sides = c.turned_dim > 0 ? 1 : 2;
  for (int i = threadIdx.x / kWarp; i < sides * c.heads; i += blockDim.x / kWarp) {
    const int head = i / sides;
    const int64_t token = (static_cast<int64_t>(slot / c.block_tokens) * c.heads + head) * c.block_tokens + slot % c.block_tokens;
    const float* key = p.k.data + row * p.k.stride + head * c.key_dim;
    const float* value = p.v.data + row * p.v.stride + head * c.value_dim;
    if (i % sides == 0) {
      put(c.type, c.keys, c.key_scales, token, c.key_stride, {key, value, c.key_dim - c.turned_dim, c.key_dim});
    } else {
      put(c.type, c.values, c.value_scales, token, c.value_stride, {value, nullptr, c.value_dim, c.value_dim});
    }
  }
}

}  // namespace millrace::cuda
