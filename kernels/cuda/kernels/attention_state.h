// What attention by mma.sync is made of: rows of the cache as products read them, and what is known of query rows while their context is gone through.
#pragma once
#include <type_traits>

#include "core/copies.h"
#include "kernels/attention.h"
#include "millrace.h"

namespace millrace::cuda {

// Rows of the cache as products read them.
template <int kType>
struct Cached {
  using Value = uint16_t;
  __device__ static float widen(Value v) { return kType == MR_F16 ? f16_to_float(v) : bf16_to_float(v); }
};
template <>
struct Cached<MR_F32> {
  using Value = float;
  __device__ static float widen(Value v) { return v; }
};
template <>
struct Cached<MR_INT8> {
  using Value = int8_t;
  __device__ static float widen(Value v) { return static_cast<float>(v); }
};
template <>
struct Cached<MR_FP8> {
  using Value = uint8_t;
};

// Bytes of a row, aligned to their number or to 16; zeros when there is none.
template <int kBytes>
__device__ __forceinline__ void load_bytes(const uint8_t* from, bool there, void* out) {
  using Word = std::conditional_t<kBytes % 16 == 0, uint4, std::conditional_t<kBytes % 8 == 0, uint2, std::conditional_t<kBytes % 4 == 0, uint32_t, uint16_t>>>;
#pragma unroll
  for (int i = 0; i < kBytes / static_cast<int>(sizeof(Word)); i++) {
    const Word word = there ? reinterpret_cast<const Word*>(from)[i] : Word{};
    memcpy(static_cast<uint8_t*>(out) + i * sizeof(Word), &word, sizeof(Word));
  }
}

// Four values of the cache as an operand.
template <class Math, int kType>
__device__ __forceinline__ typename Math::B operand_of(const typename Cached<kType>::Value* v) {
  if constexpr (kType == Math::kType) {
    return Math::b_raw(v);
  } else if constexpr (kType == MR_FP8) {
    float wide[4];
    widen_e4m3(static_cast<uint16_t>(v[0] | v[1] << 8), wide[0], wide[1]);
    widen_e4m3(static_cast<uint16_t>(v[2] | v[3] << 8), wide[2], wide[3]);
    return Math::b(wide);
  } else {
    const float wide[4] = {Cached<kType>::widen(v[0]), Cached<kType>::widen(v[1]), Cached<kType>::widen(v[2]), Cached<kType>::widen(v[3])};
    return Math::b(wide);
  }
}

// A warp's queries as they are multiplied: [key_stride / 32][two parts][lane][upper, lower], of each part the four values of rows g and g + 8 in the order
// of the operand's registers, so that none has to be moved.
template <class Math>
struct Queries {
  static constexpr bool kWide = sizeof(typename Math::Value) == 4;
  // Words of a thread in a part.
  static constexpr int kWords = kWide ? 8 : 4;

  __device__ __forceinline__ static uint32_t* part_of(void* queries, int step, int part, int lane) {
    return static_cast<uint32_t*>(queries) + ((2 * step + part) * kWarp + lane) * kWords;
  }

  // Eight values of row g + 8 * half.
  __device__ __forceinline__ static void store(void* queries, int step, int lane, int half, const float (&x)[8]) {
#pragma unroll
    for (int part = 0; part < 2; part++) {
      uint32_t* to = part_of(queries, step, part, lane);
      if constexpr (kWide) {
#pragma unroll
        for (int i = 0; i < 4; i++) to[4 * half + i] = float_to_bits(x[4 * part + i]);
      } else {
#pragma unroll
        for (int i = 0; i < 2; i++) {
          const float low = x[4 * part + 2 * i], high = x[4 * part + 2 * i + 1];
          to[2 * i + half] = Math::kType == MR_BF16 ? pack_bf16(low, high) : pack_f16(low, high);
        }
      }
    }
  }

  __device__ __forceinline__ static typename Math::A operand(void* queries, int step, int part, int lane) {
    const auto* from = reinterpret_cast<const uint4*>(part_of(queries, step, part, lane));
    const uint4 first = from[0];
    if constexpr (kWide) {
      const uint4 second = from[1];
      return {{bits_to_float(first.x), bits_to_float(first.y), bits_to_float(first.z), bits_to_float(first.w), bits_to_float(second.x), bits_to_float(second.y),
               bits_to_float(second.z), bits_to_float(second.w)}};
    } else {
      return {{first.x, first.y, first.z, first.w}};
    }
  }
};

// A thread's 8 values of a key, as they are in the cache.
template <class Math, int kType>
struct KeyPiece {
  using Value = typename Cached<kType>::Value;
  uint32_t words[8 * sizeof(Value) / 4];

  __device__ __forceinline__ typename Math::B operand(int part) const {
    if constexpr (kType == Math::kType) {
      return Math::b_words(words, part);
    } else {
      Value stored[8];
      memcpy(stored, words, sizeof stored);
      return operand_of<Math, kType>(stored + 4 * part);
    }
  }
};

// Of two rows, g and g + 8: maximum, sum, and values of the chunk or of all chunks so far.
template <int kValueTiles>
struct State {
  // Values side by side that a thread reads of a row at once: one for each of so many tiles of results.
  static constexpr int kSide = kValueTiles < 8 ? kValueTiles : 8;

  float most[2], sum[2];
  Sum values[kValueTiles];

  __device__ __forceinline__ void clear() {
    most[0] = most[1] = -infinity();
    sum[0] = sum[1] = 0;
#pragma unroll
    for (int j = 0; j < kValueTiles; j++) {
#pragma unroll
      for (int i = 0; i < 4; i++) values[j].v[i] = 0;
    }
  }

  // Runs of kSide results of row g + 8 * half, and the column where each begins.
  template <class Body>
  __device__ __forceinline__ void for_runs(int half, int lane, const Body& body) const {
#pragma unroll
    for (int j = 0; j < kValueTiles; j += kSide) {
#pragma unroll
      for (int i = 0; i < 2; i++) {
        float run[kSide];
#pragma unroll
        for (int s = 0; s < kSide; s++) run[s] = values[j + s].v[2 * half + i];
        body(run, 8 * j + (lane % 4 * 2 + i) * kSide);
      }
    }
  }
};

template <int kValueTiles>
__device__ __forceinline__ void merge_into(State<kValueTiles>& all, const State<kValueTiles>& chunk) {
#pragma unroll
  for (int half = 0; half < 2; half++) {
    const Weights w = weigh(all.most[half], chunk.most[half]);
    all.most[half] = w.most;
    all.sum[half] = fmaf(all.sum[half], w.a, chunk.sum[half] * w.b);
#pragma unroll
    for (int j = 0; j < kValueTiles; j++) {
#pragma unroll
      for (int i = 0; i < 2; i++) {
        float& value = all.values[j].v[2 * half + i];
        value = fmaf(value, w.a, chunk.values[j].v[2 * half + i] * w.b);
      }
    }
  }
}

// A run of results that lie side by side, of which `room` are wanted.
template <int kCount>
__device__ __forceinline__ void store_run(float* to, const float* values, int room) {
  if constexpr (kCount % 4 == 0) {
    if (room >= kCount && reinterpret_cast<uintptr_t>(to) % 16 == 0) {
#pragma unroll
      for (int i = 0; i < kCount; i += 4) *reinterpret_cast<float4*>(to + i) = float4{values[i], values[i + 1], values[i + 2], values[i + 3]};
      return;
    }
  }
#pragma unroll
  for (int i = 0; i < kCount; i++) {
    if (i < room) to[i] = values[i];
  }
}

}  // namespace millrace::cuda
