"""Compose files that others wrote, read for what they say and for what is wrong with them.

The YAML library takes the last of two equal keys without a word; here both lines are told. Compose's own tags
(`!reset`, `!override`) are read as what they mark. Plain words and numbers are what Compose's reader takes them for:
YAML 1.1, which the library speaks, reads `2222:22` as 133342 and `NO: yes` as a false that is true. Merging follows
Compose: maps by key, mounts by their target, lists one after the other.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from . import stack_forms as forms

EMPTY = "it is empty"
"""The error of a file without a line that says something: Compose takes it beside another one."""


class Reset:
    """`!reset`: what the files before say of this key does not hold."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Reset)

    def __hash__(self) -> int:
        return hash(Reset)

    def __repr__(self) -> str:
        return "!reset"


RESET = Reset()


class Override(list[Any]):
    """`!override`: this list in place of what the files before say."""


class OverrideTable(dict[str, Any]):
    """`!override` on a table: this one in place of what the files before say."""


_DIGITS = "0123456789"
_PLAIN: tuple[tuple[str, str, str], ...] = (
    ("bool", r"\A(?:true|True|TRUE|false|False|FALSE)\Z", "tTfF"),
    ("int", r"\A[-+]?(?:0[xX][0-9a-fA-F_]+|0[bB][01_]+|0[oO]?[0-7_]*|[1-9][0-9_]*)\Z", f"-+{_DIGITS}"),
    ("float", r"\A[-+]?(?:\.[0-9]+|[0-9][0-9_]*(?:\.[0-9_]*)?)(?:[eE][-+]?[0-9]+)?\Z", f"-+.{_DIGITS}"),
    ("null", r"\A(?:~|null|Null|NULL|)\Z", "~nN\0"),
    ("merge", r"\A<<\Z", "<"),
)
"""How Compose's reader (yaml.v3) takes plain scalars, in this order: (kind, pattern, first letters). Measured against
`docker compose config`: no `yes`, no base 60, `1e3` is a number."""
_DATE = re.compile(r"\A[0-9]{4}-[0-9]{2}-[0-9]{2}(?:[Tt ]+([0-9]{2}:[0-9]{2}:[0-9]{2})Z?)?\Z")


@dataclass(frozen=True, slots=True)
class Duplicate:
    """A key that stands twice in one table: `where` is its path, `lines` both lines, `same` whether both say the
    same (then nothing is lost, whichever counts)."""

    where: str
    lines: tuple[int, int]
    same: bool


@dataclass(frozen=True, slots=True)
class ComposeReading:
    """One file: its data ({} when it cannot be read; then `error` says why, with a line), and its double keys."""

    data: dict[str, Any]
    error: str = ""
    duplicates: tuple[Duplicate, ...] = ()


class _NotAName(Exception):  # caught in `read_compose`, never seen outside
    """A key of a table that is no text."""


def read_compose(text: str) -> ComposeReading:
    """Read one compose file. Raises nothing: what is wrong is in the reading."""
    import yaml

    duplicates: list[Duplicate] = []

    class Loader(yaml.SafeLoader):
        """A loader with Compose's tags and its opinion of plain scalars."""

        yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012  # the library's own name, of the class

    for kind, pattern, first in _PLAIN:
        Loader.add_implicit_resolver(
            f"tag:yaml.org,2002:{kind}", re.compile(pattern), [letter.strip("\0") for letter in first]
        )

    def note(node: Any, path: str) -> None:
        if isinstance(node, yaml.SequenceNode):
            for item in node.value:
                note(item, path)
        if not isinstance(node, yaml.MappingNode):
            return
        seen: dict[str, tuple[int, Any]] = {}
        for key, value in node.value:
            name = str(key.value)
            where = f"{path}.{name}" if path else name
            line = key.start_mark.line + 1
            if not isinstance(key, yaml.ScalarNode) or key.tag.rpartition(":")[2] not in ("str", "merge"):
                raise _NotAName(f"line {line}: the key {where} is not a text; put it into quotes")
            if name in seen and name != "<<":
                same = yaml.serialize(seen[name][1]) == yaml.serialize(value)
                duplicates.append(Duplicate(where, (seen[name][0], line), same))
            seen[name] = (line, value)
            note(value, where)

    def reset(loader: Any, node: Any) -> Any:
        return RESET

    def override(loader: Any, node: Any) -> Any:
        if isinstance(node, yaml.SequenceNode):
            return Override(loader.construct_sequence(node, deep=True))
        if isinstance(node, yaml.MappingNode):
            return OverrideTable(loader.construct_mapping(node, deep=True))
        return loader.construct_scalar(node)

    def words(loader: Any, node: Any) -> Any:
        found = loader.construct_scalar(node)
        date = _DATE.match(found) if node.style is None else None
        # Compose's reader makes a time of it, and writes that out in Go's manner.
        return found if date is None else f"{found[:10]} {date[1] or '00:00:00'} +0000 UTC"

    Loader.add_constructor("!reset", reset)
    Loader.add_constructor("!override", override)
    Loader.add_constructor("tag:yaml.org,2002:str", words)
    try:
        node = yaml.compose(text, Loader=Loader)
        if node is not None:
            note(node, "")
        data = yaml.load(text, Loader=Loader)  # noqa: S506  # a SafeLoader with two tags of Compose's
    except _NotAName as error:
        return ComposeReading({}, str(error))
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f"line {mark.line + 1}: " if mark is not None else ""
        return ComposeReading({}, f"{where}{getattr(error, 'problem', None) or 'it is not YAML'}")
    if data is None:
        return ComposeReading({}, EMPTY)
    if not isinstance(data, dict) or not all(isinstance(key, str) for key in data):
        return ComposeReading({}, "it is not a table of names")
    services = data.get("services")
    if services is not None and not (
        isinstance(services, dict) and all(isinstance(item, (dict, Reset)) for item in services.values())
    ):
        return ComposeReading({}, "its `services` is not a table of services")
    return ComposeReading(data, "", tuple(duplicates))


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Two compose files as one, the second after the first, as Compose merges them. Raises nothing."""
    found = {key: value for key, value in base.items() if key != "services"}
    for key, value in over.items():
        if key == "services":
            continue
        old = found.get(key)
        if isinstance(value, Reset):
            found.pop(key, None)
        else:
            found[key] = _deep(old, value)
    services: dict[str, Any] = dict(base.get("services") or {})
    for name, item in (over.get("services") or {}).items():
        if isinstance(item, Reset):
            services.pop(name, None)
            continue
        services[name] = merge_service(services.get(name) or {}, item or {})
    return {**found, "services": services}


_BY_PATH = frozenset({"volumes"})
_WHOLE = frozenset({"command", "entrypoint", "image", "test"})
_TABLES = frozenset({"environment", "labels"})


def merge_service(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """One service of the first file with that of the second over it."""
    found: dict[str, Any] = dict(base)
    for key, value in over.items():
        old = found.get(key)
        if isinstance(value, Reset):
            found.pop(key, None)
        elif isinstance(value, Override):
            found[key] = list(value)
        elif isinstance(value, OverrideTable):
            found[key] = dict(value)
        elif key in _WHOLE or old is None:
            found[key] = _without_resets(value)
        elif key in _TABLES:
            merged: dict[str, Any] = {**forms.environment(old), **_raw_table(value)}
            found[key] = {name: item for name, item in merged.items() if not isinstance(item, Reset)}
        elif key in _BY_PATH:
            taken = set(forms.mounts(value))
            kept = [item for item in old if not set(forms.mounts([item])) & taken]
            found[key] = [*kept, *value]
        elif key == "build" and (isinstance(old, str) or isinstance(value, str)):
            found[key] = {**forms.build(old), **forms.build(value)}
        elif key in ("depends_on", "networks") and not (isinstance(old, dict) and isinstance(value, dict)):
            found[key] = _as_tables(key, old) | _as_tables(key, value)
        elif isinstance(old, list) and isinstance(value, list):
            found[key] = [*old, *(item for item in value if item not in old)]
        else:
            found[key] = _deep(old, value)
    return found


def _deep(old: Any, value: Any) -> Any:
    """A table over a table, at any depth; anything else replaces what was there."""
    if isinstance(value, (Override, OverrideTable)):
        return list(value) if isinstance(value, Override) else dict(value)
    if not isinstance(value, Mapping):
        return value if value is not None or not isinstance(old, Mapping) else old
    base: Mapping[str, Any] = old if isinstance(old, Mapping) else {}
    found = {name: item for name, item in base.items() if not isinstance(value.get(name), Reset)}
    for name, item in value.items():
        if not isinstance(item, Reset):
            found[name] = _deep(base.get(name), item)
    return found


def _raw_table(value: Any) -> dict[str, Any]:
    if isinstance(value, Mapping):
        return {
            str(key): item if isinstance(item, Reset) else forms.environment({key: item})[str(key)]
            for key, item in value.items()
        }
    return dict(forms.environment(value))


def _without_resets(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: item for key, item in value.items() if not isinstance(item, Reset)}
    return value


def _as_tables(key: str, value: Any) -> dict[str, Any]:
    if isinstance(value, Mapping):
        return dict(value)
    empty = {"condition": "service_started"} if key == "depends_on" else None
    return {str(item): empty for item in value or ()}
