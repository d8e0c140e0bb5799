#!/usr/bin/env bash
# The Python environment in .venv, from the lock. Quick when nothing changed since the last time.
set -euo pipefail
# shellcheck source=docker/engine/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/../docker/engine/lib.sh"
cd "$ROOT"

PYTHON=${PYTHON:-python3}
STAMP=.venv/stamp

command -v "$PYTHON" >/dev/null || fail 2 "There is no $PYTHON on this machine." "The tool is written in Python." \
    "Install python3 and python3-venv and try again."
"$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 10))' ||
    fail 2 "$("$PYTHON" --version) is too old." "Python 3.10 is the oldest that works." \
        "Install a newer one and name it: PYTHON=python3.12 make test."
"$PYTHON" -c 'import venv, ensurepip' 2>/dev/null ||
    fail 2 "$PYTHON cannot make a virtual environment." "Debian packs that apart, as python3-venv." \
        "Run apt-get install python3-venv and try again."

mkdir -p .venv
exec 8>.venv/lock
flock 8
wanted=$({ "$PYTHON" --version && cat pyproject.toml requirements.lock && pwd; } | sha256sum)
if [ -x .venv/bin/python ] && [ "$(cat "$STAMP" 2>/dev/null)" = "$wanted" ]; then
    exit 0
fi

make_venv() { [ -x .venv/bin/python ] || "$PYTHON" -m venv .venv; }
packages() {
    .venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
}
# Without isolation the build backend is the locked one, not a fresh download.
ourselves() {
    .venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
}

again="Check the network and the package index pip is set up with, then try again."
step "making .venv" make_venv || fail 3 "The environment could not be made." "Python's words are above." "Remove .venv and try again."
step "installing the locked packages" packages || fail 3 "The packages could not be installed." "pip said why above." "$again"
step "installing disinto" ourselves || fail 3 "The tool could not be installed into .venv." "pip said why above." "$again"
printf '%s\n' "$wanted" >"$STAMP"
