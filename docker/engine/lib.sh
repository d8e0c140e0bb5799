# shellcheck shell=bash
# Shared by the ground scripts: steps with their time, errors in three sentences, and processes that
# are ended by id. Sourced, never run.

# The whole repository is the unit: every default path hangs off its root.
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
export ROOT

# fail CODE WHAT WHY NOW: one sentence each, then out. 2 bad input, 3 something outside, 1 the rest.
fail() {
    local code=$1
    shift
    printf '%s %s %s\n' "$1" "$2" "$3" >&2
    exit "$code"
}

# step LABEL COMMAND...: run it silently, print one line with the time it took. Its output is kept
# and its end (STEP_LINES lines) shown only when it fails. Under `set -e` a failing step ends the script.
step() {
    local label=$1 log began code=0
    shift
    log=$(mktemp)
    began=$EPOCHREALTIME
    "$@" >"$log" 2>&1 || code=$?
    if [ "$code" -ne 0 ]; then
        printf '  %-44s failed\n' "$label" >&2
        tail -n "${STEP_LINES:-15}" "$log" | sed 's/^/    /' >&2
        rm -f "$log"
        return "$code"
    fi
    rm -f "$log"
    printf '  %-44s %6.1f s\n' "$label" "$(since "$began")"
}

# since EPOCHREALTIME: seconds passed, without bc.
since() {
    awk -v a="${1/,/.}" -v b="${EPOCHREALTIME/,/.}" 'BEGIN { printf "%.3f", b - a }'
}

# as_root COMMAND...: directly for root, through sudo for everybody else.
as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        fail 2 "$1 needs root." "This is user $(id -un) and there is no sudo." \
            "Run the command as root, or start a Docker Engine yourself and run it again."
    fi
}

# started_at PID: the kernel's start time of that process; nothing when it is gone or only a zombie.
# Together with the id it names one process for ever: a reused id has another start time.
started_at() {
    local stat
    stat=$(cat "/proc/$1/stat" 2>/dev/null) || return 0
    # The command name may hold blanks and brackets: cut after its last bracket.
    # shellcheck disable=SC2086
    set -- ${stat##*) }
    [ "$1" = Z ] || printf '%s' "${20}"
}

# remember FILE PID: note a process that we started.
remember() {
    printf '%s %s\n' "$2" "$(started_at "$2")" >"$1"
}

# alive FILE: is the process noted there still that process?
alive() {
    local pid at
    [ -f "$1" ] || return 1
    read -r pid at <"$1" || return 1
    [ -n "$at" ] && [ "$(started_at "$pid")" = "$at" ]
}

# end_noted FILE [SECONDS]: ask the noted process to end, wait, insist after SECONDS (default 30).
end_noted() {
    local file=$1 tenths=$((${2:-30} * 10)) pid
    if alive "$file"; then
        read -r pid _ <"$file"
        signal TERM "$pid"
        while alive "$file" && [ "$tenths" -gt 0 ]; do
            sleep 0.1
            tenths=$((tenths - 1))
        done
        if alive "$file"; then
            signal KILL "$pid"
            for _ in $(seq 50); do
                alive "$file" || break
                sleep 0.1
            done
        fi
    fi
    ! alive "$file" && rm -f "$file"
}

# signal NAME PID: what was started through sudo must be signalled through sudo.
signal() {
    kill "-$1" "$2" 2>/dev/null || as_root kill "-$1" "$2" 2>/dev/null || true
}

# wait_until SECONDS COMMAND...: poll every 0.1 s; 1 when the time is over.
wait_until() {
    local tenths=$(($1 * 10))
    shift
    until "$@" >/dev/null 2>&1; do
        tenths=$((tenths - 1))
        [ "$tenths" -gt 0 ] || return 1
        sleep 0.1
    done
}

# locked STATE: one ground script at a time per state directory. The lock goes with the process;
# daemons must be started with 9>&- or they would hold it.
locked() {
    mkdir -p "$1"
    exec 9>"$1/lock"
    flock -w 600 9 || fail 3 "The ground at $1 is locked." "Another script has been working on it for ten minutes." \
        "Wait for it to end, or end it, and try again."
}

# free_port: a loopback port nobody listens on, chosen by the kernel.
free_port() {
    python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}
