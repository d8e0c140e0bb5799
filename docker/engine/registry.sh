#!/usr/bin/env bash
# A loopback OCI registry (Debian's docker-registry) as a plain process, with deletion enabled.
set -euo pipefail
# shellcheck source=docker/engine/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

usage() {
    cat <<'TEXT'
usage: docker/engine/registry.sh start|stop [--state DIR] [--port N]

  --state DIR   data, log, process note and port go to DIR/registry (default: .ground in the repository)
  --port N      listen there (default: the port of the last time, else a free one); see DIR/registry/port
TEXT
}

ACTION=${1:-} STATE=$ROOT/.ground PORT=''
[ $# -eq 0 ] || shift
while [ $# -gt 0 ]; do
    case $1 in
        --state) STATE=$2 && shift ;;
        --port) PORT=$2 && shift ;;
        *) fail 2 "registry.sh does not know $1." "It is not one of its options." "See docker/engine/registry.sh --help." ;;
    esac
    shift
done
HOME_DIR=$STATE/registry

answers() { python3 -c 'import sys, urllib.request as u; u.urlopen(f"http://127.0.0.1:{sys.argv[1]}/v2/", timeout=2)' "$PORT"; }
answers_or_death() { answers || ! alive "$HOME_DIR/process"; }

serve() {
    cat >"$HOME_DIR/config.yml" <<YAML
version: 0.1
log: {accesslog: {disabled: true}, level: warn}
storage: {filesystem: {rootdirectory: $HOME_DIR/data}, delete: {enabled: true}}
http: {addr: "127.0.0.1:$PORT"}
YAML
    setsid docker-registry serve "$HOME_DIR/config.yml" >"$HOME_DIR/log" 2>&1 </dev/null 9>&- &
    remember "$HOME_DIR/process" "$!"
    wait_until 10 answers_or_death
    if alive "$HOME_DIR/process" && answers; then
        printf '%s\n' "$PORT" >"$HOME_DIR/port"
        return 0
    fi
    end_noted "$HOME_DIR/process" 5
    tail -n 5 "$HOME_DIR/log"
    return 1
}

start() {
    local wanted=$PORT
    for _ in 1 2 3; do
        PORT=${wanted:-$(cat "$HOME_DIR/port" 2>/dev/null || free_port)}
        serve && return 0
        # Somebody else has the port of the last time by now: take a new one.
        rm -f "$HOME_DIR/port"
    done
    return 1
}

case $ACTION in
    start)
        command -v docker-registry >/dev/null || fail 3 "There is no docker-registry here." "It is a Debian package." \
            "Run docker/engine/up.sh docker-registry and try again."
        mkdir -p "$HOME_DIR"
        locked "$STATE"
        if alive "$HOME_DIR/process"; then exit 0; fi
        step "starting the registry" start ||
            fail 3 "The registry did not come up." "Its last lines are above." "Choose another --port or mend what it says."
        ;;
    stop)
        [ -d "$HOME_DIR" ] || exit 0
        locked "$STATE"
        alive "$HOME_DIR/process" || exit 0
        step "stopping the registry" end_noted "$HOME_DIR/process" 10
        ;;
    -h | --help) usage ;;
    *)
        usage >&2
        exit 2
        ;;
esac
