"""A commented project file for a newcomer, made from the schema: no key can be forgotten in it."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping

from .project_schema import KEYS, TABLES, Key, Path

_WIDTH = 72
"""So that a comment can be read to its end in the editor of an 80 columns wide terminal."""


def render_sample_config(
    *,
    name: str = "app",
    repo: str = "acme/app",
    values: Mapping[str, object] | None = None,
) -> str:
    """A whole project file: every key with what it is for; only `name`, `repo` and `values` are set.

    `values` maps keys as written with dots (`factory.version`) to texts, numbers or booleans; a key with a
    name of the operator's choice (`agents.qwen.model`) cannot be set. Raises KeyError for an unknown key.
    The result is valid as it is.
    """
    given: dict[str, object] = {"name": name, "repo": repo, **(values or {})}
    unknown = set(given) - {key.name for key in KEYS if "*" not in key.path}
    if unknown:
        raise KeyError(sorted(unknown)[0])
    lines = [
        "# A project of this factory. To set a key, take away the # before it.",
        "# No secrets here: agents can read this file. They belong in .env.",
        "",
    ]
    lines += _keys((), given)
    for table in TABLES:
        keys = _keys(table.path, given)
        example = table.path[:-1] == ("agents",)
        if table.path == ("agents",) or not keys:
            continue
        title = ".".join("qwen" if part == "*" else part for part in table.path)
        active = any(key.name in given for key in KEYS if key.path[:-1] == table.path)
        lines += [
            "",
            *_comment(table.description),
            f"{'' if active or not example else '#'}[{title}]",
            *keys,
        ]
    return "\n".join(lines) + "\n"


def _keys(table: Path, given: Mapping[str, object]) -> list[str]:
    lines: list[str] = []
    for key in KEYS:
        if key.path[:-1] != table:
            continue
        words = key.description + (f" Allowed: {key.allowed}." if key.allowed else "")
        lines += _comment(words)
        name = "github" if key.path[-1] == "*" else key.path[-1]
        if key.name in given:
            lines.append(f"{name} = {_toml(given[key.name])}")
        else:
            lines.append(f"#{name} = {_shown_value(key)}")
    return lines


def _shown_value(key: Key) -> str:
    if key.default in ("", '""') and key.example:
        return key.example
    return key.default or key.example


def _comment(text: str) -> list[str]:
    return textwrap.wrap(text, _WIDTH, initial_indent="# ", subsequent_indent="# ")


def _toml(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    escaped = "".join(
        f"\\u{ord(c):04X}" if not c.isprintable() else "\\" + c if c in '"\\' else c for c in str(value)
    )
    return f'"{escaped}"'
