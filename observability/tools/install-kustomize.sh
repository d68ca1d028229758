#!/usr/bin/env bash
# install-kustomize.sh TARGET: builds kustomize with Go into TARGET/bin, for the test of deploy/kubernetes (about a minute).
set -euo pipefail
T=$(mkdir -p "$1/bin" && cd "$1" && pwd)
if [ -x "$T/bin/kustomize" ]; then exit 0; fi
GOTOOLCHAIN=local GOBIN="$T/bin" go install sigs.k8s.io/kustomize/kustomize/v5@v5.7.1
