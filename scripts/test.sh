#!/usr/bin/env bash
# Lint, types, import contracts and every test, on an engine that is brought up when none answers and
# ended again. Arguments go to pytest. FAST=1: no engine and nothing slow.
set -euo pipefail
# shellcheck source=docker/engine/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/../docker/engine/lib.sh"
cd "$ROOT"

STATE=${DISINTO_GROUND:-$ROOT/.ground}
WHO=test-$$
FAST=${FAST:-}
BIN=.venv/bin
failed=()
beside=()
export STEP_LINES=100

ground_down() {
    local code=$?
    trap - EXIT
    local pid
    for pid in "${beside[@]}"; do
        # To pytest TERM is what Ctrl-C is: it removes what its tests made.
        kill -TERM "$pid" 2>/dev/null || true
        wait "$pid" || true
    done
    [ -n "$FAST" ] || docker/engine/down.sh --state "$STATE" --for "$WHO" || code=1
    exit "$code"
}

# check LABEL COMMAND...: go on after a failure, so that one run shows all of them.
check() {
    step "$@" || failed+=("$1")
}

scripts_check() {
    command -v shellcheck >/dev/null || return 0
    shellcheck -x docker/engine/*.sh docker/agents/*.sh docker/agents/heartbeat scripts/*.sh .ci/run &&
        shellcheck -s sh docker/sample/agents/* docker/sample/stand-in/*
}

scripts/env.sh
trap 'exit 130' INT
trap 'exit 143' TERM HUP
trap ground_down EXIT
if [ -z "$FAST" ]; then
    if ! docker/engine/up.sh --state "$STATE" --for "$WHO" --while "$$" --thrifty docker-registry busybox-static debootstrap age; then
        [ -z "${DISINTO_REQUIRE_ENGINE:-}" ] || fail 3 "The tests need a Docker Engine and there is none." \
            "DISINTO_REQUIRE_ENGINE is set, so they may not be left out." "See above for what to mend."
        echo "Going on without an engine; the tests that need it will be counted at the end." >&2
    fi
fi

check "ruff check" "$BIN/ruff" check .
check "ruff format" "$BIN/ruff" format --check .
check "mypy" "$BIN/mypy"
check "import contracts" "$BIN/lint-imports"
check "shell scripts" scripts_check
# Engine tests wait more than they work: two share them file by file beside all the others, and are joined then. More
# at a time would end no sooner on the two cores there are, and let each of them wait longer for an answer.
in_three_parts() {
    local part log logs=() share
    share=$(mktemp -d)
    set -- -m engine "--share=$share" tests/engine tests/support
    for part in 1 2; do
        log=$(mktemp)
        logs+=("$log")
        # A shell without job control makes what it puts beside itself deaf to Ctrl-C, and so what the tests start.
        env --default-signal=INT "$BIN/pytest" -q -p no:cacheprovider "$@" >"$log" 2>&1 </dev/null &
        beside+=("$!")
    done
    "$BIN/pytest" -m "not engine" || failed+=(pytest)
    "$BIN/pytest" -p no:cacheprovider "$@" || failed+=("pytest (engine)")
    for part in 0 1; do
        wait "${beside[part]}" || failed+=("pytest (engine, beside)")
        cat "${logs[part]}"
        rm -f "${logs[part]}"
    done
    beside=()
    rm -rf "$share"
}

export DISINTO_GROUND=$STATE
if [ -n "${LINT_ONLY:-}" ]; then
    :
elif [ -n "$FAST" ]; then
    "$BIN/pytest" -m "not engine and not slow" "$@" || failed+=(pytest)
elif [ "$#" -gt 0 ]; then
    "$BIN/pytest" "$@" || failed+=(pytest)
else
    in_three_parts
fi

if [ "${#failed[@]}" -gt 0 ]; then
    printf 'Failed: %s\n' "$(IFS=, && echo "${failed[*]}")" >&2
    exit 1
fi
