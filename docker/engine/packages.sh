# shellcheck shell=bash
# Debian packages for the ground: installed without starting their daemons, and Compose v2 with
# buildx from the next release where this one has none. Sourced by up.sh; needs lib.sh and $STATE.

POLICY=/usr/sbin/policy-rc.d

# Packages start their daemons on installation unless this file says no. What was there before is
# moved aside and comes back at the end, also when an earlier run was killed half-way.
policy_deny() {
    policy_restore
    mkdir -p "$STATE/policy" || return
    if as_root test -e "$POLICY"; then
        as_root cp -a "$POLICY" "$STATE/policy/before" || return
    fi
    : >"$STATE/policy/changed"
    printf '#!/bin/sh\nexit 101\n' | as_root tee "$POLICY.new" >/dev/null &&
        as_root chmod 0755 "$POLICY.new" && as_root mv -f "$POLICY.new" "$POLICY"
}

policy_restore() {
    [ -e "$STATE/policy/changed" ] || return 0
    if [ -e "$STATE/policy/before" ]; then
        as_root cp -a "$STATE/policy/before" "$POLICY"
    else
        as_root rm -f "$POLICY"
    fi
    as_root rm -rf "$STATE/policy"
}

installed() {
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

apt_get() {
    as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=300 "$@"
}

# apt_install PACKAGE...: what is missing of it. The lists at hand are tried first; only when they are
# absent or stale is an update worth its seconds.
apt_install() {
    local missing=() package code=0
    for package in "$@"; do
        installed "$package" || missing+=("$package")
    done
    [ "${#missing[@]}" -gt 0 ] || return 0
    policy_deny || return
    apt_get install -y --no-install-recommends "${missing[@]}" ||
        { apt_get update && apt_get install -y --no-install-recommends "${missing[@]}"; } || code=$?
    policy_restore
    [ "$code" -ne 0 ] || printf '%s\n' "${missing[@]}" >>"$STATE/installed"
    return "$code"
}

codename() {
    # shellcheck disable=SC1091
    (. /etc/os-release && printf '%s' "${VERSION_CODENAME:-}")
}

# every_file FILE...: those that exist, each followed by an empty line so that stanzas stay apart.
every_file() {
    local file
    for file in "$@"; do
        [ ! -f "$file" ] || { cat "$file" && echo; }
    done
}

# sources_of RELEASE: "URI KEYRING" of the first apt source that carries RELEASE itself (not its
# updates or security suites), from one-line .list and deb822 .sources files alike.
sources_of() {
    every_file /etc/apt/sources.list /etc/apt/sources.list.d/*.list | awk -v suite="$1" '
        $1 == "deb" {
            line = $0; key = ""
            if (match(line, /signed-by=[^] ]+/)) key = substr(line, RSTART + 10, RLENGTH - 10)
            sub(/\[[^]]*\]/, "", line)
            split(line, f, " ")
            if (f[3] == suite) { print f[2], key; exit }
        }'
    every_file /etc/apt/sources.list.d/*.sources | awk -v suite="$1" '
        function flush() {
            if (types ~ /(^| )deb( |$)/ && (" " suites " ") ~ (" " suite " ") && enabled != "no") {
                split(uris, u, " "); print u[1], key; exit
            }
            types = suites = uris = key = enabled = ""
        }
        /^[[:space:]]*$/ { flush(); next }
        /^#/ { next }
        { field = tolower($1); value = $0; sub(/^[^:]*:[[:space:]]*/, "", value) }
        field == "types:" { types = value }
        field == "suites:" { suites = value }
        field == "uris:" { uris = value }
        field == "enabled:" { enabled = value }
        field == "signed-by:" { key = value }
        END { flush() }'
}

# plugins_from RELEASE: docker-compose and docker-buildx of another release, unpacked beside the
# system's own packages (dpkg -x, no -i: no clash, no dependency, no change to the apt sources).
plugins_from() {
    local release=$1 uri key work options
    read -r uri key < <(sources_of "$(codename)") || true
    [ -n "$uri" ] || {
        echo "no apt source for $(codename) in /etc/apt/sources.list or /etc/apt/sources.list.d" >&2
        return 1
    }
    [ -n "$key" ] || key=/usr/share/keyrings/debian-archive-keyring.gpg
    work=$(mktemp -d)
    chmod 0755 "$work"
    mkdir -p "$work/lists/partial" "$work/cache/archives/partial" "$work/root"
    echo "deb [signed-by=$key] $uri $release main" >"$work/sources.list"
    options=(-o "Dir::Etc::sourcelist=$work/sources.list" -o Dir::Etc::sourceparts=-
        -o "Dir::State::lists=$work/lists" -o "Dir::Cache=$work/cache" -o APT::Sandbox::User=root)
    apt_get "${options[@]}" update &&
        (cd "$work" && apt_get "${options[@]}" download "docker-compose/$release" "docker-buildx/$release") &&
        plugins_unpack "$work"
    local code=$?
    as_root rm -rf "$work"
    return "$code"
}

plugins_unpack() {
    local package plugin target=/usr/local/libexec/docker/cli-plugins
    as_root mkdir -p "$target"
    for package in "$1"/*.deb; do
        dpkg -x "$package" "$1/root" || return
    done
    for plugin in "$1"/root/usr/libexec/docker/cli-plugins/*; do
        as_root install -m 0755 "$plugin" "$target/" || return
        echo "$target/${plugin##*/}" >>"$STATE/installed"
    done
}

compose_is_v2() { docker compose version --short 2>/dev/null | grep -qE '^v?([2-9]|[1-9][0-9]+)\.'; }
buildx_is_there() { docker buildx version >/dev/null 2>&1; }

plugins() {
    case "$(codename)" in
        bookworm) plugins_from trixie ;; # bookworm's docker-compose is the old 1.29
        *) apt_install docker-compose docker-buildx ;;
    esac
}
