// Products of few rows, with two tiles of 16 outputs a warp: they use what it has read of the rows twice.
#include "kernels/tiles.h"

namespace millrace::cuda {

template <class Math, Store kStore, int kTokens>
void multiply_wide(cudaStream_t stream, const ProductArguments& a) {
  multiply_tiles<Math, kStore, kTokens, 2>(stream, a);
}

#define MR_WIDE(Math, store)                                                                    \
  template void multiply_wide<Math, store, 1>(cudaStream_t, const ProductArguments&); \
  template void multiply_wide<Math, store, 2>(cudaStream_t, const ProductArguments&); \
  template void multiply_wide<Math, store, 4>(cudaStream_t, const ProductArguments&); \
  template void multiply_wide<Math, store, 8>(cudaStream_t, const ProductArguments&)

MR_WIDE(Bf16, Store::kBf16);
MR_WIDE(SplitBf16, Store::kF16);
MR_WIDE(Bf16, Store::kCode8);
MR_WIDE(Bf16, Store::kCode4);
MR_WIDE(Bf16, Store::kE4m3);

}  // namespace millrace::cuda
