#define MR_ISA portable
#include "simd_portable.h"

// clang-format off
#include "kernels_impl.h"
// clang-format on

namespace millrace {

const Kernels* portable_kernels() {
  static const Kernels kernels = portable::table("portable");
  return &kernels;
}

}  // namespace millrace
