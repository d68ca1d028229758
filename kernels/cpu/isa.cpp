#include "isa.h"

#include <cstdlib>
#include <cstring>

#include "error.h"

namespace millrace {
namespace {

#if defined(__x86_64__)
bool has_avx2() { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c"); }

bool has_avx512() {
  return has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
         __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512vnni");
}
#endif

int best_available() {
  for (int isa = MR_ISA_AVX512; isa > MR_ISA_PORTABLE; isa--) {
    if (isa_available(isa)) return isa;
  }
  return MR_ISA_PORTABLE;
}

}  // namespace

bool isa_available(int isa) {
  switch (isa) {
    case MR_ISA_PORTABLE: return true;
#if defined(__x86_64__)
    case MR_ISA_AVX2: return has_avx2();
    case MR_ISA_AVX512: return has_avx512();
#endif
    default: return false;
  }
}

int isa_best() {
  const char* wanted = std::getenv("MILLRACE_ISA");
  if (wanted && *wanted && std::strcmp(wanted, "auto") != 0) {
    for (int isa = MR_ISA_PORTABLE; isa <= MR_ISA_AVX512; isa++) {
      if (std::strcmp(wanted, isa_name(isa)) != 0) continue;
      if (isa_available(isa)) return isa;
      fail(MR_UNSUPPORTED, "MILLRACE_ISA asks for %s, which this processor has not got; its best is %s", wanted, isa_name(best_available()));
    }
    fail(MR_UNSUPPORTED, "MILLRACE_ISA is '%s'; use auto, portable, avx2 or avx512", wanted);
  }
  return best_available();
}

const char* isa_name(int isa) {
  switch (isa) {
    case MR_ISA_AUTO: return "auto";
    case MR_ISA_PORTABLE: return "portable";
    case MR_ISA_AVX2: return "avx2";
    case MR_ISA_AVX512: return "avx512";
    default: return "?";
  }
}

const Kernels& kernels_of(int isa, bool exact) {
  if (isa == MR_ISA_AUTO) isa = isa_best();
  if (!isa_available(isa)) fail(MR_UNSUPPORTED, "instruction set %d (%s) is not available on this processor", isa, isa_name(isa));
#if defined(__x86_64__)
  if (isa == MR_ISA_AVX512) return !exact && __builtin_cpu_supports("avx512bf16") ? *avx512_bf16_kernels() : *avx512_kernels();
  if (isa == MR_ISA_AVX2) return *avx2_kernels();
#else
  (void)exact;
#endif
  return *portable_kernels();
}

}  // namespace millrace
