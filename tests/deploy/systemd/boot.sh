#!/usr/bin/env bash
# Boots this host's own systemd as PID 1 in a throw-away overlay of /, installs the pipeline there as docs/operating.md
# says, with stand-ins for the exchange and the backend, and checks what an operator relies on (inside.py).
# Needs root, Debian's systemd-container, redis-server, python3-venv, make and curl, and `make setup`;
# no Docker, no network inside.
set -euo pipefail
cd "$(dirname "$0")/../../.."

[ "$(id -u)" = 0 ] || { echo "$0: needs root" >&2; exit 2; }
for tool in systemd-nspawn redis-server make curl; do
  command -v "$tool" >/dev/null || { echo "$0: needs $tool" >&2; exit 2; }
done
node=$(.venv/bin/python -m dev.node | sed -n 's/^node: //p') # as `make setup` found or installed it

work=$(mktemp -d /var/tmp/oi-systemd.XXXXXX)
nspawn=''
init=''
cleanup() {
  if [ -n "$nspawn" ] && kill -0 "$nspawn" 2>/dev/null; then
    [ -z "$init" ] || kill -RTMIN+4 "$init" 2>/dev/null || true # SIGRTMIN+4: power off
    wait "$nspawn" 2>/dev/null || true
  fi
  umount "$work/root" 2>/dev/null || true
  rm -rf "$work"
}
trap cleanup EXIT

overlay() { # on a tmpfs of its own: / may be an overlay already, and one cannot stand on another
  mkdir "$work/root" "$work/layer"
  mount -t tmpfs tmpfs "$work/layer"
  mkdir "$work/layer/up" "$work/layer/work"
  mount -t overlay overlay -o "lowerdir=/,upperdir=$work/layer/up,workdir=$work/layer/work" "$work/root"
  umount -l "$work/layer" # the overlay holds it; gone with it
}

furnish() { # nothing of the host's own is started; the sources and the packages are at hand
  local root=$work/root
  rm -rf "$root"/etc/systemd/system/*.wants "$root/etc/oi-pipeline" "$root/opt/oi-pipeline"
  rm -f "$root"/usr/local/lib/systemd/system/oi-* "$root"/etc/systemd/system/oi-*
  mkdir -p "$root/srv/source" "$root/srv/wheels"
  git ls-files -z --cached --others --exclude-standard | tar --null --ignore-failed-read -T - -cf - 2>/dev/null |
    tar -xf - -C "$root/srv/source"
  install -m 755 "$node" "$root/usr/local/bin/node"
  cp tests/deploy/systemd/*.service "$root/etc/systemd/system/"
  /usr/bin/python3 -m venv "$work/pip" # Debian's, as inside: another Python may need other packages
  "$work/pip/bin/pip" download --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements/base.lock \
    --dest "$root/srv/wheels" 2>"$work/pip.log" || { cat "$work/pip.log" >&2; exit 1; }
}

boot() {
  systemd-nspawn -q -D "$work/root" --boot --register=no --keep-unit --console=pipe --machine="oi$$" --private-network \
    --private-users=no --link-journal=no --kill-signal=SIGRTMIN+3 --tmpfs=/tmp systemd.unit=multi-user.target \
    </dev/null >"$work/console" 2>&1 &
  nspawn=$!
  for _ in $(seq 1200); do
    init=$(pgrep -P "$nspawn" -x systemd | head -1) || true
    if [ -n "$init" ]; then
      case "$(nsenter -t "$init" -m -p systemctl is-system-running 2>/dev/null || true)" in
        running | degraded) return ;;
      esac
    fi
    sleep 0.05
  done
  echo "$0: systemd did not come up" >&2
  tail -5 "$work/console" >&2
  exit 1
}

overlay
furnish
boot
nsenter -t "$init" -m -u -i -n -p -C -- env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
  HOME=/root LANG=C.UTF-8 PIP_NO_INDEX=1 PIP_FIND_LINKS=/srv/wheels \
  python3 -u /srv/source/tests/deploy/systemd/inside.py
