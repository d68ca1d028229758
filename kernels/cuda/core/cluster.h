// Blocks of a cluster (sm_90): they run at the same time, meet, and read each other's shared memory. For the emulator a cluster is one block that has the
// threads and the shared memory of all.
#pragma once
#include "cuda_api.h"

namespace millrace::cuda {

// The running block's number in its cluster; blocks have so many threads.
template <int kThreads>
__device__ __forceinline__ int cluster_rank() {
#if MR_EMULATED
  return static_cast<int>(threadIdx.x) / kThreads;
#elif defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  int rank;
  asm("mov.u32 %0, %%cluster_ctarank;" : "=r"(rank));
  return rank;
#else
  return 0;
#endif
}

// Its cluster's number in the grid, along x.
__device__ __forceinline__ int cluster_index([[maybe_unused]] int size) {
#if MR_EMULATED
  return static_cast<int>(blockIdx.x);
#else
  return static_cast<int>(blockIdx.x) / size;
#endif
}

// Its shared memory, of what the launch gave.
__device__ __forceinline__ uint8_t* shared_of_block(uint8_t* memory, [[maybe_unused]] int rank, [[maybe_unused]] int bytes) {
#if MR_EMULATED
  return memory + rank * bytes;
#else
  return memory;
#endif
}

// All threads of the cluster: what they wrote to shared memory before is seen by all after it. None ends before others have read what it has.
__device__ __forceinline__ void meet_cluster() {
#if MR_EMULATED
  __syncthreads();
#elif defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  asm volatile("barrier.cluster.arrive.release;\n\tbarrier.cluster.wait.acquire;" ::: "memory");
#endif
}

// The place in another block's shared memory that `at` is in the running one's.
struct PeerPlace {
#if MR_EMULATED
  const float* place;
#else
  uint32_t place;
#endif

  __device__ __forceinline__ PeerPlace(const float* at, [[maybe_unused]] int own, [[maybe_unused]] int rank, [[maybe_unused]] int bytes) {
#if MR_EMULATED
    place = at + (rank - own) * (bytes / 4);
#elif defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
    asm("mapa.shared::cluster.u32 %0, %1, %2;" : "=r"(place) : "r"(static_cast<uint32_t>(__cvta_generic_to_shared(at))), "r"(rank));
#else
    place = static_cast<uint32_t>(__cvta_generic_to_shared(at));
#endif
  }
  __device__ __forceinline__ float read(int i) const {
#if MR_EMULATED
    return place[i];
#elif defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
    float x;
    asm volatile("ld.shared::cluster.f32 %0, [%1];" : "=f"(x) : "r"(place + 4 * i));
    return x;
#else
    return 0;
#endif
  }
};

}  // namespace millrace::cuda
