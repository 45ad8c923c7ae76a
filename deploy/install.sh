#!/usr/bin/env bash
# make install, make uninstall: what they put where, and how a running pipeline gets to a new version.
#
#   $PREFIX                            the services and their venv; replaced as a whole, or not at all
#   $BINDIR/oi                         a link to the operator's command in it
#   $UNITDIR/oi-*                      the units
#   /etc/oi-pipeline/oi-pipeline.env   settings; written once, never overwritten, never removed
#   /etc/oi-pipeline/backend_api_key   the backend's key, likewise; empty: none
#
# With DESTDIR everything goes under that folder and nothing is started. pip's own variables (PIP_INDEX_URL,
# PIP_FIND_LINKS, PIP_NO_INDEX) say where packages come from.
set -euo pipefail
cd "$(dirname "$0")/.."

DESTDIR=${DESTDIR:-} PREFIX=${PREFIX:-/opt/oi-pipeline} UNITDIR=${UNITDIR:-/usr/local/lib/systemd/system}
BINDIR=${BINDIR:-/usr/local/bin}
PYTHON=${PYTHON:-python3}
READY_WITHIN_S=${READY_WITHIN_S:-90}
ETC=$DESTDIR/etc/oi-pipeline
HOME_DIR=$DESTDIR$PREFIX
# The publisher last: by then what it reads is flowing again.
SERVICES=(oi-ws-daemon oi-poller oi-alerter oi-keeper oi-funding-api oi-venue-poller oi-publisher)
NEW=' ' # units that were not there before

say() { echo "oi-pipeline: $*"; }
manager_runs() { [ -z "$DESTDIR" ] && [ -d /run/systemd/system ]; }

stage() { # the new version beside the one in use
  rm -rf "$HOME_DIR.new"
  mkdir -p "$HOME_DIR.new/requirements"
  cp -R shared services cli systemd docs "$HOME_DIR.new/"
  cp requirements/base.lock "$HOME_DIR.new/requirements/"
  cp .env.example "$HOME_DIR.new/"
  find "$HOME_DIR.new" -name __pycache__ -prune -exec rm -rf {} +
  rm -f "$HOME_DIR.new"/systemd/*.service "$HOME_DIR.new"/systemd/*.target
}

packages() { # a venv for this lock and this Python; the one in use is taken over when it is that already
  local stamp
  stamp="$("$PYTHON" -V) $(sha256sum requirements/base.lock)"
  if [ "$(cat "$HOME_DIR/.venv/.made-of" 2>/dev/null)" = "$stamp" ]; then
    cp -a "$HOME_DIR/.venv" "$HOME_DIR.new/.venv"
    return
  fi
  "$PYTHON" -m venv "$HOME_DIR.new/.venv"
  "$HOME_DIR.new/.venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-compile --require-hashes \
    -r requirements/base.lock
  echo "$stamp" >"$HOME_DIR.new/.venv/.made-of"
}

readable() { # by every user, writable by none: services run as users that exist for the moment only
  chmod -R u=rwX,go=rX "$HOME_DIR.new"
  "$HOME_DIR.new/.venv/bin/python" -m compileall -q "$HOME_DIR.new/shared" "$HOME_DIR.new/services" "$HOME_DIR.new/cli" "$HOME_DIR.new/.venv"
}

swap() {
  rm -rf "$HOME_DIR.old"
  [ ! -d "$HOME_DIR" ] || mv "$HOME_DIR" "$HOME_DIR.old"
  mv "$HOME_DIR.new" "$HOME_DIR"
  rm -rf "$HOME_DIR.old"
}

command_link() { # `oi` for everybody; a file or link of that name that is not ours stays
  local link=$DESTDIR$BINDIR/oi
  mkdir -p "$DESTDIR$BINDIR"
  if [ -e "$link" ] || [ -L "$link" ]; then
    case "$(readlink "$link" || true)" in
      */cli/oi) ;; # of this PREFIX or of one before
      *)
        say "$link is something else and stays; the command is $PREFIX/cli/oi"
        return
        ;;
    esac
  fi
  ln -sfn "$PREFIX/cli/oi" "$link"
}

units() {
  local unit
  mkdir -p "$DESTDIR$UNITDIR"
  for unit in systemd/*.service systemd/*.target; do
    [ -e "$DESTDIR$UNITDIR/$(basename "$unit")" ] || NEW+="$(basename "$unit" .service) "
    sed "s#/opt/oi-pipeline#$PREFIX#g" "$unit" >"$DESTDIR$UNITDIR/$(basename "$unit")"
    chmod 644 "$DESTDIR$UNITDIR/$(basename "$unit")"
  done
}

settings() {
  mkdir -p "$ETC"
  chmod 755 "$ETC"
  if [ ! -e "$ETC/oi-pipeline.env" ]; then
    install -m 600 .env.example "$ETC/oi-pipeline.env"
    say "settings: $ETC/oi-pipeline.env (BACKEND_URL has to be set)"
  fi
  [ -e "$ETC/backend_api_key" ] || install -m 600 /dev/null "$ETC/backend_api_key"
}

runs() { case "$(systemctl is-active "$1.service" || true)" in active | activating | reloading) ;; *) return 1 ;; esac; }

is_wanted_now() { # came with this version, to a pipeline that runs: it would wait for the next boot
  [[ $NEW == *" $1 "* ]] && systemctl is-active --quiet oi-pipeline.target &&
    [ "$(systemctl is-enabled "$1.service" 2>/dev/null || true)" != masked ]
}

restart_one_at_a_time() { # only what runs, and what is new; each has to do its job before the next is touched
  local unit
  for unit in "${SERVICES[@]}"; do
    runs "$unit" || is_wanted_now "$unit" || continue
    say "restarting $unit"
    if ! timeout "$READY_WITHIN_S" systemctl restart "$unit.service"; then
      say "$unit is not ready: $(systemctl show -P StatusText "$unit.service")"
      say "the services after it go on with the version before; see journalctl -u $unit"
      exit 1
    fi
  done
}

do_install() {
  stage # each on its own line: in a chain of && a failure inside one would be overlooked
  packages
  readable
  swap
  command_link
  units
  settings
  say "installed in $HOME_DIR"
  manager_runs || return 0
  systemctl daemon-reload
  restart_one_at_a_time
}

do_uninstall() {
  if manager_runs; then
    systemctl disable --now oi-pipeline.target 2>/dev/null || true
    systemctl stop "${SERVICES[@]/%/.service}" 2>/dev/null || true
  fi
  for unit in systemd/*.service systemd/*.target; do rm -f "$DESTDIR$UNITDIR/$(basename "$unit")"; done
  if [ "$(readlink "$DESTDIR$BINDIR/oi")" = "$PREFIX/cli/oi" ]; then rm -f "$DESTDIR$BINDIR/oi"; fi
  rm -rf "$HOME_DIR" "$HOME_DIR.new" "$HOME_DIR.old"
  if manager_runs; then systemctl daemon-reload; fi
  say "removed; $ETC is left, with the settings and the key"
}

case "${1:-}" in
  install) do_install ;;
  uninstall) do_uninstall ;;
  *) echo "usage: deploy/install.sh install|uninstall" >&2; exit 2 ;;
esac
