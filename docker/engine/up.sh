#!/usr/bin/env bash
# Docker Engine, Compose v2 and buildx on Debian 12 or 13; an engine that answers is used untouched.
set -euo pipefail
# shellcheck source=docker/engine/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
# shellcheck source=docker/engine/packages.sh
. "$(dirname "${BASH_SOURCE[0]}")/packages.sh"
# shellcheck source=docker/engine/dockerd.sh
. "$(dirname "${BASH_SOURCE[0]}")/dockerd.sh"

usage() {
    cat <<'TEXT'
usage: docker/engine/up.sh [options] [PACKAGE...]

  --state DIR       where to note what was started (default: .ground in the repository)
  --for NAME        who needs the engine (default: hand); down.sh ends it when nobody does
  --while PID       NAME stops counting when that process is gone
  --thrifty         an engine that is started filters no system calls (making that filter is a third of what a
                    health check costs) and collects its garbage seldom: for tests, whose images are our own
  PACKAGE           also install: docker-registry skopeo busybox-static debootstrap age

The endpoint in use is written to DIR/endpoint.
TEXT
}

STATE=$ROOT/.ground WHO=hand WHILE='' PACKAGES=() THRIFT=() OWN=()
while [ $# -gt 0 ]; do
    case $1 in
        --state) STATE=$2 && shift ;;
        --for) WHO=$2 && shift ;;
        --while) WHILE=$2 && shift ;;
        --thrifty) THRIFT=(env GOGC=400) OWN=(--seccomp-profile "$ROOT/docker/engine/unfiltered.json") ;;
        -h | --help) usage && exit 0 ;;
        docker-registry | skopeo | busybox-static | debootstrap | age) PACKAGES+=("$1") ;;
        *) fail 2 "up.sh does not know $1." "It is neither an option nor one of the packages it installs." \
            "See docker/engine/up.sh --help." ;;
    esac
    shift
done

# Debian keeps daemons in sbin, which an ordinary user's PATH may lack.
find_dockerd() { PATH=$PATH:/usr/sbin:/sbin:/usr/local/sbin command -v dockerd; }

need_debian() {
    command -v apt-get >/dev/null || fail 2 "There is no $1 on this machine." \
        "Installing it is only known for Debian and apt-get is not here." \
        "Install $1 yourself and run this again."
}

start_dockerd() {
    # The socket belongs to whoever brings the engine up: no new login for a group to take effect.
    launch_dockerd "${THRIFT[@]}" "$(find_dockerd)" --host unix:///var/run/docker.sock --group "$(id -gn)" "${OWN[@]}"
}

bring_up() {
    local began=$EPOCHREALTIME version
    if command -v docker >/dev/null && version=$(engine_answers 2>/dev/null); then
        printf '  %-44s %6.1f s\n' "engine $version answers" "$(since "$began")"
        return
    fi
    [ -z "${DOCKER_HOST:-}" ] || fail 3 "No Docker Engine answers at $DOCKER_HOST." \
        "DOCKER_HOST names it, so no other engine is started in its place." \
        "Start that engine, or unset DOCKER_HOST, and try again."
    if ! command -v docker >/dev/null || ! find_dockerd >/dev/null; then
        need_debian "Docker Engine"
        local wanted=(docker.io iptables ca-certificates)
        # From trixie on the command line client is a package of its own.
        command -v docker >/dev/null || [ "$(codename)" = bookworm ] || wanted+=(docker-cli)
        step "installing ${wanted[*]}" apt_install "${wanted[@]}" ||
            fail 3 "Docker Engine could not be installed." "apt-get said so above." \
                "Check the package sources and the network, then try again."
    fi
    step "starting dockerd" start_dockerd ||
        fail 3 "dockerd did not come up." "Its last lines are above; the whole log is $STATE/dockerd.log." \
            "Mend what it says and try again."
}

working_plugins() { plugins && compose_is_v2 && buildx_is_there; }

locked "$STATE"
# A run that was killed while installing must not leave its policy behind.
trap policy_restore EXIT
bring_up

if ! compose_is_v2 || ! buildx_is_there; then
    need_debian "Docker Compose v2"
    step "installing Compose v2 and buildx" working_plugins ||
        fail 3 "Compose v2 and buildx could not be installed." "The package manager's words are above." \
            "Install the docker compose and docker buildx plugins and try again."
fi
if [ "${#PACKAGES[@]}" -gt 0 ]; then
    missing=()
    for package in "${PACKAGES[@]}"; do
        installed "$package" || missing+=("$package")
    done
    if [ "${#missing[@]}" -gt 0 ]; then
        need_debian "${missing[*]}"
        step "installing ${missing[*]}" apt_install "${missing[@]}" ||
            fail 3 "${missing[*]} could not be installed." "apt-get said so above." \
                "Check the package sources and the network, then try again."
    fi
fi

mkdir -p "$STATE/users"
if [ -n "$WHILE" ]; then remember "$STATE/users/$WHO" "$WHILE"; else : >"$STATE/users/$WHO"; fi
printf '%s\n' "${DOCKER_HOST:-$(docker context inspect --format '{{.Endpoints.docker.Host}}')}" >"$STATE/endpoint"
