// CUDA: the toolkit's with its compiler, the emulator's with another.
#pragma once
#if defined(__CUDACC__)
#include <cuda_runtime.h>

#include <cstdint>
#define MR_EMULATED 0
#else
#include "emulator/cuda.h"
#define MR_EMULATED 1
#endif

namespace millrace::cuda {

// Shared memory that a block on the device may have when its kernel asks for it: 227 KiB on sm_90, 163 on sm_80, 99 on sm_86, sm_89 and sm_120.
inline size_t most_shared() {
#if MR_EMULATED
  return emulator::machine().shared_bytes;
#else
  static const size_t most = [] {
    int device = 0, bytes = 0;
    const bool known = cudaGetDevice(&device) == cudaSuccess && cudaDeviceGetAttribute(&bytes, cudaDevAttrMaxSharedMemoryPerBlockOptin, device) == cudaSuccess;
    return known ? static_cast<size_t>(bytes) : size_t{48} << 10;
  }();
  return most;
#endif
}

// Whether its blocks make clusters.
inline bool has_clusters() {
#if MR_EMULATED
  return emulator::machine().major >= 9;
#else
  static const bool has = [] {
    int device = 0, can = 0;
    return cudaGetDevice(&device) == cudaSuccess && cudaDeviceGetAttribute(&can, cudaDevAttrClusterLaunch, device) == cudaSuccess && can != 0;
  }();
  return has;
#endif
}

// Launches a kernel on a stream; what went wrong is found at the next check.
template <class... Parameters, class... Arguments>
void launch(void (*kernel)(Parameters...), dim3 grid, dim3 block, size_t shared_bytes, cudaStream_t stream, Arguments... arguments) {
#if MR_EMULATED
  emulator::launch(stream, reinterpret_cast<const void*>(kernel), grid, block, shared_bytes, [=] { kernel(arguments...); });
#else
  kernel<<<grid, block, shared_bytes, stream>>>(arguments...);
#endif
}

// In clusters of so many blocks, more than one only on chips that have them (core/cluster.h); the grid is of clusters along x. And early, as follows.
template <class... Parameters, class... Arguments>
void launch_clusters(void (*kernel)(Parameters...), int cluster, dim3 grid, dim3 block, size_t shared_bytes, cudaStream_t stream, Arguments... arguments) {
#if MR_EMULATED
  emulator::launch(stream, reinterpret_cast<const void*>(kernel), grid, block, shared_bytes, [=] { kernel(arguments...); }, true, cluster);
#else
  grid.x *= static_cast<unsigned>(cluster);
  static const bool can = [] {
    int device = 0, major = 0;
    return cudaGetDevice(&device) == cudaSuccess && cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device) == cudaSuccess && major >= 9;
  }();
  if (!can) return launch(kernel, grid, block, shared_bytes, stream, arguments...);
  cudaLaunchAttribute attributes[2]{};
  attributes[0].id = cudaLaunchAttributeProgrammaticStreamSerialization;
  attributes[0].val.programmaticStreamSerializationAllowed = 1;
  attributes[1].id = cudaLaunchAttributeClusterDimension;
  attributes[1].val.clusterDim = {static_cast<unsigned>(cluster), 1, 1};
  cudaLaunchConfig_t config{};
  config.gridDim = grid;
  config.blockDim = block;
  config.dynamicSmemBytes = shared_bytes;
  config.stream = stream;
  config.attrs = attributes;
  config.numAttrs = cluster > 1 ? 2 : 1;
  cudaLaunchKernelEx(&config, kernel, arguments...);
#endif
}

// The same, but the kernel may begin while the launch before it still runs: it waits (await_launches) before it touches what others use.
// Chips before sm_90 cannot, and begin it afterwards.
template <class... Parameters, class... Arguments>
void launch_early(void (*kernel)(Parameters...), dim3 grid, dim3 block, size_t shared_bytes, cudaStream_t stream, Arguments... arguments) {
  launch_clusters(kernel, 1, grid, block, shared_bytes, stream, arguments...);
}

// In a kernel that is launched early: waits until all launches before it have ended and what they wrote is seen. Every thread calls it, before any
// returns, so that whoever waits for this launch has waited for those too.
__device__ __forceinline__ void await_launches() {
#if MR_EMULATED
  emulator::await_launches();
#elif defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
}

// The launch after this one may begin, as soon as all blocks have said so.
__device__ __forceinline__ void allow_next_launch() {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.launch_dependents;");
#endif
}

inline constexpr unsigned kWholeWarp = 0xffffffffu;
inline constexpr int kWarp = 32;

}  // namespace millrace::cuda

// The block's shared memory, of the size that the launch says.
#if MR_EMULATED
#define MR_SHARED_MEMORY(type, name) type* name = reinterpret_cast<type*>(::millrace::emulator::shared_memory())
#else
#define MR_SHARED_MEMORY(type, name)               \
  extern __shared__ uint4 millrace_shared_memory[]; \
  type* name = reinterpret_cast<type*>(millrace_shared_memory)
#endif
