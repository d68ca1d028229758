#define MR_ISA avx2
#include "simd_avx2.h"

// clang-format off
#include "kernels_impl.h"
// clang-format on

namespace millrace {

const Kernels* avx2_kernels() {
  static const Kernels kernels = avx2::table("avx2");
  return &kernels;
}

}  // namespace millrace
