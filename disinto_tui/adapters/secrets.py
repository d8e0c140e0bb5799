"""Which values of an instance are secrets, so that no log, event or error ever shows one."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from disinto_tui.adapters.instance import read_bytes
from disinto_tui.core.envfile import EnvFile
from disinto_tui.core.errors import BadInput

_SECRET_NAME = re.compile(r"(?:TOKEN|PASS|PASSWORD|SECRET|_KEY|API_KEY|_PAT|CREDENTIALS)(?:_[A-Z0-9_]+)?$")
_NOT_SECRET = frozenset({"GEMINI_API_KEY_FILE", "FORGE_BOT_USERNAMES"})
_PLACEHOLDERS = frozenset({"", "sk-no-key-required", "changeme"})


def is_secret_name(name: str) -> bool:
    """Whether a variable of that name holds a secret (facts: 3.1; per-agent suffixes included)."""
    return name not in _NOT_SECRET and _SECRET_NAME.search(name) is not None


def secrets_in(values: Mapping[str, str | None]) -> list[str]:
    """The values of the secret variables, without empty ones and placeholders."""
    return [
        value
        for name, value in values.items()
        if value and is_secret_name(name) and value not in _PLACEHOLDERS
    ]


def secrets_of_files(files: Iterable[Path]) -> list[str]:
    """The secret values in `.env` files that exist; an unreadable one adds none."""
    found: list[str] = []
    for path in files:
        data = read_bytes(path)
        if data is None:
            continue
        try:
            found += secrets_in(EnvFile.parse(data).values({}))
        except BadInput:
            continue
    return found
