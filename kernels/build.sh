#!/usr/bin/env bash
# Builds the native kernels into kernels/build: with CMake where it is, otherwise with the compiler alone. Prints why not on its last line, and
# exits with 3 where there is no compiler for them.
#   kernels/build.sh          the library
#   kernels/build.sh tests    its tests and benchmarks too, and the CUDA kernels under their emulator (with CMake)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

compiler="${CXX:-}"
for name in c++ g++ clang++; do
  [[ -n "$compiler" ]] || compiler="$(command -v "$name" || true)"
done
[[ -n "$compiler" ]] || { echo "no C++ compiler (apt install g++ cmake)"; exit 3; }
echo 'int main() { return [](auto x) consteval { return x; }(0); }' | "$compiler" -std=c++20 -x c++ -fsyntax-only - 2> /dev/null \
  || { echo "$compiler knows no C++20; install g++ 11 or clang 14, or newer"; exit 3; }

case "$(uname -s)" in
  Darwin) library=libmillrace.dylib ;;
  *) library=libmillrace.so ;;
esac
jobs="$(getconf _NPROCESSORS_ONLN 2> /dev/null || echo 2)"

if command -v cmake > /dev/null; then
  generator=()
  command -v ninja > /dev/null && [[ ! -f build/CMakeCache.txt ]] && generator=(-G Ninja)
  CXX="$compiler" cmake -S . -B build "${generator[@]+"${generator[@]}"}" -DCMAKE_BUILD_TYPE=Release
  targets=(millrace)
  [[ "${1:-}" == tests ]] && targets=(millrace kernel_tests kernel_bench millrace_cuda_emulated cuda_kernel_tests cuda_kernel_sizes millrace_recording millrace_recording_partial)
  cmake --build build --parallel "$jobs" --target "${targets[@]}"
else
  flags=(-std=gnu++20 -O2 -fPIC -fvisibility=hidden -ffp-contract=off -fno-math-errno -fno-trapping-math -w -Wno-psabi -Iinclude -Icpu)
  avx512=(-mavx512f -mavx512bw -mavx512dq -mavx512vl -mavx512vnni -mfma -mf16c)
  mkdir -p build/objects
  objects=()
  for source in cpu/*.cpp; do
    extra=()
    case "$(uname -m):$source" in
      x86_64:*kernels_avx512_bf16.cpp) extra=("${avx512[@]}" -mavx512bf16) ;;
      x86_64:*kernels_avx512.cpp) extra=("${avx512[@]}") ;;
      x86_64:*kernels_avx2.cpp) extra=(-mavx2 -mfma -mf16c) ;;
      *:*kernels_avx*) continue ;;
    esac
    object="build/objects/$(basename "$source" .cpp).o"
    "$compiler" "${flags[@]}" "${extra[@]+"${extra[@]}"}" -c "$source" -o "$object"
    objects+=("$object")
  done
  "$compiler" -shared -o "build/$library.new" "${objects[@]}" -pthread -static-libgcc -static-libstdc++
  mv "build/$library.new" "build/$library"
fi
touch "build/$library"
