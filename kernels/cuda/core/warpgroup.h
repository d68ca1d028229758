// Warpgroups of sm_90: four warps that multiply together. Products (wgmma) run beside their threads and read shared memory by matrix descriptors;
// barriers in shared memory and named barriers let some warps copy for others. Names of PTX instructions stand beside what means them.
#pragma once
#include "fragments.h"
#if MR_EMULATED
#include "emulator/warpgroup.h"
#endif

// Whether the compiler makes code that has them.
#if MR_EMULATED || defined(__CUDA_ARCH_FEAT_SM90_ALL)
#define MR_WARPGROUPS 1
#else
#define MR_WARPGROUPS 0
#endif

namespace millrace::cuda {

inline constexpr int kWarpgroup = 128;
// Bytes of a row of the swizzled pattern, and of the pattern of eight rows, which begins at a multiple of its size. In a row r its 16-byte pieces
// stand at places p ^ r % 8.
inline constexpr int kSwizzleRow = 128;
inline constexpr int kSwizzleBytes = 8 * kSwizzleRow;

__device__ __forceinline__ uint32_t shared_place(const void* at) {
#if MR_EMULATED
  return emulator::shared_address(at);
#else
  return static_cast<uint32_t>(__cvta_generic_to_shared(at));
#endif
}

// Of a matrix of 16-bit values in patterns of 128-byte rows. `stride`: bytes from a pattern to the next eight rows; `leading`: where values side by
// side go across the product's depth (transposed), bytes to the next 64 of them.
__device__ __forceinline__ uint64_t describe(uint32_t place, uint32_t stride, uint32_t leading = 16) {
  constexpr uint64_t kSwizzle128 = uint64_t{1} << 62;
  return (place & 0x3ffff) >> 4 | static_cast<uint64_t>(leading >> 4) << 16 | static_cast<uint64_t>(stride >> 4) << 32 | kSwizzle128;
}

// 16 bytes into shared memory.
__device__ __forceinline__ void store_shared(void* to, uint4 value) {
  *static_cast<uint4*>(to) = value;
#if MR_EMULATED
  emulator::warpgroups().written(to, sizeof value);
#endif
}

#if MR_EMULATED

// What the thread wrote to shared memory is seen by products that begin after others have learnt of it (fence.proxy.async).
inline void fence_shared() { emulator::warpgroups().fence_shared(); }
inline void init_gate(uint64_t* gate, int count) { emulator::warpgroups().init_gate(gate, count); }
inline void fence_gates() {}
inline void arrive(uint64_t* gate) { emulator::warpgroups().arrive(gate); }
inline void wait_for(uint64_t* gate, int parity) { emulator::warpgroups().wait_for_gate(gate, parity); }
inline bool passed(uint64_t* gate, int parity) { return emulator::warpgroups().passed(gate, parity); }
template <int kThreads>
void meet(int barrier) {
  emulator::warpgroups().barrier(barrier, kThreads, true);
}
template <int kThreads>
void announce(int barrier) {
  emulator::warpgroups().barrier(barrier, kThreads, false);
}
inline void fence_products() { emulator::warpgroups().fence_products(); }
inline void commit_products() { emulator::warpgroups().commit_products(); }
template <int kGroups>
void wait_for_products() {
  emulator::warpgroups().wait_for_products(kGroups);
}
template <int kRegisters>
void give_registers() {}
template <int kRegisters>
void take_registers() {}

#elif MR_WARPGROUPS

__device__ __forceinline__ void fence_shared() { asm volatile("fence.proxy.async.shared::cta;" ::: "memory"); }

// A barrier in shared memory (mbarrier) that `count` arrivals complete, after which it counts anew; phases have parities 0, 1, 0 and so on.
__device__ __forceinline__ void init_gate(uint64_t* gate, int count) {
  asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(shared_place(gate)), "r"(count) : "memory");
}
__device__ __forceinline__ void fence_gates() { asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory"); }
__device__ __forceinline__ void arrive(uint64_t* gate) {
  asm volatile("{.reg .b64 state; mbarrier.arrive.shared::cta.b64 state, [%0];}" ::"r"(shared_place(gate)) : "memory");
}
// Whether the phase of that parity has ended; the one before the first has.
__device__ __forceinline__ bool passed(uint64_t* gate, int parity) {
  uint32_t ended = 0;
  asm volatile("{.reg .pred p; mbarrier.test_wait.parity.shared::cta.b64 p, [%1], %2; selp.u32 %0, 1, 0, p;}"
      : "=r"(ended)
      : "r"(shared_place(gate)), "r"(parity)
      : "memory");
  return ended != 0;
}
// Waits for that; the instruction suspends the thread for a while.
__device__ __forceinline__ void wait_for(uint64_t* gate, int parity) {
  uint32_t ended = 0;
  while (ended == 0) {
    asm volatile("{.reg .pred p; mbarrier.try_wait.parity.shared::cta.b64 p, [%1], %2; selp.u32 %0, 1, 0, p;}"
        : "=r"(ended)
        : "r"(shared_place(gate)), "r"(parity)
        : "memory");
  }
}

// Named barriers, 1 to 15: of kThreads threads, which wait for the others (bar.sync) or only say that they were there (bar.arrive).
template <int kThreads>
__device__ __forceinline__ void meet(int barrier) {
  asm volatile("bar.sync %0, %1;" ::"r"(barrier), "n"(kThreads) : "memory");
}
template <int kThreads>
__device__ __forceinline__ void announce(int barrier) {
  asm volatile("bar.arrive %0, %1;" ::"r"(barrier), "n"(kThreads) : "memory");
}

// Before products, when threads have touched what they read or write of registers; groups of products, and waiting until no more than so many are
// under way.
__device__ __forceinline__ void fence_products() { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }
__device__ __forceinline__ void commit_products() { asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory"); }
template <int kGroups>
__device__ __forceinline__ void wait_for_products() {
  asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(kGroups) : "memory");
}

// A warpgroup's registers a thread, fewer or more than the kernel began with (setmaxnreg).
template <int kRegisters>
__device__ __forceinline__ void give_registers() {
  asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(kRegisters));
}
template <int kRegisters>
__device__ __forceinline__ void take_registers() {
  asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(kRegisters));
}

#endif

#if MR_WARPGROUPS

// Registers that products have written are read only after this.
template <int kCount>
__device__ __forceinline__ void hold([[maybe_unused]] float (&d)[kCount]) {
#if !MR_EMULATED
#pragma unroll
  for (int i = 0; i < kCount; i++) asm volatile("" : "+f"(d[i])::"memory");
#endif
}

#define MR_FOUR(d, i) "+f"(d[i]), "+f"(d[i + 1]), "+f"(d[i + 2]), "+f"(d[i + 3])
#define MR_SIXTEEN(d, i) MR_FOUR(d, i), MR_FOUR(d, i + 4), MR_FOUR(d, i + 8), MR_FOUR(d, i + 12)
#define MR_32(d) MR_SIXTEEN(d, 0), MR_SIXTEEN(d, 16)
#define MR_64(d) MR_32(d), MR_SIXTEEN(d, 32), MR_SIXTEEN(d, 48)

#define MR_SUMS_32 \
  "{%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, %16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, " \
  "%27, %28, %29, %30, %31}"
#define MR_SUMS_64 \
  "{%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, %16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, " \
  "%27, %28, %29, %30, %31, %32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, %48, %49, %50, %51, %52, " \
  "%53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63}"

// d (64 x 128, float32) += a (64 x 16) times b (16 x 128), both in shared memory, values side by side along the depth; d = when not `add`. A thread's
// values of d: rows g and g + 8 of its warp's 16 as in fragments.h, columns 8j + 2t and the next, for j from 0 on: the sums of mma.sync, tile by tile.
template <class Math>
__device__ __forceinline__ void multiply_shared(float (&d)[64], uint64_t a, uint64_t b, int add) {
#if MR_EMULATED
  emulator::warpgroups().multiply(d, {128, Math::kType == MR_BF16, add != 0, nullptr, a, b, false});
#else
#define MR_PRODUCT(type)                                                                                                     \
  asm volatile("{.reg .pred p; setp.ne.b32 p, %66, 0; wgmma.mma_async.sync.aligned.m64n128k16.f32." type "." type " " MR_SUMS_64 \
               ", %64, %65, p, 1, 1, 0, 0;}"                                                                                 \
               : MR_64(d)                                                                                                    \
               : "l"(a), "l"(b), "r"(add))
  if constexpr (Math::kType == MR_BF16) {
    MR_PRODUCT("bf16");
  } else {
    MR_PRODUCT("f16");
  }
#undef MR_PRODUCT
#endif
}

// The same with a in registers, as mma.sync has it, and b's values side by side across the depth; of 64 or 128 columns.
template <class Math, int kSums>
__device__ __forceinline__ void multiply_registers(float (&d)[kSums], const uint32_t (&a)[4], uint64_t b, int add) {
#if MR_EMULATED
  emulator::warpgroups().multiply(d, {2 * kSums, Math::kType == MR_BF16, add != 0, a, 0, b, true});
#else
#define MR_PRODUCT(n, type, sums, a0, a1, a2, a3, b0, add0, places)                                                     \
  asm volatile("{.reg .pred p; setp.ne.b32 p, " add0 ", 0; wgmma.mma_async.sync.aligned.m64n" n "k16.f32." type "." type " " sums \
               ", {" a0 ", " a1 ", " a2 ", " a3 "}, " b0 ", p, 1, 1, 1;}"                                             \
               : places                                                                                               \
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "r"(add))
#define MR_PRODUCTS(type)                                                                               \
  if constexpr (kSums == 64) {                                                                          \
    MR_PRODUCT("128", type, MR_SUMS_64, "%64", "%65", "%66", "%67", "%68", "%69", MR_64(d)); \
  } else {                                                                                              \
    MR_PRODUCT("64", type, MR_SUMS_32, "%32", "%33", "%34", "%35", "%36", "%37", MR_32(d));  \
  }
  static_assert(kSums == 32 || kSums == 64);
  if constexpr (Math::kType == MR_BF16) {
    MR_PRODUCTS("bf16")
  } else {
    MR_PRODUCTS("f16")
  }
#undef MR_PRODUCTS
#undef MR_PRODUCT
#endif
}

#undef MR_SUMS_32
#undef MR_SUMS_64
#undef MR_32
#undef MR_64
#undef MR_SIXTEEN
#undef MR_FOUR

#endif

}  // namespace millrace::cuda
