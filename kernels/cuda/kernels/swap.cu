#include "kernels/swap.h"

namespace millrace::cuda {
namespace {

constexpr int kThreads = 256;

// Block (block of the cache, part of it).
template <bool kPack>
__global__ void __launch_bounds__(kThreads) pack_kernel(const __grid_constant__ PackArguments a) {
  const BlockPart part = a.parts[blockIdx.y];
  auto* cached = reinterpret_cast<uint4*>(part.base + a.blocks[blockIdx.x] * part.block_bytes);
  auto* packed = reinterpret_cast<uint4*>(a.packed + blockIdx.x * a.packed_bytes + part.at);
  const int64_t words = part.block_bytes / static_cast<int64_t>(sizeof(uint4));
  for (int64_t i = threadIdx.x; i < words; i += blockDim.x) {
    if (kPack) {
      packed[i] = cached[i];
    } else {
      cached[i] = packed[i];
    }
  }
}

template <bool kPack>
void launch_pack(cudaStream_t stream, const PackArguments& a) {
  const dim3 grid{static_cast<unsigned>(a.count), static_cast<unsigned>(a.part_count), 1};
  launch(pack_kernel<kPack>, grid, kThreads, 0, stream, a);
}

}  // namespace

cudaError_t look_at_code() {
  cudaFuncAttributes attributes;
  return cudaFuncGetAttributes(&attributes, pack_kernel<true>);
}

void pack_blocks(cudaStream_t stream, const PackArguments& a) { launch_pack<true>(stream, a); }

void unpack_blocks(cudaStream_t stream, const PackArguments& a) { launch_pack<false>(stream, a); }

}  // namespace millrace::cuda
