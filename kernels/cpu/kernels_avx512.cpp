#define MR_ISA avx512
#include "simd_avx512.h"

// clang-format off
#include "kernels_impl.h"
// clang-format on

namespace millrace {

const Kernels* avx512_kernels() {
  static const Kernels kernels = avx512::table("avx512");
  return &kernels;
}

}  // namespace millrace
