#!/usr/bin/env bash
# Fetches CUDA's compiler from the Python package index into kernels/build/nvcc (300 MB), for machines without the toolkit.
# Prints the path of nvcc, or why there is none, on its last line.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

folder=build/nvcc
nvcc() { compgen -G "$PWD/$folder/lib/python3*/site-packages/nvidia/cu13/bin/nvcc" | head -n 1; }

if [[ -z "$(nvcc)" ]]; then
  [[ "$(uname -s)" == Linux ]] || { echo "CUDA's compiler is for Linux"; exit 1; }
  command -v python3 > /dev/null || { echo "no python3, which fetches CUDA's compiler"; exit 1; }
  mkdir -p build
  rm -rf "$folder"
  python3 -m venv "$folder" || { echo "python3 cannot make a virtual environment (apt install python3-venv)"; exit 1; }
  packages=()
  for name in nvcc crt runtime cccl; do packages+=("nvidia-cuda-$name==13.0.*"); done
  if ! "$folder/bin/pip" install --quiet --disable-pip-version-check "${packages[@]}" 'nvidia-nvvm==13.0.*'; then
    rm -rf "$folder"
    echo "CUDA's compiler could not be fetched from the Python package index"
    exit 1
  fi
fi
nvcc
