#!/usr/bin/env bash
# The demo: an engine, a registry with three versions of the sample image, a stand-in forge, a factory.
# With a terminal it ends in the terminal UI; without one it takes the same tour headless.
# `scripts/demo.sh clean` removes everything that it made.
set -euo pipefail
# shellcheck source=docker/engine/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/../docker/engine/lib.sh"
cd "$ROOT"

STATE=${DISINTO_GROUND:-$ROOT/.ground}
DEMO=$ROOT/.demo
DISINTO=$ROOT/.venv/bin/disinto
# What the demo says of itself to Docker stays in its own directory, not in the operator's home.
export CLAUDE_SHARED_DIR=$DEMO/claude-shared

forge_answers() { [ -s "$DEMO/forge/port" ]; }
forge_answers_or_death() { forge_answers || ! alive "$DEMO/forge/process"; }

forge_start() {
    local port
    if alive "$DEMO/forge/process"; then return 0; fi
    mkdir -p "$DEMO/forge"
    # The port of the last time, so that the factory's configuration stays true.
    for port in "$(cat "$DEMO/forge/last" 2>/dev/null || echo 0)" 0; do
        rm -f "$DEMO/forge/port"
        setsid .venv/bin/python -m tests.support.forge_double --port "$port" --portfile "$DEMO/forge/port" \
            >"$DEMO/forge/log" 2>&1 </dev/null &
        remember "$DEMO/forge/process" "$!"
        wait_until 15 forge_answers_or_death || true
        if forge_answers; then
            cp "$DEMO/forge/port" "$DEMO/forge/last"
            return 0
        fi
        end_noted "$DEMO/forge/process" 5
    done
    tail -n 5 "$DEMO/forge/log"
    return 1
}

push_images() {
    .venv/bin/python docker/sample/build.py "$1" v0.1.0 v0.2.0 v0.3.0 --payload-kib 2048 --stand-ins
}

# An admin's token of the stand-in forge. It goes from file to file, never over a command line.
write_token() {
    (umask 077 && .venv/bin/python -c 'from tests.support.forge_state import ADMIN_TOKEN; print(ADMIN_TOKEN)' >"$DEMO/token")
}

# The compose project: disinto-demo, or with a number where the engine has one of that name already (the demo
# of another checkout). Chosen once, because everything that is stopped and removed goes by this name.
PROJECT=''
has_project() {
    local kind
    for kind in "ps -a" "volume ls" "network ls"; do
        # shellcheck disable=SC2086
        [ -z "$(docker $kind -q --filter "label=com.docker.compose.project=$1")" ] || return 0
    done
    return 1
}

choose_project() {
    local number=1
    PROJECT=disinto-demo
    if [ -s "$DEMO/project" ]; then
        PROJECT=$(cat "$DEMO/project")
    elif [ ! -d "$DEMO/factory" ]; then
        while has_project "$PROJECT"; do
            number=$((number + 1))
            PROJECT=disinto-demo-$number
        done
    fi
    printf '%s\n' "$PROJECT" >"$DEMO/project"
}

# A port kept from the last time, else a free one: it is written into the configuration.
kept_port() {
    [ -s "$DEMO/$1" ] || free_port >"$DEMO/$1"
    cat "$DEMO/$1"
}

write_config() {
    local registry=$1 forge=$2
    cat >"$DEMO/acme.toml" <<TOML
# The demo's project: what disinto init is given.
name = "shop"
repo = "acme/shop"
ops_repo = "acme/shop-ops"
forge_url = "http://127.0.0.1:$forge"
primary_branch = "main"

[monitoring]
check_prs = true

[factory]
agents_image = "$registry/disinto/agents"
version = "v0.2.0"
forge = "external"
project = "$PROJECT"
bind = "127.0.0.1"

[factory.ports]
http = $(kept_port http-port)
https = $(kept_port https-port)

# Nothing on the internet is needed: busybox stands in for these.
[factory.images]
caddy = "$registry/ground/web:1"
staging = "$registry/ground/web:1"
staging_deploy = "$registry/ground/busybox:1"
forgejo = "$registry/ground/forgejo:1"
woodpecker = "$registry/ground/woodpecker:1"
woodpecker_agent = "$registry/ground/woodpecker-agent:1"
TOML
}

ground_up() {
    mkdir -p "$DEMO"
    scripts/env.sh
    docker/engine/up.sh --state "$STATE" --for demo docker-registry busybox-static
    DOCKER_HOST=$(cat "$STATE/endpoint")
    export DOCKER_HOST
    choose_project
    docker/engine/registry.sh start --state "$DEMO"
    REGISTRY=127.0.0.1:$(cat "$DEMO/registry/port")
    step "pushing three versions to $REGISTRY" push_images "$REGISTRY"
    step "starting a stand-in forge" forge_start
    write_token
    write_config "$REGISTRY" "$(cat "$DEMO/forge/port")"
}

# Whatever happens, nothing that was started here goes on running.
ground_down() {
    local code=$?
    trap - EXIT
    trap '' INT TERM HUP
    if [ -n "${KEEP:-}" ] && [ "$code" -eq 0 ]; then
        echo "Everything goes on running, as KEEP asked. make demo-clean ends and removes it."
        exit 0
    fi
    stop_factory || true
    if alive "$DEMO/forge/process"; then step "stopping the stand-in forge" end_noted "$DEMO/forge/process" 10; fi
    docker/engine/registry.sh stop --state "$DEMO" || code=1
    docker/engine/down.sh --state "$STATE" --for demo || code=1
    exit "$code"
}

# ids KIND...: what the engine has of the demo's compose project.
ids() { docker "$@" -q --filter "label=com.docker.compose.project=$PROJECT"; }

stop_factory() {
    local running
    [ -n "$PROJECT" ] || return 0
    running=$(ids ps 2>/dev/null) || return 0
    # shellcheck disable=SC2086
    [ -z "$running" ] || step "stopping the demo's factory" docker stop $running
}

# show COMMAND...: as a reader would type it, then what it says.
show() {
    printf '\n$ disinto %s\n' "${*//$ROOT\//}"
    "$DISINTO" "$@"
}

tour() {
    show init "$DEMO/acme.toml" --dir "$DEMO/factory" --token-file "$DEMO/token" --yes
    show status --dir "$DEMO/factory"
    show versions --dir "$DEMO/factory"
    show down --dir "$DEMO/factory" --yes
    printf '\nThat was the tour without a terminal. With one, make demo opens the terminal UI.\n'
}

visit() {
    show init "$DEMO/acme.toml" --dir "$DEMO/factory" --token-file "$DEMO/token" --yes
    "$DISINTO" --dir "$DEMO/factory"
}

remove_factory() {
    local kind found
    found=$(ids ps -a) && { [ -z "$found" ] || echo "$found" | xargs docker rm -fv; }
    for kind in volume network; do
        found=$(ids "$kind" ls) && { [ -z "$found" ] || echo "$found" | xargs docker "$kind" rm; }
    done
}

# Only what carries our label, and of that only what came from the demo's own registry or was kept for the
# way back. A name goes with the last other name of its image, so each is looked for again.
remove_images() {
    local format='{{.Repository}}:{{.Tag}} {{.Repository}}@{{.Digest}}' name
    docker images --filter label=io.disinto.ground=1 --digests --format "$format" | tr ' ' '\n' |
        { grep -E "^(127\.0\.0\.1:$(cat "$DEMO/registry/port")/|disinto-kept/$PROJECT:)" || true; } |
        { grep -v '<none>' || true; } | sort -u |
        while read -r name; do
            ! docker image inspect "$name" >/dev/null 2>&1 || docker rmi "$name"
        done
}

clean() {
    [ -d "$DEMO" ] || exit 0
    # The engine of the demo may be stopped by now, and what is to be removed is inside it.
    if command -v docker >/dev/null; then
        docker/engine/up.sh --state "$STATE" --for demo
        DOCKER_HOST=$(cat "$STATE/endpoint")
        export DOCKER_HOST
        # Without a project on record the demo ended before it made anything on the engine.
        if [ -s "$DEMO/project" ] || [ -d "$DEMO/factory" ]; then
            choose_project
            step "removing containers, volumes, networks" remove_factory
            step "removing images" remove_images
        fi
    fi
    if alive "$DEMO/forge/process"; then step "stopping the stand-in forge" end_noted "$DEMO/forge/process" 10; fi
    docker/engine/registry.sh stop --state "$DEMO"
    docker/engine/down.sh --state "$STATE" --for demo
    # Containers may have written there as another user.
    rm -rf "$DEMO" 2>/dev/null || as_root rm -rf "$DEMO"
}

case ${1:-} in
    clean) clean ;;
    '')
        trap 'exit 130' INT
        trap 'exit 143' TERM HUP
        trap ground_down EXIT
        ground_up
        if [ -t 0 ] && [ -t 1 ]; then visit; else tour; fi
        ;;
    *) fail 2 "demo.sh does not know $1." "It takes no argument, or clean." "Run make demo or make demo-clean." ;;
esac
