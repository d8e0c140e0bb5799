"""When credentials expire, remembered without them: releases are rare, and a token ends between two of them.

`.disinto/credentials.json` holds names and dates as GitHub told them last. Nothing rests on it: it is a reminder.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from disinto_tui.adapters.instance import Instance, read_bytes, write_private
from disinto_tui.core.errors import DisintoError
from disinto_tui.core.expiry import expiry_text, level_of
from disinto_tui.core.view import Attention

if TYPE_CHECKING:
    from disinto_tui.runs.credentials import FoundCredential

_FILE = "credentials.json"


def remember(instance: Instance, found: Sequence[FoundCredential]) -> None:
    """Note the expiry of what was asked about, and forget that of what does not expire. Raises nothing."""
    known = before = _read(instance)
    for item in found:
        dead = item.finding.severity == "problem" and item.expires is None
        if item.unanswered or dead or item.source == "none":
            continue  # nothing was learnt of when it expires
        known = {name: at for name, at in known.items() if name != item.name}
        if item.expires is not None:
            known[item.name] = item.expires
    if known != before:
        with contextlib.suppress(DisintoError):
            instance.ensure_private()
            write_private(instance.private / _FILE, json.dumps(known, indent=1).encode())


def expiring(instance: Instance, now: float | None = None) -> list[Attention]:
    """What of it is 14 days or less from its end, or over: for the first glance. `now` is unix seconds."""
    at = time.time() if now is None else now
    return [
        Attention(f"{name} {expiry_text(expires, at)}", "warning", "disinto credentials")
        for name, expires in sorted(_read(instance).items())
        if level_of(expires, at) is not None
    ]


def _read(instance: Instance) -> dict[str, float]:
    try:
        data = json.loads(read_bytes(instance.private / _FILE) or b"{}")
    except (DisintoError, ValueError):
        return {}
    if not isinstance(data, dict):
        return {}
    return {
        name: float(at)
        for name, at in data.items()
        if isinstance(at, (int, float)) and not isinstance(at, bool) and 0 < at < 1e11
    }
