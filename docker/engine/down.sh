#!/usr/bin/env bash
# Ends the engine that up.sh started, by process id, once nobody needs it; never another one.
set -euo pipefail
# shellcheck source=docker/engine/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
# shellcheck source=docker/engine/dockerd.sh
. "$(dirname "${BASH_SOURCE[0]}")/dockerd.sh"

usage() {
    cat <<'TEXT'
usage: docker/engine/down.sh [--state DIR] [--for NAME | --all]

  --state DIR   what up.sh was given (default: .ground in the repository)
  --for NAME    NAME needs the engine no longer (default: hand)
  --all         end it whoever needs it

An engine that up.sh found running is left running. Packages stay installed: DIR/installed lists them.
TEXT
}

STATE=$ROOT/.ground WHO=hand ALL=''
while [ $# -gt 0 ]; do
    case $1 in
        --state) STATE=$2 && shift ;;
        --for) WHO=$2 && shift ;;
        --all) ALL=yes ;;
        -h | --help) usage && exit 0 ;;
        *) fail 2 "down.sh does not know $1." "It is not one of its options." "See docker/engine/down.sh --help." ;;
    esac
    shift
done

# needed_by: names of those who came up and have not gone down; one whose process died does not count.
needed_by() {
    local user
    for user in "$STATE"/users/*; do
        [ -e "$user" ] || continue
        if [ ! -s "$user" ] || alive "$user"; then printf '%s ' "${user##*/}"; else rm -f "$user"; fi
    done
}

[ -d "$STATE" ] || exit 0
locked "$STATE"
rm -f "$STATE/users/$WHO"
[ -z "$ALL" ] || rm -rf "$STATE/users"
users=$(needed_by)
if [ -n "$users" ]; then
    printf '  %-44s\n' "engine kept, needed by: ${users% }"
    exit 0
fi
if alive "$STATE/dockerd" || alive "$STATE/containerd" || dockerd_was_killed; then
    step "stopping the engine" end_dockerd ||
        fail 1 "The engine did not end." "Its process ids are in $STATE/dockerd and $STATE/containerd." \
            "End them by id and run this again."
fi
rm -rf "$STATE/users" "$STATE/endpoint" "$STATE/dockerd" "$STATE/dockerd.argv" "$STATE/containerd"
