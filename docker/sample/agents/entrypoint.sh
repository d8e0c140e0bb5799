#!/bin/sh
# The sample agents image: the contract of the real one (volumes, heartbeat, TERM at once, arguments
# honoured, user agent) with an idle loop instead of work. BEHAVIOR is baked in at build time.
set -eu

DATA=/home/agent/data
LOG=$DATA/agent-entrypoint.log
HEARTBEAT=/tmp/heartbeat
INTERVAL=${POLL_INTERVAL:-300}

# First as root: volumes may be empty or root's. Then the rest of this script as agent.
if [ "$(id -u)" -eq 0 ]; then
    mkdir -p "$DATA" /home/agent/repos
    chown agent:agent "$DATA" /home/agent/repos
    chown agent:agent /home/agent/disinto/state 2>/dev/null || true
    rm -f "$HEARTBEAT"
    # shellcheck disable=SC2016
    exec su -s /bin/sh agent -c 'exec "$0" "$@"' "$0" "$@"
fi

[ $# -eq 0 ] || exec "$@"

say() {
    printf '%s %s\n' "$(date -u +%Y-%m-%dT%H:%M:%SZ)" "$*"
    printf '%s %s\n' "$(date -u +%Y-%m-%dT%H:%M:%SZ)" "$*" >>"$LOG" 2>/dev/null || true
}
beat() { : >"$HEARTBEAT"; }

# A shell that is PID 1 only hears TERM when it has a handler, and only between commands or in `wait`.
trap 'say "TERM: leaving the loop"; exit 0' TERM INT
nap() {
    sleep "$1" &
    wait $!
}

say "sample agents $(cat /home/agent/disinto/VERSION) starting (behavior: $BEHAVIOR)"
say "Entering polling loop (interval: ${INTERVAL}s, roles: ${AGENT_ROLES:-review,dev,gardener,architect,planner,predictor})"
for toml in /home/agent/disinto/projects/*.toml; do
    [ ! -e "$toml" ] || say "Processing project TOML: $toml"
done

case $BEHAVIOR in
    exit)
        say "FATAL: told to exit at once"
        exit 1
        ;;
    slowstart)
        say "slow start: no heartbeat for 6 s"
        nap 6
        ;;
esac

turn=0
while :; do
    turn=$((turn + 1))
    [ "$BEHAVIOR" = unhealthy ] || beat
    if [ "$BEHAVIOR" = crashloop ] && [ "$turn" -gt 2 ]; then
        say "FATAL: told to crash after two turns"
        exit 1
    fi
    [ $((turn % 10)) -ne 1 ] || say "turn $turn"
    nap 1
done
