// Loops of a thread over memory, with loads under way. What comes between a load and its use is what a block alone on its multiprocessor waits for,
// and the compiler moves no load above a store that may be to the same place.
#pragma once
#include "cuda_api.h"

namespace millrace::cuda {

// So many of them at once; kWhole: none is beyond n.
template <int kAhead, bool kWhole, class Load, class Use>
__device__ __forceinline__ void some_ahead(int at, int n, int step, const Load& load, const Use& use) {
  decltype(load(0)) loaded[kAhead] = {};
#pragma unroll
  for (int j = 0; j < kAhead; j++) {
    if (kWhole || at + j * step < n) loaded[j] = load(at + j * step);
  }
#pragma unroll
  for (int j = 0; j < kAhead; j++) {
    if (kWhole || at + j * step < n) use(at + j * step, loaded[j]);
  }
}

// use(i, load(i)) of every step-th i below n from `first` on, kAhead loads at a time before the first is used. So load(i) may not read what use writes
// for another i.
template <int kAhead, class Load, class Use>
__device__ __forceinline__ void ahead(int first, int n, int step, const Load& load, const Use& use) {
  int at = first;
  for (; at + (kAhead - 1) * step < n; at += kAhead * step) some_ahead<kAhead, true>(at, n, step, load, use);
  for (; at < n; at += kAhead / 2 * step) some_ahead<kAhead / 2, false>(at, n, step, load, use);
}

// Two values that are loaded together.
struct Two {
  float a, b;
};

// Brings a piece of memory that no launch writes nearer. It may be asked for before await_launches.
inline constexpr int kPrefetchedBytes = 32;
__device__ __forceinline__ void prefetch(const void* at) {
#if MR_EMULATED
  // So that the address sanitizer sees it.
  [[maybe_unused]] const uint8_t seen = *static_cast<const volatile uint8_t*>(at);
#else
  asm volatile("prefetch.global.L2 [%0];" ::"l"(at));
#endif
}

}  // namespace millrace::cuda
