#!/usr/bin/env bash
# A minimal Debian bookworm as the base image of the agents image, for machines that reach the
# distribution's mirror but no registry: debootstrap, packed and imported. Made once per state directory.
set -euo pipefail
# shellcheck source=docker/engine/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/../engine/lib.sh"
# shellcheck source=docker/engine/packages.sh
. "$(dirname "${BASH_SOURCE[0]}")/../engine/packages.sh"

usage() {
    cat <<'TEXT'
usage: docker/agents/base.sh [--state DIR] [--tag NAME]

  --state DIR   the packed tree is kept in DIR/base (default: .ground in the repository)
  --tag NAME    the image's name (default: disinto-ground/bookworm:1)

Prints the image's name. Use it as --build-arg BASE=NAME.
TEXT
}

STATE=$ROOT/.ground TAG=disinto-ground/bookworm:1 SUITE=bookworm
while [ $# -gt 0 ]; do
    case $1 in
        --state) STATE=$2 && shift ;;
        --tag) TAG=$2 && shift ;;
        -h | --help) usage && exit 0 ;;
        *) fail 2 "base.sh does not know $1." "It is not one of its options." "See docker/agents/base.sh --help." ;;
    esac
    shift
done
PACKED=$STATE/base/$SUITE.tar

make_tree() {
    local mirror tree=$STATE/base/tree code=0
    # Every release is on the same mirror, so this machine's own serves for another suite too.
    read -r mirror _ < <(sources_of "$(codename)") || return
    as_root rm -rf "$tree"
    mkdir -p "$STATE/base"
    as_root debootstrap --variant=minbase "$SUITE" "$tree" "$mirror" || code=$?
    if [ "$code" -eq 0 ]; then
        as_root rm -rf "$tree"/var/cache/apt/archives/*.deb "$tree"/var/lib/apt/lists/* "$tree"/var/log/* \
            "$tree"/usr/share/doc "$tree"/usr/share/man "$tree"/usr/share/locale
        as_root tar -C "$tree" --one-file-system --numeric-owner -cf "$PACKED.part" . && mv "$PACKED.part" "$PACKED" || code=$?
    fi
    as_root rm -rf "$tree"
    return "$code"
}

import_tree() {
    docker import --change 'LABEL io.disinto.ground=1' --change 'CMD ["bash"]' "$PACKED" "$TAG"
}

command -v docker >/dev/null || fail 3 "There is no docker here." "The base image is imported into an engine." \
    "Run docker/engine/up.sh and try again."
PATH=$PATH:/usr/sbin command -v debootstrap >/dev/null || fail 3 "There is no debootstrap here." "It is a Debian package." \
    "Run docker/engine/up.sh debootstrap and try again."
export PATH=$PATH:/usr/sbin:/sbin
locked "$STATE"
if [ ! -s "$PACKED" ]; then
    step "debootstrap $SUITE" make_tree >&2 || fail 3 "The base could not be made." "debootstrap's words are above." \
        "Check the mirror in the machine's apt sources and try again."
fi
if ! docker image inspect "$TAG" >/dev/null 2>&1; then
    step "importing $TAG" import_tree >&2 || fail 3 "The base could not be imported." "Docker's words are above." "Try again."
fi
printf '%s\n' "$TAG"
