"""Which files a stack that is to be adopted is made from, what becomes of each, and whether they are understood.

What they say together goes over into docker-compose.yml and docker-compose.override.yml. One that Compose would prefer
to those is moved away (and back by `--undo`); one with a name of its own stays and is not read any more.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from disinto_tui.adapters.compose import ComposeTarget, config
from disinto_tui.adapters.instance import Instance
from disinto_tui.adapters.scratch import scratch
from disinto_tui.core.errors import DisintoError, Refused
from disinto_tui.core.stack_dump import dump_override
from disinto_tui.runs.project import Found

COMPOSE, OVERRIDE = "docker-compose.yml", "docker-compose.override.yml"
BASES = ("compose.yaml", "compose.yml", COMPOSE, "docker-compose.yaml")
OVERRIDES = ("compose.override.yml", "compose.override.yaml", OVERRIDE, "docker-compose.override.yaml")
"""What a hand-typed `docker compose` looks for, the first that is there of each: Compose's own order."""
_NOT_SO = ("and stays so", "is not among its files", "there is a ")
_ORDERED = frozenset({"command", "entrypoint", "test"})


def files_meant(instance: Instance, found: Found) -> Found:
    """The project with the files that Compose itself would take, where no container and no COMPOSE_FILE says which.

    Raises nothing.
    """
    told = bool(found.containers) or found.files != found.hand.files or "COMPOSE_FILE" in found.env.values
    if not told or not any(Path(path).is_file() for path in found.files):
        there = [
            next((instance.path / name for name in names if (instance.path / name).is_file()), None)
            for names in (BASES, OVERRIDES)
        ]
        if there[0] is not None:
            found = replace(found, files=tuple(str(path) for path in there if path is not None))
    if {Path(path).name for path in found.files} <= {COMPOSE, OVERRIDE}:
        return found
    # What is said of the files is what holds before; after it they are others.
    return replace(
        found, notes=tuple(text for text in found.notes if not any(part in text for part in _NOT_SO))
    )


def refuse_bystanders(instance: Instance, found: Found) -> None:
    """Raise Refused when a file would be read or replaced from now on that the stack is not made from."""
    files = {os.path.realpath(path) for path in found.files}
    for name in (*BASES, *OVERRIDES):
        path = instance.path / name
        if path.exists() and os.path.realpath(path) not in files:
            listed = ", ".join(Path(part).name for part in found.files)
            what = "writes that file anew" if name in (COMPOSE, OVERRIDE) else f"writes {COMPOSE}"
            raise Refused(
                f"There is a {name} in {instance.path}, and the stack is not made from it.",
                f"It is made from {listed}. A hand-typed `docker compose` there reads {name}, this tool {what}, and "
                "what it is for, nobody can tell.",
                f"Move {name} out of the directory (what runs does not notice), or start the stack with it once; "
                "then adopt again.",
                code="compose.other_name",
            )
    for name in retired(instance, found):
        real = os.path.realpath(instance.path / name)
        links = [path for path in (*found.files, str(instance.compose_file)) if Path(path).is_symlink()]
        link = next(
            (path for path in links if os.path.realpath(path) == real and Path(path).name != name), None
        )
        if link is not None:
            raise Refused(
                f"{Path(link).name} is a link to {name}.",
                f"{name} is moved away, since Compose would prefer it to {COMPOSE}, and the link would lead nowhere.",
                "Put one file in the place of the two (`rm` the link, `mv` the file), then adopt again.",
                code="compose.link",
            )


def retired(instance: Instance, found: Found) -> list[str]:
    """Names of those of its files that are moved away: a hand-typed `docker compose` would read them."""
    others = {*BASES, *OVERRIDES} - {COMPOSE, OVERRIDE}
    return [
        Path(path).name
        for path in found.files
        if Path(path).name in others and Path(path).parent == instance.path
    ]


def left_behind(instance: Instance, found: Found) -> list[str]:
    """Those of its files that stay and are not read any more."""
    gone = {str(instance.path / name) for name in (COMPOSE, OVERRIDE, *retired(instance, found))}
    return [path for path in found.files if path not in gone]


def source_mode(paths: Sequence[str]) -> int | None:
    """The permission bits that all of these files have: what is put together from them is for nobody else's eyes."""
    found: int | None = None
    for path in paths:
        if Path(path).is_file():
            mode = Path(path).stat().st_mode & 0o777
            found = mode if found is None else found & mode
    return found


async def check_merge(target: ComposeTarget, data: Mapping[str, Any], resolved: Mapping[str, Any]) -> None:
    """Whether the files mean to Compose what was read in them: `data` is this tool's merge, `resolved` Compose's.

    One file is looked at as well: what would be read otherwise than Compose reads it would go over otherwise. Raises
    Refused when they differ: then something in them is not understood.
    """
    with scratch() as place:
        try:
            file = place / COMPOSE
            file.touch(mode=0o600)
            file.write_text(dump_override(data))
            different = list(differing(await config(replace(target, files=(str(file),))), resolved))
        except DisintoError as error:
            different = [error.why]
    if different:
        names = " and ".join(Path(path).name for path in target.files)
        several = len(target.files) > 1
        raise Refused(
            f"What {names} {'say together' if several else 'says'} is not understood.",
            f"Compose {'puts them together' if several else 'reads it'} otherwise: {different[0]}.",
            f"Put that into {'one of the files' if several else 'the file'} as `docker compose config` shows it, "
            "then adopt again.",
            code="adopt.merge",
            details=different[:10],
        )


def differing(one: Any, other: Any, path: str = "") -> Iterator[str]:
    """Where two resolved stacks differ, as dotted keys; the order of a list counts where it has a meaning."""
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        for key in sorted({*one, *other}):
            yield from differing(one.get(key), other.get(key), f"{path}.{key}" if path else str(key))
    elif isinstance(one, list) and isinstance(other, list) and path.rpartition(".")[2] not in _ORDERED:
        if sorted(map(repr, one)) != sorted(map(repr, other)):
            yield path
    elif one != other:
        yield path
