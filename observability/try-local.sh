#!/usr/bin/env bash
# Brings compose.yaml up without any registry: images are built here, of binaries that are already on this machine.
#   JAVA_HOME=... observability/try-local.sh FOLDER [docker compose up's flags]
# FOLDER holds the Linux programs jaeger (v2), otelcol (a collector with spanmetrics and the prometheus exporter) and prometheus.
# Grafana is left out. An engine of Debian's packages: eval "$(.ci/docker start DIR)". docs/compose.md has the rest.
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)"
programs="$(cd "$1" && pwd -P)"
shift
export DOCKER_BUILDKIT=0 # the classic builder needs no plugin

cd "$here"
./millrace image-context
bases="$(.ci/docker base)"
eval "$bases"
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
for each in jaeger otelcol prometheus; do
  mkdir "$work/$each"
  cp "$programs/$each" "$work/$each/$each"
  # On a base with a libc and wget: not every build is static, and Prometheus' health check asks by wget.
  printf 'FROM localhost/millrace-libc\nRUN mkdir /prometheus && chown 65534:65534 /prometheus\nCOPY %s /bin/%s\nUSER 65534:65534\nENTRYPOINT ["/bin/%s"]\n' "$each" "$each" "$each" \
    > "$work/$each/Dockerfile"
  docker build -q -t "localhost/millrace-$each" "$work/$each" > /dev/null
done
export JAEGER_IMAGE=localhost/millrace-jaeger COLLECTOR_IMAGE=localhost/millrace-otelcol \
  PROMETHEUS_IMAGE=localhost/millrace-prometheus
docker compose build gateway
docker compose up -d --wait --wait-timeout 300 "$@" kafka-1 kafka-2 kafka-3 gateway router worker collector jaeger prometheus
docker compose ps
