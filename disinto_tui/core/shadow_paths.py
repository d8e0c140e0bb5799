"""What a path in a container says by its name alone: passing, a setting, a file. Pure; no I/O."""

from __future__ import annotations

import re
from collections.abc import Sequence

# What a running system writes in any container, and nobody misses.
_PASSING = re.compile(
    r"\A/(?:tmp|run|proc|sys|dev|var/(?:run|tmp|cache|lock|spool|log)|usr(?!/src/)|lib\w*|bin|sbin|etc|boot)(?:/|\Z)"
    r"|/(?:__pycache__|\.cache|\.npm|node_modules/\.cache)(?:/|\Z)|\.pyc\Z|_history\Z"
    # What the edge container clones anew at each start. Results of actions in it are data: without its result an
    # action is done once more.
    r"|\A/opt/disinto(?:\Z|/)|\A/opt/disinto-ops(?:\Z|/)(?!.*\.result\.json\Z)"
)
# Settings that programs write anew at each start: known, and no data. Claude's are: its login is among them.
_SETTINGS = re.compile(r"\A/(?:(?:root|home/[^/]+)/\.(?!claude)[^/]+|config|\.[^/]+)(?:/|\Z)")

# Ends that only files have: a directory may well be called example.com.
_FILE_LIKE = re.compile(
    r"(?:\A|/)(?:[^/]+\.(?:crt|cer|pem|key|pub|json|ya?ml|toml|ini|conf|cfg|env|sh|py|js|md|txt|html?|xml|csv|sql|db"
    r"|sqlite3?|log|sock|pid|enc|age|gpg|gz|tgz|zip)|Caddyfile|tunnel_key|\.env(?:\.\w+)?|\.netrc|\.gitconfig)\Z"
)


def unsaved(written: Sequence[str], covered: Sequence[str]) -> list[str]:
    """Of the paths that a container wrote to its own layer those that somebody may miss: in no mount (`covered`), and
    nothing that any running system writes."""
    return [
        path
        for path in written
        if not (
            _PASSING.search(path) or _SETTINGS.search(path) or any(below(path, place) for place in covered)
        )
    ]


def below(path: str, place: str) -> bool:
    """Whether a path is a place or lies in it."""
    return path == place or path.startswith(place.rstrip("/") + "/")


def looks_like_file(path: str) -> bool:
    """Whether what is called so is a file, for all one can tell."""
    return bool(_FILE_LIKE.search(path))
