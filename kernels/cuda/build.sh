#!/usr/bin/env bash
# Builds kernels/build/libmillrace_cuda.so for sm_80 and sm_90a, with PTX for later chips. It needs CUDA 13 and a C++ compiler, no GPU and no driver:
# the runtime is linked statically and finds the driver when it is used. Prints why not on its last line, and
# exits with 3 where there is no nvcc.
#   kernels/cuda/build.sh            with the nvcc of PATH, CUDA_HOME or get-nvcc.sh
#   kernels/cuda/build.sh report     writes what ptxas says of each kernel to kernels/build/cuda/ptxas.txt too
#   kernels/cuda/build.sh programs   builds the tests and benchmarks that kernels/gpu-check runs too, into kernels/build/gpu
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

find_nvcc() {
  local candidate
  for candidate in "$(command -v nvcc || true)" "${CUDA_HOME:+$CUDA_HOME/bin/nvcc}" /usr/local/cuda/bin/nvcc build/nvcc/lib/python3*/site-packages/nvidia/cu13/bin/nvcc; do
    if [[ -x "$candidate" ]]; then
      realpath "$candidate"
      return
    fi
  done
}

nvcc="$(find_nvcc)"
[[ -n "$nvcc" ]] || { echo "no nvcc in PATH or CUDA_HOME; kernels/cuda/get-nvcc.sh fetches one"; exit 3; }
release="$("$nvcc" --version | sed -n 's/.*release \([0-9]*\).*/\1/p')"
[[ "$release" -ge 13 ]] || { echo "$nvcc is of CUDA $release; 13 is needed (kernels/cuda/get-nvcc.sh fetches it)"; exit 1; }

home="$(dirname "$(dirname "$nvcc")")"
library_folder="$home/lib64"
[[ -f "$library_folder/libcudart_static.a" ]] || library_folder="$home/lib"
objects=build/cuda
mkdir -p "$objects"
jobs="$(getconf _NPROCESSORS_ONLN 2> /dev/null || echo 2)"

# Nothing is contracted but what the source says, so that bits are those of the emulator's build.
flags=(-std=c++20 -O3 -fmad=false -Iinclude -Icuda -Icpu -DMILLRACE_CUDA=1 -diag-suppress 177
  -Xcompiler -fPIC,-fvisibility=hidden,-ffp-contract=off,-fno-math-errno)
architectures=(-gencode "arch=compute_80,code=sm_80" -gencode "arch=compute_90a,code=sm_90a" -gencode "arch=compute_90,code=compute_90")
[[ "${1:-}" == report ]] && flags+=(-Xptxas -v)

compile() { # source
  local object="$objects/${1//\//_}.o"
  if ! "$nvcc" "${flags[@]}" "${architectures[@]}" -x cu -c "$1" -o "$object" > "$object.log" 2>&1; then
    cat "$object.log" >&2
    return 1
  fi
}

programs=()
if [[ "${1:-}" == programs ]]; then
  flags+=(-Itest)
  programs=(test/main.cpp test/runner.cpp cuda/test/rows_test.cpp cuda/test/launches_test.cpp cuda/test/linear_test.cpp cuda/test/tiling_test.cpp cuda/test/latent_test.cpp cuda/test/attention_warpgroup_test.cpp cuda/test/model_test.cpp cuda/test/sampling_test.cpp cuda/test/swap_test.cpp cuda/test/library_test.cpp cuda/test/verify_test.cpp cuda/test/crossing_test.cpp cuda/bench/decode.cpp cuda/bench/main.cpp)
fi
library=(cuda/kernels/*.cu cuda/*.cpp cpu/api.cpp cpu/checks.cpp cpu/pack.cpp cpu/plan.cpp cpu/program.cpp cpu/rope_table.cpp cpu/stored.cpp)
sources=("${library[@]}" "${programs[@]}")
rm -f "$objects"/*.o "$objects"/*.log
running=0 failed=0
for source in "${sources[@]}"; do
  if (( running >= jobs )); then
    wait -n || failed=1
    running=$((running - 1))
  fi
  compile "$source" &
  running=$((running + 1))
done
while (( running > 0 )); do
  wait -n || failed=1
  running=$((running - 1))
done
(( failed == 0 )) || { echo "the CUDA kernels do not compile with $nvcc"; exit 1; }
[[ "${1:-}" == report ]] && cat "$objects"/*.cu.o.log > "$objects/ptxas.txt"

object_files() {
  local source
  for source in "$@"; do echo "$objects/${source//\//_}.o"; done
}
link() { # to, then what is linked
  local to="$1"
  shift
  "${CXX:-c++}" -o "$to.new" "$@" -L"$library_folder" -lcudart_static -pthread -ldl -lrt -static-libgcc -static-libstdc++ \
    || { echo "$to cannot be linked"; exit 1; }
  mv "$to.new" "$to"
}
mapfile -t own < <(object_files "${library[@]}")
link build/libmillrace_cuda.so -shared "${own[@]}"
if [[ "${1:-}" == programs ]]; then
  mkdir -p build/gpu
  # The last two are the benchmarks'.
  mapfile -t tests < <(object_files "${programs[@]::${#programs[@]}-2}")
  mapfile -t bench < <(object_files "${programs[@]: -2}")
  link build/gpu/tests "${tests[@]}" "${own[@]}"
  link build/gpu/bench "${bench[@]}" "${own[@]}"
  cp build/libmillrace_cuda.so build/gpu/
fi
