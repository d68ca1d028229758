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

// Launches a kernel on a stream; what went wrong is found at the next check.
template <class... Parameters, class... Arguments>
void launch(void (*kernel)(Parameters...), dim3 grid, dim3 block, size_t shared_bytes, cudaStream_t stream, Arguments... arguments) {
#if MR_EMULATED
  emulator::launch(stream, grid, block, shared_bytes, [=] { kernel(arguments...); });
#else
  kernel<<<grid, block, shared_bytes, stream>>>(arguments...);
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
