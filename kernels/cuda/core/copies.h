// Copies from the device's memory to shared memory that a thread does not wait for (cp.async). A thread closes a group of copies, and waits until
// no more than so many groups are under way; other threads see what was copied after a barrier as well.
#pragma once
#include "cuda_api.h"
#if MR_EMULATED
#include "emulator/warpgroup.h"
#endif

namespace millrace::cuda {

// An address of shared memory, to which bytes are added.
#if MR_EMULATED
using CopyPlace = uint8_t*;
#else
using CopyPlace = uint32_t;
#endif
__device__ __forceinline__ CopyPlace copy_place(void* at) {
#if MR_EMULATED
  return static_cast<uint8_t*>(at);
#else
  return static_cast<uint32_t>(__cvta_generic_to_shared(at));
#endif
}

// An address stays in registers as it is: otherwise each of several copies behind conditions of their own computes it from its parts again.
template <class Address>
__device__ __forceinline__ Address kept(Address at) {
#if !MR_EMULATED
  if constexpr (sizeof at == 4) {
    asm("" : "+r"(at));
  } else {
    asm("" : "+l"(at));
  }
#endif
  return at;
}

// kBytes are 4, 8 or 16, and both places aligned to them. Where there is nothing to copy it becomes zeros.
template <int kBytes>
__device__ __forceinline__ void copy_async_to(CopyPlace to, const void* from, bool there = true) {
  static_assert(kBytes == 4 || kBytes == 8 || kBytes == 16);
#if MR_EMULATED
  emulator::copy_async(to, from, kBytes, there);
#else
  const int bytes = there ? kBytes : 0;
  if constexpr (kBytes == 16) {
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(to), "l"(from), "r"(bytes) : "memory");
  } else {
    asm volatile("cp.async.ca.shared.global [%0], [%1], %2, %3;" ::"r"(to), "l"(from), "n"(kBytes), "r"(bytes) : "memory");
  }
#endif
}
template <int kBytes>
__device__ __forceinline__ void copy_async(void* to, const void* from, bool there = true) {
  copy_async_to<kBytes>(copy_place(to), from, there);
}

__device__ __forceinline__ void close_copies() {
#if MR_EMULATED
  emulator::close_copies();
#else
  asm volatile("cp.async.commit_group;" ::: "memory");
#endif
}

template <int kGroups>
__device__ __forceinline__ void wait_for_copies() {
#if MR_EMULATED
  emulator::wait_for_copies(kGroups);
#else
  asm volatile("cp.async.wait_group %0;" ::"n"(kGroups) : "memory");
#endif
}

// A barrier, 1 to 15, of so many threads of the block: whole warps.
__device__ __forceinline__ void meet(int barrier, int threads) {
#if MR_EMULATED
  emulator::warpgroups().barrier(barrier, threads, true);
#else
  asm volatile("bar.sync %0, %1;" ::"r"(barrier), "r"(threads) : "memory");
#endif
}

// Bytes that each thread of a warp has side by side, in pieces that are copied at once. In shared memory a piece of all threads lies together, so
// that they read it without conflicts.
template <int kBytes>
struct Pieces {
  static constexpr int kPiece = kBytes < 16 ? kBytes : 16;
  static constexpr int kCount = kBytes / kPiece;
  static constexpr int kWarpBytes = kBytes * kWarp;

  // To a warp's place, of which the thread's own is thread_place.
  __device__ __forceinline__ static void copy(uint8_t* to, const uint8_t* from, int lane, bool there = true) { copy_to(thread_place(copy_place(to), lane), from, there); }
  __device__ __forceinline__ static CopyPlace thread_place(CopyPlace to, int lane) { return to + lane * kPiece; }
  __device__ __forceinline__ static void copy_to(CopyPlace to, const uint8_t* from, bool there = true) {
#pragma unroll
    for (int i = 0; i < kCount; i++) copy_async_to<kPiece>(to + i * kWarp * kPiece, from + i * kPiece, there);
  }
  __device__ __forceinline__ static void read(const uint8_t* from, int lane, uint32_t* words) {
#pragma unroll
    for (int i = 0; i < kCount; i++) {
      const uint8_t* at = from + (i * kWarp + lane) * kPiece;
      if constexpr (kPiece == 16) {
        const uint4 four = *reinterpret_cast<const uint4*>(at);
        words[4 * i] = four.x;
        words[4 * i + 1] = four.y;
        words[4 * i + 2] = four.z;
        words[4 * i + 3] = four.w;
      } else if constexpr (kPiece == 8) {
        const uint2 two = *reinterpret_cast<const uint2*>(at);
        words[0] = two.x;
        words[1] = two.y;
      } else {
        words[0] = *reinterpret_cast<const uint32_t*>(at);
      }
    }
  }
};

// Shared memory that a kernel is launched with; beyond 48 KiB it has to ask. It asks for all that there is, as each call replaces what was asked for before,
// and a launch of another thread or of a graph may want more.
template <class... Parameters>
void allow_shared(void (*kernel)(Parameters...), size_t bytes) {
  const size_t most = bytes > most_shared() ? bytes : most_shared();
  if (bytes > 48u << 10) cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(most));
}

// Blocks of a kernel that a multiprocessor has room for, by registers and shared memory; 1 where nobody says.
template <class... Parameters>
int blocks_at_once(void (*kernel)(Parameters...), int threads, size_t shared_bytes) {
  int blocks = 0;
  if (cudaOccupancyMaxActiveBlocksPerMultiprocessor(&blocks, kernel, threads, shared_bytes) != cudaSuccess) cudaGetLastError();
  return blocks > 0 ? blocks : 1;
}

}  // namespace millrace::cuda
