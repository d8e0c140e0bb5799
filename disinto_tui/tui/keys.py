"""What an operator may set for themselves: other keys (`keys.toml`) and the theme (`ui.toml`).

Both live in `$XDG_CONFIG_HOME/disinto` (`~/.config/disinto`). A file that cannot be read never stops the tool:
what was understood is used, the rest is reported.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from disinto_tui.core.settings_schema import UI_SETTINGS


@dataclass(frozen=True, slots=True)
class Keymap:
    """Keys by action id, and one sentence for each entry that could not be used."""

    keys: Mapping[str, str]
    problems: tuple[str, ...] = ()


def config_directory() -> Path:
    """Where the operator's own settings live."""
    base = os.environ.get("XDG_CONFIG_HOME") or ""
    return (Path(base) if base else Path.home() / ".config") / "disinto"


def read_keymap(directory: Path) -> Keymap:
    """Read `keys.toml`: `"log.wrap" = "W"`, or the same as tables (`[log]`, `wrap = "W"`)."""
    path = directory / "keys.toml"
    data, problem = _read_toml(path)
    if problem:
        return Keymap({}, (problem,))
    if not data:
        return Keymap({})
    from disinto_tui.tui.actions import ACTIONS

    keys: dict[str, str] = {}
    problems: list[str] = []
    for action_id, value in _flat(data):
        if action_id not in ACTIONS:
            from difflib import get_close_matches

            near = get_close_matches(action_id, ACTIONS, n=1)
            hint = f"; the nearest is {near[0]}" if near else ""
            problems.append(f"{path.name}: there is no action {action_id}{hint}.")
        elif not isinstance(value, str) or not value.strip():
            problems.append(f'{path.name}: {action_id} wants a key in quotes, such as "f" or "ctrl+f".')
        else:
            keys[action_id] = value.strip()
    return Keymap(keys, tuple(problems + _clashes(keys)))


def _clashes(keys: Mapping[str, str]) -> list[str]:
    """Keys that two actions of one scope would share, where at least one was set by the operator."""
    from disinto_tui.tui.actions import ACTIONS

    problems = []
    for action_id, wanted in keys.items():
        mine = set(wanted.split(","))
        for other in ACTIONS.values():
            if other.scope != ACTIONS[action_id].scope or other.id == action_id:
                continue
            shared = mine & set(keys.get(other.id, other.keys).split(","))
            if shared and (other.id not in keys or other.id > action_id):
                problems.append(f"keys.toml: {action_id} and {other.id} share the key {sorted(shared)[0]}.")
    return problems


def read_setting(directory: Path, name: str) -> str:
    """One setting of `ui.toml`; its default when it is not there, or not what it may be. KeyError: no such one."""
    setting = UI_SETTINGS[name]
    data, _ = _read_toml(directory / "ui.toml")
    value = data.get(name)
    return value if isinstance(value, str) and value in setting.allowed else setting.default


def write_setting(directory: Path, name: str, value: str) -> bool:
    """Remember a setting; False when the directory cannot be written (it is then kept for this session)."""
    path = directory / "ui.toml"
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
        except FileNotFoundError:
            lines = []
        kept = [line for line in lines if line.partition("=")[0].strip() != name]
        part = path.with_name(path.name + ".part")
        part.write_text("\n".join([*kept, f'{name} = "{value}"']) + "\n", encoding="utf-8")
        part.replace(path)
    except OSError:
        return False
    return True


def _read_toml(path: Path) -> tuple[dict[str, Any], str]:
    try:
        text = path.read_bytes().decode("utf-8", errors="replace")
    except FileNotFoundError:
        return {}, ""
    except OSError as error:
        return {}, f"{path.name} cannot be read: {error.strerror}."
    # Only here: most operators have neither file, and first paint should not pay for a parser.
    try:
        import tomllib  # type: ignore[import-not-found,unused-ignore]
    except ModuleNotFoundError:
        import tomli as tomllib  # type: ignore[import-not-found,unused-ignore]
    try:
        return tomllib.loads(text), ""
    except tomllib.TOMLDecodeError as error:
        return {}, f"{path.name} is not TOML: {error}."


def _flat(data: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    for key, value in data.items():
        if isinstance(value, dict):
            found += _flat(value, f"{prefix}{key}.")
        else:
            found.append((f"{prefix}{key}", value))
    return found
